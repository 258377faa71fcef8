//! What is remembered about watching, in gitroll's own directory: acts, silence, incidents, and how it stands now.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::model::{BootClock, Digest, Moment, Oid};
use crate::system::{clock, files};

/// So many acts are remembered.
const MOST_ACTS: usize = 50;

/// So many incidents are remembered.
const MOST_INCIDENTS: usize = 200;

/// The notes of one checkout.
pub struct Notes {
    dir: PathBuf,
}

/// What the watcher itself did, and is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notebook {
    /// What it did by itself, the oldest first.
    #[serde(default)]
    pub acts: Vec<Act>,
    /// Why it does nothing any more until a person says so.
    #[serde(default)]
    pub stopped: Option<String>,
    /// What is watched after a rollback.
    #[serde(default)]
    pub soak: Option<Soaking>,
}

/// Something it did by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Act {
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// By the clock that nobody sets.
    pub boot: Option<BootClock>,
    /// The symptom of its rule.
    pub rule: String,
    /// The record of the change that it left.
    pub change: Digest,
    /// Its own record.
    pub record: Option<Digest>,
    /// The incident.
    pub incident: String,
    /// What came of it.
    pub ended: ActEnd,
    /// A person saw it.
    pub acked: bool,
}

/// What came of an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ActEnd {
    /// It is being carried out, or the watcher ended while it was.
    Acting,
    /// It was carried out, and nobody knows yet whether it helped.
    Clearing,
    /// The trigger cleared.
    Cleared,
    /// It did not help.
    NoHelp,
    /// Nobody knows whether it helped.
    Unknown,
    /// Someone changed what serves before that was known.
    TakenOver,
    /// It could not be carried out.
    Failed,
}

impl Act {
    /// When, by both clocks.
    pub fn moment(&self) -> Moment {
        Moment { time: self.at, boot: self.boot.clone() }
    }
}

/// What serves is watched for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Soaking {
    /// The commit.
    pub commit: Oid,
    /// Its name.
    pub name: String,
    /// Since when.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// By the clock that nobody sets.
    pub boot: Option<BootClock>,
    /// For how long, in seconds.
    pub seconds: u64,
}

impl Soaking {
    /// How long it lasts still; nothing where that is over.
    pub fn left(&self, now: &Moment) -> Duration {
        left(&self.since, self.boot.as_ref(), self.seconds, now)
    }
}

/// A person wants nothing to be done, and nobody to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Silence {
    /// Since when.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// By the clock that nobody sets.
    pub boot: Option<BootClock>,
    /// For how long, in seconds.
    pub seconds: u64,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
}

impl Silence {
    /// How long it lasts still; nothing where that is over.
    pub fn left(&self, now: &Moment) -> Duration {
        left(&self.since, self.boot.as_ref(), self.seconds, now)
    }

    /// When it ends.
    pub fn until(&self, now: &Moment) -> Timestamp {
        now.time.saturating_add(self.left(now)).unwrap_or(now.time)
    }
}

fn left(since: &Timestamp, boot: Option<&BootClock>, seconds: u64, now: &Moment) -> Duration {
    let since = Moment { time: *since, boot: boot.cloned() };
    let gone = since.until(now);
    gone.map_or(Duration::ZERO, |gone| Duration::from_secs(seconds).saturating_sub(gone))
}

/// Something that is wrong, from when it is noticed until it is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    /// `INC-8`
    pub id: String,
    /// What is wrong, in one line.
    pub what: String,
    /// `P0` to `P3`, where somebody said so.
    pub severity: Option<String>,
    /// When it was opened.
    #[schemars(with = "String")]
    pub opened: Timestamp,
    /// Who opened it: a person, or `gitroll watch`.
    pub by: String,
    /// When it was closed; absent while it is open.
    #[schemars(with = "Option<String>")]
    pub closed: Option<Timestamp>,
    /// Why it was closed.
    pub outcome: Option<String>,
}

/// How the watcher stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Looking {
    /// Its process.
    pub pid: u32,
    /// When it began.
    #[schemars(with = "String")]
    pub since: Timestamp,
    /// When it looked last.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// What it does: `watching`, `announced`, `clearing`, `soaking`.
    pub phase: String,
    /// Each rule.
    pub rules: Vec<RuleSeen>,
}

/// One rule, as it was seen last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleSeen {
    /// The symptom.
    pub symptom: String,
    /// `P0` to `P3`.
    pub severity: String,
    /// Whether its action may be carried out automatically.
    pub auto: bool,
    /// `shows`, `absent`, `unknown`; absent before the first look.
    pub seen: Option<String>,
    /// What the answer was, or why there is none.
    pub answer: String,
    /// For how long it shows without a break, in seconds.
    pub showing_seconds: u64,
    /// For how long it must, in seconds.
    pub for_seconds: u64,
    /// How often in a row it shows.
    pub times: u32,
    /// How often it must.
    pub attempts: u32,
    /// It is taken for real.
    pub fires: bool,
}

/// Held by the one watcher of a checkout.
#[derive(Debug)]
pub struct Running {
    _file: File,
}

impl Notes {
    /// Below the state of a checkout.
    pub fn of(state: &Path) -> Self {
        Self { dir: state.join("watch") }
    }

    /// Becomes the watcher of this checkout; `None` where another process is.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn become_watcher(&self) -> io::Result<Option<Running>> {
        let file = self.open("running")?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Running { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// How the watcher stands; `None` where none runs.
    pub fn looking(&self) -> Option<Looking> {
        let file = File::open(self.dir.join("running")).ok()?;
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Err(rustix::io::Errno::WOULDBLOCK) => self.read("looking.json"),
            _ => None,
        }
    }

    /// Says how the watcher stands.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn look(&self, looking: &Looking) -> io::Result<()> {
        self.write("looking.json", looking)
    }

    /// What the watcher did. Where that cannot be read, nothing more is done.
    pub fn notebook(&self) -> Notebook {
        let unread = |why: &dyn std::fmt::Display| Notebook {
            stopped: Some(format!("gitroll's notes of its acts cannot be read: {why}")),
            ..Notebook::default()
        };
        match files::read_state(&self.dir.join("notebook.json")) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|error| unread(&error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Notebook::default(),
            Err(error) => unread(&error),
        }
    }

    /// Changes what is remembered of the watcher; nobody else does meanwhile.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note(&self, change: impl FnOnce(&mut Notebook)) -> io::Result<()> {
        let _lock = self.lock()?;
        let mut notebook = self.notebook();
        change(&mut notebook);
        let old = notebook.acts.len().saturating_sub(MOST_ACTS);
        notebook.acts.drain(..old);
        self.write("notebook.json", &notebook)
    }

    /// The silence that lasts now.
    pub fn silence(&self, now: &Moment) -> Option<Silence> {
        self.read("silence.json").filter(|silence: &Silence| !silence.left(now).is_zero())
    }

    /// Begins a silence, in place of another.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn be_silent(&self, silence: &Silence) -> io::Result<()> {
        self.prepare()?;
        self.write("silence.json", silence)
    }

    /// Ends the silence.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn end_silence(&self) -> io::Result<()> {
        match std::fs::remove_file(self.dir.join("silence.json")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The incidents, the oldest first.
    pub fn incidents(&self) -> Vec<Incident> {
        self.read("incidents.json").unwrap_or_default()
    }

    /// The incident that was opened last and is open.
    pub fn open_incident(&self) -> Option<Incident> {
        self.incidents().into_iter().rfind(|incident| incident.closed.is_none())
    }

    /// The open incident; where none is, one is opened.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn join_incident(
        &self,
        what: &str,
        severity: Option<String>,
        by: &str,
    ) -> io::Result<Incident> {
        let _lock = self.lock()?;
        match self.open_incident() {
            Some(open) => Ok(open),
            None => self.add_incident(what, severity, by),
        }
    }

    /// Opens an incident, whatever else is open.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn open_another(
        &self,
        what: &str,
        severity: Option<String>,
        by: &str,
    ) -> io::Result<Incident> {
        let _lock = self.lock()?;
        self.add_incident(what, severity, by)
    }

    fn add_incident(&self, what: &str, severity: Option<String>, by: &str) -> io::Result<Incident> {
        let mut all = self.incidents();
        let number = |incident: &Incident| incident.id.strip_prefix("INC-")?.parse::<u64>().ok();
        let next = all.iter().filter_map(number).max().unwrap_or(0) + 1;
        let incident = Incident {
            id: format!("INC-{next}"),
            what: what.to_owned(),
            severity,
            opened: clock::now(),
            by: by.to_owned(),
            closed: None,
            outcome: None,
        };
        all.push(incident.clone());
        let old = all.len().saturating_sub(MOST_INCIDENTS);
        all.drain(..old);
        self.write("incidents.json", &all)?;
        Ok(incident)
    }

    /// Closes an open incident; `None` where there is no such one, or it is closed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn close_incident(&self, id: &str, outcome: Option<&str>) -> io::Result<Option<Incident>> {
        let _lock = self.lock()?;
        let mut all = self.incidents();
        let open = |incident: &&mut Incident| incident.id == id && incident.closed.is_none();
        let Some(incident) = all.iter_mut().find(open) else { return Ok(None) };
        incident.closed = Some(clock::now());
        incident.outcome = outcome.map(str::to_owned);
        let closed = incident.clone();
        self.write("incidents.json", &all)?;
        Ok(Some(closed))
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&files::read_state(&self.dir.join(name)).ok()?).ok()
    }

    fn write(&self, name: &str, value: &impl Serialize) -> io::Result<()> {
        let text = serde_json::to_vec(value).map_err(io::Error::other)?;
        files::write_durably(&self.dir.join(name), &text, 0o600)
    }

    fn prepare(&self) -> io::Result<()> {
        files::make_private_dir(&self.dir)
    }

    fn open(&self, name: &str) -> io::Result<File> {
        self.prepare()?;
        let path = self.dir.join(name);
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)
    }

    /// Held for a moment, while something is read and written again.
    fn lock(&self) -> io::Result<File> {
        let file = self.open("lock")?;
        flock(&file, FlockOperation::LockExclusive)?;
        Ok(file)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_process_watches_and_others_see_how_it_stands() {
        let dir = tempfile::tempdir().unwrap();
        let notes = Notes::of(dir.path());
        assert_eq!(notes.looking(), None);
        let running = notes.become_watcher().unwrap().unwrap();
        assert!(notes.become_watcher().unwrap().is_none());
        let looking = Looking {
            pid: 1,
            since: clock::now(),
            at: clock::now(),
            phase: "watching".to_owned(),
            rules: Vec::new(),
        };
        notes.look(&looking).unwrap();
        assert_eq!(notes.looking(), Some(looking));
        drop(running);
        assert_eq!(notes.looking(), None);
    }

    #[test]
    fn notes_that_cannot_be_read_stop_every_act() {
        let dir = tempfile::tempdir().unwrap();
        let notes = Notes::of(dir.path());
        assert_eq!(notes.notebook(), Notebook::default());
        notes.note(|_| ()).unwrap();
        assert_eq!(notes.notebook().stopped, None);
        std::fs::write(dir.path().join("watch/notebook.json"), "{").unwrap();
        assert!(notes.notebook().stopped.unwrap().contains("cannot be read"));
    }

    #[test]
    fn an_incident_is_joined_while_it_is_open() {
        let dir = tempfile::tempdir().unwrap();
        let notes = Notes::of(dir.path());
        let first = notes.join_incident("errors", Some("P1".to_owned()), "gitroll watch").unwrap();
        let joined = notes.join_incident("latency", None, "gitroll watch").unwrap();
        assert_eq!((first.id.as_str(), &joined), ("INC-1", &first));
        assert_eq!(notes.close_incident("INC-9", None).unwrap(), None);
        let closed = notes.close_incident("INC-1", Some("soak passed")).unwrap().unwrap();
        assert!(closed.closed.is_some());
        assert_eq!(notes.close_incident("INC-1", None).unwrap(), None);
        assert_eq!(notes.open_incident(), None);
        assert_eq!(notes.join_incident("again", None, "ana").unwrap().id, "INC-2");
    }

    #[test]
    fn a_silence_ends_by_itself() {
        let dir = tempfile::tempdir().unwrap();
        let notes = Notes::of(dir.path());
        let clock = |seconds| Some(BootClock { boot: "a".repeat(32), seconds });
        let at = |seconds: u64, time: i64| Moment {
            time: Timestamp::from_second(time).unwrap(),
            boot: clock(seconds),
        };
        let since = at(100, 1000);
        notes
            .be_silent(&Silence {
                since: since.time,
                boot: since.boot,
                seconds: 60,
                by: "ana".to_owned(),
                reason: None,
            })
            .unwrap();
        // Only the clock that nobody sets counts.
        let silence = notes.silence(&at(130, 9000)).unwrap();
        assert_eq!(silence.left(&at(130, 9000)), Duration::from_secs(30));
        assert_eq!(notes.silence(&at(160, 1000)), None);
        assert!(notes.silence(&at(159, 1000)).is_some());
        notes.end_silence().unwrap();
        notes.end_silence().unwrap();
        assert_eq!(notes.silence(&at(110, 1000)), None);
    }
}
