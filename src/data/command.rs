//! Commands of the team's own that copy data, and say whether a copy is good.

use std::path::Path;

use super::place::Host;
use crate::system::secrets;

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
