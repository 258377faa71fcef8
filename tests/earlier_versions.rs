//! A run that an earlier version began and could not finish is finished, or undone, by this one.

use std::fs;
use std::path::PathBuf;

use crate::support::*;
use sha2::{Digest, Sha256};

/// Where a run of `fixtures/open-runs` was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CutOff {
    /// Staged; the build was begun. Nothing that serves was touched.
    InBuild,
    /// Tree and HEAD are the target's; the service still runs what was before.
    InReload,
}

/// The run's id.
const RUN: &str = "29991121-145855-ab12";

/// The directories below `fixtures/open-runs`.
const VERSIONS: [&str; 1] = ["version-1"];

#[test]
fn a_run_cut_off_in_its_build_is_resumed() {
    for version in VERSIONS {
        let host = TestEnvironment::new();
        let s = left_by(&host, version, CutOff::InBuild);
        host.gitroll(&["status"]).exit(0).stdout_has("interrupted in build app");
        host.gitroll(&["resume"]).exit(0).stdout_has("v1.1.0 observed serving");
        s.serves("1.1.0");
        assert!(s.app.read("dist/index.html").contains("1.1.0"));
        over(&s);
    }
}

#[test]
fn a_run_cut_off_in_its_build_is_aborted() {
    for version in VERSIONS {
        let host = TestEnvironment::new();
        let s = left_by(&host, version, CutOff::InBuild);
        let before = s.app.state();
        host.gitroll(&["abort"]).exit(0);
        before.assert_same(&s.app.state());
        s.serves("1.0.0");
        over(&s);
    }
}

#[test]
fn a_run_cut_off_in_its_reload_is_resumed() {
    for version in VERSIONS {
        let host = TestEnvironment::new();
        let s = left_by(&host, version, CutOff::InReload);
        host.gitroll(&["status"]).exit(0).stdout_has("interrupted in reload web");
        host.gitroll(&["resume"]).exit(0).stdout_has("v1.1.0 observed serving");
        s.serves("1.1.0");
        over(&s);
    }
}

#[test]
fn a_run_cut_off_in_its_reload_is_aborted() {
    for version in VERSIONS {
        let host = TestEnvironment::new();
        let s = left_by(&host, version, CutOff::InReload);
        let (before, now) = (s.app.git(&["rev-parse", "v1.0.0-stable^{commit}"]), s.app.head());
        assert_ne!(before, now);
        host.gitroll(&["abort"]).exit(0);
        assert_eq!(s.app.head(), before);
        assert!(s.app.read("package.json").contains("\"1.0.0\""));
        s.serves("1.0.0");
        over(&s);
    }
}

fn over(s: &Scenario<'_>) {
    s.host.gitroll(&["status"]).exit(0).stdout_has("none open").stdout_has("tree clean");
    s.host.gitroll(&["log"]).exit(0);
}

/// 1.0.0 serves, and a deploy of 1.1.0 by another version was cut off.
fn left_by<'h>(host: &'h TestEnvironment, version: &str, cut_off: CutOff) -> Scenario<'h> {
    let config = AppConfig::default().settle(1, "0s");
    let (name, config) = match cut_off {
        CutOff::InBuild => ("cut-off-in-build", config),
        CutOff::InReload => ("cut-off-in-reload", config.without_builds()),
    };
    let s = Scenario::serving(host, Fixture::Plain, &config);
    let from = s.app.head();
    let to = s.app.commit_version("1.1.0", Behaviour::Good);
    if cut_off == CutOff::InBuild {
        s.app.git(&["checkout", "-q", "--detach", &from]);
        let stage = host.path(&format!(".app.gitroll/stage-{RUN}"));
        fs::create_dir_all(&stage).expect("the host's directory is writable");
        fs::write(stage.join("half"), "of a build").expect("it is writable");
    } else {
        s.app.git(&["checkout", "-q", "--detach", &to]);
    }
    let quoted = serde_json::to_string(&s.app.read("gitroll.toml")).expect("text is JSON");
    let status = host.gitroll(&["status", "--json"]).json();
    let mut filled = vec![
        ("{from}", from.clone()),
        ("{to}", to.clone()),
        ("{writer}", status["result"]["writer"].as_str().expect("a writer").to_owned()),
        ("{config}", quoted[1..quoted.len() - 1].to_owned()),
        ("{package.json before}", s.app.git(&["rev-parse", &format!("{from}:package.json")])),
        ("{package.json after}", s.app.git(&["rev-parse", &format!("{to}:package.json")])),
    ];
    if cut_off == CutOff::InBuild {
        let live = s.app.read(".git/gitroll/store/live.json");
        let live: serde_json::Value = serde_json::from_str(&live).expect("it is JSON");
        filled.push(("{dist before}", live["dist"]["key"].as_str().expect("a key").to_owned()));
    }
    let fixture = project().join("fixtures/open-runs").join(version).join(name);
    let plan = fill(&fixture.join("plan.json"), &filled);
    let compact: serde_json::Value = serde_json::from_str(&plan).expect("it is JSON");
    filled.push(("{plan}", format!("sha256:{}", hex(compact.to_string().as_bytes()))));
    let journal = fill(&fixture.join("journal.jsonl"), &filled);
    // Later than those that are there.
    let run = s.app.dir.join(".git/gitroll/runs").join(RUN);
    fs::create_dir(&run).expect("the state directory is writable");
    fs::write(run.join("plan.json"), plan).expect("it is writable");
    fs::write(run.join("journal.jsonl"), summed(&journal)).expect("it is writable");
    if fixture.join("converge.json").exists() {
        fs::copy(fixture.join("converge.json"), run.join("converge.json")).expect("it is writable");
    }
    s
}

fn fill(file: &PathBuf, with: &[(&str, String)]) -> String {
    let mut text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    for (name, value) in with {
        text = text.replace(name, value);
    }
    text
}

/// Each line with its checksum.
fn summed(journal: &str) -> String {
    let sum = |line: &str| {
        let body = line.replace("\"sum\":\"{sum}\",", "");
        line.replace("{sum}", &hex(body.as_bytes())[..16]) + "\n"
    };
    journal.lines().map(sum).collect()
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
