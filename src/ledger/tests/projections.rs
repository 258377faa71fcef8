//! Tags and notes made from the chains, by this program and for plain git.

use crate::ledger::entry::notes_ref;
use crate::ledger::tests::World;
use crate::ledger::{Projecting, append, project, record_tag};
use crate::model::{Event, Oid, Seq};

fn project_now(world: &World) {
    let ledger = world.ledger().unwrap();
    project(&world.git, &world.binding.environment, &ledger, Projecting::Onward).unwrap();
}

fn tag(world: &World, seq: u64, event: &str) -> String {
    record_tag(&world.binding.environment, &world.binding.writer, Seq(seq), event)
}

fn tags(world: &World) -> Vec<(String, Oid)> {
    let found = world.git.refs("refs/tags/gitroll/").unwrap();
    found.into_iter().map(|tag| (tag.name, tag.id)).collect()
}

fn some_records(world: &World) {
    world.append("init", 0);
    world.append("deploy", 1);
    let mut mark = world.draft(&world.binding, "mark", 1);
    mark.record.subject = mark.record.to.take();
    mark.record.sentence = "marked bad \u{202e} by hand".to_owned();
    append(&world.git, &world.binding, &world.ledger().unwrap(), mark).unwrap();
    let mut promote = world.draft(&world.binding, "promote", 0);
    promote.record.event = Event::Promote;
    promote.record.subject = promote.record.to.take();
    append(&world.git, &world.binding, &world.ledger().unwrap(), promote).unwrap();
}

#[test]
fn records_that_serve_and_promotions_have_a_tag_and_all_a_line_in_a_note() {
    let world = World::new();
    some_records(&world);
    assert!(tags(&world).is_empty());
    project_now(&world);
    let names: Vec<String> = tags(&world).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [tag(&world, 1, "init"), tag(&world, 2, "deploy")]);

    let notes = notes_ref(&world.binding.environment, &world.binding.writer);
    let note = world.git.note(&notes, &world.commits[1]).unwrap().unwrap();
    let lines: Vec<&str> = note.lines().collect();
    let short = world.commits[1].short();
    assert_eq!(lines.len(), 2, "{note}");
    assert!(
        lines[0].contains("Z #2 deploy succeeded ") && lines[1].contains("Z #3 mark "),
        "{note}"
    );
    let end = format!("{short} by Ana Lima: production web-1: deploy of {short}");
    assert!(lines[0].ends_with(&end), "{note}");
    assert!(lines[1].ends_with("marked bad \\u{202e} by hand"), "{note}");
    let first = world.git.note(&notes, &world.commits[0]).unwrap().unwrap();
    assert_eq!(first.lines().count(), 2);
    assert_eq!(world.git.note(&notes, &world.commits[2]).unwrap(), None);
}

#[test]
fn what_is_right_is_not_written_again() {
    let world = World::new();
    some_records(&world);
    project_now(&world);
    let notes = notes_ref(&world.binding.environment, &world.binding.writer);
    let state = || (tags(&world), world.git.find_ref(&notes).unwrap());
    let before = state();
    let objects = world.plain(&["count-objects"]);
    project_now(&world);
    std::fs::remove_file(world.git.state_dir().join("cache/projected.json")).unwrap();
    project_now(&world);
    assert_eq!(state(), before);
    assert_eq!(world.plain(&["count-objects"]), objects);
}

#[test]
fn what_was_deleted_moved_or_rewritten_is_put_right() {
    let world = World::new();
    some_records(&world);
    project_now(&world);
    let right = tags(&world);
    let notes = notes_ref(&world.binding.environment, &world.binding.writer);
    let note = world.git.note(&notes, &world.commits[1]).unwrap();

    world.plain(&["update-ref", "-d", &tag(&world, 1, "init")]);
    world.plain(&["update-ref", &tag(&world, 2, "deploy"), "HEAD"]);
    world.plain(&["notes", "--ref", &notes, "add", "-f", "-m", "all is well", "HEAD~1"]);
    project_now(&world);
    assert_eq!(tags(&world), right);
    assert_eq!(world.git.note(&notes, &world.commits[1]).unwrap(), note);

    // The same where the chain grew meanwhile.
    world.plain(&["update-ref", "-d", &tag(&world, 1, "init")]);
    world.plain(&["update-ref", "-d", &notes]);
    world.append("back", 0);
    project_now(&world);
    assert_eq!(tags(&world).len(), right.len() + 1);
    assert_eq!(world.git.note(&notes, &world.commits[1]).unwrap(), note);
    let first = world.git.note(&notes, &world.commits[0]).unwrap().unwrap();
    assert_eq!(first.lines().count(), 3, "{first}");
}

#[test]
fn projections_are_never_read_for_decisions() {
    let world = World::new();
    some_records(&world);
    project_now(&world);
    let before = world.ledger().unwrap();
    let names: Vec<String> = tags(&world).into_iter().map(|(name, _)| name).collect();
    for name in names {
        world.plain(&["update-ref", "-d", &name]);
    }
    world.plain(&[
        "update-ref",
        "-d",
        &notes_ref(&world.binding.environment, &world.binding.writer),
    ]);
    assert_eq!(world.ledger().unwrap().chains, before.chains);
}

/// Plain git agrees: every command of docs/plain-git.md, on real records.
mod plain_git {
    use std::process::Command;

    use crate::ledger::tests::{World, git_command, output, success};
    use crate::ledger::{Projecting, append, project};

    const PAGE: &str = include_str!("../../../docs/plain-git.md");

    /// Shell blocks of the page, without the one that sets its variables.
    fn commands() -> Vec<String> {
        let mut blocks: Vec<String> = Vec::new();
        let mut inside = false;
        for line in PAGE.lines() {
            match (inside, line) {
                (false, "```sh") => {
                    inside = true;
                    blocks.push(String::new());
                }
                (true, "```") => inside = false,
                (true, line) => blocks.last_mut().unwrap().extend([line, "\n"]),
                (false, _) => {}
            }
        }
        blocks
    }

    /// A published history of three records by two writers, and a fresh clone of it.
    fn published() -> World {
        let world = World::new();
        let other = world.other("ci.b");
        world.trust(&[
            ("web-1.k3f9", "", &world.path("key")),
            ("ci.b", "", &world.path("key-ci.b")),
        ]);
        world.append("init", 0);
        world.append_as(&other, "init", 0).unwrap();
        let mut back = world.draft(&world.binding, "back", 1);
        back.record.reason = Some("Errors: 12 %\n\n---\n# since 14:02".to_owned());
        append(&world.git, &world.binding, &world.ledger().unwrap(), back).unwrap();
        project(
            &world.git,
            &world.binding.environment,
            &world.ledger().unwrap(),
            Projecting::Onward,
        )
        .unwrap();
        let remote = world.dir.path().join("remote.git");
        let remote = remote.to_str().unwrap();
        world.plain(&["init", "-q", "--bare", remote]);
        world.plain(&[
            "push",
            "-q",
            remote,
            "refs/heads/main",
            "refs/gitroll/*",
            "refs/notes/gitroll/*",
        ]);
        world.plain(&["push", "-q", remote, "refs/tags/gitroll/*"]);
        world
    }

    fn in_a_clone(world: &World, script: &str) -> Command {
        let clone = world.dir.path().join("clone");
        if !clone.exists() {
            let clone = clone.to_str().unwrap();
            let remote = world.dir.path().join("remote.git");
            world.plain(&[
                "clone",
                "-q",
                "-b",
                "main",
                "--no-tags",
                remote.to_str().unwrap(),
                clone,
            ]);
        }
        let setup = format!(
            "set -eo pipefail\nenvironment=production\nwriter=web-1.k3f9\ntrust='{}'\n",
            world.binding.trust_file().display()
        );
        // The environment of plain git, for a shell.
        let mut bash = Command::new("bash");
        bash.arg("-c").arg(setup + script).current_dir(&clone).env_clear();
        for (name, value) in git_command::<&str>(&clone, &[]).get_envs() {
            bash.envs(value.map(|value| (name, value)));
        }
        bash
    }

    #[test]
    fn every_command_of_the_page_about_plain_git_works_in_a_fresh_clone() {
        let world = published();
        let blocks = commands();
        assert!(blocks.len() >= 12, "{}", blocks.len());
        let said = success(&mut in_a_clone(&world, &blocks.join("\necho ======\n")));
        let said: Vec<&str> = said.split("======").map(str::trim).collect();
        assert_eq!(said.len(), blocks.len());
        let after = |part: &str| {
            let at = blocks.iter().position(|block| block.contains(part)).unwrap();
            said[at]
        };
        assert_eq!(
            after("refs/gitroll/*:"),
            "refs/gitroll/production/ledger/ci.b\nrefs/gitroll/production/ledger/web-1.k3f9"
        );
        let told: Vec<&str> = after("creatordate:iso-strict").lines().collect();
        assert_eq!(told.len(), 3);
        assert!(
            told.iter().any(|line| line.contains(" web-1.k3f9/2-back production web-1: back of "))
        );
        let to: Vec<&str> =
            after("key=Gitroll-To,valueonly").lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(to, [world.commits[0].as_str(), world.commits[1].as_str()]);
        assert!(after("git log").contains("#2 back succeeded"), "{}", after("git log"));
        assert!(after("git log").contains("Notes (gitroll/production/ci.b)"));
        assert!(!after("git describe").contains("gitroll"));
        assert_eq!(
            after("rev-list --first-parent").lines().filter(|l| l.starts_with('#')).count(),
            2
        );
        assert_eq!(after("git fsck"), "");
        assert!(after("interpret-trailers").contains("Gitroll-Outcome: succeeded"));
        assert_eq!(after("awk"), world.commits[1].as_str());
        assert!(after("git notes").contains("#2 back"));
    }

    #[test]
    fn the_page_finds_a_forged_chain() {
        let world = published();
        let walk = commands().into_iter().find(|block| block.contains("rev-list")).unwrap();
        let fetch = "git fetch -q origin 'refs/gitroll/*:refs/gitroll/*'\n";
        success(&mut in_a_clone(&world, &format!("{fetch}{walk}")));
        world.trust(&[("web-1.k3f9", "", &world.path("key-ci.b"))]);
        assert!(!output(&mut in_a_clone(&world, &walk)).status.success());
    }

    #[test]
    fn git_takes_the_trailers_of_a_tag_as_they_were_meant() {
        let world = published();
        let format =
            "%(contents:trailers:key=Gitroll-Outcome,valueonly,separator=)%(contents:signature)";
        let listed =
            world.plain(&["for-each-ref", &format!("--format={format}"), "refs/tags/gitroll/"]);
        assert_eq!(listed.matches("succeeded").count(), 3, "{listed}");
        assert_eq!(listed.matches("BEGIN SSH SIGNATURE").count(), 3, "{listed}");
        assert_eq!(world.plain(&["fsck", "--strict", "--no-dangling"]), "");
        let reason = world.plain(&[
            "for-each-ref",
            "--format=%(contents:body)",
            "refs/tags/gitroll/production/web-1.k3f9/2-back",
        ]);
        assert!(
            reason.starts_with("Errors: 12 %\n\n---\n# since 14:02\n\nGitroll-Record: 1"),
            "{reason}"
        );
    }
}
