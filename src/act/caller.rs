//! Who calls for an act: where it takes place, who is told what happens, and who answers its questions.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::outcome::{ChangeOutcome, Place, Preview, Proven, Status};
use crate::model::{Narration, Seq};

/// What an act needs to know of whoever calls for it. Cheap to clone.
#[derive(Clone)]
pub struct Caller {
    /// The checkout, or a directory in it.
    pub dir: PathBuf,
    /// How long another command at work is waited for. `None`: the act's own default, which is mostly not at all.
    pub wait: Option<Duration>,
    listener: Arc<Listener>,
    prompt: Arc<dyn Prompt>,
    between_runs: Arc<Mutex<Option<&'static str>>>,
    begun: Arc<Mutex<Option<Instant>>>,
}

/// Where notices go. The thread that hears signals tells some, too.
pub type Listener = dyn Fn(Notice<'_>) + Send + Sync;

/// One thing worth telling. Texts are not escaped: whoever shows them does that.
#[derive(Debug)]
pub enum Notice<'a> {
    /// A sentence for who follows along.
    Info(String),
    /// A sentence that says more of what is being done.
    Detail(String),
    /// Something a person should know.
    Warning(String),
    /// A command that can be run next, and what it does.
    Next(&'a str, &'a str),
    /// Something that was tried and failed, and is answered by something else.
    Failed(String),
    /// Something that is wrong with what serves, also for who does not follow along.
    Alarm(String),
    /// As [`Notice::Alarm`], of something that was said already.
    Remark(String),
    /// One more command after those that an end named, and what it does.
    MoreNext(String, String),
    /// In short its state, and what that means.
    Verdict(Status, String),
    /// What is going to be done.
    Preview(&'a Preview),
    /// An open run is gone on with: where, and how.
    Resumed(&'a Place, String),
    /// What a step tells.
    Step(Narration),
    /// No more steps come for now.
    StepsEnd,
    /// The target was observed serving; it is not on record yet.
    Proven(&'a Proven<'a>),
    /// What was watched held for that long.
    Held(Duration),
    /// A record could not be signed, and why: it waits.
    Unsigned(&'a str),
    /// A record is not on the remote.
    Unpublished { seq: Seq, why: &'a str },
    /// How a change ended. One act may make several.
    Ended(&'a ChangeOutcome),
}

/// Why a question was not answered. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// There is nobody to ask.
    #[error("{0:?} needs an answer, but there is no terminal")]
    NobodyThere(String),
    /// Whoever was asked went away.
    #[error("the terminal was closed before the question was answered")]
    Closed,
}

/// Whoever answers questions.
pub trait Prompt: Send + Sync {
    /// Whether there is someone to ask.
    fn is_there(&self) -> bool;

    /// Asks a yes-or-no question.
    ///
    /// # Errors
    /// When nobody answers.
    fn confirm(&self, question: &str, default: bool) -> Result<bool, Unanswered>;

    /// Asks for one of a few words, by its position; the first is the default.
    ///
    /// # Errors
    /// When nobody answers.
    fn choose(&self, question: &str, words: &[&str]) -> Result<usize, Unanswered>;

    /// Asks for a text.
    ///
    /// # Errors
    /// When nobody answers.
    fn text(&self, question: &str, default: &str) -> Result<String, Unanswered>;
}

impl Caller {
    pub fn new(
        dir: PathBuf,
        wait: Option<Duration>,
        listener: Arc<Listener>,
        prompt: Arc<dyn Prompt>,
    ) -> Self {
        let begun = Arc::new(Mutex::new(Some(Instant::now())));
        Self { dir, wait, listener, prompt, between_runs: Arc::default(), begun }
    }

    /// When the person began to wait: for the first act of a command when that was typed, for a later one now.
    pub fn waits_since(&self) -> Instant {
        let typed = self.begun.lock().ok().and_then(|mut begun| begun.take());
        typed.unwrap_or_else(Instant::now)
    }

    /// The person thought about a question that was asked at `asked`: that is not a waiting.
    pub fn thought_since(&self, asked: Instant) {
        if let Ok(mut begun) = self.begun.lock() {
            *begun = begun.map(|begun| begun + asked.elapsed());
        }
    }

    pub fn tell(&self, notice: Notice<'_>) {
        (self.listener)(notice);
    }

    pub fn info(&self, text: impl Into<String>) {
        self.tell(Notice::Info(text.into()));
    }

    pub fn warn(&self, text: impl Into<String>) {
        self.tell(Notice::Warning(text.into()));
    }

    /// What a run is given to tell its steps to.
    pub fn narrator(&self) -> impl FnMut(Narration) + '_ {
        |narration| self.tell(Notice::Step(narration))
    }

    /// Tells how a change ended.
    pub fn ended(&self, outcome: ChangeOutcome) -> ChangeOutcome {
        self.tell(Notice::Ended(&outcome));
        outcome
    }

    pub fn prompt(&self) -> &dyn Prompt {
        &*self.prompt
    }

    /// From here on no run of this caller is open: what a person is told who stops it now. `None`: one is going to
    /// be begun.
    pub fn between_runs(&self, text: Option<&'static str>) {
        if let Ok(mut between) = self.between_runs.lock() {
            *between = text;
        }
    }

    /// What [`Caller::between_runs`] was given last.
    pub fn told_when_stopped(&self) -> Option<&'static str> {
        self.between_runs.lock().ok().and_then(|between| *between)
    }
}
