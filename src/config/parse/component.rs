//! `[component.ID]`.

use std::ops::Range;

use super::{check, flags, service, value};
use crate::config::app::Component;
use crate::config::flags::Flags;
use crate::config::reader::{Item, Report, Table, all, nearest, or};
use crate::model::{CheckName, ServiceName};

/// A component and where each of its services is named.
pub(super) struct ReadComponent {
    pub(super) component: Component,
    services: Vec<(ServiceName, Range<usize>)>,
    checks: Vec<(CheckName, Range<usize>)>,
    flag_at: Range<usize>,
}

pub(super) fn components(root: &Table<'_>, names: &[&str]) -> Option<Vec<ReadComponent>> {
    let Some(item) = root.get("component") else { return Some(Vec::new()) };
    let table = item.table("[component]")?;
    table.at_most(1000)?;
    all(table.named().iter().map(|(id, item)| component(id, item, names)).collect::<Vec<_>>())
}

fn component(name: &str, item: &Item<'_>, names: &[&str]) -> Option<ReadComponent> {
    let id = item.id_of(name);
    let table = item.table(format!("[component.{name}]"))?;
    let title = or(table.get("title"), || None, |item| Some(Some(item.line()?.to_owned())));
    let paths = table.need("paths").and_then(|item| value::some_patterns(&item));
    let mut flag_at = 0..0;
    let flag = or(
        table.get("flag"),
        || None,
        |item| {
            flag_at = item.span();
            flags::flag(&item, names).map(Some)
        },
    );
    let services = or(table.get("services"), Vec::new, |item| service::references(&item));
    let checks = or(table.get("checks"), Vec::new, |item| check::references(&item));
    let after = or(table.get("after"), || None, |item| Some(Some(item.line()?.to_owned())));
    let symptoms = or(table.get("symptoms"), Vec::new, |item| {
        let elements = item.elements("an array of strings such as [\"HTTP 207 errors\"]")?;
        all(elements.iter().map(|element| element.line().map(str::to_owned)).collect::<Vec<_>>())
    });
    table.finish();
    let checks = checks?;
    let services = services?;
    let component = Component {
        id: id?,
        title: title?,
        paths: paths?,
        flag: flag?,
        services: services.iter().map(|(name, _)| name.clone()).collect(),
        checks: checks.iter().map(|(name, _)| name.clone()).collect(),
        after: after?,
        symptoms: symptoms?,
    };
    Some(ReadComponent { component, services, checks, flag_at })
}

/// Reports services that a component names and nobody declares.
pub(super) fn check_services(report: &Report<'_>, components: &[ReadComponent], known: &[&str]) {
    for (name, span) in components.iter().flat_map(|read| &read.services) {
        service::check_known(report, "services", name, span, known);
    }
}

/// Reports checks that a component names and nobody declares.
pub(super) fn check_checks(report: &Report<'_>, components: &[ReadComponent], known: &[&str]) {
    for (name, span) in components.iter().flat_map(|read| &read.checks) {
        if !known.contains(&name.as_str()) {
            let hint = nearest(name.as_str(), known.iter().copied());
            report.add(
                span,
                format!("checks: there is no [[check]] named {:?}{hint}", name.as_str()),
            );
        }
    }
}

/// Reports sources of flags that a component names and nobody declares.
pub(super) fn check_flags(report: &Report<'_>, components: &[ReadComponent], flags: &Flags) {
    for read in components {
        if let Some(flag) = &read.component.flag {
            flags::check_source(report, flags, flag, &read.flag_at);
        }
    }
}
