//! What a run tells while it continues. Rendered by [`crate::ui`], ignored by nobody's correctness.

use std::time::Duration;

/// One thing worth telling.
#[derive(Debug, Clone, PartialEq)]
pub enum Narration {
    /// A step begins.
    Begin {
        /// The step's label, e.g. `reload web`.
        step: String,
    },
    /// A running step tells where it is, e.g. `api 2/3`.
    Progress {
        /// A few words.
        text: String,
    },
    /// A line that a build wrote, secrets removed.
    Output {
        /// Without its line end; escape before printing.
        line: String,
    },
    /// A step ended well.
    Done {
        /// The step's label.
        step: String,
        /// How long it took.
        took: Duration,
    },
    /// A step failed.
    Failed {
        /// The step's label.
        step: String,
        /// What happened, in one line.
        what: String,
        /// The lines of output that matter, each with the source it came from.
        lines: Vec<(String, String)>,
    },
    /// From here on the state before is being restored.
    Restoring,
    /// Something a person should know.
    Warning {
        /// One sentence.
        text: String,
    },
    /// Something a person may like to know.
    Note {
        /// One sentence.
        text: String,
    },
}

/// Where narration goes.
pub type Narrator<'a> = dyn FnMut(Narration) + 'a;
