//! `gitroll.toml`: text → [`Config`], with all problems at once.

mod check;
mod component;
mod data;
mod flags;
mod notify;
mod rule;
mod section;
mod service;
mod value;

use toml::de::DeTable;

use super::app::{Build, Config, Manager, Patterns, Service};
use super::flags::Flags;
use super::reader::{ConfigProblem, Placed, Report, Table};
use crate::model::RepoPath;

/// Everything wrong with one file, in order of position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {} problem{}", .problems.len(), if .problems.len() == 1 { "" } else { "s" })]
pub struct ConfigError {
    /// Which file, as a person knows it.
    pub file: String,
    /// The problems.
    pub problems: Vec<ConfigProblem>,
}

/// A file larger than this is not a configuration.
const MOST_BYTES: usize = 1 << 20;

/// Reads a `gitroll.toml`. `file` is its name in messages.
///
/// # Errors
/// All problems of the file at once, each with line and column. A text that is not TOML at all has one: the
/// first place where it stops being TOML.
pub fn parse(text: &str, file: &str) -> Result<Config, ConfigError> {
    let fail = |problems| ConfigError { file: file.to_owned(), problems };
    let report = Report::new(text);
    if text.len() > MOST_BYTES {
        report.add(&(0..0), "is larger than 1 MiB");
        return Err(fail(report.problems()));
    }
    if is_utf_16(text) {
        report.add(&(0..0), "is UTF-16: save it as UTF-8");
        return Err(fail(report.problems()));
    }
    let document = match DeTable::parse(text) {
        Ok(document) => document,
        Err(error) => {
            report.add(&error.span().unwrap_or(0..0), format!("not TOML: {}", error.message()));
            return Err(fail(report.problems()));
        }
    };
    let config = read(&report, &Table::root(&report, document.get_ref(), "the file"));
    let problems = report.problems();
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(fail(problems)),
    }
}

/// Whether a text was read from UTF-16 as if it were UTF-8: every other byte is nothing, whatever its mark became.
fn is_utf_16(text: &str) -> bool {
    let bytes = text.trim_start_matches('\u{fffd}').as_bytes();
    let nothing = |offset: usize| {
        let every_other = bytes.iter().skip(offset).step_by(2).take(16);
        bytes.len() >= 4 && every_other.clone().all(|byte| *byte == 0)
    };
    nothing(0) || nothing(1)
}

/// Globs that were read from a file before, made ready again; what is not a glob is left out.
pub fn patterns(globs: &[String]) -> Patterns {
    value::patterns_of(globs)
}

/// Every section is read before the first missing one ends the reading, so that all are reported.
fn read(report: &Report<'_>, root: &Table<'_>) -> Option<Config> {
    let app = section::app(root);
    let deploy = section::deploy(root);
    let stable = section::stable(root);
    let build = section::build_groups(root);
    let migrate = section::migrate(root);
    let approvals = section::approvals(root);
    let data = data::data(root);
    let settings = data::settings(root);
    let points = data::points(root);
    let services = service::services(root);
    let names = service::names(root);
    let checks = check::checks(root, &names);
    let components = component::components(root, &names);
    let flags = flags::flags(root, &names);
    let rules = rule::rules(root, &names);
    let watch = rule::watch(root);
    let soak = rule::soak(root);
    let hooks = section::hooks(root);
    let notify = notify::channels(root);
    let contacts = notify::contacts(root);
    let links = notify::links(root);
    let remote = section::remote(root);
    let run = section::run(root);
    let retention = section::retention(root);
    let rto = section::rto(root);
    root.finish();

    let services = services.and_then(|read| service::in_order(report, &names, read));
    if let Some(components) = &components {
        component::check_services(report, components, &names);
        if let Some(checks) = &checks {
            let known: Vec<&str> = checks.names.iter().map(|name| name.as_str()).collect();
            component::check_checks(report, components, &known);
        }
        if let Some(Some(read)) = &flags {
            component::check_flags(report, components, &read.flags);
        }
    }
    if let Some(data) = &data {
        data::check_services(report, data, &names);
    }
    if let Some(settings) = &settings {
        data::check_services(report, settings, &names);
    }
    if let (Some(rules), Some(components)) = (&rules, &components) {
        rule::check_components(report, rules, components.iter().map(|read| &read.component));
    }
    if let (Some(rules), Some(checks)) = (&rules, &checks) {
        rule::check_witnesses(report, rules, !checks.asked.is_empty());
    }
    if let Some(Some(read)) = &flags {
        flags::check_services(report, read, &names);
    }
    let flags = flags.map(|read| read.map(|read| read.flags));
    if let Some(groups) = &build {
        section::check_outputs(report, groups, &claimed(flags.as_ref(), services.as_deref()));
    }

    let build = build?.into_iter().map(|placed: Placed<Build>| placed.value).collect();
    let components =
        components?.into_iter().map(|placed: component::ReadComponent| placed.component).collect();
    Some(Config {
        app: app?,
        deploy: deploy?,
        stable: stable?,
        build,
        migrate: migrate?,
        approvals: approvals?,
        data: data?.into_iter().map(|placed| placed.value).collect(),
        settings: settings?.into_iter().map(|placed| placed.value).collect(),
        points: points?,
        services: services?,
        checks: checks?.asked,
        components,
        flags: flags?,
        rules: rules?.into_iter().map(|read: rule::ReadRule| read.rule).collect(),
        watch: watch?,
        soak: soak?,
        hooks: hooks?,
        notify: notify?,
        contacts: contacts?,
        links: links?,
        remote: remote?,
        run: run?,
        retention: retention?,
        rto: rto?,
    })
}

/// Files of the live tree that must not lie in a directory a build replaces, with what they are.
fn claimed(flags: Option<&Option<Flags>>, services: Option<&[Service]>) -> Vec<(RepoPath, String)> {
    let flags = flags.and_then(Option::as_ref).map(Flags::files).into_iter().flatten();
    let flags = flags.map(|file| (file.clone(), "a file of [flags]".to_owned()));
    let logs = services.unwrap_or_default().iter().filter_map(|service| match &service.manager {
        Manager::Process { log: Some(log), .. } => {
            Some((log.clone(), format!("the log of [service.{}]", service.name)))
        }
        _ => None,
    });
    flags.chain(logs).collect()
}

#[cfg(test)]
mod tests;
