//! `gitroll component`

mod fits;
mod keep;
mod list;

pub use fits::Consent;
pub use keep::{Kept, keep};
pub use list::ComponentsAnswer;

use clap::{Args, ValueEnum};

use super::Globals;
use super::back;
use super::exit::Exit;
use super::failure::{Failure, Status};
use super::flags::{intent, switched};
use super::flow::{Manner, carry_out};
use super::levels::{self, Came, Decisions};
use super::outcome::ChangeAnswer;
use super::session::Session;
use crate::component::{self, Content};
use crate::config::Component;
use crate::model::{Event, Hold, Oid, Recorded, RepoPath};
use crate::plan::candidates;
use crate::plan::compose::{GroupsOf, Intent};
use crate::plan::facts::Facts;
use crate::plan::preflight::nearest;
use crate::site::Observed;
use crate::target::{Candidate, Reason, Request, RequestError, Standing};
use crate::ui::{Ui, can_ask, choose, escape, plural};

/// Take one component back, by its feature flag or its files, and prove it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll component                           the components, and how they stand
  gitroll component QW-001                    its flag off; where that is not enough, its files back
  gitroll component QW-001 --plan             what would be done
  gitroll component QW-001 --to v1.2.0-stable --yes --reason 'uploads time out'
  gitroll back --undo                         it was a false alarm: return

Everything outside the component stays as it serves now. What is left is held: a deploy that brings the
same files of the component back is refused, one that changes them is not.")]
pub struct ComponentArgs {
    /// The component; without it they are listed
    id: Option<String>,
    /// Whose files: last-good, last-stable, previous, a tag, commit or record number [default: last-good]
    #[arg(long, value_name = "TARGET", requires = "id")]
    to: Option<String>,
    /// By its flag or by its files [default: asked on a terminal; else the flag, then the files]
    #[arg(long, value_name = "WAY", requires = "id")]
    via: Option<Via>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", requires = "id")]
    reason: Option<String>,
    /// Do not hold what is left
    #[arg(long, requires = "id")]
    no_verdict: bool,
    /// Go on although files that stay would import what disappears
    #[arg(long, requires = "id")]
    force: bool,
    /// Show what would be done and stop
    #[arg(long, requires = "id")]
    pub(super) plan: bool,
    /// Answer the question beforehand
    #[arg(long, short, requires = "id")]
    yes: bool,
}

/// How a component goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Via {
    /// Its feature flag is switched off
    Flag,
    /// Its files are put back
    Files,
}

impl ComponentArgs {
    /// Whether it changes nothing.
    pub fn only_looks(&self) -> bool {
        self.plan || self.id.is_none()
    }
}

/// Runs it.
///
/// # Errors
/// Everything that ends without the app observed serving with the component's files as wanted.
pub fn run(globals: &Globals, ui: &Ui, args: &ComponentArgs) -> Result<Exit, Failure> {
    let Some(id) = &args.id else { return list::run(globals, ui) };
    super::check_reason(args.reason.as_deref())?;
    let session = Session::change(globals, ui, "component")?;
    let facts = session.facts()?;
    let component = find(&facts, id)?.clone();
    let mut decisions = Decisions::default();
    match via(&session, facts, &component, args, &mut decisions)? {
        Gone::Ended(exit) => Ok(exit),
        Gone::Files(facts, tried) => {
            let ended = files(&session, *facts, &component, args, &tried, &decisions);
            let before = if let Tried::Flag(exit) = tried { Some(exit) } else { None };
            levels::after(before, ended)
        }
    }
}

/// What is left to do after the flag.
enum Gone {
    Ended(Exit),
    /// Its files.
    Files(Box<Facts>, Tried),
}

/// What became of the flag before it came to the files.
enum Tried {
    /// It is no way, or is off already.
    Nothing,
    /// It could not be read or switched.
    PassedOver,
    /// It was switched, did not help and was put back: how that ended.
    Flag(Status),
}

/// By the flag, where that is the way.
fn via(
    session: &Session,
    facts: Facts,
    component: &Component,
    args: &ComponentArgs,
    decisions: &mut Decisions,
) -> Result<Gone, Failure> {
    let id = &component.id;
    let files = |facts, tried| Ok(Gone::Files(Box::new(facts), tried));
    let way = match (args.via, &component.flag) {
        (Some(Via::Flag), None) => {
            return Err(Failure::unchanged(format!("{id} has no flag"))
                .next(format!("gitroll component {id}"), "puts its files back"));
        }
        // Who names a state means its files.
        (None, _) if args.to.is_some() => Some(Via::Files),
        (None, None) => Some(Via::Files),
        (None, Some(_)) if args.plan || args.yes || !can_ask(&session.ui) => None,
        (None, Some(flag)) => {
            let asked = format!("{id}: switch {} off, or put its files back?", flag.name);
            let answer = choose(&session.ui, &asked, &["flag", "files"])?;
            Some(if answer == 0 { Via::Flag } else { Via::Files })
        }
        (way, _) => way,
    };
    if way == Some(Via::Files) {
        return files(facts, Tried::Nothing);
    }
    if way.is_none() {
        let why = match levels::is_on(session, &facts, component) {
            Ok(true) => None,
            Ok(false) => Some(("its flag is not on".to_owned(), Tried::Nothing)),
            // The app that has it may be the one that is down.
            Err(failure) => {
                Some((format!("its flag passed over: {}", failure.message), Tried::PassedOver))
            }
        };
        if let Some((why, tried)) = why {
            decisions.tell(session, &format!("{id}: {why}; its files then"));
            return files(facts, tried);
        }
    }
    let which = [id.to_string()];
    let wanted = switched(&facts.accepted.config, &which, false)?;
    let intent = intent(session, &facts, wanted, args.reason.clone())?;
    let manner =
        Manner { plan_only: args.plan, yes: true, asks: false, any_candidate: false, further: 1 };
    if way == Some(Via::Flag) || args.plan {
        return carry_out(session, facts, intent, &[], manner).map(Gone::Ended);
    }
    match levels::try_level(session, facts, intent, manner)? {
        Came::Ended(exit) => Ok(Gone::Ended(exit)),
        Came::NotEnough(exit) => {
            decisions.tell(session, &format!("{id}: its flag is not enough; its files then"));
            files(session.facts()?, Tried::Flag(exit))
        }
        Came::Refused(why) => {
            decisions
                .tell(session, &format!("{id}: its flag is not switched: {why}; its files then"));
            files(session.facts()?, Tried::PassedOver)
        }
    }
}

fn files(
    session: &Session,
    facts: Facts,
    component: &Component,
    args: &ComponentArgs,
    tried: &Tried,
    decisions: &Decisions,
) -> Result<Exit, Failure> {
    // The flag was tried because nobody is there to be asked: that goes for its files.
    let yes = args.yes || matches!(tried, Tried::Flag(_));
    let id = &component.id;
    let (chosen, mut warnings) = source(session, &facts, component, args)?;
    let source =
        chosen.commit.clone().ok_or_else(|| Failure::unchanged("the target names no commit"))?;
    let site = &session.site;
    let left = &facts.serving.commit;
    let local = &facts.accepted.config.app.local;
    let own_edit = |path: &RepoPath| component.paths.covers(path) && !local.matches(path);
    let edited: Vec<RepoPath> =
        site.git.edited(left)?.into_iter().filter(|path| own_edit(path)).collect();
    let commit = match component::synthesise(&site.git, left, &source, component)? {
        Some(commit) => commit,
        None if edited.is_empty() => return same(session, &facts, component, &chosen, tried),
        None => {
            let name = &chosen.name;
            warnings.push(format!("{id} is the same in {name}: only edits of this host go"));
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
    let consent = Consent::of(args.plan, args.force, || {
        let to = args.to.as_ref().map(|to| format!(" --to {to}")).unwrap_or_default();
        format!("gitroll component {id}{to} --force")
    });
    let from = facts.names.served(&site.git, &source, None)?;
    let between = (&facts.serving, &from);
    warnings.extend(fits::look(session, &facts, component, between, &commit, &consent)?);
    let older = match (
        first_served(session, &facts, component, &wanted)?,
        first_served(session, &facts, component, &now)?,
    ) {
        (Some(wanted), Some(left)) => wanted < left,
        _ => back::older(session, &facts, &source, left)?,
    };
    let judged = !args.no_verdict && !now.is_empty() && older;
    let content = now.digest();
    let recorded = Recorded {
        reason: args.reason.clone(),
        subject: Some(left.clone()),
        hold: judged.then(|| Hold::Component { id: component.id.clone(), content }),
        components: vec![component.id.clone()],
        decisions: decisions.lines(),
        ..Recorded::default()
    };
    let intent = Intent {
        event: Event::Component,
        from: facts.serving.clone(),
        to: facts.names.served(&site.git, &commit, None)?,
        target: chosen.tag.clone(),
        config: facts.accepted.config.clone(),
        config_text: facts.accepted.text.clone(),
        groups: GroupsOf::Target,
        recorded,
        skipped: Vec::new(),
        warnings,
        flags: Vec::new(),
        hidden: Default::default(),
        emergency: false,
    };
    let manner = Manner { plan_only: args.plan, yes, asks: true, any_candidate: false, further: 1 };
    carry_out(session, facts, intent, &[], manner)
}

/// When the component first served here with this content, as a position among the deployments. Commits
/// cannot tell: one that brings old files back is the younger one.
pub(super) fn first_served(
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
pub(super) fn find<'a>(facts: &'a Facts, id: &str) -> Result<&'a Component, Failure> {
    let components = &facts.accepted.config.components;
    if let Some(found) = components.iter().find(|c| c.id.as_str() == id) {
        return Ok(found);
    }
    let failure = Failure::unchanged(format!("there is no component {id}"));
    if components.is_empty() {
        return Err(failure
            .detail(format!("the gitroll.toml of record #{} declares none", facts.accepted.seq))
            .next("[component.ID] with paths = [\"…\"] in gitroll.toml", "declares one")
            .next("gitroll init", "accepts the changed file"));
    }
    let known: Vec<String> = components.iter().map(|c| c.id.to_string()).collect();
    Err(match nearest(id, &known) {
        Some(near) => failure.next(format!("gitroll component {near}"), "the nearest name"),
        None => failure.next("gitroll component", "shows them"),
    })
}

/// Whose files the component shall have, and what is to be said of that.
fn source(
    session: &Session,
    facts: &Facts,
    component: &Component,
    args: &ComponentArgs,
) -> Result<(Candidate, Vec<String>), Failure> {
    let request: Request = args
        .to
        .as_deref()
        .unwrap_or("last-good")
        .parse()
        .unwrap_or_else(|never: std::convert::Infallible| match never {});
    let all = candidates::gather(&session.site, facts)?;
    let mut warnings = Vec::new();
    let chosen = match back::find(session, facts, &all, &request)? {
        Ok(found) => found.chosen,
        // What is bad as a whole may have this component good.
        Err(RequestError::Refused { candidate, reason })
            if matches!(&reason, Reason::Bad { .. } | Reason::Held { .. })
                || matches!(&reason, Reason::HeldComponent { id, .. } if *id != component.id) =>
        {
            warnings.push(format!("{} {reason}; taken because it was named", candidate.name));
            *candidate
        }
        Err(error) => {
            let command = format!("component {}", component.id);
            return Err(back::refusal(session, facts, error, &command));
        }
    };
    if let Standing::Skipped(doubt) = &chosen.standing
        && warnings.is_empty()
    {
        warnings.push(format!("{} {doubt}; taken because it was named", chosen.name));
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
    let mut failure = Failure::refused(format!("{name} has {held} as it was judged bad"))
        .detail(format!("held by record #{seq} of {} ({})", found.held.writer, found.held.by));
    if let Some(reason) = &found.held.reason {
        failure = failure.detail(format!("because: {reason}"));
    }
    Err(failure
        .next(format!("gitroll component {id} --to TARGET"), "takes the files of another state")
        .next(format!("gitroll unhold {seq}"), "the hold was wrong"))
}

/// There is nothing to do: says so, and which state would make a difference.
fn same(
    session: &Session,
    facts: &Facts,
    component: &Component,
    chosen: &Candidate,
    tried: &Tried,
) -> Result<Exit, Failure> {
    let site = &session.site;
    let (ui, id) = (&session.ui, &component.id);
    let others =
        || (format!("gitroll component {id} --to TARGET"), "takes the files of another state");
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
            .next("gitroll back", "goes back to the last good state"));
    }
    let deployment = facts.deployment(site);
    let observed = Observed::now(site, &facts.accepted.config, &facts.serving, &deployment);
    if !observed.healthy() {
        let faults = observed.faults().join(", ");
        let what = format!("{id} is the same in {}, and what serves is not well", chosen.name);
        return Err(Failure::unchanged(what)
            .detail(faults)
            .next(others().0, others().1)
            .next("gitroll back", "goes back to the last good state"));
    }
    ui.line(&format!(
        "{} {id} is the same in {} and {}: nothing to do",
        ui.out.ok(),
        facts.serving,
        escape(&chosen.name)
    ));
    let now = Content::of(&site.git, &facts.serving.commit, component)?;
    for span in facts.history.deployments().iter().rev() {
        if Content::of(&site.git, &span.commit, component)? != now {
            let name = facts.names.served(&site.git, &span.commit, None)?.name;
            ui.line(&format!("  next     gitroll component {id} --to {}", span.seq));
            ui.line(&format!("           {}, which served before, has other files", escape(&name)));
            break;
        }
    }
    ui.document("component", 0, &ChangeAnswer::of("nothing-to-do", &facts.serving, &facts.serving));
    Ok(Exit::Done)
}
