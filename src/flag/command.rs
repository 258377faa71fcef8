//! Flags behind commands of a team's own. No shell reads what is filled in.

use std::time::Duration;

use super::fill::fill;
use super::{FlagError, Value};
use crate::model::{FlagName, REDACTED, Redactor, looks_secret};
use crate::service::Host;
use crate::system::process::{Finished, Invocation, telling_lines};
use crate::system::secrets;

/// The most that a value may have.
const MOST_BYTES: usize = 64 * 1024;

/// How many lines of a failing command are told.
const LINES: usize = 3;

/// What `get` prints for a flag, as a text without the white space around it.
///
/// # Errors
/// When it cannot be run, fails, takes too long, prints more than 64 KiB or no UTF-8.
pub(super) fn value(
    host: &Host<'_>,
    get: &[String],
    limit: Duration,
    name: &FlagName,
) -> Result<Value, FlagError> {
    let finished = run(host, get, limit, name, "")?;
    if finished.stdout.len() > MOST_BYTES {
        return Err(failed(
            get,
            "printed more than 64 KiB, which is too long for a value".to_owned(),
            true,
        ));
    }
    match String::from_utf8(finished.stdout) {
        Ok(text) => Ok(Value::text(text.trim())),
        Err(_) => Err(failed(get, "printed something that is not text".to_owned(), true)),
    }
}

/// Runs `set`.
///
/// # Errors
/// As [`value`].
pub(super) fn set(
    host: &Host<'_>,
    set: &[String],
    limit: Duration,
    name: &FlagName,
    value: &Value,
) -> Result<(), FlagError> {
    let text = value.plain().unwrap_or_default();
    if text.contains('\0') {
        return Err(FlagError::flag(name, "this value cannot be passed as an argument"));
    }
    run(host, set, limit, name, &text).map(drop)
}

fn run(
    host: &Host<'_>,
    words: &[String],
    limit: Duration,
    name: &FlagName,
    value: &str,
) -> Result<Finished, FlagError> {
    secrets::hide_in_log(|| Redactor::new([(name.as_str(), value)]));
    let mut filled = words.iter().map(|word| fill(word, name.as_str(), value));
    let program = filled.next().unwrap_or_default();
    let mut env = host.environment();
    env.extend(host.version_variables());
    let args = filled.map(Into::into).collect();
    let finished = Invocation { args, env, limit, ..Invocation::new(program, &host.top) }
        .run()
        .map_err(|error| failed(words, error.to_string(), true))?;
    if finished.success() {
        return Ok(finished);
    }
    let mut problem =
        match (finished.timed_out || finished.interrupted, finished.code, finished.signal) {
            (true, ..) => format!("did not end within {} s", limit.as_secs_f64()),
            (_, Some(code), _) => format!("exit {code}"),
            (_, _, Some(signal)) => format!("ended by signal {signal}"),
            _ => "failed".to_owned(),
        };
    let output = [finished.stdout.as_slice(), b"\n", finished.stderr.as_slice()].concat();
    let redactor = Redactor::new([(name.as_str(), value)]);
    let lines = telling_lines(redactor.output(&output).as_bytes(), LINES);
    if looks_secret(name.as_str()) {
        // What it printed may be the secret, in whatever spelling.
        problem = format!("{problem} (its output is not shown: {REDACTED})");
    } else if !lines.is_empty() {
        problem = format!("{problem}: {}", lines.join(" · "));
    }
    Err(failed(words, problem, finished.code.is_some() && !finished.timed_out))
}

/// The command as it is in `gitroll.toml`: with placeholders, not with values.
fn failed(words: &[String], problem: String, settled: bool) -> FlagError {
    FlagError::Command { command: words.join(" "), problem, settled }
}
