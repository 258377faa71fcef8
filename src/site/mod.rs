//! One checkout on one host: what it is bound to, how it stands, what kind of app lies in it.

mod bound;
mod held;
pub mod leftovers;
mod observed;
pub mod room;
pub mod stack;
mod tree_config;

pub use bound::{Site, exposed, variables};
pub use held::{HeldFile, held_files};
pub use observed::{Observed, intent, intent_of_rules, observe_services, surroundings};
pub use tree_config::config_in_tree;
