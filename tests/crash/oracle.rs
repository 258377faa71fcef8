//! What may be found after a fault: exactly what was before, or exactly what was wanted, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::world::{Act, FLAGS, World};
use crate::support::*;

/// What serves and all that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// The work tree's bytes, artifacts, untracked and ignored files included; saved files; the index; HEAD;
    /// what git and other tools keep beside it.
    everything: Tree,
    /// The version that answers.
    pub served: Option<String>,
    /// What the process that answers was handed of the flags.
    flags: Vec<String>,
}

impl State {
    /// As it is now.
    pub fn of(world: &World<'_>, act: Act) -> Self {
        let app = &world.app;
        let mut everything = Tree::of(&app.dir).without(".git");
        let mut add = |name: &str, text: String| everything.insert(name, text.into_bytes());
        add("(index)", app.git(&["ls-files", "--stage"]));
        add("(not as in the index)", app.git(&["diff-files", "--name-status"]));
        add("(not as in HEAD)", app.git(&["diff-index", "--cached", "--name-status", "HEAD"]));
        add("(branch)", app.try_git(&["symbolic-ref", "-q", "HEAD"]).stdout);
        // The commit that brings a component back is another one each time; its files are the same.
        let head = if act == Act::Component { "HEAD^{tree}" } else { "HEAD" };
        add("(HEAD)", app.git(&["rev-parse", head]));
        let refs = app.git(&["for-each-ref", "--format=%(refname) %(objectname)"]);
        let ours = ["refs/gitroll/production/", "refs/tags/gitroll/", "refs/notes/gitroll/"];
        let foreign =
            refs.lines().filter(|line| !ours.iter().any(|prefix| line.starts_with(prefix)));
        add("(refs)", foreign.collect::<Vec<_>>().join("\n"));
        add("(saved)", saved(&app.dir));
        add("(foreign)", app.read(".git/foreign/xyz"));
        add("(configuration)", app.read(".git/config"));
        let served = app.version_served();
        let flags = served.as_ref().map_or_else(Vec::new, |_| handed(app.pid_served()));
        Self { everything, served, flags }
    }

    /// All but what answers.
    pub fn everything(self) -> Tree {
        self.everything
    }

    /// What is other than in `wanted`.
    pub fn differences(&self, wanted: &State) -> Vec<String> {
        let mut found = wanted.everything.changes(&self.everything);
        if self.served != wanted.served {
            found.push(format!("serves {:?}, not {:?}", self.served, wanted.served));
        }
        if self.flags != wanted.flags {
            found.push(format!("runs with {:?}, not {:?}", self.flags, wanted.flags));
        }
        found
    }
}

/// Which of the two it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    /// What served before.
    Old,
    /// What was wanted.
    New,
}

/// How a run that is open is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Forward.
    Resume,
    /// Back.
    Abort,
}

impl Way {
    /// Both.
    pub const BOTH: [Way; 2] = [Way::Resume, Way::Abort];

    /// The verb.
    pub fn name(self) -> &'static str {
        match self {
            Way::Resume => "resume",
            Way::Abort => "abort",
        }
    }
}

impl World<'_> {
    /// Whether a run is open, by `gitroll status`, which works whatever happened.
    pub fn run_is_open(&self) -> bool {
        let status = self.gitroll(&["status", "--json"]);
        status.exit(0).stderr_lacks("is rejected");
        let open = status.json()["result"]["open_runs"].as_array().expect("a list").len();
        assert!(open <= 1, "{open} runs are open");
        open == 1
    }

    /// Ends what `verb` (the act itself, or `resume` or `abort` of it) left, `code` being what it exited with
    /// (`None`: it was killed), and judges what is there then: state, exit codes and records agree, nothing is
    /// left over, and the next act works.
    pub fn judge(&self, act: Act, verb: &str, code: Option<i32>, way: Way) -> Found {
        if let Some(code) = code {
            assert!([0, 1, 20, 21, 22, 30].contains(&code), "{verb} exited with {code}");
        }
        let open = self.run_is_open();
        let said = match (verb, code) {
            ("abort", Some(0 | 30)) | (_, Some(20)) => Some(Found::Old),
            (_, Some(0 | 30)) => Some(Found::New),
            // Nothing was changed by this command: a run that was open before still is.
            ("resume" | "abort", Some(1)) => None,
            (_, Some(1)) => Some(Found::Old),
            _ => None,
        };
        assert!(said.is_none() || !open, "it exited with {code:?} and left a run open");
        assert!(code != Some(22) || open, "it said that a run is open, and none is");
        let ended = if open { self.end(way) } else { None };
        self.is_whole(act, ended.or(said))
    }

    /// Ends an open run this way, and says what that came to.
    pub fn end(&self, way: Way) -> Option<Found> {
        let refused = self.gitroll(&["back", "--yes"]);
        refused.exit(22).stderr_has("gitroll resume");
        let answer = self.gitroll(&[way.name()]);
        let too_late = way == Way::Abort && answer.transcript().contains("too late");
        match (way, answer.code) {
            (Way::Abort, Some(22)) if too_late => {
                self.gitroll(&["resume"]).exit(0);
                Some(Found::New)
            }
            (Way::Abort, Some(0)) | (Way::Resume, Some(20)) => Some(Found::Old),
            // What was only prepared may fail to be prepared again: nothing was touched then.
            (Way::Resume, Some(1)) => Some(Found::Old),
            (Way::Resume, Some(0)) => Some(Found::New),
            _ => panic!("{} came to this:\n{}", way.name(), answer.transcript()),
        }
    }

    /// No run is open and everything is exactly old or new (`wanted`, where an exit code has said so).
    pub fn is_whole(&self, act: Act, wanted: Option<Found>) -> Found {
        assert!(!self.run_is_open(), "a run is still open");
        let now = State::of(self, act);
        let (old, new) = self.expected(act);
        let (not_old, not_new) = (now.differences(old), now.differences(new));
        let found = match (not_old.is_empty(), not_new.is_empty()) {
            (true, _) => Found::Old,
            (_, true) => Found::New,
            _ => panic!(
                "neither old nor new; other than old:\n{}\nother than new:\n{}",
                not_old.join("\n"),
                not_new.join("\n")
            ),
        };
        assert!(wanted.is_none_or(|wanted| wanted == found), "found {found:?}, said {wanted:?}");
        let recorded = self.records(act);
        assert_eq!(found == Found::New, recorded > 0, "{recorded} records say that it succeeded");
        assert!(recorded <= 1, "{recorded} records of one act");
        // The next act signs what waits, and removes what was left over.
        match (found, act) {
            (Found::Old, _) => {
                self.command(act).exit(0);
                let left = State::of(self, act).differences(new);
                assert!(left.is_empty(), "the next try came to this:\n{}", left.join("\n"));
            }
            (Found::New, act) if act.deploys() => {
                self.gitroll(&["back", "--yes"]).exit(0);
                wait_for_version(&self.app.health(), act.versions().0);
            }
            (Found::New, _) => {
                self.gitroll(&["back", "--undo", "--yes"]).exit(0);
                wait_for_version(&self.app.health(), act.versions().0);
            }
        }
        self.chain_is_linear();
        self.nothing_is_left();
        found
    }

    /// How many records say that `act` succeeded since it was begun, one that waits to be signed included.
    fn records(&self, act: Act) -> usize {
        let (log, before) = (self.log(), self.records_before(act));
        let queue = fs::read_dir(self.app.dir.join(".git/gitroll/queue"));
        let drafts = queue.into_iter().flatten().flatten().map(|entry| entry.path());
        let waiting: Vec<Value> = drafts
            .filter(|path| path.extension().is_some_and(|e| e == "json"))
            .map(|path| fs::read(path).expect("a draft can be read"))
            .map(|text| serde_json::from_slice(&text).expect("a draft is JSON"))
            .collect();
        let of_it = |line: &&Value| {
            line["record"]["event"] == act.name() && line["record"]["outcome"] == "succeeded"
        };
        let new = log.iter().take(log.len() - before).chain(&waiting).filter(of_it);
        // A draft whose record was written in the last moment is dropped by the next command.
        new.map(|line| line["record"]["plan"].to_string()).collect::<BTreeSet<_>>().len()
            + doubles(&log, before, of_it)
    }

    /// The records, the newest first.
    pub fn log(&self) -> Vec<Value> {
        let answer = self.gitroll(&["log", "-n", "100000", "--json"]);
        answer.exit(0);
        let log = answer.json();
        assert_eq!(log["result"]["verified"], true, "signatures are verified");
        log["result"]["records"].as_array().expect("a list").clone()
    }

    /// Every record follows the one before, and tags and notes say the same as the chain.
    pub fn chain_is_linear(&self) {
        let mut log = self.log();
        log.reverse();
        let mut previous = Value::Null;
        let mut last = None;
        let tags = self.app.git(&["for-each-ref", "--format=%(refname)", "refs/tags/gitroll/"]);
        let mut serving = 0;
        for (index, line) in log.iter().enumerate() {
            let record = &line["record"];
            assert_eq!(record["seq"], index as u64 + 1, "records are counted");
            assert_eq!(record["previous"], previous, "record {} follows", index + 1);
            previous = line["digest"].clone();
            if let Some(plan) = record["plan"].as_str() {
                // The same change again is a new act only after another one.
                let act = Some((plan.to_owned(), record["outcome"].to_string()));
                assert_ne!(act, last, "record {} is of an act on record already", index + 1);
                last = act;
            }
            let event = record["event"].as_str().expect("an event");
            if ["init", "adopt", "predeploy", "deploy", "back", "component", "flags"]
                .contains(&event)
            {
                serving += 1;
                let tag = format!("/{}-{event}", index + 1);
                let there = tags.lines().any(|name| name.ends_with(&tag));
                assert!(there, "record {} has no tag in\n{tags}", index + 1);
            }
        }
        assert_eq!(tags.lines().count(), serving, "{tags}");
        let notes = self.app.git(&["for-each-ref", "--format=%(refname)", "refs/notes/gitroll/"]);
        let noted: usize = notes
            .lines()
            .flat_map(|notes| {
                let list = self.app.git(&["notes", "--ref", notes, "list"]);
                let commits: Vec<String> =
                    list.lines().filter_map(|l| Some(l.split_once(' ')?.1.to_owned())).collect();
                let show =
                    |commit: &String| self.app.git(&["notes", "--ref", notes, "show", commit]);
                commits.iter().map(show).collect::<Vec<_>>()
            })
            .map(|text| text.lines().count())
            .sum();
        assert_eq!(noted, log.len(), "every record is noted once");
    }

    /// No lock, no temporary file, no stage of a run that is over.
    pub fn nothing_is_left(&self) {
        let mut left = Vec::new();
        let names = Tree::of(&self.app.dir);
        for name in names.names() {
            let last = name.rsplit('/').next().unwrap_or(name);
            let temporary = last.starts_with(".gitroll-")
                || last.starts_with("tmp_obj_")
                || last.starts_with(".gone-")
                || (name.starts_with(".git/objects/") && last.starts_with(".tmp"))
                || (name.starts_with(".git/gitroll/store/") && last.contains(".tmp-"))
                || (name.starts_with(".git/gitroll/runs/") && last == "tmp");
            let lock = name.starts_with(".git/") && last.ends_with(".lock");
            if temporary || lock {
                left.push(name.to_owned());
            }
        }
        let stages = fs::read_dir(self.host.path(".app.gitroll")).into_iter().flatten().flatten();
        left.extend(stages.map(|stage| stage.path().display().to_string()));
        let temporary = fs::read_dir(self.host.path("tmp")).into_iter().flatten().flatten();
        left.extend(temporary.map(|entry| entry.path().display().to_string()));
        assert!(left.is_empty(), "left over:\n{}", left.join("\n"));
    }
}

/// How many of the records since are of a plan that another one is of, too.
fn doubles(log: &[Value], before: usize, of_it: impl Fn(&&Value) -> bool) -> usize {
    let new: Vec<String> = log
        .iter()
        .take(log.len() - before)
        .filter(of_it)
        .map(|line| line["record"]["plan"].to_string())
        .collect();
    new.len() - new.iter().collect::<BTreeSet<_>>().len()
}

/// Saved files by their paths, whichever run saved them.
fn saved(app: &Path) -> String {
    let mut found = Vec::new();
    for run in fs::read_dir(app.join(".git/gitroll/saved")).into_iter().flatten().flatten() {
        let tree = Tree::of(&run.path());
        for name in tree.names() {
            let bytes = String::from_utf8_lossy(tree.bytes(name).unwrap_or_default());
            found.push(format!("{name}: {bytes}"));
        }
    }
    found.sort();
    found.join("\n")
}

/// Which flags a process was started with.
fn handed(pid: u64) -> Vec<String> {
    let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let variables = environ.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let of_a_flag = |variable: &std::borrow::Cow<'_, str>| {
        FLAGS.iter().any(|name| variable.split('=').next() == Some(name))
    };
    let mut flags: Vec<String> = variables.filter(of_a_flag).map(Into::into).collect();
    flags.sort();
    flags
}
