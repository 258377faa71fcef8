//! Files that differ, which part of the app they belong to, and which kinds break an app without a line of its code
//! changing.

use globset::{Glob, GlobSet, GlobSetBuilder};
use schemars::JsonSchema;
use serde::Serialize;

use crate::config::{Component, Config, Patterns};
use crate::model::{ComponentId, RepoPath, TreeMode};
use crate::system::git::FileDiff;

/// No answer lists more files of one part.
const MOST_FILES: usize = 1_000;

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FileChange {
    /// Its path; the new one where it was renamed.
    pub path: RepoPath,
    /// What happened to it.
    pub change: Change,
    /// Its path before, where it was renamed.
    pub was: Option<RepoPath>,
    /// How similar a renamed file stayed, in percent.
    pub similarity: Option<u8>,
    /// Lines added; `null` for what has no lines and where lines were not counted.
    pub added: Option<u64>,
    /// Lines deleted, as `added`.
    pub deleted: Option<u64>,
}

/// What happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It is new.
    Added,
    /// It is gone.
    Deleted,
    /// Its content changed.
    Modified,
    /// It has a new name, and perhaps new content.
    Renamed,
    /// It became executable, or is no longer.
    Mode,
    /// It became a link or submodule, or a file again.
    Type,
}

impl Change {
    /// git's letter for it.
    pub fn letter(self) -> char {
        match self {
            Change::Added => 'A',
            Change::Deleted => 'D',
            Change::Modified | Change::Mode => 'M',
            Change::Renamed => 'R',
            Change::Type => 'T',
        }
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Change::Added => "added",
            Change::Deleted => "deleted",
            Change::Modified => "changed",
            Change::Renamed => "renamed",
            Change::Mode => "executable or not",
            Change::Type => "became a link, submodule or file",
        }
    }
}

/// How much differs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Totals {
    /// Files.
    pub files: usize,
    /// Lines added, as far as they were counted.
    pub added: u64,
    /// Lines deleted, as far as they were counted.
    pub deleted: u64,
}

/// The files of one component, or the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Part {
    /// The component; `null` for files that belong to none.
    pub component: Option<ComponentId>,
    /// Its title.
    pub title: Option<String>,
    /// All of its files that differ. A file that belongs to two components counts in both.
    pub totals: Totals,
    /// The files, by path. At most 1000.
    pub files: Vec<FileChange>,
}

impl FileChange {
    /// What became of a file.
    pub(super) fn of(file: &FileDiff) -> Self {
        let plain = |mode| matches!(mode, TreeMode::File | TreeMode::Executable);
        let change = match (&file.before, &file.after) {
            _ if file.renamed.is_some() => Change::Renamed,
            (None, _) => Change::Added,
            (_, None) => Change::Deleted,
            (Some(a), Some(b)) if a.mode != b.mode && !(plain(a.mode) && plain(b.mode)) => {
                Change::Type
            }
            (Some(a), Some(b)) if a.id == b.id => Change::Mode,
            _ => Change::Modified,
        };
        Self {
            path: file.path.clone(),
            change,
            was: file.renamed.as_ref().map(|(was, _)| was.clone()),
            similarity: file.renamed.as_ref().map(|(_, percent)| *percent),
            added: file.lines.map(|(added, _)| added),
            deleted: file.lines.map(|(_, deleted)| deleted),
        }
    }

    /// Its path and, where it was renamed, the one before.
    pub(super) fn paths(&self) -> impl Iterator<Item = &RepoPath> {
        std::iter::once(&self.path).chain(&self.was)
    }

    /// Whether it belongs to a component, or did before it was renamed.
    pub(super) fn is_of(&self, component: &Component) -> bool {
        self.paths().any(|path| component.paths.covers(path))
    }

    /// Lines added and deleted together.
    pub(super) fn lines(&self) -> u64 {
        self.added.unwrap_or(0).saturating_add(self.deleted.unwrap_or(0))
    }
}

impl Totals {
    /// Of these files.
    pub(super) fn of<'a>(files: impl IntoIterator<Item = &'a FileChange>) -> Self {
        files.into_iter().fold(Self::default(), |sum, file| Self {
            files: sum.files + 1,
            added: sum.added.saturating_add(file.added.unwrap_or(0)),
            deleted: sum.deleted.saturating_add(file.deleted.unwrap_or(0)),
        })
    }
}

/// The files by component, in the order of the configuration, then those of none.
pub(super) fn parts(files: &[FileChange], components: &[Component]) -> Vec<Part> {
    let part = |component: Option<&Component>, files: Vec<&FileChange>| Part {
        component: component.map(|c| c.id.clone()),
        title: component.and_then(|c| c.title.clone()),
        totals: Totals::of(files.iter().copied()),
        files: files.into_iter().take(MOST_FILES).cloned().collect(),
    };
    let of = |component| files.iter().filter(move |file| file.is_of(component)).collect();
    let mut parts: Vec<Part> = components.iter().map(|c| part(Some(c), of(c))).collect();
    let of_none = |file: &&FileChange| !components.iter().any(|c| file.is_of(c));
    parts.push(part(None, files.iter().filter(of_none).collect()));
    parts.retain(|part| part.totals.files > 0);
    parts
}

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
