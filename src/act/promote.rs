//! Making a signed stable tag of a state that proved itself here.

use semver::Version;

use super::caller::Caller;
use super::failure::{Failure, at};
use super::outcome::Status;
use super::session::Session;
use super::statement::{check_reason, state, statement};
use super::target::resolve_commit;
use crate::engine;
use crate::ledger::{self, Entry};
use crate::model::{Event, Oid, Served, TargetRef};
use crate::plan::facts::Facts;
use crate::plan::holds;
use crate::plan::names::stable_matcher;
use crate::site::Observed;
use crate::system::git::{Pushed, TagKind};
use crate::target::{safe_name, version_of};

#[derive(Debug, Clone, Default)]
pub struct PromoteRequest {
    /// Record number, tag or commit; what serves where left out.
    pub what: Option<String>,
    /// The version to name it by; the one the commit declares where left out.
    pub version: Option<String>,
    /// Although it was never observed serving here, or is failing now.
    pub unproven: bool,
    pub reason: Option<String>,
    /// Take the proposed version, ask nothing.
    pub yes: bool,
}

#[derive(Debug)]
pub struct Promoted {
    pub tag: TargetRef,
    pub commit: Oid,
    /// `None`: the tag was there already, on record.
    pub record: Option<Entry>,
    /// `None` without a remote.
    pub published: Option<Pushed>,
    /// The remote is required, and the tag is not on it.
    pub unpublished: bool,
}

/// # Errors
/// When it was never proven here, is held, or the tag names something else.
pub fn promote(caller: &Caller, request: &PromoteRequest) -> Result<Promoted, Failure> {
    check_reason(request.reason.as_deref())?;
    let session = Session::change(caller, "promote")?;
    let facts = session.facts()?;
    let commit = match &request.what {
        Some(what) => resolve_commit(&session, &facts, what)?,
        None => facts.head.commit.clone(),
    };
    let served = facts.names.served(&session.site.git, &commit, None)?;
    let proven = facts.history.proven_here(&commit) || facts.history.adopted(&commit);
    fit(&session, &facts, &served, proven, request.unproven)?;
    let tag = tag_name(&session, &facts, &served, request)?;
    if version_of(&tag, &facts.accepted.config.stable.pattern).is_none() {
        let note = "is no semantic version (1.2.0): `last-stable` takes it after all that are";
        caller.warn(format!("{tag} {note}"));
    }
    if let Some(there) = facts.tags.iter().find(|t| t.target.short() == tag) {
        let same = matches!(&there.kind, TagKind::Annotated { commit: c, .. } if *c == commit);
        if !same {
            return Err(Failure::unchanged(format!(
                "the tag {tag} exists and names another commit"
            ))
            .next("gitroll promote --as VERSION", "takes another version"));
        }
        if facts.history.promoted(&commit).contains(&there.target) {
            return Ok(Promoted {
                tag: there.target.clone(),
                commit,
                record: None,
                published: None,
                unpublished: false,
            });
        }
        // Signed by a trusted key on this very commit: made by a colleague, or by a promote that was killed
        // before its record.
        let site = &session.site;
        ledger::verify_tag(&site.git, &site.binding, &there.target.id).map_err(|error| {
            Failure::refused(format!("the tag {tag} exists already: {error}"))
                .next("gitroll promote --as VERSION", "takes another version")
        })?;
        let there = there.target.clone();
        return record(&session, &facts, &served, there, proven, request);
    }
    let target = create(&session, &served, &tag, proven)?;
    at("stable tag made")?;
    record(&session, &facts, &served, target, proven, request)
}

const UNPROVEN: &str = ", never proven here";

fn create(
    session: &Session,
    served: &Served,
    tag: &str,
    proven: bool,
) -> Result<TargetRef, Failure> {
    let site = &session.site;
    let binding = &site.binding;
    let host = engine::host_name(binding.writer.as_str());
    let doubt = if proven { "" } else { UNPROVEN };
    let message = format!("{tag}: served on {host} in {}{doubt}", binding.environment);
    let person = site.person();
    Ok(ledger::create_tag(&site.git, binding, tag, &served.commit, &message, &person)?)
}

/// Records that `target` names the commit, and publishes both.
fn record(
    session: &Session,
    facts: &Facts,
    served: &Served,
    target: TargetRef,
    proven: bool,
    request: &PromoteRequest,
) -> Result<Promoted, Failure> {
    let site = &session.site;
    let binding = &site.binding;
    let host = engine::host_name(binding.writer.as_str());
    let doubt = if proven { "" } else { UNPROVEN };
    let tag = target.short().to_owned();
    let mut record = statement(session, Event::Promote);
    record.subject = Some(served.commit.clone());
    record.target = Some(target.clone());
    record.reason.clone_from(&request.reason);
    record.sentence = format!(
        "{} {host}: promoted {} as {tag}{doubt}",
        binding.environment,
        served.commit.short()
    );
    let entry = state(session, facts, record)?;
    let remote = &facts.accepted.config.remote;
    let publish = || engine::publish(site, &remote.name, std::slice::from_ref(&target.name));
    let published = session.letting_others_in(publish);
    let unpublished = remote.required && published != Some(Pushed::Done);
    let (commit, record) = (served.commit.clone(), Some(entry));
    Ok(Promoted { tag: target, commit, record, published, unpublished })
}

fn fit(
    session: &Session,
    facts: &Facts,
    served: &Served,
    proven: bool,
    unproven_too: bool,
) -> Result<(), Failure> {
    if let Some(reason) = holds::against(&session.site, facts, &served.commit)? {
        return Err(Failure::refused(format!("{served} cannot be promoted: {reason}")).next(
            format!("gitroll mark good {} --reason 'WHY'", served.commit.short()),
            "if that verdict was wrong",
        ));
    }
    if unproven_too {
        return Ok(());
    }
    if proven && served.commit == facts.serving.commit {
        return well(session, facts, served);
    }
    if proven {
        return Ok(());
    }
    Err(Failure::refused(format!("{served} was never observed serving here"))
        .next(format!("gitroll deploy {}", served.commit.short()), "puts it in place and proves it")
        .next("gitroll promote --unproven", "promotes it all the same, and records that"))
}

/// What serves is not made a stable release at a moment when it is failing.
fn well(session: &Session, facts: &Facts, served: &Served) -> Result<(), Failure> {
    let config = &facts.accepted.config;
    let observed = Observed::now(&session.site, config, served, &facts.deployment(&session.site));
    if observed.healthy() {
        return Ok(());
    }
    let what = format!("{served} serves and is not well now: {}", observed.faults().join(", "));
    Err(Failure::refused(what)
        .next("gitroll back", "goes back to the last good state")
        .next("gitroll promote --unproven", "promotes it all the same"))
}

fn tag_name(
    session: &Session,
    facts: &Facts,
    served: &Served,
    request: &PromoteRequest,
) -> Result<String, Failure> {
    let pattern = &facts.accepted.config.stable.pattern;
    let full = |version: &str| -> Result<String, Failure> {
        let matches_already =
            stable_matcher(pattern).is_some_and(|matcher| matcher.is_match(version));
        let name =
            if matches_already { version.to_owned() } else { pattern.replacen('*', version, 1) };
        let fits = stable_matcher(pattern).is_some_and(|m| m.is_match(&name));
        if safe_name(&name) && fits && !name.contains("..") && !name.ends_with(".lock") {
            Ok(name)
        } else {
            Err(Failure::new(Status::Usage, format!("{name:?} cannot be the name of a stable tag"))
                .detail(format!("letters, digits and ._/+-@, matching {pattern}")))
        }
    };
    if let Some(name) = &request.version {
        return full(name);
    }
    let declared = served.version.as_ref().map(|v| full(&format!("v{v}"))).transpose()?;
    let free = |name: &String| facts.tags.iter().all(|t| t.target.short() != name);
    let ours =
        |name: &String| facts.history.promoted(&served.commit).iter().any(|t| t.short() == name);
    if let Some(name) = declared.filter(|name| free(name) || ours(name)) {
        return Ok(name);
    }
    let proposal = full(&next_version(facts, pattern))?;
    if request.yes {
        if let Some(version) = &served.version {
            session.caller.info(format!("the stable tag of {version} names another commit"));
        }
        return Ok(proposal);
    }
    full(&session.caller.prompt().text("Name of the stable tag?", &proposal)?)
}

/// The version after the highest stable one: its patch number raised.
fn next_version(facts: &Facts, pattern: &str) -> String {
    let matcher = stable_matcher(pattern);
    let highest = facts
        .tags
        .iter()
        .map(|tag| tag.target.short())
        .filter(|name| matcher.as_ref().is_some_and(|m| m.is_match(name)))
        .filter_map(|name| version_of(name, pattern))
        .max();
    match highest {
        Some(v) => format!("v{}", Version::new(v.major, v.minor, v.patch + 1)),
        None => "v1.0.0".to_owned(),
    }
}
