//! Tells the program which commit it is built from, so that `gitroll --version` can say so.
//!
//! In this order: what a packager says in `GITROLL_BUILD`; git, in a clone; the file that `git archive` fills in. A
//! build without any of them works, and names the version alone. A debug build asks nobody, so that a commit alone
//! compiles nothing again.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Filled in by `git archive`, as `.gitattributes` says.
const ARCHIVED: &str = "templates/packaging/commit";

/// What a build of the program is made from.
const SOURCES: [&str; 7] =
    ["build.rs", "Cargo.toml", "Cargo.lock", "src", "templates", "hooks", "docs"];

fn main() {
    println!("cargo::rerun-if-env-changed=GITROLL_BUILD");
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    let told = env::var("GITROLL_BUILD").ok().filter(|told| !told.trim().is_empty());
    let debug = env::var("PROFILE").is_ok_and(|profile| profile == "debug");
    let build = match told {
        Some(told) => Some(told.trim().to_owned()),
        None if debug => Some("debug build".to_owned()),
        None => from_git().or_else(from_archive),
    };
    if debug {
        println!("cargo::rerun-if-changed=build.rs");
    } else {
        SOURCES.iter().for_each(|source| println!("cargo::rerun-if-changed={source}"));
    }
    let long = build.map_or_else(|| version.clone(), |build| format!("{version} ({build})"));
    println!("cargo::rustc-env=GITROLL_LONG_VERSION={long}");
}

/// The commit and its day, with a mark if files differ from it; nothing where this directory is not a clone of its own.
fn from_git() -> Option<String> {
    let here = env::current_dir().ok()?.canonicalize().ok()?;
    let top = git(&["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != here {
        return None;
    }
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", file])
            && Path::new(&path).exists()
        {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let commit = git(&["show", "--no-patch", "--format=%h %cs", "--abbrev=7", "HEAD"])?;
    let edited = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if edited.is_empty() { commit } else { format!("{commit}, edited") })
}

fn from_archive() -> Option<String> {
    let text = fs::read_to_string(ARCHIVED).ok()?;
    let commit = text.trim();
    (!commit.is_empty() && !commit.contains("$Format")).then(|| commit.to_owned())
}

fn git(args: &[&str]) -> Option<String> {
    let answer = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(answer.stdout).ok()?;
    answer.status.success().then(|| text.trim_end().to_owned())
}
