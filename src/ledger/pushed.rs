//! What someone pushes to a server: whether a stable tag, a record or a chain may come in. Said to the pusher.

use super::chain::{self, Expected};
use super::codec::{self, MOST_BYTES};
use super::signing::{self, Signed};
use super::trust::{EXPIRED, Trust, Validity, fingerprint};
use crate::config::Binding;
use crate::model::{EnvironmentName, Oid, Record, WriterId};
use crate::system::clock::now;
use crate::system::git::{Git, ObjectKind};

/// Where records lie as tags.
const RECORD_TAGS: &str = "refs/tags/gitroll/";

/// Where chains and all else of gitroll's own lie.
const OWN: &str = "refs/gitroll/";

/// One ref that a push changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedRef {
    /// Its full name.
    pub name: String,
    /// What it was at the receiver; `None` if it is new.
    pub old: Option<Oid>,
    /// What it is to be; `None` if it is to go.
    pub new: Option<Oid>,
}

/// The writer's chain that a ref is, by its name.
fn chain_of(name: &str) -> Option<(EnvironmentName, WriterId)> {
    let (environment, writer) = name.strip_prefix(OWN)?.split_once("/ledger/")?;
    Some((environment.parse().ok()?, writer.parse().ok()?))
}

/// What may never become of a ref, whoever pushes and whatever is in it: a stable tag or a record that is there is
/// moved or goes. Needs no trust, so a person's own clone can say it before the push.
///
/// # Errors
/// A sentence.
pub fn only_adds(pushed: &PushedRef, stable: impl Fn(&str) -> bool) -> Result<(), String> {
    let PushedRef { name, old, new } = pushed;
    let own = name.starts_with(RECORD_TAGS) || name.starts_with(OWN);
    let kind = match name.strip_prefix("refs/tags/") {
        Some(tag) if !own && stable(tag) => "a stable tag",
        _ if name.starts_with(RECORD_TAGS) => "a record",
        _ if name.starts_with(OWN) && name.contains("/ledger/") => "the history of a host",
        _ if name.starts_with("refs/notes/gitroll/") => "the notes of a host",
        _ => return Ok(()),
    };
    match (old, new) {
        (Some(_), None) => Err(format!("{name} is {kind}: it is never deleted")),
        (Some(old), Some(new))
            if old != new && !name.contains("/ledger/") && !name.starts_with("refs/notes/") =>
        {
            Err(format!(
                "{name} is {kind}: it is never moved (it is {}, not {}); give the new one another name",
                old.short(),
                new.short()
            ))
        }
        _ => Ok(()),
    }
}

/// Whether a ref may come in: a stable tag is a signed tag object of its own name on a commit, by a key that is
/// trusted now; a record is one, and its writer's; a chain only grows, each new record signed by its writer. `git` has
/// the pushed objects.
///
/// # Errors
/// A sentence for the pusher.
pub fn check_pushed(
    git: &Git,
    server: &Binding,
    pushed: &PushedRef,
    stable: impl Fn(&str) -> bool,
) -> Result<(), String> {
    let PushedRef { name, old, new } = pushed;
    only_adds(pushed, &stable)?;
    let Some(new) = new.as_ref().filter(|new| Some(*new) != old.as_ref()) else { return Ok(()) };
    let trust = Trust::load(server);
    if name.starts_with(RECORD_TAGS) {
        return record(git, &trust, name, new);
    }
    if name.starts_with(OWN) && name.contains("/ledger/") {
        let Some((environment, writer)) = chain_of(name) else {
            return Err(format!("{name} is not a chain name"));
        };
        return grows(git, &trust, pushed, new, &environment, &writer);
    }
    match name.strip_prefix("refs/tags/") {
        Some(tag) if stable(tag) => stable_tag(git, &trust, tag, new),
        _ => Ok(()),
    }
}

fn stable_tag(git: &Git, trust: &Trust<'_>, tag: &str, id: &Oid) -> Result<(), String> {
    let Ok(object) = git.object(id, ObjectKind::Tag, MOST_BYTES) else {
        return Err(format!("{tag} is a lightweight tag, not signed: git tag -s {tag}"));
    };
    let head = String::from_utf8_lossy(&object);
    let mut lines = head.lines();
    let mut field = |name: &str| {
        lines.next().and_then(|line| line.strip_prefix(name)).unwrap_or_default().to_owned()
    };
    let (target, kind, own) = (field("object "), field("type "), field("tag "));
    if kind != "commit" || target.parse::<Oid>().is_err() {
        return Err(format!("{tag} names a {kind}, not a commit: tag the commit itself"));
    }
    if own != tag {
        return Err(format!(
            "{tag}: the tag object says it is {own:?}; a tag is signed under its own name"
        ));
    }
    let signed =
        signing::split(&object).map_err(|_| format!("{tag} is not signed: git tag -s {tag}"))?;
    trust.principal(&signed).map(drop).map_err(|why| format!("{tag}: {why}"))
}

fn record(git: &Git, trust: &Trust<'_>, name: &str, id: &Oid) -> Result<(), String> {
    let Ok(object) = git.object(id, ObjectKind::Tag, MOST_BYTES) else {
        return Err(format!("{name} is not a record: there is no tag object"));
    };
    let (decoded, signed) =
        codec::decode(&object).map_err(|why| format!("{name} is not a record: {why}"))?;
    let record = &decoded.record;
    let own =
        codec::record_tag(&record.environment, &record.writer, record.seq, record.event.as_str());
    if own != name {
        return Err(format!("{name} holds another record, {own}"));
    }
    let by = trust.verify(&signed, record.writer.as_str(), Some(record.seq), decoded.tagger.time);
    by.map_err(|why| format!("{name}: {why}"))?;
    may(trust, &signed, record).map_err(|why| format!("{name}: {why}"))
}

fn may(trust: &Trust<'_>, signed: &Signed<'_>, record: &Record) -> Result<(), String> {
    let (environment, writer) = (Some(&record.environment), Some(&record.writer));
    match trust.lacks(signed, &record.event, environment, writer) {
        None => Ok(()),
        Some(role) => Err(format!("{} does not have the role {role}", fingerprint(signed))),
    }
}

fn grows(
    git: &Git,
    trust: &Trust<'_>,
    pushed: &PushedRef,
    new: &Oid,
    environment: &EnvironmentName,
    writer: &WriterId,
) -> Result<(), String> {
    let told = |why: String| format!("the history of {writer} in {environment}: {why}");
    let read = |head: &Oid, chain, app| {
        let expected = Expected { environment, writer, app, chain };
        chain::walk(git, head, expected, chain::Below::default())
            .map_err(|error| told(error.to_string()))
    };
    let before = pushed.old.as_ref().map(|old| read(old, None, None)).transpose()?;
    let known = before.as_ref().and_then(|walked| walked.chain.entries.first());
    let (id, app) = (known.map(|e| &e.record.chain), known.map(|e| &e.record.app));
    let after = read(new, id, app)?;
    let entries = &after.chain.entries;
    let had = before.as_ref().map_or(0, |walked| walked.chain.entries.len());
    let same = before.as_ref().is_none_or(|walked| {
        let commits = walked.chain.entries.iter().map(|entry| &entry.commit);
        entries.len() >= had && commits.eq(entries[..had].iter().map(|entry| &entry.commit))
    });
    if !same {
        return Err(told(
            "it only grows, and what is pushed is shorter or another; a checkout that was copied or restored begins \
             its own: gitroll init --new-writer"
                .to_owned(),
        ));
    }
    for (entry, object) in entries.iter().zip(&after.objects).skip(had) {
        let (_, signed) = codec::decode(object).map_err(&told)?;
        let dated = entry.tagger.time.min(now());
        may(trust, &signed, &entry.record)
            .map_err(|why| told(format!("{}: {why}", entry.name())))?;
        match trust.verify(&signed, writer.as_str(), Some(entry.record.seq), dated) {
            Ok(Validity::Current) => {}
            // Signed before the key was replaced: the last record's key vouches for it.
            Ok(Validity::Past) if entry.digest != entries[entries.len() - 1].digest => {}
            Ok(Validity::Past) => return Err(told(format!("{}: {EXPIRED}", entry.name()))),
            Err(why) => return Err(told(format!("{}: {why}", entry.name()))),
        }
    }
    Ok(())
}
