//! `[data.NAME]`, `[settings.NAME]` and `[points]`.

use std::ops::Range;
use std::time::Duration;

use super::{flags, service, value};
use crate::config::check::FilePlace;
use crate::config::data::{
    ApplySettings, BackRule, BeforeDeploy, DataEngine, DataSource, KeepPoints, Points, Settings,
    UrlSource,
};
use crate::config::quote::quoted;
use crate::config::reader::{Item, Report, Table, all, or};
use crate::model::ServiceName;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Clone, Copy)]
enum Engine {
    Sqlite,
    Postgres,
    Files,
    Command,
}

const ENGINES: [(&str, Engine); 4] = [
    ("sqlite", Engine::Sqlite),
    ("postgres", Engine::Postgres),
    ("files", Engine::Files),
    ("command", Engine::Command),
];

pub(super) fn data(root: &Table<'_>) -> Option<Vec<Placed<DataSource>>> {
    let Some(item) = root.get("data") else { return Some(Vec::new()) };
    let table = item.table("[data]")?;
    table.at_most(100)?;
    let mut found: Vec<Placed<DataSource>> =
        all(table.named().iter().map(|(name, item)| source(name, item)).collect::<Vec<_>>())?;
    found.sort_by(|a, b| a.value.name.cmp(&b.value.name));
    Some(found)
}

fn source(name: &str, item: &Item<'_>) -> Option<Placed<DataSource>> {
    let id = item.id_of(name);
    let table = item.table(format!("[data.{name}]"))?;
    let engine = table.need("engine").and_then(|item| item.word(&ENGINES));
    let engine = match engine {
        Some(Engine::Sqlite) => {
            let path = table.need("path").and_then(|item| value::file_place(&item));
            let verify = queries(&table);
            path.zip(verify).map(|(path, verify)| DataEngine::Sqlite { path, verify })
        }
        Some(Engine::Postgres) => {
            let url = table.need("url").and_then(|item| url_of(&item));
            let admin_url = or(table.get("admin_url"), || None, |item| url_of(&item).map(Some));
            let verify = queries(&table);
            url.zip(admin_url).zip(verify).map(|((url, admin_url), verify)| DataEngine::Postgres {
                url,
                admin_url,
                verify,
            })
        }
        Some(Engine::Files) => {
            let verify = or(table.get("verify"), || None, |item| value::command(&item).map(Some));
            let paths = paths(&table);
            paths.zip(verify).map(|(paths, verify)| DataEngine::Files { paths, verify })
        }
        Some(Engine::Command) => {
            let backup = table.need("backup").and_then(|item| value::command(&item));
            let verify = or(table.get("verify"), || None, |item| value::command(&item).map(Some));
            let restore = or(table.get("restore"), || None, |item| value::command(&item).map(Some));
            backup.zip(verify).zip(restore).map(|((backup, verify), restore)| DataEngine::Command {
                backup,
                restore,
                verify,
            })
        }
        // Which other keys are right depends on the engine.
        None => return None,
    };
    let services = or(table.get("services"), Vec::new, |item| service::references(&item));
    let words =
        [("never", BackRule::Never), ("ask", BackRule::Ask), ("with-full", BackRule::WithFull)];
    let back = or(table.get("back"), || BackRule::Ask, |item| item.word(&words));
    let lost_rows = or(table.get("lost_rows"), || None, |item| lost_rows(&item).map(Some));
    table.finish();
    let services = services?;
    let source = DataSource {
        name: id?,
        engine: engine?,
        services: services.iter().map(|(name, _)| name.clone()).collect(),
        back: back?,
        lost_rows: lost_rows?,
    };
    Some(Placed { value: source, services })
}

/// Services, and where each is named.
type NamedServices = Vec<(ServiceName, Range<usize>)>;

/// A section, and where each of its services is named.
pub(super) struct Placed<T> {
    pub(super) value: T,
    services: NamedServices,
}

/// Reports services that a section names and nobody declares.
pub(super) fn check_services<T>(report: &Report<'_>, sections: &[Placed<T>], known: &[&str]) {
    for (name, span) in sections.iter().flat_map(|section| &section.services) {
        service::check_known(report, "services", name, span, known);
    }
}

/// A query that counts rows written since `:since`.
fn lost_rows(item: &Item<'_>) -> Option<String> {
    let query = item.line()?;
    if !query.contains(":since") {
        item.add(
            "must use :since, the moment of the point, as in \
             \"SELECT count(*) FROM orders WHERE created_at > :since\"",
        );
        return None;
    }
    Some(query.to_owned())
}

/// Where an address is written. The address itself would be in every clone of the repository.
fn url_of(item: &Item<'_>) -> Option<UrlSource> {
    if item.value().is_str() {
        item.add(
            "must name where the address is written, as in { env = \"DATABASE_URL\", file = \".env\" }: \
             everyone who can read the repository would read its password here",
        );
        return None;
    }
    let table = item.table("the address")?;
    let file = or(table.get("file"), || None, |item| value::file_place(&item).map(Some));
    let env = or(
        table.get("env"),
        || None,
        |item| {
            let name = item.line()?;
            if !value::is_variable(name) {
                item.add(format_args!("{} is not the name of a variable", quoted(name)));
                return None;
            }
            Some(Some(name.to_owned()))
        },
    );
    table.finish();
    let (file, env) = (file?, env?);
    if file.is_none() && env.is_none() {
        table.add("needs \"env\", \"file\" or both");
        return None;
    }
    Some(UrlSource { file, env })
}

/// Queries that answer true on a good copy.
fn queries(table: &Table<'_>) -> Option<Vec<String>> {
    or(table.get("verify"), Vec::new, |item| {
        let elements =
            item.elements("an array of queries such as [\"SELECT count(*) > 0 FROM orders\"]")?;
        all(elements.iter().map(|element| element.line().map(str::to_owned)).collect::<Vec<_>>())
    })
}

fn paths(table: &Table<'_>) -> Option<Vec<FilePlace>> {
    let item = table.need("paths")?;
    let elements = item.elements("an array of paths such as [\"uploads\"]")?;
    if elements.is_empty() || elements.len() > 100 {
        item.add("must have from 1 to 100 paths");
        return None;
    }
    let found = all(elements.iter().map(value::file_place).collect::<Vec<_>>())?;
    for (at, path) in found.iter().enumerate() {
        if let Some(other) = found[..at].iter().find(|other| overlap(path, other)) {
            elements[at].add(format_args!("overlaps {}", shown(other)));
            return None;
        }
    }
    Some(found)
}

fn overlap(a: &FilePlace, b: &FilePlace) -> bool {
    match (a, b) {
        (FilePlace::Tree(a), FilePlace::Tree(b)) => a.starts_with(b) || b.starts_with(a),
        (FilePlace::Host(a), FilePlace::Host(b)) => a.starts_with(b) || b.starts_with(a),
        _ => false,
    }
}

fn shown(place: &FilePlace) -> String {
    match place {
        FilePlace::Tree(path) => path.to_string(),
        FilePlace::Host(path) => path.display().to_string(),
    }
}

pub(super) fn settings(root: &Table<'_>) -> Option<Vec<Placed<Settings>>> {
    let Some(item) = root.get("settings") else { return Some(Vec::new()) };
    let table = item.table("[settings]")?;
    table.at_most(100)?;
    let mut found: Vec<Placed<Settings>> = all(table
        .named()
        .iter()
        .map(|(name, item)| {
            let id = item.id_of(name);
            let table = item.table(format!("[settings.{name}]"))?;
            let paths = paths(&table);
            let defaults = or(table.get("defaults"), || None, |item| value::path(&item).map(Some));
            let none = || (ApplySettings::AllServices, Vec::new());
            let apply = or(table.get("apply"), none, |item| apply(&item));
            table.finish();
            let (apply, services) = apply?;
            let settings = Settings { name: id?, paths: paths?, defaults: defaults?, apply };
            Some(Placed { value: settings, services })
        })
        .collect::<Vec<_>>())?;
    found.sort_by(|a, b| a.value.name.cmp(&b.value.name));
    Some(found)
}

/// What makes the app read its settings again, and where the service is named.
fn apply(item: &Item<'_>) -> Option<(ApplySettings, NamedServices)> {
    let table = item.table("apply")?;
    let command = or(table.get("command"), || None, |item| value::command(&item).map(Some));
    let service = or(
        table.get("service"),
        || None,
        |item| {
            let name: ServiceName = item.id()?;
            Some(Some((name, item.span())))
        },
    );
    let signal = or(table.get("signal"), || None, |item| flags::signal(&item).map(Some));
    table.finish();
    match (command?, service?, signal?) {
        (Some(command), None, None) => Some((ApplySettings::Command(command), Vec::new())),
        (None, Some((name, at)), None) => {
            Some((ApplySettings::Service(name.clone()), vec![(name, at)]))
        }
        (None, Some((name, at)), Some(signal)) => {
            Some((ApplySettings::Signal(name.clone(), signal), vec![(name, at)]))
        }
        _ => {
            item.add(
                "must be { service = \"web\" }, { service = \"web\", signal = \"HUP\" } or \
                 { command = [\"./apply.sh\"] }",
            );
            None
        }
    }
}

pub(super) fn points(root: &Table<'_>) -> Option<Points> {
    let usual = Points::default();
    let Some(item) = root.get("points") else { return Some(usual) };
    let table = item.table("[points]")?;
    let words = [
        ("always", BeforeDeploy::Always),
        ("migrations", BeforeDeploy::Migrations),
        ("never", BeforeDeploy::Never),
    ];
    let before_deploy =
        or(table.get("before_deploy"), || usual.before_deploy, |item| item.word(&words));
    let range = Duration::from_secs(1)..=DAY;
    let max_time = or(table.get("max_time"), || usual.max_time, |item| item.duration(range));
    let keep = or(table.get("keep"), KeepPoints::default, |item| keep(&item));
    let offsite = or(table.get("offsite"), Vec::new, |item| {
        let elements = item.elements("an array of commands, each an array of words")?;
        all(elements.iter().map(value::command).collect::<Vec<_>>())
    });
    table.finish();
    Some(Points {
        before_deploy: before_deploy?,
        max_time: max_time?,
        keep: keep?,
        offsite: offsite?,
    })
}

fn keep(item: &Item<'_>) -> Option<KeepPoints> {
    let usual = KeepPoints::default();
    let table = item.table("keep of [points]")?;
    let count = |key: &'static str, least: u64, usual: u32| {
        or(
            table.get(key),
            || usual,
            |item| item.number(least..=10_000).and_then(|number| u32::try_from(number).ok()),
        )
    };
    // The newest point is never pruned.
    let last = count("last", 1, usual.last);
    let daily = count("daily", 0, usual.daily);
    let weekly = count("weekly", 0, usual.weekly);
    let monthly = count("monthly", 0, usual.monthly);
    let range = Duration::ZERO..=3650 * DAY;
    let within = or(table.get("within"), || usual.within, |item| item.duration(range));
    table.finish();
    Some(KeepPoints {
        last: last?,
        daily: daily?,
        weekly: weekly?,
        monthly: monthly?,
        within: within?,
    })
}
