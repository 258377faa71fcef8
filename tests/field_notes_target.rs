//! How rollback tools choose a wrong target, each case once. Most of them end there with exit 0 and a wrong
//! or dead service.

use crate::support::*;

fn quick() -> AppConfig {
    AppConfig::default().settle(2, "400ms").timeout("10s").without_builds()
}

/// The commit that `back` with these arguments would go to, and that nothing else is done.
#[track_caller]
fn planned(host: &TestEnvironment, args: &[&str]) -> String {
    let args = [&["back", "--plan", "--json"], args].concat();
    let answer = host.gitroll(&args);
    let json = answer.exit(0).json();
    json["result"]["to"]["commit"].as_str().expect("a plan names its target").to_owned()
}

/// How `targets` speaks of a name or commit, each time it does.
#[track_caller]
fn standings(host: &TestEnvironment, what: &str) -> Vec<String> {
    let json = host.gitroll(&["targets", "--json"]).exit(0).json();
    let all = json["result"]["targets"].as_array().expect("targets are a list").clone();
    let same = |t: &&serde_json::Value| t["name"] == what || t["commit"] == what;
    all.iter().filter(same).map(|t| t["standing"].to_string()).collect()
}

/// 1.0.0 is stable, 1.1.0 was left by `back`. Returns 1.1.0's commit.
#[track_caller]
fn left_by_back(s: &Scenario<'_>) -> String {
    s.release("1.1.0", Behaviour::Good).exit(0);
    let bad = s.app.head();
    s.host.gitroll(&["back", "--yes", "--reason", "loses uploads"]).exit(0);
    s.serves("1.0.0");
    bad
}

#[test]
fn touching_an_old_release_changes_no_target_and_nothing_is_deleted() {
    let host = TestEnvironment::new();
    let config = AppConfig::default().settle(2, "400ms");
    let s = Scenario::serving(&host, Fixture::Plain, &config);
    s.release("1.1.0", Behaviour::Good).exit(0);
    let good = s.app.head();
    s.release("1.2.0", Behaviour::Good).exit(0);
    let kept = |s: &Scenario<'_>| {
        let find =
            "find . -path '*/gitroll/*' -name index.html | xargs grep -ho '1\\.[0-9]\\.0' | sort";
        s.host.run("sh", &["-c", find]).exit(0).text().to_owned()
    };
    assert_eq!(kept(&s), "1.0.0\n1.1.0");
    let touch = "find .git/gitroll -exec touch -d '2031-01-01' {} + ; touch server.js";
    host.run("sh", &["-c", touch]).exit(0);
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.1.0");
    assert_eq!(s.app.head(), good);
    assert!(s.app.read("dist/index.html").contains("1.1.0"));
    assert_eq!(kept(&s), "1.0.0\n1.2.0");
}

#[test]
fn a_build_that_failed_once_and_was_retried_leaves_nothing_half_built() {
    let host = TestEnvironment::new();
    let out_of_order = host.path("npm-is-out-of-order");
    let npm = host.run("sh", &["-c", "command -v npm"]).exit(0).text().to_owned();
    let broken = "mkdir -p dist && echo half >dist/index.html && exit 1";
    host.fake_tool(
        "npm",
        &format!(
            "#!/bin/sh\n[ ! -e {} ] || {{ {broken}; }}\nexec {npm} \"$@\"\n",
            out_of_order.display()
        ),
    );
    let config = AppConfig::default().settle(2, "400ms");
    let s = Scenario::serving(&host, Fixture::Plain, &config);
    std::fs::write(&out_of_order, "").expect("the host's directory is writable");
    s.release("1.1.0", Behaviour::Good).exit(1).stderr_has("nothing was changed");
    s.serves("1.0.0");
    std::fs::remove_file(&out_of_order).expect("it was just written");
    let tried = s.app.git(&["rev-parse", "main"]);
    host.gitroll(&["deploy", &tried, "--yes"]).exit(0);
    assert!(s.app.read("dist/index.html").contains("1.1.0"));
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.0.0");
    assert!(s.app.read("dist/index.html").contains("1.0.0"));
}

#[test]
fn going_back_twice_goes_further_back_and_never_returns_to_the_bad_one() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    s.release("1.1.0", Behaviour::Good).exit(0);
    s.release("1.2.0", Behaviour::Good).exit(0);
    for version in ["1.1.0", "1.0.0"] {
        host.gitroll(&["back", "--yes"]).exit(0);
        s.serves(version);
    }
    host.gitroll(&["back", "--yes"]).exit(1).stderr_has("no version to roll back to");
    s.serves("1.0.0");
}

#[test]
fn a_failed_deploy_is_no_candidate() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick().timeout("4s"));
    s.release("1.1.0", Behaviour::ThrowsAtBoot).exit(20);
    let failed = s.app.git(&["rev-parse", "main"]);
    s.release("1.2.0", Behaviour::Good).exit(0);
    assert_eq!(standings(&host, &failed), Vec::<String>::new());
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.0.0");
}

#[test]
fn a_release_rolled_back_from_is_listed_once_as_bad_and_the_one_gone_back_to_once() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    let good = s.app.head();
    let bad = left_by_back(&s);
    s.release("1.2.0", Behaviour::Good).exit(10);
    host.gitroll(&["deploy", "main", "--yes", "--fixes", &bad]).exit(0);
    assert_eq!(standings(&host, &good).len(), 1);
    assert_eq!(standings(&host, &bad).len(), 1);
}

#[test]
fn last_stable_is_the_highest_version_whatever_name_date_or_setting_sorts_last() {
    let host = TestEnvironment::new();
    host.ssh_key();
    let s = Scenario::bound(&host, Fixture::Plain, &quick());
    s.release("1.9.0", Behaviour::Good).exit(0);
    let nine = s.app.head();
    s.promote("v1.9.0");
    s.release("1.10.0", Behaviour::Good).exit(0);
    let ten = s.app.head();
    s.promote("v1.10.0");
    s.release("1.11.0", Behaviour::Good).exit(0);
    let chosen = |trap: &str| {
        assert_eq!(planned(&host, &["--to", "last-stable"]), ten, "with {trap}");
    };
    chosen("1.9 sorted after 1.10");
    s.app.git(&["tag", "--no-sign", "zzz-stable", &nine]);
    s.app.git(&["tag", "--no-sign", "v9.9.9-stable", &nine]);
    chosen("lightweight tags");
    assert!(standings(&host, "v9.9.9-stable")[0].contains("lightweight"));
    s.app.git(&["tag", "-s", "-m", "x", "v2.0.0-unstable", &nine]);
    chosen("v2.0.0-unstable");
    s.app.git(&["tag", "-s", "-m", "x", "nightly-stable", &nine]);
    chosen("a name that is no version");
    let mut future = host.command("git");
    future.args(["tag", "-s", "-m", "x", "v1.9.1-stable", &nine]);
    future.env("GIT_COMMITTER_DATE", "4070908800 +0000");
    Answer::of(future, std::time::Duration::from_secs(20)).exit(0);
    chosen("a tag dated in the future");
    s.app.git(&["tag", "--no-sign", "-a", "-m", "x", "v3.0.0-stable", &nine]);
    chosen("an unsigned tag");
    let never = s.app.git(&["commit-tree", "-m", "never served", &format!("{ten}^{{tree}}")]);
    s.app.git(&["tag", "-s", "-m", "x", "v4.0.0-stable", &never]);
    chosen("a tag that never served here");
    for order in ["-version:refname", "version:refname", "-creatordate"] {
        s.app.git(&["config", "tag.sort", order]);
        chosen(&format!("tag.sort={order}"));
    }
}

#[test]
fn a_branch_with_the_tags_name_is_never_deployed_instead() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    let good = s.app.head();
    s.release("1.1.0", Behaviour::Good).exit(0);
    let impostor = s.app.head();
    s.app.git(&["update-ref", "refs/heads/v1.0.0-stable", &impostor]);
    assert_eq!(planned(&host, &["--to", "last-stable"]), good);
    assert_eq!(planned(&host, &["--to", "v1.0.0-stable"]), good);
    let answer = host.gitroll(&["deploy", "v1.0.0-stable", "--plan", "--json"]);
    if answer.code == Some(0) {
        assert_eq!(answer.json()["result"]["to"]["commit"], good.as_str());
    } else {
        answer.exit(10);
    }
}

#[test]
fn an_empty_ref_file_is_said_and_never_silently_passed_over() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    s.release("1.1.0", Behaviour::Good).exit(0);
    let good = s.app.head();
    s.promote("v1.1.0");
    s.release("1.2.0", Behaviour::Good).exit(0);
    s.app.write(".git/refs/tags/v1.1.0-stable", "");
    // git's own listing passes over it with status 0.
    assert!(!s.app.try_git(&["tag", "--list"]).exit(0).stdout.contains("v1.1.0-stable"));
    let answer = host.gitroll(&["back", "--to", "last-stable", "--plan"]);
    answer.says("v1.1.0-stable");
    host.gitroll(&["targets"]).exit(0).stdout_has("v1.1.0-stable");
    host.gitroll(&["back", "--to", "v1.1.0-stable", "--yes"]).fails();
    s.serves("1.2.0");
    assert_eq!(planned(&host, &[]), good);
}

#[test]
fn failures_never_push_the_only_good_release_out_of_what_is_kept() {
    let host = TestEnvironment::new();
    let config = AppConfig::default().settle(1, "200ms").timeout("3s");
    let s = Scenario::serving(&host, Fixture::Plain, &config);
    for patch in 1..=4 {
        s.release(&format!("1.0.{patch}"), Behaviour::BuildFails).exit(1);
    }
    for patch in 5..=6 {
        s.release(&format!("1.0.{patch}"), Behaviour::ThrowsAtBoot).exit(20);
    }
    s.release("1.1.0", Behaviour::Good).exit(0);
    host.fake_tool("npm", "#!/bin/sh\nexit 1\n");
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.0.0");
    assert!(s.app.read("dist/index.html").contains("1.0.0"));
}

#[test]
fn after_a_rollback_the_bad_commit_its_tree_and_what_contains_it_are_refused_with_the_ways_on() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    let bad = left_by_back(&s);
    let before = s.app.state();
    let refused = |what: &str| {
        let answer = host.gitroll(&["deploy", what, "--yes"]);
        answer.exit(10).stderr_has("held").stderr_has("loses uploads");
        answer.stderr_has("--fixes").stderr_has("git revert").stderr_has("gitroll unhold");
    };
    refused(&bad);
    refused("main");
    before.assert_same(&s.app.state());
    let same_tree = s.app.git(&["commit-tree", "-m", "again", &format!("{bad}^{{tree}}")]);
    refused(&same_tree);
    s.release("1.2.0", Behaviour::Good).exit(10);
    s.serves("1.0.0");
}

#[test]
fn a_deploy_that_fixes_what_is_held_lifts_the_hold() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    let bad = left_by_back(&s);
    s.release("1.2.0", Behaviour::Good).exit(10);
    let fix = s.app.git(&["rev-parse", "main"]);
    host.gitroll(&["deploy", &fix, "--fixes", &bad, "--yes"]).exit(0);
    s.serves("1.2.0");
    host.gitroll(&["status"]).exit(0).stdout_lacks("held");
    s.release("1.3.0", Behaviour::Good).exit(0);
}

#[test]
fn an_aborted_fix_is_asked_for_by_name_and_a_fix_of_nothing_is_said() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    let bad = left_by_back(&s);
    s.release("1.2.0", Behaviour::Good).exit(10);
    let fix = s.app.git(&["rev-parse", "main"]);
    Paused::at(&host, "prove before", &["deploy", &fix, "--fixes", &bad, "--yes"]).kill();
    host.gitroll(&["abort", "--yes"]).exit(0);
    s.serves("1.0.0");
    // HEAD is what serves again: that is not what was meant, and what is printed works.
    let answer = host.gitroll(&["deploy", "--fixes", &bad, "--yes"]);
    answer
        .exit(10)
        .stdout_lacks("already serves")
        .stderr_has("is not the fix")
        .stderr_has(&format!("deploy main --fixes {bad}"));
    let answer = host.gitroll(&["deploy", "main", "--fixes", &bad, "--fixes", "1", "--yes"]);
    answer.exit(0).says("--fixes 1 lifts no hold of v1.2.0");
    s.serves("1.2.0");
    // Once it serves, the same command has nothing to do.
    host.gitroll(&["deploy", "--fixes", &bad, "--yes"]).exit(0).stdout_has("already serves");
}

#[test]
fn a_git_revert_of_what_is_held_can_be_deployed() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    let bad = left_by_back(&s);
    s.app.git(&["checkout", "-q", "main"]);
    s.app.git(&["revert", "--no-edit", &bad]);
    s.release("1.2.0", Behaviour::Good).exit(0);
    s.serves("1.2.0");
    host.gitroll(&["deploy", &bad, "--yes"]).exit(10);
}

#[test]
fn an_unheld_commit_can_be_deployed_again() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    let bad = left_by_back(&s);
    host.gitroll(&["unhold", &bad, "--reason", "it was the disk"]).exit(0);
    host.gitroll(&["deploy", &bad, "--yes"]).exit(0);
    s.serves("1.1.0");
    assert_eq!(standings(&host, &bad), ["{\"is\":\"serving\"}"]);
}

#[test]
fn a_bad_baseline_does_not_block_a_fix_forward() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    s.release("1.1.0", Behaviour::Good).exit(0);
    s.app.sour("1.1.0");
    s.release("1.2.0", Behaviour::Good).exit(0);
    s.serves("1.2.0");
}

#[test]
fn a_deploy_that_ended_on_an_older_state_is_not_told_as_success() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick().timeout("5s"));
    s.release("1.1.0", Behaviour::Good).exit(0);
    s.app.sour("1.1.0");
    let answer = s.release("1.2.0", Behaviour::ThrowsAtBoot);
    answer.exit(20).stderr_has("Not the requested version").stderr_has("v1.0.0-stable");
    s.serves("1.0.0");
}
