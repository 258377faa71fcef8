//! Commands of the team's own that copy data, and say whether a copy is good.

use std::path::Path;

use super::error::DataError;
use super::place::Host;
use super::store::PointStore;
use crate::system::{clock, secrets};

/// Runs `[points] offsite`: copies the repository as it is now to another place, and notes that it did. What was run.
///
/// # Errors
/// The first command that failed.
pub fn copy_away(
    host: &Host,
    commands: &[Vec<String>],
    store: &PointStore,
) -> Result<Vec<String>, DataError> {
    let place = store.repository().display().to_string();
    let began = clock::now();
    let mut run_commands = Vec::new();
    for argv in commands {
        let argv: Vec<String> = argv.iter().map(|word| word.replace("{points}", &place)).collect();
        let command = argv.join(" ");
        run(host, &argv, &host.top)
            .map_err(|why| DataError::Offsite { command: command.clone(), why })?;
        run_commands.push(command);
    }
    if !commands.is_empty() {
        store.note_offsite(began)?;
    }
    Ok(run_commands)
}

/// Runs one command with `GITROLL_DATA_DIR` set to `directory`.
///
/// # Errors
/// Why it failed, with the last line that it said.
pub fn run(host: &Host, argv: &[String], directory: &Path) -> Result<(), String> {
    let name = argv.first().map_or("", String::as_str);
    let tool = host.command(argv, directory);
    let finished = tool.run().map_err(|error| error.to_string())?;
    let Some(problem) = finished.problem(tool.limit) else { return Ok(()) };
    let output = [finished.stdout, finished.stderr].concat();
    let said = String::from_utf8_lossy(&output);
    let mut lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let last = lines.next_back().map(secrets::masked);
    Err(match last {
        Some(line) => format!("{name}: {problem}: {line}"),
        None => format!("{name}: {problem}"),
    })
}
