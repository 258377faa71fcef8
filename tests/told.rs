//! What a person is told of what fails, and how everything is left then.

use crate::support::*;
use serde_json::json;

fn quick() -> AppConfig {
    AppConfig::default().without_builds().settle(2, "300ms").timeout("3s")
}

#[test]
fn a_first_deploy_that_fails_leaves_everything_as_it_was_and_no_run_open() {
    let host = TestEnvironment::new();
    let s = Scenario::bound(&host, Fixture::Plain, &quick());
    let bad = s.app.commit_version("1.0.1", Behaviour::ThrowsAtBoot);
    let good = s.app.git(&["rev-parse", "main~1"]);
    s.app.git(&["reset", "-q", "--hard", &good]);
    let tree = || s.app.git(&["status", "--porcelain=v2", "--branch", "--ignored"]);
    let before = tree();

    let failed = host.gitroll(&["deploy", &bad, "--yes", "--json"]);
    failed.exit(20).stderr_has("Not deployed. Everything is as it was. [20]");
    failed.stderr_has("  observed nothing served before").stderr_lacks("observed serving");
    failed.stderr_has("gitroll deploy    tries again, after you fix the problem");
    let answer = failed.json()["result"].clone();
    assert_eq!(answer["outcome"], "restored", "{answer}");
    assert_eq!(answer["nothing_served_before"], true, "{answer}");
    assert_eq!(answer["open_run"], json!(null), "{answer}");
    assert_eq!(tree(), before);
    s.is_down();
    host.gitroll(&["service", "status"]).exit(1).stdout_has("web  stopped");
    host.gitroll(&["log", "-n", "1"]).exit(0).stdout_has("✗ failed");
    host.gitroll(&["show"]).exit(0).stdout_has("deploy to v1.0.1 failed, nothing served before");

    // Killed on its way, and given up.
    let mut killed = host.gitroll_command(&["deploy", "--yes"]);
    killed.env("GITROLL_FAIL_AT", "prove before=kill");
    Answer::of(killed, std::time::Duration::from_secs(60));
    host.gitroll(&["abort"]).exit(0).stdout_has("unchanged: nothing served before");
    assert_eq!(tree(), before);
    s.is_down();

    host.gitroll(&["deploy", "--yes"]).exit(0);
    s.serves("1.0.0");
    // From here on something did serve: what fails is put back and proven.
    host.gitroll(&["deploy", &bad, "--yes"]).exit(20).stderr_has("restored, observed serving");
}
