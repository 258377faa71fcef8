//! Whether a person agrees to what a plan loses. Neither `--yes` nor Enter nor an emergency agrees to that.

use std::time::Duration;

use super::failure::{Failure, SAME_COMMAND};
use super::outcome::Status;
use super::session::Session;
use crate::config::{BackRule, Config};
use crate::model::{FullPlan, ItemBack, ItemSection, Plan};
use crate::system::clock;
use crate::system::text::span;

/// Asks for the name of each database that goes back, unless its loss was accepted in advance; and where no data goes
/// back, the usual question if `confirm`.
///
/// # Errors
/// When a point is older than was accepted; when nobody is there to type a name; when another was typed.
pub(super) fn agree(
    session: &Session,
    config: &Config,
    plan: &Plan,
    full: &FullPlan,
    confirm: bool,
) -> Result<(), Failure> {
    let mut asked = Vec::new();
    for item in full.items.iter().filter(|item| item.section == ItemSection::Data) {
        match full.accepted.iter().find(|accepted| accepted.name == item.name) {
            Some(accepted) if age(full) > accepted.limit() => {
                let (is, most) = (span(age(full)), span(accepted.limit()));
                let id = full.point.as_ref().map(|point| point.id.to_string()).unwrap_or_default();
                return Err(Failure::refused(format!(
                    "{id} is {is} old, and --accept-loss accepts {most} of {}",
                    item.name
                ))
                .and_nothing_changed()
                .next("gitroll point list", "shows the points"));
            }
            Some(_) => {}
            None => asked.push(item),
        }
    }
    let with_full = |item: &ItemBack| {
        let source = config.data.iter().find(|source| source.name == item.name);
        source.is_some_and(|source| source.back == BackRule::WithFull)
    };
    if !asked.is_empty() && !session.caller.prompt().is_there() {
        return Err(nobody(full, &asked));
    }
    // Whoever types one name agrees to those that go with it.
    let named: Vec<&ItemBack> = asked.iter().copied().filter(|item| !with_full(item)).collect();
    let named = if named.is_empty() { asked.iter().take(1).copied().collect() } else { named };
    for item in &named {
        let question = format!(
            "Data of `{}` goes back {}. Type its name, {}:",
            item.name,
            span(age(full)),
            item.name
        );
        let typed = session.caller.prompt().text(&question, "no")?;
        if typed != item.name.as_str() {
            return Err(Failure::unchanged("not confirmed").and_nothing_changed());
        }
    }
    let question = match full.items.as_slice() {
        _ if plan.from.commit != plan.to.commit => "Go back?".to_owned(),
        [one] => format!("Put {} back?", one.name),
        many => format!("Put {} items back?", many.len()),
    };
    if named.is_empty() && confirm && !session.caller.prompt().confirm(&question, true)? {
        return Err(Failure::unchanged("not confirmed").and_nothing_changed());
    }
    Ok(())
}

/// What a script has to pass, since it cannot type.
fn nobody(full: &FullPlan, asked: &[&ItemBack]) -> Failure {
    let minutes = age(full).as_secs() / 60 + 1;
    let options: Vec<String> =
        asked.iter().map(|item| format!("--accept-loss {}={minutes}m", item.name)).collect();
    Failure::new(
        Status::Usage,
        "data goes back only if a person types its name, or a script accepts the loss",
    )
    .detail("neither --yes nor --emergency answers this")
    .and_nothing_changed()
    .next(format!("{SAME_COMMAND} {}", options.join(" ")), "accepts it, as of now")
}

/// How old the data is that comes back.
fn age(full: &FullPlan) -> Duration {
    let taken = full.point.as_ref().map(|point| point.taken);
    let seconds = taken.map_or(0, |taken| clock::now().duration_since(taken).as_secs());
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}
