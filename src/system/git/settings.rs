//! The git configuration as git itself reads it, each value with where it comes from.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use super::command::Call;
use super::{Git, GitError};

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The machine's or the user's files, or the caller's environment: may give orders.
    User,
    /// The repository's own files: text at most, never an order.
    Repository,
}

/// One value.
#[derive(Debug, Clone)]
struct Setting {
    origin: Origin,
    /// Section and variable in lower case, the subsection as it is.
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

/// Every value, in git's order: a later one wins.
#[derive(Debug, Default)]
pub(super) struct Settings(Vec<Setting>);

impl Settings {
    /// The last value of `key` from `origin`.
    pub(super) fn last(&self, key: &str, origin: Origin) -> Option<String> {
        let wanted = canonical(key);
        let setting =
            self.0.iter().rev().find(|s| s.origin == origin && s.key == wanted.as_bytes())?;
        // A key without a value means "true".
        let value = setting.value.as_deref().unwrap_or(b"true");
        String::from_utf8(value.to_owned()).ok()
    }

    /// Every value of the keys that `wanted` accepts, from the user's configuration, in order.
    pub(super) fn of_user(&self, wanted: impl Fn(&[u8]) -> bool) -> Vec<(OsString, OsString)> {
        self.0
            .iter()
            .filter(|s| s.origin == Origin::User && wanted(&s.key))
            .map(|s| {
                let value = s.value.clone().unwrap_or_else(|| b"true".to_vec());
                (OsString::from_vec(s.key.clone()), OsString::from_vec(value))
            })
            .collect()
    }

    /// The subsections of `section`, from anywhere, without repetition.
    pub(super) fn subsections(&self, section: &str) -> Vec<Vec<u8>> {
        let prefix = format!("{section}.");
        let mut found: Vec<Vec<u8>> = self
            .0
            .iter()
            .filter_map(|s| {
                let rest = s.key.strip_prefix(prefix.as_bytes())?;
                let dot = rest.iter().rposition(|b| *b == b'.')?;
                Some(rest[..dot].to_vec())
            })
            .collect();
        found.sort();
        found.dedup();
        found
    }
}

impl Git {
    /// A value of the user's or system's git configuration, never the repository's.
    pub fn user_setting(&self, key: &str) -> Option<String> {
        self.settings().ok()?.last(key, Origin::User)
    }

    /// Where a plain git looks for hooks here, and whether the repository's own configuration says so.
    /// gitroll runs none of them.
    pub fn hooks_dir(&self) -> (PathBuf, bool) {
        let settings = self.settings().ok();
        let said = |origin| settings.and_then(|s| s.last("core.hooksPath", origin));
        let (path, own) = match said(Origin::Repository) {
            Some(path) => (Some(path), true),
            None => (said(Origin::User), false),
        };
        match path {
            Some(path) => (self.top.join(path), own),
            None => (self.common_dir.join("hooks"), false),
        }
    }

    /// The version of the git command, as it says it: `2.47.3`.
    ///
    /// # Errors
    /// `Command` when it cannot be run.
    pub fn version(&self) -> Result<String, GitError> {
        let said = String::from_utf8_lossy(&Call::version(self).run_ok()?).into_owned();
        Ok(said.trim().trim_start_matches("git version ").to_owned())
    }

    /// The configuration, read once.
    pub(super) fn settings(&self) -> Result<&Settings, GitError> {
        if self.settings.get().is_none() {
            let listed = Call::listing(self).run_ok()?;
            let _ = self.settings.set(parse(&listed));
        }
        self.settings.get().ok_or_else(|| GitError::Command {
            verb: "config".to_owned(),
            problem: "its answer could not be kept".to_owned(),
        })
    }
}

/// Reads `git config --list --show-scope -z`: scope, key and value, NUL after scope and after value, a line
/// feed between key and value.
pub(super) fn parse(listed: &[u8]) -> Settings {
    let mut fields = listed.split(|b| *b == 0);
    let mut settings = Vec::new();
    while let (Some(scope), Some(entry)) = (fields.next(), fields.next()) {
        let origin = match scope {
            b"system" | b"global" | b"command" => Origin::User,
            _ => Origin::Repository,
        };
        let (key, value) = match entry.iter().position(|b| *b == b'\n') {
            Some(cut) => (&entry[..cut], Some(entry[cut + 1..].to_vec())),
            None => (entry, None),
        };
        settings.push(Setting { origin, key: key.to_vec(), value });
    }
    Settings(settings)
}

/// Section and variable in lower case, as git lists them.
fn canonical(key: &str) -> String {
    match (key.find('.'), key.rfind('.')) {
        (Some(first), Some(last)) => format!(
            "{}{}{}",
            key[..first].to_ascii_lowercase(),
            &key[first..last],
            key[last..].to_ascii_lowercase()
        ),
        _ => key.to_ascii_lowercase(),
    }
}

/// Whether `path` is one that the user declared safe although somebody else owns it.
pub(super) fn declared_safe(settings: &Settings, path: &std::path::Path) -> bool {
    let mut safe = false;
    for (_, value) in settings.of_user(|key| key == b"safe.directory") {
        let value = value.as_bytes();
        safe = match value {
            // An empty value takes back what was declared before it.
            b"" => false,
            b"*" => true,
            _ => match value.strip_suffix(b"/*") {
                Some(above) => {
                    safe || path
                        .as_os_str()
                        .as_bytes()
                        .strip_prefix(above)
                        .is_some_and(|rest| rest.starts_with(b"/"))
                }
                None => safe || path.as_os_str().as_bytes() == value,
            },
        };
    }
    safe
}

/// [`declared_safe`], asked of git outside of any repository.
pub(super) fn declared_safe_by_user(
    top: &std::path::Path,
    program: &std::path::Path,
    environment: &super::environment::Environment,
) -> bool {
    let mut command = std::process::Command::new(program);
    command
        .args(["config", "--list", "--show-scope", "-z"])
        .current_dir("/")
        .env_clear()
        .envs(environment.for_git())
        // A place that is no repository: only the user's and the system's files are read.
        .env("GIT_DIR", "/dev/null")
        .stdin(std::process::Stdio::null());
    let config = environment.configuration();
    command.env("GIT_CONFIG_COUNT", config.len().to_string());
    for (n, (key, value)) in config.iter().enumerate() {
        command.env(format!("GIT_CONFIG_KEY_{n}"), key);
        command.env(format!("GIT_CONFIG_VALUE_{n}"), value);
    }
    match command.output() {
        Ok(output) if output.status.success() => declared_safe(&parse(&output.stdout), top),
        _ => false,
    }
}
