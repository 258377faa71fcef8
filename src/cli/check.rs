//! `gitroll check`

use std::time::Duration;

use clap::{Args, ValueEnum};
use schemars::JsonSchema;
use serde::Serialize;

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use super::reader;
use super::session::Session;
use super::status::never_started;
use crate::act::diagnosis;
use crate::check::{self, Expectation, Proof};
use crate::config::{Check, CheckGroup, CheckKind, Prove, Selection};
use crate::diagnosis::Diagnosis;
use crate::engine::Run;
use crate::model::{CheckEvidence, Served, ServiceEvidence};
use crate::plan::facts::Facts;
use crate::site::{Observed, Site, expectation, observe_services};
use crate::ui::{Ui, escape};

/// Run every check against what serves now, without reloading anything
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll check || gitroll back     on the terminal
  gitroll check --quiet             for a cron job: exit 1 if not healthy")]
pub struct CheckArgs {
    /// Which checks to run
    #[arg(long, value_name = "GROUP", default_value = "all")]
    pub group: Asked,
}

/// Which checks are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Asked {
    /// Checks of group quick
    Quick,
    /// Checks of group full
    Full,
    /// All checks, as a deployment does
    All,
}

/// The answer of `check`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CheckAnswer {
    /// What should serve.
    pub serving: Served,
    /// Whether it was observed serving.
    pub healthy: bool,
    /// Every check.
    pub checks: Vec<CheckEvidence>,
    /// Every service.
    pub services: Vec<ServiceEvidence>,
    /// What is wrong.
    pub failures: Vec<String>,
    /// What is checked out by hand, where no process was ever started on it: `serving` is what was started before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub never_started: Option<Served>,
    /// Why nothing could show whether the app answers, or in which version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weak: Option<String>,
    /// Why it is not well, and what to type; absent where it was observed serving.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<Diagnosis>,
}

/// Runs it. Exits 1 when what serves is not healthy.
///
/// # Errors
/// When the repository or the own chain cannot be read.
pub fn run(globals: &Globals, ui: &Ui, args: &CheckArgs) -> Result<Exit, Failure> {
    let session = Session::look(globals, ui)?;
    let open = reader::mention_open_run(&session.site, ui);
    let facts = session.facts()?;
    let site = &session.site;
    let config = &facts.accepted.config;
    let deployment = facts.deployment(site);
    let all = expectation(site, config, &facts.serving, &deployment, None);
    let must = facts.listened(site, &facts.serving.commit, config);
    let listens = all.listens.clone().and(&must);
    let expectation = Expectation { only: args.group.into(), listens, ..all };
    let mut tell = |_: &str| {};
    let mut observe = || observe_services(site, config, &facts.serving, &deployment);
    let checks = at_once(&config.checks);
    let mut proof = check::prove(&checks, &expectation, &mut observe, &mut tell);
    doubt(&facts, site, &mut proof)?;
    for check in &proof.checks {
        if let Some(why) = &check.skipped {
            ui.line(&format!("- {}  not run: {}", check.check, escape(why)));
            continue;
        }
        let sign = if check.passed { ui.out.ok() } else { ui.out.bad() };
        ui.line(&format!(
            "{sign} {} {}/{}  {}  {} ms",
            check.check,
            check.passes,
            check.wanted,
            escape(&check.last.answer),
            check.last.millis
        ));
    }
    for service in &proof.services {
        let pids: Vec<String> = service.pids.iter().map(u32::to_string).collect();
        ui.line(&format!("  {} {}  {}", service.service, escape(&service.state), pids.join(" ")));
    }
    session.warn_of_other_config(&facts);
    let exit = if proof.proven { Exit::Done } else { Exit::Unchanged };
    let runs: Vec<Run> = open.into_iter().collect();
    let diagnosis = match proof.proven {
        true => None,
        false => {
            let mut observed = Observed::now(site, config, &facts.serving, &deployment);
            if observed.healthy() {
                // What held at this moment did not hold as long as it has to.
                observed.checks.clone_from(&proof.checks);
            }
            Some(diagnosis::of(&session, &facts, &observed, &runs)?)
        }
    };
    let answer = CheckAnswer {
        serving: facts.serving.clone(),
        healthy: proof.proven,
        checks: proof.checks,
        services: proof.services,
        failures: proof.failures,
        never_started: facts.never_started().filter(|_| runs.is_empty()).cloned(),
        weak: proof.weak,
        diagnosis,
    };
    if proof.proven {
        ui.line(&match &answer.weak {
            None => format!("{} {} observed serving", ui.out.ok(), answer.serving),
            Some(why) => {
                format!("{} {} weak: up, but {}", ui.out.yellow("!"), answer.serving, escape(why))
            }
        });
    } else {
        for failure in &answer.failures {
            ui.cry(&format!("{} {}", ui.err.bad(), escape(failure)));
        }
        if let Some(diagnosis) = &answer.diagnosis {
            super::diagnosis::cry(ui, diagnosis, facts.now);
        }
    }
    if let Some(head) = &answer.never_started {
        ui.line(&format!("{} {}", ui.out.yellow("!"), never_started(head)));
        ui.line(&format!("  next     gitroll deploy {}    starts it", head.commit.short()));
    }
    ui.document("check", exit.code(), &answer);
    Ok(exit)
}

/// What passes all checks may not be the version that should serve: then it is not proven, or weakly where that is
/// enough.
fn doubt(facts: &Facts, site: &Site, proof: &mut Proof) -> Result<(), Failure> {
    if !proof.proven {
        return Ok(());
    }
    let told = proof.checks.iter().any(|check| check.told_version);
    let weak = facts.accepted.config.app.prove == Prove::Weak;
    let look = proof.last_look.iter().map(|(name, state)| (name.clone(), Ok(state.clone())));
    let vouched = facts.vouched(site, &look.collect::<Vec<_>>())?;
    if let Some(why) = vouched.doubt(told, weak) {
        proof.proven = false;
        proof.failures.push(why.to_owned());
    } else if let Some(why) = vouched.doubt(told, false) {
        proof.weak.get_or_insert_with(|| format!("nothing shows which version answers: {why}"));
    } else if let Some(why) = facts.weakness(site, told)? {
        proof.weak.get_or_insert(why);
    }
    Ok(())
}

/// The checks without patience for an app that is still starting: nothing was reloaded.
fn at_once(checks: &[Check]) -> Vec<Check> {
    const MARGIN: Duration = Duration::from_secs(2);
    checks
        .iter()
        .map(|check| Check {
            timeout: check.timeout.min(check.settle + request_time(check) + MARGIN),
            ..check.clone()
        })
        .collect()
}

impl From<Asked> for Selection {
    fn from(asked: Asked) -> Self {
        match asked {
            Asked::Quick => Selection::Group(CheckGroup::Quick),
            Asked::Full => Selection::Group(CheckGroup::Full),
            Asked::All => Selection::All,
        }
    }
}

fn request_time(check: &Check) -> Duration {
    match &check.kind {
        // A command and a metric take the time they take, whether anything was started or not.
        CheckKind::Command(_) | CheckKind::Metric(_) => check.answer_limit(),
        _ => check.answer_limit().min(Duration::from_secs(2)),
    }
}
