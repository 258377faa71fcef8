//! Every dependency may be used and comes from where it should, by `deny.toml`. The same questions
//! cargo-deny answers, for machines that do not have it.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

#[test]
fn every_dependency_has_a_licence_that_is_allowed() {
    let allowed = allowed_licences();
    let refused: Vec<String> = packages()
        .iter()
        .filter(|package| !package["source"].is_null())
        .filter_map(|package| {
            let licence = package["license"].as_str().unwrap_or("none named");
            let fits = package["license"].is_string() && permits(licence, &allowed);
            (!fits).then(|| format!("{} {}: {licence}", package["name"], package["version"]))
        })
        .collect();
    assert!(refused.is_empty(), "not allowed by deny.toml:\n{}", refused.join("\n"));
}

#[test]
fn every_dependency_comes_from_the_registry() {
    let strangers: Vec<String> = packages()
        .iter()
        .filter_map(|package| package["source"].as_str())
        .filter(|source| !source.starts_with("registry+"))
        .map(str::to_owned)
        .collect();
    assert!(strangers.is_empty(), "{strangers:?}");
}

#[test]
fn nothing_that_is_banned_is_linked() {
    let deny = deny();
    let banned = deny["bans"]["deny"].as_array().expect("bans.deny is a list");
    let banned: BTreeSet<&str> = banned.iter().filter_map(|b| b["crate"].as_str()).collect();
    let packages = packages();
    let found: Vec<&str> =
        packages.iter().filter_map(|p| p["name"].as_str()).filter(|n| banned.contains(n)).collect();
    assert!(found.is_empty(), "banned by deny.toml: {found:?}");
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    let allowed = BTreeSet::from(["MIT".to_owned(), "Apache-2.0 WITH X".to_owned(), "ISC".into()]);
    for (expression, fits) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("(GPL-3.0 OR MIT) AND ISC", true),
        ("GPL-3.0 OR MIT AND BSD", false),
        ("Apache-2.0 WITH X OR GPL-3.0", true),
        ("Apache-2.0", false),
        ("", false),
    ] {
        assert_eq!(permits(expression, &allowed), fits, "{expression}");
    }
}

fn deny() -> toml::Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deny.toml");
    let text = std::fs::read_to_string(path).expect("deny.toml can be read");
    toml::from_str(&text).expect("deny.toml is TOML")
}

fn allowed_licences() -> BTreeSet<String> {
    let deny = deny();
    let list = deny["licenses"]["allow"].as_array().expect("licenses.allow is a list");
    list.iter().filter_map(|l| l.as_str()).map(str::to_owned).collect()
}

/// The packages that are built for this machine, with every feature the project turns on.
fn packages() -> Vec<Value> {
    let target = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--offline", "--format-version", "1"])
        .args(["--filter-platform", &platform, "--manifest-path", target])
        .output()
        .expect("cargo can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    metadata["packages"].as_array().expect("a list of packages").clone()
}

/// Whether one of the ways an SPDX expression offers is allowed. AND binds closer than OR; `/` is the old
/// way to write OR.
fn permits(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let fits = any_of(&mut rest, allowed);
    fits && rest.is_empty()
}

fn any_of(words: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut fits = all_of(words, allowed);
    while take(words, "OR") {
        fits |= all_of(words, allowed);
    }
    fits
}

fn all_of(words: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut fits = one(words, allowed);
    while take(words, "AND") {
        fits &= one(words, allowed);
    }
    fits
}

fn one(words: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    if take(words, "(") {
        return any_of(words, allowed) & take(words, ")");
    }
    let [name, rest @ ..] = *words else {
        return false;
    };
    *words = rest;
    let mut licence = (*name).to_owned();
    if let ["WITH", exception, rest @ ..] = *words {
        licence = format!("{licence} WITH {exception}");
        *words = rest;
    }
    allowed.contains(&licence)
}

fn take(words: &mut &[&str], word: &str) -> bool {
    match *words {
        [first, rest @ ..] if *first == word => {
            *words = rest;
            true
        }
        _ => false,
    }
}
