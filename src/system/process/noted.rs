//! Which process a command runs as, in a file for as long as it does: should this program be killed meanwhile,
//! the next one knows what goes on.

use std::fs;
use std::path::Path;

use super::Invocation;
use crate::system::procs::ProcessId;

impl Invocation {
    /// Writes down the process, where that is wanted. What cannot be written is only not known later.
    pub(super) fn note(&self, pid: u32) {
        if let (Some(path), Some(id)) = (&self.noted, ProcessId::of_child(pid))
            && let Ok(text) = serde_json::to_vec(&id)
        {
            let _ = fs::write(path, text);
        }
    }

    /// It came to its end.
    pub(super) fn forget(&self) {
        if let Some(path) = &self.noted {
            let _ = fs::remove_file(path);
        }
    }
}

/// The process that a file names, if that very process still runs.
pub fn still_running(noted: &Path) -> Option<ProcessId> {
    let id: ProcessId = serde_json::from_slice(&fs::read(noted).ok()?).ok()?;
    id.alive().then_some(id)
}
