//! Commands of a team's own.

use std::time::Duration;

use gitroll::config::{FlagSource, FlagSourceKind};
use gitroll::flag::{self, Value};

use super::world::{World, said, source};

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn commands(get: &[&str], set: &[&str]) -> FlagSource {
    let kind = FlagSourceKind::Command {
        get: words(get),
        set: words(set),
        timeout: Duration::from_millis(1500),
    };
    source(kind)
}

/// A flag in a file of its own, told by arguments.
const GET: [&str; 5] = ["sh", "-c", "cat \"flag-$1\"", "sh", "{name}"];
const SET: [&str; 6] =
    ["sh", "-c", "printf '%s\\n' \"$2\" > \"flag-$1\"", "sh", "{name}", "{value}"];

#[test]
fn commands_are_asked_told_and_asked_again() {
    let world = World::new();
    let source = commands(&GET, &SET);
    world.write("flag-A", "  true\n\n");
    assert_eq!(world.value(&source).unwrap(), Value::text("true"));
    assert!(flag::list(&world.bench.host(), &source).unwrap().is_none());
    let odd = "$(touch pwned); `touch pwned` {name} \"'";
    for value in ["false", odd, "", "-n"] {
        world.set(&source, value).unwrap();
        assert_eq!(world.text("flag-A"), format!("{value}\n"));
    }
    assert!(!world.path("pwned").exists());
    world.restore(&source).unwrap();
    assert_eq!(world.text("flag-A"), "true\n");
    world.set(&source, "false").unwrap();
    world.write("flag-A", "third\n");
    assert_eq!(world.restore(&source).unwrap().len(), 1);
    assert_eq!(world.text("flag-A"), "third\n");
}

#[test]
fn they_run_in_the_live_tree_with_the_environment_of_services() {
    let world = World::new();
    let get = ["sh", "-c", "echo \"$PWD $GITROLL_VERSION $HOME$CARGO_MANIFEST_DIR\""];
    let Value::Known(said) = world.value(&commands(&get, &SET)).unwrap() else { panic!() };
    let home = gitroll::system::user::Account::current().home;
    let wanted = format!("{} 1.2.3 {}", world.bench.top.display(), home.display());
    assert_eq!(said.as_str().unwrap(), wanted);
}

#[test]
fn a_command_that_fails_lies_or_hangs_is_an_error() {
    let world = World::new();
    world.write("flag-A", "true\n");
    world.write("flag-API_TOKEN", "canary\n");
    let get = commands(&["sh", "-c", "echo no such flag >&2; exit 3"], &SET);
    let error = said(world.value(&get));
    assert!(error.contains("exit 3") && error.contains("no such flag"), "{error}");
    let hangs = commands(&["sleep", "60"], &SET);
    assert!(said(world.value(&hangs)).contains("did not end within 1.5 s"));
    let missing = commands(&["no-such-program"], &SET);
    assert!(said(world.value(&missing)).contains("not found"));
    let lies = commands(&GET, &["true"]);
    let error = said(world.set(&lies, "false"));
    assert!(error.contains("still reads as a different value"), "{error}");
    let tells = commands(&GET, &["sh", "-c", "echo \"$1\" | rev | rev; exit 1", "sh", "{value}"]);
    let error = said(world.change(&tells, &[("API_TOKEN", Value::text("canary-new"))]));
    assert!(error.contains("exit 1"), "{error}");
}

#[test]
fn a_value_without_end_is_an_error() {
    let world = World::new();
    world.write("flag-A", "x".repeat(64 * 1024));
    let source = commands(&GET, &SET);
    assert!(world.value(&source).is_ok());
    world.write("flag-A", "x".repeat(64 * 1024 + 1));
    let error = said(world.value(&source));
    assert!(error.contains("more than 64 KiB") && error.len() < 200, "{error}");
}

#[test]
fn a_command_that_was_cut_off_is_answered_by_its_way_back() {
    let world = World::new();
    world.write("flag-A", "true\n");
    // What it began goes on without it.
    let set = [
        "sh",
        "-c",
        "if [ \"$2\" = false ]; then (setsid sh -c 'sleep 3; echo false > flag-A' &) ; sleep 9; fi; echo \"$2\" > flag-A",
        "sh",
        "{name}",
        "{value}",
    ];
    let source = commands(&GET, &set);
    assert!(said(world.set(&source, "false")).contains("did not end within"));
    assert_eq!(world.restore(&source).unwrap(), [""; 0]);
    assert_eq!(world.text("flag-A"), "true\n");
    // One that ended by itself and changed nothing has no more to come.
    let source = commands(&GET, &["sh", "-c", "exit 4", "{name}", "{value}"]);
    flag::forget(&source, &world.undo).unwrap();
    said(world.set(&source, "false"));
    assert_eq!(world.restore(&source).unwrap(), [""; 0]);
}
