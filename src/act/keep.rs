//! A second copy of what serves, made beside everything else once the answer is told. Nothing rests on it.

use std::time::Duration;

use super::caller::Caller;
use super::failure::Failure;
use super::session::{Session, held};
use crate::build::Depth;
use crate::config::{self, Binding};
use crate::engine::{self, KEEPING, Lock, watchdog};
use crate::ledger;
use crate::model::{ArtifactEvidence, Plan};
use crate::site::Site;
use crate::system::process;

/// How long another command is waited for before a copy is given its place.
const PATIENCE: Duration = Duration::from_secs(900);
/// How often it is begun again, where other commands wrote records meanwhile.
const TRIES: usize = 5;

/// Starts what keeps a second copy of what the plan leaves serving, if there is none.
pub(super) fn begin(site: &Site, plan: &Plan) {
    let copies = config::parse(&plan.config, "gitroll.toml").is_ok_and(|c| c.retention.copies);
    let missing = |artifact: &ArtifactEvidence| !site.store.has(&artifact.key, &artifact.output);
    if !copies || !plan.artifacts.iter().chain(&plan.artifacts_before).any(missing) {
        return;
    }
    if let Err(why) = watchdog::start_beside(site, &[KEEPING], &site.state().join("keep.log")) {
        tracing::debug!("could not copy what serves: {why}");
    }
}

/// Copies what serves, as its record says, and gives each copy its place. Reads and writes with the lowest priority;
/// holds the lock only for the last step.
///
/// # Errors
/// When the checkout cannot be opened or the copy cannot be made.
pub fn keep(caller: &Caller) -> Result<(), Failure> {
    process::give_way();
    for _ in 0..TRIES {
        if keep_once(caller)? {
            return Ok(());
        }
    }
    tracing::debug!("no second copy: other commands write records all the time");
    Ok(())
}

/// Whether nothing came between.
fn keep_once(caller: &Caller) -> Result<bool, Failure> {
    let session = Session::look(caller)?;
    let site = &session.site;
    let facts = session.facts()?;
    let entry = facts.last_record_of(site, &facts.serving.commit);
    let (false, true, Some(entry)) =
        (facts.by_hand(), facts.accepted.config.retention.copies, entry)
    else {
        return Ok(true);
    };
    let artifacts = ledger::evidence(&site.git, entry).map_err(Failure::from)?.artifacts;
    let outputs: Vec<_> = artifacts.iter().map(|artifact| artifact.output.clone()).collect();
    let chain = ledger::chain_ref(&site.binding.environment, &site.binding.writer);
    let head = site.git.find_ref(&chain)?;
    let io = |error: std::io::Error| Failure::unchanged(format!("no second copy: {error}"));
    for live in facts.live(site, &outputs, Depth::Deep)? {
        if !artifacts.iter().any(|a| (&a.output, &a.key) == (&live.output, &live.key)) {
            continue;
        }
        // Each run that put something in place has a record, or is open.
        let same = || {
            engine::open_runs(site).is_ok_and(|open| open.is_empty())
                && site.git.find_ref(&chain).is_ok_and(|now| now == head)
        };
        let copy = match site.store.copy_aside(site.top(), &live, same).map_err(io)? {
            Ok(copy) => copy,
            Err(outcome) => {
                tracing::debug!("{}: no second copy: {outcome:?}", live.output);
                if !same() {
                    return Ok(false);
                }
                continue;
            }
        };
        let bound = Binding::find(site.top()).is_ok() && site.state().join("lock").exists();
        match Lock::take(&site.state(), &held(KEEPING, &site.actor), PATIENCE) {
            Ok(_lock) if bound => site.store.keep(&live, copy).map_err(io)?,
            _ => copy.remove().map_err(io)?,
        }
    }
    Ok(true)
}
