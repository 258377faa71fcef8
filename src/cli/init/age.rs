//! Which version the processes that `init` finds were started on.

use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::config::Config;
use crate::model::Served;
use crate::plan::facts::HandMade;
use crate::plan::names::Names;
use crate::site::{StartedOn, all_started_on, observe_services};

/// What serves, by the age of its processes.
#[derive(Debug)]
pub(super) struct Age {
    pub(super) serving: Served,
    /// What is checked out, where that is something else.
    pub(super) never_started: Option<Served>,
    /// Why nothing but an answered version shows what serves.
    pub(super) doubt: Option<String>,
}

/// Looks how old the processes are. Where records have begun they know more.
pub(super) fn of(
    session: &Session,
    config: &Config,
    names: &Names,
    checked_out: &Served,
    begun: bool,
) -> Result<Age, Failure> {
    let site = &session.site;
    let as_checked_out = |doubt| Age { serving: checked_out.clone(), never_started: None, doubt };
    if begun {
        let facts = session.facts()?;
        match facts.hand_made {
            Some(HandMade::NeverStarted(head)) => {
                return Ok(Age { serving: facts.serving, never_started: Some(head), doubt: None });
            }
            Some(HandMade::Unknown(why)) if runs_something(config) => {
                return Ok(as_checked_out(Some(why)));
            }
            Some(_) => return Ok(as_checked_out(None)),
            None if facts.proven_by(site)?.is_some() => return Ok(as_checked_out(None)),
            None => {}
        }
    }
    let look = observe_services(site, config, checked_out, "");
    // A person's word is all there is for what runs without a service, and for what does not run it takes none.
    let running = look.iter().any(|(_, state)| state.as_ref().is_ok_and(|state| state.up));
    if !running || !runs_something(config) {
        return Ok(as_checked_out(None));
    }
    Ok(match all_started_on(site, config, &checked_out.commit, &look, |_| None)? {
        StartedOn::Head => as_checked_out(None),
        StartedOn::Before(commit) => Age {
            serving: names.served(&site.git, &commit, None)?,
            never_started: Some(checked_out.clone()),
            doubt: None,
        },
        StartedOn::Unknown(why) => as_checked_out(Some(why)),
    })
}

fn runs_something(config: &Config) -> bool {
    !config.services.is_empty()
}
