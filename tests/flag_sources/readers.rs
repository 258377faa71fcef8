//! What gitroll reads in a `.env` is what npm's `dotenv` reads, and what it writes that and node itself read.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use gitroll::flag::{self, Value};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use super::world::{World, in_tree, name};

/// npm's package, installed once below the target directory.
fn dotenv() -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("test-tools/dotenv");
    let package = dir.join("node_modules/dotenv");
    std::fs::create_dir_all(&dir).unwrap();
    let lock = File::create(dir.join("lock")).unwrap();
    lock.lock().unwrap();
    if !dir.join("done").exists() {
        std::fs::write(dir.join("package.json"), r#"{"name":"test-tools","private":true}"#)
            .unwrap();
        let output = Command::new("npm")
            .args(["install", "dotenv@16.6.1", "--no-audit", "--no-fund", "--ignore-scripts"])
            .current_dir(&dir)
            .output()
            .expect("npm is needed to install dotenv");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::write(dir.join("done"), "").unwrap();
    }
    package
}

/// What the package makes of files: each as an object.
fn read_by_npm(files: &[PathBuf]) -> Vec<serde_json::Map<String, serde_json::Value>> {
    let script = "const d = require(process.argv[1]), fs = require('fs');\
        const files = JSON.parse(fs.readFileSync(0, 'utf8'));\
        console.log(JSON.stringify(files.map(f => d.parse(fs.readFileSync(f)))))";
    let list = files[0].with_file_name("list.json");
    std::fs::write(&list, serde_json::to_vec(files).unwrap()).unwrap();
    let output = Command::new("node")
        .args(["-e", script])
        .arg(dotenv())
        .stdin(File::open(list).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_file_is_read_and_written_as_npms_dotenv_reads_it() {
    let world = World::new();
    let odd =
        "([ABC]{1,2}|export |[=:'\"`#\\\\ \t\n\r]|\\\\n|A=|\nB=|: |[a-z]|\u{feff}|\u{a0}|ü){0,24}";
    let odd = proptest::string::string_regex(odd).unwrap();
    let mut runner = TestRunner::deterministic();
    let source = in_tree(".env");
    let (mut olds, mut news, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..250 {
        let text = odd.new_tree(&mut runner).unwrap().current();
        let old = world.root().join(format!("{number}.old"));
        std::fs::write(&old, &text).unwrap();
        world.write(".env", &text);
        let value = ["false", "two words", "a#b$c", ""][number % 4];
        let new = match world.set(&source, value) {
            Ok(_) => {
                let new = world.root().join(format!("{number}.new"));
                std::fs::copy(world.path(".env"), &new).unwrap();
                world.restore(&source).unwrap();
                assert_eq!(world.text(".env"), text);
                Some((new, value))
            }
            Err(_) => None,
        };
        flag::forget(&source, &world.undo).unwrap();
        let names = flag::list(&world.bench.host(), &source).unwrap().unwrap();
        let values = flag::read(&world.bench.host(), &source, &names).unwrap();
        olds.push(old);
        news.push(new);
        texts.push((text, values));
    }
    let changed: Vec<PathBuf> = news.iter().flatten().map(|(path, _)| path.clone()).collect();
    assert!(changed.len() > 180, "only {} could be changed", changed.len());
    let mut changed = read_by_npm(&changed).into_iter();
    for ((npm, new), (text, ours)) in read_by_npm(&olds).into_iter().zip(news).zip(texts) {
        for (key, value) in &npm {
            if let Ok(key) = key.parse() {
                assert_eq!(ours.get(&key), Some(&Value::Known(value.clone())), "{text:?}");
            }
        }
        assert!(ours.keys().all(|key| npm.contains_key(key.as_str())), "{text:?}");
        if let Some((_, value)) = new {
            let mut wanted = npm;
            wanted.insert("A".to_owned(), value.into());
            assert_eq!(changed.next().unwrap(), wanted, "{text:?}");
        }
    }
}

#[test]
fn node_reads_what_was_written() {
    let world = World::new();
    let source = in_tree("some.env");
    for (old, value) in [
        ("A=true\nB=1\n", "false"),
        ("B=1", "false"),
        ("A='true' # why\nB=1\n", "two words"),
        ("export A=\"true\"\r\nB=1\r\n", "off"),
        ("A=1\nB=1\nA=2\n", "3"),
        ("A= # empty\nB=1\n", "x#y"),
    ] {
        world.write("some.env", old);
        world.set(&source, value).unwrap();
        let script = "console.log(JSON.stringify([process.env.A, process.env.B]))";
        let node = Command::new("node")
            .arg(format!("--env-file={}", world.path("some.env").display()))
            .args(["-e", script])
            .env_remove("A")
            .env_remove("B")
            .output()
            .unwrap();
        let read: Vec<String> = serde_json::from_slice(&node.stdout).unwrap();
        assert_eq!(read, [value, "1"], "{old:?}: {:?}", world.text("some.env"));
        flag::forget(&source, &world.undo).unwrap();
    }
    assert!(flag::in_processes(&[std::process::id()], &name("PATH"))[0].0 == std::process::id());
}
