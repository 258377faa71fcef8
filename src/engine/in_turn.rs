//! Between two instances of a service that are reloaded one after the other.

use std::time::{Duration, Instant};

use super::run::Run;
use crate::check;
use crate::config::{Check, CheckGroup, CheckKind, Config, Selection};
use crate::model::{CheckEvidence, CheckName};
use crate::system::signals::Until;

/// From one question to the next.
const PAUSE: Duration = Duration::from_millis(250);

/// Whether no check fails that passed before the run. Which version answers does not matter: the other
/// instances are of the version before. Nor is it asked what shows a flag: that is about all of them and other
/// services, too. A check that fails is asked again as long as its `timeout` allows,
/// since an instance that was just started may not listen yet.
pub(super) fn no_check_fails(config: &Config, run: &Run, settled: &str) -> Result<(), String> {
    let failed_before = |name: &CheckName| {
        run.baseline().iter().any(|before| before.check == *name && before.failed())
    };
    // What is asked of the host itself says nothing about one instance.
    let over_the_network = |check: &Check| {
        matches!(check.kind, CheckKind::Http(_) | CheckKind::Tcp(_) | CheckKind::Metric(_))
    };
    let of_a_flag = |check: &Check| {
        run.plan.flags().any(|change| super::flags::question_name(&change.name) == check.name)
    };
    let mut checks = Selection::Group(CheckGroup::Quick).of(&config.checks);
    checks.retain(|check| {
        over_the_network(check) && !failed_before(&check.name) && !of_a_flag(check)
    });
    let begun = Instant::now();
    while !checks.is_empty() && !Until::Stopped.reached() {
        let failing: Vec<(CheckName, String)> = check::look(&checks, None)
            .into_iter()
            .filter(CheckEvidence::failed)
            .map(|evidence| (evidence.check, evidence.last.answer))
            .collect();
        checks.retain(|check| failing.iter().any(|(name, _)| *name == check.name));
        let late = checks.iter().find(|check| begun.elapsed() >= check.timeout);
        if let Some((name, answer)) =
            failing.iter().find(|(n, _)| late.is_some_and(|l| l.name == *n))
        {
            return Err(format!("with {settled} check {name} fails: {answer}"));
        }
        if !checks.is_empty() {
            std::thread::sleep(PAUSE);
        }
    }
    Ok(())
}
