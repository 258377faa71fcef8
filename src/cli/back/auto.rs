//! The flags of what is suspect first; where that does not help, the code.

use super::{BackArgs, code, find, left_out, request};

use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::flow::Manner;
use crate::cli::levels::{self, Came, Decisions};
use crate::cli::session::Session;
use crate::plan::candidates;
use crate::plan::facts::Facts;
use crate::target::Candidate;

/// Carries out one level after the other.
///
/// # Errors
/// As of the level that was the last one.
pub(super) fn auto(
    session: &Session,
    facts: Facts,
    args: &BackArgs,
    manner: Manner,
) -> Result<Exit, Failure> {
    let all = candidates::gather(&session.site, &facts)?;
    let found = find(session, &facts, &all, &request(args))?.ok();
    // What the code level might come to, the most likely first.
    let mut states: Vec<Candidate> = Vec::new();
    if let Some(found) = found {
        let further = found.further.into_iter().take(args.cascade.unwrap_or(1).max(1));
        states = std::iter::once(found.chosen).chain(further).collect();
    }
    let mut decisions = Decisions::default();
    let reason = args.reason.as_ref();
    let mut tried = None;
    if let Some(mut intent) =
        levels::suspects_off(session, &facts, &states, reason, &mut decisions)?
    {
        if args.emergency {
            intent.emergency = true;
            intent.warnings.extend(left_out(&facts, None));
        }
        let told = match levels::try_level(session, facts, intent, manner)? {
            Came::Ended(exit) => return Ok(exit),
            Came::NotEnough(exit) => {
                tried = Some(exit);
                "flags: not enough, and put back".to_owned()
            }
            Came::Refused(why) => format!("flags: not switched, nothing was changed: {why}"),
        };
        decisions.tell(session, &format!("level {told}"));
    }
    decisions.tell(session, "level code: to an earlier state");
    levels::after(tried, code(session, session.facts()?, args, manner, &mut decisions))
}
