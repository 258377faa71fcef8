//! The commands of the team's own in a plan: which of them are its steps, and whether what they name is there.

use std::fmt;
use std::path::{Path, PathBuf};

use super::error::PlanError;
use super::facts::Facts;
use super::problem::Problem;
use crate::config::Config;
use crate::model::{Event, HookMoment, HookStep, Oid, Plan, RepoPath, Step, TreeMode};
use crate::site::Site;
use crate::system::process;

/// The accepted configuration's commands that are steps of a plan, and what a person should know of them.
#[derive(Debug, Default)]
pub(super) struct Hooked {
    before: Vec<Step>,
    after: Vec<Step>,
    pub(super) warnings: Vec<String>,
}

impl Hooked {
    /// Puts them among the other steps: what comes before is the last of what is prepared, what comes after follows
    /// the tree, before any service is reloaded.
    pub(super) fn among(self, mut steps: Vec<Step>) -> Vec<Step> {
        let head = steps.iter().position(|step| matches!(step, Step::Head { .. }));
        let after = head.map_or(steps.len(), |head| head + 1);
        steps.splice(after..after, self.after);
        let prepares = |step: &Step| matches!(step, Step::Stage { .. } | Step::Build(_));
        let before = steps.iter().position(|step| !prepares(step)).unwrap_or(0);
        steps.splice(before..before, self.before);
        steps
    }
}

/// The commands of the accepted configuration for an act, never those of what is put in place. In an emergency
/// nothing of the team's own stands in the way. What is not there in the target is left out where the target
/// could not be put in place otherwise: on every way back, and where it names the command no more.
///
/// # Errors
/// When the repository cannot be read.
pub(super) fn of(
    site: &Site,
    facts: &Facts,
    (event, emergency): (&Event, bool),
    config: &Config,
    to: &Oid,
) -> Result<Hooked, PlanError> {
    let accepted = &facts.accepted.config.hooks;
    let deploys = *event == Event::Deploy;
    let mut hooked = Hooked::default();
    let mut before = if deploys { accepted.at(HookMoment::BeforeDeploy) } else { Vec::new() };
    let mut after = accepted.at(HookMoment::AfterActivate);
    if emergency && !(before.is_empty() && after.is_empty()) {
        let left: Vec<String> =
            before.drain(..).chain(after.drain(..)).map(|h| h.label()).collect();
        hooked.warnings.push(format!("emergency: not run: {}", left.join(", ")));
    }
    for hook in after {
        let named = config.hooks.commands.get(&hook.moment).is_some_and(|c| c.contains(&hook.run));
        match fault(site, facts, to, &hook)? {
            Some(fault) if !(deploys && named) => {
                hooked.warnings.push(format!("{} is not run: {}", hook.label(), fault));
            }
            _ => hooked.after.push(Step::Hook(Box::new(hook))),
        }
    }
    hooked.before = before.into_iter().map(Box::new).map(Step::Hook).collect();
    if deploys && config.hooks.commands != accepted.commands {
        let text = "[hooks] of this revision are others: they count from the next run on";
        hooked.warnings.push(text.to_owned());
    }
    Ok(hooked)
}

/// What would make a command fail for certain. A way back is not barred by what comes when it is over: that is a
/// warning.
pub(super) fn check(
    site: &Site,
    facts: &Facts,
    config: &Config,
    plan: &mut Plan,
    problems: &mut Vec<Problem>,
) {
    let steps = plan.steps.iter().filter_map(|step| match step {
        Step::Hook(hook) => Some((**hook).clone()),
        _ => None,
    });
    let accepted = &facts.accepted.config.hooks;
    let back = (plan.event == Event::Back).then_some(HookMoment::AfterBack);
    let later = [HookMoment::AfterProven, HookMoment::OnFailed].into_iter().chain(back);
    let later = later.flat_map(|moment| accepted.at(moment));
    for hook in steps.chain(later).collect::<Vec<_>>() {
        // What cannot be read was told by what reads it first.
        let Ok(Some(fault)) = fault(site, facts, &plan.to.commit, &hook) else { continue };
        let what = format!("{}: {fault}", hook.label());
        let is_step = matches!(hook.moment, HookMoment::BeforeDeploy | HookMoment::AfterActivate);
        let named = config.hooks.commands.get(&hook.moment).is_some_and(|c| c.contains(&hook.run));
        if is_step || (plan.event == Event::Deploy && named) {
            problems.push(Problem::new(what, fault.hint()));
        } else {
            plan.warnings.push(what);
        }
    }
}

/// Why a program cannot be run.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{0} was not found")]
    Unknown(String),
    #[error("{0} is not there{1}")]
    Missing(String, Place),
    #[error("{0} is not executable{1}")]
    Plain(String, Place),
}

/// Where a program was looked for.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    Host,
    /// The tree as it lies there.
    Live,
    Target,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Place::Target { " in the target" } else { "" })
    }
}

impl Fault {
    fn hint(&self) -> String {
        match self {
            Fault::Unknown(program) => {
                format!("install {program}, then gitroll init to note where it is")
            }
            Fault::Missing(path, _) => {
                format!("commit {path}, or take it out of [hooks] in gitroll.toml")
            }
            Fault::Plain(path, Place::Target) => {
                format!("git update-index --chmod=+x {path}, then commit it")
            }
            Fault::Plain(path, _) => format!("chmod +x {path}"),
        }
    }
}

/// What is wrong with a command's program, where and when it will be run.
fn fault(
    site: &Site,
    facts: &Facts,
    to: &Oid,
    hook: &HookStep,
) -> Result<Option<Fault>, PlanError> {
    let Some(program) = hook.run.first() else { return Ok(None) };
    let on_host = program.starts_with('/') || !program.contains('/');
    if on_host {
        let found = process::find_program(Path::new(program), &site.binding.path_variable);
        return Ok(found.is_none().then(|| match Path::new(program).is_file() {
            true => Fault::Plain(program.clone(), Place::Host),
            false => Fault::Unknown(program.clone()),
        }));
    }
    let plain = program.strip_prefix("./").unwrap_or(program);
    let runs_on_target = !matches!(hook.moment, HookMoment::BeforeDeploy | HookMoment::OnFailed);
    if let (true, Ok(path)) = (runs_on_target, RepoPath::new(plain)) {
        if let Some(entry) = site.git.entry(to, &path)? {
            let fault = (entry.mode == TreeMode::File)
                .then(|| Fault::Plain(plain.to_owned(), Place::Target));
            return Ok(fault);
        }
        // What the target would take away; else it is no file of git, or is made by a build.
        if site.git.entry(&facts.head.commit, &path)?.is_some() {
            return Ok(Some(Fault::Missing(plain.to_owned(), Place::Target)));
        }
        let outputs = facts.outputs(site, &facts.accepted.config.build, &[to])?;
        if outputs.iter().any(|output| path.starts_with(output)) {
            return Ok(None);
        }
    }
    let file: PathBuf = site.top().join(plain);
    if !file.is_file() {
        return Ok(Some(Fault::Missing(plain.to_owned(), Place::Live)));
    }
    let found = process::find_program(&file, &site.binding.path_variable);
    Ok(found.is_none().then(|| Fault::Plain(plain.to_owned(), Place::Live)))
}
