//! How a target's tree reaches the host. `in-place`: the git work tree is what serves.

mod artifacts;
mod content;
mod converge;
pub mod in_place;
mod intent;
mod later;
mod observe;
mod stage;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod artifacts_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod converge_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod stage_tests;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod testing;
