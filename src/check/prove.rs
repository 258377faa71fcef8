//! Asking and observing over time. Checks are asked on a thread of their own, so that a slow manager
//! neither delays an answer nor makes it look slow; services are observed on the caller's.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::config::{Check, CheckKind};
use crate::model::CheckEvidence;
use crate::system::procs;

use super::asker::Asker;
use super::expectation::{Expectation, Proof};
use super::http::runtime;
use super::judgement::Judgement;
use super::listeners::{answerers, asks_on_this_host};
use super::streak::Answered;
use super::template::Subject;
use super::watch::Observation;
use super::window::{ProofState, Window};

type Observe<'a> = dyn FnMut() -> Observation + 'a;

/// The shortest pause between an answer and the next question.
const BREATH: Duration = Duration::from_millis(50);

/// How long commands that are no longer wanted are waited for: they get TERM, then KILL.
const ENDING: Duration = Duration::from_secs(10);

/// How often it is looked at what services have started themselves, and the longest that a signal waits to be seen. A
/// worker that fails at once lives hardly longer.
const BETWEEN_WORKERS: Duration = Duration::from_millis(40);

/// Asks each check once, all at the same time, no settling: the state now. Takes as long as the
/// longest question at most. Without an expectation no version is known, and none can be wrong. A log is
/// skipped: it is judged by what a change makes it say.
pub fn look(checks: &[Check], expectation: Option<&Expectation>) -> Vec<CheckEvidence> {
    look_at_each(checks, expectation, 1)
}

/// As [`look`], asking so often where the app answers on this host that each of so many workers has its turn: one that
/// fails is seen.
pub fn look_at_each(
    checks: &[Check],
    expectation: Option<&Expectation>,
    workers: usize,
) -> Vec<CheckEvidence> {
    let only = expectation.map(|expectation| expectation.only).unwrap_or_default();
    let left_out = |check: &Check| {
        let log = matches!(check.kind, CheckKind::Log(_))
            .then_some("a log is only checked after a change");
        only.leaves_out(check).or(log.map(str::to_owned))
    };
    let asked: Vec<Check> = checks.iter().filter(|c| left_out(c).is_none()).cloned().collect();
    let answers = match runtime() {
        Ok(runtime) => {
            let answers = runtime.block_on(ask_all_once(&asked, expectation, workers));
            // A name that is still being looked up is not waited for.
            runtime.shutdown_background();
            answers
        }
        Err(error) => vec![Some((unasked(&error), Duration::ZERO)); asked.len()],
    };
    let mut answers = answers.into_iter();
    let evidence = |check: &Check| {
        let name = check.name.clone();
        if let Some(why) = left_out(check) {
            return CheckEvidence::skipped(name, why);
        }
        let unanswered = || (Judgement::failed("not run"), Duration::ZERO);
        let (judgement, took) = answers.next().flatten().unwrap_or_else(unanswered);
        let told_version = judgement.told;
        let last = judgement.probe(took);
        let (passed, passes) = (last.ok, u32::from(last.ok));
        CheckEvidence { check: name, passed, passes, wanted: 1, last, told_version, skipped: None }
    };
    checks.iter().map(evidence).collect()
}

/// Proves that the intended version serves: all checks at the same time, each `passes` times in a row over
/// its `settle` window within its `timeout`; `observe` is asked for the services' states at the start and
/// the end of the window and while waiting, so that a crash, a restart loop or an old process is seen.
///
/// Without checks, services that stay up and unchanged for 5 s prove it; without either, nothing does.
/// Ends early when it can no longer succeed; takes at most the longest `timeout` and one
/// `request_timeout`, besides the time `observe` takes.
///
/// `observe` answers for the services that were reloaded. `tell` hears where it is, e.g. `api 2/3`.
pub fn prove(
    checks: &[Check],
    expectation: &Expectation,
    observe: &mut Observe<'_>,
    tell: &mut dyn FnMut(&str),
) -> Proof {
    let clock = Instant::now();
    let all = checks;
    let asked: Vec<Check> =
        all.iter().filter(|check| left_out(check, expectation).is_none()).cloned().collect();
    let checks = asked.as_slice();
    let mut window = Window::new(checks, expectation);
    observe_once(&mut window, checks, expectation, observe, clock);
    let (answers, inbox) = mpsc::channel();
    thread::scope(|scope| {
        let asking = UnixStream::pair().map(|(ours, theirs)| {
            let answers = answers.clone();
            scope.spawn(move || {
                if let Err(error) = ask_over_and_over(checks, expectation, clock, &answers, theirs)
                {
                    answer_all(checks, &answers, clock, &error);
                }
            });
            ours
        });
        if let Err(error) = &asking {
            answer_all(checks, &answers, clock, error);
        }
        let mut told = String::new();
        let mut workers_seen = clock;
        while window.state(clock.elapsed()) == ProofState::Open && !expectation.until.reached() {
            let progress = window.progress();
            if progress != told {
                tell(&progress);
                told = progress;
            }
            let wait = window.next_look().saturating_sub(clock.elapsed());
            if workers_seen.elapsed() >= BETWEEN_WORKERS {
                window.workers(procs::workers, clock.elapsed());
                workers_seen = Instant::now();
            }
            match inbox.recv_timeout(wait.min(BETWEEN_WORKERS)) {
                Ok(heard) => hear(&mut window, heard),
                // Not to happen: `answers` is still held here.
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {}
            }
            for heard in inbox.try_iter() {
                hear(&mut window, heard);
            }
            if window.next_look() <= clock.elapsed() {
                observe_once(&mut window, checks, expectation, observe, clock);
            }
        }
        // Closing our end is what ends the asking.
        drop(asking);
    });
    // It is decided: answers that come now change nothing, but what was asked was asked.
    for heard in inbox.try_iter() {
        if let (check, Heard::Asked(at)) = heard {
            window.asked(check, at);
        }
    }
    let proof = window.proof(clock.elapsed());
    let mut held = proof.checks.into_iter();
    let evidence = |check: &Check| match left_out(check, expectation) {
        Some(why) => Some(CheckEvidence::skipped(check.name.clone(), why)),
        None => held.next(),
    };
    Proof { checks: all.iter().filter_map(evidence).collect(), ..proof }
}

/// What is heard of a check.
enum Heard {
    /// Its first question was put at this moment.
    Asked(Duration),
    Answered(Answered),
}

fn hear(window: &mut Window<'_>, (check, heard): (usize, Heard)) {
    match heard {
        Heard::Asked(at) => window.asked(check, at),
        Heard::Answered(answer) => window.answered(check, answer),
    }
}

/// Why a check is not asked.
fn left_out(check: &Check, expectation: &Expectation) -> Option<String> {
    let waits = match &check.kind {
        CheckKind::Log(log) => log.must_not.is_none() && expectation.around.window.is_none(),
        _ => false,
    };
    let nothing = || waits.then(|| "nothing was changed that would write this line".to_owned());
    expectation.only.leaves_out(check).or_else(nothing)
}

fn observe_once(
    window: &mut Window<'_>,
    checks: &[Check],
    expectation: &Expectation,
    observe: &mut Observe<'_>,
    clock: Instant,
) {
    let began = clock.elapsed();
    let look = observe();
    let answerers = answerers(checks, &look, &expectation.listens, !expectation.weak);
    window.seen(look, answerers, began, clock.elapsed());
}

/// How many questions there are for each worker: connections go round, or to any.
const TURNS: usize = 5;
/// More are never asked at once.
const MOST_TURNS: usize = 48;

async fn ask_all_once(
    checks: &[Check],
    expectation: Option<&Expectation>,
    workers: usize,
) -> Vec<Option<(Judgement, Duration)>> {
    let mut asked = JoinSet::new();
    let (subject, unwanted) = (Arc::new(Subject::of(expectation)), Arc::default());
    let around = expectation.map(|expectation| expectation.around.clone()).unwrap_or_default();
    for (number, check) in checks.iter().enumerate() {
        let asker = Asker::new(check, &around, &subject, &unwanted);
        let subject = Arc::clone(&subject);
        let more = match workers {
            0 | 1 => 0,
            _ if !asks_on_this_host(check) => 0,
            several => (several * TURNS).min(MOST_TURNS),
        };
        asked.spawn(async move { (number, ask_often(asker, subject, more).await) });
    }
    let mut answers = vec![None; checks.len()];
    while let Some(done) = asked.join_next().await {
        if let Ok((number, answer)) = done {
            answers[number] = Some(answer);
        }
    }
    answers
}

/// Asks once, and where that is answered well `more` times at once; an answer that is not as wanted, else what all come
/// to: one worker that names no version makes that nobody told it.
async fn ask_often(asker: Asker, subject: Arc<Subject>, more: usize) -> (Judgement, Duration) {
    let first = asker.ask(&subject).await;
    if !first.0.ok || more == 0 {
        return first;
    }
    let (asker, mut asked) = (Arc::new(asker), JoinSet::new());
    for _ in 0..more {
        let (asker, subject) = (Arc::clone(&asker), Arc::clone(&subject));
        asked.spawn(async move { asker.ask(&subject).await });
    }
    let (first, took) = first;
    let mut judged = vec![first];
    while let Some(done) = asked.join_next().await {
        match done {
            Ok(bad) if !bad.0.ok => return bad,
            Ok((good, _)) => judged.push(good),
            Err(_) => judged.push(Judgement::failed("not answered")),
        }
    }
    (Judgement::of_all(judged), took)
}

/// Asks every check again and again until the other end of `hangup` is closed.
fn ask_over_and_over(
    checks: &[Check],
    expectation: &Expectation,
    clock: Instant,
    answers: &Sender<(usize, Heard)>,
    hangup: UnixStream,
) -> io::Result<()> {
    hangup.set_nonblocking(true)?;
    let unwanted = Arc::new(AtomicBool::new(false));
    let subject = Arc::new(Subject::of(Some(expectation)));
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let hangup = tokio::net::UnixStream::from_std(hangup)?;
        let mut asking = JoinSet::new();
        for (number, check) in checks.iter().enumerate() {
            let asker = Asker::new(check, &expectation.around, &subject, &unwanted);
            let subject = Arc::clone(&subject);
            let (answers, pause) = (answers.clone(), interval(check));
            asking.spawn(async move {
                // Nobody hears it any more only when the proof is over.
                let _ = answers.send((number, Heard::Asked(clock.elapsed())));
                loop {
                    let began = clock.elapsed();
                    let (judgement, took) = asker.ask(&subject).await;
                    let answer = Answered { began, ended: clock.elapsed(), took, judgement };
                    if answers.send((number, Heard::Answered(answer))).is_err() {
                        break;
                    }
                    // A server slower than the interval still gets a breath.
                    tokio::time::sleep(pause.saturating_sub(took).max(BREATH)).await;
                }
            });
        }
        hangup.readable().await
    });
    unwanted.store(true, Ordering::SeqCst);
    if checks.iter().any(|check| matches!(check.kind, CheckKind::Command(_))) {
        // What a command does must not continue while something else is put in place.
        runtime.shutdown_timeout(ENDING);
    } else {
        // A name that is still being looked up is not waited for.
        runtime.shutdown_background();
    }
    ended
}

/// The time from one question to the next.
fn interval(check: &Check) -> Duration {
    if let CheckKind::Metric(metric) = &check.kind {
        return metric.every;
    }
    let halves = check.passes.max(1).saturating_mul(2);
    (check.settle / halves).clamp(Duration::from_millis(100), Duration::from_secs(1))
}

fn answer_all(
    checks: &[Check],
    answers: &Sender<(usize, Heard)>,
    clock: Instant,
    error: &io::Error,
) {
    for number in 0..checks.len() {
        let at = clock.elapsed();
        let (judgement, took) = (unasked(error), Duration::ZERO);
        // Nobody listens any more only when the proof is over.
        let answer = Answered { began: at, ended: at, took, judgement };
        let _ = answers.send((number, Heard::Answered(answer)));
    }
}

fn unasked(error: &io::Error) -> Judgement {
    Judgement::failed(format!("cannot send the request: {error}"))
}
