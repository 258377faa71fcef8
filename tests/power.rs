//! The power is cut in the middle of a run, on file systems of the tests' own: what was not on the device
//! is gone, whatever programs believed. Then the host comes back, and the run is finished or undone.

// It judges kills too, which are another test's.
#[allow(dead_code)]
#[path = "../crash/oracle.rs"]
mod oracle;
#[path = "../support/mod.rs"]
mod support;
#[path = "../crash/world.rs"]
mod world;

mod cuts;
mod disk;
mod machine;
