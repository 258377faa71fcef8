//! Workflows of CI services, read line by line: the line is what a person replaces, and shell in YAML stays
//! shell whatever stands around it.

use super::read::{self, Line};
use super::rewrite::{Manner, Rewritten, rewrite};
use super::{Search, script};

pub(super) fn search(search: &mut Search<'_>) {
    let top = search.app.top.clone();
    let mut files = search.files(&top.join(".github/workflows"));
    files.retain(|path| path.extension().is_some_and(|end| end == "yml" || end == "yaml"));
    files.push(top.join(".gitlab-ci.yml"));
    for path in files {
        let Some(text) = search.text(&path) else { continue };
        // A runner that pulls its own checkout deploys nothing here.
        if text.contains("ssh") || text.contains("pm2") {
            let place = search.place_of(&path);
            workflow(search, &place, &text);
        }
    }
}

fn workflow(search: &mut Search<'_>, place: &str, text: &str) {
    let lines = read::lines(text);
    let mut step: Vec<&Line> = Vec::new();
    for line in &lines {
        let ends_heredoc = step.last().is_some_and(|last| last.text.contains("<<"));
        if begins_step(&line.text) || ends_heredoc {
            sequence(search, place, &std::mem::take(&mut step));
        }
        step.push(line);
    }
    sequence(search, place, &step);
}

const KEYS: [&str; 7] =
    ["run", "script", "before_script", "after_script", "command", "commands", "cmd"];

/// A line that begins another list of commands.
fn begins_step(line: &str) -> bool {
    let text = line.trim_start();
    let item = text.trim_start_matches("- ").trim_start();
    let key = item.split_once(':').map(|(key, _)| key).unwrap_or_default();
    KEYS.contains(&key) || (text.starts_with("- ") && ["name", "uses"].contains(&key))
}

/// The commands of one step are one sequence.
fn sequence(search: &mut Search<'_>, place: &str, step: &[&Line]) {
    let parts: Vec<(&str, &str, &str)> = step.iter().map(|line| scalar(&line.text)).collect();
    let commands: Vec<&str> = parts.iter().map(|(_, command, _)| *command).collect();
    let manner = Manner { app: search.app, program: "gitroll", quiet: false, names_dir: false };
    let written = rewrite(&commands, manner);
    for ((line, (before, _, after)), new) in step.iter().zip(parts).zip(written) {
        let new = match new {
            Rewritten::Line(new) => {
                // As a whole line, with what YAML needs around it; `add` indents it again.
                let before = before.trim_start();
                Rewritten::Line(format!("{before}{new}{after}"))
            }
            other => other,
        };
        script::add(search, place, line, new);
    }
}

/// What stands before the command in a line of YAML (`- run: "`), the command, and what stands after it.
fn scalar(line: &str) -> (&str, &str, &str) {
    let mut rest = line.trim_start();
    while let Some(item) = rest.strip_prefix("- ") {
        rest = item.trim_start();
    }
    if let Some((key, value)) = rest.split_once(':')
        && KEYS.contains(&key)
    {
        rest = value.trim_start();
    }
    let mut after = "";
    for quote in ['"', '\''] {
        let inner = rest.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
        if let Some(inner) = inner {
            after = &rest[rest.len() - 1..];
            rest = inner;
            break;
        }
    }
    let begin = line.len() - rest.len() - after.len();
    (&line[..begin], rest, after)
}
