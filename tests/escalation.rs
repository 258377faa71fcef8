//! Emergencies, cascades and soaking: how far one command goes by itself.

use std::fs;
use std::process::Stdio;

use crate::support::*;

fn quick() -> AppConfig {
    AppConfig::default().without_builds().settle(1, "200ms").timeout("3s")
}

#[test]
fn an_emergency_asks_nothing_and_lists_what_it_left_out() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    s.release("1.1.0", Behaviour::Good).exit(0);
    // From here on a check fails that does not matter much.
    s.app.configure(&quick().and(NOT_CRITICAL));
    let commit = s.app.commit_version("1.2.0", Behaviour::Good);
    host.gitroll(&["deploy", &commit, "--yes"]).exit(20);
    host.gitroll(&["back", "--to", "v1.0.0-stable", "--emergency"]).exit(0);
    s.serves("1.0.0");
    host.gitroll(&["show"]).exit(0).stdout_has("emergency");
}

#[test]
fn an_emergency_takes_what_needs_no_build() {
    let host = TestEnvironment::new();
    let built = AppConfig::default().settle(1, "200ms").timeout("3s");
    let s = Scenario::serving(&host, Fixture::Plain, &built);
    s.release("1.1.0", Behaviour::Good).exit(0);
    s.promote("v1.1.0");
    s.release("1.2.0", Behaviour::Good).exit(0);
    // What 1.1.0 was built with is gone.
    let kept = s.app.dir.join(".git/gitroll/store");
    let latest = |path: &std::path::Path| fs::metadata(path).and_then(|m| m.modified()).ok();
    let mut keys: Vec<_> = fs::read_dir(&kept)
        .expect("the store")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir())
        .collect();
    keys.sort_by_key(|path| latest(path));
    fs::remove_dir_all(keys.last().expect("something is kept")).expect("it can be removed");
    let plan = host.gitroll(&["back", "--plan"]);
    plan.exit(0).stderr_has("v1.1.0");
    let back = host.gitroll(&["back", "--emergency"]);
    back.exit(0).stderr_has("it needs a build");
    s.serves("1.0.0");
}

#[test]
fn a_cascade_goes_on_to_older_states_each_undone_before_the_next() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    s.release("1.1.0", Behaviour::Good).exit(0);
    s.promote("v1.1.0");
    s.release("1.2.0", Behaviour::Good).exit(0);
    s.app.sour("1.1.0");
    // What serves is healthy by its checks: a failing candidate is undone.
    host.gitroll(&["back", "--yes", "--cascade", "2"]).exit(0).stderr_has("cascade: trying");
    s.serves("1.0.0");
}

#[test]
fn a_deploy_that_sours_while_it_is_watched_is_taken_back() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    let one = s.app.head();
    let two = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &one]);
    let mut deploy = host.gitroll_command(&["deploy", &two, "--yes", "--soak", "60s"]);
    let deploy = deploy.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    wait_until("it is proven", || host.gitroll(&["log", "-n", "1"]).stdout.contains("1.1.0"));
    s.app.sour("1.1.0");
    let said = deploy.wait_with_output().expect("it ends");
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert_eq!(said.status.code(), Some(20), "{text}");
    s.serves("1.0.0");
    assert_eq!(s.app.head(), one);
    // It is held now.
    host.gitroll(&["deploy", &two, "--yes"]).exit(10);
    host.gitroll(&["deploy", &one, "--yes", "--soak", "1s"]).exit(0);
}
