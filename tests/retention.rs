//! How much of the past stays on a host: bounded, and never less than the way back needs.

use std::fs;
use std::path::PathBuf;

use crate::support::*;

/// 1.0.0 serves and is promoted; little is kept.
fn forgetful(host: &TestEnvironment) -> Scenario<'_> {
    let little = "[retention]\nruns = 3\nartifacts = 1\nsaved = \"1d\"\n";
    let config = AppConfig::default().settle(1, "100ms").and(little);
    Scenario::serving(host, Fixture::Plain, &config)
}

fn names(s: &Scenario<'_>, dir: &str) -> Vec<String> {
    let entries = fs::read_dir(s.app.dir.join(".git/gitroll").join(dir)).into_iter().flatten();
    let mut names: Vec<String> =
        entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The artifacts kept beside what serves.
fn kept(s: &Scenario<'_>) -> usize {
    names(s, "store").iter().filter(|name| !name.ends_with(".json")).count()
}

/// A build would fail from now on.
fn nothing_can_be_built(host: &TestEnvironment) {
    host.fake_tool("npm", "#!/bin/sh\necho no build here >&2\nexit 1\n");
}

#[test]
fn after_many_deploys_the_bounds_hold_and_the_ways_back_need_no_build() {
    let host = TestEnvironment::new();
    let s = forgetful(&host);
    let mut counts = Vec::new();
    for minor in 1..=7 {
        s.release(&format!("1.{minor}.0"), Behaviour::Good).exit(0);
        counts.push(kept(&s));
        assert!(names(&s, "runs").len() <= 3, "{:?}", names(&s, "runs"));
    }
    // The promoted one, and three that last-good could take.
    assert_eq!(counts[4..], [4, 4, 4], "{counts:?}");
    assert_eq!(fs::read_dir(host.path(".app.gitroll")).expect("a place").count(), 0, "no stage");
    nothing_can_be_built(&host);
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.6.0");
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.5.0");
    host.gitroll(&["back", "--to", "v1.0.0-stable", "--yes"]).exit(0);
    s.serves("1.0.0");
    assert!(s.app.read("dist/index.html").contains("1.0.0"));
    host.gitroll(&["log"]).exit(0).stdout_has("v1.1.0");
}

#[test]
fn the_only_good_one_stays_through_many_failing_deploys() {
    let host = TestEnvironment::new();
    let s = forgetful(&host);
    s.release("1.1.0", Behaviour::Good).exit(0);
    for minor in 2..=6 {
        s.release(&format!("1.{minor}.0"), Behaviour::ThrowsAtBoot).exit(20);
        assert!(names(&s, "runs").len() <= 3);
    }
    s.serves("1.1.0");
    nothing_can_be_built(&host);
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.0.0");
}

#[test]
fn a_deploy_that_is_taken_back_finds_what_served_although_only_one_is_kept() {
    let host = TestEnvironment::new();
    let s = forgetful(&host);
    let config = AppConfig::default().settle(1, "100ms").and("[retention]\nartifacts = 1\n");
    s.app.configure(&config);
    s.release("1.1.0", Behaviour::Good).exit(0);
    let before = s.app.read("dist/index.html");
    s.release("1.2.0", Behaviour::HangsAtBoot).exit(20);
    assert_eq!(s.app.read("dist/index.html"), before);
    s.serves("1.1.0");
}

#[test]
fn saved_files_go_when_they_are_old_and_their_run_is_no_longer_kept() {
    let host = TestEnvironment::new();
    let s = forgetful(&host);
    let lie = |run: &str| -> PathBuf {
        let dir = s.app.dir.join(".git/gitroll/saved").join(run);
        fs::create_dir_all(&dir).expect("it can be made");
        fs::write(dir.join("notes.txt"), "somebody's").expect("it is writable");
        dir
    };
    let old = [lie("20200101-000000-abcd"), lie("20200101-000000-abcd-later")];
    let of_a_kept_run = lie(names(&s, "runs").last().expect("there was a deploy"));
    let future = lie("29990101-000000-abcd");
    let not_ours = lie("by-hand");
    // Named twice before it goes, each time with the command that brings it back.
    for version in ["1.1.0", "1.2.0"] {
        let answer = s.release(version, Behaviour::Good);
        answer.exit(0).says("gitroll saved restore 20200101-000000-abcd");
        assert!(old.iter().all(|dir| dir.join("notes.txt").exists()), "not named twice yet");
    }
    s.release("1.3.0", Behaviour::Good).exit(0).never_says("20200101-000000-abcd");
    assert!(old.iter().all(|dir| !dir.exists()), "old, named twice, and of no run that is kept");
    for dir in [of_a_kept_run, future, not_ours] {
        assert!(dir.join("notes.txt").exists(), "{}", dir.display());
    }
}
