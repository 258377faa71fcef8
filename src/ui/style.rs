//! Signs and colours.

use console::style;

/// Signs (with plain fallbacks where the locale is not UTF-8) and colours (only on a terminal, never with
/// `NO_COLOR`).
#[derive(Debug, Clone)]
pub struct Style {
    unicode: bool,
    colour: bool,
    /// Whether the stream is a terminal.
    pub terminal: bool,
    /// How many columns lists may take: those of the terminal, from 60 to 200. `None` in a pipe, where nothing is cut.
    pub width: Option<usize>,
}

/// A text in at most `most` columns, cut with a sign that says so.
pub fn shortened(text: &str, most: usize) -> String {
    console::truncate_str(text, most, "…").into_owned()
}

impl Style {
    /// What this stream can show.
    pub fn detect(terminal: bool) -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
            .unwrap_or_default()
            .to_ascii_lowercase();
        let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        Self {
            unicode: locale.contains("utf-8") || locale.contains("utf8"),
            colour: terminal && !no_colour && !dumb,
            terminal: terminal && !dumb,
            width: None,
        }
    }

    /// As wide as the terminal it writes to, where it is one.
    pub fn fitting(self, terminal: &console::Term) -> Self {
        let columns = terminal.size_checked().map(|(_, columns)| usize::from(columns));
        let width = columns.filter(|_| self.terminal).map(|columns| columns.clamp(60, 200));
        Self { width, ..self }
    }

    /// For what is so many columns further right.
    pub fn narrower(self, columns: usize) -> Self {
        Self { width: self.width.map(|width| width.saturating_sub(columns)), ..self }
    }

    /// Something continues.
    pub fn more(&self) -> &'static str {
        self.sign("…", "..")
    }

    fn sign(&self, unicode: &'static str, plain: &'static str) -> &'static str {
        if self.unicode { unicode } else { plain }
    }

    /// Done well.
    pub fn ok(&self) -> String {
        self.green(self.sign("✓", "ok"))
    }

    /// Failed.
    pub fn bad(&self) -> String {
        self.red(self.sign("✗", "!!"))
    }

    /// Being restored.
    pub fn back(&self) -> String {
        self.yellow(self.sign("↩", "<-"))
    }

    /// What serves.
    pub fn serving(&self) -> String {
        self.green(self.sign("●", "*"))
    }

    /// What comes next.
    pub fn next(&self) -> String {
        self.arrow().to_owned()
    }

    /// From one to another.
    pub fn arrow(&self) -> &'static str {
        self.sign("→", "->")
    }

    /// Between two facts on a line.
    pub fn dot(&self) -> &'static str {
        self.sign("·", "-")
    }

    /// Nothing to show.
    pub fn dash(&self) -> &'static str {
        self.sign("–", "-")
    }

    /// Green, where colours are shown.
    pub fn green(&self, text: &str) -> String {
        style(text).green().force_styling(self.colour).to_string()
    }

    /// Red, where colours are shown.
    pub fn red(&self, text: &str) -> String {
        style(text).red().force_styling(self.colour).to_string()
    }

    /// Yellow, where colours are shown.
    pub fn yellow(&self, text: &str) -> String {
        style(text).yellow().force_styling(self.colour).to_string()
    }

    /// Bold, where colours are shown.
    pub fn bold(&self, text: &str) -> String {
        style(text).bold().force_styling(self.colour).to_string()
    }

    /// Dim, where colours are shown.
    pub fn dim(&self, text: &str) -> String {
        style(text).dim().force_styling(self.colour).to_string()
    }
}
