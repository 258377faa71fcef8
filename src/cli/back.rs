//! `gitroll back`

mod auto;
mod emergency;
mod refusal;

use clap::Args;

use super::Globals;
use super::exit::Exit;
use super::failure::{Failure, Status};
use super::flow::{Manner, carry_out, judgement};
use super::levels::{self, Decisions, Level};
use super::outcome::ChangeAnswer;
use super::session::Session;
use crate::config::{self, Selection, Service};
use crate::model::{Event, Oid, Outcome, Recorded};
use crate::plan::candidates::{self, Candidates};
use crate::plan::compose::{GroupsOf, Intent, file_of};
use crate::plan::facts::Facts;
use crate::plan::holds;
use crate::site::Observed;
use crate::target::{Candidate, Request, RequestError, Resolution, Standing, resolve};
use crate::ui::{Ui, plural, span};
use auto::auto;
pub(super) use emergency::left_out;
use emergency::{why_afterwards, without_a_build};
use refusal::lost_tags;
pub(super) use refusal::refusal;

/// Go back to an earlier state and prove that it serves
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll back                                to the last good state, after a question
  gitroll back --yes --reason 'errors 12 %'   without one, and why
  gitroll back --plan                         what would be done
  gitroll back --to last-stable               the highest *-stable tag that served here
  gitroll back --to v1.2.0-stable             a tag, a commit or a record number
  gitroll back --level auto                   flags of the suspects first, then the code
  gitroll back --level flags                  the values of before the last change of flags
  gitroll back --emergency                    no questions, only what is critical
  gitroll back --undo                         it was a false alarm: return")]
pub struct BackArgs {
    /// last-good, last-stable, previous, a tag, a commit or a record number [default: last-good]
    #[arg(long, value_name = "TARGET", conflicts_with = "undo")]
    to: Option<String>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// How deep it cuts
    #[arg(long, value_name = "LEVEL", default_value = "code", conflicts_with = "undo")]
    level: Level,
    /// Do not judge what is left as bad
    #[arg(long)]
    no_verdict: bool,
    /// Return to what the last `back`, `component` or change of flags left, and lift its verdict and hold
    #[arg(long)]
    undo: bool,
    /// No questions, only checks marked critical, nothing built that can be avoided; the reason is asked afterwards
    #[arg(long, conflicts_with_all = ["undo", "plan"])]
    emergency: bool,
    /// Go on to this many older candidates, each proven or undone before the next
    #[arg(long, value_name = "N", conflicts_with = "undo")]
    cascade: Option<usize>,
    /// Show what would be done and stop
    #[arg(long)]
    pub(super) plan: bool,
    /// Answer the question beforehand
    #[arg(long, short)]
    yes: bool,
}

impl BackArgs {
    /// To a commit, without a question.
    pub(super) fn to(commit: &Oid, reason: Option<String>) -> Self {
        Self {
            to: Some(commit.to_string()),
            reason,
            level: Level::Code,
            no_verdict: false,
            undo: false,
            emergency: false,
            cascade: None,
            plan: false,
            yes: true,
        }
    }
}

/// The targets that are found, not named.
const WORDS: [&str; 3] = ["last-good", "last-stable", "previous"];

/// Runs it.
///
/// # Errors
/// Everything that ends without the target observed serving.
pub fn run(globals: &Globals, ui: &Ui, args: &BackArgs) -> Result<Exit, Failure> {
    super::check_reason(args.reason.as_deref())?;
    let session = Session::change(globals, ui, "back")?;
    let facts = session.facts()?;
    let manner = Manner {
        plan_only: args.plan,
        yes: args.yes || args.emergency,
        asks: true,
        further: args.cascade.unwrap_or(1),
        any_candidate: args.to.as_deref().is_none_or(|to| WORDS.contains(&to)),
    };
    if args.undo {
        return undone(&session, facts, args, manner);
    }
    let ended = match args.level {
        Level::Flags if args.to.is_some() => Err(Failure::new(
            Status::Usage,
            "--to names code; --level flags puts back what flags were before their last change",
        )),
        Level::Flags => {
            levels::flags_before(&session, facts, args.reason.clone(), args.emergency, manner)
        }
        Level::Code => {
            let ended = code(&session, facts, args, manner, &mut Decisions::default());
            levels::name_flags_still_on(&session, ended)
        }
        Level::Auto => {
            let ended = auto(&session, facts, args, manner);
            levels::name_flags_still_on(&session, ended)
        }
    };
    if args.emergency && args.reason.is_none() {
        why_afterwards(&session, &ended);
    }
    ended
}

fn request(args: &BackArgs) -> Request {
    let to = args.to.as_deref().unwrap_or("last-good");
    to.parse().unwrap_or_else(|never: std::convert::Infallible| match never {})
}

fn code(
    session: &Session,
    facts: Facts,
    args: &BackArgs,
    manner: Manner,
    decisions: &mut Decisions,
) -> Result<Exit, Failure> {
    let request = request(args);
    let all = candidates::gather(&session.site, &facts)?;
    let mut found = choose(session, &facts, &all, &request)?;
    let passed_over =
        if args.emergency && args.to.is_none() { without_a_build(&mut found) } else { None };
    if let Some(exit) = already_there(session, &facts, &found.chosen, args.emergency)? {
        return Ok(exit);
    }
    let mut intent = intent(session, &facts, &all, &request, &found, args)?;
    if args.emergency {
        intent.emergency = true;
        intent.warnings.extend(left_out(&facts, passed_over));
    }
    intent.recorded.decisions = decisions.lines();
    let mut tried = found.chosen.name.clone();
    let mut ended = carry_out(session, facts, intent, &found.further, manner);
    // What served was healthy: each was undone before the next.
    for older in found.further.iter().take(args.cascade.unwrap_or(0)) {
        if !matches!(ended, Ok(Exit::Restored)) || session.was_stopped() {
            break;
        }
        let line = format!("cascade: on to {}, for {tried} was tried and undone", older.name);
        decisions.tell(session, &line);
        tried.clone_from(&older.name);
        let facts = session.facts()?;
        let found = Resolution { chosen: older.clone(), ..found.clone() };
        let mut next = self::intent(session, &facts, &all, &request, &found, args)?;
        if args.emergency {
            next.emergency = true;
            next.warnings.extend(left_out(&facts, None));
        }
        next.recorded.decisions = decisions.lines();
        ended = carry_out(session, facts, next, &[], Manner { yes: true, ..manner });
    }
    ended
}

fn choose(
    session: &Session,
    facts: &Facts,
    all: &Candidates,
    request: &Request,
) -> Result<Resolution, Failure> {
    find(session, facts, all, request)?.map_err(|error| refusal(session, facts, error, "back"))
}

/// The target of a request, or why there is none.
///
/// # Errors
/// When a name names nothing, or git cannot be read.
pub(super) fn find(
    session: &Session,
    facts: &Facts,
    all: &Candidates,
    request: &Request,
) -> Result<Result<Resolution, RequestError>, Failure> {
    let named = match request {
        Request::Named(name) => Some(
            candidates::named(&session.site, facts, name)
                .map_err(|error| super::unknown_name(session, facts, name, &WORDS, error))?,
        ),
        Request::Seq(seq) => candidates::of_seq(&session.site, facts, *seq)?,
        _ => None,
    };
    Ok(resolve(request, &all.deployments, &all.stable, named))
}

fn already_there(
    session: &Session,
    facts: &Facts,
    chosen: &Candidate,
    emergency: bool,
) -> Result<Option<Exit>, Failure> {
    if chosen.standing != Standing::Serving {
        return Ok(None);
    }
    if !facts.changed(&session.site, &facts.serving.commit)?.is_empty() {
        return Ok(None);
    }
    let config = &facts.accepted.config;
    let deployment = facts.deployment(&session.site);
    let only = if emergency { Selection::Critical } else { Selection::All };
    let observed = Observed::by(&session.site, config, &facts.serving, &deployment, only);
    let ui = &session.ui;
    let edited = session.site.git.edited(&facts.serving.commit)?;
    if observed.healthy() && edited.iter().all(|path| config.app.local.matches(path)) {
        ui.line(&format!("{} {} serves already: observed", ui.out.ok(), facts.serving));
        let answer = ChangeAnswer::of("already-serving", &facts.serving, &facts.serving);
        ui.document("back", 0, &answer);
        return Ok(Some(Exit::Done));
    }
    Ok(None)
}

fn intent(
    session: &Session,
    facts: &Facts,
    all: &Candidates,
    request: &Request,
    found: &Resolution,
    args: &BackArgs,
) -> Result<Intent, Failure> {
    let chosen = &found.chosen;
    let commit =
        chosen.commit.clone().ok_or_else(|| Failure::unchanged("the target names no commit"))?;
    let mut to = facts.names.served(&session.site.git, &commit, None)?;
    if chosen.tag.is_some() {
        to.name = chosen.name.clone();
    }
    let left = &facts.serving.commit;
    let judged = !args.no_verdict && commit != *left && older(session, facts, &commit, left)?;
    let recorded = if judged {
        // What a component's files were put into is left together with the commit that has them.
        let judged = holds::judged_with(&session.site, facts, left, &commit)?;
        judgement(&judged, args.reason.clone())
    } else {
        Recorded { reason: args.reason.clone(), ..Recorded::default() }
    };
    let mut warnings = Vec::new();
    if let Standing::Skipped(doubt) = &chosen.standing {
        warnings.push(format!("{} {doubt}; taken because it was named", to.name));
    }
    warnings.extend(other_choice(session, all, request, &commit));
    warnings.extend(lost_tags(session, facts));
    warnings.extend(not_started(session, facts, &commit, &to.name)?);
    Ok(Intent {
        event: Event::Back,
        from: facts.serving.clone(),
        to,
        target: chosen.tag.clone(),
        config: facts.accepted.config.clone(),
        config_text: facts.accepted.text.clone(),
        groups: GroupsOf::Target,
        recorded,
        skipped: found.skipped.clone(),
        warnings,
        flags: Vec::new(),
        hidden: Default::default(),
        emergency: false,
    })
}

/// Services that the target had and the accepted configuration has no more: going back starts none of them.
fn not_started(
    session: &Session,
    facts: &Facts,
    commit: &Oid,
    name: &str,
) -> Result<Vec<String>, Failure> {
    let text = file_of(&session.site, commit)?.unwrap_or_default();
    let Ok(own) = config::parse(&text, "gitroll.toml") else { return Ok(Vec::new()) };
    let lost = config::dropped(&own, &facts.accepted.config);
    let warning = |service: &Service| {
        let service = &service.name;
        format!(
            "{service} was a service of {name}, and is none of the accepted gitroll.toml: it is not started; \
             gitroll deploy {name} goes by its own file"
        )
    };
    Ok(lost.iter().map(warning).collect())
}

/// Whether `target` is older than what is left: its ancestor, or, in unrelated histories, put in place
/// here before it.
pub(super) fn older(
    session: &Session,
    facts: &Facts,
    target: &Oid,
    left: &Oid,
) -> Result<bool, Failure> {
    let git = &session.site.git;
    if git.contains(left, target)? {
        return Ok(true);
    }
    if git.contains(target, left)? {
        return Ok(false);
    }
    let first = |commit: &Oid| facts.history.deployments().iter().position(|s| s.commit == *commit);
    Ok(match (first(target), first(left)) {
        (Some(target), Some(left)) => target < left,
        (Some(_), None) => true,
        _ => false,
    })
}

/// When last-good and last-stable differ, the other one is shown with its distance and age.
fn other_choice(
    session: &Session,
    all: &Candidates,
    request: &Request,
    taken: &Oid,
) -> Option<String> {
    let (other, name) = match request {
        Request::LastGood => (Request::LastStable, "last-stable"),
        Request::LastStable => (Request::LastGood, "last-good"),
        _ => return None,
    };
    let found = resolve(&other, &all.deployments, &all.stable, None).ok()?.chosen;
    let commit = found.commit.filter(|commit| commit != taken)?;
    let git = &session.site.git;
    let apart = git
        .distance(&commit, taken)
        .ok()
        .into_iter()
        .chain(git.distance(taken, &commit).ok())
        .max()
        .unwrap_or(0);
    let age = found.served.map(|s| {
        let ago = crate::ui::ago(s.last, crate::system::clock::now());
        format!(", served here {} ago", span(ago))
    });
    Some(format!(
        "{name} is {} ({}), {} apart{}",
        found.name,
        commit.short(),
        plural(apart, "commit"),
        age.unwrap_or_default()
    ))
}

/// Returns to what the last rollback or change of flags left.
fn undone(
    session: &Session,
    facts: Facts,
    args: &BackArgs,
    manner: Manner,
) -> Result<Exit, Failure> {
    let own = facts.own(&session.site).iter().rev();
    let mut done = own.filter(|entry| entry.record.outcome == Outcome::Succeeded);
    let last = done.find(|entry| entry.record.event.serves()).cloned();
    match last.filter(|entry| entry.record.event == Event::Flags) {
        Some(last) if last.record.lifts.is_empty() => {
            levels::flags_before(session, facts, args.reason.clone(), false, manner)
        }
        Some(last) => levels::flags_again(session, facts, &last, args.reason.clone(), manner),
        None => {
            let intent = undo(session, &facts, args)?;
            carry_out(session, facts, intent, &[], manner)
        }
    }
}

/// The intent to return to what the last rollback left.
fn undo(session: &Session, facts: &Facts, args: &BackArgs) -> Result<Intent, Failure> {
    let last = facts
        .own(&session.site)
        .iter()
        .rev()
        // What failed and was taken back changed nothing that an undo would have to undo first.
        .filter(|entry| entry.record.outcome != Outcome::Restored)
        .find(|entry| entry.record.event.serves() && entry.record.to.is_some());
    let back = last.filter(|entry| {
        matches!(entry.record.event, Event::Back | Event::Component)
            && entry.record.outcome == Outcome::Succeeded
    });
    let Some(entry) = back else {
        return Err(Failure::unchanged("the last thing done here was no rollback")
            .next("gitroll log", "shows what was done")
            .next("gitroll deploy REV", "puts any revision in place"));
    };
    if facts.by_hand() {
        return Err(Failure::unchanged(format!(
            "HEAD was moved by hand since record #{}",
            entry.record.seq
        ))
        .next("gitroll deploy REV", "puts any revision in place"));
    }
    let left = entry.record.from.clone().ok_or_else(|| {
        Failure::unchanged(format!("record #{} does not say what it left", entry.record.seq))
    })?;
    let to = facts.names.served(&session.site.git, &left, None)?;
    Ok(Intent {
        event: Event::Back,
        from: facts.serving.clone(),
        to,
        target: None,
        config: facts.accepted.config.clone(),
        config_text: facts.accepted.text.clone(),
        groups: GroupsOf::Target,
        recorded: Recorded {
            reason: args.reason.clone(),
            lifts: if entry.record.verdict.is_some() || entry.record.hold.is_some() {
                vec![entry.digest]
            } else {
                Vec::new()
            },
            components: entry.record.components.clone(),
            ..Recorded::default()
        },
        skipped: Vec::new(),
        warnings: Vec::new(),
        flags: Vec::new(),
        hidden: Default::default(),
        emergency: false,
    })
}
