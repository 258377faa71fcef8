//! Tags, looked at closely: which of them may name a version.

use gix::bstr::ByteSlice;
use gix::objs::tag::ref_iter::Token;
use gix::objs::{Kind, TagRefIter};

use crate::model::{Oid, Person, TargetRef};

use super::object::{gix_id, oid, person, told};
use super::refs::Target;
use super::repository::{Git, GitError};

/// A tag object beyond this size is not read: no message for people is so long.
const MOST_BYTES: u64 = 1 << 20;

const TAGS: &[u8] = b"refs/tags/";
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
    /// The commit it names; `None` if it names none.
    pub fn commit(&self) -> Option<&Oid> {
        match self {
            TagKind::Lightweight(commit) | TagKind::Annotated { commit, .. } => Some(commit),
            TagKind::Unusable(_) => None,
        }
    }
}

/// A tag's ref, not opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagRef {
    /// Without `refs/tags/`; may hold bytes that are not safe to print.
    pub short: String,
    utf8: bool,
    target: Target,
    /// The commit behind a tag object, as `packed-refs` has it: where to look, not to be relied on.
    peeled: Option<Oid>,
}

impl TagRef {
    /// The commit behind it, as `packed-refs` has it.
    pub fn peeled(&self) -> Option<&Oid> {
        self.peeled.as_ref()
    }
}

impl Git {
    /// All tags outside `refs/tags/gitroll/`, looked at closely, sorted by name. Broken ones are `Unusable`,
    /// not errors; one whose ref names no object has an id of zeros.
    ///
    /// # Errors
    /// When the refs cannot be listed at all.
    pub fn tags(&self) -> Result<Vec<Tag>, GitError> {
        let refs = self.tag_refs(|_| true)?;
        Ok(refs.iter().map(|found| self.open_tag(found)).collect())
    }

    /// The refs of the tags whose short names are wanted, sorted by name; none of them is opened, and no other is
    /// even read.
    ///
    /// # Errors
    /// When the refs cannot be listed at all.
    pub fn tag_refs(&self, wanted: impl Fn(&str) -> bool) -> Result<Vec<TagRef>, GitError> {
        let asked = |name: &[u8]| {
            !name.starts_with(RECORDS)
                && (name.ends_with(b"/")
                    || name
                        .strip_prefix(TAGS)
                        .is_some_and(|short| wanted(&String::from_utf8_lossy(short))))
        };
        let found = self.refs_with_peeled("refs/tags/", &asked)?;
        let tag_ref = |name: Vec<u8>, target, peeled| {
            let short = name.get(TAGS.len()..).unwrap_or_default();
            let utf8 = std::str::from_utf8(short).is_ok();
            TagRef { short: String::from_utf8_lossy(short).into_owned(), utf8, target, peeled }
        };
        let all = found.into_iter().map(|(name, (target, peeled))| tag_ref(name, target, peeled));
        Ok(all.collect())
    }

    /// The tag of this short name, looked at closely.
    ///
    /// # Errors
    /// `Io`.
    pub fn tag(&self, short: &str) -> Result<Option<Tag>, GitError> {
        let name = format!("refs/tags/{short}");
        if name.as_bytes().starts_with(RECORDS) {
            return Ok(None);
        }
        let found = self.raw_ref(&name)?;
        Ok(found.map(|target| {
            let short = short.to_owned();
            self.open_tag(&TagRef { short, utf8: true, target, peeled: None })
        }))
    }

    /// Looks at a tag closely.
    pub fn open_tag(&self, found: &TagRef) -> Tag {
        let (id, mut kind) = match &found.target {
            Target::Object(id) => (id.clone(), self.tag_kind(id, &mut Vec::new())),
            Target::Broken(problem) => (self.no_id(), TagKind::Unusable(problem.clone())),
            Target::Symbolic(other) => {
                let problem = format!("it points to another ref, {other}");
                (self.no_id(), TagKind::Unusable(problem))
            }
        };
        if !found.utf8 {
            kind = TagKind::Unusable("its name is not UTF-8".to_owned());
        }
        Tag { target: TargetRef { name: format!("refs/tags/{}", found.short), id }, kind }
    }

    fn tag_kind(&self, id: &Oid, buffer: &mut Vec<u8>) -> TagKind {
        let unusable = |problem: String| TagKind::Unusable(problem);
        let Some(key) = gix_id(id) else {
            return unusable("its object id belongs to another repository format".to_owned());
        };
        match self.repo.try_find_header(key) {
            Err(e) => return unusable(format!("its object cannot be read: {}", told(&e))),
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
            Err(e) => unusable(format!("its object cannot be read: {}", told(&e))),
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
            match token.map_err(|e| format!("its tag object is malformed: {}", told(&e)))? {
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
            Err(e) => return Err(format!("its commit cannot be read: {}", told(&e))),
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
