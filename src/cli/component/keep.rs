//! `gitroll deploy --keep-component`: a revision with the good files of a component.

use super::fits::{Consent, look};
use crate::cli::failure::Failure;
use crate::cli::session::Session;
use crate::component::{self, Content};
use crate::config::Component;
use crate::model::{ComponentId, Oid};
use crate::plan::candidates;
use crate::plan::facts::Facts;
use crate::target::{Request, resolve};

/// A revision, and what was kept in it.
pub struct Kept {
    /// The revision, or the commit that has the components' good files.
    pub commit: Oid,
    /// The components that were kept.
    pub components: Vec<ComponentId>,
    /// What is to be said of it.
    pub warnings: Vec<String>,
}

/// Puts the good files of components into a revision: those that serve, unless they are held, else those of
/// the last good state.
///
/// # Errors
/// When there is no such component, no good state of it, or its files do not fit into the revision.
pub fn keep(
    session: &Session,
    facts: &Facts,
    revision: &Oid,
    ids: &[String],
    consent: &Consent,
) -> Result<Kept, Failure> {
    let mut kept = Kept { commit: revision.clone(), components: Vec::new(), warnings: Vec::new() };
    for id in ids {
        let component = super::find(facts, id)?;
        if kept.components.contains(&component.id) {
            continue;
        }
        let source = good(session, facts, component)?;
        let files = facts.names.served(&session.site.git, &source, None)?;
        match component::synthesise(&session.site.git, &kept.commit, &source, component)? {
            Some(commit) => {
                let live = facts.names.served(&session.site.git, &kept.commit, None)?;
                let between = (&live, &files);
                let warnings = look(session, facts, component, between, &commit, consent)?;
                kept.warnings.extend(warnings);
                kept.commit = commit;
                kept.components.push(component.id.clone());
                kept.warnings.push(format!("{id} keeps its files of {}", files.name));
            }
            None => {
                kept.warnings.push(format!("{id} is the same in {}: nothing to keep", files.name))
            }
        }
    }
    Ok(kept)
}

/// A commit that has the component's good files.
fn good(session: &Session, facts: &Facts, component: &Component) -> Result<Oid, Failure> {
    let git = &session.site.git;
    let held = |commit: &Oid| -> Result<bool, Failure> {
        let found = component::held_in(git, &facts.held_contents, commit)?;
        Ok(found.iter().any(|found| found.component.id == component.id))
    };
    let serving = &facts.serving.commit;
    let content = Content::of(git, serving, component)?;
    if !held(serving)? && !content.is_empty() {
        // The first state that had it: the same revision comes to the same commit every time.
        let first = super::first_served(session, facts, component, &content)?;
        let span = first.and_then(|position| facts.history.deployments().get(position));
        return Ok(span.map_or(serving, |span| &span.commit).clone());
    }
    let all = candidates::gather(&session.site, facts)?;
    let found = resolve(&Request::LastGood, &all.deployments, &all.stable, None).ok();
    let candidates =
        found.into_iter().flat_map(|found| std::iter::once(found.chosen).chain(found.further));
    for commit in candidates.filter_map(|candidate| candidate.commit) {
        if !held(&commit)? {
            return Ok(commit);
        }
    }
    Err(Failure::unchanged(format!("no state that served here has good files of {}", component.id))
        .next("gitroll targets", "shows every state and why not"))
}
