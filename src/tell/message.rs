//! What a message says, as data and as text.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use minijinja::value::Value;
use minijinja::{Environment, Error};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::NotifyEvent;
use crate::system::text::escape;

/// One message. Everything in it had its secrets taken out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// Version of this format: 1.
    pub message: u32,
    /// Its own id.
    pub id: String,
    /// When what it tells happened.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// `started`, `done`, `failed`, `needs-person`, `announced`, `test`.
    pub event: String,
    /// `info`, `warning`, `critical`.
    pub severity: String,
    /// The app.
    pub app: String,
    /// The environment.
    pub environment: String,
    /// The host.
    pub host: String,
    /// The act: `deploy`, `back`, `component`, `flags`.
    pub act: String,
    /// How deep it cuts: `flags`, `code`, `full`.
    pub level: String,
    /// What served before.
    pub from: String,
    /// What was meant to serve.
    pub to: String,
    /// What happened, in a sentence.
    pub summary: String,
    /// Why.
    pub why: Option<String>,
    /// More that a person has to know, a line each.
    pub notes: Vec<String>,
    /// Why a person did it.
    pub reason: Option<String>,
    /// Who acted.
    pub who: String,
    /// The incident that is open.
    #[serde(default)]
    pub incident: Option<String>,
    /// The commands to run next.
    pub next: Vec<NextCommand>,
    /// The run.
    pub run: Option<String>,
    /// The record of it.
    pub record: Option<String>,
    /// How long it took, in milliseconds.
    pub took_millis: Option<u64>,
    /// Whom to call; only where a person is needed.
    pub contacts: Vec<Person>,
    /// Pages that help.
    pub links: Vec<Link>,
    /// It arrives late: so many seconds after what it tells.
    pub delayed_seconds: Option<u64>,
}

/// A command to run next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NextCommand {
    /// The command.
    pub command: String,
    /// What it does.
    pub what: String,
}

/// Someone to call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Person {
    /// The role.
    pub role: String,
    /// Who, and how to reach them.
    pub who: String,
    /// How soon they answer.
    pub within_seconds: Option<u64>,
}

/// A page that helps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Its address.
    pub url: String,
}

/// How values are written into a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Markup {
    /// A plain text.
    Plain,
    /// A text that a chat reads as markup: nothing in a value is markup or calls anyone.
    Chat,
    /// The inside of a JSON string.
    Json,
}

const TEXT: &str = include_str!("../../templates/messages/text.jinja");

/// A text is never longer.
const MOST: usize = 8 * 1024;

impl Message {
    /// The version of the format this program writes.
    pub const VERSION: u32 = 1;

    /// What it is about, as a channel chooses it; `None` for a test.
    pub fn happened(&self) -> Option<NotifyEvent> {
        let known = NotifyEvent::WORDS.into_iter().find(|(word, _)| *word == self.event);
        known.map(|(_, event)| event)
    }

    /// What one alert is known by, whoever opens and closes it.
    pub fn alert(&self) -> String {
        format!("gitroll/{}/{}/{}", self.app, self.environment, self.host)
    }

    /// In one line.
    pub fn line(&self) -> String {
        let Self { app, environment, host, summary, .. } = self;
        escape(&format!("{app} · {environment} · {host}: {summary}"))
    }

    /// The text of it, by a template or the usual one.
    ///
    /// # Errors
    /// What is wrong with the template.
    pub(super) fn text(&self, template: Option<&str>, into: Markup) -> Result<String, Error> {
        let mut environment = Environment::new();
        environment.set_formatter(move |out, state, value| match value.as_str() {
            Some(text) => out.write_str(&written(text, into)).map_err(Error::from),
            None => minijinja::escape_formatter(out, state, value),
        });
        let sign = match self.event.as_str() {
            "done" => "✓",
            "started" => "→",
            "failed" => "↩",
            "needs-person" => "✗",
            "announced" => "!",
            _ => "·",
        };
        let clock = self.at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %Z");
        let more = minijinja::context! {
            sign, clock => clock.to_string(), delayed => self.delayed_seconds.is_some(),
        };
        let context = minijinja::context! { ..more, ..Value::from_serialize(self) };
        let text = environment.render_str(template.unwrap_or(TEXT), context)?;
        let text = text.trim_end();
        Ok(match text.char_indices().nth(MOST) {
            Some((cut, _)) => format!("{}…", &text[..cut]),
            None => text.to_owned(),
        })
    }
}

/// A value as it is written: no control characters, nothing that the reader takes for more than text.
fn written(text: &str, into: Markup) -> String {
    let text = escape(text);
    match into {
        Markup::Plain => text,
        Markup::Chat => text
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            // `@here` calls everyone; with something invisible behind the sign it is a word.
            .replace('@', "@\u{200b}"),
        Markup::Json => {
            let quoted = serde_json::to_string(&text).unwrap_or_default();
            quoted.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or("").to_owned()
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;

    pub fn message(event: &str) -> Message {
        Message {
            message: Message::VERSION,
            id: "1".to_owned(),
            at: "2026-01-13T03:12:00Z".parse().unwrap(),
            event: event.to_owned(),
            severity: "critical".to_owned(),
            app: "shop".to_owned(),
            environment: "production".to_owned(),
            host: "web-1".to_owned(),
            act: "back".to_owned(),
            level: "code".to_owned(),
            from: "v1.3.0 (7c1e0a4)".to_owned(),
            to: "v1.2.0 (4be21d9)".to_owned(),
            summary: "A person is needed: nothing healthy serves".to_owned(),
            why: Some("api 500 \"<!channel> @here & more\u{1b}[31m\"".to_owned()),
            notes: Vec::new(),
            reason: None,
            who: "ana".to_owned(),
            incident: Some("INC-8".to_owned()),
            next: vec![NextCommand { command: "gitroll resume".to_owned(), what: "x".to_owned() }],
            run: Some("r1".to_owned()),
            record: Some("43".to_owned()),
            took_millis: Some(9300),
            contacts: vec![Person {
                role: "database".to_owned(),
                who: "Ana".to_owned(),
                within_seconds: Some(900),
            }],
            links: vec![Link { name: "runbook".to_owned(), url: "https://x/y".to_owned() }],
            delayed_seconds: None,
        }
    }

    #[test]
    fn the_usual_text_says_what_why_and_what_to_do() {
        let text = message("needs-person").text(None, Markup::Plain).unwrap();
        assert!(text.starts_with("✗ shop · production · web-1: A person is needed"), "{text}");
        for line in [
            "\nwhy   api 500 \"<!channel> @here & more\\u{1b}[31m\"\n",
            "\nnext  gitroll resume   x\n",
            "\ncall  database: Ana (within 15 min)\n",
            "\nrunbook  https://x/y\n",
            " · ana · #43 · INC-8",
        ] {
            assert!(text.contains(line), "{line:?} in {text}");
        }
        assert!(!text.contains("delayed"));
        let late = Message { delayed_seconds: Some(1000), ..message("done") };
        assert!(late.text(None, Markup::Plain).unwrap().contains("(delayed, of 2026-01-13"));
    }

    #[test]
    fn nothing_in_a_value_is_markup_or_calls_anyone() {
        let chat = message("failed").text(None, Markup::Chat).unwrap();
        assert!(chat.contains("&lt;!channel&gt; @\u{200b}here &amp; more"), "{chat}");
        let template = Some("{\"why\": \"{{ why }}\"}");
        let json = message("failed").text(template, Markup::Json).unwrap();
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["why"], "api 500 \"<!channel> @here & more\\u{1b}[31m\"");
    }
}
