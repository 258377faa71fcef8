//! What git was in the middle of when someone left: a merge, a rebase, a bisection.

use std::fmt;
use std::path::PathBuf;

use crate::system::files;

use super::repository::Git;

/// The first lines of git's own notes are enough to know what they are of.
const MOST_NOTES: u64 = 64 << 10;

/// Something that git began and did not end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfinished {
    pub kind: UnfinishedKind,
    /// The file or directory that says so.
    pub mark: PathBuf,
}

/// What git is in the middle of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnfinishedKind {
    Merge,
    CherryPick,
    Revert,
    Rebase,
    /// `git am`.
    Patches,
    Bisection,
}

impl UnfinishedKind {
    /// The command that ends it and goes back to what was there before it.
    pub fn abort(self) -> &'static str {
        match self {
            Self::Merge => "git merge --abort",
            Self::CherryPick => "git cherry-pick --abort",
            Self::Revert => "git revert --abort",
            Self::Rebase => "git rebase --abort",
            Self::Patches => "git am --abort",
            Self::Bisection => "git bisect reset",
        }
    }

    /// The command that ends it and leaves HEAD and files as they are.
    pub fn quit(self) -> &'static str {
        match self {
            Self::Merge => "git merge --quit",
            Self::CherryPick => "git cherry-pick --quit",
            Self::Revert => "git revert --quit",
            Self::Rebase => "git rebase --quit",
            Self::Patches => "git am --quit",
            Self::Bisection => "git bisect reset HEAD",
        }
    }
}

/// `a merge`
impl fmt::Display for UnfinishedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Merge => "a merge (git pull is one too)",
            Self::CherryPick => "a cherry-pick",
            Self::Revert => "a revert",
            Self::Rebase => "a rebase (git pull --rebase is one too)",
            Self::Patches => "git am",
            Self::Bisection => "a bisection",
        })
    }
}

impl Git {
    /// What git is in the middle of in this work tree, the outermost first: a rebase that stopped at a pick is both.
    pub fn unfinished(&self) -> Vec<Unfinished> {
        let applies = self.git_dir.join("rebase-apply/applying").exists();
        let sequence = self.sequence();
        let marks = [
            ("rebase-merge", UnfinishedKind::Rebase),
            (
                "rebase-apply",
                if applies { UnfinishedKind::Patches } else { UnfinishedKind::Rebase },
            ),
            ("MERGE_HEAD", UnfinishedKind::Merge),
            ("CHERRY_PICK_HEAD", UnfinishedKind::CherryPick),
            ("REVERT_HEAD", UnfinishedKind::Revert),
            ("sequencer", sequence),
            ("BISECT_LOG", UnfinishedKind::Bisection),
        ];
        let mut found: Vec<Unfinished> = Vec::new();
        for (name, kind) in marks {
            let mark = self.git_dir.join(name);
            let known = found.iter().any(|known| known.kind == kind);
            // What a rebase stopped at is ended with it.
            let inner = matches!(kind, UnfinishedKind::CherryPick | UnfinishedKind::Revert)
                && found.iter().any(|known| known.kind == UnfinishedKind::Rebase);
            if !known && !inner && mark.symlink_metadata().is_ok() {
                found.push(Unfinished { kind, mark });
            }
        }
        found
    }

    /// What a series of commits that git goes through is of, by its list of what is left to do.
    fn sequence(&self) -> UnfinishedKind {
        let todo = files::read_plain(&self.git_dir.join("sequencer/todo"), MOST_NOTES);
        match todo.unwrap_or_default().starts_with(b"revert") {
            true => UnfinishedKind::Revert,
            false => UnfinishedKind::CherryPick,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::testing::Repo;
    use super::*;

    /// A repository with two branches that change one line each in another way; on `main`.
    fn torn() -> Repo {
        let repo = Repo::new();
        repo.git(&["checkout", "-q", "-b", "other"]);
        repo.write("a.txt", "theirs\n");
        repo.commit("theirs");
        repo.git(&["checkout", "-q", "main"]);
        repo.write("a.txt", "ours\n");
        repo.commit("ours");
        repo
    }

    fn kinds(repo: &Repo) -> Vec<UnfinishedKind> {
        repo.open().unfinished().iter().map(|found| found.kind).collect()
    }

    #[test]
    fn each_thing_git_may_be_in_the_middle_of_is_found_and_ended_by_the_command_named() {
        for (begin, wanted) in [
            ("merge other", UnfinishedKind::Merge),
            ("cherry-pick other", UnfinishedKind::CherryPick),
            ("revert HEAD~1", UnfinishedKind::Revert),
            ("rebase other", UnfinishedKind::Rebase),
            ("rebase --apply other", UnfinishedKind::Rebase),
            ("bisect start HEAD HEAD~1", UnfinishedKind::Bisection),
        ] {
            for quit in [false, true] {
                let repo = torn();
                repo.write("a.txt", "more\n");
                repo.commit("more");
                assert_eq!(kinds(&repo), [], "{begin}");
                let words: Vec<&str> = begin.split(' ').collect();
                repo.try_git(&words);
                assert_eq!(kinds(&repo), [wanted], "{begin}");
                let end = if quit { wanted.quit() } else { wanted.abort() };
                let words: Vec<&str> = end.split(' ').skip(1).collect();
                repo.try_git(&words);
                assert_eq!(kinds(&repo), [], "{end}");
            }
        }
    }
}
