//! Exit codes: the whole table, in one place.

use crate::act::outcome::Status;

/// What the process says at its end. The numbers are a promise; `docs/exit-codes.md` explains them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done; the intended version was observed serving.
    Done = 0,
    /// Nothing changed: a configuration, repository or environment error.
    Unchanged = 1,
    /// Usage, or a question with no terminal and no `--yes`.
    Usage = 2,
    /// Refused by policy; nothing changed.
    Refused = 10,
    /// An approval is missing; nothing changed.
    ApprovalMissing = 11,
    /// Another run holds the lock; nothing changed.
    Busy = 12,
    /// It failed; the previous state was restored and observed serving.
    Restored = 20,
    /// A person is needed; the run stays open.
    PersonNeeded = 21,
    /// A run is open: `gitroll resume` or `gitroll abort`.
    RunOpen = 22,
    /// Serving and proven, but not recorded or not published as required.
    Unrecorded = 30,
    /// A bug in gitroll.
    Bug = 70,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Status> for Exit {
    fn from(status: Status) -> Self {
        match status {
            Status::Done => Exit::Done,
            Status::Unchanged => Exit::Unchanged,
            Status::Usage => Exit::Usage,
            Status::Refused => Exit::Refused,
            Status::ApprovalMissing => Exit::ApprovalMissing,
            Status::Busy => Exit::Busy,
            Status::Restored => Exit::Restored,
            Status::PersonNeeded => Exit::PersonNeeded,
            Status::RunOpen => Exit::RunOpen,
            Status::Unrecorded => Exit::Unrecorded,
        }
    }
}
