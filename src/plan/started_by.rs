//! What a release says of how the app is started, where nothing takes it from there: the start script of package.json, a
//! Procfile, a unit file that was copied to where systemd reads it. The service would be reloaded as it was before.

use std::collections::BTreeMap;
use std::path::Path;

use super::problem::Problem;
use crate::config::{Config, Manager, Service};
use crate::model::{Event, Plan, RepoPath};
use crate::service;
use crate::site::{Observed, Site};
use crate::system::{procs, secrets};

/// How much of a line is shown.
const SHOWN: usize = 80;

/// Tells what the plan changes and no service takes over. Only a new version is refused for it: what is restored ran
/// before as it will then.
pub(super) fn check(
    site: &Site,
    config: &Config,
    plan: &mut Plan,
    observed: &Observed,
    problems: &mut Vec<Problem>,
) {
    let changed: Vec<RepoPath> =
        plan.activation.changes.iter().map(|change| change.path.clone()).collect();
    let mut found = Vec::new();
    for path in &changed {
        let text = |commit| site.git.file(commit, path).ok().flatten();
        let (Some(old), Some(new)) = (text(&plan.from.commit), text(&plan.to.commit)) else {
            continue;
        };
        let name = path.to_string();
        let (before, after) = match name.as_str() {
            "package.json" => (start_script(&old), start_script(&new)),
            "Procfile" => (processes(&old), processes(&new)),
            _ => {
                found.extend(copied_unit(site, config, plan, path, (&old, &new)));
                continue;
            }
        };
        for (process, old) in before {
            let Some(new) = after.get(&process).filter(|new| **new != old) else { continue };
            let services = config.services.iter().map(|one| (one, words_of(one, observed)));
            for (one, running) in services {
                found.extend(keeps(&name, one, &running, site.top(), (&old, new)));
            }
        }
    }
    for (problem, refuses) in found {
        if refuses && plan.event == Event::Deploy {
            problems.push(problem);
        } else {
            plan.warnings.push(format!("{}: {}", problem.message, problem.hint));
        }
    }
}

/// A service that goes on with the line that a release changed, and whether a line of gitroll.toml mends it.
fn keeps(
    file: &str,
    service: &Service,
    running: &[Vec<String>],
    top: &Path,
    (old, new): (&str, &str),
) -> Option<(Problem, bool)> {
    let before = entry(&split(old), top)?;
    if entry(&split(new), top).as_ref() == Some(&before) {
        return None;
    }
    running.iter().find(|words| entry(words, top).as_ref() == Some(&before))?;
    let name = &service.name;
    let [old, new] = [old, new].map(|line| secrets::cut(line, SHOWN));
    let message =
        format!("{file} starts {new:?} instead of {old:?}, and service {name} keeps the latter");
    let own = matches!(service.manager, Manager::Process { .. });
    let hint = match own {
        true => format!("set command under [service.{name}] of gitroll.toml in this version"),
        false => format!("start {name} with it once this version is in place"),
    };
    Some((Problem::new(message, hint), own))
}

/// What runs: the program and its plain words, without variables and options. `None` for a line that only a shell
/// understands.
fn entry(words: &[String], top: &Path) -> Option<Vec<String>> {
    let starters = ["env", "exec", "cross-env", "dotenv"];
    let is_setting = |word: &str| {
        word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        })
    };
    if words.iter().any(|word| word.contains(['&', '|', ';', '$', '`', '<', '>', '('])) {
        return None;
    }
    let rest =
        words.iter().skip_while(|word| is_setting(word) || starters.contains(&word.as_str()));
    let plain = rest.filter(|word| !word.starts_with('-'));
    let mut plain = plain.map(|word| {
        let below = Path::new(word).strip_prefix(top).ok().and_then(Path::to_str);
        below.unwrap_or(word).trim_start_matches("./").to_owned()
    });
    let program = plain.next()?;
    let program = program.rsplit('/').next()?.to_owned();
    let without_ending = |word: String| word.strip_suffix(".js").map(str::to_owned).unwrap_or(word);
    Some(std::iter::once(program).chain(plain.map(without_ending)).collect())
}

fn split(line: &str) -> Vec<String> {
    line.split_whitespace().map(|word| word.trim_matches(['"', '\'']).to_owned()).collect()
}

/// The command lines of a service: its own in gitroll.toml, else those of its processes.
fn words_of(service: &Service, observed: &Observed) -> Vec<Vec<String>> {
    if let Manager::Process { command, .. } = &service.manager {
        return vec![command.clone()];
    }
    let state = observed.services.iter().find(|(name, _)| name == service.name.as_str());
    let state = state.and_then(|(_, state)| state.as_ref().ok());
    let lines = state.into_iter().flat_map(|state| &state.processes).filter_map(|process| {
        let words = procs::command_line(process.pid)?;
        let words = words.iter().map(|word| word.to_string_lossy().into_owned());
        Some(words.collect::<Vec<_>>().join(" "))
    });
    // A process that names itself has one word for all.
    lines.map(|line| split(&line)).collect()
}

fn start_script(text: &[u8]) -> BTreeMap<String, String> {
    let json: Option<serde_json::Value> = serde_json::from_slice(text).ok();
    let start = json.as_ref().and_then(|json| json.pointer("/scripts/start")?.as_str());
    start.map(|line| ("start".to_owned(), line.to_owned())).into_iter().collect()
}

fn processes(text: &[u8]) -> BTreeMap<String, String> {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.map(|(name, line)| (name.trim().to_owned(), line.trim().to_owned())).collect()
}

/// A unit that systemd reads from a copy of a file which the release changes.
fn copied_unit(
    site: &Site,
    config: &Config,
    plan: &Plan,
    path: &RepoPath,
    (old, new): (&[u8], &[u8]),
) -> Option<(Problem, bool)> {
    let name = path.as_path().file_name()?;
    let kinds = ["service", "socket", "timer", "conf", "target", "path"];
    let extension = Path::new(name).extension()?.to_str()?;
    if !kinds.contains(&extension) {
        return None;
    }
    let host = site.host(&plan.from, "preflight");
    let used = config.services.iter().flat_map(|one| service::definition_files(&host, one));
    let mut copies = used.filter(|file| file.file_name() == Some(name));
    let copy = copies.find(|file| {
        let linked = file.canonicalize().is_ok_and(|real| real.starts_with(site.top()));
        !linked && std::fs::read(file).is_ok_and(|bytes| bytes == old && bytes != new)
    })?;
    let (at, to) = (copy.display(), &plan.to.commit);
    let command = format!("git show {}:{path} | sudo tee {at} >/dev/null", to.short());
    let problem = Problem::new(
        format!("{path} changes, and systemd reads {at}, a copy of the previous one"),
        format!("{command} puts the new one there"),
    );
    Some((problem, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_is_told_without_variables_and_options() {
        let entry = |line: &str| entry(&split(line), Path::new("/srv/app"));
        let server = entry("node server.js");
        assert!(server.is_some());
        for same in [
            "NODE_ENV=production node server.js",
            "cross-env A=1 node --enable-source-maps ./server",
            "/usr/bin/node /srv/app/server.js",
        ] {
            assert_eq!(entry(same), server, "{same}");
        }
        for other in ["node dist/server.js", "tsx server.js", "node server.js worker"] {
            assert_ne!(entry(other), server, "{other}");
        }
        assert_eq!(entry("npm run build && node server.js"), None);
    }
}
