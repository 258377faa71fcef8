//! Go and Rust: what compiles, and the program that it makes.

use std::collections::{BTreeMap, BTreeSet};

use super::recipe::{Group, Recipe, Run, Start, words};
use super::work_tree::WorkTree;

/// More programs of one repository are not examined.
const MOST_PROGRAMS: usize = 8;

/// Go, where there is a `go.mod`. `running` is a program below the tree that runs now: it is what must be built.
pub(super) fn go(tree: &WorkTree<'_>, running: Option<&str>) -> Option<Recipe> {
    let text = tree.text("go.mod").ok().flatten()?;
    let module = text.lines().find_map(|line| line.strip_prefix("module "))?.trim();
    let is_version = |part: &str| part.strip_prefix('v').is_some_and(|n| n.parse::<u8>().is_ok());
    let name = module.rsplit('/').find(|part| !is_version(part)).unwrap_or("app").to_owned();
    let is_main = |path: &str| tree.said(path).lines().any(|line| line.trim() == "package main");
    let mut packages = BTreeSet::new();
    for path in tree.files.iter().map(ToString::to_string) {
        let Some((dir, file)) = path.rsplit_once('/').or(Some(("", path.as_str()))) else {
            continue;
        };
        let wanted = dir.is_empty()
            || dir.strip_prefix("cmd").is_some_and(|rest| rest.matches('/').count() < 2);
        if wanted && file.ends_with(".go") && !file.ends_with("_test.go") && is_main(&path) {
            packages.insert(dir.to_owned());
        }
    }
    let mut recipe = Recipe::default();
    let mut programs: Vec<(String, String)> = packages
        .into_iter()
        .take(MOST_PROGRAMS)
        .map(|dir| match dir.rsplit('/').next().unwrap_or_default() {
            "" => (name.clone(), ".".to_owned()),
            "cmd" => (name.clone(), "./cmd".to_owned()),
            last => (last.to_owned(), format!("./{dir}")),
        })
        .collect();
    if let Some(running) = running.filter(|_| programs.len() == 1) {
        programs[0].0 = running.to_owned();
    }
    if !(tree.has)("go") {
        recipe.warnings.push("go was not found on this host, so nothing can be built".to_owned());
    }
    let place =
        |name: &str| if running == Some(name) { name.to_owned() } else { format!("bin/{name}") };
    let build =
        |(name, package): &(String, String)| words(&["go", "build", "-o", &place(name), package]);
    recipe.groups.push(Group {
        name: "binary".to_owned(),
        run: programs.iter().map(build).collect(),
        outputs: programs.iter().map(|(name, _)| place(name)).collect(),
        ..Group::default()
    });
    recipe.run = chosen(&programs.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), &name)
        .map(|name| started(&format!("./{}", place(&name))));
    if programs.is_empty() {
        recipe.groups.clear();
    }
    Some(recipe)
}

/// Rust, where there is a `Cargo.toml` that makes a program.
pub(super) fn cargo(tree: &WorkTree<'_>, running: Option<&str>) -> Option<Recipe> {
    let text = tree.text("Cargo.toml").ok().flatten()?;
    let manifest: toml::Table = text.parse().ok()?;
    let mut packages = vec![(String::new(), text)];
    let members =
        manifest.get("workspace").and_then(|w| w.get("members")).and_then(|m| m.as_array());
    for member in members.into_iter().flatten().filter_map(|member| member.as_str()) {
        let named = |path: &str| match member.strip_suffix("/*") {
            Some(above) => {
                path.strip_prefix(&format!("{above}/")).is_some_and(|rest| !rest.contains('/'))
            }
            None => path == member,
        };
        let manifests = tree.files.iter().map(ToString::to_string);
        let dirs = manifests.filter_map(|path| path.strip_suffix("/Cargo.toml").map(str::to_owned));
        for dir in dirs.filter(|dir| named(dir)) {
            let text = tree.said(&format!("{dir}/Cargo.toml"));
            packages.push((dir, text));
        }
    }
    let mut names = Vec::new();
    for (dir, text) in packages.iter().take(50) {
        names.extend(programs(tree, dir, text));
    }
    names.truncate(MOST_PROGRAMS);
    if names.is_empty() {
        return None;
    }
    let mut recipe = Recipe::default();
    if !(tree.has)("cargo") {
        recipe
            .warnings
            .push("cargo was not found on this host, so nothing can be built".to_owned());
    }
    let default =
        manifest.get("package").and_then(|p| p.get("default-run")).and_then(|d| d.as_str());
    let own = manifest.get("package").and_then(|p| p.get("name")).and_then(|n| n.as_str());
    let last = running.and_then(|path| path.rsplit('/').next());
    let preferred = last.or(default).or(own).unwrap_or_default().to_owned();
    let mut build = words(&["cargo", "build", "--release"]);
    if tree.is_file("Cargo.lock") {
        build.push("--locked".to_owned());
    }
    recipe.groups.push(Group {
        name: "binary".to_owned(),
        run: vec![build],
        outputs: names.iter().map(|name| format!("target/release/{name}")).collect(),
        scratch: words(&["target/**"]),
        ..Group::default()
    });
    recipe.run =
        chosen(&names, &preferred).map(|name| started(&format!("./target/release/{name}")));
    Some(recipe)
}

/// The programs of one package.
fn programs(tree: &WorkTree<'_>, dir: &str, text: &str) -> Vec<String> {
    let Ok(manifest) = text.parse::<toml::Table>() else { return Vec::new() };
    let Some(name) = manifest.get("package").and_then(|p| p.get("name")).and_then(|n| n.as_str())
    else {
        return Vec::new();
    };
    let inside =
        |path: &str| if dir.is_empty() { path.to_owned() } else { format!("{dir}/{path}") };
    let declared = manifest.get("bin").and_then(|bin| bin.as_array());
    let mut found: Vec<String> = declared
        .into_iter()
        .flatten()
        .filter_map(|bin| bin.get("name")?.as_str().map(str::to_owned))
        .collect();
    if found.is_empty() && tree.is_file(&inside("src/main.rs")) {
        found.push(name.to_owned());
    }
    let more = inside("src/bin/");
    for path in tree.files.iter().map(ToString::to_string) {
        let file = path.strip_prefix(&more).and_then(|rest| rest.strip_suffix(".rs"));
        found.extend(file.filter(|name| !name.contains('/')).map(str::to_owned));
    }
    let plain = |name: &String| name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    found.retain(plain);
    found
}

/// The one that serves, where that can be told.
fn chosen(names: &[String], preferred: &str) -> Option<String> {
    let usual = ["server", "web", "api", "app"];
    let by_name = |wanted: &str| names.iter().find(|name| *name == wanted);
    match names {
        [only] => Some(only.clone()),
        _ => by_name(preferred).or_else(|| usual.iter().find_map(|name| by_name(name))).cloned(),
    }
}

fn started(program: &str) -> Run {
    let start = Start { command: vec![program.to_owned()], env: BTreeMap::new() };
    Run { name: "web".to_owned(), start, ..Run::default() }
}
