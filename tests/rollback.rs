//! The main job on the built-in process manager: deploy, promote, back, and what can go wrong.

use std::process::Stdio;
use std::time::Duration;

use crate::support::*;

#[test]
fn a_bad_release_is_left_and_the_stable_one_serves_again() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &AppConfig::default());
    s.serves("1.0.0");
    s.release("1.1.0", Behaviour::SoursAfter(3)).exit(0);
    s.serves("1.1.0");
    host.gitroll(&["back", "--yes"]).exit(0).stdout_has("v1.0.0-stable observed serving");
    s.serves("1.0.0");
    host.gitroll(&["back", "--yes"]).exit(1).stderr_has("no version to roll back to");
    host.gitroll(&["back", "--undo", "--yes"]).exit(0);
    s.serves("1.1.0");
}

#[test]
fn a_release_that_throws_at_boot_is_not_deployed_and_the_old_one_serves() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &AppConfig::default());
    s.release("1.1.0", Behaviour::ThrowsAtBoot).exit(20).stderr_has("restored, observed serving");
    s.serves("1.0.0");
    host.gitroll(&["status"]).exit(0).stdout_has("none open");
}

#[test]
fn a_release_whose_build_fails_touches_nothing() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &AppConfig::default());
    s.release("1.1.0", Behaviour::BuildFails).exit(1).stderr_has("nothing was changed");
    s.serves("1.0.0");
}

/// Kills deploys at several moments and ends each run this way: the app serves one of the two versions,
/// whole, and can be deployed again.
fn killed_and_then(way: &str) {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &AppConfig::default().settle(2, "600ms"));
    let good = s.app.head();
    let mut ended = 0;
    let runs = s.app.dir.join(".git/gitroll/runs");
    let begun = || std::fs::read_dir(&runs).map_or(0, Iterator::count);
    for (number, millis) in [(1, 0), (2, 200), (3, 500), (4, 800)] {
        let version = format!("1.1.{number}");
        let next = s.app.commit_version(&version, Behaviour::Good);
        s.app.git(&["checkout", "-q", "--detach", &good]);
        let before = begun();
        let mut deploy = host.gitroll_command(&["deploy", &next, "--yes"]);
        let mut deploy =
            deploy.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        wait_until("the run is begun", || begun() > before);
        std::thread::sleep(Duration::from_millis(millis));
        deploy.kill().expect("it can be killed");
        deploy.wait().expect("it ends");
        let status = host.gitroll(&["status", "--json"]);
        if !status.json()["result"]["open_runs"].as_array().expect("a list").is_empty() {
            host.gitroll(&["back", "--yes"]).exit(22).stderr_has("gitroll resume");
            let answer = host.gitroll(&[way]);
            // After the commit point there is only one way on, and abort says so.
            let too_late = answer.transcript().contains("too late to abort");
            if too_late {
                answer.exit(22).stderr_has("gitroll resume");
                host.gitroll(&["resume"]).exit(0);
            } else {
                answer.exit(0);
            }
            s.serves(if way == "resume" || too_late { &version } else { "1.0.0" });
            ended += 1;
        }
        host.gitroll(&["status"]).exit(0).stdout_has("none open").stdout_has("tree clean");
        host.gitroll(&["deploy", &good, "--yes"]).exit(0);
        s.serves("1.0.0");
    }
    assert!(ended > 0, "no kill came between the first and the last line of a journal");
}

#[test]
fn a_killed_deploy_is_finished_by_resume() {
    killed_and_then("resume");
}

#[test]
fn a_killed_deploy_is_undone_by_abort() {
    killed_and_then("abort");
}

/// A container that is entered from its host (`docker exec`, `nsenter`) has a terminal session that began
/// outside of its process namespace: the kernel calls that session 0.
#[test]
fn a_session_that_began_outside_of_the_process_namespace_is_no_obstacle() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.configure(&AppConfig::default());
    app.commit_version("1.0.0", Behaviour::Good);
    let mut steps = String::from("set -e\n");
    let program = host.gitroll_command(&[]).get_program().to_string_lossy().into_owned();
    for step in ["init --yes --environment production --name web-1", "deploy --yes", "status"] {
        steps.push_str(&format!("'{program}' {step}\n"));
    }
    let session = "test \"$(cut -d' ' -f6 /proc/self/stat)\" = 0\n";
    host.run(
        "unshare",
        &["--pid", "--fork", "--mount-proc", "sh", "-c", &(session.to_owned() + &steps)],
    )
    .exit(0)
    .stdout_has("1.0.0");
}
