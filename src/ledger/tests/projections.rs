//! Tags and notes made from the chains, by this program and for plain git.

use super::world::World;
use crate::ledger::{append, notes_ref, project, record_tag};
use crate::model::{Event, Oid, Seq};

fn project_now(world: &World) {
    let ledger = world.ledger().unwrap();
    project(&world.git, &world.binding.environment, &ledger).unwrap();
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
