//! Asking the running app, over plain HTTP on loopback, where it answers.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::model::Oid;

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
}

const PATHS: [&str; 4] = ["/api/health", "/health", "/healthz", "/"];
/// For one answer, from connecting to its last byte.
const LIMIT: Duration = Duration::from_millis(1500);
/// Of head and body together.
const MOST_BYTES: usize = 64 * 1024;

/// The usual path whose 200 says most on `port`: the version, the commit or how the app is, in JSON; of equals
/// the first. At most 6 s for each of the two loopback addresses.
pub fn find_health(port: u16, version: Option<&str>, commit: Option<&Oid>) -> Option<Health> {
    let addresses = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    addresses.into_iter().map(|address| SocketAddr::new(address, port)).find_map(|address| {
        let answers = PATHS.into_iter().filter_map(|path| Some((path, ask(address, path)?)));
        let mut best: Option<(u8, Health)> = None;
        for (path, body) in answers {
            let health = health(format!("http://{address}{path}"), &body, version, commit);
            let json = serde_json::from_slice::<Value>(&body).is_ok_and(|json| json.is_object());
            let told =
                [&health.version, &health.commit].into_iter().filter(|t| t.is_some()).count();
            let says =
                4 * u8::from(told > 0) + 2 * u8::from(health.status.is_some()) + u8::from(json);
            if best.as_ref().is_none_or(|(most, _)| says > *most) {
                best = Some((says, health));
            }
        }
        best.map(|(_, health)| health)
    })
}

fn health(url: String, body: &[u8], version: Option<&str>, commit: Option<&Oid>) -> Health {
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
    }
}

/// The body of a 200 answer.
fn ask(address: SocketAddr, path: &str) -> Option<Vec<u8>> {
    let deadline = Instant::now() + LIMIT;
    let left = || deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
    let mut stream = TcpStream::connect_timeout(&address, left()?).ok()?;
    stream.set_write_timeout(Some(left()?)).ok()?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: application/json, */*\r\n\
         User-Agent: gitroll\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    let mut buffer = [0; 8192];
    // What has come by the deadline counts: an app may keep the connection open.
    while answer.len() < MOST_BYTES && !is_whole(&answer) {
        let Some(left) = left() else { break };
        stream.set_read_timeout(Some(left)).ok()?;
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(read) => answer.extend_from_slice(&buffer[..read]),
        }
    }
    let (head, body) = split(&answer)?;
    let status = head.lines().next()?.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    if status != "200" {
        return None;
    }
    let chunked = header(&head, "transfer-encoding").is_some_and(|value| value.contains("chunked"));
    Some(if chunked { unchunk(body) } else { body.to_owned() })
}

fn split(answer: &[u8]) -> Option<(String, &[u8])> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    Some((String::from_utf8_lossy(&answer[..end]).into_owned(), &answer[end + 4..]))
}

fn header(head: &str, name: &str) -> Option<String> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim().to_ascii_lowercase())
    })
}

fn is_whole(answer: &[u8]) -> bool {
    split(answer).is_some_and(|(head, body)| {
        let length = header(&head, "content-length").and_then(|length| length.parse().ok());
        length.is_some_and(|length: usize| body.len() >= length)
    })
}

fn unchunk(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&body[..end]).ok();
        let size = size.and_then(|line| line.split(';').next());
        let size = size.and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
        let rest = &body[end + 2..];
        match size
            .filter(|size| (1..=rest.len()).contains(size))
            .and_then(|size| rest.get(..size).zip(rest.get(size + 2..)))
        {
            Some((chunk, after)) => {
                whole.extend_from_slice(chunk);
                body = after;
            }
            None => break,
        }
    }
    whole
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_that_lie_about_their_size_end_the_body() {
        for (body, whole) in [
            ("2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n", "abc"),
            ("2\r\nab\r\nffffffffffffffff\r\nc\r\n", "ab"),
            ("2\r\nab\r\n-1\r\nc\r\n", "ab"),
            ("9\r\nab", ""),
            ("x", ""),
        ] {
            assert_eq!(unchunk(body.as_bytes()), whole.as_bytes(), "{body:?}");
        }
    }
}
