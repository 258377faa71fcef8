//! One bound checkout on this host, and its state.

mod bound;
mod earlier_secrets;
pub mod hooks;
mod host_key;
mod maintenance;
mod observed;
mod outside;
mod sightings;
mod started;
mod strays;
mod unread;
mod witnesses;

pub use bound::{
    DISK_BLOCK, Site, bytes_to_put_back, config_in_tree, environment_files, exposed, variables,
};
pub use maintenance::{Maintenance, begin_maintenance, end_maintenance, maintenance};
pub use observed::{
    HeldFile, Observed, expectation, expectation_of_rules, held_files, listens, observe_services,
    surroundings,
};
pub use outside::changed_since;
pub use sightings::{Sightings, note_sighting};
pub use started::{StartedOn, all_started_on};
pub use strays::strays;
pub use unread::{all_unread, of_tools};
pub use witnesses::{ProvenBy, Vouched, processes, vouch, vouched_processes, witness};
