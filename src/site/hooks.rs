//! gitroll's lines in the git hooks of a checkout: where git looks for hooks, added to what is there, taken out again.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, str};

use serde::{Deserialize, Serialize};

use super::bound::Site;
use crate::model::Digest;
use crate::system::files;
use crate::system::git::Git;
use crate::system::process::{Invocation, own_program, telling_lines};
use crate::system::user::Account;

/// The hooks of a checkout: those that tell of HEAD being moved, and the one before a push.
const CHECKOUT: [&str; 4] = ["post-checkout", "post-merge", "post-rewrite", PRE_PUSH];

/// Called before a push leaves.
pub const PRE_PUSH: &str = "pre-push";

/// Called on a server before a push is taken.
pub const PRE_RECEIVE: &str = "pre-receive";

/// Called on a server for each ref of a push by itself.
pub const UPDATE: &str = "update";

/// Called on a server once a push was taken.
pub const POST_RECEIVE: &str = "post-receive";

/// In a bare repository: what [`Server::queue_file`] is called.
const QUEUE: &str = "gitroll-pushed";

/// What begins and ends gitroll's lines in a file.
const BEGIN: &str = "# gitroll begin";
const END: &str = "# gitroll end\n";

/// The first line of a script of gitroll's own.
const SHEBANG: &str = "#!/bin/sh\n";

/// More than any hook.
const MOST_BYTES: u64 = 4 << 20;

/// Behind the names of hooks that other tools set aside: pre-commit, which calls them, and lefthook, which does not.
const LEGACY: &str = ".legacy";
const OLD: &str = ".old";

/// Behind the name of the directory of hooks: where a hook that is not a shell script is while gitroll's own is in
/// its place. It keeps its name, by which it may know what it is, and a link there leads where it led.
const ASIDE: &str = ".before-gitroll";

/// What was installed, as `hooks.json` in gitroll's own directory says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installed {
    /// Version of this format: 1.
    pub hooks: u32,
    /// Every file that gitroll wrote or added lines to.
    pub files: Vec<InstalledFile>,
    /// Where hooks lie that are not gitroll's to write to: tracked in the tree, or shared with other repositories.
    /// gitroll's directory is before it and calls each of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<Behind>,
    /// On a server: the pattern of the stable tags that are guarded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<String>,
}

impl Default for Installed {
    fn default() -> Self {
        Self { hooks: 1, files: Vec::new(), behind: None, stable: None }
    }
}

/// A directory of hooks that gitroll's own is before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behind {
    /// The directory.
    pub dir: PathBuf,
    /// `core.hooksPath` of the repository's own configuration before; `None` if it was set elsewhere.
    pub setting: Option<String>,
    /// The repository's configuration as it was left.
    pub written: Digest,
}

/// A file with gitroll's lines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstalledFile {
    /// The hook's name, or `exclude`.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// The directory of the binding that its lines name, where they name one: work trees of one repository share hooks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<PathBuf>,
    /// What was there before.
    pub before: Before,
    /// What was written.
    pub written: Digest,
}

/// What lay where gitroll's lines went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "was")]
pub enum Before {
    /// Nothing.
    Absent,
    /// A script of this mode, to which the lines were added; its bytes are kept in gitroll's own directory.
    Script {
        /// Its permission bits.
        mode: u32,
    },
    /// Another program, or a link: it is beside it and is called.
    Beside,
}

/// How one hook stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HookState {
    /// gitroll's lines are there, and nothing else.
    Alone,
    /// gitroll's lines are there, and what was there before runs after them.
    Chained,
    /// gitroll's lines are not there any more: something else wrote the hook again.
    Lost,
}

/// What is installed in the checkout whose own directory this is, where anything is.
pub fn installed(state: &Path) -> Option<Installed> {
    let bytes = files::read_plain(&state.join("hooks.json"), MOST_BYTES).ok()?;
    serde_json::from_slice(&bytes).ok().filter(|installed: &Installed| installed.hooks == 1)
}

/// Puts gitroll's lines into the hooks of a checkout, or puts them right where they are there already.
///
/// # Errors
/// When a file cannot be read or written; what was written until then is in `hooks.json`.
pub fn install(site: &Site) -> io::Result<Installed> {
    let state = site.state();
    let mut now = installed(&state).unwrap_or_default();
    stand_before(site, &mut now)?;
    for name in CHECKOUT {
        let (path, hidden) = place(&site.git, name, &now);
        if let Some(old) = now.find(name).filter(|old| old.path != path).cloned() {
            take_out(&state, &old)?;
            now.files.retain(|file| file.name != name);
        }
        let lines = Lines { text: lines(name, &site.binding.dir), home: Some(&site.binding.dir) };
        if now.behind.is_some() {
            call_behind(&now, name, &path)?;
        }
        put_in(&state, &mut now, name, &path, &lines, Where::AtBegin)?;
        if hidden {
            let below = path.strip_prefix(site.top()).unwrap_or(&path);
            hide(site, &mut now, below)?;
        }
    }
    Ok(now)
}

/// Restores the hooks that something else wrote again since. Cheap if none was.
///
/// # Errors
/// As [`install`].
pub fn put_back(site: &Site) -> io::Result<()> {
    let Some(now) = installed(&site.state()) else { return Ok(()) };
    let moved = |file: &InstalledFile| {
        file.name != EXCLUDE && place(&site.git, &file.name, &now).0 != file.path
    };
    // Someone said again where hooks lie.
    let elsewhere = now.behind.is_some() && site.git.hooks_dir().0 != site.git.own_hooks();
    if elsewhere {
        stand_aside(site, &now)?;
        uninstall_of(&site.state())?;
        install(site)?;
    } else if now.files.iter().any(|file| file.state() == HookState::Lost || moved(file)) {
        install(site)?;
    }
    Ok(())
}

/// Takes gitroll's lines out of every hook, so that each is again what it was, byte for byte. Says which were not as
/// they had been written and so only lost gitroll's lines, or nothing.
///
/// # Errors
/// When a file cannot be read or written.
pub fn uninstall(site: &Site) -> io::Result<Vec<PathBuf>> {
    if let Some(installed) = installed(&site.state()) {
        stand_aside(site, &installed)?;
    }
    uninstall_of(&site.state())
}

/// As [`uninstall`], of a server's bare repository too.
///
/// # Errors
/// As [`uninstall`].
pub fn uninstall_of(state: &Path) -> io::Result<Vec<PathBuf>> {
    let Some(installed) = installed(state) else { return Ok(Vec::new()) };
    let mut changed = Vec::new();
    for file in &installed.files {
        take_out_of_aside(file)?;
        if !take_out(state, file)? {
            changed.push(file.path.clone());
        }
    }
    for path in ["hooks.json", "hooks.log", "head", "receive.toml", "receive.lock"] {
        remove(&state.join(path))?;
    }
    if let Some(git_dir) = state.parent().filter(|_| installed.stable.is_some()) {
        remove(&git_dir.join(QUEUE))?;
    }
    match fs::remove_dir_all(kept_dir(state)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(changed),
    }
}

/// Whether a file has gitroll's lines in it, those that name `home` where it is given.
fn is_ours(path: &Path, home: Option<&Path>) -> bool {
    files::read_plain(path, MOST_BYTES).is_ok_and(|bytes| block_in(&bytes, home).is_some())
}

impl Installed {
    fn find(&self, name: &str) -> Option<&InstalledFile> {
        self.files.iter().find(|file| file.name == name)
    }

    /// The hooks, without what else was written for them.
    pub fn hooks(&self) -> impl Iterator<Item = &InstalledFile> {
        self.files.iter().filter(|file| file.name != EXCLUDE)
    }

    fn note(&mut self, state: &Path, file: InstalledFile) -> io::Result<()> {
        match self.files.iter_mut().find(|other| other.name == file.name) {
            Some(noted) => *noted = file,
            None => self.files.push(file),
        }
        self.save(state)
    }

    fn save(&self, state: &Path) -> io::Result<()> {
        let json = serde_json::to_vec_pretty(self)?;
        files::make_private_dir(state)?;
        files::write_durably(&state.join("hooks.json"), &json, 0o600)
    }
}

impl InstalledFile {
    /// its state now.
    pub fn state(&self) -> HookState {
        // pre-commit calls what it found before it.
        let home = self.home.as_deref();
        let there = is_ours(&self.path, home) || is_ours(&with_end(&self.path, LEGACY), home);
        match (there, &self.before) {
            (false, _) => HookState::Lost,
            (true, Before::Absent) => HookState::Alone,
            (true, _) => HookState::Chained,
        }
    }
}

/// Client-side hooks, besides those that gitroll has lines in.
const OTHERS: [&str; 17] = [
    "applypatch-msg",
    "pre-applypatch",
    "post-applypatch",
    "pre-commit",
    "pre-merge-commit",
    "prepare-commit-msg",
    "commit-msg",
    "post-commit",
    "pre-rebase",
    "pre-auto-gc",
    "push-to-checkout",
    "sendemail-validate",
    "fsmonitor-watchman",
    "post-index-change",
    "p4-changelist",
    "p4-prepare-changelist",
    "p4-post-changelist",
];

/// Where hooks lie in a place that is not gitroll's to write to, has git look into a directory of gitroll's own, whose
/// scripts call them.
fn stand_before(site: &Site, now: &mut Installed) -> io::Result<()> {
    let git = &site.git;
    let (dir, _) = git.hooks_dir();
    let own = git.own_hooks();
    if dir == own || dir.starts_with(git.common_dir()) || is_husky(&dir) {
        return Ok(());
    }
    let config = git.common_dir().join("config");
    let kept = kept_dir(&site.state());
    files::make_private_dir(&kept)?;
    let before = fs::read(&config)?;
    files::write_durably(&kept.join("config"), &before, 0o600)?;
    now.behind = Some(Behind { dir, setting: git.own_hooks_path(), written: Digest::of(&before) });
    now.save(&site.state())?;
    fs::create_dir_all(&own)?;
    for name in OTHERS {
        call_behind(now, name, &own.join(name))?;
    }
    git.set_hooks_path(Some(&own.to_string_lossy())).map_err(io::Error::other)?;
    if let Some(behind) = &mut now.behind {
        behind.written = Digest::of(&fs::read(&config)?);
    }
    now.save(&site.state())
}

/// A script in gitroll's own directory that calls the hook of this name in the one behind it, where there is one.
fn call_behind(now: &Installed, name: &str, path: &Path) -> io::Result<()> {
    let Some(behind) = now.behind.as_ref().filter(|_| !path.exists()) else { return Ok(()) };
    let hook = quoted(&behind.dir.join(name));
    let text = format!("{SHEBANG}[ ! -x '{hook}' ] || exec '{hook}' \"$@\"\n");
    files::write_durably(path, text.as_bytes(), 0o755)
}

/// Has git look where it looked before.
fn stand_aside(site: &Site, now: &Installed) -> io::Result<()> {
    let Some(behind) = &now.behind else { return Ok(()) };
    let git = &site.git;
    let own = git.own_hooks();
    let config = git.common_dir().join("config");
    let bytes = fs::read(&config)?;
    let mode = config.metadata()?.permissions().mode() & 0o7777;
    if Digest::of(&bytes) == behind.written {
        let before = fs::read(kept_dir(&site.state()).join("config"))?;
        files::write_durably(&config, &before, mode)?;
    } else if git.hooks_dir().0 == own {
        git.set_hooks_path(behind.setting.as_deref()).map_err(io::Error::other)?;
    }
    match fs::remove_dir_all(&own) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn is_husky(dir: &Path) -> bool {
    dir.ends_with("_") && dir.join("h").is_file()
}

/// Where gitroll's lines for a hook go: where git looks for it, or, where husky answers there and nobody has a file of
/// this name yet, where husky looks for it. The second must be hidden from git.
fn place(git: &Git, name: &str, now: &Installed) -> (PathBuf, bool) {
    let dir = git.hooks_dir().0;
    // Settings are read once: it may have been set since.
    let dir = if now.behind.is_some() { git.own_hooks() } else { dir };
    if let (true, Some(above)) = (is_husky(&dir), dir.parent()) {
        // What is in `_` is written again by every install of packages.
        let path = above.join(name);
        let noted = now.find(name).is_some_and(|file| file.path == path);
        if path.symlink_metadata().is_err() || noted && is_ours(&path, None) {
            return (path, true);
        }
    }
    (dir.join(name), false)
}

/// gitroll's lines for a hook.
fn lines(name: &str, binding: &Path) -> String {
    const AFTER: &str = include_str!("../../hooks/after");
    const BEFORE_PUSH: &str = include_str!("../../hooks/pre-push");
    const GUARD: &str = include_str!("../../hooks/pre-receive");
    const GUARD_OF_ONE: &str = include_str!("../../hooks/update");
    const AFTER_RECEIVE: &str = include_str!("../../hooks/post-receive");
    let text = match name {
        PRE_PUSH => BEFORE_PUSH,
        PRE_RECEIVE => GUARD,
        UPDATE => GUARD_OF_ONE,
        POST_RECEIVE => AFTER_RECEIVE,
        _ => AFTER,
    };
    // This program may be gone from its place; then the one on the path is taken.
    let program = Some(own_program()).filter(|program| !program.starts_with("/proc"));
    let program = program.unwrap_or_else(|| PathBuf::from("/usr/local/bin/gitroll"));
    let text = text.replace("@NAME@", name).replace("@HOME@", &quoted(binding));
    text.replace("@GITROLL@", &quoted(&program))
}

/// A path between single quotes of a shell.
fn quoted(path: &Path) -> String {
    path.to_string_lossy().replace('\'', r"'\''")
}

/// The guard of a bare repository: its own directory in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `<git dir>/gitroll`.
    pub dir: PathBuf,
    /// The pattern of stable tags.
    pub stable: String,
}

impl Server {
    /// The guard that is installed in a bare repository.
    pub fn at(git_dir: &Path) -> Option<Self> {
        let dir = std::path::absolute(git_dir).ok()?.join("gitroll");
        let stable = installed(&dir)?.stable?;
        Some(Self { dir, stable })
    }

    /// Whether the guard itself is installed and in its place.
    pub fn is_guarded(&self) -> bool {
        let installed = installed(&self.dir);
        let mut guard = installed.iter().flat_map(Installed::hooks);
        guard.any(|hook| {
            [PRE_RECEIVE, UPDATE].contains(&hook.name.as_str()) && hook.state() != HookState::Lost
        })
    }

    /// The git directory.
    pub fn git_dir(&self) -> &Path {
        self.dir.parent().unwrap_or(&self.dir)
    }

    /// Who may sign: `allowed_signers` format.
    pub fn trust_file(&self) -> PathBuf {
        self.dir.join("trust")
    }

    /// Whether object ids of this repository are SHA-256.
    pub fn sha256(&self) -> bool {
        let config = fs::read_to_string(self.git_dir().join("config")).unwrap_or_default();
        let plain: String = config.to_ascii_lowercase().split_whitespace().collect();
        plain.contains("objectformat=sha256")
    }

    /// What is deployed of what is pushed, as `receive.toml` says; `None` without that file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn receive(&self) -> Result<Option<Receive>, String> {
        let path = self.receive_file();
        let bytes = match files::read_plain(&path, MOST_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bytes => bytes.map_err(|error| format!("{}: {error}", path.display()))?,
        };
        let file: ReceiveFile = toml::from_str(&String::from_utf8_lossy(&bytes))
            .map_err(|error| format!("{}: {}", path.display(), error.message()))?;
        Ok(Some(file.receive))
    }

    /// Where it is said which commit waits to be deployed by the account that the checkout belongs to: everyone may read
    /// it.
    pub fn queue_file(&self) -> PathBuf {
        self.git_dir().join(QUEUE)
    }

    fn receive_file(&self) -> PathBuf {
        self.dir.join("receive.toml")
    }

    /// Where git looks for the hooks of this repository: `core.hooksPath`, whoever set it, else its own directory.
    ///
    /// # Errors
    /// When git cannot say it.
    pub fn hooks_dir(&self) -> io::Result<PathBuf> {
        let mut run = Invocation::new("git", self.git_dir());
        run.args = ["rev-parse", "--git-path", "hooks"].map(Into::into).to_vec();
        for name in ["PATH", "HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"] {
            run.env.extend(std::env::var_os(name).map(|value| (name.into(), value)));
        }
        run.limit = Duration::from_secs(20);
        let done = run.run().map_err(io::Error::other)?;
        if !done.success() {
            return Err(io::Error::other(telling_lines(&done.stderr, 2).join("; ")));
        }
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        Ok(self.git_dir().join(said.trim_end_matches('\n')))
    }

    /// Puts gitroll's lines into the hooks of a bare repository: the guard where there are keys to trust, and what
    /// deploys a push where `wanted` says what.
    ///
    /// # Errors
    /// As [`install`].
    pub fn install(&self, wanted: &ServerHooks<'_>) -> io::Result<()> {
        files::make_private_dir(&self.dir)?;
        if let Some(trust) = wanted.trust {
            files::write_durably(&self.trust_file(), trust, 0o600)?;
        }
        if let Some(roles) = wanted.roles {
            files::write_durably(&self.dir.join("roles.toml"), roles, 0o600)?;
        }
        if let Some(receive) = wanted.receive {
            let file = ReceiveFile { receive: receive.clone() };
            let text = toml::to_string(&file).map_err(io::Error::other)?;
            files::write_durably(&self.receive_file(), text.as_bytes(), 0o600)?;
        }
        let mut now = installed(&self.dir).unwrap_or_default();
        now.stable = Some(self.stable.clone());
        let guard = self.trust_file().exists();
        let all = [
            (PRE_RECEIVE, guard && !wanted.each_ref),
            (UPDATE, guard && wanted.each_ref),
            (POST_RECEIVE, self.receive_file().exists()),
        ];
        for (name, is_wanted) in all {
            let path = wanted.hooks.join(name);
            // The guard is in one of two hooks, and in one place.
            if let Some(old) = now.find(name).filter(|old| !is_wanted || old.path != path).cloned()
            {
                take_out(&self.dir, &old)?;
                now.files.retain(|file| file.name != name);
            }
            if is_wanted {
                let lines = Lines { text: lines(name, &self.dir), home: None };
                put_in(&self.dir, &mut now, name, &path, &lines, Where::AtBegin)?;
            }
        }
        now.save(&self.dir)
    }
}

/// What goes into the hooks of a bare repository.
#[derive(Debug, Clone, Copy)]
pub struct ServerHooks<'a> {
    /// Who may sign, in `allowed_signers` format; as before where left out.
    pub trust: Option<&'a [u8]>,
    /// Who may do what, as `roles.toml` says it; as before where left out.
    pub roles: Option<&'a [u8]>,
    /// What is deployed; as before where left out.
    pub receive: Option<&'a Receive>,
    /// The guard judges each ref by itself, in git's `update` hook.
    pub each_ref: bool,
    /// Where the hooks lie.
    pub hooks: &'a Path,
}

/// `[receive]` of a server's `receive.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receive {
    /// The branch whose pushes are deployed.
    pub branch: String,
    /// The bound checkout they are deployed into.
    pub checkout: PathBuf,
    /// What that checkout calls this repository.
    #[serde(default = "origin")]
    pub remote: String,
}

impl Receive {
    /// The account that the checkout belongs to, where this process cannot deploy into it: it is neither that account nor
    /// root.
    pub fn other_owner(&self) -> Option<String> {
        let (own, owner) = (Account::current(), Account::owner_of(&self.checkout).ok()?);
        (own.uid != 0 && own.uid != owner.uid).then_some(owner.name)
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceiveFile {
    receive: Receive,
}

fn origin() -> String {
    "origin".to_owned()
}

/// Where in a file the lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    /// Behind the first line of a script.
    AtBegin,
    /// At the end of a list.
    AtEnd,
}

/// What goes into a file.
struct Lines<'a> {
    text: String,
    /// What tells them from those of another work tree, see [`InstalledFile::home`].
    home: Option<&'a Path>,
}

fn put_in(
    state: &Path,
    now: &mut Installed,
    name: &str,
    path: &Path,
    lines: &Lines<'_>,
    at: Where,
) -> io::Result<()> {
    let Lines { text: lines, home } = lines;
    let there = match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
        Ok(meta) if meta.is_file() => {
            Some((files::read_plain(path, MOST_BYTES)?, meta.permissions().mode()))
        }
        Ok(_) => Some((Vec::new(), 0o755)),
    };
    if let (Some((bytes, mode)), Some(file)) = (&there, now.find(name).cloned())
        // What an earlier version wrote does not say whose it is.
        && let Some(block) = block_in(bytes, file.home.as_deref())
    {
        let file = InstalledFile { home: home.map(Path::to_owned), ..file };
        // Installed already, perhaps by another version or from another place.
        if &bytes[block.clone()] != lines.as_bytes() {
            let new = [&bytes[..block.start], lines.as_bytes(), &bytes[block.end..]].concat();
            files::write_durably(path, &new, mode & 0o7777)?;
            let written =
                if Digest::of(bytes) == file.written { Digest::of(&new) } else { file.written };
            now.note(state, InstalledFile { written, ..file })?;
        } else if now.find(name) != Some(&file) {
            now.note(state, file)?;
        }
        return Ok(());
    }
    let link = path.symlink_metadata().is_ok_and(|meta| !meta.is_file());
    let (before, new, mode) = match &there {
        Some((bytes, mode))
            if !link && (at == Where::AtEnd || is_shell(bytes) || mode & 0o111 == 0) =>
        {
            let new = match at {
                Where::AtEnd if bytes.last().is_none_or(|last| *last == b'\n') => {
                    [bytes, lines.as_bytes()].concat()
                }
                Where::AtEnd => [bytes.as_slice(), b"\n", lines.as_bytes()].concat(),
                // Git does not run it: nor is it run behind these lines.
                Where::AtBegin if mode & 0o111 == 0 => (SHEBANG.to_owned() + lines).into_bytes(),
                Where::AtBegin => {
                    let first =
                        bytes.iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| n + 1);
                    [&bytes[..first], lines.as_bytes(), &bytes[first..]].concat()
                }
            };
            let kept = kept_dir(state);
            files::make_private_dir(&kept)?;
            files::write_durably(&kept.join(name), bytes, 0o600)?;
            let runs = if at == Where::AtBegin { 0o755 } else { 0 };
            (Before::Script { mode: mode & 0o7777 }, new, mode & 0o7777 | runs)
        }
        Some(_) => {
            let call = format!("exec '{}' \"$@\"\n", quoted(&aside(path)));
            (Before::Beside, (SHEBANG.to_owned() + lines + &call).into_bytes(), 0o755)
        }
        None if at == Where::AtEnd => (Before::Absent, lines.as_bytes().to_vec(), 0o644),
        None => (Before::Absent, (SHEBANG.to_owned() + lines).into_bytes(), 0o755),
    };
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let written = Digest::of(&new);
    let beside = before == Before::Beside;
    let home = home.map(Path::to_owned);
    let file =
        InstalledFile { name: name.to_owned(), path: path.to_owned(), home, before, written };
    // Noted first: what is noted and not there is merely lost.
    now.note(state, file)?;
    if beside {
        let aside = aside(path);
        fs::create_dir_all(aside.parent().unwrap_or(path))?;
        fs::rename(path, aside)?;
    }
    files::write_durably(path, &new, mode)
}

/// Takes gitroll's lines out of one file. Whether it is again what it was.
fn take_out(state: &Path, file: &InstalledFile) -> io::Result<bool> {
    let bytes = match files::read_plain(&file.path, MOST_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(file.before == Before::Absent);
        }
        Err(error) => return Err(error),
    };
    let Some(block) = block_in(&bytes, file.home.as_deref()) else { return Ok(false) };
    let untouched = Digest::of(&bytes) == file.written;
    match &file.before {
        Before::Absent if untouched => remove(&file.path)?,
        Before::Script { mode } if untouched => {
            let before = fs::read(kept_dir(state).join(&file.name))?;
            files::write_durably(&file.path, &before, *mode)?;
        }
        Before::Beside if untouched => {
            let aside = aside(&file.path);
            fs::rename(&aside, &file.path)?;
            // Only where nothing else is in it.
            let _ = aside.parent().map(fs::remove_dir);
        }
        Before::Beside => return Ok(false),
        Before::Absent | Before::Script { .. }
            if file.home.is_some() && without(&bytes, &block) == SHEBANG.as_bytes() =>
        {
            // Another work tree's lines were there, and are gone.
            remove(&file.path)?;
        }
        Before::Absent | Before::Script { .. } => {
            let mode = file.path.metadata()?.permissions().mode() & 0o7777;
            files::write_durably(&file.path, &without(&bytes, &block), mode)?;
        }
    }
    Ok(untouched)
}

fn without(bytes: &[u8], block: &std::ops::Range<usize>) -> Vec<u8> {
    [&bytes[..block.start], &bytes[block.end..]].concat()
}

const EXCLUDE: &str = "exclude";

/// Has git pass over a file of gitroll's own in the tree.
fn hide(site: &Site, now: &mut Installed, below: &Path) -> io::Result<()> {
    let path = site.git.exclude_file();
    let pattern = format!("/{}\n", below.display());
    let there = files::read_plain(&path, MOST_BYTES).unwrap_or_default();
    let before = block_in(&there, None);
    let before = before.map(|block| String::from_utf8_lossy(&there[block]).into_owned());
    let text = match before {
        Some(lines) if lines.contains(&pattern) => return Ok(()),
        Some(lines) => lines.replace(END, &format!("{pattern}{END}")),
        None => {
            format!("{BEGIN}: hooks that `gitroll hooks uninstall` takes out again\n{pattern}{END}")
        }
    };
    let lines = Lines { text, home: None };
    put_in(&site.state(), now, EXCLUDE, &path, &lines, Where::AtEnd)
}

/// Where gitroll's lines are: the first ones, or those that name `home`.
fn block_in(bytes: &[u8], home: Option<&Path>) -> Option<std::ops::Range<usize>> {
    let find = |what: &str, from: usize| {
        let at = bytes[from..].windows(what.len()).position(|part| part == what.as_bytes())?;
        Some(from + at)
    };
    let named = home.map(|home| format!("GITROLL_HOME='{}'", quoted(home)));
    let mut from = 0;
    while let Some(begin) = find(BEGIN, from) {
        let end = find(END, begin)? + END.len();
        let block = begin..end;
        let is_it = |named: &String| String::from_utf8_lossy(&bytes[begin..end]).contains(named);
        if named.as_ref().is_none_or(is_it) {
            return Some(block);
        }
        from = end;
    }
    None
}

/// Whether it is a script that a POSIX shell reads.
fn is_shell(bytes: &[u8]) -> bool {
    const SHELLS: [&str; 5] = ["sh", "bash", "dash", "ksh", "zsh"];
    let first = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let Some(line) = str::from_utf8(first).ok().and_then(|line| line.strip_prefix("#!")) else {
        return false;
    };
    let mut words = line.split_whitespace();
    let mut program = words.next().unwrap_or_default();
    if program.ends_with("/env") {
        program = words.find(|word| !word.starts_with('-')).unwrap_or_default();
    }
    SHELLS.contains(&program.rsplit('/').next().unwrap_or_default())
}

fn kept_dir(state: &Path) -> PathBuf {
    state.join("hooks")
}

fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn aside(path: &Path) -> PathBuf {
    let dir = path.parent().unwrap_or(path);
    with_end(dir, ASIDE).join(path.file_name().unwrap_or_default())
}

/// Takes gitroll's lines out of what another tool set aside; a file of nothing else goes.
fn take_out_of_aside(file: &InstalledFile) -> io::Result<()> {
    for end in [LEGACY, OLD] {
        let path = with_end(&file.path, end);
        let Ok(bytes) = files::read_plain(&path, MOST_BYTES) else { continue };
        let Some(block) = block_in(&bytes, file.home.as_deref()) else { continue };
        let rest = without(&bytes, &block);
        if rest == SHEBANG.as_bytes() {
            remove(&path)?;
        } else {
            let mode = path.metadata()?.permissions().mode() & 0o7777;
            files::write_durably(&path, &rest, mode)?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
