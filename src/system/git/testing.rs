//! Real repositories in temporary directories, for the tests of this module.
#![allow(clippy::unwrap_used)]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::model::{Oid, RepoPath};

use super::config::Environment;
use super::repository::{Git, OpenError};

/// A repository with one commit on `main`, apart from any configuration of the user.
pub(super) struct Repo {
    pub(super) dir: tempfile::TempDir,
    pub(super) top: PathBuf,
}

impl Repo {
    /// Without a commit.
    pub(super) fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().canonicalize().unwrap().join("app");
        std::fs::create_dir(&top).unwrap();
        let repo = Self { dir, top };
        repo.git(&["init", "-q", "-b", "main"]);
        repo
    }

    /// With a commit that holds `a.txt`.
    pub(super) fn new() -> Self {
        let repo = Self::empty();
        repo.write("a.txt", "one\n");
        repo.commit("first");
        repo
    }

    pub(super) fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        let path = self.top.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Commits everything.
    pub(super) fn commit(&self, message: &str) -> Oid {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.id("HEAD")
    }

    pub(super) fn id(&self, name: &str) -> Oid {
        self.git(&["rev-parse", "--verify", name]).parse().unwrap()
    }

    /// Plain git; must succeed. Its output without the last line feed.
    pub(super) fn git(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        assert!(
            output.status.success(),
            "git {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned()
    }

    /// Plain git, whatever comes of it.
    pub(super) fn try_git(&self, args: &[&str]) {
        self.command(args).output().unwrap();
    }

    /// Plain git with this on its standard input.
    pub(super) fn feed(&self, args: &[&str], input: &[u8]) {
        let file = self.dir.path().join("input");
        std::fs::write(&file, input).unwrap();
        let input = std::fs::File::open(&file).unwrap();
        assert!(self.command(args).stdin(input).status().unwrap().success(), "git {args:?}");
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command.args(args).current_dir(&self.top).env_clear();
        command.envs(Self::variables(self.dir.path()));
        command.env("GIT_COMMITTER_DATE", "2026-01-02T03:04:05Z");
        command.env("GIT_AUTHOR_DATE", "2026-01-02T03:04:05Z");
        command
    }

    pub(super) fn variables(home: &Path) -> Vec<(OsString, OsString)> {
        vec![
            ("PATH".into(), std::env::var_os("PATH").unwrap()),
            ("HOME".into(), home.into()),
            ("GIT_CONFIG_GLOBAL".into(), home.join("gitconfig").into()),
            ("GIT_CONFIG_NOSYSTEM".into(), "1".into()),
            ("GIT_AUTHOR_NAME".into(), "Ana".into()),
            ("GIT_AUTHOR_EMAIL".into(), "ana@example.org".into()),
            ("GIT_COMMITTER_NAME".into(), "Ana".into()),
            ("GIT_COMMITTER_EMAIL".into(), "ana@example.org".into()),
        ]
    }

    pub(super) fn environment(&self) -> Environment {
        Environment::with(Self::variables(self.dir.path()))
    }

    pub(super) fn try_open(&self) -> Result<Git, OpenError> {
        Git::open_in(&self.top, None, self.environment())
    }

    pub(super) fn open(&self) -> Git {
        self.try_open().unwrap()
    }

    /// A script that leaves a mark when it runs, and the file it leaves.
    pub(super) fn canary(&self) -> (String, PathBuf) {
        use std::os::unix::fs::PermissionsExt;
        let mark = self.dir.path().join("the-canary-sang");
        let script = self.dir.path().join("canary.sh");
        let text = format!("#!/bin/sh\necho \"$0 $*\" >> '{}'\nexit 1\n", mark.display());
        std::fs::write(&script, text).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        (script.to_str().unwrap().to_owned(), mark)
    }
}

pub(super) fn path(text: &str) -> RepoPath {
    RepoPath::new(text).unwrap()
}
