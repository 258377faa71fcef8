//! Whether a component's files fit what they are put into: said before anything is done.

use crate::cli::failure::{Failure, Status};
use crate::cli::session::Session;
use crate::component::fit::{self, ComponentChange, Dangling};
use crate::config::Component;
use crate::model::{Oid, Served};
use crate::plan::facts::Facts;
use crate::ui::{AskError, confirm, escape, plural};

/// What a person says to imports that would not find their file.
#[derive(Debug, Clone)]
pub enum Consent {
    /// Only the plan is shown.
    NotNeeded,
    /// `--force`
    Given,
    /// It has to be asked for; this command goes on without asking.
    Ask(String),
}

impl Consent {
    /// What the arguments say.
    pub fn of(plan_only: bool, force: bool, forced: impl FnOnce() -> String) -> Self {
        match (plan_only, force) {
            (true, _) => Consent::NotNeeded,
            (false, true) => Consent::Given,
            (false, false) => Consent::Ask(forced()),
        }
    }
}

/// Looks at the change from `live` to `commit`, in which `component` has its files of `source`. What is to be
/// warned of, a line each.
///
/// # Errors
/// When an import in the tree that is to serve would not find its file, and nobody says to go on.
pub(super) fn look(
    session: &Session,
    facts: &Facts,
    component: &Component,
    (live, source): (&Served, &Served),
    commit: &Oid,
    consent: &Consent,
) -> Result<Vec<String>, Failure> {
    let git = &session.site.git;
    let found = fit::examine(&ComponentChange {
        git,
        live,
        target: source,
        after: &git.entries(commit)?.into_iter().collect(),
        changes: &git.changes(&live.commit, commit)?,
        component,
        config: &facts.accepted.config,
    })?;
    let warnings = found.warnings.iter().map(ToString::to_string);
    let warnings = warnings.chain(found.unresolvable.iter().map(ToString::to_string)).collect();
    match (found.unresolvable.as_slice(), consent) {
        ([], _) | (_, Consent::NotNeeded | Consent::Given) => Ok(warnings),
        (dangling, Consent::Ask(forced)) => {
            ask(session, component, dangling, forced).map(|()| warnings)
        }
    }
}

fn ask(
    session: &Session,
    component: &Component,
    dangling: &[Dangling],
    forced: &str,
) -> Result<(), Failure> {
    const SHOWN: usize = 10;
    let count = plural(dangling.len(), "import");
    let lines: Vec<String> = dangling.iter().take(SHOWN).map(ToString::to_string).collect();
    for line in &lines {
        session.ui.cry(&format!("  {} {}", session.ui.err.bad(), escape(line)));
    }
    let id = &component.id;
    let question = format!("{count} would not be found with the files of {id}. Go on?");
    let refused = |failure: Failure| {
        failure
            .next(forced, "goes on; what does not boot is taken back")
            .next("gitroll back", "takes the whole tree of a state, which fits itself")
    };
    match confirm(&session.ui, &question, false) {
        Ok(true) => Ok(()),
        Ok(false) => Err(refused(Failure::unchanged("not confirmed; nothing was changed"))),
        Err(AskError::NoTerminal(_)) => {
            let what = format!("{count} in the tree that is to serve would not be found");
            let failure = Failure::new(Status::Usage, what);
            Err(refused(lines.into_iter().fold(failure, Failure::detail)))
        }
        Err(error) => Err(error.into()),
    }
}
