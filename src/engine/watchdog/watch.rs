//! What a guard does when its time has come.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::{Guard, at_top, environment, file, guard, log, write};
use crate::engine::entry::Entry;
use crate::engine::journal::JournalError;
use crate::engine::lock::Lock;
use crate::engine::phase::{Phase, Side};
use crate::engine::run::{Run, open_runs};
use crate::model::RunId;
use crate::site::Site;
use crate::system::process::{Finished, Invocation, own_program};
use crate::system::procs::ProcessId;

/// How often a run is tried to be finished before it is left to a person.
const TRIES: usize = 4;

/// Before another try: what killed the first (memory, disk) may pass.
const PAUSE: Duration = Duration::from_secs(1);

/// A try that takes longer than this is ended: it would never end.
const LIMIT: Duration = Duration::from_secs(3600);

/// The exit code of a command that found the checkout locked.
const BUSY: i32 = 12;

/// Waits until nobody is at the run any more and finishes it. Returns when it is over, when the guard
/// that knows itself by `token` does not count any more, or when it gave up.
///
/// `say` is told what is done, a line at a time.
pub fn keep_watch(site: &Site, id: &RunId, token: &str, say: &mut dyn FnMut(&str)) {
    let mut tries = 0;
    let mut last: Option<Try> = None;
    loop {
        let Some(guard) = guard(site, id).filter(|guard| guard.token == token) else { return };
        let run = match left(site, id) {
            Ok(Some(run)) => run,
            Ok(None) => {
                if last.is_some() {
                    say("the run is over");
                }
                let _ = fs::remove_file(file(site, id));
                return;
            }
            Err(error) => return give_up(site, id, guard, &error.to_string(), say),
        };
        match (run.journal.phase(), &last) {
            // It ended by itself and was left open on purpose.
            (Phase::Stuck(_), None) | (Phase::Stuck(Side::Target), Some(_)) => {
                return give_up(site, id, guard, "a person is needed", say);
            }
            _ => {}
        }
        if let Some(process) = at_work(site, &run, &guard) {
            process.wait();
            continue;
        }
        let way = match Way::after(last.as_ref(), run.journal.phase()) {
            Some(way) if tries < TRIES => way,
            _ => return give_up(site, id, guard, &format!("after {tries} tries"), say),
        };
        if last.as_ref().is_some_and(|last| last.killed) {
            thread::sleep(PAUSE);
        }
        say(&format!(
            "{} to {}: nobody is at it any more: {}",
            run.plan.event,
            run.plan.to,
            way.verb()
        ));
        let finished = way.run(site, id, token);
        match finished {
            Ok(finished) if finished.code == Some(BUSY) => {
                // Somebody was quicker; who that is stands in the lock in a moment.
                thread::sleep(PAUSE);
            }
            Ok(finished) => {
                tries += 1;
                let killed = finished.code.is_none() || finished.timed_out;
                say(&match finished.code {
                    Some(code) => format!("{} ended with exit code {code}", way.verb()),
                    None => format!("{} was killed", way.verb()),
                });
                last = Some(Try { way, killed });
            }
            Err(error) => {
                tries += 1;
                say(&error);
                last = Some(Try { way, killed: true });
            }
        }
    }
}

/// What there is to finish of the run and of those that follow it: the last one that is open.
fn left(site: &Site, id: &RunId) -> Result<Option<Run>, JournalError> {
    let ours = |run: &Run| run.id == *id || run.follows().contains(id);
    Ok(open_runs(site)?.into_iter().rfind(ours))
}

/// Who is at the run or holds the checkout.
fn at_work(site: &Site, run: &Run, guard: &Guard) -> Option<ProcessId> {
    let lines = run.journal.lines().iter().rev();
    let last = lines.filter_map(|line| match &line.entry {
        Entry::Begun(begun) => Some(begun.process.clone()),
        Entry::Resumed { process, .. } => Some(process.clone()),
        _ => None,
    });
    let last = last.into_iter().next().flatten();
    let holder = Lock::holder(&site.state()).and_then(|held| held.process);
    let own = std::process::id();
    [last, guard.guards.clone(), holder]
        .into_iter()
        .flatten()
        .find(|process| process.pid != own && process.alive())
}

/// Says why a guard does nothing more, in its file too: `status` shows it.
fn give_up(site: &Site, id: &RunId, guard: Guard, why: &str, say: &mut dyn FnMut(&str)) {
    say(&format!("the run stays open: {why}; then: gitroll resume, or gitroll abort"));
    let _ = write(site, id, &Guard { gave_up: Some(why.to_owned()), ..guard });
}

/// One of the two ways on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Resume,
    Abort,
}

/// A try and what became of it.
struct Try {
    way: Way,
    /// It did not end by itself.
    killed: bool,
}

impl Way {
    /// What to try next. A way that failed by itself is not tried again; one that was killed is.
    fn after(last: Option<&Try>, phase: &Phase) -> Option<Self> {
        // After the commit point there is only one way.
        let proven = *phase == Phase::Proven;
        match last {
            None | Some(Try { killed: true, way: Way::Abort }) => Some(Way::Resume),
            Some(Try { killed: true, way: Way::Resume }) if proven => Some(Way::Resume),
            Some(Try { way: Way::Resume, .. }) if !proven => Some(Way::Abort),
            Some(_) => None,
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Way::Resume => "resume",
            Way::Abort => "abort",
        }
    }

    fn run(self, site: &Site, id: &RunId, token: &str) -> Result<Finished, String> {
        let mut args = at_top(site);
        args.extend([self.verb().into(), "--watchdog".into(), token.into()]);
        let invocation = Invocation {
            args,
            env: environment(site),
            limit: LIMIT,
            ..Invocation::new(own_program(), Path::new("/"))
        };
        invocation.run_and_leave(&log(site, id)).map_err(|e| e.to_string())
    }
}
