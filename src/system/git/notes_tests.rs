#![allow(clippy::unwrap_used)]

use jiff::Timestamp;

use crate::model::{Oid, Person};

use super::super::testing::Repo;

const NOTES: &str = "refs/notes/gitroll/production/web-1.k3f9";

fn ana() -> Person {
    let time = Timestamp::from_second(1_767_323_045).unwrap();
    Person { name: "Ana".to_owned(), email: "ana@example.org".to_owned(), time }
}

#[test]
fn a_note_reads_the_same_here_and_in_git() {
    let repo = Repo::new();
    let head = repo.id("HEAD");
    let git = repo.open();
    assert_eq!(git.note(NOTES, &head).unwrap(), None);
    git.set_note(NOTES, &head, "served\n", &ana()).unwrap();
    git.set_note(NOTES, &head, "served\nand left\n", &ana()).unwrap();
    assert_eq!(git.note(NOTES, &head).unwrap().as_deref(), Some("served\nand left\n"));
    let shown =
        repo.git(&["notes", "--ref", "gitroll/production/web-1.k3f9", "show", head.as_str()]);
    assert_eq!(shown, "served\nand left");
    let log = repo.git(&["log", "-1", "--format=%N", "--notes=gitroll/production/*"]);
    assert_eq!(log.trim_end(), "served\nand left");
    // The same again is no new commit.
    let tip = repo.id(NOTES);
    git.set_note(NOTES, &head, "served\nand left\n", &ana()).unwrap();
    assert_eq!(repo.id(NOTES), tip);
    repo.git(&["fsck", "--strict", "--no-dangling"]);
}

#[test]
fn many_notes_fan_out_as_git_would_lay_them() {
    let repo = Repo::new();
    let mut script = String::new();
    for n in 0..400 {
        script += &format!("commit refs/heads/many\ncommitter A <a@b> {n} +0000\ndata 1\nx\n");
    }
    repo.feed(&["fast-import", "--quiet"], script.as_bytes());
    let commits: Vec<Oid> =
        repo.git(&["rev-list", "many"]).lines().map(|line| line.parse().unwrap()).collect();
    let (few, most) = commits.split_at(12);
    repo.git(&["notes", "--ref=plain", "add", "-m", "copied", most[0].as_str()]);
    let copies: String = most[1..].iter().map(|id| format!("{} {id}\n", most[0])).collect();
    repo.feed(&["notes", "--ref=plain", "copy", "--stdin"], copies.as_bytes());
    repo.git(&["update-ref", NOTES, "refs/notes/plain"]);

    let git = repo.open();
    for commit in few {
        git.set_note(NOTES, commit, &format!("note on {commit}\n"), &ana()).unwrap();
        let text = format!("note on {commit}");
        repo.git(&["notes", "--ref=plain", "add", "-m", &text, commit.as_str()]);
    }
    let ours = repo.git(&["ls-tree", "-r", NOTES]);
    assert!(ours.lines().all(|line| line.matches('/').count() == 1), "no fan-out: {ours}");
    assert_eq!(ours, repo.git(&["ls-tree", "-r", "refs/notes/plain"]), "git lays them otherwise");
}

#[test]
fn writers_at_the_same_time_lose_no_note() {
    let repo = Repo::new();
    let tree = repo.id("HEAD^{tree}");
    let git = repo.open();
    let commits: Vec<_> =
        (0..40).map(|n| git.write_commit(&tree, &[], &ana(), &format!("{n}\n")).unwrap()).collect();
    std::thread::scope(|scope| {
        for part in commits.chunks(10) {
            let repo = &repo;
            scope.spawn(move || {
                let git = repo.open();
                for commit in part {
                    git.set_note(NOTES, commit, "x\n", &ana()).unwrap();
                }
            });
        }
    });
    for commit in &commits {
        assert_eq!(git.note(NOTES, commit).unwrap().as_deref(), Some("x\n"));
    }
}
