//! The stage's path in what a build made. The stage is gone when that serves: a link or a Python environment is made to
//! lead to the live tree, any other text that names the stage is found for a warning.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::system::files::DirEntryAt;
use crate::system::{random, text};

/// Larger files are not looked into: no program text is so long.
const MOST_BYTES: u64 = 64 << 20;

/// A file with a NUL among its first bytes is not text, as for git.
const HEAD: usize = 8000;

/// Directories of caches and of compilers' intermediate files, which nothing reads at run time.
const NOT_READ: [&str; 6] = [".cache", ".deps", "obj.target", "__pycache__", ".turbo", ".vite"];

/// Files of a package manager's own that name where it installed. So do the scripts in its `.bin`.
const OF_PACKAGE_MANAGERS: [&str; 3] =
    [".modules.yaml", ".pnpm-workspace-state.json", ".pnpm-workspace-state-v1.json"];

/// Files that tell where something was built and are not read at run time.
const TELLING: [&str; 6] = [".map", ".tsbuildinfo", ".log", ".d", ".mk", ".gypi"];

/// A path, and the one that stands for it from now on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moved<'p> {
    pub(super) from: &'p Path,
    pub(super) to: &'p Path,
}

impl Moved<'_> {
    /// Makes the links of an output that lead below `from` lead below `to`, and the scripts and settings of
    /// Python environments and package managers name `to`. Times and modes stay.
    pub(super) fn apply(&self, output: &DirEntryAt) -> io::Result<()> {
        let mut walk = Walk::of(output);
        while let Some(found) = walk.next()? {
            if found.link {
                self.lead_on(&found.path)?;
            } else if found.names_its_place() {
                self.rewrite(&found.path)?;
            }
        }
        Ok(())
    }

    /// The text files of an output that name `from`, as far as they may be read at run time; sorted.
    pub(super) fn named_in(&self, output: &DirEntryAt) -> io::Result<Vec<PathBuf>> {
        let top = output.real_path();
        let mut named = Vec::new();
        let mut walk = Walk::of(output);
        while let Some(found) = walk.next()? {
            if !found.link && !found.only_tells() && self.read(&found.path)?.is_some() {
                named.push(found.path.strip_prefix(&top).unwrap_or(&found.path).to_owned());
            }
        }
        named.sort();
        Ok(named)
    }

    fn lead_on(&self, link: &Path) -> io::Result<()> {
        let Ok(rest) = fs::read_link(link)?.strip_prefix(self.from).map(Path::to_owned) else {
            return Ok(());
        };
        fs::remove_file(link)?;
        let to = if rest.as_os_str().is_empty() { self.to.to_owned() } else { self.to.join(rest) };
        std::os::unix::fs::symlink(to, link)
    }

    fn rewrite(&self, path: &Path) -> io::Result<()> {
        let Some(bytes) = self.read(path)? else { return Ok(()) };
        let (from, to) = (self.from.as_os_str().as_bytes(), self.to.as_os_str().as_bytes());
        let mut written = Vec::with_capacity(bytes.len());
        let mut rest = bytes.as_slice();
        while let Some(at) = find(rest, from) {
            written.extend_from_slice(&rest[..at]);
            written.extend_from_slice(to);
            rest = &rest[at + from.len()..];
        }
        written.extend_from_slice(rest);
        let meta = fs::metadata(path)?;
        // Beside it and renamed: a package manager's cache may be linked to the same file.
        let new = path.with_file_name(format!(".gitroll-{}", random::suffix()));
        let replaced = (|| {
            let mut file = File::create_new(&new)?;
            file.write_all(&written)?;
            file.set_permissions(fs::Permissions::from_mode(meta.permissions().mode()))?;
            file.set_modified(meta.modified()?)?;
            fs::rename(&new, path)
        })();
        if replaced.is_err() {
            let _ = fs::remove_file(&new);
        }
        replaced
    }

    /// The bytes of a text that names `from`.
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        let meta = path.symlink_metadata()?;
        if !meta.is_file() || meta.len() > MOST_BYTES {
            return Ok(None);
        }
        let mut file = match File::open(path) {
            // Readable for nobody: the app cannot read it either.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
            file => file?,
        };
        let mut head = [0; HEAD];
        let filled = file.read_at(&mut head, 0)?;
        if head[..filled].contains(&0) {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0));
        file.read_to_end(&mut bytes)?;
        Ok(find(&bytes, self.from.as_os_str().as_bytes()).is_some().then_some(bytes))
    }
}

/// Where a path begins in a text, and not only one that begins with the same letters.
fn find(bytes: &[u8], path: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = text::position(&bytes[from..], path).map(|at| from + at) {
        let next = bytes.get(at + path.len());
        if next.is_none_or(|next| !next.is_ascii_alphanumeric() && !b"-_.".contains(next)) {
            return Some(at);
        }
        from = at + path.len();
    }
    None
}

/// The files and links of an output, one after the other.
struct Walk {
    left: Vec<Found>,
}

#[derive(Debug, Clone)]
struct Found {
    path: PathBuf,
    link: bool,
    /// A directory above it, in the output, is a Python environment's, or the output is one.
    python: bool,
}

impl Walk {
    fn of(output: &DirEntryAt) -> Self {
        Self { left: vec![Found { path: output.real_path(), link: false, python: false }] }
    }

    fn next(&mut self) -> io::Result<Option<Found>> {
        while let Some(mut found) = self.left.pop() {
            let kind = found.path.symlink_metadata()?.file_type();
            if !kind.is_dir() {
                found.link = kind.is_symlink();
                return Ok(Some(found));
            }
            let python = found.python || found.path.join("pyvenv.cfg").is_file();
            for entry in fs::read_dir(&found.path)? {
                let entry = entry?;
                let skipped = entry.file_type()?.is_dir()
                    && NOT_READ.iter().any(|name| entry.file_name() == *name);
                if !skipped {
                    self.left.push(Found { path: entry.path(), link: false, python });
                }
            }
        }
        Ok(None)
    }
}

impl Found {
    /// Whether it is one of the files by which a Python environment or an install finds itself.
    fn names_its_place(&self) -> bool {
        let name = self.name();
        let below = |dir| self.path.parent().and_then(Path::file_name).is_some_and(|d| d == dir);
        if below(".bin") || OF_PACKAGE_MANAGERS.contains(&name.as_ref()) {
            return true;
        }
        let in_bin = below("bin");
        let of_editable = name.starts_with("__editable__") && name.ends_with(".py");
        self.python
            && (in_bin
                || of_editable
                || ["pyvenv.cfg", "direct_url.json"].contains(&name.as_ref())
                || [".pth", ".egg-link"].iter().any(|end| name.ends_with(end)))
    }

    fn only_tells(&self) -> bool {
        let name = self.name();
        name.ends_with("Makefile") || TELLING.iter().any(|end| name.ends_with(end))
    }

    fn name(&self) -> std::borrow::Cow<'_, str> {
        self.path.file_name().unwrap_or_default().to_string_lossy()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn python_environments_and_links_follow_and_other_text_is_only_named() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("out");
        let write = |path: &str, text: &str| {
            let path = top.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("venv/pyvenv.cfg", "command = python3 -m venv /w/stage-1/venv\n");
        write("venv/bin/pip", "#!/w/stage-1/venv/bin/python\n/w/stage-10/venv\n");
        write("venv/lib/site-packages/a.pth", "/w/stage-1/src\n");
        write("venv/lib/site-packages/a/direct_url.json", "{\"url\": \"file:///w/stage-1\"}");
        write("venv/lib/site-packages/a/code.py", "HERE = '/w/stage-1'\n");
        write("bin/tool", "#!/w/stage-1/x\n");
        write("node_modules/.bin/tsc", "export NODE_PATH=\"/w/stage-1/node_modules\"\n");
        write("dist/a.js", "x(\"/w/stage-1/views\")");
        write("dist/a.js.map", "/w/stage-1");
        write("dist/b.js", "/w/stage-100/views");
        write("dist/binary", "\0/w/stage-1");
        write(".cache/x", "/w/stage-1");
        std::os::unix::fs::symlink("/w/stage-1/dist/a.js", top.join("dist/link")).unwrap();
        let spot = DirEntryAt::try_from(top.as_path()).unwrap();
        let (stage, live) = (Path::new("/w/stage-1"), Path::new("/opt/shop"));
        let moved = Moved { from: stage, to: live };
        moved.apply(&spot).unwrap();
        let read = |path: &str| fs::read_to_string(top.join(path)).unwrap();
        assert_eq!(read("venv/bin/pip"), "#!/opt/shop/venv/bin/python\n/w/stage-10/venv\n");
        assert!(read("node_modules/.bin/tsc").contains("\"/opt/shop/node_modules\""));
        assert_eq!(read("venv/pyvenv.cfg"), "command = python3 -m venv /opt/shop/venv\n");
        assert_eq!(read("venv/lib/site-packages/a.pth"), "/opt/shop/src\n");
        assert!(read("venv/lib/site-packages/a/direct_url.json").contains("file:///opt/shop\""));
        assert_eq!(fs::read_link(top.join("dist/link")).unwrap(), live.join("dist/a.js"));
        let named = moved.named_in(&spot).unwrap();
        let wanted = ["bin/tool", "dist/a.js", "venv/lib/site-packages/a/code.py"];
        assert_eq!(named, wanted.map(PathBuf::from));
        Moved { from: live, to: stage }.apply(&spot).unwrap();
        assert_eq!(read("venv/bin/pip"), "#!/w/stage-1/venv/bin/python\n/w/stage-10/venv\n");
    }
}
