//! The host binding: `host.toml`, outside the repository.

mod roles;
mod safe;
mod text;

pub use roles::{HEAD as ROLES_HEAD, OPENPGP, Roles, revoked_text};

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::system::user::Account;
use crate::system::{files, umask};

use crate::model::{AppName, ChainId, EnvironmentName, WriterId};

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

/// Why a binding cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BindingError {
    /// No binding names this work tree.
    #[error("this checkout is not bound to an environment on this host")]
    Unbound {
        /// Bindings of the same repository's app at other paths, for the hint.
        elsewhere: Vec<PathBuf>,
    },
    /// A binding exists but someone else could have written it.
    #[error("{path}: {problem}")]
    Unsafe {
        /// The file or directory.
        path: PathBuf,
        /// Owner or mode, and what it should be.
        problem: String,
    },
    /// A binding exists but cannot be read.
    #[error("{path}: {problem}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and column where it is the text.
        problem: String,
    },
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
                    Ok(Some(found)) => binding(found, &dir),
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
        let text = text::write(self).map_err(invalid)?;
        text::read(&text, &self.dir).map_err(|error| invalid(error.to_string()))?;
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

fn binding(found: safe::Found, dir: &Path) -> Result<Binding, BindingError> {
    let binding = text::read(&found.text, dir)?;
    Ok(Binding { distrust: found.distrust.map(Arc::new), ..binding })
}

const FILE: &str = "host.toml";
const TRUST: &str = "trust";
const REVOKED: &str = "revoked";
const POINTS_PASSWORD: &str = "points.password";
/// Who may do what.
const ROLES: &str = "roles.toml";

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
            Ok(Some(found)) => Some((dir.clone(), binding(found, &dir))),
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

#[cfg(test)]
mod tests;
