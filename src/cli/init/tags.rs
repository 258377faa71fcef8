//! Stable tags from before gitroll: which are adopted, by one question.

use schemars::JsonSchema;
use serde::Serialize;

use super::args::InitArgs;
use crate::adopt::legacy_tags::{Legacy, legacy};
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::ledger::{History, Ledger};
use crate::model::AdoptedTag;
use crate::system::clock;
use crate::ui::{AskError, Ui, confirm, escape, plural, span};

const SHOWN: usize = 10;

/// A stable tag that was not adopted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LeftTag {
    /// Its name without `refs/tags/`.
    pub name: String,
    /// Why not.
    pub why: String,
}

/// What was decided.
#[derive(Debug, Default)]
pub(super) struct Decided {
    pub(super) adopt: Vec<AdoptedTag>,
    pub(super) left: Vec<LeftTag>,
    pub(super) missing: Option<String>,
}

/// Looks at the stable tags and at HEAD's reflog, and asks. A reflog that was copied together with the
/// checkout (`--new-writer`) says nothing of this one.
pub(super) fn decide(
    session: &Session,
    args: &InitArgs,
    pattern: &str,
    ledger: &Ledger,
) -> Result<Decided, Failure> {
    if args.new_writer {
        return Ok(Decided::default());
    }
    let (git, writer) = (&session.site.git, &session.site.binding.writer);
    let chain = ledger.chains.get(writer);
    let begun = chain.and_then(|chain| chain.entries.first()).map(|entry| entry.tagger.time);
    let history = History::of(ledger, Some(writer));
    let (moves, mut missing) = match git.head_moves() {
        Ok(Some(moves)) => (moves, None),
        Ok(None) => (Vec::new(), Some("HEAD has no reflog here".to_owned())),
        Err(error) => (Vec::new(), Some(format!("HEAD's reflog cannot be read: {error}"))),
    };
    let until = begun.unwrap_or_else(clock::now);
    let mut found = legacy(&git.tags()?, pattern, &moves, until, &history);
    if found == Legacy::default() {
        return Ok(Decided::default());
    }
    let ui = &session.ui;
    // Said when it is new: at first, and whenever there is something to ask.
    let news = begun.is_none() || !found.adoptable.is_empty();
    missing = missing.filter(|_| news).map(|why| {
        format!("{why}: no older tags are adopted; `gitroll back --to TAG` still accepts one")
    });
    if !found.adoptable.is_empty() && !asked(ui, args, &found.adoptable)? {
        let declined = found.adoptable.drain(..);
        found.left.extend(declined.map(|tag| (tag.target.short().to_owned(), DECLINED.to_owned())));
    }
    let left: Vec<LeftTag> =
        found.left.into_iter().map(|(name, why)| LeftTag { name, why }).collect();
    if news && missing.is_none() {
        tell_left(ui, &left);
    }
    Ok(Decided { adopt: found.adoptable, left, missing })
}

const DECLINED: &str = "not confirmed; `gitroll init` asks again";

fn asked(ui: &Ui, args: &InitArgs, tags: &[AdoptedTag]) -> Result<bool, Failure> {
    let many = plural(tags.len(), "stable tag");
    ui.say(&format!("{many} from before gitroll, checked out here according to HEAD's reflog:"));
    for tag in tags.iter().take(SHOWN) {
        let time = span(std::time::Duration::from_secs(tag.seconds));
        let name = escape(tag.target.short());
        ui.say(&format!("  {name}  {}  {time}", tag.commit.short()));
    }
    if tags.len() > SHOWN {
        ui.say(&format!("  and {} more", tags.len() - SHOWN));
    }
    if args.yes {
        return Ok(true);
    }
    match confirm(ui, "Allow `gitroll back` to use them?", true) {
        Ok(answer) => Ok(answer),
        // An init that only accepts a new gitroll.toml has asked nothing so far and may run in a script.
        Err(AskError::NoTerminal(_)) => {
            ui.say(
                "  not adopted: there is no terminal for the question; `gitroll init --yes` adopts them",
            );
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

fn tell_left(ui: &Ui, left: &[LeftTag]) {
    for tag in left.iter().take(SHOWN) {
        ui.say(&format!("not adopted  {}  {}", escape(&tag.name), escape(&tag.why)));
    }
    if left.len() > SHOWN {
        ui.say(&format!("not adopted  {} more", left.len() - SHOWN));
    }
}
