//! The guides hold what they promise: the workflow files are what their build servers accept, and do what they
//! say; every command and exit code in a guide is one of the program's.

mod commands;
mod workflows;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// `docs/guides`.
fn guides() -> PathBuf {
    crate::support::project().join("docs/guides")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn github() -> Value {
    yaml("github-actions/deploy.yml")
}

fn gitlab() -> Value {
    yaml("gitlab-ci/.gitlab-ci.yml")
}

fn gate() -> PathBuf {
    guides().join("deploy-over-ssh/gitroll-gate")
}

fn yaml(name: &str) -> Value {
    yaml_serde::from_str(&read(&guides().join(name))).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The codes that docs/exit-codes.md explains.
fn exit_codes() -> BTreeSet<i32> {
    let page = read(&crate::support::project().join("docs/exit-codes.md"));
    let heading = |line: &str| line.strip_prefix("## ")?.split(':').next()?.parse().ok();
    page.lines().filter_map(heading).collect()
}
