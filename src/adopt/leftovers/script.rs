//! Shell scripts of the tree, git hooks, scripts of `package.json`, and what cron and systemd call.

use std::path::Path;

use super::read::{self, Line};
use super::rewrite::{Manner, Rewritten, rewrite};
use super::{Search, shell};

pub(super) fn search(search: &mut Search<'_>) {
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
pub(super) fn outside(search: &mut Search<'_>, path: &Path) {
    let Some(text) = search.text(path).filter(|text| is_shell(path, text)) else { return };
    let inside = path.starts_with(&search.app.top);
    let about = |line: &Line| search.names_app(&line.text) || search.reloads_app(&line.text);
    if inside || read::lines(&text).iter().any(about) {
        let place = search.place_of(path);
        script(search, &place, &text, false);
    }
}

/// The scripts that a command line names by their whole path. Most of what is named so are programs, which
/// are no news when they cannot be read.
pub(super) fn called(search: &mut Search<'_>, command: &str) {
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
    let manner = Manner { app: search.app, program: "gitroll", quiet: false, names_dir: hook };
    let lines = read::lines(text);
    let texts: Vec<&str> = lines.iter().map(|line| line.text.trim_start()).collect();
    for (line, new) in lines.iter().zip(rewrite(&texts, manner)) {
        add(search, place, line, new);
    }
}

/// Notes a line and what becomes of it, indented as it was.
pub(super) fn add(search: &mut Search<'_>, place: &str, line: &Line, new: Rewritten) {
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
        let manner = Manner { app: search.app, program: "gitroll", quiet: false, names_dir: false };
        let Some(Rewritten::Line(new)) = rewrite(&[script], manner).pop() else { continue };
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
