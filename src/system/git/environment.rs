//! The part of the caller's environment that git may see.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

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
