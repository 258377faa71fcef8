//! `gitroll diff`

mod args;
mod page;
mod patch;
mod states;

use super::exit::Exit;
use super::failure::{Failure, Status};
use super::globals::Globals;
use super::reader::Reader;
use super::session::Session;
use crate::act::diagnosis;
use crate::config::{Component, Config};
use crate::diagnosis::Health;
use crate::report::diff::{Question, compare};
use crate::system::text::nearest;
use crate::ui::{Ui, escape};
pub use args::DiffArgs;
use page::Form;
use states::Compared;

/// Runs it.
///
/// # Errors
/// When a state is unknown, or its objects are not here.
pub fn run(globals: &Globals, ui: &Ui, args: &DiffArgs) -> Result<Exit, Failure> {
    if args.patch && ui.json {
        return Err(Failure::new(Status::Usage, "--patch is for people, --json for programs")
            .next("gitroll diff --json", "without the lines")
            .next("gitroll diff --patch", "the lines"));
    }
    let reader = Reader::open(globals, ui, args.environment.as_deref())?;
    let Compared { from, to, config, held, keys, warnings } =
        states::find(globals, ui, &reader, args)?;
    let component =
        args.component.as_deref().map(|name| component(config.as_ref(), name)).transpose()?;
    let question = Question { from, to, config: config.as_ref(), component, held: &held, keys };
    let mut diff = compare(&reader.git, question).map_err(states::missing)?;
    diff.warnings.splice(0..0, warnings);
    if args.a.is_none() && args.component.is_none() && reader.binding.is_some() {
        diff.seen_now = seen_now(globals, ui);
    }
    if args.patch {
        return patch::show(ui, &reader.git, &diff, component);
    }
    let form = if args.markdown { Form::Markdown } else { Form::Text(&ui.out) };
    let page = if args.since_good { page::short(&diff, form) } else { page::whole(&diff, form) };
    for line in page {
        ui.line(&line);
    }
    if !args.since_good && !args.markdown && !diff.same {
        ui.line(
            "  next     gitroll diff --patch        the changed lines, with the same arguments",
        );
        ui.line("           gitroll diff --since-good   at most 20 lines, for a chat");
    }
    ui.document("diff", 0, &diff);
    Ok(Exit::Done)
}

/// What the diagnosis of what serves says of the fault: it may lie in what the two states share.
fn seen_now(globals: &Globals, ui: &Ui) -> Vec<String> {
    let found = Session::look(globals, ui).and_then(|session| diagnosis::look(&session));
    let found = found.ok().filter(|found| matches!(found.health, Health::Failing | Health::Down));
    found
        .map(|found| found.why.into_iter().take(1).chain(found.notes).collect())
        .unwrap_or_default()
}

fn component<'a>(config: Option<&'a Config>, name: &str) -> Result<&'a Component, Failure> {
    let components = config.map_or(&[][..], |config| &config.components[..]);
    if let Some(component) = components.iter().find(|c| c.id.as_str() == name) {
        return Ok(component);
    }
    let known: Vec<String> = components.iter().map(|c| c.id.to_string()).collect();
    let failure = Failure::unchanged(format!("there is no component {:?}", escape(name)));
    Err(match nearest(name, &known) {
        Some(near) => failure.next(format!("gitroll diff --component {near}"), "the nearest name"),
        None if known.is_empty() => failure.detail("gitroll.toml declares no component"),
        None => failure.detail(format!("there are {}", known.join(", "))),
    })
}
