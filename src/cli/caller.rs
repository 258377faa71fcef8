//! The person at the command line as the caller of an act: notices become lines, questions prompts.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::exit::Exit;
use super::failure::unanswered;
use super::globals::Globals;
use super::outcome;
use crate::act::caller::{Caller, Notice, Prompt, Unanswered};
use crate::model::{Narration, Seq, Served};
use crate::system::clock;
use crate::ui::{self, JSON_VERSION, Live, Ui, escape, span};

impl Globals {
    pub(super) fn caller(&self, ui: &Ui) -> Caller {
        let dir = self.dir.clone().unwrap_or_else(|| PathBuf::from("."));
        let (steps, step) = (Mutex::default(), Mutex::default());
        let voice = Voice { ui: ui.clone(), steps, step };
        let prompt = Terminal(ui.clone());
        Caller::new(dir, self.wait, Arc::new(move |notice| voice.tell(notice)), Arc::new(prompt))
    }
}

struct Voice {
    ui: Ui,
    steps: Mutex<Option<Live>>,
    /// The running step, for the events about it.
    step: Mutex<String>,
}

/// A line of `--json-lines`. The last line of a command is its answer, which has no `event`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ProgressEvent {
    /// Version of the answers, as in them.
    gitroll: u32,
    /// When it was told.
    #[schemars(with = "String")]
    at: Timestamp,
    #[serde(flatten)]
    told: Told,
}

/// What is told.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "snake_case")]
enum Told {
    /// What is going to be done.
    Plan {
        /// What serves now.
        from: Served,
        /// What shall serve, in words.
        to: String,
        /// What is wrong with what serves now.
        faults: Vec<String>,
    },
    /// A step begins.
    StepBegan { step: String },
    /// The running step tells how far it is.
    StepProgress { step: String, text: String },
    /// The running step wrote a line; secrets are removed.
    StepOutput { step: String, line: String },
    /// A step ended well.
    StepDone { step: String, took_millis: u64 },
    /// A step failed.
    StepFailed {
        step: String,
        /// What happened, in one line.
        what: String,
        /// The lines of output that matter.
        lines: Vec<SourceLine>,
    },
    /// From here on the previous state is being restored.
    Restoring,
    /// The target was observed serving. It is not recorded yet.
    Proven { to: Served, took_millis: u64 },
    /// A sentence for whoever follows along.
    Info { text: String },
    /// Something to know.
    Warning { text: String },
    /// Something is wrong with what serves, or a target failed.
    Alarm { text: String },
    /// The record could not be signed, and waits.
    Unsigned { why: String },
    /// A record is not on the remote.
    Unpublished { seq: Seq, why: String },
    /// What was watched stayed healthy for so long.
    Held { seconds: u64 },
    /// A command to run next, and what it does.
    Next { command: String, what: String },
    /// A change ended; `outcome` is the word of its answer.
    Ended { command: String, outcome: String },
}

/// A line of output, and where it is from.
#[derive(Debug, Serialize, JsonSchema)]
struct SourceLine {
    source: String,
    line: String,
}

impl Voice {
    fn tell(&self, notice: Notice<'_>) {
        let ui = &self.ui;
        if ui.lines
            && let Some(told) = self.told(&notice)
        {
            ui.event(&ProgressEvent { gitroll: JSON_VERSION, at: clock::now(), told });
        }
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

    /// The event of a notice; `None` if it is only about how things are shown.
    fn told(&self, notice: &Notice<'_>) -> Option<Told> {
        let next = |command: &str, what: &str| Told::Next {
            command: self.ui.typed_here(command),
            what: what.to_owned(),
        };
        Some(match notice {
            Notice::Info(text) | Notice::Detail(text) => Told::Info { text: text.clone() },
            Notice::Warning(text) => Told::Warning { text: text.clone() },
            Notice::Failed(text) | Notice::Alarm(text) | Notice::Remark(text) => {
                Told::Alarm { text: text.clone() }
            }
            Notice::Verdict(_, text) => Told::Alarm { text: text.clone() },
            Notice::Next(command, what) => next(command, what),
            Notice::MoreNext(command, what) => next(command, what),
            Notice::Preview(preview) => Told::Plan {
                from: preview.from.clone(),
                to: preview.to.clone(),
                faults: preview.faults.clone(),
            },
            Notice::Resumed(_, how) => Told::Info { text: how.clone() },
            Notice::Step(narration) => self.told_of_step(narration),
            Notice::StepsEnd => return None,
            Notice::Proven(proven) => {
                Told::Proven { to: proven.plan.to.clone(), took_millis: millis(proven.took) }
            }
            Notice::Unsigned(why) => Told::Unsigned { why: (*why).to_owned() },
            Notice::Unpublished { seq, why } => {
                Told::Unpublished { seq: *seq, why: (*why).to_owned() }
            }
            Notice::Held(time) => Told::Held { seconds: time.as_secs() },
            Notice::Ended(outcome) => Told::Ended {
                command: outcome.command.clone(),
                outcome: outcome.answer.outcome.clone(),
            },
        })
    }

    fn told_of_step(&self, narration: &Narration) -> Told {
        let mut running = self.step.lock().unwrap_or_else(PoisonError::into_inner);
        match narration.clone() {
            Narration::Begin { step } => {
                running.clone_from(&step);
                Told::StepBegan { step }
            }
            Narration::Progress { text } => Told::StepProgress { step: running.clone(), text },
            Narration::Output { line } => Told::StepOutput { step: running.clone(), line },
            Narration::Done { step, took } => Told::StepDone { step, took_millis: millis(took) },
            Narration::Failed { step, what, lines } => {
                let lines = lines.into_iter().map(|(source, line)| SourceLine { source, line });
                Told::StepFailed { step, what, lines: lines.collect() }
            }
            Narration::Restoring => Told::Restoring,
            Narration::Warning { text } => Told::Warning { text },
            Narration::Note { text } => Told::Info { text },
        }
    }

    fn show(&self, change: impl FnOnce(&mut Option<Live>)) {
        if let Ok(mut steps) = self.steps.lock() {
            change(&mut steps);
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
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
