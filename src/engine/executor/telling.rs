//! What a run says of edits and failures, secrets taken out.

use std::time::Duration;

use super::{EngineError, Executor, StepError, millis};
use crate::engine::entry::Entry;
use crate::engine::flags;
use crate::model::{Narration, Redactor, RepoPath};

impl Executor<'_, '_> {
    /// Local edits that came after the plan are not the intended version; they are named.
    pub(in crate::engine) fn warn_of_edits(&mut self) {
        let plan = &self.run.plan;
        let edited = self.site.git.edited(&plan.to.commit).unwrap_or_default();
        let kept = |path: RepoPath| {
            self.config.app.local.matches(&path)
                || plan.activation.kept.iter().any(|keep| keep.path == path)
        };
        let paths: Vec<String> =
            edited.into_iter().filter(|path| !kept(path.clone())).map(|p| p.to_string()).collect();
        if !paths.is_empty() {
            let text = format!("edited here, not as in {}: {}", plan.to.name, paths.join(", "));
            (self.narrator)(Narration::Warning { text });
        }
    }

    /// What was put back and is not what was built any more.
    pub(in crate::engine) fn warn_of_changed(&mut self, outputs: &[RepoPath]) {
        for output in outputs {
            let text = format!("{output} was changed since it was built; it is back as it is now");
            (self.narrator)(Narration::Warning { text });
        }
    }

    /// Takes the app's secrets out, and those that this run sets flags to and from.
    pub(in crate::engine) fn redactor(&self) -> Redactor {
        let hidden = flags::hidden_of(self.site, &self.run.id);
        self.site.redactor(&self.config).and(hidden.redactor())
    }

    /// Tells and journals a failure, the app's secrets taken out; returns it in one line.
    pub(in crate::engine) fn tell_failure(
        &mut self,
        label: &str,
        took: Duration,
        error: &StepError,
    ) -> Result<String, EngineError> {
        let redactor = self.redactor();
        let what = redactor.text(&error.to_string());
        let lines: Vec<(String, String)> = error
            .lines()
            .into_iter()
            .map(|(source, line)| (source, redactor.text(&line)))
            .collect();
        (self.narrator)(Narration::Failed {
            step: label.to_owned(),
            what: what.clone(),
            lines: lines.clone(),
        });
        let why = format!("{label}: {what}");
        self.write(Entry::Failed {
            label: label.to_owned(),
            millis: millis(took),
            why: what,
            cause: Some(error.cause()),
            lines,
        })?;
        Ok(why)
    }
}
