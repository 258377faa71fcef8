//! Asking one check, whatever its kind. What would block is asked on a thread of its own.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use crate::config::{Check, CheckKind, TcpCheck};
use crate::model::Probe;

use super::expect::{Judged, Reach};
use super::template::Subject;
use super::words::seconds;
use super::{Surroundings, command, file, http, log, metric, tcp};

/// A check made ready to ask its question many times.
#[derive(Debug)]
pub(super) struct Asker {
    kind: Kind,
    limit: Duration,
    /// What it answers is told to nobody.
    untold: bool,
}

#[derive(Debug)]
enum Kind {
    Http(http::Asker),
    Tcp(TcpCheck),
    Command(Arc<command::Asker>),
    Log(Arc<log::Asker>),
    File(Arc<file::Asker>),
    Metric(Box<metric::Asker>),
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
            CheckKind::Http(http) => Kind::Http(http::Asker::new(http)),
            CheckKind::Tcp(tcp) => Kind::Tcp(tcp.clone()),
            CheckKind::Command(command) => {
                Kind::Command(Arc::new(command::Asker::new(command, around, unwanted)))
            }
            CheckKind::Log(log) => {
                Kind::Log(Arc::new(log::Asker::new(&check.name, log, around, subject)))
            }
            CheckKind::File(file) => Kind::File(Arc::new(file::Asker::new(file, around))),
            CheckKind::Metric(metric) => Kind::Metric(Box::new(metric::Asker::new(metric))),
        };
        Self { kind, limit: check.answer_limit(), untold: around.untold.contains(&check.name) }
    }

    /// Asks once, and says how long that took.
    pub(super) async fn ask(&self, subject: &Arc<Subject>) -> (Judged, Duration) {
        let began = Instant::now();
        let judged = match &self.kind {
            Kind::Http(http) => http.ask(subject).await,
            Kind::Tcp(tcp) => tcp::ask(tcp, subject).await,
            Kind::Metric(metric) => metric.ask().await,
            Kind::Command(command) => {
                let (command, subject) = (Arc::clone(command), Arc::clone(subject));
                // It has its own limit, and ends what it started.
                elsewhere(None, move || command.ask(&subject)).await
            }
            Kind::Log(log) => {
                let log = Arc::clone(log);
                elsewhere(Some(self.limit), move || log.ask()).await
            }
            Kind::File(file) => {
                let (file, subject) = (Arc::clone(file), Arc::clone(subject));
                elsewhere(Some(self.limit), move || file.ask(&subject)).await
            }
        };
        let judged = if self.untold { without_answer(judged) } else { judged };
        (judged, began.elapsed())
    }
}

/// A judgement that tells nothing of what was said. That nobody answered, and a bare status, is no secret.
fn without_answer(judged: Judged) -> Judged {
    let bare = judged.answer.bytes().all(|b| b.is_ascii_digit());
    let silent = judged.reach == Reach::Silent && judged.answer.starts_with("no ");
    let answer = match judged.ok {
        _ if bare || silent => judged.answer,
        true => "as wanted".to_owned(),
        false => "not as wanted; what was answered is not told, it may hold a secret".to_owned(),
    };
    Judged { answer, ..judged }
}

/// An answer as it is kept.
pub(super) fn probe(judged: &Judged, took: Duration) -> Probe {
    Probe {
        ok: judged.ok,
        millis: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        answer: judged.answer.clone(),
    }
}

pub(super) async fn elsewhere(
    limit: Option<Duration>,
    ask: impl FnOnce() -> Judged + Send + 'static,
) -> Judged {
    let asked = tokio::task::spawn_blocking(ask);
    let answer = match limit {
        None => asked.await,
        Some(limit) => match tokio::time::timeout(limit, asked).await {
            Ok(answer) => answer,
            // A file system that hangs.
            Err(_) => return Judged::unaskable(format!("not read within {}", seconds(limit))),
        },
    };
    answer.unwrap_or_else(|_| Judged::unaskable("cannot be asked"))
}
