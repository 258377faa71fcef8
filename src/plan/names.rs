//! The names people know commits by.

use std::collections::BTreeMap;

use globset::{Glob, GlobMatcher};

use crate::component;
use crate::config::Config;
use crate::model::{Oid, RepoPath, Served};
use crate::system::git::{Git, GitError, Tag, TagKind};
use crate::target::{safe_name, version_of};

/// Stable tags by commit, the highest version first.
#[derive(Debug, Clone, Default)]
pub struct Names {
    stable: BTreeMap<Oid, Vec<String>>,
    /// Every tag's commit: no other state is shown under its name.
    tags: BTreeMap<String, Oid>,
}

impl Names {
    /// Names from the tags that match the stable pattern. Unsafe and unusable ones name nothing.
    pub fn of(tags: &[Tag], pattern: &str) -> Self {
        let matcher = stable_matcher(pattern);
        let mut stable: BTreeMap<Oid, Vec<String>> = BTreeMap::new();
        let mut named = BTreeMap::new();
        for tag in tags {
            if let TagKind::Annotated { commit, .. } | TagKind::Lightweight(commit) = &tag.kind {
                named.insert(tag.target.short().to_owned(), commit.clone());
            }
            let TagKind::Annotated { commit, own_name, .. } = &tag.kind else { continue };
            let name = tag.target.short();
            let fits = matcher.as_ref().is_some_and(|m| m.is_match(name));
            if fits && safe_name(name) && own_name == name {
                stable.entry(commit.clone()).or_default().push(name.to_owned());
            }
        }
        for names in stable.values_mut() {
            names.sort_by_key(|name| std::cmp::Reverse(version_of(name, pattern)));
        }
        Self { stable, tags: named }
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
        let name = match self.stable.get(commit).and_then(|names| names.first()) {
            Some(name) => name.clone(),
            None => self.made_name(git, commit, version.as_deref())?,
        };
        Ok(Served { commit: commit.clone(), name, version })
    }
}

impl Names {
    /// `v1.2.0` for a version, unless that is the name of another commit's tag.
    pub fn of_version(&self, version: &str, commit: &Oid) -> Option<String> {
        let name = format!("v{version}");
        self.tags.get(&name).is_none_or(|tagged| tagged == commit).then_some(name)
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
        let base = self.stable.get(&at.id).and_then(|names| names.first().cloned());
        let base = base
            .or_else(|| version.and_then(|version| self.of_version(version, &at.id)))
            .unwrap_or_else(|| at.id.short().to_owned());
        let components = components.iter().map(|component| format!("~{component}"));
        Ok(std::iter::once(base).chain(components).collect())
    }
}

/// The matcher of `stable.pattern`; `*` also matches `/`.
pub fn stable_matcher(pattern: &str) -> Option<GlobMatcher> {
    Glob::new(pattern).ok().map(|glob| glob.compile_matcher())
}

/// The version a commit declares: `[app] version` of the configuration used, else `version` in its
/// package.json. Only what looks like a version counts: it comes from the repository and is printed.
fn declared_version(
    git: &Git,
    commit: &Oid,
    config: Option<&Config>,
) -> Result<Option<String>, GitError> {
    let path = RepoPath::new("package.json").expect("a plain name");
    let package = git.file(commit, &path)?;
    let from_package = package
        .and_then(|bytes| serde_json::from_slice::<serde_json::Value>(&bytes).ok())
        .and_then(|json| json.get("version")?.as_str().map(str::to_owned));
    let from_config = || config.and_then(|c| c.app.version.clone());
    Ok(from_package.or_else(from_config).filter(|v| safe_name(v) && v.len() <= 64))
}
