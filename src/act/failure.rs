//! Why an act ended without doing what was asked: what happened and where, the next commands, and how that left things.

use schemars::JsonSchema;
use serde::Serialize;

use super::caller::Unanswered;
use super::next_steps::{self, since};
use super::outcome::Status;
use crate::component::ComponentError;
use crate::config::{BindingError, ConfigError};
use crate::engine::{EngineError, JournalError, LockError, Run, Unsettled};
use crate::ledger::LedgerError;
use crate::plan::PlanError;
use crate::plan::problem::Problem;
use crate::system::failpoint;
use crate::system::git::{GitError, OpenError};

/// The command that was typed, where it is what to type next. The words after it are typed behind it.
pub const SAME_COMMAND: &str = "gitroll …";

/// Why a command ended without doing what was asked.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Failure {
    /// How things are left.
    #[serde(skip)]
    pub status: Status,
    /// What happened and where, in one sentence.
    pub message: String,
    /// More of it, a line each.
    pub details: Vec<String>,
    /// The next commands, each with what it does.
    pub next: Vec<(String, String)>,
    /// Where it says so in words.
    #[serde(skip)]
    nothing_changed: Option<NothingChanged>,
}

/// Where a failure says that nothing was changed.
#[derive(Debug, Clone, Copy)]
enum NothingChanged {
    /// Behind so many bytes of the message.
    Message(usize),
    /// In the detail of this index.
    Detail(usize),
}

impl Failure {
    /// Without details and next commands.
    pub fn new(status: Status, message: impl Into<String>) -> Self {
        let (details, next) = (Vec::new(), Vec::new());
        Self { status, message: message.into(), details, next, nothing_changed: None }
    }

    /// Nothing changed: configuration, repository, environment.
    pub fn unchanged(message: impl Into<String>) -> Self {
        Self::new(Status::Unchanged, message)
    }

    /// Refused by policy.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(Status::Refused, message)
    }

    /// Ends the message with `nothing was changed`.
    pub fn and_nothing_changed(mut self) -> Self {
        self.nothing_changed = Some(NothingChanged::Message(self.message.len()));
        self.message.push_str("; nothing was changed");
        self
    }

    /// Adds the detail `nothing was changed`.
    pub fn nothing_changed(mut self) -> Self {
        self.nothing_changed = Some(NothingChanged::Detail(self.details.len()));
        self.detail("nothing was changed")
    }

    /// Without saying that nothing was changed: of the whole act that would not be true.
    pub fn of_a_part(mut self) -> Self {
        match self.nothing_changed.take() {
            Some(NothingChanged::Message(end)) => self.message.truncate(end),
            Some(NothingChanged::Detail(index)) => drop(self.details.remove(index)),
            None => {}
        }
        self
    }

    /// Adds a line of detail.
    pub fn detail(mut self, line: impl Into<String>) -> Self {
        self.details.push(line.into());
        self
    }

    /// Adds lines of detail.
    pub fn details(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(lines);
        self
    }

    /// Adds a next command.
    pub fn next(mut self, command: impl Into<String>, what: impl Into<String>) -> Self {
        self.next.push((command.into(), what.into()));
        self
    }

    /// A command that waits for the end of an open run, with the question that run may ask.
    pub fn run_open(run: &Run) -> Self {
        let what = next_steps::what(run);
        let mut failure = Self::new(Status::RunOpen, format!("a run is open: {what}"));
        if let Some(Unsettled { label, command, .. }) = run.unsettled() {
            failure = failure
                .detail(format!("{label} was interrupted: did its command finish?"))
                .detail(format!("command  {command}"));
        }
        failure.next("gitroll status", "shows the state of the run").next_steps(run)
    }

    /// Puts other commands before its own, each once.
    pub fn next_first(mut self, steps: Vec<(String, String)>) -> Self {
        self.next.retain(|(own, _)| steps.iter().all(|(command, _)| command != own));
        self.next.splice(0..0, steps);
        self
    }

    /// Adds the ways on from a run.
    pub fn next_steps(mut self, run: &Run) -> Self {
        self.next.extend(next_steps::of(run));
        self
    }
}

/// A place of the crash tests, between two things that a command does.
///
/// # Errors
/// The error that a test asked for.
pub fn at(place: &str) -> Result<(), Failure> {
    failpoint::pass(place).map_err(|e| Failure::unchanged(e.to_string()))
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let failure = Self::unchanged(error.to_string());
        match &error {
            OpenError::NotARepository(_) => {
                failure.next("gitroll -C DIR …", "DIR is the app's checkout")
            }
            OpenError::Bare(_) => {
                failure.next("git clone", "create a checkout, and run the command there")
            }
            OpenError::ForeignOwner { owner, .. } => {
                failure.next(format!("sudo -u {owner} gitroll …"), "run as the tree's owner")
            }
            OpenError::Extension { .. } => {
                failure.next("git clone --ref-format=files", "clone it in the default format")
            }
            OpenError::Partial(_) => failure.next("git clone", "make a full clone"),
            OpenError::Sparse(_) => {
                failure.next("git sparse-checkout disable", "check out all files")
            }
            OpenError::Broken { .. } => failure.next("git fsck", "shows what is broken"),
        }
    }
}

impl From<GitError> for Failure {
    fn from(error: GitError) -> Self {
        match &error {
            GitError::Ambiguous { .. } => {
                Self::refused(error.to_string()).detail("use a full name or more digits")
            }
            GitError::Object { .. } => {
                Self::unchanged(error.to_string()).next("git fsck", "shows what is broken")
            }
            _ => Self::unchanged(error.to_string()),
        }
    }
}

impl From<BindingError> for Failure {
    fn from(error: BindingError) -> Self {
        match &error {
            BindingError::Unbound { elsewhere } => {
                let mut failure = Self::refused(error.to_string());
                for path in elsewhere {
                    failure = failure.detail(format!("bound on this host: {}", path.display()));
                }
                failure.next("gitroll init", "binds this checkout to an environment")
            }
            BindingError::Unsafe { .. } => Self::refused(error.to_string()),
            BindingError::Invalid { .. } => Self::unchanged(error.to_string()),
        }
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        if let LedgerError::Git(error) = error {
            return error.into();
        }
        match &error {
            LedgerError::Rewritten { .. } | LedgerError::Missing { .. } => {
                Self::refused(error.to_string())
                    .next(
                        "git fetch origin 'refs/gitroll/*:refs/gitroll/*'",
                        "fetches what was pushed",
                    )
                    .next(
                        "gitroll init --new-writer",
                        "starts a new chain; the old one stays readable",
                    )
            }
            LedgerError::Untrusted { .. } => Self::refused(error.to_string())
                .next("gitroll log", "shows the trusted records")
                .next(
                    "gitroll init",
                    "trusts this host's own key again, if the trust file was lost",
                ),
            LedgerError::Role { .. } => Self::refused(error.to_string())
                .detail("roles.toml beside the trust file gives each key its roles")
                .next("gitroll trust list", "shows the roles of each key"),
            LedgerError::Malformed { .. } | LedgerError::Broken { .. } => {
                Self::refused(error.to_string())
                    .next("gitroll log", "shows the trusted records")
                    .next("git fsck", "shows what is broken")
            }
            LedgerError::Sign(_) => Self::unchanged(error.to_string())
                .next("gitroll init --new-key", "creates a key for this host"),
            LedgerError::Reason(_) => Self::new(Status::Usage, error.to_string()),
            LedgerError::Raced => {
                Self::new(Status::Busy, error.to_string()).next(SAME_COMMAND, "try again")
            }
            LedgerError::Git(_) => Self::unchanged(error.to_string()),
        }
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Git(error) => error.into(),
            PlanError::Ledger(error) => error.into(),
            PlanError::Config(error) => error.into(),
            PlanError::NoChain(_) => Self::refused(error.to_string())
                .detail("the binding names a chain that is not in this repository")
                .next(
                    "git fetch origin 'refs/gitroll/*:refs/gitroll/*'",
                    "fetches it, if it was pushed",
                )
                .next("gitroll init --new-writer", "starts a new one"),
            other => Self::unchanged(other.to_string()),
        }
    }
}

impl From<ComponentError> for Failure {
    fn from(error: ComponentError) -> Self {
        PlanError::from(error).into()
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let mut failure = Self::unchanged(error.to_string());
        for problem in &error.problems {
            failure = failure.detail(format!(
                "{}:{}:{}: {}",
                error.file, problem.line, problem.column, problem.message
            ));
        }
        failure
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        match &error {
            LockError::Busy(held) => {
                let mut failure = Self::new(Status::Busy, error.to_string());
                if let Some(held) = held {
                    let pid = held.process.as_ref().map(|p| p.pid.to_string()).unwrap_or_default();
                    let (command, who) = (&held.command, held.who());
                    let since = since(held.since, crate::system::clock::now());
                    failure = failure
                        .detail(format!("gitroll {command} by {who} since {since}, pid {pid}"));
                }
                failure.next("gitroll status", "shows the progress").next(
                    format!("{SAME_COMMAND} --wait 60s"),
                    "waits up to this long for it to finish",
                )
            }
            LockError::Gone => Self::refused(error.to_string())
                .next("gitroll init", "binds it again, with its own chain"),
            LockError::Io { path, .. } => {
                let at = path.parent().unwrap_or(path).display().to_string();
                Self::unchanged(error.to_string())
                    .detail("nothing was changed; an open run stays open")
                    .next(format!("findmnt -T {at}"), "shows whether it is mounted read-only")
                    .next(format!("ls -ld {at}"), "shows its owner")
                    .next(SAME_COMMAND, "tries again, after it is writable")
            }
        }
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        match &error {
            JournalError::Damaged { .. } | JournalError::Lost { .. } => {
                let failure = Self::new(Status::PersonNeeded, error.to_string())
                    .next("gitroll check", "shows whether what serves is healthy");
                let run = error.damaged_run();
                match (run, run.and_then(|run| run.parent()?.parent())) {
                    (Some(run), Some(state)) => failure.next(
                        format!("mv {} {}", run.display(), state.display()),
                        "removes this run and its data; use it only if you know the state of the host",
                    ),
                    _ => failure,
                }
            }
            JournalError::Io { .. } => Self::unchanged(error.to_string()),
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Journal(JournalError::Io { .. }) | EngineError::Ledger(_) => {
                Self::new(Status::RunOpen, error.to_string())
                    .detail("the run stays open: fix that first")
                    .next("gitroll status", "shows the state of the run and both commands")
                    .next("gitroll resume", "continues the run")
                    .next("gitroll abort", "restores what served before, unless it is too late")
            }
            EngineError::Journal(error) => error.into(),
            EngineError::NotBegun(_) => Self::unchanged(error.to_string())
                .nothing_changed()
                .next("gitroll doctor", "looks for the problem"),
            EngineError::Config(_) => Self::new(Status::PersonNeeded, error.to_string()),
            // Nothing was changed by this, but the run is open still: 22 says what has to be done first.
            EngineError::TooLate(ref run) => {
                Self::new(Status::RunOpen, error.to_string()).next_steps(run)
            }
        }
    }
}

impl From<Unanswered> for Failure {
    fn from(error: Unanswered) -> Self {
        Self::new(Status::Usage, error.to_string())
            .nothing_changed()
            .next(format!("{SAME_COMMAND} --yes"), "skips the question")
    }
}

impl From<Vec<Problem>> for Failure {
    fn from(problems: Vec<Problem>) -> Self {
        let policy = problems.iter().any(|p| p.policy);
        let status = if policy { Status::Refused } else { Status::Unchanged };
        let failure = match problems.as_slice() {
            [only] => Self::new(status, only.message.clone()).detail(only.hint.clone()),
            many => {
                let mut failure = Self::new(status, format!("{} problems were found", many.len()));
                for problem in many {
                    failure = failure.detail(problem.message.clone());
                    failure = failure.detail(format!("  {}", problem.hint));
                }
                failure
            }
        };
        failure.nothing_changed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_part_only_what_it_says_itself_is_taken_away() {
        let ended = Failure::refused("HEAD moved").and_nothing_changed();
        assert_eq!(ended.message, "HEAD moved; nothing was changed");
        assert_eq!(ended.of_a_part().message, "HEAD moved");

        let told = Failure::unchanged("no").detail("why").nothing_changed().detail("more");
        assert_eq!(told.details, ["why", "nothing was changed", "more"]);
        assert_eq!(told.of_a_part().details, ["why", "more"]);

        let imitated =
            Failure::unchanged("hook: nothing was changed").detail("nothing was changed");
        let part = imitated.of_a_part();
        assert_eq!(part.message, "hook: nothing was changed");
        assert_eq!(part.details, ["nothing was changed"]);
    }
}
