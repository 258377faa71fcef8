//! `gitroll component`: one component's files go back, the rest serves on.

use std::os::unix::fs::{PermissionsExt, symlink};

use crate::support::*;

/// Two components of the plain app; the second one's paths have a file in the first one's directory.
const COMPONENTS: &str = r#"
[component.QW-001]
title = "Parallel uploads"
paths = ["features/upload/**"]
flag = { name = "ENABLE_PARALLEL_UPLOADS", off = "false" }

[component.GAP-002]
paths = ["features/search/**"]
"#;

fn config() -> AppConfig {
    AppConfig::default().without_builds().and(COMPONENTS)
}

/// 1.0.0, made like this, deployed and promoted.
#[track_caller]
fn first<'h>(
    host: &'h TestEnvironment,
    config: &AppConfig,
    make: impl FnOnce(&App<'h>),
) -> Scenario<'h> {
    let app = host.app(Fixture::Plain);
    app.configure(config);
    make(&app);
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s.promote("v1.0.0");
    s
}

/// 1.0.0 promoted, then 1.1.0, in which both components changed.
fn two_releases(host: &TestEnvironment) -> Scenario<'_> {
    let scenario = first(host, &config(), |app| {
        feature(app, "upload", "one at a time");
        feature(app, "search", "by name");
        app.write("features/upload/removed.js", "module.exports = 'still needed';\n");
    });
    let second = deploy(&scenario, "1.1.0", |app| {
        feature(app, "upload", "all at once");
        feature(app, "search", "by everything");
        std::fs::remove_file(app.dir.join("features/upload/removed.js")).expect("it is there");
        app.write("features/upload/added.js", "module.exports = 'new';\n");
    });
    second.exit(0);
    scenario
}

fn feature(app: &App<'_>, name: &str, answer: &str) {
    app.write(&format!("features/{name}/index.js"), &format!("module.exports = '{answer}';\n"));
}

/// A version on top of `main`, changed like this, deployed from what serves.
#[track_caller]
fn deploy(s: &Scenario<'_>, version: &str, change: impl FnOnce(&App<'_>)) -> Answer {
    let revision = commit(s, version, change);
    s.host.gitroll(&["deploy", &revision, "--yes"])
}

/// A version on top of `main`, changed like this; what is checked out stays.
#[track_caller]
fn commit(s: &Scenario<'_>, version: &str, change: impl FnOnce(&App<'_>)) -> String {
    let serving = s.app.head();
    s.app.git(&["checkout", "-q", "main"]);
    change(&s.app);
    let revision = s.app.commit_version(version, Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    revision
}

#[track_caller]
fn answers(s: &Scenario<'_>, name: &str, wanted: &str) {
    let answer = http_get(&s.app.url(&format!("/features/{name}"))).expect("the app answers");
    assert_eq!(answer.body.trim(), wanted, "/features/{name}");
}

#[test]
fn only_the_components_files_go_back_and_are_served() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let live = s.app.head();
    answers(&s, "upload", "all at once");
    host.gitroll(&["component", "QW-001", "--yes", "--reason", "uploads time out"])
        .exit(0)
        .stderr_has("1 changed, 1 removed, 1 restored")
        .stdout_has("v1.1.0~QW-001 observed serving")
        .stdout_has("held     QW-001 as in v1.1.0")
        .stdout_has("gitroll back --undo");
    answers(&s, "upload", "one at a time");
    answers(&s, "search", "by everything");
    s.serves("1.1.0");
    assert!(!s.app.has("features/upload/added.js") && s.app.has("features/upload/removed.js"));
    assert_eq!(s.app.git(&["status", "--porcelain"]), "");
    assert_eq!(s.app.git(&["rev-parse", "HEAD^"]), live, "a child of what served");
    let outside = ["diff", "--name-only", "HEAD", &live, "--", ".", ":!features/upload"];
    assert_eq!(s.app.git(&outside), "");
    assert_eq!(s.app.git(&["diff", "HEAD", "v1.0.0-stable", "--", "features/upload"]), "");
    let base = ["log", "-1", "--format=%(trailers:key=Gitroll-Base,valueonly)"];
    assert_eq!(s.app.git(&base), live);
    host.gitroll(&["log"]).exit(0).stdout_has("component").stdout_has("uploads time out");
    host.gitroll(&["status"]).exit(0).stdout_has("v1.1.0~QW-001").stdout_has("QW-001 of ");
}

#[test]
fn the_list_says_how_each_component_stands() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let listed = host.gitroll(&["component"]);
    listed
        .exit(0)
        .stdout_has("changed (3 files)")
        .stdout_has("ENABLE_PARALLEL_UPLOADS")
        .stdout_has("Parallel uploads");
    host.gitroll(&["component", "QW-001", "--yes"]).exit(0);
    let json = host.gitroll(&["component", "--json"]).json();
    let line = &json["result"]["components"][0];
    assert_eq!(line["state"], "same");
    assert_eq!(line["held_by"].as_array().map(Vec::len), Some(1), "{line}");
    assert_eq!(json["result"]["components"][1]["state"], "changed");
    s.serves("1.1.0");
}

#[test]
fn a_deploy_that_brings_the_same_content_back_is_refused_and_a_changed_one_is_not() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    host.gitroll(&["component", "QW-001", "--yes"]).exit(0);
    let same = commit(&s, "1.2.0", |app| app.write("other.txt", "unrelated\n"));
    let refused = host.gitroll(&["deploy", &same, "--yes"]);
    refused
        .exit(10)
        .stderr_has("contains QW-001 in a version that was marked bad")
        .stderr_has("--keep-component QW-001")
        .stderr_has("--fixes ")
        .stderr_has("gitroll unhold ");
    answers(&s, "upload", "one at a time");
    deploy(&s, "1.3.0", |app| feature(app, "upload", "two at once")).exit(0);
    answers(&s, "upload", "two at once");
    s.serves("1.3.0");
}

#[test]
fn the_hold_outlives_the_component_in_the_configuration() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    host.gitroll(&["component", "QW-001", "--yes"]).exit(0);
    let without = |app: &App<'_>| app.configure(&AppConfig::default().without_builds());
    let revision = commit(&s, "1.2.0", without);
    host.gitroll(&["deploy", &revision, "--yes"]).exit(10).stderr_has("QW-001");
}

#[test]
fn keep_component_deploys_the_revision_with_the_good_files() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    host.gitroll(&["component", "QW-001", "--yes"]).exit(0);
    let revision = commit(&s, "1.2.0", |app| feature(app, "search", "by meaning"));
    let kept = ["deploy", &revision, "--keep-component", "QW-001", "--yes"];
    host.gitroll(&kept).exit(0).stdout_has("v1.2.0~QW-001 observed serving");
    s.serves("1.2.0");
    answers(&s, "upload", "one at a time");
    answers(&s, "search", "by meaning");
    host.gitroll(&kept).exit(0).stdout_has("already serves");
    // Leaving it leaves the revision it was put into as well.
    host.gitroll(&["back", "--yes"]).exit(0);
    host.gitroll(&["deploy", &revision, "--keep-component", "QW-001", "--yes"]).exit(10);
}

#[test]
fn unhold_and_fixes_let_the_content_through() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let bad = s.app.head();
    host.gitroll(&["component", "QW-001", "--yes"]).exit(0);
    host.gitroll(&["deploy", &bad, "--yes"]).exit(10);
    host.gitroll(&["unhold", "QW-001", "--reason", "it was the disk"]).exit(0).stdout_has("QW-001");
    host.gitroll(&["deploy", &bad, "--yes"]).exit(0);
    answers(&s, "upload", "all at once");
    host.gitroll(&["component", "QW-001", "--yes"]).exit(0);
    let held = host.gitroll(&["component", "--json"]).json();
    let seq = held["result"]["components"][0]["held_by"][0].to_string();
    host.gitroll(&["deploy", &bad, "--fixes", &seq, "--yes"]).exit(0);
    answers(&s, "upload", "all at once");
}

#[test]
fn back_after_a_component_rollback_leaves_what_it_was_put_into_too() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let base = s.app.head();
    host.gitroll(&["component", "QW-001", "--yes"]).exit(0);
    let targets = host.gitroll(&["targets"]);
    targets.exit(0).stdout_has("contains QW-001 in a version that was marked bad");
    host.gitroll(&["back", "--yes"]).exit(0).stdout_has("v1.0.0-stable observed serving");
    s.serves("1.0.0");
    answers(&s, "search", "by name");
    host.gitroll(&["deploy", &base, "--yes"]).exit(10).stderr_has("is held");
    host.gitroll(&["back", "--undo", "--yes"]).exit(0).stdout_has("v1.1.0~QW-001");
    answers(&s, "upload", "one at a time");
    s.serves("1.1.0");
}

#[test]
fn undo_returns_to_the_content_and_lifts_its_hold() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let before = s.app.head();
    host.gitroll(&["component", "QW-001", "--yes"]).exit(0);
    host.gitroll(&["back", "--undo", "--yes"]).exit(0).stdout_has("v1.1.0 observed serving");
    assert_eq!(s.app.head(), before);
    answers(&s, "upload", "all at once");
    let json = host.gitroll(&["component", "--json"]).json();
    assert_eq!(json["result"]["components"][0]["held_by"].as_array().map(Vec::len), Some(0));
}

#[test]
fn one_component_after_the_other() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    host.gitroll(&["component", "QW-001", "--yes"]).exit(0);
    host.gitroll(&["component", "GAP-002", "--yes"])
        .exit(0)
        .stdout_has("v1.1.0~QW-001~GAP-002 observed serving");
    answers(&s, "upload", "one at a time");
    answers(&s, "search", "by name");
    s.serves("1.1.0");
    host.gitroll(&["back", "--undo", "--yes"]).exit(0);
    answers(&s, "upload", "one at a time");
    answers(&s, "search", "by everything");
    host.gitroll(&["component", "GAP-002", "--yes"]).exit(0);
    // What is held of either bars the release that has both.
    host.gitroll(&["deploy", "main", "--yes"])
        .exit(10)
        .stderr_has("in a version that was marked bad");
}

#[test]
fn what_is_edited_outside_the_component_is_left_alone() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    s.app.write("README.md", "edited on this host\n");
    s.app.write("features/upload/index.js", "module.exports = 'a hot fix';\n");
    host.gitroll(&["component", "QW-001", "--yes"])
        .exit(0)
        .stderr_has("features/upload/index.js (edited) moves to .git/gitroll/saved");
    assert_eq!(s.app.read("README.md"), "edited on this host\n");
    answers(&s, "upload", "one at a time");
}

#[test]
fn a_components_old_code_that_does_not_boot_is_taken_back() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let live = s.app.head();
    let breaks = "throw new Error('does not boot');\n";
    let broken = commit(&s, "1.1.1", |app| app.write("features/upload/index.js", breaks));
    host.gitroll(&["component", "QW-001", "--to", &broken, "--yes"])
        .exit(20)
        .stderr_has("v1.1.0")
        .stderr_has("restored, observed serving");
    assert_eq!(s.app.head(), live);
    answers(&s, "upload", "all at once");
    let json = host.gitroll(&["component", "--json"]).json();
    assert_eq!(json["result"]["components"][0]["held_by"].as_array().map(Vec::len), Some(0));
}

#[test]
fn modes_links_and_files_that_became_directories_go_back() {
    let host = TestEnvironment::new();
    let s = first(&host, &config(), |app| {
        feature(app, "upload", "one at a time");
        app.write("features/upload/run.sh", "#!/bin/sh\n");
        app.write("features/upload/thing", "a file\n");
        app.write("features/upload/place/inside", "in a directory\n");
        symlink("index.js", app.dir.join("features/upload/link")).expect("a link can be made");
    });
    let at = |path: &str| s.app.dir.join("features/upload").join(path);
    let second = deploy(&s, "1.1.0", |app| {
        std::fs::set_permissions(at("run.sh"), std::fs::Permissions::from_mode(0o755))
            .expect("ours");
        std::fs::remove_file(at("thing")).expect("ours");
        app.write("features/upload/thing/deep/er", "a directory now\n");
        std::fs::remove_dir_all(at("place")).expect("ours");
        app.write("features/upload/place", "a file now\n");
        std::fs::remove_file(at("link")).expect("ours");
        app.write("features/upload/link", "no link\n");
    });
    second.exit(0);
    host.gitroll(&["component", "QW-001", "--yes"]).exit(0);
    let mode = std::fs::metadata(at("run.sh")).expect("it is restored").permissions().mode();
    assert_eq!(mode & 0o111, 0);
    assert_eq!(s.app.read("features/upload/thing"), "a file\n");
    assert_eq!(s.app.read("features/upload/place/inside"), "in a directory\n");
    assert_eq!(std::fs::read_link(at("link")).expect("a link again").to_str(), Some("index.js"));
    assert_eq!(s.app.git(&["status", "--porcelain"]), "");
    s.app.git(&["fsck", "--strict"]);
}

#[test]
fn dependencies_whose_inputs_are_the_same_are_not_built_for_a_component() {
    let host = TestEnvironment::new();
    host.registry_away();
    let app = host.app(Fixture::Express);
    app.configure(&AppConfig::default().and(COMPONENTS));
    feature(&app, "upload", "one at a time");
    app.commit_version("1.0.0", Behaviour::Good);
    app.build_by_hand();
    let mut by_hand = app.start_by_hand();
    let s = Scenario { host: &host, app };
    // It serves, made by hand: adopted with its modules, which no build of gitroll's made.
    s.bind();
    by_hand.kill().expect("ours");
    by_hand.wait().expect("ours");
    host.gitroll(&["service", "start"]).exit(0);
    host.gitroll(&["init", "--yes"]).exit(0);
    feature(&s.app, "upload", "all at once");
    let revision = s.app.commit("features only");
    s.app.git(&["checkout", "-q", "--detach", "HEAD^"]);
    let planned = host.gitroll(&["component", "QW-001", "--to", &revision, "--plan"]);
    planned.exit(0).stderr_has("build    app\n");
    host.gitroll(&["deploy", &revision, "--plan"]).exit(0).stderr_has("build    deps");
}

#[test]
fn only_the_services_a_component_touches_are_reloaded() {
    let host = TestEnvironment::new();
    let more = "[service.worker]\nmanager = \"process\"\ncommand = [\"sleep\", \"600\"]\n\
        [component.QW-001]\npaths = [\"features/upload/**\"]\nservices = [\"web\"]\n";
    let s = first(&host, &AppConfig::default().without_builds().and(more), |app| {
        feature(app, "upload", "one at a time")
    });
    deploy(&s, "1.1.0", |app| feature(app, "upload", "all at once")).exit(0);
    let worker = || {
        let status = host.gitroll(&["status", "--json"]).json();
        let services = status["result"]["services"].as_array().expect("a list").clone();
        let worker = services.iter().find(|service| service["service"] == "worker");
        worker.expect("it is declared")["pids"].clone()
    };
    let (before, web) = (worker(), s.app.pid_served());
    host.gitroll(&["component", "QW-001", "--yes"]).exit(0);
    answers(&s, "upload", "one at a time");
    assert_eq!(worker(), before, "the worker has nothing of the component");
    assert_ne!(s.app.pid_served(), web);
}

/// 1.1.0 adds a file to the component, and a file outside begins to need it.
fn with_an_import_from_outside(host: &TestEnvironment) -> Scenario<'_> {
    let s = first(host, &config(), |app| feature(app, "upload", "one at a time"));
    let second = deploy(&s, "1.1.0", |app| {
        app.write("features/upload/queue.js", "module.exports = 'a queue';\n");
        app.write("features/search/index.js", "module.exports = require('../upload/queue');\n");
    });
    second.exit(0);
    s
}

#[test]
fn an_import_that_would_dangle_needs_force_without_a_terminal() {
    let host = TestEnvironment::new();
    let s = with_an_import_from_outside(&host);
    let before = s.app.state();
    host.gitroll(&["component", "QW-001", "--plan"]).exit(0).stderr_has("features/search/index.js");
    host.gitroll(&["component", "QW-001", "--yes"])
        .exit(2)
        .stderr_has("1 import would be missing in the new tree")
        .stderr_has("features/search/index.js")
        .stderr_has("--force");
    before.assert_same(&s.app.state());
    // It does not boot indeed: gitroll takes it back.
    host.gitroll(&["component", "QW-001", "--yes", "--force"]).exit(20);
    answers(&s, "search", "a queue");
    s.serves("1.1.0");
}

#[test]
fn an_import_that_would_dangle_is_asked_about_on_a_terminal() {
    let host = TestEnvironment::new();
    let s = with_an_import_from_outside(&host);
    let before = s.app.state();
    let mut terminal = host.gitroll_on_terminal(&["component", "QW-001", "--via", "files"]);
    terminal.expect("would be missing with the files of QW-001. Continue?").answer("");
    assert_eq!(terminal.finish().0, 1);
    before.assert_same(&s.app.state());
}

#[test]
fn what_may_not_fit_is_said_and_is_no_refusal() {
    let host = TestEnvironment::new();
    let more = "[migrate]\npaths = [\"migrations/**\"]\n\
        [component.QW-001]\npaths = [\"features/upload/**\"]\n\
        [component.ALL]\npaths = [\"features/**\"]\n";
    let s = first(&host, &AppConfig::default().without_builds().and(more), |app| {
        feature(app, "upload", "one at a time")
    });
    let second = deploy(&s, "1.1.0", |app| {
        feature(app, "upload", "all at once");
        app.write("migrations/0042_orders.sql", "create table orders ();\n");
    });
    second.exit(0);
    host.gitroll(&["component", "QW-001", "--yes"])
        .exit(0)
        .stderr_has("ALL")
        .stderr_has("migrations/0042_orders.sql");
    answers(&s, "upload", "one at a time");
}

#[test]
fn nothing_that_the_target_contains_is_judged_when_a_synthesised_commit_is_left() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let base = s.app.head();
    host.gitroll(&["component", "GAP-002", "--no-verdict", "--yes"]).exit(0);
    let left = s.app.head();
    host.gitroll(&["back", "--yes"]).exit(0).stdout_has("v1.1.0 observed serving");
    assert_eq!(s.app.head(), base);
    let status = host.gitroll(&["status", "--json"]).json();
    let held = &status["result"]["held"];
    assert_eq!(held.as_array().map(Vec::len), Some(1), "{held}");
    assert_eq!(held[0]["commit"], left, "what was left, not what serves");
    let next = commit(&s, "1.2.0", |app| app.write("other.txt", "unrelated\n"));
    host.gitroll(&["deploy", &next, "--yes"]).exit(0);
}

#[test]
fn a_state_with_the_same_files_as_what_serves_is_no_target() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    host.gitroll(&["component", "QW-001", "--yes"]).exit(0);
    host.gitroll(&["back", "--undo", "--yes"]).exit(0);
    // The same files, from another state: another commit with the same tree.
    let first = s.app.git(&["rev-parse", "v1.0.0-stable^{commit}"]);
    let other = commit(&s, "0.9.0", |app| {
        app.git(&["checkout", "-q", &first, "--", "features/upload"]);
        std::fs::remove_file(app.dir.join("features/upload/added.js")).expect("it is there");
    });
    host.gitroll(&["component", "QW-001", "--to", &other, "--yes"]).exit(0);
    host.gitroll(&["targets"]).exit(0).stdout_has("skip: same files as what serves");
    host.gitroll(&["back", "--plan"]).exit(0).stderr_has("v1.0.0-stable");
}

#[test]
fn a_deploy_that_failed_does_not_stand_between_a_rollback_and_its_undo() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    host.gitroll(&["component", "QW-001", "--yes"]).exit(0);
    let serving = s.app.head();
    s.app.git(&["checkout", "-q", "main"]);
    feature(&s.app, "upload", "two at once");
    let broken = s.app.commit_version("1.2.0", Behaviour::ThrowsAtBoot);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    host.gitroll(&["deploy", &broken, "--yes"]).exit(20).stderr_has("gitroll diff");
    host.gitroll(&["back", "--undo", "--yes"]).exit(0).stdout_has("the hold on QW-001");
    answers(&s, "upload", "all at once");
}

#[test]
fn an_undo_leaves_alone_what_the_rollback_left_alone() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    s.app.write("README.md", "edited on this host\n");
    host.gitroll(&["component", "QW-001", "--yes"]).exit(0);
    host.gitroll(&["back", "--undo", "--yes"]).exit(0);
    assert_eq!(s.app.read("README.md"), "edited on this host\n");
    answers(&s, "upload", "all at once");
}

#[test]
fn edits_of_this_host_in_a_component_that_is_the_same_go_and_a_failing_app_is_not_called_done() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let id = ["component", "QW-001", "--to", "main", "--yes"];
    s.app.write("features/upload/index.js", "module.exports = 'a hot fix';\n");
    host.gitroll(&id).exit(0).stderr_has("only edits on this host are removed");
    answers(&s, "upload", "all at once");
    assert_eq!(s.app.git(&["status", "--porcelain"]), "");
    host.gitroll(&id).exit(0).stdout_has("nothing to do");
    s.app.sour("1.1.0");
    host.gitroll(&id).exit(1).stderr_has("what serves is not healthy").stderr_has("api 500");
}

#[test]
fn a_release_left_through_its_component_rollbacks_is_held_whatever_was_undone_between() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    for args in [
        &["component", "QW-001", "--yes"] as &[&str],
        &["component", "GAP-002", "--yes"],
        &["back", "--undo", "--yes"],
        &["back", "--to", "v1.0.0-stable", "--yes"],
    ] {
        host.gitroll(args).exit(0);
    }
    s.serves("1.0.0");
    let next = commit(&s, "1.2.0", |app| feature(app, "upload", "two at once"));
    host.gitroll(&["deploy", &next, "--yes"]).exit(10).stderr_has("which is held");
}

#[test]
fn an_overlapping_component_does_not_bring_back_what_is_held() {
    let host = TestEnvironment::new();
    let all = format!("{COMPONENTS}\n[component.ALL]\npaths = [\"features/**\"]\n");
    let s = first(&host, &AppConfig::default().without_builds().and(&all), |app| {
        feature(app, "upload", "one at a time")
    });
    deploy(&s, "1.1.0", |app| feature(app, "upload", "all at once")).exit(0);
    let bad = s.app.head();
    host.gitroll(&["component", "QW-001", "--yes"]).exit(0);
    host.gitroll(&["component", "ALL", "--to", &bad, "--yes"])
        .exit(10)
        .stderr_has("contains QW-001 in a version that was marked bad");
    answers(&s, "upload", "one at a time");
    s.app.lightweight_tag("v9-stable");
    host.gitroll(&["component", "QW-001", "--to", "v9-stable", "--yes"])
        .exit(10)
        .stderr_has("gitroll component QW-001 --to ")
        .stderr_lacks("gitroll back --to");
}

#[test]
fn a_hold_is_a_suspect_where_one_of_the_states_has_what_is_held() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let bad = s.app.head();
    host.gitroll(&["component", "QW-001", "--yes"]).exit(0);
    let after = host.gitroll(&["diff", "--json"]).exit(0).json();
    let kinds = |json: &serde_json::Value| -> Vec<String> {
        let suspects = json["result"]["suspects"].as_array().expect("a list").clone();
        suspects.iter().filter_map(|s| s["kind"].as_str().map(str::to_owned)).collect()
    };
    assert!(kinds(&after).contains(&"held".to_owned()), "{after:#}");
    assert_eq!(after["result"]["to"]["commit"], bad, "what was left");
    let third = commit(&s, "1.2.0", |app| feature(app, "upload", "two at once"));
    let other = host.gitroll(&["diff", "v1.0.0-stable", &third, "--json"]).exit(0).json();
    assert!(!kinds(&other).contains(&"held".to_owned()), "neither has it: {other:#}");
}
