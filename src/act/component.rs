//! Taking one component back, by its flag or by its files; and keeping its good files in a new revision.

use std::time::Instant;

use super::caller::{Caller, Notice, Unanswered};
use super::carry_out::{ChangeOptions, carry_out};
use super::failure::Failure;
use super::flags;
use super::levels::{self, Decisions, LevelResult};
use super::outcome::{ChangeOutcome, Ending, Status};
use super::session::Session;
use super::statement::check_reason;
use super::target;
use crate::component::fit::{self, ComponentChange, Dangling};
use crate::component::{self, Content};
use crate::config::Component;
use crate::model::{ApprovalOptions, ComponentId, Event, Hold, Oid, Recorded, RepoPath, Served};
use crate::plan::candidates;
use crate::plan::compose::Change;
use crate::plan::facts::Facts;
use crate::site::Observed;
use crate::system::text::nearest;
use crate::system::text::plural;
use crate::target::{Candidate, Reach, Reason, RequestError, Standing};

/// To take one component back.
#[derive(Debug, Clone)]
pub struct ComponentRequest {
    pub id: String,
    /// Whose files, as for `back`.
    pub to: Option<String>,
    /// `None`: asked where someone is there; else the flag, then the files.
    pub via: Option<Via>,
    pub reason: Option<String>,
    /// Do not hold what is left.
    pub no_verdict: bool,
    /// Go on although files that stay would import what disappears.
    pub force: bool,
    /// What is said about approvals.
    pub approval: ApprovalOptions,
    /// Show what would be done and stop.
    pub plan_only: bool,
    /// The question is answered in advance.
    pub yes: bool,
}

/// How a component goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// Its feature flag is switched off.
    Flag,
    /// Its files are restored.
    Files,
}

/// Takes the component back and proves that the app serves without what it left.
///
/// # Errors
/// Everything that ends without the app observed serving with the component's files as wanted.
pub fn take_back(caller: &Caller, request: &ComponentRequest) -> Result<ChangeOutcome, Failure> {
    check_reason(request.reason.as_deref())?;
    let session = Session::change(caller, "component")?.with_approval(&request.approval);
    let facts = session.facts()?;
    let component = find(&facts, &request.id)?.clone();
    let mut decisions = Decisions::default();
    match by_flag(&session, facts, &component, request, &mut decisions)? {
        AfterFlag::Ended(outcome) => Ok(*outcome),
        AfterFlag::Files(facts, tried) => {
            let ended = files(&session, *facts, &component, request, &tried, &decisions);
            let before = if let Tried::Flag(status) = tried { Some(status) } else { None };
            levels::after(before, ended)
        }
    }
}

/// What is left to do after the flag.
enum AfterFlag {
    Ended(Box<ChangeOutcome>),
    Files(Box<Facts>, Tried),
}

/// What became of the flag before it came to the files.
enum Tried {
    /// It is not a way, or is off already.
    Nothing,
    /// It could not be read or switched.
    PassedOver,
    /// It was switched, did not help and was restored: how that ended.
    Flag(Status),
}

/// By the flag, where that is the way.
fn by_flag(
    session: &Session,
    facts: Facts,
    component: &Component,
    request: &ComponentRequest,
    decisions: &mut Decisions,
) -> Result<AfterFlag, Failure> {
    let id = &component.id;
    let files = |facts, tried| Ok(AfterFlag::Files(Box::new(facts), tried));
    let way = match (request.via, &component.flag) {
        (Some(Via::Flag), None) => {
            return Err(Failure::unchanged(format!("{id} has no flag"))
                .next(format!("gitroll component {id}"), "restores its files"));
        }
        // Who names a state means its files.
        (None, _) if request.to.is_some() => Some(Via::Files),
        (None, None) => Some(Via::Files),
        (None, Some(_))
            if request.plan_only || request.yes || !session.caller.prompt().is_there() =>
        {
            None
        }
        (None, Some(flag)) => {
            let asked = format!("{id}: switch {} off, or restore its files?", flag.name);
            let asking = Instant::now();
            let answer = session.caller.prompt().choose(&asked, &["flag", "files"])?;
            session.caller.thought_since(asking);
            Some(if answer == 0 { Via::Flag } else { Via::Files })
        }
        (way, _) => way,
    };
    if way == Some(Via::Files) {
        return files(facts, Tried::Nothing);
    }
    if way.is_none() {
        let why = match flags::is_on(session, &facts, component) {
            Ok(true) => None,
            Ok(false) => Some(("its flag is not on".to_owned(), Tried::Nothing)),
            // The app that has it may be the one that is down.
            Err(failure) => {
                Some((format!("its flag is skipped: {}", failure.message), Tried::PassedOver))
            }
        };
        if let Some((why, tried)) = why {
            decisions.tell(session, &format!("{id}: {why}; restoring its files instead"));
            return files(facts, tried);
        }
    }
    let which = [id.to_string()];
    let wanted = flags::switched(&facts.accepted.config, &which, false)?;
    let change = flags::change(session, &facts, wanted, request.reason.clone())?;
    let options = ChangeOptions { plan_only: request.plan_only, ..ChangeOptions::default() };
    if way == Some(Via::Flag) || request.plan_only {
        let ended = carry_out(session, facts, change, &[], &options)?;
        return Ok(AfterFlag::Ended(Box::new(ended)));
    }
    match levels::try_level(session, facts, change, &options)? {
        LevelResult::Ended(outcome) => Ok(AfterFlag::Ended(outcome)),
        LevelResult::NotEnough(status) => {
            decisions.tell(
                session,
                &format!("{id}: switching its flag off did not help; restoring its files instead"),
            );
            files(session.facts()?, Tried::Flag(status))
        }
        LevelResult::Refused(why) => {
            decisions.tell(
                session,
                &format!(
                    "{id}: its flag could not be switched off: {why}; restoring its files instead"
                ),
            );
            files(session.facts()?, Tried::PassedOver)
        }
    }
}

fn files(
    session: &Session,
    facts: Facts,
    component: &Component,
    request: &ComponentRequest,
    tried: &Tried,
    decisions: &Decisions,
) -> Result<ChangeOutcome, Failure> {
    // The flag was tried because nobody is there to be asked: that goes for its files.
    let yes = request.yes || matches!(tried, Tried::Flag(_));
    let id = &component.id;
    let (chosen, mut warnings) = source(session, &facts, component, request)?;
    let source = chosen
        .commit
        .clone()
        .ok_or_else(|| Failure::unchanged("the target does not name a commit"))?;
    let site = &session.site;
    let left = &facts.serving.commit;
    let local = site.local(&facts.accepted.config);
    let own_edit = |path: &RepoPath| component.paths.covers(path) && !local.matches(path);
    let edited: Vec<RepoPath> =
        site.git.edited(left)?.into_iter().filter(|path| own_edit(path)).collect();
    let commit = match component::synthesise(&site.git, left, &source, component)? {
        Some(commit) => commit,
        None if edited.is_empty() => return same(session, &facts, component, &chosen, tried),
        None => {
            let name = &chosen.name;
            warnings
                .push(format!("{id} is the same in {name}: only edits on this host are removed"));
            left.clone()
        }
    };
    refuse_held(session, &facts, component, &commit, &chosen.name)?;
    let now = Content::of(&site.git, left, component)?;
    let wanted = Content::of(&site.git, &source, component)?;
    if wanted.is_empty() {
        let files = plural(now.len(), "file");
        warnings.push(format!("{id} has no file in {}: {files} will be removed", chosen.name));
    }
    let consent = Consent::of(request.plan_only, request.force, || {
        let to = request.to.as_ref().map(|to| format!(" --to {to}")).unwrap_or_default();
        format!("gitroll component {id}{to} --force")
    });
    let from = facts.names.served(&site.git, &source, None)?;
    let between = (&facts.serving, &from);
    warnings.extend(look(session, &facts, component, between, &commit, &consent)?);
    let older = match (
        first_served(session, &facts, component, &wanted)?,
        first_served(session, &facts, component, &now)?,
    ) {
        (Some(wanted), Some(left)) => wanted < left,
        _ => target::older(session, &facts, &source, left)?,
    };
    let judged = !request.no_verdict && !now.is_empty() && older;
    let content = now.digest();
    let recorded = Recorded {
        reason: request.reason.clone(),
        subject: Some(left.clone()),
        hold: judged.then(|| Hold::Component { id: component.id.clone(), content }),
        components: vec![component.id.clone()],
        decisions: decisions.lines(),
        ..Recorded::default()
    };
    let to = facts.names.served(&site.git, &commit, None)?;
    let change = Change {
        target: chosen.tag.clone(),
        recorded,
        warnings,
        ..Change::new(&facts, Event::Component, to)
    };
    let options =
        ChangeOptions { plan_only: request.plan_only, confirm: !yes, ..ChangeOptions::default() };
    carry_out(session, facts, change, &[], &options)
}

/// When the component first served here with this content, as a position among the deployments. Commits
/// cannot tell: one that brings old files back is the younger one.
fn first_served(
    session: &Session,
    facts: &Facts,
    component: &Component,
    content: &Content,
) -> Result<Option<usize>, Failure> {
    for (position, span) in facts.history.deployments().iter().enumerate() {
        if Content::of(&session.site.git, &span.commit, component)? == *content {
            return Ok(Some(position));
        }
    }
    Ok(None)
}

/// The component of this id.
///
/// # Errors
/// When there is none, with the nearest.
fn find<'a>(facts: &'a Facts, id: &str) -> Result<&'a Component, Failure> {
    let components = &facts.accepted.config.components;
    if let Some(found) = components.iter().find(|c| c.id.as_str() == id) {
        return Ok(found);
    }
    let failure = Failure::unchanged(format!("there is no component {id}"));
    if components.is_empty() {
        return Err(failure
            .detail(format!(
                "the gitroll.toml of record #{} declares no component",
                facts.accepted.seq
            ))
            .next("[component.ID] with paths = [\"…\"] in gitroll.toml", "declares one")
            .next("gitroll init", "accepts the changed file"));
    }
    const SHOWN: usize = 12;
    let known: Vec<String> = components.iter().map(|c| c.id.to_string()).collect();
    let more = if known.len() > SHOWN { ", …" } else { "" };
    let first = known.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    let failure = failure.detail(format!("gitroll.toml declares {first}{more}"));
    Err(match nearest(id, &known) {
        Some(near) => failure.next(format!("gitroll component {near}"), "the nearest name"),
        None => failure.next("gitroll component", "shows the flags"),
    })
}

/// Whose files the component shall have, and what is to be said of that.
fn source(
    session: &Session,
    facts: &Facts,
    component: &Component,
    request: &ComponentRequest,
) -> Result<(Candidate, Vec<String>), Failure> {
    let wanted = target::request(request.to.as_deref());
    let all = candidates::gather(&session.site, facts);
    let mut warnings = Vec::new();
    let chosen = match target::find(session, facts, &all, &wanted, Reach::default())? {
        Ok(found) => found.chosen,
        // What is bad as a whole may have this component good.
        Err(RequestError::Refused { candidate, reason })
            if matches!(&reason, Reason::Bad { .. } | Reason::Held { .. })
                || matches!(&reason, Reason::HeldComponent { id, .. } if *id != component.id) =>
        {
            warnings
                .push(format!("{} {reason}; used because it was named explicitly", candidate.name));
            *candidate
        }
        Err(error) => {
            let command = format!("component {}", component.id);
            return Err(target::refusal(session, facts, error, &command));
        }
    };
    if let Standing::Skipped(doubt) = &chosen.standing
        && warnings.is_empty()
    {
        warnings.push(format!("{} {doubt}; used because it was named explicitly", chosen.name));
    }
    Ok((chosen, warnings))
}

/// Refuses to bring back what is held, of this component or of another one that shares files with it.
fn refuse_held(
    session: &Session,
    facts: &Facts,
    component: &Component,
    commit: &Oid,
    name: &str,
) -> Result<(), Failure> {
    let git = &session.site.git;
    let serves = component::held_in(git, &facts.held_contents, &facts.serving.commit)?;
    let comes = component::held_in(git, &facts.held_contents, commit)?;
    let new = |found: &&component::HeldContent| {
        serves.iter().all(|there| there.held.digest != found.held.digest)
    };
    let Some(found) = comes.into_iter().find(new) else { return Ok(()) };
    let (id, seq) = (&component.id, found.held.seq);
    let held = &found.component.id;
    let mut failure =
        Failure::refused(format!("{name} contains {held} in a version that was marked bad"))
            .detail(format!("held by record #{seq} of {} ({})", found.held.writer, found.held.by));
    if let Some(reason) = &found.held.reason {
        failure = failure.detail(format!("because: {reason}"));
    }
    Err(failure
        .next(format!("gitroll component {id} --to TARGET"), "uses the files of another version")
        .next(format!("gitroll unhold {seq}"), "lifts the hold, if it was wrong"))
}

/// There is nothing to do: says so, and which state would make a difference.
fn same(
    session: &Session,
    facts: &Facts,
    component: &Component,
    chosen: &Candidate,
    tried: &Tried,
) -> Result<ChangeOutcome, Failure> {
    let site = &session.site;
    let id = &component.id;
    let others =
        || (format!("gitroll component {id} --to TARGET"), "uses the files of another version");
    if !matches!(tried, Tried::Nothing) {
        let what = if matches!(tried, Tried::PassedOver) {
            "its flag could not be switched"
        } else {
            "its flag did not help"
        };
        let what = format!("{id} is the same in {}, and {what}", chosen.name);
        let (command, does) = others();
        return Err(Failure::unchanged(what)
            .next(command, does)
            .next("gitroll back", "rolls back to the last good version"));
    }
    let deployment = facts.deployment(site);
    let observed = Observed::now(site, &facts.accepted.config, &facts.serving, &deployment);
    if !observed.healthy() {
        let faults = observed.faults().join(", ");
        let what = format!("{id} is the same in {}, and what serves is not healthy", chosen.name);
        return Err(Failure::unchanged(what)
            .detail(faults)
            .next(others().0, others().1)
            .next("gitroll back", "rolls back to the last good version"));
    }
    let found = format!("{id} is the same in {} and {}: nothing to do", facts.serving, chosen.name);
    let serving = (&facts.serving, &facts.serving);
    let mut outcome =
        ChangeOutcome::nothing_to_do("component", "nothing-to-do", serving, vec![found]);
    let now = Content::of(&site.git, &facts.serving.commit, component)?;
    for span in facts.history.deployments().iter().rev() {
        if Content::of(&site.git, &span.commit, component)? != now {
            let name = facts.names.served(&site.git, &span.commit, None)?.name;
            let command = format!("gitroll component {id} --to {}", span.seq);
            let what = format!("{name}, which served before, has different files");
            if let Ending::NothingToDo { other, .. } = &mut outcome.ending {
                *other = Some((command, what));
            }
            break;
        }
    }
    Ok(session.caller.ended(outcome))
}

/// A revision, and what was kept in it.
pub struct Kept {
    /// The revision, or the commit that has the components' good files.
    pub commit: Oid,
    /// The components that were kept.
    pub components: Vec<ComponentId>,
    /// What is to be said of it.
    pub warnings: Vec<String>,
}

/// Puts the good files of components into a revision: those that serve, unless they are held, else those of
/// the last good state.
///
/// # Errors
/// When there is no such component, no good state of it, or its files do not fit into the revision.
pub fn keep(
    session: &Session,
    facts: &Facts,
    revision: &Oid,
    ids: &[String],
    consent: &Consent,
) -> Result<Kept, Failure> {
    let mut kept = Kept { commit: revision.clone(), components: Vec::new(), warnings: Vec::new() };
    for id in ids {
        let component = find(facts, id)?;
        if kept.components.contains(&component.id) {
            continue;
        }
        let source = good(session, facts, component)?;
        let files = facts.names.served(&session.site.git, &source, None)?;
        match component::synthesise(&session.site.git, &kept.commit, &source, component)? {
            Some(commit) => {
                let live = facts.names.served(&session.site.git, &kept.commit, None)?;
                let between = (&live, &files);
                let warnings = look(session, facts, component, between, &commit, consent)?;
                kept.warnings.extend(warnings);
                kept.commit = commit;
                kept.components.push(component.id.clone());
                kept.warnings.push(format!("{id} keeps its files of {}", files.name));
            }
            None => {
                kept.warnings.push(format!("{id} is the same in {}: nothing to keep", files.name))
            }
        }
    }
    Ok(kept)
}

/// A commit that has the component's good files.
fn good(session: &Session, facts: &Facts, component: &Component) -> Result<Oid, Failure> {
    let git = &session.site.git;
    let held = |commit: &Oid| -> Result<bool, Failure> {
        let found = component::held_in(git, &facts.held_contents, commit)?;
        Ok(found.iter().any(|found| found.component.id == component.id))
    };
    let serving = &facts.serving.commit;
    let content = Content::of(git, serving, component)?;
    if !held(serving)? && !content.is_empty() {
        // The first state that had it: the same revision comes to the same commit every time.
        let first = first_served(session, facts, component, &content)?;
        let span = first.and_then(|position| facts.history.deployments().get(position));
        return Ok(span.map_or(serving, |span| &span.commit).clone());
    }
    let all = candidates::gather(&session.site, facts);
    for candidate in all.deployments() {
        let candidate = candidate?;
        let usable = candidate.standing == Standing::Usable;
        let Some(commit) = candidate.commit.filter(|_| usable) else { continue };
        if !held(&commit)? {
            return Ok(commit);
        }
    }
    Err(Failure::unchanged(format!(
        "no version that served here has good files of {}",
        component.id
    ))
    .next("gitroll targets", "shows every version and why it is skipped"))
}

/// What a person says to imports that would not find their file.
#[derive(Debug, Clone)]
pub enum Consent {
    /// Only the plan is shown.
    NotNeeded,
    /// `--force`
    Given,
    /// It has to be asked for; this command continues without asking.
    Ask(String),
}

impl Consent {
    /// What the arguments say.
    pub fn of(plan_only: bool, force: bool, forced: impl FnOnce() -> String) -> Self {
        match (plan_only, force) {
            (true, _) => Consent::NotNeeded,
            (false, true) => Consent::Given,
            (false, false) => Consent::Ask(forced()),
        }
    }
}

/// Looks at the change from `live` to `commit`, in which `component` has its files of `source`. What is to be
/// warned of, a line each.
///
/// # Errors
/// When an import in the tree that is to serve would not find its file, and nobody says to continue.
fn look(
    session: &Session,
    facts: &Facts,
    component: &Component,
    (live, source): (&Served, &Served),
    commit: &Oid,
    consent: &Consent,
) -> Result<Vec<String>, Failure> {
    let git = &session.site.git;
    let found = fit::examine(&ComponentChange {
        git,
        live,
        target: source,
        after: &git.entries(commit)?.into_iter().collect(),
        changes: &git.changes(&live.commit, commit)?,
        component,
        config: &facts.accepted.config,
    })?;
    let warnings = found.warnings.iter().map(ToString::to_string);
    let warnings = warnings.chain(found.unresolvable.iter().map(ToString::to_string)).collect();
    match (found.unresolvable.as_slice(), consent) {
        ([], _) | (_, Consent::NotNeeded | Consent::Given) => Ok(warnings),
        (dangling, Consent::Ask(forced)) => {
            ask(session, component, dangling, forced).map(|()| warnings)
        }
    }
}

fn ask(
    session: &Session,
    component: &Component,
    dangling: &[Dangling],
    forced: &str,
) -> Result<(), Failure> {
    const SHOWN: usize = 10;
    let count = plural(dangling.len(), "import");
    let lines: Vec<String> = dangling.iter().take(SHOWN).map(ToString::to_string).collect();
    for line in &lines {
        session.caller.tell(Notice::Alarm(line.clone()));
    }
    let id = &component.id;
    let question = format!("{count} would be missing with the files of {id}. Continue?");
    let refused = |failure: Failure| {
        failure
            .next(forced, "continues; a version that does not start is undone")
            .next("gitroll back", "restores a whole version, whose files match each other")
    };
    match session.caller.prompt().confirm(&question, false) {
        Ok(true) => Ok(()),
        Ok(false) => Err(refused(Failure::unchanged("not confirmed").and_nothing_changed())),
        Err(Unanswered::NobodyThere(_)) => {
            let what = format!("{count} would be missing in the new tree");
            let failure = Failure::new(Status::Usage, what);
            Err(refused(lines.into_iter().fold(failure, Failure::detail)))
        }
        Err(error) => Err(error.into()),
    }
}
