//! The planner: from a change that is wanted and facts to the frozen plan.

use std::collections::BTreeSet;

use super::asked;
use super::data_steps;
use super::deployed;
use super::disk_space::{self, SpaceNeeded};
use super::error::PlanError;
use super::facts::Facts;
use super::fitness::{Fitness, left_with, with_later_outputs};
use super::hooks;
use crate::build::{self, Around, BuildPlan, Depth, LiveArtifact};
use crate::config::{self, Apply, Build, Component, Config, Service};
use crate::diagnosis;
use crate::layout::{self, Commits};
use crate::ledger;
use crate::model::{
    Activation, ArtifactEvidence, ArtifactMove, Event, FlagChange, FlagName, FlagStep, FullLevel,
    FullPlan, HiddenFlags, MigrateStep, Oid, Plan, Recorded, RepoPath, RunId, Served, ServiceName,
    SkippedTarget, Step, TargetRef,
};
use crate::site::Site;
use crate::system::git::{ConvertedFile, GitError, Unfinished};
use crate::system::process;
use crate::system::text::plural;
use crate::target::{Candidate, Needed, Standing};

/// A change that is wanted, every name resolved.
#[derive(Debug, Clone)]
pub struct Change {
    pub event: Event,
    /// What serves now and is returned to if it fails.
    pub from: Served,
    /// What shall serve.
    pub to: Served,
    /// The tag that named it.
    pub target: Option<TargetRef>,
    /// The configuration for services and checks.
    pub config: Config,
    /// The bytes of `config`.
    pub config_text: String,
    /// Whose build groups are used.
    pub groups: GroupsOf,
    /// What the record says besides.
    pub recorded: Recorded,
    /// Candidates passed over.
    pub skipped: Vec<Candidate>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// The flags that change. Then nothing else does.
    pub flags: Vec<FlagChange>,
    /// The values of those that stand there as digests.
    pub hidden: HiddenFlags,
    /// Only the checks marked critical prove it.
    pub emergency: bool,
    /// How the checks of `config` are not those of the accepted one.
    pub asked: Vec<String>,
    /// Services that are reloaded whatever changes.
    pub reload_too: BTreeSet<ServiceName>,
    /// What about kept artifacts that were built for another runtime.
    pub kept: UseKept,
    /// The run that it undoes.
    pub undoes: Option<RunId>,
    /// Migrations that are taken back first.
    pub migrate: Option<MigrateStep>,
    /// It is part of a rollback without being one of the code: no key and no role bars it.
    pub way_back: bool,
    /// The data and settings that go back with it.
    pub full: Option<FullPlan>,
}

impl Change {
    /// From what serves to `to`, with the accepted configuration and what the target was built with.
    pub fn new(facts: &Facts, event: Event, to: Served) -> Self {
        Self {
            event,
            from: facts.serving.clone(),
            to,
            target: None,
            config: facts.accepted.config.clone(),
            config_text: facts.accepted.text.clone(),
            groups: GroupsOf::Target,
            recorded: Recorded::default(),
            skipped: Vec::new(),
            warnings: Vec::new(),
            flags: Vec::new(),
            hidden: HiddenFlags::default(),
            emergency: false,
            asked: Vec::new(),
            reload_too: BTreeSet::new(),
            kept: UseKept::IfNeeded,
            undoes: None,
            migrate: None,
            way_back: false,
            full: None,
        }
    }

    /// With the checks asked as the target was proven with them: it is asked what it can answer.
    ///
    /// # Errors
    /// When the target's record cannot be read.
    pub fn asked_as_proven(mut self, site: &Site, facts: &Facts) -> Result<Self, PlanError> {
        if let Some(asked) = asked::asked(site, facts, &self.to)? {
            (self.config, self.config_text, self.asked) = (asked.config, asked.text, asked.told);
        }
        Ok(self)
    }

    /// As in an emergency: only what is critical is asked, and what is left out for that is said. `passed_over`:
    /// the candidate that was not taken because it needs a build.
    pub fn in_emergency(mut self, passed_over: Option<String>) -> Self {
        self.emergency = true;
        self.warnings.push("emergency: no preliminary checks".to_owned());
        let checks = self.config.checks.iter().filter(|check| !check.critical);
        let checks: Vec<&str> = checks.map(|check| check.name.as_str()).collect();
        if !checks.is_empty() {
            let checks = checks.join(", ");
            self.warnings.push(format!("emergency: not critical, not run: {checks}"));
        }
        let passed =
            passed_over.map(|name| format!("emergency: {name} is skipped: it needs a build"));
        self.warnings.extend(passed);
        self
    }
}

/// Where a target's build groups come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupsOf {
    /// The configuration of the change: a deploy.
    Config,
    /// The target's own last record, its own file, or the last accepted configuration: going back.
    Target,
}

/// A plan and what was noticed while making it.
#[derive(Debug, Clone)]
pub struct Composed {
    pub plan: Plan,
    /// Submodules that differ.
    pub submodules: Vec<RepoPath>,
    /// Submodules that someone moved, and files that someone edited in one, with its path.
    pub edited_submodules: Vec<(RepoPath, RepoPath)>,
    /// Files of the target that git would write with other bytes than the stored ones, and that stand in the way.
    pub converted: Vec<ConvertedFile>,
    /// What git is in the middle of.
    pub unfinished: Vec<Unfinished>,
    /// Declared outputs that the target tracks.
    pub tracked_outputs: Vec<RepoPath>,
    /// What the plan may write.
    pub room: SpaceNeeded,
    /// The values of flags that stand in the plan as digests.
    pub hidden: HiddenFlags,
    /// It rebuilds what is kept and does not fit this host, and what is kept can be used, should the build fail.
    pub kept_instead: bool,
    /// As of the [`Change`].
    pub way_back: bool,
}

/// Composes the plan.
///
/// # Errors
/// When the repository, the tree or the store cannot be read.
pub fn compose(site: &Site, facts: &Facts, change: Change) -> Result<Composed, PlanError> {
    let code_stays = change.full.as_ref().is_some_and(|full| full.level != FullLevel::Full);
    if matches!(change.event, Event::Flags | Event::Migrate) || code_stays {
        return compose_in_place(site, facts, change);
    }
    let (from, to) = (change.from.clone(), change.to.clone());
    let mut edited = site.git.edited(&facts.head.commit)?;
    if only_components(&change) {
        // What is edited elsewhere serves now and shall continue to.
        let touched = components(&change);
        edited.retain(|path| touched.iter().any(|component| component.paths.covers(path)));
    }
    let kept = if change.emergency { UseKept::Hurry } else { change.kept };
    let choosing = Choosing { groups: change.groups, depth: Depth::Deep, kept };
    let mut wanted = wanted(site, facts, &to, &change.config, choosing)?;
    if only_components(&change) {
        leave_unchanged(site, facts, &from.commit, &mut wanted)?;
    }
    let before = artifacts_now(&wanted.live);
    let moves = moves(&wanted, &before);
    let environment = environment_files(&facts.accepted.config, &change.config, &wanted.groups);
    let observed = layout::observe_activation(
        &site.git,
        Commits { from: &from.commit, to: &to.commit, head: &facts.head.commit },
        &edited,
        &site.local(&change.config),
        &environment,
        moves,
    )?;
    let reloaded = reloaded(&change);
    let whole = !only_components(&change);
    let mut warnings = change.warnings;
    warnings.extend(edited_artifacts(&wanted.changed));
    warnings.append(&mut wanted.warnings);
    let serves = Fitness::of(site, facts, &before, (&[], &[]))?.unfit;
    let again = |why| format!("what serves may not start again after a restart: {why}");
    warnings.extend(serves.map(again));
    warnings.extend(observed.warnings);
    warnings.extend(unchecked(&change.config));
    if whole && change.migrate.is_none() {
        warnings.extend(migrations(
            site,
            facts,
            &change.config,
            &observed.activation.changes,
            (&from, &to),
        )?);
    }
    let configs = (&facts.accepted.config, &change.config);
    let differing = super::service_changes::between(site, configs, (&from, &to));
    warnings.extend(differing.warnings);
    let (in_the_way, as_stored) = converted(site, &change.event, &to, whole, &observed.activation)?;
    warnings.extend(as_stored);
    let outputs: Vec<RepoPath> = wanted.plan.artifacts.iter().map(|a| a.output.clone()).collect();
    let mut hooked =
        hooks::of(site, facts, (&change.event, change.emergency), &change.config, &to.commit)?;
    warnings.append(&mut hooked.warnings);
    let plan = Plan {
        plan: Plan::VERSION,
        app: site.binding.app.clone(),
        environment: site.binding.environment.clone(),
        writer: site.binding.writer.clone(),
        event: change.event,
        target: change.target,
        recorded: change.recorded,
        config: change.config_text,
        config_before: facts.accepted.text.clone(),
        steps: {
            let besides =
                Besides { reloaded: &reloaded, stops: differing.stops, migrate: change.migrate };
            let all = steps(facts, &from, &to, &wanted.plan, &change.config, besides);
            let all = hooked.among(all);
            match &change.full {
                Some(full) => data_steps::among(all, full, &facts.accepted.config, &change.config),
                None => all,
            }
        },
        from,
        to,
        artifacts: wanted.plan.artifacts,
        artifacts_before: before,
        activation: observed.activation,
        warnings,
        skipped: change.skipped.iter().map(skipped).collect(),
        critical_only: change.emergency,
        starts: differing.starts,
        undoes: change.undoes,
        checks: change.asked,
        full: change.full.map(Box::new),
    };
    Ok(Composed {
        submodules: observed.submodules,
        edited_submodules: observed.edited_submodules,
        converted: in_the_way,
        unfinished: site.git.unfinished(),
        tracked_outputs: layout::tracked_outputs(&site.git, &plan.to.commit, &outputs)?,
        room: disk_space::needed(site, &plan)?,
        hidden: HiddenFlags::default(),
        kept_instead: wanted.kept_instead,
        way_back: change.way_back,
        plan,
    })
}

/// The files of the target that git would write with other bytes than the stored ones: those that stand in the way,
/// and a warning for those that do not. The way back is not barred by line ends, nor by a file that stays as it is
/// there.
fn converted(
    site: &Site,
    event: &Event,
    to: &Served,
    whole: bool,
    activation: &Activation,
) -> Result<(Vec<ConvertedFile>, Option<String>), PlanError> {
    let deploys = *event == Event::Deploy;
    let written = |path: &RepoPath| activation.changes.iter().any(|change| change.path == *path);
    let mut converted = site.git.converted_files(&to.commit)?;
    converted.retain(|file| (deploys && whole) || written(&file.path));
    let (slight, in_the_way): (Vec<ConvertedFile>, Vec<ConvertedFile>) =
        converted.into_iter().partition(|file| !deploys && file.by.is_slight());
    let warning = slight.first().map(|first| {
        let more = match slight.len() - 1 {
            0 => String::new(),
            more => format!(" and {} more", plural(more, "file")),
        };
        format!("{}{more}: written as stored in git, without {}", first.path, first.by)
    });
    Ok((in_the_way, warning))
}

/// The services that must run the new tree: all of them, or, where only components change, those that the
/// components say they touch.
fn reloaded(change: &Change) -> BTreeSet<ServiceName> {
    let touched = components(change);
    let all = || change.config.services.iter().map(|service| service.name.clone()).collect();
    if !only_components(change) || touched.iter().any(|c| c.services.is_empty()) {
        return all();
    }
    let own = touched.iter().flat_map(|component| component.services.iter().cloned());
    own.chain(change.reload_too.iter().cloned()).collect()
}

/// Whether nothing changes but files of components: one goes back, or is returned to. An overlay on a new
/// revision brings the revision's changes too.
fn only_components(change: &Change) -> bool {
    change.event != Event::Deploy && !components(change).is_empty()
}

fn components(change: &Change) -> Vec<&Component> {
    let named = |c: &&Component| change.recorded.components.contains(&c.id);
    change.config.components.iter().filter(named).collect()
}

/// Builds nothing of which no input changes with the component: what was recorded with what serves stays.
fn leave_unchanged(
    site: &Site,
    facts: &Facts,
    from: &Oid,
    wanted: &mut Wanted,
) -> Result<(), PlanError> {
    if wanted.plan.steps.is_empty() {
        return Ok(());
    }
    // Where HEAD was moved by hand, what is there was made for what served before, or is not known.
    let standing = facts.standing.as_ref().map(|standing| &standing.commit);
    let known = [Some(from), standing]
        .into_iter()
        .flatten()
        .find_map(|commit| facts.last_record_of(site, commit).map(|entry| (commit, entry)));
    let Some((made_from, entry)) = known else { return Ok(()) };
    let recorded = ledger::evidence(&site.git, entry)?.artifacts;
    let lies_there = |a: &ArtifactEvidence| {
        wanted.live.iter().any(|live| live.output == a.output && live.key == a.key)
    };
    let serving: Vec<_> = recorded.into_iter().filter(lies_there).collect();
    let (git, store, toolchain) = (&site.git, &site.store, &facts.toolchain);
    let (groups, live) = (&wanted.groups, &wanted.live);
    let around = Around { live, besides: &[], leaving: &[], depth: Depth::Shallow };
    let before = build::plan(git, toolchain, store, groups, made_from, around)?;
    wanted.plan.keep_unchanged(&before, &serving);
    Ok(())
}

/// What it takes to restore a commit, and why what is kept of it does not run here, if so.
///
/// # Errors
/// When the repository or the store cannot be read.
pub fn needed(
    site: &Site,
    facts: &Facts,
    commit: &Oid,
) -> Result<(Needed, Option<String>), PlanError> {
    let to = facts.names.served(&site.git, commit, None)?;
    let config = &facts.accepted.config;
    let choosing =
        Choosing { groups: GroupsOf::Target, depth: Depth::Shallow, kept: UseKept::IfNeeded };
    let wanted = wanted(site, facts, &to, config, choosing)?;
    if wanted.plan.steps.is_empty() {
        return Ok((Needed::Nothing, wanted.unfit));
    }
    let needed = match missing_tools(site, &wanted.plan).first() {
        Some(tool) => Needed::Impossible(format!(
            "not kept, and {tool}, which the build needs, was not found"
        )),
        None => Needed::Build(wanted.plan.steps.iter().map(|s| s.group.to_string()).collect()),
    };
    Ok((needed, wanted.unfit))
}

/// The programs a build needs that are not on this host.
pub fn missing_tools(site: &Site, plan: &BuildPlan) -> Vec<String> {
    let programs: BTreeSet<&String> = plan
        .steps
        .iter()
        .flat_map(|step| step.run.iter())
        .filter_map(|argv| argv.first())
        .collect();
    programs
        .into_iter()
        .filter(|program| {
            // A relative path is of the tree, or made by a build, as `venv/bin/pip` is.
            (program.starts_with('/') || !program.contains('/'))
                && process::find_program(program.as_ref(), &site.binding.path_variable).is_none()
        })
        .cloned()
        .collect()
}

struct Wanted {
    plan: BuildPlan,
    groups: Vec<Build>,
    live: Vec<LiveArtifact>,
    /// Outputs whose artifact, live or kept for the target, was edited since it was built.
    changed: BTreeSet<RepoPath>,
    /// What is kept of the target and was built for another runtime than this host has: why.
    unfit: Option<String>,
    /// Whether that is kept and could be used, should it not be possible to rebuild it.
    kept_instead: bool,
    warnings: Vec<String>,
}

/// How the artifacts of a target are chosen.
#[derive(Debug, Clone, Copy)]
struct Choosing {
    groups: GroupsOf,
    depth: Depth,
    kept: UseKept,
}

/// Whether kept artifacts that were built for another runtime are used as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UseKept {
    /// Only where they cannot be rebuilt.
    IfNeeded,
    /// They are: rebuilding them failed.
    Unbuildable,
    /// They are: there is no time to build.
    Hurry,
}

/// The artifacts a target serves with: those it last served with where they are still kept, else what its
/// build groups make.
fn wanted(
    site: &Site,
    facts: &Facts,
    to: &Served,
    config: &Config,
    choosing: Choosing,
) -> Result<Wanted, PlanError> {
    let depth = choosing.depth;
    let from_record = choosing.groups == GroupsOf::Target;
    let record = facts.last_record_of(site, &to.commit);
    let kept = match record {
        Some(entry) if from_record => ledger::evidence(&site.git, entry)?.artifacts,
        _ => Vec::new(),
    };
    let groups = match choosing.groups {
        GroupsOf::Config => config.build.clone(),
        GroupsOf::Target => target_groups(site, facts, &to.commit)?,
    };
    let commits = [&facts.serving.commit, &facts.head.commit, &to.commit];
    let mut outputs: BTreeSet<RepoPath> = BTreeSet::new();
    outputs.extend(facts.outputs(site, &facts.accepted.config.build, &commits)?);
    let own = facts.outputs(site, &groups, &commits)?;
    outputs.extend(own.iter().cloned());
    outputs.extend(kept.iter().map(|artifact| artifact.output.clone()));
    let outputs: Vec<RepoPath> = outputs.into_iter().collect();
    let live = facts.live(site, &outputs, depth)?;
    let available = |artifact: &ArtifactEvidence| {
        live.iter().any(|l| l.output == artifact.output && l.key == artifact.key)
            || site.store.keeps(&artifact.key, &artifact.output, depth).unwrap_or(false)
    };
    let undeclared: Vec<&RepoPath> = outputs
        .iter()
        .filter(|output| !own.contains(output) && !kept.iter().any(|a| a.output == **output))
        .collect();
    let mut returning = left_with(site, facts, record, &undeclared)?;
    returning.retain(available);
    let besides: Vec<RepoPath> = returning.iter().map(|a| a.output.clone()).collect();
    let complete = groups
        .iter()
        .flat_map(|group| &group.outputs)
        .filter(|output| !build::is_packages(output))
        .all(|output| kept.iter().any(|artifact| artifact.output == *output))
        && groups.iter().flat_map(|group| &group.output_globs).all(|glob| {
            glob.optional || kept.iter().any(|artifact| glob.is_match(&artifact.output))
        });
    let gone: Vec<_> = kept.iter().filter(|a| !available(a)).cloned().collect();
    let leaving: Vec<RepoPath> = undeclared
        .iter()
        .filter(|output| !besides.contains(output) && live.iter().any(|l| l.output == ***output))
        .map(|output| (*output).clone())
        .collect();
    let around = Around { live: &live, besides: &besides, leaving: &leaving, depth };
    let planned = |groups: &[Build]| {
        build::plan(&site.git, &facts.toolchain, &site.store, groups, &to.commit, around)
    };
    let later = &facts.accepted.config.build;
    let rebuilt = || match planned(&groups)? {
        plan if plan.steps.is_empty() || !from_record => Ok(plan),
        plan => with_later_outputs(&groups, later).map_or(Ok(plan), |groups| planned(&groups)),
    };
    let whole = from_record && complete && gone.is_empty();
    let mut warnings = Vec::new();
    let (mut unfit, mut kept_instead) = (None, false);
    let mut plan = if whole {
        let fitness = Fitness::of(site, facts, &kept, (&besides, &leaving))?;
        let as_kept = BuildPlan { steps: Vec::new(), artifacts: kept.clone() };
        unfit.clone_from(&fitness.unfit);
        if fitness.fits() {
            if depth == Depth::Deep && fitness.is_doubtful(facts) {
                let now = planned(&groups).map(|plan| plan.artifacts).unwrap_or_default();
                warnings.extend(fitness.unknown(&now));
            }
            as_kept
        } else if choosing.kept == UseKept::Hurry {
            warnings.push(fitness.used("in an emergency a kept artifact is not rebuilt"));
            as_kept
        } else if choosing.kept == UseKept::Unbuildable && fitness.as_made {
            warnings.push(fitness.used("it could not be rebuilt"));
            as_kept
        } else {
            match rebuilt() {
                Ok(plan) => match missing_tools(site, &plan).first() {
                    Some(tool) => {
                        let why = format!("{tool} was not found to rebuild it");
                        warnings.push(fitness.used(&why));
                        as_kept
                    }
                    None if plan.steps.is_empty() => plan,
                    None => {
                        kept_instead = fitness.as_made;
                        warnings.push(fitness.built_anew());
                        plan
                    }
                },
                Err(error) => {
                    warnings.push(fitness.used(&error.to_string()));
                    as_kept
                }
            }
        }
    } else {
        rebuilt()?
    };
    let built = plan.artifacts.iter().filter(|a| plan.steps.iter().any(|s| s.key == a.key));
    let kept_changed = gone.iter().chain(built).filter(|a| {
        let keeps = |depth| site.store.keeps(&a.key, &a.output, depth).unwrap_or(false);
        depth == Depth::Deep && keeps(Depth::Shallow) && !keeps(depth)
    });
    let live_changed = live.iter().filter(|live| live.changed).map(|live| &live.output);
    let changed = live_changed.chain(kept_changed.map(|a| &a.output)).cloned().collect();
    returning.retain(|a| plan.artifacts.iter().all(|other| other.output != a.output));
    plan.artifacts.extend(returning);
    for step in plan.steps.iter_mut().filter(|_| choosing.kept == UseKept::Hurry) {
        step.undeclared = true;
    }
    Ok(Wanted { plan, groups, live, changed, unfit, kept_instead, warnings })
}

/// The build groups a commit is restored with.
fn target_groups(site: &Site, facts: &Facts, commit: &Oid) -> Result<Vec<Build>, PlanError> {
    if let Some(entry) = facts.last_record_of(site, commit) {
        let text = ledger::config(&site.git, entry)?;
        let file = format!("gitroll.toml of record #{}", entry.record.seq);
        return Ok(config::parse(&text, &file)?.build);
    }
    Ok(match file_of(site, commit)? {
        Some(text) => match config::parse(&text, "gitroll.toml of the target") {
            Ok(config) => config.build,
            Err(_) => facts.accepted.config.build.clone(),
        },
        None => facts.accepted.config.build.clone(),
    })
}

/// The `gitroll.toml` in a commit's tree.
///
/// # Errors
/// When git cannot read it.
pub fn file_of(site: &Site, commit: &Oid) -> Result<Option<String>, PlanError> {
    let path = RepoPath::new("gitroll.toml").expect("a plain name");
    let bytes = site.git.file(commit, &path)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// What is in the live tree, as evidence.
pub fn artifacts_now(live: &[LiveArtifact]) -> Vec<ArtifactEvidence> {
    live.iter()
        .map(|artifact| ArtifactEvidence {
            group: None,
            output: artifact.output.clone(),
            key: artifact.key.clone(),
        })
        .collect()
}

fn moves(wanted: &Wanted, before: &[ArtifactEvidence]) -> Vec<ArtifactMove> {
    let outputs: BTreeSet<&RepoPath> = wanted
        .plan
        .artifacts
        .iter()
        .map(|a| &a.output)
        .chain(before.iter().map(|a| &a.output))
        .collect();
    let key = |list: &[ArtifactEvidence], output: &RepoPath| {
        list.iter().find(|a| a.output == *output).map(|a| a.key.clone())
    };
    outputs
        .into_iter()
        .filter_map(|output| {
            let incoming = key(&wanted.plan.artifacts, output);
            let outgoing = key(before, output);
            (incoming != outgoing).then(|| ArtifactMove {
                output: output.clone(),
                incoming,
                outgoing,
            })
        })
        .collect()
}

fn environment_files(accepted: &Config, config: &Config, groups: &[Build]) -> Vec<RepoPath> {
    let carried = accepted.build.iter().chain(&config.build).chain(groups).flat_map(|g| &g.carry);
    let flags = accepted.flags.iter().chain(&config.flags).flat_map(|f| f.files());
    carried.chain(flags).cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

/// What a plan does besides putting the tree in place.
struct Besides<'a> {
    reloaded: &'a BTreeSet<ServiceName>,
    /// Services that go.
    stops: Vec<Step>,
    migrate: Option<MigrateStep>,
}

fn steps(
    facts: &Facts,
    from: &Served,
    to: &Served,
    builds: &BuildPlan,
    config: &Config,
    around: Besides<'_>,
) -> Vec<Step> {
    let Besides { reloaded, stops, migrate } = around;
    let mut steps = Vec::new();
    if !builds.steps.is_empty() {
        steps.push(Step::Stage { commit: to.commit.clone() });
        steps.extend(builds.steps.iter().cloned().map(Box::new).map(Step::Build));
    }
    // What depends on others is stopped before them.
    let down = |service: &Service| service.quiesce || migrate.is_some();
    let quiet = config.services.iter().rev().filter(|s| down(s) && reloaded.contains(&s.name));
    steps.extend(quiet.map(|service| Step::Quiesce { service: service.name.clone() }));
    steps.extend(migrate.map(Box::new).map(Step::Migrate));
    steps.push(Step::Activate);
    let branch = facts.head.branch.clone().filter(|_| facts.head.commit == from.commit);
    steps.push(Step::Head { from: from.commit.clone(), to: to.commit.clone(), branch });
    steps.extend(stops);
    let services = config.services.iter().filter(|service| reloaded.contains(&service.name));
    steps.extend(services.map(|s| Step::Reload { service: s.name.clone() }));
    steps.push(Step::Prove);
    steps.push(Step::Record);
    steps
}

/// Such an artifact is kept, but it is not a version's any more.
fn edited_artifacts(outputs: &BTreeSet<RepoPath>) -> Option<String> {
    let names: Vec<String> = outputs.iter().map(ToString::to_string).collect();
    (!names.is_empty())
        .then(|| format!("changed since it was built, not used: {}", names.join(", ")))
}

/// What the file leaves out.
fn unchecked(config: &Config) -> Option<String> {
    config.checks.is_empty().then(|| {
        "no [[check]] in gitroll.toml: gitroll watches processes but no answers".to_owned()
    })
}

/// What is to be said of the migrations that going to the target crosses, or that come with it.
fn migrations(
    site: &Site,
    facts: &Facts,
    config: &Config,
    changes: &[crate::model::PathChange],
    (from, to): (&Served, &Served),
) -> Result<Vec<String>, GitError> {
    let accepted = &facts.accepted.config.migrate;
    let migration = |path: &&RepoPath| {
        deployed::is_migration(accepted, path) || deployed::is_migration(&config.migrate, path)
    };
    // A version of before may not say yet how migrations are taken back.
    let migrate = if accepted.paths.is_empty() { &config.migrate } else { accepted };
    let gone = changes.iter().filter(|change| change.after.is_none()).map(|change| &change.path);
    let between = (&from.commit, &to.commit);
    let crossed = deployed::crossed(site, facts, migrate, gone.filter(migration), between)?;
    let mut said = Vec::new();
    if !crossed.names.is_empty() {
        said.push(diagnosis::crossing(&crossed, &to.name));
        let way = diagnosis::way_down(&crossed);
        said.extend(way.map(|(command, what)| {
            format!("{command} {what}; gitroll migrate down --plan counts the rows that this loses")
        }));
    }
    let new = changes.iter().filter(|change| change.before.is_none()).map(|change| &change.path);
    let migrate = &config.migrate;
    let new = deployed::names_of(new.filter(|path| deployed::is_migration(migrate, path)));
    if !new.is_empty() {
        let mut stay = Vec::new();
        for name in &new {
            if deployed::way_of(site, migrate, &to.commit, name)?.is_none() {
                stay.push(name.clone());
            }
        }
        said.push(diagnosis::arriving(&new, &stay));
    }
    Ok(said)
}

fn skipped(candidate: &Candidate) -> SkippedTarget {
    SkippedTarget {
        name: candidate.name.clone(),
        commit: candidate.commit.clone(),
        why: match &candidate.standing {
            Standing::Skipped(reason) => reason.to_string(),
            _ => String::new(),
        },
    }
}

/// Composes the plan of a change that leaves the tree as it is: of flags, per source the changes, then what makes the
/// app take them; of migrations, data and settings, with the services down.
///
/// # Errors
/// When the repository, the tree or the store cannot be read.
fn compose_in_place(site: &Site, facts: &Facts, change: Change) -> Result<Composed, PlanError> {
    let config = &change.config;
    let artifacts = artifacts_there(site, facts)?;
    let steps = match (&change.full, change.migrate) {
        (Some(full), _) => data_steps::alone(full, &facts.accepted.config),
        (None, Some(migrate)) => migrate_steps(config, migrate),
        (None, None) => flag_steps(config, &change.flags, change.reload_too),
    };
    let plan = Plan {
        plan: Plan::VERSION,
        app: site.binding.app.clone(),
        environment: site.binding.environment.clone(),
        writer: site.binding.writer.clone(),
        event: change.event,
        steps,
        target: None,
        recorded: change.recorded,
        config: change.config_text,
        config_before: facts.accepted.text.clone(),
        artifacts: artifacts.clone(),
        artifacts_before: artifacts,
        activation: Activation::default(),
        warnings: change.warnings,
        skipped: Vec::new(),
        critical_only: change.emergency,
        starts: Vec::new(),
        undoes: change.undoes,
        checks: change.asked,
        full: change.full.map(Box::new),
        from: change.from,
        to: change.to,
    };
    Ok(Composed {
        submodules: Vec::new(),
        edited_submodules: Vec::new(),
        converted: Vec::new(),
        unfinished: Vec::new(),
        tracked_outputs: Vec::new(),
        room: disk_space::needed(site, &plan)?,
        hidden: change.hidden,
        kept_instead: false,
        way_back: change.way_back,
        plan,
    })
}

fn migrate_steps(config: &Config, migrate: MigrateStep) -> Vec<Step> {
    let names = || config.services.iter().map(|service| service.name.clone());
    let down = names().rev().map(|service| Step::Quiesce { service });
    let up = names().map(|service| Step::Reload { service });
    down.chain([Step::Migrate(Box::new(migrate))])
        .chain(up)
        .chain([Step::Prove, Step::Record])
        .collect()
}

fn flag_steps(
    config: &Config,
    changes: &[FlagChange],
    mut reloads: BTreeSet<ServiceName>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut signals: Vec<Step> = Vec::new();
    for source in config.flags.iter().flat_map(|flags| &flags.sources) {
        let of_source = |change: &&FlagChange| change.source == source.name;
        let changes: Vec<FlagChange> = changes.iter().filter(of_source).cloned().collect();
        if changes.is_empty() {
            continue;
        }
        let names: Vec<&FlagName> = changes.iter().map(|change| &change.name).collect();
        let takers = config.flag_takers(source, &names);
        steps.push(Step::Flags(FlagStep { source: source.name.clone(), changes }));
        match source.apply {
            Apply::Reload | Apply::Environment => reloads.extend(takers),
            Apply::Signal(signal) => {
                signals.extend(
                    takers
                        .into_iter()
                        .map(|service| Step::Signal { service, signal: signal.name().to_owned() }),
                );
            }
            Apply::None => {}
        }
    }
    // Who is reloaded reads everything again.
    signals
        .retain(|step| !matches!(step, Step::Signal { service, .. } if reloads.contains(service)));
    signals.dedup();
    steps.extend(signals);
    let services = config.services.iter().filter(|service| reloads.contains(&service.name));
    steps.extend(services.map(|service| Step::Reload { service: service.name.clone() }));
    steps.push(Step::Prove);
    steps.push(Step::Record);
    steps
}

/// What is there: as recorded with what serves, else by what is found.
fn artifacts_there(site: &Site, facts: &Facts) -> Result<Vec<ArtifactEvidence>, PlanError> {
    if let Some(entry) = facts.last_record_of(site, &facts.serving.commit) {
        return Ok(ledger::evidence(&site.git, entry)?.artifacts);
    }
    let groups = &facts.accepted.config.build;
    let outputs = facts.outputs(site, groups, &[&facts.serving.commit, &facts.head.commit])?;
    Ok(artifacts_now(&facts.live(site, &outputs, Depth::Shallow)?))
}
