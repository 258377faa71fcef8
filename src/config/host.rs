//! The host binding: `host.toml`, outside the repository. Documented in `docs/host-binding.md`.

mod roles;
mod safe;

pub use roles::{HEAD as ROLES_HEAD, OPENPGP, Roles, revoked_text};
pub use safe::BindingError;

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

use crate::config::quote::{quote, quoted};
use crate::config::reader::{Item, Report, Table, all, or};
use crate::model::{AppName, ChainId, EnvironmentName, WriterId};
use crate::system::user::Account;
use crate::system::{files, umask};

use safe::{FILE, REVOKED, ROLES, TRUST};

/// What binds one checkout on one host to one environment.
#[derive(Debug, Clone)]
pub struct Binding {
    /// The directory that holds `host.toml` and the trust file.
    pub dir: PathBuf,
    /// The app.
    pub app: AppName,
    /// The top of the work tree this binding is for, canonical.
    pub path: PathBuf,
    /// The environment.
    pub environment: EnvironmentName,
    /// The writer.
    pub writer: WriterId,
    /// The writer's chain.
    pub chain: ChainId,
    /// The name of the user to run as: the tree's owner.
    pub run_as: String,
    /// The mask for new files, of the tree and of git, whoever runs the command: what `init` found in the
    /// tree. `None` means 022.
    pub umask: Option<u32>,
    /// Where stages lie: outside the app, on its file system where possible.
    pub work_dir: PathBuf,
    /// Where rollback points are kept; `None` means in `work_dir`.
    pub points: Option<PathBuf>,
    /// How records are signed.
    pub signing: Signing,
    /// Fingerprints of OpenPGP keys that are trusted, 40 upper-case hex digits each.
    pub openpgp: Vec<String>,
    /// Keys whose trust records this host applies by itself, by fingerprint.
    pub follow: Vec<String>,
    /// Absolute paths of the tools.
    pub tools: Tools,
    /// `PM2_HOME`, where pm2 is used.
    pub pm2_home: Option<PathBuf>,
    /// `PATH` for builds and services.
    pub path_variable: String,
    /// Directories whose pm2 apps a person said are this checkout's: the next reload moves them here.
    pub take_over: Vec<PathBuf>,
    /// Variables of the caller that builds see besides the usual ones.
    pub pass: Vec<String>,
    /// Why a file beside `host.toml` that decides who is trusted cannot be relied on. Nobody is trusted then.
    pub distrust: Option<Arc<BindingError>>,
}

/// How records are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signing {
    /// ssh or openpgp.
    pub format: SigningFormat,
    /// ssh: path of the private or public key file (a public one means: through the agent).
    /// openpgp: the fingerprint.
    pub key: String,
}

/// The kind of signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningFormat {
    /// `ssh-keygen -Y`
    Ssh,
    /// `gpg`
    OpenPgp,
}

/// Absolute paths of the tools; `None` if not found when the binding was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tools {
    /// git
    pub git: Option<PathBuf>,
    /// node
    pub node: Option<PathBuf>,
    /// npm
    pub npm: Option<PathBuf>,
    /// pm2
    pub pm2: Option<PathBuf>,
    /// ssh-keygen
    pub ssh_keygen: Option<PathBuf>,
    /// gpg
    pub gpg: Option<PathBuf>,
    /// systemctl
    pub systemctl: Option<PathBuf>,
    /// journalctl
    pub journalctl: Option<PathBuf>,
}

impl Binding {
    /// Finds the binding of the work tree at `top`: `host.toml` in `$GITROLL_HOME`, else in a directory
    /// of `/etc/gitroll/`, else in one of the user's configuration directory (`$XDG_CONFIG_HOME/gitroll/`
    /// or `~/.config/gitroll/`), the one whose `path` is `top`. Where `$GITROLL_HOME` is set, nothing else
    /// is looked at.
    ///
    /// The files and their directories must belong to root or the current user and be writable by
    /// nobody else.
    ///
    /// # Errors
    /// See [`BindingError`].
    pub fn find(top: &Path) -> Result<Self, BindingError> {
        Self::find_in(top, &BindingPlaces::of_this_process())
    }

    /// As [`Binding::find`], in these places.
    ///
    /// # Errors
    /// See [`BindingError`]. A binding that cannot be used is an error only when no other one fits, so that
    /// one app's broken file does not stop another app.
    pub fn find_in(top: &Path, places: &BindingPlaces) -> Result<Self, BindingError> {
        let top = std::fs::canonicalize(top).unwrap_or_else(|_| top.to_owned());
        let mut elsewhere = Vec::new();
        let mut broken = None;
        for shelf in places.shelves() {
            let mut found: Option<Self> = None;
            for dir in shelf {
                let binding = match safe::read(&dir) {
                    Ok(None) => continue,
                    Ok(Some(found)) => found_binding(found, &dir),
                    Err(error) => Err(error),
                };
                match binding {
                    Ok(binding) if !binding.is_for(&top) => elsewhere.push(binding.path),
                    Ok(binding) => match &found {
                        None => found = Some(binding),
                        Some(first) => {
                            let problem = format!(
                                "binds {} a second time, after {}: remove one of them",
                                top.display(),
                                first.file().display()
                            );
                            return Err(BindingError::Invalid { path: binding.file(), problem });
                        }
                    },
                    Err(error) => broken = broken.or(Some(error)),
                }
            }
            if let Some(binding) = found {
                return Ok(binding);
            }
        }
        Err(broken.unwrap_or(BindingError::Unbound { elsewhere }))
    }

    /// What a server's bare repository trusts: the trust file and list of revoked keys in `dir`, and nothing else.
    pub fn of_server(dir: &Path) -> Self {
        let name = "server";
        Self {
            dir: dir.to_owned(),
            app: name.parse().expect("a plain name"),
            path: dir.to_owned(),
            environment: name.parse().expect("a plain name"),
            writer: name.parse().expect("a plain name"),
            chain: "0".repeat(32).parse().expect("as many digits as it has"),
            run_as: String::new(),
            umask: None,
            work_dir: dir.to_owned(),
            points: None,
            signing: Signing { format: SigningFormat::Ssh, key: String::new() },
            openpgp: Vec::new(),
            follow: Vec::new(),
            tools: Tools::default(),
            pm2_home: None,
            path_variable: std::env::var("PATH").unwrap_or_default(),
            take_over: Vec::new(),
            pass: Vec::new(),
            distrust: None,
        }
    }

    /// Writes `host.toml` (mode 0644) into `self.dir` (made with mode 0755 where missing), durably and
    /// in one rename.
    ///
    /// # Errors
    /// When the directory cannot be made or written, or when the binding could not be read back (a path that
    /// is not UTF-8, a relative path).
    pub fn save(&self) -> io::Result<()> {
        let invalid = |problem: String| io::Error::new(io::ErrorKind::InvalidInput, problem);
        let text = write(self).map_err(invalid)?;
        read(&text, &self.dir).map_err(|error| invalid(error.to_string()))?;
        if !self.dir.exists() {
            std::fs::DirBuilder::new().recursive(true).mode(0o755).create(&self.dir)?;
            // With all that were made above it.
            files::sync_file_system(&self.dir)?;
        }
        files::write_durably(&self.file(), text.as_bytes(), 0o644)
    }

    /// The directory of the rollback points: outside the app's tree.
    pub fn points_dir(&self) -> PathBuf {
        self.points.clone().unwrap_or_else(|| self.work_dir.join("points"))
    }

    /// The password of the rollback points, a file of mode 0600 in `self.dir`.
    pub fn points_password(&self) -> PathBuf {
        self.dir.join(POINTS_PASSWORD)
    }

    /// The binding's own file, `host.toml` in `self.dir`.
    pub fn file(&self) -> PathBuf {
        self.dir.join(FILE)
    }

    /// The mask for new files.
    pub fn umask(&self) -> u32 {
        self.umask.unwrap_or(umask::USUAL)
    }

    /// The trust file: `allowed_signers` format, principals are writers or people, in `self.dir`.
    pub fn trust_file(&self) -> PathBuf {
        self.dir.join(TRUST)
    }

    /// The list of revoked ssh keys (a KRL or public keys), where there is one, in `self.dir`.
    pub fn revoked_file(&self) -> PathBuf {
        self.dir.join(REVOKED)
    }

    /// Who may do what, and which keys are revoked, where there is such a file, in `self.dir`.
    pub fn roles_file(&self) -> PathBuf {
        self.dir.join(ROLES)
    }

    fn is_for(&self, top: &Path) -> bool {
        self.path == top || std::fs::canonicalize(&self.path).is_ok_and(|path| path == top)
    }
}

fn found_binding(found: safe::Found, dir: &Path) -> Result<Binding, BindingError> {
    let binding = read(&found.text, dir)?;
    Ok(Binding { distrust: found.distrust.map(Arc::new), ..binding })
}

/// The password of the rollback points.
const POINTS_PASSWORD: &str = "points.password";

/// Where bindings are looked for and made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BindingPlaces {
    /// `$GITROLL_HOME`: the directory of the one binding.
    pub exact: Option<PathBuf>,
    /// `/etc/gitroll`: a directory for each binding.
    pub system: Option<PathBuf>,
    /// `gitroll` in the user's configuration directory: a directory for each binding. `None` without a
    /// home.
    pub user: Option<PathBuf>,
}

impl BindingPlaces {
    /// The places this process's environment names. A relative `XDG_CONFIG_HOME` or `HOME` is not a place.
    pub fn of_this_process() -> Self {
        Self::from_environment(|name| std::env::var_os(name).map(PathBuf::from))
    }

    fn from_environment(variable: impl Fn(&str) -> Option<PathBuf>) -> Self {
        let set = |name| variable(name).filter(|path| !path.as_os_str().is_empty());
        let absolute = |name| set(name).filter(|path| path.is_absolute());
        let user = absolute("XDG_CONFIG_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".config")))
            .map(|config| config.join("gitroll"));
        let exact = set("GITROLL_HOME").map(|dir| std::path::absolute(&dir).unwrap_or(dir));
        Self { exact, system: Some(PathBuf::from("/etc/gitroll")), user }
    }

    /// The places of this process; for root those of every user of this host as well.
    pub fn of_this_host() -> Vec<(Self, u32)> {
        let me = rustix::process::geteuid().as_raw();
        let own = Self::of_this_process();
        let everyone = me == 0 && own.exact.is_none();
        let mut all = vec![(own, me)];
        if everyone {
            let others = Account::local().into_iter().filter(|account| account.uid != 0);
            all.extend(others.map(|account| {
                let user = Some(account.home.join(".config/gitroll"));
                (Self { user, ..Self::default() }, account.uid)
            }));
        }
        all
    }

    /// Every binding in these places by its directory, or why it cannot be read, in the order in which they count. `me`:
    /// the user besides root whose they may be.
    pub fn all(&self, me: u32) -> Vec<(PathBuf, Result<Binding, BindingError>)> {
        let dirs = self.shelves().into_iter().flatten();
        let read = |dir: PathBuf| match safe::read_as(&dir, me) {
            Ok(None) => None,
            Ok(Some(found)) => Some((dir.clone(), found_binding(found, &dir))),
            Err(error) => Some((dir, Err(error))),
        };
        dirs.filter_map(read).collect()
    }

    /// The directory a new binding of `app` would have: `$GITROLL_HOME`, else one named like the app in
    /// `/etc/gitroll` (`system`) or in the user's configuration directory. `None` without a home.
    pub fn directory_for(&self, app: &AppName, system: bool) -> Option<PathBuf> {
        let shelf = if system { &self.system } else { &self.user };
        self.exact.clone().or_else(|| Some(shelf.as_ref()?.join(app.as_str())))
    }

    /// Directories that may hold a binding, one list for each rank.
    fn shelves(&self) -> Vec<Vec<PathBuf>> {
        if let Some(exact) = &self.exact {
            // A trailing slash would make the last part a link that is followed.
            return vec![vec![exact.components().collect()]];
        }
        let directories = |shelf: &PathBuf| {
            let entries = std::fs::read_dir(shelf).into_iter().flatten().flatten();
            let mut all: Vec<PathBuf> = entries
                .filter(|entry| {
                    entry.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_symlink())
                })
                .map(|entry| entry.path())
                .collect();
            all.sort();
            all
        };
        [&self.system, &self.user].into_iter().flatten().map(directories).collect()
    }
}

/// The version of the format this program reads and writes.
const VERSION: u64 = 1;

/// Reads the text of the `host.toml` in `dir`.
fn read(text: &str, dir: &Path) -> Result<Binding, BindingError> {
    let invalid = |problem| BindingError::Invalid { path: dir.join(FILE), problem };
    let report = Report::new(text);
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            report.add(&error.span().unwrap_or(0..0), format!("not TOML: {}", error.message()));
            return Err(invalid(report.on_one_line()));
        }
    };
    let root = Table::root(&report, document.get_ref(), "the file");
    let binding = version(&root).and_then(|()| binding(&root, dir));
    let problems = report.on_one_line();
    binding.filter(|_| problems.is_empty()).ok_or_else(|| invalid(problems))
}

/// A file of another version is not examined any further: its other keys mean other things.
fn version(root: &Table<'_>) -> Option<()> {
    let item = root.need("version")?;
    let version = item.number(1..=u64::from(u32::MAX))?;
    if version != VERSION {
        item.add(format_args!(
            "version {version} is not supported: this gitroll reads version {VERSION}: update gitroll"
        ));
        return None;
    }
    Some(())
}

fn binding(root: &Table<'_>, dir: &Path) -> Option<Binding> {
    let app = root.need("app").and_then(|item| item.id());
    let path = root.need("path").and_then(|item| absolute(&item));
    let environment = root.need("environment").and_then(|item| item.id());
    let writer = root.need("writer").and_then(|item| item.id());
    let chain = root.need("chain").and_then(|item| item.id());
    let run_as = root.need("run_as").and_then(|item| user(&item));
    let umask = or(root.get("umask"), || None, |item| mask(&item).map(Some));
    let work_dir = root.need("work_dir").and_then(|item| {
        let work_dir = absolute(&item)?;
        if path.as_ref().is_some_and(|path| work_dir.starts_with(path)) {
            item.add("must lie outside the work tree");
            return None;
        }
        Some(work_dir)
    });
    let points = or(
        root.get("points"),
        || None,
        |item| {
            let points = absolute(&item)?;
            if path.as_ref().is_some_and(|path| points.starts_with(path)) {
                item.add("must lie outside the work tree");
                return None;
            }
            Some(Some(points))
        },
    );
    let signing = root.need("signing").and_then(|item| signing(&item));
    let trust = or(root.get("trust"), Default::default, |item| {
        let table = item.table("[trust]")?;
        let follow = or(table.get("follow"), Vec::new, |item| {
            all(item.elements("an array of fingerprints")?.iter().map(followed))
        });
        let keys = or(table.get("openpgp"), Vec::new, |item| {
            all(item.elements("an array of fingerprints")?.iter().map(fingerprint))
        });
        table.finish();
        Some((keys?, follow?))
    });
    let pass = or(root.get("build"), Vec::new, |item| {
        let table = item.table("[build]")?;
        let pass = or(table.get("pass"), Vec::new, |item| {
            all(item.elements("an array of names")?.iter().map(variable))
        });
        table.finish();
        pass
    });
    let tools = root.need("tools").and_then(|item| tools(&item));
    let take_over = or(root.get("take_over"), Vec::new, |item| {
        all(item.elements("an array of absolute paths")?.iter().map(absolute))
    });
    root.finish();
    let (tools, path_variable, pm2_home) = tools?;
    let (openpgp, follow): (Vec<String>, Vec<String>) = trust?;
    Some(Binding {
        dir: dir.to_owned(),
        app: app?,
        path: path?,
        environment: environment?,
        writer: writer?,
        chain: chain?,
        run_as: run_as?,
        umask: umask?,
        work_dir: work_dir?,
        points: points?,
        signing: signing?,
        openpgp,
        follow,
        tools,
        pm2_home,
        path_variable,
        take_over: take_over?,
        pass: pass?,
        distrust: None,
    })
}

fn absolute(item: &Item<'_>) -> Option<PathBuf> {
    let text = item.line()?;
    if !is_absolute(text) {
        item.add(format_args!("{} must be an absolute path without `..`", quoted(text)));
        return None;
    }
    Some(PathBuf::from(text))
}

fn is_absolute(text: &str) -> bool {
    text.starts_with('/') && !text.split('/').any(|part| part == "..")
}

fn followed(item: &Item<'_>) -> Option<String> {
    let text = item.line()?;
    if !text.starts_with("SHA256:") {
        item.add("must be SHA256:… as `gitroll trust list` shows it");
        return None;
    }
    Some(text.to_owned())
}

fn user(item: &Item<'_>) -> Option<String> {
    let text = item.line()?;
    if text.starts_with('-') || text.contains([':', '/']) || text.contains(char::is_whitespace) {
        item.add(format_args!("{} is not a user name", quoted(text)));
        return None;
    }
    Some(text.to_owned())
}

/// Octal digits, as umask(1) takes them. One that keeps the owner out would make the app unreadable for itself,
/// one that lets others write would give it to everybody.
fn mask(item: &Item<'_>) -> Option<u32> {
    let text = item.line()?;
    let digits = (3..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    let mask = u32::from_str_radix(text, 8).ok().filter(|_| digits);
    match mask {
        Some(mask) if mask & !0o077 == 0 && mask & 0o002 != 0 => Some(mask),
        Some(mask) if mask & !0o077 != 0 => {
            item.add(format_args!("{} would lock out the app's own user", quoted(text)));
            None
        }
        Some(_) => {
            item.add(format_args!("{} would let everyone write the app's files", quoted(text)));
            None
        }
        None => {
            item.add(format_args!("{} is not a mask such as \"022\"", quoted(text)));
            None
        }
    }
}

fn variable(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let taken = ["GIT_", "GITROLL_"].iter().any(|prefix| text.starts_with(prefix));
    if taken || text.is_empty() || text.contains('=') || text.contains(char::is_whitespace) {
        item.add(format_args!("{} is not a variable that builds may see", quoted(text)));
        return None;
    }
    Some(text.to_owned())
}

fn fingerprint(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let hex = |b: u8| b.is_ascii_digit() || (b'A'..=b'F').contains(&b);
    if text.len() != 40 || !text.bytes().all(hex) {
        item.add(format_args!(
            "{} is not an OpenPGP fingerprint: 40 upper-case hex digits without spaces",
            quoted(text)
        ));
        return None;
    }
    Some(text.to_owned())
}

fn signing(item: &Item<'_>) -> Option<Signing> {
    let table = item.table("[signing]")?;
    let formats = [("ssh", SigningFormat::Ssh), ("openpgp", SigningFormat::OpenPgp)];
    let format = table.need("format").and_then(|item| item.word(&formats));
    let key = table.need("key").and_then(|item| match format {
        Some(SigningFormat::OpenPgp) => fingerprint(&item),
        Some(SigningFormat::Ssh) => absolute(&item).and_then(|_| item.line().map(str::to_owned)),
        None => None,
    });
    table.finish();
    Some(Signing { format: format?, key: key? })
}

fn tools(item: &Item<'_>) -> Option<(Tools, String, Option<PathBuf>)> {
    let table = item.table("[tools]")?;
    let tool = |key| or(table.get(key), || None, |item| absolute(&item).map(Some));
    let [git, node, npm, pm2] = ["git", "node", "npm", "pm2"].map(tool);
    let [ssh_keygen, gpg, pm2_home] = ["ssh_keygen", "gpg", "pm2_home"].map(tool);
    let [systemctl, journalctl] = ["systemctl", "journalctl"].map(tool);
    let path_variable = table.need("path").and_then(|item| {
        let text = item.line()?;
        // An empty or relative part would look for programs where the command happens to run.
        if !text.split(':').all(is_absolute) {
            item.add("every part between colons must be an absolute path");
            return None;
        }
        Some(text.to_owned())
    });
    table.finish();
    let tools = Tools {
        git: git?,
        node: node?,
        npm: npm?,
        pm2: pm2?,
        ssh_keygen: ssh_keygen?,
        gpg: gpg?,
        systemctl: systemctl?,
        journalctl: journalctl?,
    };
    Some((tools, path_variable?, pm2_home?))
}

/// The text of a binding, with comments.
///
/// # Errors
/// A sentence when a path is not UTF-8, which TOML cannot hold.
fn write(binding: &Binding) -> Result<String, String> {
    let path = |path: &Path| match path.to_str() {
        Some(text) => Ok(quote(text)),
        None => Err(format!("{} is not UTF-8 and cannot be kept in {FILE}", path.display())),
    };
    let tool = |name: &str, tool: &Option<PathBuf>| -> Result<String, String> {
        match tool {
            Some(tool) => Ok(format!("{name} = {}\n", path(tool)?)),
            None => Ok(format!("# {name} = \"/…\"  was not found when this was written\n")),
        }
    };
    let format = match binding.signing.format {
        SigningFormat::Ssh => "ssh",
        SigningFormat::OpenPgp => "openpgp",
    };
    let tools = [
        tool("git", &binding.tools.git)?,
        tool("node", &binding.tools.node)?,
        tool("npm", &binding.tools.npm)?,
        tool("pm2", &binding.tools.pm2)?,
        tool("ssh_keygen", &binding.tools.ssh_keygen)?,
        tool("gpg", &binding.tools.gpg)?,
        tool("systemctl", &binding.tools.systemctl)?,
        tool("journalctl", &binding.tools.journalctl)?,
    ]
    .concat();
    let pm2_home = match &binding.pm2_home {
        Some(home) => format!("pm2_home = {}\n", path(home)?),
        None => "# pm2_home = \"/home/deploy/.pm2\"\n".to_owned(),
    };
    let umask = match binding.umask {
        Some(mask) => format!("umask = {}\n", quote(&format!("{mask:03o}"))),
        None => "# umask = \"022\"\n".to_owned(),
    };
    let points = match &binding.points {
        Some(dir) => format!("points = {}\n", path(dir)?),
        None => String::new(),
    };
    let take_over: Result<Vec<String>, String> =
        binding.take_over.iter().map(|dir| path(dir)).collect();
    let take_over = match take_over?.join(", ") {
        none if none.is_empty() => none,
        dirs => format!(
            "# pm2 apps that run in these directories belong to this checkout: the next reload moves them here.\n\
             take_over = [{dirs}]\n"
        ),
    };
    let list = |names: &[String]| names.iter().map(|n| quote(n)).collect::<Vec<_>>().join(", ");
    let pass = match binding.pass.as_slice() {
        [] => "# pass = [\"ACME_TOKEN\"]\n".to_owned(),
        names => format!("pass = [{}]\n", list(names)),
    };
    let openpgp: Vec<String> = binding.openpgp.iter().map(|key| quote(key)).collect();
    let follow = match binding.follow.as_slice() {
        [] => "# follow = [\"SHA256:…\"]\n".to_owned(),
        keys => format!("follow = [{}]\n", list(keys)),
    };
    Ok(format!(
        "\
# Binds one checkout on this host to an environment. Written by `gitroll init`.
# The repository cannot change this file. Keep it writable only by root or its owner.
version = {VERSION}

app = {app}
# The top of the work tree this binding is for.
path = {top}
environment = {environment}
# The writer of the records. A copied checkout needs its own: `gitroll init --new-writer`.
writer = {writer}
chain = {chain}
# The owner of the work tree. If root starts gitroll, it switches to this user.
run_as = {run_as}
# The mask for new files, whoever runs the command. A file that replaces another file keeps that file's permissions.
{umask}\
# Builds are staged here: outside the work tree, on the same file system if possible.
work_dir = {work_dir}
{points}{take_over}
[signing]
# \"ssh\" (key: path of a key file; of a .pub file, the private key beside it or the agent's) or \"openpgp\" (key: a fingerprint).
format = {format}
key = {key}

[trust]
# Trusted OpenPGP keys, by full fingerprint. Trusted ssh keys are in the file `trust` beside this one.
openpgp = [{openpgp}]
# Keys whose trust records this host applies by itself (`gitroll sync`), by fingerprint.
{follow}
[build]
# Variables of the caller that builds see in addition to those for proxies, certificates and registries.
{pass}
[tools]
{tools}{pm2_home}# PATH for builds and services.
path = {path_variable}
",
        app = quote(binding.app.as_str()),
        top = path(&binding.path)?,
        environment = quote(binding.environment.as_str()),
        writer = quote(binding.writer.as_str()),
        chain = quote(binding.chain.as_str()),
        run_as = quote(&binding.run_as),
        work_dir = path(&binding.work_dir)?,
        format = quote(format),
        key = quote(&binding.signing.key),
        openpgp = openpgp.join(", "),
        path_variable = quote(&binding.path_variable),
    ))
}

#[cfg(test)]
mod tests;
