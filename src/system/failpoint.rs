//! Named places at which the crash tests stop this program, make it fail, or make it wait.
//!
//! Only a debug build looks: a release contains none of it. Two variables say what is wanted:
//!
//! - `GITROLL_FAIL_AT=<place>[#<n>]=<action>`: at the `n`-th passing of `place` (the first where it is not said),
//!   `kill` (KILL to itself), `error` (an I/O error: no space left), `errors` (that, and one at every later line
//!   of the journal) or `wait` (until the file `<GITROLL_FAIL_LOG>.go` is there, at most a minute);
//! - `GITROLL_FAIL_LOG=<file>`: every place passed is appended, a line each, and `fired <place>` where it
//!   was this one: who tests counts what was really fired.

use std::io;

/// Passes a place: nothing happens, unless a test asked for it.
///
/// # Errors
/// The error that a test asked for.
#[cfg(not(debug_assertions))]
pub fn pass(_place: &str) -> io::Result<()> {
    Ok(())
}

/// Passes a place: nothing happens, unless a test asked for it.
///
/// # Errors
/// The error that a test asked for.
#[cfg(debug_assertions)]
pub fn pass(place: &str) -> io::Result<()> {
    armed::pass(place)
}

#[cfg(debug_assertions)]
mod armed {
    use std::fs::OpenOptions;
    use std::io::{self, Write as _};
    use std::path::PathBuf;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use rustix::process::{Signal, getpid, kill_process};

    struct Wanted {
        place: String,
        /// Passings left until it fires.
        left: AtomicUsize,
        action: String,
    }

    fn wanted() -> Option<&'static Wanted> {
        static WANTED: OnceLock<Option<Wanted>> = OnceLock::new();
        WANTED.get_or_init(|| parse(&std::env::var("GITROLL_FAIL_AT").ok()?)).as_ref()
    }

    fn parse(text: &str) -> Option<Wanted> {
        let (place, action) = text.rsplit_once('=')?;
        let (place, number) = match place.rsplit_once('#') {
            Some((place, number)) => (place, number.parse().ok()?),
            None => (place, 1),
        };
        Some(Wanted {
            place: place.to_owned(),
            left: AtomicUsize::new(number),
            action: action.to_owned(),
        })
    }

    pub(super) fn pass(place: &str) -> io::Result<()> {
        let log = std::env::var_os("GITROLL_FAIL_LOG").map(PathBuf::from);
        let note = |line: &str| {
            if let Some(log) = &log
                && let Ok(mut file) = OpenOptions::new().append(true).create(true).open(log)
            {
                // One write: several processes may share the file.
                let _ = file.write_all(format!("{line}\n").as_bytes());
            }
        };
        note(place);
        static BROKEN: AtomicBool = AtomicBool::new(false);
        if BROKEN.load(Ordering::Relaxed) && place.starts_with("journal") {
            return Err(rustix::io::Errno::NOSPC.into());
        }
        let Some(wanted) = wanted().filter(|wanted| wanted.place == place) else { return Ok(()) };
        let left = wanted.left.load(Ordering::Relaxed);
        wanted.left.store(left.saturating_sub(1), Ordering::Relaxed);
        if left != 1 {
            return Ok(());
        }
        note(&format!("fired {place}"));
        match wanted.action.as_str() {
            "kill" => {
                let _ = kill_process(getpid(), Signal::KILL);
                Ok(())
            }
            "error" => Err(rustix::io::Errno::NOSPC.into()),
            "errors" => {
                BROKEN.store(true, Ordering::Relaxed);
                Err(rustix::io::Errno::NOSPC.into())
            }
            "wait" => {
                let go = log.map(|mut path| {
                    path.as_mut_os_string().push(".go");
                    path
                });
                let end = Instant::now() + Duration::from_secs(60);
                while !go.as_ref().is_some_and(|go| go.exists()) && Instant::now() < end {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
