//! What the host lacks, and what a person types.

use super::*;

#[test]
fn without_npm_the_build_is_refused_before_anything_changes() {
    let host = TestEnvironment::new();
    host.only_tools(&["git", "node", "ssh-keygen", "sh", "env"]);
    let s = bound(&host, &AppConfig::default());
    refused(
        &s,
        &["deploy", "--yes"],
        1,
        &["npm was not found", "install npm", "nothing was changed"],
    );
}

#[test]
fn a_lock_out_of_step_changes_nothing() {
    let host = TestEnvironment::new();
    let config = AppConfig::default().settle(1, "100ms");
    let s = Scenario::bound(&host, Fixture::Express, &config);
    s.app.build_by_hand();
    host.gitroll(&["service", "start"]).exit(0);
    let next = s.app.commit_lock_out_of_step("1.1.0");
    s.app.git(&["checkout", "-q", "--detach", "HEAD~1"]);
    let before = s.app.state();
    host.gitroll(&["deploy", &next, "--yes"])
        .exit(1)
        .stderr_has("picocolors")
        .stderr_has("nothing was changed");
    before.assert_same(&s.app.state());
    s.serves("1.0.0");
    host.gitroll(&["status"]).exit(0).stdout_has("none open");
}

#[test]
fn a_service_pm2_does_not_know_is_answered_with_the_nearest_name() {
    let Some(host) = with_pm2() else { return };
    let s = bound(&host, &quick().served_by(ServedBy::Pm2("webb".to_owned())));
    host.run("pm2", &["start", "server.js", "--name", "web-app"]).exit(0);
    refused(&s, &["deploy", "--yes"], 1, &["webb", "web-app", "did you mean"]);
}

#[test]
fn without_pm2_its_service_is_refused() {
    let host = TestEnvironment::new();
    host.only_tools(&["git", "node", "npm", "ssh-keygen", "sh"]);
    let s = bound(&host, &quick().served_by(ServedBy::Pm2("web".to_owned())));
    refused(&s, &["deploy", "--yes"], 1, &["pm2 was not found", "nothing was changed"]);
}

#[test]
fn a_pm2_without_a_daemon_that_nothing_could_start_again_is_refused() {
    let Some(host) = with_pm2() else { return };
    let s = bound(&host, &quick().served_by(ServedBy::Pm2("web".to_owned())));
    refused(&s, &["deploy", "--yes"], 1, &["pm2 has no \"web\"", "start it once"]);
}

/// A host with pm2; its daemon does not run.
fn with_pm2() -> Option<TestEnvironment> {
    let pm2 = test_tools().join("pm2/node_modules/.bin/pm2");
    if !pm2.is_file() {
        skipped("pm2 is not installed yet: tests/run installs it");
        return None;
    }
    let host = TestEnvironment::new();
    let bin = pm2.parent().expect("a program lies in a directory").to_owned();
    let path = std::env::var("PATH").expect("tests run with a PATH");
    host.set("PATH", format!("{}:{path}", bin.display()));
    Some(host)
}

#[test]
fn without_a_home_it_works_or_says_what_to_do() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.configure(&quick());
    app.commit_version("1.0.0", Behaviour::Good);
    for name in ["HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"] {
        host.unset(name);
    }
    let mut homeless = host.gitroll_command(&["init", "--yes"]);
    homeless.env_remove("GITROLL_HOME");
    let before = app.state();
    Answer::of(homeless, std::time::Duration::from_secs(30))
        .exit(1)
        .stderr_has("HOME is not set")
        .stderr_has("GITROLL_HOME=DIR");
    before.assert_same(&app.state());
    // The binding's place said, nothing else needs a home.
    host.gitroll(&["init", "--yes"]).exit(0);
    host.gitroll(&["deploy", "--yes"]).exit(0);
    host.gitroll(&["promote", "--as", "v1.0.0", "--yes"]).exit(0);
    for args in READING {
        host.gitroll(args).exit(0);
    }
}

#[test]
fn a_directory_of_one_binding_is_not_given_to_a_second_checkout() {
    let host = TestEnvironment::new();
    let s = serving(&host, &quick());
    let clone = host.path("second");
    s.app.git(&["clone", "-q", ".", &clone.display().to_string()]);
    let binding = std::fs::read(host.binding_dir().join("host.toml")).expect("it is bound");
    let answer = host.gitroll_in(&clone, &["init", "--yes"]);
    answer.exit(1).stderr_has("holds the host binding of").stderr_has("-2 gitroll init");
    let after = std::fs::read(host.binding_dir().join("host.toml")).expect("it is bound");
    assert_eq!(binding, after);
    host.gitroll(&["status"]).exit(0);
}

/// 1.0.0 was left for 1.1.0, and `back` would ask.
fn about_to_go_back(host: &TestEnvironment) -> Scenario<'_> {
    let s = serving(host, &quick());
    s.release("1.1.0", Behaviour::Good).exit(0);
    s
}

#[test]
fn without_a_terminal_a_question_is_an_error() {
    let host = TestEnvironment::new();
    let s = about_to_go_back(&host);
    refused(&s, &["back"], 2, &["no terminal", "--yes", "nothing was changed"]);
    refused(&s, &["back", "--json"], 2, &["no terminal"]);
    s.serves("1.1.0");
}

#[test]
fn at_a_terminal_no_changes_nothing_and_yes_goes_back() {
    let host = TestEnvironment::new();
    let s = about_to_go_back(&host);
    let before = s.app.state();
    let mut terminal = host.gitroll_on_terminal(&["back"]);
    terminal.expect("v1.1.0 is healthy, and will be marked bad and held. Go back? [y/N]");
    terminal.answer("what");
    // Enter alone leaves what is healthy.
    terminal.expect("Please answer y or n").answer("");
    let (code, screen) = terminal.finish();
    assert_eq!(code, 1, "{screen}");
    assert!(screen.contains("nothing was changed"), "{screen}");
    before.assert_same(&s.app.state());
    s.serves("1.1.0");

    let mut terminal = host.gitroll_on_terminal(&["back"]);
    terminal.expect("Go back? [y/N]").answer("y");
    let (code, screen) = terminal.finish();
    assert_eq!(code, 0, "{screen}");
    s.serves("1.0.0");
}

#[test]
fn a_terminal_closed_at_the_question_changes_nothing() {
    let host = TestEnvironment::new();
    let s = about_to_go_back(&host);
    let before = s.app.state();
    let mut terminal = host.gitroll_on_terminal(&["back"]);
    terminal.expect("Go back? [y/N]");
    terminal.close();
    before.assert_same(&s.app.state());
    let mut terminal = host.gitroll_on_terminal(&["back"]);
    terminal.expect("Go back? [y/N]").press("\x04");
    let (code, screen) = terminal.finish();
    assert_eq!(code, 2, "{screen}");
    before.assert_same(&s.app.state());
    // Nothing holds the lock and no run is open.
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.0.0");
}

#[test]
fn a_reason_that_would_forge_a_record_is_refused() {
    let host = TestEnvironment::new();
    let s = bound(&host, &quick());
    for reason in [
        "fine\nGitroll-To: 0000000000000000000000000000000000000000",
        "Gitroll-Verdict: good",
        "x\n-----BEGIN SSH SIGNATURE-----\nAAAA",
        "x\n-----BEGIN PGP SIGNATURE-----\n",
    ] {
        for args in [
            &["deploy", "--yes", "--reason"] as &[&str],
            &["back", "--yes", "--reason"],
            &["annotate", "1", "--reason"],
            &["mark", "bad", "HEAD", "--reason"],
        ] {
            let with: Vec<&str> = args.iter().copied().chain([reason]).collect();
            refused(&s, &with, 2, &["reason"]);
        }
    }
    host.gitroll(&["annotate", "1", "--reason", "Two lines\n\nand \u{fc}ml\u{e4}uts"]).exit(0);
    host.gitroll(&["log"]).exit(0);
}

#[test]
fn usage_errors_end_with_2() {
    let host = TestEnvironment::new();
    let s = bound(&host, &quick());
    for args in [
        &["frobnicate"] as &[&str],
        &["deploy", "--nonsense"],
        &["back", "--to", "x", "--undo"],
        &["mark", "ugly", "HEAD", "--reason", "r"],
        &["log", "-n", "many"],
    ] {
        refused(&s, args, 2, &["--help"]);
    }
}

#[test]
fn errors_are_json_where_that_was_asked_for() {
    let host = TestEnvironment::new();
    let s = bound(&host, &quick());
    let empty = host.path("empty");
    std::fs::create_dir(&empty).expect("a fresh directory can be filled");
    for (dir, args, code) in [
        (&empty, &["status"] as &[&str], 1),
        (&empty, &["deploy", "--yes"], 1),
        (&s.app.dir, &["back", "--yes"], 1),
        (&s.app.dir, &["back", "--to", "nowhere", "--yes"], 1),
        (&s.app.dir, &["deploy", "nowhere"], 1),
        (&s.app.dir, &["show", "99"], 1),
        (&s.app.dir, &["deploy", "--reason", "Gitroll-To: x"], 2),
    ] {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        let answer = host.gitroll_in(dir, &args);
        let document = answer.exit(code).json();
        assert_eq!(document["gitroll"], 1, "{document}");
        assert_eq!(document["exit"], code, "{document}");
        assert_eq!(document["command"], args[0], "{document}");
        assert!(document["error"]["message"].as_str().is_some_and(|m| !m.is_empty()), "{document}");
        assert!(document["error"]["next"].is_array(), "{document}");
    }
}
