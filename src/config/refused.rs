//! What a configuration may not ask for: it reads as ever where records hold it, and no new one is accepted with it.

use super::Config;

/// Why a new configuration is not accepted, where that is so.
pub fn refused(config: &Config) -> Option<String> {
    let notify = config.notify.is_some();
    notify.then(|| "[notify] does nothing in this version: remove it".to_owned())
}
