//! `gitroll saved`

use clap::{Args, Subcommand};
use schemars::JsonSchema;
use serde::Serialize;

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use crate::act::caller::{Caller, Notice};
use crate::act::saved::{
    KeptData, Place, RestoredFiles, SavedFile, SavedFiles, WhatToRemove, forced, kept_data,
    open_run, remove_kept, restore, saved,
};
use crate::model::RepoPath;
use crate::system::clock;
use crate::system::text::{bytes, clock_word};
use crate::ui::{Ui, escape};

/// How many files of a run are shown to a person.
const SHOWN: usize = 20;

/// List what gitroll saved and what rollbacks of data replaced; restore files, remove data
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll saved                                        list saved files
  gitroll saved restore 43                             everything that the run of record #43 saved
  gitroll saved restore 20260102-030405-k3f9 uploads   one directory
  gitroll saved restore 43 data/app.db --force         also where another file is, which is saved first
  gitroll saved remove 43                              the data that the rollback of record #43 replaced

Restoring never overwrites a file: with --force it saves what is there first. gitroll keeps saved files for \
`[retention] saved`, at least 30 days, and warns twice before it removes them. No run removes data that a rollback replaced.")]
pub struct SavedArgs {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Restore saved files to where they were
    Restore(RestoreArgs),
    /// Remove data that a rollback replaced, for good
    Remove(RemoveArgs),
}

#[derive(Debug, Args)]
struct RemoveArgs {
    /// Run, as `gitroll saved` names it, or the number of its record
    #[arg(required_unless_present = "expired")]
    id: Option<String>,
    /// Everything that is older than [retention] data
    #[arg(long, conflicts_with = "id")]
    expired: bool,
    /// Skip the confirmation prompt
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, Args)]
struct RestoreArgs {
    /// Run, as `gitroll saved` names it, or the number of its record
    id: String,
    /// Files and directories; all of them where left out
    paths: Vec<String>,
    /// Restore also where different content is now, after saving that content
    #[arg(long)]
    force: bool,
}

impl SavedArgs {
    /// Whether nothing is brought back.
    pub fn only_looks(&self) -> bool {
        self.action.is_none()
    }
}

/// The answer of `saved`.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct SavedAnswer {
    /// What is saved, the oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saved: Option<Vec<SavedFiles>>,
    /// What was restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored: Option<RestoredFiles>,
    /// The data that rollbacks replaced and keep, the oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Vec<KeptData>>,
    /// The data that was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed: Option<Vec<KeptData>>,
}

/// # Errors
/// When the files cannot be read, or nothing could be brought back.
pub fn run(globals: &Globals, ui: &Ui, args: &SavedArgs) -> Result<Exit, Failure> {
    let caller = globals.caller(ui);
    let answer = match &args.action {
        None => {
            let sets = saved(&caller)?;
            let data = kept_data(&caller)?;
            let open = open_run(&caller);
            if let Some((what, steps)) = &open {
                ui.say(&format!("a run is open: {}: finish it first", escape(what)));
                for (command, what) in steps {
                    caller.tell(Notice::MoreNext(command.clone(), what.clone()));
                }
            }
            if sets.is_empty() && data.is_empty() {
                ui.say("there are no saved files and no replaced data");
            }
            print_sets(ui, &caller, &sets, open.is_some());
            print_kept(ui, &caller, &data);
            SavedAnswer { saved: Some(sets), data: Some(data), ..SavedAnswer::default() }
        }
        Some(Action::Restore(RestoreArgs { id, paths, force })) => {
            let restored = restore(&caller, id, paths, *force)?;
            print_restored(ui, &caller, &restored, paths);
            SavedAnswer { restored: Some(restored), ..SavedAnswer::default() }
        }
        Some(Action::Remove(RemoveArgs { id, yes, .. })) => {
            let what = id.clone().map_or(WhatToRemove::Expired, WhatToRemove::Of);
            let removed = remove_kept(&caller, &what, *yes)?;
            for place in removed.iter().flat_map(|one| &one.places) {
                let (sign, what) = (ui.out.ok(), escape(&place.place));
                ui.line(&format!("{sign} removed {what}, {}", bytes(place.bytes)));
            }
            if removed.is_empty() {
                ui.say("nothing is older than [retention] data");
            }
            SavedAnswer { removed: Some(removed), ..SavedAnswer::default() }
        }
    };
    ui.document("saved", 0, &answer);
    Ok(Exit::Done)
}

fn print_sets(ui: &Ui, caller: &Caller, sets: &[SavedFiles], open: bool) {
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
    if let Some(set) = sets.last().filter(|_| !open) {
        let command = format!("gitroll saved restore {}", set.id);
        if set.files.iter().any(|file| file.place != Place::Taken) {
            caller.tell(Notice::Next(&command, "restores every file whose path is free"));
        }
        if set.files.iter().any(|file| file.place == Place::Taken) {
            let what = "saves the present files first, then restores all";
            caller.tell(Notice::MoreNext(format!("{command} --force"), what.to_owned()));
        }
    }
}

fn print_kept(ui: &Ui, caller: &Caller, kept: &[KeptData]) {
    let now = clock::now();
    for one in kept {
        let when = one.when.map(|at| format!("  {}", clock_word(at, now))).unwrap_or_default();
        let by = one.seq.map(|seq| format!("  back #{seq}")).unwrap_or_default();
        let until = match one.expires {
            Some(at) if at <= now => ", expired".to_owned(),
            Some(at) => format!(", until {}", clock_word(at, now)),
            None => String::new(),
        };
        ui.line(&format!("{}{when}{by}  replaced data{until}", one.id));
        for place in &one.places {
            ui.line(&format!("  {}  {}", escape(&place.place), bytes(place.bytes)));
        }
    }
    if let Some(oldest) = kept.first() {
        let command = format!("gitroll saved remove {}", oldest.id);
        caller.tell(Notice::MoreNext(command, "removes it for good".to_owned()));
    }
}

fn print_restored(ui: &Ui, caller: &Caller, set: &RestoredFiles, paths: &[String]) {
    let each = |sign: String, paths: &[RepoPath], what: &str| {
        for path in paths {
            ui.line(format!("{sign} {}  {what}", escape(&path.to_string())).trim_end());
        }
    };
    each(ui.out.ok(), &set.restored, "");
    each(ui.out.ok(), &set.there, "already there");
    each(ui.out.bad(), &set.taken, "still saved: the path is in use");
    if let Some(command) = forced(&set.id, paths).filter(|_| !set.taken.is_empty()) {
        caller.tell(Notice::Next(&command, "saves the present files, then restores these"));
    }
    if let Some(replaced) = &set.replaced {
        let command = format!("gitroll saved restore {replaced} --force");
        caller.tell(Notice::Next(&command, "returns to the files that were there"));
    }
}
