//! Logs that checks and flags ask for and that cannot be read, found before anything is changed.

use super::preflight::Problem;
use crate::check::NoLog;
use crate::config::{self, CheckKind, Config, LogSource, Verify};
use crate::model::{Plan, Served};
use crate::site::{Observed, Site, surroundings};

/// The logs of checks that cannot be read: they would fail the proof, and the proof of the way back. One that is not
/// there yet may come with its service, where that does not run, or where `accepted` does not ask for it.
pub fn unreadable(
    site: &Site,
    config: &Config,
    served: &Served,
    observed: &Observed,
    accepted: Option<&Config>,
) -> Vec<Problem> {
    let around = surroundings(site, config, served, "preflight");
    let known = |source: &LogSource| {
        accepted.is_none_or(|accepted| {
            accepted
                .checks
                .iter()
                .any(|check| matches!(&check.kind, CheckKind::Log(log) if log.source == *source))
        })
    };
    let problem = |check: &config::Check| {
        let CheckKind::Log(log) = &check.kind else { return None };
        let no = around.unreadable(log)?;
        let will_come = !runs(observed, &log.source) || !known(&log.source);
        if !no.lasting && will_come {
            return None;
        }
        Some(told(site, &format!("check {}", check.name), &no))
    };
    config.checks.iter().filter_map(problem).collect()
}

/// The logs that would show what a plan changes flags to and that nobody may read.
pub fn unreadable_by_flags(site: &Site, config: &Config, plan: &Plan) -> Vec<Problem> {
    let around = surroundings(site, config, &plan.to, "preflight");
    let shown = plan.flags().filter_map(|change| {
        let Verify::Ask { kind, .. } = config::verify(config, change)? else { return None };
        let CheckKind::Log(log) = kind.as_ref() else { return None };
        let no = around.unreadable(log).filter(|no| no.lasting)?;
        Some(told(site, &format!("what shows {}", change.name), &no))
    });
    shown.collect()
}

/// Whether what writes a log runs, as far as that is known.
fn runs(observed: &Observed, source: &LogSource) -> bool {
    observed.services.iter().any(|(name, state)| {
        let writes = match source {
            LogSource::Service(service) => name == service.as_str(),
            LogSource::File(_) => true,
        };
        writes && state.as_ref().is_ok_and(|state| state.up)
    })
}

fn told(site: &Site, what: &str, no: &NoLog) -> Problem {
    let hint = if no.lasting {
        format!("let {} read it, or name another log", site.binding.run_as)
    } else {
        "touch it where its writer keeps writing to it, or say optional = true".to_owned()
    };
    Problem::new(format!("{what}: {}", no.why), hint)
}
