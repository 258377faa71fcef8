//! One connection: accepted or not, and what is said first over it.

use std::io;
use std::net::IpAddr;

use tokio::net::TcpStream;

use crate::config::{Expected, TcpCheck};

use super::format::{seconds, shown};
use super::judgement::{Judgement, contains};
use super::template::Subject;

/// A banner is found in the first bytes that are said, or not at all.
const MOST: usize = 4 * 1024;

/// Connects once, and hangs up. Takes at most the check's `request_timeout`.
pub(super) async fn ask(check: &TcpCheck, subject: &Subject) -> Judgement {
    let limit = check.request_timeout;
    match tokio::time::timeout(limit, connect(check, subject)).await {
        Ok(judgement) => judgement,
        Err(_) if check.banner.is_some() => {
            Judgement::failed(format!("did not say what it should within {}", seconds(limit)))
        }
        Err(_) => Judgement::silent(format!("no connection within {}", seconds(limit))),
    }
}

async fn connect(check: &TcpCheck, subject: &Subject) -> Judgement {
    let stream = match TcpStream::connect((check.host.as_str(), check.port)).await {
        Ok(stream) => stream,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return Judgement::failed(format!("no listener on {}", place(check)));
        }
        Err(error) => {
            return Judgement::silent(format!("no connection: {}", shown(&error.to_string())));
        }
    };
    match &check.banner {
        None => Judgement::fine("connected"),
        Some(banner) => match said(&stream, banner, subject).await {
            Ok(bytes) => Judgement::of(&[contains("banner", banner, &bytes, subject)], "connected"),
            Err(error) => Judgement::silent(format!("hung up: {}", shown(&error.to_string()))),
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
