//! What kind of file a path names: those that break an app without a line of its code changing.

use globset::{Glob, GlobSet, GlobSetBuilder};

use crate::config::{Config, Patterns};
use crate::model::RepoPath;

/// Configuration of the tools that build, start and connect an app. `docs/diff.md` has this list for people.
const CONFIGURATION: [&str; 24] = [
    "config/**",
    "**/*.config.*",
    "**/*rc.{js,cjs,mjs,json,yml,yaml,toml}",
    "**/.*rc",
    "**/.env",
    "**/.env.*",
    "**/tsconfig*.json",
    "**/jsconfig*.json",
    "**/Dockerfile",
    "**/Dockerfile.*",
    "**/*.Dockerfile",
    "**/.dockerignore",
    "**/compose*.{yml,yaml}",
    "**/docker-compose*.{yml,yaml}",
    "**/Procfile",
    "**/nginx*.conf",
    "**/*.service",
    "**/.nvmrc",
    "**/.node-version",
    "**/.tool-versions",
    "**/vercel.json",
    "**/turbo.json",
    "**/nx.json",
    "**/Makefile",
];

/// Lock files that are told as changed without being read.
const OTHER_LOCKS: [&str; 12] = [
    "yarn.lock",
    "pnpm-lock.yaml",
    "bun.lock",
    "bun.lockb",
    "deno.lock",
    "composer.lock",
    "Gemfile.lock",
    "Cargo.lock",
    "poetry.lock",
    "uv.lock",
    "Pipfile.lock",
    "go.sum",
];

/// What a path is, as far as it makes it suspect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A lock file of npm.
    NpmLock,
    /// A lock file of something else.
    OtherLock,
    /// A package.json.
    Manifest,
    /// gitroll.toml.
    Gitroll,
    /// By `[migrate] paths`.
    Migration,
    /// By [`CONFIGURATION`].
    Configuration,
}

/// The patterns, made ready.
pub(super) struct Kinds {
    migrations: Option<Patterns>,
    configuration: GlobSet,
}

impl Kinds {
    /// With the migrations of a configuration.
    pub(super) fn of(config: Option<&Config>) -> Self {
        let mut set = GlobSetBuilder::new();
        for pattern in CONFIGURATION {
            set.add(Glob::new(pattern).expect("a pattern of this file is a glob"));
        }
        let configuration = set.build().expect("so few patterns are not too large");
        Self { migrations: config.map(|c| c.migrate.paths.clone()), configuration }
    }

    /// What a path is; `None` for code.
    pub(super) fn kind(&self, path: &RepoPath) -> Option<Kind> {
        let name = file_name(path);
        if is_npm_lock(path) {
            Some(Kind::NpmLock)
        } else if OTHER_LOCKS.iter().any(|lock| lock.as_bytes() == name) {
            Some(Kind::OtherLock)
        } else if name == b"package.json" {
            Some(Kind::Manifest)
        } else if path.as_bytes() == b"gitroll.toml" {
            Some(Kind::Gitroll)
        } else if self.migrations.as_ref().is_some_and(|m| m.matches(path)) {
            Some(Kind::Migration)
        } else if self.configuration.is_match(path.as_path()) {
            Some(Kind::Configuration)
        } else {
            None
        }
    }
}

/// Whether npm wrote it.
pub(super) fn is_npm_lock(path: &RepoPath) -> bool {
    matches!(file_name(path), b"package-lock.json" | b"npm-shrinkwrap.json")
}

/// The last part of a path.
pub(super) fn file_name(path: &RepoPath) -> &[u8] {
    path.as_bytes().rsplit(|b| *b == b'/').next().unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn configuration_is_told_from_code() {
        let kinds = Kinds::of(None);
        let kind = |path: &str| kinds.kind(&RepoPath::new(path).unwrap());
        for path in [
            "next.config.js",
            "apps/web/ecosystem.config.cjs",
            ".env.example",
            "config/deep/production.json",
            "Dockerfile",
            "docker/Dockerfile.web",
            "tsconfig.build.json",
            ".npmrc",
            ".babelrc.json",
        ] {
            assert_eq!(kind(path), Some(Kind::Configuration), "{path}");
        }
        for path in ["server.js", "src/config.js", "src/config/index.js", "README.md"] {
            assert_eq!(kind(path), None, "{path}");
        }
        assert_eq!(kind("packages/a/package-lock.json"), Some(Kind::NpmLock));
        assert_eq!(kind("pnpm-lock.yaml"), Some(Kind::OtherLock));
        assert_eq!(kind("gitroll.toml"), Some(Kind::Gitroll));
        assert_eq!(kind("packages/a/package.json"), Some(Kind::Manifest));
    }
}
