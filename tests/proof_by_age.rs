//! A process vouches only for the tree it was started in: what was moved by hand, what was never started, what was seen failing.

use std::process::Stdio;

use crate::support::*;

/// Short settles, and a check that names no version.
fn untold(host: &TestEnvironment) -> Scenario<'_> {
    let app = host.app(Fixture::Plain);
    let config = AppConfig::default().settle(2, "400ms").timeout("4s").without_builds();
    let config = config.toml(Fixture::Plain, app.port.number());
    app.write("gitroll.toml", &config.replace(", \"/version\" = \"{version}\"", ""));
    app.commit_version("1.0.0", Behaviour::Good);
    Scenario { host, app }
}

fn served(host: &TestEnvironment) -> Scenario<'_> {
    let s = untold(host);
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s
}

/// Commits a version on `main`, and checks out again what was.
fn commit(s: &Scenario<'_>, version: &str, behaviour: Behaviour) -> String {
    let before = s.app.head();
    s.app.git(&["checkout", "-q", "main"]);
    let commit = s.app.commit_version(version, behaviour);
    s.app.git(&["checkout", "-q", "--detach", &before]);
    commit
}

#[test]
fn a_process_that_was_restarted_on_another_checkout_is_no_witness() {
    let host = TestEnvironment::new();
    let s = served(&host);
    let old = s.app.head();
    let new = commit(&s, "1.1.0", Behaviour::Good);
    host.gitroll(&["deploy", &new, "--yes"]).exit(0);
    // Restarted on the very files that were proven, as by its manager at night: it is younger than they are.
    host.gitroll(&["service", "restart", "web"]).exit(0);
    host.gitroll(&["check"]).exit(0).stdout_has("v1.1.0").stdout_has("observed serving");
    host.gitroll(&["deploy", &new, "--yes"]).exit(0).stdout_has("already serves");

    s.app.git(&["checkout", "-q", "--detach", &old]);
    host.gitroll(&["service", "restart", "web"]).exit(0);
    s.app.git(&["checkout", "-q", "--detach", &new]);
    s.serves("1.0.0");
    let check = host.gitroll(&["check"]);
    check.exit(1).stderr_has("it may run another version").stderr_has("gitroll deploy");
    check.stdout_lacks("observed serving");
    host.gitroll(&["status"]).exit(0).stdout_has("not proven: web: process");
    host.gitroll(&["promote", "--yes"])
        .exit(10)
        .stderr_has("nothing shows that the running app is v1.1.0");
    let deploy = host.gitroll(&["deploy", &new, "--yes"]);
    deploy.exit(0).stdout_lacks("already serves").stderr_has("reloading and proving it again");
    s.serves("1.1.0");
    host.gitroll(&["check"]).exit(0);
}

#[test]
fn what_was_checked_out_and_never_started_is_not_what_served() {
    let host = TestEnvironment::new();
    let s = served(&host);
    let old = s.app.head();
    let broken = commit(&s, "1.1.0", Behaviour::ThrowsAtBoot);
    let worse = commit(&s, "1.2.0", Behaviour::ThrowsAtBoot);
    let good = commit(&s, "1.3.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &broken]);
    let status = host.gitroll(&["status"]);
    status
        .exit(0)
        .stdout_has("serving   v1.0.0")
        .stdout_has("is checked out by hand but was never started");
    // What is healthy is what serves, and that is not what is checked out.
    let check = host.gitroll(&["check"]);
    check.exit(0).stdout_has("v1.0.0").stdout_has("observed serving");
    check.stdout_has("is checked out by hand but was never started");
    check.stdout_has(&format!("gitroll deploy {}", &broken[..7]));
    let check = host.gitroll(&["check", "--json"]).exit(0).json();
    assert_eq!(check["result"]["serving"]["commit"], old, "{check}");
    assert_eq!(check["result"]["never_started"]["commit"], broken, "{check}");
    // The way back leads to what served, not to what was only checked out.
    host.gitroll(&["deploy", &worse, "--yes"]).exit(20).stderr_has("v1.0.0");
    s.serves("1.0.0");
    assert_eq!(s.app.head(), old);
    s.app.git(&["checkout", "-q", "--detach", &broken]);
    host.gitroll(&["deploy", &good, "--yes"]).exit(0);
    s.serves("1.3.0");
    let log = host.gitroll(&["log", "--json"]).exit(0).json();
    let found = &log["result"]["records"][1]["record"];
    assert_eq!(
        (found["event"].as_str(), found["to"].as_str()),
        (Some("predeploy"), Some(old.as_str()))
    );
    host.gitroll(&["targets"]).exit(0).stdout_lacks("v1.1.0");
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.0.0");
    // A commit of documents alone leaves a process what it was.
    s.app.write("NOTES.md", "how to\n");
    let notes = s.app.commit("notes");
    host.gitroll(&["status"]).exit(0).stdout_lacks("never started").stdout_has(&notes[..7]);
    host.gitroll(&["check"]).exit(0);
    // The app may read all that is in a directory of its own, whatever it is called.
    s.app.write("posts/first.md", "hello\n");
    s.app.commit("a post");
    host.gitroll(&["status"]).stdout_has("never started");
}

#[test]
fn init_adopts_what_lay_there_when_the_process_was_started() {
    let host = TestEnvironment::new();
    let s = untold(&host);
    let pid = host.path("pid");
    let control = format!(
        "#!/bin/sh\ncase $1 in\nstart) nohup node server.js >/dev/null 2>&1 & echo $! >'{pid}' ;;\n\
         stop) kill $(cat '{pid}'); while kill -0 $(cat '{pid}') 2>/dev/null; do sleep 0.1; done ;;\n\
         status) kill -0 $(cat '{pid}') ;;\nesac\n",
        pid = pid.display()
    );
    host.fake_tool("control", &control);
    let config = s.app.read("gitroll.toml");
    let (from, to) = (config.find("manager").unwrap(), config.find("[[check]]").unwrap());
    let service = "manager = \"command\"\nstart = [\"control\", \"start\"]\nstop = [\"control\", \"stop\"]\n\
        status = [\"control\", \"status\"]\n\n";
    let config = format!("{}{service}{}", &config[..from], &config[to..]);
    s.app.write("gitroll.toml", &config.replacen("[app]\n", "[app]\nprove = \"weak\"\n", 1));
    // By git's own clock, as a person's command.
    let git = |args: &[&str]| {
        host.run("git", &[&["-C", s.app.dir.to_str().unwrap()], args].concat()).exit(0);
    };
    git(&["commit", "-q", "-am", "another manager"]);
    let old = s.app.head();
    s.app.set_version("1.1.0");
    git(&["commit", "-q", "-am", "Release 1.1.0"]);
    git(&["checkout", "-q", "--detach", &old]);
    // A reflog knows no more than seconds.
    let next_second = || std::thread::sleep(std::time::Duration::from_millis(1100));
    next_second();
    host.run("sh", &["-c", &format!("cd '{}' && control start", s.app.dir.display())]).exit(0);
    s.serves("1.0.0");
    next_second();
    git(&["checkout", "-q", "main"]);
    let init = s.bind();
    init.stdout_has("serving   v1.0.0")
        .stdout_has("is checked out but was never started")
        .stdout_has("adopted");
    host.gitroll(&["deploy", "--yes"]).exit(0).stdout_lacks("already serves");
    s.serves("1.1.0");
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.0.0");
    assert_eq!(s.app.head(), old);
}

#[test]
fn a_file_that_somebody_writes_while_it_is_proven_fails_the_run() {
    let host = TestEnvironment::new();
    let s = served(&host);
    let before = s.app.head();
    let config = s.app.read("gitroll.toml");
    s.app.git(&["checkout", "-q", "main"]);
    s.app.write("gitroll.toml", &config.replace("settle = \"400ms\"", "settle = \"2s\""));
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &before]);
    let mut deploy = host.gitroll_command(&["deploy", &next, "--yes"]);
    let deploy = deploy.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    wait_for_version(&s.app.health(), "1.1.0");
    s.app.write("behaviour.js", &(s.app.read("behaviour.js") + "// another tool\n"));
    let ended = deploy.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(20), "{told}");
    assert!(told.contains("behaviour.js changed after v1.1.0"), "{told}");
    s.serves("1.0.0");
}

#[test]
fn what_was_failing_when_it_was_left_or_was_reverted_is_no_last_good() {
    let host = TestEnvironment::new();
    let s = served(&host);
    s.release("1.1.0", Behaviour::Good).exit(0);
    s.app.sour("1.1.0");
    s.release("1.2.0", Behaviour::Good).exit(0);
    host.gitroll(&["targets"]).exit(0).stdout_has("failing when it was left (#4)");
    let reverted = s.app.head();
    s.app.git(&["checkout", "-q", "main"]);
    s.app.git(&["revert", "--no-edit", &reverted]);
    s.app.set_version("1.2.1");
    let next = s.app.commit("Release 1.2.1");
    host.gitroll(&["deploy", &next, "--yes"]).exit(0);
    let planned = host.gitroll(&["back", "--plan"]);
    planned.exit(0).stderr_has("to       v1.0.0").stderr_has("v1.2.0  reverted by");
    planned.stderr_has("v1.1.0  was failing when it was left");

    // Going back by `deploy` while what serves fails is a rollback, and can be undone as one.
    s.app.mend("1.1.0");
    s.app.sour("1.2.1");
    let first = s.app.git(&["rev-parse", "main~4"]);
    let deploy = host.gitroll(&["deploy", &first, "--yes"]);
    deploy.exit(0).stderr_has("is marked bad and held");
    s.serves("1.0.0");
    host.gitroll(&["deploy", &next, "--yes"]).exit(10).stderr_has("is held");
    s.app.mend("1.2.1");
    host.gitroll(&["back", "--undo", "--yes"]).exit(0);
    s.serves("1.2.1");
}

#[test]
fn on_the_first_day_what_served_for_seconds_is_better_than_what_fails() {
    let host = TestEnvironment::new();
    let config = AppConfig::default().settle(2, "400ms").timeout("4s").without_builds();
    let s = Scenario::bound(&host, Fixture::Plain, &config.min_served("30m"));
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s.release("1.1.0", Behaviour::Good).exit(0);
    host.gitroll(&["back", "--yes"]).exit(1).stderr_has("no version to roll back to");
    // A release made by hand that fails is what is blamed and judged, not what the records knew last.
    let hand_made = commit(&s, "1.2.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &hand_made]);
    host.gitroll(&["service", "restart", "web"]).exit(0);
    s.app.sour("1.2.0");
    let deploy = host.gitroll(&["deploy", "--yes"]);
    deploy.exit(20).stderr_has("serving v1.2.0").stderr_has("api 500");
    s.serves("1.1.0");
    host.gitroll(&["deploy", &hand_made, "--yes"]).exit(10).stderr_has("is held");
    s.app.sour("1.1.0");
    let back = host.gitroll(&["back", "--yes"]);
    back.exit(0).stderr_has("served only").stderr_has("no better version was proven here");
    s.serves("1.0.0");
}

#[test]
fn a_worker_that_no_service_restarts_stands_in_the_last_lines() {
    let host = TestEnvironment::new();
    let s = served(&host);
    s.app.write("worker.js", "setInterval(() => {}, 1000);\n");
    let next = commit(&s, "1.1.0", Behaviour::Good);
    host.gitroll(&["deploy", &next, "--yes"]).exit(0).stdout_lacks("older code");
    let mut worker = host.command("node");
    let worker = worker.arg("worker.js").stdout(Stdio::null()).stderr(Stdio::null());
    let mut worker = worker.spawn().expect("node can be started");
    let third = commit(&s, "1.2.0", Behaviour::Good);
    let deploy = host.gitroll(&["deploy", &third, "--yes"]);
    deploy.exit(0).stdout_has("; 1 process of no service runs older code");
    deploy.stdout_has(&format!("older    process {} (node worker.js)", worker.id()));
    let back = host.gitroll(&["back", "--yes", "--json"]).exit(0).json();
    let strays = back["result"]["strays"].to_string();
    assert!(strays.contains("node worker.js"), "{back}");
    worker.kill().expect("it runs");
    worker.wait().expect("it ends");
}
