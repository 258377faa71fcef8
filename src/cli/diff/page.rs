//! A diff as text or Markdown. Whatever comes from the repository is escaped for both.

use crate::model::Person;
use crate::report::diff::{CommitLine, Diff, FileChange, Part, State, Suspect, Totals};
use crate::ui::{Style, Table, escape, plural};

/// How it is written.
#[derive(Clone, Copy)]
pub enum Form<'a> {
    /// For a terminal or a pipe.
    Text(&'a Style),
    /// For a chat or a ticket.
    Markdown,
}

/// No page is longer that is pasted into a channel.
pub const MOST_LINES: usize = 20;

/// No cell of a page is wider.
const WIDEST: usize = 100;

struct Section {
    title: String,
    rows: Vec<Vec<String>>,
    /// How many more there are than rows.
    more: usize,
}

/// Everything, lists shortened to what one reads.
pub fn whole(diff: &Diff, form: Form<'_>) -> Vec<String> {
    const SUSPECTS: usize = 20;
    const FILES: usize = 25;
    const COMMITS: usize = 30;
    let arrow = form.arrow();
    let mut sections = vec![seen_now(diff, diff.seen_now.len()), suspects(diff, arrow, SUSPECTS)];
    for part in &diff.parts {
        let files = part.files.iter().take(FILES);
        sections.push(Section {
            title: format!("{}: {}", title(part), total(&part.totals)),
            rows: files.map(|file| file_row(file, arrow)).collect(),
            more: part.totals.files.saturating_sub(FILES),
        });
    }
    let commits = &diff.commits;
    for (title, number, lines) in [
        ("commits", commits.gained, &commits.gained_commits),
        ("commits it lacks", commits.lost, &commits.lost_commits),
    ] {
        sections.push(Section {
            title: format!("{title} ({number})"),
            rows: lines.iter().take(COMMITS).map(commit_row).collect(),
            more: if lines.len() > COMMITS { number.max(COMMITS) - COMMITS } else { 0 },
        });
    }
    sections.push(Section {
        title: "not examined".to_owned(),
        rows: diff.warnings.iter().map(|warning| vec![warning.clone()]).collect(),
        more: 0,
    });
    form.page(&head(diff, arrow), &sections)
}

/// At most [`MOST_LINES`]: suspects, totals by component, and the commits for which there is room, those
/// that touch a suspect first.
pub fn short(diff: &Diff, form: Form<'_>) -> Vec<String> {
    const SUSPECTS: usize = 6;
    const PARTS: usize = 2;
    let arrow = form.arrow();
    let head = head(diff, arrow);
    let mut sections = vec![seen_now(diff, 2), suspects(diff, arrow, SUSPECTS)];
    if diff.parts.len() > 1 || diff.parts.iter().any(|part| part.component.is_some()) {
        let parts = diff.parts.iter().take(PARTS);
        sections.push(Section {
            title: "files".to_owned(),
            rows: parts.map(|part| vec![title(part), total(&part.totals)]).collect(),
            more: diff.parts.len().saturating_sub(PARTS),
        });
    }
    if let Some(warning) = diff.warnings.first() {
        sections.push(Section {
            title: format!("not examined ({})", diff.warnings.len()),
            rows: vec![vec![warning.clone()]],
            more: 0,
        });
    }
    let used = head.len() + sections.iter().map(Section::lines).sum::<usize>();
    let mut commits: Vec<&CommitLine> = diff.commits.gained_commits.iter().collect();
    commits.sort_by_key(|commit| !commit.held && commit.touches.is_empty());
    // A title, and a line that says how many more there are.
    let room = MOST_LINES.saturating_sub(used + 2).min(commits.len());
    if room > 0 {
        sections.push(Section {
            title: format!("commits ({})", diff.commits.gained),
            rows: commits[..room].iter().map(|commit| commit_row(commit)).collect(),
            more: diff.commits.gained.saturating_sub(room),
        });
    }
    let mut page = form.page(&head, &sections);
    page.truncate(MOST_LINES);
    page
}

/// What is seen of the fault: it says more than any difference.
fn seen_now(diff: &Diff, most: usize) -> Section {
    let rows = diff.seen_now.iter().take(most).map(|line| vec![line.clone()]).collect();
    Section { title: "seen now".to_owned(), rows, more: 0 }
}

fn head(diff: &Diff, arrow: &str) -> Vec<String> {
    let state = |state: &State| format!("{} ({})", state.name, state.commit.short());
    let seq = |state: &State| match state.seq {
        Some(seq) if state.role == "named" => format!("#{seq}"),
        Some(seq) if !state.role.contains('#') => format!("{} (#{seq})", state.role),
        _ => state.role.clone(),
    };
    let mut facts = Vec::new();
    if diff.same {
        facts.push("nothing differs".to_owned());
    } else {
        facts.push(total(&diff.totals));
    }
    facts.push(plural(diff.commits.gained, "commit"));
    if diff.commits.lost > 0 {
        facts.push(format!("and {} that it lacks", plural(diff.commits.lost, "commit")));
    }
    vec![
        format!("{} {arrow} {}", state(&diff.from), state(&diff.to)),
        format!("{} {arrow} {}: {}", seq(&diff.from), seq(&diff.to), facts.join(", ")),
    ]
}

fn suspects(diff: &Diff, arrow: &str, most: usize) -> Section {
    let row = |(number, suspect): (usize, &Suspect)| {
        let versions = match (&suspect.from, &suspect.to) {
            (None, None) => String::new(),
            (Some(from), Some(to)) => format!(" {from} {arrow} {to}"),
            (Some(version), None) | (None, Some(version)) => format!(" {version}"),
        };
        vec![
            (number + 1).to_string(),
            suspect.kind.as_str().to_owned(),
            format!("{}{versions}", suspect.what),
            suspect.why.clone(),
        ]
    };
    Section {
        title: format!("suspects ({})", diff.suspects.len()),
        rows: diff.suspects.iter().take(most).enumerate().map(row).collect(),
        more: diff.suspects.len().saturating_sub(most),
    }
}

fn title(part: &Part) -> String {
    match (&part.component, &part.title) {
        (Some(id), Some(title)) => format!("{id} {title}"),
        (Some(id), None) => id.to_string(),
        (None, _) => "the rest".to_owned(),
    }
}

fn total(totals: &Totals) -> String {
    let files = plural(totals.files, "file");
    match (totals.added, totals.deleted) {
        // Renames, pictures, and more than is counted.
        (0, 0) => files,
        (added, deleted) => format!("{files} +{added} -{deleted}"),
    }
}

fn file_row(file: &FileChange, arrow: &str) -> Vec<String> {
    let path = match (&file.was, file.similarity) {
        (Some(was), Some(percent)) => format!("{was} {arrow} {} ({percent} %)", file.path),
        _ => file.path.to_string(),
    };
    let lines = match (file.added, file.deleted) {
        (Some(added), Some(deleted)) => format!("+{added} -{deleted}"),
        _ => String::new(),
    };
    vec![file.change.letter().to_string(), path, lines]
}

fn commit_row(commit: &CommitLine) -> Vec<String> {
    let Person { name, time, .. } = &commit.author;
    let mut notes = Vec::new();
    if commit.held {
        notes.push("held".to_owned());
    }
    if let Some((first, more)) = commit.touches.split_first() {
        let more =
            if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
        notes.push(format!("touches {first}{more}"));
    }
    let day = time.strftime("%Y-%m-%d").to_string();
    let id = commit.id.short().to_owned();
    vec![id, day, name.clone(), commit.subject.clone(), notes.join(", ")]
}

impl Section {
    /// How many lines it takes; none where it is empty.
    fn lines(&self) -> usize {
        match self.rows.len() {
            0 => 0,
            rows => 1 + rows + usize::from(self.more > 0),
        }
    }
}

impl Form<'_> {
    fn arrow(&self) -> &'static str {
        match self {
            Form::Text(style) => style.arrow(),
            Form::Markdown => "→",
        }
    }

    fn page(&self, head: &[String], sections: &[Section]) -> Vec<String> {
        let filled = sections.iter().filter(|section| !section.rows.is_empty());
        match self {
            Form::Text(style) => {
                let mut lines: Vec<String> = head.iter().map(|line| plain(line)).collect();
                lines[0] = style.bold(&lines[0]);
                lines.extend(filled.flat_map(|section| text(section, style)));
                lines
            }
            Form::Markdown => {
                let mut lines: Vec<String> = Vec::new();
                for (number, line) in head.iter().enumerate() {
                    let line = told(line);
                    lines.push(if number == 0 { format!("**{line}**  ") } else { line });
                }
                lines.extend(filled.flat_map(markdown));
                lines
            }
        }
    }
}

fn text(section: &Section, style: &Style) -> Vec<String> {
    let mut table = Table::default();
    for row in &section.rows {
        table.row(row.iter().map(|cell| plain(cell)).collect());
    }
    let mut lines = vec![style.bold(&plain(&section.title))];
    let indented = style.clone().narrower(2);
    lines.extend(table.lines(&indented).into_iter().map(|line| format!("  {line}")));
    if section.more > 0 {
        lines.push(format!("  and {} more", section.more));
    }
    lines
}

fn markdown(section: &Section) -> Vec<String> {
    let mut lines = vec![format!("- **{}**", told(&section.title))];
    for row in &section.rows {
        let cells = row.iter().filter(|cell| !cell.is_empty()).map(|cell| told(cell));
        lines.push(format!("  - {}", cells.collect::<Vec<_>>().join(" · ")));
    }
    if section.more > 0 {
        lines.push(format!("  - and {} more", section.more));
    }
    lines
}

/// One line without control characters, not wider than a page.
fn plain(text: &str) -> String {
    let safe = escape(text);
    if safe.chars().count() <= WIDEST {
        return safe;
    }
    safe.chars().take(WIDEST - 1).chain(['…']).collect()
}

/// Text in Markdown. What could be markup, a link, a mention or a reference there becomes code.
fn told(text: &str) -> String {
    let text = plain(text);
    let harmless = |c: char| c.is_alphanumeric() || " ,.;:()+-%→…".contains(c);
    let list = text.trim_start().starts_with(['+', '-']);
    let number = text.split_once('.').is_some_and(|(n, _)| n.bytes().all(|b| b.is_ascii_digit()));
    let domain = text.to_ascii_lowercase().contains("www.");
    if text.chars().all(harmless) && !list && !number && !domain {
        return text;
    }
    format!("`{}`", text.replace('`', "'").trim())
}

#[cfg(test)]
mod tests;
