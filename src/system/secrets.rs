//! The secrets that this call has met: no line of the log shows them.

use std::sync::{LazyLock, Mutex, PoisonError};

use tracing::level_filters::LevelFilter;

use crate::model::Redactor;

static MET: LazyLock<Mutex<Redactor>> = LazyLock::new(Mutex::default);

/// Keeps secrets out of the log from here on. Where no log is written nothing is looked up.
pub fn hide(met: impl FnOnce() -> Redactor) {
    if LevelFilter::current() != LevelFilter::OFF {
        let mut all = MET.lock().unwrap_or_else(PoisonError::into_inner);
        *all = std::mem::take(&mut *all).and(met());
    }
}

/// A line of the log without them.
pub fn masked(line: &str) -> String {
    MET.lock().unwrap_or_else(PoisonError::into_inner).text(line)
}
