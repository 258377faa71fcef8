//! The examples in `docs/` are read as a user's files would be.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::reader::KNOWN;
use super::{Binding, BindingPlaces, parse};

/// The ```` ```toml ```` blocks of a page, with the line each begins at.
fn blocks(page: &Path) -> Vec<(usize, String)> {
    let text = std::fs::read_to_string(page).unwrap();
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in text.lines().enumerate() {
        match &mut open {
            None if line == "```toml" => open = Some((number + 1, String::new())),
            None => {}
            Some(_) if line == "```" => blocks.extend(open.take()),
            Some((_, block)) => *block += &format!("{line}\n"),
        }
    }
    assert!(open.is_none(), "{}: a block without an end", page.display());
    blocks
}

fn pages(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let (dirs, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let pages = files.into_iter().filter(|path| path.extension().is_some_and(|e| e == "md"));
    let below = dirs.iter().flat_map(|dir| self::pages(dir));
    pages.chain(below).collect()
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

/// Host bindings are read below; what is neither a whole file nor a part of one says so after `toml`.
#[test]
fn every_gitroll_toml_in_the_docs_is_valid() {
    let mut read = 0;
    for page in pages(&docs()) {
        for (line, block) in blocks(&page).into_iter().filter(|(_, block)| !is_binding(block)) {
            let whole = block.lines().any(|line| line == "[app]");
            let text = if whole { block } else { format!("[app]\nname = \"shop\"\n{block}") };
            if let Err(error) = parse(&text, "gitroll.toml") {
                panic!("{}:{line}: {:#?}\n{text}", page.display(), error.problems);
            }
            read += 1;
        }
    }
    assert!(read >= 10, "only {read} examples were found");
}

#[test]
fn the_host_binding_in_the_docs_is_valid() {
    let page = docs().join("host-binding.md");
    let (_, block) = blocks(&page).into_iter().find(|(_, block)| is_binding(block)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("host.toml");
    std::fs::write(&file, block).unwrap();
    // Whatever the umask of whoever runs the tests.
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let places = BindingPlaces { exact: Some(dir.path().to_owned()), ..BindingPlaces::default() };
    let binding = Binding::find_in(Path::new("/opt/shop"), &places).unwrap();
    assert_eq!(binding.writer.as_str(), "web-1.k3f9");
    assert!(binding.tools.gpg.is_some() && binding.openpgp.len() == 1);
}

fn is_binding(block: &str) -> bool {
    block.starts_with("version = ")
}

/// Every key that the parser asks for while it reads the examples is in the schema, and no key besides is.
#[test]
fn the_schema_has_the_keys_of_the_parser() {
    fn keys(schema: &serde_json::Value, found: &mut BTreeSet<String>) {
        if let Some(properties) = schema["properties"].as_object() {
            found.extend(properties.keys().cloned());
        }
        match schema {
            serde_json::Value::Object(parts) => parts.values().for_each(|part| keys(part, found)),
            serde_json::Value::Array(parts) => parts.iter().for_each(|part| keys(part, found)),
            _ => {}
        }
    }
    for (_, block) in blocks(&docs().join("gitroll-toml.md")) {
        let whole = block.lines().any(|line| line == "[app]");
        let text = if whole { block } else { format!("[app]\nname = \"shop\"\n{block}") };
        parse(&text, "gitroll.toml").unwrap();
    }
    let schema = include_str!("../../templates/gitroll.schema.json");
    let mut found = BTreeSet::new();
    keys(&serde_json::from_str(schema).unwrap(), &mut found);
    for key in KNOWN.with_borrow(Clone::clone) {
        assert!(found.contains(key.as_str()), "{key} is not in the schema");
    }
}

/// The keys are the parser's own: those it asks a table for while it reads the examples of the page.
#[test]
fn the_reference_describes_the_keys_of_the_parser_and_no_others() {
    let page = docs().join("gitroll-toml.md");
    for (_, block) in blocks(&page) {
        let whole = block.lines().any(|line| line == "[app]");
        let text = if whole { block } else { format!("[app]\nname = \"shop\"\n{block}") };
        parse(&text, "gitroll.toml").unwrap();
    }
    let known = KNOWN.with_borrow(Clone::clone);
    assert!(known.len() > 80, "the examples show only {known:?}");
    let text = std::fs::read_to_string(&page).unwrap();
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    let described: BTreeSet<&str> = rows
        .flat_map(|row| row.split(" |").next().unwrap_or_default().split(", "))
        .map(|key| key.trim_matches('`'))
        .flat_map(|key| key.split('.'))
        .collect();
    let sections = [
        "app",
        "deploy",
        "stable",
        "build",
        "migrate",
        "data",
        "settings",
        "service",
        "check",
        "component",
        "rule",
    ];
    let is_section = |key: &str| {
        sections.contains(&key)
            || text.contains(&format!("## `[{key}]`"))
            || text.contains(&format!("## `[[{key}]]`"))
    };
    for key in &known {
        assert!(described.contains(key.as_str()) || is_section(key), "{key} is not described");
    }
    let unknown: Vec<&str> = described.into_iter().filter(|key| !known.contains(*key)).collect();
    assert!(unknown.is_empty(), "described, and in no example known to the parser: {unknown:?}");
}
