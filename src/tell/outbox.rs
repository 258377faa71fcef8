//! Messages that wait to be sent, kept on disk until their channel answered, and what was sent.
//!
//! A command puts a message here, which takes a moment, and goes on; [`Outbox::send`] runs beside it and after it. What a
//! channel did not take stays for the next command. Nothing here is a secret: a message had its secrets taken out, and a
//! channel names only where its own are found.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rustix::fs::{FlockOperation, flock};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::message::Message;
use super::send::{Delivery, deliver, delivery};
use crate::config::{Channel, NotifyEvent, NotifyLevel, SecretSource};
use crate::system::{clock, files, random};

/// At most so many messages wait; the oldest goes.
const MOST: usize = 200;

/// A message that is older is said to be delayed.
const LATE: SignedDuration = SignedDuration::from_mins(15);

/// A message that is older is of no use any more.
const STALE: SignedDuration = SignedDuration::from_hours(48);

/// How long another process that sends is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is kept of what was sent: half of it goes when it is longer.
const MOST_SENT: usize = 512 * 1024;

/// The outbox of one checkout.
pub struct Outbox {
    dir: PathBuf,
}

/// A message on its way to one channel.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Waiting {
    channel: Channel,
    message: Message,
    delivery: Delivery,
}

/// How a channel answered last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChannelState {
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// Whether it took the message.
    pub taken: bool,
    /// What it answered, or why it did not.
    pub answer: String,
}

/// A message that a channel took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sent {
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// The channel.
    pub channel: String,
    /// Its kind.
    pub kind: String,
    /// What it was about: `started`, `done`, `failed`, `needs-person`, `announced`.
    pub event: String,
    /// `message`, `trigger`, `acknowledge`, `resolve`.
    pub delivery: String,
    /// The run.
    pub run: Option<String>,
    /// What the channel answered.
    pub answer: String,
    /// By how many seconds it was late; absent where it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delayed_seconds: Option<u64>,
}

impl Outbox {
    /// Below the state of a checkout.
    pub fn of(state: &Path) -> Self {
        Self { dir: state.join("tell") }
    }

    /// Whether messages wait.
    pub fn is_empty(&self) -> bool {
        self.waiting_files().is_empty()
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.waiting_files().len()
    }

    /// The variables in which the channels of what waits find their secrets.
    pub fn variables(&self) -> BTreeSet<String> {
        let waiting = self.waiting();
        let sources = waiting.iter().flat_map(|(_, one)| one.channel.kind.secrets());
        let names = sources.filter_map(|source| match source {
            SecretSource::Env(name) => Some(name.clone()),
            SecretSource::File(_) => None,
        });
        names.collect()
    }

    /// Puts a message for each of `channels` that wants it; `serves`: something healthy serves as it is written. How
    /// many.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(
        &self,
        channels: &[Channel],
        message: &Message,
        level: NotifyLevel,
        serves: bool,
    ) -> io::Result<usize> {
        let mut alerts = self.alerts();
        let before = alerts.clone();
        let mut count = 0;
        for channel in channels {
            if !channel.levels.is_empty() && !channel.levels.contains(&level) {
                continue;
            }
            let happened = message.happened();
            let delivery = if channel.kind.pages() {
                delivery(happened, alerts.contains(&channel.name), serves)
            } else {
                happened.filter(|event| channel.events.contains(event)).map(|_| Delivery::Message)
            };
            let Some(delivery) = delivery else { continue };
            match delivery {
                Delivery::Trigger => drop(alerts.insert(channel.name.clone())),
                Delivery::Resolve => drop(alerts.remove(&channel.name)),
                Delivery::Message | Delivery::Acknowledge => {}
            }
            let (channel, message) = (channel.clone(), message.clone());
            self.write(&Waiting { channel, message, delivery })?;
            count += 1;
        }
        if alerts != before {
            let text = serde_json::to_vec(&alerts).unwrap_or_default();
            files::write_durably(&self.dir.join("alerts.json"), &text, 0o600)?;
        }
        Ok(count)
    }

    /// The channels whose alert is open.
    fn alerts(&self) -> BTreeSet<String> {
        self.read("alerts.json").unwrap_or_default()
    }

    /// How each channel answered last.
    pub fn channels(&self) -> BTreeMap<String, ChannelState> {
        self.read("channels.json").unwrap_or_default()
    }

    /// What was sent, the oldest first.
    pub fn sent(&self) -> Vec<Sent> {
        let text = files::read_state(&self.dir.join("sent.jsonl")).unwrap_or_default();
        let lines = text.split(|byte| *byte == b'\n');
        lines.filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }

    /// Sends what waits, each channel beside the others, each message of one after the other. What was superseded or is
    /// of no use any more is dropped. `dir` and `env` are those of commands.
    ///
    /// # Errors
    /// When the outbox cannot be read, or another process sends all the time.
    pub fn send(&self, dir: &Path, env: &BTreeMap<OsString, OsString>) -> io::Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        let _lock = self.lock()?;
        let mut silent = BTreeSet::new();
        loop {
            // A command may have put more meanwhile.
            let waiting = self.waiting();
            let now = clock::now();
            let mut by_channel: BTreeMap<String, Vec<(PathBuf, Waiting)>> = BTreeMap::new();
            for (at, (path, one)) in waiting.iter().enumerate() {
                if superseded(one, waiting[at + 1..].iter().map(|(_, later)| later), now) {
                    remove(path)?;
                } else if !silent.contains(&one.channel.name) {
                    let name = one.channel.name.clone();
                    by_channel.entry(name).or_default().push((path.clone(), one.clone()));
                }
            }
            if by_channel.is_empty() {
                return Ok(());
            }
            let told: Vec<Result<(), String>> = std::thread::scope(|scope| {
                let sending: Vec<_> = by_channel
                    .iter()
                    .map(|(name, all)| scope.spawn(move || self.send_all(name, all, (dir, env))))
                    .collect();
                sending.into_iter().filter_map(|one| one.join().ok()).collect()
            });
            silent.extend(told.into_iter().filter_map(Result::err));
        }
    }

    /// Sends the messages of one channel until it does not take one: then its name.
    fn send_all(
        &self,
        name: &str,
        all: &[(PathBuf, Waiting)],
        surroundings: (&Path, &BTreeMap<OsString, OsString>),
    ) -> Result<(), String> {
        for (path, one) in all {
            let mut message = one.message.clone();
            let age = clock::now().duration_since(message.at);
            let late = age > LATE;
            message.delayed_seconds = late.then(|| age.as_secs().unsigned_abs());
            let answer = deliver(&one.channel, &message, one.delivery, surroundings);
            let taken = answer.is_ok();
            let told = answer.unwrap_or_else(|why| why);
            self.note(name, taken, &told);
            if !taken {
                return Err(name.to_owned());
            }
            self.note_sent(&Sent {
                at: clock::now(),
                channel: name.to_owned(),
                kind: one.channel.kind.as_str().to_owned(),
                event: message.event.clone(),
                delivery: match one.delivery {
                    Delivery::Message => "message",
                    Delivery::Trigger => "trigger",
                    Delivery::Acknowledge => "acknowledge",
                    Delivery::Resolve => "resolve",
                }
                .to_owned(),
                run: message.run.clone(),
                answer: told,
                delayed_seconds: message.delayed_seconds,
            });
            // Told, so it must not be told again; where it cannot be removed that is better than silence.
            let _ = remove(path);
        }
        Ok(())
    }

    /// Remembers how a channel answered. Several do so at the same time.
    pub fn note(&self, channel: &str, taken: bool, answer: &str) {
        let _guard = NOTING.lock();
        let mut channels = self.channels();
        let (at, answer) = (clock::now(), answer.to_owned());
        channels.insert(channel.to_owned(), ChannelState { at, taken, answer });
        let text = serde_json::to_vec(&channels).unwrap_or_default();
        let _ = self
            .prepare()
            .and_then(|()| files::write_durably(&self.dir.join("channels.json"), &text, 0o600));
    }

    fn note_sent(&self, sent: &Sent) {
        let _guard = NOTING.lock();
        let path = self.dir.join("sent.jsonl");
        let mut text = files::read_state(&path).unwrap_or_default();
        if text.len() > MOST_SENT {
            let half = text.len() / 2;
            let begin = text[half..].iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            text.drain(..half + begin);
        }
        text.extend(serde_json::to_vec(sent).unwrap_or_default());
        text.push(b'\n');
        let _ = files::write_durably(&path, &text, 0o600);
    }

    fn prepare(&self) -> io::Result<()> {
        files::make_private_dir(&self.dir)?;
        files::make_private_dir(&self.dir.join("outbox"))
    }

    fn write(&self, waiting: &Waiting) -> io::Result<()> {
        self.prepare()?;
        let all = self.waiting_files();
        for path in &all[..all.len().saturating_sub(MOST - 1)] {
            remove(path)?;
        }
        let name = format!("{:020}-{}.json", clock::now().as_microsecond(), random::suffix());
        let text = serde_json::to_vec(waiting).map_err(io::Error::other)?;
        files::write_durably(&self.dir.join("outbox").join(name), &text, 0o600)
    }

    /// The files of the messages that wait, the oldest first.
    fn waiting_files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.dir.join("outbox")).into_iter().flatten();
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut paths: Vec<PathBuf> =
            paths.filter(|path| path.extension().is_some_and(|e| e == "json")).collect();
        paths.sort();
        paths
    }

    fn waiting(&self) -> Vec<(PathBuf, Waiting)> {
        let read = |path: PathBuf| {
            let text = files::read_state(&path).ok()?;
            match serde_json::from_slice(&text) {
                Ok(waiting) => Some((path, waiting)),
                Err(_) => {
                    // Of another version, or torn: nobody can send it.
                    let _ = remove(&path);
                    None
                }
            }
        };
        self.waiting_files().into_iter().filter_map(read).collect()
    }

    fn read<T: serde::de::DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&files::read_state(&self.dir.join(name)).ok()?).ok()
    }

    /// Keeps other processes from sending the same.
    fn lock(&self) -> io::Result<File> {
        self.prepare()?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.dir.join("lock"))?;
        let until = Instant::now() + PATIENCE;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(file),
                Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < until => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Held while the notes about channels are read and written again.
static NOTING: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Whether a message need not be sent any more: something newer waits for the same channel that says more, or it is too
/// old. An alert that was opened and closed before anyone heard of it was none.
fn superseded<'a>(one: &Waiting, later: impl Iterator<Item = &'a Waiting>, now: Timestamp) -> bool {
    if now.duration_since(one.message.at) > STALE {
        return true;
    }
    let mut later = later.filter(|other| other.channel.name == one.channel.name);
    match (one.delivery, one.message.happened()) {
        (Delivery::Trigger, _) => later.any(|other| other.delivery == Delivery::Resolve),
        (Delivery::Acknowledge, _) => later.any(|other| other.delivery != Delivery::Acknowledge),
        (Delivery::Message, Some(NotifyEvent::Started)) => {
            later.any(|other| other.message.happened() != Some(NotifyEvent::Started))
        }
        // Nobody can stop any more what was begun.
        (Delivery::Message, Some(NotifyEvent::Announced)) => {
            later.any(|other| other.message.happened() != Some(NotifyEvent::Announced))
        }
        (Delivery::Message, Some(NotifyEvent::NeedsPerson)) => {
            later.any(|other| other.message.happened() == Some(NotifyEvent::Done))
        }
        (Delivery::Resolve | Delivery::Message, _) => false,
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::message::tests::message;
    use super::*;
    use crate::config::{ChannelKind, ChannelUrl, PageSeverity};

    fn command(name: &str, run: &[&str]) -> Channel {
        Channel {
            name: name.to_owned(),
            kind: ChannelKind::Command { run: run.iter().map(ToString::to_string).collect() },
            events: NotifyEvent::WORDS.iter().map(|(_, event)| *event).collect(),
            levels: BTreeSet::new(),
            template: None,
        }
    }

    fn pager() -> Channel {
        let url = ChannelUrl::Plain("http://127.0.0.1:1/".to_owned());
        let key = SecretSource::Env("NOT_SET".to_owned());
        let severity = PageSeverity::Critical;
        Channel { kind: ChannelKind::Pagerduty { url, key, severity }, ..command("pager", &[]) }
    }

    fn now(event: &str) -> Message {
        Message { at: clock::now(), ..message(event) }
    }

    #[test]
    fn what_a_channel_does_not_take_waits_and_others_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::of(dir.path());
        let file = dir.path().join("told");
        let tells = command("good", &["/bin/sh", "-c", &format!("cat >> {}", file.display())]);
        let fails = command("bad", &["/bin/sh", "-c", "echo broken >&2; exit 3"]);
        let put = outbox.put(&[tells.clone(), fails], &now("failed"), NotifyLevel::Code, true);
        assert_eq!(put.unwrap(), 2);
        let env = BTreeMap::from([("PATH".into(), "/usr/bin:/bin".into())]);
        outbox.send(dir.path(), &env).unwrap();
        let told = fs::read_to_string(&file).unwrap();
        assert!(told.contains("\"event\":\"failed\""), "{told}");
        assert_eq!(outbox.len(), 1);
        let channels = outbox.channels();
        assert_eq!(channels["bad"].answer, "exit 3: broken");
        assert!(!channels["bad"].taken && channels["good"].taken);
        let sent = outbox.sent();
        assert_eq!((sent.len(), sent[0].channel.as_str()), (1, "good"));
        // It is sent once.
        outbox.send(dir.path(), &env).unwrap();
        assert_eq!(outbox.sent().len(), 1);
        let only_full = Channel { levels: BTreeSet::from([NotifyLevel::Full]), ..tells };
        let put = outbox.put(&[only_full], &now("done"), NotifyLevel::Code, true);
        assert_eq!(put.unwrap(), 0);
    }

    #[test]
    fn what_was_superseded_or_is_too_old_is_not_sent() {
        let waiting = |event: &str, delivery, at: Timestamp| Waiting {
            channel: command("chat", &[]),
            message: Message { at, ..message(event) },
            delivery,
        };
        let at = clock::now();
        let message = |event| waiting(event, Delivery::Message, at);
        let of = |one: &Waiting, later: &[Waiting]| superseded(one, later.iter(), at);
        assert!(of(&message("started"), &[message("done")]));
        assert!(!of(&message("started"), &[]));
        assert!(of(&message("announced"), &[message("started")]));
        assert!(!of(&message("announced"), &[]));
        assert!(of(&message("needs-person"), &[message("done")]));
        assert!(!of(&message("needs-person"), &[message("failed")]));
        assert!(!of(&message("failed"), &[message("done")]));
        let opened = waiting("needs-person", Delivery::Trigger, at);
        assert!(of(&opened, &[waiting("done", Delivery::Resolve, at)]));
        assert!(!of(&opened, &[waiting("started", Delivery::Acknowledge, at)]));
        let old = at.saturating_sub(SignedDuration::from_hours(49)).unwrap();
        assert!(of(&waiting("done", Delivery::Message, old), &[]));
    }

    #[test]
    fn an_alert_ends_only_where_one_is_open() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::of(dir.path());
        let put = |event: &str, serves| {
            outbox.put(&[pager()], &now(event), NotifyLevel::Code, serves).unwrap()
        };
        assert_eq!(put("done", true), 0);
        assert_eq!(put("needs-person", false), 1);
        assert_eq!(put("failed", false), 0);
        assert_eq!(put("done", true), 1);
        assert_eq!(put("done", true), 0);
        let private =
            |path: &PathBuf| path.metadata().unwrap().permissions().mode() & 0o777 == 0o600;
        assert!(outbox.waiting().iter().all(|(path, _)| private(path)));
    }

    #[test]
    fn the_outbox_is_bounded_and_a_torn_message_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let outbox = Outbox::of(dir.path());
        outbox.prepare().unwrap();
        for number in 0..MOST + 5 {
            let path = dir.path().join(format!("tell/outbox/{number:020}-a.json"));
            File::create(path).unwrap().write_all(b"{").unwrap();
        }
        outbox.put(&[command("chat", &["true"])], &now("done"), NotifyLevel::Code, true).unwrap();
        assert_eq!(outbox.len(), MOST);
        assert_eq!(outbox.waiting().len(), 1);
        assert_eq!(outbox.len(), 1);
    }
}
