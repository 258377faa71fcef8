//! What one record states.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    AppName, BootClock, ChainId, ComponentId, Digest, EnvironmentName, FlagChange, IdError, Oid,
    RevokedKey, Seq, WriterId,
};

/// The statement of one act, as the trailers of a signed annotated tag carry it.
///
/// The byte format is in `docs/record-format.md`; [`crate::ledger`] reads and writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// The app this record belongs to.
    pub app: AppName,
    /// The environment this record belongs to.
    pub environment: EnvironmentName,
    /// Who wrote it.
    pub writer: WriterId,
    /// The chain it is part of.
    pub chain: ChainId,
    /// Its position in the chain.
    pub seq: Seq,
    /// The digest of the previous record; `None` only for the first.
    pub previous: Option<Digest>,
    /// What was done.
    pub event: Event,
    /// How it ended.
    pub outcome: Outcome,
    /// The commit that served before.
    pub from: Option<Oid>,
    /// The commit that serves now; absent when the act failed, or changed nothing that serves.
    pub to: Option<Oid>,
    /// The tag that named the target, where one did.
    pub target: Option<TargetRef>,
    /// Tags from before gitroll that a person accepted, each pinned to what it named then.
    #[serde(default)]
    pub adopts: Vec<AdoptedTag>,
    /// The commit that the verdict is about.
    pub subject: Option<Oid>,
    /// The verdict on `subject`.
    pub verdict: Option<Verdict>,
    /// What may not be deployed from now on.
    pub hold: Option<Hold>,
    /// The components this act was about.
    pub components: Vec<ComponentId>,
    /// The feature flags it changed, with their values before and after.
    #[serde(default)]
    pub flags: Vec<FlagChange>,
    /// Records whose verdict and hold end with this one.
    pub lifts: Vec<Digest>,
    /// The record that a reason is added to afterwards.
    pub annotates: Option<Digest>,
    /// The heads of other chains when this record was made.
    pub seen: Vec<Seen>,
    /// The digest of the plan that was executed.
    pub plan: Option<Digest>,
    /// The request that an approval answers: the blob of its signed bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Oid>,
    /// The clock that nobody can set, when the record was written. Records written before this field do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<BootClock>,
    /// Where HEAD was moved to by hand; `from` is where it was. Nothing that serves changed by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_to: Option<Oid>,
    /// Since when processes ran what HEAD was moved away from; absent where no process showed that it served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ran_since: Option<BootClock>,
    /// Keys that other hosts are asked to trust: lines of a trust file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusts: Vec<String>,
    /// Keys that other hosts are asked to trust no longer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revokes: Vec<RevokedKey>,
    /// The digest of the evidence kept beside the record.
    pub evidence: Digest,
    /// The digest of the `gitroll.toml` that was used.
    pub config: Digest,
    /// The first line of the message.
    pub sentence: String,
    /// Why, in a person's words.
    pub reason: Option<String>,
    /// Trailers of a newer version: shown and chained, otherwise ignored.
    pub unknown: Vec<(String, String)>,
}

/// Where a record belongs: one writer's line of an app's history in an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryLine {
    /// The app.
    pub app: AppName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The writer.
    pub writer: WriterId,
    /// The writer's chain.
    pub chain: ChainId,
}

impl Record {
    /// A succeeded act of this kind that states nothing yet. Position and digests are the ledger's to fill in.
    pub fn new(line: &HistoryLine, event: Event) -> Self {
        let nothing = Digest::of(b"");
        Self {
            app: line.app.clone(),
            environment: line.environment.clone(),
            writer: line.writer.clone(),
            chain: line.chain.clone(),
            seq: Seq::FIRST,
            previous: None,
            event,
            outcome: Outcome::Succeeded,
            from: None,
            to: None,
            target: None,
            adopts: Vec::new(),
            subject: None,
            verdict: None,
            hold: None,
            components: Vec::new(),
            flags: Vec::new(),
            lifts: Vec::new(),
            annotates: None,
            seen: Vec::new(),
            plan: None,
            request: None,
            clock: None,
            moved_to: None,
            ran_since: None,
            trusts: Vec::new(),
            revokes: Vec::new(),
            evidence: nothing,
            config: nothing,
            sentence: String::new(),
            reason: None,
            unknown: Vec::new(),
        }
    }
}

/// What a record says was done.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
#[schemars(with = "String")]
pub enum Event {
    /// The chain was begun.
    Init,
    /// A state that served before gitroll came was accepted by a person.
    Adopt,
    /// A state that someone else put in place was found serving.
    Predeploy,
    /// HEAD was moved by hand, as a git hook or its reflog told. Nobody looked whether anything serves well.
    Moved,
    /// A revision was put in place.
    Deploy,
    /// A deployed commit was given a stable tag.
    Promote,
    /// An earlier state was restored.
    Back,
    /// A component's files were restored.
    Component,
    /// Feature flags were changed.
    Flags,
    /// Migrations of the database were taken back; the code stayed.
    Migrate,
    /// A rollback point was made.
    Point,
    /// A commit was judged good or bad.
    Mark,
    /// A commit or a component's content was held.
    Hold,
    /// A hold or verdict was lifted.
    Lift,
    /// A reason was added afterwards.
    Annotate,
    /// A plan was approved.
    Approve,
    /// A rollback was practised.
    Drill,
    /// A key was trusted or revoked.
    Trust,
    /// An event of a newer version.
    Other(String),
}

impl Event {
    const KNOWN: [(Event, &'static str); 18] = [
        (Event::Init, "init"),
        (Event::Adopt, "adopt"),
        (Event::Predeploy, "predeploy"),
        (Event::Moved, "moved"),
        (Event::Deploy, "deploy"),
        (Event::Promote, "promote"),
        (Event::Back, "back"),
        (Event::Component, "component"),
        (Event::Flags, "flags"),
        (Event::Migrate, "migrate"),
        (Event::Point, "point"),
        (Event::Mark, "mark"),
        (Event::Hold, "hold"),
        (Event::Lift, "lift"),
        (Event::Annotate, "annotate"),
        (Event::Approve, "approve"),
        (Event::Drill, "drill"),
        (Event::Trust, "trust"),
    ];

    /// Every event that this version knows, as trailers spell them.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::KNOWN.iter().map(|(_, name)| *name)
    }

    /// The event as the trailer spells it.
    pub fn as_str(&self) -> &str {
        match self {
            Event::Other(name) => name,
            known => {
                Self::KNOWN.iter().find(|(event, _)| event == known).map_or("", |(_, name)| name)
            }
        }
    }

    /// Whether a succeeded act of this kind changes or states what serves on the writer's host.
    pub fn serves(&self) -> bool {
        matches!(
            self,
            Event::Init
                | Event::Adopt
                | Event::Predeploy
                | Event::Deploy
                | Event::Back
                | Event::Component
                | Event::Flags
                | Event::Migrate
        )
    }
}

impl From<String> for Event {
    fn from(name: String) -> Self {
        Self::KNOWN
            .iter()
            .find(|(_, known)| *known == name)
            .map_or(Event::Other(name), |(event, _)| event.clone())
    }
}

impl From<Event> for String {
    fn from(event: Event) -> String {
        event.as_str().to_owned()
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How an act ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The intended version was observed serving.
    Succeeded,
    /// It failed, and the previous version was restored and observed serving.
    Restored,
    /// It failed, and what serves is not healthy.
    Failed,
}

impl Outcome {
    /// The outcome as the trailer spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Succeeded => "succeeded",
            Outcome::Restored => "restored",
            Outcome::Failed => "failed",
        }
    }
}

impl FromStr for Outcome {
    type Err = IdError;
    fn from_str(value: &str) -> Result<Self, IdError> {
        [Outcome::Succeeded, Outcome::Restored, Outcome::Failed]
            .into_iter()
            .find(|outcome| outcome.as_str() == value)
            .ok_or_else(|| IdError {
                kind: "outcome",
                value: value.to_owned(),
                problem: "one of succeeded, restored, failed",
            })
    }
}

/// Whether a commit is good or bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Judgement {
    /// Fit to serve.
    Good,
    /// Must not be deployed or be a rollback target.
    Bad,
}

/// A verdict on a commit. Written `bad`, `good`, or `bad provisional` until a person confirms it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// Good or bad.
    pub judgement: Judgement,
    /// Concluded from a rollback, not yet confirmed by a person.
    pub provisional: bool,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.judgement {
            Judgement::Good => "good",
            Judgement::Bad => "bad",
        })?;
        f.write_str(if self.provisional { " provisional" } else { "" })
    }
}

impl FromStr for Verdict {
    type Err = IdError;
    fn from_str(value: &str) -> Result<Self, IdError> {
        let (word, provisional) = match value.strip_suffix(" provisional") {
            Some(word) => (word, true),
            None => (value, false),
        };
        let judgement = match word {
            "good" => Judgement::Good,
            "bad" => Judgement::Bad,
            _ => {
                return Err(IdError {
                    kind: "verdict",
                    value: value.to_owned(),
                    problem: "good or bad, bad optionally followed by ` provisional`",
                });
            }
        };
        Ok(Verdict { judgement, provisional })
    }
}

/// What may not be deployed. Written `commit` (the record's subject, its tree and its descendants) or
/// `component QW-001 sha256:…` (that content of the component).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Hold {
    /// The subject commit, its tree, and every commit that contains it.
    Commit,
    /// A component's content, in any commit.
    Component {
        /// The component.
        id: ComponentId,
        /// The digest of its content.
        content: Digest,
    },
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Hold::Commit => f.write_str("commit"),
            Hold::Component { id, content } => write!(f, "component {id} {content}"),
        }
    }
}

impl FromStr for Hold {
    type Err = IdError;
    fn from_str(value: &str) -> Result<Self, IdError> {
        let problem = || IdError {
            kind: "hold",
            value: value.to_owned(),
            problem: "`commit`, or `component ID sha256:…`",
        };
        let parts: Vec<&str> = value.split(' ').collect();
        match parts[..] {
            ["commit"] => Ok(Hold::Commit),
            ["component", id, content] => Ok(Hold::Component {
                id: id.parse().map_err(|_| problem())?,
                content: content.parse().map_err(|_| problem())?,
            }),
            _ => Err(problem()),
        }
    }
}

/// A tag that named a target: its full ref and the tag object's id. Written `refs/tags/… <id>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct TargetRef {
    /// The full name, `refs/tags/…`.
    pub name: String,
    /// The object the ref pointed to.
    pub id: Oid,
}

impl TargetRef {
    /// The name without `refs/tags/`, for people.
    pub fn short(&self) -> &str {
        self.name.strip_prefix("refs/tags/").unwrap_or(&self.name)
    }
}

/// Another chain's head as seen when a record was made. Written `<writer> <seq> sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Seen {
    /// The other writer.
    pub writer: WriterId,
    /// Its highest position.
    pub seq: Seq,
    /// The digest of that record.
    pub digest: Digest,
}

/// Who signed a record or wrote a commit, and when they said it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Person {
    /// Name, as git has it; escape before printing.
    pub name: String,
    /// Electronic mail address, as git has it.
    pub email: String,
    /// The moment, to the second.
    #[schemars(with = "String")]
    pub time: Timestamp,
}

/// A tag that a person accepted as naming a state that served here: its name pinned to the object and the
/// commit it had then. Written `refs/tags/… <object id> <commit> <since> <seconds>`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct AdoptedTag {
    /// The tag, and the object its ref pointed to.
    pub target: TargetRef,
    /// The commit that the object is or names.
    pub commit: Oid,
    /// Since when HEAD was last there, according to its reflog, in whole seconds.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// For how long HEAD was there in total, in seconds.
    pub seconds: u64,
}

impl fmt::Display for AdoptedTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TargetRef { name, id } = &self.target;
        write!(f, "{name} {id} {} {} {}", self.commit, self.since.as_second(), self.seconds)
    }
}

impl FromStr for AdoptedTag {
    type Err = IdError;
    fn from_str(value: &str) -> Result<Self, IdError> {
        let problem = || IdError {
            kind: "adopted tag",
            value: value.to_owned(),
            problem: "`refs/tags/…`, an object id, a commit, seconds since 1970 and seconds",
        };
        let parts: Vec<&str> = value.split(' ').collect();
        let [name, id, commit, since, seconds] = parts[..] else { return Err(problem()) };
        if name.strip_prefix("refs/tags/").is_none_or(str::is_empty) {
            return Err(problem());
        }
        let since = i64::try_from(number(since).ok_or_else(problem)?).map_err(|_| problem())?;
        Ok(Self {
            target: TargetRef { name: name.to_owned(), id: id.parse().map_err(|_| problem())? },
            commit: commit.parse().map_err(|_| problem())?,
            since: Timestamp::from_second(since).map_err(|_| problem())?,
            seconds: number(seconds).ok_or_else(problem)?,
        })
    }
}

/// Only one spelling of a number: a record must read back as it was written.
fn number(text: &str) -> Option<u64> {
    let plain = text == "0"
        || (!text.starts_with('0')
            && (1..=12).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_digit()));
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_event_reads_back() {
        for (event, name) in Event::KNOWN {
            assert_eq!(Event::from(name.to_owned()), event);
            assert_eq!(event.as_str(), name);
        }
        assert_eq!(Event::from("later".to_owned()), Event::Other("later".to_owned()));
    }

    #[test]
    fn holds_and_verdicts_read_back() {
        let content = Digest::of(b"x");
        for text in ["commit".to_owned(), format!("component QW-001 {content}")] {
            assert_eq!(text.parse::<Hold>().map(|h| h.to_string()).ok(), Some(text));
        }
        for text in ["good", "bad", "bad provisional"] {
            assert_eq!(text.parse::<Verdict>().map(|v| v.to_string()).ok().as_deref(), Some(text));
        }
        assert!("commit ".parse::<Hold>().is_err());
        assert!("ugly".parse::<Verdict>().is_err());
    }

    #[test]
    fn an_adopted_tag_reads_back_and_nothing_else_does() {
        let (id, commit) = ("a".repeat(40), "b".repeat(40));
        let good = format!("refs/tags/v1.0.0-stable {id} {commit} 1767603600 60");
        assert_eq!(good.parse::<AdoptedTag>().map(|tag| tag.to_string()).ok(), Some(good));
        for bad in [
            format!("refs/tags/ {id} {commit} 1 2"),
            format!("refs/heads/v1 {id} {commit} 1 2"),
            format!("refs/tags/v1 {id} {commit} 01 2"),
            format!("refs/tags/v1 {id} {commit} -1 2"),
            format!("refs/tags/v1 {id} {commit} 1 +2"),
            format!("refs/tags/v1 {id} {commit} 999999999999 2"),
            format!("refs/tags/v1 {id} {commit} 1"),
            format!("refs/tags/v1 {id} {commit} 1 2 3"),
            format!("refs/tags/v1 {id} main 1 2"),
        ] {
            assert!(bad.parse::<AdoptedTag>().is_err(), "{bad} was read");
        }
    }
}
