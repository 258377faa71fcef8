//! What serves: its services, checks, configuration and tree.

use super::examination::{Examination, INIT, quoted};
use crate::config::{self, Config, Manager, Prove};
use crate::engine;
use crate::model::{RepoPath, Served};
use crate::plan::facts::Facts;
use crate::plan::preflight;
use crate::plan::preflight::unreadable_logs;
use crate::plan::problem::Problem;
use crate::plan::swaps;
use crate::service::{ServiceError, ServiceState};
use crate::site::{Observed, Site, config_in_tree};
use crate::system::process::is_error;
use crate::system::user::Account;
use crate::system::{files, procs};

/// How many paths are named; more are counted.
const SHOWN: usize = 5;

/// `gitroll.toml` as it is in the tree. `back` goes by the accepted one: this is what comes next.
pub(super) fn configuration(site: &Site, facts: &Facts, found: &mut Examination) {
    let edit = || Some("${EDITOR:-vi} gitroll.toml".to_owned());
    let text = match config_in_tree(site.top()) {
        Ok(Some(text)) => text,
        Ok(None) => {
            let what = "gitroll.toml is not in the tree; using the accepted one";
            found.warning("config", what, Some(INIT.to_owned()));
            return;
        }
        Err(error) => return found.warning("config", format!("gitroll.toml: {error}"), None),
    };
    if let Err(error) = config::parse(&text, "gitroll.toml") {
        let lines: Vec<String> = error
            .problems
            .iter()
            .map(|p| format!("{}:{}:{}: {}", error.file, p.line, p.column, p.message))
            .collect();
        let what =
            format!("deploy would refuse it; back uses the accepted one: {}", lines.join("; "));
        found.warning("config", what, edit());
        return;
    }
    if facts.config_was_changed(site) {
        let what = "gitroll.toml was edited here but not accepted: back uses the accepted one";
        found.warning("config", what, Some(INIT.to_owned()));
    }
    if facts.accepted.config.app.prove == Prove::Weak {
        let what =
            "prove = \"weak\": an old process that keeps answering would be taken for the new one";
        found.warning("config", what, edit());
    }
    found.fine("config", format!("accepted by record #{}", facts.accepted.seq));
}

/// Local edits to tracked files, which the next change saves, and a HEAD that was moved by hand.
pub(super) fn tree(site: &Site, facts: &Facts, found: &mut Examination) {
    // What an open run has put there nobody did by hand, and it is the run that is to be finished first.
    if engine::open_runs(site).is_ok_and(|open| !open.is_empty()) {
        found.fine("tree", "of the open run");
        return;
    }
    if facts.by_hand() {
        let what = format!("{} was checked out by hand and is not recorded", facts.serving);
        found.warning("tree", what, Some("gitroll deploy".to_owned()));
    }
    match site.git.edited(&facts.head.commit) {
        Err(error) => found.problem("tree", error.to_string(), Some("git fsck".to_owned())),
        Ok(edited) => {
            let local = site.local(&facts.accepted.config);
            let lost: Vec<&RepoPath> = edited.iter().filter(|p| !local.matches(p)).collect();
            if let Some(first) = lost.first() {
                let names: Vec<String> = lost.iter().take(SHOWN).map(|p| p.to_string()).collect();
                let more = if lost.len() > SHOWN { ", …" } else { "" };
                let what = format!(
                    "edited here; the next change saves these files unless they are declared local: {}{more}",
                    names.join(", ")
                );
                // A name that begins with a colon would be a pattern of git's.
                let name = std::str::from_utf8(first.as_bytes()).ok();
                let name = name.filter(|name| lost.len() == 1 && !name.starts_with(':'));
                let one = name.and_then(quoted);
                let fix = one.map_or("git diff".to_owned(), |path| format!("git diff -- {path}"));
                found.warning("tree", what, Some(fix));
            }
        }
    }
    swaps(site, facts, found);
    found.fine("tree", "as committed");
}

/// Whether what the builds make could change places with what is there.
fn swaps(site: &Site, facts: &Facts, found: &mut Examination) {
    let mounts = files::mounts_below(site.top()).unwrap_or_default();
    for output in facts.accepted.config.build.iter().flat_map(|group| &group.outputs) {
        match swaps::output(site, output, &mounts) {
            Ok(None) => {}
            Ok(Some(warning)) => found.warning("tree", warning, None),
            Err(problem) => {
                let what = format!("{}: {}", problem.message, problem.hint);
                found.problem(
                    "tree",
                    what,
                    quoted(&output.to_string()).map(|path| format!("findmnt -T {path}")),
                );
            }
        }
    }
}

/// Whether every service is known, runs, from here, as the right user.
pub(super) fn services(
    site: &Site,
    config: &Config,
    serving: &Served,
    observed: &Observed,
    found: &mut Examination,
) {
    let host = site.host(serving, "doctor");
    let run_as = Account::named(&site.binding.run_as).unwrap_or_else(Account::current);
    for service in &config.services {
        let name = service.name.as_str();
        if let Some(problem) = preflight::service(&host, config, service, observed) {
            let missing = observed
                .services
                .iter()
                .any(|(one, state)| one == name && matches!(state, Err(ServiceError::NoTool(_))));
            let edit = "${EDITOR:-vi} gitroll.toml";
            let fix = if missing { INIT } else { edit };
            let fix = problem.command.clone().unwrap_or_else(|| fix.to_owned());
            found.problem("services", told(&problem), Some(fix));
            continue;
        }
        let state = observed.services.iter().find(|(one, _)| one == name).map(|(_, state)| state);
        match state {
            Some(Ok(state)) => {
                // A unit says itself as whom it runs, and its manager may end what is another's.
                let own = !matches!(service.manager, Manager::Systemd { .. });
                standing(Some(&run_as).filter(|_| own), name, state, found);
            }
            Some(Err(error)) => {
                let fix = Some(format!("gitroll service restart {name}"));
                found.problem("services", format!("{name}: {error}"), fix);
            }
            None => {}
        }
    }
    let names: Vec<String> = observed
        .services
        .iter()
        .filter_map(|(name, state)| Some(format!("{name} {}", state.as_ref().ok()?.word)))
        .collect();
    found
        .fine("services", if names.is_empty() { "none declared".into() } else { names.join(", ") });
}

fn standing(run_as: Option<&Account>, name: &str, state: &ServiceState, found: &mut Examination) {
    let theirs: Vec<u32> = state
        .processes
        .iter()
        .map(|process| process.pid)
        .filter(|pid| {
            let owner = run_as.and_then(|_| procs::owner(*pid));
            owner.is_some_and(|owner| run_as.is_some_and(|user| owner != user.uid))
        })
        .collect();
    let restart = format!("gitroll service restart {name}");
    if !theirs.is_empty() {
        let pids: Vec<String> = theirs.iter().map(u32::to_string).collect();
        let pids = pids.join(" ");
        // Its own user cannot end another's processes, nor start beside them on the same port.
        let fix = if Account::current().uid == 0 {
            restart
        } else {
            format!("sudo kill {pids} && gitroll service start {name}")
        };
        let run_as = run_as.map_or("its own", |user| user.name.as_str());
        let what = format!("{name} runs as another user than {run_as} (pid {pids})");
        found.problem("services", what, Some(fix));
    } else if !state.up {
        // What fell over by itself falls over again: another start would heal nothing.
        let error = state.log.iter().rev().find(|line| is_error(line));
        let (fix, why) = match error {
            Some(line) => ("gitroll status".to_owned(), format!(": {line}")),
            None => (format!("gitroll service start {name}"), String::new()),
        };
        found.problem("services", format!("{name} is {}{why}", state.word), Some(fix));
    } else if let Some(stale) = &state.stale {
        found.problem("services", format!("{name} {stale}"), Some(restart));
    }
}

/// Whether the logs can be read that checks ask for after a change.
pub(super) fn logs(
    site: &Site,
    config: &Config,
    serving: &Served,
    observed: &Observed,
    found: &mut Examination,
) {
    for problem in unreadable_logs(site, config, serving, observed, None) {
        found.problem("checks", told(&problem), None);
    }
}

/// Whether the checks pass now, and could tell the target from what serves.
pub(super) fn checks(config: &Config, observed: &Observed, found: &mut Examination) {
    let up = observed.services.iter().all(|(_, state)| state.as_ref().is_ok_and(|s| s.up));
    let down = found.problems().find(|problem| problem.subject == "services");
    let down = down.and_then(|problem| problem.fix.clone());
    for check in observed.checks.iter().filter(|check| check.failed()) {
        // `back` waits for the end of an open run, which may be all that is wrong here.
        let open = found.problems().any(|problem| problem.subject == "runs");
        let fix = match (&found.back_to, up) {
            _ if open => "gitroll resume",
            (_, false) => down.as_deref().unwrap_or("gitroll service start"),
            (Some(_), true) => "gitroll back",
            (None, true) => "gitroll check",
        };
        let what = format!("{} {}", check.check, check.last.answer);
        found.problem("checks", what, Some(fix.to_owned()));
    }
    for stranger in &observed.strangers {
        let fix = stranger.pid.map(|pid| format!("kill {pid}"));
        found.problem("checks", stranger.to_string(), fix);
    }
    let mut problems = Vec::new();
    preflight::witness(config, &mut problems);
    for problem in &problems {
        let fix = Some("${EDITOR:-vi} gitroll.toml".to_owned());
        found.problem("checks", told(problem), fix);
    }
    if config.checks.is_empty() && config.services.iter().all(|s| !by_command(&s.manager)) {
        let what = "no [[check]] in gitroll.toml: gitroll watches processes but no answers";
        found.warning("checks", what, Some("${EDITOR:-vi} gitroll.toml".to_owned()));
    }
    let asked: Vec<_> = observed.checks.iter().filter(|check| check.skipped.is_none()).collect();
    let passed = asked.iter().filter(|check| check.passed).count();
    let later = match observed.checks.len() - asked.len() {
        0 => String::new(),
        more => format!(", {more} only run after a change"),
    };
    found.fine("checks", format!("{passed} of {} pass{later}", asked.len()));
}

fn by_command(manager: &Manager) -> bool {
    matches!(manager, Manager::Command { .. })
}

/// A problem of preflight with its hint in one line.
pub(super) fn told(problem: &Problem) -> String {
    format!("{}: {}", problem.message, problem.hint)
}
