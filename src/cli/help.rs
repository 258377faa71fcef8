//! `gitroll help`: a command's help, or a page of the documentation; and the same help as man pages.

use std::path::PathBuf;
use std::sync::OnceLock;

use clap::error::ErrorKind;
use clap::{Args, Command};
use schemars::JsonSchema;
use serde::Serialize;

use super::exit::Exit;
use super::failure::{Failure, Status};
use crate::system::exec;
use crate::system::process::find_program;
use crate::system::text::nearest;
use crate::ui::{Style, Ui};

/// A page of the documentation that is in the program.
#[derive(Debug)]
pub struct Topic {
    /// As it is asked for.
    pub name: &'static str,
    /// What it tells, in a few words.
    pub about: &'static str,
    /// The page, in Markdown.
    pub text: &'static str,
}

/// What there is help on.
#[derive(Debug)]
struct Subjects {
    topics: &'static [Topic],
    command: fn() -> Command,
}

/// Given at the start. The pages are the program's and not the library's, so that an edited page is linked again and
/// nothing is compiled.
static SUBJECTS: OnceLock<Subjects> = OnceLock::new();

/// Gives the pages and the command line, once.
pub(super) fn know(topics: &'static [Topic], command: fn() -> Command) {
    let _ = SUBJECTS.set(Subjects { topics, command });
}

/// The pages.
pub(super) fn topics() -> &'static [Topic] {
    SUBJECTS.get().map(|known| known.topics).unwrap_or_default()
}

/// The command line.
fn command() -> Command {
    SUBJECTS.get().map_or_else(Command::default, |known| (known.command)())
}

/// The commands, each with what it does.
pub(super) fn verbs() -> Vec<(String, String)> {
    let command = command();
    let shown = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    let about = |verb: &Command| verb.get_about().map(ToString::to_string).unwrap_or_default();
    shown.map(|verb| (verb.get_name().to_owned(), about(verb))).collect()
}

/// Show the help of a command, or a page of the documentation
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll help                 all commands and topics
  gitroll help back            as gitroll back --help
  gitroll help exit-codes      what each exit code means and what to do
  gitroll help first-hour      set up an app, step by step

The pages are in the program and need no network. On a terminal they are shown in your pager.")]
pub struct HelpArgs {
    /// A command or a topic
    #[arg(value_name = "COMMAND|TOPIC")]
    what: Vec<String>,
}

/// The answer of `help`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct HelpAnswer {
    /// Every topic.
    pub topics: Vec<TopicLine>,
    /// What was asked for, as text or Markdown; without a topic, the help of gitroll.
    pub text: String,
}

/// One topic.
#[derive(Debug, Serialize, JsonSchema)]
pub struct TopicLine {
    /// As it is asked for.
    pub name: &'static str,
    /// What it tells.
    pub about: &'static str,
}

/// Runs it.
///
/// # Errors
/// When there is neither such a command nor such a topic.
pub fn run(ui: &Ui, args: &HelpArgs) -> Result<Exit, Failure> {
    let words: Vec<&str> = args.what.iter().map(String::as_str).collect();
    let text = match words.as_slice() {
        [] => help_of(&[])
            .map(|help| format!("{help}\nTopics, shown by gitroll help TOPIC:\n{}", list())),
        words => help_of(words),
    };
    let page = topics().iter().find(|topic| [topic.name] == words.as_slice());
    let (text, is_page) = match (text, page) {
        (Some(text), _) => (text, false),
        (None, Some(page)) => (page.text.to_owned(), true),
        (None, None) => return Err(unknown(&words.join(" "))),
    };
    if !ui.json {
        show(ui, &text, is_page);
    }
    let topics = topics().iter().map(|&Topic { name, about, .. }| TopicLine { name, about });
    ui.document("help", 0, &HelpAnswer { topics: topics.collect(), text });
    Ok(Exit::Done)
}

/// What `--help` prints for these words; `None` if they are no command.
fn help_of(words: &[&str]) -> Option<String> {
    let command = command();
    let mut found = &command;
    for word in words {
        found = found.find_subcommand(word).filter(|found| !found.is_hide_set())?;
    }
    let typed = ["gitroll"].into_iter().chain(words.iter().copied()).chain(["--help"]);
    let help = command.try_get_matches_from(typed).err()?;
    (help.kind() == ErrorKind::DisplayHelp).then(|| help.render().to_string())
}

fn list() -> String {
    let lines = topics().iter().map(|topic| format!("  {:<16} {}\n", topic.name, topic.about));
    lines.collect()
}

fn unknown(asked: &str) -> Failure {
    let topics = topics().iter().map(|topic| topic.name.to_owned());
    let known: Vec<String> = topics.chain(verbs().into_iter().map(|(verb, _)| verb)).collect();
    let failure = Failure::new(Status::Usage, format!("there is no help on {asked:?}"))
        .detail("the topics are:")
        .details(list().lines().map(str::to_owned).collect::<Vec<_>>());
    match nearest(asked, &known) {
        Some(near) => failure.next(format!("gitroll help {near}"), "the nearest name"),
        None => failure.next("gitroll help", "lists all commands and topics"),
    }
}

/// Prints a text; on a terminal a page is shown by the pager, with its headings in bold.
fn show(ui: &Ui, text: &str, is_page: bool) {
    if !is_page || !ui.out.terminal {
        ui.raw(text.as_bytes());
        return;
    }
    let text = readable(text, &ui.out);
    if let Some(pager) = pager() {
        let error = exec::pager(&pager, text.as_bytes());
        ui.say(&format!("warning: the pager cannot be started: {error}"));
    }
    ui.raw(text.as_bytes());
}

/// The user's pager, a line for the shell; `None` if there is none or it is `cat`.
fn pager() -> Option<String> {
    let named = ["GIT_PAGER", "PAGER"].into_iter().find_map(|name| std::env::var(name).ok());
    let path = std::env::var("PATH").unwrap_or_default();
    let pager =
        named.or_else(|| find_program("less".as_ref(), &path).map(|_| "less".to_owned()))?;
    (!pager.trim().is_empty() && pager.trim() != "cat").then_some(pager)
}

/// Markdown for a terminal: headings in bold without their signs, links as their texts, fences left out.
fn readable(text: &str, style: &Style) -> String {
    let (mut shown, mut code) = (String::new(), false);
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            code = !code;
            continue;
        }
        let heading = line.starts_with('#').then(|| line.trim_start_matches('#').trim());
        match heading {
            _ if code => shown.push_str(&format!("    {line}")),
            Some(title) => shown.push_str(&style.bold(title)),
            None => shown.push_str(&without_targets(line)),
        }
        shown.push('\n');
    }
    shown
}

/// `[text](target)` as `text`, but for addresses of other sites, which a reader may want to open.
fn without_targets(line: &str) -> String {
    let (mut shown, mut rest) = (String::new(), line);
    while let Some((before, link)) = rest.split_once('[') {
        let parts = link.split_once("](").and_then(|(text, more)| {
            let (target, after) = more.split_once(')')?;
            Some((text, target, after))
        });
        match parts {
            Some((text, target, after)) if !target.contains("://") => {
                shown.push_str(&format!("{before}{text}"));
                rest = after;
            }
            _ => {
                shown.push_str(&format!("{before}["));
                rest = link;
            }
        }
    }
    shown + rest
}

/// Write the man pages of gitroll into a directory
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The directory
    dir: PathBuf,
}

/// Writes `gitroll.1`, and a page for every command and its parts.
///
/// # Errors
/// When a file cannot be written.
pub fn write_man_pages(ui: &Ui, args: &ManArgs) -> Result<Exit, Failure> {
    let failed =
        |error: std::io::Error| Failure::unchanged(format!("{}: {error}", args.dir.display()));
    clap_mangen::generate_to(command().version(env!("CARGO_PKG_VERSION")), &args.dir)
        .map_err(failed)?;
    ui.say(&format!("the man pages are in {}", args.dir.display()));
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_without_its_signs() {
        let style = Style::detect(false);
        let page = "# Exit codes\n\nSee [proof](proof.md#a), `a[0]`, and [git](https://git-scm.com).\n\n```sh\n# not a heading\n```\n";
        let shown = "Exit codes\n\nSee proof, `a[0]`, and [git](https://git-scm.com).\n\n    # not a heading\n";
        assert_eq!(readable(page, &style), shown);
    }
}
