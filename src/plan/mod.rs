//! From what is observed and what is wanted to a checked plan: facts, candidates, the planner,
//! preflight, description.

pub mod asked;
pub mod candidates;
pub mod compose;
mod data_steps;
mod declared;
pub mod deployed;
pub mod describe;
pub mod disk_space;
mod error;
pub mod estimate;
pub mod facts;
mod fitness;
pub mod holds;
mod hooks;
mod left;
pub mod lineage;
mod listening;
pub mod names;
pub mod open_files;
pub mod preflight;
pub mod problem;
pub mod retention;
mod reverts;
mod service_changes;
mod started_by;
pub mod swaps;

pub use error::PlanError;
