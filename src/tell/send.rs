//! The channels: how each is told, within [`LIMIT`], and what it answered.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{SmtpTransport, Transport as _};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::message::{Markup, Message};
use crate::check::{HttpRequest, ask};
use crate::config::{
    Channel, ChannelKind, ChannelUrl, Mail, MailServer, MailTls, NotifyEvent, PageSeverity,
    SecretSource,
};
use crate::model::Redactor;
use crate::system::process::Invocation;
use crate::system::text::escape;

/// How long one channel may take for one message.
pub const LIMIT: Duration = Duration::from_secs(5);

/// So much of an answer is read.
const MOST_ANSWER: u64 = 64 * 1024;

/// So many characters of an answer are kept.
const MOST_TOLD: usize = 300;

/// So long an alert lasts where nobody ends it.
const ALERT: SignedDuration = SignedDuration::from_hours(24);

/// What a message is to a channel that holds an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delivery {
    /// One message of its own.
    Message,
    /// It opens the alert.
    Trigger,
    /// Someone is at it.
    Acknowledge,
    /// It is over.
    Resolve,
}

/// Tells a channel, and what it answered. `dir` and `env` are those of a command.
///
/// # Errors
/// Why it is not there, without any secret.
pub fn deliver(
    channel: &Channel,
    message: &Message,
    delivery: Delivery,
    (dir, env): (&Path, &BTreeMap<OsString, OsString>),
) -> Result<String, String> {
    let began = Instant::now();
    let told = Telling { channel, message, delivery };
    // Whatever is said of a failure, none of its secrets is.
    let secrets: Vec<String> =
        channel.kind.secrets().into_iter().filter_map(|source| source.read().ok()).collect();
    let redactor = Redactor::new(secrets.iter().map(|secret| ("SECRET", secret.as_str())));
    let answer = match &channel.kind {
        ChannelKind::Slack { url } => told.slack(url),
        ChannelKind::Webhook { url, secret } => told.webhook(url, secret.as_ref()),
        ChannelKind::Pagerduty { url, key, severity } => told.pagerduty(url, key, *severity),
        ChannelKind::Alertmanager { url, token, severity } => {
            told.alertmanager(url, token.as_ref(), *severity)
        }
        ChannelKind::Smtp(mail) => told.mail(mail, (dir, env)),
        ChannelKind::Command { run } => told.command(run, (dir, env)),
    };
    let kind = channel.kind.as_str();
    let millis = began.elapsed().as_millis();
    tracing::debug!("notify {} ({kind}): {}, {millis} ms", channel.name, answer.is_ok());
    let fit = |text: String| escape(&redactor.text(&text)).chars().take(MOST_TOLD).collect();
    answer.map(fit).map_err(fit)
}

struct Telling<'a> {
    channel: &'a Channel,
    message: &'a Message,
    delivery: Delivery,
}

impl Telling<'_> {
    fn text(&self, into: Markup) -> Result<String, String> {
        let template = self.channel.template.as_deref();
        self.message.text(template, into).map_err(|error| format!("its template: {error}"))
    }

    fn slack(&self, url: &ChannelUrl) -> Result<String, String> {
        post(
            &url.read()?,
            None,
            Vec::new(),
            json!({ "text": self.text(Markup::Chat)? }).to_string(),
        )
    }

    fn webhook(&self, url: &ChannelUrl, secret: Option<&SecretSource>) -> Result<String, String> {
        let body = match &self.channel.template {
            Some(_) => self.text(Markup::Json)?,
            None => self.json(),
        };
        let mut headers = vec![("X-Gitroll-Event".to_owned(), self.message.event.clone())];
        if let Some(secret) = secret {
            let signature = hmac_sha256(secret.read()?.as_bytes(), body.as_bytes());
            headers.push(("X-Gitroll-Signature".to_owned(), format!("sha256={signature}")));
        }
        post(&url.read()?, None, headers, body)
    }

    fn json(&self) -> String {
        serde_json::to_string(self.message).unwrap_or_default()
    }

    fn pagerduty(
        &self,
        url: &ChannelUrl,
        key: &SecretSource,
        severity: PageSeverity,
    ) -> Result<String, String> {
        let message = self.message;
        let action = match self.delivery {
            Delivery::Message | Delivery::Trigger => "trigger",
            Delivery::Acknowledge => "acknowledge",
            Delivery::Resolve => "resolve",
        };
        let mut body = json!({
            "routing_key": key.read()?, "event_action": action, "dedup_key": message.alert(),
        });
        if action == "trigger" {
            let summary: String = message.line().chars().take(1024).collect();
            body["payload"] = json!({
                "summary": summary, "source": message.host, "severity": severity.as_str(),
                "timestamp": message.at, "component": message.app, "group": message.environment,
                "custom_details": { "text": self.text(Markup::Plain)? },
            });
            body["client"] = "gitroll".into();
            let link = |link: &super::Link| json!({ "href": link.url, "text": link.name });
            body["links"] = message.links.iter().map(link).collect::<Vec<Value>>().into();
        }
        post(&url.read()?, None, Vec::new(), body.to_string())
    }

    fn alertmanager(
        &self,
        url: &ChannelUrl,
        token: Option<&SecretSource>,
        severity: PageSeverity,
    ) -> Result<String, String> {
        if self.delivery == Delivery::Acknowledge {
            return Ok("nothing to tell: an Alertmanager knows no acknowledgement".to_owned());
        }
        let message = self.message;
        let ends = match self.delivery {
            Delivery::Resolve => message.at,
            _ => message.at.saturating_add(ALERT).unwrap_or(Timestamp::MAX),
        };
        let mut annotations = json!({
            "summary": message.line(), "description": self.text(Markup::Plain)?,
        });
        for link in &message.links {
            annotations[format!("{}_url", link.name)] = link.url.clone().into();
        }
        let mut alert = json!({
            "labels": {
                "alertname": "GitrollNeedsPerson", "app": message.app, "severity": severity.as_str(),
                "environment": message.environment, "instance": message.host,
            },
            "annotations": annotations, "endsAt": ends,
        });
        if self.delivery != Delivery::Resolve {
            alert["startsAt"] = json!(message.at);
        }
        let url = format!("{}/api/v2/alerts", url.read()?.trim_end_matches('/'));
        let token = token.map(SecretSource::read).transpose()?;
        post(&url, token.as_deref(), Vec::new(), json!([alert]).to_string())
    }

    fn mail(
        &self,
        mail: &Mail,
        surroundings: (&Path, &BTreeMap<OsString, OsString>),
    ) -> Result<String, String> {
        let address = |text: &String| text.parse::<Mailbox>().map_err(|error| error.to_string());
        let host = "gitroll.invalid";
        let mut letter: MessageBuilder = lettre::Message::builder()
            .from(address(&mail.from)?)
            .message_id(Some(format!("<{}@{host}>", self.message.id)))
            .subject(self.message.line());
        for to in &mail.to {
            letter = letter.to(address(to)?);
        }
        let letter = letter
            .header(ContentType::TEXT_PLAIN)
            .body(self.text(Markup::Plain)?)
            .map_err(|error| error.to_string())?;
        let MailServer::Host { host, port, tls } = &mail.server else {
            let run = ["/usr/sbin/sendmail", "-i", "-t"].map(str::to_owned);
            return command(&run, surroundings, letter.formatted());
        };
        let secure = || TlsParameters::new(host.clone()).map_err(|error| deepest(&error));
        let tls = match tls {
            MailTls::Starttls => Tls::Required(secure()?),
            MailTls::Tls => Tls::Wrapper(secure()?),
            MailTls::None => Tls::None,
        };
        let mut server =
            SmtpTransport::builder_dangerous(host).port(*port).tls(tls).timeout(Some(LIMIT));
        if let Some((user, password)) = &mail.login {
            server = server.credentials(Credentials::new(user.clone(), password.read()?));
        }
        let answer = server.build().send(&letter).map_err(|error| deepest(&error))?;
        let line = answer.first_line().unwrap_or_default().to_owned();
        Ok(format!("{} {line}", answer.code()))
    }

    fn command(
        &self,
        run: &[String],
        surroundings: (&Path, &BTreeMap<OsString, OsString>),
    ) -> Result<String, String> {
        let input = match &self.channel.template {
            Some(_) => self.text(Markup::Plain)?,
            None => self.json(),
        };
        command(run, surroundings, input.into_bytes())
    }
}

fn post(
    url: &str,
    bearer: Option<&str>,
    mut headers: Vec<(String, String)>,
    body: String,
) -> Result<String, String> {
    headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
    let request = HttpRequest {
        method: "POST",
        url,
        headers,
        bearer,
        body: Some(body),
        limit: LIMIT,
        max_bytes: MOST_ANSWER,
    };
    let reply = ask(&request)?;
    let said = String::from_utf8_lossy(&reply.body).trim().to_owned();
    match reply.status {
        200..=299 => Ok(reply.status.to_string()),
        300..=399 => Err(format!("answered {}, which is not followed", reply.status)),
        status if said.is_empty() => Err(format!("answered {status}")),
        status => Err(format!("answered {status}: {said}")),
    }
}

fn command(
    run: &[String],
    (dir, env): (&Path, &BTreeMap<OsString, OsString>),
    input: Vec<u8>,
) -> Result<String, String> {
    let Some((program, args)) = run.split_first() else { return Err("no command".to_owned()) };
    let invocation = Invocation {
        args: args.iter().map(OsString::from).collect(),
        env: env.clone(),
        input: Some(input),
        limit: LIMIT,
        ..Invocation::new(Path::new(program), dir)
    };
    let finished = invocation.run().map_err(|error| error.to_string())?;
    match finished.problem(LIMIT) {
        None => Ok("exit 0".to_owned()),
        Some(problem) => {
            let said = String::from_utf8_lossy(&finished.stderr).trim().to_owned();
            Err(if said.is_empty() { problem } else { format!("{problem}: {said}") })
        }
    }
}

/// What lies at the bottom of an error of sending mail.
fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text = error.to_string();
        next = error.source();
    }
    text
}

/// HMAC-SHA256 (RFC 2104), in hex digits.
fn hmac_sha256(key: &[u8], text: &[u8]) -> String {
    const BLOCK: usize = 64;
    let mut padded = [0_u8; BLOCK];
    if key.len() > BLOCK {
        padded[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        padded[..key.len()].copy_from_slice(key);
    }
    let inner = Sha256::new().chain_update(padded.map(|byte| byte ^ 0x36)).chain_update(text);
    let outer = Sha256::new().chain_update(padded.map(|byte| byte ^ 0x5c));
    let digest = outer.chain_update(inner.finalize()).finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How a message goes to a channel that holds an alert, which is open or not; `None`: not at all. An alert ends when
/// something healthy `serves`.
pub(super) fn delivery(event: Option<NotifyEvent>, open: bool, serves: bool) -> Option<Delivery> {
    match event? {
        NotifyEvent::NeedsPerson | NotifyEvent::Announced => Some(Delivery::Trigger),
        NotifyEvent::Started if open => Some(Delivery::Acknowledge),
        NotifyEvent::Done | NotifyEvent::Failed if open && serves => Some(Delivery::Resolve),
        NotifyEvent::Started | NotifyEvent::Done | NotifyEvent::Failed => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_signed_as_rfc_4231_has_it() {
        let known = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hmac_sha256(b"Jefe", b"what do ya want for nothing?"), known);
        let known = "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54";
        let text = b"Test Using Larger Than Block-Size Key - Hash Key First";
        assert_eq!(hmac_sha256(&[0xaa; 131], text), known);
    }

    #[test]
    fn an_alert_is_opened_taken_up_and_closed() {
        use NotifyEvent::{Announced, Done, Failed, NeedsPerson, Started};
        let table = [
            (Some(NeedsPerson), false, false, Some(Delivery::Trigger)),
            (Some(NeedsPerson), true, false, Some(Delivery::Trigger)),
            (Some(Announced), false, false, Some(Delivery::Trigger)),
            (Some(Started), true, false, Some(Delivery::Acknowledge)),
            (Some(Started), false, false, None),
            (Some(Done), true, true, Some(Delivery::Resolve)),
            (Some(Failed), true, true, Some(Delivery::Resolve)),
            (Some(Failed), true, false, None),
            (Some(Done), false, true, None),
            (None, true, true, None),
        ];
        for (event, open, serves, wanted) in table {
            assert_eq!(delivery(event, open, serves), wanted, "{event:?} {open} {serves}");
        }
    }
}
