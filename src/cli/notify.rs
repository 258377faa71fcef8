//! `gitroll notify`, and the process that sends what waits.

use clap::{Args, Subcommand};

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use crate::act::notify::{self, NotifyAnswer};
use crate::system::clock;
use crate::ui::{Ui, clock_word, escape, plural};

/// Show and test the channels that are told how runs go
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  gitroll notify                 how each channel last answered
  gitroll notify test            send a test message to each channel
  gitroll notify test oncall     send one to [notify.oncall]")]
pub struct NotifyArgs {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the channels
    List,
    /// Send a test message now; a page is opened and closed again
    Test {
        /// Name of the channel [default: each]
        name: Option<String>,
    },
}

impl NotifyArgs {
    /// Whether it changes nothing and tells nobody.
    pub fn only_looks(&self) -> bool {
        !matches!(self.action, Some(Action::Test { .. }))
    }
}

/// Runs it. Exits 1 when a channel did not take the test message.
///
/// # Errors
/// When there is no such channel, or the repository cannot be read.
pub fn run(globals: &Globals, ui: &Ui, args: &NotifyArgs) -> Result<Exit, Failure> {
    let caller = globals.caller(ui);
    let answer = match &args.action {
        None | Some(Action::List) => notify::list(&caller)?,
        Some(Action::Test { name }) => notify::test(&caller, name.as_deref())?,
    };
    print(ui, &answer);
    let refused = answer.channels.iter().any(|one| one.last.as_ref().is_some_and(|l| !l.taken));
    let exit = if refused && !args.only_looks() { Exit::Unchanged } else { Exit::Done };
    ui.document("notify", exit.code(), &answer);
    Ok(exit)
}

fn print(ui: &Ui, answer: &NotifyAnswer) {
    let width = answer.channels.iter().map(|one| one.channel.len()).max().unwrap_or(0);
    for one in &answer.channels {
        let (sign, told) = match &one.last {
            None => ("-".to_owned(), "was never told anything".to_owned()),
            Some(last) => {
                let sign = if last.taken { ui.out.ok() } else { ui.out.bad() };
                let when = match one.millis {
                    Some(millis) => format!("{millis} ms"),
                    None => clock_word(last.at, clock::now()),
                };
                (sign, format!("{}  {when}", escape(&last.answer)))
            }
        };
        ui.line(&format!("{sign} {:<width$}  {:<12}  {told}", one.channel, one.kind));
    }
    if answer.channels.is_empty() {
        ui.line("the accepted gitroll.toml has no [notify.NAME]");
    }
    if answer.waiting > 0 {
        ui.say(&format!("{} wait to be sent", plural(answer.waiting, "message")));
    }
}

/// Send the messages that wait
#[derive(Debug, Args)]
pub struct TellArgs {}

pub fn send(globals: &Globals, ui: &Ui, _args: &TellArgs) -> Result<Exit, Failure> {
    notify::send(&globals.caller(ui))?;
    Ok(Exit::Done)
}
