//! The repository of points: restic's format, in a directory of this host outside the app.
//!
//! ```text
//! <points>/repository/     restic lists, checks and restores it
//! <points>/lock            held by gitroll: many read, one writes
//! <points>/scratch/        copies on their way in, and points that are tried out; removed by the next command
//! <points>/verified.json   which points were tried, and what came of it
//! <points>/key-exported    a person was shown the password
//! ```

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use rustic_backend::BackendOptions;
use rustic_core::repofile::{Node, SnapshotFile, SnapshotId};
use rustic_core::{
    BackupOptions, CheckOptions, ConfigOptions, Credentials, KeyOptions, LsOptions, OpenStatus,
    PruneOptions, Repository, RepositoryOptions, RusticError, SnapshotOptions,
};
use rustix::fs::FlockOperation;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::DataError;
use super::key::{self, Key, KeyState};
use super::source::{Missed, Root, Tree};
use super::unpack;
use crate::config::Binding;
use crate::model::{PointId, PointManifest};
use crate::system::{clock, files, random};

/// A lock of restic that is older was left by one that died: restic renews its own every 5 min.
const STALE: Duration = Duration::from_secs(30 * 60);

/// The tag that keeps a point, for `restic forget --keep-tag pinned` too.
const PINNED: &str = "pinned";

/// Where the points of one checkout are.
#[derive(Debug, Clone)]
pub struct PointStore {
    /// The directory.
    pub dir: PathBuf,
    /// The file of their password.
    pub password_file: PathBuf,
}

/// One point as it is stored.
#[derive(Debug, Clone)]
pub struct StoredPoint {
    /// What it holds.
    pub manifest: PointManifest,
    /// Its snapshot, as restic names it.
    pub snapshot: String,
    /// The digest of all that is in it: it stays when the point is pinned.
    pub tree: String,
    /// It is never pruned.
    pub pinned: bool,
    /// The bytes that it added to the repository; `None` where they are not known.
    pub added: Option<u64>,
    /// The last trial of it.
    pub verified: Option<Verified>,
    /// When it was last copied away; `None` if it never was, or not by gitroll.
    pub offsite: Option<Timestamp>,
    file: Box<SnapshotFile>,
}

/// What came of the last trial of a point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verified {
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// It was restored into a scratch place and its checks were run; otherwise its stored bytes were read.
    pub restored: bool,
    /// What was wrong. Empty: it is good.
    pub problems: Vec<String>,
    /// How long it took, in milliseconds. What was noted before this field does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub millis: Option<u64>,
}

/// The repository, open: others may read, nobody else writes while `Writing` is held.
pub struct Writing {
    store: PointStore,
    repository: Repository<OpenStatus>,
    _lock: File,
}

impl PointStore {
    /// The points of a bound checkout.
    pub fn of(binding: &Binding) -> Self {
        Self { dir: binding.points_dir(), password_file: binding.points_password() }
    }

    /// The repository itself.
    pub fn repository(&self) -> PathBuf {
        self.dir.join("repository")
    }

    /// Whether there are points, or were.
    pub fn exists(&self) -> bool {
        self.repository().join("config").exists()
    }

    /// Whether the password is known to a person.
    pub fn key_state(&self) -> KeyState {
        key::state(&self.dir)
    }

    /// The password, for a person who keeps it elsewhere.
    ///
    /// # Errors
    /// When there is no repository or no password.
    pub fn key(&self) -> Result<Key, DataError> {
        if !self.exists() {
            return Err(DataError::NoRepository { dir: self.repository() });
        }
        Key::read(&self.password_file)
    }

    /// Notes that a person was shown the password.
    ///
    /// # Errors
    /// When that cannot be noted.
    pub fn note_exported(&self, by: &str) -> Result<(), DataError> {
        key::note_exported(&self.dir, by)
    }

    /// Opens to read: nobody removes a point meanwhile.
    ///
    /// # Errors
    /// When there is no repository, it cannot be opened, or another gitroll writes.
    pub fn read(&self) -> Result<Writing, DataError> {
        if !self.exists() {
            return Err(DataError::NoRepository { dir: self.repository() });
        }
        let lock = self.lock(FlockOperation::NonBlockingLockShared)?;
        self.open(lock)
    }

    /// Opens to write; makes repository and password where there are none.
    ///
    /// # Errors
    /// As [`PointStore::read`]; restic works on it.
    pub fn write(&self) -> Result<Writing, DataError> {
        files::make_private_dir(&self.dir).map_err(DataError::io(&self.dir))?;
        let lock = self.lock(FlockOperation::NonBlockingLockExclusive)?;
        self.refuse_beside_restic()?;
        self.clear_scratch()?;
        if self.exists() { self.open(lock) } else { self.make(lock) }
    }

    fn lock(&self, how: FlockOperation) -> Result<File, DataError> {
        let path = self.dir.join("lock");
        let mut open = OpenOptions::new();
        open.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = open.open(&path).map_err(DataError::io(&path))?;
        match rustix::fs::flock(&file, how) {
            Ok(()) => Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(DataError::Busy { dir: self.dir.clone() }),
            Err(error) => Err(DataError::io(&path)(error.into())),
        }
    }

    /// restic's locks are encrypted, so one that only reads cannot be told from one that prunes.
    fn refuse_beside_restic(&self) -> Result<(), DataError> {
        let dir = self.repository().join("locks");
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            let age = modified.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
            if age.is_ok_and(|age| age < STALE) {
                return Err(DataError::LockedByRestic { lock: entry.path() });
            }
        }
        Ok(())
    }

    fn make(&self, lock: File) -> Result<Writing, DataError> {
        let dir = self.repository();
        self.refuse_what_it_holds()?;
        let key = match Key::read(&self.password_file) {
            Err(DataError::PasswordMissing { .. }) => Key::make(&self.password_file)?,
            found => found?,
        };
        // A kill while it was made leaves empty directories and a key of nothing.
        match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(DataError::io(&dir)(error));
            }
            _ => {}
        }
        files::make_private_dir(&dir).map_err(DataError::io(&dir))?;
        let made = self.repository_handle()?.init(
            &Credentials::password(key.password()),
            &KeyOptions::default(),
            &ConfigOptions::default(),
        );
        let repository = made.map_err(|error| self.told(&error))?;
        files::sync_file_system(&dir).map_err(DataError::io(&dir))?;
        Ok(Writing { store: self.clone(), repository, _lock: lock })
    }

    /// A repository without its `config` may be one of which a file was lost, or somebody else's directory. What a kill
    /// left while it was made holds no file but a key.
    fn refuse_what_it_holds(&self) -> Result<(), DataError> {
        const PARTS: [&str; 5] = ["data", "index", "keys", "locks", "snapshots"];
        let dir = self.repository();
        let refused = |what: String| {
            let problem = format!(
                "it has no file `config`, and holds {what}: it is left as it is; restore `config` from a copy, or \
                 rename the directory, and the next point begins a new repository"
            );
            Err(DataError::Repository { dir: dir.clone(), problem })
        };
        match dir.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(DataError::io(&dir)(error)),
            Ok(found) if !found.is_dir() => return refused("no directory".to_owned()),
            Ok(_) => {}
        }
        let mut left = vec![PathBuf::new()];
        while let Some(below) = left.pop() {
            let place = dir.join(&below);
            for entry in std::fs::read_dir(&place).map_err(DataError::io(&place))? {
                let entry = entry.map_err(DataError::io(&place))?;
                let name = below.join(entry.file_name());
                let kind = entry.file_type().map_err(DataError::io(&place))?;
                let part = name.iter().next().and_then(|part| part.to_str()).unwrap_or_default();
                let own_key = part == "keys" && kind.is_file() && self.password_file.exists();
                if kind.is_dir() && PARTS.contains(&part) {
                    left.push(name);
                } else if !own_key {
                    return refused(name.display().to_string());
                }
            }
        }
        Ok(())
    }

    fn open(&self, lock: File) -> Result<Writing, DataError> {
        let key = Key::read(&self.password_file)?;
        let opened = self.repository_handle()?.open(&Credentials::password(key.password()));
        let repository = opened.map_err(|error| {
            if error.is_incorrect_password() {
                return DataError::WrongPassword {
                    file: self.password_file.clone(),
                    dir: self.repository(),
                };
            }
            self.told(&error)
        })?;
        Ok(Writing { store: self.clone(), repository, _lock: lock })
    }

    fn repository_handle(&self) -> Result<Repository<()>, DataError> {
        let dir = self.repository();
        let place = dir.to_str().ok_or_else(|| DataError::Repository {
            dir: dir.clone(),
            problem: "its path is not UTF-8: name another directory with `points` in host.toml"
                .to_owned(),
        })?;
        let backends = BackendOptions::default().repository(format!("local:{place}")).to_backends();
        let backends = backends.map_err(|error| self.told(&error))?;
        let options = RepositoryOptions::default().no_cache(true);
        Repository::new(&options, &backends).map_err(|error| self.told(&error))
    }

    /// What the library says, on one line.
    pub(super) fn told(&self, error: &RusticError) -> DataError {
        let text = error.display_log();
        let text = text.strip_prefix("Error: ").unwrap_or(&text);
        let problem = text.split_whitespace().collect::<Vec<_>>().join(" ");
        DataError::Repository { dir: self.repository(), problem }
    }

    fn scratch(&self) -> PathBuf {
        self.dir.join("scratch")
    }

    fn clear_scratch(&self) -> Result<(), DataError> {
        let scratch = self.scratch();
        match std::fs::remove_dir_all(&scratch) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(DataError::io(&scratch)(error))
            }
            _ => Ok(()),
        }
    }

    fn offsite_file(&self) -> PathBuf {
        self.dir.join("offsite.json")
    }

    /// When the repository was last copied away whole.
    pub fn offsite(&self) -> Option<Timestamp> {
        serde_json::from_slice(&files::read_state(&self.offsite_file()).ok()?).ok()
    }

    /// Notes that everything that was stored at `at` was copied away.
    pub(super) fn note_offsite(&self, at: Timestamp) -> Result<(), DataError> {
        let file = self.offsite_file();
        let bytes = serde_json::to_vec(&at).unwrap_or_default();
        files::write_durably(&file, &bytes, 0o600).map_err(DataError::io(&file))
    }

    fn verified_file(&self) -> PathBuf {
        self.dir.join("verified.json")
    }

    fn verified(&self) -> BTreeMap<String, Verified> {
        let bytes = files::read_state(&self.verified_file()).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }
}

impl Writing {
    /// A new empty directory for copies on their way, readable by this user only.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn scratch(&self) -> Result<PathBuf, DataError> {
        let dir = self.store.scratch().join(random::suffix());
        files::make_private_dir(&dir).map_err(DataError::io(&dir))?;
        Ok(dir)
    }

    /// Opened once more, to be indexed: the key is known already.
    fn again(&self) -> Result<Repository<OpenStatus>, DataError> {
        let key = Credentials::Masterkey(self.repository.key());
        let opened = self.store.repository_handle()?.open(&key);
        opened.map_err(|error| self.store.told(&error))
    }

    /// Where the repository is.
    pub fn store(&self) -> &PointStore {
        &self.store
    }

    /// All points, the oldest first.
    ///
    /// # Errors
    /// When the repository cannot be read. A snapshot that another program wrote is no point.
    pub fn points(&self) -> Result<Vec<StoredPoint>, DataError> {
        let (verified, offsite) = (self.store.verified(), self.store.offsite());
        let all = self.repository.get_all_snapshots().map_err(|error| self.store.told(&error))?;
        let mut points: Vec<StoredPoint> = all
            .into_iter()
            .filter_map(|file| {
                let manifest: PointManifest =
                    serde_json::from_str(file.description.as_deref()?).ok()?;
                let tree = file.tree.to_hex().to_string();
                Some(StoredPoint {
                    offsite: offsite.filter(|at| manifest.taken <= *at),
                    manifest,
                    snapshot: file.id.to_hex().to_string(),
                    verified: verified.get(&tree).cloned(),
                    tree,
                    pinned: file.tags.contains(PINNED),
                    added: file.summary.as_ref().map(|summary| summary.data_added_packed),
                    file: Box::new(file),
                })
            })
            .collect();
        points.sort_by_key(|point| (point.manifest.taken, point.manifest.id.number()));
        Ok(points)
    }

    /// One point.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn point(&self, id: &PointId) -> Result<StoredPoint, DataError> {
        let found = self.points()?.into_iter().find(|point| point.manifest.id == *id);
        found.ok_or_else(|| DataError::NoSuchPoint { id: id.to_string() })
    }

    /// Writes a point: all of `roots`, or nothing.
    ///
    /// # Errors
    /// When something could not be read or written. Then there is no such point.
    pub fn add(&self, manifest: &PointManifest, mut roots: Vec<Root>) -> Result<(), DataError> {
        let text = serde_json::to_vec_pretty(manifest).unwrap_or_default();
        let scratch = self.scratch()?;
        let described = scratch.join("point.json");
        std::fs::write(&described, &text).map_err(DataError::io(&described))?;
        roots.push(Root { at: "point.json".into(), from: described.clone() });
        let told = |error: Box<RusticError>| self.store.told(&error);
        let mut options = SnapshotOptions::default()
            .label(manifest.app.to_string())
            .host(manifest.writer.to_string())
            .command("gitroll point".to_owned())
            .description(String::from_utf8_lossy(&text).into_owned());
        for tag in [manifest.id.as_str(), manifest.kind.as_str()] {
            options = options.add_tags(tag).map_err(told)?;
        }
        let snapshot = options.to_snapshot().map_err(told)?;
        let missed = Missed::default();
        let tree = Tree::new(roots, missed.clone());
        let indexed = self.again()?.to_indexed_ids().map_err(told)?;
        let backup = BackupOptions::default().no_scan(true);
        let paths = [PathBuf::from("/")];
        let written = indexed.archive(&backup, &tree, snapshot, &paths);
        // It would be removed by the next command as well.
        drop(std::fs::remove_dir_all(&scratch));
        let written = written.map_err(told)?;
        let summary = written.summary.clone().unwrap_or_default();
        let whole = summary.total_files_processed == missed.handed_out();
        let problem = match (missed.first(), whole) {
            (None, true) => None,
            (Some((path, why)), _) => Some(DataError::Io { path, source: io::Error::other(why) }),
            (None, false) => Some(DataError::Repository {
                dir: self.store.repository(),
                problem: "not every file was stored".to_owned(),
            }),
        };
        if let Some(problem) = problem {
            self.repository.delete_snapshots(&[written.id]).map_err(told)?;
            return Err(problem);
        }
        let dir = self.store.repository();
        files::sync_file_system(&dir).map_err(DataError::io(&dir))
    }

    /// Keeps a point for ever, or no longer. Nothing else of it changes.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn pin(&self, point: &StoredPoint, pinned: bool) -> Result<(), DataError> {
        if point.pinned == pinned {
            return Ok(());
        }
        let told = |error: Box<RusticError>| self.store.told(&error);
        let mut file = (*point.file).clone();
        let old = file.id;
        let others: Vec<String> = file.tags.to_string().split(',').map(str::to_owned).collect();
        file.tags = rustic_core::StringList::default();
        let kept = others.into_iter().filter(|tag| tag != PINNED && !tag.is_empty());
        kept.chain(pinned.then(|| PINNED.to_owned())).for_each(|tag| file.tags.add(tag));
        file.original = file.original.or(Some(old));
        file.id = SnapshotId::default();
        self.repository.save_snapshots(vec![file]).map_err(told)?;
        self.repository.delete_snapshots(&[old]).map_err(told)
    }

    /// The bytes that would be free without these points.
    ///
    /// # Errors
    /// When the repository cannot be read.
    pub fn freed_without(&self, points: &[&StoredPoint]) -> Result<u64, DataError> {
        let ids: Vec<SnapshotId> = points.iter().map(|point| point.file.id).collect();
        let plan = self.repository.prune_plan(&pruning().ignore_snaps(ids));
        let stats = plan.map_err(|error| self.store.told(&error))?.stats;
        Ok(stats.size_sum().remove + stats.size_sum().repackrm + stats.size_unref)
    }

    /// Removes these points, and what no other point needs.
    ///
    /// # Errors
    /// When it cannot be done. What was not removed is removed the next time.
    pub fn remove(&self, points: &[&StoredPoint]) -> Result<(), DataError> {
        let told = |error: Box<RusticError>| self.store.told(&error);
        let ids: Vec<SnapshotId> = points.iter().map(|point| point.file.id).collect();
        self.repository.delete_snapshots(&ids).map_err(told)?;
        let options = pruning();
        let plan = self.repository.prune_plan(&options).map_err(told)?;
        self.repository.prune(&options, plan).map_err(told)
    }

    /// Reads every stored byte of a point, and what is known of it: what is damaged or missing.
    ///
    /// # Errors
    /// When the repository cannot be read at all.
    pub fn check(&self, point: &StoredPoint) -> Result<Vec<String>, DataError> {
        let check = || {
            let options = CheckOptions::default().read_data(true);
            self.repository.check_with_trees(options, vec![point.file.tree])
        };
        let checked = without_a_race(check).ok_or_else(|| DataError::Repository {
            dir: self.store.repository(),
            problem: "its check did not come to its end".to_owned(),
        })?;
        let found = checked.map_err(|error| self.store.told(&error))?;
        Ok(found.0.iter().map(|(_, error)| error.to_string()).collect())
    }

    /// Every path in a point with its node, in order; of a directory it comes before what is in it.
    ///
    /// # Errors
    /// When the point cannot be read.
    pub(super) fn nodes(&self, point: &StoredPoint) -> Result<Vec<(PathBuf, Node)>, DataError> {
        let told = |error: Box<RusticError>| self.store.told(&error);
        let indexed = self.again()?.to_indexed().map_err(told)?;
        let root = indexed.node_from_snapshot_and_path(&point.file, "").map_err(told)?;
        let all = indexed.ls(&root, &LsOptions::default()).map_err(told)?;
        all.collect::<Result<Vec<_>, _>>().map_err(told)
    }

    /// Every file in a point with its bytes, in order.
    ///
    /// # Errors
    /// When the point cannot be read.
    pub fn files(&self, point: &StoredPoint) -> Result<Vec<(String, u64)>, DataError> {
        let all = self.nodes(point)?.into_iter().filter(|(_, node)| !node.is_dir());
        Ok(all.map(|(path, node)| (path.display().to_string(), node.meta.size)).collect())
    }

    /// Restores what is at `paths` of a point, everything where none is named, below `into`, which must be a directory
    /// of this user's. How many files and bytes.
    ///
    /// # Errors
    /// When a path is not in the point, or something cannot be read or written.
    pub fn restore(
        &self,
        point: &StoredPoint,
        paths: &[String],
        into: &Path,
    ) -> Result<(u64, u64), DataError> {
        let all = self.nodes(point)?;
        for path in paths {
            let wanted = Path::new(path.trim_matches('/'));
            if !all.iter().any(|(found, _)| found == wanted) {
                let point = point.manifest.id.clone();
                return Err(DataError::NoSuchPath { point, path: path.clone() });
            }
        }
        let wanted = |path: &Path| {
            paths.is_empty()
                || paths.iter().any(|named| {
                    let named = Path::new(named.trim_matches('/'));
                    path.starts_with(named) || named.starts_with(path)
                })
        };
        let told = |error: Box<RusticError>| self.store.told(&error);
        let indexed = self.again()?.to_indexed().map_err(told)?;
        let nodes: Vec<_> = all.into_iter().filter(|(path, _)| wanted(path)).collect();
        unpack::unpack(&nodes, into, |node, file| indexed.dump(node, file).map_err(told))
    }

    /// Notes what came of a trial.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note_verified(
        &self,
        point: &StoredPoint,
        restored: bool,
        problems: Vec<String>,
        took: Duration,
    ) -> Result<Verified, DataError> {
        let millis = u64::try_from(took.as_millis()).ok();
        let verified = Verified { at: clock::now(), restored, problems, millis };
        let mut all = self.store.verified();
        all.insert(point.tree.clone(), verified.clone());
        let known: Vec<String> = self.points()?.into_iter().map(|point| point.tree).collect();
        all.retain(|tree, _| known.contains(tree));
        let file = self.store.verified_file();
        let bytes = serde_json::to_vec(&all).unwrap_or_default();
        files::write_durably(&file, &bytes, 0o600).map_err(DataError::io(&file))?;
        Ok(verified)
    }
}

/// Calls what panics where threads of the library have not ended yet, as on a busy host: once more after a while. `None`
/// if it never came to its end.
fn without_a_race<T>(check: impl Fn() -> T) -> Option<T> {
    const TRIES: u32 = 5;
    for tried in 1..=TRIES {
        let hook = panic::take_hook();
        panic::set_hook(Box::new(|_| {}));
        let checked = panic::catch_unwind(AssertUnwindSafe(&check));
        panic::set_hook(hook);
        if let Ok(checked) = checked {
            return Some(checked);
        }
        std::thread::sleep(Duration::from_millis(200) * tried);
    }
    None
}

/// Nobody else is in the repository, so what is not needed goes at once.
fn pruning() -> PruneOptions {
    PruneOptions::default().instant_delete(true)
}
