//! Services whose processes run another copy of the app than the tree: a start script that changes to another directory
//! (`cd /srv/old && exec node server.js`), a path that was written down when the app lay elsewhere.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use super::state::ServiceState;
use crate::system::{files, procs, sockets};

/// Directories whose programs belong to the machine or to a package manager, whatever they are called.
const OF_OTHERS: [&str; 8] = [
    "node_modules",
    "site-packages",
    "dist-packages",
    ".nvm",
    ".npm",
    ".yarn",
    ".cargo",
    ".rustup",
];

/// How much of a path, from its end, a copy has in common with the tree.
const COMMON: usize = 4;

/// The directory of another copy of the app at `top` that a service runs instead: of what listens, else of the processes
/// that its manager names.
pub fn copy_served(top: &Path, state: &ServiceState) -> Option<PathBuf> {
    let top = files::resolved(top);
    let main: BTreeSet<u32> = state.processes.iter().map(|process| process.pid).collect();
    let family: BTreeSet<u32> = main.iter().flat_map(|pid| procs::family(*pid)).collect();
    let copies: Vec<(u32, PathBuf)> =
        family.iter().filter_map(|pid| Some((*pid, copy_of(*pid, &top)?))).collect();
    if copies.is_empty() {
        return None;
    }
    let listening: BTreeSet<u64> = sockets::listening().iter().map(|socket| socket.inode).collect();
    let listens =
        |pid: &u32| sockets::held_by(*pid).is_some_and(|held| !held.is_disjoint(&listening));
    let heard: BTreeSet<u32> = family.iter().copied().filter(listens).collect();
    let serving = if heard.is_empty() { main } else { heard };
    copies.into_iter().find(|(pid, _)| serving.contains(pid)).map(|(_, dir)| dir)
}

/// The directory outside of `top` from which a process runs a file that the tree has as well.
fn copy_of(pid: u32, top: &Path) -> Option<PathBuf> {
    let dir = procs::working_directory(pid)?;
    // Another root has other paths: a container's.
    let same_root =
        std::fs::read_link(format!("/proc/{pid}/root")).is_ok_and(|r| r == Path::new("/"));
    if !same_root {
        return None;
    }
    let words = procs::command_line(pid)?;
    let own = |path: &Path| files::resolved(path).starts_with(top);
    let named = |word: &OsString| Path::new(word).is_absolute() && own(Path::new(word));
    if words.iter().any(named) {
        return None;
    }
    let outside = !own(&dir);
    let (program, rest) = words.split_first()?;
    let program = Some(program).filter(|program| program.as_bytes().contains(&b'/'));
    let told = rest.iter().filter(|word| !word.as_bytes().starts_with(b"-"));
    program.into_iter().chain(told).find_map(|word| {
        let path = Path::new(word);
        let candidates = match path.is_absolute() {
            true => vec![path.to_owned()],
            false if outside => {
                std::iter::once(path.to_owned()).chain(module(word)).map(|p| dir.join(p)).collect()
            }
            false => Vec::new(),
        };
        candidates.iter().find_map(|path| same_in_tree(&files::resolved(path), top))
    })
}

/// The file of a Python module or of an object in it, as interpreters and servers are told it: `app.main:app`.
fn module(word: &OsStr) -> Option<PathBuf> {
    let name = word.to_str()?.split(':').next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    let is_module = !name.is_empty() && name.chars().all(plain);
    is_module.then(|| PathBuf::from(name.replace('.', "/") + ".py"))
}

/// Where the copy begins that `path` is in, if the tree has the same file: `/srv/old` for `/srv/old/dist/server.js`.
fn same_in_tree(path: &Path, top: &Path) -> Option<PathBuf> {
    let of_others = |part: Component<'_>| OF_OTHERS.iter().any(|name| part.as_os_str() == *name);
    let of_the_machine = ["/usr", "/bin", "/lib", "/sbin", "/proc", "/dev"];
    if of_the_machine.iter().any(|dir| path.starts_with(dir))
        || path.components().any(of_others)
        || path.starts_with(top)
        || !path.is_file()
    {
        return None;
    }
    let mut above: Vec<&Path> = path.ancestors().skip(1).take(COMMON).collect();
    above.reverse();
    let copy = |dir: &&Path| {
        path.strip_prefix(dir).is_ok_and(|below| top.join(below).is_file()) && !top.starts_with(dir)
    };
    above.into_iter().find(copy).map(Path::to_owned)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn run(program: &Path, args: &[&str], dir: &Path) -> Child {
        let mut command = Command::new(program);
        command.args(args).current_dir(dir).stdin(Stdio::null());
        command.spawn().unwrap()
    }

    #[test]
    fn a_file_that_the_tree_has_too_is_of_a_copy_and_programs_of_others_are_not() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path().canonicalize().unwrap();
        let (top, old) = (place.join("app"), place.join("old"));
        for dir in [&top, &old] {
            std::fs::create_dir_all(dir.join("dist")).unwrap();
            std::fs::create_dir_all(dir.join("node_modules/tool")).unwrap();
            for file in ["dist/server.sh", "node_modules/tool/cli.sh", "wsgi.py"] {
                std::fs::write(dir.join(file), "sleep 60 & wait\n").unwrap();
            }
        }
        std::fs::write(old.join("own.sh"), "sleep 60 & wait\n").unwrap();
        let (sh, absolute) = (Path::new("/bin/sh"), old.join("dist/server.sh"));
        for (args, dir, expected) in [
            (vec!["dist/server.sh"], &old, Some(&old)),
            (vec!["server.sh"], &old.join("dist"), Some(&old)),
            (vec![absolute.to_str().unwrap()], &place, Some(&old)),
            (vec![absolute.to_str().unwrap()], &top, Some(&old)),
            (vec!["-c", "sleep 60 & wait", "wsgi:app"], &old, Some(&old)),
            (vec!["dist/server.sh"], &top, None),
            (vec!["own.sh"], &old, None),
            (vec!["node_modules/tool/cli.sh"], &old, None),
        ] {
            let mut child = run(sh, &args, dir);
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert_eq!(copy_of(child.id(), &top).as_ref(), expected, "{args:?} in {dir:?}");
            for pid in procs::family(child.id()) {
                procs::ProcessId::of(pid).map(|process| process.kill());
            }
            child.wait().unwrap();
        }
    }
}
