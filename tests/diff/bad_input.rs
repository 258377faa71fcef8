//! What a diff may meet: lock files of every kind, states that are the same, unrelated, missing or huge, an
//! `.env` that cannot be read.

use std::fs;
use std::process::Stdio;

use super::*;

/// Deploys 1.0.1 with this file in place of the lock, then 1.1.0 with the other one.
fn suspicion(file: &str, before: &str, after: &str) -> serde_json::Value {
    let host = TestEnvironment::new();
    let s = serving(&host);
    s.app.write(file, before);
    let from = s.app.commit("before");
    s.app.write(file, after);
    let to = s.app.commit("after");
    let answer = host.gitroll(&["diff", &from, &to, "--json"]);
    answer.exit(0).json()["result"].clone()
}

#[test]
fn npm_locks_of_every_version_are_compared_by_package() {
    for (old, new) in [(1, 1), (2, 2), (3, 3), (1, 3), (2, 1)] {
        let before = lock(old, &[("express", "4.18.2"), ("ms", "2.0.0"), ("qs", "1.0.0")]);
        let after = lock(new, &[("express", "4.19.0"), ("ms", "3.0.0"), ("debug", "4.0.0")]);
        let result = suspicion("package-lock.json", &before, &after);
        let packages = result["locks"][0]["packages"].as_array().expect("a list").clone();
        let names: Vec<&str> = packages.iter().filter_map(|p| p["package"].as_str()).collect();
        let direct = if (old, new) == (1, 1) { "transitive" } else { "direct" };
        let express = packages.iter().find(|p| p["package"] == "express").expect("it changed");
        assert_eq!(express["relation"], direct, "{old} {new}");
        assert_eq!(express["class"], "minor");
        assert_eq!(names.len(), 4, "{old} {new}: {names:?}");
    }
}

#[test]
fn a_lock_that_cannot_be_compared_is_told_as_changed_with_the_reason() {
    let good = lock(3, &[("express", "4.18.2")]);
    let huge = format!("{}{}", lock(3, &[("express", "5.0.0")]), " ".repeat(17 << 20));
    for (file, before, after, why) in [
        ("package-lock.json", &good[..], "<<<<<<< HEAD\n", "broken: "),
        ("package-lock.json", "{}", &good, "before: broken: "),
        ("package-lock.json", &good, "{ \"lockfileVersion\": 9 }", "version 9 is not known"),
        ("package-lock.json", &good, &huge, "more than the 16777216 allowed"),
        ("pnpm-lock.yaml", "a: 1\n", "a: 2\n", "changed (+1 -1), not compared by package"),
        ("web/yarn.lock", "a 1\n", "a 2\n", "changed (+1 -1), not compared by package"),
    ] {
        let result = suspicion(file, before, after);
        let first = &result["suspects"][0];
        assert_eq!(first["what"], file);
        assert_eq!(first["kind"], "dependency");
        assert!(first["why"].as_str().is_some_and(|told| told.contains(why)), "{why}: {first}");
    }
}

#[test]
fn a_state_does_not_differ_from_itself() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    host.gitroll(&["diff", "HEAD", "v1.0.0-stable"]).exit(0).stdout_has("nothing differs");
    host.gitroll(&["diff", "HEAD", "HEAD", "--patch"]).exit(0).stderr_has("no file differs");
    host.gitroll(&["diff", "HEAD", "HEAD", "--since-good"]).exit(2);
    host.gitroll(&["diff"]).exit(1).stderr_has("only one version was deployed").stderr_has("A B");
    host.gitroll(&["diff", "v1.0.0-stabel", "HEAD"]).exit(1).stderr_has("v1.0.0-stable");
    drop(s);
}

#[test]
fn states_that_are_not_ancestors_of_one_another_are_compared_in_both_directions() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let root = s.app.head();
    s.app.write("a.js", "a\n");
    let a = s.app.commit("Only here");
    s.app.git(&["checkout", "-q", "--detach", &root]);
    s.app.write("b.js", "b\n");
    s.app.commit("Only there");
    let b = s.app.commit("Only there, too");
    host.gitroll(&["diff", &a, &b])
        .exit(0)
        .stdout_has("2 commits, and 1 commit that it lacks")
        .stdout_has("commits it lacks (1)")
        .stdout_has("Only here");
    // Not even a common beginning.
    s.app.git(&["checkout", "-q", "--orphan", "other"]);
    let orphan = s.app.commit("Another beginning");
    host.gitroll(&["diff", &a, &orphan]).exit(0).stdout_has("Another beginning");
}

#[test]
fn a_state_whose_objects_are_missing_is_named_with_the_way_to_get_them() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    s.app.write("app/upload/route.js", "changed\n");
    s.release_kept("1.1.0").exit(0);
    let remove = |object: &str| {
        let (dir, file) = object.split_at(2);
        fs::remove_file(s.app.dir.join(format!(".git/objects/{dir}/{file}"))).expect("it is loose");
    };
    // A file's content: the paths are still told.
    remove(&s.app.git(&["rev-parse", "HEAD:app/upload/route.js"]));
    host.gitroll(&["diff"]).exit(0).stdout_has("app/upload/route.js").stdout_has("not examined");
    host.gitroll(&["diff", "--patch"]).exit(1).stderr_has("git");
    // A directory: nothing can be said.
    remove(&s.app.git(&["rev-parse", "HEAD:app/upload"]));
    host.gitroll(&["diff"]).exit(1).stderr_has("git fetch origin 'refs/gitroll/*");
    // The commit that serves: its record cannot be verified without it, and there is nothing to compare.
    let head = s.app.head();
    remove(&head);
    host.gitroll(&["diff"]).exit(1).stderr_has("lacks its commit").stderr_has(&head);
}

#[test]
fn a_state_that_was_only_tried_and_is_gone_is_named_by_its_record() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let serving = s.app.head();
    let tried = s.app.commit_version("1.1.0", Behaviour::ThrowsAtBoot);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    host.gitroll(&["deploy", &tried, "--yes"]).exit(20);
    let (dir, file) = tried.split_at(2);
    fs::remove_file(s.app.dir.join(format!(".git/objects/{dir}/{file}"))).expect("it is loose");
    host.gitroll(&["diff"])
        .exit(1)
        .stderr_has(&format!("is about commit {}, which is not in this repository", &tried[..7]))
        .stderr_has("git fetch origin");
}

#[test]
fn an_env_file_that_cannot_be_read_is_said_and_the_records_are_compared() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let port = s.app.port.number();
    s.app.write(".env", &format!("PORT={port}\nNEW_TOKEN=hunter2\n"));
    s.release_kept("1.1.0").exit(0);
    fs::remove_file(s.app.dir.join(".env")).expect("it is there");
    fs::create_dir(s.app.dir.join(".env")).expect("its place is free");
    let answer = host.gitroll(&["diff", "--json"]);
    assert_eq!(suspects(&answer, "environment"), ["NEW_TOKEN"]);
    let warnings = answer.json()["result"]["warnings"].to_string();
    assert!(warnings.contains(".env cannot be read"), "{warnings}");
    // Gone altogether is worse than unreadable.
    fs::remove_dir(s.app.dir.join(".env")).expect("it is empty");
    let answer = host.gitroll(&["diff"]);
    answer.exit(0).stdout_has(".env has no variables");
}

#[test]
fn a_byte_that_is_no_utf_8_in_an_env_file_makes_no_other_variable_suspect() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let port = s.app.port.number();
    let write = |more: &[u8]| {
        let old = format!("PORT={port}\nOLD_URL=http://db\n");
        let bytes = [b"# gr\xfc\xdfe\nCITY=K\xf6ln\n", old.as_bytes(), more].concat();
        fs::write(s.app.dir.join(".env"), bytes).expect("the work tree is writable");
    };
    write(b"");
    s.release_kept("1.0.1").exit(0);
    s.promote("v1.0.1");
    write(b"NEW_TOKEN=hunter2\n");
    s.release_kept("1.1.0").exit(0);
    assert_eq!(suspects(&host.gitroll(&["diff", "--json"]), "environment"), ["NEW_TOKEN"]);
    write(b"NEW_TOKEN=hunter2\nLATER=1\n");
    assert_eq!(suspects(&host.gitroll(&["diff", "--json"]), "environment"), ["LATER, NEW_TOKEN"]);
}

#[test]
fn a_hundred_thousand_changed_files_are_counted_and_the_first_are_listed() {
    const FILES: usize = 100_000;
    let host = TestEnvironment::new();
    let s = serving(&host);
    let from = s.app.head();
    let mut stream = format!(
        "blob\nmark :1\ndata 2\nx\n\ncommit refs/heads/huge\ncommitter A <a@example.org> 1 +0000\n\
         data 4\nHuge\nfrom {from}\n"
    );
    for n in 0..FILES {
        stream.push_str(&format!("M 100644 :1 many/{}/{n}.js\n", n % 100));
    }
    let file = host.path("stream");
    fs::write(&file, stream).expect("the host's directory is writable");
    let mut import = host.command("git");
    import.args(["fast-import", "--quiet"]).stdout(Stdio::null());
    import.stdin(fs::File::open(&file).expect("it was just written"));
    assert!(import.status().expect("git can be run").success());
    let answer = host.gitroll(&["diff", &from, "huge", "--json"]);
    let result = answer.exit(0).json()["result"].clone();
    assert_eq!(result["totals"]["files"], FILES);
    assert_eq!(result["parts"][0]["files"].as_array().expect("a list").len(), 1_000);
    assert!(result["warnings"].to_string().contains("100000 paths differ"));
    let text = host.gitroll(&["diff", &from, "huge"]);
    text.exit(0).stdout_has("100000 files").stdout_has("and 99975 more");
    host.gitroll(&["diff", &from, "huge", "--patch"]).exit(1).stderr_has("git diff ");
}

#[test]
fn what_npm_itself_writes_in_each_version_is_understood() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let fixture = |name: &str, file: &str| {
        let path = project().join("fixtures").join(name).join(file);
        fs::read_to_string(path).expect("fixtures can be read")
    };
    let written = |name: &str, version: &str| {
        for file in ["package.json", "package-lock.json"] {
            s.app.write(&format!("web/{file}"), &fixture(name, file));
        }
        let mut npm = host.command("npm");
        npm.args(["install", "--package-lock-only", "--ignore-scripts", "--offline"]);
        npm.args(["--lockfile-version", version]).current_dir(s.app.dir.join("web"));
        Answer::of(npm, std::time::Duration::from_secs(120)).exit(0);
        let lock = s.app.read("web/package-lock.json");
        assert!(lock.contains(&format!("\"lockfileVersion\": {version}")), "{lock}");
        s.app.commit(&format!("{name} in version {version}"))
    };
    let before: Vec<String> = ["1", "2", "3"].map(|v| written("express-app", v)).into();
    let after = written("express-app-changed-lock", "3");
    for commit in &before {
        let answer = host.gitroll(&["diff", commit, &after, "--json"]);
        let locks = answer.exit(0).json()["result"]["locks"].clone();
        assert_eq!(locks[0]["total"], 1, "{locks:#}");
        let package = &locks[0]["packages"][0];
        assert_eq!(package["package"], "picocolors");
        assert_eq!(package["relation"], "direct");
        assert_eq!(package["class"], "added");
    }
    host.gitroll(&["diff", &before[0], &before[2]])
        .exit(0)
        .stdout_has("format 1 is now 3, same packages");
}
