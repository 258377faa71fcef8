//! Databases and logs that a service holds open inside the tree: never taken from under it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use crate::support::*;

/// No build, one short look at the health URL.
fn quick() -> AppConfig {
    AppConfig::default().without_builds().settle(1, "100ms").timeout("3s")
}

/// The plain app, whose server opens `path` with `flags` before it listens, serving as 1.0.0.
fn holding<'h>(
    host: &'h TestEnvironment,
    config: &AppConfig,
    path: &str,
    flags: &str,
) -> Scenario<'h> {
    let app = host.app(Fixture::Plain);
    app.configure(config);
    let server = app.read("server.js");
    let open = format!("require('fs').openSync('{path}', '{flags}');\n");
    app.write(
        "server.js",
        &server.replacen("'use strict';\n", &format!("'use strict';\n{open}"), 1),
    );
    app.write(path, "from git\n");
    app.commit_version("1.0.0", Behaviour::Good);
    let scenario = Scenario { host, app };
    scenario.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    scenario.serves("1.0.0");
    scenario
}

/// Commits what lies in the tree as `version` and leaves the tree as 1.0.0.
fn next(s: &Scenario<'_>, version: &str) -> String {
    let serving = s.app.head();
    let commit = s.app.commit_version(version, Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    commit
}

/// As [`next`], with a version of `path` that git has and the live tree does not: what lies there stays the
/// file that the service opened.
fn next_with(s: &Scenario<'_>, version: &str, path: &str, text: &str) -> String {
    let serving = s.app.head();
    let tree = s.host.path("elsewhere");
    let place = tree.to_str().expect("temporary paths are UTF-8");
    s.app.git(&["worktree", "add", "-q", "--detach", place, &serving]);
    fs::write(tree.join(path), text).expect("the work tree is writable");
    let package = s.app.read("package.json").replace("1.0.0", version);
    fs::write(tree.join("package.json"), package).expect("the work tree is writable");
    for args in [&["add", "-A"][..], &["commit", "-q", "-m", version]] {
        let mut command = s.host.command("git");
        command.args(args).current_dir(&tree);
        assert!(command.status().expect("git can be run").success());
    }
    let commit = s.host.run("git", &["-C", place, "rev-parse", "HEAD"]).text().to_owned();
    s.app.git(&["worktree", "remove", "--force", place]);
    commit
}

#[track_caller]
fn refused(s: &Scenario<'_>, commit: &str, texts: &[&str]) {
    let pid = s.app.pid_served();
    let before = s.app.state();
    let answer = s.host.gitroll(&["deploy", commit, "--yes"]);
    answer.exit(1).stderr_has("nothing was changed");
    for text in texts {
        answer.stderr_has(text);
    }
    before.assert_same(&s.app.state());
    assert_eq!(s.app.pid_served(), pid, "it was restarted");
}

#[test]
fn a_tracked_database_that_a_service_holds_open_is_refused_until_it_leaves_git() {
    let host = TestEnvironment::new();
    let s = holding(&host, &quick(), "data/app.db", "r+");
    let pid = s.app.pid_served();
    let reason = format!(
        "data/app.db is held open for writing by web (pid {pid}): gitroll would replace the file of \
         a running database"
    );
    let way_out = "git rm --cached data/app.db, and add it to .gitignore";
    let changed = next_with(&s, "1.1.0", "data/app.db", "another from git\n");
    refused(&s, &changed, &[&reason, way_out]);
    // Written to since: the version to come has it as git knew it.
    s.app.write("data/app.db", "live data\n");
    let other = next_with(&s, "1.1.1", "notes.txt", "nothing about data\n");
    refused(&s, &other, &[&reason, way_out]);

    host.gitroll(&["init", "--yes"]).exit(0).stdout_has("git tracks it").stdout_has(way_out);

    let inode = |s: &Scenario<'_>| s.app.dir.join("data/app.db").metadata().map(|m| m.ino()).ok();
    let before = inode(&s);
    let serving = s.app.head();
    s.app.git(&["rm", "-q", "--cached", "data/app.db"]);
    s.app.write(".gitignore", "node_modules/\ndist/\n.env\ndata/\n");
    let out = s.app.commit_version("1.2.0", Behaviour::Good);
    // By hand, as `git checkout` would remove the file that the commit before tracks.
    s.app.git(&["update-ref", "--no-deref", "HEAD", &serving]);
    s.app.git(&["read-tree", &serving]);
    host.gitroll(&["deploy", &out, "--yes"]).exit(0).says("kept     data/app.db stays");
    s.serves("1.2.0");
    assert_eq!((inode(&s), s.app.read("data/app.db")), (before, "live data\n".to_owned()));
    host.gitroll(&["init", "--yes"]).exit(0).stdout_lacks("git tracks it");

    // The way back leads to a version that tracks it.
    let back = host.gitroll(&["back", "--yes"]);
    back.exit(1).stderr_has("data/app.db is held open").stderr_has("under `local` in [app]");
    assert_eq!((inode(&s), s.app.read("data/app.db")), (before, "live data\n".to_owned()));
}

#[test]
fn an_untracked_database_and_an_untracked_log_are_nobodys_concern() {
    let host = TestEnvironment::new();
    let s = holding(&host, &quick(), "first.db", "r");
    s.app.write("server.js", &(s.app.read("server.js") + DATA));
    s.app.write(".gitignore", "node_modules/\ndist/\n.env\ndata/\n");
    let with = next(&s, "1.1.0");
    host.gitroll(&["deploy", &with, "--yes"]).exit(0);
    s.serves("1.1.0");
    let further = next_with(&s, "1.2.0", "notes.txt", "nothing about data\n");
    host.gitroll(&["deploy", &further, "--yes"]).exit(0).never_says("held open");
    assert_eq!(s.app.read("data/app.db"), "");
    let log = host.gitroll(&["init", "--yes", "--json"]);
    assert_eq!(log.exit(0).json()["result"]["warnings"], serde_json::json!([]));
}

const DATA: &str = "
fs.mkdirSync('data', { recursive: true });
fs.openSync('data/app.db', 'a+');
fs.openSync('data/web.log', 'a');
";

#[test]
fn a_tracked_log_that_would_be_replaced_is_refused_in_its_own_words() {
    let host = TestEnvironment::new();
    let s = holding(&host, &quick(), "logs/access.txt", "a");
    s.app.write("logs/access.txt", "GET /\n");
    let other = next_with(&s, "1.1.0", "notes.txt", "nothing about logs\n");
    let pid = s.app.pid_served();
    let reason =
        format!("logs/access.txt is open as a log by web (pid {pid}): gitroll would replace it");
    refused(&s, &other, &[&reason, "git rm --cached logs/access.txt"]);
}

#[test]
fn a_build_output_with_a_database_in_it_is_not_swapped() {
    let host = TestEnvironment::new();
    let config = AppConfig::default().settle(1, "100ms").timeout("3s");
    let s = Scenario::bound(&host, Fixture::Plain, &config);
    let first = s.app.read("server.js");
    s.app.write("server.js", &(first + "fs.openSync('dist/app.db', 'w+');\n"));
    let with = next(&s, "1.1.0");
    host.gitroll(&["deploy", &with, "--yes"]).exit(0);
    s.serves("1.1.0");
    let further = next(&s, "1.2.0");
    refused(
        &s,
        &further,
        &["dist/app.db is held open for writing by web", "the build output dist", "`outputs`"],
    );
    assert!(s.app.has("dist/app.db"));
}

#[test]
fn a_process_that_only_a_command_service_could_name_is_found_by_where_it_works() {
    let host = TestEnvironment::new();
    let config = quick().served_by(ServedBy::Nobody).and(
        "[service.web]\nmanager = \"command\"\nstart = [\"true\"]\nstop = [\"true\"]\n\
         status = [\"true\"]\n",
    );
    let app = host.app(Fixture::Plain);
    app.configure(&config);
    app.write("app.db", "from git\n");
    app.commit_version("1.0.0", Behaviour::Good);
    let mut server = app.start_by_hand();
    let scenario = Scenario { host: &host, app };
    scenario.bind();
    let mut shell = host
        .command("sh")
        .args(["-c", "exec 3<>app.db; exec sleep 1000"])
        .current_dir(&scenario.app.dir)
        .spawn()
        .expect("sh can be run");
    let held = format!("/proc/{}/fd/3", shell.id());
    wait_until("the shell holds it", || fs::read_link(&held).is_ok());
    let changed = next_with(&scenario, "1.1.0", "app.db", "another from git\n");
    refused(&scenario, &changed, &["app.db is held open", &format!("(pid {})", shell.id())]);
    for child in [&mut shell, &mut server] {
        child.kill().expect("it is ours");
        child.wait().expect("it is ours");
    }
}
