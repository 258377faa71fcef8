//! The words, texts and marks of JavaScript, TypeScript and JSX. A scan in one pass and without recursion:
//! no text, however it nests, can exhaust the stack.
//!
//! What is understood: comments, strings, template literals with code inside them, regular expressions
//! (told from divisions by what is before them). JSX needs no mode of its own: a quote that follows a
//! letter (`Don't`) or is not closed on its line starts no string, `</` and `/>` start no regular
//! expression. The price: an odd quote in JSX text may hide code after it on the same line.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'a> {
    /// Where it begins.
    pub at: usize,
    /// What it is.
    pub what: What<'a>,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What<'a> {
    /// A name, keyword or number.
    Word(&'a [u8]),
    /// A string, or a template literal without code: what is between the quotes.
    Text(&'a [u8]),
    /// A regular expression, or the beginning of a template literal with code.
    Other,
    /// Any other byte. The parenthesis that ends the condition of `if`, `for`, `while` or `with` is `;`.
    Mark(u8),
}

/// Tokens in order, and whether the text ended where it should: not in a comment or template literal.
pub(super) fn tokens(text: &[u8]) -> (Vec<Token<'_>>, bool) {
    let mut lexer = Lexer {
        text,
        at: 0,
        tokens: Vec::new(),
        templates: Vec::new(),
        parens: Vec::new(),
        patience: MOST_WASTED * text.len(),
    };
    if text.starts_with(b"#!") {
        lexer.skip_line();
    }
    let ended = lexer.run() && lexer.templates.is_empty();
    let complete = ended && lexer.patience > 0 && !text.contains(&0);
    (lexer.tokens, complete)
}

/// How often the length of the text may be looked at without success, for strings and regular expressions that do
/// not end on their line. Ordinary code comes nowhere near; a line made for it would take minutes.
const MOST_WASTED: usize = 8;

/// Part of a name or number.
pub(super) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$') || byte >= 0x80
}

struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    tokens: Vec<Token<'a>>,
    /// Open template literals, each with the braces open in its code.
    templates: Vec<u32>,
    /// Open parentheses: whether each holds the condition of a statement.
    parens: Vec<bool>,
    /// Bytes that may still be looked at without success.
    patience: usize,
}

impl<'a> Lexer<'a> {
    fn run(&mut self) -> bool {
        while let Some(byte) = self.peek(0) {
            match byte {
                b'/' if self.peek(1) == Some(b'/') && !self.in_url() => self.skip_line(),
                b'/' if self.peek(1) == Some(b'*') => {
                    let Some(end) = self.find(self.at + 2, b"*/") else { return false };
                    self.at = end + 2;
                }
                b'/' => self.slash(),
                b'"' | b'\'' => self.string(byte),
                b'`' => {
                    let begin = self.at;
                    if !self.template(begin + 1, begin) {
                        return false;
                    }
                }
                b'}' if self.templates.last() == Some(&0) => {
                    self.templates.pop();
                    if !self.template(self.at + 1, self.at) {
                        return false;
                    }
                }
                _ if is_word(byte) => self.word(),
                _ if byte.is_ascii_whitespace() => self.at += 1,
                _ => self.mark(byte),
            }
        }
        true
    }

    fn mark(&mut self, byte: u8) {
        let mut told = byte;
        match byte {
            b'{' => self.templates.iter_mut().next_back().into_iter().for_each(|open| *open += 1),
            b'}' => self.templates.iter_mut().next_back().into_iter().for_each(|open| *open -= 1),
            b'(' => self
                .parens
                .push(matches!(self.last(), Some(What::Word(b"if" | b"for" | b"while" | b"with")))),
            b')' if self.parens.pop() == Some(true) => told = b';',
            _ => {}
        }
        self.push(self.at, What::Mark(told));
        self.at += 1;
    }

    fn word(&mut self) {
        let begin = self.at;
        let rest = &self.text[begin..];
        self.at += rest.iter().position(|b| !is_word(*b)).unwrap_or(rest.len());
        self.push(begin, What::Word(&self.text[begin..self.at]));
    }

    fn string(&mut self, quote: u8) {
        let begin = self.at;
        let glued = begin > 0 && is_word(self.text[begin - 1]);
        let keyword = matches!(self.last(), Some(What::Word(word)) if before_text(word));
        if (glued && !keyword) || self.patience == 0 {
            return self.mark(quote);
        }
        let mut at = begin + 1;
        loop {
            match self.text.get(at) {
                Some(b'\\') => at += 2,
                Some(b'\n') | None => {
                    self.patience = self.patience.saturating_sub(at - begin);
                    return self.mark(quote);
                }
                Some(byte) if *byte == quote => break,
                Some(_) => at += 1,
            }
        }
        self.push(begin, What::Text(&self.text[begin + 1..at]));
        self.at = at + 1;
    }

    /// A template literal's text from `from`, up to its end or to code in it; false at the end of all.
    /// `begin` is the backtick, or the brace that ended code in it.
    fn template(&mut self, from: usize, begin: usize) -> bool {
        let first = self.text[begin] == b'`';
        let mut at = from;
        loop {
            match self.text.get(at) {
                None => return false,
                Some(b'\\') => at += 2,
                Some(b'`') => {
                    let what =
                        if first { What::Text(&self.text[from..at]) } else { What::Mark(b')') };
                    self.push(begin, what);
                    self.at = at + 1;
                    return true;
                }
                Some(b'$') if self.text.get(at + 1) == Some(&b'{') => {
                    self.push(begin, if first { What::Other } else { What::Mark(b')') });
                    self.push(at, What::Mark(b'('));
                    self.templates.push(0);
                    self.at = at + 2;
                    return true;
                }
                Some(_) => at += 1,
            }
        }
    }

    fn slash(&mut self) {
        if self.patience == 0 || !self.expression_may_begin() {
            return self.mark(b'/');
        }
        match self.regex_end() {
            Ok(end) => {
                self.push(self.at, What::Other);
                self.at = end;
            }
            Err(line_end) => {
                self.patience = self.patience.saturating_sub(line_end - self.at);
                self.mark(b'/');
            }
        }
    }

    /// Whether a `/` here begins a regular expression rather than divides.
    fn expression_may_begin(&self) -> bool {
        match self.last() {
            None => true,
            Some(What::Word(word)) => before_text(word),
            Some(What::Text(_) | What::Other | What::Mark(b')' | b']')) => false,
            Some(What::Mark(b'}')) => self.peek(1) != Some(b'>'),
            Some(What::Mark(b'<')) => self.at == 0 || self.text[self.at - 1] != b'<',
            Some(What::Mark(_)) => true,
        }
    }

    /// Behind the regular expression that begins here, or where its line ends before it does.
    fn regex_end(&self) -> Result<usize, usize> {
        let mut class = false;
        let mut at = self.at + 1;
        loop {
            match self.text.get(at) {
                None | Some(b'\n') => return Err(at),
                Some(b'\\') if self.text.get(at + 1) != Some(&b'\n') => at += 1,
                Some(b'[') => class = true,
                Some(b']') => class = false,
                Some(b'/') if !class => return Ok(at + 1),
                Some(_) => {}
            }
            at += 1;
        }
    }

    /// `https://` in the text of JSX begins no comment.
    fn in_url(&self) -> bool {
        let before = &self.text[..self.at];
        before.ends_with(b"http:") || before.ends_with(b"https:")
    }

    fn skip_line(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
    }

    fn find(&self, from: usize, what: &[u8]) -> Option<usize> {
        let rest = self.text.get(from..)?;
        rest.windows(what.len()).position(|window| window == what).map(|at| from + at)
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    fn last(&self) -> Option<What<'a>> {
        self.tokens.last().map(|token| token.what)
    }

    fn push(&mut self, at: usize, what: What<'a>) {
        self.tokens.push(Token { at, what });
    }
}

/// Keywords that a string or regular expression may follow directly.
fn before_text(word: &[u8]) -> bool {
    const KEYWORDS: [&[u8]; 18] = [
        b"import", b"from", b"export", b"as", b"return", b"case", b"typeof", b"in", b"of", b"new",
        b"throw", b"else", b"do", b"default", b"await", b"yield", b"void", b"delete",
    ];
    KEYWORDS.contains(&word)
}
