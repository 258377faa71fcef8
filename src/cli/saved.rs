//! `gitroll saved`

use clap::{Args, Subcommand};
use schemars::JsonSchema;
use serde::Serialize;

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use crate::act::caller::{Caller, Notice};
use crate::act::saved::{Place, RestoredFiles, SavedFile, SavedFiles, restore, saved};
use crate::model::RepoPath;
use crate::system::clock;
use crate::system::text::clock_word;
use crate::ui::{Ui, escape};

/// How many files of a run are shown to a person.
const SHOWN: usize = 20;

/// List the files that gitroll saved, or restore them
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll saved                                        list saved files
  gitroll saved restore 43                             everything that the run of record #43 saved
  gitroll saved restore 20260102-030405-k3f9 uploads   one directory

Restoring never overwrites a file. gitroll keeps saved files for \
`[retention] saved`, at least 30 days, and warns twice before it removes them.")]
pub struct SavedArgs {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Restore saved files to where they were
    Restore(RestoreArgs),
}

#[derive(Debug, Args)]
struct RestoreArgs {
    /// Run, as `gitroll saved` names it, or the number of its record
    id: String,
    /// Files and directories; all of them where left out
    paths: Vec<String>,
}

impl SavedArgs {
    /// Whether nothing is brought back.
    pub fn only_looks(&self) -> bool {
        self.action.is_none()
    }
}

/// The answer of `saved`: one of the two.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SavedAnswer {
    /// What is saved, the oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saved: Option<Vec<SavedFiles>>,
    /// What was restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored: Option<RestoredFiles>,
}

/// # Errors
/// When the files cannot be read, or nothing could be brought back.
pub fn run(globals: &Globals, ui: &Ui, args: &SavedArgs) -> Result<Exit, Failure> {
    let caller = globals.caller(ui);
    let answer = match &args.action {
        None => {
            let sets = saved(&caller)?;
            print_sets(ui, &caller, &sets);
            SavedAnswer { saved: Some(sets), restored: None }
        }
        Some(Action::Restore(RestoreArgs { id, paths })) => {
            let restored = restore(&caller, id, paths)?;
            print_restored(ui, &restored);
            SavedAnswer { saved: None, restored: Some(restored) }
        }
    };
    ui.document("saved", 0, &answer);
    Ok(Exit::Done)
}

fn print_sets(ui: &Ui, caller: &Caller, sets: &[SavedFiles]) {
    if sets.is_empty() {
        ui.say("there are no saved files");
    }
    let now = clock::now();
    for set in sets {
        let when = set.when.map(|at| format!("  {}", clock_word(at, now))).unwrap_or_default();
        let by = match (&set.event, set.seq) {
            (Some(event), Some(seq)) => format!("  {event} #{seq}"),
            _ => String::new(),
        };
        ui.line(&format!("{}{when}{by}", set.id));
        for SavedFile { path, bytes, place } in set.files.iter().take(SHOWN) {
            let place = match place {
                Place::Free => "the path is free now",
                Place::Same => "the same content is there now",
                Place::Taken => "different content is there now",
            };
            ui.line(&format!("  {}  {bytes} bytes, {place}", escape(&path.to_string())));
        }
        if set.files.len() > SHOWN {
            ui.line(&format!("  and {} more", set.files.len() - SHOWN));
        }
    }
    if let Some(set) = sets.last() {
        let command = format!("gitroll saved restore {}", set.id);
        caller.tell(Notice::Next(&command, "restores every file whose path is free"));
    }
}

fn print_restored(ui: &Ui, set: &RestoredFiles) {
    let each = |sign: String, paths: &[RepoPath], what: &str| {
        for path in paths {
            ui.line(format!("{sign} {}  {what}", escape(&path.to_string())).trim_end());
        }
    };
    each(ui.out.ok(), &set.restored, "");
    each(ui.out.ok(), &set.there, "already there");
    each(ui.out.bad(), &set.taken, "still saved: the path is in use");
}
