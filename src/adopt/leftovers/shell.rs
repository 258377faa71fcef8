//! Shell text split into simple commands and words, well enough to find what deploys.
//!
//! Knows quotes, backslashes, substitutions, comments and the operators `&&`, `||`, `;`, `|` and `&`. It
//! expands nothing and executes nothing, and there is no text it fails on: what it does not understand
//! stays a word.

/// One simple command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command<'a> {
    /// The operator before it; empty for the first.
    pub(super) joined: &'a str,
    /// Its text, without the white space around it.
    pub(super) text: &'a str,
    /// Its words, `(`, `)`, `{` and `}` among them.
    pub(super) words: Vec<Word<'a>>,
}

/// One word of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word<'a> {
    /// As written.
    pub(super) raw: &'a str,
    /// Without its quotes and backslashes.
    pub(super) value: String,
    /// Where it begins in the command's text.
    pub(super) at: usize,
}

/// The simple commands of a line. A comment at its end belongs to none.
pub(super) fn split(line: &str) -> Vec<Command<'_>> {
    let mut commands = Vec::new();
    let mut splitter = Splitter { line, at: 0 };
    let mut joined = "";
    loop {
        let words = splitter.words();
        if let (Some(first), Some(last)) = (words.first(), words.last()) {
            let begin = first.at;
            let text = &line[begin..last.at + last.raw.len()];
            let words = words.into_iter().map(|w| Word { at: w.at - begin, ..w }).collect();
            commands.push(Command { joined, text, words });
        }
        match splitter.operator() {
            Some(operator) => joined = operator,
            None => return commands,
        }
    }
}

struct Splitter<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Splitter<'a> {
    fn rest(&self) -> &'a str {
        &self.line[self.at..]
    }

    /// The words up to the next operator, each with its place in the line.
    fn words(&mut self) -> Vec<Word<'a>> {
        let mut words = Vec::new();
        loop {
            self.at = self.line.len() - self.rest().trim_start().len();
            let rest = self.rest();
            if rest.starts_with('#') {
                self.at = self.line.len();
            }
            if self.rest().is_empty() || self.operator_here().is_some() {
                return words;
            }
            let begin = self.at;
            let bracket = rest.starts_with(['(', ')'])
                || (rest.starts_with(['{', '}'])
                    && rest[1..].chars().next().is_none_or(|c| c.is_whitespace() || c == ';'));
            let value = if bracket {
                self.at += 1;
                rest[..1].to_owned()
            } else {
                self.word()
            };
            words.push(Word { raw: &self.line[begin..self.at], value, at: begin });
        }
    }

    fn word(&mut self) -> String {
        let mut value = String::new();
        while let Some(c) = self.rest().chars().next() {
            let redirects = value.ends_with(['>', '<']) || self.rest().starts_with("&>");
            let ends = c.is_whitespace() || matches!(c, ';' | '|' | '(' | ')');
            if ends || (c == '&' && !redirects) {
                break;
            }
            self.at += c.len_utf8();
            match c {
                '\\' => {
                    let next = self.rest().chars().next();
                    value.extend(next);
                    self.at += next.map_or(0, char::len_utf8);
                }
                '\'' | '"' => self.quoted(c, &mut value),
                '`' => {
                    value.push(c);
                    self.quoted(c, &mut value);
                    value.push(c);
                }
                '$' if self.rest().starts_with('(') => {
                    value.push(c);
                    self.substitution(&mut value);
                }
                c => value.push(c),
            }
        }
        value
    }

    /// Up to the closing `quote`, which is not part of the value.
    fn quoted(&mut self, quote: char, value: &mut String) {
        let mut escaped = false;
        for c in self.rest().chars() {
            self.at += c.len_utf8();
            match c {
                c if escaped => {
                    value.push(c);
                    escaped = false;
                }
                '\\' if quote != '\'' => escaped = true,
                c if c == quote => return,
                c => value.push(c),
            }
        }
    }

    /// Up to the parenthesis that closes `$(`, with it.
    fn substitution(&mut self, value: &mut String) {
        let mut depth = 0;
        for c in self.rest().chars() {
            self.at += c.len_utf8();
            value.push(c);
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn operator_here(&self) -> Option<&'a str> {
        let rest = self.rest();
        if rest.starts_with("&>") {
            return None;
        }
        let operators = ["&&", "||", ";;", "|&", ";", "|", "&"];
        operators.into_iter().find(|operator| rest.starts_with(operator))
    }

    fn operator(&mut self) -> Option<&'a str> {
        let operator = self.operator_here()?;
        self.at += operator.len();
        Some(operator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> Vec<String> {
        let spell = |command: Command<'_>| {
            let words: Vec<String> = command.words.into_iter().map(|word| word.value).collect();
            format!("{}[{}]", command.joined, words.join("|"))
        };
        split(line).into_iter().map(spell).collect()
    }

    #[test]
    fn commands_and_words_are_split_as_a_shell_would() {
        let cases: [(&str, &[&str]); 14] = [
            ("", &[]),
            ("   # a comment", &[]),
            ("git pull", &["[git|pull]"]),
            ("cd /a&&git pull;pm2 reload x", &["[cd|/a]", "&&[git|pull]", ";[pm2|reload|x]"]),
            ("a 'b && c' \"d;e\" f\\ g", &["[a|b && c|d;e|f g]"]),
            ("a >> log 2>&1 | tee x &", &["[a|>>|log|2>&1]", "|[tee|x]"]),
            ("a &> log || b", &["[a|&>|log]", "||[b]"]),
            ("cd $(dirname \"$0\") && x `a;b`", &["[cd|$(dirname \"$0\")]", "&&[x|`a;b`]"]),
            ("(cd /a && git pull)", &["[(|cd|/a]", "&&[git|pull|)]"]),
            ("a#b # c; d", &["[a#b]"]),
            ("echo 'open && git pull", &["[echo|open && git pull]"]),
            ("echo \"a \\\" && b\" && c", &["[echo|a \" && b]", "&&[c]"]),
            ("${A:-b} {a,b}", &["[${A:-b}|{a,b}]"]),
            ("\u{1b}[31m é&&\\", &["[\u{1b}[31m|é]", "&&[]"]),
        ];
        for (line, wanted) in cases {
            assert_eq!(told(line), wanted, "{line:?}");
        }
    }

    #[test]
    fn the_text_of_a_command_and_the_places_of_its_words_fit() {
        for line in ["  é  git  'pu ll' && x ", "a;;b", "((", "$(", "'", "a & & b", "&>x"] {
            for command in split(line) {
                for word in &command.words {
                    assert!(command.text[word.at..].starts_with(word.raw), "{line:?}");
                }
            }
        }
    }
}
