//! A checkout opened for a verb, with the voice it speaks with.

use std::ops::Deref;

use super::failure::Failure;
use super::globals::Globals;
use super::outcome;
use crate::act::session::{self as act, Opened};
pub use crate::act::session::{LockRequest, held};
use crate::config::Binding;
use crate::system::git::Git;
use crate::ui::Ui;

pub struct Session {
    pub ui: Ui,
    act: act::Session,
}

impl Deref for Session {
    type Target = act::Session;

    fn deref(&self) -> &Self::Target {
        &self.act
    }
}

impl Session {
    /// As [`act::Session::look`].
    pub fn look(globals: &Globals, ui: &Ui) -> Result<Self, Failure> {
        let act = act::Session::look(&globals.caller(ui))?;
        Ok(Self { ui: ui.clone(), act })
    }

    /// As [`act::Session::glance`].
    pub fn glance(globals: &Globals, ui: &Ui) -> Result<Self, Failure> {
        let act = act::Session::glance(&globals.caller(ui))?;
        Ok(Self { ui: ui.clone(), act })
    }

    /// As [`act::Session::change`].
    pub fn change(globals: &Globals, ui: &Ui, command: &str) -> Result<Self, Failure> {
        let act = act::Session::change(&globals.caller(ui), command)?;
        Ok(Self { ui: ui.clone(), act })
    }

    /// As [`act::Session::lock`].
    pub fn lock(
        globals: &Globals,
        ui: &Ui,
        git: Git,
        binding: Binding,
        request: LockRequest<'_>,
    ) -> Result<Self, Failure> {
        let act = act::Session::lock(&globals.caller(ui), git, binding, request)?;
        Ok(Self { ui: ui.clone(), act })
    }

    /// As [`act::Session::rebind`].
    pub fn rebind(&mut self, globals: &Globals) -> Result<(), Failure> {
        let caller = globals.caller(&self.ui);
        self.act.rebind(&caller)
    }

    /// `shop · production · web-1`.
    pub fn place(&self) -> String {
        outcome::place(&self.ui, &self.act.place())
    }
}

/// As [`act::open`].
pub fn open(globals: &Globals, ui: &Ui) -> Result<Opened, Failure> {
    act::open(&globals.caller(ui))
}

/// As [`act::open_as_it_stands`].
pub fn open_as_it_stands(globals: &Globals, ui: &Ui) -> Result<Opened, Failure> {
    act::open_as_it_stands(&globals.caller(ui))
}
