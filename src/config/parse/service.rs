//! `[service.NAME]`: each by its manager, then all in the order of their dependencies.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use toml::de::DeValue;

use super::value;
use crate::config::app::{EcosystemFile, Manager, Scope, Service};
use crate::config::quote::quoted;
use crate::config::reader::{Item, Report, Table, all, nearest, or};
use crate::model::ServiceName;

/// A service and where each of those it depends on is named.
pub(super) struct ReadService {
    service: Service,
    depends_on: Vec<(ServiceName, Range<usize>)>,
    span: Range<usize>,
}

/// All services in the order of the file.
pub(super) fn services(root: &Table<'_>) -> Option<Vec<ReadService>> {
    let Some(item) = root.get("service") else { return Some(Vec::new()) };
    let table = item.table("[service]")?;
    table.at_most(100)?;
    all(table.named().iter().map(|(name, item)| service(name, item)).collect::<Vec<_>>())
}

/// The names of all services, those with problems too, so that one problem does not make others.
pub(super) fn names<'a>(root: &Table<'a>) -> Vec<&'a str> {
    let table = root.get("service").and_then(|item| item.value().as_table());
    table.map(|table| table.keys().map(|key| key.get_ref().as_ref()).collect()).unwrap_or_default()
}

fn service(name: &str, item: &Item<'_>) -> Option<ReadService> {
    let id: Option<ServiceName> = item.id_of(name);
    let table = item.table(format!("[service.{name}]"))?;
    let depends_on = or(table.get("depends_on"), Vec::new, |item| references(&item));
    let quiesce = or(table.get("quiesce"), || false, |item| item.boolean());
    let ports = or(table.get("ports"), || None, |item| ports(&item).map(Some));
    let manager = table.need("manager").and_then(|item| {
        let kinds: [(&str, ReadManager); 4] =
            [("pm2", pm2), ("systemd", systemd), ("process", process), ("command", command)];
        item.word(&kinds)
    });
    // The keys of an unknown manager cannot be judged.
    let manager = manager.and_then(|read| {
        let manager = read(&table, name);
        table.finish();
        manager
    });
    let depends_on = depends_on?;
    let service = Service {
        name: id?,
        manager: manager?,
        depends_on: depends_on.iter().map(|(name, _)| name.clone()).collect(),
        quiesce: quiesce?,
        ports: ports?,
    };
    Some(ReadService { service, depends_on, span: item.span() })
}

fn ports(item: &Item<'_>) -> Option<Vec<u16>> {
    let elements = item.elements("an array of port numbers such as [3000]")?;
    let port = |element: &Item<'_>| u16::try_from(element.number(1..=65_535)?).ok();
    all(elements.iter().map(port).collect::<Vec<_>>())
}

type ReadManager = fn(&Table<'_>, &str) -> Option<Manager>;

fn pm2(table: &Table<'_>, name: &str) -> Option<Manager> {
    let app = or(table.get("name"), || name.to_owned(), |item| Some(item.line()?.to_owned()))?;
    let namespace = or(table.get("namespace"), || None, |item| Some(Some(item.line()?.to_owned())));
    let ecosystem = or(
        table.get("ecosystem"),
        || EcosystemFile::Found,
        |item| match item.value() {
            DeValue::Boolean(false) => Some(EcosystemFile::Ignored),
            DeValue::String(_) => value::path(&item).map(EcosystemFile::Named),
            _ => item.wanted("the path of a file, or false"),
        },
    );
    Some(Manager::Pm2 { app, namespace: namespace?, ecosystem: ecosystem? })
}

fn systemd(table: &Table<'_>, name: &str) -> Option<Manager> {
    let plain = |text: &str| {
        let may_be = |c: char| c.is_ascii_alphanumeric() || ":_.\\@-".contains(c);
        !text.is_empty() && text.chars().all(may_be) && text.len() <= 200
    };
    let unit = or(
        table.get("name"),
        || name.to_owned(),
        |item| {
            let unit = item.line()?;
            if unit.starts_with('-') || !plain(unit) {
                item.add(format_args!("{} is not the name of a systemd unit", quoted(unit)));
                return None;
            }
            let others = [
                ".timer",
                ".path",
                ".mount",
                ".automount",
                ".device",
                ".swap",
                ".slice",
                ".scope",
                ".socket",
                ".target",
            ];
            if let Some(kind) = others.iter().find(|kind| unit.ends_with(**kind)) {
                item.add(format_args!(
                    "{} is a {}: only a service unit runs the app",
                    quoted(unit),
                    kind.trim_start_matches('.')
                ));
                return None;
            }
            Some(unit.to_owned())
        },
    );
    let scopes = [("system", Scope::System), ("user", Scope::User)];
    let scope = or(table.get("scope"), || Scope::System, |item| item.word(&scopes));
    let instances = or(table.get("instances"), Vec::new, |item| {
        let elements = item.elements("an array of instances such as [\"1\", \"2\"]")?;
        let mut seen = Vec::new();
        let read = all(elements.iter().map(|element| {
            let instance = element.line()?.to_owned();
            if !plain(&instance) {
                element.add(format_args!("{} is not a valid instance name", quoted(&instance)));
                return None;
            }
            if seen.contains(&instance) {
                element.add(format_args!("{} is listed twice", quoted(&instance)));
                return None;
            }
            seen.push(instance.clone());
            Some(instance)
        }))?;
        if read.is_empty() || read.len() > 100 {
            item.add("must have from 1 to 100 instances");
            return None;
        }
        Some(read)
    });
    let reload = or(table.get("reload"), || false, |item| item.boolean());
    let (unit, instances) = (unit?, instances?);
    let is_template = unit.trim_end_matches(".service").ends_with('@');
    match (is_template, instances.is_empty(), table.get("instances")) {
        (true, true, _) => {
            table.add(format!(
                "{} is a template: list its instances, such as instances = [\"1\", \"2\"]",
                quoted(&unit)
            ));
            None
        }
        (false, false, Some(item)) => {
            item.add(format_args!(
                "{} is not a template: the name of a template ends with @, as in \"app@\"",
                quoted(&unit)
            ));
            None
        }
        _ => Some(Manager::Systemd { unit, scope: scope?, instances, reload: reload? }),
    }
}

fn process(table: &Table<'_>, _: &str) -> Option<Manager> {
    let command = table.need("command").and_then(|item| value::command(&item));
    let env = or(table.get("env"), BTreeMap::new, |item| value::environment(&item));
    let log = or(table.get("log"), || None, |item| value::path(&item).map(Some));
    let range = Duration::from_millis(100)..=Duration::from_secs(60 * 60);
    let stop = || Duration::from_secs(10);
    let stop_timeout = or(table.get("stop_timeout"), stop, |item| item.duration(range));
    Some(Manager::Process { command: command?, env: env?, log: log?, stop_timeout: stop_timeout? })
}

fn command(table: &Table<'_>, _: &str) -> Option<Manager> {
    let [start, stop, status] = ["start", "stop", "status"]
        .map(|key| table.need(key).and_then(|item| value::command(&item)));
    let reload = or(table.get("reload"), || None, |item| value::command(&item).map(Some));
    let range = Duration::from_millis(100)..=Duration::from_secs(60 * 60);
    let limit = || Duration::from_secs(60);
    let timeout = or(table.get("timeout"), limit, |item| item.duration(range));
    let idempotent = or(table.get("idempotent"), || false, |item| item.boolean());
    Some(Manager::Command {
        start: start?,
        stop: stop?,
        reload: reload?,
        status: status?,
        timeout: timeout?,
        idempotent: idempotent?,
    })
}

/// An array of names of services, with the place of each.
pub(super) fn references(item: &Item<'_>) -> Option<Vec<(ServiceName, Range<usize>)>> {
    let elements = item.elements("an array of names of services such as [\"web\"]")?;
    let mut seen = Vec::new();
    all(elements.iter().map(|element| {
        let name: ServiceName = element.id()?;
        if seen.contains(&name) {
            element.add(format_args!("{:?} is listed twice", name.as_str()));
            return None;
        }
        seen.push(name.clone());
        Some((name, element.span()))
    }))
}

/// Reports `name` when no service has it.
pub(super) fn check_known(
    report: &Report<'_>,
    key: &str,
    name: &ServiceName,
    span: &Range<usize>,
    known: &[&str],
) {
    if !known.contains(&name.as_str()) {
        let hint = nearest(name.as_str(), known.iter().copied());
        report.add(span, format!("{key}: there is no [service.{name}]{hint}"));
    }
}

/// Every service after those it depends on, otherwise in the order of the file. Unknown dependencies,
/// cycles and two services that are the same app or unit are reported.
pub(super) fn in_order(
    report: &Report<'_>,
    known: &[&str],
    mut waiting: Vec<ReadService>,
) -> Option<Vec<Service>> {
    for (name, span) in waiting.iter().flat_map(|read| &read.depends_on) {
        check_known(report, "depends_on", name, span, known);
    }
    check_distinct(report, &waiting);
    let mut done: Vec<Service> = Vec::new();
    while !waiting.is_empty() {
        let is_done = |name: &ServiceName| done.iter().any(|service| service.name == *name);
        let ready = |read: &ReadService| {
            read.depends_on.iter().all(|(name, _)| !known.contains(&name.as_str()) || is_done(name))
        };
        let Some(next) = waiting.iter().position(ready) else {
            report_cycle(report, &waiting);
            return None;
        };
        done.push(waiting.remove(next).service);
    }
    Some(done)
}

/// Among services that all wait for one another, follows the dependencies until one comes again.
fn report_cycle(report: &Report<'_>, waiting: &[ReadService]) {
    let waits_for = |read: &ReadService| {
        read.depends_on.iter().find_map(|(name, span)| {
            let next = waiting.iter().position(|other| other.service.name == *name)?;
            Some((next, span.clone()))
        })
    };
    let mut way: Vec<usize> = vec![0];
    while let Some((next, span)) = way.last().and_then(|at| waits_for(&waiting[*at])) {
        if let Some(begin) = way.iter().position(|at| *at == next) {
            let names: Vec<&str> = way[begin..]
                .iter()
                .chain([&next])
                .map(|at| waiting[*at].service.name.as_str())
                .collect();
            let message = format!("depends_on: contains a cycle: {}", names.join(" → "));
            return report.add(&span, message);
        }
        way.push(next);
    }
}

/// Two services that are one and the same to their manager would be reloaded twice and blamed twice.
fn check_distinct(report: &Report<'_>, services: &[ReadService]) {
    let identities = |read: &ReadService| match &read.service.manager {
        Manager::Pm2 { app, namespace: None, .. } => vec![("pm2 app", app.clone(), None)],
        Manager::Pm2 { app, namespace: Some(namespace), .. } => {
            vec![("pm2 app", format!("{namespace}:{app}"), None)]
        }
        manager @ Manager::Systemd { scope, .. } => {
            manager.units().into_iter().map(|unit| ("unit", unit, Some(*scope))).collect()
        }
        Manager::Process { .. } | Manager::Command { .. } => Vec::new(),
    };
    for (at, read) in services.iter().enumerate() {
        let these = identities(read);
        let shared = services[..at].iter().find_map(|other| {
            let theirs = identities(other);
            Some((other, these.iter().find(|this| theirs.contains(this))?))
        });
        if let Some((earlier, (what, name, _))) = shared {
            let message = format!(
                "the {what} {} is already [service.{}]",
                quoted(name),
                earlier.service.name
            );
            report.add(&read.span, message);
        }
    }
}
