//! Asking one check, whatever its kind. What would block is asked on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crate::config::{Check, CheckKind, TcpCheck};
use crate::model::Probe;

use super::format::seconds;
use super::judgement::{Judgement, Reach};
use super::template::Subject;
use super::{Surroundings, command, file, http, log, metric, tcp};

/// A check made ready to ask its question many times.
#[derive(Debug)]
pub(super) struct Asker {
    kind: AskerKind,
    limit: Duration,
    /// What it answers is told to nobody.
    untold: bool,
}

#[derive(Debug)]
enum AskerKind {
    Http(http::HttpAsker),
    Tcp(TcpCheck),
    Command(Arc<command::CommandAsker>),
    Log(Arc<log::LogAsker>),
    File(Arc<file::FileAsker>),
    Metric(Box<metric::MetricAsker>),
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
            CheckKind::Http(http) => AskerKind::Http(http::HttpAsker::new(http)),
            CheckKind::Tcp(tcp) => AskerKind::Tcp(tcp.clone()),
            CheckKind::Command(command) => {
                AskerKind::Command(Arc::new(command::CommandAsker::new(command, around, unwanted)))
            }
            CheckKind::Log(log) => {
                AskerKind::Log(Arc::new(log::LogAsker::new(&check.name, log, around, subject)))
            }
            CheckKind::File(file) => AskerKind::File(Arc::new(file::FileAsker::new(file, around))),
            CheckKind::Metric(metric) => {
                AskerKind::Metric(Box::new(metric::MetricAsker::new(metric)))
            }
        };
        Self { kind, limit: check.answer_limit(), untold: around.untold.contains(&check.name) }
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
        (judgement, began.elapsed())
    }
}

/// A judgement that tells nothing of what was said. That nobody answered, and a bare status, is no secret.
fn without_answer(judgement: Judgement) -> Judgement {
    let bare = judgement.answer.bytes().all(|b| b.is_ascii_digit());
    let silent = judgement.reach == Reach::Silent && judgement.answer.starts_with("no ");
    let answer = match judgement.ok {
        _ if bare || silent => judgement.answer,
        true => "as wanted".to_owned(),
        false => "not as wanted; what was answered is not told, it may hold a secret".to_owned(),
    };
    Judgement { answer, ..judgement }
}

/// An answer as it is kept.
pub(super) fn probe(judgement: &Judgement, took: Duration) -> Probe {
    Probe {
        ok: judgement.ok,
        millis: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        answer: judgement.answer.clone(),
    }
}

pub(super) async fn elsewhere(
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
    answer.unwrap_or_else(|_| Judgement::unaskable("cannot be asked"))
}
