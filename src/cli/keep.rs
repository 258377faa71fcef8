//! `gitroll keep`: makes a second copy of what serves, started by gitroll itself and never by a person.

use clap::Args;

use super::exit::Exit;
use super::failure::Failure;
use super::globals::Globals;
use crate::act::keep;
use crate::ui::Ui;

/// Keep a second copy of what serves
#[derive(Debug, Args)]
pub struct KeepArgs {}

pub fn run(globals: &Globals, ui: &Ui, _args: &KeepArgs) -> Result<Exit, Failure> {
    keep::keep(&globals.caller(ui))?;
    Ok(Exit::Done)
}
