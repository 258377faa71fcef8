//! Which candidate is no better than the one that failed: it has the same part, or lacks the same migrations.

use super::diagnosis;
use super::failure::Failure;
use super::session::Session;
use super::target::FOUND;
use crate::component::Content;
use crate::diagnosis::is_of_the_schema;
use crate::engine::{Further, Run};
use crate::model::Oid;
use crate::plan::candidates;
use crate::plan::deployed;
use crate::plan::facts::Facts;

/// What is known of a candidate that was put in place and failed.
pub(super) struct FailedCandidate<'r> {
    run: &'r Run,
    facts: Facts,
    /// The index of the component that fails, and why it is that one.
    part: Option<(usize, String)>,
    of_the_schema: bool,
}

impl<'r> FailedCandidate<'r> {
    /// Looks at what fails, as long as it is in place.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub fn of(session: &Session, run: &'r Run, why: &str) -> Result<Self, Failure> {
        let facts = session.facts()?;
        let (part, causes) = diagnosis::failing_part(session, &facts, &run.plan.to);
        let of_the_schema =
            is_of_the_schema(why) || causes.iter().any(|cause| is_of_the_schema(cause));
        Ok(Self { run, facts, part, of_the_schema })
    }

    /// Why another one would fail in the same way, if that is known.
    ///
    /// # Errors
    /// When git cannot read a tree.
    pub fn shared_with(&self, session: &Session, other: &Oid) -> Result<Option<String>, Failure> {
        let git = &session.site.git;
        let (from, failed) = (&self.left(session), &self.run.plan.to);
        if let Some((index, because)) = &self.part
            && let Some(component) = self.facts.accepted.config.components.get(*index)
            && Content::of(git, &failed.commit, component)? == Content::of(git, other, component)?
        {
            let id = &component.id;
            return Ok(Some(format!("it has the same {id} as {} ({because})", failed.name)));
        }
        if !self.of_the_schema {
            return Ok(None);
        }
        let lacks = |commit: &Oid| deployed::migrations(&session.site, &self.facts, from, commit);
        let (there, here) = (lacks(other)?, lacks(&failed.commit)?);
        let known = there.seen || here.names.is_empty();
        let same = here.names.iter().all(|name| there.names.contains(name));
        let names = here.names.join(", ");
        Ok((!known && same).then(|| format!("it does not know the schema of {names} either")))
    }

    /// The newest good version that is older than `after`, was not tried and does not share what fails.
    ///
    /// # Errors
    /// As [`Self::shared_with`].
    pub fn another(&self, session: &Session, after: &Further) -> Result<Option<Further>, Failure> {
        let all = candidates::gather(&session.site, &self.facts);
        let request = super::target::request(Some(FOUND[0]));
        let Ok(found) = all.resolve(&request)? else { return Ok(None) };
        let all = std::iter::once(found.chosen).chain(found.further);
        let older = all.skip_while(|one| one.commit.as_ref() != Some(&after.commit)).skip(1);
        for candidate in older {
            let Some(commit) = candidate.commit else { continue };
            if commit != self.run.plan.to.commit && self.shared_with(session, &commit)?.is_none() {
                let (name, target) = (candidate.name, candidate.tag);
                return Ok(Some(Further { name, commit, target, asked: after.asked }));
            }
        }
        Ok(None)
    }

    /// What served when the first of the runs began.
    fn left(&self, session: &Session) -> Oid {
        let first = self.run.follows().first();
        let first = first.and_then(|first| Run::open(&session.site, first).ok());
        first.map_or_else(|| self.run.plan.from.commit.clone(), |first| first.plan.from.commit)
    }
}
