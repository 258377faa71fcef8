//! Reading spanned TOML tables key by key, collecting problems.
//!
//! A [`Table`] hands out its keys as [`Item`]s and remembers which were asked for; [`Table::finish`]
//! reports the rest as unknown. Nothing here stops at the first problem: a method that finds one reports
//! it and returns `None`, and the caller continues with the next key.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::quantity::{duration, show_duration, show_size, size};
use super::quote::quoted;

// The keys that tables were asked for, whatever stood in them: what the format knows.
#[cfg(test)]
thread_local! {
    pub(super) static KNOWN: RefCell<std::collections::BTreeSet<String>> = RefCell::default();
}

/// One thing wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong and what would be right, e.g. `unknown key "setle" (did you mean "settle"?)`.
    pub message: String,
}

impl std::fmt::Display for ConfigProblem {
    /// `line:column: message`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

/// The problems found in one text so far.
pub(super) struct Report<'t> {
    text: &'t str,
    found: RefCell<Vec<(usize, String)>>,
    filled: Cell<&'static [&'static str]>,
}

impl<'t> Report<'t> {
    /// Nothing found yet in `text`.
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, found: RefCell::new(Vec::new()), filled: Cell::new(&[]) }
    }

    /// Adds a problem at a span of bytes of the text.
    pub(super) fn add(&self, span: &Range<usize>, message: impl Into<String>) {
        self.found.borrow_mut().push((span.start, message.into()));
    }

    /// All problems on one line; empty if there are none.
    pub(super) fn on_one_line(&self) -> String {
        let lines = self.problems().into_iter();
        lines
            .map(|p| format!("line {}, column {}: {}", p.line, p.column, p.message))
            .collect::<Vec<_>>()
            .join("; ")
    }

    /// The problems in order of position, each once.
    pub(super) fn problems(&self) -> Vec<ConfigProblem> {
        let mut found = self.found.borrow().clone();
        found.sort_by_key(|(at, _)| *at);
        found.dedup();
        // One walk over the text for all of them: a file may have as many problems as bytes.
        let (mut from, mut line, mut column) = (0, 1, 1);
        let mut problems = Vec::with_capacity(found.len());
        for (at, message) in found {
            let at = at.min(self.text.len());
            for byte in &self.text.as_bytes()[from..at] {
                match byte {
                    b'\n' => (line, column) = (line + 1, 1),
                    // Continuation bytes do not begin a character.
                    _ => column += usize::from(byte & 0xC0 != 0x80),
                }
            }
            from = at;
            problems.push(ConfigProblem { line, column, message });
        }
        problems
    }
}

/// ` (did you mean "x"?)` when one of `known` is near, else the list of them.
pub(super) fn nearest<'k>(text: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    let lower = text.to_lowercase();
    let near = known
        .iter()
        // The distance is quadratic; a long text is near to nothing.
        .filter(|k| lower.len() <= 80 && k.len() <= 80 && known.len() <= 100)
        .map(|k| (strsim::damerau_levenshtein(&lower, &k.to_lowercase()), *k))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, k)| *distance <= 1.max(k.chars().count() / 3));
    match near {
        Some((_, name)) => format!(" (did you mean {name:?}?)"),
        None if known.is_empty() || known.len() > 20 => String::new(),
        None => format!(" (known: {})", known.join(", ")),
    }
}

/// A parsed value and where its name stands, for problems that show only when all is read.
pub(super) struct Placed<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

/// A table being read.
pub(super) struct Table<'a> {
    report: &'a Report<'a>,
    entries: &'a DeTable<'a>,
    span: Range<usize>,
    place: String,
    asked: RefCell<Vec<&'static str>>,
}

impl<'a> Table<'a> {
    /// The top of a document. `place` is how messages call it.
    pub(super) fn root(report: &'a Report<'a>, entries: &'a DeTable<'a>, place: &str) -> Self {
        Self::new(report, entries, 0..0, place.to_owned())
    }

    fn new(
        report: &'a Report<'a>,
        entries: &'a DeTable<'a>,
        span: Range<usize>,
        place: String,
    ) -> Self {
        Self { report, entries, span, place, asked: RefCell::new(Vec::new()) }
    }

    /// The value of `key`, if it is there. From now on the key is known.
    pub(super) fn get(&self, key: &'static str) -> Option<Item<'a>> {
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(&key) {
            asked.push(key);
        }
        let (name, value) = self.entries.get_key_value(key)?;
        Some(Item { report: self.report, label: key.to_owned(), key: name.span(), value })
    }

    /// The value of `key`; its absence is a problem.
    pub(super) fn need(&self, key: &'static str) -> Option<Item<'a>> {
        let item = self.get(key);
        if item.is_none() {
            self.add(format!("{} needs {key:?}", self.place));
        }
        item
    }

    /// All entries in the order of the file, for tables whose keys are names. Every key is known.
    pub(super) fn named(&self) -> Vec<(&'a str, Item<'a>)> {
        let mut all: Vec<_> = self
            .entries
            .iter()
            .map(|(name, value)| {
                let label = quoted(name.get_ref());
                let item = Item { report: self.report, label, key: name.span(), value };
                (name.get_ref().as_ref(), item)
            })
            .collect();
        all.sort_by_key(|(_, item)| item.key.start);
        all
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(&self) {
        let asked = self.asked.borrow();
        #[cfg(test)]
        KNOWN.with_borrow_mut(|known| known.extend(asked.iter().map(|key| (*key).to_owned())));
        for name in self.entries.keys() {
            let text = name.get_ref().as_ref();
            if !asked.contains(&text) {
                let hint = nearest(text, asked.iter().copied());
                let message = format!("unknown key {} in {}{hint}", quoted(text), self.place);
                self.report.add(&name.span(), message);
            }
        }
    }

    /// Reads something in which these words in braces are filled in too.
    pub(super) fn filling<T>(&self, words: &'static [&'static str], read: impl FnOnce() -> T) -> T {
        let before = self.report.filled.replace(words);
        let value = read();
        self.report.filled.set(before);
        value
    }

    /// How messages call it.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Adds a problem at a place in or below the table.
    pub(super) fn add_at(&self, span: &Range<usize>, message: impl Into<String>) {
        self.report.add(span, message);
    }

    /// Adds a problem with the table as a whole.
    pub(super) fn add(&self, message: impl Into<String>) {
        self.report.add(&self.span, message);
    }

    /// Reports when there are more than `most` entries: what is done with them may be quadratic.
    pub(super) fn at_most(&self, most: usize) -> Option<()> {
        if self.entries.len() > most {
            self.add(format!("{} has more than {most} entries", self.place));
            return None;
        }
        Some(())
    }

    /// Whether a key is there. Does not make it known.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }
}

/// A value being read, with the name it goes by in messages.
#[derive(Clone)]
pub(super) struct Item<'a> {
    report: &'a Report<'a>,
    label: String,
    key: Range<usize>,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Item<'a> {
    /// Adds a problem with this value.
    pub(super) fn add(&self, message: impl Display) {
        let place = if self.label.is_empty() { String::new() } else { format!("{}: ", self.label) };
        self.report.add(&self.value.span(), format!("{place}{message}"));
    }

    /// The key it stands under.
    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// The value itself.
    pub(super) fn value(&self) -> &'a DeValue<'a> {
        self.value.get_ref()
    }

    /// Reports that the value has the wrong type.
    pub(super) fn wanted<T>(&self, wanted: impl Display) -> Option<T> {
        self.add(format_args!("must be {wanted}, not {}", kind(self.value())));
        None
    }

    pub(super) fn text(&self) -> Option<&'a str> {
        self.text_as("a string")
    }

    fn text_as(&self, wanted: &str) -> Option<&'a str> {
        let Some(text) = self.value().as_str() else { return self.wanted(wanted) };
        if text.contains('\0') {
            self.add("must not contain a NUL character");
            return None;
        }
        Some(text)
    }

    /// A text of at least one visible character, without control characters.
    pub(super) fn line(&self) -> Option<&'a str> {
        let text = self.text()?;
        if text.trim().is_empty() {
            self.add("must not be empty");
            return None;
        }
        if text.chars().any(char::is_control) {
            self.add("must be one line without control characters");
            return None;
        }
        Some(text)
    }

    /// A text that is an id.
    pub(super) fn id<T>(&self) -> Option<T>
    where
        T: FromStr<Err = crate::model::IdError>,
    {
        let text = self.text()?;
        self.id_of(text)
    }

    /// `text` as an id; a problem is reported here.
    pub(super) fn id_of<T>(&self, text: &str) -> Option<T>
    where
        T: FromStr<Err = crate::model::IdError>,
    {
        match text.parse() {
            Ok(id) => Some(id),
            Err(problem) => {
                let crate::model::IdError { kind, problem, .. } = problem;
                self.add(format_args!("{} is not a valid {kind}: {problem}", quoted(text)));
                None
            }
        }
    }

    /// true or false.
    pub(super) fn boolean(&self) -> Option<bool> {
        match self.value() {
            DeValue::Boolean(value) => Some(*value),
            _ => self.wanted("true or false"),
        }
    }

    /// A whole number within `range`.
    pub(super) fn number(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let (least, most) = (*range.start(), *range.end());
        let DeValue::Integer(integer) = self.value() else {
            return self.wanted(format_args!("a whole number from {least} to {most}"));
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let number = number.filter(|n| range.contains(n));
        if number.is_none() {
            self.add(format_args!("must be from {least} to {most}"));
        }
        number
    }

    /// A duration within `range`, written such as `"1h30m"`.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let text = self.text_as("a duration such as \"30s\" or \"1h30m\"")?;
        let value = match duration(text) {
            Ok(value) => value,
            Err(problem) => {
                self.add(problem);
                return None;
            }
        };
        if !range.contains(&value) {
            let (least, most) = (show_duration(*range.start()), show_duration(*range.end()));
            self.add(format_args!("{} is not between {least} and {most}", quoted(text)));
            return None;
        }
        Some(value)
    }

    /// A number of bytes within `range`, a whole number or written such as `"1MiB"`.
    pub(super) fn size(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let value = match self.value() {
            DeValue::String(text) => match size(text) {
                Ok(value) => value,
                Err(problem) => {
                    self.add(problem);
                    return None;
                }
            },
            DeValue::Integer(integer) => {
                u64::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(u64::MAX)
            }
            _ => return self.wanted("a size such as \"64KiB\", or a number of bytes"),
        };
        if !range.contains(&value) {
            let (least, most) = (show_size(*range.start()), show_size(*range.end()));
            self.add(format_args!("must be between {least} and {most}"));
            return None;
        }
        Some(value)
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let hint = nearest(text, words.iter().map(|(word, _)| *word));
            self.add(format_args!("{} is not known{hint}", quoted(text)));
        }
        found
    }

    /// A table; `place` is how messages call it.
    pub(super) fn table(&self, place: impl Into<String>) -> Option<Table<'a>> {
        match self.value() {
            DeValue::Table(entries) => {
                Some(Table::new(self.report, entries, self.value.span(), place.into()))
            }
            _ => self.wanted("a table"),
        }
    }

    /// An array of tables written `[[key]]`.
    pub(super) fn tables(&self) -> Option<Vec<Table<'a>>> {
        let place = format!("[[{}]]", self.label);
        match self.value() {
            DeValue::Array(array) if array.len() > 100 => {
                self.add(format_args!("there are more than 100 {place}"));
                None
            }
            DeValue::Array(array) => {
                let tables = array.iter().map(|value| self.element(value).table(&place));
                Some(tables.collect::<Vec<_>>().into_iter().flatten().collect())
            }
            DeValue::Table(_) => {
                self.add(format_args!(
                    "write {place} with double brackets, because there may be more than one"
                ));
                None
            }
            _ => self.wanted(format_args!("tables, each under {place}")),
        }
    }

    /// The elements of an array; `wanted` describes the array.
    pub(super) fn elements(&self, wanted: &str) -> Option<Vec<Item<'a>>> {
        const MOST: usize = 1000;
        let DeValue::Array(array) = self.value() else { return self.wanted(wanted) };
        if array.len() > MOST {
            self.add(format_args!("has more than {MOST} elements"));
            return None;
        }
        Some(array.iter().map(|value| self.element(value)).collect())
    }

    fn element(&self, value: &'a Spanned<DeValue<'a>>) -> Item<'a> {
        Item { report: self.report, label: self.label.clone(), key: value.span(), value }
    }

    /// The words in braces that are filled in here, besides those of every check.
    pub(super) fn filled(&self) -> &'static [&'static str] {
        self.report.filled.get()
    }

    /// Whether a text is anywhere in the value as it is written.
    pub(super) fn mentions(&self, text: &str) -> bool {
        self.report.text.get(self.value.span()).is_some_and(|written| written.contains(text))
    }

    /// Where the value stands, to report against it later.
    pub(super) fn span(&self) -> Range<usize> {
        self.value.span()
    }
}

/// `Some` of all values when there is no `None` among them. Every element has been read by then, so every
/// problem is reported.
pub(super) fn all<T>(values: impl IntoIterator<Item = Option<T>>) -> Option<Vec<T>> {
    let values: Vec<Option<T>> = values.into_iter().collect();
    values.into_iter().collect()
}

/// The value of an optional key: `Some(default)` when absent, `None` when present and wrong.
pub(super) fn or<T, I>(
    item: Option<I>,
    default: impl FnOnce() -> T,
    read: impl FnOnce(I) -> Option<T>,
) -> Option<T> {
    match item {
        None => Some(default()),
        Some(item) => read(item),
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
