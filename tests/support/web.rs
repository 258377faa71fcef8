//! Loopback ports and plain HTTP, without a client library: what a test asks must not share code with
//! what it tests.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// A loopback port nobody listens on. Other tests do not get it for as long as this lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _reserved: File,
}

impl Port {
    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// A free loopback port. The kernel hands a number out again as soon as its socket is closed, so a locked
/// file keeps it from tests that run at the same time.
pub fn free_port() -> Port {
    let places = std::env::temp_dir().join("gitroll-test-ports");
    fs::create_dir_all(&places).expect("the temporary directory is writable");
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port can be bound");
        let number = listener.local_addr().expect("a bound socket has an address").port();
        let reserved = File::create(places.join(number.to_string()));
        let reserved = reserved.expect("the temporary directory is writable");
        if reserved.try_lock().is_ok() {
            return Port { number, _reserved: reserved };
        }
    }
}

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body, invalid UTF-8 replaced.
    pub body: String,
}

impl Response {
    /// The body as JSON, where it is.
    pub fn json(&self) -> Option<serde_json::Value> {
        serde_json::from_str(&self.body).ok()
    }

    /// `version` in the JSON body.
    pub fn version(&self) -> Option<String> {
        self.json()?["version"].as_str().map(str::to_owned)
    }
}

/// Asks `http://127.0.0.1:PORT/path` on a new connection; at most 2 s for each of its parts.
///
/// # Errors
/// What went wrong, in a few words: refused, reset, timed out, no HTTP.
pub fn http_get(url: &str) -> Result<Response, String> {
    const PATIENCE: Duration = Duration::from_secs(2);
    let rest = url.strip_prefix("http://").ok_or("only http is spoken here")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address: SocketAddr = host.parse().map_err(|e| format!("{host}: {e}"))?;
    let said = |e: std::io::Error| e.kind().to_string();
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(said)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(said)?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(said)?;
    // 1.0: the body ends with the connection and never comes in chunks.
    write!(stream, "GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n").map_err(said)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map_err(said)?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").ok_or("no complete answer")?;
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or("no status line")?;
    Ok(Response { status, body: body.to_owned() })
}

/// Waits until `condition` holds, at most a minute.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < deadline, "waited a minute in vain until {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until the health URL answers with this version.
#[track_caller]
pub fn wait_for_version(url: &str, version: &str) {
    wait_until(&format!("{url} answers {version}"), || {
        http_get(url).is_ok_and(|answer| answer.version().as_deref() == Some(version))
    });
}

/// What nginx is told to hand out `servers`, its own files below `dir`.
pub fn nginx_config(dir: &std::path::Path, servers: &str) -> String {
    let dir = dir.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {dir}/nginx-{kind};\n"))
        .collect();
    format!(
        "user root; daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/nginx.log;\n\
         events {{ worker_connections 64; }}\nhttp {{ access_log off;\n{temporary}{servers} }}\n"
    )
}
