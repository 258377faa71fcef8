//! Where a running app answers how it is: the path that says most, told from those that any path is answered like.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{ACCEPT, CONNECTION, CONTENT_TYPE};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::model::Oid;

use super::http::{client, parse, runtime};

/// Where the running app answered 200.
#[derive(Debug, Clone, PartialEq)]
pub struct Health {
    /// The URL.
    pub url: String,
    /// Pointer of the field of its JSON answer that is the version in package.json.
    pub version: Option<String>,
    /// Pointer of the field that is the full id of the commit.
    pub commit: Option<String>,
    /// Pointer and value of a field that says how it is, such as `/status` and `ok`.
    pub status: Option<(String, String)>,
    /// A path that no app has is answered the same way.
    pub catch_all: bool,
}

/// The usual paths by their directories, each of which may answer by itself what it does not have.
const HEALTH_PATHS: [(&str, &[&str]); 2] =
    [("/api", &["health"]), ("", &["health", "healthz", ""])];
/// For one answer, from connecting to its last byte.
const HEALTH_LIMIT: Duration = Duration::from_millis(1500);
/// More of a body is not read.
const MOST_OF_HEALTH: usize = 64 * 1024;

/// Names that no app has, each a single word. Two of them: what differs between their answers differs with every answer.
const NONSENSE: [&str; 2] = ["gitrollasksfornothing", "gitrollasksagain"];

/// The usual path whose 200 says most on `port`: the version, the commit or how the app is, in JSON; of equals
/// the first. A silent app costs 6 s for each of the two loopback addresses. Where a path that no app has is answered the same
/// way it is `/`, if that answers 200: no health path, but more than a connection.
pub fn find_health(port: u16, version: Option<&str>, commit: Option<&Oid>) -> Option<Health> {
    let runtime = runtime().ok()?;
    let addresses = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    addresses.into_iter().map(|address| SocketAddr::new(address, port)).find_map(|address| {
        let ask = |path: &str| peek(&runtime, address, path);
        let (mut answers, mut alike) = (Vec::new(), Vec::new());
        for (dir, names) in HEALTH_PATHS {
            let paths = names.iter().map(|name| (format!("{dir}/{name}"), *name));
            let asked = paths.filter_map(|(path, name)| ask(&path).map(|a| (path, name, a)));
            let mut found: Vec<(String, &str, Answer)> = asked.collect();
            if found.is_empty() {
                continue;
            }
            let one = ask(&format!("{dir}/{}", NONSENSE[0]));
            if one.is_some() {
                // Between the two that it is compared with, for an answer may say the time.
                for (path, _, answer) in &mut found {
                    *answer = ask(path).unwrap_or(std::mem::take(answer));
                }
            }
            let other = one.as_ref().and_then(|_| ask(&format!("{dir}/{}", NONSENSE[1])));
            for (path, name, answer) in found {
                let same = match (&one, &other) {
                    (Some(one), Some(other)) => is_alike(&answer, name, one, other),
                    // This server knows what it has.
                    _ => false,
                };
                if same { &mut alike } else { &mut answers }.push((path, answer));
            }
        }
        let told = |path: &str, answer: &Answer| {
            health_of(format!("http://{address}{path}"), &answer.body, version, commit)
        };
        let mut best: Option<(u8, Health)> = None;
        for (path, answer) in answers {
            let health = told(&path, &answer);
            let json =
                serde_json::from_slice::<Value>(&answer.body).is_ok_and(|json| json.is_object());
            let told =
                [&health.version, &health.commit].into_iter().filter(|t| t.is_some()).count();
            let says =
                4 * u8::from(told > 0) + 2 * u8::from(health.status.is_some()) + u8::from(json);
            if best.as_ref().is_none_or(|(most, _)| says > *most) {
                best = Some((says, health));
            }
        }
        let any = alike.iter().find(|(path, _)| path == "/");
        let any = any.map(|(path, answer)| Health { catch_all: true, ..told(path, answer) });
        best.map(|(_, health)| health).or(any)
    })
}

/// An answer with the status 200.
#[derive(Debug, Default)]
struct Answer {
    /// Its content type, without parameters.
    kind: String,
    body: Vec<u8>,
}

/// Whether a path, whose last part is `name`, is answered as two that no app has: with the same kind of content, and
/// with the same content but for what differs between those two as well and for the path itself.
fn is_alike(answer: &Answer, name: &str, one: &Answer, other: &Answer) -> bool {
    if answer.kind != one.kind {
        return false;
    }
    let read = |answer: &Answer, name: &str| parts(&answer.body, name);
    let (found, one, other) =
        (read(answer, name), read(one, NONSENSE[0]), read(other, NONSENSE[1]));
    match (&found, &one, &other) {
        (Parts::Fields(found), Parts::Fields(one), Parts::Fields(other)) => {
            let all = one.keys().chain(found.keys());
            let steady = |pointer: &&String| one.get(*pointer) == other.get(*pointer);
            all.filter(steady).all(|pointer| found.get(pointer) == one.get(pointer))
        }
        (Parts::Words(found), Parts::Words(one), Parts::Words(other)) => {
            // A page whose parts come and go cannot be compared: its kind decides.
            one.len() != other.len()
                || (found.len() == one.len()
                    && (0..one.len()).all(|at| one[at] != other[at] || found[at] == one[at]))
        }
        _ => false,
    }
}

/// What a body consists of.
enum Parts {
    /// The values of a JSON text by their pointers.
    Fields(BTreeMap<String, Vec<String>>),
    /// Whatever else it is, in words.
    Words(Vec<String>),
}

fn parts(body: &[u8], name: &str) -> Parts {
    fn collect(value: &Value, at: String, name: &str, found: &mut BTreeMap<String, Vec<String>>) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    collect(value, format!("{at}/{key}"), name, found);
                }
            }
            Value::Array(items) => {
                for (number, value) in items.iter().enumerate() {
                    collect(value, format!("{at}/{number}"), name, found);
                }
            }
            Value::String(text) => drop(found.insert(at, words(text, name))),
            plain => drop(found.insert(at, vec![plain.to_string()])),
        }
    }
    match serde_json::from_slice::<Value>(body) {
        Ok(json) => {
            let mut found = BTreeMap::new();
            collect(&json, String::new(), name, &mut found);
            Parts::Fields(found)
        }
        Err(_) => Parts::Words(words(&String::from_utf8_lossy(body), name)),
    }
}

/// The words of a text, without `name`: many an answer repeats the path that was asked for.
fn words(text: &str, name: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.filter(|word| !word.eq_ignore_ascii_case(name)).map(str::to_owned).collect()
}

fn health_of(url: String, body: &[u8], version: Option<&str>, commit: Option<&Oid>) -> Health {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let json = json.as_ref();
    let status = |text: &str| {
        ["ok", "healthy", "up", "pass", "running"].contains(&text.to_ascii_lowercase().as_str())
    };
    Health {
        url,
        version: version.and_then(|version| Some(field(json?, &|text| text == version)?.0)),
        commit: commit.and_then(|id| Some(field(json?, &|text| text == id.as_str())?.0)),
        status: json.and_then(|json| field(json, &status)),
        catch_all: false,
    }
}

/// A 200 answer.
fn peek(runtime: &Runtime, address: SocketAddr, path: &str) -> Option<Answer> {
    runtime.block_on(async {
        let deadline = tokio::time::Instant::now() + HEALTH_LIMIT;
        let url = parse(&format!("http://{address}{path}")).ok()?;
        let asked = client(false).ok()?.get(url).header(CONNECTION, "close");
        let asked = asked.header(ACCEPT, "application/json, */*").send();
        let mut response = tokio::time::timeout_at(deadline, asked).await.ok()?.ok()?;
        if response.status() != StatusCode::OK {
            return None;
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
        let kind = kind.trim().to_ascii_lowercase();
        let mut body = Vec::new();
        // What has come by the deadline counts: an app may keep the connection open.
        while body.len() < MOST_OF_HEALTH
            && let Ok(Ok(Some(chunk))) = tokio::time::timeout_at(deadline, response.chunk()).await
        {
            body.extend_from_slice(&chunk);
        }
        Some(Answer { kind, body })
    })
}

/// Pointer and value of the first fitting text, nearest to the top, at most three levels deep.
fn field(value: &Value, fits: &dyn Fn(&str) -> bool) -> Option<(String, String)> {
    let mut level: Vec<(String, &Value)> = vec![(String::new(), value)];
    for _ in 0..3 {
        let mut below = Vec::new();
        for (pointer, value) in level {
            for (key, value) in value.as_object().into_iter().flatten() {
                let pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
                match value.as_str() {
                    Some(text) if fits(text) => return Some((pointer, text.to_owned())),
                    _ => below.push((pointer, value)),
                }
            }
        }
        level = below;
    }
    None
}
