//! Services that a team starts and stops with commands of its own.

use std::time::{Duration, Instant};

use gitroll::config::{Manager, Service};
use gitroll::service::{self, ServiceError};
use gitroll::system::procs::ProcessId;
use tempfile::TempDir;

use crate::support::bench::{self, Bench};

struct Commanded {
    bench: Bench,
    service: Service,
    _dir: TempDir,
}

fn shell(script: &str) -> Vec<String> {
    ["sh", "-c", script].map(str::to_owned).to_vec()
}

fn commanded(start: &str, reload: Option<&str>) -> Commanded {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::new(dir.path());
    let manager = Manager::Command {
        start: shell(start),
        stop: shell("kill $(cat pid) && rm pid"),
        reload: reload.map(shell),
        status: shell("kill -0 $(cat pid)"),
        timeout: Duration::from_secs(2),
        idempotent: false,
    };
    Commanded { service: bench::service("web", manager), bench, _dir: dir }
}

impl Commanded {
    fn process(&self) -> Option<ProcessId> {
        ProcessId::of(
            std::fs::read_to_string(self.bench.top.join("pid")).ok()?.trim().parse().ok()?,
        )
    }
}

impl Drop for Commanded {
    fn drop(&mut self) {
        if let Some(process) = self.process() {
            process.kill();
        }
    }
}

const SERVER: &str = "env > seen; { echo started; exec sleep 600; } & echo $! > pid";

#[test]
fn a_server_that_the_start_command_leaves_behind_goes_on() {
    let web = commanded(SERVER, None);
    assert!(!web.bench.observe(&web.service).up);
    let began = Instant::now();
    web.bench.start(&web.service).unwrap();
    assert!(began.elapsed() < Duration::from_millis(1500), "its open output was waited for");
    let state = web.bench.observe(&web.service);
    assert!(state.up && state.processes.is_empty());
    let first = web.process().expect("it runs");
    web.bench.start(&web.service).unwrap();
    assert_eq!(web.process(), Some(first.clone()), "a second start does nothing");
    web.bench.reload(&web.service);
    assert!(!first.alive() && web.process().is_some(), "without `reload` it is stop and start");
    web.bench.stop(&web.service);
    assert!(!web.bench.observe(&web.service).up);
    web.bench.stop(&web.service);
    web.bench.reload(&web.service);
    assert!(web.bench.observe(&web.service).up, "a reload starts what does not run");
}

#[test]
fn the_commands_get_a_clean_environment() {
    let web = commanded(SERVER, None);
    web.bench.start(&web.service).unwrap();
    let seen = std::fs::read_to_string(web.bench.top.join("seen")).unwrap();
    // The shell itself adds PWD and the like.
    assert!(seen.contains("GITROLL_VERSION=1.2.3\n") && !seen.contains("CARGO"), "{seen}");
}

#[test]
fn a_failing_reload_says_why() {
    let web = commanded(SERVER, Some("echo loading; echo 'Error: no licence' >&2; exit 4"));
    let error = service::reload(&web.bench.host(), &web.service).unwrap_err().to_string();
    assert!(error.ends_with("exit 4: Error: no licence"), "{error}");
}

#[test]
fn a_command_that_never_ends_is_ended() {
    let web = commanded(SERVER, Some("sleep 600"));
    let began = Instant::now();
    let error = service::reload(&web.bench.host(), &web.service).unwrap_err().to_string();
    assert!(error.contains("did not end within 2 s"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(8));
}

#[test]
fn a_missing_program_is_named() {
    let mut web = commanded(SERVER, None);
    if let Manager::Command { status, .. } = &mut web.service.manager {
        *status = vec!["no-such-program".to_owned()];
    }
    let error = service::observe(&web.bench.host(), &web.service).unwrap_err();
    assert!(matches!(&error, ServiceError::NoTool(tool) if tool == "no-such-program"), "{error}");
}
