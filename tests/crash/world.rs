//! One host on which the same act can be begun again and again from the very same state.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use gitroll::build::Store;
use gitroll::model::{BuildKey, RepoPath};
use serde_json::Value;

use super::oracle::State;
use crate::support::*;

/// How long one command may take, restarts and proofs included.
pub const LIMIT: Duration = Duration::from_secs(40);

/// What is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// 1.0.0 serves, 1.1.0 is deployed and built.
    Deploy,
    /// 1.1.0 serves, `back` goes to 1.0.0.
    Back,
    /// 1.1.0 serves, one component goes back.
    Component,
    /// 1.1.0 serves, two flags are changed, one of them a secret.
    Flags,
    /// As [`Act::Deploy`], the service being down while the tree changes.
    DeployQuiesced,
}

impl Act {
    /// Its name, as in a record.
    pub fn name(self) -> &'static str {
        match self {
            Act::Deploy | Act::DeployQuiesced => "deploy",
            Act::Back => "back",
            Act::Component => "component",
            Act::Flags => "flags",
        }
    }

    /// Its name, and what is special about it.
    pub fn title(self) -> &'static str {
        if self == Act::DeployQuiesced { "deploy (quiesced)" } else { self.name() }
    }

    /// Whether it is a deployment of 1.1.0.
    pub fn deploys(self) -> bool {
        self.name() == "deploy"
    }

    /// What serves before and after it.
    pub fn versions(self) -> (&'static str, &'static str) {
        match self {
            Act::Deploy | Act::DeployQuiesced => ("1.0.0", "1.1.0"),
            Act::Back => ("1.1.0", "1.0.0"),
            Act::Component | Act::Flags => ("1.1.0", "1.1.0"),
        }
    }

    fn template(self) -> &'static str {
        match self {
            Act::Deploy | Act::DeployQuiesced => "templates/first",
            Act::Back | Act::Component | Act::Flags => "templates/second",
        }
    }
}

/// A bound app in a [`TestEnvironment`] (which may lie on a file system of its own), and what it looks like
/// before and after each act.
pub struct World<'h> {
    /// The host.
    pub host: &'h TestEnvironment,
    /// The app.
    pub app: App<'h>,
    /// The commit of 1.1.0.
    pub second: String,
    expected: Vec<Expected>,
}

struct Expected {
    act: Act,
    old: State,
    new: State,
    /// How many records there are before it.
    records: usize,
}

impl<'h> World<'h> {
    /// Makes both releases and does each act in `acts` once, to see what it should come to.
    pub fn prepare(host: &'h TestEnvironment, acts: &[Act]) -> Self {
        let app = host.app(Fixture::Plain);
        app.write("gitroll.toml", &config(&app, acts));
        app.write(".gitignore", "dist/\n.env\ncache/\n");
        app.write("features/upload/index.js", "module.exports = 'one at a time';\n");
        app.write("features/upload/only-first.js", "module.exports = 1;\n");
        app.write("pages/old/leaves.html", "<p>leaves with 1.0.0</p>\n");
        app.commit_version("1.0.0", Behaviour::Good);
        app.git(&["checkout", "-q", "-b", "next"]);
        fs::remove_dir_all(app.dir.join("pages/old")).expect("it was written");
        fs::remove_file(app.dir.join("features/upload/only-first.js")).expect("it was written");
        app.write("features/upload/index.js", "module.exports = 'all at once';\n");
        app.write("features/upload/parts/only-second.js", "module.exports = 2;\n");
        app.write("pages/new/comes.html", "<p>comes with 1.1.0</p>\n");
        let second = app.commit_version("1.1.0", Behaviour::Good);
        app.git(&["checkout", "-q", "main"]);
        // Nobody's business but the user's.
        if acts.contains(&Act::Flags) {
            app.write(".env", "# the host's own\nENABLE_UPLOADS=true\nUPLOAD_TOKEN=first\n");
        }
        app.write("notes.txt", "not in git\n");
        app.write("cache/entry", "ignored\n");
        app.write(".git/foreign/xyz", "of another tool\n");
        // In the way of a file of 1.1.0: it is put aside.
        app.write("pages/new/comes.html", "<p>was here before</p>\n");
        let world = Scenario { host, app };
        world.bind();
        host.gitroll(&["deploy", "--yes"]).exit(0);
        world.promote("v1.0.0");
        let app = world.app;
        // On a branch, as a host is that nothing was rolled back on yet.
        app.git(&["checkout", "-q", "main"]);
        let mut world = Self { host, app, second, expected: Vec::new() };
        world.keep(Act::Deploy);
        for act in acts {
            if !act.deploys() && !host.path(act.template()).exists() {
                world.command(Act::Deploy).exit(0);
                world.keep(*act);
            }
            world.reset(*act);
            let records = world.log().len();
            let old = State::of(&world, *act);
            world.command(*act).exit(0);
            let new = State::of(&world, *act);
            assert_eq!(old.served.as_deref(), Some(act.versions().0));
            assert_eq!(new.served.as_deref(), Some(act.versions().1));
            world.expected.push(Expected { act: *act, old, new, records });
        }
        world
    }

    /// A world of its own kind, in which no act was prepared.
    pub fn around(Scenario { host, app }: Scenario<'h>) -> Self {
        Self { host, app, second: String::new(), expected: Vec::new() }
    }

    /// What it looks like before and after an act.
    pub fn expected(&self, act: Act) -> (&State, &State) {
        let expected = self.of(act);
        (&expected.old, &expected.new)
    }

    /// How many records there are before an act.
    pub fn records_before(&self, act: Act) -> usize {
        self.of(act).records
    }

    fn of(&self, act: Act) -> &Expected {
        let found = self.expected.iter().find(|expected| expected.act == act);
        found.unwrap_or_else(|| panic!("{} was not prepared", act.name()))
    }

    /// The command that acts, ready to be started by a test of its own.
    pub fn act(&self, act: Act) -> Command {
        let mut command = match act {
            Act::Deploy | Act::DeployQuiesced => {
                self.host.gitroll_command(&["deploy", &self.second])
            }
            Act::Back => self.host.gitroll_command(&["back"]),
            Act::Component => self.host.gitroll_command(&["component", "QW-001"]),
            Act::Flags => self.host.gitroll_command(&[
                "flags",
                "set",
                "ENABLE_UPLOADS=false",
                "UPLOAD_TOKEN=second",
            ]),
        };
        if act != Act::Flags {
            command.arg("--yes");
        }
        command
    }

    /// Acts.
    pub fn command(&self, act: Act) -> Answer {
        Answer::of(self.act(act), LIMIT)
    }

    /// Runs gitroll here.
    pub fn gitroll(&self, args: &[&str]) -> Answer {
        Answer::of(self.host.gitroll_command(args), LIMIT)
    }

    /// Everything as it was before `act`, the app serving.
    pub fn reset(&self, act: Act) {
        self.put_back(act.template());
        self.note_live();
        self.app.git(&["update-index", "-q", "--refresh"]);
        self.start(act.versions().0);
    }

    /// The files as they were when they were copied to `template`; nothing runs.
    pub fn put_back(&self, template: &str) {
        self.host.end_processes();
        for place in ["app", ".app.gitroll", "tmp"] {
            let place = self.host.path(place);
            if place.symlink_metadata().is_ok() {
                fs::remove_dir_all(&place).unwrap_or_else(|e| panic!("{}: {e}", place.display()));
            }
        }
        fs::create_dir(self.host.path("tmp")).expect("the host's directory is writable");
        copy(&self.host.path(template), &self.app.dir);
    }

    /// Starts the app as gitroll's own process manager does, without its lock and its wait.
    pub fn start(&self, version: &str) {
        let log = self.app.dir.join(".git/gitroll/services/web.log");
        let log = fs::OpenOptions::new().append(true).create(true).open(log);
        let log = log.expect("the state directory is writable");
        let also = log.try_clone().expect("a file can be opened twice");
        let mark = format!("{}:web", self.app.dir.display());
        let mut command = self.host.command("setsid");
        command
            .args(["--fork", "node", "server.js"])
            .env("PORT", self.app.port.number().to_string())
            .env("GITROLL_SERVICE", mark)
            .envs(FLAGS.iter().filter_map(|name| Some((name, flag(&self.app.dir, name)?))))
            .stdout(Stdio::from(log))
            .stderr(Stdio::from(also));
        assert!(command.status().expect("setsid can be run").success());
        wait_for_version(&self.app.health(), version);
    }

    fn keep(&self, act: Act) {
        self.keep_as(act.template());
    }

    /// Copies everything to `template`, to be put back from there.
    pub fn keep_as(&self, template: &str) {
        let template = self.host.path(template);
        fs::create_dir_all(self.host.path("templates")).expect("the host's directory is writable");
        copy(&self.app.dir, &template);
        let process = template.join(".git/gitroll/services/web.json");
        fs::remove_file(process).expect("gitroll noted the process");
    }

    /// A copied artifact is another directory, and gitroll would know nothing of it.
    fn note_live(&self) {
        let store = Store { dir: self.app.dir.join(".git/gitroll/store") };
        let text = fs::read(store.dir.join("live.json")).expect("there is an artifact");
        let noted: Value = serde_json::from_slice(&text).expect("it is JSON");
        for (output, note) in noted.as_object().expect("a map") {
            let key: BuildKey = note["key"].as_str().expect("a key").parse().expect("a key");
            let output = RepoPath::new(output.as_bytes()).expect("a path");
            store.note_live(&self.app.dir, &output, Some(&key)).expect("it can be noted");
        }
    }
}

/// What [`Act::Flags`] changes.
pub const FLAGS: [&str; 2] = ["ENABLE_UPLOADS", "UPLOAD_TOKEN"];

/// What the file says of a flag.
fn flag(app: &Path, name: &str) -> Option<String> {
    let text = fs::read_to_string(app.join(".env")).unwrap_or_default();
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix('=')?.to_owned()))
}

/// Quick to build and to prove.
fn config(app: &App<'_>, acts: &[Act]) -> String {
    let mut config = AppConfig::default()
        .settle(1, "0s")
        .timeout("5s")
        // Nothing heals by itself here: what is left is looked at first.
        .and("[run]\nwatchdog = \"off\"\n\n[component.QW-001]\npaths = [\"features/upload/**\"]\n")
        .toml(Fixture::Plain, app.port.number())
        .replace("[\"npm\", \"run\", \"build\"]", "[\"node\", \"build.js\"]");
    if acts.contains(&Act::Flags) {
        config.push_str(
            "flag = { name = \"ENABLE_UPLOADS\", off = \"false\" }\n\n\
             [component.QW-002]\npaths = [\"pages/**\"]\n\
             flag = { name = \"UPLOAD_TOKEN\", off = \"\" }\n\n[flags]\nfile = \".env\"\napply = \"environment\"\nverify = \"environ\"\n",
        );
    }
    if acts.contains(&Act::DeployQuiesced) {
        config = config.replace("[[service]]\n", "[[service]]\nquiesce = true\n");
    }
    config
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").args(["-a", "--reflink=auto", "--"]).arg(from).arg(to).status();
    assert!(copied.expect("cp can be run").success(), "{} cannot be copied", from.display());
}
