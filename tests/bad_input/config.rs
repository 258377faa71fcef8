//! gitroll.toml and host.toml in every wrong shape.

use std::fs;

use super::*;

/// What is wrong, and what the message must hold.
const SHAPES: [(&str, &[&str]); 22] = [
    ("", &["gitroll.toml:1:1", "needs \"app\""]),
    ("app", &["gitroll.toml:1:"]),
    ("[app", &["gitroll.toml:1:"]),
    ("app = 3\n", &["gitroll.toml:1:", "app"]),
    ("app = []\n", &["gitroll.toml:1:", "app"]),
    ("[app]\n", &["name"]),
    ("[app]\nname = 3\n", &["gitroll.toml:2:8", "name"]),
    ("[app]\nname = \"\"\n", &["gitroll.toml:2:8"]),
    ("[app]\nname = \"a/../b\"\n", &["gitroll.toml:2:8"]),
    ("[app]\nname = \"a\"\nname = \"b\"\n", &["gitroll.toml:3:"]),
    ("[app]\nnmae = \"a\"\n", &["gitroll.toml:2:1", "name"]),
    ("[app]\nname = \"a\"\nlayout = \"sideways\"\n", &["gitroll.toml:3:10", "in-place"]),
    ("[app]\nname = \"a\"\n[chekc]\n", &["gitroll.toml:3:", "check"]),
    ("[app]\nname = \"a\"\n[check]\nname = \"x\"\n", &["gitroll.toml:3:"]),
    ("[app]\nname = \"a\"\n[[check]]\nname = \"x\"\nhttp = \"ftp://h/\"\n", &["gitroll.toml:5:8"]),
    (
        "[app]\nname = \"a\"\n[[check]]\nname = \"x\"\nhttp = \"http://h/\"\ntimeout = \"soon\"\n",
        &["gitroll.toml:6:11"],
    ),
    (
        "[app]\nname = \"a\"\n[[build]]\nname = \"d\"\nrun = \"npm ci\"\noutputs = [\"x\"]\n",
        &["gitroll.toml:5:7"],
    ),
    (
        "[app]\nname = \"a\"\n[[build]]\nname = \"d\"\nrun = [[\"x\"]]\noutputs = [\"../out\"]\n",
        &["gitroll.toml:6:12"],
    ),
    (
        "[app]\nname = \"a\"\n[[build]]\nname = \"d\"\nrun = [[\"x\"]]\noutputs = [\".git/hooks\"]\n",
        &["gitroll.toml:6:12"],
    ),
    ("[app]\nname = \"a\"\n[service.web]\nmanager = \"forever\"\n", &["gitroll.toml:4:11", "pm2"]),
    (
        "[app]\nname = \"a\"\n[service.web]\nmanager = \"process\"\n",
        &["gitroll.toml:3:", "command"],
    ),
    ("[app]\nname = \"a\"\n[component.X]\npaths = [\"/etc/**\"]\n", &["gitroll.toml:4:10"]),
];

#[test]
fn every_wrong_shape_is_named_by_line_and_column() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.commit_version("1.0.0", Behaviour::Good);
    for (text, wanted) in SHAPES {
        app.write("gitroll.toml", text);
        let before = app.state();
        let answer = host.gitroll(&["init", "--yes"]);
        answer.exit(1);
        wanted.iter().for_each(|part| {
            answer.stderr_has(part);
        });
        before.assert_same(&app.state());
    }
    fs::write(app.dir.join("gitroll.toml"), b"[app]\nname = \"\xff\xfe\"\n").expect("writable");
    host.gitroll(&["init", "--yes"]).exit(1).stderr_has("gitroll.toml");
    fs::remove_file(app.dir.join("gitroll.toml")).expect("writable");
    fs::create_dir(app.dir.join("gitroll.toml")).expect("writable");
    host.gitroll(&["init", "--yes"]).exit(1).stderr_has("gitroll.toml");
    assert!(!host.path("gitroll/host.toml").exists(), "a binding was written");
}

#[test]
fn all_problems_of_a_file_are_told_at_once() {
    let host = TestEnvironment::new();
    let s = bound(&host, &quick());
    s.app.write(
        "gitroll.toml",
        "[app]\nnmae = \"a\"\n[stable]\nmin_served = \"soon\"\n[rto]\ncode = 5\n",
    );
    s.app.commit("Break the configuration");
    let places = ["gitroll.toml", ":2:1", ":4:14", ":6:8"];
    refused(&s, &["deploy", "--yes"], 1, &places);
    // What was accepted stands: going back and looking do not need the broken file.
    host.gitroll(&["status"]).exit(0);
    refused(&s, &["back", "--yes"], 1, &["no version to roll back to"]);
}

#[test]
fn a_revision_without_a_configuration_uses_the_accepted_one_and_says_so() {
    let host = TestEnvironment::new();
    let s = bound(&host, &quick());
    s.app.git(&["rm", "-q", "gitroll.toml"]);
    s.app.commit("Lose the configuration");
    host.gitroll(&["deploy", "--plan"]).exit(0).says("has no gitroll.toml");
}

#[test]
fn a_broken_binding_is_named() {
    let host = TestEnvironment::new();
    let s = bound(&host, &quick());
    let file = host.path("gitroll/host.toml");
    let good = fs::read_to_string(&file).expect("init wrote it");
    for broken in [
        "".to_owned(),
        "[".to_owned(),
        good.replace("environment", "enviroment"),
        good.replace("production", "../production"),
        good.replace("path = \"/", "path = \"relative/"),
        format!("{good}\nsomething_else = 1\n"),
    ] {
        fs::write(&file, broken).expect("the binding is writable");
        refused(&s, &["deploy", "--yes"], 1, &["host.toml"]);
    }
    fs::write(&file, good).expect("the binding is writable");
    host.gitroll(&["deploy", "--plan"]).exit(0);
}

#[test]
fn a_configuration_that_cannot_prove_anything_is_refused() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    let port = app.port.number();
    app.write(
        "gitroll.toml",
        &format!(
            "[app]\nname = \"plain-app\"\n[[check]]\nname = \"api\"\nhttp = \"http://127.0.0.1:{port}/\"\n"
        ),
    );
    app.commit_version("1.0.0", Behaviour::Good);
    host.gitroll(&["init", "--yes"]).exit(0);
    let s = Scenario { host: &host, app };
    refused(
        &s,
        &["deploy", "--yes"],
        1,
        &["can distinguish the intended version", "prove = \"weak\""],
    );
}
