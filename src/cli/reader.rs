//! Reading records from any clone, bound or not.

use std::rc::Rc;

use super::failure::{Failure, Status};
use super::globals::Globals;
use super::session;
use crate::act::{dispute, next_steps};
use crate::config::Binding;
use crate::engine::{self, Attempt, Lock, Run};
use crate::ledger::{self, Chain, Dispute, Entry, History, Ledger};
use crate::model::{EnvironmentName, WriterId};
use crate::site::Site;
use crate::system::git::Git;
use crate::system::user;
use crate::ui::{Ui, escape};

/// An opened repository and the chains of one environment in it.
pub struct Reader {
    /// The repository.
    pub git: Git,
    /// The binding, where this checkout has one.
    pub binding: Option<Binding>,
    /// The environment.
    pub environment: EnvironmentName,
    /// The chains.
    pub ledger: Rc<Ledger>,
    /// What they come to for this checkout's writer.
    pub history: Rc<History>,
    /// What failed here before anything was touched, the latest first.
    pub attempts: Vec<Attempt>,
}

impl Reader {
    /// Opens. A clone without a binding reads everything, with a warning that nothing was verified.
    ///
    /// # Errors
    /// When the repository is refused or holds several environments and none was named.
    pub fn open(globals: &Globals, ui: &Ui, environment: Option<&str>) -> Result<Self, Failure> {
        let (git, binding) = session::open(globals, ui)?;
        let wanted = environment
            .map(|name| name.parse::<EnvironmentName>())
            .transpose()
            .map_err(|e| Failure::new(Status::Usage, e.to_string()))?;
        if let Ok(binding) = binding
            && wanted.as_ref().is_none_or(|name| *name == binding.environment)
        {
            let site = Site::new(git, binding, user::actor()).only_looked_at();
            let ledger = site.ledger_as_seen()?;
            let history = site.history(&ledger);
            if let Some(dispute) = &ledger.dispute {
                say_disputed(ui, &site.binding, dispute);
            }
            for (chain, why) in &ledger.refused {
                let why = escape(&why.to_string());
                ui.say(&format!("warning: {} is rejected: {why}", escape(chain)));
            }
            let environment = site.binding.environment.clone();
            mention_open_run(&site, ui);
            let attempts = engine::attempts(&site);
            let Site { git, binding, .. } = site;
            let binding = Some(binding);
            return Ok(Self { git, binding, environment, ledger, history, attempts });
        }
        let environment = match wanted {
            Some(name) => name,
            None => only_environment(&git)?,
        };
        ui.say("this checkout is not bound to that environment: signatures were not verified");
        let ledger = Rc::new(ledger::read_unverified(&git, &environment)?);
        let history = Rc::new(History::of(&ledger, None));
        Ok(Self { git, binding: None, environment, ledger, history, attempts: Vec::new() })
    }

    /// The newest record of each state that `status` and `log` show under `name`, the newest first: for a name that is
    /// no ref.
    pub fn shown_as<'e>(&self, entries: &'e [Entry], name: &str) -> Vec<&'e Entry> {
        let mut found: Vec<&Entry> = Vec::new();
        for entry in entries.iter().rev().filter(|entry| entry.record.event.serves()) {
            let Some(commit) = &entry.record.to else { continue };
            if found.iter().any(|other| other.record.to.as_ref() == Some(commit)) {
                continue;
            }
            let evidence = ledger::evidence(&self.git, entry);
            if evidence.is_ok_and(|evidence| evidence.name.as_deref() == Some(name)) {
                found.push(entry);
            }
        }
        found
    }

    /// The chain that is looked at: the named writer's, the binding's, the only one.
    ///
    /// # Errors
    /// When there is none, or there are several and none was named.
    pub fn chain(&self, writer: Option<&str>) -> Result<&Chain, Failure> {
        let fits = |id: &WriterId| match (writer, &self.binding) {
            (Some(name), _) => id.as_str() == name || crate::engine::host_name(id.as_str()) == name,
            (None, Some(binding)) => *id == binding.writer,
            (None, None) => true,
        };
        let mut chains = self.ledger.chains.values().filter(|chain| fits(&chain.writer));
        let known: Vec<&str> = self.ledger.chains.keys().map(WriterId::as_str).collect();
        let known = known.join(", ");
        match (chains.next(), chains.next()) {
            (Some(chain), None) => Ok(chain),
            (None, _) if known.is_empty() => {
                Err(Failure::unchanged(format!("no records of {} here", self.environment))
                    .next("git fetch origin 'refs/gitroll/*:refs/gitroll/*'", "fetches them")
                    .next("gitroll init", "starts them"))
            }
            (None, _) => {
                Err(Failure::unchanged("no such writer").detail(format!("there are {known}")))
            }
            (Some(_), Some(_)) => Err(Failure::new(Status::Usage, "there is more than one writer")
                .next("--writer NAME", format!("one of {known}"))),
        }
    }

    /// The name of what a record put in place, as its evidence has it.
    pub fn name_served(&self, entry: &Entry) -> String {
        let name = ledger::evidence(&self.git, entry).ok().and_then(|e| e.name);
        let commit = entry.record.to.as_ref().or(entry.record.subject.as_ref());
        name.or_else(|| commit.map(|c| c.short().to_owned())).unwrap_or_default()
    }
}

fn say_disputed(ui: &Ui, binding: &Binding, dispute: &Dispute) {
    for line in dispute::told(dispute) {
        ui.say(&format!("warning: {}", escape(&line)));
    }
    for (command, what) in dispute::mending(binding, &dispute.why) {
        ui.say(&format!("  next     {}   {what}", escape(&command)));
    }
}

/// The run that is not over, for a command that only looks: what it says may be about to change, and one line
/// says so.
pub fn mention_open_run(site: &Site, ui: &Ui) -> Option<Run> {
    let run = engine::open_runs(site).ok()?.into_iter().next()?;
    let stands = match Lock::holder(&site.state()) {
        Some(held) if held.watchdog => "the watchdog is working on it",
        Some(_) => "a command is running now",
        None => "no command is running",
    };
    ui.say(&format!(
        "a run is open: {}: {stands}; run gitroll status for details",
        escape(&next_steps::what(&run))
    ));
    Some(run)
}

fn only_environment(git: &Git) -> Result<EnvironmentName, Failure> {
    let mut names: Vec<String> = git
        .refs("refs/gitroll/")?
        .iter()
        .filter_map(|r| r.name.strip_prefix("refs/gitroll/")?.split('/').next().map(str::to_owned))
        .collect();
    names.sort();
    names.dedup();
    match names.as_slice() {
        [only] => {
            only.parse().map_err(|e: crate::model::IdError| Failure::unchanged(e.to_string()))
        }
        [] => Err(Failure::unchanged("this repository holds no gitroll records")
            .next(
                "git fetch origin 'refs/gitroll/*:refs/gitroll/*'",
                "fetches them, if they were pushed",
            )
            .next("gitroll init", "starts them")),
        many => Err(Failure::new(Status::Usage, "there is more than one environment")
            .next("--environment NAME", format!("one of {}", many.join(", ")))),
    }
}
