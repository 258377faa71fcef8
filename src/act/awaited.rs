//! After approvals or an answer were waited for: whether what is carried out is still what was shown and approved.

use super::failure::{Failure, SAME_COMMAND};
use super::session::Session;
use crate::model::{Event, Intent, Plan};
use crate::plan::compose::{Change, compose};
use crate::plan::facts::Facts;
use crate::plan::holds;

/// Gathers and plans again, and compares. `change` is what was asked for.
///
/// # Errors
/// When it is not the same any more: another command acted meanwhile, someone judged the target, or the tree was changed.
/// Nothing was changed by this one.
pub(super) fn check_same(
    session: &Session,
    before: &Facts,
    plan: &Plan,
    change: &Change,
) -> Result<(), Failure> {
    session.refuse_beside_run()?;
    let site = &session.site;
    let now = session.facts()?;
    let known = before.own(site).len();
    let acted = now.own(site).iter().skip(known).find(|entry| entry.record.event.serves());
    let changed = |what: String| {
        Err(Failure::unchanged(format!("what was shown is not so any more: {what}"))
            .and_nothing_changed()
            .next(SAME_COMMAND, "plans again"))
    };
    if let Some(entry) = acted {
        return changed(format!("#{} was recorded meanwhile", entry.record.seq));
    }
    if now.serving.commit != before.serving.commit || now.head != before.head {
        return changed(format!("{} serves", now.serving));
    }
    if now.accepted.text != before.accepted.text {
        return changed("another gitroll.toml was accepted".to_owned());
    }
    let commit = &plan.to.commit;
    if *commit != now.serving.commit
        && let Some(reason) = holds::against(site, &now, commit)?
        && holds::against(site, before, commit)?.is_none()
    {
        return changed(format!("{}: {reason}", plan.to));
    }
    // A target that was taken instead of the one that was asked for, or what else is reloaded, was decided on the way.
    if plan.event != Event::Back || *commit != change.to.commit {
        return Ok(());
    }
    let again = compose(site, &now, change.clone())?.plan;
    let same = match Intent::level(plan) {
        Some(level) => Intent::of(plan, level) == Intent::of(&again, level),
        None => true,
    };
    if !same || again.steps != plan.steps || again.activation != plan.activation {
        return changed("the files here or the plan changed".to_owned());
    }
    Ok(())
}
