//! What was checked out when a process was started, by HEAD's reflog and the times of files.

use jiff::Timestamp;
use std::time::Duration;

use super::bound::Site;
use super::unread::all_unread;
use super::witnesses::processes;
use crate::check::ObservedService;
use crate::config::Config;
use crate::model::{Oid, RepoPath, WitnessedProcess};
use crate::system::git::{GitError, HeadMove};
use crate::system::procs::{self, Ticks};

/// A process's start is known to a hundredth of a second, and so is the present.
const BLUR: Duration = Duration::from_millis(30);

/// What a process runs, by its age.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartedOn {
    /// It is younger than what is checked out.
    Head,
    /// It is older: this was checked out when it was started.
    Before(Oid),
    /// It is older, and nobody knows what lay there: why.
    Unknown(String),
}

/// What all processes that serve were started on. `known` answers for those of which more is known than their age.
///
/// # Errors
/// When the repository cannot be read.
pub fn all_started_on(
    site: &Site,
    config: &Config,
    head: &Oid,
    look: &[ObservedService],
    known: impl Fn(&WitnessedProcess) -> Option<StartedOn>,
) -> Result<StartedOn, GitError> {
    let serving = processes(config, look);
    let mut found: Option<StartedOn> = None;
    for process in &serving.all {
        let WitnessedProcess { service, pid, .. } = process;
        let outlives = serving.outliving.contains(service);
        let started = match known(process).filter(|_| !outlives) {
            Some(known) => known,
            None => started_on(site, config, head, process)?,
        };
        let started = match started {
            // Whether it was told to read the new files nobody knows.
            StartedOn::Before(_) if outlives => StartedOn::Unknown(format!(
                "{service}: process {pid} keeps running across a reload"
            )),
            started => started,
        };
        match &found {
            Some(StartedOn::Unknown(_)) => {}
            Some(other) if *other != started => {
                let why = "its processes started on different versions".to_owned();
                found = Some(StartedOn::Unknown(why));
            }
            _ => found = Some(started),
        }
    }
    let found = match (found, serving.unknown.first()) {
        (Some(found), None) => found,
        (_, Some(service)) => StartedOn::Unknown(format!("{service}: its processes are not known")),
        (None, None) => StartedOn::Unknown("no process of a service is running".to_owned()),
    };
    if let StartedOn::Before(commit) = &found {
        let changes = site.git.changes(commit, head)?;
        if all_unread(site, head, changes.iter().map(|change| &change.path))? {
            return Ok(StartedOn::Head);
        }
    }
    Ok(found)
}

/// What a process was started on. `head` is what is checked out.
///
/// # Errors
/// When the repository cannot be read.
fn started_on(
    site: &Site,
    config: &Config,
    head: &Oid,
    process: &WitnessedProcess,
) -> Result<StartedOn, GitError> {
    let WitnessedProcess { service, pid, started } = process;
    // What was forked and started no program carries the code of the one that did, or has read files since.
    let program = procs::program_started(*pid).unwrap_or(*started);
    if program < *started {
        let own = started_at(site, config, head, process, *started)?;
        let carried = started_at(site, config, head, process, program)?;
        return Ok(if own == carried {
            own
        } else {
            let why = format!(
                "{service}: process {pid} was forked from an older one, and may run its code"
            );
            StartedOn::Unknown(why)
        });
    }
    started_at(site, config, head, process, *started)
}

fn started_at(
    site: &Site,
    config: &Config,
    head: &Oid,
    process: &WitnessedProcess,
    ticks: u64,
) -> Result<StartedOn, GitError> {
    let git = &site.git;
    let started = Ticks(ticks).moment() + BLUR;
    let local = site.local(config);
    let counts = |path: &&RepoPath| !local.matches(path);
    let moves = git.head_moves().ok().flatten().unwrap_or_default();
    let before = checked_out_at(&moves, git.reflog_written(), started);
    if let Some(before) = before.filter(|before| *before != head && git.has(before)) {
        let changes = git.changes(before, head)?;
        if all_unread(site, head, changes.iter().map(|change| &change.path))? {
            return Ok(StartedOn::Head);
        }
        let removed = |change: &crate::system::git::TreeChange| change.after.is_none();
        let written = changes.iter().map(|change| &change.path).filter(counts);
        return Ok(match git.written_since(written, started) {
            // Committed where they lay: the process found them so.
            None if !changes.iter().any(removed) => StartedOn::Head,
            _ => StartedOn::Before(before.clone()),
        });
    }
    let files = git.files_here(head)?;
    let files = files.iter().filter(counts);
    let read = files.filter(|path| !super::unread::of_tools(path));
    Ok(match git.written_since(read, started) {
        None => StartedOn::Head,
        Some(path) => {
            let WitnessedProcess { service, pid, .. } = process;
            StartedOn::Unknown(format!("{service}: process {pid} is older than {path}"))
        }
    })
}

/// The commit that HEAD stood on at a moment; `None` if the reflog does not tell. `written`: when its last line came.
/// Times that do not fit it are someone's invention, or git has tidied up since.
fn checked_out_at(
    moves: &[HeadMove],
    written: Option<Timestamp>,
    moment: Timestamp,
) -> Option<&Oid> {
    let (last, written) = (moves.last()?, written?);
    if written.as_second().abs_diff(last.at.as_second()) > 1 {
        return None;
    }
    if moment >= written {
        return Some(&last.commit);
    }
    // To the second: in the same one nobody knows which came first.
    let earlier = moves[..moves.len() - 1].iter().rev();
    let came = earlier.into_iter().find(|m| m.at.as_second() <= moment.as_second())?;
    (came.at.as_second() < moment.as_second()).then_some(&came.commit)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn came(letter: char, second: i64) -> HeadMove {
        let commit = letter.to_string().repeat(40).parse().unwrap();
        HeadMove { commit, at: Timestamp::from_second(second).unwrap(), name: None }
    }

    #[test]
    fn a_reflog_tells_what_was_checked_out_unless_its_times_do_not_fit_the_file() {
        let moves = [came('a', 100), came('b', 200), came('c', 300)];
        let at = |millis: i64, written: i64| {
            let moment = Timestamp::from_millisecond(millis).unwrap();
            let written = Timestamp::from_millisecond(written).ok();
            checked_out_at(&moves, written, moment).map(|oid| oid.as_str()[..1].to_owned())
        };
        let table = [
            (300_700, 300_600, Some("c")),
            (300_500, 300_600, Some("b")),
            (200_900, 300_600, None),
            (199_000, 300_600, Some("a")),
            (201_000, 300_600, Some("b")),
            (100_500, 300_600, None),
            (400_000, 350_000, None),
            (400_000, 250_000, None),
        ];
        for (moment, written, wanted) in table {
            assert_eq!(at(moment, written).as_deref(), wanted, "{moment} {written}");
        }
    }
}
