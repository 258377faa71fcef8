//! gitroll's own process manager.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use gitroll::config::{Manager, Service};
use gitroll::model::RepoPath;
use gitroll::service::{self, ServiceError};
use gitroll::system::procs::{self, ProcessId, Ticks};
use tempfile::TempDir;

use crate::support::bench::{self, Bench, until};

/// A service that is stopped when the test ends, however it ends.
struct Managed {
    bench: Bench,
    service: Service,
    dir: TempDir,
}

impl Managed {
    fn new(command: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let bench = Bench::new(dir.path());
        let env = [("PORT".to_owned(), bench.port.to_string())].into();
        let manager = Manager::Process {
            command: command.iter().map(ToString::to_string).collect(),
            env,
            log: None,
            stop_timeout: Duration::from_millis(500),
        };
        Self { service: bench::service("web", manager), bench, dir }
    }

    fn start(&self) -> ProcessId {
        self.bench.start(&self.service).unwrap();
        self.bench.observe(&self.service).processes.pop().expect("it runs")
    }

    fn stop(&self) {
        self.bench.stop(&self.service);
    }

    fn state_file(&self) -> std::path::PathBuf {
        self.bench.state.join("services/web.json")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.bench.state.join("services/web.log")).unwrap_or_default()
    }

    /// The number that the service wrote into `file` of its tree.
    fn noted(&self, file: &str) -> ProcessId {
        let path = self.bench.top.join(file);
        let read = || std::fs::read_to_string(&path).ok()?.trim().parse().ok();
        assert!(until(|| read().is_some()), "nothing was written to {file}");
        ProcessId::of(read().unwrap()).expect("it runs")
    }
}

impl Drop for Managed {
    fn drop(&mut self) {
        let _ = service::stop(&self.bench.host(), &self.service);
    }
}

#[test]
fn a_service_runs_the_tree_and_a_reload_gives_it_a_fresh_process() {
    let web = Managed::new(&["node", "server.js"]);
    assert_eq!(web.bench.observe(&web.service).word, "stopped");
    let first = web.start();
    assert!(web.bench.serves("v1"));
    assert_eq!(web.start(), first, "a second start does nothing");
    web.bench.deploy("v2");
    let moment = web.bench.reload(&web.service);
    assert!(web.bench.serves("v2"));
    let state = web.bench.observe(&web.service);
    assert_eq!((state.word.as_str(), state.up, state.stale), ("running", true, None));
    assert!(Ticks(state.processes[0].start_ticks) >= moment);
    assert!(!first.alive());
    web.stop();
    assert_eq!(web.bench.ask(), None);
    assert_eq!(web.bench.observe(&web.service).word, "stopped");
}

#[test]
fn the_environment_is_exactly_the_declared_one() {
    let web = Managed::new(&["node", "server.js"]);
    web.start();
    assert!(web.bench.serves("v1"));
    let answer = web.bench.ask().unwrap();
    let names: BTreeSet<&str> =
        answer["env"].as_object().unwrap().keys().map(String::as_str).collect();
    let expected = ["GITROLL_SERVICE", "GITROLL_VERSION", "HOME", "LANG", "PATH", "PORT", "USER"];
    assert_eq!(names, expected.into_iter().collect());
    assert_eq!(answer["cwd"], web.bench.top.to_str().unwrap());
}

#[test]
fn a_service_that_ignores_term_is_killed() {
    let web =
        Managed::new(&["sh", "-c", "trap '' TERM; echo $$ > ready; while :; do sleep 1; done"]);
    let main = web.start();
    web.noted("ready");
    let started = Instant::now();
    web.stop();
    assert!(!main.alive());
    assert!(started.elapsed() >= Duration::from_millis(500), "TERM was not waited for");
    assert!(!web.state_file().exists());
}

#[test]
fn what_a_service_forked_ends_with_it() {
    let web = Managed::new(&["sh", "-c", "sleep 600 & echo $! > child; wait"]);
    web.start();
    let child = web.noted("child");
    web.stop();
    assert!(!child.alive());
}

#[test]
fn a_child_that_left_the_session_or_outlived_its_parent_ends_too() {
    let web = Managed::new(&["sh", "-c", "setsid sh -c 'echo $$ > child; exec sleep 600' & wait"]);
    let main = web.start();
    let child = web.noted("child");
    assert!(!procs::session(main.pid).contains(&child.pid), "it left the session");
    main.kill();
    assert!(procs::wait_until_gone(&[main], Duration::from_secs(5)));
    web.stop();
    assert!(!child.alive());
}

#[test]
fn a_later_process_with_the_recorded_number_is_never_signalled() {
    let web = Managed::new(&["sleep", "600"]);
    let main = web.start();
    let record = std::fs::read_to_string(web.state_file()).unwrap();
    web.stop();
    // A start time is counted in ticks of 10 ms: theirs must differ.
    std::thread::sleep(std::time::Duration::from_millis(50));
    let mut stranger = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let id = ProcessId::of(stranger.id()).unwrap();
    // The state file of a service whose number the stranger got since.
    let record = record.replace(&format!("\"pid\": {}", main.pid), &format!("\"pid\": {}", id.pid));
    assert!(record.contains(&id.pid.to_string()));
    std::fs::write(web.state_file(), record).unwrap();
    let state = web.bench.observe(&web.service);
    assert_eq!((state.word.as_str(), state.up), ("exited", false));
    web.stop();
    assert!(id.alive(), "a stranger was ended");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn a_service_whose_state_file_was_lost_is_found_again() {
    let web = Managed::new(&["sleep", "600"]);
    let main = web.start();
    for content in [None, Some("{"), Some("{}")] {
        match content {
            None => std::fs::remove_file(web.state_file()).unwrap(),
            Some(text) => std::fs::write(web.state_file(), text).unwrap(),
        }
        let state = web.bench.observe(&web.service);
        assert_eq!(state.processes, std::slice::from_ref(&main), "{content:?}");
        assert_eq!(web.start(), main, "not started twice");
    }
    web.stop();
    assert!(!main.alive());
}

#[test]
fn two_apps_with_a_service_of_the_same_name_leave_each_other_alone() {
    let (one, other) = (Managed::new(&["sleep", "600"]), Managed::new(&["sleep", "600"]));
    let (first, second) = (one.start(), other.start());
    one.stop();
    assert!(!first.alive() && second.alive());
}

#[test]
fn a_crash_at_boot_is_observed_with_its_own_words() {
    let web = Managed::new(&["node", "server.js"]);
    web.start();
    assert!(web.bench.serves("v1"));
    web.bench.deploy("crash");
    web.bench.reload(&web.service);
    assert!(until(|| !web.bench.observe(&web.service).up));
    let state = web.bench.observe(&web.service);
    assert_eq!(state.word, "exited");
    assert!(state.log.iter().any(|line| line == "Error: no database at boot"), "{:?}", state.log);
    web.bench.deploy("v1");
    web.bench.reload(&web.service);
    assert!(web.bench.serves("v1"));
    assert_eq!(web.bench.observe(&web.service).log, [""; 0], "the crash was before this start");
    assert!(web.log().contains("no database at boot"), "the log itself is kept");
}

#[test]
fn a_log_that_became_long_is_put_aside_once() {
    let web = Managed::new(&["sh", "-c", "echo again; sleep 600"]);
    let log = web.bench.state.join("services/web.log");
    std::fs::create_dir_all(log.parent().unwrap()).unwrap();
    std::fs::write(&log, vec![b'x'; 10 * 1024 * 1024 + 1]).unwrap();
    web.start();
    assert!(until(|| web.log() == "again\n"));
    assert!(log.with_extension("log.1").metadata().unwrap().len() > 10 * 1024 * 1024);
    web.bench.reload(&web.service);
    assert!(until(|| web.log() == "again\nagain\n"), "a short one is appended to");
}

#[test]
fn a_declared_log_may_not_leave_the_tree_through_a_link() {
    let mut web = Managed::new(&["sleep", "600"]);
    let outside = web.dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, web.bench.top.join("logs")).unwrap();
    let declare = |web: &mut Managed, path: &str| {
        if let Manager::Process { log, .. } = &mut web.service.manager {
            *log = Some(RepoPath::new(path).unwrap());
        }
    };
    declare(&mut web, "logs/web.log");
    let error = web.bench.start(&web.service).unwrap_err();
    assert!(matches!(error, ServiceError::Io { .. }), "{error}");
    assert_eq!(outside.read_dir().unwrap().count(), 0);
    declare(&mut web, "own/logs/web.log");
    web.start();
    assert!(web.bench.top.join("own/logs/web.log").is_file());
}

#[test]
fn a_missing_program_is_an_error_of_the_start() {
    let web = Managed::new(&["no-such-program"]);
    let error = web.bench.start(&web.service).unwrap_err();
    assert_eq!(error.to_string(), "no-such-program was not found on this host");
    let web = Managed::new(&["./VERSION"]);
    let error = web.bench.start(&web.service).unwrap_err().to_string();
    assert!(error.contains("./VERSION could not be started"), "{error}");
}
