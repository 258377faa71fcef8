//! Processes of the app that no service starts again: workers that someone left with `nohup`, jobs of cron.

use std::collections::BTreeSet;
use std::path::Path;

use super::bound::Site;
use super::observed::observe_services;
use super::witnesses::processes;
use crate::config::{self, Config, Service, show_duration};
use crate::model::Served;
use crate::service::ServiceError;
use crate::system::procs::{self, ProcessId, Ticks};
use crate::system::secrets;

/// How many are named.
const SHOWN: usize = 5;

/// How much of a word is shown.
const SHOWN_WORD: usize = 60;

/// What runs programs of others: code of an app that is older than the tree continues in these.
const INTERPRETERS: [&str; 16] = [
    "node", "nodejs", "bun", "deno", "npm", "yarn", "pnpm", "tsx", "ts-node", "python", "ruby",
    "perl", "php", "java", "gunicorn", "celery",
];

/// What a person works with in a directory: it runs nothing that is there.
const TOOLS: [&str; 22] = [
    "sh", "bash", "zsh", "fish", "dash", "vi", "vim", "nvim", "nano", "emacs", "less", "more",
    "man", "tail", "cat", "top", "htop", "git", "ssh", "tmux", "screen", "sudo",
];

/// The processes that work in the tree now, or run a file of it, and belong to no service of any of the configurations,
/// in words: nobody restarts them, so they continue with the code they have. Of those that this user may see. With them
/// the services that only `before` has and of which nobody can tell whether they still run.
pub fn strays(
    site: &Site,
    after: &Config,
    before: &Config,
    served: &Served,
    deployment: &str,
) -> Vec<String> {
    let top = site.top();
    let dropped = config::dropped(before, after);
    let dropped = Config { services: dropped, ..before.clone() };
    let unanswered = observe_services(site, &dropped, served, deployment).into_iter();
    let unanswered: Vec<(String, ServiceError)> =
        unanswered.filter_map(|(name, state)| Some((name, state.err()?))).collect();
    let kept =
        |service: &&Service| !unanswered.iter().any(|(name, _)| *name == service.name.as_str());
    let before = Config {
        services: before.services.iter().filter(kept).cloned().collect(),
        ..before.clone()
    };
    let unknown =
        unanswered.iter().filter(|(_, error)| !matches!(error, ServiceError::Unknown { .. }));
    let mut told: Vec<String> = unknown
        .map(|(name, error)| {
            format!(
                "{name} is no longer a service, and nobody could tell whether it still runs ({error}): stop it by hand"
            )
        })
        .collect();
    let callers = callers();
    let mut found: Vec<(ProcessId, String)> = procs::running()
        .into_iter()
        .filter(|pid| !callers.contains(pid))
        .filter_map(|pid| Some((ProcessId::of(pid)?, runs_the_app(pid, top)?)))
        .collect();
    let mut known = BTreeSet::new();
    for config in [after, &before].into_iter().filter(|_| !found.is_empty()) {
        let look = observe_services(site, config, served, deployment);
        // Of a manager that names none, whoever listens for it.
        let serving = processes(config, &look).all;
        known.extend(serving.iter().flat_map(|process| procs::family(process.pid)));
        for (_, state) in look {
            // Whose processes cannot be told must not be called nobody's.
            let Ok(state) = state else { return told };
            known.extend(state.socket_owners.iter().copied());
            known.extend(state.processes.iter().flat_map(|process| procs::family(process.pid)));
        }
    }
    found.retain(|(process, _)| !known.contains(&process.pid));
    found.sort_by_key(|(process, _)| process.start_ticks);
    let more = found.len().saturating_sub(SHOWN);
    told.extend(found.into_iter().take(SHOWN).map(|(process, words)| {
        let age = show_duration(Ticks(process.start_ticks).ago());
        format!(
            "process {} ({words}) runs here for {age} but does not belong to a service: it keeps running the code it has",
            process.pid
        )
    }));
    if more > 0 {
        told.push(format!("{more} more processes run here and do not belong to a service"));
    }
    told
}

/// This process and those above it.
fn callers() -> BTreeSet<u32> {
    let own = std::process::id();
    std::iter::successors(Some(own), |pid| procs::parent(*pid)).take(64).collect()
}

/// Its command in few words, where it runs something of the app.
fn runs_the_app(pid: u32, top: &Path) -> Option<String> {
    let words = procs::command_line(pid)?;
    let program = Path::new(words.first()?);
    let name = program.file_name()?.to_string_lossy().trim_start_matches('-').to_owned();
    let is = |known: &&str| {
        let rest = name.strip_prefix(*known);
        rest.is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'))
    };
    if TOOLS.iter().any(&is) || name.starts_with("gitroll") {
        return None;
    }
    let dir = procs::working_directory(pid)?;
    let own = |path: &Path| dir.join(path).starts_with(top) && dir.join(path).is_file();
    let of_the_app = words.iter().any(|word| own(Path::new(word)))
        || procs::executable(pid).is_some_and(|program| program.starts_with(top));
    // `cd / && node -e "require('/srv/app/worker.js')"`
    let named = || words.iter().any(|word| names_a_file_of(&word.to_string_lossy(), top));
    // The words of a program may be secrets.
    let spelled: Vec<String> = words
        .iter()
        .take(2)
        .map(|word| secrets::cut(&word.to_string_lossy(), SHOWN_WORD))
        .collect();
    let interprets = INTERPRETERS.iter().any(is);
    let here = dir.starts_with(top);
    (of_the_app || interprets && (here || named())).then(|| spelled.join(" "))
}

/// Whether a word, be it a line of code, names a file that is in the tree.
fn names_a_file_of(word: &str, top: &Path) -> bool {
    let top = format!("{}/", top.display());
    let ends = |c: char| c.is_whitespace() || "'\"`,;)".contains(c);
    let paths = word.match_indices(&top).map(|(at, _)| &word[at..]);
    let mut paths = paths.filter_map(|rest| rest.split(ends).next());
    paths.any(|path| Path::new(path).is_file())
}
