//! Crontabs: the user's own, and the system's.

use std::path::Path;
use std::time::Duration;

use super::rewrite::{Manner, Rewritten, rewrite};
use super::{Search, read, script};
use crate::system::process::Invocation;

pub(super) fn search(search: &mut Search<'_>) {
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
            script::outside(search, &path);
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
    for line in read::lines(text) {
        let Some((before, command)) = entry(&line.text, system) else { continue };
        script::called(search, command);
        if !(search.names_app(command) || search.reloads_app(command)) {
            continue;
        }
        let manner =
            Manner { app: search.app, program: &search.app.program, quiet: true, names_dir: true };
        if let Some(Rewritten::Line(new)) = rewrite(&[command], manner).pop() {
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
