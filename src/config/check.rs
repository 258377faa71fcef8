//! `[[check]]`, validated: what is asked, what is expected, and which checks are wanted.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::{CheckName, RepoPath, ServiceName};

/// `[[check]]`
#[derive(Debug, Clone)]
pub struct Check {
    /// `name`
    pub name: CheckName,
    /// What is asked.
    pub kind: CheckKind,
    /// `critical`, default true: also asked when only the most needed is.
    pub critical: bool,
    /// `group`, default quick.
    pub group: CheckGroup,
    /// `passes` in a row that are wanted, default 3. The `samples` of a metric.
    pub passes: u32,
    /// `settle`: the time over which they must hold, default 5 s. Of a metric, the time its samples take.
    pub settle: Duration,
    /// `timeout` for the whole check, default 30 s.
    pub timeout: Duration,
}

/// `group` of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckGroup {
    /// Cheap enough to be asked at every turn.
    Quick,
    /// Asked where there is time for all.
    Full,
}

/// Which checks a proof asks. What is left out is told, with the reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Selection {
    /// All of them.
    #[default]
    All,
    /// Only those that are `critical`.
    Critical,
    /// Only those of one group.
    Group(CheckGroup),
}

/// What a check asks.
#[derive(Debug, Clone)]
pub enum CheckKind {
    /// `http = URL`
    Http(HttpCheck),
    /// `tcp = "host:port"`
    Tcp(TcpCheck),
    /// `command = [..]`
    Command(CommandCheck),
    /// `log = { .. }`
    Log(LogCheck),
    /// `file = PATH`
    File(FileCheck),
    /// `metric = { .. }`
    Metric(MetricCheck),
}

/// An HTTP question and the expected answer.
#[derive(Debug, Clone)]
pub struct HttpCheck {
    /// The URL: `http` or `https`, without credentials.
    pub url: String,
    /// `expect.status`, default 200.
    pub status: u16,
    /// `expect.header`: name (any case) to value.
    pub headers: BTreeMap<String, Expected>,
    /// `expect.body`: a text the body must contain.
    pub body: Option<Expected>,
    /// `expect.json`: JSON pointer to value.
    pub json: BTreeMap<String, Expected>,
    /// `expect.file`: the body must be the bytes of this file in the live tree.
    pub file: Option<RepoPath>,
    /// `own`, default true: who answers is the app, and not a proxy in front of it or something else.
    pub own: bool,
    /// `redirects` that are followed on the same host, default 0.
    pub redirects: u8,
    /// `request_timeout` of one request, default 5 s.
    pub request_timeout: Duration,
    /// `max_bytes` of a body, default 1 MiB.
    pub max_bytes: u64,
}

/// A connection that must be accepted.
#[derive(Debug, Clone)]
pub struct TcpCheck {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// `expect.banner`: a text that is said first, unasked.
    pub banner: Option<Expected>,
    /// `own`, default true: who listens there is the app, and must not be older than a reload of it.
    pub own: bool,
    /// `request_timeout`, from the name's lookup to the end of the banner, default 5 s.
    pub request_timeout: Duration,
}

/// A command of the team's own, run at the top of the live tree.
#[derive(Debug, Clone)]
pub struct CommandCheck {
    /// `command`: an argument vector, never shell text.
    pub command: Vec<String>,
    /// `env`, besides `PATH`, `HOME`, `USER`, `LANG` and `GITROLL_*`.
    pub env: BTreeMap<String, String>,
    /// `expect.exit`, default 0.
    pub exit: i32,
    /// `expect.stdout`: a text that its standard output must contain.
    pub stdout: Option<Expected>,
    /// `run_timeout` of one run, default 10 s. Then its process group is ended.
    pub run_timeout: Duration,
    /// `max_bytes` of its standard output, default 1 MiB.
    pub max_bytes: u64,
}

/// Lines that must, or must not, be written to a log from the change on.
#[derive(Debug, Clone)]
pub struct LogCheck {
    /// `log.file` or `log.service`
    pub source: LogSource,
    /// `log.optional`, default false: a file that is not there is an empty one.
    pub optional: bool,
    /// `expect.must`: a regular expression that a line must match; placeholders are filled.
    pub must: Option<String>,
    /// `expect.must_not`: a regular expression that no line may match.
    pub must_not: Option<String>,
    /// `max_bytes` that are read of one window, default 16 MiB.
    pub max_bytes: u64,
}

/// Which log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSource {
    /// A file.
    File(FilePlace),
    /// What a service writes, wherever its manager puts that.
    Service(ServiceName),
}

/// A file that is named in `gitroll.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilePlace {
    /// Relative to the top of the live tree. No symbolic link may lead out of it.
    Tree(RepoPath),
    /// Anywhere on the host: written with a leading `/`.
    Host(PathBuf),
}

/// A file as it must lie there.
#[derive(Debug, Clone)]
pub struct FileCheck {
    /// `file`
    pub file: FilePlace,
    /// `expect.exists`, default true.
    pub exists: bool,
    /// `expect.sha256` of its bytes: 64 hexadecimal digits in lower case.
    pub sha256: Option<String>,
    /// `expect.json`: JSON pointer to value. Where it names none the file only has to be JSON.
    pub json: Option<BTreeMap<String, Expected>>,
    /// `max_bytes` that are read of it, default 16 MiB.
    pub max_bytes: u64,
}

/// A number that must keep within bounds, asked several times.
#[derive(Debug, Clone)]
pub struct MetricCheck {
    /// Where it is found.
    pub source: MetricSource,
    /// `expect`: what every sample must keep to.
    pub bounds: Bounds,
    /// `metric.rate`, default false: the growth a second from one sample to the next counts, not the number.
    pub rate: bool,
    /// `own`, default true: who answers is the app, and must not be older than a reload of it.
    pub own: bool,
    /// `every`: from one sample to the next, default 1 s.
    pub every: Duration,
    /// `request_timeout` of one request, default 5 s.
    pub request_timeout: Duration,
    /// `max_bytes` of an answer, default 1 MiB.
    pub max_bytes: u64,
}

/// Where a metric is found.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricSource {
    /// On a page in Prometheus' text format.
    Prometheus {
        /// `metric.prometheus`
        url: String,
        /// `metric.name`
        name: String,
        /// `metric.labels` that a series must have; it may have more.
        labels: BTreeMap<String, String>,
        /// `metric.sum`, default false: several series are added up instead of refused.
        sum: bool,
    },
    /// In a JSON answer.
    Json {
        /// `metric.http`
        url: String,
        /// `metric.pointer`
        pointer: String,
    },
}

/// Bounds of a number, at least one of them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Bounds {
    /// It must be greater.
    pub above: Option<f64>,
    /// It must be less.
    pub below: Option<f64>,
    /// It must not be less.
    pub at_least: Option<f64>,
    /// It must not be greater.
    pub at_most: Option<f64>,
}

/// An expected value. A text may hold `{version}`, `{commit}` and `{deployment}`.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    /// The value as written, e.g. `"{version}"` or `true`.
    pub value: serde_json::Value,
    /// How it is compared with what is found.
    pub comparison: Comparison,
}

/// How an expected value is compared with what is found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Comparison {
    /// As written in `gitroll.toml`, its placeholders filled.
    #[default]
    Filled,
    /// As itself: it came from elsewhere, and no word in it is a placeholder.
    Literal,
    /// Anything but this is expected, nothing at all too.
    NotLiteral,
}

impl Expected {
    /// Whether this expectation can tell the intended version from another.
    pub fn tells_version(&self) -> bool {
        self.comparison == Comparison::Filled && self.value.as_str().is_some_and(names_version)
    }
}

impl Selection {
    /// Why a check is not asked; `None` if it is.
    pub fn leaves_out(self, check: &Check) -> Option<String> {
        match self {
            Selection::All => None,
            Selection::Critical => (!check.critical).then(|| "not critical".to_owned()),
            Selection::Group(group) => {
                (check.group != group).then(|| format!("group {}", check.group))
            }
        }
    }

    /// The checks that are asked.
    pub fn of(self, checks: &[Check]) -> Vec<Check> {
        checks.iter().filter(|check| self.leaves_out(check).is_none()).cloned().collect()
    }
}

/// What stands for a word in braces.
#[derive(Debug, Clone)]
pub enum Filler {
    /// A text.
    Text(String),
    /// A value: where a text is wanted, that of its JSON without quotes.
    Json(serde_json::Value),
}

impl Filler {
    fn text(&self) -> String {
        match self {
            Filler::Text(text) | Filler::Json(serde_json::Value::String(text)) => text.clone(),
            Filler::Json(value) => value.to_string(),
        }
    }
}

fn names_version(text: &str) -> bool {
    ["{version}", "{commit}", "{deployment}"].iter().any(|word| text.contains(word))
}

impl CheckKind {
    /// The question with words in braces replaced, besides those that every check has.
    pub fn filled(&self, words: &[(&str, Filler)]) -> Self {
        // A word that holds a placeholder itself must not have that filled, not even where this fails the question.
        let plain = !words.iter().any(|(_, with)| names_version(&with.text()));
        self.filled_as(words, |whole| match plain && names_version(whole) {
            true => Comparison::Filled,
            false => Comparison::Literal,
        })
    }

    /// The question whether the answer is anything but what it would be with `word` replaced so; `None` if no
    /// answer could tell that.
    pub fn denied(&self, words: &[(&str, Filler)], word: &str) -> Option<Self> {
        let expected: Vec<&Expected> = match self {
            CheckKind::Http(http) => {
                http.headers.values().chain(http.json.values()).chain(&http.body).collect()
            }
            // What it does with the word in an argument nobody knows.
            CheckKind::Command(command) if command.command.iter().all(|a| !a.contains(word)) => {
                command.stdout.iter().collect()
            }
            _ => Vec::new(),
        };
        let mut holding = expected
            .iter()
            .filter_map(|e| e.value.as_str())
            .filter(|t| t.contains(word))
            .peekable();
        if holding.peek().is_none() || holding.any(names_version) {
            return None;
        }
        Some(self.filled_as(words, |whole| match (whole.contains(word), names_version(whole)) {
            (true, _) => Comparison::NotLiteral,
            (false, true) => Comparison::Filled,
            (false, false) => Comparison::Literal,
        }))
    }

    fn filled_as(&self, words: &[(&str, Filler)], comparison: impl Fn(&str) -> Comparison) -> Self {
        let text = |text: &String| {
            words.iter().fold(text.clone(), |text, (word, with)| text.replace(word, &with.text()))
        };
        let expected = |expected: &Expected| match expected.value.as_str() {
            Some(whole) => {
                let comparison = comparison(whole);
                match words.iter().find(|(word, _)| *word == whole) {
                    Some((_, Filler::Json(value))) => Expected { value: value.clone(), comparison },
                    _ => Expected { value: text(&whole.to_owned()).into(), comparison },
                }
            }
            None => expected.clone(),
        };
        let values = |all: &BTreeMap<String, Expected>| {
            all.iter().map(|(key, value)| (text(key), expected(value))).collect()
        };
        // In an expression the value means itself.
        let expression = |text: &String| {
            words.iter().fold(text.clone(), |text, (word, with)| {
                text.replace(word, &regex::escape(&with.text()))
            })
        };
        match self.clone() {
            CheckKind::Http(http) => CheckKind::Http(HttpCheck {
                headers: values(&http.headers),
                body: http.body.as_ref().map(expected),
                json: values(&http.json),
                ..http
            }),
            CheckKind::Command(command) => CheckKind::Command(CommandCheck {
                command: command.command.iter().map(text).collect(),
                stdout: command.stdout.as_ref().map(expected),
                ..command
            }),
            CheckKind::Log(log) => CheckKind::Log(LogCheck {
                must: log.must.as_ref().map(expression),
                must_not: log.must_not.as_ref().map(expression),
                ..log
            }),
            other => other,
        }
    }
}

impl Check {
    /// How long one question may take.
    pub fn answer_limit(&self) -> Duration {
        /// Of a local file.
        const READING: Duration = Duration::from_secs(5);
        match &self.kind {
            CheckKind::Http(http) => http.request_timeout,
            CheckKind::Tcp(tcp) => tcp.request_timeout,
            CheckKind::Command(command) => command.run_timeout,
            CheckKind::Log(_) | CheckKind::File(_) => READING.min(self.timeout),
            // A rate is told by two samples.
            CheckKind::Metric(metric) if metric.rate => metric.request_timeout * 2 + metric.every,
            CheckKind::Metric(metric) => metric.request_timeout,
        }
    }
}

impl fmt::Display for CheckGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CheckGroup::Quick => "quick",
            CheckGroup::Full => "full",
        })
    }
}

impl fmt::Display for FilePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FilePlace::Tree(path) => path.fmt(f),
            FilePlace::Host(path) => path.display().fmt(f),
        }
    }
}

impl fmt::Display for Bounds {
    /// `above 0 and at most 100`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            ("above", self.above),
            ("at least", self.at_least),
            ("below", self.below),
            ("at most", self.at_most),
        ];
        let words = all.into_iter().filter_map(|(word, bound)| Some(format!("{word} {}", bound?)));
        f.write_str(&words.collect::<Vec<_>>().join(" and "))
    }
}

impl Bounds {
    /// Whether a number keeps to all of them. What is not a number keeps to none.
    pub fn hold(&self, number: f64) -> bool {
        !number.is_nan()
            && self.above.is_none_or(|bound| number > bound)
            && self.below.is_none_or(|bound| number < bound)
            && self.at_least.is_none_or(|bound| number >= bound)
            && self.at_most.is_none_or(|bound| number <= bound)
    }
}
