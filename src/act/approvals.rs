//! Approvals: asking for them before an act, waiting for them, and giving them elsewhere.

use std::cmp::Reverse;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::caller::{Caller, Notice};
use super::failure::{Failure, SAME_COMMAND};
use super::outcome::{RecordBrief, Status};
use super::session::Session;
use super::statement::{check_reason, state, statement};
use crate::config::Config;
use crate::data::{Host, live_faults};
use crate::engine;
use crate::ledger::approval::{self, Answer, OpenRequest};
use crate::ledger::{self, LedgerError};
use crate::model::{
    ApprovalEvidence, ApprovalLevel, ApprovalOptions, ApprovalRequest, Event, GivenApproval,
    Intent, ItemSection, Moment, Outcome, Plan,
};
use crate::plan::facts::Facts;
use crate::site::{Observed, Site, maintenance};
use crate::system::clock;
use crate::system::git::Pushed;
use crate::system::text::{escape, span};

/// A remote that has not answered by then counts as away.
const ASK_LIMIT: Duration = Duration::from_secs(10);
/// How often it is looked for answers while a person waits.
const LOOK: Duration = Duration::from_secs(2);

/// A request as it is told.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RequestView {
    /// The digest of what is asked for.
    pub digest: String,
    /// What is asked for, by whom and since when.
    pub request: ApprovalRequest,
    /// The roles that nobody has approved for yet.
    pub missing: Vec<String>,
    /// Whether someone denied it.
    pub denied: bool,
    /// Whether its time is over, by this clock.
    pub expired: bool,
    /// Whether it was used: the act is on record.
    pub done: bool,
}

/// The answer of `approve`.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct ApproveAnswer {
    /// `--list`: the requests, open ones first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<Vec<RequestView>>,
    /// The request that was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered: Option<RequestView>,
    /// The record of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<RecordBrief>,
    /// Whether the remote has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<bool>,
    /// The answer as a line, for `--approval` where there is no remote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
}

/// To answer a request.
#[derive(Debug, Clone, Default)]
pub struct ApproveRequest {
    /// The beginning of its digest, or its line; the only open one where left out.
    pub which: Option<String>,
    /// Denied, and why.
    pub deny: Option<String>,
    /// The question is answered in advance.
    pub yes: bool,
}

/// The roles that must approve a plan, and for what; `None` where nobody has to.
pub(super) fn needed(config: &Config, plan: &Plan) -> Option<(ApprovalLevel, Vec<String>)> {
    let level = Intent::level(plan)?;
    let roles = config.approvals.roles(level);
    (!roles.is_empty()).then(|| (level, roles.to_vec()))
}

/// What a plan loses, in words.
fn loses(plan: &Plan) -> Option<String> {
    let items = plan.full.iter().flat_map(|full| &full.items);
    let data = items.filter(|item| item.section == ItemSection::Data).map(|item| {
        let age = item
            .seconds
            .map(Duration::from_secs)
            .map_or_else(String::new, |age| format!("goes back {}, ", span(age)));
        let rows = item.rows.map_or("loss unknown".to_owned(), |rows| format!("loses {rows} rows"));
        format!("data {}: {age}{rows}", item.name)
    });
    let migrated = plan.migrates().map(|step| step.loses.in_words());
    let all: Vec<String> = data.chain(migrated).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// Lets a plan go on once everyone has approved it who has to. Asks for that where nobody has yet, and waits while there
/// is a person at the terminal.
///
/// # Errors
/// 11 while somebody is missing, 10 where it was denied or `--override` is not for this.
pub(super) fn require(
    session: &Session,
    facts: &Facts,
    plan: &Plan,
    observed: &Observed,
    options: &ApprovalOptions,
) -> Result<Option<ApprovalEvidence>, Failure> {
    let (site, config) = (&session.site, &facts.accepted.config);
    let Some((level, roles)) = needed(config, plan) else { return Ok(None) };
    if let Some(reason) = &options.overriding {
        check_reason(Some(reason))?;
        if !is_down(site, config, observed) && !is_corrupt(session, config) {
            return Err(Failure::refused(
                "--override is only for when everything is observed down and nobody stopped it, \
                 or when data fails its checks",
            )
            .nothing_changed()
            .next("the same command without --override", "asks for the approvals"));
        }
        let given = Vec::new();
        let overridden = Some(reason.clone());
        return Ok(Some(ApprovalEvidence { level, roles, request: None, given, overridden }));
    }
    let remote = config.remote.name.clone();
    let intent = Intent::of(plan, level);
    let open = approval::request_of(&site.git, &site.binding, &intent.digest())?;
    let open = open.filter(|open| {
        open.request.intent.writer == site.binding.writer
            && open.request.roles == roles
            && left(&open.request).is_some()
    });
    // Approvals are for one act: what was done with them is not done again.
    let open = match open {
        Some(open) if is_done(site, &open)? => None,
        open => open,
    };
    let request = match open {
        Some(open) => open,
        None => {
            let person = site.person();
            let request = ApprovalRequest {
                request: ApprovalRequest::VERSION,
                intent,
                roles,
                valid_seconds: config.approvals.valid.as_secs(),
                opened: clock::now(),
                clock: clock::since_boot(),
                by: format!("{} <{}>", person.name, person.email),
                reason: plan.recorded.reason.clone(),
                names: (plan.from.to_string(), plan.to.to_string()),
                loses: loses(plan),
            };
            approval::open_request(&site.git, &site.binding, &request, &person)?
        }
    };
    let name = approval::request_ref(&site.binding.environment, &request.digest);
    let published = session.letting_others_in(|| published(site, &remote, &name));
    if let Err(why) = &published {
        session.caller.warn(format!("the request is not published: {why}"));
    }
    let waits = session.caller.prompt().is_there();
    let mut told = Vec::new();
    if waits {
        session.heed_signals();
        session.caller.between_runs(Some("stopping; the request stays open"));
    }
    loop {
        if published.is_ok() {
            session.letting_others_in(|| fetch(site, &remote, false));
        }
        match session.be_at_work() {
            // Whoever came in meanwhile is waited for like an answer.
            Err(busy) if waits && busy.status == Status::Busy && !session.was_stopped() => {
                std::thread::sleep(LOOK);
                continue;
            }
            at_work => at_work?,
        }
        let judged = judged(site, &request, &options.lines)?;
        if let Some((who, reason)) = &judged.denied {
            let why = reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
            return Err(Failure::refused(format!("{who} denied it{why}")).nothing_changed());
        }
        if judged.missing.is_empty() {
            session.caller.between_runs(None);
            let request = Some(request.blob.clone());
            let roles = config.approvals.roles(level).to_vec();
            let given = judged.given;
            let overridden = None;
            return Ok(Some(ApprovalEvidence { level, roles, request, given, overridden }));
        }
        let expired = left(&request.request).is_none();
        if !waits || expired || session.was_stopped() {
            session.caller.between_runs(None);
            let failure = missing(&request, &judged, expired, published.is_ok());
            return Err(offering_a_stop(failure, site, observed));
        }
        let line = waiting(&request, &judged);
        if told.last() != Some(&line) {
            session.caller.info(line.clone());
            if told.is_empty() && is_hurting(site, observed) {
                session.caller.tell(Notice::MoreNext(STOP.to_owned(), STOPS.to_owned()));
            }
            told.push(line);
        }
        // Whoever stops the damage first is not kept out.
        session.letting_others_in(|| std::thread::sleep(LOOK));
        session.be_at_work()?;
    }
}

/// What stops the damage while approvals are awaited.
const STOP: &str = "gitroll service stop --maintenance";
const STOPS: &str = "stops the damage meanwhile; needs no approval";

/// Whether what serves is up and wrong: it may do harm until it is rolled back.
fn is_hurting(site: &Site, observed: &Observed) -> bool {
    !observed.healthy()
        && observed.services.iter().any(|(_, state)| state.as_ref().is_ok_and(|state| state.up))
        && maintenance(site).is_none()
}

fn offering_a_stop(failure: Failure, site: &Site, observed: &Observed) -> Failure {
    match is_hurting(site, observed) {
        true => failure.next(STOP, STOPS),
        false => failure,
    }
}

/// Whether everything was down before anybody stopped it.
fn is_down(site: &Site, config: &Config, observed: &Observed) -> bool {
    let was_down = || maintenance(site).is_some_and(|maintenance| maintenance.was_down);
    observed.nothing_answers(config) && (!observed.stopped() || was_down())
}

/// Whether live data fails its own checks or those that are declared. What is wrong is told.
fn is_corrupt(session: &Session, config: &Config) -> bool {
    let host = Host::of(&session.site.binding, session.site.top(), config.points.max_time);
    let faults = live_faults(&host, config);
    for fault in &faults {
        session.caller.warn(fault.clone());
    }
    !faults.is_empty()
}

/// Whether a request was used: its writer recorded the act. One that was restored may be tried again.
fn is_done(site: &Site, request: &OpenRequest) -> Result<bool, LedgerError> {
    let ledger = site.ledger()?;
    let asked = &request.request;
    let Some(chain) = ledger.chains.get(&asked.intent.writer) else { return Ok(false) };
    let since = chain.entries.iter().rev().take_while(|entry| {
        // To the second, by the same clock.
        entry.tagger.time.as_second() >= asked.opened.as_second()
    });
    for entry in since.filter(|entry| entry.record.outcome != Outcome::Restored) {
        let approvals = ledger::evidence(&site.git, entry)?.approvals;
        if approvals.is_some_and(|used| used.request.as_ref() == Some(&request.blob)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// How long a request is still open, by the clocks of its writer; `None` if its time is over, or the clocks do not agree.
fn left(request: &ApprovalRequest) -> Option<Duration> {
    let opened = Moment { time: request.opened, boot: request.clock.clone() };
    let since = opened.until(&clock::moment())?;
    Duration::from_secs(request.valid_seconds).checked_sub(since).filter(|left| !left.is_zero())
}

/// Where a request stands.
#[derive(Debug, Default)]
struct Judged {
    given: Vec<GivenApproval>,
    missing: Vec<String>,
    /// Answers that do not count, and why.
    not_counted: Vec<String>,
    /// By whom, and why.
    denied: Option<(String, Option<String>)>,
}

fn judged(site: &Site, request: &OpenRequest, lines: &[String]) -> Result<Judged, LedgerError> {
    let ledger = site.ledger()?;
    let (answers, problems) = approval::answers(&site.git, &site.binding, &ledger, request, lines);
    let mut judged = judge(&request.request.roles, &request.key, &request.request.by, answers);
    judged.not_counted.extend(problems);
    Ok(judged)
}

/// Who approved for which role. Each role needs a person of its own, and nobody approves what they run themselves.
fn judge(roles: &[String], runner: &str, by: &str, answers: Vec<Answer>) -> Judged {
    let mut judged = Judged::default();
    let mut counted: Vec<Answer> = Vec::new();
    for answer in answers {
        let who = format!("{} ({})", escape(&answer.person.name), answer.writer);
        let email = format!("<{}>", answer.person.email.to_lowercase());
        let same = |other: &Answer| {
            other.key == answer.key || other.person.email.eq_ignore_ascii_case(&answer.person.email)
        };
        if answer.key == runner || by.to_lowercase().ends_with(&email) {
            judged.not_counted.push(format!("{who} runs it"));
        } else if answer.roles.is_empty() {
            let roles = roles.join(", ");
            judged.not_counted.push(format!("{who} does not have the role {roles}"));
        } else if !answer.approved {
            judged.denied.get_or_insert((who, answer.reason.as_deref().map(escape)));
        } else if counted.iter().any(same) {
            judged.not_counted.push(format!("{who} approved already: another person is needed"));
        } else {
            counted.push(answer);
        }
    }
    let best = best(roles, &counted);
    for (role, answer) in roles.iter().zip(best) {
        match answer.and_then(|at| counted.get(at)) {
            Some(answer) => judged.given.push(GivenApproval {
                role: role.clone(),
                name: answer.person.name.clone(),
                email: answer.person.email.clone(),
                writer: answer.writer.clone(),
                key: answer.key.clone(),
            }),
            None => judged.missing.push(role.clone()),
        }
    }
    judged
}

/// For each role the answer that fills it, so that as many as possible are filled: who has two roles leaves one to others.
fn best(roles: &[String], answers: &[Answer]) -> Vec<Option<usize>> {
    fn place(
        role: usize,
        roles: &[String],
        answers: &[Answer],
        seen: &mut Vec<usize>,
        taken: &mut [Option<usize>],
    ) -> bool {
        for (at, answer) in answers.iter().enumerate() {
            if !answer.roles.contains(&roles[role]) || seen.contains(&at) {
                continue;
            }
            seen.push(at);
            let other = taken.iter().position(|taken| *taken == Some(at));
            if other.is_none_or(|other| place(other, roles, answers, seen, taken)) {
                taken[role] = Some(at);
                return true;
            }
        }
        false
    }
    let mut taken = vec![None; roles.len()];
    for role in 0..roles.len() {
        place(role, roles, answers, &mut Vec::new(), &mut taken);
    }
    taken
}

fn waiting(request: &OpenRequest, judged: &Judged) -> String {
    let given =
        judged.given.iter().map(|given| format!("{} ✓ {}", given.role, escape(&given.name)));
    let missing = judged.missing.iter().map(|role| format!("{role} ✗"));
    let all: Vec<String> = given.chain(missing).collect();
    format!(
        "approvals  {}    request {}, on their machine: gitroll approve",
        all.join("  "),
        short(request)
    )
}

fn missing(request: &OpenRequest, judged: &Judged, expired: bool, published: bool) -> Failure {
    let roles = judged.missing.join(", ");
    let what = match expired {
        true => format!("the request expired before it was approved by {roles}"),
        false => format!("an approval is missing: {roles}"),
    };
    let mut failure = Failure::new(Status::ApprovalMissing, what);
    for given in &judged.given {
        failure = failure.detail(format!("{} ✓ {}", given.role, escape(&given.name)));
    }
    failure = failure
        .details(judged.not_counted.iter().map(|why| format!("not counted: {}", escape(why))));
    if !published && !expired {
        failure = failure.detail(format!("request  {}", request.line));
    }
    let failure = failure.nothing_changed();
    if expired {
        return failure.next(SAME_COMMAND, "opens a new request");
    }
    let left = left(&request.request).map(|left| format!(", within {}", span(left)));
    let left = left.unwrap_or_default();
    let which = if published { short(request) } else { "'gitroll-request:…'".to_owned() };
    failure
        .next(format!("gitroll approve {which}"), format!("on the machine of {roles}{left}"))
        .next(SAME_COMMAND, "continues once it is approved")
        .next(format!("{SAME_COMMAND} --approval LINE"), "where gitroll approve printed a line")
}

fn short(request: &OpenRequest) -> String {
    request.digest.hex().chars().take(8).collect()
}

/// Publishes a request.
fn published(site: &Site, remote: &str, name: &str) -> Result<(), String> {
    if !site.git.remotes().iter().any(|known| known == remote) {
        return Err(format!("there is no remote {remote}"));
    }
    let there = site.git.remote_ref(remote, name, ASK_LIMIT).map_err(|error| error.to_string())?;
    if there.is_some() && there == site.git.find_ref(name).ok().flatten() {
        return Ok(());
    }
    match site.git.push(remote, &[name.to_owned()]) {
        Ok(Pushed::Done) => Ok(()),
        Ok(Pushed::Rejected(why) | Pushed::Failed(why)) => Err(why),
        Err(error) => Err(error.to_string()),
    }
}

/// Fetches other hosts' chains, and their requests where they are wanted. What cannot be fetched is what is not there yet.
fn fetch(site: &Site, remote: &str, requests: bool) {
    let (git, binding) = (&site.git, &site.binding);
    if !git.remotes().iter().any(|known| known == remote) {
        return;
    }
    let own = ledger::chain_ref(&binding.environment, &binding.writer);
    let mut patterns = vec![format!("{}*", ledger::chain_prefix(&binding.environment))];
    if requests {
        patterns.push(format!("{}*", approval::request_prefix(&binding.environment)));
    }
    let fetched = git.remote_refs_like(remote, &patterns, ASK_LIMIT).and_then(|found| {
        let mut wanted = Vec::new();
        for (name, id) in found {
            if name != own && git.find_ref(&name)?.as_ref() != Some(&id) {
                wanted.push(name);
            }
        }
        if wanted.is_empty() { Ok(None) } else { git.fetch_refs(remote, &wanted).map(Some) }
    });
    if let Err(error) = fetched {
        tracing::warn!("{remote}: {error}");
    }
}

/// The requests there are, open ones first, after looking at the remote.
///
/// # Errors
/// When the checkout is not bound, or git cannot be read.
pub fn list(caller: &Caller) -> Result<Vec<RequestView>, Failure> {
    let session = Session::change(caller, "approve")?;
    let facts = session.facts()?;
    let remote = facts.accepted.config.remote.name.clone();
    session.letting_others_in(|| fetch(&session.site, &remote, true));
    let found = open_requests(&session)?;
    Ok(found.into_iter().map(|(_, view)| view).collect())
}

fn open_requests(session: &Session) -> Result<Vec<(OpenRequest, RequestView)>, Failure> {
    let site = &session.site;
    let mut found = Vec::new();
    for one in approval::requests(&site.git, &site.binding)? {
        match one {
            Ok(request) => {
                let view = view(site, &request)?;
                found.push((request, view));
            }
            Err(refused) => {
                let name = escape(&refused.name);
                session.caller.warn(format!("{name} is ignored: {}", escape(&refused.why)));
            }
        }
    }
    found.sort_by_key(|(request, view)| {
        (view.expired || view.done, Reverse(request.request.opened))
    });
    Ok(found)
}

fn view(site: &Site, request: &OpenRequest) -> Result<RequestView, Failure> {
    let judged = judged(site, request, &[])?;
    let asked = &request.request;
    // Only its writer's clocks decide; this one is for people.
    let age = clock::now().as_second().saturating_sub(asked.opened.as_second());
    let most = i64::try_from(asked.valid_seconds).unwrap_or(i64::MAX);
    Ok(RequestView {
        digest: request.digest.to_string(),
        request: asked.clone(),
        missing: judged.missing,
        denied: judged.denied.is_some(),
        expired: age > most,
        done: is_done(site, request)?,
    })
}

/// Answers a request: a record signed by this host's key, published, and as a line. `shown` is called with the request
/// before the question.
///
/// # Errors
/// When there is no such request, or the key has none of the roles; when it was not confirmed.
pub fn approve(
    caller: &Caller,
    asked: &ApproveRequest,
    shown: impl FnOnce(&RequestView),
) -> Result<ApproveAnswer, Failure> {
    check_reason(asked.deny.as_deref())?;
    let session = Session::change(caller, "approve")?;
    let facts = session.facts()?;
    let site = &session.site;
    let remote = facts.accepted.config.remote.name.clone();
    let line = asked.which.as_deref().filter(|which| which.starts_with("gitroll-request:"));
    let (request, view) = match line {
        Some(line) => {
            let request =
                approval::request_from_line(&site.git, &site.binding, line).map_err(|why| {
                    Failure::refused(format!("this request does not count: {why}"))
                        .nothing_changed()
                })?;
            let view = view(site, &request)?;
            (request, view)
        }
        None => {
            session.letting_others_in(|| fetch(site, &remote, true));
            session.be_at_work()?;
            pick(open_requests(&session)?, asked.which.as_deref())?
        }
    };
    if request.request.intent.writer == site.binding.writer {
        return Err(Failure::refused("who runs it cannot approve it").nothing_changed());
    }
    let roles = approval::own_roles(&site.binding, &request.request)?;
    if roles.is_empty() {
        let needed = request.request.roles.join(", ");
        return Err(Failure::refused(format!(
            "the key of this host does not have the role {needed}"
        ))
        .nothing_changed()
        .next("gitroll trust list", "shows the roles of each key"));
    }
    shown(&view);
    let question = if asked.deny.is_some() { "Deny it?" } else { "Approve it?" };
    if !asked.yes && !caller.prompt().confirm(question, false)? {
        return Err(Failure::unchanged("not confirmed").and_nothing_changed());
    }
    let mut record = statement(&session, Event::Approve);
    let to = &request.request.intent.to;
    record.subject = Some(if site.git.has(to) { to.clone() } else { facts.head.commit.clone() });
    record.plan = Some(request.digest);
    record.request = Some(request.blob.clone());
    record.reason.clone_from(&asked.deny);
    let word = match asked.deny {
        Some(_) => {
            record.outcome = Outcome::Failed;
            "denied"
        }
        None => "approved",
    };
    record.sentence = format!(
        "{} {}: {word} {} of {} to {}",
        site.binding.environment,
        engine::host_name(site.binding.writer.as_str()),
        request.request.intent.level,
        engine::host_name(request.request.intent.writer.as_str()),
        request.request.names.1,
    );
    let entry = state(&session, &facts, record)?;
    let pushed =
        session.letting_others_in(|| engine::publish(site, &remote, &[], engine::LONG_WAIT));
    Ok(ApproveAnswer {
        answered: Some(self::view(site, &request)?),
        record: Some(RecordBrief { seq: entry.record.seq, digest: entry.digest }),
        published: Some(pushed == Some(Pushed::Done)),
        line: Some(approval::line_of(&site.git, &entry)?),
        requests: None,
    })
}

fn pick(
    mut found: Vec<(OpenRequest, RequestView)>,
    which: Option<&str>,
) -> Result<(OpenRequest, RequestView), Failure> {
    let hex = |which: &str| which.trim_start_matches("sha256:").to_owned();
    match which {
        Some(which) => found.retain(|(request, _)| request.digest.hex().starts_with(&hex(which))),
        None => found.retain(|(_, view)| !view.expired && !view.denied && !view.done),
    }
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Failure::unchanged(match which {
            Some(which) => format!("there is no request {}", escape(which)),
            None => "there is no open request".to_owned(),
        })
        .next("gitroll approve --list", "shows the requests")),
        many => {
            let requests = found.iter().map(|(request, view)| {
                format!(
                    "{}  {} to {}",
                    short(request),
                    view.request.intent.level,
                    escape(&view.request.names.1)
                )
            });
            Err(Failure::refused(format!("{many} requests are open"))
                .details(requests.collect::<Vec<_>>())
                .nothing_changed()
                .next("gitroll approve DIGEST", "answers one of them"))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::Person;

    fn answer(name: &str, roles: &[&str]) -> Answer {
        Answer {
            key: format!("SHA256:{name}"),
            writer: "laptop.abcd".parse().unwrap(),
            person: Person {
                name: name.to_owned(),
                email: format!("{name}@example.com"),
                time: "2026-11-30T03:00:00Z".parse().unwrap(),
            },
            approved: true,
            reason: None,
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        }
    }

    fn missing(answers: Vec<Answer>) -> Vec<String> {
        let roles = ["manager".to_owned(), "dba".to_owned()];
        judge(&roles, "SHA256:ana", "Ana <ana@example.com>", answers).missing
    }

    #[test]
    fn each_role_needs_a_person_of_its_own_and_never_who_runs_it() {
        let both = ["manager", "dba"];
        assert_eq!(missing(vec![]), both);
        assert_eq!(missing(vec![answer("ben", &both)]), ["dba"]);
        // Who has both roles leaves the one that the other does not have.
        assert!(missing(vec![answer("ben", &both), answer("eva", &["manager"])]).is_empty());
        assert!(missing(vec![answer("eva", &["manager"]), answer("ben", &both)]).is_empty());
        assert_eq!(missing(vec![answer("ben", &both), answer("ben", &both)]), ["dba"]);
        // One person with two keys.
        let again = Answer { key: "SHA256:other".to_owned(), ..answer("ben", &both) };
        assert_eq!(missing(vec![answer("ben", &both), again]), ["dba"]);
        assert_eq!(missing(vec![answer("ana", &both), answer("eva", &["dba"])]), ["manager"]);
        let own = Answer { key: "SHA256:laptop".to_owned(), ..answer("Ana", &both) };
        assert_eq!(missing(vec![own]), both);
        assert_eq!(missing(vec![answer("mia", &[])]), both);
    }

    #[test]
    fn a_denial_counts_only_of_who_could_approve() {
        let deny = |roles: &[&str]| Answer { approved: false, ..answer("eva", roles) };
        let roles = ["dba".to_owned()];
        let judge = |answer| judge(&roles, "SHA256:ana", "", vec![answer]).denied;
        assert!(judge(deny(&["dba"])).is_some());
        assert!(judge(deny(&[])).is_none());
    }
}
