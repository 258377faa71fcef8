//! Everything that can be wrong with the records in a repository: chains, signatures, what is kept beside a record, the
//! tags and notes made from it. Finds all of it, where other commands stop at the first.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use super::cache::{Cache, place, read_json, write_json};
use super::chain;
use super::codec::MOST_BYTES;
use super::entry::{Chain, Entry, Ledger, LedgerError, chain_ref, notes_ref};
use super::project::{Tags, in_the_way, note, tag_of, tags_of};
use super::verify::Reader;
use crate::config::Binding;
use crate::model::{Digest, Event, Oid, Outcome, Seq, TargetRef};
use crate::system::git::{Git, ObjectKind, RefEdit};

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    pub kind: FindingKind,
    /// The writer whose chain it concerns, as its ref names it.
    pub writer: String,
    /// The record, where it concerns one.
    pub seq: Option<Seq>,
    /// What is wrong, in a sentence that names the object.
    pub problem: String,
    /// Whether `gitroll fsck --repair` fixes it.
    pub repairable: bool,
    /// The command that fixes it, if there is one.
    pub fix: Option<String>,
}

/// The kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// An object of a chain cannot be read.
    Unreadable,
    /// The bytes of a record are not a record.
    Malformed,
    /// A record does not continue its chain, or is of another app, environment, writer or chain.
    Broken,
    /// A signature is missing, bad, or by a key that is not trusted for the writer.
    Untrusted,
    /// A chain is shorter than, or different from, what this host or another chain has seen.
    Rewritten,
    /// The evidence or configuration beside a record is missing or not what the record names.
    Evidence,
    /// The commit or tree that a record is about is not in this repository.
    Commit,
    /// A record's tag is missing, moved, or its object is lost.
    RecordTag,
    /// Another ref prevents the creation of a record's tag.
    NameTaken,
    /// A tag in gitroll's namespace that belongs to no record.
    Stray,
    /// A note is missing or changed.
    Note,
    /// A stable tag is not what the record of its promotion says.
    StableTag,
    /// What `gitroll back` needs of the target is missing.
    Target,
    /// A record whose signer may not do what it says.
    Role,
    /// A record is not signed yet.
    Unsigned,
}

/// One chain, in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ChainSummary {
    /// Its writer, as its ref names it.
    pub writer: String,
    /// Its records; 0 if it is rejected.
    pub records: u64,
    pub believed: bool,
    /// The digest of its newest record: two people can compare it to see that they have the same history.
    pub newest: Option<String>,
}

/// What an examination came to.
#[derive(Debug)]
pub struct Examined {
    /// The trusted chains.
    pub ledger: Ledger,
    pub chains: Vec<ChainSummary>,
    pub findings: Vec<Finding>,
}

/// What is looked at.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scope {
    /// Findings about records before this one are left out.
    pub since: Option<Seq>,
    /// Nothing that was found right before is taken to be right.
    pub anew: bool,
}

/// `<state>/cache/checked.json`: by full name of a chain's ref, the commit up to which what is kept beside the records
/// was whole.
type Checked = BTreeMap<String, Oid>;

/// Examines every chain of the binding's environment.
///
/// # Errors
/// When git's refs cannot be listed. Everything else is a finding.
pub fn examine(git: &Git, binding: &Binding, scope: Scope) -> Result<Examined, LedgerError> {
    let cache = Cache::load(git);
    let cache = if scope.anew { cache.unverified() } else { cache };
    let prefix = super::entry::chain_prefix(&binding.environment);
    let ledger = Reader::new(git, binding, cache).read_each(&git.refs(&prefix)?)?;
    let path = place(git, "checked");
    let before: Checked = if scope.anew { None } else { read_json(&path) }.unwrap_or_default();
    let mut checked = before.clone();
    let restorable = super::seen::restorations(git, binding)?;
    let mut findings: Vec<Finding> = Vec::new();
    for (writer, why) in &ledger.refused {
        let name = format!("{prefix}{writer}");
        let repairable = restorable.iter().any(|edit| edit.name == name);
        findings.push(Finding { repairable, ..not_believed(writer, why, binding) });
    }
    let tags = tags_of(git, &binding.environment)?;
    let mut wanted = BTreeSet::new();
    for entry in ledger.chains.values().flat_map(|chain| &chain.entries) {
        if let Some(role) = ledger.without_role.get(&entry.digest) {
            let event = &entry.record.event;
            let problem = format!(
                "its key does not have the role {role}, so this {event} counts for nothing"
            );
            let fix = Some("gitroll trust list".to_owned());
            findings.push(Finding { fix, ..finding(FindingKind::Role, entry, problem) });
        }
    }
    for chain in ledger.chains.values() {
        let key = chain_ref(&binding.environment, &chain.writer);
        let done = checked
            .get(&key)
            .and_then(|done| chain.entries.iter().rposition(|entry| entry.commit == *done));
        let new = done.map_or(0, |last| last + 1);
        let beside = beside(git, &chain.entries[new..]);
        match chain.entries.last().filter(|_| beside.is_empty()) {
            Some(last) => drop(checked.insert(key, last.commit.clone())),
            None => drop(checked.remove(&key)),
        }
        findings.extend(beside);
        findings.extend(record_tags(git, binding, chain, &tags, &mut wanted));
        findings.extend(notes(git, binding, chain)?);
    }
    findings.extend(stable(git, &ledger)?);
    findings.extend(strays(binding, &ledger, &tags, &wanted));
    if checked != before {
        write_json(&path, &checked);
    }
    let within = |finding: &Finding| match (scope.since, finding.seq) {
        (Some(since), Some(seq)) => seq >= since,
        _ => true,
    };
    findings.retain(within);
    findings.sort_by_key(|finding| (finding.writer.clone(), finding.seq, finding.kind));
    Ok(Examined { chains: summaries(&ledger), findings, ledger })
}

fn summaries(ledger: &Ledger) -> Vec<ChainSummary> {
    let believed = ledger.chains.values().map(|chain| ChainSummary {
        writer: chain.writer.to_string(),
        records: chain.entries.len() as u64,
        believed: true,
        newest: chain.entries.last().map(|last| last.digest.to_string()),
    });
    let refused = ledger.refused.iter().map(|(writer, _)| ChainSummary {
        writer: writer.clone(),
        records: 0,
        believed: false,
        newest: None,
    });
    believed.chain(refused).collect()
}

fn not_believed(writer: &str, why: &LedgerError, binding: &Binding) -> Finding {
    let own = writer == binding.writer.as_str();
    let (kind, fix) = match why {
        LedgerError::Malformed { .. } => (FindingKind::Malformed, None),
        LedgerError::Broken { .. } => (FindingKind::Broken, None),
        LedgerError::Untrusted { .. } => (FindingKind::Untrusted, None),
        LedgerError::Rewritten { .. } => (FindingKind::Rewritten, None),
        LedgerError::Missing { .. } => (FindingKind::Rewritten, Some("gitroll sync".to_owned())),
        _ => (FindingKind::Unreadable, Some("git fsck".to_owned())),
    };
    let whose = if own { "this host's chain" } else { "the chain" };
    Finding {
        kind,
        writer: writer.to_owned(),
        seq: None,
        problem: format!("{whose} is rejected: {why}"),
        repairable: false,
        fix,
    }
}

fn finding(kind: FindingKind, entry: &Entry, problem: String) -> Finding {
    Finding {
        kind,
        writer: entry.record.writer.to_string(),
        seq: Some(entry.record.seq),
        problem,
        repairable: false,
        fix: None,
    }
}

/// What is beside each record, and the commit that it is about.
fn beside(git: &Git, entries: &[Entry]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for entry in entries {
        let kept = chain::evidence(git, entry).map(drop);
        for error in [kept, chain::config(git, entry).map(drop)].into_iter().filter_map(Result::err)
        {
            let damaged = finding(FindingKind::Evidence, entry, error.to_string());
            findings.push(Finding { fix: Some("git fsck".to_owned()), ..damaged });
        }
        let whole = git.commit(&entry.object).is_ok_and(|commit| git.has(&commit.tree));
        if !whole {
            let what =
                format!("its commit {} is incomplete in this repository", entry.object.short());
            let lost = finding(FindingKind::Commit, entry, what);
            findings.push(Finding { fix: Some("git fetch".to_owned()), ..lost });
        }
    }
    findings
}

fn record_tags(
    git: &Git,
    binding: &Binding,
    chain: &Chain,
    tags: &Tags,
    wanted: &mut BTreeSet<String>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for entry in &chain.entries {
        let Some(name) = tag_of(&binding.environment, entry) else { continue };
        let short = name.strip_prefix("refs/tags/").unwrap_or(&name).to_owned();
        let repairable = |problem: String| Finding {
            repairable: true,
            ..finding(FindingKind::RecordTag, entry, problem)
        };
        match tags.get(&name) {
            None => findings.push(match in_the_way(tags, &name) {
                Some(by) => {
                    let by = by.strip_prefix("refs/tags/").unwrap_or(&by);
                    let problem =
                        format!("the tag {short} cannot be created: the tag {by} has its name");
                    let taken = finding(FindingKind::NameTaken, entry, problem);
                    Finding { fix: plain(by).map(|by| format!("git tag -d {by}")), ..taken }
                }
                None => repairable(format!("the tag {short} is gone")),
            }),
            Some(id) if !git.has(id) => {
                let problem = format!("the object of the tag {short} is lost, so git gc fails");
                findings.push(repairable(problem));
            }
            Some(id) if !is_of(git, entry, id) => {
                findings.push(repairable(format!("the tag {short} is not the record's")));
            }
            Some(_) => {}
        }
        wanted.insert(name);
    }
    findings
}

fn is_of(git: &Git, entry: &Entry, tag: &Oid) -> bool {
    let there = git.object(tag, ObjectKind::Tag, MOST_BYTES);
    let record = git.object(&entry.blob, ObjectKind::Blob, MOST_BYTES);
    matches!((there, record), (Ok(there), Ok(record)) if there == record)
}

fn notes(git: &Git, binding: &Binding, chain: &Chain) -> Result<Vec<Finding>, LedgerError> {
    let notes = notes_ref(&binding.environment, &chain.writer);
    let mut about: BTreeMap<&Oid, Vec<&Entry>> = BTreeMap::new();
    for entry in &chain.entries {
        about.entry(&entry.object).or_default().push(entry);
    }
    // The id of a note is the digest of its text: none has to be opened.
    let there = git.notes(&notes);
    let mut findings = Vec::new();
    for (commit, entries) in about {
        let Some(last) = entries.last() else { continue };
        let right = git.id_of(ObjectKind::Blob, note(&entries).as_bytes())?;
        let problem = match there.as_ref().map(|there| there.get(commit)) {
            Ok(Some(id)) if *id == right && git.has(id) => continue,
            Ok(Some(id)) if *id == right => {
                format!("the note of {} in {notes} is lost", commit.short())
            }
            Ok(Some(_)) => format!("the note of {} in {notes} was changed", commit.short()),
            Ok(None) => format!("the note of {} in {notes} is gone", commit.short()),
            Err(error) => format!("the notes in {notes} cannot be read: {error}"),
        };
        findings.push(Finding { repairable: true, ..finding(FindingKind::Note, last, problem) });
    }
    Ok(findings)
}

/// A stable tag that a record vouches for.
#[derive(Debug, Clone)]
struct Vouched<'a> {
    entry: &'a Entry,
    target: &'a TargetRef,
}

/// The stable tags that promotions and adoptions name, the last record of each, without those that were withdrawn.
fn stable_tags(ledger: &Ledger) -> BTreeMap<&str, Vouched<'_>> {
    let may = |entry: &&Entry| !ledger.without_role.contains_key(&entry.digest);
    let entries = || ledger.chains.values().flat_map(|chain| &chain.entries).filter(may);
    let succeeded = |entry: &&Entry| entry.record.outcome == Outcome::Succeeded;
    let lifted: BTreeSet<&Digest> =
        entries().filter(succeeded).flat_map(|entry| &entry.record.lifts).collect();
    let mut tags: BTreeMap<&str, Vouched<'_>> = BTreeMap::new();
    for entry in entries().filter(succeeded).filter(|entry| !lifted.contains(&entry.digest)) {
        let record = &entry.record;
        let promoted = record.target.iter().filter(|_| record.event == Event::Promote);
        let adopted = record.adopts.iter().map(|tag| &tag.target);
        for target in promoted.chain(adopted) {
            let vouched = Vouched { entry, target };
            let newer = |there: &&Vouched<'_>| there.entry.tagger.time > entry.tagger.time;
            if !tags.get(target.name.as_str()).as_ref().is_some_and(newer) {
                tags.insert(&target.name, vouched);
            }
        }
    }
    tags
}

fn stable(git: &Git, ledger: &Ledger) -> Result<Vec<Finding>, LedgerError> {
    let mut findings = Vec::new();
    for Vouched { entry, target } in stable_tags(ledger).into_values() {
        let (short, record) = (target.short(), entry.record.seq);
        let problem = match git.find_ref(&target.name)? {
            None => format!("the stable tag {short} is gone"),
            Some(id) if id != target.id => {
                let (now, then) = (id.short(), target.id.short());
                format!(
                    "the stable tag {short} was moved: it is {now}, and was {then} in #{record}"
                )
            }
            Some(id) if !git.has(&id) => {
                format!("the object of the stable tag {short} is lost, so git gc fails")
            }
            Some(_) => continue,
        };
        let kept = git.has(&target.id) || chain::promoted_tag(git, entry)?.is_some();
        let lost = finding(FindingKind::StableTag, entry, problem);
        let fix =
            plain(short).filter(|_| !kept).map(|short| format!("git fetch origin tag {short}"));
        findings.push(Finding { repairable: kept, fix, ..lost });
    }
    Ok(findings)
}

/// Writes back every stable tag that is gone or moved, from its object or from what is beside the record of its
/// promotion.
///
/// # Errors
/// When git cannot write: nothing was moved then.
pub fn repair_stable_tags(git: &Git, ledger: &Ledger) -> Result<(), LedgerError> {
    let mut edits = Vec::new();
    for Vouched { entry, target } in stable_tags(ledger).into_values() {
        let old = git.find_ref(&target.name)?;
        let mut whole = git.has(&target.id);
        if old.as_ref() == Some(&target.id) && whole {
            continue;
        }
        if !whole && let Some(bytes) = chain::promoted_tag(git, entry)? {
            whole = git.write_object(ObjectKind::Tag, &bytes)? == target.id;
        }
        if whole {
            edits.push(RefEdit { name: target.name.clone(), new: Some(target.id.clone()), old });
        }
    }
    Ok(git.update_refs(&edits, "gitroll: fsck --repair")?)
}

/// Tags where only records have theirs.
fn strays(
    binding: &Binding,
    ledger: &Ledger,
    tags: &Tags,
    wanted: &BTreeSet<String>,
) -> Vec<Finding> {
    let prefix = format!("refs/tags/gitroll/{}/", binding.environment);
    let refused: Vec<&str> = ledger.refused.iter().map(|(writer, _)| writer.as_str()).collect();
    let mut findings = Vec::new();
    for name in tags.keys().filter(|name| !wanted.contains(*name)) {
        let rest = name.strip_prefix(&prefix).unwrap_or(name);
        let writer = rest.split('/').next().unwrap_or(rest);
        // Whether those are a record's cannot be known.
        if refused.contains(&writer) {
            continue;
        }
        let short = name.strip_prefix("refs/tags/").unwrap_or(name);
        findings.push(Finding {
            kind: FindingKind::Stray,
            writer: writer.to_owned(),
            seq: None,
            problem: format!("no record creates the tag {short}"),
            repairable: false,
            fix: plain(short).map(|short| format!("git tag -d {short}")),
        });
    }
    findings
}

/// A name that a shell takes as it stands.
fn plain(name: &str) -> Option<&str> {
    let safe = |c: char| c.is_ascii_alphanumeric() || "/._-+@".contains(c);
    (name.chars().all(safe) && !name.starts_with('-')).then_some(name)
}
