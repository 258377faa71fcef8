//! `gitroll logs`

use clap::Args;

use super::exit::Exit;
use super::failure::{Failure, Status};
use super::globals::Globals;
use crate::act::logs::{KeptLines, LogLines, LogsAnswer, LogsRequest, follow_logs, read_logs};
use crate::model::Seq;
use crate::system::clock;
use crate::ui::{Ui, clock_word, escape};

/// Show what the services wrote to their logs
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll logs                   the last 50 lines of each log
  gitroll logs web -n 200        the last 200 lines of one service
  gitroll logs web -f            what it writes from now on
  gitroll logs --at 44           what was written around record #44

Known secrets are replaced by [redacted]. gitroll show 44 --output shows what builds wrote.")]
pub struct LogsArgs {
    /// Service name [default: all services]
    service: Option<String>,
    /// At most this many lines of each log
    #[arg(short, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    n: u32,
    /// Follow: show lines as they are written, until Ctrl-C
    #[arg(short, long, conflicts_with = "at")]
    follow: bool,
    /// Show what was written around this record: from 1 minute before it began until 5 minutes after its end
    #[arg(long, value_name = "SEQ")]
    at: Option<String>,
}

/// Runs it.
///
/// # Errors
/// When there is no such service or record, or no log can be read.
pub fn run(globals: &Globals, ui: &Ui, args: &LogsArgs) -> Result<Exit, Failure> {
    if args.follow && ui.json {
        return Err(Failure::new(Status::Usage, "--follow does not end, so it has no JSON answer")
            .next("gitroll logs --json", "answers with the last lines"));
    }
    let at = args.at.as_deref().map(|typed| {
        Seq::typed(typed).ok_or_else(|| {
            Failure::new(Status::Usage, format!("{typed:?} is not the number of a record"))
                .next("gitroll log", "shows the records")
        })
    });
    let request = LogsRequest {
        service: args.service.clone(),
        lines: usize::try_from(args.n).unwrap_or(usize::MAX),
        at: at.transpose()?,
    };
    let caller = globals.caller(ui);
    if args.follow {
        follow_logs(&caller, &request, &mut |service, line| {
            let line = escape(line);
            ui.line_of_stream(&service.map_or(line.clone(), |service| format!("{service}  {line}")))
        })?;
        return Ok(Exit::Done);
    }
    let answer = read_logs(&caller, &request)?;
    print(ui, &answer);
    ui.document("logs", 0, &answer);
    let unread = |log: &LogLines| log.problem.is_some();
    let none = !answer.logs.is_empty() && answer.logs.iter().all(unread);
    Ok(if none { Exit::Unchanged } else { Exit::Done })
}

fn print(ui: &Ui, answer: &LogsAnswer) {
    if let (Some(seq), Some(from), Some(to)) = (answer.record, answer.from, answer.to) {
        let now = clock::now();
        ui.say(&format!("#{seq}, {} ({from} to {to})", clock_word(from, now)));
    }
    for KeptLines { step, lines } in &answer.kept {
        ui.line(&format!("== {}  (kept in the record)", escape(step)));
        lines.iter().for_each(|line| ui.line(&escape(line)));
    }
    for log in &answer.logs {
        let place = log.place.as_deref().map(escape).unwrap_or_default();
        if let Some(problem) = &log.problem {
            ui.cry(&format!("{}  {place}: {}", log.service, escape(problem)));
            continue;
        }
        ui.line(&format!("== {}  {place}", log.service));
        log.lines.iter().for_each(|line| ui.line(&escape(line)));
        if let Some(note) = &log.note {
            ui.say(&format!("   {}: {}", log.service, escape(note)));
        }
    }
}
