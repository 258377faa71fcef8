//! The bad night: what is compared before and after a rollback, and in what order it is shown.

use super::*;

/// 1.1.0 with everything in it that may break an app, deployed.
fn release_everything(s: &Scenario<'_>) -> String {
    let app = &s.app;
    app.write("package-lock.json", &lock(3, &[("express", "5.0.1"), ("ms", "2.1.3")]));
    app.write("app/upload/route.js", "one\n2\nthree\nfour\n");
    let old = app.read("lib/old-name.js");
    std::fs::remove_file(app.dir.join("lib/old-name.js")).expect("it is there");
    app.write("lib/new-name.js", &old.replace("line 7\n", "line seven\n"));
    app.write("migrations/0002_orders.sql", "create table orders();\n");
    app.write("config/production.json", "{ \"pool\": 5 }\n");
    let port = app.port.number();
    app.write(".env", &format!("PORT={port}\nNEW_TOKEN=hunter2\n"));
    s.release_kept("1.1.0").exit(0);
    app.head()
}

fn before(s: &Scenario<'_>) {
    let port = s.app.port.number();
    s.app.write(".env", &format!("PORT={port}\nOLD_URL=postgres://bob:hunter2@db/x\n"));
    s.release_kept("1.0.1").exit(0);
    s.promote("v1.0.1");
}

#[test]
fn before_a_rollback_what_serves_is_compared_with_the_last_good_state_suspects_first() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    before(&s);
    let bad = release_everything(&s);
    let answer = host.gitroll(&["diff", "--json"]);
    let result = answer.exit(0).json()["result"].clone();
    assert_eq!(result["from"]["name"], "v1.0.1-stable");
    assert_eq!(result["from"]["role"], "last good");
    assert_eq!(result["to"]["commit"], bad.as_str());
    assert_eq!(result["to"]["role"], "serves");
    assert_eq!(
        suspects(&answer, ""),
        [
            "OLD_URL",
            "migrations/0002_orders.sql",
            "express",
            "config/production.json",
            "NEW_TOKEN",
            "ms",
            "app/upload/route.js",
            "lib/new-name.js",
        ]
    );
    let express = &result["suspects"][2];
    assert_eq!((&express["from"], &express["to"]), (&"4.18.2".into(), &"5.0.1".into()));
    assert_eq!(express["why"], "direct, major");
    assert_eq!(result["environment"]["added"], serde_json::json!(["NEW_TOKEN"]));
    let commit = &result["commits"]["gained_commits"][0];
    assert_eq!(commit["subject"], "Release 1.1.0");
    assert!(commit["touches"].as_array().expect("a list").contains(&"package-lock.json".into()));

    let text = host.gitroll(&["diff"]);
    text.exit(0)
        .stdout_has("express 4.18.2 → 5.0.1 ")
        .stdout_has("direct, major")
        .stdout_has("QW-001 Parallel uploads: 1 file +2 -1")
        .stdout_has("lib/old-name.js → lib/new-name.js (")
        .stdout_has("Release 1.1.0")
        .never_says("hunter2");
    let at =
        |what: &str| text.stdout.find(what).unwrap_or_else(|| panic!("{what}: {}", text.stdout));
    assert!(at("suspects (") < at("QW-001 Parallel") && at("the rest:") < at("commits ("));
}

#[test]
fn after_a_rollback_what_was_left_is_compared_with_what_serves() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    before(&s);
    let bad = release_everything(&s);
    // Somebody tries something while it is bad: that counts as well.
    let env = s.app.read(".env");
    s.app.write(".env", &format!("{env}LATER=hunter2\n"));
    host.gitroll(&["back", "--yes"]).exit(0).stdout_has("gitroll diff");
    let answer = host.gitroll(&["diff", "--json"]);
    let result = answer.exit(0).json()["result"].clone();
    assert_eq!(result["from"]["name"], "v1.0.1-stable");
    assert_eq!(result["from"]["role"], "serves");
    assert_eq!(result["to"]["commit"], bad.as_str());
    assert!(result["to"]["role"].as_str().expect("a text").starts_with("left by #"));
    assert_eq!(suspects(&answer, "environment"), ["OLD_URL", "LATER, NEW_TOKEN"]);
    assert_eq!(result["commits"]["gained_commits"][0]["held"], true);
    // The way round is a question too.
    let other = host.gitroll(&["diff", &bad, "HEAD", "--json"]);
    let result = other.exit(0).json()["result"].clone();
    assert_eq!(result["commits"]["lost"], 1);
    assert_eq!(result["commits"]["gained"], 0);
}

#[test]
fn a_deploy_that_failed_is_compared_with_what_serves() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    s.app.write("app/upload/route.js", "broken\n");
    let serving = s.app.head();
    let tried = s.app.commit_version("1.1.0", Behaviour::ThrowsAtBoot);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    host.gitroll(&["deploy", &tried, "--yes"]).exit(20);
    let result = host.gitroll(&["diff", "--json"]).exit(0).json()["result"].clone();
    assert_eq!(result["from"]["commit"], serving.as_str());
    assert_eq!(result["to"]["commit"], tried.as_str());
    assert!(result["to"]["role"].as_str().expect("a text").starts_with("tried by #"));
}

#[test]
fn what_is_pasted_into_the_channel_has_at_most_20_lines() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    before(&s);
    let serving = s.app.head();
    for n in 0..60 {
        s.app.write(&format!("config/{n}.json"), "{}\n");
        s.app.write(&format!("migrations/{n}.sql"), "x\n");
        s.app.commit(&format!("Add @everyone `{n}` <b>"));
    }
    let tip = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    host.gitroll(&["deploy", &tip, "--yes"]).exit(0);
    for way in [&["diff", "--since-good"] as &[&str], &["diff", "--since-good", "--markdown"]] {
        let answer = host.gitroll(way);
        answer.exit(0).stdout_has("v1.0.1-stable").stdout_has("suspects (12").stdout_has("more");
        let lines = answer.stdout.lines().count();
        assert!((15..=20).contains(&lines), "{lines} lines:\n{}", answer.stdout);
    }
    let page = host.gitroll(&["diff", "--since-good", "--markdown"]).exit(0).stdout.clone();
    assert!(page.contains("`Add @everyone '59' <b>`"), "{page}");
    host.gitroll(&["diff", "--since-good", "HEAD"]).exit(2);
}

#[test]
fn a_clone_without_a_binding_sees_the_same() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    before(&s);
    release_everything(&s);
    let clone = host.path("laptop");
    let place = clone.to_str().expect("temporary paths are UTF-8");
    s.app.git(&["clone", "-q", ".", place]);
    s.app.git(&["-C", place, "fetch", "-q", "origin", "refs/gitroll/*:refs/gitroll/*"]);
    let there = |args: &[&str]| host.gitroll_in(&clone, args).exit(0).json()["result"].clone();
    let home = host.gitroll(&["diff", "--json"]).exit(0).json()["result"].clone();
    let laptop = there(&["diff", "--json"]);
    for part in ["from", "to", "suspects", "parts", "commits"] {
        assert_eq!(laptop[part], home[part], "{part}");
    }
    host.gitroll(&["back", "--yes"]).exit(0);
    s.app.git(&["-C", place, "fetch", "-q", "origin", "refs/gitroll/*:refs/gitroll/*"]);
    assert!(there(&["diff", "--json"])["to"]["role"].as_str().is_some_and(|r| r.contains("left")));
}

#[test]
fn a_component_alone_is_shown_with_its_own_files_flag_and_commits() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    before(&s);
    s.app.write("elsewhere.js", "x\n");
    s.app.commit("Elsewhere");
    let port = s.app.port.number();
    s.app.write(".env", &format!("PORT={port}\nENABLE_UPLOADS=true\n"));
    s.app.write("app/upload/route.js", "changed\n");
    let tip = s.app.commit("Uploads");
    s.app.git(&["checkout", "-q", "--detach", "HEAD~2"]);
    host.gitroll(&["deploy", &tip, "--yes"]).exit(0);
    let answer = host.gitroll(&["diff", "--component", "QW-001", "--json"]);
    let result = answer.exit(0).json()["result"].clone();
    assert_eq!(result["totals"]["files"], 1);
    assert_eq!(suspects(&answer, ""), ["ENABLE_UPLOADS", "app/upload/route.js"]);
    let subjects: Vec<&str> = result["commits"]["gained_commits"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|commit| commit["subject"].as_str())
        .collect();
    assert_eq!(subjects, ["Uploads"]);
    host.gitroll(&["diff", "--component", "QW-002"])
        .exit(1)
        .stderr_has("no component")
        .stderr_has("gitroll diff --component QW-001");
}
