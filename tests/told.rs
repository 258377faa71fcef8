//! What a person is told of what fails, and how everything is left then.

use crate::support::*;
use serde_json::json;

fn quick() -> AppConfig {
    AppConfig::default().without_builds().settle(2, "300ms").timeout("6s")
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

#[test]
fn a_service_that_does_not_stay_up_is_told_with_its_error_and_no_restart_is_advised() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    host.gitroll(&["service", "restart"]).exit(0).stdout_has("✓ web  running");
    let bad = s.app.commit_version("1.0.1", Behaviour::ThrowsAtBoot);
    assert_eq!(s.app.head(), bad, "pulled by hand");

    // What ran fell over: a person is needed, and the error is there.
    let restart = host.gitroll(&["service", "restart", "--json"]);
    restart.exit(21).stderr_has("✗ web does not stay up [21]").stderr_has("gitroll status");
    let web = restart.json()["result"]["services"][0].clone();
    assert_eq!((&web["stayed_up"], &web["up"]), (&json!(false), &json!(false)), "{web}");
    assert!(web["log"].to_string().contains("Error: plain-app 1.0.1 throws at boot"), "{web}");
    // It did not run and does not: as before.
    let start = host.gitroll(&["service", "start", "web"]);
    start.exit(1).stdout_has("web Error: plain-app 1.0.1 throws at boot");
    let doctor = host.gitroll(&["doctor"]);
    doctor.exit(1).never_says("gitroll service start").never_says("gitroll service restart");

    host.gitroll(&["service", "stop"]).exit(0).stdout_has("✓ web  stopped");
    s.app.git(&["checkout", "-q", "--detach", "HEAD~1"]);
    host.gitroll(&["service", "start"]).exit(0);
    s.serves("1.0.0");
}

#[test]
fn flags_that_are_off_and_files_of_another_release_are_told_before_and_after() {
    let host = TestEnvironment::new();
    let s = flagged(&host, &format!("{UPLOADS}{SHOWN_BY_HTTP}"));
    host.gitroll(&["status"]).exit(0).stdout_lacks("  parts ");
    host.gitroll(&["component", "QW-009"])
        .exit(1)
        .stderr_has("gitroll.toml declares QW-001")
        .stderr_has("gitroll component QW-001");

    host.gitroll(&["flags", "off", "QW-001"]).exit(0);
    host.gitroll(&["status"]).exit(0).stdout_has("parts     QW-001: ENABLE_UPLOADS is off (#");
    host.gitroll(&["component"]).exit(0).stdout_has("ENABLE_UPLOADS off");
    host.gitroll(&["back", "--plan"]).stderr_has("part     ENABLE_UPLOADS of QW-001 is off");
    host.gitroll(&["flags", "on", "QW-001"]).exit(0);
    host.gitroll(&["component"]).exit(0).stdout_has("ENABLE_UPLOADS on");

    let files = ["component", "QW-001", "--via", "files", "--to", "v1.0.0-stable", "--yes"];
    host.gitroll(&files).exit(0);
    host.gitroll(&["status"]).exit(0).stdout_has("parts     QW-001: not as in v1.1.0 (#");
    let part = host.gitroll(&["status", "--json"]).json()["result"]["parts"][0].clone();
    assert_eq!(part["not_as_in"]["version"], "1.1.0", "{part}");
    assert_eq!(part["flag_off"], false, "{part}");
    host.gitroll(&["component"]).exit(0).stdout_has("not as in v1.1.0");
    s.app.write("features/upload/index.js", "// two at once\n");
    let serving = s.app.head();
    let next = s.app.commit_version("1.2.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    let plan = host.gitroll(&["deploy", &next, "--plan"]);
    plan.stderr_has("QW-001 is not as in v1.1.0 now; it becomes as in v1.2.0");
}
