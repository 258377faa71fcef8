//! The names people know commits by.

use std::collections::BTreeMap;

use globset::{Glob, GlobMatcher};

use crate::config::Config;
use crate::model::{Oid, RepoPath, Served};
use crate::system::git::{Git, GitError, Tag, TagKind};
use crate::target::{safe_name, version_of};

/// Stable tags by commit, the highest version first.
#[derive(Debug, Clone, Default)]
pub struct Names {
    stable: BTreeMap<Oid, Vec<String>>,
}

impl Names {
    /// Names from the tags that match the stable pattern. Unsafe and unusable ones name nothing.
    pub fn of(tags: &[Tag], pattern: &str) -> Self {
        let matcher = stable_matcher(pattern);
        let mut stable: BTreeMap<Oid, Vec<String>> = BTreeMap::new();
        for tag in tags {
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
        Self { stable }
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
        let name = self
            .stable
            .get(commit)
            .and_then(|names| names.first().cloned())
            .or_else(|| version.as_ref().map(|v| format!("v{v}")))
            .unwrap_or_else(|| commit.short().to_owned());
        Ok(Served { commit: commit.clone(), name, version })
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
