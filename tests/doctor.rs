//! `gitroll doctor`: break one thing, it is named with exit 1; run the printed command, it is well again.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::*;
use serde_json::Value;

fn quick() -> AppConfig {
    AppConfig::default().without_builds().settle(1, "100ms").timeout("20s")
}

/// 1.0.0 promoted, 1.1.0 serves: `back` has somewhere to go.
fn ready<'h>(host: &'h TestEnvironment, config: &AppConfig) -> Scenario<'h> {
    let s = Scenario::serving(host, Fixture::Plain, config);
    s.release("1.1.0", Behaviour::Good).exit(0);
    host.gitroll(&["doctor"]).exit(0).stdout_has("gitroll back would go to v1.0.0-stable");
    s
}

/// What doctor found of a subject, the worst first: level, text, command.
#[track_caller]
fn found(host: &TestEnvironment, code: i32, subject: &str) -> (String, String, String) {
    let answer = host.gitroll(&["doctor", "--json"]);
    let document = answer.exit(code).json();
    let findings = document["result"]["findings"].as_array().expect("findings").clone();
    let level = |finding: &Value| match finding["level"].as_str() {
        Some("problem") => 0,
        Some("warning") => 1,
        _ => 2,
    };
    let mut of: Vec<&Value> = findings.iter().filter(|f| f["subject"] == subject).collect();
    of.sort_by_key(|finding| level(finding));
    let first = of.first().unwrap_or_else(|| panic!("nothing is said of {subject}: {document:#}"));
    let text = |name: &str| first[name].as_str().unwrap_or_default().to_owned();
    (text("level"), text("what"), text("fix"))
}

/// Runs a printed command in the checkout, as pasted into a shell, with this gitroll on the PATH.
#[track_caller]
fn run_fix(host: &TestEnvironment, fix: &str) {
    let dir = std::path::Path::new(env!("CARGO_BIN_EXE_gitroll")).parent().expect("a directory");
    let script = format!("PATH={}:$PATH; {fix}", dir.display());
    host.run("sh", &["-c", &script]).exit(0);
}

/// The subject is a problem, said with exit 1 and these words; its command mends it.
#[track_caller]
fn is_mended(host: &TestEnvironment, subject: &str, words: &str) {
    let (level, what, fix) = found(host, 1, subject);
    assert_eq!(level, "problem", "{what}");
    assert!(what.contains(words), "{what}");
    assert!(!fix.is_empty(), "no command mends: {what}");
    host.gitroll(&["doctor"]).exit(1).stdout_has(words).stdout_has(&fix);
    run_fix(host, &fix);
    let after = host.gitroll(&["doctor"]);
    after.exit(0);
}

/// The subject is a warning, and its command makes it go away.
#[track_caller]
fn warning_goes(host: &TestEnvironment, subject: &str, words: &str) {
    let (level, what, fix) = found(host, 0, subject);
    assert_eq!(level, "warning", "{what}");
    assert!(what.contains(words), "{what}");
    run_fix(host, &fix);
    let answer = host.gitroll(&["doctor"]);
    answer.exit(0).stdout_lacks(words);
}

fn mode(path: &std::path::Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a test owns its files");
}

#[test]
fn a_checkout_without_a_binding_is_told_to_init() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.configure(&quick());
    app.commit_version("1.0.0", Behaviour::Good);
    let before = app.state();
    let (level, what, fix) = found(&host, 1, "binding");
    assert_eq!((level.as_str(), fix.as_str()), ("problem", "gitroll init"), "{what}");
    before.assert_same(&app.state());
    run_fix(&host, &format!("{fix} --yes"));
    // Bound, and the next thing to do is named: nothing runs, nothing can be gone back to.
    let (_, _, fix) = found(&host, 1, "services");
    assert_eq!(fix, "gitroll service start web");
    let (_, what, _) = found(&host, 1, "target");
    assert!(what.contains("no version to roll back to"), "{what}");
    host.gitroll(&["doctor"]).exit(1).stdout_has("next     gitroll deploy");
}

#[test]
fn a_binding_that_others_could_have_written_is_mended() {
    let host = TestEnvironment::new();
    let _s = ready(&host, &quick());
    mode(&host.path("gitroll/host.toml"), 0o666);
    is_mended(&host, "binding", "writable by others");
    mode(&host.path("gitroll"), 0o777);
    mode(&host.path("gitroll/trust"), 0o662);
    is_mended(&host, "binding", "writable by others");
    mode(&host.path("gitroll/trust"), 0o662);
    is_mended(&host, "binding", "writable by others");
}

#[test]
fn a_binding_that_cannot_be_read_is_named_with_its_line() {
    let host = TestEnvironment::new();
    let _s = ready(&host, &quick());
    let file = host.path("gitroll/host.toml");
    let text = fs::read_to_string(&file).expect("init wrote it");
    fs::write(&file, text.replace("[signing]", "[singing]")).expect("it is writable");
    let (level, what, fix) = found(&host, 1, "binding");
    assert_eq!(level, "problem");
    assert!(what.contains("line ") && what.contains("singing"), "{what}");
    host.set("EDITOR", "sed -i s/singing/signing/");
    run_fix(&host, &fix);
    host.gitroll(&["doctor"]).exit(0);
}

#[test]
fn a_key_that_others_may_read_is_not_thrown_away() {
    let host = TestEnvironment::new();
    ready(&host, &quick());
    let key = host.path("gitroll/key");
    let before = fs::read(&key).expect("the host has a key of its own");
    mode(&key, 0o644);
    is_mended(&host, "signing", "key");
    assert_eq!(fs::read(&key).expect("it is still there"), before);
}

#[test]
fn a_key_that_is_gone_or_asks_is_replaced() {
    let host = TestEnvironment::new();
    let _s = ready(&host, &quick());
    let key = host.path("gitroll/key");
    fs::remove_file(&key).expect("the key is a file");
    is_mended(&host, "signing", "cannot be read");
    let place = key.to_str().expect("temporary paths are UTF-8");
    host.run("ssh-keygen", &["-q", "-p", "-P", "", "-N", "secret words", "-f", place]).exit(0);
    is_mended(&host, "signing", "passphrase");
    host.gitroll(&["back", "--yes"]).exit(0);
}

#[test]
fn a_trust_file_that_is_gone_or_lacks_the_hosts_key_is_made_good() {
    let host = TestEnvironment::new();
    let _s = ready(&host, &quick());
    fs::remove_file(host.path("gitroll/trust")).expect("it is a file");
    is_mended(&host, "trust", "is missing");
    fs::write(host.path("gitroll/trust"), "# nobody\n").expect("it is writable");
    is_mended(&host, "trust", "not trusted");
}

#[test]
fn a_tool_that_moved_is_found_again() {
    let host = TestEnvironment::new();
    let _s = ready(&host, &quick());
    let file = host.path("gitroll/host.toml");
    let text = fs::read_to_string(&file).expect("init wrote it");
    for (name, gone) in [("git", "/opt/old/git"), ("ssh_keygen", "/opt/old/ssh-keygen")] {
        let moved: Vec<String> = text
            .lines()
            .map(|line| match line.strip_prefix(&format!("{name} = ")) {
                Some(_) => format!("{name} = \"{gone}\""),
                None => line.to_owned(),
            })
            .collect();
        fs::write(&file, moved.join("\n") + "\n").expect("it is writable");
        is_mended(&host, "tools", gone);
    }
}

#[test]
fn gitrolls_own_directory_open_to_others_is_closed() {
    let host = TestEnvironment::new();
    let s = ready(&host, &quick());
    let state = s.app.dir.join(".git/gitroll");
    mode(&state.join("runs"), 0o777);
    is_mended(&host, "state", "others can write it");
    mode(&state, 0o755);
    warning_goes(&host, "state", "others can read");
}

#[test]
fn a_lock_of_a_killed_git_is_removed() {
    let host = TestEnvironment::new();
    let s = ready(&host, &quick());
    fs::write(s.app.dir.join(".git/index.lock"), "").expect("it is writable");
    is_mended(&host, "locks", "index.lock");
}

#[test]
fn a_damaged_journal_and_an_open_run_are_named() {
    let host = TestEnvironment::new();
    let s = ready(&host, &quick().settle(2, "2s"));
    let run = s.app.dir.join(".git/gitroll/runs/20991231-235959-abcd");
    fs::create_dir(&run).expect("the state directory is writable");
    fs::write(run.join("journal.jsonl"), "no\njournal\n").expect("it is writable");
    is_mended(&host, "runs", "unchanged");

    s.app.git(&["checkout", "-q", "main"]);
    let next = s.app.commit_version("1.2.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", "HEAD~1"]);
    let mut deploy = host.gitroll_command(&["deploy", &next, "--yes"]);
    let deploy = deploy.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut deploy = deploy.spawn().expect("it starts");
    wait_for_version(&s.app.health(), "1.2.0");
    deploy.kill().expect("it can be killed");
    deploy.wait().expect("it ends");
    is_mended(&host, "runs", "a run is open");
    s.serves("1.2.0");
}

#[test]
fn a_service_that_is_down_is_started() {
    let host = TestEnvironment::new();
    let s = ready(&host, &quick());
    host.gitroll(&["service", "stop"]).exit(0);
    let (level, what, _) = found(&host, 1, "checks");
    assert_eq!(level, "problem", "{what}");
    is_mended(&host, "services", "web is stopped");
    s.serves("1.1.0");
}

#[test]
fn what_answers_badly_is_left_by_going_back() {
    let host = TestEnvironment::new();
    let s = ready(&host, &quick());
    // One more, so that after going back there is still somewhere to go.
    s.promote("v1.1.0");
    s.release("1.2.0", Behaviour::Good).exit(0);
    s.app.sour("1.2.0");
    let (level, what, fix) = found(&host, 1, "checks");
    assert_eq!((level.as_str(), fix.as_str()), ("problem", "gitroll back"));
    assert!(what.contains("500"), "{what}");
    run_fix(&host, &format!("{fix} --yes"));
    host.gitroll(&["doctor"]).exit(0).stdout_has("would go to v1.0.0-stable");
}

#[test]
fn a_service_of_another_user_is_named_and_restarted_as_the_right_one() {
    use std::os::unix::process::CommandExt;
    let host = TestEnvironment::new();
    let s = ready(&host, &quick());
    // Only root can start something as somebody else.
    if fs::metadata("/proc/self").map_or(1, |me| std::os::unix::fs::MetadataExt::uid(&me)) != 0 {
        return;
    }
    // Served by a stranger: the state file names a process of `nobody`.
    host.gitroll(&["service", "stop"]).exit(0);
    for dir in [host.root().to_owned(), s.app.dir.clone()] {
        mode(&dir, 0o755);
    }
    // In a session of its own, as every service is.
    let mut server = host.command("setsid");
    server
        .args(["node", "server.js"])
        .env("PORT", s.app.port.number().to_string())
        .uid(65534)
        .gid(65534);
    let mut server = server.stdout(std::process::Stdio::null()).spawn().expect("it starts");
    wait_for_version(&s.app.health(), "1.1.0");
    let process = gitroll::system::procs::ProcessId::of(server.id()).expect("it runs");
    let mut text = serde_json::to_value(&process).expect("it can be written");
    text["command"] = serde_json::json!(["node", "server.js"]);
    text["since"] = "2026-01-01T00:00:00Z".into();
    let state = s.app.dir.join(".git/gitroll/services/web.json");
    fs::write(state, text.to_string()).expect("it is writable");
    // Reaped while the printed command ends it.
    let reaper = std::thread::spawn(move || server.wait());
    is_mended(&host, "services", "runs as another user");
    reaper.join().expect("it ends").expect("it can be waited for");
    s.serves("1.1.0");
}

#[test]
fn a_state_that_served_too_short_is_promoted() {
    let host = TestEnvironment::new();
    let s = Scenario::bound(&host, Fixture::Plain, &quick().min_served("30m"));
    host.gitroll(&["deploy", "--yes"]).exit(0);
    let (_, what, fix) = found(&host, 1, "target");
    assert!(what.contains("only what serves now is known"), "{what}");
    assert_eq!(fix, "gitroll deploy");
    s.release("1.1.0", Behaviour::Good).exit(0);
    is_mended(&host, "target", "served");
}

#[test]
fn artifacts_that_are_gone_are_a_warning_and_damaged_ones_a_problem() {
    let host = TestEnvironment::new();
    let s = ready(&host, &AppConfig::default().settle(1, "100ms"));
    let store = s.app.dir.join(".git/gitroll/store");
    let kept = fs::read_dir(&store)
        .expect("artifacts are kept")
        .filter_map(|entry| Some(entry.ok()?.path().join("dist")))
        .find(|dist| dist.is_dir())
        .expect("dist of 1.0.0 is kept");
    fs::remove_dir_all(&kept).expect("it is ours");
    fs::create_dir(&kept).expect("it is ours");
    is_mended(&host, "target", "is empty");
    let (level, what, _) = found(&host, 0, "target");
    assert_eq!(level, "warning");
    assert!(what.contains("back would build app, about") && what.ends_with(" s"), "{what}");
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.0.0");
}

#[test]
fn without_a_witness_no_proof_is_possible() {
    let host = TestEnvironment::new();
    let s = ready(&host, &quick());
    let text = s.app.read("gitroll.toml");
    let blind = text.split("\n[service.web]").next().expect("a beginning").to_owned()
        + "\n[[check]]\nname = \"api\"\nhttp = \""
        + &s.app.health()
        + "\"\nexpect = { status = 200 }\npasses = 1\nsettle = \"100ms\"\n";
    s.app.write("gitroll.toml", &blind);
    host.gitroll(&["init", "--yes"]).exit(0);
    let (level, what, fix) = found(&host, 1, "checks");
    assert_eq!(level, "problem");
    assert!(what.contains("can distinguish the intended version"), "{what}");
    s.app.write("told.toml", &text);
    host.set("EDITOR", "cp told.toml");
    run_fix(&host, &fix);
    host.gitroll(&["init", "--yes"]).exit(0);
    host.gitroll(&["doctor"]).exit(0);
}

#[test]
fn a_remote_that_is_away_is_a_warning_and_records_that_are_not_there_are_counted() {
    let host = TestEnvironment::new();
    let s = Scenario::bound(&host, Fixture::Plain, &quick());
    let remote = s.app.with_remote();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s.promote("v1.0.0");
    s.release("1.1.0", Behaviour::Good).exit(0);
    let (level, what, _) = found(&host, 0, "remote");
    assert_eq!(level, "fine", "{what}");
    host.gitroll(&["annotate", "--reason", "not pushed by itself"]).exit(0);
    warning_goes(&host, "remote", "records that are not on origin: 1");
    fs::rename(&remote, host.path("away.git")).expect("it can be moved");
    let (level, what, _) = found(&host, 0, "remote");
    assert_eq!(level, "warning");
    assert!(what.contains("does not answer"), "{what}");
}

#[test]
fn a_chain_that_was_deleted_is_fetched_again() {
    let host = TestEnvironment::new();
    let s = Scenario::bound(&host, Fixture::Plain, &quick());
    s.app.with_remote();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s.promote("v1.0.0");
    s.release("1.1.0", Behaviour::Good).exit(0);
    let chain = s.app.git(&["for-each-ref", "--format=%(refname)", "refs/gitroll/"]);
    s.app.git(&["update-ref", "-d", &chain]);
    let (level, what, fix) = found(&host, 1, "records");
    assert_eq!(level, "problem", "{what}");
    run_fix(&host, &fix);
    host.gitroll(&["doctor"]).exit(0);
}

#[test]
fn what_is_edited_here_and_what_a_hook_would_do_are_warnings() {
    let host = TestEnvironment::new();
    let s = ready(&host, &quick());
    let committed = s.app.read("gitroll.toml");
    s.app.write("gitroll.toml", &format!("{committed}\n# edited\n"));
    let (level, what, _) = found(&host, 0, "config");
    assert_eq!(level, "warning", "{what}");
    warning_goes(&host, "config", "not accepted");
    s.app.write("gitroll.toml", "[app\n");
    let (level, what, fix) = found(&host, 0, "config");
    assert_eq!(level, "warning");
    assert!(what.contains("gitroll.toml:1:"), "{what}");
    host.set("EDITOR", "git checkout --");
    run_fix(&host, &fix);
    s.app.write("README.md", "edited at night\n");
    let (level, what, fix) = found(&host, 0, "tree");
    assert_eq!((level.as_str(), fix.as_str()), ("warning", "git diff -- README.md"), "{what}");
    s.app.git(&["checkout", "--", "README.md"]);

    let hook = s.app.dir.join(".git/hooks/post-checkout");
    fs::create_dir_all(hook.parent().expect("hooks")).expect("it is writable");
    fs::write(&hook, "#!/bin/sh\nexit 1\n").expect("it is writable");
    mode(&hook, 0o755);
    warning_goes(&host, "hooks", "post-checkout");
    mode(&hook, 0o755);
    s.app.git(&["config", "core.hooksPath", ".git/hooks"]);
    let (_, _, fix) = found(&host, 0, "hooks");
    assert_eq!(fix, "git config --unset core.hooksPath");
    run_fix(&host, &fix);
    assert_eq!(s.app.try_git(&["config", "core.hooksPath"]).code, Some(1));
}

#[test]
fn a_git_without_a_name_of_its_own_gets_the_one_records_have() {
    let host = TestEnvironment::new();
    let _s = ready(&host, &quick());
    fs::write(host.path("gitconfig"), "").expect("it is writable");
    warning_goes(&host, "identity", "records use");
}

#[test]
fn a_hostile_name_in_the_tree_reaches_neither_the_terminal_nor_a_shell() {
    let host = TestEnvironment::new();
    let s = ready(&host, &quick());
    let name = "a\u{1b}[2J$(touch here).md";
    s.app.git(&["checkout", "-q", "main"]);
    s.app.write(name, "one\n");
    let commit = s.app.commit_version("1.2.0", Behaviour::Good);
    host.gitroll(&["deploy", &commit, "--yes"]).exit(0);
    s.app.write(name, "two\n");
    let (_, _, fix) = found(&host, 0, "tree");
    assert_eq!(fix, "git diff");
    host.gitroll(&["doctor"]).exit(0).never_says("\u{1b}[2J");
}

#[test]
fn pm2_whose_daemon_died_is_brought_back() {
    let pm2 = test_tools().join("pm2/node_modules/.bin/pm2");
    if !pm2.is_file() {
        return;
    }
    let host = TestEnvironment::new();
    let bin = pm2.parent().expect("a program lies in a directory").to_owned();
    let path = std::env::var("PATH").expect("tests run with a PATH");
    host.set("PATH", format!("{}:{path}", bin.display()));
    let app = host.app(Fixture::Plain);
    app.configure(&quick().timeout("20s").served_by(ServedBy::Pm2("shop".to_owned())));
    app.commit_version("1.0.0", Behaviour::Good);
    let port = app.port.number().to_string();
    let mut start = host.command("pm2");
    start.args(["start", "server.js", "--name", "shop"]).env("PORT", &port);
    Answer::of(start, std::time::Duration::from_secs(60)).exit(0);
    wait_for_version(&app.health(), "1.0.0");
    let s = Scenario { host: &host, app };
    s.bind();
    s.release("1.1.0", Behaviour::Good).exit(0);
    host.gitroll(&["doctor"]).exit(0);
    let daemon = fs::read_to_string(host.path("pm2/pm2.pid")).expect("pm2 runs");
    host.run("kill", &["-9", daemon.trim()]).exit(0);
    wait_until("pm2's daemon is gone", || {
        !std::path::Path::new(&format!("/proc/{}", daemon.trim())).exists()
    });
    is_mended(&host, "services", "daemon dead");
    s.serves("1.1.0");
    // An app that pm2 does not know, by a name that is nearly right.
    let text = s.app.read("gitroll.toml").replace("name = \"shop\"", "name = \"shopp\"");
    s.app.write("gitroll.toml", &text);
    host.gitroll(&["init", "--yes"]).exit(0);
    fs::remove_file(s.app.dir.join(".git/gitroll/services/web.pm2.json")).ok();
    let (level, what, _) = found(&host, 1, "services");
    assert_eq!(level, "problem");
    assert!(what.contains("did you mean name = \"shop\""), "{what}");
}
