//! What is known of a schema: the scripts that change it, the tables in which tools note what they applied, and what is
//! lost from one moment to the next.

use std::path::Path;

use crate::config::migration_number;
use crate::model::{ColumnLoss, RowsLost, TableLoss};
use crate::system::files;

/// SQL that takes one migration back.
#[derive(Debug, Clone)]
pub struct DownScript {
    /// Its path in the tree it is from, for messages.
    pub path: String,
    /// What it holds.
    pub text: Vec<u8>,
}

/// What a database says itself of the migrations that were applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedTable {
    /// The table.
    pub table: String,
    /// What it lists: names, or the numbers that names begin with.
    pub listed: Vec<String>,
}

impl AppliedTable {
    /// Whether it lists a migration.
    pub fn lists(&self, name: &str) -> bool {
        let number = migration_number(name).trim_start_matches('0');
        self.listed.iter().any(|listed| {
            let stem = listed.rsplit_once('.').map_or(listed.as_str(), |(stem, _)| stem);
            stem == name || (!number.is_empty() && listed.trim_start_matches('0') == number)
        })
    }
}

/// The tables in which common tools note what they applied, with the query that lists it.
pub(super) const TABLES: [(&str, &str); 4] = [
    (
        "_prisma_migrations",
        "SELECT migration_name FROM _prisma_migrations WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL",
    ),
    ("knex_migrations", "SELECT name FROM knex_migrations"),
    ("_sqlx_migrations", "SELECT version FROM _sqlx_migrations"),
    // Of Rails. Other tools use the same name for a table with one row, the latest: see `ONE_ROW`.
    ("schema_migrations", "SELECT version FROM schema_migrations"),
];

/// A column of `schema_migrations` that says that its one row is the latest number, not a list.
pub(super) const ONE_ROW: &str = "dirty";

/// What is in a table at one moment.
#[derive(Debug, Clone)]
pub(super) struct TableContents {
    pub(super) table: String,
    pub(super) rows: u64,
    /// Its columns, each with the rows that have a value in it.
    pub(super) columns: Vec<(String, u64)>,
}

/// What was in the tables before and is not now.
pub(super) fn lost(before: &[TableContents], after: &[TableContents]) -> RowsLost {
    let tables = before.iter().filter_map(|was| {
        let now = after.iter().find(|other| other.table == was.table);
        let gone = was.columns.iter().filter(|(name, values)| {
            *values > 0 && now.is_some_and(|now| now.columns.iter().all(|(other, _)| other != name))
        });
        let columns: Vec<_> =
            gone.map(|(name, values)| ColumnLoss { name: name.clone(), values: *values }).collect();
        let rows = was.rows.saturating_sub(now.map_or(0, |now| now.rows));
        (rows > 0 || !columns.is_empty()).then(|| TableLoss {
            table: was.table.clone(),
            rows,
            columns,
        })
    });
    RowsLost::of(tables.collect())
}

/// Writes the scripts where psql reads them; their paths.
pub(super) fn write_scripts(dir: &Path, scripts: &[DownScript]) -> Result<Vec<String>, String> {
    let written = scripts.iter().enumerate().map(|(at, script)| {
        let path = dir.join(format!("down-{at}.sql"));
        files::write_durably(&path, &script.text, 0o600)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(path.to_string_lossy().into_owned())
    });
    written.collect()
}

/// The line of a script in which psql would take a command of its own, which begins with a backslash outside of strings,
/// names and comments: with one a script leaves its transaction, its database, or the database altogether.
pub(super) fn psql_command(text: &[u8]) -> Option<usize> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80;
    let find = |from: usize, what: &[u8]| {
        let rest = text.get(from..).unwrap_or_default();
        let at = rest.windows(what.len().max(1)).position(|part| part == what);
        at.map_or(text.len(), |at| from + at + what.len())
    };
    let mut at = 0;
    while at < text.len() {
        let before = at.checked_sub(1).map(|before| text[before]);
        let in_name = before.is_some_and(is_name);
        at = match (text[at], text.get(at + 1)) {
            (b'\\', _) => {
                return Some(1 + text[..at].iter().filter(|byte| **byte == b'\n').count());
            }
            (b'-', Some(b'-')) => find(at, b"\n"),
            (b'/', Some(b'*')) => {
                let (mut depth, mut inside) = (1, at + 2);
                while depth > 0 && inside < text.len() {
                    match text.get(inside..inside + 2) {
                        Some(b"/*") => (depth, inside) = (depth + 1, inside + 2),
                        Some(b"*/") => (depth, inside) = (depth - 1, inside + 2),
                        _ => inside += 1,
                    }
                }
                inside
            }
            (b'\'', _) => {
                let e = before.is_some_and(|byte| byte.eq_ignore_ascii_case(&b'e'));
                let escapes = e && !at.checked_sub(2).is_some_and(|at| is_name(text[at]));
                let mut inside = at + 1;
                while inside < text.len() && text[inside] != b'\'' {
                    inside += if escapes && text[inside] == b'\\' { 2 } else { 1 };
                }
                inside + 1
            }
            (b'"', _) => find(at + 1, b"\""),
            (b'$', _) if !in_name => {
                let rest = &text[at + 1..];
                let length = rest.iter().take_while(|byte| is_name(**byte)).count();
                let tag = rest.first().is_none_or(|first| !first.is_ascii_digit())
                    && rest.get(length) == Some(&b'$');
                match tag {
                    true => find(at + length + 2, &text[at..at + length + 2]),
                    false => at + 1,
                }
            }
            _ => at + 1,
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_note_names_or_numbers() {
        let table = |listed: &[&str]| AppliedTable {
            table: "t".to_owned(),
            listed: listed.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert!(table(&["0042_orders.js"]).lists("0042_orders"));
        assert!(table(&["42"]).lists("0042_orders"));
        assert!(table(&["20240101120000"]).lists("20240101120000_orders"));
        assert!(!table(&["0041_users.js", "41"]).lists("0042_orders"));
        assert!(!table(&[""]).lists("orders"));
    }

    #[test]
    fn a_command_of_psql_is_told_from_a_backslash_in_text() {
        for harmless in [
            "SELECT 'a\\b', E'it\\'s \\\\', \"a\\b\"; -- \\q\n/* \\! /* \\c */ \\c */ SELECT $$\\!$$, $t$ $$ \\c $t$, $1",
            "DROP TABLE a$b; SELECT e'\\\\', name'\\'",
        ] {
            assert_eq!(psql_command(harmless.as_bytes()), None, "{harmless}");
        }
        for (command, line) in [
            ("\\! rm -rf .", 1),
            ("SELECT 1;\n\\connect other", 2),
            ("SELECT 'a' \\g | sh", 1),
            ("SELECT $$ $$ \\gexec", 1),
            ("SELECT '\\'; \\q", 1),
            ("/* */ \\q", 1),
        ] {
            assert_eq!(psql_command(command.as_bytes()), Some(line), "{command}");
        }
    }
}
