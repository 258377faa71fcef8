//! Asking one check, whatever its kind, and whether the symptom of a rule shows. What would block is asked on a thread
//! of its own.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::config::{
    Check, CheckGroup, CheckKind, LogSource, MetricSource, SymptomProbe, TcpCheck, When,
};
use crate::model::{CheckName, Redactor};
use crate::system::secrets;

use super::command::CommandAsker;
use super::expectation::{Expectation, Surroundings};
use super::file::FileAsker;
use super::http::{HttpAsker, runtime, without_secrets};
use super::judgement::{Judgement, Reach, seconds};
use super::log::LogAsker;
use super::metric::MetricAsker;
use super::recent_lines::RecentLines;
use super::served_file::ServedFile;
use super::tcp;
use super::template::Subject;

/// A check made ready to ask its question many times.
#[derive(Debug)]
pub(super) struct Asker {
    kind: AskerKind,
    limit: Duration,
    /// What it answers is told to nobody.
    untold: bool,
    name: CheckName,
    redactor: Redactor,
    /// Its kind and what it asks, without secrets, for the trace.
    question: String,
}

#[derive(Debug)]
enum AskerKind {
    Http(Box<HttpAsker>),
    Tcp(TcpCheck),
    Command(Arc<CommandAsker>),
    Log(Arc<LogAsker>),
    File(Arc<FileAsker>),
    Metric(Box<MetricAsker>),
}

impl Asker {
    /// A log is read from this moment on, where no change opened its window before. `unwanted` ends commands
    /// that nobody waits for any more.
    pub(super) fn new(
        check: &Check,
        around: &Surroundings,
        subject: &Subject,
        unwanted: &Arc<AtomicBool>,
    ) -> Self {
        let kind = match &check.kind {
            CheckKind::Http(http) => {
                let file = http.file.as_ref().map(|path| {
                    let before = around.files_before.get(&check.name).cloned();
                    ServedFile::new(&around.top, path, http.max_bytes, before)
                });
                AskerKind::Http(Box::new(HttpAsker::new(http, file)))
            }
            CheckKind::Tcp(tcp) => AskerKind::Tcp(tcp.clone()),
            CheckKind::Command(command) => {
                AskerKind::Command(Arc::new(CommandAsker::new(command, around, unwanted)))
            }
            CheckKind::Log(log) => {
                AskerKind::Log(Arc::new(LogAsker::new(&check.name, log, around, subject)))
            }
            CheckKind::File(file) => AskerKind::File(Arc::new(FileAsker::new(file, around))),
            CheckKind::Metric(metric) => AskerKind::Metric(Box::new(MetricAsker::new(metric))),
        };
        // What it answers is cut short long before it is told.
        secrets::hide(&around.redactor);
        let untold = around.untold.contains(&check.name);
        let question = question(check, untold, &around.redactor);
        Self {
            kind,
            limit: check.answer_limit(),
            untold,
            name: check.name.clone(),
            redactor: around.redactor.clone(),
            question,
        }
    }

    /// Asks once, and says how long that took.
    pub(super) async fn ask(&self, subject: &Arc<Subject>) -> (Judgement, Duration) {
        let began = Instant::now();
        let judgement = match &self.kind {
            AskerKind::Http(http) => http.ask(subject).await,
            AskerKind::Tcp(tcp) => tcp::ask(tcp, subject).await,
            AskerKind::Metric(metric) => metric.ask().await,
            AskerKind::Command(command) => {
                let (command, subject) = (Arc::clone(command), Arc::clone(subject));
                // It has its own limit, and ends what it started.
                elsewhere(None, move || command.ask(&subject)).await
            }
            AskerKind::Log(log) => {
                let log = Arc::clone(log);
                elsewhere(Some(self.limit), move || log.ask()).await
            }
            AskerKind::File(file) => {
                let (file, subject) = (Arc::clone(file), Arc::clone(subject));
                elsewhere(Some(self.limit), move || file.ask(&subject)).await
            }
        };
        let judgement = if self.untold { without_answer(judgement) } else { judgement };
        let took = began.elapsed();
        let judgement = Judgement {
            answer: self.redactor.text(&judgement.answer),
            says: judgement.says.map(|says| self.redactor.text(&says)),
            ..judgement
        };
        let (answer, millis) = (&judgement.answer, took.as_millis());
        let outcome = if judgement.ok { "passed" } else { "failed" };
        tracing::debug!(
            "check {} ({}): {outcome}, {millis} ms: {answer}",
            self.name,
            self.question
        );
        (judgement, took)
    }
}

/// The kind of a check and what it asks, without secrets.
fn question(check: &Check, untold: bool, redactor: &Redactor) -> String {
    let (kind, asked) = match &check.kind {
        CheckKind::Http(http) => ("http", without_secrets(&http.url)),
        CheckKind::Tcp(tcp) => ("tcp", format!("{}:{}", tcp.host, tcp.port)),
        // Its arguments may be secrets that nobody declared.
        CheckKind::Command(command) => {
            ("command", command.command.first().cloned().unwrap_or_default())
        }
        CheckKind::Log(log) => match &log.source {
            LogSource::File(file) => ("log", file.to_string()),
            LogSource::Service(name) => ("log of", name.to_string()),
        },
        CheckKind::File(file) => ("file", file.file.to_string()),
        CheckKind::Metric(metric) => {
            let (MetricSource::Prometheus { url, .. } | MetricSource::Json { url, .. }) =
                &metric.source;
            ("metric", without_secrets(url))
        }
    };
    // What is asked with a secret may hold it.
    if untold { kind.to_owned() } else { format!("{kind} {}", redactor.text(&asked)) }
}

/// A judgement that tells nothing of what was said. That nobody answered, and a bare status, is not a secret.
fn without_answer(judgement: Judgement) -> Judgement {
    let bare = judgement.answer.bytes().all(|b| b.is_ascii_digit());
    let silent = judgement.reach == Reach::Silent && judgement.nothing_said;
    let answer = match judgement.ok {
        _ if bare || silent => judgement.answer,
        true => "as expected".to_owned(),
        false => {
            "not as expected; the answer is not shown because it may contain a secret".to_owned()
        }
    };
    Judgement { answer, says: None, ..judgement }
}

async fn elsewhere(
    limit: Option<Duration>,
    ask: impl FnOnce() -> Judgement + Send + 'static,
) -> Judgement {
    let asked = tokio::task::spawn_blocking(ask);
    let answer = match limit {
        None => asked.await,
        Some(limit) => match tokio::time::timeout(limit, asked).await {
            Ok(answer) => answer,
            // A file system that hangs.
            Err(_) => return Judgement::unaskable(format!("not read within {}", seconds(limit))),
        },
    };
    answer.unwrap_or_else(|_| Judgement::unaskable("cannot be reached"))
}

/// What a question about a symptom came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Symptom {
    /// The symptom is there: what the answer was, in a few words.
    Shows(String),
    /// It is not: what the answer was.
    Absent(String),
    /// Nobody can tell: why not.
    Unknown(String),
}

/// Puts the questions of rules, all at the same time, each once: whether a symptom shows now. Takes as long as
/// the longest of them.
pub fn symptoms(probes: &[&SymptomProbe], expectation: &Expectation) -> Vec<Symptom> {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            return vec![
                Symptom::Unknown(format!("cannot send the request: {error}"));
                probes.len()
            ];
        }
    };
    let seen = runtime.block_on(async {
        let mut asked = JoinSet::new();
        let subject = Arc::new(Subject::of(Some(expectation)));
        for (number, probe) in probes.iter().enumerate() {
            let (when, question) =
                (probe.when, SymptomQuestion::new(probe, &expectation.around, &subject));
            let subject = Arc::clone(&subject);
            asked.spawn(async move { (number, seen(when, question, &subject).await) });
        }
        let mut seen = vec![Symptom::Unknown("not run".to_owned()); probes.len()];
        while let Some(done) = asked.join_next().await {
            if let Ok((number, found)) = done {
                seen[number] = found;
            }
        }
        seen
    });
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
    seen
}

enum SymptomQuestion {
    Log(Arc<RecentLines>, Check),
    Other { asker: Asker, samples: u32, every: Duration },
}

impl SymptomQuestion {
    fn new(probe: &SymptomProbe, around: &Surroundings, subject: &Subject) -> Self {
        let check = as_check(&probe.kind);
        if let CheckKind::Log(log) = &check.kind {
            let lately = RecentLines::new(log, probe.since, around, subject);
            return SymptomQuestion::Log(Arc::new(lately), check);
        }
        let every = match &probe.kind {
            CheckKind::Metric(metric) => metric.every,
            _ => Duration::ZERO,
        };
        let asker = Asker::new(&check, around, subject, &Arc::default());
        SymptomQuestion::Other { asker, samples: probe.samples, every }
    }
}

/// Asks as often as wanted. One answer that does not show the symptom ends it.
async fn seen(when: When, question: SymptomQuestion, subject: &Arc<Subject>) -> Symptom {
    let (asker, samples, every) = match question {
        SymptomQuestion::Log(lately, check) => {
            let judgement = elsewhere(Some(check.answer_limit()), move || lately.ask()).await;
            return judge_symptom(when, judgement);
        }
        SymptomQuestion::Other { asker, samples, every } => (asker, samples, every),
    };
    let mut last = judge_symptom(when, asker.ask(subject).await.0);
    for _ in 1..samples {
        if !matches!(last, Symptom::Shows(_)) {
            break;
        }
        tokio::time::sleep(every).await;
        last = judge_symptom(when, asker.ask(subject).await.0);
    }
    last
}

/// What one answer says about the symptom.
fn judge_symptom(when: When, judgement: Judgement) -> Symptom {
    match (when, judgement.reach, judgement.ok) {
        (_, Reach::Unaskable, _) | (When::Holds, Reach::Silent, _) => {
            Symptom::Unknown(judgement.answer)
        }
        (When::Holds, Reach::Answered, true)
        | (When::Fails, Reach::Answered, false)
        | (When::Fails, Reach::Silent, _) => Symptom::Shows(judgement.answer),
        (When::Holds, Reach::Answered, false) | (When::Fails, Reach::Answered, true) => {
            Symptom::Absent(judgement.answer)
        }
    }
}

/// A question as a check, which is never judged by its rhythm.
fn as_check(kind: &CheckKind) -> Check {
    const LONG: Duration = Duration::from_secs(60 * 60);
    Check {
        name: "probe".parse::<CheckName>().unwrap_or_else(|_| unreachable!("a plain name")),
        kind: kind.clone(),
        critical: true,
        group: CheckGroup::Quick,
        passes: 1,
        settle: Duration::ZERO,
        timeout: LONG,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_shows_a_symptom_is_against_it_or_tells_nothing() {
        let fine = || Judgement::fine("x");
        let failed = || Judgement::failed("x");
        let shows = || Symptom::Shows("x".to_owned());
        let absent = || Symptom::Absent("x".to_owned());
        let unknown = || Symptom::Unknown("x".to_owned());
        for (judgement, holds, fails) in [
            (fine(), shows(), absent()),
            (failed(), absent(), shows()),
            // Who does not answer says nothing of his latency, but does not answer.
            (Judgement::silent("x"), unknown(), shows()),
            (Judgement::unaskable("x"), unknown(), unknown()),
        ] {
            assert_eq!(judge_symptom(When::Holds, judgement.clone()), holds, "{judgement:?}");
            assert_eq!(judge_symptom(When::Fails, judgement.clone()), fails, "{judgement:?}");
        }
    }
}
