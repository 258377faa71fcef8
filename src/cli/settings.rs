//! `gitroll settings`

use clap::{Args, Subcommand};
use schemars::JsonSchema;
use serde::Serialize;

use super::approve::ApprovalArgs;
use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use crate::act::back::{self, SettingsRequest};
use crate::act::settings::{self, SettingsDiff, SettingsView};
use crate::model::PointId;
use crate::ui::{Ui, escape};

/// Configuration outside the tree: list it, compare it with a point, restore it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll settings list                what [settings.NAME] declares
  gitroll settings diff                keys that differ from the newest point, never values
  gitroll settings back system         the files of the newest good point, proven
  gitroll settings back --to p118      all settings, from one point
  gitroll settings reset system        the defaults in the repository

gitroll keeps what it replaces; `gitroll back --undo` restores it.")]
pub struct SettingsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List what is declared
    List,
    /// Show which files and keys differ from a point
    Diff(DiffArgs),
    /// Restore settings from a point, and prove that the app serves with them
    Back(BackArgs),
    /// Restore the defaults in the repository, and prove that the app serves with them
    Reset(ResetArgs),
}

#[derive(Debug, Args)]
struct DiffArgs {
    /// NAME of a [settings.NAME]; all where left out
    name: Option<String>,
    /// Point [default: the newest that holds them]
    #[arg(long, value_name = "POINT")]
    to: Option<String>,
}

#[derive(Debug, Args)]
struct BackArgs {
    /// NAME of a [settings.NAME]; all where left out
    name: Option<String>,
    /// Point [default: the newest good one]
    #[arg(long, value_name = "POINT")]
    to: Option<String>,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Args)]
struct ResetArgs {
    /// NAME of a [settings.NAME]
    name: String,
    #[command(flatten)]
    common: CommonArgs,
}

#[derive(Debug, Args)]
struct CommonArgs {
    /// Reason, stored in the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Show the plan and stop
    #[arg(long)]
    plan: bool,
    /// Skip the confirmation prompt
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    approvals: ApprovalArgs,
}

impl SettingsArgs {
    /// Whether nothing is changed.
    pub fn only_looks(&self) -> bool {
        match &self.action {
            Action::List | Action::Diff(_) => true,
            Action::Back(args) => args.common.plan,
            Action::Reset(args) => args.common.plan,
        }
    }
}

/// The answer of `settings list` and `settings diff`; `back` and `reset` answer as `gitroll back`.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct SettingsAnswer {
    /// `list`: what is declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<Vec<SettingsView>>,
    /// `diff`: the point.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub point: Option<PointId>,
    /// `diff`: each file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<Vec<SettingsDiff>>,
}

pub fn run(globals: &Globals, ui: &Ui, args: &SettingsArgs) -> Result<Exit, Failure> {
    let caller = globals.caller(ui);
    let request = |name: Option<&String>, to: Option<&String>, defaults, common: &CommonArgs| {
        SettingsRequest {
            name: name.cloned(),
            to: to.cloned(),
            defaults,
            reason: common.reason.clone(),
            approval: common.approvals.options(),
            plan_only: common.plan,
            yes: common.yes,
        }
    };
    let answer = match &args.action {
        Action::List => {
            let all = settings::list(&caller)?;
            list(ui, &all);
            SettingsAnswer { settings: Some(all), ..SettingsAnswer::default() }
        }
        Action::Diff(args) => {
            let (point, files) = settings::diff(&caller, args.name.as_deref(), args.to.as_deref())?;
            diff(ui, &point, &files);
            SettingsAnswer { point: Some(point), files: Some(files), settings: None }
        }
        Action::Back(args) => {
            let request = request(args.name.as_ref(), args.to.as_ref(), false, &args.common);
            return Ok(back::settings(&caller, &request)?.status.into());
        }
        Action::Reset(args) => {
            let request = request(Some(&args.name), None, true, &args.common);
            return Ok(back::settings(&caller, &request)?.status.into());
        }
    };
    ui.document("settings", Exit::Done.code(), &answer);
    Ok(Exit::Done)
}

fn list(ui: &Ui, all: &[SettingsView]) {
    if all.is_empty() {
        ui.line("gitroll.toml declares no [settings.NAME]");
    }
    for one in all {
        let newest = one.newest.as_ref().map_or("in no point".to_owned(), |id| format!("in {id}"));
        ui.line(&format!("{}  {newest}; then {}", one.name, escape(&one.apply)));
        for path in &one.paths {
            let sign = if path.exists { ui.out.ok() } else { ui.out.bad() };
            ui.line(&format!("  {sign} {}", escape(&path.path)));
        }
        if let Some(defaults) = &one.defaults {
            ui.line(&format!("  defaults in {}", escape(defaults)));
        }
    }
}

fn diff(ui: &Ui, point: &PointId, files: &[SettingsDiff]) {
    ui.line(&format!("here, compared with {point}"));
    for file in files {
        let what = match file.state.as_str() {
            "only-here" => "only here",
            "only-in-point" => "only in the point",
            other => other,
        };
        ui.line(&format!("  {what:<9} {}  {}", file.name, escape(&file.path)));
        for key in &file.keys {
            let what = match key.state.as_str() {
                "only-here" => "only here",
                "only-in-point" => "only in the point",
                other => other,
            };
            ui.line(&format!("            {} {what}", escape(&key.key)));
        }
    }
}
