//! SQLite: a copy that is consistent while the app writes, and the checks of a copy.

use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::config::DbConfig;
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::schema::{self, AppliedTable, DownScript, TableContents};
use crate::model::RowsLost;

/// How long a writer is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many faults of one kind are named.
const NAMED: usize = 5;

/// Bytes of the database as it is now, with what is still in its journal.
pub(super) fn size(path: &Path) -> u64 {
    let length = |path: &Path| path.metadata().map_or(0, |found| found.len());
    let mut wal = path.as_os_str().to_owned();
    wal.push("-wal");
    length(path) + length(Path::new(&wal))
}

/// Copies a database in one step: stepwise, a copy begins again at each write and never ends beside a busy writer.
pub(super) fn copy(path: &Path, to: &Path) -> Result<(), String> {
    // A hot journal is rolled back by whoever opens the database, and only who may write can do so.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let source = Connection::open_with_flags(path, flags).map_err(|error| error.to_string())?;
    source.busy_timeout(PATIENCE).map_err(|error| error.to_string())?;
    // Asked here, a file that is no database is told from one that is busy.
    let asked = source.query_row("PRAGMA schema_version", [], |row| row.get::<_, i64>(0));
    asked.map_err(|error| told(&error))?;
    let mut target = Connection::open(to).map_err(|error| error.to_string())?;
    let backup = Backup::new(&source, &mut target).map_err(|error| told(&error))?;
    let begun = Instant::now();
    loop {
        match backup.step(-1).map_err(|error| told(&error))? {
            StepResult::Done => return Ok(()),
            _ if begun.elapsed() > PATIENCE => {
                let seconds = PATIENCE.as_secs();
                return Err(format!("the database is locked: no copy within {seconds} s"));
            }
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// What is wrong with a copy: its own integrity, its foreign keys, and the queries that must answer true. Of two
/// things that are not known to be faults of a restore, foreign keys that are broken are a note.
pub(super) fn faults(copy: &Path, verify: &[String]) -> Faults {
    match open_copy(copy) {
        Ok(database) => faults_of(&database, verify),
        Err(error) => Faults { problems: vec![told(&error)], notes: Vec::new() },
    }
}

/// What is wrong with a database that is in use. One that is busy is not known to be wrong.
pub(super) fn live_faults(path: &Path, verify: &[String]) -> Vec<String> {
    let busy = |error: &rusqlite::Error| {
        matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::CannotOpen)
        )
    };
    let asked = open_live(path).and_then(|database| {
        database.query_row("PRAGMA schema_version", [], |row| row.get::<_, i64>(0))?;
        Ok(database)
    });
    match asked {
        Ok(database) => faults_of(&database, verify).problems,
        Err(error) if busy(&error) => Vec::new(),
        Err(error) => vec![told(&error)],
    }
}

/// Opened to be asked only: what is in its journal stays there.
fn open_live(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags)?;
    database.busy_timeout(Duration::from_secs(5))?;
    database.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(database)
}

fn faults_of(database: &Connection, verify: &[String]) -> Faults {
    let mut found = Faults::default();
    match column(database, "PRAGMA integrity_check", 0) {
        Ok(lines) if lines == ["ok"] => {}
        Ok(lines) => found.problems.extend(named("integrity check", &lines)),
        Err(error) => {
            found.problems.push(format!("integrity check: {}", told(&error)));
            return found;
        }
    }
    match column(database, "PRAGMA foreign_key_check", 0) {
        Ok(tables) if tables.is_empty() => {}
        Ok(tables) => {
            let mut names = tables.clone();
            names.dedup();
            let names = names.join(", ");
            found.notes.push(format!("{} rows break a foreign key: {names}", tables.len()));
        }
        Err(error) => found.notes.push(format!("foreign keys were not checked: {}", told(&error))),
    }
    for query in verify {
        match database.query_row(query, [], |row| row.get::<_, Value>(0)) {
            Ok(value) if is_true(&value) => {}
            Ok(_) => found.problems.push(format!("verify: {query}: the answer is not true")),
            Err(error) => found.problems.push(format!("verify: {query}: {}", told(&error))),
        }
    }
    found
}

/// Runs scripts in one transaction. What they lost: rows of tables, and values of columns that are gone.
pub(super) fn run_scripts(path: &Path, scripts: &[DownScript]) -> Result<RowsLost, String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags).map_err(|error| told(&error))?;
    database.busy_timeout(PATIENCE).map_err(|error| told(&error))?;
    // Else a foreign key could delete rows of other tables as one of them is made anew. They are asked at the end.
    database.execute_batch("PRAGMA foreign_keys = off; BEGIN IMMEDIATE").map_err(|e| told(&e))?;
    let broken = broken_keys(&database)?;
    let before = contents(&database)?;
    for script in scripts {
        let text = std::str::from_utf8(&script.text)
            .map_err(|_| format!("{}: it is not UTF-8", script.path))?;
        database
            .execute_batch(text)
            .map_err(|error| format!("{}: {}", script.path, told(&error)))?;
        if database.is_autocommit() {
            return Err(format!(
                "{}: it ends the transaction: leave out BEGIN, COMMIT and ROLLBACK",
                script.path
            ));
        }
    }
    let after = contents(&database)?;
    if broken_keys(&database)? > broken {
        return Err("rows would break a foreign key afterwards".to_owned());
    }
    database.execute_batch("COMMIT").map_err(|error| told(&error))?;
    Ok(schema::lost(&before, &after))
}

fn contents(database: &Connection) -> Result<Vec<TableContents>, String> {
    let tables = column(
        database,
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~'",
        0,
    );
    let tables = tables.map_err(|error| told(&error))?;
    let mut found = Vec::new();
    for table in tables {
        let quoted = identifier(&table);
        let columns = column(database, &format!("PRAGMA table_info({quoted})"), 1);
        let columns = columns.map_err(|error| told(&error))?;
        let counts = columns.iter().map(|name| format!(", count({})", identifier(name)));
        let query = format!("SELECT count(*){} FROM {quoted}", counts.collect::<String>());
        let counted = database.query_row(&query, [], |row| {
            let count = |at| row.get::<_, i64>(at).map(|number| u64::try_from(number).unwrap_or(0));
            let values =
                (0..columns.len()).map(|at| count(at + 1)).collect::<Result<Vec<_>, _>>()?;
            Ok((count(0)?, values))
        });
        let (rows, values) = counted.map_err(|error| format!("{table}: {}", told(&error)))?;
        let columns = columns.into_iter().zip(values).collect();
        found.push(TableContents { table, rows, columns });
    }
    Ok(found)
}

fn broken_keys(database: &Connection) -> Result<usize, String> {
    let rows = column(database, "PRAGMA foreign_key_check", 0);
    rows.map(|rows| rows.len()).map_err(|error| told(&error))
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What a common tool notes there of the migrations it applied.
pub(super) fn applied(path: &Path) -> Result<Option<AppliedTable>, String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let database = Connection::open_with_flags(path, flags).map_err(|error| told(&error))?;
    for (table, query) in schema::TABLES {
        let columns = column(&database, &format!("PRAGMA table_info({table})"), 1);
        let columns = columns.map_err(|error| told(&error))?;
        if columns.is_empty() || columns.iter().any(|name| name == schema::ONE_ROW) {
            continue;
        }
        let listed = texts(&database, query).map_err(|error| told(&error))?;
        return Ok(Some(AppliedTable { table: table.to_owned(), listed }));
    }
    Ok(None)
}

/// The first column, whatever its type.
fn texts(database: &Connection, query: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = database.prepare(query)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        match row.get::<_, Value>(0)? {
            Value::Text(text) => found.push(text),
            Value::Integer(number) => found.push(number.to_string()),
            _ => {}
        }
    }
    Ok(found)
}

/// The rows that a query counts which asks with `:since`, the moment in UTC as SQLite writes it: `2026-11-30 02:41:00`.
pub(super) fn rows(path: &Path, query: &str, since: Timestamp) -> Result<u64, String> {
    let database = open_live(path).map_err(|error| told(&error))?;
    let since = since.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let counted = database.query_row(query, &[(":since", &since)], |row| row.get::<_, i64>(0));
    u64::try_from(counted.map_err(|error| told(&error))?)
        .map_err(|_| format!("{query}: the answer is negative"))
}

/// What was found wrong, and what is good to know.
#[derive(Debug, Clone, Default)]
pub(super) struct Faults {
    pub(super) problems: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// Opened so that no file beside it is made: nobody else writes to a copy.
fn open_copy(copy: &Path) -> rusqlite::Result<Connection> {
    let escaped: String = copy
        .to_string_lossy()
        .chars()
        .map(|c| match c {
            '%' => "%25".to_owned(),
            '?' => "%3f".to_owned(),
            '#' => "%23".to_owned(),
            c => c.to_string(),
        })
        .collect();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(format!("file:{escaped}?immutable=1"), flags)
}

fn column(database: &Connection, query: &str, at: usize) -> rusqlite::Result<Vec<String>> {
    let mut statement = database.prepare(query)?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(row.get::<_, Option<String>>(at)?.unwrap_or_default());
    }
    Ok(found)
}

fn named(what: &str, lines: &[String]) -> Vec<String> {
    let more = lines.len().saturating_sub(NAMED);
    let mut all: Vec<String> =
        lines.iter().take(NAMED).map(|line| format!("{what}: {}", line.trim())).collect();
    if more > 0 {
        all.push(format!("{what}: {more} more faults"));
    }
    all
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Integer(number) => *number != 0,
        Value::Real(number) => *number != 0.0,
        Value::Text(text) => matches!(text.as_str(), "t" | "true" | "1"),
        Value::Null | Value::Blob(_) => false,
    }
}

fn told(error: &rusqlite::Error) -> String {
    error.to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn database(path: &Path) -> Connection {
        let database = Connection::open(path).unwrap();
        database
            .execute_batch(
                "PRAGMA journal_mode = wal; CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT);
                 INSERT INTO t (s) SELECT hex(randomblob(200)) FROM generate_series(1, 400);",
            )
            .or_else(|_| {
                database.execute_batch(
                    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
                     INSERT INTO t (s) SELECT hex(randomblob(200)) FROM n;",
                )
            })
            .unwrap();
        database
    }

    #[test]
    fn a_copy_holds_what_is_still_in_the_journal_and_passes_its_checks() {
        let dir = tempfile::tempdir().unwrap();
        let (live, to) = (dir.path().join("live.db"), dir.path().join("a copy?.db"));
        let writer = database(&live);
        copy(&live, &to).unwrap();
        let queries = ["SELECT count(*) = 400 FROM t".to_owned()];
        assert!(faults(&to, &queries).problems.is_empty());
        let wrong = ["SELECT count(*) = 401 FROM t".to_owned(), "SELECT no FROM t".to_owned()];
        assert_eq!(faults(&to, &wrong).problems.len(), 2);
        drop(writer);
    }

    #[test]
    fn a_damaged_copy_is_told_from_a_good_one() {
        let dir = tempfile::tempdir().unwrap();
        let (live, to) = (dir.path().join("live.db"), dir.path().join("copy.db"));
        drop(database(&live));
        copy(&live, &to).unwrap();
        let mut bytes = std::fs::read(&to).unwrap();
        bytes[5 * 4096..7 * 4096].fill(0xa5);
        std::fs::write(&to, bytes).unwrap();
        assert!(!faults(&to, &[]).problems.is_empty());
    }

    #[test]
    fn what_is_no_database_is_not_copied() {
        let dir = tempfile::tempdir().unwrap();
        let live = dir.path().join("live.db");
        std::fs::write(&live, "not a database, though it is long enough to be one".repeat(100))
            .unwrap();
        assert!(copy(&live, &dir.path().join("copy.db")).is_err());
        assert!(copy(&dir.path().join("missing.db"), &dir.path().join("copy.db")).is_err());
    }
}
