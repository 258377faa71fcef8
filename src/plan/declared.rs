//! The version that a commit declares in the files that its package manager reads.

use crate::config::Config;
use crate::model::{Oid, RepoPath};
use crate::system::git::{Git, GitError};
use crate::target::safe_name;

/// Reads a version from a manifest's text.
type Read = fn(&str) -> Option<String>;

/// The manifests that come after package.json and `[app] version`, in order.
const MANIFESTS: [(&str, Read); 4] = [
    ("pyproject.toml", |text| {
        in_toml(text, &["project", "version"])
            .or_else(|| in_toml(text, &["tool", "poetry", "version"]))
    }),
    ("Cargo.toml", |text| {
        in_toml(text, &["package", "version"])
            .or_else(|| in_toml(text, &["workspace", "package", "version"]))
    }),
    ("composer.json", in_json),
    // One line and nothing else, as many projects have it.
    ("VERSION", |text| Some(text.trim().trim_start_matches('v').to_owned())),
];

/// The version of a commit: `version` in its package.json, else `[app] version` of its own gitroll.toml (of the
/// configuration used where it has none), else that of pyproject.toml, Cargo.toml, composer.json or a VERSION file, at
/// the top of the tree. Only what looks like a version counts: it comes from the repository and is printed.
///
/// # Errors
/// When the commit or one of these files cannot be read.
pub fn declared_version(
    git: &Git,
    commit: &Oid,
    config: Option<&Config>,
) -> Result<Option<String>, GitError> {
    let text = |name: &str| {
        let path = RepoPath::new(name).expect("a plain name");
        let bytes = git.file(commit, &path)?;
        Ok(bytes.and_then(|bytes| String::from_utf8(bytes).ok()))
    };
    first_declared(text, config.and_then(|config| config.app.version.as_deref()))
}

fn first_declared<E>(
    text: impl Fn(&str) -> Result<Option<String>, E>,
    configured: Option<&str>,
) -> Result<Option<String>, E> {
    let usable = |version: &String| safe_name(version) && version.len() <= 64;
    if let Some(version) = text("package.json")?.as_deref().and_then(in_json).filter(usable) {
        return Ok(Some(version));
    }
    // The accepted configuration may be that of another release: it speaks only for trees without one of their own.
    let own = match text("gitroll.toml")? {
        Some(text) => in_toml(&text, &["app", "version"]),
        None => configured.map(str::to_owned),
    };
    if let Some(version) = own.filter(usable) {
        return Ok(Some(version));
    }
    for (name, read) in MANIFESTS {
        let version = text(name)?.as_deref().and_then(read);
        if let Some(version) = version.filter(usable) {
            return Ok(Some(version));
        }
    }
    Ok(None)
}

fn in_json(text: &str) -> Option<String> {
    let json: serde_json::Value = serde_json::from_str(text).ok()?;
    json.get("version")?.as_str().map(str::to_owned)
}

fn in_toml(text: &str, keys: &[&str]) -> Option<String> {
    let table: toml::Table = text.parse().ok()?;
    let (last, tables) = keys.split_last()?;
    let at = tables.iter().try_fold(&table, |at, key| at.get(*key)?.as_table())?;
    at.get(*last)?.as_str().map(str::to_owned)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::convert::Infallible;

    #[test]
    fn the_manifests_are_read_in_order_and_only_what_looks_like_a_version_counts() {
        let version = |files: &[(&str, &str)]| {
            let text = |name: &str| {
                let found = files.iter().find(|(at, _)| *at == name);
                Ok::<_, Infallible>(found.map(|(_, text)| (*text).to_owned()))
            };
            first_declared(text, Some("0.0.9")).unwrap()
        };
        let own = |more: &[(&'static str, &'static str)]| {
            version(&[&[("gitroll.toml", "[app]\nname = \"shop\"\n")], more].concat())
        };
        let none: Option<String> = None;
        assert_eq!(own(&[("README", "x")]), none);
        assert_eq!(own(&[("VERSION", "v3.1.0\n")]).unwrap(), "3.1.0");
        assert_eq!(own(&[("VERSION", "what this is\n")]), none);
        let poetry = ("pyproject.toml", "[tool.poetry]\nversion = \"0.4.0\"\n");
        assert_eq!(own(&[("VERSION", "9\n"), poetry]).unwrap(), "0.4.0");
        let project = ("pyproject.toml", "[project]\nversion = \"1.2.0\"\n");
        assert_eq!(own(&[project]).unwrap(), "1.2.0");
        let dynamic = ("pyproject.toml", "[project]\ndynamic = [\"version\"]\n");
        assert_eq!(own(&[dynamic, ("VERSION", "2.0.0\n")]).unwrap(), "2.0.0");
        let member = ("Cargo.toml", "[package]\nversion.workspace = true\n");
        assert_eq!(own(&[member]), none);
        let both =
            "[package]\nversion.workspace = true\n[workspace.package]\nversion = \"0.9.1\"\n";
        assert_eq!(own(&[("Cargo.toml", both)]).unwrap(), "0.9.1");
        assert_eq!(own(&[("composer.json", "{\"version\":\"5.0\"}")]).unwrap(), "5.0");
        // What is accepted now says nothing about a release with a gitroll.toml of its own.
        let older = ("gitroll.toml", "[app]\nversion = \"1.1.0\"\n");
        assert_eq!(version(&[older]).unwrap(), "1.1.0");
        assert_eq!(version(&[("README", "x")]).unwrap(), "0.0.9");
        let package = ("package.json", "{\"version\":\"1.0.0\"}");
        assert_eq!(version(&[project, package]).unwrap(), "1.0.0");
        let hostile = ("package.json", "{\"version\":\"1.0\\u001b[2J\"}");
        assert_eq!(own(&[hostile, project]).unwrap(), "1.2.0");
    }
}
