//! Tags and notes for people and plain git, made from the chains. Never read for decisions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use super::cache::{place, read_json, write_json};
use super::codec::{MOST_BYTES, record_tag};
use super::entry::{Chain, Entry, Ledger, LedgerError, chain_ref, notes_ref};
use crate::model::{Digest, EnvironmentName, Event, Oid};
use crate::system::git::{Git, ObjectKind, RefEdit};

/// What was projected before, so that nothing to do costs little: `<state>/cache/projected.json`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Projected(BTreeMap<String, Done>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Done {
    /// The chain's commit up to which tags and notes were right.
    head: Oid,
    /// Over the names and ids of its tags then.
    tags: Digest,
    /// The notes ref then.
    notes: Option<Oid>,
}

/// Tags as they are, by full name.
pub(super) type Tags = BTreeMap<String, Oid>;

/// A record's tag that cannot be made: another ref has a name that makes a directory of its own, or a file of a
/// directory above it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameTaken {
    /// The full name that the tag should have.
    pub name: String,
    /// The full name of the ref in its way.
    pub by: String,
}

impl fmt::Display for NameTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |name: &'_ str| name.strip_prefix("refs/tags/").unwrap_or(name).to_owned();
        write!(
            f,
            "the tag {} cannot be created: {} is in the way",
            short(&self.name),
            short(&self.by)
        )
    }
}

/// Whether what was right before is looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Projecting {
    /// What was right before and has the same refs now is right.
    Onward,
    /// Every tag and note is compared with its record.
    Anew,
}

/// Rebuilds tags and notes of every trusted chain: idempotent. What is right is not written again; a
/// tag that someone moved is put right. Returns the tags whose names are taken; all others are made.
///
/// # Errors
/// When git cannot write them: the first failure, after the other chains were done.
pub fn project(
    git: &Git,
    environment: &EnvironmentName,
    ledger: &Ledger,
    how: Projecting,
) -> Result<Vec<NameTaken>, LedgerError> {
    let path = place(git, "projected");
    let before: Projected = match how {
        Projecting::Onward => read_json(&path).unwrap_or_default(),
        Projecting::Anew => Projected::default(),
    };
    let mut after = before.clone();
    let mut tags = tags_of(git, environment)?;
    let mut taken = Vec::new();
    let mut first_failure = Ok(());
    for chain in ledger.chains.values() {
        let key = chain_ref(environment, &chain.writer);
        match one(git, environment, chain, &mut tags, before.0.get(&key), &mut taken) {
            Ok(done) => {
                after.0.extend(done.map(|done| (key, done)));
            }
            Err(error) => {
                after.0.remove(&key);
                first_failure = first_failure.and(Err(error));
            }
        }
    }
    if after != before {
        write_json(&path, &after);
    }
    first_failure.map(|()| taken)
}

pub(super) fn tags_of(git: &Git, environment: &EnvironmentName) -> Result<Tags, LedgerError> {
    let tags = git.refs(&format!("refs/tags/gitroll/{environment}/"))?;
    Ok(tags.into_iter().map(|tag| (tag.name, tag.id)).collect())
}

/// The ref that keeps a tag of this name from being made.
pub(super) fn in_the_way(tags: &Tags, name: &str) -> Option<String> {
    let below = format!("{name}/");
    let deeper = tags.range(below.clone()..).next().filter(|(tag, _)| tag.starts_with(&below));
    let above = || {
        let slashes = name.match_indices('/').map(|(at, _)| &name[..at]);
        slashes.filter_map(|above| tags.get_key_value(above)).next()
    };
    deeper.or_else(above).map(|(tag, _)| tag.clone())
}

fn one(
    git: &Git,
    environment: &EnvironmentName,
    chain: &Chain,
    tags: &mut Tags,
    done: Option<&Done>,
    taken: &mut Vec<NameTaken>,
) -> Result<Option<Done>, LedgerError> {
    let entries = &chain.entries;
    let Some(last) = entries.last() else {
        return Ok(None);
    };
    let reached = done.and_then(|done| entries.iter().rposition(|e| e.commit == done.head));
    let reached = reached.map_or(0, |at| at + 1);
    let same_tags = |done: &Done| done.tags == listing(environment, &entries[..reached], tags);
    // A ref outlives its object where a disk or a prune took that: the record's bytes are in the chain.
    let whole = || {
        let names = entries[..reached].iter().filter_map(|entry| tag_of(environment, entry));
        names.filter_map(|name| tags.get(&name)).all(|id| git.has(id))
    };
    let tagged = if done.is_some_and(same_tags) && whole() { reached } else { 0 };
    set_tags(git, environment, &entries[tagged..], tags, taken)?;

    let notes = notes_ref(environment, &chain.writer);
    let now = git.find_ref(&notes)?;
    let noted = if done.is_some_and(|done| done.notes == now) { reached } else { 0 };
    set_notes(git, &notes, entries, noted)?;
    Ok(Some(Done {
        head: last.commit.clone(),
        tags: listing(environment, entries, tags),
        notes: if noted == entries.len() { now } else { git.find_ref(&notes)? },
    }))
}

fn set_tags(
    git: &Git,
    environment: &EnvironmentName,
    entries: &[Entry],
    tags: &mut Tags,
    taken: &mut Vec<NameTaken>,
) -> Result<(), LedgerError> {
    let (mut objects, mut edits) = (Vec::new(), Vec::new());
    for entry in entries {
        let Some(name) = tag_of(environment, entry) else {
            continue;
        };
        let object = git.object(&entry.blob, ObjectKind::Blob, MOST_BYTES)?;
        let old = tags.get(&name).cloned();
        // What is there may be a commit, a larger tag, or gone: all of it is not this record's tag.
        let there = old.as_ref().map(|id| git.object(id, ObjectKind::Tag, MOST_BYTES));
        if matches!(there, Some(Ok(bytes)) if bytes == object) {
            continue;
        }
        // One name that is taken must not keep all others from being made.
        if let Some(by) = in_the_way(tags, &name) {
            taken.push(NameTaken { name, by });
            continue;
        }
        let id = git.id_of(ObjectKind::Tag, &object)?;
        objects.push(object);
        tags.insert(name.clone(), id.clone());
        edits.push(RefEdit { name, new: Some(id), old });
    }
    if !edits.is_empty() {
        git.write_objects(ObjectKind::Tag, &objects)?;
        git.update_refs(&edits, "gitroll: project")?;
    }
    Ok(())
}

fn set_notes(git: &Git, notes: &str, entries: &[Entry], noted: usize) -> Result<(), LedgerError> {
    let touched: BTreeSet<&Oid> = entries[noted..].iter().map(|entry| &entry.object).collect();
    let mut about: BTreeMap<&Oid, Vec<&Entry>> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| touched.contains(&entry.object)) {
        about.entry(&entry.object).or_default().push(entry);
    }
    let Some(last) = entries.last() else { return Ok(()) };
    let there = if about.is_empty() { BTreeMap::new() } else { git.notes(notes)? };
    let mut missing = Vec::new();
    for (commit, entries) in about {
        let text = note(&entries);
        if there.get(commit) != Some(&git.id_of(ObjectKind::Blob, text.as_bytes())?) {
            missing.push((commit, text));
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    Ok(git.set_notes(notes, &missing, &last.tagger)?)
}

/// The tag a record has: those that say what serves, or what was there before someone moved HEAD. A promotion is
/// told by the stable tag itself.
pub(super) fn tag_of(environment: &EnvironmentName, entry: &Entry) -> Option<String> {
    let record = &entry.record;
    (record.event.serves() || record.event == Event::Moved)
        .then(|| record_tag(environment, &record.writer, record.seq, record.event.as_str()))
}

fn listing(environment: &EnvironmentName, entries: &[Entry], tags: &Tags) -> Digest {
    let mut text = String::new();
    for name in entries.iter().filter_map(|entry| tag_of(environment, entry)) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name} {}", tags.get(&name).map_or("", Oid::as_str));
    }
    Digest::of(text.as_bytes())
}

/// The note of a commit: a line per record, sorted as `git notes merge -s cat_sort_uniq` sorts them.
pub(super) fn note(entries: &[&Entry]) -> String {
    let lines: BTreeSet<String> = entries.iter().map(|entry| line(entry)).collect();
    lines.into_iter().fold(String::new(), |text, line| text + &line + "\n")
}

fn line(entry: &Entry) -> String {
    let record = &entry.record;
    let to = record.to.as_ref().or(record.moved_to.as_ref());
    let change = match (&record.from, to, &record.subject) {
        (Some(from), Some(to), _) if from != to => format!("{}→{}", from.short(), to.short()),
        (_, Some(to), _) => to.short().to_owned(),
        (_, None, Some(subject)) => subject.short().to_owned(),
        (from, None, None) => from.as_ref().map_or("", Oid::short).to_owned(),
    };
    escape(&format!(
        "{} #{} {} {} {change} by {}: {}",
        entry.tagger.time,
        record.seq,
        record.event,
        record.outcome.as_str(),
        entry.tagger.name,
        record.sentence
    ))
}

/// Characters that could move the cursor, hide or turn around text are shown by their number.
fn escape(text: &str) -> String {
    let unsafe_to_print = |c: char| {
        c.is_control()
            || matches!(c,
                '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}')
    };
    text.chars().fold(String::new(), |mut shown, c| {
        if unsafe_to_print(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
        shown
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_deceive_a_reader_is_shown_by_its_number() {
        assert_eq!(escape("a\u{202e}b\u{1b}[2J✓é"), "a\\u{202e}b\\u{1b}[2J✓é");
    }
}
