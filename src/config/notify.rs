//! Who is told how runs go, whom a person calls, and where secrets of the team's own services are found.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// `[notify.NAME]`: a channel. It holds no secret, only where one is found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// The NAME.
    pub name: String,
    /// `kind`, with its keys.
    pub kind: ChannelKind,
    /// `events` it is told.
    pub events: BTreeSet<NotifyEvent>,
    /// `levels`: of acts this deep; all where empty.
    pub levels: BTreeSet<NotifyLevel>,
    /// `template` of the text.
    pub template: Option<String>,
}

/// `kind` of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelKind {
    /// An incoming webhook of Slack, or one that takes the same.
    Slack {
        /// `url`: it is a secret.
        url: ChannelUrl,
    },
    /// JSON to an address of the team's own.
    Webhook {
        /// `url`
        url: ChannelUrl,
        /// `secret` that signs the body.
        secret: Option<SecretSource>,
    },
    /// Events of PagerDuty, version 2.
    Pagerduty {
        /// `url`, by default PagerDuty's own.
        url: ChannelUrl,
        /// `key` of the integration.
        key: SecretSource,
        /// `severity` of the page.
        severity: PageSeverity,
    },
    /// The API of an Alertmanager, version 2.
    Alertmanager {
        /// `url`, without `/api/v2/alerts`.
        url: ChannelUrl,
        /// `token` it asks for.
        token: Option<SecretSource>,
        /// `severity` label of the alert.
        severity: PageSeverity,
    },
    /// Electronic mail.
    Smtp(Mail),
    /// A command that gets the message as JSON on its input.
    Command {
        /// `run`
        run: Vec<String>,
    },
}

impl ChannelKind {
    /// As the file spells it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Slack { .. } => "slack",
            Self::Webhook { .. } => "webhook",
            Self::Pagerduty { .. } => "pagerduty",
            Self::Alertmanager { .. } => "alertmanager",
            Self::Smtp(_) => "smtp",
            Self::Command { .. } => "command",
        }
    }

    /// Whether it holds an alert that is opened, and closed again.
    pub fn pages(&self) -> bool {
        matches!(self, Self::Pagerduty { .. } | Self::Alertmanager { .. })
    }

    /// Where its secrets are found.
    pub fn secrets(&self) -> Vec<&SecretSource> {
        fn secret(url: &ChannelUrl) -> Option<&SecretSource> {
            match url {
                ChannelUrl::Secret(source) => Some(source),
                ChannelUrl::Plain(_) => None,
            }
        }
        match self {
            Self::Slack { url } => secret(url).into_iter().collect(),
            Self::Webhook { url, secret: signs } => secret(url).into_iter().chain(signs).collect(),
            Self::Pagerduty { url, key, .. } => secret(url).into_iter().chain([key]).collect(),
            Self::Alertmanager { url, token, .. } => secret(url).into_iter().chain(token).collect(),
            Self::Smtp(mail) => mail.login.iter().map(|(_, password)| password).collect(),
            Self::Command { .. } => Vec::new(),
        }
    }
}

/// `kind = "smtp"`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// `server`, with its port; `sendmail` for the host's own program.
    pub server: MailServer,
    /// `user` and `password`.
    pub login: Option<(String, SecretSource)>,
    /// `from`
    pub from: String,
    /// `to`
    pub to: Vec<String>,
}

/// Who takes mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MailServer {
    /// `sendmail -t` of this host.
    Sendmail,
    /// A server.
    Host {
        /// Its name.
        host: String,
        /// Its port.
        port: u16,
        /// `tls`
        tls: MailTls,
    },
}

/// `tls` of a mail server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MailTls {
    /// `starttls`: the connection becomes secure before anything is said; the default.
    Starttls,
    /// `tls`: it is secure from the start, as on port 465.
    Tls,
    /// `none`: for a server on this host.
    None,
}

/// `severity` of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PageSeverity {
    /// `critical`, the default.
    Critical,
    /// `error`
    Error,
    /// `warning`
    Warning,
    /// `info`
    Info,
}

impl PageSeverity {
    /// As PagerDuty and Prometheus spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// What a channel may be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotifyEvent {
    /// A run begins to change what serves.
    Started,
    /// What was asked for was observed serving.
    Done,
    /// It failed, and what served before serves, or nothing was changed.
    Failed,
    /// A person is needed.
    NeedsPerson,
    /// `gitroll watch` is about to act by itself.
    Announced,
}

impl NotifyEvent {
    /// All, as the file spells them.
    pub const WORDS: [(&'static str, NotifyEvent); 5] = [
        ("started", NotifyEvent::Started),
        ("done", NotifyEvent::Done),
        ("failed", NotifyEvent::Failed),
        ("needs-person", NotifyEvent::NeedsPerson),
        ("announced", NotifyEvent::Announced),
    ];
}

/// How deep an act cuts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NotifyLevel {
    /// Flags only.
    Flags,
    /// Code.
    Code,
    /// Code and data.
    Full,
}

/// Where a channel is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChannelUrl {
    /// It stands in the file, for it is no secret.
    Plain(String),
    /// It is a secret.
    Secret(SecretSource),
}

impl ChannelUrl {
    /// The address.
    ///
    /// # Errors
    /// Why its secret cannot be read, in words.
    pub fn read(&self) -> Result<String, String> {
        match self {
            Self::Plain(url) => Ok(url.clone()),
            Self::Secret(source) => source.read(),
        }
    }
}

/// Where a secret is found. Never the secret itself: the file is in the repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretSource {
    /// `{ env = NAME }`: a variable of whoever runs gitroll.
    Env(String),
    /// `{ file = PATH }`: a file on the host that others cannot read.
    File(PathBuf),
}

/// The largest file that holds a secret.
const MOST_SECRET: u64 = 64 * 1024;

impl SecretSource {
    /// The secret itself.
    ///
    /// # Errors
    /// Why it cannot be read, in words.
    pub fn read(&self) -> Result<String, String> {
        let text = match self {
            Self::Env(name) => std::env::var(name).map_err(|_| {
                format!(
                    "the variable {name} is not set for whoever runs gitroll: set it, or keep the \
                     secret in a file"
                )
            })?,
            Self::File(path) => {
                secret_file(path).map_err(|why| format!("{}: {why}", path.display()))?
            }
        };
        let text = text.trim();
        if text.is_empty() || text.chars().any(|c| c.is_control() || !c.is_ascii()) {
            return Err("is empty, or not one line of ASCII".to_owned());
        }
        Ok(text.to_owned())
    }
}

fn secret_file(path: &Path) -> Result<String, String> {
    // A fifo must not make us wait.
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOFOLLOW;
    let opened =
        std::fs::OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = opened.map_err(|error| error.to_string())?;
    let meta = file.metadata().map_err(|error| error.to_string())?;
    if !meta.is_file() {
        return Err("is not a regular file".to_owned());
    }
    if meta.mode() & 0o007 != 0 {
        return Err(format!("others can read it (mode {:o}): chmod o= it", meta.mode() & 0o777));
    }
    let mut text = String::new();
    let read = file.take(MOST_SECRET + 1).read_to_string(&mut text);
    read.map_err(|error| error.to_string())?;
    if text.len() as u64 > MOST_SECRET {
        return Err("is larger than 64 KiB".to_owned());
    }
    Ok(text)
}

/// `[contacts]`: a person to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// The role, e.g. `database`.
    pub role: String,
    /// Who, and how to reach them.
    pub who: String,
    /// `within`: how soon they answer.
    pub within: Option<Duration>,
}

/// `[links]`: pages that help, by name.
pub type Links = BTreeMap<String, String>;
