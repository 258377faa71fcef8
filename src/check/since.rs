//! Logs read on from one moment, for as long as somebody watches.

use super::template::Subject;
use super::{Expectation, log};
use crate::config::{Check, CheckKind};
use crate::model::CheckName;

/// The checks that name lines which must not come, from one moment on. A line that came counts for good.
#[derive(Debug)]
pub struct LogsSince {
    askers: Vec<(CheckName, log::LogAsker)>,
}

impl LogsSince {
    /// What is written from now on. The files are held open: they are followed wherever they are renamed to.
    pub fn now(checks: &[Check], expectation: &Expectation) -> Self {
        let subject = Subject::of(Some(expectation));
        let askers = checks.iter().filter_map(|check| match &check.kind {
            CheckKind::Log(log) if log.must_not.is_some() => {
                let asker = log::LogAsker::new(&check.name, log, &expectation.around, &subject);
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
        let faults = answers.filter(|(_, judgement)| !judgement.ok);
        faults.map(|(name, judgement)| format!("{name} {}", judgement.answer)).collect()
    }
}
