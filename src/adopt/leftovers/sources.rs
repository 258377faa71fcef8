//! Where commands that deploy by hand stand: crontabs, systemd units, shell scripts and git hooks, scripts of
//! `package.json`, workflows of CI services.

use std::path::Path;
use std::time::Duration;

use super::command::{Parsed, Part};
use super::rewrite::{RewriteOptions, Rewritten, rewrite};
use super::search::{Line, Search, lines};
use super::shell;
use crate::system::process::Invocation;

/// Crontabs: the user's own, and the system's.
pub(super) fn crontabs(search: &mut Search<'_>) {
    let own = search.places.spool.join(&search.app.user);
    match search.text(&own) {
        Some(text) => table(search, &own.display().to_string(), &text, false),
        None => {
            if let Some(text) = listed(search) {
                table(search, "crontab -l", &text, false);
            }
        }
    }
    let etc = search.places.etc.clone();
    let mut tables = vec![etc.join("crontab")];
    tables.extend(search.files(&etc.join("cron.d")));
    for path in tables {
        if let Some(text) = search.text(&path) {
            table(search, &path.display().to_string(), &text, true);
        }
    }
    for period in ["cron.hourly", "cron.daily", "cron.weekly", "cron.monthly"] {
        for path in search.files(&etc.join(period)) {
            outside(search, &path);
        }
    }
}

/// What `crontab -l` says: it may read the table where this user may not.
fn listed(search: &mut Search<'_>) -> Option<String> {
    let program = search.places.crontab.as_ref()?;
    let mut invocation = Invocation::new(program, Path::new("/"));
    invocation.args = vec!["-l".into()];
    invocation.env.insert("PATH".into(), "/usr/bin:/bin".into());
    invocation.env.insert("HOME".into(), search.places.home.clone().into());
    invocation.limit = Duration::from_secs(5);
    // A user without a crontab makes it fail.
    let finished = invocation.run().ok().filter(|finished| finished.success())?;
    search.unread.retain(|place| !place.starts_with(&*search.places.spool.to_string_lossy()));
    Some(String::from_utf8_lossy(&finished.stdout).into_owned())
}

/// One table; those of the system name a user before the command.
fn table(search: &mut Search<'_>, place: &str, text: &str, system: bool) {
    for line in lines(text) {
        let Some((before, command)) = entry(&line.text, system) else { continue };
        called(search, command);
        if !(search.names_app(command) || search.reloads_app(command)) {
            continue;
        }
        let options = RewriteOptions {
            app: search.app,
            program: &search.app.program,
            quiet: true,
            names_dir: true,
        };
        if let Some(Rewritten::Line(new)) = rewrite(&[command], options).pop() {
            search.add(place, Some(line.number), &line.text, Some(format!("{before}{new}")));
        }
    }
}

/// When (and as whom), with the white space after it, and what.
fn entry(line: &str, system: bool) -> Option<(&str, &str)> {
    let begin = line.trim_start();
    let first = begin.split_whitespace().next().filter(|word| !word.starts_with('#'))?;
    // Neither a schedule nor a nickname begins with a letter, but `NAME=value` does.
    if first.starts_with(|c: char| c.is_alphabetic() || c == '_') {
        return None;
    }
    let fields = if first.starts_with('@') { 1 } else { 5 } + usize::from(system);
    let mut rest = begin;
    for _ in 0..fields {
        let end = rest.find(char::is_whitespace)?;
        rest = rest[end..].trim_start();
    }
    (!rest.is_empty()).then(|| (&line[..line.len() - rest.len()], rest))
}

/// Lines that say what is run to start. `ExecReload=` and `ExecStop=` deploy nothing.
const STARTS: [&str; 4] = ["ExecStart", "ExecStartPre", "ExecStartPost", "ExecCondition"];

/// systemd units: the system's, and the user's own. Timers hold no commands: their services do.
pub(super) fn units(search: &mut Search<'_>) {
    let system = search.places.etc.join("systemd/system");
    let own = search.places.home.join(".config/systemd/user");
    for path in [system, own].iter().flat_map(|dir| search.files(dir)).collect::<Vec<_>>() {
        if path.extension().is_some_and(|end| end == "service")
            && let Some(text) = search.text(&path)
        {
            unit(search, &path.display().to_string(), &text);
        }
    }
}

fn unit(search: &mut Search<'_>, place: &str, text: &str) {
    let lines = lines(text);
    let fields = lines.iter().filter_map(|line| {
        let (key, value) = line.text.split_once('=')?;
        Some((line, key.trim(), value.trim()))
    });
    let works_there =
        fields.clone().any(|(_, key, value)| key == "WorkingDirectory" && search.names_app(value));
    let commands: Vec<_> = fields.filter(|(_, key, _)| STARTS.contains(key)).collect();
    // What starts a server and deploys before it would wait for itself, were it gitroll that deploys.
    let serves = commands
        .iter()
        .any(|(_, key, value)| *key == "ExecStart" && !deploys(search, bare(value).1));
    for (line, key, value) in commands {
        let (marks, command) = bare(value);
        called(search, command);
        if !(works_there || search.names_app(command)) {
            continue;
        }
        let options = RewriteOptions {
            app: search.app,
            program: &search.app.program,
            quiet: false,
            names_dir: !works_there,
        };
        if let Some(Rewritten::Line(new)) = rewrite(&[command], options).pop() {
            let line_instead = (!serves).then(|| format!("{key}={marks}{new}"));
            search.add(place, Some(line.number), &line.text, line_instead);
        }
    }
}

/// The marks before a command (`-`, `@`, `+` …), and the command.
fn bare(value: &str) -> (&str, &str) {
    let command = value.trim_start_matches(['-', '@', ':', '+', '!', '|']);
    value.split_at(value.len() - command.len())
}

fn deploys(search: &Search<'_>, command: &str) -> bool {
    shell::split(command).into_iter().any(|command| {
        let parsed = Parsed::of(command, search.app);
        let inner = parsed.nested.is_some_and(|(_, inner)| deploys(search, inner));
        inner || !matches!(parsed.part, Part::Other | Part::Enter(_))
    })
}

/// Shell scripts of the tree, git hooks, scripts of `package.json`.
pub(super) fn scripts(search: &mut Search<'_>) {
    let (top, git_dir) = (search.app.top.clone(), search.app.git_dir.clone());
    for dir in ["", "scripts", "script", "bin", "deploy"] {
        for path in search.files(&top.join(dir)) {
            if let Some(text) = search.text(&path).filter(|text| is_shell(&path, text)) {
                let place = search.place_of(&path);
                script(search, &place, &text, false);
            }
        }
    }
    for path in search.files(&git_dir.join("hooks")) {
        if path.extension().is_none_or(|end| end != "sample")
            && let Some(text) = search.text(&path)
        {
            let place = search.place_of(&path);
            script(search, &place, &text, true);
        }
    }
    if let Some(text) = search.text(&top.join("package.json")) {
        package(search, &text);
    }
}

/// A script somewhere on the host, if it is about this app.
fn outside(search: &mut Search<'_>, path: &Path) {
    let Some(text) = search.text(path).filter(|text| is_shell(path, text)) else { return };
    let inside = path.starts_with(&search.app.top);
    let about = |line: &Line| search.names_app(&line.text) || search.reloads_app(&line.text);
    if inside || lines(&text).iter().any(about) {
        let place = search.place_of(path);
        script(search, &place, &text, false);
    }
}

/// The scripts that a command line names by their whole path. Most of what is named so are programs, which
/// are no news when they cannot be read.
fn called(search: &mut Search<'_>, command: &str) {
    let known = search.unread.clone();
    for command in shell::split(command) {
        for word in command.words.iter().filter(|word| word.value.starts_with('/')) {
            outside(search, Path::new(&word.value));
        }
    }
    search.unread.retain(|note| known.contains(note) || note.contains(".sh: "));
}

fn is_shell(path: &Path, text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    let shell = first.starts_with("#!") && first.trim_end().ends_with("sh");
    shell || first.contains("sh -") || path.extension().is_some_and(|e| e == "sh" || e == "bash")
}

/// A script is one sequence: what pulls, builds and reloads in it is one deploy. A hook runs where git
/// says, so the checkout is named.
fn script(search: &mut Search<'_>, place: &str, text: &str, hook: bool) {
    let options =
        RewriteOptions { app: search.app, program: "gitroll", quiet: false, names_dir: hook };
    let lines = lines(text);
    let texts: Vec<&str> = lines.iter().map(|line| line.text.trim_start()).collect();
    for (line, new) in lines.iter().zip(rewrite(&texts, options)) {
        add(search, place, line, new);
    }
}

/// Notes a line and what becomes of it, indented as it was.
fn add(search: &mut Search<'_>, place: &str, line: &Line, new: Rewritten) {
    let indent = &line.text[..line.text.len() - line.text.trim_start().len()];
    match new {
        Rewritten::Same => {}
        Rewritten::Line(new) => {
            search.add(place, Some(line.number), &line.text, Some(format!("{indent}{new}")));
        }
        Rewritten::Gone => search.add(place, Some(line.number), &line.text, None),
    }
}

/// Each script of package.json is a sequence of its own.
fn package(search: &mut Search<'_>, text: &str) {
    let Ok(package) = serde_json::from_str::<serde_json::Value>(text) else { return };
    let scripts = package.get("scripts").and_then(serde_json::Value::as_object);
    let json = |text: &str| serde_json::Value::from(text).to_string();
    let begin = text.lines().position(|line| line.contains("\"scripts\"")).unwrap_or(0);
    for (name, script) in scripts.into_iter().flatten() {
        let Some(script) = script.as_str() else { continue };
        let options =
            RewriteOptions { app: search.app, program: "gitroll", quiet: false, names_dir: false };
        let Some(Rewritten::Line(new)) = rewrite(&[script], options).pop() else { continue };
        let name = json(name);
        let line = text.lines().skip(begin).position(|line| {
            line.trim_start().strip_prefix(&*name).is_some_and(|r| r.trim_start().starts_with(':'))
        });
        search.add(
            "package.json",
            line.map(|line| line + begin + 1),
            &format!("{name}: {}", json(script)),
            Some(format!("{name}: {}", json(&new))),
        );
    }
}

/// Workflows of CI services, read line by line: the line is what a person replaces, and shell in YAML stays shell
/// whatever is around it.
pub(super) fn workflows(search: &mut Search<'_>) {
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
    let lines = lines(text);
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

const COMMAND_KEYS: [&str; 7] =
    ["run", "script", "before_script", "after_script", "command", "commands", "cmd"];

/// A line that begins another list of commands.
fn begins_step(line: &str) -> bool {
    let text = line.trim_start();
    let item = text.trim_start_matches("- ").trim_start();
    let key = item.split_once(':').map(|(key, _)| key).unwrap_or_default();
    COMMAND_KEYS.contains(&key) || (text.starts_with("- ") && ["name", "uses"].contains(&key))
}

/// The commands of one step are one sequence.
fn sequence(search: &mut Search<'_>, place: &str, step: &[&Line]) {
    let parts: Vec<(&str, &str, &str)> = step.iter().map(|line| scalar(&line.text)).collect();
    let commands: Vec<&str> = parts.iter().map(|(_, command, _)| *command).collect();
    let options =
        RewriteOptions { app: search.app, program: "gitroll", quiet: false, names_dir: false };
    let written = rewrite(&commands, options);
    for ((line, (before, _, after)), new) in step.iter().zip(parts).zip(written) {
        let new = match new {
            Rewritten::Line(new) => {
                // As a whole line, with what YAML needs around it; `add` indents it again.
                let before = before.trim_start();
                Rewritten::Line(format!("{before}{new}{after}"))
            }
            other => other,
        };
        add(search, place, line, new);
    }
}

/// What is before the command in a line of YAML (`- run: "`), the command, and what is after it.
fn scalar(line: &str) -> (&str, &str, &str) {
    let mut rest = line.trim_start();
    while let Some(item) = rest.strip_prefix("- ") {
        rest = item.trim_start();
    }
    if let Some((key, value)) = rest.split_once(':')
        && COMMAND_KEYS.contains(&key)
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
