//! The environment that a process was started with.

use std::fs::File;
use std::io::{self, Read as _};

/// The kernel lets nobody hand over more by default.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// A variable in the environment of a process.
#[derive(Clone, PartialEq, Eq)]
pub enum Variable {
    /// Its value; bytes that are no text as `U+FFFD`.
    Set(String),
    /// The process was started without it.
    Unset,
    /// There is no such process any more, or it belongs to somebody else: why.
    Unreadable(String),
}

/// Never shows the value: whether it is a secret tells only its name.
impl std::fmt::Debug for Variable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Set(_) => f.write_str("Set(…)"),
            Self::Unset => f.write_str("Unset"),
            Self::Unreadable(why) => write!(f, "Unreadable({why:?})"),
        }
    }
}

/// The variable `name` as process `pid` was started with it: the first of that name, as the C library has it.
pub fn variable_of(pid: u32, name: &str) -> Variable {
    match environment(pid) {
        Ok(bytes) => bytes
            .split(|b| *b == 0)
            .find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
            .map_or(Variable::Unset, |value| {
                Variable::Set(String::from_utf8_lossy(value).into_owned())
            }),
        Err(error) => Variable::Unreadable(error.to_string()),
    }
}

fn environment(pid: u32) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(format!("/proc/{pid}/environ"))?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    if bytes.is_empty() {
        // One that has ended and is not yet waited for shows none, and no program either.
        std::fs::read_link(format!("/proc/{pid}/exe"))?;
    }
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_is_asked_for_what_it_was_started_with() {
        let mut child = Command::new("sleep")
            .arg("30")
            .env_clear()
            .env("FLAG", "a=b\nc")
            .env("FLAG_TWO", "")
            .spawn()
            .unwrap();
        let pid = child.id();
        let of = |name| variable_of(pid, name);
        // Until exec the child shows our own environment.
        while of("FLAG_TWO") == Variable::Unset {}
        assert_eq!(of("FLAG"), Variable::Set("a=b\nc".to_owned()));
        assert_eq!(of("FLAG_TWO"), Variable::Set(String::new()));
        assert_eq!(of("FLA"), Variable::Unset);
        assert_eq!(of("PATH"), Variable::Unset);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(matches!(of("FLAG"), Variable::Unreadable(_)));
    }
}
