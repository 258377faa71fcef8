//! The map in the crate's documentation, held: which part may know which, that no files import each other, who may touch
//! processes and sockets, who may print, how large a file gets, and that the documents agree with the tree.

mod circles;
mod documents;
mod english;
mod map;
mod source;

use std::collections::BTreeMap;

use source::{File, files};

/// What each part of `src/` may name. A part that is not here has no place in the map yet.
fn may_use() -> BTreeMap<&'static str, Vec<&'static str>> {
    let ground = ["model", "config", "system"];
    let with = |more: &[&'static str]| [&ground, more].concat();
    let parts = ["target", "ledger", "layout", "build", "service", "check", "flag", "data"];
    BTreeMap::from([
        ("model", vec![]),
        ("config", vec!["model", "system"]),
        ("system", vec!["model"]),
        ("build", with(&[])),
        ("data", with(&[])),
        ("ledger", with(&[])),
        ("service", with(&[])),
        ("target", vec!["model"]),
        ("diagnosis", vec!["model"]),
        ("layout", with(&["build"])),
        ("check", with(&["service"])),
        ("flag", with(&["service", "check"])),
        ("tell", with(&["check"])),
        ("watch", with(&["check"])),
        ("site", with(&["ledger", "build", "layout", "service", "check", "flag"])),
        ("report", with(&["ledger"])),
        ("component", with(&["ledger"])),
        ("plan", [&with(&parts)[..], &["site", "component", "diagnosis"]].concat()),
        ("adopt", with(&["ledger", "target", "service", "check", "site", "plan"])),
        ("engine", [&with(&parts[1..])[..], &["site"]].concat()),
        ("doctor", [&with(&parts)[..], &["site", "plan", "engine", "tell"]].concat()),
        (
            "act",
            [
                &with(&parts)[..],
                &[
                    "component",
                    "diagnosis",
                    "plan",
                    "engine",
                    "doctor",
                    "report",
                    "adopt",
                    "site",
                    "tell",
                    "watch",
                ],
            ]
            .concat(),
        ),
        ("ui", vec!["model", "system"]),
        (
            "cli",
            [
                &with(&parts)[..],
                &[
                    "act",
                    "component",
                    "diagnosis",
                    "plan",
                    "engine",
                    "doctor",
                    "report",
                    "adopt",
                    "site",
                    "tell",
                    "watch",
                    "ui",
                ],
            ]
            .concat(),
        ),
        ("lib", vec!["cli", "ui"]),
        ("main", vec!["cli"]),
    ])
}

/// Names that touch the world, and the parts that may say them.
const TOUCHING: [(&str, &[&str]); 9] = [
    ("std::process", &["system"]),
    ("gix", &["system"]),
    ("clap", &["cli"]),
    ("duct", &["system"]),
    ("std::net", &["system", "check"]),
    ("std::os::unix::net", &["system", "check"]),
    ("tokio", &["check"]),
    ("reqwest", &["check"]),
    ("lettre", &["tell"]),
];

/// Said by everybody: an exit code, a number and the shape of a URL or an address touch nothing.
const HARMLESS: [&str; 8] = [
    "std::process::ExitCode",
    "std::process::id",
    "reqwest::Url",
    "lettre::message::Mailbox",
    "std::net::IpAddr",
    "std::net::Ipv4Addr",
    "std::net::Ipv6Addr",
    "std::net::SocketAddr",
];

/// What the pure parts may not say.
const IMPURE: [&str; 15] = [
    "std::fs",
    "std::env",
    "std::thread",
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "std::io",
    "std::net",
    "std::process",
    "crate::system",
    "gix",
    "duct",
    "tokio",
    "reqwest",
];

/// What decides on data alone: a folder, or a file with the folder of its name.
const PURE: [&str; 6] =
    ["model", "target", "diagnosis", "engine/phase", "ledger/fold", "plan/describe"];

const PRINTING: [&str; 6] =
    ["println!", "print!", "eprintln!", "eprint!", "io::stdout", "io::stderr"];

const MOST_LINES: usize = 900;

#[test]
fn dependencies_point_downwards() {
    none(files().iter().flat_map(wrong_directions));
}

#[test]
fn only_the_ground_floor_touches_processes_sockets_and_git() {
    none(files().iter().flat_map(touches));
}

#[test]
fn what_is_pure_touches_nothing() {
    let files = files();
    for pure in PURE {
        let belongs = |f: &&File| is_in(&f.path, pure);
        assert!(files.iter().any(|f| belongs(&f)), "src has no {pure}");
        none(files.iter().filter(belongs).flat_map(|f| {
            let said = IMPURE.iter().filter(|name| f.names_except(name, &HARMLESS));
            said.map(|name| format!("{} says {name}", f.path))
        }));
    }
}

#[test]
fn no_files_import_each_other() {
    none(circles::circles(&files()).iter().map(circles::Circle::told));
}

#[test]
fn only_the_ui_prints() {
    none(files().iter().filter(|f| f.part != "ui").flat_map(|f| {
        PRINTING.iter().filter(|name| f.names(name)).map(|name| format!("{} says {name}", f.path))
    }));
}

#[test]
fn no_file_is_too_long() {
    none(files().iter().filter(|f| f.lines > MOST_LINES).map(|f| {
        format!("{} has {} lines, split it by noun (most: {MOST_LINES})", f.path, f.lines)
    }));
}

#[test]
fn every_file_is_named_by_what_it_is_about() {
    const VAGUE: [&str; 8] =
        ["util", "utils", "helper", "helpers", "manager", "misc", "common", "handler"];
    none(files().iter().filter(|f| f.words().any(|w| VAGUE.contains(&w))).map(|f| f.path.clone()));
}

#[test]
fn the_lint_sees_every_way_to_print() {
    let prints = |text: &str| PRINTING.iter().any(|n| File::read("cli/x.rs", text).names(n));
    for text in [
        "println!(\"x\")",
        "eprint!(\"x\")",
        "std::io::stdout().lock()",
        "use std::io::{self, stderr};",
    ] {
        assert!(prints(text), "{text}");
    }
    for text in ["sprintln!(x)", "// println!", "my_io::stdouts()", "writeln!(f, \"println!\")"] {
        assert!(!prints(text), "{text}");
    }
}

#[test]
fn the_lint_sees_every_circle() {
    let circles = |texts: &[(&str, &str)]| {
        let files: Vec<File> = texts.iter().map(|(path, text)| File::read(path, text)).collect();
        circles::circles(&files).len()
    };
    let one = ("a/one.rs", "use super::two::Two;\npub struct One(Two);");
    let two = "use crate::a::one::One;\npub struct Two(One);";
    assert_eq!(circles(&[("a/mod.rs", "mod one;\nmod two;"), one, ("a/two.rs", two)]), 1);
    assert_eq!(circles(&[("a/mod.rs", "mod one;"), one, ("a/two.rs", "pub struct Two;")]), 0);
    // Over a re-export, which itself is no import of the child's.
    let exported = ("a/mod.rs", "pub use one::One;");
    let taken = ("a/two.rs", "use super::One;\npub struct Two(One);");
    assert_eq!(circles(&[exported, one, taken]), 1);
    // A child that takes what its mod.rs defines, and is re-exported by it.
    let parent = ("a/mod.rs", "pub use one::One;\npub struct Error;");
    assert_eq!(circles(&[parent, ("a/one.rs", "use super::Error;\npub struct One(Error);")]), 1);
    // By the name of a module.
    let by_module = ("a/two.rs", "use super::one;\npub struct Two;\nfn f() { one::new() }");
    assert_eq!(circles(&[("a/mod.rs", ""), one, by_module]), 1);
}

#[test]
fn the_lint_sees_what_it_should() {
    let told = |path: &str, text: &str| {
        let file = File::read(path, text);
        [wrong_directions(&file), touches(&file)].concat().len()
    };
    assert_eq!(told("model/x.rs", "use crate::config::App;"), 1);
    assert_eq!(told("model/x.rs", "use crate::model::App;"), 0);
    assert_eq!(told("plan/x.rs", "use crate::{model::Plan, ui::{Table, Row}, cli};"), 2);
    assert_eq!(told("engine/x.rs", "fn f() { crate::ui::say() }"), 1);
    assert_eq!(told("ledger/mod.rs", "use super::layout::Stage;"), 1);
    assert_eq!(told("ledger/codec.rs", "use super::record;"), 0);
    assert_eq!(told("ledger/codec.rs", "use super::super::cli::Verb;"), 1);
    assert_eq!(told("elsewhere/x.rs", "use crate::model::App;"), 1);
    assert_eq!(told("ledger/x.rs", "use std::process::Command;"), 1);
    assert_eq!(told("ledger/x.rs", "use std::{fs, process::Command};"), 1);
    assert_eq!(told("cli/x.rs", "fn f() -> std::process::ExitCode {}"), 0);
    assert_eq!(told("layout/x.rs", "let repo = gix::open(dir);"), 1);
    assert_eq!(told("layout/x.rs", "// gix::open, see crate::cli\nlet x = \"gix::open\";"), 0);
    assert_eq!(told("layout/x.rs", "let x = r#\"crate::cli \" gix::\"#;"), 0);
    assert_eq!(told("layout/x.rs", "let quote = '\"'; let x = gix::open(d);"), 1);
    assert_eq!(told("layout/x.rs", "#[cfg(test)]\nmod tests {\n use std::process::Command;\n}"), 0);
}

/// Whether a file is `pure.rs`, or lies in the folder of that name.
fn is_in(file: &str, place: &str) -> bool {
    file.strip_prefix(place).is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
}

fn wrong_directions(file: &File) -> Vec<String> {
    let may_use = may_use();
    let Some(allowed) = may_use.get(file.part.as_str()) else {
        return vec![format!("{}: the map has no part {:?}", file.path, file.part)];
    };
    let fine = |used: &&String| {
        **used == file.part
            || allowed.contains(&used.as_str())
            || !may_use.contains_key(used.as_str())
    };
    let wrong = file.parts_used().into_iter().filter(|used| !fine(&used));
    wrong.map(|used| format!("{} uses crate::{used}", file.path)).collect()
}

fn touches(file: &File) -> Vec<String> {
    let told = |(name, parts): &&(&str, &[&str])| {
        !parts.contains(&file.part.as_str()) && file.names_except(name, &HARMLESS)
    };
    TOUCHING.iter().filter(told).map(|(name, _)| format!("{} names {name}", file.path)).collect()
}

#[track_caller]
fn none(problems: impl Iterator<Item = String>) {
    let problems: Vec<String> = problems.collect();
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}
