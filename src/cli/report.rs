//! `gitroll report`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::exit::Exit;
use super::failure::{Failure, Status};
use super::globals::Globals;
use super::mark::print_record;
use crate::act::report;
use crate::model::Seq;
use crate::system::{exec, files};
use crate::ui::{Ui, escape};

/// Write the report of one act: what happened, when, and what only people know
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  gitroll report                        the last run, as Markdown
  gitroll report 44 --html report.html  record #44, as one HTML file
  gitroll report edit 44                write impact, cause and lessons in your editor

What you write is signed and recorded. The times and answers come from the evidence of the records; logs and messages come from this host."
)]
pub struct ReportArgs {
    #[command(subcommand)]
    action: Option<Action>,
    /// Record number [default: the last run]
    seq: Option<String>,
    /// Report the last run
    #[arg(long, conflicts_with = "seq")]
    last: bool,
    /// Write one HTML file, for a browser or a printer
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Write what only people know, in $EDITOR
    Edit {
        /// Record number
        seq: String,
        /// Take the page from this file instead of an editor; `-` prints the page
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
}

impl ReportArgs {
    /// Whether it changes nothing.
    pub fn only_looks(&self) -> bool {
        self.action.is_none()
    }
}

/// Runs it.
///
/// # Errors
/// When there is no such record, or a file cannot be written.
pub fn run(globals: &Globals, ui: &Ui, args: &ReportArgs) -> Result<Exit, Failure> {
    if let Some(Action::Edit { seq, file }) = &args.action {
        return edit(globals, ui, number(seq)?, file.as_deref());
    }
    let seq = args.seq.as_deref().map(number).transpose()?;
    let found = report::report(&globals.caller(ui), seq)?;
    let broken = |error: minijinja::Error| Failure::unchanged(format!("the report: {error}"));
    match &args.html {
        Some(path) => {
            let page = found.html().map_err(broken)?;
            files::write_durably(path, page.as_bytes(), 0o600)
                .map_err(|error| Failure::unchanged(format!("{}: {error}", path.display())))?;
            let shown = escape(&path.display().to_string());
            ui.say(&format!("wrote {shown}"));
        }
        None => found.markdown().map_err(broken)?.lines().for_each(|line| ui.line(line)),
    }
    ui.document("report", 0, &found);
    Ok(Exit::Done)
}

fn number(typed: &str) -> Result<Seq, Failure> {
    Seq::typed(typed).ok_or_else(|| {
        Failure::new(Status::Usage, format!("{typed:?} is not the number of a record"))
            .next("gitroll log", "shows the records")
    })
}

fn edit(globals: &Globals, ui: &Ui, seq: Seq, file: Option<&Path>) -> Result<Exit, Failure> {
    let caller = globals.caller(ui);
    let before = report::page(&caller, seq)?;
    let io = |error: std::io::Error| Failure::unchanged(format!("the page: {error}"));
    let page = match file {
        Some(path) if path == Path::new("-") => {
            before.lines().for_each(|line| ui.line(line));
            return Ok(Exit::Done);
        }
        Some(path) => {
            let bytes = files::read_plain(path, MOST).map_err(io)?;
            String::from_utf8_lossy(&bytes).into_owned()
        }
        None if !crate::ui::can_ask(ui) => {
            return Err(Failure::new(Status::Usage, "there is no terminal for an editor")
                .next(format!("gitroll report edit {seq} --file -"), "prints the page to fill in")
                .next(format!("gitroll report edit {seq} --file FILE"), "records a filled page"));
        }
        None => exec::edited(&before, MOST).map_err(io)?,
    };
    match report::save(&caller, seq, &before, &page)? {
        Some(entry) => print_record(ui, "report", &entry),
        None => ui.say("nothing was changed"),
    }
    Ok(Exit::Done)
}

/// A longer page is no report.
const MOST: u64 = 64 * 1024;
