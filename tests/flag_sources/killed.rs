//! A kill at each place of a change and of the way back: the old file or the new one, never half.

use std::collections::BTreeSet;

use super::world::{World, in_tree};

const FILES: [(&str, &str, &str); 3] = [
    (".env", "# x\nA=true\nB=1\n", "# x\nA=false\nB=1\n"),
    ("f.json", "{\"f\": {\"A\": true}}", "{\"f\": {\"A\": false}}"),
    ("f.yaml", "f:\n  A: true\n  B: 1\n", "f:\n  A: false\n  B: 1\n"),
];

const PLACES: [&str; 3] = ["flags undo kept", "flags before write", "flags after write"];

/// Runs it with a failpoint; says whether it came through.
fn run(world: &World, file: &str, restore: bool, place: &str, action: &str) -> bool {
    let fail_at = if place.is_empty() { String::new() } else { format!("{place}={action}") };
    let output = world.process(file, restore, &fail_at).output().unwrap();
    let places = std::fs::read_to_string(world.root().join("places")).unwrap_or_default();
    assert!(
        place.is_empty() || places.contains(&format!("fired {place}")),
        "{place} was not passed: {places}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.status.success()
}

#[test]
fn a_kill_leaves_the_old_file_or_the_new_one_and_the_way_back() {
    for (file, old, new) in FILES {
        for place in PLACES {
            for action in ["kill", "error"] {
                let world = World::new();
                world.write(file, old);
                assert!(!run(&world, file, false, place, action), "{place} {action}");
                let expected = if place == "flags after write" { new } else { old };
                assert_eq!(world.text(file), expected, "{place}");
                // Straight back, or forwards first: the bytes are those of the beginning.
                if action == "kill" {
                    assert!(run(&world, file, false, "", ""));
                    assert_eq!(world.text(file), new);
                    assert_eq!(world.beside(), [file]);
                }
                assert_eq!(world.restore(&in_tree(file)).unwrap(), [""; 0]);
                assert_eq!(world.text(file), old, "{place} {action}");
                assert_eq!(world.beside(), [file], "{place} {action}");
            }
        }
    }
}

#[test]
fn a_kill_on_the_way_back_leaves_the_old_file_or_the_new_one() {
    for (file, old, new) in FILES {
        for place in ["flags before write", "flags after write"] {
            let world = World::new();
            world.write(file, old);
            assert!(run(&world, file, false, "", ""));
            assert!(!run(&world, file, true, place, "kill"));
            let expected = if place == "flags after write" { old } else { new };
            assert_eq!(world.text(file), expected, "{place}");
            assert!(run(&world, file, true, "", ""));
            assert_eq!(world.text(file), old);
            assert_eq!(world.beside(), [file]);
        }
    }
}

#[test]
fn a_file_that_was_made_goes_again_after_a_kill_anywhere() {
    for place in PLACES {
        let world = World::new();
        assert!(!run(&world, ".env", false, place, "kill"));
        world.restore(&in_tree(".env")).unwrap();
        assert_eq!(world.beside(), [""; 0], "{place}");
    }
    for place in ["flags before write", "flags after write"] {
        let world = World::new();
        assert!(run(&world, ".env", false, "", ""));
        assert!(!run(&world, ".env", true, place, "kill"));
        assert!(run(&world, ".env", true, "", ""));
        assert_eq!(world.beside(), [""; 0], "{place}");
    }
}

#[test]
fn a_change_at_work_is_not_taken_for_a_leftover() {
    let world = World::new();
    let source = in_tree(".env");
    world.write(".env", "A=1\nB=1\n");
    let go = world.root().join("places.go");
    let mut slow = world.process(".env", false, "flags before write=wait").spawn().unwrap();
    let places = || std::fs::read_to_string(world.root().join("places")).unwrap_or_default();
    assert!(crate::support::bench::until(|| places().contains("fired")));
    let error = super::world::said(world.set(&source, "2"));
    assert!(error.contains("something else keeps changing it"), "{error}");
    std::fs::write(go, "").unwrap();
    assert!(slow.wait().unwrap().success());
    assert_eq!(world.text(".env"), "A=false\nB=1\n");
}

#[test]
fn an_edit_at_the_last_moment_is_seen() {
    let world = World::new();
    world.write(".env", "A=1\n");
    let mut slow = world.process(".env", false, "flags before write=wait").spawn().unwrap();
    let places = || std::fs::read_to_string(world.root().join("places")).unwrap_or_default();
    assert!(crate::support::bench::until(|| places().contains("fired")));
    world.write(".env", "A=1\nB=theirs\n");
    std::fs::write(world.root().join("places.go"), "").unwrap();
    assert!(slow.wait().unwrap().success());
    assert_eq!(world.text(".env"), "A=false\nB=theirs\n");
    world.restore(&in_tree(".env")).unwrap();
    assert_eq!(world.text(".env"), "A=1\nB=theirs\n");
    let passed: BTreeSet<_> = places().lines().map(str::to_owned).collect();
    assert!(PLACES.iter().all(|place| passed.contains(*place)), "{passed:?}");
}
