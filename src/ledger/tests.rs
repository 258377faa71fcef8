//! The ledger with everything real: git, ssh-keygen, ssh-agent, gpg; in a repository with a key and a binding of its own.
#![allow(clippy::unwrap_used)]

mod chains;
mod plain_signatures;
mod projections;
mod signatures;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use jiff::Timestamp;
use tempfile::TempDir;

use crate::config::{Binding, Signing, SigningFormat, Tools};
use crate::ledger::{Draft, Entry, Ledger, LedgerError, append, read};
use crate::model::{Digest, Event, Evidence, HistoryLine, Oid, Person, Record};
use crate::system::git::Git;

pub(super) struct World {
    pub dir: TempDir,
    pub top: PathBuf,
    pub git: Git,
    pub binding: Binding,
    /// Commits of the app, oldest first.
    pub commits: Vec<Oid>,
}

impl World {
    /// An app with three commits, bound as `web-1.k3f9`, with a key that is trusted for it.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let top = root.join("app");
        fs::create_dir(&top).unwrap();
        run_git(&top, &["init", "-q", "-b", "main"]);
        let commits = ["one", "two", "three"].map(|text| {
            fs::write(top.join("a.txt"), text).unwrap();
            run_git(&top, &["add", "-A"]);
            run_git(&top, &["commit", "-q", "-m", text]);
            run_git(&top, &["rev-parse", "HEAD"]).parse().unwrap()
        });
        let home = root.join("etc");
        fs::create_dir(&home).unwrap();
        let binding = Binding {
            dir: home.clone(),
            app: "shop".parse().unwrap(),
            path: top.clone(),
            environment: "production".parse().unwrap(),
            writer: "web-1.k3f9".parse().unwrap(),
            chain: "0123456789abcdef".repeat(2).parse().unwrap(),
            run_as: "root".to_owned(),
            umask: None,
            work_dir: root.join("work"),
            points: None,
            signing: Signing {
                format: SigningFormat::Ssh,
                key: home.join("key").display().to_string(),
            },
            openpgp: Vec::new(),
            follow: Vec::new(),
            tools: Tools::default(),
            pm2_home: None,
            path_variable: std::env::var("PATH").unwrap(),
            take_over: Vec::new(),
            pass: Vec::new(),
            distrust: None,
        };
        let git = Git::open(&top, None).unwrap();
        let world = Self { dir, top, git, binding, commits: commits.to_vec() };
        make_key(&home.join("key"), "");
        world.trust(&[("web-1.k3f9", "", &home.join("key"))]);
        world
    }

    /// Writes the trust file: principal, options before the key, key file.
    pub fn trust(&self, lines: &[(&str, &str, &Path)]) {
        let text: String = lines
            .iter()
            .map(|(principal, options, key)| {
                let key = fs::read_to_string(format!("{}.pub", key.display())).unwrap();
                let comma = if options.is_empty() { "" } else { "," };
                format!("{principal} namespaces=\"git\"{comma}{options} {key}")
            })
            .collect();
        fs::write(self.binding.trust_file(), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.binding.dir.join(name)
    }

    /// The same repository for another writer, with a key of its own.
    pub fn other(&self, writer: &str) -> Binding {
        let key = self.path(&format!("key-{writer}"));
        if !key.exists() {
            make_key(&key, "");
        }
        let mut binding = self.binding.clone();
        binding.writer = writer.parse().unwrap();
        binding.chain = Digest::of(writer.as_bytes()).hex()[..32].parse().unwrap();
        binding.signing.key = key.display().to_string();
        binding
    }

    /// Plain git in the repository; must succeed.
    pub fn plain(&self, args: &[&str]) -> String {
        run_git(&self.top, args)
    }

    pub fn ledger(&self) -> Result<Ledger, LedgerError> {
        read(&self.git, &self.binding)
    }

    pub fn entries(&self) -> Vec<Entry> {
        self.ledger().unwrap().chains[&self.binding.writer].entries.clone()
    }

    pub fn head(&self, binding: &Binding) -> Oid {
        let name = crate::ledger::chain_ref(&binding.environment, &binding.writer);
        self.git.find_ref(&name).unwrap().unwrap()
    }

    pub fn draft(&self, binding: &Binding, event: &str, to: usize) -> Draft {
        draft(binding, event, &self.commits[to])
    }

    /// Appends to the binding's chain.
    pub fn append_as(
        &self,
        binding: &Binding,
        event: &str,
        to: usize,
    ) -> Result<Entry, LedgerError> {
        let ledger = read(&self.git, binding)?;
        append(&self.git, binding, &ledger, self.draft(binding, event, to))
    }

    /// Appends to the own chain; must succeed.
    pub fn append(&self, event: &str, to: usize) -> Entry {
        self.append_as(&self.binding, event, to).unwrap()
    }

    /// A program that counts how often it is run, then becomes another.
    pub fn counting(&self, program: &str) -> (PathBuf, PathBuf) {
        let (script, count) = (self.path(&format!("counting-{program}")), self.path("count"));
        let text = format!("#!/bin/sh\necho x >>'{}'\nexec {program} \"$@\"\n", count.display());
        write_script(&script, &text);
        (script, count)
    }
}

pub(super) fn draft(binding: &Binding, event: &str, to: &Oid) -> Draft {
    let line = HistoryLine {
        app: binding.app.clone(),
        environment: binding.environment.clone(),
        writer: binding.writer.clone(),
        chain: binding.chain.clone(),
    };
    let mut record = Record::new(&line, Event::from(event.to_owned()));
    record.to = Some(to.clone());
    record.sentence = format!("production web-1: {event} of {}", to.short());
    let time = crate::system::clock::now();
    let person = Person { name: "Ana Lima".into(), email: "ana@example.com".into(), time };
    let evidence = Evidence::at(time, "ana");
    Draft { record, evidence, config: "[app]\nname = \"shop\"\n".to_owned(), person }
}

pub(super) fn at(time: &str) -> Timestamp {
    time.parse().unwrap()
}

pub(super) fn make_key(path: &Path, passphrase: &str) {
    let path = path.to_str().unwrap();
    let args = ["-q", "-t", "ed25519", "-C", "test", "-N", passphrase, "-f", path];
    success(Command::new("ssh-keygen").args(args));
}

/// A key without a passphrase of another kind.
pub(super) fn make_key_of(kind: &[&str], path: &Path) {
    let mut make = Command::new("ssh-keygen");
    success(make.args(["-q", "-C", "test", "-N", "", "-t"]).args(kind).arg("-f").arg(path));
}

pub(super) fn write_script(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

pub(super) fn success(command: &mut Command) -> String {
    let output = output(command);
    assert!(
        output.status.success(),
        "{command:?}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned()
}

pub(super) fn output(command: &mut Command) -> Output {
    command.stdin(std::process::Stdio::null()).output().unwrap()
}

/// Plain git, apart from any configuration of the user.
pub(super) fn git_command<A: AsRef<OsStr>>(top: &Path, args: &[A]) -> Command {
    let mut command = Command::new("git");
    command.args(args).current_dir(top).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap());
    for (name, value) in [
        ("HOME", "/nonexistent"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_AUTHOR_NAME", "Ana"),
        ("GIT_AUTHOR_EMAIL", "ana@example.com"),
        ("GIT_COMMITTER_NAME", "Ana"),
        ("GIT_COMMITTER_EMAIL", "ana@example.com"),
    ] {
        command.env(name, value);
    }
    command
}

pub(super) fn run_git(top: &Path, args: &[&str]) -> String {
    success(&mut git_command(top, args))
}
