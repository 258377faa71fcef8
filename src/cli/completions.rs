//! `gitroll completions`, and what the shells ask while a command is typed.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, complete};
use clap_complete::env::{Bash, CompleteEnv, EnvCompleter, Fish, Shells, Zsh};
use schemars::JsonSchema;
use serde::Serialize;

use super::exit::Exit;
use super::failure::{Failure, Status};
use super::{apps, help};
use crate::config::{self, Binding, Config};
use crate::ledger;
use crate::model::EnvironmentName;
use crate::system::files;
use crate::system::git::Git;
use crate::ui::{Ui, escape};

/// Set by the completion scripts to the name of the shell that asks.
const ASKED_BY: &str = "GITROLL_COMPLETE";

/// So many records are offered, the newest.
const MOST_RECORDS: usize = 30;

/// More than any configuration.
const MOST_BYTES: u64 = 2 << 20;

/// Print the completion script of a shell
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll completions bash > ~/.local/share/bash-completion/completions/gitroll
  gitroll completions zsh > ~/.zfunc/_gitroll
  gitroll completions fish > ~/.config/fish/completions/gitroll.fish
  gitroll completions nushell > ~/.config/nushell/autoload/gitroll.nu

The packages install these scripts. They complete commands and options, and the tags, records, components, flags and \
services of the checkout you are in. For zsh, the directory must be in fpath before compinit runs.")]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// A shell that can be served.
#[derive(Debug, Clone, Copy, ValueEnum, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
    Nushell,
}

/// The answer of `completions`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct CompletionsAnswer {
    /// Whose script it is.
    pub shell: Shell,
    /// The script.
    pub script: String,
}

/// Runs it.
///
/// # Errors
/// None that is known: the scripts are written into memory.
pub fn run(ui: &Ui, args: &CompletionsArgs) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    register(args.shell, &mut script).map_err(|error| Failure::unchanged(error.to_string()))?;
    if !ui.json {
        ui.raw(&script);
    }
    let script = String::from_utf8_lossy(&script).into_owned();
    ui.document("completions", 0, &CompletionsAnswer { shell: args.shell, script });
    Ok(Exit::Done)
}

/// `git roll` in bash: git's own completion calls this function for a command of that name.
const GIT_ROLL_IN_BASH: &str = r#"complete -F _clap_complete_gitroll -o nospace -o bashdefault git-roll
_git_roll() {
    local at=1
    while [[ $at -lt $cword && "${words[at]}" != roll ]]; do at=$((at + 1)); done
    local COMP_WORDS=(gitroll "${words[@]:at+1}") COMP_CWORD=$((cword - at))
    _clap_complete_gitroll gitroll "$cur"
}
"#;

/// `git roll` in zsh: git's own completion calls `_git-roll`, which may be this file under that name. zsh reads a file
/// when the first word is completed: that word has to be completed, too.
const GIT_ROLL_IN_ZSH: &str = r#"compdef _clap_dynamic_completer_gitroll git-roll
_git-roll() {
    _clap_dynamic_completer_gitroll "$@"
}
case "$funcstack[1]" in
_gitroll | _git-roll) _clap_dynamic_completer_gitroll "$@" ;;
esac
"#;

/// The first line for zsh, which says for which programs the file is read.
const ONE_NAME_IN_ZSH: &[u8] = b"#compdef gitroll\n";

/// `git roll` in fish: git's own completion asks for that of `git-roll`.
const GIT_ROLL_IN_FISH: &str = "complete --command git-roll --wraps gitroll\n";

fn register(shell: Shell, script: &mut Vec<u8>) -> io::Result<()> {
    let (completer, more): (&dyn EnvCompleter, &str) = match shell {
        Shell::Bash => (&Bash, GIT_ROLL_IN_BASH),
        Shell::Zsh => (&Zsh, GIT_ROLL_IN_ZSH),
        Shell::Fish => (&Fish, GIT_ROLL_IN_FISH),
        Shell::Nushell => (&Nushell, ""),
    };
    completer.write_registration(ASKED_BY, "gitroll", "gitroll", "gitroll", script)?;
    if let Some(rest) = script.strip_prefix(ONE_NAME_IN_ZSH) {
        *script = [b"#compdef gitroll git-roll\n", rest].concat();
    }
    script.extend_from_slice(more.as_bytes());
    Ok(())
}

/// Nushell, which the library does not serve: it asks one closure for the completions of every program.
struct Nushell;

impl EnvCompleter for Nushell {
    fn name(&self) -> &'static str {
        "nushell"
    }

    fn is(&self, name: &str) -> bool {
        matches!(name, "nushell" | "nu")
    }

    fn write_registration(
        &self,
        var: &str,
        _name: &str,
        bin: &str,
        completer: &str,
        script: &mut dyn Write,
    ) -> io::Result<()> {
        let text = r#"let completer_before_BIN = $env.config.completions.external.completer?
$env.config.completions.external.completer = {|spans: list<string>|
    let words = if ($spans | take 2) == ["git" "roll"] { $spans | skip 1 } else { $spans }
    if ($words | first) in ["BIN" "git-roll" "roll"] {
        with-env { VAR: "nushell" } { ^COMPLETER -- ...$words } | from json
    } else if $completer_before_BIN != null {
        do $completer_before_BIN $spans
    }
}
"#;
        let text = text.replace("BIN", bin).replace("VAR", var).replace("COMPLETER", completer);
        script.write_all(text.as_bytes())
    }

    fn write_complete(
        &self,
        command: &mut clap::Command,
        words: Vec<OsString>,
        dir: Option<&Path>,
        answer: &mut dyn Write,
    ) -> io::Result<()> {
        let last = words.len().saturating_sub(1);
        let found = complete(command, words, last, dir)?.into_iter().map(|candidate| {
            let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
            serde_json::json!({
                "value": candidate.get_value().to_string_lossy(),
                "description": help.lines().next().unwrap_or_default(),
            })
        });
        let found: Vec<serde_json::Value> = found.collect();
        writeln!(answer, "{}", serde_json::Value::from(found))
    }
}

/// Answers a shell that asks how a word may go on; `None` if none asks.
pub(super) fn answer(command: fn() -> clap::Command) -> Option<Exit> {
    std::env::var_os(ASKED_BY).filter(|shell| !shell.is_empty())?;
    let shells = Shells(&[&Bash, &Zsh, &Fish, &Nushell]);
    let asked = CompleteEnv::with_factory(|| with_values(command))
        .var(ASKED_BY)
        .completer("gitroll")
        .shells(shells);
    let dir = std::env::current_dir().ok();
    Some(match asked.try_complete(std::env::args_os(), dir.as_deref()) {
        Ok(true) => Exit::Done,
        Ok(false) => return None,
        Err(error) => {
            let ui = Ui::new(false, false);
            Failure::new(Status::Usage, format!("{ASKED_BY}: {error}")).print(&ui, "completions");
            Exit::Usage
        }
    })
}

/// Ways to name a target of a rollback.
fn targets(typed: &OsStr) -> Vec<CompletionCandidate> {
    if typed.to_string_lossy().starts_with('@') {
        return beginning(typed, numbered("@"));
    }
    let words = [
        ("last-good", "the newest version that proved itself"),
        ("last-stable", "the highest stable tag"),
        ("previous", "what served before"),
    ];
    let words = words.into_iter().map(|(word, what)| candidate(word, what));
    beginning(typed, words.chain(tags()))
}

/// Tags, without those of records.
fn known_tags(typed: &OsStr) -> Vec<CompletionCandidate> {
    beginning(typed, tags())
}

/// Tags and branches.
fn revisions(typed: &OsStr) -> Vec<CompletionCandidate> {
    let branches = here().into_iter().flat_map(|git| {
        ["refs/heads/", "refs/remotes/"].into_iter().flat_map(move |prefix| {
            let found = git.refs(prefix).unwrap_or_default().into_iter();
            found.map(move |branch| candidate(branch.name.trim_start_matches(prefix), "branch"))
        })
    });
    beginning(typed, branches.chain(tags()))
}

/// Positions of records.
fn records(typed: &OsStr) -> Vec<CompletionCandidate> {
    let sign = if typed.to_string_lossy().starts_with('@') { "@" } else { "" };
    beginning(typed, numbered(sign))
}

/// Positions of records, then tags and branches.
fn records_and_revisions(typed: &OsStr) -> Vec<CompletionCandidate> {
    let mut found = records(typed);
    found.extend(revisions(typed));
    found
}

/// The components of gitroll.toml.
fn components(typed: &OsStr) -> Vec<CompletionCandidate> {
    let found = configured(|config| {
        let all = config.components.iter();
        all.map(|one| candidate(one.id.as_str(), one.title.as_deref().unwrap_or("component")))
            .collect()
    });
    beginning(typed, found)
}

/// The flags of the components.
fn flags(typed: &OsStr) -> Vec<CompletionCandidate> {
    let found = configured(|config| {
        let flags = config.components.iter().filter_map(|one| Some((one.flag.as_ref()?, &one.id)));
        flags.map(|(flag, id)| candidate(flag.name.as_str(), &format!("flag of {id}"))).collect()
    });
    beginning(typed, found)
}

/// Components and flags: what `flags off` takes.
fn components_and_flags(typed: &OsStr) -> Vec<CompletionCandidate> {
    let mut found = components(typed);
    found.extend(flags(typed));
    found
}

/// Flags with the sign that their value follows.
fn flags_to_set(typed: &OsStr) -> Vec<CompletionCandidate> {
    let named = flags(typed).into_iter().map(|flag| {
        let mut name = flag.get_value().to_owned();
        name.push("=");
        CompletionCandidate::new(name).help(flag.get_help().cloned())
    });
    named.collect()
}

/// The services of gitroll.toml.
fn services(typed: &OsStr) -> Vec<CompletionCandidate> {
    let found = configured(|config| {
        config.services.iter().map(|one| candidate(one.name.as_str(), "service")).collect()
    });
    beginning(typed, found)
}

/// Writers whose records are here.
fn writers(typed: &OsStr) -> Vec<CompletionCandidate> {
    let writer = |name: &str| Some(name.split_once("/ledger/")?.1.to_owned());
    beginning(
        typed,
        chains().iter().filter_map(|name| writer(name)).map(|name| candidate(&name, "writer")),
    )
}

/// Environments of which there are records here.
fn environments(typed: &OsStr) -> Vec<CompletionCandidate> {
    let mut names: Vec<String> = chains()
        .iter()
        .filter_map(|name| Some(name.split_once("/ledger/")?.0.to_owned()))
        .collect();
    names.dedup();
    beginning(typed, names.iter().map(|name| candidate(name, "environment")))
}

/// The apps of this host.
fn bound_apps(typed: &OsStr) -> Vec<CompletionCandidate> {
    beginning(typed, apps::names().into_iter().map(|(name, path)| candidate(&name, &path)))
}

/// Commands and topics.
fn topics(typed: &OsStr) -> Vec<CompletionCandidate> {
    let verbs = help::verbs().into_iter().map(|(verb, about)| candidate(&verb, &about));
    let topics = help::topics().iter().map(|topic| candidate(topic.name, topic.about));
    beginning(typed, verbs.chain(topics))
}

fn beginning(
    typed: &OsStr,
    all: impl IntoIterator<Item = CompletionCandidate>,
) -> Vec<CompletionCandidate> {
    let typed = typed.as_encoded_bytes();
    all.into_iter().filter(|one| one.get_value().as_encoded_bytes().starts_with(typed)).collect()
}

fn candidate(value: &str, what: &str) -> CompletionCandidate {
    CompletionCandidate::new(value).help(Some(escape(what).into()))
}

/// The repository that the words on the command line name: nothing is changed, no other user is become,
/// and where nothing can be read nothing is offered.
fn here() -> Option<Git> {
    let words: Vec<OsString> = std::env::args_os().collect();
    let after = |name: &str| {
        let at = words.iter().position(|word| word == name)?;
        words.get(at + 1).cloned()
    };
    let dir = match (after("-C"), after("--app")) {
        (Some(dir), _) => PathBuf::from(dir),
        (None, Some(name)) => apps::chosen(&name.to_string_lossy()).ok()?,
        (None, None) => PathBuf::from("."),
    };
    Git::open(&dir, None).ok()
}

fn tags() -> impl Iterator<Item = CompletionCandidate> {
    let git = here();
    let tags = git.and_then(|git| git.tag_refs(|_| true).ok()).unwrap_or_default();
    // Printable ones: what a shell is given it may type.
    let plain = |name: &String| escape(name) == *name && !name.contains(['\'', '"', ' ', '$', '`']);
    let names = tags.into_iter().map(|tag| tag.short).filter(plain);
    names.map(|name| candidate(&name, "tag")).collect::<Vec<_>>().into_iter().rev()
}

/// The newest records, as they are: nothing is verified, because nothing is decided by this.
fn numbered(sign: &str) -> Vec<CompletionCandidate> {
    let newest = || {
        let git = here()?;
        let binding = Binding::find(git.top()).ok();
        let environment: EnvironmentName = match &binding {
            Some(binding) => binding.environment.clone(),
            None => chains().first()?.split('/').next()?.parse().ok()?,
        };
        let writer = binding.map(|binding| binding.writer);
        Some(ledger::newest_unverified(&git, &environment, writer.as_ref(), MOST_RECORDS))
    };
    let records = newest().unwrap_or_default().into_iter();
    records.map(|record| candidate(&format!("{sign}{}", record.seq), &record.sentence)).collect()
}

/// The chains of this repository, as `production/ledger/web-1.k3f9`.
fn chains() -> Vec<String> {
    let refs = here().and_then(|git| git.refs("refs/gitroll/").ok()).unwrap_or_default();
    let name = |name: &str| name.strip_prefix("refs/gitroll/").map(str::to_owned);
    let mut names: Vec<String> = refs.iter().filter_map(|found| name(&found.name)).collect();
    names.retain(|name| name.contains("/ledger/"));
    names.sort();
    names
}

/// What gitroll.toml of the work tree names.
fn configured(names: impl Fn(&Config) -> Vec<CompletionCandidate>) -> Vec<CompletionCandidate> {
    let read = || {
        let file = here()?.top().join("gitroll.toml");
        let bytes = files::read_plain(&file, MOST_BYTES).ok()?;
        config::parse(&String::from_utf8_lossy(&bytes), "gitroll.toml").ok()
    };
    read().map(|config| names(&config)).unwrap_or_default()
}

/// What completes the value of an argument.
type Values = fn(&OsStr) -> Vec<CompletionCandidate>;

/// The arguments whose values are looked up, each with its command; without a command those of all.
const VALUES: &[(&str, &str, Values)] = &[
    ("", "app", bound_apps),
    ("annotate", "seq", records),
    ("back", "target", targets),
    ("back", "to", targets),
    ("component", "id", components),
    ("component", "to", targets),
    ("demote", "what", known_tags),
    ("deploy", "rev", revisions),
    ("deploy", "fixes", records_and_revisions),
    ("deploy", "keep_component", components),
    ("diff", "a", records_and_revisions),
    ("diff", "b", records_and_revisions),
    ("diff", "component", components),
    ("diff", "environment", environments),
    ("diff", "writer", writers),
    ("flags off", "which", components_and_flags),
    ("flags on", "which", components_and_flags),
    ("flags ramp", "flag", flags),
    ("flags set", "settings", flags_to_set),
    ("fsck", "since", records),
    ("help", "what", topics),
    ("log", "component", components),
    ("log", "environment", environments),
    ("log", "writer", writers),
    ("logs", "at", records),
    ("logs", "service", services),
    ("mark", "rev", records_and_revisions),
    ("promote", "what", records_and_revisions),
    ("report", "seq", records),
    ("report edit", "seq", records),
    ("service", "name", services),
    ("show", "environment", environments),
    ("show", "what", records_and_revisions),
    ("show", "writer", writers),
    ("stats", "environment", environments),
    ("stats", "writer", writers),
    ("trust accept", "seq", records),
    ("trust accept", "writer", writers),
    ("unhold", "what", held),
];

/// What `unhold` takes.
fn held(typed: &OsStr) -> Vec<CompletionCandidate> {
    let mut found = components(typed);
    found.extend(records_and_revisions(typed));
    found
}

/// The command line with what completes its values.
fn with_values(command: fn() -> clap::Command) -> clap::Command {
    VALUES.iter().fold(command(), |command, (verb, arg, values)| {
        let words: Vec<&str> = verb.split_whitespace().collect();
        completed(command, &words, arg, *values)
    })
}

fn completed(
    command: clap::Command,
    verb: &[&str],
    arg: &'static str,
    values: Values,
) -> clap::Command {
    match verb {
        [] => command.mut_arg(arg, |arg| arg.add(ArgValueCompleter::new(values))),
        [verb, rest @ ..] => {
            command.mut_subcommand(verb, |command| completed(command, rest, arg, values))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_argument_whose_values_are_looked_up_is_one() {
        with_values(super::super::command).build();
    }
}
