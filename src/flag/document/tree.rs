//! A document as a tree: where each value is in the text, and a piece of text in the place of another.

use std::ops::Range;

use serde_json::Value as Json;

/// A value in a document.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// Its state.
    pub(super) span: Range<usize>,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Scalar(Json),
    Object(Vec<Member>),
    List(Vec<Node>),
    /// What is left alone: what it is, and what tells two of them apart.
    Other(&'static str, String),
}

/// A name in an object, and its value.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) name: String,
    /// Where the name stands.
    pub(super) span: Range<usize>,
    pub(super) value: Node,
}

/// A piece of text in the place of another.
pub(super) struct Edit {
    pub(super) span: Range<usize>,
    pub(super) text: String,
}

impl Node {
    pub(super) fn scalar(&self) -> Option<&Json> {
        match &self.kind {
            Kind::Scalar(value) => Some(value),
            _ => None,
        }
    }

    pub(super) fn what(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar(_) => "a single value",
            Kind::Object(_) => "an object",
            Kind::List(_) => "a list",
            Kind::Other(what, _) => what,
        }
    }
}

/// The end of lines in this text.
pub(super) fn line_end(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}
