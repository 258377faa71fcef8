//! The power is cut in the middle of a run, on file systems of the tests' own: what was not on the device
//! is gone, whatever programs believed. Then the host comes back, and the run is finished or undone.

mod cuts;
mod disk;
mod machine;
