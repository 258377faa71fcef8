//! Asking pm2's daemon by its socket, as pm2's own command does: a hundredth of the time that starting it takes.
//!
//! A message of axon's (AMP framing) is a byte for the version of the framing and the number of arguments, then each
//! argument behind its length. `j:` begins JSON, `s:` a text. A call is `{type, method, args}` and the caller's name
//! for it; the answer is `{args}` or `{error}` and the same name. Anything else here is "unknown", and the command
//! decides.

use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::system::sockets::Conversation;

/// Versions of pm2 whose daemon is known to speak like this.
const KNOWN: std::ops::RangeInclusive<u64> = 5..=7;

/// How long the daemon may take. It answers in a few milliseconds, or is busy with something else.
const LIMIT: Duration = Duration::from_secs(2);

/// As much as is kept of what the command prints.
const MOST_ANSWER: usize = 16 << 20;

/// Version 1 of the framing, two arguments.
const HEAD: u8 = 0x12;

/// The name of our one call.
const CALL: &[u8] = b"s:gitroll:0";

/// Whether the daemon with this title (`PM2 v7.0.4: God Daemon (/home/shop/.pm2)`) is known to speak like this.
pub(super) fn is_known(title: &str) -> bool {
    let version = title.strip_prefix("PM2 v").and_then(|rest| rest.split('.').next());
    version.and_then(|major| major.parse().ok()).is_some_and(|major| KNOWN.contains(&major))
}

/// What `pm2 jlist` prints: an entry for each process. Starts nothing.
///
/// # Errors
/// Why it is not known: no socket, another user's, no answer in time, or one that is not understood.
pub(super) fn monitor_data(home: &Path) -> io::Result<Vec<Value>> {
    let mut daemon = Conversation::begin(&home.join("rpc.sock"), LIMIT)?;
    let call = json!({ "type": "call", "method": "getMonitorData", "args": [{}] });
    daemon.write_all(&message(&[format!("j:{call}").as_bytes(), CALL]))?;
    understood(daemon)
}

fn understood(mut answer: impl Read) -> io::Result<Vec<Value>> {
    let mut head = [0];
    answer.read_exact(&mut head)?;
    if head != [HEAD] {
        return Err(strange("its answer is framed in another way"));
    }
    let data = argument(&mut answer, MOST_ANSWER)?;
    if argument(&mut answer, CALL.len())? != CALL {
        return Err(strange("it answers another question"));
    }
    let data = data.strip_prefix(b"j:").ok_or_else(|| strange("its answer is not JSON"))?;
    let data: Value = serde_json::from_slice(data)?;
    match data.get("args").and_then(|args| args.get(0)) {
        Some(Value::Array(entries)) => Ok(entries.clone()),
        _ => Err(strange("its answer is not a list")),
    }
}

fn argument(answer: &mut impl Read, most: usize) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    answer.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if usize::try_from(length).map_or(true, |length| length > most) {
        return Err(strange("its answer is too large"));
    }
    // The length is a claim: memory is taken as the bytes come.
    let mut bytes = Vec::new();
    answer.take(length.into()).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != u64::from(length) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

fn message(arguments: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![HEAD];
    for argument in arguments {
        // What is sent is a hundred bytes.
        let length = u32::try_from(argument.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(argument);
    }
    bytes
}

fn strange(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn told(data: &str, call: &[u8]) -> Result<Vec<Value>, String> {
        understood(&message(&[data.as_bytes(), call])[..]).map_err(|error| error.to_string())
    }

    #[test]
    fn a_list_under_the_name_of_the_call_is_an_answer_and_nothing_else_is() {
        assert_eq!(told(r#"j:{"args":[[{"pid":1}]]}"#, CALL), Ok(vec![json!({ "pid": 1 })]));
        assert_eq!(told(r#"j:{"args":[[]]}"#, CALL), Ok(Vec::new()));
        for (data, call, why) in [
            (r#"j:{"args":[[]]}"#, &b"s:gitroll:1"[..], "it answers another question"),
            (r#"j:{"error":"no such method"}"#, CALL, "its answer is not a list"),
            (r#"j:{"args":[{}]}"#, CALL, "its answer is not a list"),
            ("s:hello", CALL, "its answer is not JSON"),
        ] {
            assert_eq!(told(data, call).unwrap_err(), why, "{data}");
        }
        assert!(told("j:{", CALL).is_err());
    }

    #[test]
    fn an_answer_that_is_cut_too_large_or_framed_otherwise_is_none() {
        let whole = message(&[br#"j:{"args":[[]]}"#, CALL]);
        for end in 0..whole.len() {
            assert!(understood(&whole[..end]).is_err(), "{end}");
        }
        assert!(understood(&[0x22, 0, 0, 0, 0][..]).is_err());
        let large = understood(&[HEAD, 0xff, 0xff, 0xff, 0xff, b'j'][..]).unwrap_err();
        assert_eq!(large.to_string(), "its answer is too large");
    }

    #[test]
    fn only_versions_that_were_tried_are_spoken_to() {
        for (title, known) in [
            ("PM2 v5.4.3: God Daemon (/home/shop/.pm2)", true),
            ("PM2 v7.0.4: God Daemon (/home/shop/.pm2)", true),
            ("PM2 v4.5.6: God Daemon (/home/shop/.pm2)", false),
            ("PM2 v70.0.0: God Daemon (/home/shop/.pm2)", false),
            ("node /usr/lib/node_modules/pm2/lib/Daemon.js", false),
        ] {
            assert_eq!(is_known(title), known, "{title}");
        }
    }
}
