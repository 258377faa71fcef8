//! How a target's tree reaches the host. `in-place`: the git work tree is what serves.

mod artifacts;
mod baseline;
mod converge;
mod entry;
mod observe;
mod rights;
mod saved;
mod stage;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod testing;

pub use converge::{converge_back, converge_forward};
pub use entry::{LayoutError, RunPlaces};
pub use observe::{Commits, LocalFiles, observe_activation, tracked_outputs};
pub use rights::lost_groups;
pub use saved::{BroughtBack, PlaceNow, SavedSet, saved_sets};
pub use stage::{SubmoduleFault, set_stage_aside, stage, submodule_faults};
