//! What a build depends on, as one hash.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::Path;

use serde::Serialize;

use super::error::BuildError;
use crate::config::Build;
use crate::model::{BuildKey, Digest, Oid, RepoPath, TreeEntry, TreeMode};
use crate::system::environment;
use crate::system::files::{Beneath, DirEntryAt, FileKind};
use crate::system::process::{Invocation, ProcessError};

/// Everything that makes a key. Its JSON is hashed: every part is delimited and in a fixed order.
#[derive(Serialize)]
struct Material<'a> {
    key: u32,
    run: &'a [Vec<String>],
    env: &'a BTreeMap<String, String>,
    outputs: &'a [RepoPath],
    /// What earlier versions did not know is left out where it is not used: keys stay what they were.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    optional: Vec<&'a RepoPath>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    globs: Vec<(&'a str, bool)>,
    inputs: Vec<(&'a RepoPath, TreeMode, &'a Oid)>,
    carry: Vec<(&'a RepoPath, Digest)>,
    node: &'a str,
    platform: String,
    before: &'a [BuildKey],
    /// Nothing if none is set, so that keys stay what they are.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    npm: BTreeMap<String, String>,
}

/// The key of one group; `before` are the keys of the groups before it.
pub(super) fn of(
    group: &Build,
    entries: &[(RepoPath, TreeEntry)],
    live: &Path,
    node: &str,
    before: &[BuildKey],
) -> Result<BuildKey, BuildError> {
    let inputs = entries
        .iter()
        .filter(|(path, _)| group.inputs.matches(path))
        .map(|(path, entry)| (path, entry.mode, &entry.id))
        .collect();
    let mut carry = Vec::new();
    for path in &group.carry {
        let spot = carried(live, path)?;
        let bytes = spot.read().map_err(|source| io_at(spot.path(), source))?;
        carry.push((path, Digest::of(&bytes)));
    }
    let material = Material {
        key: 1,
        run: &group.run,
        env: &group.env,
        outputs: &group.outputs,
        optional: group.optional.iter().collect(),
        globs: group.output_globs.iter().map(|g| (g.text.as_str(), g.optional)).collect(),
        inputs,
        carry,
        node,
        platform: platform(),
        before,
        npm: environment::that_make_a_difference(),
    };
    let json = serde_json::to_vec(&material).expect("key material has only text keys");
    Ok(Digest::of(&json).hex().parse().expect("a digest is a build key"))
}

/// The place of a carried file in the live tree. It must be a regular file, reached through directories
/// only: a link could lead to anyone's file.
pub(super) fn carried(live: &Path, path: &RepoPath) -> Result<DirEntryAt, BuildError> {
    let full = live.join(path.as_path());
    let look = || -> io::Result<DirEntryAt> {
        let spot = Beneath::open(live)?.entry(path)?;
        let spot = spot.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        match spot.find()?.map(|found| found.kind) {
            Some(FileKind::File) => Ok(spot),
            None => Err(io::ErrorKind::NotFound.into()),
            Some(FileKind::Symlink) => Err(io::Error::other(
                "a carried file must be a regular file; this is a symbolic link, which gitroll does not follow",
            )),
            Some(_) => Err(io::Error::other("a carried file must be a regular file")),
        }
    };
    look().map_err(|source| io_at(&full, source))
}

/// What `node --version` says; empty if there is no node. `program`: where it is known to be.
pub(super) fn node_version(
    program: Option<&Path>,
    environment: &BTreeMap<OsString, OsString>,
    dir: &Path,
) -> Result<String, BuildError> {
    let mut node = Invocation::new(program.unwrap_or_else(|| Path::new("node")), dir);
    node.args.push("--version".into());
    node.env.clone_from(environment);
    let failed = |how: String, lines| BuildError::Command {
        command: "node --version".to_owned(),
        how,
        lines,
    };
    match node.run() {
        Ok(finished) if finished.success() => {
            Ok(String::from_utf8_lossy(&finished.stdout).trim().to_owned())
        }
        Ok(finished) => {
            let lines = crate::system::process::telling_lines(&finished.stderr, 5);
            Err(failed("failed".to_owned(), lines))
        }
        Err(ProcessError::NotFound { .. }) if program.is_none() => Ok(String::new()),
        Err(error) => Err(failed(format!("could not be run: {error}"), Vec::new())),
    }
}

pub(super) fn io_at(path: &Path, source: io::Error) -> BuildError {
    BuildError::Io { path: path.to_owned(), source }
}

fn platform() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}
