//! One bound checkout on this host, and how it stands.

mod bound;
mod held;
mod observed;
pub mod room;
mod tree_config;

pub use bound::{Site, exposed, variables};
pub use held::{HeldFile, held_files};
pub use observed::{Observed, expectation, expectation_of_rules, observe_services, surroundings};
pub use tree_config::config_in_tree;
