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
    failed.stderr_has("gitroll deploy   tries again, after you fix the problem");
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
    host.gitroll(&["component"]).exit(0).stdout_has("different from v1.1.0");
    s.app.write("features/upload/index.js", "// two at once\n");
    let serving = s.app.head();
    let next = s.app.commit_version("1.2.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    let plan = host.gitroll(&["deploy", &next, "--plan"]);
    plan.stderr_has("QW-001 differs from v1.1.0; it changes to the files of v1.2.0");
}

/// 1.0.0 serving, 1.1.0 committed, with a build group of these words of a shell.
fn building<'h>(host: &'h TestEnvironment, script: &str) -> (Scenario<'h>, String) {
    let build = format!(
        "[[build]]\nname = \"app\"\nrun = [[\"sh\", \"-c\", '''{script}''']]\noutputs = [\"dist\"]\n"
    );
    let s = Scenario::serving(host, Fixture::Plain, &quick());
    s.app.configure(&quick().and(&build));
    s.app.write(".env", "DATABASE_PASSWORD=correct-horse-battery\n");
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", "HEAD~1"]);
    (s, next)
}

#[test]
fn a_build_is_followed_kept_whole_and_a_row_of_the_log_where_it_fails() {
    let host = TestEnvironment::new();
    let script = "for i in $(seq 30); do echo line $i; done; echo correct-horse-battery; \
                  echo broken >&2; exit 7";
    let (s, next) = building(&host, script);
    // The log of a pipeline folds it.
    let mut github = host.gitroll_command(&["deploy", &next, "--yes"]);
    github.env("GITHUB_ACTIONS", "true");
    let failed = Answer::of(github, std::time::Duration::from_secs(60));
    failed.exit(1).stderr_has("::group::build app\n  | $ sh -c").stderr_has("\n  | line 17\n");
    failed.stderr_has("  | broken\n::endgroup::\n").stderr_lacks("correct-horse");
    let mut gitlab = host.gitroll_command(&["deploy", &next, "--yes"]);
    gitlab.env("GITLAB_CI", "true");
    let gitlab = Answer::of(gitlab, std::time::Duration::from_secs(60));
    gitlab.exit(1).stderr_has(":gitroll_build_app\r").stderr_has("section_end:");

    // It is in the list although nothing was touched, and all it wrote is kept.
    let log = host.gitroll(&["log", "-n", "2", "--json"]);
    let attempt = log.json()["result"]["attempts"][0].clone();
    assert_eq!(attempt["to"]["version"], "1.1.0", "{attempt}");
    assert!(attempt["failure"].to_string().contains("exited with 7"), "{attempt}");
    let run = attempt["run"].as_str().expect("it is named").to_owned();
    failed.stderr_has("gitroll show ").stderr_has(" --output");
    let table = host.gitroll(&["log", "-n", "2"]);
    table.exit(0).stdout_has("✗ not begun").stdout_lacks("proven");
    let kept = host.gitroll(&["show", &run, "--output"]);
    kept.exit(0).stdout_has("== build app\n$ sh -c").stdout_has("\nline 1\n");
    kept.stdout_has("\nline 30\n").stdout_has("[redacted]").stdout_lacks("correct-horse");
    host.gitroll(&["show", &run]).exit(0).stdout_has("no record").stdout_has("broken");
    host.gitroll(&["show", "--output"]).exit(1).stderr_has("#3 is not a run");
    s.serves("1.0.0");
}

#[test]
fn a_long_build_gives_signs_of_life_and_took_is_what_the_person_waited() {
    let host = TestEnvironment::new();
    let script = "mkdir dist; echo half way; sleep 17; echo done > dist/a";
    let (s, next) = building(&host, script);
    let began = std::time::Instant::now();
    let piped = host.gitroll(&["deploy", &next, "--yes"]);
    piped.exit(0).stderr_has("  … build app").stderr_has(": half way");
    let waited = u64::try_from(began.elapsed().as_millis()).unwrap();
    let took = host.gitroll(&["log", "-n", "1", "--json"]);
    let took = took.json()["result"]["records"][0]["took_millis"].as_u64().unwrap();
    // By two clocks, one of which may be set.
    assert!((17_000..=waited + waited / 10).contains(&took), "{took} of {waited} ms");
    let evidence = host.gitroll(&["show", "--json"]).json()["result"]["evidence"].clone();
    assert!(evidence["waited_millis"].as_u64().unwrap() > 0, "{evidence}");
    let seq = host.gitroll(&["log", "-n", "1", "--json"]);
    let seq = seq.json()["result"]["records"][0]["record"]["seq"].to_string();
    host.gitroll(&["show", &seq, "--output"]).exit(0).stdout_has("half way");

    // On a terminal what it writes is seen while it runs; killed, the next one says so.
    s.app.git(&["checkout", "-q", "--detach", &next]);
    s.app.configure(&quick().and(
        "[[build]]\nname = \"app\"\nrun = [[\"sh\", \"-c\", \"mkdir dist; echo seen live; sleep 1\"]]\n\
         outputs = [\"dist\"]\n",
    ));
    let third = s.app.commit_version("1.2.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &next]);
    let mut terminal = host.gitroll_on_terminal(&["deploy", &third, "--yes"]);
    terminal.expect("    seen live");
    assert_eq!(terminal.finish().0, 0);

    let fourth = s.app.commit_version("1.3.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &third]);
    let mut killed = host.gitroll_command(&["deploy", &fourth, "--yes"]);
    killed.env("GITROLL_FAIL_AT", "reload web before=kill");
    Answer::of(killed, std::time::Duration::from_secs(60));
    let resumed = host.gitroll(&["resume"]);
    resumed.exit(0).stderr_has("interrupted in reload web, after ");
    host.gitroll(&["show"])
        .exit(0)
        .stdout_has("interrupted in reload web, after ")
        .stdout_has(" continued at ");
}
