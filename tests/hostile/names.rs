//! Names and texts from the repository: never a shell's words, never an option, never a terminal's orders.

use super::*;

const NAMES: [&str; 8] = [
    "v1;touch${IFS}pwned;-stable",
    "$(touch${IFS}pwned)-stable",
    "`touch${IFS}pwned`-stable",
    "v9|touch${IFS}pwned-stable",
    "v9&touch-stable",
    "v9\u{202e}0.1v-stable",
    "v9\u{200b}.0-stable",
    "'quoted\"-stable",
];

#[test]
fn unsafe_tag_names_are_skipped_shown_escaped_and_never_run() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let first = s.app.git(&["rev-parse", "v1.0.0-stable^{commit}"]);
    for name in NAMES {
        s.app.git(&["tag", "--no-sign", "-a", "-m", name, "--", name, &first]);
    }
    let object = s.app.git(&["rev-parse", "v1.0.0-stable"]);
    s.app.git(&["update-ref", "refs/tags/-x-stable", &object]);
    every_command(&s);
    let targets = host.gitroll(&["targets"]);
    targets.exit(0).stdout_has("\\u{202e}").stdout_has("\\u{200b}").stdout_has("touch${IFS}pwned");
    for name in NAMES.iter().chain(&["-x-stable"]) {
        let answer = host.gitroll(&["back", "--yes", &format!("--to={name}")]);
        assert!(matches!(answer.code, Some(1 | 10)), "{name}: {}", answer.transcript());
        let answer = host.gitroll(&["deploy", "--plan", "--", name]);
        assert!(answer.code != Some(70), "{name}: {}", answer.transcript());
    }
    host.gitroll(&["back", "--to", "last-stable", "--plan"])
        .exit(0)
        .stderr_has("to       v1.0.0-stable");
    for dir in [&s.app.dir, &host.path("home"), &host.path("tmp")] {
        assert!(!dir.join("pwned").exists(), "a name was run");
    }
}

#[test]
fn an_old_tag_object_under_a_newer_name_is_skipped() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let object = s.app.git(&["rev-parse", "v1.0.0-stable"]);
    s.app.git(&["update-ref", "refs/tags/v2.0.0-stable", &object]);
    host.gitroll(&["back", "--to", "v2.0.0-stable", "--yes"]).exit(10).stderr_has("v1.0.0-stable");
    host.gitroll(&["back", "--to", "last-stable", "--plan"])
        .exit(0)
        .stderr_has("to       v1.0.0-stable");
}

#[test]
fn a_branch_with_the_tags_name_does_not_take_its_place() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    s.app.git(&["checkout", "-q", "--orphan", "evil"]);
    let evil = s.app.commit_version("6.6.6", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", "main"]);
    s.app.git(&["update-ref", "refs/heads/v1.0.0-stable", &evil]);
    s.app.git(&["update-ref", "refs/v1.0.0-stable", &evil]);
    host.gitroll(&["back", "--to", "v1.0.0-stable", "--yes"]).exit(0);
    s.serves("1.0.0");
}

#[test]
fn a_stable_tag_that_was_moved_is_not_taken() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    s.app.git(&["checkout", "-q", "--orphan", "evil"]);
    let evil = s.app.commit_version("6.6.6", Behaviour::Good);
    s.app.git(&["checkout", "-q", "-f", "--detach", "main"]);
    s.app.git(&["tag", "-f", "--no-sign", "-a", "-m", "moved", "v1.0.0-stable", &evil]);
    let before = s.app.state();
    let answer = host.gitroll(&["back", "--to", "last-stable", "--yes"]);
    answer.exit(1).stderr_has("skipped  v1.0.0-stable").stderr_has("now points elsewhere");
    before.assert_same(&s.app.state());
    // The state itself is still known.
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.0.0");
}

#[test]
fn what_is_no_plain_release_tag_is_skipped_with_its_reason() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let first = s.app.git(&["rev-parse", "v1.0.0-stable^{commit}"]);
    s.app.git(&["tag", "--no-sign", "v3.0.0-stable", &first]);
    s.app.git(&["tag", "--no-sign", "-a", "-m", "x", "v3.1.0-stable", "v1.0.0-stable"]);
    s.app.git(&[
        "tag",
        "--no-sign",
        "-a",
        "-m",
        "x",
        "v3.2.0-stable",
        &format!("{first}^{{tree}}"),
    ]);
    s.app.git(&[
        "tag",
        "--no-sign",
        "-a",
        "-m",
        "x",
        "v3.3.0-stable",
        &format!("{first}:server.js"),
    ]);
    s.app.git(&["tag", "--no-sign", "-a", "-m", "x", "v3.4.0-stable", &first]);
    let targets = host.gitroll(&["targets"]);
    targets.exit(0).stdout_has("lightweight").stdout_has("unsigned");
    for n in 0..5 {
        let name = format!("v3.{n}.0-stable");
        targets.stdout_has(&name);
        host.gitroll(&["back", "--to", &name, "--yes"]).exit(10).stderr_has(&name);
    }
    host.gitroll(&["back", "--to", "last-stable", "--yes"]).exit(0);
    s.serves("1.0.0");
}

#[test]
fn orders_to_a_terminal_are_shown_not_given() {
    let order = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}evil";
    let host = TestEnvironment::new();
    let config = AppConfig::default().settle(1, "100ms").timeout("3s");
    let s = Scenario::bound(&host, Fixture::Plain, &config);
    s.app.git(&["config", "user.name", &format!("Eve {order}")]);
    // The build, the version, the messages and the app's own log say it too.
    let said = format!(
        "process.stderr.write({order:?}.replace(/x/g,'') + ' Error: said by the build\\n');\n"
    );
    let said = said
        .replace("\\u{1b}", "\\u001b")
        .replace("\\u{7}", "\\u0007")
        .replace("\\u{9b}", "\\u009b")
        .replace("\\u{202e}", "\\u202e");
    s.app.write("build.js", &format!("{said}{}", s.app.read("build.js")));
    s.app.commit(&format!("Add {order}"));
    s.app.git(&["tag", "--no-sign", "-a", "-m", order, "v0.9.0-stable"]);
    let because = format!("because {order}");
    host.gitroll(&["deploy", "HEAD", "--yes", "--reason", &because])
        .exit(2)
        .stderr_has("\\u{1b}")
        .never_says("\u{1b}");
    host.gitroll(&["deploy", "HEAD", "--yes"]).exit(0).never_says("\u{1b}").never_says("\u{202e}");
    every_command(&s);
    for answer in
        [s.release("1.1.0", Behaviour::BuildFails), s.release("1.2.0", Behaviour::ThrowsAtBoot)]
    {
        answer.fails().never_says("\u{1b}").never_says("\u{9b}").never_says("\u{202e}");
    }
    every_command(&s);
    host.gitroll(&["log"]).exit(0).never_says("\u{1b}");
}

#[test]
fn a_stable_tag_that_was_deleted_is_missed_and_can_be_restored() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    s.promote("v1.1.0");
    s.release("1.2.0", Behaviour::Good).exit(0);
    let object = s.app.git(&["rev-parse", "v1.1.0-stable"]);
    s.app.git(&["tag", "-d", "v1.1.0-stable"]);
    let restore = format!("git update-ref refs/tags/v1.1.0-stable {object}");
    host.gitroll(&["back", "--to", "last-stable", "--plan"])
        .exit(0)
        .stderr_has("v1.1.0-stable, promoted by record #")
        .stderr_has("is gone")
        .stderr_has(&restore);
    let words: Vec<&str> = restore.split(' ').skip(1).collect();
    s.app.git(&words);
    host.gitroll(&["back", "--to", "last-stable", "--yes"]).exit(0).stderr_lacks("is gone");
    s.serves("1.1.0");
}

#[test]
fn a_tag_that_moves_while_a_person_is_asked_stops_the_rollback() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let mut terminal = host.gitroll_on_terminal(&["back", "--to", "last-stable"]);
    terminal.expect("Go back?");
    s.app.git(&["update-ref", "refs/tags/v1.0.0-stable", "HEAD"]);
    terminal.answer("y");
    let (code, screen) = terminal.finish();
    assert_eq!(code, 10, "{screen}");
    assert!(screen.contains("v1.0.0-stable moved during planning"), "{screen}");
    s.serves("1.1.0");
}
