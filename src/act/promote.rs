//! Making a signed stable tag of a state that proved itself here.

use super::caller::Caller;
use super::failure::{Failure, at};
use super::outcome::Status;
use super::session::Session;
use super::statement::{check_reason, must_have_role, state, statement};
use super::target::resolve_commit;
use crate::config::Prove;
use crate::engine;
use crate::ledger::{self, Entry};
use crate::model::{Event, Oid, Served, TargetRef};
use crate::plan::facts::Facts;
use crate::plan::holds;
use crate::plan::names::stable_matcher;
use crate::site::Observed;
use crate::system::git::{Pushed, Tag, TagKind};
use crate::system::text::nearest;
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
    let facts = session.undisputed_facts()?;
    must_have_role(&session, &Event::Promote)?;
    let commit = match &request.what {
        Some(what) => resolve_commit(&session, &facts, what)?,
        None => facts.serving.commit.clone(),
    };
    let served = facts.names.served(&session.site.git, &commit, None)?;
    let proven = facts.history.proven_here(&commit) || facts.history.adopted(&commit);
    fit(&session, &facts, &served, proven, request.unproven)?;
    let (tag, there) = match named_already(&session, &facts, &served, request)? {
        Some(there) => (there.target.short().to_owned(), Some(there.clone())),
        None => {
            let tag = tag_name(&session, &facts, &served, request)?;
            let there = session.site.git.tag(&tag)?;
            (tag, there)
        }
    };
    if version_of(&tag, &facts.accepted.config.stable.pattern).is_none() {
        let note = "is not a version (1.2.0, 2026.11.05): `last-stable` considers it after all tags that are versions";
        caller.warn(format!("{tag} {note}"));
    }
    if let Some(there) = there {
        if stands(&facts, &there.target, &commit) {
            return Ok(Promoted {
                tag: there.target.clone(),
                commit,
                record: None,
                published: None,
                unpublished: false,
            });
        }
        can_take_over(&session, &facts, &there, &commit)?;
        let there = there.target.clone();
        return record(&session, &facts, &served, there, proven, request);
    }
    let target = create(&session, &served, &tag, proven)?;
    at("stable tag made")?;
    record(&session, &facts, &served, target, proven, request)
}

/// The command that uses another version: the one after the highest of the stable tags.
fn again(facts: &Facts, why: &str) -> (String, String) {
    let pattern = &facts.accepted.config.stable.pattern;
    let versions = facts.names.refs().iter().filter_map(|tag| version_of(&tag.short, pattern));
    let next = versions.max().map_or_else(|| "1.0.0".to_owned(), |version| version.following());
    (format!("gitroll promote --as v{next}"), why.to_owned())
}

/// The stable tag that names the commit already, where no name was asked for: one that is on record before one that
/// is not, the highest version before the others.
fn named_already<'f>(
    session: &Session,
    facts: &'f Facts,
    served: &Served,
    request: &PromoteRequest,
) -> Result<Option<&'f Tag>, Failure> {
    if request.version.is_some() {
        return Ok(None);
    }
    let pattern = &facts.accepted.config.stable.pattern;
    let tags = facts.names.tags_on(&session.site.git, &served.commit);
    let found = tags.into_iter().max_by_key(|tag| {
        let short = tag.target.short();
        (stands(facts, &tag.target, &served.commit), version_of(short, pattern), short)
    });
    if let Some(there) = found {
        let name = there.target.short();
        session.caller.info(format!("the tag {name} already names {}", served.commit.short()));
    }
    Ok(found)
}

/// Whether a record says that the tag names the commit: a promotion, or the adoption of tags from before gitroll.
fn stands(facts: &Facts, tag: &TargetRef, commit: &Oid) -> bool {
    facts.history.promoted(commit).contains(tag)
        || facts.history.pinned(&tag.name).is_some_and(|pin| pin.tag.target == *tag)
}

/// Whether a tag that no record names may become the stable tag: it is signed by a trusted key on this very commit,
/// made by a colleague, or by a promote that was killed before its record.
fn can_take_over(
    session: &Session,
    facts: &Facts,
    there: &Tag,
    commit: &Oid,
) -> Result<(), Failure> {
    let (again, why) = again(facts, "uses another version");
    let site = &session.site;
    let name = there.target.short();
    if there.kind.commit() != Some(commit) {
        let what = format!("the tag {name} exists and names another commit");
        return Err(Failure::unchanged(what).next(again, why));
    }
    let untrusted = |why: &str| {
        let what = format!("the tag {name} already names {}, but {why}", commit.short());
        Failure::refused(what)
            .next(
                format!("git tag -d {name}"),
                "deletes it, so that gitroll promote can create a signed tag",
            )
            .next(again.clone(), why)
    };
    if matches!(there.kind, TagKind::Lightweight(_)) {
        return Err(untrusted("it is lightweight and therefore not signed"));
    }
    ledger::verify_tag(&site.git, &site.binding, &there.target.id)
        .map_err(|error| untrusted(&error.to_string()))?;
    Ok(())
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
    let publish = || {
        engine::publish(site, &remote.name, std::slice::from_ref(&target.name), engine::LONG_WAIT)
    };
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
        .next(format!("gitroll deploy {}", served.commit.short()), "deploys and proves it")
        .next("gitroll promote --unproven", "promotes it anyway, and records that"))
}

/// What serves is not made a stable release at a moment when it is failing.
fn well(session: &Session, facts: &Facts, served: &Served) -> Result<(), Failure> {
    let config = &facts.accepted.config;
    let observed = Observed::now(&session.site, config, served, &facts.deployment(&session.site));
    if observed.healthy() {
        let vouched = facts.vouched(&session.site, &observed.services)?;
        let weak = config.app.prove == Prove::Weak;
        return match vouched.doubt(observed.told(), weak) {
            None => Ok(()),
            Some(why) => {
                Err(Failure::refused(format!("nothing shows that the running app is {served}"))
                    .detail(why)
                    .next(
                        format!("gitroll deploy {}", served.commit.short()),
                        "starts and proves it",
                    )
                    .next("gitroll promote --unproven", "promotes it anyway"))
            }
        };
    }
    let what = format!("{served} serves but is not healthy: {}", observed.faults().join(", "));
    Err(Failure::refused(what)
        .next("gitroll back", "rolls back to the last good version")
        .next("gitroll promote --unproven", "promotes it anyway"))
}

fn tag_name(
    session: &Session,
    facts: &Facts,
    served: &Served,
    request: &PromoteRequest,
) -> Result<String, Failure> {
    let pattern = &facts.accepted.config.stable.pattern;
    if let Some(name) = &request.version {
        return full_name(name, pattern);
    }
    let Some(version) = &served.version else {
        let what = format!("{served} declares no version for the name of a stable tag");
        let (again, why) = again(facts, "names it");
        return Err(Failure::unchanged(what).next(again, why));
    };
    let name = full_name(&format!("v{version}"), pattern)?;
    match session.site.git.tag(&name)? {
        Some(tag) => {
            let other = tag.kind.commit().map_or("something else", |commit| commit.short());
            let what = format!("{name}, the stable tag of the declared {version}, names {other}");
            let (again, why) = again(facts, "uses another version");
            Err(Failure::unchanged(what).next(again, why))
        }
        None => Ok(name),
    }
}

/// The stable tag that a person means: its whole name, or the version in it.
fn full_name(typed: &str, pattern: &str) -> Result<String, Failure> {
    let fits = |name: &str| stable_matcher(pattern).is_some_and(|matcher| matcher.is_match(name));
    let usage = |problem: &str| {
        Failure::new(
            Status::Usage,
            format!("{typed:?} cannot be the name of a stable tag: {problem}"),
        )
        .detail(format!("use a version such as v1.3.0, or a whole name that matches {pattern}"))
    };
    let version = || version_of(typed, "*").is_some().then(|| pattern.replacen('*', typed, 1));
    let name = if fits(typed) { Some(typed.to_owned()) } else { version() };
    let Some(name) = name.filter(|name| fits(name)) else {
        return Err(usage("it is not a version and does not match the pattern"));
    };
    if !safe_name(&name) || name.contains("..") || name.ends_with(".lock") {
        return Err(usage("use letters, digits and ._/+-@"));
    }
    // `v1.3.0-stabel` would be a pre-release of that name.
    let ending = |name: &str| name.rsplit_once('-').map(|(_, word)| word.to_owned());
    if name != typed
        && let (Some(typed_word), Some(word)) = (ending(typed), ending(pattern))
        && nearest(&typed_word, std::slice::from_ref(&word)).is_some()
    {
        return Err(usage(&format!("is {word} meant?")));
    }
    Ok(name)
}
