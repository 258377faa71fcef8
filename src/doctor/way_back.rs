//! The way back: a target, its artifacts, room for it.

use super::examination::{Examination, on_path};
use super::host;
use super::serving::told;
use crate::build::Depth;
use crate::ledger;
use crate::model::{ArtifactEvidence, Event, Served};
use crate::plan::compose::{self, Change, Composed};
use crate::plan::disk_space::{self, SpaceNeeded};
use crate::plan::facts::Facts;
use crate::plan::preflight;
use crate::plan::{PlanError, candidates, estimate};
use crate::site::Site;
use crate::target::{Candidate, Needed, Reason, Request, RequestError, Standing};

/// Resolves what `gitroll back` would take tonight, and makes its plan as `back` would.
pub(super) fn examine(site: &Site, facts: &Facts, found: &mut Examination) {
    let room = match last_good(site, facts, found) {
        Ok(room) => room,
        Err(error) => {
            found.problem("target", error.to_string(), Some("gitroll back --plan".to_owned()));
            None
        }
    };
    let mut problems = Vec::new();
    disk_space::check(site, room.unwrap_or(SpaceNeeded::LEAST), &mut problems);
    for problem in &problems {
        found.problem("disk", told(problem), on_path("df -h", site.git.git_dir()));
    }
    found.fine("disk", "enough space");
}

fn last_good(
    site: &Site,
    facts: &Facts,
    found: &mut Examination,
) -> Result<Option<SpaceNeeded>, PlanError> {
    let all = candidates::gather(site, facts);
    if let Err(error) = all.resolve(&Request::LastStable)? {
        let mut tags = all.stable();
        let serving = tags.any(|tag| tag.is_ok_and(|tag| tag.standing == Standing::Serving));
        if !serving {
            let fix = Some("gitroll promote".to_owned());
            found.warning("stable", format!("{error}: last-stable has no version"), fix);
        }
    }
    let chosen = match all.resolve(&Request::LastGood)? {
        Ok(resolution) => resolution.chosen,
        Err(error) => {
            nowhere(&error, found);
            return Ok(None);
        }
    };
    let Some(commit) = chosen.commit.clone() else { return Ok(None) };
    let mut to = facts.names.served(&site.git, &commit, None)?;
    to.name.clone_from(&chosen.name);
    let composed = composed(site, facts, &chosen, to.clone())?;
    artifacts(site, facts, &chosen, &composed, found);
    let mut problems = Vec::new();
    preflight::tree(site, &composed, &facts.accepted.config, &mut problems);
    preflight::tools(site, &composed.plan, &mut problems);
    for problem in &problems {
        // Said already, with the command that fixes it.
        let said = ["the app's tree", "the git directory"];
        if !said.iter().any(|what| problem.message.starts_with(what)) {
            found.problem("target", told(problem), None);
        }
    }
    for (path, error) in preflight::unwritable(site, Some(&composed.plan)) {
        let fix = host::writable_again(site, site.top(), &error);
        found.problem("rights", format!("{} cannot be written: {error}", path.display()), fix);
    }
    found.fine("target", format!("{to}, nothing to build"));
    found.back_to = Some(to);
    Ok(Some(composed.room))
}

fn nowhere(error: &RequestError, found: &mut Examination) {
    let skipped = match error {
        RequestError::Nothing { skipped } => skipped.as_slice(),
        _ => &[],
    };
    let short = skipped
        .iter()
        .find(|candidate| matches!(candidate.standing, Standing::Skipped(Reason::TooShort { .. })));
    let fix = match (short.and_then(|candidate| candidate.seq), skipped) {
        (Some(seq), _) => format!("gitroll promote {seq}"),
        (None, []) => "gitroll deploy".to_owned(),
        (None, _) => "gitroll targets".to_owned(),
    };
    let mut what = error.to_string();
    if skipped.is_empty() {
        what.push_str(": only what serves now is known; after the next deploy, back returns to it");
    }
    for candidate in skipped.iter().take(3) {
        if let Standing::Skipped(reason) = &candidate.standing {
            what.push_str(&format!("; {}: {reason}", candidate.name));
        }
    }
    found.problem("target", what, Some(fix));
}

fn composed(
    site: &Site,
    facts: &Facts,
    chosen: &Candidate,
    to: Served,
) -> Result<Composed, PlanError> {
    let change = Change { target: chosen.tag.clone(), ..Change::new(facts, Event::Back, to) };
    compose::compose(site, facts, change)
}

/// Artifacts that must be built at night, and kept ones that are damaged: those would be swapped in.
fn artifacts(
    site: &Site,
    facts: &Facts,
    chosen: &Candidate,
    composed: &Composed,
    found: &mut Examination,
) {
    if let Needed::Build(groups) = &chosen.build {
        let time = estimate::about(site, facts, groups)
            .map(|time| format!("about {} s", time.as_secs().max(1)))
            .unwrap_or_else(|| "for an unknown time".to_owned());
        let what =
            format!("{} is not kept: back would build {}, {time}", chosen.name, groups.join(", "));
        found.warning("target", what, None);
    }
    let recorded = chosen.commit.as_ref().and_then(|commit| facts.last_record_of(site, commit));
    let recorded = recorded.and_then(|entry| ledger::evidence(&site.git, entry).ok());
    let recorded = recorded.map(|evidence| evidence.artifacts).unwrap_or_default();
    let others = recorded.iter().filter(|a| !composed.plan.artifacts.contains(a));
    for artifact in composed.plan.artifacts.iter().chain(others) {
        let place = site.store.place(&artifact.key, &artifact.output);
        let empty = std::fs::read_dir(&place).map(|mut entries| entries.next().is_none());
        let damage = match (site.store.has(&artifact.key, &artifact.output), empty) {
            (true, Ok(true)) => "is empty".to_owned(),
            (true, Err(error)) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                error.to_string()
            }
            (true, _) if !keeps(site, artifact) => {
                "was changed since it was built: back would rebuild it".to_owned()
            }
            _ => continue,
        };
        let what = format!("{} of {}, kept for it, {damage}", artifact.output, chosen.name);
        let key = site.store.dir.join(artifact.key.as_str());
        found.problem("target", what, on_path("rm -r", &key));
    }
}

/// Whether it is still what was built; where that cannot be seen, going there will say why.
fn keeps(site: &Site, artifact: &ArtifactEvidence) -> bool {
    site.store.keeps(&artifact.key, &artifact.output, Depth::Deep).unwrap_or(true)
}
