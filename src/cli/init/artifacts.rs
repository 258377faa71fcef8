//! The artifacts of what serves, taken into the store.

use std::time::Instant;

use crate::build::{Depth, TakeOutcome};
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::config::Config;
use crate::model::{ArtifactEvidence, Narration};
use crate::plan::compose;
use crate::ui::Live;

/// What serves with, and what of it is kept whatever becomes of the live tree.
#[derive(Debug, Default)]
pub(super) struct Artifacts {
    pub(super) live: Vec<ArtifactEvidence>,
    pub(super) kept: Vec<String>,
    pub(super) missing: Vec<String>,
}

/// Takes each artifact that gitroll did not build itself, and that `wanted` asks for. One that cannot be
/// taken is said, and is no error: it still serves, and the next deploy's swap keeps it too.
pub(super) fn keep(
    session: &Session,
    config: &Config,
    wanted: impl Fn(&ArtifactEvidence) -> bool,
) -> Result<Artifacts, Failure> {
    let site = &session.site;
    let outputs: Vec<_> = config.build.iter().flat_map(|group| group.outputs.clone()).collect();
    let live = site
        .store
        .live(site.top(), &outputs, Depth::Deep)
        .map_err(|e| Failure::unchanged(format!("{}: {e}", site.top().display())))?;
    let mut artifacts = Artifacts { live: compose::artifacts_now(&live), ..Artifacts::default() };
    let mut narrator = Live::new(&session.ui);
    for (artifact, evidence) in live.iter().zip(&artifacts.live) {
        let kept = || site.store.keeps(&artifact.key, &artifact.output, Depth::Deep);
        if artifact.known || !wanted(evidence) || kept().unwrap_or(false) {
            continue;
        }
        let output = artifact.output.to_string();
        let step = format!("keep {}", crate::ui::escape(&output));
        let begin = Instant::now();
        narrator.tell(Narration::Begin { step: step.clone() });
        let why = match site.store.take(site.top(), artifact) {
            Ok(TakeOutcome::Kept) => {
                narrator.tell(Narration::Done { step, took: begin.elapsed() });
                artifacts.kept.push(output);
                continue;
            }
            Ok(TakeOutcome::NoRoom { needed, free }) => format!(
                "a copy may need {} MiB and {} MiB are free: make room, then gitroll init again",
                needed >> 20,
                free >> 20
            ),
            Ok(TakeOutcome::Not(why)) => why.to_owned(),
            Err(error) => error.to_string(),
        };
        narrator.tell(Narration::Warning { text: format!("{output} was not kept: {why}") });
        artifacts.missing.push(format!(
            "{output} was not kept ({why}); if it is changed by hand before the next deploy, going back \
             here means a build"
        ));
    }
    Ok(artifacts)
}
