//! A real repository with a work tree, described and compared as plain data.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::entry::RunPlaces;
use super::observe::{Commits, LocalFiles, ObservedActivation, observe_activation};
use crate::build::Store;
use crate::config::Patterns;
use crate::model::{ArtifactMove, BuildKey, Oid, RepoPath, TreeMode};
use crate::system::git::{Git, ObjectKind};

/// Something that is in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    File(Vec<u8>),
    Program(Vec<u8>),
    Link(String),
    Directory,
    Fifo,
}

/// What is where. Directories only where they matter.
pub(crate) type Tree = BTreeMap<String, Node>;

/// A tree of plain files.
pub(crate) fn files(pairs: &[(&str, &str)]) -> Tree {
    pairs.iter().map(|(p, text)| ((*p).to_owned(), Node::File(text.as_bytes().to_vec()))).collect()
}

pub(crate) fn path(text: &str) -> RepoPath {
    RepoPath::new(text).unwrap()
}

pub(crate) fn key(digit: char) -> BuildKey {
    digit.to_string().repeat(64).parse().unwrap()
}

/// A repository in a directory of its own; removed with it.
pub(crate) struct App {
    dirs: Vec<tempfile::TempDir>,
    pub(crate) top: PathBuf,
    pub(crate) git: Git,
    pub(crate) store: Store,
    runs: std::cell::Cell<u32>,
}

/// In memory where possible: converge syncs the whole file system.
pub(crate) fn memory() -> PathBuf {
    let shm = Path::new("/dev/shm");
    if tempfile::tempdir_in(shm).is_ok() { shm.to_owned() } else { std::env::temp_dir() }
}

/// A directory on another file system than [`memory`], where this machine has one.
pub(crate) fn elsewhere() -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt as _;
    let dir = std::env::temp_dir();
    (dir.metadata().unwrap().dev() != memory().metadata().unwrap().dev()).then_some(dir)
}

impl App {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir_in(memory()).unwrap();
        let top = dir.path().join("app");
        fs::create_dir(&top).unwrap();
        run_git(&top, &["init", "-q"]);
        let git = Git::open(&top, None).unwrap();
        let store = Store::of(&git);
        let top = git.top().to_owned();
        Self { dirs: vec![dir], top, git, store, runs: std::cell::Cell::new(0) }
    }

    /// An app whose state (store, saved and temporary files) is on another file system than its tree.
    pub(crate) fn over_two_file_systems() -> Option<Self> {
        let state = tempfile::tempdir_in(elsewhere()?).unwrap();
        let mut app = Self::new();
        std::os::unix::fs::symlink(state.path(), app.git.state_dir()).unwrap();
        app.dirs.push(state);
        Some(app)
    }

    /// Makes the work tree exactly `tree` and commits it.
    pub(crate) fn commit(&self, tree: &Tree) -> Oid {
        self.clear();
        for (path, node) in tree {
            self.put(path, node);
        }
        run_git(&self.top, &["add", "-A", "-f"]);
        run_git(&self.top, &["commit", "-q", "--allow-empty", "-m", "x"]);
        run_git(&self.top, &["rev-parse", "HEAD"]).trim().parse().unwrap()
    }

    /// Removes everything but the repository.
    pub(crate) fn clear(&self) {
        for entry in fs::read_dir(&self.top).unwrap() {
            let path = entry.unwrap().path();
            if path.file_name().unwrap() != ".git" {
                remove(&path);
            }
        }
    }

    /// Puts something in the work tree, whatever is there or above.
    pub(crate) fn put(&self, path: &str, node: &Node) {
        put_at(&self.top, path, node);
    }

    pub(crate) fn remove(&self, path: &str) {
        remove(&self.top.join(path));
    }

    /// Everything in the work tree, directories included.
    pub(crate) fn snapshot(&self) -> Tree {
        let mut tree = Tree::new();
        snapshot(&self.top, &self.top, &mut tree);
        tree
    }

    pub(crate) fn tree(&self, commit: &Oid) -> Tree {
        let node = |mode, bytes: Vec<u8>| match mode {
            TreeMode::Executable => Node::Program(bytes),
            TreeMode::Symlink => Node::Link(String::from_utf8(bytes).unwrap()),
            _ => Node::File(bytes),
        };
        let entries = self.git.entries(commit).unwrap().into_iter();
        entries
            .map(|(path, entry)| {
                let bytes = self.git.object(&entry.id, ObjectKind::Blob, u64::MAX).unwrap();
                (path.to_string(), node(entry.mode, bytes))
            })
            .collect()
    }

    /// Tracked paths of `commit` that lie differently.
    pub(crate) fn edited(&self, commit: &Oid) -> Vec<RepoPath> {
        let now = self.snapshot();
        let tree = self.tree(commit);
        tree.iter().filter(|(p, node)| now.get(*p) != Some(node)).map(|(p, _)| path(p)).collect()
    }

    pub(crate) fn observe(&self, from: &Oid, to: &Oid) -> ObservedActivation {
        self.observe_with(from, to, &[], &[], Vec::new())
    }

    pub(crate) fn observe_with(
        &self,
        from: &Oid,
        to: &Oid,
        local: &[&str],
        environment: &[&str],
        artifacts: Vec<ArtifactMove>,
    ) -> ObservedActivation {
        let edited = self.edited(from);
        let environment: Vec<RepoPath> = environment.iter().map(|e| path(e)).collect();
        let declared = patterns(local);
        let local = LocalFiles::of(&self.git, &declared);
        observe_activation(
            &self.git,
            Commits { from, to, head: from },
            &edited,
            &local,
            &environment,
            artifacts,
        )
        .unwrap()
    }

    /// Places of a new run.
    pub(crate) fn run(&self) -> RunPlaces {
        self.runs.set(self.runs.get() + 1);
        let run = format!("run-{}", self.runs.get());
        let state = self.git.state_dir();
        RunPlaces {
            saved: state.join("saved").join(&run),
            temporary: state.join("runs").join(&run).join("tmp"),
            run: run.parse().unwrap(),
        }
    }
}

pub(crate) fn patterns(globs: &[&str]) -> Patterns {
    let mut set = globset::GlobSetBuilder::new();
    for glob in globs {
        set.add(globset::Glob::new(glob).unwrap());
    }
    Patterns::new(globs.iter().map(|g| (*g).to_owned()).collect(), set.build().unwrap())
}

/// Puts something below `top`, whatever is there or above.
pub(crate) fn put_at(top: &Path, path: &str, node: &Node) {
    let full = top.join(path);
    let mut above = PathBuf::from(top);
    for part in Path::new(path).parent().unwrap() {
        above.push(part);
        if above.symlink_metadata().is_ok_and(|m| !m.is_dir()) {
            remove(&above);
        }
    }
    fs::create_dir_all(&above).unwrap();
    remove(&full);
    match node {
        Node::File(bytes) => write(&full, bytes, 0o644),
        Node::Program(bytes) => write(&full, bytes, 0o755),
        Node::Link(target) => std::os::unix::fs::symlink(target, &full).unwrap(),
        Node::Directory => fs::create_dir(&full).unwrap(),
        Node::Fifo => rustix::fs::mknodat(
            rustix::fs::CWD,
            &full,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o644),
            0,
        )
        .unwrap(),
    }
}

fn write(path: &Path, bytes: &[u8], mode: u32) {
    fs::write(path, bytes).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn remove(path: &Path) {
    match path.symlink_metadata() {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

fn snapshot(top: &Path, dir: &Path, tree: &mut Tree) {
    for entry in fs::read_dir(dir).unwrap() {
        let full = entry.unwrap().path();
        let name = path_text(full.strip_prefix(top).unwrap());
        let meta = full.symlink_metadata().unwrap();
        let node = if name == ".git" {
            continue;
        } else if meta.is_dir() {
            snapshot(top, &full, tree);
            Node::Directory
        } else if meta.is_symlink() {
            Node::Link(path_text(&fs::read_link(&full).unwrap()))
        } else if !meta.is_file() {
            Node::Fifo
        } else if meta.permissions().mode() & 0o100 != 0 {
            Node::Program(fs::read(&full).unwrap())
        } else {
            Node::File(fs::read(&full).unwrap())
        };
        tree.insert(name, node);
    }
}

fn path_text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

pub(crate) fn run_git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(dir)
        // No gc: it would continue in the background and after the test.
        // No gc: it would continue in the background, and beyond the test.
        .args([
            "-c",
            "user.name=T",
            "-c",
            "user.email=t@example.org",
            "-c",
            "commit.gpgSign=false",
            "-c",
            "gc.auto=0",
            "-c",
            "maintenance.auto=false",
        ])
        .args(args)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
