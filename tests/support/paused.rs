//! A command of the program under test that stands still at a named place of a debug build.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};

use super::{TestEnvironment, wait_until};

/// A command that waits at a named place.
pub struct Paused {
    child: Child,
    go: PathBuf,
}

impl Paused {
    /// Starts it and waits until it is there.
    #[track_caller]
    pub fn at(host: &TestEnvironment, place: &str, args: &[&str]) -> Self {
        let (log, go) = (host.path("places"), host.path("places.go"));
        for file in [&log, &go] {
            let _ = fs::remove_file(file);
        }
        let mut command = host.gitroll_command(args);
        command.env("GITROLL_FAIL_AT", format!("{place}=wait")).env("GITROLL_FAIL_LOG", &log);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        let fired = format!("fired {}", place.split('#').next().unwrap_or(place));
        wait_until("the place is reached", || {
            fs::read_to_string(&log).is_ok_and(|text| text.contains(&fired))
        });
        Self { child, go }
    }

    /// Kills it there.
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }

    /// Asks it to stop, as Ctrl-C does.
    pub fn interrupt(&self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it runs");
    }

    /// Lets it go on to its end.
    pub fn go_on(mut self) -> ExitStatus {
        fs::write(&self.go, "").expect("the host's directory is writable");
        self.child.wait().expect("it ends")
    }
}
