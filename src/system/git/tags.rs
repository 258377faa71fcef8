//! Tags, looked at closely: which of them may name a version.

use gix::bstr::ByteSlice;
use gix::objs::tag::ref_iter::Token;
use gix::objs::{Kind, TagRefIter};

use crate::model::{Oid, Person, TargetRef};

use super::object::{gix_id, oid, person};
use super::refs::Target;
use super::repository::{Git, GitError};

/// A tag object beyond this size is not read: no message for people is so long.
const MOST_BYTES: u64 = 1 << 20;

const RECORDS: &[u8] = b"refs/tags/gitroll/";

/// A tag under `refs/tags/`, looked at closely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    pub target: TargetRef,
    /// What it is.
    pub kind: TagKind,
}

/// What a tag ref points to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagKind {
    /// A commit, without a tag object.
    Lightweight(Oid),
    /// A tag object on a commit.
    Annotated {
        commit: Oid,
        /// The name inside the object, which should be the ref's.
        own_name: String,
        /// Whether it carries a signature (not whether that is good).
        signed: bool,
        /// Tagger, where it has one.
        tagger: Option<Person>,
    },
    /// A tag on a tag, a tree or a blob, an empty or broken ref: with the reason it cannot be used.
    Unusable(String),
}

impl TagKind {
    /// The commit it names; `None` where it names none.
    pub fn commit(&self) -> Option<&Oid> {
        match self {
            TagKind::Lightweight(commit) | TagKind::Annotated { commit, .. } => Some(commit),
            TagKind::Unusable(_) => None,
        }
    }
}

impl Git {
    /// All tags outside `refs/tags/gitroll/`, looked at closely, sorted by name. Broken ones are `Unusable`,
    /// not errors; one whose ref names no object has an id of zeros.
    ///
    /// # Errors
    /// When the refs cannot be listed at all.
    pub fn tags(&self) -> Result<Vec<Tag>, GitError> {
        let mut buffer = Vec::new();
        let mut tags = Vec::new();
        for (name, target) in self.raw_refs("refs/tags/")? {
            if name.starts_with(RECORDS) {
                continue;
            }
            let (id, mut kind) = match target {
                Target::Object(id) => {
                    let kind = self.tag_kind(&id, &mut buffer);
                    (id, kind)
                }
                Target::Broken(problem) => (self.no_id(), TagKind::Unusable(problem)),
                Target::Symbolic(other) => {
                    let problem = format!("it points to another ref, {other}");
                    (self.no_id(), TagKind::Unusable(problem))
                }
            };
            let name = String::from_utf8(name).unwrap_or_else(|e| {
                kind = TagKind::Unusable("its name is not UTF-8".to_owned());
                String::from_utf8_lossy(e.as_bytes()).into_owned()
            });
            tags.push(Tag { target: TargetRef { name, id }, kind });
        }
        Ok(tags)
    }

    fn tag_kind(&self, id: &Oid, buffer: &mut Vec<u8>) -> TagKind {
        let unusable = |problem: String| TagKind::Unusable(problem);
        let Some(key) = gix_id(id) else {
            return unusable("its object id belongs to another repository format".to_owned());
        };
        match self.repo.try_find_header(key) {
            Err(e) => return unusable(format!("its object cannot be read: {e:#}")),
            Ok(None) => return unusable("its object is missing".to_owned()),
            Ok(Some(header)) => match header.kind() {
                Kind::Commit => return TagKind::Lightweight(id.clone()),
                Kind::Tag if header.size() > MOST_BYTES => {
                    return unusable(format!("its tag object has {} bytes", header.size()));
                }
                Kind::Tag => {}
                other => return unusable(format!("it names a {other}, not a commit")),
            },
        }
        use gix::objs::Find;
        match self.repo.objects.try_find(&key, buffer) {
            Err(e) => unusable(format!("its object cannot be read: {e:#}")),
            Ok(None) => unusable("its object is missing".to_owned()),
            Ok(Some(object)) => match self.annotated(object.data) {
                Ok(kind) => kind,
                Err(problem) => unusable(problem),
            },
        }
    }

    fn annotated(&self, data: &[u8]) -> Result<TagKind, String> {
        let mut target = None;
        let mut target_kind = None;
        let mut own_name = String::new();
        let mut tagger = None;
        for token in TagRefIter::from_bytes(data, self.repo.object_hash()) {
            match token.map_err(|e| format!("its tag object is malformed: {e:#}"))? {
                Token::Target { id } => target = Some(id),
                Token::TargetKind(kind) => target_kind = Some(kind),
                Token::Name(name) => own_name = name.to_str_lossy().into_owned(),
                Token::Tagger(found) => tagger = found.map(person),
                Token::Body { .. } => {}
            }
        }
        match target_kind {
            Some(Kind::Commit) => {}
            Some(Kind::Tag) => return Err("it is a tag on a tag".to_owned()),
            Some(other) => return Err(format!("it is a tag on a {other}, not on a commit")),
            None => return Err("its tag object is malformed".to_owned()),
        }
        let target = target.ok_or("its tag object is malformed")?;
        // What a tag object says of its target need not be so.
        match self.repo.try_find_header(target) {
            Ok(Some(header)) if header.kind() == Kind::Commit => {}
            Ok(Some(header)) => return Err(format!("it is a tag on a {}", header.kind())),
            Ok(None) => return Err("its commit is missing".to_owned()),
            Err(e) => return Err(format!("its commit cannot be read: {e:#}")),
        }
        Ok(TagKind::Annotated {
            commit: oid(target),
            own_name,
            signed: TagRefIter::signature(data).is_some(),
            tagger,
        })
    }

    fn no_id(&self) -> Oid {
        oid(gix::ObjectId::null(self.repo.object_hash()))
    }
}
