//! Feature flags: whether they could be switched off tonight.

use super::examination::Examination;
use crate::check;
use crate::config::{self, Flag, FlagSource, FlagSourceKind, Prove, SecretSource};
use crate::engine;
use crate::flag::{self, Value};
use crate::model::{FlagChange, FlagValue, HiddenFlags};
use crate::plan::facts::Facts;
use crate::site::{Site, expectation};

/// Every declared flag: its source can be read, has a place for it, and something would show it off.
pub(super) fn examine(site: &Site, facts: &Facts, found: &mut Examination) {
    let config = &facts.accepted.config;
    let edit = || Some("${EDITOR:-vi} gitroll.toml".to_owned());
    let host = site.host(&facts.serving, "");
    let declared: Vec<&Flag> = config.components.iter().filter_map(|c| c.flag.as_ref()).collect();
    for flag in &declared {
        let sources = config.flags.as_ref();
        let Some(source) = sources.and_then(|flags| flags.source(flag.source.as_ref())) else {
            let what = format!("{}: [flags] does not say where it is stored", flag.name);
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
                } else if let Some(why) = not_shown(site, facts, source, flag, &value) {
                    found.warning("flags", why, Some("gitroll flags".to_owned()));
                }
            }
        }
        if config.app.prove != Prove::Weak && !could_be_shown(config, source, flag) {
            let what = format!("no check can show that {} is off: verify is missing", flag.name);
            found.warning("flags", what, edit());
        }
    }
    if config.run.watchdog.is_some() {
        for source in config.flags.iter().flat_map(|flags| &flags.sources) {
            let FlagSourceKind::Http(api) = &source.kind else { continue };
            let Some(SecretSource::Env(name)) = &api.token else { continue };
            let what = format!(
                "{}: the watchdog does not have the variable {name} with the token when it finishes \
                 a run: store the token in a file",
                source.name
            );
            found.warning("flags", what, edit());
        }
    }
    if !declared.is_empty() {
        let noun = if declared.len() == 1 { "flag" } else { "flags" };
        found.fine("flags", format!("{} {noun} could be switched", declared.len()));
    }
}

/// Why what is to show the flag does not show what it is now: then nor would it show another value. A log is not asked,
/// and if nothing is set nobody knows what the app takes it for.
fn not_shown(
    site: &Site,
    facts: &Facts,
    source: &FlagSource,
    flag: &Flag,
    value: &Value,
) -> Option<String> {
    let Value::Known(known) = value else { return None };
    let config = &facts.accepted.config;
    let mut hidden = HiddenFlags::default();
    let shown = hidden.shown(&flag.name, known.clone());
    let (source, name) = (source.name.clone(), flag.name.clone());
    let change = FlagChange { source, name, before: shown.clone(), after: shown };
    let question = engine::flag_question(config, &change, &hidden)?;
    let mut expectation = expectation(site, config, &facts.serving, &facts.deployment(site), None);
    if !hidden.is_empty() {
        expectation.around.untold.insert(question.name.clone());
    }
    let answer = check::look(&[question], Some(&expectation)).into_iter().next()?;
    let (name, now) = (&flag.name, change.after.plain());
    answer.failed().then(|| {
        format!("what shows {name} does not show that it is {now}: {}", answer.last.answer)
    })
}

fn could_be_shown(config: &config::Config, source: &FlagSource, flag: &Flag) -> bool {
    let change = FlagChange {
        source: source.name.clone(),
        name: flag.name.clone(),
        before: FlagValue::Absent,
        after: FlagValue::shown(&flag.name, flag.off.as_str().into()),
    };
    matches!(source.kind, FlagSourceKind::Http(_)) || config.flag_verify(&change).is_some()
}
