//! `gitroll point`

mod told;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use schemars::JsonSchema;
use serde::Serialize;

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use crate::act::outcome::RecordBrief;
use crate::act::point::{self, CreateRequest, PointTaken, PointView};
use crate::act::points::{self, PointDiff, Pruned, RestoredInto, Trial};
use crate::ui::Ui;

/// Take, list, verify and restore rollback points: copies of data and settings
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll point create --reason 'before the import'     copy what [data] and [settings] declare
  gitroll point list                                    all points, the newest first
  gitroll point verify --all --restore                  restore each into a scratch place and check it
  gitroll point restore p118 data/app --into /tmp/p118  one database, beside the app
  gitroll point key export                              the password: keep it outside this host

Points are stored in the format of restic, outside the app: restic lists, checks and restores them too. \
No command here changes the data of the app.")]
pub struct PointArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Take a point
    Create(CreateArgs),
    /// List all points
    List,
    /// Show one point: what is in it, how the app was doing, who recorded it
    Show(ShowArgs),
    /// Show which files differ between two points
    Diff(DiffArgs),
    /// Read every stored byte of points, or restore them into a scratch place and run their checks
    Verify(VerifyArgs),
    /// Restore a point, or some paths of it, into another directory
    Restore(RestoreArgs),
    /// Remove the points that [points] keep does not keep
    Prune(PruneArgs),
    /// Never prune a point
    Pin(PinArgs),
    /// Let a pinned point be pruned again
    Unpin(PinArgs),
    /// Take a point of one database from a copy that was made elsewhere
    Import(ImportArgs),
    /// Show the password of the points
    #[command(subcommand)]
    Key(KeyAction),
}

#[derive(Debug, Args)]
struct CreateArgs {
    #[command(flatten)]
    described: DescribedArgs,
}

/// What is said of a new point.
#[derive(Debug, Args)]
struct DescribedArgs {
    /// Why, stored in the point and its record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Never prune it
    #[arg(long)]
    pin: bool,
    /// A label; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
}

impl DescribedArgs {
    fn request(&self) -> CreateRequest {
        CreateRequest {
            reason: self.reason.clone(),
            pin: self.pin,
            labels: self.label.iter().cloned().collect::<BTreeMap<_, _>>(),
        }
    }
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// Point, as in `gitroll point list`
    id: String,
    /// List every file in it
    #[arg(long)]
    files: bool,
}

#[derive(Debug, Args)]
struct DiffArgs {
    /// Point
    id: String,
    /// Another point [default: the newest]
    other: Option<String>,
}

#[derive(Debug, Args)]
struct VerifyArgs {
    /// Points
    #[arg(required_unless_present = "all")]
    ids: Vec<String>,
    /// All points
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// Restore into a scratch place and run the checks: a backup that was never restored is a guess
    #[arg(long)]
    restore: bool,
}

#[derive(Debug, Args)]
struct RestoreArgs {
    /// Point
    id: String,
    /// Paths in the point; all of it where left out
    paths: Vec<String>,
    /// Directory to restore into: new or empty, and no part of the app
    #[arg(long, value_name = "DIR")]
    into: PathBuf,
}

#[derive(Debug, Args)]
struct PruneArgs {
    /// Show what would be removed and stop
    #[arg(long)]
    plan: bool,
}

#[derive(Debug, Args)]
struct PinArgs {
    /// Point
    id: String,
}

#[derive(Debug, Args)]
struct ImportArgs {
    /// NAME of a [data.NAME] whose engine is sqlite or postgres
    #[arg(long, value_name = "NAME")]
    data: String,
    /// A SQLite database, or an archive of pg_dump -Fc
    file: PathBuf,
    #[command(flatten)]
    described: DescribedArgs,
}

#[derive(Debug, Subcommand)]
enum KeyAction {
    /// Show the password once, to be kept outside this host
    Export(ExportArgs),
}

#[derive(Debug, Args)]
struct ExportArgs {
    /// Show it although it was shown before
    #[arg(long)]
    again: bool,
}

impl PointArgs {
    /// Whether nothing is written for good.
    pub fn only_looks(&self) -> bool {
        match &self.action {
            Action::List | Action::Show(_) | Action::Diff(_) => true,
            Action::Prune(args) => args.plan,
            _ => false,
        }
    }
}

/// The answer of `point`: each subcommand fills its own fields.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct PointAnswer {
    /// `list`: all points, the newest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub points: Option<Vec<PointView>>,
    /// `create`, `import`, `show`, `pin`, `unpin`: the point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub point: Option<PointView>,
    /// `create`, `import`, `show`: its record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<RecordBrief>,
    /// `show`: whether the record states what is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_recorded: Option<bool>,
    /// `show --files`: every file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<PointFile>>,
    /// `verify`: what came of each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trials: Option<Vec<Trial>>,
    /// `prune`: what goes and what stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pruned: Option<Pruned>,
    /// `restore`: what was restored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored: Option<RestoredInto>,
    /// `diff`: the two points and their differences.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<PointDiff>,
    /// `key export`: the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// A file in a point.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PointFile {
    /// Its path in the point.
    pub path: String,
    /// Its bytes.
    pub bytes: u64,
}

/// Exits 1 if a point that was taken or tried is not good.
pub fn run(globals: &Globals, ui: &Ui, args: &PointArgs) -> Result<Exit, Failure> {
    let caller = globals.caller(ui);
    let (answer, exit) = match &args.action {
        Action::Create(args) => taken(ui, point::create(&caller, &args.described.request())?),
        Action::Import(args) => {
            let request = args.described.request();
            taken(ui, point::import(&caller, &args.data, &args.file, &request)?)
        }
        Action::List => {
            let mut points = points::list(&caller)?;
            points.reverse();
            told::list(ui, &points);
            (PointAnswer { points: Some(points), ..PointAnswer::default() }, Exit::Done)
        }
        Action::Show(args) => {
            let shown = points::show(&caller, &args.id, args.files)?;
            told::show(ui, &shown);
            let files = shown.files.into_iter().map(|(path, bytes)| PointFile { path, bytes });
            let answer = PointAnswer {
                point: Some(shown.point),
                record: shown.record,
                as_recorded: shown.as_recorded,
                files: args.files.then(|| files.collect()),
                ..PointAnswer::default()
            };
            (answer, Exit::Done)
        }
        Action::Diff(args) => {
            let diff = points::diff(&caller, &args.id, args.other.as_deref())?;
            told::diff(ui, &diff);
            (PointAnswer { diff: Some(diff), ..PointAnswer::default() }, Exit::Done)
        }
        Action::Verify(args) => {
            let trials = points::verify(&caller, &args.ids, args.restore, |trial| {
                told::trial(ui, trial);
            })?;
            let good = trials.iter().all(|trial| trial.problems.is_empty());
            let exit = if good { Exit::Done } else { Exit::Unchanged };
            (PointAnswer { trials: Some(trials), ..PointAnswer::default() }, exit)
        }
        Action::Restore(args) => {
            let restored = points::restore_into(&caller, &args.id, &args.paths, &args.into)?;
            told::restored(ui, &restored);
            (PointAnswer { restored: Some(restored), ..PointAnswer::default() }, Exit::Done)
        }
        Action::Prune(args) => {
            let pruned = points::prune(&caller, args.plan)?;
            told::pruned(ui, &pruned, args.plan);
            (PointAnswer { pruned: Some(pruned), ..PointAnswer::default() }, Exit::Done)
        }
        Action::Pin(args) => pinned(ui, points::pin(&caller, &args.id, true)?),
        Action::Unpin(args) => pinned(ui, points::pin(&caller, &args.id, false)?),
        Action::Key(KeyAction::Export(args)) => {
            let password = points::export_key(&caller, args.again)?;
            ui.line(&password);
            ui.say("keep it outside this host: without it nobody can read the points");
            (PointAnswer { password: Some(password), ..PointAnswer::default() }, Exit::Done)
        }
    };
    ui.document("point", exit.code(), &answer);
    Ok(exit)
}

fn taken(ui: &Ui, taken: PointTaken) -> (PointAnswer, Exit) {
    told::taken(ui, &taken);
    let exit = if taken.point.sound { Exit::Done } else { Exit::Unchanged };
    let answer = PointAnswer {
        point: Some(taken.point),
        record: Some(taken.record),
        ..PointAnswer::default()
    };
    (answer, exit)
}

fn pinned(ui: &Ui, point: PointView) -> (PointAnswer, Exit) {
    let what = if point.pinned { "is kept for ever" } else { "may be pruned" };
    ui.line(&format!("{} {} {what}", ui.out.ok(), point.manifest.id));
    (PointAnswer { point: Some(point), ..PointAnswer::default() }, Exit::Done)
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}
