//! What a simple command has to do with deploying.

use super::app::App;
use super::shell::{Command, Word};

/// The part a command plays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Changes into a directory.
    Enter(String),
    /// Makes the tree another version.
    Move {
        /// The revision it names, as written, if that is not what `gitroll deploy` takes anyway.
        revision: Option<String>,
        /// The checkout, where the command names it.
        dir: Option<String>,
        /// It brings that revision from its remote first.
        pulls: bool,
    },
    /// Brings what was committed elsewhere.
    Fetch,
    /// Installs, builds, saves pm2's list: part of a deploy, nothing on its own.
    Accompany,
    /// Reloads pm2 apps: by this name.
    Reload(String),
    /// Deploys by pm2's own means, from a laptop.
    Remote,
    /// Only looks whether a pull brought anything.
    Sieve,
    /// Nothing of the kind.
    Other,
}

/// A command taken apart.
#[derive(Debug, Clone)]
pub(super) struct Parsed<'a> {
    pub(super) command: Command<'a>,
    /// What it does.
    pub(super) part: Part,
    /// `if`, `then`, `(` …: what is before it and must stay.
    pub(super) opening: &'a str,
    /// `opening`, and `sudo -u app`, `timeout 60` … after it.
    pub(super) before: &'a str,
    /// Its redirections, as written.
    pub(super) redirections: String,
    /// `)` or `}` after it.
    pub(super) closing: String,
    /// The place in its text of a quoted word that is shell text itself: `sh -c '…'`, `ssh host '…'`.
    pub(super) nested: Option<(usize, &'a str)>,
}

impl<'a> Parsed<'a> {
    pub(super) fn of(command: Command<'a>, app: &App) -> Self {
        let words = command.words.as_slice();
        let opened = words.iter().take_while(|w| is_one_of(w, &OPENING)).count();
        let closed = words[opened..].iter().rev().take_while(|w| is_one_of(w, &[")", "}"])).count();
        let inner = &words[opened..words.len() - closed];
        let wrapped = wrappers(inner);
        let nested = nested(inner);
        let (core, redirections) = without_redirections(&inner[wrapped..]);
        let begin = |index: usize| words.get(index).map_or(command.text.len(), |word| word.at);
        Self {
            part: if nested.is_some() { Part::Other } else { part(&core, app) },
            opening: &command.text[..begin(opened)],
            before: &command.text[..begin(opened + wrapped)],
            redirections,
            closing: words[words.len() - closed..].iter().map(|w| w.raw).collect(),
            nested,
            command,
        }
    }
}

const OPENING: [&str; 11] =
    ["if", "then", "elif", "else", "do", "while", "until", "!", "(", "{", "time"];

fn is_one_of(word: &Word<'_>, names: &[&str]) -> bool {
    names.contains(&word.raw)
}

/// How many words stand before the command that is really run: variables, `sudo -u app`, `ssh host`.
fn wrappers(words: &[Word<'_>]) -> usize {
    // Name, options that take a value, words of its own after the options.
    const WRAPPERS: [(&str, &[&str], usize); 13] = [
        ("sudo", &["-u", "-g", "-D", "--user", "--group", "--chdir"], 0),
        ("env", &["-u", "-C", "--chdir"], 0),
        ("nohup", &[], 0),
        ("exec", &[], 0),
        ("command", &[], 0),
        ("chronic", &[], 0),
        ("nice", &["-n"], 0),
        ("ionice", &["-c", "-n"], 0),
        ("timeout", &["-s", "-k"], 1),
        ("flock", &["-w", "-E"], 1),
        ("runuser", &["-u", "-g"], 0),
        ("npx", &[], 0),
        ("ssh", &["-p", "-i", "-o", "-l", "-F", "-J", "-L", "-R", "-b", "-c"], 1),
    ];
    let mut at = 0;
    while let Some(word) = words.get(at) {
        if is_assignment(&word.value) {
            at += 1;
            continue;
        }
        let Some((_, valued, own)) = WRAPPERS.iter().find(|w| w.0 == program(&word.value)) else {
            break;
        };
        at += 1;
        while let Some(option) = words.get(at).filter(|word| word.value.starts_with('-')) {
            at += if valued.contains(&option.value.as_str()) { 2 } else { 1 };
        }
        at += own;
    }
    at.min(words.len())
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// A quoted word, the last one, of a command that hands it to a shell.
fn nested<'a>(words: &[Word<'a>]) -> Option<(usize, &'a str)> {
    const SHELLS: [&str; 8] = ["sh", "bash", "dash", "zsh", "su", "ssh", "runuser", "flock"];
    words.iter().find(|word| SHELLS.contains(&program(&word.value)))?;
    let (core, _) = without_redirections(words);
    let last = core.last()?;
    let quote = last.raw.chars().next().filter(|c| "'\"".contains(*c))?;
    let inner = last.raw.strip_prefix(quote)?.strip_suffix(quote)?;
    Some((last.at + 1, inner))
}

fn without_redirections<'w, 'a>(words: &'w [Word<'a>]) -> (Vec<&'w Word<'a>>, String) {
    let mut core = Vec::new();
    let mut redirections: Vec<&str> = Vec::new();
    let mut expects_file = false;
    for word in words {
        let sign = word.raw.trim_start_matches(|c: char| c.is_ascii_digit() || c == '&');
        let redirects = sign.starts_with(['>', '<']);
        if redirects || expects_file {
            redirections.push(word.raw);
            expects_file = redirects && sign.trim_matches(['>', '<', '|']).is_empty();
        } else {
            core.push(word);
        }
    }
    (core, redirections.join(" "))
}

fn program(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

fn part(words: &[&Word<'_>], app: &App) -> Part {
    let values: Vec<&str> = words.iter().map(|word| word.value.as_str()).collect();
    let Some((first, rest)) = values.split_first() else { return Part::Other };
    let plain: Vec<&str> = rest.iter().copied().filter(|word| !word.starts_with('-')).collect();
    let sub = plain.first().copied().unwrap_or_default();
    match program(first) {
        "cd" | "pushd" => Part::Enter(sub.to_owned()),
        "git" => git(&words[1..], app),
        "pm2" => match sub {
            "reload"
            | "restart"
            | "gracefulReload"
            | "startOrReload"
            | "startOrRestart"
            | "startOrGracefulReload" => {
                Part::Reload(plain.get(1).copied().unwrap_or("all").to_owned())
            }
            "deploy" => Part::Remote,
            "save" | "dump" => Part::Accompany,
            _ => Part::Other,
        },
        "npm" | "pnpm" | "yarn" => match (sub, plain.get(1).copied()) {
            ("ci" | "install" | "i" | "build" | "prune" | "clean-install", _)
            | ("run" | "run-script", Some("build" | "compile")) => Part::Accompany,
            ("", _) if program(first) == "yarn" => Part::Accompany,
            _ => Part::Other,
        },
        "systemctl" | "service" if restarts(&plain, app) => Part::Accompany,
        "grep" | "egrep" => Part::Sieve,
        _ => Part::Other,
    }
}

/// `systemctl restart shop`, where that is one of the app's own.
fn restarts(words: &[&str], app: &App) -> bool {
    let verb = ["restart", "reload", "try-restart", "reload-or-restart"];
    let unit = |word: &&str| app.is_named(word.trim_end_matches(".service"));
    words.iter().any(|word| verb.contains(word)) && words.iter().any(unit)
}

fn git(words: &[&Word<'_>], app: &App) -> Part {
    let mut dir = None;
    let mut at = 0;
    while let Some(option) = words.get(at).filter(|word| word.value.starts_with('-')) {
        let value = words.get(at + 1).map(|word| word.raw.to_owned());
        match option.value.as_str() {
            "-C" | "--work-tree" => {
                dir = value;
                at += 2;
            }
            "-c" | "--git-dir" => at += 2,
            long => {
                if let Some(tree) = long.strip_prefix("--work-tree=") {
                    dir = Some(tree.to_owned());
                }
                at += 1;
            }
        }
    }
    let Some((verb, args)) = words[at.min(words.len())..].split_first() else {
        return Part::Other;
    };
    let has = |options: &[&str]| args.iter().any(|word| options.contains(&word.value.as_str()));
    let names: Vec<&&Word<'_>> = args.iter().filter(|w| !w.value.starts_with('-')).collect();
    let raw = |index: usize| names.get(index).map(|word| word.raw);
    let pulls = verb.value == "pull";
    let moves = |revision: Option<String>| Part::Move { revision, dir: dir.clone(), pulls };
    match verb.value.as_str() {
        "pull" => moves(match (raw(0), raw(1)) {
            (Some(remote), Some(branch)) => app.unless_followed(&format!("{remote}/{branch}")),
            _ => None,
        }),
        "reset" if has(&["--hard"]) => moves(raw(0).and_then(|name| app.unless_followed(name))),
        "merge" => moves(raw(0).and_then(|name| app.unless_followed(name))),
        "checkout" | "switch" if has(&["-b", "-B", "-c", "--orphan", "--track", "-t"]) => {
            Part::Other
        }
        "checkout" if has(&["--", "."]) || names.iter().any(|w| is_file(&w.value)) => {
            Part::Accompany
        }
        "checkout" | "switch" => moves(raw(0).and_then(|name| app.unless_followed(name))),
        "fetch" => Part::Fetch,
        "clean" | "stash" | "submodule" => Part::Accompany,
        _ => Part::Other,
    }
}

/// `git checkout package-lock.json` puts a file right and moves nothing.
fn is_file(name: &str) -> bool {
    const ENDS: [&str; 8] = [".json", ".lock", ".yaml", ".yml", ".js", ".ts", ".env", ".toml"];
    ENDS.iter().any(|end| name.ends_with(end))
}
