//! `gitroll doctor`

use clap::Args;
use schemars::JsonSchema;
use serde::Serialize;

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use super::session::{self, Session};
use crate::act::diagnosis;
use crate::diagnosis::Diagnosis;
use crate::doctor::{self, Examination, Finding, Level};
use crate::engine;
use crate::model::Served;
use crate::system::{clock, user};
use crate::ui::{Ui, escape, plural};

/// List everything that would make `back` fail, each with the command that fixes it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll doctor                              after init, after work on the host, every week
  gitroll doctor --quiet || mail …            for a cron job: exit 1 if back would fail
  gitroll doctor --json | jq .result.findings

doctor changes nothing. Warnings (!) do not affect the exit code: back still works.")]
pub struct DoctorArgs {}

/// The answer of `doctor`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct DoctorAnswer {
    /// The app; absent where this checkout is not bound.
    pub app: Option<String>,
    /// The environment.
    pub environment: Option<String>,
    /// The writer.
    pub writer: Option<String>,
    /// Whether `gitroll back` would work now, as far as is known.
    pub ready: bool,
    /// What `gitroll back` would take.
    pub back_to: Option<Served>,
    /// Everything that was examined, in the order in which to fix it.
    pub findings: Vec<Finding>,
    /// Why what serves is not healthy, and what to type; absent where nothing was found, or it could not be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<Diagnosis>,
}

/// Runs it. Exits 1 when something would make `back` fail.
///
/// # Errors
/// When the repository is refused.
pub fn run(globals: &Globals, ui: &Ui, _args: &DoctorArgs) -> Result<Exit, Failure> {
    let (git, binding) = session::open_as_it_stands(globals, ui)?;
    let dot = ui.out.dot();
    let bound = binding
        .as_ref()
        .ok()
        .map(|b| (b.app.to_string(), b.environment.to_string(), b.writer.to_string()));
    let place = match &bound {
        Some((app, environment, writer)) => {
            format!("{app} {dot} {environment} {dot} {}", engine::host_name(writer))
        }
        None => escape(&git.top().display().to_string()),
    };
    let found = doctor::examine(git, binding, user::actor());
    let exit = if found.ready() { Exit::Done } else { Exit::Unchanged };
    let diagnosis = diagnosed(globals, ui);
    print(ui, &place, &found, diagnosis.as_ref());
    let (app, environment, writer) = match bound {
        Some((app, environment, writer)) => (Some(app), Some(environment), Some(writer)),
        None => (None, None, None),
    };
    let answer = DoctorAnswer {
        app,
        environment,
        writer,
        ready: found.ready(),
        back_to: found.back_to,
        findings: found.findings,
        diagnosis,
    };
    ui.document("doctor", exit.code(), &answer);
    Ok(exit)
}

/// What is wrong with what serves, where that can be looked at.
fn diagnosed(globals: &Globals, ui: &Ui) -> Option<Diagnosis> {
    let session = Session::look(globals, ui).ok()?;
    diagnosis::look(&session).ok().filter(|found| !found.is_well())
}

fn print(ui: &Ui, place: &str, found: &Examination, diagnosis: Option<&Diagnosis>) {
    let style = &ui.out;
    ui.line(place);
    for finding in &found.findings {
        let sign = match finding.level {
            Level::Fine => style.ok(),
            Level::Warning => style.yellow("!"),
            Level::Problem => style.bad(),
        };
        ui.line(&format!("  {sign} {:<9} {}", finding.subject, escape(&finding.what)));
        if let Some(fix) = &finding.fix {
            ui.line(&format!("              {}", escape(fix)));
        }
    }
    let problems = found.problems().count();
    if problems == 0 {
        let to = found.back_to.as_ref().map(|to| escape(&to.to_string())).unwrap_or_default();
        let Some(diagnosis) = diagnosis else {
            ui.line(&format!("{} gitroll back would go to {to}", style.ok()));
            return;
        };
        // `back` would work, and what serves is not as it should be.
        let sign = style.yellow("!");
        ui.line(&format!("{sign} gitroll back would go to {to}; what serves is not well"));
        return super::diagnosis::tell(ui, diagnosis, clock::now());
    }
    // What does not serve well is what `back` is for: it does not make it fail.
    let ill = |finding: &&Finding| matches!(finding.subject, "services" | "checks");
    let blocking: Vec<&Finding> = found.problems().filter(|problem| !ill(problem)).collect();
    let closing = match (blocking.len(), &found.back_to) {
        (0, Some(to)) => format!("what serves is not healthy; gitroll back would go to {to}"),
        (0, None) => "what serves is not healthy".to_owned(),
        (1, _) => "1 thing would make gitroll back fail".to_owned(),
        (count, _) => format!("{} would make gitroll back fail", plural(count, "thing")),
    };
    ui.line(&format!("{} {} [1]", style.bad(), escape(&closing)));
    if let (true, Some(diagnosis)) = (blocking.is_empty(), diagnosis) {
        return super::diagnosis::tell(ui, diagnosis, clock::now());
    }
    let first = blocking.first().copied().or_else(|| found.problems().next());
    if let Some(fix) = first.and_then(|problem| problem.fix.as_ref()) {
        ui.line(&format!("  next     {}", escape(fix)));
    }
}
