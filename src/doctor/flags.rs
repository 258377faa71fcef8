//! Feature flags: whether they could be switched off tonight.

use super::Examination;
use crate::config::{self, Flag, FlagSource, FlagSourceKind, Prove};
use crate::flag::{self, Value};
use crate::model::{FlagChange, FlagValue};
use crate::plan::facts::Facts;
use crate::site::Site;

/// Every declared flag: its source can be read, has a place for it, and something would show it off.
pub(super) fn examine(site: &Site, facts: &Facts, found: &mut Examination) {
    let config = &facts.accepted.config;
    let edit = || Some("${EDITOR:-vi} gitroll.toml".to_owned());
    let host = site.host(&facts.serving, "");
    let declared: Vec<&Flag> = config.components.iter().filter_map(|c| c.flag.as_ref()).collect();
    for flag in &declared {
        let sources = config.flags.as_ref();
        let Some(source) = sources.and_then(|flags| flags.source(flag.source.as_ref())) else {
            let what = format!("{}: [flags] does not say where it is kept", flag.name);
            found.warning("flags", what, edit());
            continue;
        };
        match flag::read(&host, source, std::slice::from_ref(&flag.name)) {
            Err(error) => {
                // What a command printed may be anything.
                let what = site.redactor(config).text(&format!("{}: {error}", source.name));
                found.warning("flags", what, None);
            }
            Ok(values) => {
                let value = values.get(&flag.name).cloned().unwrap_or(Value::Absent);
                if let Err(error) = flag::typed(source, &flag.name, &value, &flag.off) {
                    found.warning("flags", format!("{}: {error}", source.name), edit());
                }
            }
        }
        if config.app.prove != Prove::Weak && !could_be_shown(config, source, flag) {
            let what = format!("nothing could show that {} is off: verify is missing", flag.name);
            found.warning("flags", what, edit());
        }
    }
    if !declared.is_empty() {
        let noun = if declared.len() == 1 { "flag" } else { "flags" };
        found.fine("flags", format!("{} {noun} could be switched", declared.len()));
    }
}

fn could_be_shown(config: &config::Config, source: &FlagSource, flag: &Flag) -> bool {
    let change = FlagChange {
        source: source.name.clone(),
        name: flag.name.clone(),
        before: FlagValue::Absent,
        after: FlagValue::shown(&flag.name, flag.off.as_str().into()),
    };
    matches!(source.kind, FlagSourceKind::Http(_)) || config::verify(config, &change).is_some()
}
