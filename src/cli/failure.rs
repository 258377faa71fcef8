//! A failure at the edge: its lines on stderr, its JSON, its exit code.

pub use crate::act::failure::{Failure, at};
pub use crate::act::outcome::Status;

use super::exit::Exit;
use crate::act::caller::Unanswered;
use crate::act::next_steps::NextStep;
use crate::ui::{AskError, Ui, escape};

impl Failure {
    /// Prints it.
    pub fn print(&self, ui: &Ui, command: &str) {
        self.tell(ui);
        ui.error_document(command, self.exit().code(), self);
    }

    /// Tells it beside an answer that was given anyway.
    pub fn tell(&self, ui: &Ui) {
        let sign = ui.err.bad();
        let code = self.exit().code();
        ui.cry(&format!("{sign} {} [{code}]", escape(&self.message)));
        for line in &self.details {
            ui.cry(&format!("  {}", escape(line)));
        }
        print_next_steps(ui, &self.next);
    }

    /// Puts `words` where a next command stands for the one that was typed: `sudo -u app gitroll …`, `gitroll … --yes`.
    pub(super) fn fill_in(&mut self, words: &str) {
        for (command, _) in &mut self.next {
            *command = command.replacen(" …", &format!(" {words}"), 1);
        }
    }

    /// The exit code.
    pub fn exit(&self) -> Exit {
        self.status.into()
    }
}

/// Prints the commands to run next, each with what it does.
pub fn print_next_steps(ui: &Ui, steps: &[NextStep]) {
    let steps: Vec<(String, &str)> =
        steps.iter().map(|(command, what)| (ui.typed_here(command), what.as_str())).collect();
    let width = steps.iter().map(|(command, _)| command.len()).max().unwrap_or(0);
    debug_assert!(
        ui.takes.is_none_or(|takes| steps.iter().all(|(command, _)| takes(command))),
        "{steps:?}"
    );
    for (index, (command, what)) in steps.iter().enumerate() {
        let label = if index == 0 { "next" } else { "" };
        let line = format!("  {label:<8} {:<width$}   {}", escape(command), escape(what));
        ui.cry(line.trim_end());
    }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        unanswered(error).into()
    }
}

/// What an unanswered prompt means to an act.
pub(super) fn unanswered(error: AskError) -> Unanswered {
    match error {
        AskError::NoTerminal(question) => Unanswered::NobodyThere(question),
        AskError::Closed => Unanswered::Closed,
    }
}
