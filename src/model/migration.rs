//! Taking migrations back: what a run does to a database, and what that loses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DataName, Oid, RepoPath};

/// Migrations that one step takes back, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MigrateStep {
    /// The database, where `[migrate] data` names one: it is copied before, and put back if the run fails.
    pub data: Option<DataName>,
    /// The commit that has them, with their ways back.
    pub commit: Oid,
    /// Each with its way back.
    pub migrations: Vec<DownMigration>,
    /// What that loses, as counted for the plan.
    pub loses: RowsLost,
    /// So many rows may be lost at most, where a number was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most_rows: Option<u64>,
}

impl MigrateStep {
    /// Their names, the newest first.
    pub fn names(&self) -> Vec<String> {
        self.migrations.iter().map(|migration| migration.name.clone()).collect()
    }

    /// Whether everything is done in one transaction: all of it or nothing.
    pub fn in_transaction(&self) -> bool {
        self.migrations.iter().all(|migration| matches!(migration.down, Down::Script { .. }))
    }
}

/// One migration and its way back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DownMigration {
    /// Its name, e.g. `0042_orders`.
    pub name: String,
    /// How it is taken back.
    pub down: Down,
}

/// How a migration is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Down {
    /// By a script of SQL, all of a step in one transaction.
    Script {
        /// Its path in the commit.
        path: RepoPath,
        /// Its bytes.
        blob: Oid,
    },
    /// By a command of the team's own.
    Command {
        /// Its arguments.
        run: Vec<String>,
    },
}

/// What taking migrations back loses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RowsLost {
    /// The rows that are gone afterwards; `None` where they could not be counted.
    pub rows: Option<u64>,
    /// Per table what is lost of it; tables that keep all of it are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<TableLoss>,
    /// Why the rows could not be counted, or not all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncounted: Option<String>,
}

impl RowsLost {
    /// Where they cannot be counted.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self { rows: None, tables: Vec::new(), uncounted: Some(why.into()) }
    }

    /// The sum over tables.
    pub fn of(tables: Vec<TableLoss>) -> Self {
        let rows = tables.iter().map(|table| table.rows).sum();
        Self { rows: Some(rows), tables, uncounted: None }
    }

    /// In words: `loses 12 rows (orders 12) and 3 values (orders.guest)`.
    pub fn in_words(&self) -> String {
        const SHOWN: usize = 3;
        let Some(rows) = self.rows else {
            let why = self.uncounted.as_deref().unwrap_or("they were not counted");
            return format!("loss unknown: {why}");
        };
        let shorten = |mut all: Vec<String>| {
            if all.len() > SHOWN {
                all.truncate(SHOWN);
                all.push("…".to_owned());
            }
            all.join(", ")
        };
        let lost: Vec<&TableLoss> = self.tables.iter().filter(|table| table.rows > 0).collect();
        let tables = lost.iter().map(|table| format!("{} {}", table.table, table.rows)).collect();
        let mut words = format!("loses {rows} {}", if rows == 1 { "row" } else { "rows" });
        if !lost.is_empty() {
            words.push_str(&format!(" ({})", shorten(tables)));
        }
        let columns = || {
            self.tables
                .iter()
                .flat_map(|table| table.columns.iter().map(move |column| (&table.table, column)))
        };
        let values: u64 = columns().map(|(_, column)| column.values).sum();
        if values > 0 {
            let names = columns().map(|(table, column)| format!("{table}.{}", column.name));
            let noun = if values == 1 { "value" } else { "values" };
            words.push_str(&format!(" and {values} {noun} ({})", shorten(names.collect())));
        }
        if let Some(why) = &self.uncounted {
            words.push_str(&format!("; {why}"));
        }
        words
    }
}

/// What is lost of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TableLoss {
    /// Its name.
    pub table: String,
    /// The rows that are gone.
    pub rows: u64,
    /// Its columns that are gone while the table stays, with values in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnLoss>,
}

/// A column that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ColumnLoss {
    /// Its name.
    pub name: String,
    /// The rows that have a value in it.
    pub values: u64,
}

/// Migrations that were taken back, as their record states it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MigrationEvidence {
    /// The database, where it is declared.
    pub data: Option<DataName>,
    /// The commit whose ways back were used.
    pub commit: Oid,
    /// Their names, the newest first.
    pub reverted: Vec<String>,
    /// What that lost, as counted when it was done.
    pub lost: RowsLost,
    /// Where the database is kept as it was before.
    pub kept: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_told_by_tables_and_columns() {
        let table = |table: &str, rows, columns: &[(&str, u64)]| TableLoss {
            table: table.to_owned(),
            rows,
            columns: columns
                .iter()
                .map(|(name, values)| ColumnLoss { name: (*name).to_owned(), values: *values })
                .collect(),
        };
        let none = RowsLost::of(Vec::new());
        assert_eq!(none.in_words(), "loses 0 rows");
        let lost = RowsLost::of(vec![table("notes", 1, &[]), table("orders", 0, &[("guest", 3)])]);
        assert_eq!(lost.in_words(), "loses 1 row (notes 1) and 3 values (orders.guest)");
        assert_eq!(RowsLost::unknown("no copy").in_words(), "loss unknown: no copy");
    }
}
