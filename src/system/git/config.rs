//! The git configuration as git itself reads it, each value with where it comes from, and the part of the
//! caller's environment that git may see.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// Variables every git command needs or that name the user's own configuration.
const ALWAYS: [&str; 8] = [
    "PATH",
    "HOME",
    "XDG_CONFIG_HOME",
    "TMPDIR",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_SYSTEM",
    "GIT_CONFIG_NOSYSTEM",
    "GITROLL_RUN",
];

/// Variables that only commands which reach a remote may see.
const NETWORK: [&str; 17] = [
    "SSH_AUTH_SOCK",
    "GIT_ASKPASS",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_SSL_NO_VERIFY",
    "USER",
    "LOGNAME",
];

const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A snapshot of environment variables, taken once when the repository is opened.
#[derive(Debug, Clone, Default)]
pub(super) struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// This process's environment.
    pub(super) fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// Exactly these variables.
    #[cfg(test)]
    pub(super) fn with(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        Self(variables.into_iter().collect())
    }

    /// A variable that is set and not empty.
    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.0.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// A variable that is set, not empty, and text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(OsStr::to_str)
    }

    /// What every git command gets.
    pub(super) fn for_git(&self) -> BTreeMap<OsString, OsString> {
        let mut env = self.pick(&ALWAYS);
        env.entry("PATH".into()).or_insert_with(|| DEFAULT_PATH.into());
        env
    }

    /// What a git command gets in addition when it reaches a remote.
    pub(super) fn for_network(&self) -> BTreeMap<OsString, OsString> {
        self.pick(&NETWORK)
    }

    /// Configuration the caller passes in the environment (`GIT_CONFIG_COUNT`), in order: the caller's own
    /// word, as good as the user's configuration file.
    pub(super) fn configuration(&self) -> Vec<(OsString, OsString)> {
        let count = self.text("GIT_CONFIG_COUNT").and_then(|n| n.parse::<usize>().ok());
        (0..count.unwrap_or(0).min(1000))
            .filter_map(|n| {
                let key = self.get(&format!("GIT_CONFIG_KEY_{n}"))?;
                let value = self.0.get(OsStr::new(&format!("GIT_CONFIG_VALUE_{n}")))?;
                Some((key.to_owned(), value.clone()))
            })
            .collect()
    }

    fn pick(&self, names: &[&str]) -> BTreeMap<OsString, OsString> {
        names
            .iter()
            .filter_map(|name| Some((OsString::from(name), self.get(name)?.to_owned())))
            .collect()
    }
}

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
        self.of(Origin::User, wanted)
    }

    /// Every value of the keys that `wanted` accepts from `origin`, in order.
    pub(super) fn of(
        &self,
        origin: Origin,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Vec<(OsString, OsString)> {
        self.0
            .iter()
            .filter(|s| s.origin == origin && wanted(&s.key))
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

/// Sets the variables by which git takes settings from its environment.
pub(super) fn hand_over(config: Vec<(OsString, OsString)>, env: &mut BTreeMap<OsString, OsString>) {
    env.insert("GIT_CONFIG_COUNT".into(), config.len().to_string().into());
    for (n, (key, value)) in config.into_iter().enumerate() {
        env.insert(format!("GIT_CONFIG_KEY_{n}").into(), key);
        env.insert(format!("GIT_CONFIG_VALUE_{n}").into(), value);
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

/// Whether `path` is one that the user declared safe although someone else owns it.
pub(super) fn declared_safe(settings: &Settings, path: &Path) -> bool {
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
