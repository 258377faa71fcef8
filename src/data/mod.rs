//! Rollback points: copies of databases, files and settings, in a repository of restic's format outside the app.
//!
//! Copies are read from what the app uses and restored into other places. Only `bring` changes what it uses, with the
//! app's services down: it exchanges what is live for what was restored, and keeps it.

mod bring;
mod command;
mod copies;
mod diff;
mod error;
mod kept_artifacts;
mod key;
pub mod migrate;
mod place;
mod postgres;
mod postgres_swap;
mod retention;
mod schema;
mod source;
mod sqlite;
mod store;
mod trial;
mod unpack;

pub use bring::{Bringing, Declared};
pub use command::{copy_away, run as run_command};
pub use copies::{Copies, CopyJob, copies};
pub use diff::{Difference, differences};
pub use error::DataError;
pub use kept_artifacts::{artifacts_of_points, remember_artifacts};
pub use key::KeyState;
pub use place::Host;
pub use retention::{Keeping, Ruling, rule};
pub use schema::{AppliedTable, DownScript};
pub use store::{PointStore, StoredPoint, Verified, Writing};
pub use trial::{live_faults, try_out};
