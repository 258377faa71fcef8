//! Which checks an earlier state is asked: those that it was proven with, where they are accepted still.

use super::error::PlanError;
use super::facts::Facts;
use crate::check;
use crate::config::{self, Check, CheckKind, Config, Unchanged, as_proven};
use crate::ledger;
use crate::model::{CheckEvidence, Oid, Served};
use crate::site::{Site, of_tools};
use crate::system::git::GitError;

/// A larger file is not searched for the port that the code listens on.
const LARGE: u64 = 1 << 20;

/// How a state is asked.
#[derive(Debug, Clone)]
pub struct Asked {
    pub config: Config,
    /// The bytes of `config`.
    pub text: String,
    /// What a person should know of it.
    pub told: Vec<String>,
}

/// How strongly a check speaks for a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Strength {
    Nothing,
    /// Something listens, or a file or a log is as it should be.
    There,
    /// The app answers.
    Answers,
    /// It tells its version.
    TellsVersion,
}

/// The accepted configuration with the checks asked as the target's last proven record has them; `None` if that
/// is the accepted one itself.
///
/// # Errors
/// When the record cannot be read.
pub fn asked(site: &Site, facts: &Facts, to: &Served) -> Result<Option<Asked>, PlanError> {
    let proven = facts.history.times(&to.commit).rev().find(|span| span.proven);
    let found = proven.and_then(|span| facts.own_record(site, span.seq));
    let Some(entry) = found else { return Ok(None) };
    let text = ledger::config(&site.git, entry)?;
    let evidence = ledger::evidence(&site.git, entry)?;
    let name = format!("{} (#{})", to.name, entry.record.seq);
    let accepted = |why: String| {
        let (config, text) = (facts.accepted.config.clone(), facts.accepted.text.clone());
        Ok(Some(Asked { config, text, told: vec![format!("the accepted checks: {why}")] }))
    };
    let in_code = |now: &str, then: &str| {
        moved_by_the_code(site, (&facts.serving.commit, &to.commit), (now, then)).unwrap_or(false)
    };
    let merged = match as_proven(&facts.accepted.text, &text, in_code) {
        Err(Unchanged::Same) => return Ok(None),
        Err(Unchanged::NoneInCommon) => {
            return accepted(format!("none of the checks that proved {name} is among them"));
        }
        Ok(merged) => merged,
    };
    let config = match config::parse(&merged.text, &format!("the gitroll.toml of {name}")) {
        Ok(config) => config,
        Err(error) => {
            let problem = error.problems.first().map(ToString::to_string).unwrap_or_default();
            return accepted(format!("those of {name} do not fit: {problem}"));
        }
    };
    let own = config::parse(&text, "gitroll.toml").map(|own| own.checks).unwrap_or_default();
    let critical = |checks: &[Check]| checks.iter().any(|check| check.critical);
    let asks = config.checks.iter().map(strength).max().unwrap_or(Strength::Nothing);
    if asks < strength_of_proof(&own, &evidence.checks)
        || (critical(&facts.accepted.config.checks) && !critical(&config.checks))
    {
        return accepted(format!(
            "the remaining checks of {name} prove less than the original ones"
        ));
    }
    let line = |names: &[String], what: String| {
        (!names.is_empty()).then(|| format!("{} {what}", names.join(", ")))
    };
    let told = [
        line(&merged.changed, format!("as in the proof of {name}")),
        line(&merged.only_accepted, format!("not run: not part of the proof of {name}")),
        line(&merged.only_proven, format!("of {name} not run: no longer accepted")),
    ];
    let told = told.into_iter().flatten().collect();
    Ok(Some(Asked { config, text: merged.text, told }))
}

/// Whether the code itself says where it listens: a file that differs between two commits names the port of each, and not
/// the other's. Otherwise the port is the service's or the host's, which stay as they are. What is there for gitroll, git or a
/// forge alone is not the code.
fn moved_by_the_code(
    site: &Site,
    (serving, to): (&Oid, &Oid),
    (now, then): (&str, &str),
) -> Result<bool, GitError> {
    let git = &site.git;
    for change in git.changes(serving, to)? {
        let (Some(old), Some(new)) = (&change.before, &change.after) else { continue };
        if of_tools(&change.path) {
            continue;
        }
        let (Some(old), Some(new)) =
            (git.small_blob(&old.id, LARGE)?, git.small_blob(&new.id, LARGE)?)
        else {
            continue;
        };
        let names = |bytes: &[u8], port: &str| {
            let numbers = bytes.split(|byte| !byte.is_ascii_alphanumeric());
            numbers.into_iter().any(|word| word == port.as_bytes())
        };
        if names(&old, now) && !names(&old, then) && names(&new, then) && !names(&new, now) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn strength(check: &Check) -> Strength {
    match &check.kind {
        _ if check::has_witness(std::slice::from_ref(check), &[]) => Strength::TellsVersion,
        CheckKind::Http(_) | CheckKind::Command(_) | CheckKind::Metric(_) => Strength::Answers,
        CheckKind::Tcp(_) | CheckKind::Log(_) | CheckKind::File(_) => Strength::There,
    }
}

/// What passed then, by the checks as they were. A check that could have told the version and did not proved less.
fn strength_of_proof(own: &[Check], evidence: &[CheckEvidence]) -> Strength {
    let passed = evidence.iter().filter(|found| found.passed && found.skipped.is_none());
    let proved = passed.map(|found| {
        let check = own.iter().find(|check| check.name == found.check);
        match check.map_or(Strength::There, strength) {
            _ if found.told_version => Strength::TellsVersion,
            strength => strength.min(Strength::Answers),
        }
    });
    proved.max().unwrap_or(Strength::Nothing)
}
