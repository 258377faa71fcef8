//! Publishing a record: before the answer where the exit code depends on it, else when the answer is told.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use super::caller::{Caller, Notice};
use super::session::Session;
use crate::config::{self, Binding, Remote};
use crate::engine;
use crate::ledger;
use crate::model::{Plan, Seq};
use crate::site::Site;
use crate::system::git::{Git, Pushed};

/// What waits until the answer of this command is told. A chain is pushed as a whole, so the last one is enough.
static WAITING: Mutex<Option<Waiting>> = Mutex::new(None);

struct Waiting {
    publication: Publication,
    top: PathBuf,
    binding: Binding,
    actor: String,
}

/// A record that is to be published.
pub(super) struct Publication {
    remote: Remote,
    seq: Seq,
    /// Refs that go with the chain.
    more: Vec<String>,
}

impl Publication {
    /// Of the record of a run.
    pub fn of(plan: &Plan, entry: &ledger::Entry) -> Option<Self> {
        let remote = config::parse(&plan.config, "gitroll.toml").ok()?.remote;
        let record = &entry.record;
        let mut more = Vec::new();
        if remote.push_tags && record.event.serves() {
            let event = record.event.as_str();
            more.push(ledger::record_tag(&record.environment, &record.writer, record.seq, event));
        }
        Some(Self { remote, seq: record.seq, more })
    }

    /// Whether the exit code says if it is on the remote.
    pub fn required(&self) -> bool {
        self.remote.required
    }

    /// Publishes it now, and says so where it cannot be. Whether it is on the remote.
    pub fn publish(&self, session: &Session) -> bool {
        let caller = &session.caller;
        session.letting_others_in(|| self.push(&session.site, caller, engine::LONG_WAIT))
            == Some(true)
    }

    /// Has it published by [`finish`].
    pub fn wait(mut self, site: &Site) {
        let Ok(mut waiting) = WAITING.lock() else { return };
        if let Some(before) = waiting.take() {
            self.more.extend(before.publication.more);
        }
        let (top, binding) = (site.top().to_owned(), site.binding.clone());
        *waiting = Some(Waiting { publication: self, top, binding, actor: site.actor.clone() });
    }

    fn push(&self, site: &Site, caller: &Caller, patience: Duration) -> Option<bool> {
        let Self { remote, seq, more } = self;
        caller.between_runs(Some(
            "stopping; the version is observed serving and recorded, but the record is not published",
        ));
        let why = match engine::publish(site, &remote.name, more, patience) {
            None if remote.required => format!("there is no remote {}", remote.name),
            None => return None,
            Some(Pushed::Done) => return Some(true),
            Some(Pushed::Rejected(why) | Pushed::Failed(why)) => why,
        };
        caller.tell(Notice::Unpublished { seq: *seq, why: &why });
        Some(false)
    }
}

/// Publishes what waits for the end of a command: its answer is told, and the lock is free.
pub fn finish(caller: &Caller) {
    let waiting = WAITING.lock().ok().and_then(|mut waiting| waiting.take());
    let Some(Waiting { publication, top, binding, actor }) = waiting else { return };
    match Git::open(&top, binding.tools.git.as_deref()) {
        Ok(git) => {
            publication.push(&Site::new(git, binding, actor), caller, engine::SHORT_WAIT);
        }
        Err(error) => caller.warn(format!("record #{} is not published: {error}", publication.seq)),
    }
}
