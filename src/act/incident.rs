//! What people tell the watcher: to be silent, that they saw what it did, and what an incident is.

use std::io;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::caller::Caller;
use super::failure::Failure;
use super::outcome::Status;
use super::session::Session;
use super::statement::check_reason;
use crate::site::Site;
use crate::system::clock;
use crate::watch::{Act, Incident, Looking, Notes, Silence, Soaking};

/// The answer of `watch status`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct WatchAnswer {
    /// The watcher, where one runs.
    pub watcher: Option<Looking>,
    /// The silence that lasts.
    pub silence: Option<Silence>,
    /// What is watched after a rollback, and for how many seconds more.
    pub soak: Option<Soaking>,
    /// Why nothing is done automatically until a person says so.
    pub stopped: Option<String>,
    /// What was done automatically, the oldest first.
    pub acts: Vec<Act>,
    /// The incidents that are open.
    pub incidents: Vec<Incident>,
}

impl WatchAnswer {
    /// How watching stands on this site.
    pub fn of(site: &Site) -> Self {
        let notes = Notes::of(&site.state());
        let notebook = notes.notebook();
        let now = clock::moment();
        Self {
            watcher: notes.looking(),
            silence: notes.silence(&now),
            soak: notebook.soak.filter(|soak| !soak.left(&now).is_zero()),
            stopped: notebook.stopped,
            acts: notebook.acts,
            incidents: open(&notes),
        }
    }
}

fn open(notes: &Notes) -> Vec<Incident> {
    notes.incidents().into_iter().filter(|incident| incident.closed.is_none()).collect()
}

fn unwritten(error: &io::Error) -> Failure {
    Failure::unchanged(format!("gitroll's notes about watching: {error}")).nothing_changed()
}

/// Opens to say something to the watcher: not a change, so that it waits for nobody.
fn say(caller: &Caller) -> Result<(Session, Notes), Failure> {
    let session = Session::look(caller)?;
    session.must_be_owner()?;
    let notes = Notes::of(&session.site.state());
    Ok((session, notes))
}

/// How watching stands.
///
/// # Errors
/// When the checkout cannot be opened.
pub fn status(caller: &Caller) -> Result<WatchAnswer, Failure> {
    Ok(WatchAnswer::of(&Session::look(caller)?.site))
}

/// A person saw what was done automatically: it may act again.
///
/// # Errors
/// When that cannot be noted, or there is nothing that was not seen.
pub fn acknowledge(caller: &Caller) -> Result<WatchAnswer, Failure> {
    let (session, notes) = say(caller)?;
    let notebook = notes.notebook();
    if notebook.stopped.is_none() && notebook.acts.iter().all(|act| act.acked) {
        return Err(Failure::unchanged("there is nothing to acknowledge")
            .next("gitroll watch status", "shows what was done automatically"));
    }
    let acknowledged = notes.note(|notebook| {
        notebook.stopped = None;
        notebook.acts.iter_mut().for_each(|act| act.acked = true);
    });
    acknowledged.map_err(|error| unwritten(&error))?;
    Ok(WatchAnswer::of(&session.site))
}

/// The answer of `silence`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct SilenceAnswer {
    /// The silence that lasts.
    pub silence: Option<Silence>,
    /// With `--end`: the one that ended.
    pub ended: Option<Silence>,
    /// Whether a watcher runs.
    pub watched: bool,
}

/// Begins a silence: nothing is done automatically, and nobody is told what the watcher sees.
///
/// # Errors
/// When it cannot be noted.
pub fn be_silent(
    caller: &Caller,
    time: Duration,
    reason: Option<&str>,
) -> Result<SilenceAnswer, Failure> {
    check_reason(reason)?;
    let (session, notes) = say(caller)?;
    let now = clock::moment();
    let silence = Silence {
        since: now.time,
        boot: now.boot,
        seconds: time.as_secs(),
        by: session.site.actor.clone(),
        reason: reason.map(str::to_owned),
    };
    notes.be_silent(&silence).map_err(|error| unwritten(&error))?;
    let watched = notes.looking().is_some();
    Ok(SilenceAnswer { silence: Some(silence), ended: None, watched })
}

/// Ends the silence.
///
/// # Errors
/// When that cannot be noted.
pub fn end_silence(caller: &Caller) -> Result<SilenceAnswer, Failure> {
    let (_session, notes) = say(caller)?;
    let ended = notes.silence(&clock::moment());
    notes.end_silence().map_err(|error| unwritten(&error))?;
    Ok(SilenceAnswer { silence: None, ended, watched: notes.looking().is_some() })
}

/// The silence that lasts.
///
/// # Errors
/// When the checkout cannot be opened.
pub fn silence(caller: &Caller) -> Result<SilenceAnswer, Failure> {
    let notes = Notes::of(&Session::look(caller)?.site.state());
    let silence = notes.silence(&clock::moment());
    Ok(SilenceAnswer { silence, ended: None, watched: notes.looking().is_some() })
}

/// The answer of `incident`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct IncidentAnswer {
    /// With `open` and `close` the one that it is about, else all, the oldest first.
    pub incidents: Vec<Incident>,
}

/// The incidents, the oldest first.
///
/// # Errors
/// When the checkout cannot be opened.
pub fn incidents(caller: &Caller) -> Result<IncidentAnswer, Failure> {
    let notes = Notes::of(&Session::look(caller)?.site.state());
    Ok(IncidentAnswer { incidents: notes.incidents() })
}

/// Opens an incident.
///
/// # Errors
/// When it cannot be noted.
pub fn open_incident(
    caller: &Caller,
    what: &str,
    severity: Option<String>,
) -> Result<IncidentAnswer, Failure> {
    check_reason(Some(what))?;
    let (session, notes) = say(caller)?;
    let opened = notes.open_another(what, severity, &session.site.actor);
    Ok(IncidentAnswer { incidents: vec![opened.map_err(|error| unwritten(&error))?] })
}

/// Closes an incident: the one that is open where none is named.
///
/// # Errors
/// When there is no such one that is open, several are, or it cannot be noted.
pub fn close_incident(
    caller: &Caller,
    id: Option<&str>,
    outcome: Option<&str>,
) -> Result<IncidentAnswer, Failure> {
    check_reason(outcome)?;
    let (_session, notes) = say(caller)?;
    let open = open(&notes);
    let chosen = match (id, open.as_slice()) {
        (Some(id), _) => open.iter().find(|incident| incident.id.eq_ignore_ascii_case(id)),
        (None, [only]) => Some(only),
        (None, []) => None,
        (None, _) => {
            let ids: Vec<&str> = open.iter().map(|incident| incident.id.as_str()).collect();
            let what = format!("several incidents are open: {}", ids.join(", "));
            return Err(Failure::new(Status::Usage, what)
                .next(format!("gitroll incident close {}", ids[0]), "closes one"));
        }
    };
    let closed = match chosen {
        Some(incident) => notes.close_incident(&incident.id, outcome),
        None => Ok(None),
    };
    match closed.map_err(|error| unwritten(&error))? {
        Some(incident) => Ok(IncidentAnswer { incidents: vec![incident] }),
        None => {
            let what = id
                .map_or_else(|| "no incident is open".to_owned(), |id| format!("{id} is not open"));
            Err(Failure::unchanged(what).next("gitroll incident list", "shows all incidents"))
        }
    }
}
