//! Files that services hold open are never taken from under them.

use super::problem::Problem;
use crate::model::{Activation, Keep, PathChange, RepoPath};
use crate::site::HeldFile;

/// What a plan would do to files that are `held` open: each is a problem, but one that merely leaves git
/// stays where it is. (So taking a database out of git and deploying that is a way out.)
///
/// A log in a build output is not a problem: the service continues writing into it where it is kept, until it
/// is reloaded.
pub fn settle(activation: &mut Activation, held: &[HeldFile]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, file) in held.iter().enumerate() {
        // A database is named once, not with each of its files.
        if held[..index].iter().any(|earlier| earlier.is_part_of(&file.path)) {
            continue;
        }
        let output = activation.artifacts.iter().find(|a| file.path.starts_with(&a.output));
        if let (Some(artifact), false) = (output, file.log) {
            problems.push(in_output(file, &artifact.output));
            continue;
        }
        let (mine, others): (Vec<PathChange>, Vec<PathChange>) =
            activation.changes.drain(..).partition(|change| file.is_part_of(&change.path));
        let stays = |change: &PathChange| change.after.is_none() && is_free(&change.path, &others);
        if !mine.is_empty() && mine.iter().all(stays) {
            for PathChange { path, .. } in mine {
                activation.saves.retain(|save| save.path != path);
                activation.kept.push(Keep { path, why: "open".to_owned() });
            }
            activation.changes = others;
            continue;
        }
        let saved = activation
            .saves
            .iter()
            .map(|save| &save.path)
            .find(|path| file.path.starts_with(path) || file.is_part_of(path));
        match mine.first() {
            Some(change) => {
                let comes_back = mine.iter().all(|change| change.before.is_none());
                problems.push(pulled_away(file, &change.path, !comes_back));
            }
            None if saved.is_some() => problems.push(pulled_away(file, &file.path, false)),
            None => {}
        }
        activation.changes = others.into_iter().chain(mine).collect();
        activation.changes.sort_by(|a, b| a.path.cmp(&b.path));
    }
    problems
}

/// What is wrong with those of the `held` files that git tracks, before any plan touches them.
pub fn tracked(held: &[HeldFile], tracked: impl Fn(&RepoPath) -> bool) -> Vec<String> {
    let told = |file: &HeldFile| {
        format!(
            "{}, and git tracks it: a deploy must not replace it; {}",
            open(file),
            out_of_git(file)
        )
    };
    held.iter().filter(|file| tracked(&file.path)).map(told).collect()
}

/// Whether nothing comes that needs the place of `path`.
fn is_free(path: &RepoPath, changes: &[PathChange]) -> bool {
    let needs = |other: &RepoPath| other.starts_with(path) || path.starts_with(other);
    !changes.iter().any(|change| change.after.is_some() && needs(&change.path))
}

fn pulled_away(file: &HeldFile, path: &RepoPath, leaves_git: bool) -> Problem {
    let what = match (path == &file.path, file.log) {
        (true, true) => "gitroll would replace it, and the service would keep writing to the \
                         saved file"
            .to_owned(),
        (true, false) => "gitroll would replace the file of a running database".to_owned(),
        (false, _) => format!("gitroll would replace {path}, the file of a running database"),
    };
    let local = format!(
        "list {} under `local` in [app] of gitroll.toml, then run gitroll init: gitroll then leaves it alone",
        file.path
    );
    Problem {
        message: format!("{}: {what}", open(file)),
        hint: if leaves_git { format!("{}; or {local}", out_of_git(file)) } else { local },
        command: None,
        policy: false,
    }
}

fn in_output(file: &HeldFile, output: &RepoPath) -> Problem {
    Problem {
        message: format!(
            "{}: gitroll would swap the build output {output} and replace the file of a running \
             database",
            open(file)
        ),
        hint: format!(
            "keep data out of build outputs: move it to its own directory and configure the app, or \
             remove {output} from `outputs`"
        ),
        command: None,
        policy: false,
    }
}

fn open(file: &HeldFile) -> String {
    let how = if file.log { "open as a log by" } else { "held open for writing by" };
    format!("{} is {how} {} (pid {})", file.path, file.holder, file.pid)
}

fn out_of_git(file: &HeldFile) -> String {
    format!("remove it from git: git rm --cached {}, and add it to .gitignore", file.path)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::{ArtifactMove, Save, TreeEntry, TreeMode};

    fn path(text: &str) -> RepoPath {
        RepoPath::new(text).unwrap()
    }

    fn held(text: &str, log: bool) -> HeldFile {
        HeldFile { path: path(text), holder: "web".to_owned(), pid: 4711, log }
    }

    /// `before` and `after`: whether git has it there.
    fn change(text: &str, before: bool, after: bool) -> PathChange {
        let entry = |there: bool| {
            let id = "4be21d9000000000000000000000000000000000".parse().unwrap();
            there.then_some(TreeEntry { mode: TreeMode::File, id })
        };
        PathChange { path: path(text), before: entry(before), after: entry(after), lying: None }
    }

    fn save(text: &str) -> Save {
        Save { path: path(text), what: "untracked".to_owned() }
    }

    #[test]
    fn a_tracked_database_that_would_change_is_refused_with_the_way_out() {
        let mut activation =
            Activation { changes: vec![change("data/app.db", true, true)], ..Default::default() };
        let before = activation.clone();
        let problems = settle(&mut activation, &[held("data/app.db", false)]);
        assert_eq!(
            problems[0].message,
            "data/app.db is held open for writing by web (pid 4711): gitroll would replace the \
             file of a running database"
        );
        assert!(problems[0].hint.starts_with(
            "remove it from git: git rm --cached data/app.db, and add it to .gitignore; or list"
        ));
        assert_eq!(activation, before);
    }

    #[test]
    fn what_is_touched_is_refused_and_nothing_else() {
        let swap = |output: &str| ArtifactMove {
            output: path(output),
            incoming: None,
            outgoing: Some("seen-1".parse().unwrap()),
        };
        let touching =
            |changes: &[PathChange], saves: &[Save], swaps: &[ArtifactMove]| Activation {
                changes: changes.to_vec(),
                saves: saves.to_vec(),
                artifacts: swaps.to_vec(),
                kept: Vec::new(),
            };
        let database = held("data/app.db", false);
        let cases: [(&str, Activation, &HeldFile, usize); 11] = [
            ("another file", touching(&[change("a.js", true, true)], &[], &[]), &database, 0),
            ("nothing", touching(&[], &[], &[]), &database, 0),
            ("it comes", touching(&[change("data/app.db", false, true)], &[], &[]), &database, 1),
            ("its wal", touching(&[change("data/app.db-wal", true, true)], &[], &[]), &database, 1),
            ("a namesake", touching(&[change("data/app.db2", true, true)], &[], &[]), &database, 0),
            ("its directory", touching(&[], &[save("data")], &[]), &database, 1),
            ("itself, untracked", touching(&[], &[save("data/app.db")], &[]), &database, 1),
            ("an output", touching(&[], &[], &[swap("data")]), &database, 1),
            ("another output", touching(&[], &[], &[swap("dat")]), &database, 0),
            (
                "a log in an output",
                touching(&[], &[], &[swap("dist")]),
                &held("dist/web.log", true),
                0,
            ),
            (
                "a tracked log",
                touching(&[change("web.log", true, true)], &[save("web.log")], &[]),
                &held("web.log", true),
                1,
            ),
        ];
        for (name, mut activation, file, wanted) in cases {
            let before = activation.clone();
            let problems = settle(&mut activation, std::slice::from_ref(file));
            assert_eq!(problems.len(), wanted, "{name}: {problems:?}");
            assert_eq!(activation, before, "{name}");
        }
    }

    #[test]
    fn a_database_that_leaves_git_stays_with_what_belongs_to_it() {
        let mut activation = Activation {
            changes: vec![
                change(".gitignore", true, true),
                change("data/app.db", true, false),
                change("data/app.db-wal", true, false),
            ],
            saves: vec![save("data/app.db")],
            ..Default::default()
        };
        assert_eq!(settle(&mut activation, &[held("data/app.db", false)]), []);
        assert_eq!(activation.changes, [change(".gitignore", true, true)]);
        assert_eq!(activation.saves, []);
        let kept: Vec<String> = activation.kept.iter().map(|keep| keep.path.to_string()).collect();
        assert_eq!(kept, ["data/app.db", "data/app.db-wal"]);
    }

    #[test]
    fn a_database_whose_place_is_needed_does_not_stay() {
        let mut activation = Activation {
            changes: vec![change("data", false, true), change("data/app.db", true, false)],
            ..Default::default()
        };
        assert_eq!(settle(&mut activation, &[held("data/app.db", false)]).len(), 1);
        assert_eq!(activation.changes.len(), 2);
    }
}
