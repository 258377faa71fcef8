//! Narration of a run: one live line per running step on a terminal, one line when it ends in a pipe.

use std::io::{self, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::output::Ui;
use crate::model::Narration;
use crate::system::text::{duration, escape};

/// Renders what a run tells.
pub struct Live {
    ui: Ui,
    bar: Option<ProgressBar>,
    step: String,
    restoring: bool,
}

impl Live {
    /// Nothing told yet.
    pub fn new(ui: &Ui) -> Self {
        Self { ui: ui.clone(), bar: None, step: String::new(), restoring: false }
    }

    /// Tells one thing.
    pub fn tell(&mut self, narration: Narration) {
        let style = self.ui.err.clone();
        match narration {
            Narration::Begin { step } => self.begin(step),
            Narration::Progress { text } => {
                if let Some(bar) = &self.bar {
                    bar.set_message(format!("{} {}", self.step, escape(&text)));
                }
            }
            Narration::Done { step, took } => {
                self.clear();
                let sign = if self.restoring { style.back() } else { style.ok() };
                self.ui.say(&format!("  {sign} {step:<14} {}", duration(took)));
            }
            Narration::Failed { step, what, lines } => {
                self.clear();
                let sign = style.bad();
                self.ui.say(&format!("  {sign} {step:<14} {}", escape(&what)));
                for (source, line) in lines {
                    self.ui.say(&format!("      {} {}", style.dim(&source), escape(&line)));
                }
            }
            Narration::Restoring => {
                self.clear();
                self.restoring = true;
            }
            Narration::Warning { text } => {
                self.clear();
                self.ui.say(&format!("  {} {}", style.yellow("warning"), escape(&text)));
            }
            Narration::Note { text } => {
                self.clear();
                self.ui.say(&format!("  {}", escape(&text)));
            }
        }
    }

    fn begin(&mut self, step: String) {
        self.clear();
        self.step = step;
        if self.ui.quiet || !self.ui.err.terminal {
            return;
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(self.step.clone());
        bar.enable_steady_tick(Duration::from_millis(120));
        self.bar = Some(bar);
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
            let _ = io::stderr().flush();
        }
    }
}
