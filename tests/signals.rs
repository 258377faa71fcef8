//! Signals, closed terminals and closed pipes in the middle of a run.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::support::*;
use rustix::process::{Pid, Signal, kill_process};

/// 1.0.0 serves, and what comes is proven over so long a time.
fn serving<'h>(host: &'h TestEnvironment, settle: &str) -> Scenario<'h> {
    let quick = AppConfig::default().without_builds();
    let s = Scenario::serving(host, Fixture::Plain, &quick);
    s.app.configure(&quick.settle(2, settle).timeout("30s"));
    s
}

/// A gitroll at work, its output kept aside.
struct AtWork {
    child: Child,
    said: PathBuf,
}

impl AtWork {
    fn start(host: &TestEnvironment, args: &[&str], fail_at: Option<&str>) -> Self {
        let said = host.path("said");
        let file = fs::File::create(&said).expect("the test's directory is writable");
        let mut command = host.gitroll_command(args);
        command.stdin(Stdio::null());
        command.stdout(file.try_clone().expect("a descriptor is free")).stderr(file);
        if let Some(fail_at) = fail_at {
            command.env("GITROLL_FAIL_AT", fail_at).env("GITROLL_FAIL_LOG", host.path("places"));
        }
        Self { child: command.spawn().expect("it starts"), said }
    }

    fn send(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("it has a number"), signal).expect("it runs");
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.said).expect("it was made")
    }

    #[track_caller]
    fn ends(mut self, code: i32) -> String {
        let mut status = None;
        wait_until("it ends", || {
            status = self.child.try_wait().expect("a child can be waited for");
            status.is_some()
        });
        let said = self.said();
        assert_eq!(status.and_then(|s| s.code()), Some(code), "{said}");
        said
    }
}

/// Waits until a place of the crash tests was reached.
fn reached(host: &TestEnvironment, place: &str) {
    wait_until(place, || {
        fs::read_to_string(host.path("places"))
            .is_ok_and(|text| text.contains(&format!("fired {place}")))
    });
}

fn go(host: &TestEnvironment) {
    fs::write(host.path("places.go"), "").expect("the test's directory is writable");
}

#[test]
fn ctrl_c_while_the_new_version_is_proven_puts_the_old_one_back() {
    let host = TestEnvironment::new();
    let s = serving(&host, "20s");
    let before = s.app.head();
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    let deploy = AtWork::start(&host, &["deploy", &next, "--yes"], None);
    wait_for_version(&s.app.health(), "1.1.0");
    deploy.send(Signal::INT);
    let said = deploy.ends(20);
    assert!(said.contains("stopping; restoring what served before"), "{said}");
    assert!(said.contains("prove          interrupted by SIGINT"), "{said}");
    s.serves("1.0.0");
    assert_eq!(s.app.head(), before);
    host.gitroll(&["status"]).exit(0).stdout_has("none open");
    let record = host.gitroll(&["log", "-n", "1", "--json"]);
    assert!(record.stdout.contains("restored"), "{}", record.stdout);
}

#[test]
fn ctrl_c_on_a_terminal_does_not_reach_what_the_run_has_started() {
    let host = TestEnvironment::new();
    let s = serving(&host, "20s");
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    let mut deploy = host.gitroll_on_terminal(&["deploy", &next, "--yes"]);
    wait_for_version(&s.app.health(), "1.1.0");
    deploy.press("\x03");
    let (code, screen) = deploy.finish();
    assert_eq!(code, 20, "{screen}");
    s.serves("1.0.0");
}

#[test]
fn term_during_a_build_ends_the_build_and_touches_nothing() {
    let host = TestEnvironment::new();
    let begun = host.path("build-pid");
    let config = AppConfig::default().without_builds();
    let s = Scenario::serving(&host, Fixture::Plain, &config);
    let pid = s.app.pid_served();
    // `exec`-less on purpose: what the shell starts has to go as well.
    let slow = format!(
        "[[build]]\nname = \"slow\"\nrun = [[\"sh\", \"-c\", \"sleep 100 & echo $! > {}; wait\"]]\n\
         outputs = [\"out\"]\n",
        begun.display()
    );
    s.app.configure(&config.and(&slow));
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    let deploy = AtWork::start(&host, &["deploy", &next, "--yes"], None);
    wait_until("the build runs", || fs::read_to_string(&begun).is_ok_and(|t| t.ends_with('\n')));
    deploy.send(Signal::TERM);
    let said = deploy.ends(1);
    assert!(said.contains("interrupted by a signal"), "{said}");
    assert!(said.contains("stopping; nothing in the live tree was changed"), "{said}");
    assert!(!said.contains("after you fix") && said.contains("starts again"), "{said}");
    let sleep = fs::read_to_string(&begun).expect("it was written");
    let alive = fs::read_to_string(format!("/proc/{}/stat", sleep.trim()));
    assert!(alive.is_err() || alive.is_ok_and(|stat| stat.contains(") Z")), "the build goes on");
    assert_eq!(s.app.pid_served(), pid, "what serves was touched");
    host.gitroll(&["status"]).exit(0).stdout_has("none open");
}

#[test]
fn a_second_signal_at_once_leaves_the_run_open() {
    let host = TestEnvironment::new();
    let s = serving(&host, "1s");
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    let deploy =
        AtWork::start(&host, &["deploy", &next, "--yes"], Some("restore tree before=wait"));
    wait_for_version(&s.app.health(), "1.1.0");
    deploy.send(Signal::INT);
    reached(&host, "restore tree before");
    deploy.send(Signal::INT);
    wait_until("it was heard", || deploy.said().contains("leaving everything as it is"));
    go(&host);
    let said = deploy.ends(22);
    assert!(said.contains("gitroll resume") && said.contains("gitroll abort"), "{said}");
    // It is on its way back: that is what resume goes on with.
    assert!(said.contains("finishes restoring v1.0.0") && !said.contains("continues to"), "{said}");
    host.gitroll(&["status"]).exit(0).stdout_has("interrupted while v1.0.0");
    host.gitroll(&["deploy", "--yes"]).exit(22);
    host.gitroll(&["abort"]).exit(0).stdout_has("v1.0.0");
    s.serves("1.0.0");
}

#[test]
fn a_signal_that_comes_while_what_served_is_restored_does_not_stop_that() {
    let host = TestEnvironment::new();
    let s = serving(&host, "1s");
    let next = s.app.commit_version("1.1.0", Behaviour::ThrowsAtBoot);
    let deploy =
        AtWork::start(&host, &["deploy", &next, "--yes"], Some("restore tree before=wait"));
    reached(&host, "restore tree before");
    deploy.send(Signal::TERM);
    wait_until("it was heard", || deploy.said().contains("stopping"));
    go(&host);
    deploy.ends(20);
    s.serves("1.0.0");
}

#[test]
fn a_signal_after_the_proof_changes_nothing() {
    let host = TestEnvironment::new();
    let s = serving(&host, "1s");
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    let deploy =
        AtWork::start(&host, &["deploy", &next, "--yes"], Some("journal proven after=wait"));
    reached(&host, "journal proven after");
    deploy.send(Signal::INT);
    wait_until("it was heard", || deploy.said().contains("not stopping: the version was observed"));
    go(&host);
    deploy.ends(0);
    s.serves("1.1.0");
    host.gitroll(&["log", "-n", "1"]).exit(0).stdout_has("v1.1.0");
}

#[test]
fn a_signal_before_the_run_has_begun_simply_ends_it() {
    let host = TestEnvironment::new();
    let s = serving(&host, "1s");
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    let mut deploy = AtWork::start(&host, &["deploy", &next, "--yes"], Some("lock taken=wait"));
    reached(&host, "lock taken");
    deploy.send(Signal::INT);
    wait_until("it ends", || deploy.child.try_wait().expect("a child").is_some());
    host.gitroll(&["status"]).exit(0).stdout_has("none open");
    s.serves("1.0.0");
}

#[test]
fn a_closed_connection_does_not_stop_a_run() {
    let host = TestEnvironment::new();
    let s = serving(&host, "2s");
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    let deploy = host.gitroll_on_terminal(&["deploy", &next, "--yes"]);
    wait_for_version(&s.app.health(), "1.1.0");
    // Returns when gitroll has ended.
    deploy.close();
    host.gitroll(&["status"]).exit(0).stdout_has("none open").stdout_has("v1.1.0");
    host.gitroll(&["log", "-n", "1"]).exit(0).stdout_has("deploy  v1.1.0  ✓ proven");
    s.serves("1.1.0");
}

#[test]
fn hup_does_not_stop_a_run() {
    let host = TestEnvironment::new();
    let s = serving(&host, "1s");
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    let deploy = AtWork::start(&host, &["deploy", &next, "--yes"], Some("prove before=wait"));
    wait_for_version(&s.app.health(), "1.1.0");
    deploy.send(Signal::HUP);
    std::thread::sleep(Duration::from_millis(200));
    go(&host);
    deploy.ends(0);
    s.serves("1.1.0");
}

#[test]
fn closed_output_does_not_stop_a_run() {
    let host = TestEnvironment::new();
    let s = serving(&host, "1s");
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    let mut command = host.gitroll_command(&["deploy", &next, "--yes", "--json"]);
    let mut deploy = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    drop((deploy.stdout.take(), deploy.stderr.take()));
    assert_eq!(deploy.wait().expect("it ends").code(), Some(0));
    s.serves("1.1.0");
    host.gitroll(&["log", "-n", "1"]).exit(0).stdout_has("deploy  v1.1.0  ✓ proven");
}

#[test]
fn who_stops_a_run_that_left_something_failing_gets_that_back() {
    let host = TestEnvironment::new();
    let config = AppConfig::default().without_builds().settle(2, "2s").timeout("6s");
    let s = Scenario::serving(&host, Fixture::Plain, &config);
    s.release("1.1.0", Behaviour::Good).exit(0);
    s.app.sour("1.1.0");
    wait_until("it fails", || http_get(&s.app.health()).is_ok_and(|a| a.status == 500));
    let failing = s.app.head();
    let back = AtWork::start(&host, &["back", "--yes"], None);
    wait_for_version(&s.app.health(), "1.0.0");
    back.send(Signal::INT);
    let said = back.ends(21);
    assert!(said.contains("fails as it did before"), "{said}");
    assert_eq!(s.app.head(), failing);
    host.gitroll(&["status"]).exit(0).stdout_has("none open");
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.0.0");
}

// ---- commands of the team's own

/// A service of commands whose reload writes a line first and then may wait.
fn by_commands<'h>(host: &'h TestEnvironment, idempotent: bool) -> Scenario<'h> {
    let app = host.app(Fixture::Plain);
    let (root, port) = (host.root().display().to_string(), app.port.number());
    let start = format!(
        "PORT={port} setsid node server.js > {root}/web.log 2>&1 < /dev/null & echo $! > {root}/pid"
    );
    let stop = format!("kill $(cat {root}/pid)");
    let script = format!(
        "#!/bin/sh\necho reload >> {root}/reloads\n{stop}\n\
         while [ -e {root}/slow ]; do sleep 0.05; done\n{start}\n"
    );
    fs::write(host.path("reload.sh"), script).expect("the test's directory is writable");
    let config = AppConfig::default().served_by(ServedBy::Nobody).without_builds().and(&format!(
        "[service.web]\nmanager = \"command\"\nidempotent = {idempotent}\n\
         start = [\"sh\", \"-c\", \"{start}\"]\nstop = [\"sh\", \"-c\", \"{stop}\"]\n\
         reload = [\"sh\", \"{root}/reload.sh\"]\n\
         status = [\"sh\", \"-c\", \"kill -0 $(cat {root}/pid)\"]\n"
    ));
    app.configure(&config);
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s.serves("1.0.0");
    s
}

fn reloads(host: &TestEnvironment) -> usize {
    fs::read_to_string(host.path("reloads")).map_or(0, |text| text.lines().count())
}

/// Kills a deploy of 1.1.0 in the middle of its reload command.
fn killed_in_reload(s: &Scenario<'_>) {
    killed_while_reloading(s);
    fs::remove_file(s.host.path("slow")).expect("it was made");
    // Nobody ended the command itself: it goes on and does its work.
    wait_for_version(&s.app.health(), "1.1.0");
}

/// The same; the command itself goes on until `slow` is removed.
fn killed_while_reloading(s: &Scenario<'_>) {
    let before = reloads(s.host);
    fs::write(s.host.path("slow"), "").expect("the test's directory is writable");
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    let deploy = AtWork::start(s.host, &["deploy", &next, "--yes"], None);
    wait_until("the command runs", || reloads(s.host) == before + 1);
    deploy.send(Signal::KILL);
    wait_until("it ends", || {
        !fs::read_to_string(format!("/proc/{}/stat", deploy.child.id()))
            .is_ok_and(|stat| !stat.contains(") Z"))
    });
}

#[test]
fn an_interrupted_command_that_is_not_idempotent_is_asked_about() {
    let host = TestEnvironment::new();
    let s = by_commands(&host, false);
    killed_in_reload(&s);
    let count = reloads(&host);
    host.gitroll(&["status"]).exit(0).stdout_has("did `sh").stdout_has("gitroll resume --done");
    // Whoever meets the open run first is asked the question at once.
    for met in
        [&["resume"] as &[&str], &["back", "--yes"], &["mark", "bad", "HEAD", "--reason", "x"]]
    {
        let asked = host.gitroll(met);
        asked.exit(22).stderr_has("resume --done").stderr_has("resume --redo");
        asked.stderr_has("did its command finish?").stderr_has("gitroll abort");
    }
    host.gitroll(&["resume", "--done", "--redo"]).exit(2);
    assert_eq!(reloads(&host), count, "it was run again");
    host.gitroll(&["resume", "--done"]).exit(0).stdout_has("v1.1.0 observed serving");
    assert_eq!(reloads(&host), count, "it was run again");
    host.gitroll(&["status"]).exit(0).stdout_has("none open");
}

#[test]
fn an_interrupted_command_is_run_again_where_a_person_says_so() {
    let host = TestEnvironment::new();
    let s = by_commands(&host, false);
    killed_in_reload(&s);
    let count = reloads(&host);
    host.gitroll(&["resume", "--redo"]).exit(0).stdout_has("v1.1.0 observed serving");
    assert_eq!(reloads(&host), count + 1);
    s.serves("1.1.0");
}

#[test]
fn an_interrupted_command_that_is_not_idempotent_can_be_given_up() {
    let host = TestEnvironment::new();
    let s = by_commands(&host, false);
    killed_in_reload(&s);
    host.gitroll(&["abort"]).exit(0);
    s.serves("1.0.0");
    host.gitroll(&["resume", "--done"]).exit(1).stderr_has("no run is open");
}

#[test]
fn a_command_that_goes_on_after_the_kill_is_waited_for_and_never_runs_twice_at_once() {
    for (idempotent, way, serves) in [
        (false, &["abort"][..], "1.0.0"),
        (false, &["resume", "--redo"], "1.1.0"),
        (true, &["resume"], "1.1.0"),
    ] {
        let host = TestEnvironment::new();
        let s = by_commands(&host, idempotent);
        killed_while_reloading(&s);
        let count = reloads(&host);
        host.gitroll(&["status"]).exit(0).stdout_has("is still running (process");
        let mut waiting = host.gitroll_command(way);
        let waiting =
            waiting.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it runs");
        std::thread::sleep(Duration::from_millis(1500));
        assert_eq!(reloads(&host), count, "{way:?}: a second one runs beside the first");
        fs::remove_file(host.path("slow")).expect("it was made");
        let said = waiting.wait_with_output().expect("it ends");
        let text = String::from_utf8_lossy(&said.stderr).into_owned();
        assert_eq!(said.status.code(), Some(0), "{way:?}: {text}");
        assert!(text.contains("reload.sh` (process"), "{way:?}: {text}");
        assert_eq!(reloads(&host), count + 1, "{way:?}");
        std::thread::sleep(Duration::from_millis(500));
        s.serves(serves);
    }
}

#[test]
fn a_server_that_looks_like_the_command_that_started_it_is_let_alone() {
    let host = TestEnvironment::new();
    let s = by_commands(&host, true);
    let (root, port) = (host.root().display().to_string(), s.app.port.number());
    // What stays is a copy of the shell that started it: same words, same environment.
    let start = format!(
        "( PORT={port} node server.js > {root}/web.log 2>&1 < /dev/null & echo $! > {root}/pid; wait ) &"
    );
    let config = s.app.read("gitroll.toml");
    let (head, rest) = config.split_once("start = ").expect("it has a start");
    let (_, tail) = rest.split_once('\n').expect("it is a line");
    let reload = tail.lines().find(|line| line.starts_with("reload")).expect("it has a reload");
    let tail = tail.replace(reload, "timeout = \"20s\"");
    s.app.write("gitroll.toml", &format!("{head}start = [\"sh\", \"-c\", \"{start}\"]\n{tail}"));
    let two = s.app.commit_version("1.1.0", Behaviour::Good);
    host.gitroll(&["deploy", &two, "--yes"]).exit(0);
    let pid = s.app.pid_served();
    let next = s.app.commit_version("1.2.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &two]);
    let mut deploy = host.gitroll_command(&["deploy", &next, "--yes"]);
    deploy.env("GITROLL_FAIL_AT", "activate before=kill");
    assert_eq!(deploy.output().expect("it runs").status.code(), None);
    host.gitroll(&["status"]).exit(0).stdout_lacks("is still running (process");
    host.gitroll(&["abort"]).stderr_lacks("waiting for");
    assert_eq!(s.app.pid_served(), pid, "the server was ended");
    let again = std::time::Instant::now();
    host.gitroll(&["deploy", &next, "--yes"]).exit(0);
    assert!(again.elapsed() < Duration::from_secs(15), "the server was waited for");
    s.serves("1.2.0");
}

#[test]
fn an_idempotent_command_is_simply_run_again() {
    let host = TestEnvironment::new();
    let s = by_commands(&host, true);
    killed_in_reload(&s);
    let count = reloads(&host);
    host.gitroll(&["resume"]).exit(0).stdout_has("v1.1.0 observed serving");
    assert_eq!(reloads(&host), count + 1);
    s.serves("1.1.0");
}

#[test]
fn a_command_that_was_done_before_the_kill_is_not_done_again() {
    let host = TestEnvironment::new();
    let s = by_commands(&host, false);
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    let deploy = AtWork::start(&host, &["deploy", &next, "--yes"], Some("prove before=wait"));
    reached(&host, "prove before");
    deploy.send(Signal::KILL);
    let count = reloads(&host);
    wait_until("the lock is free", || {
        let answer = host.gitroll(&["resume", "--wait", "1s"]);
        answer.code != Some(12)
    });
    assert_eq!(reloads(&host), count, "it was run again");
    s.serves("1.1.0");
    host.gitroll(&["status"]).exit(0).stdout_has("none open").stdout_has("v1.1.0");
}
