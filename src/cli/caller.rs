//! The person at the command line as the caller of an act: notices become lines, questions prompts.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::exit::Exit;
use super::failure::unanswered;
use super::globals::Globals;
use super::outcome;
use crate::act::caller::{Caller, Notice, Prompt, Unanswered};
use crate::ui::{self, Live, Ui, escape, span};

impl Globals {
    pub(super) fn caller(&self, ui: &Ui) -> Caller {
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
            Notice::Next(command, what) => {
                let command = ui.typed_here(command);
                ui.say(format!("  next     {command}    {what}").trim_end());
            }
            Notice::Failed(text) => ui.say(&format!("  {} {}", ui.err.bad(), escape(&text))),
            Notice::Alarm(text) => ui.cry(&format!("  {} {}", ui.err.bad(), escape(&text))),
            Notice::Remark(text) => ui.cry(&format!("  {}", escape(&text))),
            Notice::MoreNext(command, what) => {
                let command = ui.typed_here(&command);
                ui.cry(&format!("           {command}   {}", escape(&what)));
            }
            Notice::Verdict(status, text) => {
                let code = Exit::from(status).code();
                ui.cry(&format!("{} {} [{code}]", ui.err.bad(), escape(&text)));
            }
            Notice::Preview(preview) => outcome::preview(ui, preview),
            Notice::Resumed(place, what) => {
                ui.say(&format!("{}    {what}", outcome::place(ui, place)));
            }
            Notice::Step(narration) => {
                self.show(|steps| steps.get_or_insert_with(|| Live::new(ui)).tell(narration));
            }
            Notice::StepsEnd => self.show(|steps| *steps = None),
            Notice::Proven(proven) => outcome::proven(ui, proven),
            Notice::Unsigned(why) => {
                let why = escape(why);
                ui.cry(&format!("  {} the record could not be signed: {why}", ui.err.bad()));
                let next = "fix this; the next gitroll command signs and publishes the record [30]";
                ui.cry(&format!("  next     {next}"));
            }
            Notice::Unpublished { seq, why } => {
                ui.cry(&format!("  warning  record #{seq} is not published: {}", escape(why)));
            }
            Notice::Held(time) => {
                ui.say(&format!("  {} healthy for {}", ui.err.ok(), span(time)));
            }
            Notice::Ended(outcome) => outcome::ended(ui, outcome),
        }
    }

    fn show(&self, change: impl FnOnce(&mut Option<Live>)) {
        if let Ok(mut steps) = self.steps.lock() {
            change(&mut steps);
        }
    }
}

struct Terminal(Ui);

impl Prompt for Terminal {
    fn is_there(&self) -> bool {
        ui::can_ask(&self.0)
    }

    fn confirm(&self, question: &str, default: bool) -> Result<bool, Unanswered> {
        ui::confirm(&self.0, &escape(question), default).map_err(unanswered)
    }

    fn choose(&self, question: &str, words: &[&str]) -> Result<usize, Unanswered> {
        ui::choose(&self.0, &escape(question), words).map_err(unanswered)
    }

    fn text(&self, question: &str, default: &str) -> Result<String, Unanswered> {
        ui::question(&self.0, question, default).map_err(unanswered)
    }
}
