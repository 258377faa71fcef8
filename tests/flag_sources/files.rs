//! Files: what stays as it was, what is refused, and others who edit at the same moment.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use gitroll::flag::{self, Value};
use serde_json::json;

use super::world::{World, in_tree, name, on_host, said};

#[test]
fn a_flag_is_switched_and_the_way_back_gives_the_same_bytes_in_every_format() {
    let table = [
        (".env", "\u{feff}# x\r\nexport A = 'true' # why\r\nB=1", json!("false")),
        (".env", "B=1", json!("false")),
        ("f.json", "{\r\n  \"f\": { \"A\": true }\r\n}", json!(false)),
        ("f.toml", "# x\n[f]\nA = true # why\n", json!(false)),
        ("f.yaml", "# x\nf:\n  A: true # why\n  B: x\n", json!(false)),
    ];
    for (file, text, value) in table {
        let world = World::new();
        let source = in_tree(file);
        world.write(file, text);
        fs::set_permissions(world.path(file), Permissions::from_mode(0o644)).unwrap();
        world.set(&source, value.clone()).unwrap();
        assert_eq!(world.value(&source).unwrap(), Value::Known(value.clone()), "{file}");
        assert_ne!(world.text(file), text);
        // Again, as a resumed run would.
        world.set(&source, value).unwrap();
        for _ in 0..2 {
            assert_eq!(world.restore(&source).unwrap(), [""; 0]);
            assert_eq!(world.text(file), text, "{file}");
        }
        assert_eq!(world.path(file).metadata().unwrap().mode() & 0o7777, 0o644);
        assert_eq!(world.beside(), [file]);
        flag::forget(&source, &world.undo).unwrap();
        assert!(!world.undo.exists());
    }
}

#[test]
fn what_is_as_wanted_is_not_touched() {
    let world = World::new();
    let source = in_tree(".env");
    world.write(".env", "A=false\n");
    let before = world.path(".env").metadata().unwrap();
    assert_eq!(world.set(&source, "false").unwrap(), [""; 0]);
    let after = world.path(".env").metadata().unwrap();
    assert_eq!((before.ino(), before.ctime_nsec()), (after.ino(), after.ctime_nsec()));
    assert!(!world.undo.exists());
    assert_eq!(world.restore(&source).unwrap(), [""; 0]);
}

#[test]
fn a_missing_env_file_is_made_private_and_goes_again() {
    let world = World::new();
    let source = in_tree(".env");
    assert_eq!(world.value(&source).unwrap(), Value::Absent);
    world.set(&source, "false").unwrap();
    assert_eq!(world.text(".env"), "A=false\n");
    assert_eq!(world.path(".env").metadata().unwrap().mode() & 0o7777, 0o600);
    world.restore(&source).unwrap();
    assert_eq!(world.beside(), [""; 0]);
    // A document is never made up.
    assert!(said(world.set(&in_tree("f.json"), false)).contains("f.json: is not there"));
    assert!(said(world.set(&in_tree("no/.env"), "x")).contains("its directory does not exist"));
}

#[test]
fn several_changes_of_one_run_lead_back_to_where_it_began() {
    let world = World::new();
    let source = in_tree(".env");
    world.write(".env", "A=1 # one\n");
    for step in ["2", "3", "4"] {
        world.set(&source, step).unwrap();
    }
    world.change(&source, &[("B", Value::text("x"))]).unwrap();
    assert_eq!(world.text(".env"), "A=4 # one\nB=x\n");
    world.restore(&source).unwrap();
    assert_eq!(world.text(".env"), "A=1 # one\n");
}

#[test]
fn an_edit_made_meanwhile_stays_and_only_our_flags_go_back() {
    let world = World::new();
    let source = in_tree(".env");
    world.write(".env", "A='1'\nC=1\n");
    world
        .change(
            &source,
            &[("A", Value::text("2")), ("B", Value::text("2")), ("C", Value::text("2"))],
        )
        .unwrap();
    assert_eq!(world.text(".env"), "A='2'\nC=2\nB=2\n");
    world.write(".env", "# theirs\nA='2'\nC=3\nB=2\nD=4\n");
    let notes = world.restore(&source).unwrap();
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("flag C"), "{notes:?}");
    assert_eq!(world.text(".env"), "# theirs\nA='1'\nC=3\nD=4\n");
    world.restore(&source).unwrap();
    assert_eq!(world.text(".env"), "# theirs\nA='1'\nC=3\nD=4\n");
    // Between two changes of one run.
    let world = World::new();
    world.write(".env", "A=1\n");
    world.set(&source, "2").unwrap();
    world.write(".env", "A=2\nD=4\n");
    world.set(&source, "3").unwrap();
    world.restore(&source).unwrap();
    assert_eq!(world.text(".env"), "A=1\nD=4\n");
    // The file is gone.
    world.set(&source, "2").unwrap();
    fs::remove_file(world.path(".env")).unwrap();
    assert_eq!(world.restore(&source).unwrap().len(), 1);
    assert_eq!(world.beside(), [""; 0]);
}

#[test]
fn a_name_that_is_set_twice_is_told() {
    let world = World::new();
    world.write(".env", "A=1\nA=2\n");
    let notes = world.set(&in_tree(".env"), "3").unwrap();
    assert!(notes[0].contains("more than once"), "{notes:?}");
    assert_eq!(world.text(".env"), "A=1\nA=3\n");
}

#[test]
fn what_is_no_plain_file_of_its_own_is_refused_and_stays() {
    let world = World::new();
    let outside = world.root().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join(".env"), "A=1\n").unwrap();
    symlink(outside.join(".env"), world.path("link.env")).unwrap();
    symlink("VERSION", world.path("inside.env")).unwrap();
    symlink(&outside, world.path("dir")).unwrap();
    fs::create_dir(world.path("directory.env")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        world.path("fifo.env"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    fs::write(world.path("twin"), "A=1\n").unwrap();
    fs::hard_link(world.path("twin"), world.path("hard.env")).unwrap();
    fs::write(world.path("huge.env"), vec![b'#'; 1024 * 1024 + 1]).unwrap();
    for (file, why) in [
        ("link.env", "symbolic link"),
        ("inside.env", "symbolic link"),
        ("dir/.env", "symbolic link"),
        ("directory.env", "a directory"),
        ("fifo.env", "not a regular file"),
        ("hard.env", "other hard links"),
        ("huge.env", "larger than 1 MiB"),
    ] {
        let source = in_tree(file);
        for error in [said(world.value(&source)), said(world.set(&source, "0"))] {
            assert!(error.contains(why) && error.contains(file), "{file}: {error}");
        }
    }
    assert_eq!(fs::read_to_string(outside.join(".env")).unwrap(), "A=1\n");
    let link = on_host(&world.path("link.env"));
    assert!(said(world.set(&link, "0")).contains("symbolic link"));
    fs::set_permissions(&outside, Permissions::from_mode(0o777)).unwrap();
    let open = on_host(&outside.join(".env"));
    assert!(said(world.set(&open, "0")).contains("everyone can write to its directory"));
    fs::set_permissions(&outside, Permissions::from_mode(0o1777)).unwrap();
    world.set(&open, "0").unwrap();
    assert_eq!(fs::read_to_string(outside.join(".env")).unwrap(), "A=0\n");
}

#[test]
fn owner_access_list_and_attributes_are_kept() {
    let world = World::new();
    let source = in_tree(".env");
    world.write(".env", "A=1\n");
    let path = world.path(".env");
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let file = File::open(&path).unwrap();
    let flags = rustix::fs::XattrFlags::empty();
    let attributes = rustix::fs::fsetxattr(&file, "user.note", b"kept", flags).is_ok();
    let list = Command::new("setfacl").args(["-m", "u:54321:r"]).arg(&path).status();
    let owner = rustix::process::geteuid().is_root();
    if owner {
        std::os::unix::fs::chown(&path, Some(54_321), Some(54_322)).unwrap();
    }
    world.set(&source, "2").unwrap();
    let now = path.metadata().unwrap();
    if owner {
        assert_eq!((now.uid(), now.gid()), (54_321, 54_322));
    }
    if attributes {
        let mut value = [0; 8];
        let length = rustix::fs::getxattr(&path, "user.note", &mut value[..]).unwrap();
        assert_eq!(&value[..length], b"kept");
    }
    if list.is_ok_and(|status| status.success()) {
        let said = Command::new("getfacl").arg(&path).output().unwrap();
        assert!(String::from_utf8_lossy(&said.stdout).contains("user:54321:r"));
    } else {
        assert_eq!(now.mode() & 0o7777, 0o640);
    }
}

#[test]
fn as_another_user_what_cannot_be_read_or_given_back_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let world = World::new();
    fs::set_permissions(world.root(), Permissions::from_mode(0o755)).unwrap();
    let program = world.root().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let give = |path: &std::path::Path| {
        std::os::unix::fs::chown(path, Some(54_321), Some(54_321)).unwrap()
    };
    give(&world.bench.top);
    let run = || {
        let child = world.process(".env", false, "");
        let mut command = Command::new("setpriv");
        command.args(["--reuid=54321", "--regid=54321", "--clear-groups", "--"]).arg(&program);
        command.args(child.get_args());
        command.envs(child.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = command.env("FLAGS_DIR", world.root()).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    fs::create_dir(&world.undo).unwrap();
    give(&world.undo);
    world.write(".env", "A=canary\n");
    fs::set_permissions(world.path(".env"), Permissions::from_mode(0o600)).unwrap();
    let (done, said) = run();
    assert!(!done && said.contains("this user may not read it"), "{said}");
    fs::set_permissions(world.path(".env"), Permissions::from_mode(0o644)).unwrap();
    let (done, said) = run();
    assert!(!done && said.contains("belongs to user 0 and group 0"), "{said}");
    give(&world.path(".env"));
    fs::set_permissions(&world.bench.top, Permissions::from_mode(0o555)).unwrap();
    let (done, said) = run();
    assert!(!done && said.contains("this user cannot write to its directory"), "{said}");
    assert_eq!(world.text(".env"), "A=canary\n");
    assert_eq!(world.beside(), [".env"]);
    fs::set_permissions(&world.bench.top, Permissions::from_mode(0o755)).unwrap();
    let (done, said) = run();
    assert!(done, "{said}");
    assert_eq!(world.text(".env"), "A=false\n");
}

/// Ends the editor however a test ends.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Between two edits of somebody who edits all the time.
fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(60));
}

/// As editors save: a new file in the place of the old one.
#[test]
fn of_what_somebody_else_writes_meanwhile_nothing_is_lost() {
    let world = World::new();
    let source = in_tree(".env");
    world.write(".env", "A=0\n");
    let path = world.path(".env");
    let over = AtomicBool::new(false);
    let edits = std::thread::scope(|scope| {
        let editor = scope.spawn(|| {
            let mut edits = 0;
            while !over.load(Ordering::Relaxed) {
                let mut text = fs::read_to_string(&path).unwrap();
                text.push_str(&format!("N{edits}=x\n"));
                let new = world.path("editor.tmp");
                fs::write(&new, &text).unwrap();
                // What an editor does that looks before it saves; it too has a moment between the two.
                if fs::read_to_string(&path).is_ok_and(|now| text.starts_with(&now)) {
                    fs::rename(&new, &path).unwrap();
                    edits += 1;
                }
                pause();
            }
            edits
        });
        let ends = Over(&over);
        let mut busy = 0;
        for turn in 1..=20 {
            match world.set(&source, turn.to_string()) {
                Ok(_) => {}
                Err(flag::FlagError::Busy { .. }) => busy += 1,
                Err(error) => panic!("{error}"),
            }
        }
        drop(ends);
        assert!(busy < 10, "{busy} of 20 changes gave up");
        editor.join().unwrap()
    });
    let text = world.text(".env");
    let missing: Vec<_> = (0..edits).filter(|n| !text.contains(&format!("N{n}=x\n"))).collect();
    assert!(edits > 5, "{edits}");
    assert_eq!(missing, [0; 0], "of {edits} edits");
    assert_eq!(text.matches("A=").count(), 1);
    world.set(&source, "over").unwrap();
    assert_eq!(world.value(&source).unwrap(), Value::text("over"));
}

#[test]
fn lines_appended_meanwhile_are_not_lost() {
    let world = World::new();
    let source = in_tree(".env");
    world.write(".env", "A=0\n");
    let path = world.path(".env");
    let over = AtomicBool::new(false);
    let (written, lost) = std::thread::scope(|scope| {
        let editor = scope.spawn(|| {
            let mut written = 0;
            while !over.load(Ordering::Relaxed) {
                // One open, one write: what falls between the two is the window.
                let mut file = OpenOptions::new().append(true).open(&path).unwrap();
                file.write_all(format!("N{written}=x\n").as_bytes()).unwrap();
                written += 1;
                pause();
            }
            written
        });
        let ends = Over(&over);
        for turn in 1..=20 {
            match world.set(&source, turn.to_string()) {
                Ok(_) | Err(flag::FlagError::Busy { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        drop(ends);
        let written = editor.join().unwrap();
        let text = world.text(".env");
        (written, (0..written).filter(|n| !text.contains(&format!("N{n}=x\n"))).count())
    });
    assert!(written > 5, "{written}");
    assert!(lost <= 1, "{lost} of {written} lines are lost");
}

#[test]
fn flags_are_listed_where_the_source_can_tell() {
    let world = World::new();
    world.write(".env", "B=1\n# C=1\nA=2\nexport D=1\n1X=2\n");
    world.write("f.json", r#"{"f": {"A": true, "nested": {"B": 1}, "C": "x"}}"#);
    let list = |file: &str| flag::list(&world.bench.host(), &in_tree(file)).unwrap().unwrap();
    assert_eq!(list(".env"), [name("A"), name("B"), name("D")]);
    assert_eq!(list("f.json"), [name("A"), name("C")]);
    assert_eq!(list("none.env"), []);
}

#[test]
fn secrets_are_kept_for_the_way_back_and_shown_nowhere() {
    let world = World::new();
    let source = in_tree(".env");
    world.write(".env", "API_TOKEN=canary-1\n");
    world.change(&source, &[("API_TOKEN", Value::text("canary-2"))]).unwrap();
    let token = name("API_TOKEN");
    let read = flag::read(&world.bench.host(), &source, std::slice::from_ref(&token)).unwrap();
    assert!(!format!("{read:?}").contains("canary"));
    assert!(!read[&token].shown(&token).to_string().contains("canary"));
    world.write(".env", "API_TOKEN=canary-3\n");
    let notes = world.restore(&source).unwrap();
    assert!(notes.len() == 1 && !notes[0].contains("canary"), "{notes:?}");
    world.write(".env", "API_TOKEN=canary-2\nB=1\n");
    world.restore(&source).unwrap();
    assert_eq!(world.text(".env"), "API_TOKEN=canary-1\nB=1\n");
}
