//! `[[check]]`: what all kinds have in common, and each kind.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::time::Duration;

use toml::de::DeValue;

use super::value;
use crate::config::check::{
    Bounds, Check, CheckGroup, CheckKind, CommandCheck, Comparison, Expected, FileCheck, HttpCheck,
    LogCheck, LogSource, MetricCheck, MetricSource, TcpCheck,
};
use crate::config::quantity::show_duration;
use crate::config::quote::quoted;
use crate::config::reader::{Item, Table, all, nearest, or};
use crate::model::{CheckName, RepoPath, ServiceName};

/// The keys that say what is asked, one of them in each check.
const KINDS: [&str; 6] = ["http", "tcp", "command", "log", "file", "metric"];

/// What belongs into `expect`, whatever the kind.
const EXPECTED: [&str; 15] = [
    "status", "header", "body", "json", "banner", "exit", "stdout", "must", "must_not", "exists",
    "sha256", "above", "below", "at_least", "at_most",
];

/// All `[[check]]`s.
#[derive(Default)]
pub(super) struct ReadChecks {
    /// Those that are asked, in order.
    pub(super) asked: Vec<Check>,
    /// The names of all.
    pub(super) names: Vec<CheckName>,
}

/// `services`: the names of all services.
pub(super) fn checks(root: &Table<'_>, services: &[&str]) -> Option<ReadChecks> {
    let Some(item) = root.get("check") else { return Some(ReadChecks::default()) };
    let mut names = HashSet::new();
    let tables = item.tables()?;
    let checks = tables.iter().map(|table| check(table, services, &mut names));
    let checks = all(checks.collect::<Vec<_>>())?;
    let names = checks.iter().map(|(check, _)| check.name.clone()).collect();
    let asked = checks.into_iter().filter(|(_, asked)| *asked).map(|(check, _)| check).collect();
    Some(ReadChecks { asked, names })
}

/// A check, and whether it is asked.
fn check(
    table: &Table<'_>,
    services: &[&str],
    names: &mut HashSet<CheckName>,
) -> Option<(Check, bool)> {
    let name = table.need("name").and_then(|item| {
        let name: CheckName = item.id()?;
        if !names.insert(name.clone()) {
            item.add(format_args!("{:?} is also the name of an earlier [[check]]", name.as_str()));
            return None;
        }
        Some(name)
    });
    let critical = or(table.get("critical"), || true, |item| item.boolean());
    let asked = or(table.get("asked"), || true, |item| item.boolean());
    let groups = [("quick", CheckGroup::Quick), ("full", CheckGroup::Full)];
    let group = or(table.get("group"), || CheckGroup::Quick, |item| item.word(&groups));
    for key in EXPECTED.into_iter().filter(|key| table.has(key)) {
        if let Some(item) = table.get(key) {
            item.add(format_args!("belongs in expect: expect = {{ {key} = … }}"));
        }
    }
    let kind = kind_key(table)?;
    let rhythm = if kind == "metric" { metric_rhythm(table) } else { rhythm(table) };
    let timeout = rhythm.as_ref().map(|rhythm| rhythm.timeout);
    let kind = of_kind(kind, table, timeout, services);
    table.finish();
    let Rhythm { passes, settle, timeout } = rhythm?;
    let check = Check {
        name: name?,
        kind: kind?,
        critical: critical?,
        group: group?,
        passes,
        settle,
        timeout,
    };
    Some((check, asked?))
}

/// A question by itself, with further words in braces that are filled in.
pub(super) fn question(
    table: &Table<'_>,
    timeout: Option<Duration>,
    services: &[&str],
    filled: &'static [&'static str],
) -> Option<CheckKind> {
    let kind = kind_key(table)?;
    let question = table.filling(filled, || of_kind(kind, table, timeout, services));
    table.finish();
    question
}

/// An array of names of checks, with the place of each.
pub(super) fn references(item: &Item<'_>) -> Option<Vec<(CheckName, Range<usize>)>> {
    let elements = item.elements("an array of names of checks such as [\"api\"]")?;
    all(elements.iter().map(|element| Some((element.id()?, element.span()))).collect::<Vec<_>>())
}

fn of_kind(
    kind: &str,
    table: &Table<'_>,
    timeout: Option<Duration>,
    services: &[&str],
) -> Option<CheckKind> {
    match kind {
        "tcp" => tcp_check(table, timeout).map(CheckKind::Tcp),
        "command" => command_check(table, timeout).map(CheckKind::Command),
        "log" => log_check(table, services).map(CheckKind::Log),
        "file" => file_check(table).map(CheckKind::File),
        "metric" => metric_check(table, timeout).map(CheckKind::Metric),
        _ => http_check(table, timeout).map(CheckKind::Http),
    }
}

/// The one key that says what is asked. Without it the other keys cannot be judged.
fn kind_key(table: &Table<'_>) -> Option<&'static str> {
    let present: Vec<&str> = KINDS.into_iter().filter(|key| table.has(key)).collect();
    match present[..] {
        [kind] => return KINDS.into_iter().find(|key| *key == kind),
        [] => {
            let quoted: Vec<String> = KINDS.iter().map(|key| format!("{key:?}")).collect();
            let place = table.place();
            table.add(format!("{place} needs one of {}", quoted.join(", ")));
        }
        [first, second, ..] => {
            let place = table.place();
            table
                .add(format!("{place} has both {first:?} and {second:?}: a check tests one thing"));
        }
    }
    None
}

/// How often and for how long something is asked.
struct Rhythm {
    passes: u32,
    settle: Duration,
    timeout: Duration,
}

const HOUR: Duration = Duration::from_secs(60 * 60);

fn rhythm(table: &Table<'_>) -> Option<Rhythm> {
    let seconds = Duration::from_secs;
    let passes = or(table.get("passes"), || 3, |item| item.number(1..=1000));
    let settle = or(table.get("settle"), || seconds(5), |item| item.duration(seconds(0)..=HOUR));
    let range = Duration::from_millis(100)..=HOUR;
    let timeout = or(table.get("timeout"), || seconds(30), |item| item.duration(range));
    if let (Some(settle), Some(timeout)) = (settle, timeout)
        && timeout < settle
    {
        let message =
            format!("{} is shorter than settle, {}", show_duration(timeout), show_duration(settle));
        match table.get("timeout") {
            Some(item) => item.add(message),
            None => table.add(format!("timeout, {message}")),
        }
    }
    let passes = u32::try_from(passes?).unwrap_or(u32::MAX);
    Some(Rhythm { passes, settle: settle?, timeout: timeout? })
}

/// The limit of one question, not longer than the whole check's; `usual` where it is not said.
fn limit(
    table: &Table<'_>,
    key: &'static str,
    usual: Duration,
    whole: Option<Duration>,
) -> Option<Duration> {
    let Some(item) = table.get(key) else { return Some(whole.map_or(usual, |w| w.min(usual))) };
    let limit = item.duration(Duration::from_millis(10)..=HOUR)?;
    match whole {
        Some(whole) if limit > whole => {
            let whole = show_duration(whole);
            item.add(format_args!("is longer than the timeout of the whole check, {whole}"));
            None
        }
        _ => Some(limit),
    }
}

fn most_bytes(table: &Table<'_>, usual: u64) -> Option<u64> {
    or(table.get("max_bytes"), || usual, |item| item.size(1..=64 << 20))
}

fn http_check(table: &Table<'_>, timeout: Option<Duration>) -> Option<HttpCheck> {
    let url = table.need("http").and_then(|item| url(&item));
    let expect = or(table.get("expect"), HttpExpect::default, |item| http_expect(&item));
    let redirects = or(table.get("redirects"), || 0, |item| item.number(0..=10));
    let usual = Duration::from_secs(5);
    let request_timeout = limit(table, "request_timeout", usual, timeout);
    let max_bytes = most_bytes(table, 1 << 20);
    let own = own(table);
    let expect = expect?;
    Some(HttpCheck {
        url: url?,
        status: expect.status,
        headers: expect.headers,
        body: expect.body,
        json: expect.json,
        file: expect.file,
        own: own?,
        redirects: u8::try_from(redirects?).unwrap_or(u8::MAX),
        request_timeout: request_timeout?,
        max_bytes: max_bytes?,
    })
}

/// A URL without credentials and placeholders.
fn url(item: &Item<'_>) -> Option<String> {
    let text = item.line()?;
    if text.contains(char::is_whitespace) {
        item.add("a URL has no spaces");
        return None;
    }
    if text.contains(['{', '}']) {
        item.add("placeholders are only allowed in `expect`, not in a URL");
        return None;
    }
    is_url(item, text)?;
    Some(text.to_owned())
}

/// Reports what is not a web address that may stand in the file.
pub(super) fn is_url(item: &Item<'_>, text: &str) -> Option<()> {
    let url = match reqwest::Url::parse(text) {
        Ok(url) => url,
        Err(problem) => {
            item.add(format_args!("{} is not a URL: {problem}", quoted(text)));
            return None;
        }
    };
    if !matches!(url.scheme(), "http" | "https") {
        item.add(format_args!(
            "must begin with http:// or https://, not {}:",
            quoted(url.scheme())
        ));
        return None;
    }
    if !url.username().is_empty() || url.password().is_some() {
        // The value itself is not repeated: it is a secret.
        item.add("must not carry a user or password: this file is in the repository");
        return None;
    }
    Some(())
}

struct HttpExpect {
    status: u16,
    headers: BTreeMap<String, Expected>,
    body: Option<Expected>,
    json: BTreeMap<String, Expected>,
    file: Option<RepoPath>,
}

impl Default for HttpExpect {
    fn default() -> Self {
        Self {
            status: 200,
            headers: BTreeMap::new(),
            body: None,
            json: BTreeMap::new(),
            file: None,
        }
    }
}

fn http_expect(item: &Item<'_>) -> Option<HttpExpect> {
    let table = item.table("expect")?;
    let status = or(table.get("status"), || 200, |item| item.number(100..=599));
    let headers = or(table.get("header"), BTreeMap::new, |item| expected_headers(&item));
    let body = or(table.get("body"), || None, |item| expected_text(&item).map(Some));
    let json = or(table.get("json"), BTreeMap::new, |item| expected_json(&item));
    let file = or(table.get("file"), || None, |item| value::path(&item).map(Some));
    table.finish();
    Some(HttpExpect {
        status: u16::try_from(status?).unwrap_or(u16::MAX),
        headers: headers?,
        body: body?,
        json: json?,
        file: file?,
    })
}

/// Whether a text can be the name of a header (a token of RFC 9110).
pub(super) fn is_header(name: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.len() <= 256 && name.bytes().all(token)
}

fn expected_headers(item: &Item<'_>) -> Option<BTreeMap<String, Expected>> {
    let mut seen = HashSet::new();
    let headers = item.table("header")?.named().into_iter().map(|(name, value)| {
        if !is_header(name) {
            value.add("is not a header name");
            return None;
        }
        if !seen.insert(name.to_ascii_lowercase()) {
            value.add("is set twice: header names are not case-sensitive");
            return None;
        }
        let text = value.line()?;
        check_placeholders(&value, text)?;
        Some((name.to_owned(), Expected { value: text.into(), comparison: Comparison::Filled }))
    });
    all(headers.collect::<Vec<_>>()).map(|headers| headers.into_iter().collect())
}

fn tcp_check(table: &Table<'_>, timeout: Option<Duration>) -> Option<TcpCheck> {
    let address = table.need("tcp").and_then(|item| address(&item));
    let banner = or(
        table.get("expect"),
        || None,
        |item| {
            let expect = item.table("expect")?;
            let banner = or(expect.get("banner"), || None, |item| expected_text(&item).map(Some));
            expect.finish();
            banner
        },
    );
    let usual = Duration::from_secs(5);
    let request_timeout = limit(table, "request_timeout", usual, timeout);
    let own = own(table);
    let (host, port) = address?;
    Some(TcpCheck { host, port, banner: banner?, own: own?, request_timeout: request_timeout? })
}

/// `own`: whether it is the app itself that answers there.
fn own(table: &Table<'_>) -> Option<bool> {
    or(table.get("own"), || true, |item| item.boolean())
}

/// `host:port`, an IPv6 address in brackets.
fn address(item: &Item<'_>) -> Option<(String, u16)> {
    let text = item.line()?;
    let wrong = || {
        let quoted = quoted(text);
        let wanted = "\"127.0.0.1:5432\" or \"[::1]:5432\"";
        item.add(format_args!("{quoted} is not a host with a port such as {wanted}"));
        None
    };
    let Some((host, port)) = text.rsplit_once(':') else { return wrong() };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let fine = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let part = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
            !host.is_empty() && host.len() <= 253 && host.bytes().all(part)
        }
    };
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(port) if fine && digits && port > 0 => Some((bare.unwrap_or(host).to_owned(), port)),
        _ => wrong(),
    }
}

fn command_check(table: &Table<'_>, timeout: Option<Duration>) -> Option<CommandCheck> {
    let command = table.need("command").and_then(|item| value::command(&item));
    let env = or(table.get("env"), BTreeMap::new, |item| value::environment(&item));
    let expect = or(
        table.get("expect"),
        || (0, None),
        |item| {
            let expect = item.table("expect")?;
            let exit = or(expect.get("exit"), || 0, |item| item.number(0..=255));
            let stdout = or(expect.get("stdout"), || None, |item| expected_text(&item).map(Some));
            expect.finish();
            Some((exit?, stdout?))
        },
    );
    let run_timeout = limit(table, "run_timeout", Duration::from_secs(10), timeout);
    let max_bytes = most_bytes(table, 1 << 20);
    let (exit, stdout): (u64, Option<Expected>) = expect?;
    Some(CommandCheck {
        command: command?,
        env: env?,
        exit: i32::try_from(exit).unwrap_or(i32::MAX),
        stdout,
        run_timeout: run_timeout?,
        max_bytes: max_bytes?,
    })
}

/// A larger expression is refused: it is compiled into memory.
const MOST_PROGRAM: usize = 1 << 20;

fn log_check(table: &Table<'_>, services: &[&str]) -> Option<LogCheck> {
    let source = table.need("log").and_then(|item| log_source(&item, services));
    let expect = table.need("expect").and_then(|item| {
        let expect = item.table("expect")?;
        let must = or(expect.get("must"), || None, |item| expression(&item, true).map(Some));
        let never = expect.get("must_not");
        let must_not = or(never, || None, |item| expression(&item, false).map(Some));
        expect.finish();
        if !expect.has("must") && !expect.has("must_not") {
            expect.add("expect needs \"must\" or \"must_not\"");
            return None;
        }
        Some((must?, must_not?))
    });
    let max_bytes = most_bytes(table, 16 << 20);
    let ((source, optional), (must, must_not)) = (source?, expect?);
    Some(LogCheck { source, optional, must, must_not, max_bytes: max_bytes? })
}

fn log_source(item: &Item<'_>, services: &[&str]) -> Option<(LogSource, bool)> {
    let table = item.table("log")?;
    let file = table.get("file").map(|item| value::file_place(&item).map(LogSource::File));
    let service = table.get("service").map(|item| {
        let name: ServiceName = item.id()?;
        if !services.contains(&name.as_str()) {
            let hint = nearest(name.as_str(), services.iter().copied());
            item.add(format_args!("there is no [service.{name}]{hint}"));
            return None;
        }
        Some(LogSource::Service(name))
    });
    let optional = or(table.get("optional"), || false, |item| item.boolean());
    table.finish();
    let source = match (file, service) {
        (Some(source), None) | (None, Some(source)) => source,
        _ => {
            table.add("log needs either \"file\" or \"service\"");
            None
        }
    };
    Some((source?, optional?))
}

/// A regular expression over a line. `filled`: it may hold placeholders.
fn expression(item: &Item<'_>, filled: bool) -> Option<String> {
    let text = item.text()?;
    if text.is_empty() {
        item.add("is empty and would match every line");
        return None;
    }
    let mut plain = text.to_owned();
    for placeholder in placeholders(item) {
        let word = format!("{{{placeholder}}}");
        if !filled && text.contains(&word) {
            item.add(format_args!("{word} is only allowed in `must`"));
            return None;
        }
        plain = plain.replace(&word, "(?:x)");
    }
    match regex::RegexBuilder::new(&plain).size_limit(MOST_PROGRAM).build() {
        Ok(_) => Some(text.to_owned()),
        Err(regex::Error::CompiledTooBig(_)) => {
            item.add("is too large for a regular expression");
            None
        }
        Err(error) => {
            // Its last line says what; those before it draw where.
            let text = error.to_string();
            let why = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
            item.add(format_args!("is not a regular expression: {why}"));
            None
        }
    }
}

fn file_check(table: &Table<'_>) -> Option<FileCheck> {
    let file = table.need("file").and_then(|item| value::file_place(&item));
    let nothing = || (true, None, None);
    let expect = or(table.get("expect"), nothing, |item| {
        let expect = item.table("expect")?;
        let exists = or(expect.get("exists"), || true, |item| item.boolean());
        let sha256 = or(expect.get("sha256"), || None, |item| sha256(&item).map(Some));
        let json = or(expect.get("json"), || None, |item| expected_json(&item).map(Some));
        if exists == Some(false) {
            for key in ["sha256", "json"].into_iter().filter(|key| expect.has(key)) {
                expect.add(format!("expect: {key} does not apply to a file that must not exist"));
            }
        }
        expect.finish();
        Some((exists?, sha256?, json?))
    });
    let max_bytes = most_bytes(table, 16 << 20);
    let (exists, sha256, json) = expect?;
    Some(FileCheck { file: file?, exists, sha256, json, max_bytes: max_bytes? })
}

fn sha256(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        item.add("must be 64 hexadecimal digits, as `sha256sum` prints them");
        return None;
    }
    Some(text.to_ascii_lowercase())
}

fn metric_check(table: &Table<'_>, timeout: Option<Duration>) -> Option<MetricCheck> {
    let source = table.need("metric").and_then(|item| metric_source(&item));
    let bounds = table.need("expect").and_then(|item| bounds(&item));
    let request_timeout = limit(table, "request_timeout", Duration::from_secs(5), timeout);
    let max_bytes = most_bytes(table, 1 << 20);
    let own = own(table);
    let (source, rate) = source?;
    Some(MetricCheck {
        source,
        bounds: bounds?,
        rate,
        own: own?,
        every: every(table)?,
        request_timeout: request_timeout?,
        max_bytes: max_bytes?,
    })
}

/// `samples` and `every`, which stand for `passes` and `settle`.
fn metric_rhythm(table: &Table<'_>) -> Option<Rhythm> {
    let mut fine = true;
    for (key, instead) in [("passes", "samples"), ("settle", "every")] {
        if let Some(item) = table.get(key) {
            item.add(format_args!("a metric uses {instead} instead"));
            fine = false;
        }
    }
    let samples = or(table.get("samples"), || 5, |item| item.number(1..=1000));
    let every = every(table);
    let samples = u32::try_from(samples?).unwrap_or(u32::MAX);
    let settle = every?.saturating_mul(samples - 1);
    // A rate needs one sample more, and each takes its time to be answered.
    let least = every?.saturating_mul(samples);
    let usual = Duration::from_secs(30).max(least.saturating_add(Duration::from_secs(10)));
    let range = Duration::from_millis(100)..=HOUR;
    let timeout = or(table.get("timeout"), || usual, |item| item.duration(range));
    if let (Some(item), Some(whole)) = (table.get("timeout"), timeout)
        && whole < least
    {
        item.add(format_args!(
            "{} is shorter than {samples} samples every {} take",
            show_duration(whole),
            show_duration(every?)
        ));
        fine = false;
    }
    if usual > HOUR && !table.has("timeout") {
        table.add("its samples take more than an hour");
        fine = false;
    }
    let timeout = timeout?;
    fine.then_some(Rhythm { passes: samples, settle, timeout })
}

fn every(table: &Table<'_>) -> Option<Duration> {
    let second = || Duration::from_secs(1);
    let range = Duration::from_millis(100)..=HOUR;
    or(table.get("every"), second, |item| item.duration(range))
}

fn metric_source(item: &Item<'_>) -> Option<(MetricSource, bool)> {
    let table = item.table("metric")?;
    let rate = or(table.get("rate"), || false, |item| item.boolean());
    let source = match (table.has("prometheus"), table.has("http")) {
        (true, false) => {
            let url = table.get("prometheus").and_then(|item| url(&item));
            let name = table.need("name").and_then(|item| metric_name(&item));
            let labels = or(table.get("labels"), BTreeMap::new, |item| metric_labels(&item));
            let sum = or(table.get("sum"), || false, |item| item.boolean());
            table.finish();
            MetricSource::Prometheus { url: url?, name: name?, labels: labels?, sum: sum? }
        }
        (false, true) => {
            let url = table.get("http").and_then(|item| url(&item));
            let pointer = table.need("pointer").and_then(|item| {
                let text = item.text()?;
                if !is_pointer(text) {
                    item.add("is not a JSON pointer: it must begin with `/`, such as \"/p95\"");
                    return None;
                }
                Some(text.to_owned())
            });
            table.finish();
            MetricSource::Json { url: url?, pointer: pointer? }
        }
        _ => {
            table.add("metric needs either \"prometheus\" or \"http\", the URL of the numbers");
            return None;
        }
    };
    Some((source, rate?))
}

fn metric_name(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    if !is_metric_name(text, ":") {
        item.add(format_args!("{} is not a metric name", quoted(text)));
        return None;
    }
    Some(text.to_owned())
}

fn metric_labels(item: &Item<'_>) -> Option<BTreeMap<String, String>> {
    let labels = item.table("labels")?.named().into_iter().map(|(name, value)| {
        if !is_metric_name(name, "") {
            value.add("is not a label name");
            return None;
        }
        Some((name.to_owned(), value.text()?.to_owned()))
    });
    all(labels.collect::<Vec<_>>()).map(|labels| labels.into_iter().collect())
}

fn is_metric_name(text: &str, more: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || more.contains(c);
    !text.is_empty()
        && text.len() <= 256
        && text.chars().all(part)
        && !text.starts_with(|c: char| c.is_ascii_digit())
}

fn bounds(item: &Item<'_>) -> Option<Bounds> {
    let table = item.table("expect")?;
    let bound = |key| or(table.get(key), || None, |item| number(&item).map(Some));
    let [above, below, at_least, at_most] = ["above", "below", "at_least", "at_most"].map(bound);
    table.finish();
    let bounds = Bounds { above: above?, below: below?, at_least: at_least?, at_most: at_most? };
    if bounds == Bounds::default() {
        table.add("expect needs \"above\", \"below\", \"at_least\" or \"at_most\"");
        return None;
    }
    let low = bounds.above.into_iter().chain(bounds.at_least).reduce(f64::max);
    let high = bounds.below.into_iter().chain(bounds.at_most).reduce(f64::min);
    if low.zip(high).is_some_and(|(low, high)| low > high) {
        table.add(format!("expect: no number can be {bounds}"));
        return None;
    }
    Some(bounds)
}

fn number(item: &Item<'_>) -> Option<f64> {
    let text = match item.value() {
        DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str(),
        DeValue::Float(float) => float.as_str(),
        _ => return item.wanted("a number"),
    };
    let number: Option<f64> = text.replace('_', "").parse().ok();
    let number = number.filter(|number| number.is_finite());
    if number.is_none() {
        item.add("must be a finite number");
    }
    number
}

/// The texts that are filled in when a check is asked.
const PLACEHOLDERS: [&str; 3] = ["version", "commit", "deployment"];

/// Those, and what is filled in besides where this stands.
fn placeholders(item: &Item<'_>) -> impl Iterator<Item = &'static str> {
    PLACEHOLDERS.into_iter().chain(item.filled().iter().copied())
}

/// A text that something must contain.
fn expected_text(item: &Item<'_>) -> Option<Expected> {
    let text = item.text()?;
    if text.is_empty() {
        item.add("is empty, and every text contains the empty text");
        return None;
    }
    check_placeholders(item, text)?;
    Some(Expected { value: text.into(), comparison: Comparison::Filled })
}

/// JSON pointers and the values wanted there.
fn expected_json(item: &Item<'_>) -> Option<BTreeMap<String, Expected>> {
    let wanted = item.table("json")?.named().into_iter().map(|(pointer, value)| {
        let expected = json_value(&value, true);
        if !is_pointer(pointer) {
            value.add("is not a JSON pointer: it must begin with `/`, such as \"/status\"");
            return None;
        }
        Some((pointer.to_owned(), Expected { value: expected?, comparison: Comparison::Filled }))
    });
    all(wanted.collect::<Vec<_>>()).map(|wanted| wanted.into_iter().collect())
}

/// RFC 6901, without the empty pointer: `~` begins `~0` or `~1`.
pub(super) fn is_pointer(text: &str) -> bool {
    text.starts_with('/') && text.split('~').skip(1).all(|rest| rest.starts_with(['0', '1']))
}

fn json_value(item: &Item<'_>, top: bool) -> Option<serde_json::Value> {
    match item.value() {
        DeValue::String(_) => {
            let text = item.text()?;
            check_placeholders(item, text)?;
            if !top && placeholders(item).any(|p| text.contains(&format!("{{{p}}}"))) {
                item.add("placeholders are only allowed in a plain string");
                return None;
            }
            Some(text.into())
        }
        DeValue::Integer(integer) => {
            let (digits, radix) = (integer.as_str(), integer.radix());
            let number = i64::from_str_radix(digits, radix).map(serde_json::Value::from);
            let number = number.or_else(|_| u64::from_str_radix(digits, radix).map(Into::into));
            if number.is_err() {
                item.add("is too large a number");
            }
            number.ok()
        }
        DeValue::Float(float) => {
            let number = float.as_str().replace('_', "").parse().ok();
            let number = number.and_then(serde_json::Number::from_f64);
            if number.is_none() {
                item.add("is not a number that JSON can represent");
            }
            number.map(Into::into)
        }
        DeValue::Boolean(value) => Some((*value).into()),
        DeValue::Datetime(_) => item.wanted("a value that JSON can represent"),
        DeValue::Array(_) => {
            let values = item.elements("an array")?;
            all(values.iter().map(|value| json_value(value, false))).map(Into::into)
        }
        DeValue::Table(_) => {
            let entries = item.table("json")?.named().into_iter();
            let entries =
                entries.map(|(name, value)| Some((name.to_owned(), json_value(&value, false)?)));
            let entries = all(entries.collect::<Vec<_>>())?;
            Some(serde_json::Value::Object(entries.into_iter().collect()))
        }
    }
}

/// Reports words in braces that are no placeholder. Braces around anything else are plain text.
fn check_placeholders(item: &Item<'_>, text: &str) -> Option<()> {
    let mut fine = Some(());
    for (at, _) in text.match_indices('{') {
        let rest = &text[at + 1..];
        let Some((word, _)) = rest.split_once('}') else { break };
        let is_word = word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        if is_word && !word.is_empty() && !placeholders(item).any(|known| known == word) {
            let hint = nearest(word, placeholders(item));
            item.add(format_args!("{{{word}}} is not a placeholder{hint}"));
            fine = None;
        }
    }
    fine
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
