//! Git: gix for reading and writing objects, the `git` command for the rest. Nothing outside this
//! module names gix or starts git.

mod attributes;
mod command;
mod config;
mod containment;
mod diff;
mod head;
mod locks;
mod marks;
mod notes;
mod object;
mod open;
mod refs;
mod remote;
mod repository;
mod revision;
mod shallow;
mod stat_cache;
mod tags;
mod throw_away;
mod tree;
mod unfinished;
mod user_config;
mod worktree;
mod written;

#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod testing;

pub use attributes::{Conversion, ConvertedFile, RuleFile};
pub use containment::{Contained, Containment};
pub use diff::FileDiff;
pub use head::{HeadMove, HeadStep};
pub use locks::{StaleFiles, command_was_killed};
pub use object::{Commit, ObjectKind};
pub use refs::{Head, Ref, RefEdit};
pub use remote::Pushed;
pub use repository::{Git, GitError, OpenError};
pub use shallow::Ancestry;
pub use tags::{Tag, TagKind, TagRef};
pub use throw_away::ThrowAway;
pub use tree::TreeChange;
pub use unfinished::Unfinished;
