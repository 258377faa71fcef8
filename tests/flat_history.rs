//! A long past: judged as a short one, whatever lies in what is remembered of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::support::history::{self, Past};
use crate::support::*;

/// What `targets --all` says of each state: its commit, and why or why not.
fn judged(host: &TestEnvironment) -> BTreeMap<String, String> {
    let answer = host.gitroll(&["targets", "--all", "--json"]);
    let answer: Value = serde_json::from_str(&answer.exit(0).stdout).expect("JSON");
    let targets = answer["result"]["targets"].as_array().expect("a list").clone();
    let one = |target: &Value| (target["commit"].to_string(), target["standing"].to_string());
    targets.iter().map(one).collect()
}

struct Remembered {
    file: PathBuf,
    owner: String,
}

impl Remembered {
    fn of(s: &Scenario<'_>) -> Self {
        let git_dir = s.app.dir.join(".git").canonicalize().expect("it is there");
        let chain = s.app.git(&["for-each-ref", "--format=%(objectname)", "refs/gitroll/"]);
        let record = s.app.git(&["cat-file", "blob", &format!("{chain}:record")]);
        let id = record.lines().find_map(|line| line.strip_prefix("Gitroll-Chain: "));
        let owner = format!("{}\n{}", git_dir.display(), id.expect("it has one"));
        Self { file: git_dir.join("gitroll/cache/lineage"), owner }
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.file).expect("something is remembered")
    }

    /// Another body, with a sum that is right for `owner`.
    fn forge(&self, body: &str, owner: &str) {
        let sum = Sha256::digest(format!("gitroll lineage 1\n{owner}\n{body}").as_bytes());
        let sum: String = sum.iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(&self.file, format!("sha256:{sum}\n{body}")).expect("it can be written");
    }

    /// The same with every "contains" turned into "does not".
    fn lying(&self) -> String {
        let text = self.text();
        let (_, body) = text.split_once('\n').expect("a sum and a body");
        let mut body: Value = serde_json::from_str(body).expect("JSON");
        for (_, entry) in body["commits"].as_object_mut().expect("by commit") {
            let signs = entry[0].as_str().expect("signs").replace('1', "0");
            entry[0] = signs.into();
        }
        body.to_string()
    }
}

#[test]
fn what_is_remembered_of_holds_makes_no_held_commit_a_target() {
    let host = TestEnvironment::new();
    let config = AppConfig::default().without_builds().settle(1, "100ms");
    let s = Scenario::serving(&host, Fixture::Plain, &config);
    let start = |program: &str| {
        let mut command = host.command(program);
        command.current_dir(&s.app.dir);
        command
    };
    let home = host.variables().get(std::ffi::OsStr::new("GITROLL_HOME")).cloned();
    let home = PathBuf::from(home.expect("every host has one"));
    let past = Past { deployments: 30, commits: 3, held: Some(12), marks: 1 };
    let commits = history::write(&start, &home, past);
    s.app.git(&["checkout", "-q", "--detach", &commits[29]]);
    host.gitroll(&["deploy", "--yes"]).exit(0);
    // 27 and what comes after it contain it.
    host.gitroll(&["mark", "bad", &commits[27], "--reason", "found late"]).exit(0);

    let wanted = |target: &BTreeMap<String, String>, at: usize| {
        target.get(&format!("\"{}\"", commits[at])).cloned().unwrap_or_default()
    };
    // Who is told where `back` goes is told what it does not take.
    let status = host.gitroll(&["status"]);
    status.exit(0).stdout_has("passes over ").stdout_has(": bad (#").stdout_has(&commits[26][..7]);
    let all = judged(&host);
    assert_eq!(all.len(), 31, "each state once, with the one before that past");
    for at in 0..30 {
        let standing = wanted(&all, at);
        let holds = |of: usize| {
            let args = ["merge-base", "--is-ancestor", &commits[of], &commits[at]];
            s.app.try_git(&args).code == Some(0)
        };
        let says = match at {
            29 => "serving",
            12 | 27 => "bad",
            26 => "next",
            // What is held and reverted again holds nobody, but what serves says that it was no good.
            _ if holds(27) => "held",
            _ => "usable",
        };
        assert!(standing.contains(says), "{at}: {standing}, not {says}");
    }

    // No more is shown than somebody reads, and it is said that there is more.
    let shown = host.gitroll(&["targets", "-n", "5"]);
    shown.exit(0).stdout_has("more: gitroll targets --all").stdout_has("next");
    assert!(shown.stdout.lines().count() < 12, "{}", shown.stdout);
    host.gitroll(&["status"]).exit(0).stdout_has("v2.26.0");

    // What a look leaves for the next one says what the records say.
    let log = || host.gitroll(&["log", "-n", "100", "--json"]).exit(0).stdout.clone();
    let told = log();
    let cache = s.app.dir.join(".git/gitroll/cache");
    let files = fs::read_dir(&cache).expect("it is there").map(|e| e.expect("it is there").path());
    let left: Vec<PathBuf> =
        files.filter(|path| path.display().to_string().contains("/snapshot-")).collect();
    assert_eq!(left.len(), 1, "one for the environment");
    fs::remove_file(&left[0]).expect("it is ours");
    assert_eq!(log(), told);
    assert!(left[0].exists(), "it is written anew");
    assert_eq!(judged(&host), all);

    // Torn, empty, another checkout's, or of nonsense: as if it were not there, and written anew.
    let remembered = Remembered::of(&s);
    let whole = remembered.text();
    let lying = remembered.lying();
    for damage in [&whole[..whole.len() / 2], "", "{}", "sha256:0\n{\"of\":[]}"] {
        fs::write(&remembered.file, damage).expect("it can be written");
        assert_eq!(judged(&host), all, "{damage:.40}");
        assert!(remembered.text().len() > whole.len() / 2, "it is written anew");
    }
    remembered.forge(&lying, "/another/.git\nabc");
    assert_eq!(judged(&host), all, "another checkout's");
    set_mode(&remembered.file, 0o666);
    remembered.forge(&lying, &remembered.owner);
    assert_eq!(judged(&host), all, "everybody could have written it");

    // Forged with the right sum it can deceive a look, and nothing that is put in place.
    host.gitroll(&["targets", "--all"]).exit(0);
    set_mode(&remembered.file, 0o600);
    remembered.forge(&lying, &remembered.owner);
    assert_ne!(judged(&host), all, "this test forges what is read");
    s.app.git(&["checkout", "-q", "-b", "descendant", &commits[28]]);
    s.app.git(&["commit", "-q", "--allow-empty", "-m", "on top of what is held"]);
    let descendant = s.app.git(&["rev-parse", "descendant"]);
    s.app.git(&["checkout", "-q", "--detach", &commits[29]]);
    host.gitroll(&["status"]).exit(0);
    remembered.forge(&lying, &remembered.owner);
    host.gitroll(&["deploy", &descendant, "--yes"]).exit(10).stderr_has("which is held");
    remembered.forge(&lying, &remembered.owner);
    let back = host.gitroll(&["back", "--yes", "-vv"]);
    back.exit(0).says("v2.26.0");
    // The whole chain is read once, then only what was added.
    let lines = back.stderr.lines().filter_map(|line| line.split_once("ledger: "));
    let read: Vec<u64> =
        lines.filter_map(|(_, told)| told.split(' ').nth(1)?.parse().ok()).collect();
    assert!(read[0] > 60 && read[1..] == [1], "{read:?}");
    assert_eq!(s.app.head(), commits[26]);
}
