//! The channels of `[notify]`: whether each took what it was told last, and whether its secrets can be read.

use super::examination::Examination;
use crate::config::{Config, SecretSource};
use crate::site::Site;
use crate::tell::Outbox;

pub(super) fn examine(site: &Site, config: &Config, found: &mut Examination) {
    if config.notify.is_empty() {
        return;
    }
    let outbox = Outbox::of(&site.state());
    let known = outbox.channels();
    let mut well = true;
    for channel in &config.notify {
        let name = &channel.name;
        let fix = Some(format!("gitroll notify test {name}"));
        // A variable is that of whoever deploys, who may be another.
        let mut files = channel.kind.secrets().into_iter();
        let unread = files.find_map(|source| match source {
            SecretSource::File(_) => source.read().err(),
            SecretSource::Env(_) => None,
        });
        let last = known.get(name).filter(|last| !last.taken);
        let what = match (unread, last) {
            (Some(why), _) => format!("channel {name}: {why}"),
            (None, Some(last)) => {
                format!("channel {name} did not take a message at {}: {}", last.at, last.answer)
            }
            (None, None) => continue,
        };
        well = false;
        found.warning("notify", what, fix);
    }
    if well {
        let never = config.notify.iter().filter(|channel| !known.contains_key(&channel.name));
        let never: Vec<&str> = never.map(|channel| channel.name.as_str()).collect();
        match never.is_empty() {
            true => found.fine("notify", format!("{} channels answer", config.notify.len())),
            false => found.warning(
                "notify",
                format!("never tested: {}", never.join(", ")),
                Some("gitroll notify test".to_owned()),
            ),
        }
    }
}
