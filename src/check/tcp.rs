//! One connection: accepted or not, and what is said first over it.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::time::Duration;

use tokio::net::TcpStream;

use crate::config::{Expected, TcpCheck};

use super::http::{LOOPBACK, is_name_of_this_host, is_nobody};
use super::judgement::{Judgement, Unanswered, contains, seconds, shown};
use super::template::Subject;

/// A banner is found in the first bytes that are said, or not at all.
const MOST: usize = 4 * 1024;

/// Connects once, and hangs up. Takes at most the check's `request_timeout`.
pub(super) async fn ask(check: &TcpCheck, subject: &Subject) -> Judgement {
    let limit = check.request_timeout;
    match tokio::time::timeout(limit, connect(check, subject)).await {
        Ok(judgement) => judgement,
        Err(_) if check.banner.is_some() => {
            Judgement::failed(format!("did not send the expected text within {}", seconds(limit)))
        }
        Err(_) => Judgement::unanswered(Unanswered::NothingSaid(format!(
            "no connection within {}",
            seconds(limit)
        ))),
    }
}

async fn connect(check: &TcpCheck, subject: &Subject) -> Judgement {
    if !is_name_of_this_host(&check.host) {
        return connect_to(check, &check.host, subject).await;
    }
    // Someone may listen at either address of the name.
    let mut judged = Vec::new();
    for address in LOOPBACK {
        judged.push(connect_to(check, &address.to_string(), subject).await);
    }
    if judged.iter().any(|judgement| !judgement.no_listener) {
        judged.retain(|judgement| !judgement.no_listener);
    }
    Judgement::of_all(judged)
}

async fn connect_to(check: &TcpCheck, host: &str, subject: &Subject) -> Judgement {
    let stream = match TcpStream::connect((host, check.port)).await {
        Ok(stream) => stream,
        Err(error) if is_nobody(&error) => {
            let answer = format!("no listener on {}", place(check));
            return Judgement { no_listener: true, ..Judgement::failed(answer) };
        }
        Err(error) => {
            let why = format!("no connection: {}", shown(&error.to_string()));
            return Judgement::unanswered(Unanswered::NothingSaid(why));
        }
    };
    match &check.banner {
        None => Judgement::fine("connected"),
        Some(banner) => match said(&stream, banner, subject).await {
            Ok(bytes) => Judgement::of(&[contains("banner", banner, &bytes, subject)], "connected"),
            Err(error) => {
                Judgement::silent(format!("closed the connection: {}", shown(&error.to_string())))
            }
        },
    }
}

/// What is said until the banner is found, the other side has no more to say, or it is too much.
async fn said(stream: &TcpStream, banner: &Expected, subject: &Subject) -> io::Result<Vec<u8>> {
    let mut said = Vec::new();
    let mut piece = [0; 512];
    while said.len() < MOST && !Judgement::of(&[contains("", banner, &said, subject)], "").ok {
        stream.readable().await?;
        match stream.try_read(&mut piece) {
            Ok(0) => break,
            Ok(read) => said.extend_from_slice(&piece[..read]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(said)
}

fn place(check: &TcpCheck) -> String {
    let (host, port) = (check.host.as_str(), check.port);
    let here = host == "localhost" || host.parse().is_ok_and(|a: IpAddr| a.is_loopback());
    if here { format!(":{port}") } else { format!("{}:{port}", shown(host)) }
}

/// Whether someone accepts connections there; decided within a second.
pub fn accepts(at: SocketAddr) -> bool {
    std::net::TcpStream::connect_timeout(&at, Duration::from_secs(1)).is_ok()
}

/// A TCP port of the loopback address that is free now.
///
/// # Errors
/// When none can be had.
pub fn free_loopback_port() -> io::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
