//! How a command speaks: answers to stdout, narration to stderr, text or JSON; what it logs; the last word of a bug.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Mutex;

use console::Term;
use serde::Serialize;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;

use super::style::Style;
use crate::system::secrets;

/// How this invocation speaks.
#[derive(Debug, Clone)]
pub struct Ui {
    /// The answer is one JSON document on stdout.
    pub json: bool,
    /// The answer is the last of several lines of JSON; those before it are events.
    pub lines: bool,
    /// No narration.
    pub quiet: bool,
    /// Signs and colours for stdout.
    pub out: Style,
    /// Signs and colours for stderr.
    pub err: Style,
    /// How the checkout is named, where the caller does not stand in it.
    pub address: Option<Address>,
    /// Whether gitroll takes a command line: asked of what a person is told to type, where assertions are on.
    pub takes: Option<fn(&str) -> bool>,
}

/// A checkout by what was typed to reach it.
#[derive(Debug, Clone)]
pub struct Address {
    /// `--app shop`, `-C /srv/shop`
    pub option: String,
    /// The directory, as it is typed.
    pub dir: String,
}

impl Ui {
    /// A voice for this terminal, pipe or file.
    pub fn new(json: bool, quiet: bool) -> Self {
        Self {
            json,
            lines: false,
            quiet,
            out: Style::detect(io::stdout().is_terminal()).fitting(&Term::stdout()),
            err: Style::detect(io::stderr().is_terminal()).fitting(&Term::stderr()),
            address: None,
            takes: None,
        }
    }

    /// A command as it is typed where the caller stands.
    pub fn typed_here(&self, command: &str) -> String {
        let Some(Address { option, dir }) = &self.address else { return command.to_owned() };
        match command.strip_prefix("gitroll ") {
            Some(rest) if rest.starts_with("--app ") || rest.starts_with("-C ") => {
                command.to_owned()
            }
            Some(rest) => format!("gitroll {option} {rest}"),
            None if command == "gitroll" => format!("gitroll {option}"),
            None => format!("cd {dir} && {command}"),
        }
    }

    /// Prints one line of the answer. A closed stdout is nobody's problem.
    pub fn line(&self, text: &str) {
        if !self.json {
            note_loss(writeln!(io::stdout(), "{text}"));
        }
    }

    /// Prints one line of an answer that does not end by itself. Whether anyone reads on.
    pub fn line_of_stream(&self, text: &str) -> bool {
        let written = writeln!(io::stdout(), "{text}").and_then(|()| io::stdout().flush());
        let read = written.is_ok();
        note_loss(written);
        read
    }

    /// Prints one event as a line of JSON, where that was asked for. Whether anyone reads on.
    pub fn event(&self, event: &impl Serialize) -> bool {
        match serde_json::to_string(event) {
            Ok(line) if self.lines => self.line_of_stream(&line),
            _ => true,
        }
    }

    /// Prints bytes of the answer as they are.
    pub fn raw(&self, bytes: &[u8]) {
        note_loss(io::stdout().write_all(bytes));
    }

    /// The answer as JSON, where that was asked for. A command that does several things answers once: what is
    /// given last is printed, by [`Ui::print_document`].
    pub fn document(&self, command: &str, exit: u8, result: &impl Serialize) {
        self.answer(serde_json::json!({
            "gitroll": JSON_VERSION, "command": command, "exit": exit, "result": result,
        }));
    }

    /// An error as JSON, where that was asked for: as [`Ui::document`].
    pub fn error_document(&self, command: &str, exit: u8, error: &impl Serialize) {
        self.answer(serde_json::json!({
            "gitroll": JSON_VERSION, "command": command, "exit": exit, "error": error,
        }));
    }

    /// What [`Ui::document`] was given last, which is then not the answer any more.
    pub fn take_document(&self) -> Option<serde_json::Value> {
        ANSWER.lock().ok()?.take()
    }

    /// The answer of a command that is over, as one document.
    pub fn answer(&self, document: serde_json::Value) {
        if self.json
            && let Ok(mut answer) = ANSWER.lock()
        {
            *answer = Some(document);
        }
    }

    /// Prints the one document of this command, with the code it exits with.
    pub fn print_document(&self, exit: u8) {
        if let Some(mut document) = self.take_document() {
            document["exit"] = exit.into();
            note_loss(if self.lines {
                writeln!(io::stdout(), "{document}")
            } else {
                writeln!(io::stdout(), "{document:#}")
            });
        }
    }

    /// Tells one line on stderr.
    pub fn say(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Tells one line on stderr, also when quiet: errors.
    pub fn cry(&self, text: &str) {
        let _ = writeln!(io::stderr(), "{text}");
    }
}

/// The answer of this command as far as it is known.
static ANSWER: Mutex<Option<serde_json::Value>> = Mutex::new(None);

/// The first thing that kept a part of the answer from being written.
static LOST: Mutex<Option<io::Error>> = Mutex::new(None);

/// Remembers it; a reader that went away wanted no more of it.
fn note_loss(written: io::Result<()>) {
    if let Err(error) = written
        && error.kind() != io::ErrorKind::BrokenPipe
        && let Ok(mut lost) = LOST.lock()
    {
        lost.get_or_insert(error);
    }
}

/// Why a part of the answer was not written, if so.
pub fn lost_answer() -> Option<io::Error> {
    note_loss(io::stdout().flush());
    LOST.lock().ok()?.take()
}

/// The version of every JSON answer.
pub const JSON_VERSION: u32 = 1;

/// Tells what is done below the surface on stderr: what `GITROLL_LOG` asks for (`info`, or levels by module like
/// `gitroll::system::git=debug`), and of gitroll itself debug with `-v` and trace with `-vv`.
pub fn trace(verbose: u8) {
    let asked = std::env::var("GITROLL_LOG").ok().and_then(|text| text.parse::<Targets>().ok());
    let targets = match (verbose, asked) {
        (0, None) => return,
        (0, Some(asked)) => asked,
        (more, asked) => {
            let level = if more == 1 { LevelFilter::DEBUG } else { LevelFilter::TRACE };
            asked.unwrap_or_default().with_target(env!("CARGO_CRATE_NAME"), level)
        }
    };
    let lines = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE);
    let subscriber = lines.with_writer(|| LogLine).finish().with(targets);
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Writes a line of the log, which arrives whole, to stderr: without the secrets that are known.
struct LogLine;

impl io::Write for LogLine {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let shown = secrets::masked_in_log(&String::from_utf8_lossy(line));
        io::stderr().write_all(shown.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// Says that a bug of gitroll ended this command.
pub fn confess() {
    let _ = writeln!(
        io::stderr(),
        "this is a bug in gitroll: please report the lines above. [70]\n  \
         next     gitroll status    shows what serves and whether a run is open"
    );
}
