//! The checkout and host that runs act on, and what is in it: its configuration, its place on the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::earlier_secrets::with_earlier;
use crate::build::Store;
use crate::config::{Binding, Config};
use crate::layout::{LocalFiles, RunPlaces};
use crate::ledger::{History, Ledger, LedgerError, Reading};
use crate::model::{
    HistoryLine, Person, Plan, Redactor, RepoPath, RunId, Served, dotenv, is_secret_value,
    looks_secret,
};
use crate::service::{Host, kept_variables};
use crate::system::files::{Beneath, FileKind};
use crate::system::git::Git;
use crate::system::{clock, files, secrets};

/// One bound checkout on this host, opened.
pub struct Site {
    /// The repository.
    pub git: Git,
    pub binding: Binding,
    /// Its artifacts.
    pub store: Store,
    /// The person who acts.
    pub actor: String,
    reading: Reading,
}

impl Site {
    /// A site from its parts.
    pub fn new(git: Git, binding: Binding, actor: String) -> Self {
        secrets::hide_in_log(|| {
            let path = git.top().join(".env");
            Redactor::of_dotenv(&files::read_plain(&path, dotenv::MOST_BYTES).unwrap_or_default())
        });
        let store = Store::of(&git);
        Self { git, binding, store, actor, reading: Reading::default() }
    }

    /// The environment's chains as they are now: read once, and further where one grew since.
    ///
    /// # Errors
    /// As [`Reading::ledger`].
    pub fn ledger(&self) -> Result<Rc<Ledger>, LedgerError> {
        self.reading.ledger(&self.git, &self.binding)
    }

    /// [`Site::ledger`], the own chain as this host has seen it where it cannot be believed now.
    ///
    /// # Errors
    /// As [`Reading::as_seen`].
    pub fn ledger_as_seen(&self) -> Result<Rc<Ledger>, LedgerError> {
        self.reading.as_seen(&self.git, &self.binding)
    }

    /// [`Site::ledger_as_seen`] with what this host did and could not sign yet.
    ///
    /// # Errors
    /// As [`Reading::with_queue`].
    pub fn ledger_with_queue(&self) -> Result<Rc<Ledger>, LedgerError> {
        self.reading.with_queue(&self.git, &self.binding)
    }

    /// What a ledger that this site has read comes to.
    pub fn history(&self, ledger: &Rc<Ledger>) -> Rc<History> {
        self.reading.history(ledger, &self.binding)
    }

    /// The same site for a command that only looks: see [`Reading::only_looks`].
    pub fn only_looked_at(self) -> Self {
        self.reading.only_looks();
        self
    }

    /// gitroll's own directory in the repository.
    pub fn state(&self) -> PathBuf {
        self.git.state_dir()
    }

    /// The live tree.
    pub fn top(&self) -> &Path {
        self.git.top()
    }

    /// The line of history this site writes.
    pub fn line(&self) -> HistoryLine {
        HistoryLine {
            app: self.binding.app.clone(),
            environment: self.binding.environment.clone(),
            writer: self.binding.writer.clone(),
            chain: self.binding.chain.clone(),
        }
    }

    /// Who signs, now: the git identity, with the acting person's name where it is another.
    pub fn person(&self) -> Person {
        self.git.identity(clock::now())
    }

    /// Takes the app's secrets out of text: those of its live environment files (`.env`, what builds carry), and
    /// those that only its manager still has.
    pub fn redactor(&self, config: &Config) -> Redactor {
        let redactor = environment_files(config)
            .into_iter()
            .filter_map(|path| files::read_plain(&self.top().join(path), dotenv::MOST_BYTES).ok())
            .map(|bytes| Redactor::new(self.secrets(config, &bytes)))
            .fold(Redactor::default(), Redactor::and)
            .and(Redactor::new(self.kept_secrets(config)));
        let redactor = with_earlier(&self.state(), redactor);
        secrets::hide(&redactor);
        redactor
    }

    /// Much of what a manager keeps is of the shell that started the app, such as `HOME`: only what looks secret is.
    fn kept_secrets(&self, config: &Config) -> Vec<(String, String)> {
        let state = self.state();
        let kept = config.services.iter().flat_map(|service| kept_variables(&state, service));
        kept.filter(|(name, value)| looks_secret(name) || is_secret_value(value)).collect()
    }

    /// The environment files whose values are not known, and so are not hidden, each with why: a pipe, a device,
    /// one that is too large or may not be read.
    pub fn unread_environment(&self, config: &Config) -> Vec<(PathBuf, io::Error)> {
        let unread = |path: &Path| {
            let read = files::read_plain(&self.top().join(path), dotenv::MOST_BYTES);
            let error = read.err().filter(|error| error.kind() != io::ErrorKind::NotFound)?;
            Some((path.to_owned(), error))
        };
        environment_files(config).into_iter().filter_map(unread).collect()
    }

    /// The pairs of an environment file but those of declared flags that are no secrets: what those are set to is what
    /// a person wants to know.
    fn secrets(&self, config: &Config, bytes: &[u8]) -> Vec<(String, String)> {
        let flags = config.components.iter().filter_map(|component| component.flag.as_ref());
        let names: Vec<&str> = flags.map(|flag| flag.name.as_str()).collect();
        let told = |key: &str, value: &str| {
            names.contains(&key) && !looks_secret(key) && !is_secret_value(value)
        };
        let mut pairs = dotenv::possible_values(bytes);
        pairs.retain(|(key, value)| !told(key, value));
        pairs
    }

    /// The tracked files that stay as they are on this host.
    pub fn local<'a>(&self, config: &'a Config) -> LocalFiles<'a> {
        LocalFiles::of(&self.git, &config.app.local)
    }

    /// Where the things of a run lie.
    pub fn places(&self, run: &RunId) -> RunPlaces {
        RunPlaces {
            run: run.clone(),
            saved: self.state().join("saved").join(run.as_str()),
            temporary: self.run_dir(run).join("tmp"),
        }
    }

    /// The directory of a run's plan and journal.
    pub fn run_dir(&self, run: &RunId) -> PathBuf {
        self.state().join("runs").join(run.as_str())
    }

    /// The stage of a run: outside the app.
    pub fn stage(&self, run: &RunId) -> PathBuf {
        self.binding.work_dir.join(format!("stage-{run}"))
    }

    /// What service adapters need, for a state that is to serve.
    pub fn host(&self, served: &Served, deployment: &str) -> Host<'_> {
        Host {
            binding: &self.binding,
            top: self.top().to_owned(),
            state: self.state(),
            extra: variables(served, deployment),
            flags: BTreeMap::new(),
        }
    }
}

/// Where the app's secrets lie, below its top: `.env`, what builds carry, the files of flags.
pub fn environment_files(config: &Config) -> BTreeSet<&Path> {
    let carried = config.build.iter().flat_map(|group| &group.carry).map(|path| path.as_path());
    let flags = config.flags.iter().flat_map(|flags| flags.dotenv_files());
    carried.chain(flags).chain([Path::new(".env")]).collect()
}

/// The first directory of gitroll's own that someone else could have put something into, and why.
/// Journals, queued records and what was verified before are believed as they lie there.
///
/// # Errors
/// The directory that cannot be looked at, and why.
pub fn exposed(state: &Path) -> Result<Option<(PathBuf, String)>, (PathBuf, std::io::Error)> {
    let below = std::fs::read_dir(state).into_iter().flatten().flatten();
    let directories = below
        .filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_symlink()))
        .map(|entry| entry.path());
    for path in std::iter::once(state.to_owned()).chain(directories) {
        match files::open_to_others(&path) {
            Ok(None) => {}
            Ok(Some(problem)) => return Ok(Some((path, problem))),
            Err(error) => return Err((path, error)),
        }
    }
    Ok(None)
}

/// `GITROLL_VERSION`, `GITROLL_COMMIT`, `GITROLL_DEPLOYMENT` and `GITROLL_RUN` for builds and services.
pub fn variables(served: &Served, deployment: &str) -> BTreeMap<String, String> {
    let version = served.version.as_deref().unwrap_or(&served.name);
    [
        ("GITROLL_VERSION", version),
        ("GITROLL_COMMIT", served.commit.as_str()),
        ("GITROLL_DEPLOYMENT", deployment),
        ("GITROLL_RUN", deployment),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// More than any configuration: 1 MiB.
const MOST_BYTES: u64 = 1 << 20;

/// The text of `gitroll.toml` in the tree at `top`, invalid UTF-8 replaced; `None` if there is none.
///
/// # Errors
/// Where it is not a regular file of the app's own, or longer than 1 MiB; any I/O error.
pub fn config_in_tree(top: &Path) -> io::Result<Option<String>> {
    let name = RepoPath::new("gitroll.toml").expect("a plain name");
    let Some(spot) = Beneath::open(top)?.entry(&name)? else { return Ok(None) };
    let Some(found) = spot.find()? else { return Ok(None) };
    let refused = |why| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    match found.kind {
        FileKind::File if found.size > MOST_BYTES => refused("it is longer than 1 MiB"),
        FileKind::File => Ok(Some(String::from_utf8_lossy(&spot.read()?).into_owned())),
        _ => refused("it is not a regular file"),
    }
}

/// A file takes whole blocks of this many bytes.
pub const DISK_BLOCK: u64 = 4096;

/// Taken beside what the changed files take: the new index and HEAD, the record, services' own files.
const MARGIN: u64 = 1024 * 1024;

/// The bytes that restoring everything that `plan` changes may take: each file as it is there now.
pub fn bytes_to_put_back(site: &Site, plan: &Plan) -> u64 {
    let size = |path: &Path| {
        path.symlink_metadata().map_or(0, |meta| meta.len().next_multiple_of(DISK_BLOCK))
    };
    let changes = plan.activation.changes.iter().filter(|change| change.before.is_some());
    let files = changes.map(|change| size(&site.top().join(change.path.as_path())) + DISK_BLOCK);
    files.fold(MARGIN + size(&site.git.git_dir().join("index")), u64::saturating_add)
}
