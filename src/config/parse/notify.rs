//! `[notify.NAME]`, `[contacts]` and `[links]`.

use std::collections::BTreeSet;
use std::time::Duration;

use minijinja::Environment;
use toml::de::DeValue;

use super::check::is_url;
use super::value;
use crate::config::notify::{
    Channel, ChannelKind, ChannelUrl, Contact, Links, Mail, MailServer, MailTls, NotifyEvent,
    NotifyLevel, PageSeverity, SecretSource,
};
use crate::config::quote::quoted;
use crate::config::reader::{Item, Table, all, or};

const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";

/// The channel that `run` of `[notify]` itself makes.
const OF_RUN: &str = "run";

const LEVELS: [(&str, NotifyLevel); 3] =
    [("flags", NotifyLevel::Flags), ("code", NotifyLevel::Code), ("full", NotifyLevel::Full)];

#[derive(Clone, Copy)]
enum Kind {
    Slack,
    Webhook,
    Pagerduty,
    Alertmanager,
    Smtp,
    Command,
}

const KINDS: [(&str, Kind); 6] = [
    ("slack", Kind::Slack),
    ("webhook", Kind::Webhook),
    ("pagerduty", Kind::Pagerduty),
    ("alertmanager", Kind::Alertmanager),
    ("smtp", Kind::Smtp),
    ("command", Kind::Command),
];

pub(super) fn channels(root: &Table<'_>) -> Option<Vec<Channel>> {
    let Some(item) = root.get("notify") else { return Some(Vec::new()) };
    let table = item.table("[notify]")?;
    table.at_most(20)?;
    let named = table.named();
    if named.is_empty() {
        table.add("[notify] needs a channel: write [notify.NAME]");
        return None;
    }
    let read = named.iter().map(|(name, item)| match item.value() {
        DeValue::Array(_) if *name == OF_RUN => of_run(item),
        _ => channel(name, item),
    });
    all(read.collect::<Vec<_>>())
}

/// `[notify] run = […]`: a command that is told everything.
fn of_run(item: &Item<'_>) -> Option<Channel> {
    let run = value::command(item)?;
    Some(Channel {
        name: OF_RUN.to_owned(),
        kind: ChannelKind::Command { run },
        events: NotifyEvent::WORDS.iter().map(|(_, event)| *event).collect(),
        levels: BTreeSet::new(),
        template: None,
    })
}

fn channel(name: &str, item: &Item<'_>) -> Option<Channel> {
    let table = item.table(format!("[notify.{name}]"))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let named = (1..=64).contains(&name.len()) && name.chars().all(plain);
    if !named {
        table.add(format!("{} is not a valid name: letters, digits, - _ .", quoted(name)));
    }
    // The keys of an unknown kind cannot be judged.
    let asked = table.need("kind").and_then(|item| item.word(&KINDS))?;
    let kind =
        match asked {
            Kind::Slack => table
                .need("url")
                .and_then(|item| secret_url(&item))
                .map(|url| ChannelKind::Slack { url }),
            Kind::Webhook => {
                let url = table.need("url").and_then(|item| url(&item));
                let secret = secret(&table, "secret");
                url.zip(secret).map(|(url, secret)| ChannelKind::Webhook { url, secret })
            }
            Kind::Pagerduty => {
                let usual = || ChannelUrl::Plain(PAGERDUTY.to_owned());
                let url = or(table.get("url"), usual, |item| url(&item));
                let key = table.need("key").and_then(|item| value::secret_source(&item));
                let severity = severity(&table);
                url.zip(key).zip(severity).map(|((url, key), severity)| ChannelKind::Pagerduty {
                    url,
                    key,
                    severity,
                })
            }
            Kind::Alertmanager => {
                let url = table.need("url").and_then(|item| url(&item));
                let token = secret(&table, "token");
                let severity = severity(&table);
                url.zip(token).zip(severity).map(|((url, token), severity)| {
                    ChannelKind::Alertmanager { url, token, severity }
                })
            }
            Kind::Smtp => mail(&table).map(ChannelKind::Smtp),
            Kind::Command => table
                .need("run")
                .and_then(|item| value::command(&item))
                .map(|run| ChannelKind::Command { run }),
        };
    let pages = matches!(asked, Kind::Pagerduty | Kind::Alertmanager);
    let events = events(&table, pages);
    let levels = or(table.get("levels"), BTreeSet::new, |item| {
        let elements = item.elements("an array of levels such as [\"code\"]")?;
        all(elements.iter().map(|element| element.word(&LEVELS))).map(BTreeSet::from_iter)
    });
    let template = or(table.get("template"), || None, |item| template(&item).map(Some));
    table.finish();
    let name = named.then(|| name.to_owned());
    Some(Channel {
        name: name?,
        kind: kind?,
        events: events?,
        levels: levels?,
        template: template?,
    })
}

/// A page is about a person being needed, and ends when none is any more: nothing else can be chosen.
fn events(table: &Table<'_>, pages: bool) -> Option<BTreeSet<NotifyEvent>> {
    let usual = || match pages {
        true => BTreeSet::from([NotifyEvent::NeedsPerson]),
        false => [
            NotifyEvent::Done,
            NotifyEvent::Failed,
            NotifyEvent::NeedsPerson,
            NotifyEvent::Announced,
        ]
        .into(),
    };
    let Some(item) = table.get("events") else { return Some(usual()) };
    if pages {
        item.add("cannot be chosen: it pages when a person is needed, and ends that by itself");
        return None;
    }
    let elements = item.elements("an array of events such as [\"failed\", \"needs-person\"]")?;
    if elements.is_empty() {
        item.add("is empty: name an event, or leave it out");
        return None;
    }
    all(elements.iter().map(|element| element.word(&NotifyEvent::WORDS))).map(BTreeSet::from_iter)
}

fn severity(table: &Table<'_>) -> Option<PageSeverity> {
    let words = [
        ("critical", PageSeverity::Critical),
        ("error", PageSeverity::Error),
        ("warning", PageSeverity::Warning),
        ("info", PageSeverity::Info),
    ];
    or(table.get("severity"), || PageSeverity::Critical, |item| item.word(&words))
}

fn secret(table: &Table<'_>, key: &'static str) -> Option<Option<SecretSource>> {
    or(table.get(key), || None, |item| value::secret_source(&item).map(Some))
}

/// An address that is a secret: whoever knows it may write there.
fn secret_url(item: &Item<'_>) -> Option<ChannelUrl> {
    if item.value().is_str() {
        item.add(
            "must name where the address is written, { env = \"NAME\" } or { file = \"/full/path\" }: \
             everyone who can read the repository could write to the channel",
        );
        return None;
    }
    value::secret_source(item).map(ChannelUrl::Secret)
}

fn url(item: &Item<'_>) -> Option<ChannelUrl> {
    let Some(text) = item.value().as_str() else {
        return value::secret_source(item).map(ChannelUrl::Secret);
    };
    is_url(item, text)?;
    let secret = reqwest::Url::parse(text).is_ok_and(|url| {
        url.password().is_some() || !url.username().is_empty() || url.query().is_some()
    });
    if secret {
        item.add("may hold a secret: write { env = \"NAME\" } or { file = \"/full/path\" }");
        return None;
    }
    Some(ChannelUrl::Plain(text.to_owned()))
}

fn mail(table: &Table<'_>) -> Option<Mail> {
    let words = [("starttls", MailTls::Starttls), ("tls", MailTls::Tls), ("none", MailTls::None)];
    let tls = or(table.get("tls"), || MailTls::Starttls, |item| item.word(&words));
    let server = table.need("server").and_then(|item| server(&item, tls?));
    let user = or(table.get("user"), || None, |item| item.line().map(|user| Some(user.to_owned())));
    let password = secret(table, "password");
    let from = table.need("from").and_then(|item| address(&item));
    let to = table.need("to").and_then(|item| {
        let elements = item.elements("an array of addresses")?;
        if elements.is_empty() || elements.len() > 20 {
            item.add("must name 1 to 20 addresses");
            return None;
        }
        all(elements.iter().map(address))
    });
    let login = match (user?, password?) {
        (Some(user), Some(password)) => Some((user, password)),
        (None, None) => None,
        _ => {
            table.add("user and password belong together");
            return None;
        }
    };
    let mail = Mail { server: server?, login, from: from?, to: to? };
    let insecure = matches!(&mail.server, MailServer::Host { tls: MailTls::None, .. });
    if insecure && mail.login.is_some() {
        table.add("tls = \"none\" would send the password for everyone to read");
        return None;
    }
    Some(mail)
}

/// `mail.example.com:587`, `[::1]:25`, `sendmail`.
fn server(item: &Item<'_>, tls: MailTls) -> Option<MailServer> {
    let text = item.line()?;
    if text == "sendmail" {
        return Some(MailServer::Sendmail);
    }
    let parts = text.rsplit_once(':').and_then(|(host, port)| {
        let port = port.parse::<u16>().ok().filter(|port| *port > 0)?;
        let host = host.trim_matches(['[', ']']);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':' | '_');
        (!host.is_empty() && host.chars().all(plain)).then(|| (host.to_owned(), port))
    });
    match parts {
        Some((host, port)) => Some(MailServer::Host { host, port, tls }),
        None => {
            item.add(
                "write a server with its port, such as \"mail.example.com:587\", or \"sendmail\"",
            );
            None
        }
    }
}

fn address(item: &Item<'_>) -> Option<String> {
    let text = item.line()?;
    if text.parse::<lettre::message::Mailbox>().is_err() {
        item.add(format_args!("{} is not a mail address", quoted(text)));
        return None;
    }
    Some(text.to_owned())
}

fn template(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    if text.len() > 16 * 1024 {
        item.add("is longer than 16 KiB");
        return None;
    }
    if let Err(error) = Environment::new().template_from_str(text) {
        item.add(format_args!("is not a template: {error}"));
        return None;
    }
    Some(text.to_owned())
}

pub(super) fn contacts(root: &Table<'_>) -> Option<Vec<Contact>> {
    let Some(item) = root.get("contacts") else { return Some(Vec::new()) };
    let table = item.table("[contacts]")?;
    table.at_most(50)?;
    all(table.named().iter().map(|(role, item)| contact(role, item)).collect::<Vec<_>>())
}

fn contact(role: &str, item: &Item<'_>) -> Option<Contact> {
    if role.is_empty() || role.chars().any(char::is_control) {
        item.add("the role is not a name");
        return None;
    }
    let role = role.to_owned();
    if item.value().is_str() {
        return Some(Contact { role, who: item.line()?.to_owned(), within: None });
    }
    let table = item.table(format!("[contacts.{role}]"))?;
    let who = table.need("who").and_then(|item| item.line().map(str::to_owned));
    let range = Duration::from_secs(60)..=Duration::from_secs(7 * 24 * 60 * 60);
    let within = or(table.get("within"), || None, |item| item.duration(range).map(Some));
    table.finish();
    Some(Contact { role, who: who?, within: within? })
}

pub(super) fn links(root: &Table<'_>) -> Option<Links> {
    let Some(item) = root.get("links") else { return Some(Links::new()) };
    let table = item.table("[links]")?;
    table.at_most(50)?;
    let links = table.named().into_iter().map(|(name, item)| {
        let text = item.line()?;
        is_url(&item, text)?;
        Some((name.to_owned(), text.to_owned()))
    });
    all(links.collect::<Vec<_>>()).map(Links::from_iter)
}
