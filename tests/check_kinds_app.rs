//! Deployments that are proven by more than HTTP: what fails is put back, and what is said of it.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::support::*;

/// A check of the text, asked quickly.
fn check(text: &str) -> String {
    let rhythm = if text.starts_with("metric") {
        "samples = 2\nevery = \"200ms\""
    } else {
        "passes = 2\nsettle = \"500ms\""
    };
    format!("[[check]]\nname = \"more\"\n{rhythm}\ntimeout = \"4s\"\n{text}\n")
}

/// 1.0.0 serves, proven by this check too.
fn serving<'h>(host: &'h TestEnvironment, text: &str) -> Scenario<'h> {
    let config = AppConfig::default().without_builds().and(&check(text));
    Scenario::serving(host, Fixture::Plain, &config)
}

/// A release of 1.1.0 after `change` did something to the tree.
fn release(s: &Scenario<'_>, change: impl FnOnce()) -> Answer {
    s.app.try_git(&["symbolic-ref", "HEAD", "refs/heads/main"]).exit(0);
    s.app.git(&["reset", "-q", "--hard", "main"]);
    let serving = s.app.head();
    change();
    let commit = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--force", "--detach", &serving]);
    s.host.gitroll(&["deploy", &commit, "--yes"])
}

/// The app says this when it has started, from the next version on.
fn says(s: &Scenario<'_>, line: &str) {
    let server = s.app.read("server.js");
    let listens = "    if (process.send) process.send('ready');";
    assert!(server.contains(listens));
    let more = format!("    console.log({line:?});\n{listens}");
    s.app.write("server.js", &server.replace(listens, &more));
}

#[test]
fn a_release_that_says_error_is_put_back() {
    let host = TestEnvironment::new();
    let s = serving(&host, "log = { service = \"web\" }\nexpect = { must_not = \"^Error\" }");
    release(&s, || {}).exit(0);
    s.serves("1.1.0");
    // The errors of before are not those of the next release, nor are its own those of the way back.
    let log = s.app.dir.join(".git/gitroll/services/web.log");
    let mut log = OpenOptions::new().append(true).open(log).unwrap();
    log.write_all(b"Error: of yesterday\n").unwrap();
    s.release("1.2.0", Behaviour::Good).exit(0);
    s.app.git(&["checkout", "-q", "--force", "--detach", "HEAD"]);
    let serving = s.app.head();
    says(&s, "Error: ENABLE_UPLOADS is no number");
    let bad = s.app.commit_version("1.3.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--force", "--detach", &serving]);
    let answer = host.gitroll(&["deploy", &bad, "--yes"]);
    answer.exit(20).stderr_has("more: says \"Error: ENABLE_UPLOADS is no number\"");
    s.serves("1.2.0");
    host.gitroll(&["check"]).exit(0);
}

#[test]
fn a_release_that_does_not_say_what_it_must_is_put_back() {
    let host = TestEnvironment::new();
    let text = "log = { service = \"web\" }\nexpect = { must = \"plain-app {version} listens\" }";
    let s = serving(&host, text);
    release(&s, || {}).exit(0);
    let show = host.gitroll(&["show", "--json"]);
    let checks = show.json()["result"]["evidence"]["checks"].clone();
    let more = checks.as_array().unwrap().iter().find(|check| check["check"] == "more").cloned();
    assert_eq!(more.unwrap()["told_version"], true, "{checks}");
    let answer = {
        let server = s.app.read("server.js").replace("listens on", "hears at");
        let serving = s.app.head();
        s.app.write("server.js", &server);
        let mute = s.app.commit_version("1.2.0", Behaviour::Good);
        s.app.git(&["checkout", "-q", "--force", "--detach", &serving]);
        host.gitroll(&["deploy", &mute, "--yes"])
    };
    answer.exit(20).stderr_has("more: no line matches \"plain-app {version} listens\"");
    s.serves("1.1.0");
    // It is waited for only after a change.
    host.gitroll(&["check"]).exit(0).stdout_has("more  not run");
    host.gitroll(&["status"]).exit(0);
}

#[test]
fn a_port_that_nobody_listens_on_fails_the_release() {
    let host = TestEnvironment::new();
    let database = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = database.local_addr().unwrap().port();
    let s = serving(&host, &format!("tcp = \"127.0.0.1:{port}\"\nown = false"));
    release(&s, || {}).exit(0);
    let closing = s.app.commit_version("1.2.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--force", "--detach", "HEAD~1"]);
    // It goes away with the release: what served before was healthy when the run began.
    let mut deploy = host.gitroll_command(&["deploy", &closing, "--yes"]);
    let deploy = deploy.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_version(&s.app.health(), "1.2.0");
    drop(database);
    let ended = deploy.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(said.contains(&format!("more: no listener on :{port}")), "{said}");
    // Nor does it come back for what served before.
    assert_eq!(ended.status.code(), Some(21), "{said}");
    let _back = TcpListener::bind(("127.0.0.1", port)).unwrap();
    host.gitroll(&["resume"]).exit(20);
    s.serves("1.1.0");
}

#[test]
fn a_smoke_test_that_fails_puts_the_release_back() {
    let host = TestEnvironment::new();
    let text = "command = [\"./smoke.sh\"]\nexpect = { stdout = \"fine {commit}\" }";
    let config = AppConfig::default().without_builds().and(&check(text));
    let app = host.app(Fixture::Plain);
    app.configure(&config);
    let smoke = |app: &App<'_>, script: &str| {
        app.write("smoke.sh", &format!("#!/bin/sh\n{script}\n"));
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(app.dir.join("smoke.sh"), executable).unwrap();
    };
    smoke(&app, "echo fine $GITROLL_COMMIT");
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host: &host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    release(&s, || {}).exit(0);
    s.app.git(&["checkout", "-q", "-B", "main"]);
    smoke(&s.app, "echo 'Error: no such table: orders' >&2\nexit 3");
    let answer = s.release_kept("1.2.0");
    answer.exit(20).stderr_has("more: exit 3: Error: no such table: orders");
    s.serves("1.1.0");
}

#[test]
fn a_file_with_other_bytes_puts_the_release_back() {
    let host = TestEnvironment::new();
    // Of "abc".
    let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let text = format!("file = \"public.pem\"\nexpect = {{ sha256 = \"{sum}\" }}");
    let app = host.app(Fixture::Plain);
    app.configure(&AppConfig::default().without_builds().and(&check(&text)));
    app.write("public.pem", "abc");
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host: &host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    release(&s, || {}).exit(0);
    s.app.git(&["checkout", "-q", "-B", "main"]);
    s.app.write("public.pem", "other");
    s.release_kept("1.2.0").exit(20).stderr_has("more: sha256 is d9298a10d1b0…, not ba7816bf8f01…");
    s.serves("1.1.0");
    assert_eq!(s.app.read("public.pem"), "abc");
}

#[test]
fn a_number_out_of_bounds_puts_the_release_back() {
    let host = TestEnvironment::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let errors = Arc::new(AtomicU64::new(0));
    let shown = Arc::clone(&errors);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let _ = stream.read(&mut [0; 1024]);
            let body = format!("http_errors_total {}\n", shown.load(Ordering::SeqCst));
            let length = body.len();
            let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
        }
    });
    let url = format!("http://127.0.0.1:{port}/metrics");
    let text = format!(
        "metric = {{ prometheus = \"{url}\", name = \"http_errors_total\" }}\nown = false\nexpect = {{ below = 10 }}"
    );
    let s = serving(&host, &text);
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--force", "--detach", "HEAD~1"]);
    let mut deploy = host.gitroll_command(&["deploy", &next, "--yes"]);
    let deploy = deploy.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_version(&s.app.health(), "1.1.0");
    errors.store(40, Ordering::SeqCst);
    // What served before makes none.
    wait_for_version(&s.app.health(), "1.0.0");
    errors.store(0, Ordering::SeqCst);
    let ended = deploy.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(20), "{said}");
    assert!(said.contains("more: http_errors_total is 40, not below 10"), "{said}");
}

/// The line was said before the kill. Only a resume that means the same window finds it.
#[test]
fn a_run_that_is_resumed_judges_the_log_from_where_it_was_before_the_change() {
    for (must_not, code) in [("nothing", 0), ("^Error", 20)] {
        let host = TestEnvironment::new();
        let expect = format!("expect = {{ must = \"^once\", must_not = \"{must_not}\" }}");
        let app = host.app(Fixture::Plain);
        let toml = AppConfig::default().without_builds();
        let log = host.path("once.log");
        let with = check(&format!("log = {{ file = {log:?} }}\n{expect}"));
        fs::write(&log, "Error: of yesterday\n").unwrap();
        app.configure(&toml);
        app.commit_version("1.0.0", Behaviour::Good);
        let s = Scenario { host: &host, app };
        s.bind();
        host.gitroll(&["deploy", "--yes"]).exit(0);
        let serving = s.app.head();
        s.app.configure(&toml.and(&with));
        let next = s.app.commit_version("1.1.0", Behaviour::Good);
        s.app.git(&["checkout", "-q", "--force", "--detach", &serving]);
        let mut deploy = host.gitroll_command(&["deploy", &next, "--yes"]);
        deploy
            .env("GITROLL_FAIL_AT", "prove before=kill")
            .env("GITROLL_FAIL_LOG", host.path("places"));
        let ended = deploy.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert_eq!(ended.code(), None, "the place was not passed");
        // Said by what was put in place, once, before the kill; and then the log is rotated.
        let mut said = OpenOptions::new().append(true).open(&log).unwrap();
        said.write_all(b"once\nError: x\n").unwrap();
        fs::rename(&log, host.path("once.log.1")).unwrap();
        fs::write(&log, "later\n").unwrap();
        let answer = host.gitroll(&["resume"]);
        answer.exit(code);
        s.serves(if code == 0 { "1.1.0" } else { "1.0.0" });
    }
}

#[test]
fn groups_are_asked_by_themselves_and_what_is_left_out_is_told() {
    let host = TestEnvironment::new();
    let s = serving(&host, "command = [\"true\"]\ngroup = \"full\"\ncritical = false");
    let words = |group: &str| {
        let answer = host.gitroll(&["check", "--group", group, "--json"]);
        answer.exit(0);
        let checks = answer.json()["result"]["checks"].as_array().unwrap().clone();
        let word = |check: &serde_json::Value| {
            let skipped = check["skipped"].as_str().map(str::to_owned);
            skipped.unwrap_or_else(|| check["passed"].to_string())
        };
        checks.iter().map(word).collect::<Vec<_>>()
    };
    assert_eq!(words("all"), ["true", "true"]);
    assert_eq!(words("quick"), ["true", "group full"]);
    assert_eq!(words("full"), ["group quick", "true"]);
    host.gitroll(&["check", "--group", "quick"]).exit(0).stdout_has("more  not run: group full");
    host.gitroll(&["check", "--group", "some"]).exit(2);
    release(&s, || {}).exit(0).stdout_has("more 2/2");
}

#[test]
fn what_failed_before_and_fails_again_is_not_observed_serving_though_its_port_is_open() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    let config = AppConfig::default().without_builds().settle(1, "300ms").timeout("3s");
    let port = app.port.number();
    app.configure(&config.and(&check(&format!("tcp = \"127.0.0.1:{port}\""))));
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host: &host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s.release("1.1.0", Behaviour::Good).exit(0);
    s.app.sour("1.0.0");
    s.app.sour("1.1.0");
    host.gitroll(&["back", "--to", "previous", "--yes"]).exit(21);
    let answer = host.gitroll(&["abort"]);
    answer.exit(21).stderr_has("restored and fails as it did before").stderr_has("api: 500");
    answer.stdout_lacks("observed serving");
    host.gitroll(&["log", "-n", "1"]).exit(0).stdout_lacks("restored");
    host.gitroll(&["check"]).exit(1);
}

/// Waits for its port as long as another has it.
const PATIENT: &str = r#"
const { version } = JSON.parse(require('fs').readFileSync('package.json'));
const listen = () => {
  const server = require('http').createServer((_, answer) => answer.end(JSON.stringify({ version })));
  server.on('error', () => setTimeout(listen, 100));
  server.listen(process.env.PORT, '127.0.0.1');
};
listen();
"#;

#[test]
fn an_old_process_that_keeps_the_port_is_seen_by_a_connection_alone() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    let port = app.port.number();
    app.write("server.js", PATIENT);
    let service = format!(
        "manager = \"process\"\ncommand = [\"node\", \"server.js\"]\nenv = {{ PORT = \"{port}\" }}"
    );
    let tcp = check(&format!("tcp = \"127.0.0.1:{port}\""));
    app.write(
        "gitroll.toml",
        &format!("[app]\nname = \"plain-app\"\n[service.web]\n{service}\n{tcp}"),
    );
    app.commit_version("1.0.0", Behaviour::Good);
    host.set("PORT", port.to_string());
    let mut by_hand = app.start_by_hand();
    let s = Scenario { host: &host, app };
    s.bind();
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    let named = format!("process {} (node server.js, since ", by_hand.id());
    host.gitroll(&["deploy", &next, "--yes"]).exit(1).stderr_has(&named);
    by_hand.kill().unwrap();
    by_hand.wait().unwrap();
    host.gitroll(&["deploy", &next, "--yes"]).exit(0);
    s.serves("1.1.0");
    // Somebody starts it by hand again, and the service waits for its port.
    s.host.gitroll(&["service", "stop"]).exit(0);
    let mut by_hand = s.app.start_by_hand();
    let started = s.host.gitroll(&["service", "start"]);
    started.exit(1).stdout_has("✓ web  running").stderr_has("does not belong to a service");
    let later = s.app.commit_version("1.2.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--force", "--detach", &next]);
    let answer = host.gitroll(&["deploy", &later, "--yes"]);
    answer.exit(1).stderr_has("but does not belong to a service");
    by_hand.kill().unwrap();
    by_hand.wait().unwrap();
    host.gitroll(&["deploy", &later, "--yes"]).exit(0);
    s.serves("1.2.0");
}

#[test]
fn a_log_that_is_gone_is_refused_before_a_change_and_is_no_fault_of_what_serves_again() {
    let host = TestEnvironment::new();
    let log = host.path("front.log");
    fs::write(&log, "").unwrap();
    let s = serving(&host, &format!("log = {{ file = {log:?} }}\nexpect = {{ must_not = \"E\" }}"));
    host.gitroll(&["doctor"]).stdout_has("1 of 1 pass, 1 only run after a change");
    let one = s.app.head();
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--force", "--detach", &one]);
    fs::remove_file(&log).unwrap();
    host.gitroll(&["doctor"]).exit(1).stdout_has("front.log: no such file").stdout_has("optional");
    let refused = host.gitroll(&["deploy", &next, "--yes"]);
    refused.exit(1).stderr_has("front.log: no such file").stderr_has("optional = true");
    assert_eq!(s.app.head(), one);
    // Where nothing runs yet it may come with the service.
    host.gitroll(&["service", "stop"]).exit(0);
    let answer = host.gitroll(&["deploy", &next, "--yes"]);
    answer.exit(21).stderr_has("more: no such file");
    let abort = host.gitroll(&["abort"]);
    abort.exit(0).stderr_has("check more is not run").stdout_has("observed serving");
    s.serves("1.0.0");
    fs::write(&log, "").unwrap();
    host.gitroll(&["deploy", &next, "--yes"]).exit(0);
    s.serves("1.1.0");
}

#[test]
fn what_must_be_said_is_not_awaited_where_nothing_is_reloaded() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    let flags = "[flags]\nfile = \".env\"\napply = \"none\"\nverify = { command = [\"test\", \"-n\", \"{value}\"] }\n\
                 [component.UP]\npaths = [\"server.js\"]\nflag = { name = \"UPLOADS\", off = \"0\", on = \"1\" }\n";
    let text = "log = { service = \"web\" }\nexpect = { must = \"plain-app {version} listens\" }";
    app.configure(&AppConfig::default().without_builds().and(&check(text)).and(flags));
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host: &host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    host.gitroll(&["flags", "set", "UPLOADS=1", "--yes"]).exit(0);
    let show = host.gitroll(&["show", "--json"]).json();
    let checks = show["result"]["evidence"]["checks"].as_array().unwrap().clone();
    let more = checks.iter().find(|check| check["check"] == "more").unwrap();
    assert_eq!(more["skipped"], "nothing is reloaded that could report it", "{more}");
    s.release("1.1.0", Behaviour::Good).exit(0);
}
