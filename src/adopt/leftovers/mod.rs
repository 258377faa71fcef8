//! Commands from before gitroll that still deploy this app: in crontabs, systemd units, scripts, hooks and
//! CI files. Each would move the tree or reload services behind gitroll's back.
//!
//! Looking reads files and lists the user's crontab; it executes nothing that it finds. Everything read here
//! is someone else's text: escape it before it is shown.

mod app;
mod command;
mod rewrite;
mod search;
mod shell;
mod sources;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::Path;

use self::app::App;
use self::search::{Places, Search};
use crate::config::Config;
use crate::site::Site;
use crate::system::process;
use crate::system::user::Account;

pub use self::search::Leftover;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Each line, by place; at most [`MOST`].
    pub found: Vec<Leftover>,
    /// Files that might hold more and could not be read, or are far too large: the path and why.
    pub unread: Vec<String>,
}

/// More lines than this are not listed: nobody reads on.
pub const MOST: usize = 100;

impl Leftovers {
    /// Those of a site on this host, with `config` as its configuration.
    pub fn of(site: &Site, config: &Config) -> Self {
        let account = Account::named(&site.binding.run_as).unwrap_or_else(Account::current);
        let path = &site.binding.path_variable;
        let places = Places {
            etc: "/etc".into(),
            spool: "/var/spool/cron/crontabs".into(),
            crontab: process::find_program(Path::new("crontab"), path),
            home: account.home,
        };
        Self::find(&App::of(site, config), &places)
    }

    /// Looks in the tree and in `places`.
    pub fn find(app: &App, places: &Places) -> Self {
        let mut search = Search { app, places, found: BTreeSet::new(), unread: BTreeSet::new() };
        sources::crontabs(&mut search);
        sources::units(&mut search);
        sources::scripts(&mut search);
        sources::workflows(&mut search);
        Self {
            found: search.found.into_iter().take(MOST).collect(),
            unread: search.unread.into_iter().collect(),
        }
    }
}
