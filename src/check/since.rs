//! Logs read on from one moment, for as long as somebody watches.

use super::template::Subject;
use super::{Intent, log};
use crate::config::{Check, CheckKind};
use crate::model::CheckName;

/// The checks that name lines which must not come, from one moment on. A line that came counts for good.
#[derive(Debug)]
pub struct LogsSince {
    askers: Vec<(CheckName, log::Asker)>,
}

impl LogsSince {
    /// What is written from now on. The files are held open: they are followed wherever they are renamed to.
    pub fn now(checks: &[Check], intent: &Intent) -> Self {
        let subject = Subject::of(Some(intent));
        let askers = checks.iter().filter_map(|check| match &check.kind {
            CheckKind::Log(log) if log.must_not.is_some() => {
                let asker = log::Asker::new(&check.name, log, &intent.around, &subject);
                Some((check.name.clone(), asker))
            }
            _ => None,
        });
        Self { askers: askers.collect() }
    }

    /// Reads on; each log that says what it must not, or cannot be read. How much a log may say is counted from
    /// one question to the next.
    pub fn faults(&self) -> Vec<String> {
        let answers = self.askers.iter().map(|(name, asker)| (name, asker.ask_anew()));
        let faults = answers.filter(|(_, judged)| !judged.ok);
        faults.map(|(name, judged)| format!("{name} {}", judged.answer)).collect()
    }
}
