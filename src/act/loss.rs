//! Agreeing to what a plan loses: a person names what loses it, a script the number of rows.

use super::failure::{Failure, SAME_COMMAND};
use super::outcome::Status;
use super::session::Session;
use crate::model::{Plan, RowsLost};

/// How many lost rows are agreed to in advance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AcceptedRows {
    /// A person is asked.
    #[default]
    Ask,
    /// So many at most.
    Most(u64),
    /// Any, also where they cannot be counted.
    Any,
}

/// Whether a person is asked to agree to what a plan loses.
pub(super) fn is_asked_for(plan: &Plan) -> bool {
    plan.migrates().is_some_and(|step| step.loses != RowsLost::of(Vec::new()))
}

/// Lets a person agree to what is lost: `--yes` and Enter do not.
///
/// # Errors
/// When more is lost than was accepted, or nobody agreed.
pub(super) fn agree(session: &Session, plan: &Plan, accepted: AcceptedRows) -> Result<(), Failure> {
    let Some(step) = plan.migrates().filter(|_| is_asked_for(plan)) else {
        return Ok(());
    };
    let name = step.data.as_ref().map_or("lose", |name| name.as_str());
    let loses = step.loses.in_words();
    let again = |rows: Option<u64>| {
        let rows = rows.map_or("any".to_owned(), |rows| rows.to_string());
        format!("{SAME_COMMAND} --accept-loss {rows}")
    };
    match (accepted, step.loses.rows) {
        (AcceptedRows::Most(most), Some(rows)) if rows <= most => Ok(()),
        (AcceptedRows::Most(most), Some(rows)) => {
            Err(Failure::refused(format!("this {loses}, and {most} are accepted"))
                .nothing_changed()
                .next(again(Some(rows)), "accepts them"))
        }
        (AcceptedRows::Any, _) => Ok(()),
        (AcceptedRows::Most(_), None) => {
            Err(Failure::refused(format!("{loses}: no number of rows covers that"))
                .nothing_changed()
                .next(again(None), "accepts whatever is lost"))
        }
        (AcceptedRows::Ask, rows) => {
            let prompt = session.caller.prompt();
            if !prompt.is_there() {
                let failure =
                    Failure::new(Status::Usage, format!("this {loses}")).nothing_changed();
                return Err(failure.next(again(rows), "accepts that loss"));
            }
            let question = format!("This {loses}. Type {name} to go on");
            match prompt.text(&question, "no")? == name {
                true => Ok(()),
                false => Err(Failure::unchanged("not confirmed").and_nothing_changed()),
            }
        }
    }
}
