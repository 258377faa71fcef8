//! The bytes of a record: what is signed, written and read back. Pure.
//!
//! The format is described for other readers in `docs/record-format.md`.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use super::signing::{self, ARMOUR, Signed};
use super::trailers::{self, Trailers};
use crate::model::{
    Digest, EnvironmentName, Event, Hold, Oid, Person, Record, Seen, Seq, TargetRef, Verdict,
    WriterId,
};

/// Larger tag objects are not examined.
pub(super) const MOST_BYTES: u64 = 1024 * 1024;

/// The longest reason, in bytes.
const MOST_REASON: usize = 4096;

/// The longest first line, in bytes.
pub(super) const MOST_SENTENCE: usize = 1024;

/// A record read from the bytes of its tag object. Its signature is not verified by reading it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Decoded {
    /// What it states.
    pub record: Record,
    /// Who signed it, when, by their own word.
    pub tagger: Person,
    /// The commit the tag points to.
    pub object: Oid,
    /// Its identity: SHA-256 of the payload.
    pub digest: Digest,
}

/// The payload of a record: the bytes that are signed.
///
/// # Errors
/// What cannot be written so that it reads back the same. A reason is checked by [`check_reason`] first.
pub(super) fn encode(record: &Record, tagger: &Person) -> Result<Vec<u8>, String> {
    let object = object_of(record)?;
    let name = tag_name(&record.environment, &record.writer, record.seq, record.event.as_str());
    let mut text = format!(
        "object {object}\ntype commit\ntag {name}\ntagger {} <{}> {} +0000\n\n{}\n\n",
        tagger.name,
        tagger.email,
        tagger.time.as_second(),
        record.sentence
    );
    if let Some(reason) = &record.reason {
        text.push_str(reason);
        text.push_str("\n\n");
    }
    write_trailers(&mut text, record);
    let decoded = decode_payload(text.as_bytes())?;
    // What does not read back as what was meant is never signed.
    if decoded.record != *record || decoded.tagger != *tagger {
        return Err("it would not read back as written".to_owned());
    }
    Ok(text.into_bytes())
}

/// Reads the bytes of a tag object.
///
/// # Errors
/// What is wrong, in a few words.
pub(super) fn decode(object: &[u8]) -> Result<(Decoded, Signed<'_>), String> {
    if object.len() as u64 > MOST_BYTES {
        return Err(format!("it is larger than {MOST_BYTES} bytes"));
    }
    let signed = signing::split(object)?;
    Ok((decode_payload(signed.payload)?, signed))
}

/// Whether a reason can be recorded as it is.
///
/// # Errors
/// Why not.
pub(super) fn check_reason(reason: &str) -> Result<(), String> {
    if reason.is_empty() {
        return Err("it is empty".to_owned());
    }
    if reason.len() > MOST_REASON {
        return Err(format!("it is {} bytes long, at most {MOST_REASON} are kept", reason.len()));
    }
    if reason.trim() != reason {
        return Err("it begins or ends with space".to_owned());
    }
    if let Some(control) = reason.chars().find(|c| c.is_control() && *c != '\n') {
        return Err(format!("it has the control character {}", control.escape_unicode()));
    }
    match reason.lines().find(|line| is_of_records(line)) {
        Some(line) => Err(format!("its line {line:?} could be mistaken for a part of the record")),
        None => Ok(()),
    }
}

/// The short name of a record's tag, which its `tag` header holds.
pub(super) fn tag_name(
    environment: &EnvironmentName,
    writer: &WriterId,
    seq: Seq,
    event: &str,
) -> String {
    format!("gitroll/{environment}/{writer}/{seq}-{event}")
}

/// The full name of a record's tag, a projection.
pub fn record_tag(
    environment: &EnvironmentName,
    writer: &WriterId,
    seq: Seq,
    event: &str,
) -> String {
    format!("refs/tags/{}", tag_name(environment, writer, seq, event))
}

/// The commit a record's tag points to.
pub(super) fn object_of(record: &Record) -> Result<&Oid, String> {
    let named = record.to.as_ref().or(record.subject.as_ref()).or(record.from.as_ref());
    named.ok_or_else(|| "it does not name a commit: it needs To, Subject or From".to_owned())
}

fn is_of_records(line: &str) -> bool {
    let start = line.trim_start().as_bytes();
    let begins = |with: &str| {
        start.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with.as_bytes()))
    };
    begins("Gitroll-") || begins(ARMOUR)
}

fn decode_payload(payload: &[u8]) -> Result<Decoded, String> {
    let text = std::str::from_utf8(payload).map_err(|_| "it is not UTF-8")?;
    if let Some(bad) = text.chars().find(|c| c.is_control() && *c != '\n') {
        return Err(format!("it has the control character {}", bad.escape_unicode()));
    }
    let (head, message) = text.split_once("\n\n").ok_or("it has no message")?;
    let head = Head::parse(head)?;
    let message = message.strip_suffix('\n').ok_or("its last line has no line break")?;
    let (before, last) = message.rsplit_once("\n\n").ok_or("it has no trailers")?;
    let (sentence, reason) = match before.split_once("\n\n") {
        Some((sentence, reason)) => (sentence, Some(reason)),
        None => (before, None),
    };
    check_sentence(sentence)?;
    if let Some(reason) = reason {
        check_reason(reason).map_err(|problem| format!("its reason: {problem}"))?;
    }
    let record = record_of(&Trailers::parse(last)?, sentence, reason)?;
    head.check(&record)?;
    Ok(Decoded { record, tagger: head.tagger, object: head.object, digest: Digest::of(payload) })
}

fn check_sentence(sentence: &str) -> Result<(), String> {
    let whole = !sentence.is_empty()
        && sentence.len() <= MOST_SENTENCE
        && !sentence.contains('\n')
        && sentence.trim() == sentence;
    if whole && !is_of_records(sentence) {
        Ok(())
    } else {
        Err("its first line is not one sentence".to_owned())
    }
}

/// The header lines of a tag object.
struct Head<'a> {
    object: Oid,
    tag: &'a str,
    tagger: Person,
}

impl<'a> Head<'a> {
    fn parse(head: &'a str) -> Result<Self, String> {
        let lines: Vec<&str> = head.split('\n').collect();
        let [object, kind, tag, tagger] = lines[..] else {
            return Err("its header is not object, type, tag and tagger".to_owned());
        };
        let value = |line: &'a str, name: &str| {
            line.strip_prefix(name).ok_or_else(|| format!("its header lacks {}", name.trim_end()))
        };
        if value(kind, "type ")? != "commit" {
            return Err("it does not point to a commit".to_owned());
        }
        let object = value(object, "object ")?.parse().map_err(|_| "its object is not an id")?;
        let tag = value(tag, "tag ")?;
        let tagger = person(value(tagger, "tagger ")?).ok_or("its tagger cannot be read")?;
        Ok(Head { object, tag, tagger })
    }

    fn check(&self, record: &Record) -> Result<(), String> {
        let event = record.event.as_str();
        let name = tag_name(&record.environment, &record.writer, record.seq, event);
        if self.tag != name {
            return Err(format!("its tag is named {:?}, not {name:?}", self.tag));
        }
        if self.object == *object_of(record)? {
            Ok(())
        } else {
            Err("its object is not the commit that its trailers name".to_owned())
        }
    }
}

fn person(line: &str) -> Option<Person> {
    let (name, rest) = line.split_once(" <")?;
    let (email, when) = rest.split_once("> ")?;
    let (seconds, zone) = when.split_once(' ')?;
    let plain = |part: &str| !part.contains(['<', '>']) && part.trim() == part;
    let number = seconds == "0"
        || (!seconds.starts_with('0')
            && (1..=12).contains(&seconds.len())
            && seconds.bytes().all(|b| b.is_ascii_digit()));
    let zone = zone.strip_prefix(['+', '-'])?;
    let zone = zone.len() == 4 && zone.bytes().all(|b| b.is_ascii_digit());
    if !(plain(name) && plain(email) && number && zone) {
        return None;
    }
    let time = Timestamp::from_second(seconds.parse().ok()?).ok()?;
    Some(Person { name: name.to_owned(), email: email.to_owned(), time })
}

fn write_trailers(text: &mut String, record: &Record) {
    let mut put = |name: &str, value: &dyn fmt::Display| trailers::write(text, name, value);
    put("Gitroll-Record", &trailers::VERSION);
    put("Gitroll-App", &record.app);
    put("Gitroll-Environment", &record.environment);
    put("Gitroll-Writer", &record.writer);
    put("Gitroll-Chain", &record.chain);
    put("Gitroll-Seq", &record.seq);
    record.previous.iter().for_each(|previous| put("Gitroll-Previous", previous));
    put("Gitroll-Event", &record.event);
    put("Gitroll-Outcome", &record.outcome.as_str());
    record.from.iter().for_each(|from| put("Gitroll-From", from));
    record.to.iter().for_each(|to| put("Gitroll-To", to));
    record.target.iter().for_each(|target| {
        put("Gitroll-Target", &format_args!("{} {}", target.name, target.id));
    });
    record.adopts.iter().for_each(|tag| put("Gitroll-Adopts", tag));
    record.subject.iter().for_each(|subject| put("Gitroll-Subject", subject));
    record.verdict.iter().for_each(|verdict| put("Gitroll-Verdict", verdict));
    record.hold.iter().for_each(|hold| put("Gitroll-Hold", hold));
    record.components.iter().for_each(|component| put("Gitroll-Component", component));
    record.flags.iter().for_each(|change| put("Gitroll-Flag", change));
    record.lifts.iter().for_each(|lifted| put("Gitroll-Lifts", lifted));
    record.annotates.iter().for_each(|annotated| put("Gitroll-Annotates", annotated));
    record.seen.iter().for_each(|seen| {
        put("Gitroll-Seen", &format_args!("{} {} {}", seen.writer, seen.seq, seen.digest));
    });
    record.plan.iter().for_each(|plan| put("Gitroll-Plan", plan));
    record.request.iter().for_each(|request| put("Gitroll-Request", request));
    record.clock.iter().for_each(|clock| put("Gitroll-Clock", clock));
    record.moved_to.iter().for_each(|to| put("Gitroll-Moved-To", to));
    record.ran_since.iter().for_each(|since| put("Gitroll-Ran-Since", since));
    record.trusts.iter().for_each(|line| put("Gitroll-Trusts", line));
    record.revokes.iter().for_each(|key| put("Gitroll-Revokes", key));
    put("Gitroll-Evidence", &record.evidence);
    put("Gitroll-Config", &record.config);
    for (name, value) in &record.unknown {
        put(name, value);
    }
}

fn record_of(
    trailers: &Trailers<'_>,
    sentence: &str,
    reason: Option<&str>,
) -> Result<Record, String> {
    let seq = trailers.required("Gitroll-Seq")?;
    let previous = trailers.optional("Gitroll-Previous")?;
    if (seq == Seq::FIRST) != previous.is_none() {
        return Err("it needs Gitroll-Previous exactly when it is not the first".to_owned());
    }
    Ok(Record {
        app: trailers.required("Gitroll-App")?,
        environment: trailers.required("Gitroll-Environment")?,
        writer: trailers.required("Gitroll-Writer")?,
        chain: trailers.required("Gitroll-Chain")?,
        seq,
        previous,
        event: trailers.required::<EventName>("Gitroll-Event")?.0,
        outcome: trailers.required("Gitroll-Outcome")?,
        from: trailers.optional("Gitroll-From")?,
        to: trailers.optional("Gitroll-To")?,
        target: trailers.optional::<TargetText>("Gitroll-Target")?.map(|target| target.0),
        adopts: trailers.many("Gitroll-Adopts")?,
        subject: trailers.optional("Gitroll-Subject")?,
        verdict: trailers.optional::<Verdict>("Gitroll-Verdict")?,
        hold: trailers.optional::<Hold>("Gitroll-Hold")?,
        components: trailers.many("Gitroll-Component")?,
        flags: trailers.many("Gitroll-Flag")?,
        lifts: trailers.many("Gitroll-Lifts")?,
        annotates: trailers.optional("Gitroll-Annotates")?,
        seen: trailers.many::<SeenText>("Gitroll-Seen")?.into_iter().map(|seen| seen.0).collect(),
        plan: trailers.optional("Gitroll-Plan")?,
        request: trailers.optional("Gitroll-Request")?,
        clock: trailers.optional("Gitroll-Clock")?,
        moved_to: trailers.optional("Gitroll-Moved-To")?,
        ran_since: trailers.optional("Gitroll-Ran-Since")?,
        trusts: trailers.many("Gitroll-Trusts")?,
        revokes: trailers.many("Gitroll-Revokes")?,
        evidence: trailers.required("Gitroll-Evidence")?,
        config: trailers.required("Gitroll-Config")?,
        sentence: sentence.to_owned(),
        reason: reason.map(str::to_owned),
        unknown: trailers.unknown(),
    })
}

/// An event's name becomes a part of a ref's name, so one of a newer version is held to these letters.
struct EventName(Event);

impl FromStr for EventName {
    type Err = &'static str;
    fn from_str(value: &str) -> Result<Self, Self::Err> {
        let plain = value.len() <= 32
            && value.starts_with(|c: char| c.is_ascii_lowercase())
            && value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if plain { Ok(EventName(value.to_owned().into())) } else { Err("not the name of an event") }
    }
}

struct TargetText(TargetRef);

impl FromStr for TargetText {
    type Err = &'static str;
    fn from_str(value: &str) -> Result<Self, Self::Err> {
        let problem = "not `refs/tags/… ` and an object id";
        let (name, id) = value.split_once(' ').ok_or(problem)?;
        let id = id.parse().map_err(|_| problem)?;
        if name.len() > "refs/tags/".len() && name.starts_with("refs/tags/") {
            Ok(TargetText(TargetRef { name: name.to_owned(), id }))
        } else {
            Err(problem)
        }
    }
}

struct SeenText(Seen);

impl FromStr for SeenText {
    type Err = &'static str;
    fn from_str(value: &str) -> Result<Self, Self::Err> {
        let problem = "not a writer, a sequence number and a digest";
        let parts: Vec<&str> = value.split(' ').collect();
        let [writer, seq, digest] = parts[..] else {
            return Err(problem);
        };
        Ok(SeenText(Seen {
            writer: writer.parse().map_err(|_| problem)?,
            seq: seq.parse().map_err(|_| problem)?,
            digest: digest.parse().map_err(|_| problem)?,
        }))
    }
}

#[cfg(test)]
mod tests;
