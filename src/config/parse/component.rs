//! `[component.ID]`.

use std::ops::Range;

use super::{service, value};
use crate::config::reader::{Item, Report, Table, all, or};
use crate::config::{Component, Flag};
use crate::model::ServiceName;

/// A component and where each of its services is named.
pub(super) struct Read {
    pub(super) component: Component,
    services: Vec<(ServiceName, Range<usize>)>,
}

pub(super) fn components(root: &Table<'_>) -> Option<Vec<Read>> {
    let Some(item) = root.get("component") else { return Some(Vec::new()) };
    let table = item.table("[component]")?;
    table.at_most(1000)?;
    all(table.named().iter().map(|(id, item)| component(id, item)).collect::<Vec<_>>())
}

fn component(name: &str, item: &Item<'_>) -> Option<Read> {
    let id = item.id_of(name);
    let table = item.table(format!("[component.{name}]"))?;
    let title = or(table.get("title"), || None, |item| Some(Some(item.line()?.to_owned())));
    let paths = table.need("paths").and_then(|item| value::some_patterns(&item));
    let flag = or(table.get("flag"), || None, |item| flag(&item).map(Some));
    let services = or(table.get("services"), Vec::new, |item| service::references(&item));
    table.finish();
    let services = services?;
    let component = Component {
        id: id?,
        title: title?,
        paths: paths?,
        flag: flag?,
        services: services.iter().map(|(name, _)| name.clone()).collect(),
    };
    Some(Read { component, services })
}

fn flag(item: &Item<'_>) -> Option<Flag> {
    let table = item.table("flag")?;
    let name = table.need("name").and_then(|item| {
        let text = item.line()?;
        if text.contains(['=', '#', '"', '\'']) || text.contains(char::is_whitespace) {
            item.add("must be a plain name such as \"ENABLE_UPLOADS\"");
            return None;
        }
        Some(text.to_owned())
    });
    let off = table.need("off").and_then(|item| {
        let text = item.text()?;
        if text.chars().any(char::is_control) {
            item.add("must be one line without control characters");
            return None;
        }
        Some(text.to_owned())
    });
    table.finish();
    Some(Flag { name: name?, off: off? })
}

/// Reports services that a component names and nobody declares.
pub(super) fn check_services(report: &Report<'_>, components: &[Read], known: &[&str]) {
    for (name, span) in components.iter().flat_map(|read| &read.services) {
        service::check_known(report, "services", name, span, known);
    }
}
