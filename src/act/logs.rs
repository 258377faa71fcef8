//! What the services wrote to their logs: the last lines, those around a record, and what comes from now on. Secrets are
//! taken out here, so that whoever asks never sees one.

use std::io;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::caller::Caller;
use super::failure::Failure;
use super::service::chosen;
use super::session::Session;
use crate::check::{FilePosition, FileReader, lines_between};
use crate::config::{FilePlace, Service};
use crate::ledger;
use crate::model::{Evidence, Redactor, Seq};
use crate::plan::facts::Facts;
use crate::service::{self, Host, JournalPosition, LogEnd, ServiceLog, UnitJournal};
use crate::system::clock;

/// To look at logs.
#[derive(Debug, Clone)]
pub struct LogsRequest {
    /// One service; all where left out.
    pub service: Option<String>,
    /// At most so many lines of each log.
    pub lines: usize,
    /// Only what was written around this record.
    pub at: Option<Seq>,
}

/// The answer of `logs`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LogsAnswer {
    /// With `--at`: the record.
    pub record: Option<Seq>,
    /// With `--at`: from when on lines are shown.
    #[schemars(with = "Option<String>")]
    pub from: Option<Timestamp>,
    /// With `--at`: until when.
    #[schemars(with = "Option<String>")]
    pub to: Option<Timestamp>,
    /// With `--at`: what the record itself keeps of the output of its steps.
    pub kept: Vec<KeptLines>,
    /// Each log.
    pub logs: Vec<LogLines>,
}

/// What a record keeps of the output of one step.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct KeptLines {
    /// The step, e.g. `prove`.
    pub step: String,
    /// Its telling lines, secrets removed.
    pub lines: Vec<String>,
}

/// The lines of one log.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct LogLines {
    /// Whose it is.
    pub service: String,
    /// The file, or `the journal of UNIT`. Absent where it is not known.
    pub place: Option<String>,
    /// The lines, the newest last, secrets removed.
    pub lines: Vec<String>,
    /// Why lines may be missing.
    pub note: Option<String>,
    /// Why it cannot be read.
    pub problem: Option<String>,
}

/// So much of a file is looked through at most.
const MOST: u64 = 16 * 1024 * 1024;

/// What was written so long before a record began belongs to it, and so long after its end.
const BEFORE: Duration = Duration::from_secs(60);
const AFTER: Duration = Duration::from_secs(300);

/// Reads them.
///
/// # Errors
/// When there is no such service or record, or the repository cannot be read. A log that cannot be read is a part of the
/// answer.
pub fn read_logs(caller: &Caller, request: &LogsRequest) -> Result<LogsAnswer, Failure> {
    let session = Session::look(caller)?;
    let facts = session.facts()?;
    let services = chosen(&facts.accepted.config.services, request.service.as_deref(), "logs")?;
    let Some(seq) = request.at else {
        let logs = of_services(&session, &facts, &services, request.lines, None);
        return Ok(LogsAnswer { record: None, from: None, to: None, kept: Vec::new(), logs });
    };
    let entry = facts.own_record(&session.site, seq).ok_or_else(|| {
        Failure::unchanged(format!("there is no record #{seq} of this host"))
            .next("gitroll log", "shows the records")
    })?;
    let evidence = ledger::evidence(&session.site.git, entry)?;
    let (from, to) = around(&evidence);
    let logs = of_services(&session, &facts, &services, request.lines, Some((from, to)));
    let kept = kept(&evidence);
    Ok(LogsAnswer { record: Some(seq), from: Some(from), to: Some(to), kept, logs })
}

/// The time that belongs to a record.
pub(super) fn around(evidence: &Evidence) -> (Timestamp, Timestamp) {
    (
        evidence.started.saturating_sub(BEFORE).unwrap_or(evidence.started),
        evidence.finished.saturating_add(AFTER).unwrap_or(evidence.finished),
    )
}

/// What a record keeps of the output of its steps.
fn kept(evidence: &Evidence) -> Vec<KeptLines> {
    let told = evidence.steps.iter().filter(|step| !step.output.is_empty());
    told.map(|step| KeptLines { step: step.step.clone(), lines: step.output.clone() }).collect()
}

/// The lines of each log of these services: the last ones, within a span of time where one is given.
pub(super) fn of_services(
    session: &Session,
    facts: &Facts,
    services: &[&Service],
    lines: usize,
    span: Option<(Timestamp, Timestamp)>,
) -> Vec<LogLines> {
    let site = &session.site;
    let host = site.host(&facts.serving, &facts.deployment(site));
    let redactor = site.redactor(&facts.accepted.config);
    let mut found = Vec::new();
    for service in services {
        let (places, problem) = places(&host, service);
        if places.is_empty() {
            found.extend(problem.map(|problem| LogLines {
                service: service.name.to_string(),
                place: None,
                lines: Vec::new(),
                note: None,
                problem: Some(redactor.text(&problem)),
            }));
            continue;
        }
        found.extend(places.iter().map(|place| {
            let log = one(service, place, lines, span, &redactor);
            let note = problem.as_ref().map(|why| format!("its place at the last proof: {why}"));
            LogLines { note: note.or(log.note.clone()), ..log }
        }));
    }
    found
}

/// Where a service writes. Where its manager cannot be asked it is what gitroll remembers, and why.
fn places(host: &Host<'_>, service: &Service) -> (Vec<ServiceLog>, Option<String>) {
    match service::logs(host, service) {
        Ok(places) => (places, None),
        Err(error) => (service::remembered_logs(host, service), Some(error.to_string())),
    }
}

fn one(
    service: &Service,
    place: &ServiceLog,
    lines: usize,
    span: Option<(Timestamp, Timestamp)>,
    redactor: &Redactor,
) -> LogLines {
    let read = match place {
        ServiceLog::File(path) => of_file(path, lines, span),
        ServiceLog::Journal(journal) => of_journal(journal, lines, span),
    };
    let (lines, note, problem) = match read {
        Ok((lines, note)) => (redactor.lines(&lines), note, None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            (Vec::new(), Some("nothing was written yet".to_owned()), None)
        }
        Err(error) => (Vec::new(), None, Some(redactor.text(&error.to_string()))),
    };
    let place = Some(shown(place));
    LogLines { service: service.name.to_string(), place, lines, note, problem }
}

fn shown(place: &ServiceLog) -> String {
    match place {
        ServiceLog::File(path) => path.display().to_string(),
        ServiceLog::Journal(journal) => journal.to_string(),
    }
}

/// Lines, and why some may be missing.
type Lines = (Vec<String>, Option<String>);

fn of_file(path: &Path, most: usize, span: Option<(Timestamp, Timestamp)>) -> io::Result<Lines> {
    let LogEnd { bytes, whole, .. } = LogEnd::read(path, MOST)?;
    let text = String::from_utf8_lossy(&bytes);
    let Some((from, to)) = span else {
        let all: Vec<&str> = text.lines().collect();
        return Ok((last(&all, most), None));
    };
    let found = lines_between(&text, from.as_second(), to.as_second());
    let note = match found.begins {
        None if text.is_empty() => None,
        None => Some("its lines carry no times, so none can be chosen".to_owned()),
        Some(begins) if begins > from.as_second() => {
            let begins = Timestamp::from_second(begins).unwrap_or(from);
            Some(if whole {
                format!("it begins at {begins}: what was written before is in another file or gone")
            } else {
                format!("only its last 16 MiB were searched, from {begins} on")
            })
        }
        Some(_) => None,
    };
    Ok((last(&found.lines, most), note))
}

fn of_journal(
    journal: &UnitJournal,
    most: usize,
    span: Option<(Timestamp, Timestamp)>,
) -> io::Result<Lines> {
    let seconds = span.map(|(from, to)| (from.as_second(), to.as_second()));
    let bytes = journal.entries(most, seconds)?;
    Ok((String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect(), None))
}

fn last(lines: &[&str], most: usize) -> Vec<String> {
    lines[lines.len().saturating_sub(most)..].iter().map(|line| (*line).to_owned()).collect()
}

/// From one look at a file to the next, and at a journal.
const FILE_LOOK: Duration = Duration::from_millis(250);
const JOURNAL_LOOKS: u32 = 4;

/// Hands the last lines of each log and what is written from then on to `tell`, each line with its service where there
/// are several, until that returns false. No line is left out in between.
///
/// # Errors
/// When there is no such service, or nothing can be followed.
pub fn follow_logs(
    caller: &Caller,
    request: &LogsRequest,
    tell: &mut dyn FnMut(Option<&str>, &str) -> bool,
) -> Result<(), Failure> {
    let session = Session::look(caller)?;
    let facts = session.facts()?;
    let config = &facts.accepted.config;
    let services = chosen(&config.services, request.service.as_deref(), "logs -f")?;
    let several = services.len() > 1;
    let mut followed = followed(&session, &facts, &services, request.lines)?;
    let mut looks = 0_u32;
    loop {
        // Read anew each time: a secret may be given another value meanwhile.
        let redactor = session.site.redactor(config);
        for log in &mut followed {
            if log.is_journal() && !looks.is_multiple_of(JOURNAL_LOOKS) {
                continue;
            }
            let mut lines = std::mem::take(&mut log.last);
            match log.written() {
                Ok(written) => lines.extend(written),
                Err(error) => {
                    caller.warn(format!("{}: {error}", shown(&log.place)));
                    log.lost = true;
                }
            }
            for line in redactor.lines(&lines) {
                if !tell(several.then_some(&log.service), &line) {
                    return Ok(());
                }
            }
        }
        followed.retain(|log| !log.lost);
        if followed.is_empty() {
            return Err(Failure::unchanged("none of the logs can be read any longer"));
        }
        looks = looks.wrapping_add(1);
        std::thread::sleep(FILE_LOOK);
    }
}

/// A log that is read as it is written.
struct Followed {
    service: String,
    place: ServiceLog,
    reader: Reader,
    /// The last lines of before.
    last: Vec<String>,
    /// A line that has no end yet.
    open: Vec<u8>,
    lost: bool,
}

enum Reader {
    File(FileReader),
    Journal(JournalPosition),
}

fn followed(
    session: &Session,
    facts: &Facts,
    services: &[&Service],
    lines: usize,
) -> Result<Vec<Followed>, Failure> {
    let site = &session.site;
    let host = site.host(&facts.serving, &facts.deployment(site));
    let mut followed = Vec::new();
    let mut problems = Vec::new();
    for service in services {
        let (places, problem) = places(&host, service);
        problems.extend(problem.map(|problem| format!("{}: {problem}", service.name)));
        for place in places {
            let (reader, last) = match &place {
                ServiceLog::File(path) => end_of_file(site.top(), path, lines),
                ServiceLog::Journal(journal) => {
                    let now = clock::now().as_second();
                    let last = journal.entries(lines, Some((0, now))).unwrap_or_default();
                    let last = String::from_utf8_lossy(&last).lines().map(str::to_owned).collect();
                    (Reader::Journal(JournalPosition::Since(now * 1_000_000)), last)
                }
            };
            let service = service.name.to_string();
            let (open, lost) = (Vec::new(), false);
            followed.push(Followed { service, place, reader, last, open, lost });
        }
    }
    if followed.is_empty() {
        return Err(Failure::unchanged("there is no log to follow").details(problems));
    }
    problems.into_iter().for_each(|problem| session.caller.warn(problem));
    Ok(followed)
}

/// The last whole lines of a file, and what reads on right behind them.
fn end_of_file(top: &Path, path: &Path, lines: usize) -> (Reader, Vec<String>) {
    let place = FilePlace::Host(path.to_owned());
    let Ok(mut end) = LogEnd::read(path, MOST) else {
        return (Reader::File(FileReader::from(top, &place, None)), Vec::new());
    };
    let open = end.bytes.iter().rev().take_while(|byte| **byte != b'\n').count();
    end.bytes.truncate(end.bytes.len() - open);
    let text = String::from_utf8_lossy(&end.bytes);
    let last = last(&text.lines().collect::<Vec<_>>(), lines);
    let offset = end.offset - open as u64;
    let position = FilePosition { file: end.file, offset, before: None };
    (Reader::File(FileReader::from(top, &place, Some(position))), last)
}

/// So much is read of a log at once.
const PIECE: u64 = 1024 * 1024;

impl Followed {
    fn is_journal(&self) -> bool {
        matches!(self.reader, Reader::Journal(_))
    }

    /// The lines that were ended since the last call.
    fn written(&mut self) -> io::Result<Vec<String>> {
        let bytes = match (&mut self.reader, &self.place) {
            (Reader::File(file), _) => match file.read(PIECE) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                read => read?,
            },
            (Reader::Journal(at), ServiceLog::Journal(journal)) => {
                let (bytes, next) = journal.read(at)?;
                *at = next;
                bytes
            }
            (Reader::Journal(_), ServiceLog::File(_)) => Vec::new(),
        };
        self.open.extend(bytes);
        // What never ends a line is told in pieces.
        let end = match self.open.iter().rposition(|byte| *byte == b'\n') {
            Some(at) => at + 1,
            None if self.open.len() as u64 > PIECE => self.open.len(),
            None => 0,
        };
        let ended: Vec<u8> = self.open.drain(..end).collect();
        Ok(String::from_utf8_lossy(&ended).lines().map(str::to_owned).collect())
    }
}
