//! Examining the records of an environment, and writing back what is made from them.

use schemars::JsonSchema;
use serde::Serialize;

use super::caller::Caller;
use super::dispute;
use super::failure::Failure;
use super::session::Session;
use crate::build::Depth;
use crate::data::{DataError, PointStore};
use crate::engine;
use crate::ledger::{self, ChainSummary, Examined, Finding, FindingKind, Projecting, Scope};
use crate::model::{AppName, EnvironmentName, Oid, Seq, TreeMode};
use crate::plan::facts::Facts;
use crate::plan::{PlanError, candidates};
use crate::site::Site;
use crate::system::text::quoted;
use crate::target::Request;

/// How many lost files of a target are named.
const MOST_NAMED: usize = 3;

#[derive(Debug, Clone, Copy, Default)]
pub struct FsckRequest {
    /// Findings about records before this one are left out.
    pub since: Option<Seq>,
    /// Nothing that was found right before is taken to be right.
    pub anew: bool,
    /// What can be written back from the records is written back.
    pub repair: bool,
}

/// What `fsck` found.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct FsckReport {
    pub app: AppName,
    pub environment: EnvironmentName,
    pub chains: Vec<ChainSummary>,
    /// What is wrong and not repaired.
    pub findings: Vec<Finding>,
    /// What was wrong and is repaired.
    pub repaired: Vec<Finding>,
}

/// Examines, and repairs where asked.
///
/// # Errors
/// When the checkout is not bound or its refs cannot be listed; for a repair, also when another command is at work or git
/// cannot write.
pub fn fsck(caller: &Caller, request: &FsckRequest) -> Result<FsckReport, Failure> {
    let session = match request.repair {
        true => Session::change(caller, "fsck --repair")?,
        false => Session::look(caller)?,
    };
    let site = &session.site;
    let scope = Scope { since: request.since, anew: request.anew };
    let (examined, mut findings) = examine(site, scope)?;
    let mut repaired = Vec::new();
    if request.repair && findings.iter().any(|finding| finding.repairable) {
        ledger::restore_chains(&site.git, &site.binding)?;
        let (restored, _) = examine(site, scope)?;
        engine::project(site, &restored.ledger, Projecting::Anew);
        ledger::repair_stable_tags(&site.git, &restored.ledger)?;
        let before = std::mem::take(&mut findings);
        findings = examine(site, scope)?.1;
        repaired = before.into_iter().filter(|finding| !findings.contains(finding)).collect();
    }
    Ok(FsckReport {
        app: site.binding.app.clone(),
        environment: site.binding.environment.clone(),
        chains: examined.chains,
        findings,
        repaired,
    })
}

fn examine(site: &Site, scope: Scope) -> Result<(Examined, Vec<Finding>), Failure> {
    let examined = ledger::examine(&site.git, &site.binding, scope)?;
    let mut findings = examined.findings.clone();
    findings.extend(unsigned(site));
    let refused = &examined.ledger.refused;
    let own_refused = refused.iter().find(|(writer, _)| writer == site.binding.writer.as_str());
    if let Some((writer, why)) = own_refused {
        let fix = dispute::mending(&site.binding, why).into_iter().next().map(|(fix, _)| fix);
        for finding in findings.iter_mut().filter(|f| f.writer == *writer && f.fix.is_none()) {
            finding.fix.clone_from(&fix);
        }
    }
    match Facts::gather(site).and_then(|facts| target(site, &facts, scope.anew)) {
        Ok(found) => findings.extend(found),
        // Without the own chain nobody knows a target: that is among the findings.
        Err(_) if own_refused.is_some() => {}
        Err(error) => {
            let problem = format!("what gitroll back would deploy: {error}");
            let lost = own(site, FindingKind::Target, problem);
            findings.push(Finding { fix: Some("git fetch".to_owned()), ..lost });
        }
    }
    Ok((examined, findings))
}

fn own(site: &Site, kind: FindingKind, problem: String) -> Finding {
    let writer = site.binding.writer.to_string();
    Finding { kind, writer, seq: None, problem, repairable: false, fix: None }
}

fn unsigned(site: &Site) -> Option<Finding> {
    let waiting = engine::queued(site).len();
    let problem = match waiting {
        0 => return None,
        1 => "1 record is not signed yet".to_owned(),
        many => format!("{many} records are not signed yet"),
    };
    let fix = Some("gitroll doctor".to_owned());
    Some(Finding { fix, ..own(site, FindingKind::Unsigned, problem) })
}

/// Whether all that `gitroll back` and `back --to last-stable` would put in place is in this repository, and what is kept
/// for it still there. `anew`: every byte of its newest point is read.
fn target(site: &Site, facts: &Facts, anew: bool) -> Result<Vec<Finding>, PlanError> {
    let all = candidates::gather(site, facts);
    let mut findings = Vec::new();
    let mut seen: Vec<Oid> = Vec::new();
    let depth = if anew { Depth::Deep } else { Depth::Shallow };
    for request in [Request::LastGood, Request::LastStable] {
        let Ok(resolution) = all.resolve(&request)? else { continue };
        let chosen = resolution.chosen;
        let Some(commit) = chosen.commit.filter(|commit| !seen.contains(commit)) else { continue };
        let named = format!("{}, which gitroll back would deploy", chosen.name);
        let lost = |problem: String| {
            let lost = own(site, FindingKind::Target, format!("{named}: {problem}"));
            Finding { seq: chosen.seq, fix: Some("git fetch".to_owned()), ..lost }
        };
        match site.git.entries(&commit) {
            Err(error) => findings.push(lost(error.to_string())),
            Ok(entries) => {
                let missing: Vec<String> = entries
                    .iter()
                    .filter(|(_, entry)| {
                        entry.mode != TreeMode::Submodule && !site.git.has(&entry.id)
                    })
                    .map(|(path, _)| path.to_string())
                    .collect();
                if !missing.is_empty() {
                    let named = missing[..missing.len().min(MOST_NAMED)].join(", ");
                    findings
                        .push(lost(format!("{} of its files are lost: {named}", missing.len())));
                }
            }
        }
        for (problem, fix) in artifacts(site, facts, &commit, depth) {
            findings.push(Finding { fix, ..lost(problem) });
        }
        if let Some(problem) = point_of(site, &commit, anew) {
            findings.push(Finding { fix: Some("gitroll point list".to_owned()), ..lost(problem) });
        }
        seen.push(commit);
    }
    Ok(findings)
}

/// What is wrong with the built directories that a version was last proven with here, and the command that fixes it.
fn artifacts(
    site: &Site,
    facts: &Facts,
    commit: &Oid,
    depth: Depth,
) -> Vec<(String, Option<String>)> {
    let last = facts.last_record_of(site, commit);
    let evidence = last.and_then(|entry| ledger::evidence(&site.git, entry).ok());
    let recorded = evidence.map(|evidence| evidence.artifacts).unwrap_or_default();
    let wrong = recorded.iter().filter_map(|artifact| {
        let (key, output) = (&artifact.key, &artifact.output);
        if !site.store.has(key, output) {
            return Some((format!("{output} is not kept any more: it would be built"), None));
        }
        // What cannot be seen now, going there will say.
        let keeps = site.store.keeps(key, output, depth).unwrap_or(true);
        let dir = quoted(&site.store.dir.join(key.as_str()).display().to_string());
        let fix = dir.map(|dir| format!("rm -r {dir}"));
        (!keeps).then(|| {
            (
                format!("{output}, kept for it, was changed since it was built: it would be built"),
                fix,
            )
        })
    });
    wrong.collect()
}

/// What is wrong with the newest rollback point of a version, where there is one.
fn point_of(site: &Site, commit: &Oid, anew: bool) -> Option<String> {
    let store = PointStore::of(&site.binding);
    if !store.exists() {
        return None;
    }
    let unread = |error: &DataError| format!("its rollback points cannot be read: {error}");
    let repository = match store.read() {
        Ok(repository) => repository,
        Err(error) => return Some(unread(&error)),
    };
    let points = match repository.points() {
        Ok(points) => points,
        Err(error) => return Some(unread(&error)),
    };
    let point = points.iter().filter(|point| point.manifest.commit == *commit);
    let point = point.max_by_key(|point| point.manifest.taken)?;
    let problems = match anew {
        true => repository.check(point),
        false => repository.files(point).map(|_| Vec::new()),
    };
    let id = &point.manifest.id;
    match problems {
        Ok(problems) => Some(format!("its rollback point {id}: {}", problems.first()?)),
        Err(error) => Some(format!("its rollback point {id}: {error}")),
    }
}
