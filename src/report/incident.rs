//! The report of one act for people: as data, as Markdown, as one HTML file. Everything in it came from elsewhere (a
//! commit's message, a log's line, an answer), so nothing of it is markup.

use jiff::Timestamp;
use minijinja::value::Value;
use minijinja::{Environment, Error};
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::{CheckEvidence, Digest, Seq};
use crate::system::text::{duration, escape};

/// A report.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Report {
    /// The app.
    pub app: String,
    /// The environment.
    pub environment: String,
    /// The host.
    pub host: String,
    /// The record.
    pub record: Seq,
    /// Its digest.
    pub digest: Digest,
    /// What it states, in a sentence.
    pub title: String,
    /// The act.
    pub act: String,
    /// `succeeded`, `restored`, `failed`.
    pub outcome: String,
    /// What served before.
    pub from: Option<String>,
    /// What was meant to serve.
    pub to: Option<String>,
    /// Who acted.
    pub who: String,
    /// Whose key signed it.
    pub signed_by: String,
    /// Whether the signature was verified here.
    pub verified: bool,
    /// The reason of the act, and what was added to its record.
    pub reasons: Vec<Said>,
    /// Why it failed.
    pub failure: Option<String>,
    /// When it began.
    #[schemars(with = "String")]
    pub started: Timestamp,
    /// When it ended.
    #[schemars(with = "String")]
    pub finished: Timestamp,
    /// How long that was, in words.
    pub took: String,
    /// How long the app was not healthy, by what the checks saw; absent where it was never seen unhealthy.
    pub downtime: Option<Downtime>,
    /// What happened, in order.
    pub timeline: Vec<Happening>,
    /// The steps of the run.
    pub steps: Vec<StepLine>,
    /// Each check before and after.
    pub checks: Vec<CheckLine>,
    /// What is most likely at fault.
    pub suspects: Vec<SuspectLine>,
    /// What the commits below are.
    pub commits_title: String,
    /// The commits between the two versions, the newest first.
    pub commits: Vec<CommitBrief>,
    /// How many more there are.
    pub more_commits: usize,
    /// What logs say around that time, and what steps wrote.
    pub logs: Vec<LogPart>,
    /// Decisions, warnings, skipped targets, saved files.
    pub notes: Vec<String>,
    /// Who approved it.
    pub approvals: Vec<Said>,
    /// Which channels were told.
    pub messages: Vec<ToldLine>,
    /// What only people know.
    pub blanks: Vec<Blank>,
    /// Pages that help.
    pub links: Vec<LinkLine>,
}

/// What somebody said.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Said {
    /// Who.
    pub who: String,
    /// What.
    pub text: String,
}

/// How long the app was seen not to be healthy.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Downtime {
    /// The first look that found it failing.
    #[schemars(with = "String")]
    pub from: Timestamp,
    /// The proof that ended it; absent where it was not ended by this act.
    #[schemars(with = "Option<String>")]
    pub to: Option<Timestamp>,
    /// The time between, in milliseconds.
    pub millis: Option<u64>,
    /// In words, with how that is known.
    pub words: String,
}

/// Something that happened.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Happening {
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// What.
    pub what: String,
}

/// A step.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct StepLine {
    /// Its label.
    pub step: String,
    /// Its result.
    pub result: String,
    /// Its time, in words.
    pub took: String,
}

/// A check before and after.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CheckLine {
    /// Its name.
    pub check: String,
    /// Before anything was changed.
    pub before: Option<Answered>,
    /// As it ended.
    pub after: Option<Answered>,
}

/// How a check answered.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Answered {
    /// Whether it held.
    pub passed: bool,
    /// In words.
    pub words: String,
    /// How long the last answer took, in milliseconds.
    pub millis: u64,
}

impl Answered {
    /// Of a check that was asked.
    pub fn of(check: &CheckEvidence) -> Option<Self> {
        let asked = check.skipped.is_none();
        asked.then(|| Self {
            passed: check.passed,
            words: format!("{}, {} ms", check.last.told(), check.last.millis),
            millis: check.last.millis,
        })
    }
}

/// A suspect.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SuspectLine {
    /// What.
    pub what: String,
    /// Why.
    pub why: String,
}

/// A commit.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct CommitBrief {
    /// Its short id.
    pub id: String,
    /// The first line of its message.
    pub subject: String,
    /// Who wrote it.
    pub author: String,
}

/// Lines of a log.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct LogPart {
    /// Whose, and where.
    pub source: String,
    /// Secrets removed.
    pub lines: Vec<String>,
    /// Why lines may be missing.
    pub note: Option<String>,
}

/// A message that was sent.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ToldLine {
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// The channel.
    pub channel: String,
    /// Its kind.
    pub kind: String,
    /// What it was about.
    pub event: String,
    /// What the channel answered.
    pub answer: String,
}

/// What only people know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Blank {
    /// Its name.
    pub name: String,
    /// What is asked.
    pub question: String,
    /// What was written.
    pub text: Option<String>,
}

/// A page that helps.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct LinkLine {
    /// Its name.
    pub name: String,
    /// Its address.
    pub url: String,
}

/// What only people know, and what is asked of them.
const BLANKS: [(&str, &str); 4] = [
    ("Impact", "who noticed what, and for how long?"),
    ("Root cause", "why did it happen, and why did nothing catch it before?"),
    ("Lessons", "what helped, and what did not?"),
    ("Follow-up", "what is done so that it does not happen again, by whom, until when?"),
];

const HEAD: &str = "## ";

impl Blank {
    /// All of them, filled from what was written last.
    pub fn all(written: Option<&str>) -> Vec<Self> {
        let blank = |(name, question): (&str, &str)| Self {
            name: name.to_owned(),
            question: question.to_owned(),
            text: written.and_then(|text| section(text, name)),
        };
        BLANKS.into_iter().map(blank).collect()
    }

    /// Whether a text fills any of them.
    pub fn is_filled_by(text: &str) -> bool {
        Self::all(Some(text)).iter().any(|blank| blank.text.is_some())
    }

    /// The page that a person fills in.
    pub fn page(blanks: &[Self], title: &str) -> String {
        let mut page =
            format!("# {}\n# Lines that begin with one # are left out.\n", escape(title));
        for Self { name, question, text } in blanks {
            let text = text.as_deref().unwrap_or_default();
            page.push_str(&format!("\n{HEAD}{name}\n# {question}\n{text}\n"));
        }
        page
    }

    /// What is recorded of a page; `None` where nothing is written on it.
    pub fn recorded(page: &str) -> Option<String> {
        let filled = Self::all(Some(page)).into_iter();
        let filled = filled.filter_map(|blank| Some((blank.name, blank.text?)));
        let sections: Vec<String> =
            filled.map(|(name, text)| format!("{HEAD}{name}\n{text}")).collect();
        (!sections.is_empty()).then(|| sections.join("\n\n"))
    }
}

/// What stands under a heading of a page.
fn section(page: &str, name: &str) -> Option<String> {
    let mut inside = false;
    let mut lines = Vec::new();
    for line in page.lines() {
        if let Some(head) = line.strip_prefix(HEAD) {
            inside = head.trim() == name;
        } else if inside && !line.starts_with("# ") && line != "#" {
            lines.push(line.trim_end());
        }
    }
    let text = lines.join("\n").trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// How values are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Page {
    Markdown,
    Html,
}

/// A bar of the plot: where it is drawn, and how wide.
#[derive(Debug, Serialize)]
struct Bar {
    check: String,
    y: usize,
    before: u64,
    after: u64,
    label_x: u64,
    label: String,
}

impl Report {
    /// As Markdown.
    ///
    /// # Errors
    /// When the template is broken: a bug of gitroll.
    pub fn markdown(&self) -> Result<String, Error> {
        let page = self.render(include_str!("../../templates/report.md.jinja"), Page::Markdown)?;
        Ok(without_gaps(&page))
    }

    /// As one HTML file that needs nothing else.
    ///
    /// # Errors
    /// As [`Report::markdown`].
    pub fn html(&self) -> Result<String, Error> {
        self.render(include_str!("../../templates/report.html.jinja"), Page::Html)
    }

    fn render(&self, template: &str, page: Page) -> Result<String, Error> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(page == Page::Html);
        environment.add_filter("verbatim", |text: String| Value::from_safe_string(escape(&text)));
        environment.set_formatter(move |out, state, value| match value.as_str() {
            Some(text) if value.is_safe() => out.write_str(text).map_err(Error::from),
            Some(text) => out.write_str(&written(text, page)).map_err(Error::from),
            None => minijinja::escape_formatter(out, state, value),
        });
        let bars = self.bars();
        let bars_height = bars.len() * ROW + 4;
        let more = minijinja::context! { bars, bars_height };
        environment
            .render_str(template, minijinja::context! { ..more, ..Value::from_serialize(self) })
    }

    /// The checks that answered before or after, as bars of one scale.
    fn bars(&self) -> Vec<Bar> {
        let millis = |answered: &Option<Answered>| answered.as_ref().map_or(0, |one| one.millis);
        let both = self.checks.iter().map(|one| millis(&one.before).max(millis(&one.after)));
        let longest = both.max().unwrap_or(0).max(1);
        let width = |millis: u64| (millis * WIDTH / longest).max(u64::from(millis > 0));
        let bar = |(row, one): (usize, &CheckLine)| {
            let (before, after) = (millis(&one.before), millis(&one.after));
            Bar {
                check: one.check.chars().take(28).collect(),
                y: row * ROW,
                before: width(before),
                after: width(after),
                label_x: 208 + width(before).max(width(after)),
                label: format!("{before} / {after} ms"),
            }
        };
        self.checks.iter().enumerate().map(bar).collect()
    }
}

const ROW: usize = 26;
const WIDTH: u64 = 320;

/// A text as it is written into a page: nothing in it is markup.
fn written(text: &str, page: Page) -> String {
    let mut out = String::with_capacity(text.len());
    for (number, line) in text.lines().enumerate() {
        if number > 0 {
            out.push_str(match page {
                Page::Markdown => "<br>",
                Page::Html => "<br>\n",
            });
        }
        for (at, c) in escape(line).chars().enumerate() {
            match (page, c) {
                (_, '&') => out.push_str("&amp;"),
                (_, '<') => out.push_str("&lt;"),
                (_, '>') => out.push_str("&gt;"),
                (Page::Html, '"') => out.push_str("&quot;"),
                (Page::Html, '\'') => out.push_str("&#39;"),
                // A name is no mention.
                (Page::Markdown, '@') => out.push_str("&#64;"),
                (Page::Markdown, '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~') => {
                    out.push('\\');
                    out.push(c);
                }
                (Page::Markdown, '#' | '-' | '+' | '=' | '!') if at == 0 => {
                    out.push('\\');
                    out.push(c);
                }
                (_, c) => out.push(c),
            }
        }
    }
    out
}

/// Without several empty lines in a row, which a template leaves.
fn without_gaps(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut empty = 0;
    for line in text.lines() {
        empty = if line.trim().is_empty() { empty + 1 } else { 0 };
        if empty < 2 {
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
    out
}

/// A moment without the part of its second, for people.
pub fn to_the_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// `12 min, from 02:46 …`: how long it was not healthy, as two looks say.
pub fn downtime(from: Timestamp, to: Option<Timestamp>, first: Seq) -> Downtime {
    let between = to.and_then(|to| std::time::Duration::try_from(to.duration_since(from)).ok());
    let shown = (to_the_second(from), to.map(to_the_second));
    let words = match (shown, between) {
        ((from, Some(to)), Some(time)) => format!(
            "{}, from {from} (the checks of #{first} found it failing) to {to} (observed serving)",
            duration(time)
        ),
        ((from, _), _) => {
            format!("since {from} (the checks of #{first} found it failing), not ended by this act")
        }
    };
    let millis = between.and_then(|time| u64::try_from(time.as_millis()).ok());
    Downtime { from, to, millis, words }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_text_is_no_markup() {
        let evil = "<script>alert(1)</script> [x](javascript:1) | # ![y](z) `c` @all\n- next";
        let html = written(evil, Page::Html);
        assert!(!html.contains("<script") && html.contains("&lt;script&gt;"), "{html}");
        let markdown = written(evil, Page::Markdown);
        for part in ["<script", "[x](", ") | #", "![y", "`c`", "@all", "\n"] {
            assert!(!markdown.contains(part), "{part:?} in {markdown}");
        }
        assert!(markdown.contains("&lt;script&gt;") && markdown.contains("\\[x\\]("), "{markdown}");
        assert_eq!(written("a\u{1b}[31mb\u{202e}", Page::Html), "a\\u{1b}[31mb\\u{202e}");
    }

    #[test]
    fn what_people_write_is_read_back() {
        let page = Blank::page(&Blank::all(None), "shop #43");
        assert_eq!(Blank::recorded(&page), None);
        let filled = page.replace("## Impact\n", "## Impact\nAll uploads failed\n\nfor 12 min\n");
        let recorded = Blank::recorded(&filled).unwrap();
        assert_eq!(recorded, "## Impact\nAll uploads failed\n\nfor 12 min");
        assert!(Blank::is_filled_by(&recorded) && !Blank::is_filled_by("a reason"));
        let again = Blank::all(Some(&recorded));
        assert_eq!(again[0].text.as_deref(), Some("All uploads failed\n\nfor 12 min"));
        assert_eq!(Blank::recorded(&Blank::page(&again, "x")).unwrap(), recorded);
    }
}
