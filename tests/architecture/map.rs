//! The map of the parts stands in `src/lib.rs`, in `docs/architecture.md` and in the table of these tests, and all three are true.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::may_use;

#[test]
fn the_map_in_the_crate_is_that_in_the_documents() {
    assert_eq!(
        in_the_crate(),
        in_the_documents(),
        "src/lib.rs (left) and docs/architecture.md (right)"
    );
}

#[test]
fn the_map_holds_every_folder_of_the_source() {
    let on_the_map: BTreeSet<String> = in_the_crate().into_iter().map(|(part, _)| part).collect();
    let entries = fs::read_dir(top().join("src")).expect("src can be listed").flatten();
    let folders: BTreeSet<String> = entries
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(on_the_map, folders, "the map in src/lib.rs (left) and the folders of src (right)");
}

#[test]
fn the_map_is_in_the_order_of_what_may_use_what() {
    let order: Vec<String> = in_the_crate().into_iter().map(|(part, _)| part).collect();
    let place = |part: &str| order.iter().position(|other| other == part);
    for (part, used) in may_use().into_iter().filter(|(part, _)| !matches!(*part, "lib" | "main")) {
        let at = place(part).unwrap_or_else(|| panic!("{part} is not on the map"));
        for other in used {
            assert!(place(other) > Some(at), "{part} may use {other}, which is not beneath it");
        }
    }
}

/// The parts from the top down, each with what it is.
fn in_the_crate() -> Vec<(String, String)> {
    let text = read("src/lib.rs");
    let map = text.lines().skip_while(|line| !line.ends_with("```text")).skip(1);
    let lines = map.map_while(|line| line.strip_prefix("//! ")).take_while(|line| *line != "```");
    lines.map(entry).collect()
}

fn in_the_documents() -> Vec<(String, String)> {
    let text = read("docs/architecture.md");
    let lines = text.lines().filter_map(|line| line.strip_prefix("    src/"));
    lines.map(|line| entry(&line.replacen('/', "", 1))).collect()
}

fn entry(line: &str) -> (String, String) {
    let (part, what) = line.split_once(' ').unwrap_or((line, ""));
    (part.to_owned(), what.trim().to_owned())
}

fn read(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
