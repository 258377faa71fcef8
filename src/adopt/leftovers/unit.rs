//! systemd units: the system's, and the user's own. Timers hold no commands: their services do.

use super::command::{Parsed, Part};
use super::rewrite::{Manner, Rewritten, rewrite};
use super::{Search, read, script, shell};

/// Lines that say what is run to start. `ExecReload=` and `ExecStop=` deploy nothing.
const KEYS: [&str; 4] = ["ExecStart", "ExecStartPre", "ExecStartPost", "ExecCondition"];

pub(super) fn search(search: &mut Search<'_>) {
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
    let lines = read::lines(text);
    let fields = lines.iter().filter_map(|line| {
        let (key, value) = line.text.split_once('=')?;
        Some((line, key.trim(), value.trim()))
    });
    let works_there =
        fields.clone().any(|(_, key, value)| key == "WorkingDirectory" && search.names_app(value));
    let commands: Vec<_> = fields.filter(|(_, key, _)| KEYS.contains(key)).collect();
    // What starts a server and deploys before it would wait for itself, were it gitroll that deploys.
    let serves = commands
        .iter()
        .any(|(_, key, value)| *key == "ExecStart" && !deploys(search, bare(value).1));
    for (line, key, value) in commands {
        let (marks, command) = bare(value);
        script::called(search, command);
        if !(works_there || search.names_app(command)) {
            continue;
        }
        let manner = Manner {
            app: search.app,
            program: &search.app.program,
            quiet: false,
            names_dir: !works_there,
        };
        if let Some(Rewritten::Line(new)) = rewrite(&[command], manner).pop() {
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
