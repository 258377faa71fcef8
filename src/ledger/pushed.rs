//! What someone pushes to a server: whether a stable tag, a record or a chain may come in. Said to the pusher.

use super::chain::{self, Below, Expected};
use super::codec::{self, MOST_BYTES};
use super::signing::{self, Signed};
use super::trust::{EXPIRED, Trust, Validity, fingerprint};
use crate::config::Binding;
use crate::model::{AppName, EnvironmentName, Oid, Record, WriterId};
use crate::system::clock::now;
use crate::system::git::{Git, ObjectKind};
use crate::system::text::quoted;

/// The refs of the server that [`check_pushed`] wants to know, as a pattern.
pub const CHAINS: &str = "refs/gitroll/*";

/// Where records lie as tags.
const RECORD_TAGS: &str = "refs/tags/gitroll/";

/// Where chains and all else of gitroll's own lie.
const OWN: &str = "refs/gitroll/";

/// Where notes lie.
const NOTES: &str = "refs/notes/gitroll/";

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

/// Whether a ref would take a name that is a directory of the names that records, chains, notes or stable tags need: with
/// it there, none of them can be made any more.
fn in_the_way(name: &str, stable: impl Fn(&str) -> bool) -> bool {
    let own = [OWN, RECORD_TAGS, NOTES];
    if own.iter().any(|directory| name == directory.trim_end_matches('/')) {
        return true;
    }
    let parts = |prefix: &str| name.strip_prefix(prefix).map(|rest| rest.split('/').count());
    // `<env>/<kind>/<name>`; a record's tag and a chain are looked at as what they are.
    if parts(OWN).is_some_and(|parts| parts < 3) || parts(NOTES).is_some_and(|parts| parts != 2) {
        return true;
    }
    let Some(tag) = name.strip_prefix("refs/tags/").filter(|_| !name.starts_with(RECORD_TAGS))
    else {
        return false;
    };
    tag.match_indices('/').any(|(at, _)| stable(&tag[..at]))
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
        _ if name.starts_with(NOTES) => "the notes of a host",
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
/// trusted now; a record is one, and its writer's; a chain only grows, each new record signed by its writer, and is of the
/// app that the others of its environment are of. No ref takes a name that these need. `git` has the pushed objects;
/// `there` are the refs below [`CHAINS`] that the server has.
///
/// # Errors
/// A sentence for the pusher.
pub fn check_pushed(
    git: &Git,
    server: &Binding,
    pushed: &PushedRef,
    there: &[(String, Oid)],
    stable: impl Fn(&str) -> bool,
) -> Result<(), String> {
    let PushedRef { name, old, new } = pushed;
    only_adds(pushed, &stable)?;
    let Some(new) = new.as_ref().filter(|new| Some(*new) != old.as_ref()) else { return Ok(()) };
    if in_the_way(name, &stable) {
        return Err(format!(
            "{name} takes a name that gitroll's records or stable tags need: choose another"
        ));
    }
    let trust = Trust::load(server);
    if name.starts_with(RECORD_TAGS) {
        return record(git, &trust, name, new);
    }
    if name.starts_with(OWN) && name.contains("/ledger/") {
        let Some((environment, writer)) = chain_of(name) else {
            return Err(format!("{name} is not a chain name"));
        };
        let app = app_of(git, &environment, there);
        return grows(git, &trust, pushed, new, Place { environment, writer, app });
    }
    match name.strip_prefix("refs/tags/") {
        Some(tag) if stable(tag) => stable_tag(git, &trust, tag, new),
        _ => Ok(()),
    }
}

fn stable_tag(git: &Git, trust: &Trust<'_>, tag: &str, id: &Oid) -> Result<(), String> {
    let sign =
        quoted(tag).map_or_else(|| "git tag -s".to_owned(), |tag| format!("git tag -s {tag}"));
    let object = match git.object(id, ObjectKind::Tag, MOST_BYTES) {
        Ok(object) => object,
        Err(_) if git.commit(id).is_ok() => {
            return Err(format!("{tag} is a lightweight tag, not signed: {sign}"));
        }
        Err(error) => return Err(format!("{tag}: {error}")),
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
    let signed = signing::split(&object).map_err(|_| format!("{tag} is not signed: {sign}"))?;
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

/// What a chain that is pushed has to be.
struct Place {
    environment: EnvironmentName,
    writer: WriterId,
    /// What the other chains of the environment are of.
    app: Option<AppName>,
}

/// The app that the server's chains of an environment are of.
fn app_of(git: &Git, environment: &EnvironmentName, there: &[(String, Oid)]) -> Option<AppName> {
    there.iter().find_map(|(name, head)| {
        let (of, writer) = chain_of(name)?;
        let newest = || chain::newest(git, head, &writer).ok();
        (of == *environment).then(newest).flatten().map(|newest| newest.record.app.clone())
    })
}

fn grows(
    git: &Git,
    trust: &Trust<'_>,
    pushed: &PushedRef,
    new: &Oid,
    place: Place,
) -> Result<(), String> {
    let Place { environment, writer, app } = &place;
    let told = |why: String| format!("the history of {writer} in {environment}: {why}");
    let read = |head: &Oid, chain, app, below| {
        let expected = Expected { environment, writer, app, chain };
        chain::walk(git, head, expected, below).map_err(|error| told(error.to_string()))
    };
    let before =
        pushed.old.as_ref().map(|old| read(old, None, None, Below::default())).transpose()?;
    let before = before.map(|walked| walked.chain);
    let known = before.as_ref().and_then(|chain| chain.entries.first());
    let id = known.map(|entry| &entry.record.chain);
    let app = known.map(|entry| &entry.record.app).or(app.as_ref());
    let below = Below { kept: None, chain: before.as_ref() };
    let after = read(new, id, app, below)?;
    let entries = &after.chain.entries;
    let had = before.as_ref().map_or(0, |chain| chain.entries.len());
    let same = before.as_ref().is_none_or(|chain| {
        let commits = chain.entries.iter().map(|entry| &entry.commit);
        entries.len() >= had && commits.eq(entries[..had].iter().map(|entry| &entry.commit))
    });
    if !same {
        return Err(told(
            "it only grows, and what is pushed is shorter or another; a checkout that was copied or restored begins \
             its own: gitroll init --new-writer"
                .to_owned(),
        ));
    }
    // Objects are those of the newest entries: of all that came.
    let first = entries.len() - after.objects.len();
    for (entry, object) in entries[first..].iter().zip(&after.objects) {
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
