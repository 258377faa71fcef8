//! What people read is written in plain English: no phrase that was once translated word by word comes back.

use std::fs;
use std::path::{Path, PathBuf};

/// Phrases that make a reader stop, each with what to write.
const INSTEAD: [(&str, &str); 22] = [
    ("all the same", "anyway, still"),
    ("anew", "again"),
    ("as it was judged bad", "in a version that was marked bad"),
    ("be had", "be fetched, be read"),
    ("as they stand", "as they are"),
    ("beforehand", "in advance, first"),
    ("goes on", "continues"),
    ("gone back to", "rolled back to"),
    ("in vain", "without success"),
    ("in sight", "here"),
    ("is at it", "is running"),
    ("mend", "fix"),
    ("mended", "fixed"),
    ("of before", "previous"),
    ("once and for all", "for good"),
    ("put aside", "saved"),
    ("put back", "restored"),
    ("puts back", "restores"),
    ("put it back", "restore it"),
    ("puts it back", "restores it"),
    ("taken back", "reverted"),
    ("takes back", "reverts"),
];

#[test]
fn messages_and_pages_are_plain_english() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut read = 0;
    for file in pages(top) {
        let text = fs::read_to_string(&file).expect("pages are UTF-8");
        let is_code = file.extension().is_some_and(|e| e == "rs");
        let is_verb = file.starts_with(top.join("src/cli"));
        read += 1;
        let mut goes_on = false;
        for (number, line) in text.lines().enumerate() {
            let in_text = std::mem::replace(&mut goes_on, line.ends_with('\\'));
            // Unit tests, which come last in a file, may say what they like.
            if is_code && line == "#[cfg(test)]" {
                break;
            }
            if is_code && is_comment(line) && !(is_verb && is_help(line)) {
                continue;
            }
            if is_code && !is_comment(line) && !in_text && !line.contains('"') {
                continue;
            }
            for (phrase, instead) in INSTEAD {
                if says(line, phrase) {
                    let at = file.strip_prefix(top).expect("listed below the top").display();
                    found.push(format!("{at}:{}: {phrase:?}; write {instead}", number + 1));
                }
            }
        }
    }
    assert!(read > 200, "only {read} files were read");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_phrase_is_found_by_whole_words_only() {
    assert!(says("It was put back.", "put back"));
    assert!(says("anew", "anew"));
    assert!(!says("recommend", "mend") && !says("put_back", "put back"));
}

/// Pages, templates and sources.
fn pages(top: &Path) -> Vec<PathBuf> {
    let mut all = vec![top.join("README.md")];
    for dir in ["docs", "templates", "src"] {
        all.extend(files_below(&top.join(dir)));
    }
    // The texts of old records are read as they were written.
    let ours = |file: &PathBuf| {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let shown = ["rs", "md", "jinja", "yml"].iter().any(|e| name.ends_with(e));
        shown && name != "legacy.rs" && !name.ends_with("tests.rs")
    };
    all.retain(ours);
    all
}

/// Whether a line of code is a comment.
fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

/// Whether a comment may be the help of a verb or an option.
fn is_help(line: &str) -> bool {
    line.trim_start().starts_with("///")
}

/// Every file below a directory.
fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory can be listed") {
        let path = entry.expect("a directory can be listed").path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

/// Whether a text has the phrase as whole words.
fn says(text: &str, phrase: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(phrase).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + phrase.len()..]);
        !before.ends_with(word) && !after.starts_with(word)
    })
}
