//! Throw-away repositories for a stage: a build that asks git is answered there as in the live tree, and nothing it
//! writes reaches the app's repository.
//!
//! Such a repository reads the app's objects by `objects/info/alternates`. Refs and an index with the files' stat data
//! are written at once, so neither history nor files are read.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use gix::bstr::ByteSlice as _;

use crate::model::{Oid, RepoPath};
use crate::system::files;

use super::config::Origin;
use super::object::{gix_id, oid, told};
use super::refs::Target;
use super::repository::{Git, GitError};

/// Refs that a build may ask for. The ledger and record tags are none: they would answer `git describe`.
const REFS: [&str; 4] = ["refs/heads/", "refs/notes/", "refs/remotes/", "refs/tags/"];
const OWN_REFS: [&str; 2] = ["refs/notes/gitroll/", "refs/tags/gitroll/"];

/// Settings of the repository that are text, or change how git prints ids and names. None names a program.
const SETTINGS: [&str; 6] = [
    "core.abbrev",
    "core.ignorecase",
    "core.precomposeunicode",
    "core.quotepath",
    "user.email",
    "user.name",
];

/// Nothing in the background: it would outlive the stage.
const FIXED: &str = "\tbare = false\n\tfileMode = true\n\tfsmonitor = false\n\tlogAllRefUpdates = false\n\
    [gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n";

/// More than any `shallow` or `info/exclude`.
const MOST_BYTES: u64 = 64 << 20;

/// A ref's name, and the ref that it stands for.
type Symbolic = (Vec<u8>, String);

/// What a ref points to, and the object that this stands for where it is a tag.
type Peeled = (Oid, Option<Oid>);

/// The throw-away repositories of one stage: the app's, and one for each submodule that is checked out.
#[derive(Debug, Clone)]
pub struct ThrowAway {
    stage: PathBuf,
    ready: PathBuf,
}

impl ThrowAway {
    /// Those of `stage`. They lie ready in `<stage>.git`, a tree with nothing but `.git` directories.
    pub fn of(stage: &Path) -> Self {
        let mut name = stage.file_name().unwrap_or_default().to_owned();
        name.push(".git");
        Self { stage: stage.to_owned(), ready: stage.with_file_name(name) }
    }

    /// Where they lie ready.
    pub fn ready(&self) -> &Path {
        &self.ready
    }

    /// Readies the one of the repository `git` with HEAD at `commit`, for the directory `below` of the stage (its
    /// top: `None`). `files` holds the commit's files as they were just written.
    ///
    /// # Errors
    /// What cannot be read of the repository, or written.
    pub fn add(
        &self,
        git: &Git,
        commit: &Oid,
        below: Option<&RepoPath>,
        files: &Path,
    ) -> Result<(), GitError> {
        let at = below.map_or_else(|| self.ready.clone(), |path| self.ready.join(path.as_path()));
        let dir = at.join(".git");
        git.write_throw_away(commit, &dir, files)
    }

    /// Lays fresh ones into the stage, in place of what a build made of those before. A submodule's directory that
    /// the build replaced is left alone.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn lay(&self) -> io::Result<()> {
        self.take_away()?;
        for place in self.places()? {
            if files::obstacle(&self.stage, &place).is_none() && self.stage.join(&place).is_dir() {
                copy_dir(
                    &self.ready.join(&place).join(".git"),
                    &self.stage.join(place).join(".git"),
                )?;
            }
        }
        Ok(())
    }

    /// Takes them out of the stage with all that was written there.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn take_away(&self) -> io::Result<()> {
        for place in self.places()? {
            if files::obstacle(&self.stage, &place).is_some() {
                continue;
            }
            let dir = self.stage.join(place).join(".git");
            let removed = match dir.symlink_metadata() {
                Ok(meta) if meta.is_dir() => fs::remove_dir_all(&dir),
                Ok(_) => fs::remove_file(&dir),
                Err(error) => Err(error),
            };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// The directories of the stage that have one, relative to it.
    fn places(&self) -> io::Result<Vec<PathBuf>> {
        let (mut places, mut left) = (Vec::new(), vec![PathBuf::new()]);
        while let Some(place) = left.pop() {
            let entries = match fs::read_dir(self.ready.join(&place)) {
                // A stage of an earlier version has none.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries?,
            };
            for entry in entries {
                match entry?.file_name() {
                    name if name == ".git" => places.push(place.clone()),
                    name => left.push(place.join(name)),
                }
            }
        }
        Ok(places)
    }
}

impl Git {
    fn write_throw_away(&self, commit: &Oid, dir: &Path, files: &Path) -> Result<(), GitError> {
        let failed = |source| GitError::Io { path: dir.to_owned(), source };
        for name in ["hooks", "info", "objects/info", "objects/pack", "refs/heads", "refs/tags"] {
            fs::create_dir_all(dir.join(name)).map_err(failed)?;
        }
        let write = |name: &str, bytes: &[u8]| fs::write(dir.join(name), bytes).map_err(failed);
        write("HEAD", format!("{commit}\n").as_bytes())?;
        write("config", &self.throw_away_config()?)?;
        write("objects/info/alternates", &alternates(&self.common_dir.join("objects")))?;
        for name in ["shallow", "info/exclude", "info/attributes"] {
            if let Some(bytes) = small(&self.common_dir.join(name)).map_err(failed)? {
                write(name, &bytes)?;
            }
        }
        let (packed, symbolic) = self.refs_for_builds()?;
        write("packed-refs", &packed)?;
        for (name, target) in symbolic {
            let path = dir.join(std::ffi::OsStr::from_bytes(&name));
            let above = path.parent().unwrap_or(dir);
            fs::create_dir_all(above).map_err(failed)?;
            fs::write(&path, format!("ref: {target}\n")).map_err(failed)?;
        }
        self.write_fresh_index(commit, &dir.join("index"), files)
    }

    /// The commit's index, its files as they lie in `files`: nothing is hashed.
    fn write_fresh_index(&self, commit: &Oid, path: &Path, files: &Path) -> Result<(), GitError> {
        let broken = |problem: String| GitError::Object { id: commit.to_string(), problem };
        let tree = gix_id(&self.tree_of(commit)?).ok_or_else(|| broken("no tree".to_owned()))?;
        let mut index = self.repo.index_from_tree(&tree).map_err(|error| broken(told(&error)))?;
        for (entry, name) in index.entries_mut_with_paths() {
            let file = files.join(std::ffi::OsStr::from_bytes(name));
            let found = gix::index::fs::Metadata::from_path_no_follow(&file).ok();
            let stat = found.and_then(|found| gix::index::entry::Stat::from_fs(&found).ok());
            // Without stat data git reads the file.
            entry.stat = stat.unwrap_or_default();
        }
        let failed = |source| GitError::Io { path: path.to_owned(), source };
        let mut file = BufWriter::new(File::create(path).map_err(failed)?);
        let options = gix::index::write::Options::default();
        index.write_to(&mut file, options).map_err(|error| broken(told(&error)))?;
        file.flush().map_err(failed)
    }

    /// `packed-refs` for builds, and the symbolic refs. Broken ones are left out.
    fn refs_for_builds(&self) -> Result<(Vec<u8>, Vec<Symbolic>), GitError> {
        let peeled = self.peeled_in_pack()?;
        let mut all = BTreeMap::new();
        for prefix in REFS {
            all.extend(self.raw_refs(prefix)?);
        }
        all.retain(|name, _| !OWN_REFS.iter().any(|own| name.starts_with(own.as_bytes())));
        let mut packed = b"# pack-refs with: peeled fully-peeled sorted \n".to_vec();
        let mut symbolic = Vec::new();
        for (name, target) in all {
            match target {
                Target::Object(id) => {
                    let known = peeled.get(&name).filter(|(packed, _)| *packed == id);
                    let peeled = match known {
                        Some((_, peeled)) => peeled.clone(),
                        None => match self.peel(&id) {
                            Ok(Some(commit)) => Some(commit).filter(|commit| *commit != id),
                            _ => continue,
                        },
                    };
                    packed.extend([id.as_str().as_bytes(), b" ", &name, b"\n"].concat());
                    if let Some(peeled) = peeled {
                        packed.extend(format!("^{peeled}\n").as_bytes());
                    }
                }
                Target::Symbolic(to) => symbolic.push((name, to)),
                Target::Broken(_) => {}
            }
        }
        Ok((packed, symbolic))
    }

    /// What `packed-refs` says of its refs, and of what tag objects stand for. Nothing where it does not say that of
    /// all of them.
    fn peeled_in_pack(&self) -> Result<HashMap<Vec<u8>, Peeled>, GitError> {
        let mut known = HashMap::new();
        let Some(packed) = self.packed()? else { return Ok(known) };
        let head = packed.as_ref().lines().next().unwrap_or_default();
        if !head.starts_with(b"# pack-refs") || !head.contains_str("fully-peeled") {
            return Ok(known);
        }
        let broken = |error: &(dyn std::error::Error + 'static)| GitError::Ref {
            name: "packed-refs".to_owned(),
            problem: told(error),
        };
        for entry in packed.iter().map_err(|error| broken(&error))? {
            let entry = entry.map_err(|error| broken(&error))?;
            let stands_for = entry.object.map(|_| oid(entry.object()));
            known.insert(entry.name.as_bstr().to_vec(), (oid(entry.target()), stands_for));
        }
        Ok(known)
    }

    fn throw_away_config(&self) -> Result<Vec<u8>, GitError> {
        let sha256 = self.repo.object_hash() == gix::hash::Kind::Sha256;
        let mut text = format!("[core]\n\trepositoryformatversion = {}\n{FIXED}", u8::from(sha256));
        if sha256 {
            text.push_str("[extensions]\n\tobjectFormat = sha256\n");
        }
        let mut config = text.into_bytes();
        for (key, value) in self.settings()?.of(Origin::Repository, taken_over) {
            let (key, value) = (key.as_bytes(), value.as_bytes());
            let value =
                if key.ends_with(b".url") { public_url(value) } else { Some(value.to_vec()) };
            if let Some(value) = value {
                config.extend(setting(key, &value));
            }
        }
        Ok(config)
    }
}

fn taken_over(key: &[u8]) -> bool {
    let of = |section: &[u8], names: &[&[u8]]| {
        key.starts_with(section) && names.iter().any(|name| key.ends_with(name))
    };
    SETTINGS.iter().any(|name| name.as_bytes() == key)
        || of(b"remote.", &[b".url", b".fetch"])
        || of(b"submodule.", &[b".url", b".active"])
}

/// One setting as lines of a configuration file.
fn setting(key: &[u8], value: &[u8]) -> Vec<u8> {
    let (first, last) = (key.find_byte(b'.'), key.rfind_byte(b'.'));
    let (Some(first), Some(last)) = (first, last) else { return Vec::new() };
    let quoted = |bytes: &[u8]| {
        let mut text = b"\"".to_vec();
        for byte in bytes {
            match byte {
                b'"' | b'\\' => text.extend([b'\\', *byte]),
                b'\n' => text.extend(b"\\n"),
                other => text.push(*other),
            }
        }
        text.push(b'"');
        text
    };
    let below = match first == last {
        true => Vec::new(),
        false => [b" ".to_vec(), quoted(&key[first + 1..last])].concat(),
    };
    let (section, name, value) = (&key[..first], &key[last + 1..], quoted(value));
    [b"[", section, &below, b"]\n\t", name, b" = ", &value, b"\n"].concat()
}

/// A remote's URL without what is in it to log in; `None` for one that names a program (`ext::…`).
fn public_url(url: &[u8]) -> Option<Vec<u8>> {
    let Some(scheme) = url.find(b"://") else {
        let helper = url.find(b"::").is_some_and(|at| !url[..at].contains(&b'/'));
        return (!helper).then(|| url.to_vec());
    };
    if url[..scheme].contains(&b':') {
        return None;
    }
    let rest = &url[scheme + 3..];
    let end = rest.find_byteset(b"/?#").unwrap_or(rest.len());
    let Some(at) = rest[..end].rfind_byte(b'@') else { return Some(without_query(url)) };
    let user = rest[..at].split(|byte| *byte == b':').next().unwrap_or_default();
    // Over ssh the user is a part of the place; over http it may be a token.
    let user = if url[..scheme].ends_with(b"ssh") { [user, b"@"].concat() } else { Vec::new() };
    Some(without_query(&[&url[..scheme + 3], &user, &rest[at + 1..]].concat()))
}

fn without_query(url: &[u8]) -> Vec<u8> {
    if !url.starts_with(b"http") {
        return url.to_vec();
    }
    url[..url.find_byteset(b"?#").unwrap_or(url.len())].to_vec()
}

/// The app's objects, and those that they are completed by: an old git follows no relative path from there.
fn alternates(objects: &Path) -> Vec<u8> {
    let mut lines = line(objects.as_os_str().as_bytes());
    let named = small(&objects.join("info/alternates")).ok().flatten().unwrap_or_default();
    for path in named.lines().filter(|path| !path.is_empty() && !path.starts_with(b"#")) {
        if !path.starts_with(b"/") && !path.starts_with(b"\"") {
            lines.extend(line(
                objects.join(OsString::from(path.to_str_lossy().as_ref())).as_os_str().as_bytes(),
            ));
        }
    }
    lines
}

fn line(path: &[u8]) -> Vec<u8> {
    if !path.iter().any(|byte| matches!(byte, b'\n' | b'"')) {
        return [path, b"\n"].concat();
    }
    let path = path.replace(b"\\", b"\\\\").replace(b"\"", b"\\\"").replace(b"\n", b"\\n");
    [b"\"".as_slice(), &path, b"\"\n"].concat()
}

/// The content of a regular file; `None` if there is none.
fn small(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::metadata(path) {
        Ok(meta) if meta.is_file() && meta.len() <= MOST_BYTES => fs::read(path).map(Some),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Files keep their times: by the index's own git tells which files it must read again.
fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_dir(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), &to)?;
            File::options().append(true).open(&to)?.set_modified(entry.metadata()?.modified()?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::Command;

    use super::super::testing::Repo;
    use super::*;

    /// A stage as the layout makes one: the commit's files, and its repository ready.
    fn stage(repo: &Repo) -> (PathBuf, ThrowAway) {
        let stage = repo.dir.path().join("work/stage");
        fs::create_dir_all(&stage).unwrap();
        let tar = repo.command(&["archive", "HEAD"]).output().unwrap().stdout;
        fs::write(repo.dir.path().join("tar"), tar).unwrap();
        let tar = ["-xf".into(), repo.dir.path().join("tar")];
        assert!(Command::new("tar").args(tar).current_dir(&stage).status().unwrap().success());
        let throw_away = ThrowAway::of(&stage);
        let git = repo.open();
        throw_away.add(&git, &git.head().unwrap().commit, None, &stage).unwrap();
        throw_away.lay().unwrap();
        (stage, throw_away)
    }

    fn ask(repo: &Repo, stage: &Path, line: &str) -> String {
        let args: Vec<&str> = line.split(' ').collect();
        let output = repo.command(&args).current_dir(stage).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        format!("{text}{}", String::from_utf8_lossy(&output.stderr)).trim_end().to_owned()
    }

    #[test]
    fn git_answers_in_a_stage_as_in_the_live_tree() {
        let repo = Repo::new();
        repo.write("sub dir/b.txt", "two\n");
        repo.commit("second");
        for args in [
            &["tag", "-a", "-m", "x", "v1.0.0"] as &[&str],
            &["tag", "light"],
            &["tag", "-a", "-m", "x", "gitroll/production/web-1/7-deploy"],
            &["update-ref", "refs/remotes/origin/main", "HEAD"],
            &["symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main"],
            &["pack-refs", "--all"],
            &["tag", "-a", "-m", "x", "v1.0.1"],
            &["remote", "add", "origin", "https://ana:secret@example.org/shop.git"],
            &["remote", "add", "run", "ext::sh -c true"],
            &["config", "core.sshCommand", "false"],
            &["config", "core.abbrev", "9"],
            &["config", "alias.x", "!false"],
        ] {
            repo.git(args);
        }
        repo.write(".git/info/exclude", "ignored\n");
        // A ref that names nothing, as a lost object leaves one.
        repo.write(".git/refs/tags/lost", "1".repeat(40));
        let (stage, throw_away) = stage(&repo);
        fs::remove_file(repo.top.join(".git/refs/tags/lost")).unwrap();
        let ask = |line: &str| ask(&repo, &stage, line);
        for line in [
            "rev-parse HEAD",
            "rev-parse --short HEAD",
            "describe --tags --dirty --exclude gitroll/*",
            "describe --all --match origin/*",
            "log --format=%H:%s",
            "rev-parse origin/HEAD main",
            "status --porcelain",
        ] {
            assert_eq!(ask(line), repo.git(&line.split(' ').collect::<Vec<_>>()), "{line}");
        }
        assert_eq!(ask("describe --tags --dirty"), "v1.0.0");
        assert_eq!(ask("tag"), "light\nv1.0.0\nv1.0.1");
        assert_eq!(
            ask("remote -v").lines().next().unwrap(),
            "origin\thttps://example.org/shop.git (fetch)"
        );
        let settings = ask("config --list --local");
        let told = ["sshcommand", "alias", "ext::", "secret"];
        assert!(!told.iter().any(|word| settings.contains(word)), "{settings}");
        fs::write(stage.join("ignored"), "").unwrap();
        assert_eq!(ask("status --porcelain"), "");
        fs::write(stage.join("a.txt"), "two\n").unwrap();
        assert_eq!(ask("describe --tags --dirty"), "v1.0.0-dirty");

        // Nothing of it survives, and nothing of it reaches the app.
        let before = (repo.git(&["for-each-ref"]), repo.git(&["config", "--list", "--local"]));
        ask("commit -q -a -m built");
        ask("tag built");
        ask("config core.hooksPath .husky");
        ask("gc -q --prune=now");
        throw_away.lay().unwrap();
        assert_eq!(ask("rev-parse HEAD"), repo.git(&["rev-parse", "HEAD"]));
        assert_eq!(ask("config core.hooksPath"), "");
        assert_eq!(
            ask("describe --tags --dirty"),
            "v1.0.0-dirty",
            "a.txt stays as the build left it"
        );
        throw_away.take_away().unwrap();
        assert!(!stage.join(".git").exists());
        assert_eq!(
            before,
            (repo.git(&["for-each-ref"]), repo.git(&["config", "--list", "--local"]))
        );
        repo.git(&["fsck", "--no-progress", "HEAD"]);
    }

    #[test]
    fn the_end_of_a_shallow_history_is_known_there_too() {
        let origin = Repo::new();
        origin.commit("second");
        let repo = Repo::empty();
        let url = format!("file://{}", origin.top.display());
        repo.git(&["fetch", "-q", "--depth=1", &url, "main"]);
        repo.git(&["reset", "-q", "--hard", "FETCH_HEAD"]);
        let (stage, _) = stage(&repo);
        assert_eq!(ask(&repo, &stage, "rev-list --count HEAD"), "1");
    }

    #[test]
    fn urls_lose_what_one_logs_in_with() {
        for (url, wanted) in [
            ("https://token@host/a.git", Some("https://host/a.git")),
            ("https://a:b@host/a.git?private_token=x", Some("https://host/a.git")),
            ("ssh://git:secret@host:22/a.git", Some("ssh://git@host:22/a.git")),
            ("git@host:a.git", Some("git@host:a.git")),
            ("/srv/a@b.git", Some("/srv/a@b.git")),
            ("https://host/a@b.git", Some("https://host/a@b.git")),
            ("ext::sh -c true", None),
            ("ext::ssh://host/a", None),
        ] {
            let found = public_url(url.as_bytes()).map(|url| String::from_utf8(url).unwrap());
            assert_eq!(found.as_deref(), wanted, "{url}");
        }
    }
}
