//! The command line: one file per verb, and the table of contents below.

mod abort;
mod advise;
mod annotate;
mod approve;
mod apps;
mod back;
mod caller;
mod check;
mod completions;
mod component;
mod config;
mod demo;
mod demote;
mod deploy;
mod diagnosis;
mod diff;
mod doctor;
mod eject;
mod exit;
mod failure;
mod flags;
mod fsck;
mod globals;
mod help;
mod hooks;
mod init;
mod keep;
mod log;
mod logs;
mod mark;
mod migrate;
mod notify;
mod outcome;
mod point;
mod promote;
mod reader;
mod report;
mod resume;
mod saved;
pub mod schema;
mod service;
mod session;
mod settings;
mod show;
mod stats;
mod status;
mod sync;
mod targets;
mod trust;
mod unhold;
mod watch;
mod watchdog;

pub use exit::Exit;
pub use failure::Failure;
use failure::Status;
use globals::Globals;
pub use help::Topic;
use session::Session;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::act::notify as act_notify;
use crate::act::publication;
use crate::system::removal;
use crate::system::text::typed as typed_words;
use crate::ui::Ui;

/// Git-native deployment and rollback: exit 0 means the intended version was observed serving.
#[derive(Debug, Parser)]
#[command(
    name = "gitroll",
    version,
    long_version = env!("GITROLL_LONG_VERSION"),
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "Examples:
  gitroll init                 set up this checkout, once
  gitroll deploy               deploy the newest revision and prove it
  gitroll promote              create a signed *-stable tag for what serves
  gitroll back                 roll back to the last good version
  gitroll component QW-001     roll back one component: its flag, or its files
  gitroll flags off QW-001     switch off only its feature flag
  gitroll advise               choose one of these by the rules in gitroll.toml
  gitroll demo                 watch all of this in a temporary app
  gitroll help exit-codes      read what to do about an exit code; gitroll help lists more

Exit codes:
   0  done; after a change: the intended version was observed serving
   1  nothing changed: configuration, repository or environment (check, doctor: not healthy)
   2  wrong usage, or a question without a terminal and without --yes
  10  refused: held, not trusted, not bound; nothing changed
  11  an approval is missing; nothing changed
  12  another command is running; nothing changed
  20  failed; what served before was restored and observed serving
  21  a person is needed: nothing healthy serves; fix it, then gitroll resume
  22  a run is open: gitroll resume or gitroll abort
  30  serving and proven, but the record is not signed or not published
  70  a bug in gitroll"
)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Init(init::InitArgs),
    Deploy(deploy::DeployArgs),
    Promote(promote::PromoteArgs),
    Demote(demote::DemoteArgs),
    Back(back::BackArgs),
    Component(component::ComponentArgs),
    Flags(flags::FlagsArgs),
    Targets(targets::TargetsArgs),
    Status(status::StatusArgs),
    Log(log::LogArgs),
    Logs(logs::LogsArgs),
    Show(show::ShowArgs),
    Diff(diff::DiffArgs),
    Report(report::ReportArgs),
    Stats(stats::StatsArgs),
    Check(check::CheckArgs),
    Advise(advise::AdviseArgs),
    Approve(approve::ApproveArgs),
    Doctor(doctor::DoctorArgs),
    Mark(mark::MarkArgs),
    Unhold(unhold::UnholdArgs),
    Annotate(annotate::AnnotateArgs),
    Saved(saved::SavedArgs),
    Migrate(migrate::MigrateArgs),
    Point(point::PointArgs),
    Settings(settings::SettingsArgs),
    Fsck(fsck::FsckArgs),
    Hooks(hooks::HooksArgs),
    Sync(sync::SyncArgs),
    Trust(trust::TrustArgs),
    Service(service::ServiceArgs),
    Resume(resume::ResumeArgs),
    Abort(abort::AbortArgs),
    Eject(eject::EjectArgs),
    Demo(demo::DemoArgs),
    Config(config::ConfigArgs),
    Notify(notify::NotifyArgs),
    Completions(completions::CompletionsArgs),
    Help(help::HelpArgs),
    #[command(hide = true)]
    Man(help::ManArgs),
    Watch(watch::WatchArgs),
    Silence(watch::SilenceArgs),
    Incident(watch::IncidentArgs),
    #[command(hide = true)]
    Tell(notify::TellArgs),
    #[command(hide = true)]
    Hook(hooks::HookArgs),
    #[command(hide = true)]
    Keep(keep::KeepArgs),
    #[command(hide = true)]
    Watchdog(watchdog::WatchdogArgs),
}

impl Verb {
    fn name(&self) -> &'static str {
        match self {
            Verb::Init(_) => "init",
            Verb::Deploy(_) => "deploy",
            Verb::Promote(_) => "promote",
            Verb::Demote(_) => "demote",
            Verb::Back(_) => "back",
            Verb::Component(_) => "component",
            Verb::Flags(_) => "flags",
            Verb::Targets(_) => "targets",
            Verb::Status(_) => "status",
            Verb::Log(_) => "log",
            Verb::Logs(_) => "logs",
            Verb::Show(_) => "show",
            Verb::Diff(_) => "diff",
            Verb::Report(_) => "report",
            Verb::Stats(_) => "stats",
            Verb::Check(_) => "check",
            Verb::Advise(_) => "advise",
            Verb::Approve(_) => "approve",
            Verb::Doctor(_) => "doctor",
            Verb::Mark(_) => "mark",
            Verb::Unhold(_) => "unhold",
            Verb::Annotate(_) => "annotate",
            Verb::Saved(_) => "saved",
            Verb::Migrate(_) => "migrate",
            Verb::Point(_) => "point",
            Verb::Settings(_) => "settings",
            Verb::Fsck(_) => "fsck",
            Verb::Hooks(_) => "hooks",
            Verb::Hook(_) => "hook",
            Verb::Sync(_) => "sync",
            Verb::Trust(_) => "trust",
            Verb::Service(_) => "service",
            Verb::Resume(_) => "resume",
            Verb::Abort(_) => "abort",
            Verb::Eject(_) => "eject",
            Verb::Demo(_) => "demo",
            Verb::Config(_) => "config",
            Verb::Completions(_) => "completions",
            Verb::Help(_) => "help",
            Verb::Man(_) => "man",
            Verb::Keep(_) => "keep",
            Verb::Notify(_) => "notify",
            Verb::Tell(_) => "tell",
            Verb::Watch(_) => "watch",
            Verb::Silence(_) => "silence",
            Verb::Incident(_) => "incident",
            Verb::Watchdog(_) => "watchdog",
        }
    }

    /// Whether it changes nothing, so that its answer is all there is of it.
    fn only_looks(&self) -> bool {
        match self {
            Verb::Targets(_)
            | Verb::Status(_)
            | Verb::Log(_)
            | Verb::Logs(_)
            | Verb::Show(_)
            | Verb::Diff(_)
            | Verb::Stats(_)
            | Verb::Check(_)
            | Verb::Doctor(_)
            | Verb::Config(_)
            | Verb::Completions(_)
            | Verb::Help(_)
            | Verb::Advise(_) => true,
            Verb::Deploy(args) => args.plan,
            Verb::Back(args) => args.plan,
            Verb::Component(args) => args.only_looks(),
            Verb::Flags(args) => args.only_looks(),
            Verb::Approve(args) => args.only_looks(),
            Verb::Eject(args) => args.plan,
            Verb::Saved(args) => args.only_looks(),
            Verb::Migrate(args) => args.only_looks(),
            Verb::Point(args) => args.only_looks(),
            Verb::Settings(args) => args.only_looks(),
            Verb::Fsck(args) => args.only_looks(),
            Verb::Hooks(args) => args.only_looks(),
            Verb::Trust(args) => args.only_looks(),
            Verb::Notify(args) => args.only_looks(),
            Verb::Report(args) => args.only_looks(),
            Verb::Watch(args) => args.only_looks(),
            Verb::Silence(args) => args.only_looks(),
            Verb::Incident(args) => args.only_looks(),
            Verb::Init(_)
            | Verb::Promote(_)
            | Verb::Demote(_)
            | Verb::Mark(_)
            | Verb::Unhold(_)
            | Verb::Annotate(_)
            | Verb::Service(_)
            | Verb::Sync(_)
            | Verb::Resume(_)
            | Verb::Abort(_)
            | Verb::Demo(_)
            | Verb::Hook(_)
            | Verb::Man(_)
            | Verb::Keep(_)
            | Verb::Tell(_)
            | Verb::Watchdog(_) => false,
        }
    }
}

/// Reads the arguments, runs the verb, prints what it came to. `topics` are the pages that `help` shows.
pub fn main(topics: &'static [Topic]) -> Exit {
    help::know(topics, command);
    if let Some(exit) = completions::answer(command) {
        return exit;
    }
    let parsed = command().try_get_matches().and_then(|found| Cli::from_arg_matches(&found));
    let mut cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return wrongly_asked(&error),
    };
    crate::ui::trace(cli.globals.verbose);
    let lines = cli.globals.json_lines;
    let mut ui = Ui { lines, ..Ui::new(cli.globals.json || lines, cli.globals.quiet) };
    ui.takes = cfg!(debug_assertions).then_some(is_taken);
    let name = cli.verb.as_ref().map_or("apps", Verb::name);
    let ended = match apps::look_up(&mut cli.globals) {
        Ok(()) => {
            cli.globals.leave_what_is_gone();
            ui.address = cli.globals.address();
            run(&cli, &ui)
        }
        Err(failure) => Err(failure),
    };
    let exit = match ended {
        Ok(exit) => {
            ui.print_document(exit.code());
            answered(exit, cli.verb.as_ref(), &ui)
        }
        Err(failure) => {
            let mut failure = explained(&cli.globals, &ui, failure);
            failure.fill_in(&same_words());
            failure.print(&ui, name);
            ui.print_document(failure.exit().code());
            failure.exit()
        }
    };
    // The answer is told and the lock is free: nobody waits for this.
    publication::finish(&cli.globals.caller(&ui));
    act_notify::finish();
    removal::finish();
    exit
}

/// The words that were typed but for those that name the checkout or a wait, as they are typed again.
fn same_words() -> String {
    let mut typed = Vec::new();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "-C" | "--app" | "--wait" => drop(words.next()),
            _ if ["-C", "--app=", "--wait="].iter().any(|named| word.starts_with(named)) => {}
            _ => typed.push(word),
        }
    }
    typed_words(&typed).filter(|typed| !typed.is_empty()).unwrap_or_else(|| "status".to_owned())
}

/// What waits for the end of an open run says how the host is meanwhile: whether that can wait, too.
fn explained(globals: &Globals, ui: &Ui, failure: Failure) -> Failure {
    match failure.status {
        // In a directory that is no app of this host the apps that are come first.
        _ if globals.dir.is_none()
            && failure.status != Status::Usage
            && !session::open(globals, ui).is_ok_and(|(_, binding)| binding.is_ok()) =>
        {
            failure.next_first(apps::elsewhere())
        }
        Status::RunOpen => match Session::look(globals, ui) {
            Ok(session) => crate::act::diagnosis::explain(&session, failure),
            Err(_) => failure,
        },
        _ => failure,
    }
}

fn run(cli: &Cli, ui: &Ui) -> Result<Exit, Failure> {
    let globals = &cli.globals;
    let Some(verb) = &cli.verb else { return apps::run(globals, ui) };
    match verb {
        Verb::Init(args) => init::run(globals, ui, args),
        Verb::Deploy(args) => deploy::run(globals, ui, args),
        Verb::Promote(args) => promote::run(globals, ui, args),
        Verb::Demote(args) => demote::run(globals, ui, args),
        Verb::Back(args) => back::run(globals, ui, args),
        Verb::Component(args) => component::run(globals, ui, args),
        Verb::Flags(args) => flags::run(globals, ui, args),
        Verb::Targets(args) => targets::run(globals, ui, args),
        Verb::Status(args) => status::run(globals, ui, args),
        Verb::Log(args) => log::run(globals, ui, args),
        Verb::Logs(args) => logs::run(globals, ui, args),
        Verb::Show(args) => show::run(globals, ui, args),
        Verb::Diff(args) => diff::run(globals, ui, args),
        Verb::Report(args) => report::run(globals, ui, args),
        Verb::Stats(args) => stats::run(globals, ui, args),
        Verb::Check(args) => check::run(globals, ui, args),
        Verb::Advise(args) => advise::run(globals, ui, args),
        Verb::Approve(args) => approve::run(globals, ui, args),
        Verb::Doctor(args) => doctor::run(globals, ui, args),
        Verb::Mark(args) => mark::run(globals, ui, args),
        Verb::Unhold(args) => unhold::run(globals, ui, args),
        Verb::Annotate(args) => annotate::run(globals, ui, args),
        Verb::Saved(args) => saved::run(globals, ui, args),
        Verb::Migrate(args) => migrate::run(globals, ui, args),
        Verb::Point(args) => point::run(globals, ui, args),
        Verb::Settings(args) => settings::run(globals, ui, args),
        Verb::Fsck(args) => fsck::run(globals, ui, args),
        Verb::Hooks(args) => hooks::run(globals, ui, args),
        Verb::Hook(args) => Ok(hooks::run_one(globals, ui, args)),
        Verb::Sync(args) => sync::run(globals, ui, args),
        Verb::Trust(args) => trust::run(globals, ui, args),
        Verb::Service(args) => service::run(globals, ui, args),
        Verb::Resume(args) => resume::run(globals, ui, args),
        Verb::Abort(args) => abort::run(globals, ui, args),
        Verb::Eject(args) => eject::run(globals, ui, args),
        Verb::Demo(args) => demo::run(globals, ui, args),
        Verb::Config(args) => config::run(globals, ui, args),
        Verb::Completions(args) => completions::run(ui, args),
        Verb::Help(args) => help::run(ui, args),
        Verb::Man(args) => help::write_man_pages(ui, args),
        Verb::Keep(args) => keep::run(globals, ui, args),
        Verb::Notify(args) => notify::run(globals, ui, args),
        Verb::Tell(args) => notify::send(globals, ui, args),
        Verb::Watch(args) => watch::run(globals, ui, args),
        Verb::Silence(args) => watch::silence(globals, ui, args),
        Verb::Incident(args) => watch::incident(globals, ui, args),
        Verb::Watchdog(args) => watchdog::run(globals, ui, args),
    }
}

/// An answer that could not be written is none: a command that only looks has failed then. What a changing
/// command did it did, and its exit code says so; the loss is told.
fn answered(exit: Exit, verb: Option<&Verb>, ui: &Ui) -> Exit {
    let Some(error) = crate::ui::lost_answer() else { return exit };
    let what = format!("the output could not be written: {error}");
    if exit == Exit::Done && verb.is_none_or(Verb::only_looks) {
        Failure::unchanged(what).tell(ui);
        return Exit::Unchanged;
    }
    ui.cry(&format!("warning: {what}"));
    exit
}

/// The verbs by what they are for, as `--help` lists them.
const GROUPS: [(&str, &[&str]); 10] = [
    ("Set up", &["init", "doctor", "hooks", "config", "notify", "eject"]),
    ("Deploy", &["deploy", "promote", "demote"]),
    ("Roll back", &["back", "component", "flags", "advise"]),
    ("Look", &["status", "log", "logs", "show", "targets", "diff", "check", "report", "stats"]),
    ("Watch", &["watch", "silence", "incident"]),
    ("Judge", &["approve", "mark", "unhold", "annotate"]),
    ("Data", &["migrate", "point", "settings"]),
    ("Runs and services", &["resume", "abort", "service", "saved"]),
    ("Records and hosts", &["sync", "trust", "fsck"]),
    ("Learn", &["help", "demo", "completions"]),
];

/// The command line, its verbs in groups.
fn command() -> clap::Command {
    let command = Cli::command();
    let about = |verb: &str| {
        let found = command.get_subcommands().find(|found| found.get_name() == verb);
        found.and_then(|found| found.get_about()).map(ToString::to_string).unwrap_or_default()
    };
    let mut verbs = String::new();
    for (title, group) in GROUPS {
        verbs.push_str(&format!("{title}:\n"));
        for verb in group {
            verbs.push_str(&format!("  {verb:<11} {}\n", folded(&about(verb), 14, 80)));
        }
        verbs.push('\n');
    }
    let head = "{about-with-newline}\n{usage-heading} {usage}\n\n";
    let without = "  Without a command: the status of the app here, else the apps of this host\n\n";
    command
        .help_template(format!("{head}{without}{verbs}Global options:\n{{options}}{{after-help}}"))
}

/// A text in lines of at most `width` columns, those after the first set in by `indent`, where it begins as well.
fn folded(text: &str, indent: usize, width: usize) -> String {
    let (mut folded, mut column) = (String::new(), indent);
    for word in text.split(' ') {
        let length = word.chars().count();
        if column > indent && column + 1 + length > width {
            folded.push_str(&format!("\n{:indent$}", ""));
            column = indent;
        } else if column > indent {
            folded.push(' ');
            column += 1;
        }
        folded.push_str(word);
        column += length;
    }
    folded
}

/// Whether gitroll takes a command line that it tells somebody to type. What others take is theirs to know.
fn is_taken(line: &str) -> bool {
    let (mut words, mut word, mut inside) = (Vec::new(), String::new(), None);
    for letter in line.chars().chain([' ']) {
        match (letter, inside) {
            (mark, Some(open)) if mark == open => inside = None,
            ('\'' | '"', None) => inside = Some(letter),
            (' ', None) => words.extend(Some(std::mem::take(&mut word)).filter(|w| !w.is_empty())),
            _ => word.push(letter),
        }
    }
    let end = words.iter().position(|word| ["&&", "||", "|", ">>"].contains(&word.as_str()));
    words.truncate(end.unwrap_or(words.len()));
    let ours = words.first().is_some_and(|word| word == "gitroll");
    // Only the end of the program knows what was typed.
    let open = words.iter().any(|word| word == "…");
    !ours
        || open
        || command().try_get_matches_from(&words).is_ok()
        || words.last().is_some_and(|word| word == "--help")
}

/// Says what the arguments are wrong about, as lines or as JSON; help and version are no errors.
fn wrongly_asked(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        drop(error.print());
        return Exit::Done;
    }
    let typed: Vec<String> = std::env::args().skip(1).take_while(|word| word != "--").collect();
    let has = |option: &str| typed.iter().any(|word| word == option);
    let lines = has("--json-lines");
    let ui = Ui { lines, ..Ui::new(lines || has("--json"), false) };
    let command = command();
    let verb = typed.iter().find(|word| command.find_subcommand(word).is_some());
    let failure = match (expected_verb(error), verb) {
        (Some(command), _) => Failure::new(Status::Usage, "there is no such command")
            .next(command, "rolls back")
            .next("gitroll --help", "shows all commands"),
        (None, verb) => {
            let text = error.render().to_string();
            let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
            let first = lines.next().unwrap_or_default();
            let message = first.strip_prefix("error: ").unwrap_or(first);
            let details = lines.filter(|line| !line.starts_with("For more information"));
            let failure = Failure::new(Status::Usage, message)
                .details(details.map(str::to_owned).collect::<Vec<_>>());
            match verb {
                Some(verb) => failure
                    .next(format!("gitroll {verb} --help"), "shows its options, with examples"),
                None => failure.next("gitroll --help", "shows all commands"),
            }
        }
    };
    failure.print(&ui, verb.map_or("", String::as_str));
    ui.print_document(Exit::Usage.code());
    Exit::Usage
}

/// The command for a verb that many expect and that has another name here. The nearest by its letters would
/// be worse than none: `undo` is not meant to be `unhold`.
fn expected_verb(error: &clap::Error) -> Option<&'static str> {
    match error.get(ContextKind::InvalidSubcommand)? {
        ContextValue::String(verb) => match verb.as_str() {
            "rollback" | "revert" => Some("gitroll back"),
            "undo" => Some("gitroll back --undo"),
            _ => None,
        },
        _ => None,
    }
}
