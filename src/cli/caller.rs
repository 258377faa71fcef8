//! The person at the command line as the caller of an act: notices become lines, questions prompts.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use super::Globals;
use crate::act::caller::{Caller, Notice, Prompt, Unanswered};
use crate::ui::{self, AskError, Live, Ui, escape};

impl Globals {
    pub(super) fn caller(&self, ui: &Ui) -> Caller {
        /// One for all that a command opens, until its acts are called with it.
        static CALLER: OnceLock<Caller> = OnceLock::new();
        CALLER.get_or_init(|| self.new_caller(ui)).clone()
    }

    fn new_caller(&self, ui: &Ui) -> Caller {
        let dir = self.dir.clone().unwrap_or_else(|| PathBuf::from("."));
        let voice = Voice { ui: ui.clone(), steps: Mutex::default() };
        let prompt = Terminal(ui.clone());
        Caller::new(dir, self.wait, Arc::new(move |notice| voice.tell(notice)), Arc::new(prompt))
    }
}

struct Voice {
    ui: Ui,
    steps: Mutex<Option<Live>>,
}

impl Voice {
    fn tell(&self, notice: Notice<'_>) {
        let ui = &self.ui;
        match notice {
            Notice::Info(text) => ui.say(&escape(&text)),
            Notice::Detail(text) => ui.say(&format!("  {}", escape(&text))),
            Notice::Warning(text) => ui.say(&format!("warning: {}", escape(&text))),
            Notice::Next(command, what) => ui.say(&format!("  next     {command}    {what}")),
            Notice::Failed(text) => ui.say(&format!("  {} {}", ui.err.bad(), escape(&text))),
            Notice::Alarm(text) => ui.cry(&format!("  {} {}", ui.err.bad(), escape(&text))),
            Notice::StepsBegin => self.show(|steps| *steps = Some(Live::new(ui))),
            Notice::Step(narration) => self.show(|steps| {
                if let Some(live) = steps {
                    live.tell(narration);
                }
            }),
            Notice::StepsEnd => self.show(|steps| *steps = None),
        }
    }

    fn show(&self, change: impl FnOnce(&mut Option<Live>)) {
        if let Ok(mut steps) = self.steps.lock() {
            change(&mut steps);
        }
    }
}

#[allow(dead_code)]
struct Terminal(Ui);

impl Prompt for Terminal {
    fn is_there(&self) -> bool {
        ui::can_ask(&self.0)
    }

    fn confirm(&self, question: &str, default: bool) -> Result<bool, Unanswered> {
        ui::confirm(&self.0, question, default).map_err(unanswered)
    }

    fn choose(&self, question: &str, words: &[&str]) -> Result<usize, Unanswered> {
        ui::choose(&self.0, question, words).map_err(unanswered)
    }

    fn text(&self, question: &str, default: &str) -> Result<String, Unanswered> {
        ui::question(&self.0, question, default).map_err(unanswered)
    }
}

/// What an unanswered prompt means to an act.
pub(super) fn unanswered(error: AskError) -> Unanswered {
    match error {
        AskError::NoTerminal(question) => Unanswered::NobodyThere(question),
        AskError::Closed => Unanswered::Closed,
    }
}
