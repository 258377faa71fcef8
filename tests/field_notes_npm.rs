//! How npm and git leave a host broken while a rollback goes on, each case once.

use crate::support::*;

fn quick() -> AppConfig {
    AppConfig::default().settle(2, "400ms").timeout("10s")
}

#[test]
fn with_the_registry_away_nothing_that_serves_is_touched_and_the_app_survives_its_restart() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Express, &quick());
    let good = s.app.head();
    s.app.git(&["checkout", "-q", "main"]);
    let changed = s.app.commit_changed_lock("1.1.0");
    s.app.git(&["checkout", "-q", "--detach", &good]);
    let before = s.app.state();
    host.registry_away();
    let answer = host.gitroll(&["deploy", &changed, "--yes"]);
    answer.exit(1).stderr_has("nothing was changed").stderr_has("npm");
    before.assert_same(&s.app.state());
    assert!(s.app.has("node_modules/express/package.json"));
    host.gitroll(&["service", "restart", "web"]).exit(0);
    s.serves("1.0.0");
    host.gitroll(&["status"]).exit(0).stdout_has("none open");
}

#[test]
fn going_back_over_a_changed_lock_needs_neither_npm_nor_the_registry() {
    let host = TestEnvironment::new();
    let calls = host.path("npm-calls");
    let npm = host.run("sh", &["-c", "command -v npm"]).exit(0).text().to_owned();
    let noted = format!("#!/bin/sh\necho \"$@\" >>'{}'\nexec '{npm}' \"$@\"\n", calls.display());
    host.fake_tool("npm", &noted);
    let s = Scenario::serving(&host, Fixture::Express, &quick());
    s.app.git(&["checkout", "-q", "main"]);
    let changed = s.app.commit_changed_lock("1.1.0");
    host.gitroll(&["deploy", &changed, "--yes"]).exit(0);
    assert!(s.app.has("node_modules/picocolors/package.json"));
    host.registry_away();
    let called = std::fs::read_to_string(&calls).expect("the build called npm");
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.0.0");
    assert!(!s.app.has("node_modules/picocolors"));
    assert!(s.app.has("node_modules/express/package.json"));
    host.gitroll(&["back", "--undo", "--yes"]).exit(0);
    assert!(s.app.has("node_modules/picocolors/package.json"));
    assert_eq!(std::fs::read_to_string(&calls).expect("it is still there"), called);
}

#[test]
fn a_build_never_happens_where_the_app_serves_so_its_assets_are_always_there() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Express, &quick());
    let asset = s.app.url("/assets/app.js");
    assert_eq!(http_get(&asset).expect("the app answers").status, 200);
    s.app.git(&["checkout", "-q", "main"]);
    // The build cleans first, as real ones do, and then takes its time.
    let clean = "fs.mkdirSync(path.join(dist, 'assets')";
    let slow = "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1500);\n";
    let build = s.app.read("build.js").replace(clean, &format!("{slow}{clean}"));
    assert!(build.contains(slow), "the build was not slowed down");
    // Committed, because a release begins from what main holds.
    s.app.write("build.js", &build);
    s.app.commit("A slower build");

    let users = RequestLoop::start(&asset);
    s.release("1.1.0", Behaviour::BuildFails).exit(1);
    let failing = users.stop();
    failing.without_failures();
    assert!(failing.requests.len() > 20, "{} requests", failing.requests.len());

    // A single process is away for a moment when it is restarted; whoever answers has the asset.
    let users = RequestLoop::start(&asset);
    s.release("1.2.0", Behaviour::Good).exit(0);
    let traffic = users.stop();
    let without: Vec<_> = traffic
        .requests
        .iter()
        .filter(|r| matches!(r.outcome, Ok((status, _)) if status != 200))
        .collect();
    assert!(without.is_empty(), "{} answers without the asset: {:?}", without.len(), without[0]);
    assert!(traffic.requests.len() > 20);
}

#[test]
fn attributes_that_change_bytes_are_refused_or_have_no_effect() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick().without_builds());
    let good = s.app.head();
    // Not tracked: nobody deployed them, so they must not change what is written.
    s.app.write(".git/info/attributes", "*.js text eol=crlf\n*.txt ident\n");
    s.app.git(&["config", "core.autocrlf", "true"]);
    let changed = s.app.read("server.js") + "// more\n";
    s.app.git(&["checkout", "-q", "main"]);
    s.app.write("server.js", &changed);
    s.app.write("notes.txt", "$Id$\n");
    s.app.git(&["-c", "core.autocrlf=false", "add", "-A"]);
    s.app.git(&["-c", "core.autocrlf=false", "commit", "-q", "-m", "more"]);
    let more = s.app.head();
    s.app.git(&["checkout", "-q", "--detach", &good]);
    let answer = host.gitroll(&["deploy", &more, "--yes"]);
    if answer.code == Some(0) {
        assert_eq!(s.app.read("notes.txt"), "$Id$\n");
        assert_eq!(s.app.read("server.js"), changed);
        s.serves("1.0.0");
    } else {
        answer.exit(1).stderr_has("nothing was changed");
    }
    std::fs::remove_file(s.app.dir.join(".git/info/attributes")).expect("it was written");
    s.app.git(&["config", "--unset", "core.autocrlf"]);

    // Tracked: the release itself says so, and is refused with the reason.
    s.app.git(&["checkout", "-q", "-f", "main"]);
    s.app.write(".gitattributes", "*.js text eol=crlf\n");
    let crlf = s.app.commit("attributes");
    s.app.git(&["checkout", "-q", "-f", "--detach", &good]);
    let answer = host.gitroll(&["deploy", &crlf, "--yes"]);
    answer.exit(1).stderr_has("eol=crlf").stderr_has("nothing was changed");
    s.serves("1.0.0");
}

#[test]
fn going_back_removes_the_files_that_came_later_and_keeps_what_git_does_not_track() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick().without_builds());
    let good = s.app.head();
    s.app.write("lib/later/extra.js", "later\n");
    s.app.write("lib/uploads/of-a-user", "precious\n");
    s.app.write(".git/info/exclude", "lib/uploads/\nnode_modules\ndist\n.env\n");
    s.release_kept("1.1.0").exit(0);
    assert!(s.app.has("lib/later/extra.js"));
    host.gitroll(&["back", "--yes"]).exit(0);
    assert_eq!(s.app.head(), good);
    assert!(!s.app.has("lib/later"));
    assert_eq!(s.app.read("lib/uploads/of-a-user"), "precious\n");
    let tracked = s.app.git(&["ls-tree", "-r", "--name-only", "HEAD"]);
    assert_eq!(s.app.git(&["ls-files"]), tracked);
    assert_eq!(s.app.git(&["status", "--porcelain", "--untracked-files=no"]), "");
}

#[test]
fn equal_size_and_time_do_not_hide_wrong_bytes() {
    let host = TestEnvironment::new();
    let s = Scenario::bound(&host, Fixture::Plain, &quick().without_builds());
    for (name, value) in [("core.trustctime", "false"), ("core.checkStat", "minimal")] {
        s.app.git(&["config", name, value]);
    }
    s.app.write("data.txt", "good\n");
    s.release_kept("1.0.1").exit(0);
    s.app.write("data.txt", "evil\n");
    s.release_kept("1.1.0").exit(0);
    // Both as old as each other, and the index believes it.
    host.run("touch", &["-d", "2026-01-01 00:00:00", "data.txt"]).exit(0);
    s.app.git(&["update-index", "--refresh"]);
    s.app.write("data.txt", "lies\n");
    host.run("touch", &["-d", "2026-01-01 00:00:00", "data.txt"]).exit(0);
    assert_eq!(s.app.git(&["status", "--porcelain"]), "", "git was to be deceived");
    host.gitroll(&["back", "--yes"]).exit(0);
    assert_eq!(s.app.read("data.txt"), "good\n");
}

#[test]
fn a_stale_lock_of_a_killed_git_is_named_before_anything_is_changed() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick().without_builds());
    s.release("1.1.0", Behaviour::Good).exit(0);
    let chain = s.app.git(&["for-each-ref", "--format=%(refname)", "refs/gitroll/"]);
    let before = s.app.state();
    for name in ["index", "HEAD", "packed-refs", &chain] {
        let lock = format!(".git/{name}.lock");
        s.app.write(&lock, "");
        let answer = host.gitroll(&["back", "--yes"]);
        answer.exit(1).stderr_has(&format!("{name}.lock")).stderr_has("nothing was changed");
        std::fs::remove_file(s.app.dir.join(&lock)).expect("nobody else removes it");
        before.assert_same(&s.app.state());
    }
    s.serves("1.1.0");
    // The tag is made from the chain: it may come later.
    let log = host.gitroll(&["log", "-n", "1", "--json"]).exit(0).json();
    let next = log["result"]["records"][0]["record"]["seq"].as_u64().expect("a number") + 1;
    let writer = chain.rsplit('/').next().expect("a ref has a last part");
    let tag = format!("refs/tags/gitroll/production/{writer}/{next}-back");
    s.app.write(&format!(".git/{tag}.lock"), "");
    host.gitroll(&["back", "--yes"]).exit(0);
    s.app.try_git(&["rev-parse", "-q", "--verify", &tag]).exit(1);
    std::fs::remove_file(s.app.dir.join(format!(".git/{tag}.lock"))).expect("it is there");
    host.gitroll(&["annotate", &next.to_string(), "--reason", "loses uploads"]).exit(0);
    s.app.git(&["rev-parse", "-q", "--verify", &tag]);
}

#[test]
fn a_clone_has_no_notes_and_no_record_tags_yet_log_works_from_the_fetched_chain() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.configure(&quick().without_builds());
    app.commit_version("1.0.0", Behaviour::Good);
    let origin = app.with_remote();
    let s = Scenario { host: &host, app };
    s.bind();
    host.gitroll(&["deploy", "HEAD", "--yes"]).exit(0);
    s.promote("v1.0.0");
    s.release("1.1.0", Behaviour::Good).exit(0);
    let bad = s.app.head();
    host.gitroll(&["back", "--yes", "--reason", "loses uploads"]).exit(0);

    let clone = host.path("clone");
    let place = clone.to_str().expect("temporary paths are UTF-8");
    host.run("git", &["clone", "-q", origin.to_str().expect("UTF-8"), place]).exit(0);
    let git = |args: &[&str]| host.run("git", &[&["-C", place], args].concat());
    assert_eq!(git(&["for-each-ref", "refs/notes", "refs/tags/gitroll"]).exit(0).text(), "");
    host.gitroll_in(&clone, &["log"]).exit(1).says("refs/gitroll/*:refs/gitroll/*");
    git(&["fetch", "-q", "origin", "refs/gitroll/*:refs/gitroll/*"]).exit(0);
    let log = host.gitroll_in(&clone, &["log"]);
    log.exit(0).stdout_has("loses uploads").stdout_has("promote").says("not verified");
    // Every commit that ever served came along, the one nobody pushed too.
    git(&["cat-file", "-e", &bad]).exit(0);
    host.gitroll_in(&clone, &["deploy", &bad, "--yes"]).exit(10).says("gitroll init");
}
