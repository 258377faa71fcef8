//! Components: the files that each has in a commit, commits in which it has those of another, and whether
//! its older files fit what serves.

pub mod fit;

use std::collections::BTreeMap;

use crate::config::{self, Component};
use crate::ledger::{self, Held, Ledger};
use crate::model::{ComponentId, Digest, Hold, Oid, Person, RepoPath, TreeEntry, TreeMode};
use crate::system::git::{Commit, Git, GitError};

/// The files of a component in one commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    entries: BTreeMap<RepoPath, TreeEntry>,
}

impl Content {
    /// What `component` has in `commit`.
    ///
    /// # Errors
    /// When git cannot read the tree.
    pub fn of(git: &Git, commit: &Oid, component: &Component) -> Result<Self, GitError> {
        let mut entries = git.entries_below(commit, &component.paths.roots())?;
        entries.retain(|path, _| component.paths.covers(path));
        Ok(Self { entries })
    }

    /// SHA-256 over `mode id path` of every file, sorted by path: what a hold on a component's content
    /// names. `docs/record-format.md` has the bytes.
    pub fn digest(&self) -> Digest {
        let mut bytes = Vec::new();
        for (path, entry) in &self.entries {
            let mode = match entry.mode {
                TreeMode::File => "100644",
                TreeMode::Executable => "100755",
                TreeMode::Symlink => "120000",
                TreeMode::Submodule => "160000",
            };
            bytes.extend_from_slice(format!("{mode} {} ", entry.id).as_bytes());
            bytes.extend_from_slice(path.as_bytes());
            bytes.push(0);
        }
        Digest::of(&bytes)
    }

    /// How many files it has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it has no file.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The paths at which two contents differ.
    pub fn differences<'a>(&'a self, other: &'a Content) -> Vec<&'a RepoPath> {
        let mut paths: Vec<&RepoPath> = self
            .entries
            .iter()
            .filter(|(path, entry)| other.entries.get(*path) != Some(*entry))
            .map(|(path, _)| path)
            .chain(other.entries.keys().filter(|path| !self.entries.contains_key(*path)))
            .collect();
        paths.sort();
        paths
    }
}

/// Why a component's files cannot be those of another commit.
#[derive(Debug, thiserror::Error)]
pub enum ComponentError {
    #[error(transparent)]
    Git(#[from] GitError),
    /// Its paths match nothing.
    #[error("the paths of {id} match nothing, neither in {} nor in {}", .base.short(), .source_commit.short())]
    Nowhere {
        /// The component.
        id: ComponentId,
        /// What serves.
        base: Oid,
        /// Where its files were to come from.
        source_commit: Oid,
    },
    /// A file outside of the component is where one of its files belongs.
    #[error("{path}, which does not belong to {id}, is in the way of its {wanted}")]
    InTheWay {
        /// The component.
        id: ComponentId,
        /// What is in the way.
        path: RepoPath,
        /// What belongs there.
        wanted: RepoPath,
    },
    /// A submodule is part of it.
    #[error("{path} of {id} is a submodule")]
    Submodule {
        /// The component.
        id: ComponentId,
        /// Where.
        path: RepoPath,
    },
}

/// The commit whose tree is that of `base` with the files that `component` has in `source`; `None` if it
/// has the same in both.
///
/// The same two commits and component come to the same commit every time: its author is not a person, its time
/// that of `base`. Nothing refers to it until it is put in place.
///
/// # Errors
/// [`ComponentError`]
pub fn synthesise(
    git: &Git,
    base: &Oid,
    source: &Oid,
    component: &Component,
) -> Result<Option<Oid>, ComponentError> {
    let now = Content::of(git, base, component)?;
    let wanted = Content::of(git, source, component)?;
    let id = || component.id.clone();
    if now.is_empty() && wanted.is_empty() {
        let (base, source_commit) = (base.clone(), source.clone());
        return Err(ComponentError::Nowhere { id: id(), base, source_commit });
    }
    for (path, entry) in now.entries.iter().chain(&wanted.entries) {
        if entry.mode == TreeMode::Submodule {
            return Err(ComponentError::Submodule { id: id(), path: path.clone() });
        }
    }
    if now == wanted {
        return Ok(None);
    }
    if let Some((path, wanted)) = in_the_way(git, base, component, &now, &wanted)? {
        return Err(ComponentError::InTheWay { id: id(), path, wanted });
    }
    let tree = git.edit_tree(base, now.entries.keys(), &wanted.entries)?;
    let base_commit = git.commit(base)?;
    let message = format!(
        "{} as in {}\n\n{COMPONENT} {}\n{BASE} {base}\n{SOURCE} {source}\n",
        component.id,
        source.short(),
        component.id
    );
    let nobody = Person {
        name: "gitroll".to_owned(),
        email: "gitroll@localhost".to_owned(),
        time: base_commit.author.time,
    };
    Ok(Some(git.write_commit(&tree, std::slice::from_ref(base), &nobody, &message)?))
}

const COMPONENT: &str = "Gitroll-Component:";
const BASE: &str = "Gitroll-Base:";
const SOURCE: &str = "Gitroll-Source:";

/// A file that is not a part of the component, at or above or below a path that is to become its.
fn in_the_way(
    git: &Git,
    base: &Oid,
    component: &Component,
    now: &Content,
    wanted: &Content,
) -> Result<Option<(RepoPath, RepoPath)>, GitError> {
    let around = git.entries_below(base, &component.paths.roots())?;
    for path in wanted.entries.keys().filter(|path| !now.entries.contains_key(*path)) {
        let below = around.keys().find(|other| {
            other.starts_with(path) && *other != path && !component.paths.covers(other)
        });
        if let Some(other) = below {
            return Ok(Some((other.clone(), path.clone())));
        }
        let mut above = path.parent();
        while let Some(directory) = above {
            if !component.paths.covers(&directory) && git.entry(base, &directory)?.is_some() {
                return Ok(Some((directory, path.clone())));
            }
            above = directory.parent();
        }
    }
    Ok(None)
}

/// What a synthesised commit says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synthesised {
    /// The component whose files are another commit's.
    pub component: String,
    /// What the rest is: its parent.
    pub base: Oid,
}

/// Reads the message of a synthesised commit. Anyone can write such a message: good for names only.
pub fn synthesised(commit: &Commit) -> Option<Synthesised> {
    let trailer =
        |name: &str| commit.message.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let base: Oid = trailer(BASE)?.parse().ok()?;
    (commit.parents == [base.clone()])
        .then(|| Some(Synthesised { component: trailer(COMPONENT)?.to_owned(), base }))?
}

/// A component's content that is held, with the paths the component had when it was judged.
#[derive(Debug, Clone)]
pub struct HeldContent {
    /// The hold.
    pub held: Held,
    /// The digest of the content.
    pub content: Digest,
    /// The component as it was declared then.
    pub component: Component,
}

/// Every content that is held, with the component as the record that holds it declares it: taking it out of
/// gitroll.toml lifts nothing.
pub fn held_contents(
    git: &Git,
    ledger: &Ledger,
    holds: &[Held],
    accepted: &[Component],
) -> Vec<HeldContent> {
    holds
        .iter()
        .filter_map(|held| {
            let Hold::Component { id, content } = &held.hold else { return None };
            let entry = ledger
                .chains
                .values()
                .flat_map(|chain| &chain.entries)
                .find(|entry| entry.digest == held.digest)?;
            let declared = ledger::config(git, entry).ok().and_then(|text| {
                let config = config::parse(&text, "gitroll.toml of a record").ok()?;
                config.components.into_iter().find(|component| component.id == *id)
            });
            let component = declared.or_else(|| accepted.iter().find(|c| c.id == *id).cloned())?;
            Some(HeldContent { held: held.clone(), content: *content, component })
        })
        .collect()
}

/// The held contents that `commit` has.
///
/// # Errors
/// When git cannot read its tree.
pub fn held_in<'a>(
    git: &Git,
    held: &'a [HeldContent],
    commit: &Oid,
) -> Result<Vec<&'a HeldContent>, GitError> {
    let mut found = Vec::new();
    for hold in held {
        if Content::of(git, commit, &hold.component)?.digest() == hold.content {
            found.push(hold);
        }
    }
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
