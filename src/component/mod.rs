//! Components: the files that each has in a commit, commits in which it has those of another, and whether
//! its older files fit what serves.

mod content;
pub mod fit;

pub use content::{
    ComponentError, Content, HeldContent, held_contents, held_in, synthesise, synthesised,
};
