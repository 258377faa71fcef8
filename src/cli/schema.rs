//! The schemas of the JSON answers, made from the types that are printed.

use schemars::{Schema, schema_for};

use super::{
    advise, apps, caller, check, completions, component, config, demo, doctor, eject, failure,
    flags, help, hooks, init, log, mark, point, promote, saved, service, settings, show, status,
    targets,
};
use crate::act::outcome::ChangeAnswer;
use crate::act::ramp::RampAnswer;
use crate::model::{Evidence, Plan};
use crate::report::diff::Diff;

/// What every answer is wrapped in. Exactly one of `result` and `error` is there.
#[derive(serde::Serialize, schemars::JsonSchema)]
#[schemars(rename = "Envelope", deny_unknown_fields)]
struct Envelope {
    /// Version of the answers: 1. A field may be added within a version; none is removed or changes.
    gitroll: u32,
    /// The command, e.g. `back`.
    command: String,
    /// The exit code of the process.
    exit: u8,
    /// The command's answer: see the schema of that name.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<serde_json::Value>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<failure::Failure>,
}

/// Every answer by the name of its schema file in `docs/schema`, without the extension.
pub fn all() -> Vec<(&'static str, Schema)> {
    vec![
        ("advise", schema_for!(advise::AdviseAnswer)),
        ("apps", schema_for!(apps::AppsAnswer)),
        ("change", schema_for!(ChangeAnswer)),
        ("approve", schema_for!(crate::act::approvals::ApproveAnswer)),
        ("check", schema_for!(check::CheckAnswer)),
        ("completions", schema_for!(completions::CompletionsAnswer)),
        ("components", schema_for!(component::ComponentsAnswer)),
        ("config", schema_for!(config::ConfigAnswer)),
        ("demo", schema_for!(demo::DemoAnswer)),
        ("diff", schema_for!(Diff)),
        ("doctor", schema_for!(doctor::DoctorAnswer)),
        ("eject", schema_for!(eject::EjectAnswer)),
        ("envelope", schema_for!(Envelope)),
        ("error", schema_for!(failure::Failure)),
        ("evidence", schema_for!(Evidence)),
        ("flags", schema_for!(flags::FlagsAnswer)),
        ("help", schema_for!(help::HelpAnswer)),
        ("hooks", schema_for!(hooks::HooksAnswer)),
        ("incident", schema_for!(crate::act::incident::IncidentAnswer)),
        ("init", schema_for!(init::InitAnswer)),
        ("log", schema_for!(log::LogAnswer)),
        ("log-line", schema_for!(log::RecordEvent)),
        ("logs", schema_for!(crate::act::logs::LogsAnswer)),
        ("migrate", schema_for!(crate::act::migrate::MigrateStatus)),
        ("notify", schema_for!(crate::act::notify::NotifyAnswer)),
        ("notify-message", schema_for!(crate::tell::Message)),
        ("plan", schema_for!(Plan)),
        ("point", schema_for!(point::PointAnswer)),
        ("progress", schema_for!(caller::ProgressEvent)),
        ("promote", schema_for!(promote::PromoteAnswer)),
        ("ramp", schema_for!(RampAnswer)),
        ("report", schema_for!(crate::report::incident::Report)),
        ("saved", schema_for!(saved::SavedAnswer)),
        ("stats", schema_for!(super::stats::StatsAnswer)),
        ("fsck", schema_for!(crate::act::fsck::FsckReport)),
        ("sync", schema_for!(crate::act::sync::SyncReport)),
        ("trust", schema_for!(super::trust::TrustAnswer)),
        ("service", schema_for!(service::ServiceAnswer)),
        ("settings", schema_for!(settings::SettingsAnswer)),
        ("silence", schema_for!(crate::act::incident::SilenceAnswer)),
        ("show", schema_for!(show::ShowAnswer)),
        ("show-attempt", schema_for!(show::ShowAttemptAnswer)),
        ("stated", schema_for!(mark::StatedAnswer)),
        ("status", schema_for!(status::StatusAnswer)),
        ("targets", schema_for!(targets::TargetsAnswer)),
        ("watch", schema_for!(crate::act::incident::WatchAnswer)),
    ]
}
