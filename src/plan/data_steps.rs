//! The steps that bring data and settings back: stop what writes, copy what is there, restore beside it, exchange.

use std::collections::BTreeSet;

use crate::config::{ApplySettings, Config, Settings};
use crate::model::{DataName, FullPlan, ItemSection, ServiceName, Step};

/// The steps of a plan that changes the code too. Everything is restarted anyway.
pub(super) fn among(
    mut steps: Vec<Step>,
    full: &FullPlan,
    accepted: &Config,
    config: &Config,
) -> Vec<Step> {
    let mut down = stopped(full, accepted);
    steps.retain(|step| match step {
        Step::Quiesce { service } => {
            down.insert(service.clone());
            false
        }
        _ => true,
    });
    let activate = steps.iter().position(|step| *step == Step::Activate).unwrap_or(steps.len());
    steps.splice(activate..activate, quiesce(&down, config).into_iter().chain(exchanged(full)));
    let prove = steps.iter().position(|step| *step == Step::Prove).unwrap_or(steps.len());
    steps.splice(prove..prove, commands(full, accepted));
    steps
}

/// What depends on others is stopped before them.
fn quiesce(down: &BTreeSet<ServiceName>, config: &Config) -> Vec<Step> {
    let services = config.services.iter().rev().map(|service| &service.name);
    let services = services.filter(|service| down.contains(service));
    services.map(|service| Step::Quiesce { service: service.clone() }).collect()
}

/// The steps of a plan that leaves the code as it is.
pub(super) fn alone(full: &FullPlan, config: &Config) -> Vec<Step> {
    let down = stopped(full, config);
    let mut reloaded = down.clone();
    let mut signals = Vec::new();
    for settings in settings(full, config) {
        match &settings.apply {
            ApplySettings::AllServices => {
                reloaded.extend(config.services.iter().map(|service| service.name.clone()));
            }
            ApplySettings::Service(service) => {
                reloaded.insert(service.clone());
            }
            ApplySettings::Signal(service, signal) => {
                let signal = signal.name().to_owned();
                signals.push(Step::Signal { service: service.clone(), signal });
            }
            ApplySettings::Command(_) => {}
        }
    }
    let in_order = || config.services.iter().map(|service| &service.name);
    let mut steps = quiesce(&down, config);
    steps.extend(exchanged(full));
    // Who is reloaded reads everything again.
    signals
        .retain(|step| !matches!(step, Step::Signal { service, .. } if reloaded.contains(service)));
    signals.dedup();
    steps.extend(signals);
    let reloads = in_order().filter(|service| reloaded.contains(service));
    steps.extend(reloads.map(|service| Step::Reload { service: service.clone() }));
    steps.extend(commands(full, config));
    steps.extend([Step::Prove, Step::Record]);
    steps
}

/// What is stopped before the copy of now is taken.
fn stopped(full: &FullPlan, config: &Config) -> BTreeSet<ServiceName> {
    let data = names(full, ItemSection::Data);
    let sources = config.data.iter().filter(|source| data.contains(&source.name));
    sources.flat_map(|source| config.services_of(source)).collect()
}

fn exchanged(full: &FullPlan) -> Vec<Step> {
    let copy = full.copy.iter().map(|_| Step::Copy);
    let restored = full.items.iter().map(|item| {
        let (section, name) = (item.section, item.name.clone());
        Step::Restore { section, name }
    });
    let swapped = full.items.iter().map(|item| {
        let (section, name) = (item.section, item.name.clone());
        Step::Swap { section, name }
    });
    copy.chain(restored).chain(swapped).collect()
}

fn commands(full: &FullPlan, config: &Config) -> Vec<Step> {
    settings(full, config)
        .filter(|settings| matches!(settings.apply, ApplySettings::Command(_)))
        .map(|settings| Step::Apply { name: settings.name.clone() })
        .collect()
}

fn settings<'c>(full: &FullPlan, config: &'c Config) -> impl Iterator<Item = &'c Settings> {
    let names = names(full, ItemSection::Settings);
    config.settings.iter().filter(move |settings| names.contains(&settings.name))
}

fn names(full: &FullPlan, section: ItemSection) -> BTreeSet<DataName> {
    let items = full.items.iter().filter(|item| item.section == section);
    items.map(|item| item.name.clone()).collect()
}
