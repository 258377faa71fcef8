//! The secrets that stood in the environment files of this app: what a process of before still says of them is masked,
//! too, when the file holds other values.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::host_key::key;
use crate::model::{Earlier, Mask, Redactor, mask_of};
use crate::system::files;

/// So many are remembered, the latest ones.
const MOST: usize = 1000;

/// `masks.json`
#[derive(Debug, Default, Serialize, Deserialize)]
struct Remembered {
    /// The latest ones last.
    masks: Vec<Mask>,
}

/// The redactor with what it hides remembered, and what was remembered before. Where nothing can be written, only what
/// is known now is hidden.
pub(super) fn with_earlier(state: &Path, now: Redactor) -> Redactor {
    let path = state.join("cache").join("masks.json");
    let remembered: Remembered = files::read_state(&path)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    let values: Vec<&str> = now.values().collect();
    if values.is_empty() && remembered.masks.is_empty() {
        return now;
    }
    let Ok(key) = key(state) else { return now };
    let current: BTreeSet<Mask> = values.into_iter().map(|value| mask_of(&key, value)).collect();
    let known: BTreeSet<&Mask> = remembered.masks.iter().collect();
    let new: Vec<Mask> = current.iter().filter(|mask| !known.contains(mask)).cloned().collect();
    let past = remembered.masks.iter().filter(|mask| !current.contains(mask)).cloned();
    let earlier = Earlier::new(&key, past);
    if !new.is_empty() && current.len() <= MOST {
        let mut masks = remembered.masks;
        masks.extend(new);
        let masks = masks.split_off(masks.len().saturating_sub(MOST));
        let bytes = serde_json::to_vec(&Remembered { masks }).unwrap_or_default();
        let _ = files::write_cache(&path, &bytes);
    }
    now.with_earlier(earlier)
}
