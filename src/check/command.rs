//! One run of a team's own command: as the run's user in the live tree, ended with all it started.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::config::CommandCheck;
use crate::model::Redactor;
use crate::system::process::{Finished, Invocation, telling_lines};

use super::expectation::Surroundings;
use super::judgement::{Judgement, contains, seconds, shown, size};
use super::template::Subject;

/// More of a stream is never kept whole.
const KEPT: u64 = 16 << 20;

/// A command made ready to be run many times.
#[derive(Debug)]
pub(super) struct CommandAsker {
    check: CommandCheck,
    invocation: Invocation,
    redactor: Redactor,
}

impl CommandAsker {
    /// `unwanted` ends a run that nobody waits for any more.
    pub(super) fn new(
        check: &CommandCheck,
        around: &Surroundings,
        unwanted: &Arc<AtomicBool>,
    ) -> Self {
        let (program, args) = check.command.split_first().map_or(("", &[][..]), |(p, a)| (p, a));
        let own = check.env.iter().map(|(name, value)| (name.into(), value.into()));
        let invocation = Invocation {
            args: args.iter().map(Into::into).collect(),
            env: around.env.clone().into_iter().chain(own).collect(),
            limit: check.run_timeout,
            unwanted: Some(Arc::clone(unwanted)),
            ..Invocation::new(program, &around.top)
        };
        Self { check: check.clone(), invocation, redactor: around.redactor.clone() }
    }

    /// Runs it once, at most for its `run_timeout` and the time it takes to be ended.
    pub(super) fn ask(&self, subject: &Subject) -> Judgement {
        match self.invocation.run() {
            Ok(finished) => self.judge(&finished, subject),
            Err(error) => Judgement::unaskable(self.shown(&error.to_string())),
        }
    }

    fn judge(&self, finished: &Finished, subject: &Subject) -> Judgement {
        let CommandCheck { exit, stdout, run_timeout, max_bytes, .. } = &self.check;
        if finished.timed_out {
            let within = format!("did not end within {}", seconds(*run_timeout));
            return Judgement::silent(self.with_line(within, finished));
        }
        match (finished.code, finished.signal) {
            _ if finished.interrupted => {
                return Judgement::unaskable("was killed before it finished");
            }
            (Some(code), _) if code == *exit => {}
            (Some(code), _) => {
                return Judgement::failed(self.with_line(format!("exit {code}"), finished));
            }
            (None, signal) => {
                let signal = signal.unwrap_or_default();
                let ended = format!("ended by signal {signal}");
                // Whoever ended it: it did not come to say anything.
                return Judgement::unaskable(self.with_line(ended, finished));
            }
        }
        let most = (*max_bytes).min(KEPT);
        if finished.stdout.len() as u64 > most {
            return Judgement::unaskable(format!("output larger than {}", size(most)));
        }
        let found = stdout.iter().map(|text| contains("stdout", text, &finished.stdout, subject));
        Judgement::of(&found.collect::<Vec<_>>(), format!("exit {exit}"))
    }

    /// The line of its output that says most is put behind `what`.
    fn with_line(&self, what: String, finished: &Finished) -> String {
        let output = [finished.stdout.as_slice(), b"\n", finished.stderr.as_slice()].concat();
        let output = self.redactor.output(&output);
        match telling_lines(output.as_bytes(), 1).first() {
            Some(line) => format!("{what}: {}", shown(line)),
            None => what,
        }
    }

    fn shown(&self, text: &str) -> String {
        shown(&self.redactor.text(text))
    }
}
