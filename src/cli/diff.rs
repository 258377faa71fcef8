//! `gitroll diff`

mod page;
mod patch;
mod states;

use clap::Args;

use super::exit::Exit;
use super::failure::{Failure, Status};
use super::globals::Globals;
use super::reader::Reader;
use crate::config::{Component, Config};
use crate::report::diff::{Question, compare};
use crate::system::git::GitError;
use crate::system::text::nearest;
use crate::ui::{Ui, escape};
use page::Form;
use states::Compared;

/// Show what differs between two deployed states, suspects first
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll diff                           what may have broken it, the likeliest first
  gitroll diff --since-good --markdown   20 lines at most, to paste into the channel
  gitroll diff 41 43                     between what two records put in place
  gitroll diff v1.2.0-stable HEAD        between any two tags or commits
  gitroll diff --component QW-001        the files of one component
  gitroll diff --patch                   the lines themselves, in git's pager

Without A it compares from the last good state; without B, to what serves. \
After a rollback or a failed deploy: what serves, with what was left or tried.")]
pub struct DiffArgs {
    /// The state before: record number, tag or commit
    a: Option<String>,
    /// The state since
    b: Option<String>,
    /// At most 20 lines, from the last good state
    #[arg(long, conflicts_with_all = ["a", "patch"])]
    since_good: bool,
    /// Only this component's files
    #[arg(long, value_name = "ID")]
    component: Option<String>,
    /// The changed lines
    #[arg(long, conflicts_with = "markdown")]
    patch: bool,
    /// Markdown
    #[arg(long)]
    markdown: bool,
    /// Another writer's records
    #[arg(long, value_name = "NAME")]
    writer: Option<String>,
    /// Another environment's records
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
}

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
    let mut diff = compare(&reader.git, question).map_err(missing)?;
    diff.warnings.splice(0..0, warnings);
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
            "  next     gitroll diff --patch        the lines themselves, with the same arguments",
        );
        ui.line("           gitroll diff --since-good   20 lines at most, for the channel");
    }
    ui.document("diff", 0, &diff);
    Ok(Exit::Done)
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
        None if known.is_empty() => failure.detail("gitroll.toml declares none"),
        None => failure.detail(format!("there are {}", known.join(", "))),
    })
}

/// An error of git, with the way to the objects where some are not here.
fn missing(error: GitError) -> Failure {
    let objects = matches!(error, GitError::Object { .. });
    let failure = Failure::from(error);
    if objects { states::fetching(failure) } else { failure }
}
