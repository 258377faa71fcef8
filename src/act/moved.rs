//! What someone did with HEAD past gitroll: told by git hooks, found in HEAD's reflog, recorded as `moved`.
//!
//! A record says what was there before each move, so that it can be rolled back to. It changes nothing that serves and
//! proves nothing.

use super::failure::Failure;
use crate::engine;
use crate::ledger::{Draft, Entry, Ledger};
use crate::model::{BootClock, Event, Evidence, Oid, Outcome, Record};
use crate::plan::facts::Facts;
use crate::site::{Site, hooks};
use crate::system::git::HeadStep;
use crate::system::procs::Ticks;
use crate::system::{clock, files};

/// More moves than this at once are one: from the first state to the last.
const MOST: usize = 8;

/// The file in gitroll's own directory that says at which end of HEAD's reflog nothing was left to record.
const HEAD: &str = "head";

/// HEAD went from one commit to another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Moved {
    from: Oid,
    to: Oid,
    /// When it came there, in seconds since 1970.
    at: i64,
}

/// A commit that processes run, and when the first of them was started.
type Running = (Oid, Ticks);

/// Records moves that no hook told of: `git reset` runs none. For a command that holds the lock and continues to change
/// something. Only where hooks are installed.
///
/// # Errors
/// When the records or the repository cannot be read, or the record can be neither written nor queued.
pub fn catch_up(site: &Site) -> Result<(), Failure> {
    if hooks::installed(&site.state()).is_none() {
        return Ok(());
    }
    let head = site.git.head()?.commit;
    if is_known(site, &head) || !site.git.unfinished().is_empty() {
        return Ok(());
    }
    let ledger = site.ledger()?;
    if !is_pending(site, &head, &ledger)? {
        return Ok(());
    }
    let facts = Facts::gather(site)?;
    let running = facts.running(site)?;
    append(site, &facts, running.as_ref())
}

/// Whether there may be something to record. Where there is not, that is noted. `head` was read before.
///
/// # Errors
/// When the repository cannot be read.
pub fn is_pending(site: &Site, head: &Oid, ledger: &Ledger) -> Result<bool, Failure> {
    let reached = mark(site, head);
    let pending = pending(site, ledger, |_, _| true)?;
    if pending.is_empty() {
        remember(site, reached);
    }
    Ok(!pending.is_empty())
}

/// Appends a record for each move that none tells of yet. `running` was looked at since the last of them.
///
/// # Errors
/// As [`catch_up`].
pub fn append(site: &Site, facts: &Facts, running: Option<&Running>) -> Result<(), Failure> {
    let ledger = site.ledger()?;
    let head = site.git.head()?.commit;
    let reached = mark(site, &head);
    // Started while HEAD was there, and not at an earlier visit.
    let ran = |commit: &Oid, came: i64| {
        running
            .is_some_and(|(running, first)| running == commit && first.moment().as_second() >= came)
    };
    let moves = pending(site, &ledger, ran)?;
    if !site.git.unfinished().is_empty() || site.git.head()?.commit != head {
        // Git is on its way; whoever it calls at the end sees the whole.
        return Ok(());
    }
    for Moved { from, to, .. } in &moves {
        let [before, after] = [from, to].map(|commit| {
            let named = facts.names.served(&site.git, commit, None);
            named.map_or_else(|_| commit.short().to_owned(), |served| served.name)
        });
        let mut record = Record::new(&site.line(), Event::Moved);
        record.clock = clock::since_boot();
        record.from = Some(from.clone());
        record.moved_to = Some(to.clone());
        record.ran_since = running.filter(|(commit, _)| commit == from).and_then(|(_, first)| {
            let now = record.clock.clone()?;
            Some(BootClock { seconds: first.since_boot(), ..now })
        });
        let host = engine::host_name(site.binding.writer.as_str());
        record.sentence = format!(
            "{} {host}: HEAD moved by hand from {before} to {after}",
            site.binding.environment
        );
        let mut evidence = Evidence::at(facts.now, &site.actor);
        evidence.name = Some(before);
        let draft =
            Draft { record, evidence, config: facts.accepted.text.clone(), person: site.person() };
        engine::append_or_queue(site, &draft)?;
    }
    remember(site, reached);
    Ok(())
}

/// The moves that no record tells of yet, oldest first. `ran`: whether it matters that HEAD was there although it
/// came back.
fn pending(
    site: &Site,
    ledger: &Ledger,
    ran: impl Fn(&Oid, i64) -> bool,
) -> Result<Vec<Moved>, Failure> {
    let head = site.git.head()?.commit;
    let chain = ledger.chains.get(&site.binding.writer);
    let entries = chain.map_or(&[][..], |chain| &chain.entries);
    let queued = engine::queued_drafts(site);
    let in_queue = queued.iter().rev().filter_map(|draft| {
        Some((known_head(&draft.record)?.clone(), draft.person.time.as_second()))
    });
    let in_chain = entries.iter().rev().filter_map(|entry: &Entry| {
        Some((known_head(&entry.record)?.clone(), entry.tagger.time.as_second()))
    });
    let Some((known, at)) = in_queue.chain(in_chain).next() else { return Ok(Vec::new()) };
    let steps = site.git.head_steps()?;
    let mut moves = since(&steps, &known, at, ran);
    moves.retain(|moved| site.git.has(&moved.from) && site.git.has(&moved.to));
    if moves.last().is_none_or(|last| last.to != head) {
        // No reflog, or one that does not lead here.
        moves = if known == head { Vec::new() } else { vec![Moved { from: known, to: head, at }] };
    }
    Ok(moves)
}

/// Where HEAD was when a record was made.
fn known_head(record: &Record) -> Option<&Oid> {
    if record.event == Event::Moved {
        return record.moved_to.as_ref();
    }
    if !record.event.serves() {
        return None;
    }
    match record.outcome {
        Outcome::Succeeded => record.to.as_ref(),
        Outcome::Restored => record.to.as_ref().or(record.from.as_ref()),
        Outcome::Failed if record.event == Event::Predeploy => {
            record.to.as_ref().or(record.subject.as_ref())
        }
        Outcome::Failed => None,
    }
}

/// The moves by hand after HEAD was last known to be at `known`, at `at`. Pure.
fn since(steps: &[HeadStep], known: &Oid, at: i64, ran: impl Fn(&Oid, i64) -> bool) -> Vec<Moved> {
    let by_gitroll = |step: &HeadStep| step.why.starts_with("gitroll:");
    let told = |step: &HeadStep| step.to == *known && step.at.as_second() <= at;
    let begin = steps.iter().rposition(|step| by_gitroll(step) || told(step)).map_or(0, |i| i + 1);
    let mut moves: Vec<Moved> = Vec::new();
    for step in steps[begin..].iter().filter(|step| step.from.as_ref() != Some(&step.to)) {
        let from = match (&step.from, moves.last()) {
            (_, Some(last)) => last.to.clone(),
            (Some(from), None) => from.clone(),
            (None, None) => continue,
        };
        match moves.last_mut() {
            // A step of something longer is not a state that anyone left there.
            Some(last) if goes_on(&step.why) => {
                (last.to, last.at) = (step.to.clone(), step.at.as_second());
            }
            _ => moves.push(Moved { from, to: step.to.clone(), at: step.at.as_second() }),
        }
        // Back where it was: what lay between was only looked at, unless something was started there.
        if let Some(first) = moves.iter().position(|moved| moved.from == step.to)
            && !moves[first..].windows(2).any(|pair| ran(&pair[1].from, pair[0].at))
        {
            moves.truncate(first);
        }
    }
    if let (true, Some(first), Some(last)) = (moves.len() > MOST, moves.first(), moves.last()) {
        moves = vec![Moved { from: first.from.clone(), to: last.to.clone(), at: last.at }];
    }
    moves
}

/// Whether a line of the reflog is a step of a rebase, a series of commits, or a commit.
fn goes_on(why: &str) -> bool {
    const COMMITS: [&str; 4] = ["commit", "cherry-pick", "revert", "am"];
    let word = why.split([':', ' ']).next().unwrap_or_default();
    let within = why.contains("rebase") && why.contains('(') && !why.contains("(start)");
    COMMITS.contains(&word) || within
}

/// Whether nothing is left to record, as was noted: most hooks need to know no more. HEAD may have come back to a
/// commit, so the length of its reflog counts too.
pub fn is_known(site: &Site, head: &Oid) -> bool {
    let noted = files::read_plain(&site.state().join(HEAD), 256).unwrap_or_default();
    mark(site, head).is_some_and(|mark| noted == mark.as_bytes())
}

/// Notes that nothing is left to record up to this mark, which was taken before looking.
fn remember(site: &Site, reached: Option<String>) {
    if let Some(reached) = reached {
        // It can be found out again.
        let _ = std::fs::write(site.state().join(HEAD), reached);
    }
}

fn mark(site: &Site, head: &Oid) -> Option<String> {
    let reflog = site.git.git_dir().join("logs/HEAD").metadata().ok()?;
    Some(format!("{head} {}\n", reflog.len()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn oid(letter: char) -> Oid {
        letter.to_string().repeat(40).parse().unwrap()
    }

    /// `abc`: from a to b to c, each with what git writes.
    fn steps(of: &[(char, char, &str)]) -> Vec<HeadStep> {
        let step = |(second, (from, to, why)): (usize, &(char, char, &str))| HeadStep {
            from: Some(oid(*from)),
            to: oid(*to),
            at: jiff::Timestamp::from_second(100 + i64::try_from(second).unwrap()).unwrap(),
            why: (*why).to_owned(),
        };
        of.iter().enumerate().map(step).collect()
    }

    fn found(of: &[(char, char, &str)], known: char, at: i64) -> Vec<String> {
        let letter = |oid: &Oid| oid.as_str()[..1].to_owned();
        let moves = since(&steps(of), &oid(known), at, |commit, _| *commit == oid('9'));
        moves.iter().map(|m| letter(&m.from) + &letter(&m.to)).collect()
    }

    #[test]
    fn a_reflog_tells_the_moves_by_hand_since_the_last_record() {
        let pulls = [
            ('1', 'a', "gitroll: deploy"),
            ('a', 'b', "pull: Fast-forward"),
            ('b', 'c', "reset: moving to c"),
            ('c', 'd', "merge origin/main: Fast-forward"),
        ];
        assert_eq!(found(&pulls, 'a', 100), ["ab", "bc", "cd"]);
        // A record of the first move was made before the second.
        assert_eq!(found(&pulls, 'b', 101), ["bc", "cd"]);
        assert!(found(&pulls, 'd', 103).is_empty());
        // A line that came after the record says the same commit again.
        let again = [('a', 'b', "pull"), ('b', 'a', "reset: moving to a")];
        assert_eq!(found(&again, 'b', 100), ["ba"]);
    }

    #[test]
    fn what_was_only_passed_on_the_way_is_no_state() {
        let rebase = [
            ('a', 'b', "pull --rebase (start): checkout b"),
            ('b', 'c', "pull --rebase (pick): one"),
            ('c', 'd', "pull --rebase (finish): returning to refs/heads/main"),
        ];
        assert_eq!(found(&rebase, '1', 0), ["ad"]);
        let bisection = [
            ('a', 'b', "checkout: moving from main to b"),
            ('b', 'c', "checkout: moving from b to c"),
            ('c', 'a', "checkout: moving from c to main"),
        ];
        assert!(found(&bisection, '1', 0).is_empty());
        let ran = [('a', '9', "reset: moving to 9"), ('9', 'a', "checkout: moving from 9 to a")];
        assert_eq!(found(&ran, '1', 0), ["a9", "9a"]);
        let stash = [('a', 'a', "reset: moving to HEAD")];
        assert!(found(&stash, '1', 0).is_empty());
        let commits = [('a', 'b', "pull"), ('b', 'c', "commit: x"), ('c', 'd', "commit: y")];
        assert_eq!(found(&commits, '1', 0), ["ad"]);
        let many: Vec<(char, char, &str)> =
            "abcdef0123".chars().zip("bcdef01234".chars()).map(|(a, b)| (a, b, "pull")).collect();
        assert_eq!(found(&many, '1', 0), ["a4"]);
    }
}
