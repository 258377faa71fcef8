//! Documents that must agree with the tree.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::none;

#[test]
fn every_dependency_is_explained_and_nothing_else() {
    let text = read(&top().join("Cargo.toml"));
    let manifest: toml::Value = toml::from_str(&text).expect("Cargo.toml is TOML");
    let tables = ["dependencies", "dev-dependencies", "build-dependencies"];
    let tables = tables.iter().filter_map(|name| manifest.get(name)?.as_table());
    let used: BTreeSet<&str> = tables.flat_map(|t| t.keys()).map(String::as_str).collect();
    let page = read(&top().join("docs/dependencies.md"));
    let explained: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert_eq!(used, explained, "Cargo.toml (left) and docs/dependencies.md (right) differ");
}

#[test]
fn every_link_leads_somewhere() {
    none(documents().iter().flat_map(|document| {
        let text = read(document);
        let name = document.strip_prefix(top()).unwrap_or(document).display().to_string();
        let dead = links(&text).into_iter().filter(|link| !leads_somewhere(document, link));
        dead.map(|link| format!("{name}: {link}")).collect::<Vec<_>>()
    }));
}

#[test]
fn the_book_has_every_page_once() {
    let docs = top().join("docs");
    let listed = links(&read(&docs.join("SUMMARY.md")));
    let mut once: BTreeSet<PathBuf> = BTreeSet::new();
    for page in &listed {
        assert!(once.insert(docs.join(page)), "docs/SUMMARY.md lists {page} twice");
    }
    let pages = documents().into_iter().filter(|page| page.starts_with(&docs));
    let pages: BTreeSet<PathBuf> = pages.filter(|page| !page.ends_with("SUMMARY.md")).collect();
    assert_eq!(once, pages, "docs/SUMMARY.md (left) and the pages in docs (right)");
}

#[test]
fn a_link_in_the_book_stays_in_the_book() {
    let docs = fs::canonicalize(top().join("docs")).expect("it is there");
    let pages = documents().into_iter().filter(|page| page.starts_with(top().join("docs")));
    none(pages.flat_map(|page| {
        let inside = |link: &String| {
            let file = link.split('#').next().unwrap_or_default();
            let target = page.parent().unwrap_or(&page).join(file);
            link.contains("://")
                || fs::canonicalize(target).is_ok_and(|path| path.starts_with(&docs))
        };
        let out = links(&read(&page)).into_iter().filter(|link| !inside(link));
        out.map(|link| format!("{}: {link}", page.display())).collect::<Vec<_>>()
    }));
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn documents() -> Vec<PathBuf> {
    let mut found = vec![];
    let mut dirs = vec![top().join("docs"), top().to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("the project can be listed").flatten() {
            let path = entry.path();
            if path.is_dir() && dir != top() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "md") {
                found.push(path);
            }
        }
    }
    found
}

/// The targets of `[text](target)` outside code.
fn links(text: &str) -> Vec<String> {
    let mut fenced = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        // What stands between backticks is code: every second piece.
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
        if !fenced {
            found.extend(prose.split("](").skip(1).filter_map(|rest| {
                Some(rest.split_once(')')?.0.trim_matches(['<', '>']).to_owned())
            }));
        }
    }
    found
}

fn leads_somewhere(document: &Path, link: &str) -> bool {
    if ["https://", "http://", "mailto:"].iter().any(|scheme| link.starts_with(scheme)) {
        return true;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = match file {
        "" => document.to_owned(),
        file => document.parent().unwrap_or(document).join(file),
    };
    target.exists() && (anchor.is_empty() || headings(&read(&target)).contains(anchor))
}

/// Headings as the anchors a forge makes of them.
fn headings(text: &str) -> BTreeSet<String> {
    let plain = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| line.trim_start_matches('#').trim().to_lowercase())
        .map(|title| title.chars().filter(plain).collect::<String>().replace(' ', "-"))
        .collect()
}
