//! The app under deployment: a git repository made from a fixture, whose commits choose how they behave.

use std::cell::Cell;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::environment::find_tool;
use super::{Answer, AppConfig, Port, TestEnvironment, Tree, free_port, project, test_tools};

/// The apps in `fixtures/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fixture {
    /// No dependencies.
    Plain,
    /// express 4.21.2 and a lock file.
    Express,
    /// The app of a runbook: three components under pm2.
    Agents,
    /// The app of a runbook: three flags under systemd.
    MemorySystem,
}

/// How a version behaves once it is in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Serves.
    Good,
    /// Crashes before it listens.
    ThrowsAtBoot,
    /// Runs and never listens.
    HangsAtBoot,
    /// Serves for this many seconds, then answers 500.
    SoursAfter(u32),
    /// Listens after this many seconds.
    SlowBoot(u32),
    /// Serves, but `npm run build` exits with 1 half way.
    BuildFails,
}

/// The app's work tree in a [`TestEnvironment`]. Commits have a fixed identity and times a minute apart,
/// so the same story has the same object ids.
pub struct App<'h> {
    host: &'h TestEnvironment,
    /// The fixture it was made from.
    pub fixture: Fixture,
    /// The work tree.
    pub dir: PathBuf,
    /// Where it listens. Held for as long as the app lives.
    pub port: Port,
    minutes: Cell<u64>,
}

impl Fixture {
    /// Its directory below `fixtures/`, which is the app's name as well.
    pub fn name(self) -> &'static str {
        match self {
            Fixture::Plain => "plain-app",
            Fixture::Express => "express-app",
            Fixture::Agents => "agents",
            Fixture::MemorySystem => "memory-system",
        }
    }

    fn dir(self) -> PathBuf {
        let dir = match self {
            Fixture::Plain | Fixture::Express => self.name(),
            Fixture::Agents => "runbooks/002-agents",
            Fixture::MemorySystem => "runbooks/003-memory-system",
        };
        project().join("fixtures").join(dir)
    }
}

impl Behaviour {
    fn json(self) -> String {
        let (run, seconds, build) = match self {
            Behaviour::Good => ("good", 0, "good"),
            Behaviour::ThrowsAtBoot => ("throws", 0, "good"),
            Behaviour::HangsAtBoot => ("hangs", 0, "good"),
            Behaviour::SoursAfter(seconds) => ("sours", seconds, "good"),
            Behaviour::SlowBoot(seconds) => ("slow", seconds, "good"),
            Behaviour::BuildFails => ("good", 0, "fails"),
        };
        format!("{{ \"run\": \"{run}\", \"seconds\": {seconds}, \"build\": \"{build}\" }}\n")
    }
}

impl<'h> App<'h> {
    /// A repository without commits at `app/`, holding the fixture's files, a `gitroll.toml` for the
    /// built-in process manager and an ignored `.env` with the port.
    pub(super) fn create(host: &'h TestEnvironment, fixture: Fixture) -> Self {
        let dir = host.path("app");
        copy_tree(&fixture.dir(), &dir);
        let app = Self { host, fixture, dir, port: free_port(), minutes: Cell::new(0) };
        app.git(&["init", "-q", "-b", "main", "."]);
        app.write(".env", &format!("PORT={}\n", app.port.number()));
        app.configure(&AppConfig::default());
        app
    }

    /// The URL of a path of this app.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port.number())
    }

    /// The health URL.
    pub fn health(&self) -> String {
        self.url("/api/health")
    }

    /// Writes `gitroll.toml`; the next commit contains it.
    pub fn configure(&self, config: &AppConfig) {
        self.write("gitroll.toml", &config.toml(self.fixture, self.port.number()));
    }

    /// Lays the files of another fixture over the tree.
    pub fn lay_over(&self, fixture: &str) {
        copy_tree(&project().join("fixtures").join(fixture), &self.dir);
    }

    /// Writes a file of the work tree, directories included.
    pub fn write(&self, path: &str, text: &str) {
        let file = self.dir.join(path);
        let parent = file.parent().expect("a file of the work tree has a directory");
        fs::create_dir_all(parent).expect("the work tree is writable");
        fs::write(file, text).expect("the work tree is writable");
    }

    /// Reads a file of the work tree.
    #[track_caller]
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.dir.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    /// Whether a file of the work tree exists.
    pub fn has(&self, path: &str) -> bool {
        self.dir.join(path).symlink_metadata().is_ok()
    }

    /// Commits the tree as this version with this behaviour. Returns the full commit id.
    ///
    /// `package-lock.json` stays as it is, so dependencies keep their build key from version to version.
    #[track_caller]
    pub fn commit_version(&self, version: &str, behaviour: Behaviour) -> String {
        self.set_version(version);
        self.write("behaviour.json", &behaviour.json());
        self.commit(&format!("Release {version}"))
    }

    /// Commits this version with one more dependency in `package.json` and the lock.
    #[track_caller]
    pub fn commit_changed_lock(&self, version: &str) -> String {
        self.take_changed("package.json");
        self.take_changed("package-lock.json");
        self.commit_version(version, Behaviour::Good)
    }

    /// Commits this version with one more dependency in `package.json` that the lock does not have:
    /// `npm ci` refuses it.
    #[track_caller]
    pub fn commit_lock_out_of_step(&self, version: &str) -> String {
        self.take_changed("package.json");
        self.commit_version(version, Behaviour::Good)
    }

    /// Commits whatever lies in the tree. Returns the full commit id.
    #[track_caller]
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.head()
    }

    /// Makes an annotated tag on HEAD, unsigned.
    #[track_caller]
    pub fn tag(&self, name: &str) {
        self.git(&["tag", "--no-sign", "-a", "-m", name, "--", name]);
    }

    /// Makes a tag without a tag object on HEAD.
    #[track_caller]
    pub fn lightweight_tag(&self, name: &str) {
        self.git(&["tag", "--no-sign", "--", name]);
    }

    /// HEAD's full commit id.
    #[track_caller]
    pub fn head(&self) -> String {
        self.git(&["rev-parse", "--verify", "HEAD"])
    }

    /// Runs git here, which must succeed. Returns its trimmed output.
    #[track_caller]
    pub fn git(&self, args: &[&str]) -> String {
        self.try_git(args).exit(0).text().to_owned()
    }

    /// Runs git here.
    #[track_caller]
    pub fn try_git(&self, args: &[&str]) -> Answer {
        let mut command = self.host.command("git");
        command.args(args).current_dir(&self.dir);
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_DATE"), self.next_time());
        }
        Answer::of(command, Duration::from_secs(60))
    }

    /// A bare repository at `remote.git` as `origin`, holding `main` and all tags. Returns its path.
    #[track_caller]
    pub fn with_remote(&self) -> PathBuf {
        let remote = self.host.path("remote.git");
        let place = remote.to_str().expect("temporary paths are UTF-8");
        self.git(&["init", "-q", "--bare", "-b", "main", place]);
        self.git(&["remote", "add", "origin", place]);
        self.git(&["push", "-q", "origin", "HEAD:main", "--tags"]);
        self.git(&["fetch", "-q", "origin"]);
        remote
    }

    /// Lays `node_modules` into the tree as `npm ci` made it once for all tests, then runs the build: a host
    /// that somebody deployed to by hand.
    #[track_caller]
    pub fn build_by_hand(&self) {
        if self.fixture == Fixture::Express {
            let modules = installed_modules(self.host);
            let to = self.dir.join("node_modules");
            fs::remove_dir_all(&to).ok();
            let copied = Command::new("cp").arg("-a").arg(modules).arg(to).status();
            assert!(copied.expect("cp can be run").success(), "node_modules could not be copied");
        }
        self.host.run("node", &["build.js"]).exit(0);
    }

    /// Starts the server as a person would, outside gitroll, and waits until it answers.
    #[track_caller]
    pub fn start_by_hand(&self) -> Child {
        let child = self
            .host
            .command("node")
            .arg("server.js")
            .current_dir(&self.dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("node can be started");
        super::wait_until("the app answers", || super::http_get(&self.health()).is_ok());
        child
    }

    /// From now on this version answers 500, wherever it runs.
    pub fn sour(&self, version: &str) {
        fs::write(self.order(version), "").expect("the host's directory is writable");
    }

    /// This version is well again.
    pub fn mend(&self, version: &str) {
        fs::remove_file(self.order(version)).expect("it was made sour before");
    }

    fn order(&self, version: &str) -> PathBuf {
        self.host.path(&format!("sour-{version}"))
    }

    /// The version that answers now; `None` when nothing answers.
    pub fn version_served(&self) -> Option<String> {
        super::http_get(&self.health()).ok()?.json()?["version"].as_str().map(str::to_owned)
    }

    /// The pid that answers now.
    #[track_caller]
    pub fn pid_served(&self) -> u64 {
        let answer = super::http_get(&self.health()).expect("the app answers");
        answer.json().and_then(|json| json["pid"].as_u64()).expect("health names the pid")
    }

    /// Work tree, index, HEAD, refs and the repository's configuration: all that a command that "changed
    /// nothing" must leave. gitroll's own directory in the git directory is not part of it.
    #[track_caller]
    pub fn state(&self) -> Tree {
        let mut tree = Tree::of(&self.dir).without(".git");
        for (name, args) in [
            ("refs", &["for-each-ref"] as &[&str]),
            ("HEAD", &["rev-parse", "--symbolic-full-name", "HEAD"]),
            ("index", &["ls-files", "--stage"]),
            ("configuration", &["config", "--local", "--list"]),
        ] {
            let answer = self.try_git(args);
            tree.insert(&format!("(git {name})"), answer.stdout.into_bytes());
        }
        tree
    }

    /// Writes the version into package.json.
    pub fn set_version(&self, version: &str) {
        let mut package: serde_json::Value =
            serde_json::from_str(&self.read("package.json")).expect("package.json is JSON");
        package["version"] = version.into();
        let text = serde_json::to_string_pretty(&package).expect("JSON can be written");
        self.write("package.json", &(text + "\n"));
    }

    fn take_changed(&self, file: &str) {
        assert_eq!(self.fixture, Fixture::Express, "only express-app has a second lock");
        let from = project().join("fixtures/express-app-changed-lock").join(file);
        fs::copy(&from, self.dir.join(file)).expect("the work tree is writable");
    }

    fn next_time(&self) -> String {
        let minutes = self.minutes.get();
        self.minutes.set(minutes + 1);
        // 2026-01-05 09:00 UTC, a Monday.
        format!("{} +0000", 1_767_603_600 + minutes * 60)
    }
}

/// The files of a fixture that git would track.
fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a temporary directory is writable");
    for entry in fs::read_dir(from).expect("fixtures can be read") {
        let entry = entry.expect("fixtures can be read");
        let name = entry.file_name();
        if ["node_modules", "dist", ".env"].iter().any(|left| name == *left) {
            continue;
        }
        let target = to.join(&name);
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a temporary directory is writable");
        }
    }
}

/// `node_modules` of the express fixture, installed once and kept with the test tools.
fn installed_modules(host: &TestEnvironment) -> PathBuf {
    let place = test_tools().join("express-app");
    fs::create_dir_all(&place).expect("the target directory is writable");
    let lock = File::create(place.join("lock")).expect("the target directory is writable");
    lock.lock().expect("a file can be locked");
    let dir = Fixture::Express.dir();
    let wanted = fs::read(dir.join("package-lock.json")).expect("fixtures can be read");
    let mark = place.join("installed-lock.json");
    if fs::read(&mark).is_ok_and(|have| have == wanted) {
        return place.join("node_modules");
    }
    for file in ["package.json", "package-lock.json"] {
        fs::copy(dir.join(file), place.join(file)).expect("the target directory is writable");
    }
    let npm = find_tool("npm").expect("npm is on this machine; tests/run installs it");
    let mut command = host.command(npm);
    command.arg("ci").current_dir(&place);
    Answer::of(command, Duration::from_secs(300)).exit(0);
    fs::write(mark, wanted).expect("the target directory is writable");
    place.join("node_modules")
}
