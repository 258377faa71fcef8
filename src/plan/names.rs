//! The names people know commits by.

use std::cell::OnceCell;
use std::cmp::Reverse;
use std::collections::HashMap;

use globset::{Glob, GlobMatcher};

use super::declared::declared_version;
use crate::component;
use crate::config::Config;
use crate::model::{Oid, Served};
use crate::system::git::{Git, GitError, Tag, TagKind, TagRef};
use crate::target::{safe_name, version_of};

/// The stable tags, opened as they are asked for, and the names that commits have by them.
#[derive(Debug, Default)]
pub struct Names {
    pattern: String,
    /// By name.
    refs: Vec<TagRef>,
    opened: Vec<OnceCell<Tag>>,
    by_commit: OnceCell<Places>,
}

/// Places in the list of refs.
#[derive(Debug, Default)]
struct Places {
    of: HashMap<Oid, Vec<usize>>,
    /// Those of which it takes opening to know.
    unknown: Vec<usize>,
}

impl Names {
    /// The tags that match the stable pattern. No other is read, and none opened yet.
    ///
    /// # Errors
    /// When the refs cannot be listed at all.
    pub fn of(git: &Git, pattern: &str) -> Result<Self, GitError> {
        let refs = match stable_matcher(pattern) {
            Some(matcher) => git.tag_refs(|short| matcher.is_match(short))?,
            None => Vec::new(),
        };
        let opened = refs.iter().map(|_| OnceCell::new()).collect();
        Ok(Self { pattern: pattern.to_owned(), refs, opened, by_commit: OnceCell::new() })
    }

    /// The stable tags' refs, by name.
    pub fn refs(&self) -> &[TagRef] {
        &self.refs
    }

    /// The stable tag at this place among [`Names::refs`], looked at closely.
    pub fn tag(&self, git: &Git, at: usize) -> Option<&Tag> {
        let found = self.refs.get(at)?;
        Some(self.opened.get(at)?.get_or_init(|| git.open_tag(found)))
    }

    /// The stable tags on a commit, by name.
    pub fn tags_on(&self, git: &Git, commit: &Oid) -> Vec<&Tag> {
        let places = self.by_commit.get_or_init(|| {
            let mut places = Places::default();
            for (at, found) in self.refs.iter().enumerate() {
                match found.peeled() {
                    Some(commit) => places.of.entry(commit.clone()).or_default().push(at),
                    None => places.unknown.push(at),
                }
            }
            places
        });
        let known = places.of.get(commit).map_or(&[][..], Vec::as_slice);
        let mut all: Vec<usize> = known.iter().chain(&places.unknown).copied().collect();
        all.sort_unstable();
        let tags = all.into_iter().filter_map(|at| self.tag(git, at));
        tags.filter(|tag| tag.kind.commit() == Some(commit)).collect()
    }

    /// The name of the highest version among the stable tags on a commit. Unsafe and unusable ones name nothing.
    fn stable(&self, git: &Git, commit: &Oid) -> Option<String> {
        let mut names: Vec<&str> = Vec::new();
        for tag in self.tags_on(git, commit) {
            let name = tag.target.short();
            if let TagKind::Annotated { own_name, .. } = &tag.kind
                && safe_name(name)
                && own_name == name
            {
                names.push(name);
            }
        }
        names.sort_by_key(|name| Reverse(version_of(name, &self.pattern)));
        names.first().map(|name| (*name).to_owned())
    }

    /// The commit with its name (stable tag, `v` and version, or short id) and version.
    ///
    /// # Errors
    /// When the commit cannot be read.
    pub fn served(
        &self,
        git: &Git,
        commit: &Oid,
        config: Option<&Config>,
    ) -> Result<Served, GitError> {
        let version = declared_version(git, commit, config)?;
        let name = match self.stable(git, commit) {
            Some(name) => name,
            None => self.made_name(git, commit, version.as_deref())?,
        };
        Ok(Served { commit: commit.clone(), name, version })
    }
}

impl Names {
    /// `v1.2.0` for a version, unless that is the name of another commit's tag.
    pub fn of_version(&self, git: &Git, version: &str, commit: &Oid) -> Option<String> {
        let name = format!("v{version}");
        let tag = git.tag(&name).ok().flatten();
        let tagged = tag.as_ref().and_then(|tag| tag.kind.commit());
        tagged.is_none_or(|tagged| tagged == commit).then_some(name)
    }

    /// The name of a commit that no stable tag names: its version or short id, or, for one in which a
    /// component's files are another's, `v1.2.0~QW-001`.
    fn made_name(
        &self,
        git: &Git,
        commit: &Oid,
        version: Option<&str>,
    ) -> Result<String, GitError> {
        // Each is a commit to be read, and nobody could read a longer name.
        const MOST: usize = 20;
        const NAMED: usize = 3;
        let mut components: Vec<String> = Vec::new();
        let mut at = git.commit(commit)?;
        for _ in 0..MOST {
            let Some(found) = component::synthesised(&at).filter(|f| safe_name(&f.component))
            else {
                break;
            };
            if !components.contains(&found.component) {
                components.push(found.component);
            }
            at = git.commit(&found.base)?;
        }
        if components.len() > NAMED {
            let more = components.len() - NAMED;
            components.truncate(NAMED);
            components.push(format!("+{more}"));
        }
        components.reverse();
        let base = self
            .stable(git, &at.id)
            .or_else(|| version.and_then(|version| self.of_version(git, version, &at.id)))
            .unwrap_or_else(|| at.id.short().to_owned());
        let components = components.iter().map(|component| format!("~{component}"));
        Ok(std::iter::once(base).chain(components).collect())
    }
}

/// The matcher of `stable.pattern`; `*` also matches `/`.
pub fn stable_matcher(pattern: &str) -> Option<GlobMatcher> {
    Glob::new(pattern).ok().map(|glob| glob.compile_matcher())
}
