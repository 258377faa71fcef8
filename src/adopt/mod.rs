//! What runs and is on a host when gitroll comes to it: the kind of app, its stable tags from before,
//! commands that deploy past gitroll, and the starter file for what was found.

mod builds;
mod compiled;
pub mod leftovers;
pub mod legacy_tags;
mod package;
mod python;
mod recipe;
mod running;
mod scripted;
mod sources;
pub mod stack;
pub mod starter;
pub mod tree_mask;
mod work_tree;
