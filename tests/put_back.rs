//! The way back goes as far as it can: one service that cannot be put back keeps no other down.

use std::fs;

use crate::support::*;

/// A service of commands that cannot be started as long as `.git/broken` is there, and one of gitroll's own that is
/// down while files change and depends on it.
fn job_and_web<'h>(host: &'h TestEnvironment) -> Scenario<'h> {
    let config = AppConfig::default().without_builds().settle(1, "200ms").timeout("4s").and(
        r#"
[run]
watchdog = "off"

[service.job]
manager = "command"
idempotent = true
start = ["sh", "-c", "test ! -e .git/broken && touch .git/job"]
stop = ["rm", "-f", ".git/job"]
status = ["test", "-e", ".git/job"]
"#,
    );
    let app = host.app(Fixture::Plain);
    app.configure(&config);
    let text = app
        .read("gitroll.toml")
        .replace("[service.web]\n", "[service.web]\nquiesce = true\ndepends_on = [\"job\"]\n");
    app.write("gitroll.toml", &text);
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s.serves("1.0.0");
    s
}

#[test]
fn what_was_stopped_is_started_though_another_service_cannot_be_put_back() {
    let host = TestEnvironment::new();
    let s = job_and_web(&host);
    let broken = s.app.dir.join(".git/broken");
    fs::write(&broken, "").expect("it is writable");
    let deploy = s.release_kept("1.1.0");
    deploy.exit(21).stderr_has("job").stderr_lacks("web: ");
    s.serves("1.0.0");
    host.gitroll(&["abort"]).exit(21).stderr_has("job");
    s.serves("1.0.0");
    let status = host.gitroll(&["status"]);
    status.exit(0).stdout_has("but not up now: job").stdout_lacks("✓ proven");
    fs::remove_file(&broken).expect("it is there");
    host.gitroll(&["service", "start"]).exit(0);
    // Nobody saw being started on these files what runs now.
    host.gitroll(&["status"]).exit(0).stdout_has("not proven").stdout_lacks("✓ proven");
    host.gitroll(&["deploy", "--yes"]).exit(0);
    host.gitroll(&["status"]).exit(0).stdout_has("✓ proven");
}

#[test]
fn before_a_file_is_written_no_tree_is_in_part_another_and_what_answers_is_not_called_unhealthy() {
    let host = TestEnvironment::new();
    let s = job_and_web(&host);
    let serving = s.app.head();
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    let kill = |place: &str| {
        let mut deploy = host.gitroll_command(&["deploy", &next, "--yes"]);
        deploy.env("GITROLL_FAIL_AT", format!("{place}=kill"));
        assert_eq!(Answer::of(deploy, std::time::Duration::from_secs(60)).code, None);
    };
    kill("quiesce web after");
    s.is_down();
    let status = host.gitroll(&["status"]);
    status.exit(0).stdout_has("nothing healthy").stdout_lacks("partly").stdout_lacks("deployed by");
    host.gitroll(&["abort"]).exit(0);
    kill("quiesce web before");
    fs::remove_file(s.app.dir.join(".git/job")).expect("it is there");
    let status = host.gitroll(&["status"]);
    status.exit(0).stdout_has("the checks pass, not seen up: job").stdout_lacks("nothing healthy");
    host.gitroll(&["abort"]).exit(0);
    s.serves("1.0.0");
}

#[test]
fn a_run_of_flags_that_needs_a_person_says_what_they_are_set_to() {
    let host = TestEnvironment::new();
    let s = job_and_web(&host);
    let text = s.app.read("gitroll.toml");
    let flags = "\n[flags]\nfile = \"app.env\"\nverify = { command = [\"true\"] }\n\
                 [flags.source.api]\nhttp = \"http://127.0.0.1:1/flags\"\ntoken = { env = \"ADMIN_TOKEN\" }\n\
                 [component.A]\npaths = [\"a/**\"]\n\
                 flag = { name = \"A\", off = \"false\", on = \"true\", source = \"file\" }\n";
    let text = text.replace("watchdog = \"off\"", "watchdog = \"1h\"");
    s.app.write("gitroll.toml", &format!("{text}{flags}"));
    s.app.write(".gitignore", "*.env\n.env\nnode_modules\n");
    s.app.write("app.env", "A=true\n");
    s.release_kept("1.1.0").exit(0);
    host.gitroll(&["doctor"]).stdout_has("does not have the variable ADMIN_TOKEN");
    fs::write(s.app.dir.join(".git/broken"), "").expect("it is writable");
    let off = host.gitroll(&["flags", "off", "A"]);
    off.exit(21)
        .stderr_has("A is true in file, as before")
        .stderr_lacks("tree")
        .stderr_lacks("not used");
    let status = host.gitroll(&["status"]);
    status.exit(0).stdout_has("A is true in file, as before").stdout_lacks("the two versions");
    status.stdout_lacks("  tree ");
    host.gitroll(&["abort"]).exit(21).stderr_has("A is true in file, as before");
    s.serves("1.1.0");
}

#[test]
fn an_app_that_a_signal_ended_is_started_with_the_flags_of_before() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    let config = AppConfig::default().without_builds().settle(1, "200ms").and(
        "[flags]\nfile = \".env\"\napply = { signal = \"USR2\" }\nverify = { timeout = \"2s\", command = [\"true\"] }\n\
         [component.A]\npaths = [\"a/**\"]\nflag = { name = \"A\", off = \"false\", on = \"true\" }\n",
    );
    app.configure(&config);
    app.write(".gitignore", ".env\n");
    app.write(".env", "A=true\n");
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host: &host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    // The app does not handle it: the signal ends it.
    host.gitroll(&["flags", "off", "A"]).exit(20);
    s.serves("1.0.0");
    assert_eq!(fs::read_to_string(s.app.dir.join(".env")).expect("ours"), "A=true\n");
}

#[test]
fn only_those_are_reloaded_that_a_component_with_the_flag_touches_and_every_start_hands_flags_over()
{
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    let config = AppConfig::default().without_builds().settle(1, "200ms").and(
        "[service.worker]\nmanager = \"process\"\ncommand = [\"sleep\", \"1000\"]\n\
         [flags]\nfile = \"app.env\"\napply = \"environment\"\nverify = \"environ\"\n\
         [component.A]\npaths = [\"a/**\"]\nservices = [\"web\"]\n\
         flag = { name = \"A\", off = \"false\", on = \"true\" }\n",
    );
    app.configure(&config);
    app.write(".gitignore", "*.env\n.env\n");
    app.write("app.env", "A=true\n");
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host: &host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    let off = host.gitroll(&["flags", "off", "A"]);
    off.exit(0).stderr_has("reload web").stderr_lacks("reload worker");
    let started_with = || {
        let text = fs::read(format!("/proc/{}/environ", s.app.pid_served())).expect("it runs");
        let text = String::from_utf8_lossy(&text).into_owned();
        text.split('\0').find_map(|v| v.strip_prefix("A=")).map(str::to_owned)
    };
    assert_eq!(started_with().as_deref(), Some("false"));
    host.gitroll(&["service", "restart", "web"]).exit(0);
    s.serves("1.0.0");
    assert_eq!(started_with().as_deref(), Some("false"));
    host.gitroll(&["service", "stop", "web"]).exit(0);
    fs::write(s.app.dir.join("app.env"), "A=true\n").expect("ours");
    host.gitroll(&["service", "start", "web"]).exit(0);
    s.serves("1.0.0");
    assert_eq!(started_with().as_deref(), Some("true"));
}

#[test]
fn what_runs_on_although_its_command_stopped_it_is_no_stopped_service() {
    let host = TestEnvironment::new();
    let s = job_and_web(&host);
    let text = s.app.read("gitroll.toml");
    let text = text
        .replace("stop = [\"rm\", \"-f\", \".git/job\"]", "stop = [\"true\"]")
        .replace("[service.job]\n", "[service.job]\nquiesce = true\n");
    s.app.write("gitroll.toml", &text);
    let deploy = s.release_kept("1.1.0");
    deploy.exit(20).says("job: stop job: was stopped, and is still running");
    s.serves("1.0.0");
}
