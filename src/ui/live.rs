//! Narration of a run: one live line per running step on a terminal, with what builds write above it; in a pipe one
//! line when a step ends, and one every 15 s while it continues; in the logs of GitHub and GitLab a group for each build.

use std::io::{self, Write as _};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::output::Ui;
use super::style::shortened;
use crate::model::Narration;
use crate::system::clock;
use crate::system::text::{duration, escape};

/// How long a pipe says nothing at most while a step continues.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// Renders what a run tells.
pub struct Live {
    ui: Ui,
    bar: Option<ProgressBar>,
    signs: Option<SignsOfLife>,
    group: Option<Group>,
    step: String,
    restoring: bool,
}

impl Live {
    /// Nothing told yet.
    pub fn new(ui: &Ui) -> Self {
        let (bar, signs, group, step) = (None, None, None, String::new());
        Self { ui: ui.clone(), bar, signs, group, step, restoring: false }
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
                if let Some(signs) = &self.signs {
                    signs.note(&text);
                }
            }
            Narration::Output { line } => self.output(&line),
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
        if self.ui.quiet {
            return;
        }
        if !self.ui.err.terminal {
            self.group = Group::begin(&self.ui, &self.step);
            if self.group.is_none() {
                self.signs = SignsOfLife::begin(&self.ui, &self.step);
            }
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

    fn output(&self, line: &str) {
        let line = escape(line);
        if let Some(bar) = &self.bar {
            let room = self.ui.err.width.unwrap_or(100).saturating_sub(5).max(20);
            bar.println(format!("    {}", self.ui.err.dim(&shortened(&line, room))));
        } else if self.group.is_some() {
            // Behind a bar: what a build writes is not a command to the runner.
            self.ui.say(&format!("  | {}", line.replace("##[", "# #[")));
        } else if let Some(signs) = &self.signs {
            signs.note(&line);
        }
    }

    fn clear(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
            let _ = io::stderr().flush();
        }
        self.signs = None;
        if let Some(group) = self.group.take() {
            group.end(&self.ui);
        }
    }
}

/// Whose log this is, where it folds what is in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Folds {
    GitHub,
    GitLab,
}

/// A group in such a log, which a build is.
struct Group {
    folds: Folds,
    name: String,
}

impl Group {
    fn begin(ui: &Ui, step: &str) -> Option<Self> {
        let set = |name: &str| std::env::var(name).is_ok_and(|value| value == "true");
        let folds = match (set("GITHUB_ACTIONS"), set("GITLAB_CI")) {
            (true, _) => Folds::GitHub,
            (_, true) => Folds::GitLab,
            _ => return None,
        };
        let built = step.strip_prefix("build ")?;
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let name = format!("gitroll_build_{}", built.chars().map(plain).collect::<String>());
        ui.say(&match folds {
            Folds::GitHub => format!("::group::{step}"),
            Folds::GitLab => {
                format!("\u{1b}[0Ksection_start:{}:{name}\r\u{1b}[0K{step}", now())
            }
        });
        Some(Self { folds, name })
    }

    fn end(&self, ui: &Ui) {
        ui.say(&match self.folds {
            Folds::GitHub => "::endgroup::".to_owned(),
            Folds::GitLab => format!("\u{1b}[0Ksection_end:{}:{}\r\u{1b}[0K", now(), self.name),
        });
    }
}

fn now() -> i64 {
    clock::now().as_second()
}

/// A line every now and then while a step continues, from a thread that ends with it.
struct SignsOfLife {
    shared: Arc<(Mutex<Said>, Condvar)>,
}

/// What was said last, and whether it is over.
#[derive(Default)]
struct Said {
    last: String,
    over: bool,
}

impl SignsOfLife {
    /// `None` if no thread can be had: then nothing is said until the step ends.
    fn begin(ui: &Ui, step: &str) -> Option<Self> {
        let shared = Arc::new((Mutex::new(Said::default()), Condvar::new()));
        let (theirs, ui, step) = (Arc::clone(&shared), ui.clone(), step.to_owned());
        let begun = Instant::now();
        let watch = move || {
            let (said, ended) = &*theirs;
            let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
            loop {
                let waited = ended
                    .wait_timeout_while(said, SIGN_OF_LIFE, |said| !said.over)
                    .unwrap_or_else(PoisonError::into_inner);
                said = waited.0;
                if said.over {
                    return;
                }
                let last =
                    if said.last.is_empty() { String::new() } else { format!(": {}", said.last) };
                ui.say(&format!(
                    "  {} {step:<14} {}{last}",
                    ui.err.more(),
                    duration(begun.elapsed())
                ));
            }
        };
        let thread = thread::Builder::new().name("signs of life".to_owned()).spawn(watch);
        thread.ok().map(|_| Self { shared })
    }

    fn note(&self, text: &str) {
        const LONGEST: usize = 100;
        let mut said = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.last = shortened(text.trim(), LONGEST);
    }
}

impl Drop for SignsOfLife {
    fn drop(&mut self) {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner).over = true;
        self.shared.1.notify_all();
    }
}
