//! Room on the disk that a run holds from before it changes anything, so that the way back does not fail on a
//! disk that fills up meanwhile. Best effort: where a file system cannot, the run goes on without.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;

use rustix::fs::FallocateFlags;

use super::run::Run;
use crate::model::RunId;
use crate::site::{Site, room};

/// Takes the room.
pub(super) fn hold(site: &Site, run: &Run) {
    let path = site.run_dir(&run.id).join("reserve");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let held = file.map_err(|error| error.to_string()).and_then(|file| {
        let bytes = room::way_back(site, &run.plan);
        rustix::fs::fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes).map_err(|e| e.to_string())
    });
    if let Err(error) = held {
        tracing::debug!("no room is held: {error}");
        release(site, &run.id);
    }
}

/// Gives it back, to be used now.
pub(super) fn release(site: &Site, run: &RunId) {
    let _ = fs::remove_file(site.run_dir(run).join("reserve"));
}
