//! The changed lines: as git has them in a pipe, escaped and in the user's pager on a terminal.

use std::collections::BTreeSet;

use super::states::missing;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::config::Component;
use crate::model::RepoPath;
use crate::report::diff::Diff;
use crate::system::exec;
use crate::system::git::Git;
use crate::ui::{Style, Ui, escape};

/// More files make a patch that nobody reads and that may not fit into memory.
const MOST_FILES: usize = 10_000;

/// More paths do not fit into one command.
const MOST_PATHS: usize = 1_000;

/// Shows the patch.
///
/// # Errors
/// When git cannot make it, or it would be too large.
pub fn show(
    ui: &Ui,
    git: &Git,
    diff: &Diff,
    component: Option<&Component>,
) -> Result<Exit, Failure> {
    if diff.totals.files == 0 {
        ui.say("no file differs");
        return Ok(Exit::Done);
    }
    let most = if component.is_some() { MOST_PATHS } else { MOST_FILES };
    if diff.totals.files > most {
        let (from, to) = (&diff.from.commit, &diff.to.commit);
        return Err(Failure::unchanged(format!(
            "{} files differ: a patch shows at most {most}",
            diff.totals.files
        ))
        .next(format!("git diff {from} {to} -- PATH"), "a part of it"));
    }
    let paths = if component.is_some() { paths(diff) } else { Vec::new() };
    let patch = git.patch(&diff.from.commit, &diff.to.commit, &paths).map_err(missing)?;
    if !ui.out.terminal {
        ui.raw(&patch);
        return Ok(Exit::Done);
    }
    let shown = readable(&patch, &ui.out);
    if let Some(pager) = git.user_pager() {
        let error = exec::pager(&pager, shown.as_bytes());
        ui.say(&format!("warning: the pager cannot be started: {error}"));
    }
    ui.raw(shown.as_bytes());
    Ok(Exit::Done)
}

fn paths(diff: &Diff) -> Vec<RepoPath> {
    let files = diff.parts.iter().flat_map(|part| &part.files);
    let paths: BTreeSet<&RepoPath> =
        files.flat_map(|file| std::iter::once(&file.path).chain(&file.was)).collect();
    paths.into_iter().cloned().collect()
}

/// The patch for eyes: nothing in it reaches the terminal as a command, lines coloured as git does.
fn readable(patch: &[u8], style: &Style) -> String {
    let mut text = String::new();
    for line in String::from_utf8_lossy(patch).lines() {
        let safe = line.split('\t').map(escape).collect::<Vec<_>>().join("\t");
        let coloured = match safe.as_bytes().first() {
            Some(b'+') if !safe.starts_with("+++ ") => style.green(&safe),
            Some(b'-') if !safe.starts_with("--- ") => style.red(&safe),
            Some(b'@') => style.dim(&safe),
            Some(b' ') | None => safe,
            _ => style.bold(&safe),
        };
        text.push_str(&coloured);
        text.push('\n');
    }
    text
}
