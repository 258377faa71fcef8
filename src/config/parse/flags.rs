//! `[flags]`, `[flags.source.NAME]` and a component's `flag`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use super::{check, service, value};
use crate::config::check::FilePlace;
use crate::config::flags::{
    Apply, DocumentFormat, Flag, FlagApi, FlagSource, FlagSourceKind, Flags, Method, Signal, Verify,
};
use crate::config::reader::{Item, Report, Table, all, nearest, or};
use crate::model::{FlagName, FlagSourceName, RepoPath, ServiceName};

/// What is filled in besides the placeholders of checks.
const PLACEHOLDERS: [&str; 2] = ["name", "value"];

/// The sources, and where each of their services is named.
pub(super) struct ReadFlags {
    pub(super) flags: Flags,
    services: Vec<(ServiceName, Range<usize>)>,
}

type Services = Vec<(ServiceName, Range<usize>)>;

pub(super) fn flags(root: &Table<'_>, names: &[&str]) -> Option<Option<ReadFlags>> {
    let Some(item) = root.get("flags") else { return Some(None) };
    let table = item.table("[flags]")?;
    let named = or(table.get("source"), Vec::new, |item| {
        let table = item.table("[flags.source]")?;
        table.at_most(20)?;
        all(table
            .named()
            .iter()
            .map(|(name, item)| named_source(name, item, names))
            .collect::<Vec<_>>())
    });
    let own = if table.has("file") || !table.has("source") {
        source(&table, "file".parse().ok(), names).map(Some)
    } else {
        Some(None)
    };
    table.finish();
    let mut sources: Vec<(FlagSource, Services)> = own?.into_iter().collect();
    for (read, span) in named? {
        if sources.iter().any(|(earlier, _)| earlier.name == read.0.name) {
            table.add_at(
                &span,
                "[flags.source.file] is the name of [flags] itself: choose another name",
            );
            return None;
        }
        sources.push(read);
    }
    let (sources, services): (Vec<_>, Vec<_>) = sources.into_iter().unzip();
    Some(Some(ReadFlags { flags: Flags { sources }, services: services.concat() }))
}

/// Reports services that a source names and nobody declares.
pub(super) fn check_services(report: &Report<'_>, read: &ReadFlags, known: &[&str]) {
    for (name, span) in &read.services {
        service::check_known(report, "services", name, span, known);
    }
}

/// Reports sources that components name and nobody declares.
pub(super) fn check_source(report: &Report<'_>, flags: &Flags, flag: &Flag, span: &Range<usize>) {
    let known = || flags.sources.iter().map(|source| source.name.as_str());
    match &flag.source {
        Some(name) if flags.source(Some(name)).is_none() => {
            let hint = nearest(name.as_str(), known());
            report.add(span, format!("flag: there is no [flags.source.{name}]{hint}"));
        }
        None if flags.sources.len() > 1 => {
            let names = known().collect::<Vec<_>>().join(", ");
            report
                .add(span, format!("flag: set source to the place that stores it: one of {names}"));
        }
        _ => {}
    }
}

fn named_source(
    name: &str,
    item: &Item<'_>,
    names: &[&str],
) -> Option<((FlagSource, Services), Range<usize>)> {
    let id = item.id_of(name);
    let table = item.table(format!("[flags.source.{name}]"))?;
    let source = source(&table, id, names);
    table.finish();
    Some((source?, item.span()))
}

fn source(
    table: &Table<'_>,
    name: Option<FlagSourceName>,
    names: &[&str],
) -> Option<(FlagSource, Services)> {
    let kind = kind(table);
    let usual = match &kind {
        Some(FlagSourceKind::Http(_) | FlagSourceKind::Command { .. }) => Apply::None,
        _ => Apply::Reload,
    };
    let apply = or(table.get("apply"), || usual, |item| apply(&item));
    if let (Some(Apply::Environment), Some(kind)) = (apply, &kind)
        && !matches!(kind, FlagSourceKind::Dotenv(_))
        && let Some(item) = table.get("apply")
    {
        item.add("only a dotenv file can be passed on as environment variables");
        return None;
    }
    let services = or(table.get("services"), Vec::new, |item| service::references(&item));
    let verify = or(table.get("verify"), || None, |item| verify(&item, names).map(Some));
    let services = services?;
    let source = FlagSource {
        name: name?,
        kind: kind?,
        apply: apply?,
        services: services.iter().map(|(name, _)| name.clone()).collect(),
        verify: verify?,
    };
    Some((source, services))
}

fn kind(table: &Table<'_>) -> Option<FlagSourceKind> {
    let ways = ["file", "http", "get"].into_iter().filter(|way| table.has(way)).count();
    if ways != 1 {
        table.get("file");
        table.add("needs one of file, http, or get and set: the place that stores the flags");
        return None;
    }
    if table.has("file") {
        return file_kind(table);
    }
    if table.has("http") {
        return api(table).map(FlagSourceKind::Http);
    }
    let [get, set] =
        ["get", "set"].map(|key| table.need(key).and_then(|item| value::command(&item)));
    let range = Duration::from_millis(100)..=Duration::from_secs(60 * 60);
    let limit = || Duration::from_secs(30);
    let timeout = or(table.get("timeout"), limit, |item| item.duration(range));
    Some(FlagSourceKind::Command { get: get?, set: set?, timeout: timeout? })
}

fn file_kind(table: &Table<'_>) -> Option<FlagSourceKind> {
    let file = table.need("file").and_then(|item| value::file_place(&item));
    let pointer = or(
        table.get("pointer"),
        || None,
        |item| {
            let text = item.text()?;
            if !text.is_empty() && !check::is_pointer(text) {
                item.add(
                    "is not a JSON pointer: it must begin with `/`, such as \"/featureFlags\"",
                );
                return None;
            }
            Some(Some(text.to_owned()))
        },
    );
    let (file, pointer) = (file?, pointer?);
    match (format_of(&file), pointer) {
        (Some(format), pointer) => {
            Some(FlagSourceKind::Document { file, format, pointer: pointer.unwrap_or_default() })
        }
        (None, None) => Some(FlagSourceKind::Dotenv(file)),
        (None, Some(_)) => {
            let item = table.get("pointer")?;
            item.add("a dotenv file has no pointers; use a .json, .toml or .yaml file");
            None
        }
    }
}

fn format_of(file: &FilePlace) -> Option<DocumentFormat> {
    let path = match file {
        FilePlace::Tree(path) => RepoPath::as_path(path).to_owned(),
        FilePlace::Host(path) => path.clone(),
    };
    match path.extension()?.to_str()? {
        "json" => Some(DocumentFormat::Json),
        "toml" => Some(DocumentFormat::Toml),
        "yaml" | "yml" => Some(DocumentFormat::Yaml),
        _ => None,
    }
}

fn api(table: &Table<'_>) -> Option<FlagApi> {
    let http = table.need("http").and_then(|item| template_url(&item));
    let methods = [("POST", Method::Post), ("PUT", Method::Put), ("PATCH", Method::Patch)];
    let method = or(table.get("method"), || Method::Post, |item| item.word(&methods));
    let usual = || r#"{"{name}": {value}}"#.to_owned();
    let body = or(table.get("body"), usual, |item| {
        let text = item.text()?;
        if !text.contains("{value}") {
            item.add("must contain {value}, which stands for the new value");
            return None;
        }
        Some(text.to_owned())
    });
    let headers = or(table.get("headers"), BTreeMap::new, |item| headers(&item));
    let read = or(table.get("read"), || None, |item| template_url(&item).map(Some));
    let pointer = or(
        table.get("pointer"),
        || "/{name}".to_owned(),
        |item| {
            let text = item.text()?;
            if !check::is_pointer(text) {
                item.add("is not a JSON pointer: it must begin with `/`, such as \"/{name}\"");
                return None;
            }
            Some(text.to_owned())
        },
    );
    let token = or(table.get("token"), || None, |item| value::secret_source(&item).map(Some));
    let range = Duration::from_millis(10)..=Duration::from_secs(60 * 60);
    let usual = || Duration::from_secs(5);
    let request_timeout = or(table.get("request_timeout"), usual, |item| item.duration(range));
    let url = http?;
    Some(FlagApi {
        read: read?.unwrap_or_else(|| url.clone()),
        url,
        method: method?,
        body: body?,
        headers: headers?,
        pointer: pointer?,
        token: token?,
        request_timeout: request_timeout?,
    })
}

/// A URL in which `{name}` may stand behind the host.
fn template_url(item: &Item<'_>) -> Option<String> {
    let text = item.line()?;
    let filled = text.replace("{name}", "NAME");
    check::is_url(item, &filled)?;
    let host = |text: &str| reqwest::Url::parse(text).ok()?.host_str().map(str::to_owned);
    if host(&filled) != host(&text.replace("{name}", "OTHER")) {
        item.add("{name} is only allowed after the host");
        return None;
    }
    Some(text.to_owned())
}

fn headers(item: &Item<'_>) -> Option<BTreeMap<String, String>> {
    let headers = item.table("headers")?.named().into_iter().map(|(name, value)| {
        if !check::is_header(name) {
            value.add("is not a header name");
            return None;
        }
        if name.eq_ignore_ascii_case("authorization") {
            value.add("do not write a secret here: use token = { env = \"…\" }");
            return None;
        }
        Some((name.to_owned(), value.line()?.to_owned()))
    });
    all(headers.collect::<Vec<_>>()).map(|headers| headers.into_iter().collect())
}

fn apply(item: &Item<'_>) -> Option<Apply> {
    if item.value().as_table().is_none() {
        let words =
            [("reload", Apply::Reload), ("environment", Apply::Environment), ("none", Apply::None)];
        return item.word(&words);
    }
    let table = item.table("apply")?;
    let signal = table.need("signal").and_then(|item| signal(&item));
    table.finish();
    signal.map(Apply::Signal)
}

/// A signal that makes a service read its files again.
pub(super) fn signal(item: &Item<'_>) -> Option<Signal> {
    item.word(&[("HUP", Signal::Hup), ("USR1", Signal::Usr1), ("USR2", Signal::Usr2)])
}

fn verify(item: &Item<'_>, services: &[&str]) -> Option<Verify> {
    if item.value().as_table().is_none() {
        return item.word(&[("environ", ())]).map(|()| Verify::Environ);
    }
    let table = item.table("verify")?;
    let range = Duration::from_millis(100)..=Duration::from_secs(60 * 60);
    let usual = || Duration::from_secs(30);
    let timeout = or(table.get("timeout"), usual, |item| item.duration(range));
    let kind = check::question(&table, timeout, services, &PLACEHOLDERS);
    let (kind, timeout) = (kind?, timeout?);
    let tells_value = item.mentions("{value}");
    Some(Verify::Ask { kind: Box::new(kind), timeout, tells_value })
}

/// `flag` of a component.
pub(super) fn flag(item: &Item<'_>, names: &[&str]) -> Option<Flag> {
    let table = item.table("flag")?;
    let name: Option<FlagName> = table.need("name").and_then(|item| item.id());
    let off = table.need("off").and_then(|item| setting(&item));
    let on = or(table.get("on"), || None, |item| setting(&item).map(Some));
    let source = or(table.get("source"), || None, |item| item.id().map(Some));
    let [off_seen, on_seen] = ["verify", "verify_on"]
        .map(|key| or(table.get(key), || None, |item| verify(&item, names).map(Some)));
    table.finish();
    Some(Flag {
        name: name?,
        off: off?,
        on: on?,
        source: source?,
        verify: off_seen?,
        verify_on: on_seen?,
    })
}

/// A value as a person types it.
fn setting(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    if text.chars().any(char::is_control) {
        item.add("must be one line without control characters");
        return None;
    }
    Some(text.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::config::{Apply, DocumentFormat, FilePlace, FlagSourceKind, Signal, parse};

    #[test]
    fn flags_lie_in_several_sources() {
        let text = r#"
[app]
name = "shop"
[service.web]
manager = "pm2"
[[check]]
name = "api"
http = "http://127.0.0.1:1/x"
[component.QW-001]
paths = ["a/**"]
flag = { name = "A", off = "false", on = "true", source = "api", verify = "environ" }
checks = ["api"]
after = "slower"
symptoms = ["HTTP 207"]
[flags]
file = ".env"
apply = "environment"
services = ["web"]
[flags.source.conf]
file = "/etc/memory/config.json"
pointer = "/featureFlags"
apply = { signal = "HUP" }
[flags.source.api]
http = "http://127.0.0.1:8080/flags/{name}"
token = { env = "ADMIN_TOKEN" }
[flags.source.own]
get = ["./flag", "get", "{name}"]
set = ["./flag", "set", "{name}", "{value}"]
"#;
        let config = parse(text, "gitroll.toml").unwrap();
        let flags = config.flags.unwrap();
        let names: Vec<&str> = flags.sources.iter().map(|source| source.name.as_str()).collect();
        assert_eq!(names, ["file", "conf", "api", "own"]);
        let kinds: Vec<bool> = flags
            .sources
            .iter()
            .map(|source| {
                matches!(
                    (source.name.as_str(), &source.kind, source.apply),
                    ("file", FlagSourceKind::Dotenv(FilePlace::Tree(_)), Apply::Environment)
                        | (
                            "conf",
                            FlagSourceKind::Document { format: DocumentFormat::Json, .. },
                            Apply::Signal(Signal::Hup)
                        )
                        | ("api", FlagSourceKind::Http(_), Apply::None)
                        | ("own", FlagSourceKind::Command { .. }, Apply::None)
                )
            })
            .collect();
        assert_eq!(kinds, [true; 4]);
        assert_eq!(config.components[0].symptoms, ["HTTP 207"]);
    }

    #[test]
    fn what_is_wrong_with_flags_is_said_with_its_place() {
        let head = "[app]\nname = \"shop\"\n";
        let component = "[component.A]\npaths = [\"a\"]\nflag = { name = \"A\", off = \"0\"";
        let table = [
            ("[flags]\n", "needs one of file, http, or get and set"),
            ("[flags]\nfile = \".env\"\nhttp = \"http://x/\"\n", "needs one of"),
            ("[flags]\nfile = \".env\"\npointer = \"/x\"\n", "a dotenv file has no pointers"),
            ("[flags]\nfile = \"/etc/../x\"\n", "write the full path"),
            ("[flags]\nfile = \"../x\"\n", "path must be"),
            ("[flags]\nfile = \"f.json\"\napply = \"environment\"\n", "only a dotenv file"),
            ("[flags]\nfile = \".env\"\napply = { signal = \"KILL\" }\n", "is not known"),
            ("[flags]\nfile = \".env\"\nservices = [\"web\"]\n", "there is no [service.web]"),
            ("[flags]\nhttp = \"http://u:p@x/\"\n", "must not carry a user"),
            ("[flags]\nhttp = \"http://{name}.x/\"\n", "after the host"),
            ("[flags]\nhttp = \"http://x/\"\nbody = \"{}\"\n", "must contain {value}"),
            ("[flags]\nhttp = \"http://x/\"\nheaders = { Authorization = \"x\" }\n", "token ="),
            ("[flags]\nhttp = \"http://x/\"\ntoken = \"s3cret\"\n", "must be a table"),
            ("[flags.source.file]\nfile = \".env\"\n[flags]\nfile = \".env\"\n", "choose another"),
            ("[flags]\nfile = \".env\"\nverify = \"enviro\"\n", "environ"),
            ("[component.A]\npaths = [\"a\"]\nchecks = [\"api\"]\n", "there is no [[check]] named"),
            (
                &format!(
                    "{component}, source = \"apu\" }}\n[flags.source.api]\nhttp = \"http://x/\"\n"
                ),
                "did you mean \"api\"",
            ),
            (
                &format!(
                    "{component} }}\n[flags]\nfile = \".env\"\n[flags.source.api]\nhttp = \"http://x/\"\n"
                ),
                "set source to the place that stores it: one of file, api",
            ),
        ];
        for (text, wanted) in table {
            let error = parse(&format!("{head}{text}"), "gitroll.toml").unwrap_err();
            let said: Vec<String> = error.problems.iter().map(ToString::to_string).collect();
            assert!(said.iter().any(|line| line.contains(wanted)), "{text}: {said:#?}");
        }
    }
}
