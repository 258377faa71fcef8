//! What each step does, and how the way back is gone. Every function here may be interrupted anywhere and
//! called again.

use std::time::{Duration, Instant};

use super::error::StepError;
use super::output::{Effect, KeptOutput};
use super::prove::{changes_unseen, files_of_target, intended, prove, readable};
use super::run::{Run, hidden_flags, release_room};
use super::{cleanup, data, flags, hooks, migrate};
use crate::build::{self, Built};
use crate::check::{self, LogWindow, Proof, log_positions};
use crate::config::{Check, CheckGroup, CheckKind, Config, Selection, Service, dropped};
use crate::layout;
use crate::model::{
    Activation, ArtifactEvidence, CheckEvidence, CheckName, Narration, Narrator, Oid, Plan,
    RepoPath, RunId, Served, ServiceName, Step,
};
use crate::service::{self, Between, ServiceError};
use crate::site::{Site, strays, variables};
use crate::system::git::{Head, RefEdit};
use crate::system::procs::{ProcessId, Ticks};
use crate::system::signals::Until;

/// Does one step other than proving and recording.
pub(super) fn perform(
    site: &Site,
    run: &Run,
    config: &Config,
    step: &Step,
    narrator: &mut Narrator<'_>,
) -> Result<Effect, StepError> {
    let plan = &run.plan;
    match step {
        Step::Stage { commit } => {
            let stage = site.stage(&run.id);
            drop_stage(site, run)?;
            layout::stage(&site.git, commit, &stage)?;
            Ok(Effect::default())
        }
        Step::Build(group) => {
            let extra = variables(&plan.to, run.id.as_str());
            let stage = site.stage(&run.id);
            let (binding, store) = (&site.binding, &site.store);
            let tracked = site.git.entries(&plan.to.commit)?;
            let stage = (stage.as_path(), tracked.as_slice());
            let mut kept = KeptOutput::of(site, &run.id, &step.label());
            // What is carried the build itself takes out; the app has other secrets.
            let redactor = site.redactor(config).and(hidden_flags(site, &run.id).redactor());
            let mut told = |line: &str| {
                let line = redactor.text(line);
                kept.line(&line);
                narrator(Narration::Output { line });
            };
            let Built { lines, warnings } =
                build::build(binding, store, group, stage, &site.git, &extra, &mut told)?;
            Ok(Effect { output: lines, warnings, ..Effect::default() })
        }
        Step::Quiesce { service } => {
            stop(site, config, service.as_str(), &plan.from, &run.id)?;
            wait_until_down(site, run, config, service.as_str())?;
            Ok(Effect::default())
        }
        Step::Migrate(step) => {
            still_down(site, run, config)?;
            let output = migrate::down(site, run, run.configs()?.1, step)?;
            Ok(Effect { output, ..Effect::default() })
        }
        Step::Copy => {
            still_down(site, run, config)?;
            data::copy(site, run, before(run)?, narrator)
        }
        Step::Restore { section, name } => data::restore(site, run, before(run)?, (*section, name)),
        Step::Swap { section, name } => {
            still_down(site, run, config)?;
            data::swap(site, run, before(run)?, (*section, name))
        }
        Step::Apply { name } => data::apply(site, before(run)?, name),
        Step::Activate => {
            as_built(site, plan)?;
            note_services(site, run, config)?;
            // What an output says of the stage's path must be seen to fail: as long as the stage is there it would
            // not.
            drop_stage(site, run)?;
            let places = site.places(&run.id);
            layout::converge_forward(&site.git, &site.store, &places, &plan.activation)?;
            Ok(Effect::default())
        }
        Step::Head { from: _, to, branch: _ } => {
            site.git.reset_index(to)?;
            detach_at(site, run, to, &format!("gitroll {}: {}", plan.event, plan.to.name))?;
            let (after, before) = run.configs()?;
            let warnings = strays(site, after, before, &plan.from, run.id.as_str());
            Ok(Effect { warnings, ..Effect::default() })
        }
        Step::Hook(hook) => {
            let output = hooks::perform(site, run, hook)?;
            Ok(Effect { output, ..Effect::default() })
        }
        Step::Flags(step) => {
            let output = flags::change(site, run, config, step)?;
            Ok(Effect { warnings: output.clone(), output, ..Effect::default() })
        }
        Step::Signal { service, signal } => {
            flags::signal(site, run, config, &plan.to, service, signal)?;
            Ok(Effect::default())
        }
        Step::Stop { service } => {
            stop_dropped(site, run, service)?;
            Ok(Effect::default())
        }
        Step::Reload { service } => {
            let mut between = |settled: &str| no_check_fails(config, run, settled);
            reload(site, config, service.as_str(), &plan.to, &run.id, &mut between)
        }
        Step::Prove | Step::Record => Ok(Effect::default()),
    }
}

/// The configuration that was accepted when the run began: it says what data there is.
fn before(run: &Run) -> Result<&Config, StepError> {
    Ok(run.configs()?.1)
}

/// How the services run before anything changes.
fn note_services(site: &Site, run: &Run, config: &Config) -> Result<(), StepError> {
    let host = site.host(&run.plan.from, run.id.as_str());
    for service in &config.services {
        service::note_before(&host, service)
            .map_err(|source| StepError::Service { service: service.name.to_string(), source })?;
    }
    Ok(())
}

/// From one question to the next.
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(250);

/// Between two instances of a service that are reloaded one after the other: whether no check fails that passed before
/// the run. Which version answers does not matter: the other
/// instances are of the version before. Nor is it asked what shows a flag: that is about all of them and other
/// services, too. A check that fails is asked again as long as its `timeout` allows,
/// since an instance that was just started may not listen yet.
fn no_check_fails(config: &Config, run: &Run, settled: &str) -> Result<(), String> {
    let failed_before = |name: &CheckName| {
        run.baseline().iter().any(|before| before.check == *name && before.failed())
    };
    // What is asked of the host itself says nothing about one instance.
    let over_the_network = |check: &Check| {
        matches!(check.kind, CheckKind::Http(_) | CheckKind::Tcp(_) | CheckKind::Metric(_))
    };
    let of_a_flag = |check: &Check| {
        run.plan.flags().any(|change| flags::question_name(&change.name) == check.name)
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
            std::thread::sleep(BETWEEN_QUESTIONS);
        }
    }
    Ok(())
}

/// Refuses to continue with an artifact that stays live and that someone edited since the plan was made. For those
/// that come in activation itself does so.
fn as_built(site: &Site, plan: &Plan) -> Result<(), StepError> {
    let store = &site.store;
    let failed = |source| StepError::Io { path: store.dir.clone(), source };
    let changed =
        store.changed(site.top(), &staying(&plan.activation, &plan.artifacts)).map_err(failed)?;
    match changed.first() {
        Some(output) => Err(StepError::Edited(output.clone())),
        None => Ok(()),
    }
}

/// The artifacts that no move of the activation concerns.
fn staying(activation: &Activation, artifacts: &[ArtifactEvidence]) -> Vec<ArtifactEvidence> {
    let moves =
        |output: &RepoPath| activation.artifacts.iter().any(|change| change.output == *output);
    artifacts.iter().filter(|artifact| !moves(&artifact.output)).cloned().collect()
}

/// What is back of flags, tree, artifacts, index and HEAD.
#[derive(Debug, Default)]
pub(super) struct TreeBack {
    /// The artifacts that someone edited since they were built: they go back as they are, for that is what served
    /// or shall, and stand for their keys no more.
    pub(super) edited: Vec<RepoPath>,
    /// What a person should know of flags: those that someone set meanwhile, and that are left so.
    pub(super) notes: Vec<String>,
    /// What could not be restored. The files of the tree all are.
    pub(super) failures: Vec<StepError>,
}

/// Puts flags, tree, artifacts, index and HEAD back to what they were before the run. What must be down while files
/// change is stopped again; compensating starts it.
///
/// # Errors
/// When files of the tree could not be restored: nothing may be started on them.
pub(super) fn restore_tree(site: &Site, run: &Run, config: &Config) -> Result<TreeBack, StepError> {
    let (notes, flags) = match restore_flags(site, run, config) {
        Ok(notes) => (notes, None),
        Err(error) => (Vec::new(), Some(error)),
    };
    cleanup::after_killed_git(site);
    release_room(site, &run.id);
    let edited = restore_files(site, run, config)?;
    let head = restore_head(site, run).and_then(|()| drop_stage(site, run));
    let failures = [flags, head.err()].into_iter().flatten().collect();
    Ok(TreeBack { edited, notes, failures })
}

/// What keeps flags may be a part of the app that is down, its admin API: it is started and asked again then.
fn restore_flags(site: &Site, run: &Run, config: &Config) -> Result<Vec<String>, StepError> {
    const PATIENCE: Duration = Duration::from_secs(10);
    let mut restored = flags::restore(site, run, config);
    if restored.is_err() && start_down(site, config, &run.plan.from, &run.id).0 > 0 {
        let begun = Instant::now();
        while restored.is_err() && begun.elapsed() < PATIENCE && !Until::Left.reached() {
            std::thread::sleep(Duration::from_millis(250));
            restored = flags::restore(site, run, config);
        }
    }
    restored
}

fn restore_files(site: &Site, run: &Run, config: &Config) -> Result<Vec<RepoPath>, StepError> {
    for step in &run.plan.steps {
        if let Step::Quiesce { service } = step {
            stop(site, config, service.as_str(), &run.plan.to, &run.id)?;
            // Nothing but a command of the team's own leaves that open. Where no data was touched, none is put back.
            if migrate::began(site, run) || data::began_swap(run) {
                wait_until_down(site, run, config, service.as_str())?;
            }
        }
    }
    migrate::restore(site, run, config)?;
    data::back(site, run, before(run)?)?;
    let places = site.places(&run.id);
    let store = |source| StepError::Io { path: site.store.dir.clone(), source };
    let activation = &run.plan.activation;
    let mut changed = layout::converge_back(&site.git, &site.store, &places, activation)?;
    let staying = staying(activation, &run.plan.artifacts_before);
    for output in site.store.changed(site.top(), &staying).map_err(store)? {
        site.store.note_live(site.top(), &output, None).map_err(store)?;
        changed.push(output);
    }
    Ok(changed)
}

fn restore_head(site: &Site, run: &Run) -> Result<(), StepError> {
    for step in &run.plan.steps {
        if let Step::Head { from, branch, .. } = step {
            site.git.reset_index(from)?;
            let why = format!("gitroll {}: restored {}", run.plan.event, run.plan.from.name);
            detach_at(site, run, from, &why)?;
            if let Some(branch) = branch {
                site.git.attach_head(branch, from)?;
            }
        }
    }
    Ok(())
}

/// Puts the services back and proves it. The reloads with their times in milliseconds.
///
/// # Errors
/// Every service that could not be restored; the others are.
pub(super) fn compensate(
    site: &Site,
    run: &Run,
    config: &Config,
    touched: bool,
    narrator: &mut Narrator<'_>,
) -> Result<(Proof, Vec<(String, u64)>), StepError> {
    let back = services_back(site, run, config, touched, narrator);
    if let Some(error) = StepError::all(back.failures) {
        return Err(error);
    }
    narrator(Narration::Begin { step: Step::Prove.label() });
    let not = Some(&run.plan.to).filter(|_| touched);
    let from = &run.plan.from;
    let mut intent = intended(site, config, from, &run.id, not, back.fresh_since, Until::Left);
    // What failed spoke until it was reloaded; what serves again may have said what it must by then.
    intent.around.window = run.log_window().filter(|_| touched).map(|logs| LogWindow {
        must: logs.clone(),
        must_not: log_positions(&config.checks, &intent.around),
    });
    intent.listens = intent.listens.and(&run.listened());
    intent.around.files_before = files_of_target(site, config, &run.plan);
    intent.changed = changes_unseen(site, &run.plan);
    let (readable, unread) = readable(config, run, &intent.around);
    for check in &unread {
        let why = check.skipped.clone().unwrap_or_default();
        narrator(Narration::Warning { text: format!("check {} is not run: {why}", check.check) });
    }
    let mut proof = prove(site, &readable, &run.plan, &intent, narrator);
    proof.checks.extend(unread);
    if !proof.proven {
        proof.failures.extend(back.not_started.iter().map(ToString::to_string));
    }
    Ok((proof, back.reloads))
}

/// How the services came back.
#[derive(Debug, Default)]
pub(super) struct ServicesBack {
    fresh_since: Option<Ticks>,
    reloads: Vec<(String, u64)>,
    not_started: Vec<StepError>,
    /// What could not be told or reloaded.
    pub(super) failures: Vec<StepError>,
}

/// Reloads the services that the run has touched, with what serves again, and starts those that are down by now (the
/// run stopped them, or the machine went down meanwhile). One that fails keeps no other from coming back.
pub(super) fn services_back(
    site: &Site,
    run: &Run,
    config: &Config,
    touched: bool,
    narrator: &mut Narrator<'_>,
) -> ServicesBack {
    let mut back = ServicesBack::default();
    back.failures.extend(leave_new(site, run, touched));
    for step in &run.plan.steps {
        if let Step::Signal { service, signal } = step {
            // It may have read what was changed, whether it was told to or not. What does not run reads it as it
            // is started.
            if flags::is_there(site, run, config, service)
                && let Err(error) =
                    flags::signal(site, run, config, &run.plan.from, service, signal)
                && flags::is_there(site, run, config, service)
            {
                back.failures.push(error);
            }
        }
    }
    let services = run.plan.steps.iter().filter_map(|step| match step {
        Step::Reload { service } if touched => Some((step.label(), service)),
        _ => None,
    });
    for (step, service) in services {
        if !config.services.iter().any(|s| s.name == *service) {
            continue;
        }
        narrator(Narration::Begin { step: step.clone() });
        let begin = Instant::now();
        // On the way back nothing waits for a check.
        match reload(site, config, service.as_str(), &run.plan.from, &run.id, &mut |_| Ok(())) {
            Ok(effect) => {
                back.fresh_since = back.fresh_since.into_iter().chain(effect.ticks).min();
                let took = begin.elapsed();
                let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
                back.reloads.push((service.to_string(), millis));
                narrator(Narration::Done { step, took });
            }
            Err(error) => back.failures.push(error),
        }
    }
    (_, back.not_started) = start_down(site, config, &run.plan.from, &run.id);
    back
}

/// Stops every service of either configuration: none was up before the run, so whatever runs is the run's own.
///
/// # Errors
/// Every service that could not be stopped, or that is still up.
pub(super) fn stop_started(site: &Site, run: &Run) -> Result<(), StepError> {
    let (after, before) = run.configs()?;
    let host = site.host(&run.plan.from, run.id.as_str());
    let of_before = dropped(before, after);
    let failed = |service: &Service, source| StepError::Service {
        service: service.name.to_string(),
        source,
    };
    let stopped = |service: &Service| {
        match service::stop(&host, service) {
            Ok(()) | Err(ServiceError::Unknown { .. }) => {}
            Err(source) => return Some(failed(service, source)),
        }
        let state = service::observe(&host, service).ok().filter(|state| state.up)?;
        let (unit, word) = (service.name.to_string(), state.word);
        Some(failed(service, ServiceError::Down { unit, word, lines: Vec::new() }))
    };
    let all = after.services.iter().chain(&of_before).rev();
    StepError::all(all.filter_map(stopped).collect()).map_or(Ok(()), Err)
}

/// What only the target has: stopped where the run started it, else made to run what is there again.
fn leave_new(site: &Site, run: &Run, touched: bool) -> Vec<StepError> {
    let Ok((after, before)) = run.configs() else { return Vec::new() };
    let host = site.host(&run.plan.from, run.id.as_str());
    let left = |service: &Service| {
        if run.plan.starts.contains(&service.name) {
            service::stop(&host, service)
        } else if touched {
            service::reload(&host, service).map(|_| ())
        } else {
            Ok(())
        }
    };
    let new = dropped(after, before);
    let failed = |service: &Service, source| StepError::Service {
        service: service.name.to_string(),
        source,
    };
    new.iter().filter_map(|one| left(one).err().map(|source| failed(one, source))).collect()
}

/// Starts the services that are not up: how many, and those that could not be. One that cannot be asked is found by
/// the proof, and so is one that is not started because the flags it is handed cannot be read.
fn start_down(
    site: &Site,
    config: &Config,
    served: &Served,
    run: &RunId,
) -> (usize, Vec<StepError>) {
    let mut host = site.host(served, run.as_str());
    let (mut started, mut failures) = (0, Vec::new());
    for service in &config.services {
        if !service::observe(&host, service).is_ok_and(|state| !state.up) {
            continue;
        }
        let begun = flags::environment(&host, config, &service.name)
            .map_err(|source| StepError::NotStarted { service: service.name.clone(), source })
            .and_then(|flags| {
                host.flags = flags;
                let failed =
                    |source| StepError::Service { service: service.name.to_string(), source };
                service::start(&host, service).map_err(failed)
            });
        match begun {
            Ok(()) => started += 1,
            Err(error) => {
                tracing::warn!("{error}");
                failures.push(error);
            }
        }
    }
    (started, failures)
}

/// Where the run was interrupted, also services that it does not reload may be down: nobody starts what the
/// machine ended.
pub(super) fn start_after_interruption(site: &Site, run: &Run, config: &Config) {
    if run.was_resumed() {
        start_down(site, config, &run.plan.to, &run.id);
    }
}

/// Whether what served healthily when the run began is not even up any more: the machine went down.
pub(super) fn went_down(site: &Site, run: &Run, config: &Config) -> bool {
    let host = site.host(&run.plan.from, run.id.as_str());
    let down = |service| service::observe(&host, service).is_ok_and(|state| !state.up);
    !run.was_failing() && config.services.iter().any(down)
}

/// Takes the run's stage out of the way, and one that was cut off before it was whole.
pub(super) fn drop_stage(site: &Site, run: &Run) -> Result<(), StepError> {
    let stage = site.stage(&run.id);
    layout::set_stage_aside(&stage).map_err(|source| StepError::Io { path: stage, source })
}

fn reload(
    site: &Site,
    config: &Config,
    name: &str,
    served: &Served,
    run: &RunId,
    between: &mut Between<'_>,
) -> Result<Effect, StepError> {
    let mut host = site.host(served, run.as_str());
    let service = named(config, name)?;
    host.flags = flags::environment(&host, config, &service.name)?;
    let ticks = service::reload_in_turn(&host, service, between)
        .map_err(|source| StepError::Service { service: name.to_owned(), source })?;
    Ok(Effect { ticks: Some(ticks), ..Effect::default() })
}

fn stop(
    site: &Site,
    config: &Config,
    name: &str,
    served: &Served,
    run: &RunId,
) -> Result<(), StepError> {
    let host = site.host(served, run.as_str());
    service::stop(&host, named(config, name)?)
        .map_err(|source| StepError::Service { service: name.to_owned(), source })
}

/// Waits until no process of a service runs: a command of the team's own may come to its end before what it stops does.
fn wait_until_down(site: &Site, run: &Run, config: &Config, name: &str) -> Result<(), StepError> {
    let host = site.host(&run.plan.from, run.id.as_str());
    let service = named(config, name)?;
    let failed = |source| StepError::Service { service: name.to_owned(), source };
    let begun = Instant::now();
    while is_running(&host, service).map_err(failed)? {
        if begun.elapsed() >= DOWN_WITHIN || Until::Left.reached() {
            return Err(failed(not_down(service, "was stopped, and is still running")));
        }
        std::thread::sleep(BETWEEN_QUESTIONS);
    }
    Ok(())
}

/// How long a service has to be gone after its manager says that it stopped it.
const DOWN_WITHIN: Duration = Duration::from_secs(5);

/// Refuses to continue where a service that the run stopped runs again: it would write meanwhile.
fn still_down(site: &Site, run: &Run, config: &Config) -> Result<(), StepError> {
    let host = site.host(&run.plan.from, run.id.as_str());
    for step in &run.plan.steps {
        let Step::Quiesce { service } = step else { continue };
        let failed = |source| StepError::Service { service: service.to_string(), source };
        let service = named(config, service.as_str())?;
        if is_running(&host, service).map_err(failed)? {
            return Err(failed(not_down(service, "was stopped, and something started it again")));
        }
    }
    Ok(())
}

/// Whether any process of a service runs, as far as its manager tells.
fn is_running(host: &service::Host<'_>, service: &Service) -> Result<bool, ServiceError> {
    match service::observe(host, service) {
        Ok(state) => Ok(state.up || state.processes.iter().any(ProcessId::alive)),
        Err(ServiceError::Unknown { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn not_down(service: &Service, problem: &str) -> ServiceError {
    let command = format!("stop {}", service.name);
    ServiceError::Failed { command, problem: problem.to_owned() }
}

/// Stops a service of before that the target has no more. One that its manager has forgotten does not run.
fn stop_dropped(site: &Site, run: &Run, name: &ServiceName) -> Result<(), StepError> {
    let (after, before) = run.configs()?;
    let host = site.host(&run.plan.from, run.id.as_str());
    for service in dropped(before, after).iter().filter(|service| service.name == *name) {
        match service::stop(&host, service) {
            Ok(()) | Err(ServiceError::Unknown { .. }) => {}
            Err(source) => return Err(StepError::Service { service: name.to_string(), source }),
        }
    }
    Ok(())
}

fn named<'c>(config: &'c Config, name: &str) -> Result<&'c Service, StepError> {
    let service = config.services.iter().find(|service| service.name.as_str() == name);
    service.ok_or_else(|| StepError::NoService(name.to_owned()))
}

/// A commit that someone made on the detached HEAD meanwhile stays reachable.
fn rescue(site: &Site, run: &Run, head: &Head) -> Result<(), StepError> {
    let plan = &run.plan;
    let ours = [&plan.from.commit, &plan.to.commit].contains(&&head.commit);
    if ours || head.branch.is_some() {
        return Ok(());
    }
    let name = format!("refs/gitroll/rescued/{}", head.commit);
    if site.git.find_ref(&name)?.is_none() {
        let edit = RefEdit { name, new: Some(head.commit.clone()), old: None };
        site.git.update_refs(&[edit], "gitroll: a commit that would have been lost")?;
    }
    Ok(())
}

fn detach_at(site: &Site, run: &Run, commit: &Oid, why: &str) -> Result<(), StepError> {
    let head = site.git.head()?;
    rescue(site, run, &head)?;
    if head.commit != *commit || head.branch.is_some() {
        site.git.move_head(&head.commit, commit, why)?;
    }
    Ok(())
}
