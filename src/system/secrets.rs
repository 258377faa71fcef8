//! The secrets that this call has met: they are taken out of a text before it is cut, and of every line of the log.
//! Of a secret that is cut in the middle the first part would be left, and nobody would know it again.

use std::sync::{LazyLock, Mutex, PoisonError};

use tracing::level_filters::LevelFilter;

use crate::model::Redactor;

/// Never shown.
static MET: LazyLock<Mutex<Redactor>> = LazyLock::new(Mutex::default);

/// Shown to who asks for them, and not logged.
static NOT_LOGGED: LazyLock<Mutex<Redactor>> = LazyLock::new(Mutex::default);

/// Keeps secrets out of everything that is cut or logged from here on.
pub fn hide(met: &Redactor) {
    add(&MET, met);
}

/// Keeps values out of the log from here on. Where no log is written nothing is looked up.
pub fn hide_in_log(met: impl FnOnce() -> Redactor) {
    if LevelFilter::current() != LevelFilter::OFF {
        add(&NOT_LOGGED, &met());
    }
}

/// A text of unknown origin without them, and without what looks like a secret: to be cut or escaped afterwards.
pub fn masked(text: &str) -> String {
    MET.lock().unwrap_or_else(PoisonError::into_inner).text(text)
}

/// A line of the log without them.
pub fn masked_in_log(line: &str) -> String {
    let line = masked(line);
    NOT_LOGGED.lock().unwrap_or_else(PoisonError::into_inner).text(&line)
}

/// A text of unknown origin, masked, and then cut at `most` characters.
pub fn cut(text: &str, most: usize) -> String {
    let text = masked(text);
    if text.chars().count() <= most {
        return text;
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

fn add(known: &Mutex<Redactor>, met: &Redactor) {
    let mut all = known.lock().unwrap_or_else(PoisonError::into_inner);
    *all = std::mem::take(&mut *all).and(met.clone());
}
