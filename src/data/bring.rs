//! Bringing back what a point holds: restored beside what is live, checked there, then exchanged for it.
//!
//! What is exchanged is kept, never removed. Everything of one run is below one directory, its root, on the file system
//! of what is live:
//!
//! ```text
//! <root>/new/data/app/…      restored, and not live yet
//! <root>/before/data/app/…   what was live before the exchange
//! <root>/undone/data/app/…   what had been brought back, where the exchange was undone
//! ```
//!
//! Each function may be interrupted anywhere and called again. Where things are says how far it came: as long as an
//! item has its directory below `before`, it is exchanged or about to be; once it is put back, that directory has
//! another name. In it, `absent` holds a mark for each place where nothing was live before.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::command;
use super::copies::SQLITE;
use super::error::DataError;
use super::place::{Host, in_point};
use super::postgres::Address;
use super::postgres_swap::{self, Exchange};
use super::source::{Root, Tree};
use super::sqlite;
use super::store::{StoredPoint, Writing};
use jiff::Timestamp;

use crate::config::{DataEngine, DataSource, FilePlace, Settings};
use crate::model::{DataName, ItemSection, PointItem};
use crate::system::files::DirEntryAt;
use crate::system::{failpoint, files, open_files};

/// What declares an item.
#[derive(Debug, Clone, Copy)]
pub enum Declared<'a> {
    /// `[data.NAME]`
    Data(&'a DataSource),
    /// `[settings.NAME]`
    Settings(&'a Settings),
}

impl Declared<'_> {
    /// The NAME of its section.
    pub fn name(&self) -> &DataName {
        match self {
            Declared::Data(source) => &source.name,
            Declared::Settings(settings) => &settings.name,
        }
    }

    /// Its section.
    pub fn section(&self) -> ItemSection {
        match self {
            Declared::Data(_) => ItemSection::Data,
            Declared::Settings(_) => ItemSection::Settings,
        }
    }

    fn files(&self) -> &[FilePlace] {
        match self {
            Declared::Data(DataSource { engine: DataEngine::Files { paths, .. }, .. }) => paths,
            Declared::Settings(settings) => &settings.paths,
            Declared::Data(_) => &[],
        }
    }
}

/// One item of one run.
#[derive(Debug, Clone)]
pub struct Bringing<'a> {
    /// The host.
    pub host: &'a Host,
    /// What declares it.
    pub declared: Declared<'a>,
    /// The run's root on the file system of gitroll's own state.
    pub root: PathBuf,
    /// What marks the files and databases of this run, as in `app_before_20261130_k3f9`.
    pub mark: String,
}

/// A file or directory that goes back.
struct Place {
    live: PathBuf,
    /// A database of SQLite: the files beside it belong to it.
    sqlite: bool,
    new: PathBuf,
    before: PathBuf,
    undone: PathBuf,
    /// A mark: nothing was live before.
    absent: PathBuf,
}

/// What came of restoring an item beside what is live.
#[derive(Debug, Clone, Default)]
pub struct Inspected {
    /// Rows that are there now and are not in what was restored, counted by `lost_rows`.
    pub rows_lost: Option<u64>,
    /// What is good to know.
    pub notes: Vec<String>,
}

/// A file of settings is not larger: 16 MiB.
const MOST_SETTINGS: u64 = 16 << 20;

/// Files that SQLite keeps beside a database.
const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

impl<'a> Bringing<'a> {
    /// Why it could not be brought back, found while everything runs. `own`: the processes that will be stopped first.
    ///
    /// # Errors
    /// When the point cannot be read.
    pub fn problems(
        &self,
        stored: Option<(&Writing, &StoredPoint, &PointItem)>,
        own: &[u32],
    ) -> Result<Vec<String>, DataError> {
        let mut problems = Vec::new();
        let wants = match self.declared {
            Declared::Data(source) => source.engine.as_str(),
            Declared::Settings(_) => "settings",
        };
        if let Some((repository, point, item)) = stored {
            if item.engine != wants {
                problems.push(format!(
                    "the point holds a copy of engine {}, and gitroll.toml declares {wants}",
                    item.engine
                ));
                return Ok(problems);
            }
            let all = repository.nodes(point)?;
            for root in self.roots()? {
                let wanted = self.wanted(item, &root)?;
                let lacks = |path: &&String| !all.iter().any(|(found, _)| found == Path::new(path));
                problems.extend(
                    wanted
                        .iter()
                        .filter(lacks)
                        .map(|path| format!("{} does not contain {path}", point.manifest.id)),
                );
            }
        }
        if let Declared::Data(source) = self.declared {
            match &source.engine {
                DataEngine::Postgres { .. } => match self.exchange(source)?.problems() {
                    Ok(found) => problems.extend(found),
                    Err(why) => problems.push(why),
                },
                DataEngine::Command { restore: None, .. } => {
                    problems.push("it has no `restore` command".to_owned());
                }
                _ => {}
            }
        }
        let places = match self.places() {
            Ok(places) => places,
            Err(error) => {
                problems.push(error.to_string());
                return Ok(problems);
            }
        };
        for place in &places {
            problems.extend(place.problems(&self.root));
        }
        let sqlite = places.iter().filter(|place| place.sqlite);
        let paths: Vec<PathBuf> = sqlite.flat_map(Place::all_live).collect();
        let strangers =
            open_files::holders(&paths).into_iter().filter(|holder| !own.contains(&holder.pid));
        problems
            .extend(strangers.map(|holder| format!("{holder}, and no service that is stopped")));
        Ok(problems)
    }

    /// Where what is restored needs how much room.
    ///
    /// # Errors
    /// When the free space cannot be asked for.
    pub fn room(&self, item: &PointItem) -> Result<(PathBuf, u64), DataError> {
        let root = self.roots()?.into_iter().next().unwrap_or_else(|| self.root.clone());
        let place = root.ancestors().find(|path| path.exists()).unwrap_or(&root);
        Ok((place.to_owned(), item.bytes))
    }

    /// The rows that were written since a moment, where `lost_rows` counts them; why not, where it cannot be asked.
    pub fn rows_since(&self, since: Timestamp) -> Option<Result<u64, String>> {
        let Declared::Data(source) = self.declared else { return None };
        let query = source.lost_rows.as_ref()?;
        Some(match &source.engine {
            DataEngine::Sqlite { path, .. } => sqlite::rows(&self.host.path(path), query, since),
            DataEngine::Postgres { url, .. } => Address::read(self.host, url)
                .and_then(|address| postgres_swap::rows_at(self.host, &address, query, since)),
            DataEngine::Files { .. } | DataEngine::Command { .. } => return None,
        })
    }

    /// Restores the item beside what is live and checks it there. `since` is when the point was taken.
    ///
    /// # Errors
    /// When it cannot be restored, or is not good. What is live was not touched.
    pub fn restore(
        &self,
        repository: &Writing,
        point: &StoredPoint,
        item: &PointItem,
    ) -> Result<Inspected, DataError> {
        let failed = |problem: String| DataError::item(self.declared.name(), problem);
        if self.is_exchanged()? {
            return Ok(Inspected::default());
        }
        self.discard()?;
        let mut restored = (0, 0);
        for root in self.roots()? {
            let new = root.join("new");
            files::make_private_dir(&new).map_err(DataError::io(&new))?;
            let wanted: Vec<String> = self.wanted(item, &root)?;
            let (files, bytes) = repository.restore(point, &wanted, &new)?;
            restored = (restored.0 + files, restored.1 + bytes);
            files::sync_file_system(&new).map_err(DataError::io(&new))?;
        }
        if matches!(self.declared, Declared::Data(_)) && restored != (item.files, item.bytes) {
            let ((files, bytes), (had, had_bytes)) = (restored, (item.files, item.bytes));
            return Err(failed(format!(
                "{files} files with {bytes} bytes were restored, and the point holds {had} with {had_bytes}"
            )));
        }
        self.fit()?;
        self.inspect(point, item)
    }

    /// Writes files beside what is live, each as its bytes are: settings that go back to their defaults.
    ///
    /// # Errors
    /// When they cannot be written. What is live was not touched.
    pub fn write(&self, contents: &[(FilePlace, Vec<u8>)]) -> Result<(), DataError> {
        if self.is_exchanged()? {
            return Ok(());
        }
        self.discard()?;
        for (place, bytes) in contents {
            let new = self.place(place)?.new;
            let above = new.parent().unwrap_or(&new);
            files::make_private_dir(above).map_err(DataError::io(above))?;
            files::write_durably(&new, bytes, 0o600).map_err(DataError::io(&new))?;
        }
        self.fit()
    }

    /// The files that this run put aside, each with its bytes.
    ///
    /// # Errors
    /// When one is not there any more, or is a directory.
    pub fn kept(&self) -> Result<Vec<(FilePlace, Vec<u8>)>, DataError> {
        let read = |file: &FilePlace| {
            let before = self.place(file)?.before;
            let bytes =
                files::read_plain(&before, MOST_SETTINGS).map_err(DataError::io(&before))?;
            Ok((file.clone(), bytes))
        };
        self.declared.files().iter().map(read).collect()
    }

    /// The checks of what was restored.
    fn inspect(&self, point: &StoredPoint, item: &PointItem) -> Result<Inspected, DataError> {
        let failed = |problem: String| DataError::item(self.declared.name(), problem);
        let since = point.manifest.taken;
        let mut found = Inspected::default();
        let Declared::Data(source) = self.declared else { return Ok(found) };
        let new = self.item_dir();
        match &source.engine {
            DataEngine::Sqlite { path, verify } => {
                let place = self.sqlite_place(path)?;
                let faults = sqlite::faults(&place.new, verify);
                if !faults.problems.is_empty() {
                    return Err(failed(faults.problems.join("; ")));
                }
                found.notes = faults.notes;
                if let Some(query) = &source.lost_rows {
                    let now = sqlite::rows(&place.live, query, since);
                    let then = sqlite::rows(&place.new, query, since);
                    found.count(now, then);
                }
            }
            DataEngine::Postgres { verify, .. } => {
                let exchange = self.exchange(source)?;
                let dump = new.join(super::copies::DUMP);
                let facts = item.postgres.as_ref();
                exchange.restore(&dump, facts, verify).map_err(failed)?;
                // The dump is in the point, and now in the database too.
                fs::remove_dir_all(&new).map_err(DataError::io(&new))?;
                if let Some(query) = &source.lost_rows {
                    let (now, then) = exchange.rows(query, since);
                    found.count(now, then);
                }
            }
            DataEngine::Command { verify: Some(verify), .. } => {
                command::run(self.host, verify, &new).map_err(failed)?;
            }
            DataEngine::Files { verify: Some(verify), .. } => {
                for root in self.roots()? {
                    let new = root.join("new").join(self.inside());
                    command::run(self.host, verify, &new).map_err(failed)?;
                }
            }
            DataEngine::Files { .. } | DataEngine::Command { .. } => {}
        }
        Ok(found)
    }

    /// Exchanges what is live for what was restored. Nothing may use it meanwhile. Where what was live is kept.
    ///
    /// # Errors
    /// When something has it open, or it cannot be exchanged. [`Bringing::back`] undoes what was done of it.
    pub fn swap(&self) -> Result<Vec<String>, DataError> {
        let failed = |problem: String| DataError::item(self.declared.name(), problem);
        if let Declared::Data(source) = self.declared {
            match &source.engine {
                DataEngine::Postgres { .. } => {
                    let exchange = self.exchange(source)?;
                    self.begin(&self.root)?;
                    exchange.swap().map_err(failed)?;
                    return Ok(vec![format!("database {}", exchange.before())]);
                }
                DataEngine::Command { restore, .. } => {
                    let argv = restore.as_ref().ok_or_else(|| no_restore(&source.name))?;
                    self.begin(&self.root)?;
                    command::run(self.host, argv, &self.item_dir()).map_err(failed)?;
                    return Ok(Vec::new());
                }
                DataEngine::Sqlite { .. } | DataEngine::Files { .. } => {}
            }
        }
        let places = self.places()?;
        self.refuse_open(&places)?;
        for root in self.roots()? {
            self.begin(&root)?;
        }
        let mut kept = Vec::new();
        for place in &places {
            place.swap()?;
            if place.before.symlink_metadata().is_ok() {
                kept.push(place.before.display().to_string());
            }
        }
        Ok(kept)
    }

    /// Puts back what was live before, and keeps what had been brought back. Does nothing where nothing was exchanged
    /// but to remove what was restored. `copy` is where a copy of now was unpacked, for data of a command.
    ///
    /// # Errors
    /// When it cannot be put back.
    pub fn back(&self, copy: Option<&Path>) -> Result<(), DataError> {
        let failed = |problem: String| DataError::item(self.declared.name(), problem);
        if let Declared::Data(source) = self.declared
            && let DataEngine::Postgres { .. } = &source.engine
        {
            self.exchange(source)?.back().map_err(failed)?;
            return self.end();
        }
        if self.is_exchanged()? {
            if let Declared::Data(DataSource {
                engine: DataEngine::Command { restore, .. }, ..
            }) = self.declared
            {
                let argv = restore.as_ref().ok_or_else(|| no_restore(self.declared.name()))?;
                let copy = copy.ok_or_else(|| {
                    failed("the copy of what was there before is not found".to_owned())
                })?;
                command::run(self.host, argv, copy).map_err(failed)?;
            }
            for place in self.places()? {
                place.back()?;
            }
            pass("swap undone whole", &self.root)?;
            self.end()?;
        }
        self.discard()
    }

    /// What this run put aside of the item and still keeps: each place with its bytes.
    ///
    /// # Errors
    /// When it cannot be found out.
    pub fn put_aside(&self) -> Result<Vec<(String, u64)>, DataError> {
        let mut found = Vec::new();
        for dir in self.dirs_aside()? {
            let root = Root { at: self.inside(), from: dir.clone() };
            let (files, bytes) = Tree::weigh(&[root]);
            // Of a database of a server there is only the mark that its exchange was begun.
            if files > 0 {
                found.push((dir.display().to_string(), bytes));
            }
        }
        if let Declared::Data(source) = self.declared
            && let DataEngine::Postgres { .. } = &source.engine
        {
            let failed = |problem: String| DataError::item(&source.name, problem);
            let databases = self.exchange(source)?.put_aside().map_err(failed)?;
            let named = |(name, bytes)| (format!("database {name}"), bytes);
            found.extend(databases.into_iter().map(named));
        }
        Ok(found)
    }

    /// Removes what this run put aside of the item. What is live stays.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn remove_aside(&self) -> Result<(), DataError> {
        if let Declared::Data(source) = self.declared
            && let DataEngine::Postgres { .. } = &source.engine
        {
            let failed = |problem: String| DataError::item(&source.name, problem);
            self.exchange(source)?.remove_aside().map_err(failed)?;
        }
        self.dirs_aside()?.iter().try_for_each(|dir| remove(dir))
    }

    fn dirs_aside(&self) -> Result<Vec<PathBuf>, DataError> {
        let inside = self.inside();
        let roots = self.roots()?.into_iter();
        let dirs = roots.flat_map(|root| ["before", "undone"].map(|which| root.join(which)));
        Ok(dirs.map(|dir| dir.join(&inside)).filter(|dir| there(dir)).collect())
    }

    /// Removes what was restored and is not live.
    fn discard(&self) -> Result<(), DataError> {
        for root in self.roots()? {
            let new = root.join("new").join(self.inside());
            remove(&new)?;
        }
        if let Declared::Data(source) = self.declared
            && let DataEngine::Postgres { .. } = &source.engine
        {
            let exchange = self.exchange(source)?;
            exchange.discard().map_err(|problem| DataError::item(&source.name, problem))?;
        }
        Ok(())
    }

    /// Whether an exchange was begun.
    ///
    /// # Errors
    /// When it cannot be found out.
    pub fn is_exchanged(&self) -> Result<bool, DataError> {
        Ok(self.roots()?.iter().any(|root| root.join("before").join(self.inside()).exists()))
    }

    /// Durably: from here on what is live may be exchanged.
    fn begin(&self, root: &Path) -> Result<(), DataError> {
        let before = root.join("before").join(self.inside());
        files::make_private_dir(&before).map_err(DataError::io(&before))
    }

    /// Durably: it is put back. What is live from here on is nothing that this run brought.
    fn end(&self) -> Result<(), DataError> {
        for root in self.roots()? {
            let before = root.join("before").join(self.inside());
            if !there(&before) {
                continue;
            }
            // No name of a section has this sign.
            let mut ended = with(&before, "~back");
            if there(&ended) {
                ended = free(&ended);
            }
            fs::rename(&before, &ended).map_err(DataError::io(&before))?;
            sync(&ended)?;
        }
        Ok(())
    }

    /// `data/app`
    fn inside(&self) -> PathBuf {
        Path::new(self.declared.section().as_str()).join(self.declared.name().as_str())
    }

    /// Where an item is unpacked that is no files in their places.
    fn item_dir(&self) -> PathBuf {
        self.root.join("new").join(self.inside())
    }

    /// The paths of the point that are restored below `root`.
    fn wanted(&self, item: &PointItem, root: &Path) -> Result<Vec<String>, DataError> {
        let files = self.declared.files();
        if files.is_empty() {
            return Ok(vec![item.place.clone()]);
        }
        let mut wanted = Vec::new();
        for file in files {
            if self.root_of(&self.host.path(file)) == root {
                wanted.push(Path::new(&item.place).join(in_point(file)).display().to_string());
            }
        }
        Ok(wanted)
    }

    /// The root for what is at a path: on its own file system.
    fn root_of(&self, live: &Path) -> PathBuf {
        let device = |path: &Path| {
            let existing = path.ancestors().find_map(|path| path.metadata().ok());
            existing.map(|found| found.dev())
        };
        let above = live.parent().unwrap_or(live);
        if device(above) == device(&self.root) {
            self.root.clone()
        } else {
            above.join(format!(".gitroll-{}", self.mark))
        }
    }

    fn roots(&self) -> Result<Vec<PathBuf>, DataError> {
        let mut roots: Vec<PathBuf> = match self.declared {
            Declared::Data(DataSource { engine: DataEngine::Sqlite { path, .. }, .. }) => {
                vec![self.root_of(&self.host.path(path))]
            }
            declared if declared.files().is_empty() => vec![self.root.clone()],
            declared => {
                declared.files().iter().map(|file| self.root_of(&self.host.path(file))).collect()
            }
        };
        roots.sort();
        roots.dedup();
        Ok(roots)
    }

    fn places(&self) -> Result<Vec<Place>, DataError> {
        match self.declared {
            Declared::Data(DataSource { engine: DataEngine::Sqlite { path, .. }, .. }) => {
                Ok(vec![self.sqlite_place(path)?])
            }
            declared => declared.files().iter().map(|file| self.place(file)).collect(),
        }
    }

    fn sqlite_place(&self, path: &FilePlace) -> Result<Place, DataError> {
        self.place_at(path, Path::new(SQLITE), true)
    }

    fn place(&self, file: &FilePlace) -> Result<Place, DataError> {
        self.place_at(file, &in_point(file), false)
    }

    fn place_at(&self, file: &FilePlace, at: &Path, sqlite: bool) -> Result<Place, DataError> {
        let live = self.host.path(file);
        // What is not there any more is brought back too; a link is never followed.
        if live.symlink_metadata().is_ok() {
            self.host
                .plain_path(file)
                .map_err(|problem| DataError::item(self.declared.name(), problem))?;
        }
        let root = self.root_of(&live);
        let of = |which: &str| root.join(which).join(self.inside()).join(at);
        let absent = root.join("before").join(self.inside()).join("absent").join(at);
        let (new, before, undone) = (of("new"), of("before"), of("undone"));
        Ok(Place { new, before, undone, absent, live, sqlite })
    }

    /// What was restored takes over who may use what is live: owner, mode, ACL and label. Files that people put there
    /// have their own, which the point holds.
    fn fit(&self) -> Result<(), DataError> {
        if matches!(
            self.declared,
            Declared::Data(DataSource { engine: DataEngine::Files { .. }, .. })
        ) {
            return Ok(());
        }
        for place in self.places()? {
            let at = |path: &Path| DirEntryAt::try_from(path).map_err(DataError::io(path));
            let is_file = |path: &Path| path.symlink_metadata().is_ok_and(|found| found.is_file());
            if !(is_file(&place.live) && is_file(&place.new)) {
                continue;
            }
            let access = at(&place.live)?.access().map_err(DataError::io(&place.live))?;
            if let Some(access) = access {
                at(&place.new)?.give(&access).map_err(DataError::io(&place.new))?;
            }
        }
        Ok(())
    }

    /// Refuses what a process still has open: it would go on writing to what is set aside.
    fn refuse_open(&self, places: &[Place]) -> Result<(), DataError> {
        let sqlite = places.iter().filter(|place| place.sqlite && there(&place.new));
        let paths: Vec<PathBuf> = sqlite.flat_map(Place::all_live).collect();
        match open_files::holders(&paths).into_iter().next() {
            None => Ok(()),
            Some(holder) => Err(DataError::item(self.declared.name(), holder.to_string())),
        }
    }

    fn exchange(&self, source: &'a DataSource) -> Result<Exchange<'a>, DataError> {
        let failed = |problem: String| DataError::item(&source.name, problem);
        postgres_swap::exchange(self.host, source, &self.mark).map_err(failed)
    }
}

impl Inspected {
    fn count(&mut self, now: Result<u64, String>, then: Result<u64, String>) {
        match (now, then) {
            (Ok(now), Ok(then)) => self.rows_lost = Some(now.saturating_sub(then)),
            // A point from before a migration may not have the table: then it has none of its rows.
            (Ok(now), Err(_)) => self.rows_lost = Some(now),
            (Err(why), _) => {
                self.notes.push(format!("lost rows were not counted: {why}"));
            }
        }
    }
}

impl Place {
    /// Why it could not be exchanged.
    fn problems(&self, root: &Path) -> Vec<String> {
        let above = self.live.parent().unwrap_or(&self.live);
        if let Some(existing) = above.ancestors().find(|path| path.exists())
            && let Err(error) = files::probe_writable(existing)
        {
            return vec![format!("{} cannot be written: {error}", existing.display())];
        }
        let Ok(found) = self.live.symlink_metadata() else { return Vec::new() };
        if !found.is_dir() {
            return Vec::new();
        }
        let scratch = root.ancestors().find(|path| path.exists()).unwrap_or(root);
        let tried = DirEntryAt::try_from(self.live.as_path())
            .and_then(|live| live.try_swap(scratch).map(drop));
        let told =
            |error: io::Error| format!("{} cannot be exchanged: {error}", self.live.display());
        tried.err().map(told).into_iter().collect()
    }

    /// What is live, with what belongs to it.
    fn all_live(&self) -> Vec<PathBuf> {
        let beside = BESIDE.iter().filter(|_| self.sqlite).map(|end| with(&self.live, end));
        std::iter::once(self.live.clone()).chain(beside).collect()
    }

    fn swap(&self) -> Result<(), DataError> {
        if !there(&self.new) {
            // It is live already.
            return match there(&self.live) {
                true => Ok(()),
                false => Err(missing(&self.live)),
            };
        }
        for path in [&self.before, &self.live] {
            let above = path.parent().unwrap_or(path);
            fs::create_dir_all(above).map_err(DataError::io(above))?;
        }
        pass("swap aside before", &self.live)?;
        match there(&self.live) || there(&self.before) {
            true => remove(&self.absent)?,
            false => self.note_absent()?,
        }
        self.set_aside(&self.live, &self.before)?;
        // Only now: without the database they would be of no use, and with the new one they would corrupt it.
        for end in BESIDE.iter().filter(|_| self.sqlite) {
            move_if_there(&with(&self.live, end), &with(&self.before, end))?;
        }
        pass("swap aside after", &self.live)?;
        fs::rename(&self.new, &self.live).map_err(DataError::io(&self.live))?;
        sync(&self.live)?;
        sync(&self.before)?;
        pass("swap in place", &self.live)
    }

    fn back(&self) -> Result<(), DataError> {
        if there(&self.new) {
            // What is live is what was, or is set aside.
            if there(&self.before) && !self.is_linked_aside() {
                self.set_undone_aside()?;
                self.return_before()?;
            }
            return sync(&self.live);
        }
        let absent = there(&self.absent) && !there(&self.before);
        if !absent && !there(&self.before) {
            // It was put back already: what is live is not this run's.
            return Ok(());
        }
        pass("swap undone before", &self.live)?;
        self.set_undone_aside()?;
        pass("swap undone after", &self.live)?;
        match there(&self.before) {
            true => self.return_before()?,
            false => self.leave_nothing()?,
        }
        sync(&self.live)?;
        sync(&self.undone)?;
        remove(&self.absent)
    }

    /// Whether what was live was given a second name only: then it was never away, and what is live came of it.
    fn is_linked_aside(&self) -> bool {
        let plain = self.before.symlink_metadata().is_ok_and(|found| found.is_file());
        there(&self.live) && plain && !self.sqlite
    }

    /// Moves what is live to what was undone, as far as an earlier try did not do so.
    fn set_undone_aside(&self) -> Result<(), DataError> {
        if !there(&self.live) {
            return Ok(());
        }
        let above = self.undone.parent().unwrap_or(&self.undone);
        files::make_private_dir(above).map_err(DataError::io(above))?;
        // First what belongs to it: then its own name says that all of it was moved.
        for end in BESIDE.iter().filter(|_| self.sqlite) {
            move_if_there(&with(&self.live, end), &with(&self.undone, end))?;
        }
        self.set_aside(&self.live, &self.undone)
    }

    /// Makes live again what was live before.
    fn return_before(&self) -> Result<(), DataError> {
        // Last the database itself: with it the rest is there.
        for end in BESIDE.iter().filter(|_| self.sqlite) {
            move_if_there(&with(&self.before, end), &with(&self.live, end))?;
        }
        fs::rename(&self.before, &self.live).map_err(DataError::io(&self.live))
    }

    /// Durably: nothing is live here, so that what is brought is what goes when it is undone.
    fn note_absent(&self) -> Result<(), DataError> {
        let above = self.absent.parent().unwrap_or(&self.absent);
        files::make_private_dir(above).map_err(DataError::io(above))?;
        files::write_durably(&self.absent, b"", 0o600).map_err(DataError::io(&self.absent))
    }

    /// Where nothing was live before: what was brought back has its own name among what was undone, and no other.
    fn leave_nothing(&self) -> Result<(), DataError> {
        match same(&self.live, &self.undone) {
            true => fs::remove_file(&self.live).map_err(DataError::io(&self.live)),
            false => Ok(()),
        }
    }

    /// Moves what is at `from` to `to`. A plain file stays where it is until something else is renamed onto it, so that
    /// there is one at every moment; a database must not be there alone.
    fn set_aside(&self, from: &Path, to: &Path) -> Result<(), DataError> {
        let Ok(found) = from.symlink_metadata() else { return Ok(()) };
        let mut to = to.to_owned();
        if there(&to) {
            if same(from, &to) {
                return Ok(());
            }
            // Somebody made it anew meanwhile: it is kept as well.
            to = free(&to);
        }
        if found.is_file() && !self.sqlite && fs::hard_link(from, &to).is_ok() {
            return sync(&to);
        }
        fs::rename(from, &to).map_err(|source| {
            if source.kind() == io::ErrorKind::CrossesDevices {
                let what =
                    "it cannot be renamed: it is a mount point, or in a lower layer of an image";
                return DataError::io(from)(io::Error::other(what));
            }
            DataError::io(from)(source)
        })?;
        sync(&to)
    }
}

fn no_restore(name: &DataName) -> DataError {
    DataError::item(name, "it has no `restore` command")
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

fn there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Whether two names are of the same file.
fn same(a: &Path, b: &Path) -> bool {
    let place = |path: &Path| path.symlink_metadata().ok().map(|found| (found.dev(), found.ino()));
    place(a).is_some() && place(a) == place(b)
}

fn missing(path: &Path) -> DataError {
    DataError::io(path)(io::Error::from(io::ErrorKind::NotFound))
}

/// The first name after this one that nothing has.
fn free(path: &Path) -> PathBuf {
    let mut number = 2;
    loop {
        let other = with(path, &format!(".{number}"));
        if !there(&other) {
            return other;
        }
        number += 1;
    }
}

/// Moves a file where it is there. What is at `to` already came there by an earlier try, and is kept.
fn move_if_there(from: &Path, to: &Path) -> Result<(), DataError> {
    if !there(from) {
        return Ok(());
    }
    let to = if there(to) { free(to) } else { to.to_owned() };
    fs::rename(from, to).map_err(DataError::io(from))
}

fn remove(path: &Path) -> Result<(), DataError> {
    let removed = match path.symlink_metadata() {
        Err(_) => return Ok(()),
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    };
    removed.map_err(DataError::io(path))
}

/// Makes the name of what is at a path durable. Where the directory is missing, there is none.
fn sync(path: &Path) -> Result<(), DataError> {
    let above = path.parent().unwrap_or(path);
    match files::sync_dir(above) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        synced => synced.map_err(DataError::io(above)),
    }
}

fn pass(what: &str, live: &Path) -> Result<(), DataError> {
    failpoint::pass(what).map_err(DataError::io(live))
}
