//! Keeping secrets out of what is shown and stored: environment files are read for their values, and
//! those values are replaced wherever they turn up in output.

mod earlier;
mod lookalike;

use std::collections::BTreeSet;

use super::dotenv;

pub use earlier::{Earlier, Mask, mask_of};

/// What is where a secret stood.
pub const REDACTED: &str = "[redacted]";

/// Replaces secret values in text. Made from the pairs of environment files; knows also the password of
/// any URL it meets, and what else looks like a secret.
#[derive(Clone, Default)]
pub struct Redactor {
    secrets: BTreeSet<Secret>,
    earlier: Earlier,
}

/// Never shows what it holds, not even when debugging.
impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Redactor({} secrets)", self.secrets.len())
    }
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Secret {
    text: String,
    /// Too short to be replaced inside of longer words.
    whole_word: bool,
}

impl Redactor {
    /// A redactor for the values of `pairs` (key, value) that are secrets.
    ///
    /// A value shorter than 6 bytes, a plain number, a boolean or a common word (`production`) is a
    /// secret only under a key that looks like one (`…PASSWORD…`, `…TOKEN…`); below 3 bytes it never is.
    pub fn new<K: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        let mut redactor = Self::default();
        for (key, value) in pairs {
            redactor.add(key.as_ref(), value.as_ref());
        }
        redactor
    }

    /// A redactor for the secrets in a dotenv file, however it is read.
    pub fn of_dotenv(bytes: &[u8]) -> Self {
        Self::new(dotenv::possible_values(bytes))
    }

    /// A redactor for the values under names that look like a secret's: of an environment that holds much else.
    pub fn of_environment<K: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        Self::new(pairs.into_iter().filter(|(name, _)| looks_secret(name.as_ref())))
    }

    /// Adds what another one knows.
    pub fn and(mut self, other: Redactor) -> Self {
        self.secrets.extend(other.secrets);
        self.earlier.and(other.earlier);
        self
    }

    /// Takes out secrets of earlier, too.
    pub fn with_earlier(mut self, earlier: Earlier) -> Self {
        self.earlier.and(earlier);
        self
    }

    /// What it hides, each in the spelling that is looked for.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.secrets.iter().map(|secret| secret.text.as_str())
    }

    /// The text with every secret replaced by `[redacted]`.
    pub fn text(&self, text: &str) -> String {
        let mut found: Vec<(usize, usize)> = url_passwords(text);
        found.extend(lookalike::find(text));
        found.extend(self.earlier.find(text));
        for secret in &self.secrets {
            found.extend(
                text.match_indices(secret.text.as_str())
                    .map(|(at, _)| (at, at + secret.text.len()))
                    .filter(|&(from, to)| !secret.whole_word || stands_alone(text, from, to)),
            );
        }
        found.sort_unstable();
        let mut out = String::with_capacity(text.len());
        let mut done = 0;
        for (from, to) in found {
            if from >= done {
                out.push_str(&text[done..from]);
                out.push_str(REDACTED);
            }
            done = done.max(to);
        }
        out.push_str(&text[done..]);
        out
    }

    /// Lines with every secret replaced, one that spans several lines too.
    pub fn lines<S: AsRef<str>>(&self, lines: &[S]) -> Vec<String> {
        if lines.is_empty() {
            return Vec::new();
        }
        let whole: Vec<&str> = lines.iter().map(AsRef::as_ref).collect();
        self.text(&whole.join("\n")).split('\n').map(str::to_owned).collect()
    }

    /// Bytes of output with every secret replaced; bytes that are no text become `U+FFFD`.
    pub fn output(&self, bytes: &[u8]) -> String {
        self.text(&String::from_utf8_lossy(bytes))
    }

    fn add(&mut self, key: &str, value: &str) {
        let value = value.trim();
        let secret_key = looks_secret(key);
        if value.len() < 3 || (!secret_key && is_harmless(value)) {
            return;
        }
        self.insert_with_spellings(value);
        for (from, to) in url_passwords(value) {
            let password = &value[from..to];
            if password.len() >= 3 {
                self.insert_with_spellings(password);
                self.insert_with_spellings(&percent_decoded(password));
            }
        }
        let unescaped = value.replace("\\n", "\n").replace("\\r", "");
        let mut lines = unescaped.lines().map(str::trim);
        if unescaped.contains('\n') {
            self.insert_with_spellings(&unescaped);
            // Output is often cut at line ends; a PEM's head line by itself tells nothing.
            for line in lines.by_ref().filter(|l| l.len() >= 6 && !l.starts_with("-----")) {
                self.insert_with_spellings(line);
            }
        }
    }

    fn insert_with_spellings(&mut self, value: &str) {
        let json = serde_json::to_string(value).unwrap_or_default();
        let json = json.trim_matches('"').to_owned();
        for text in [value.to_owned(), json, percent_encoded(value)] {
            let whole_word = text.len() < 6;
            self.insert(Secret { text, whole_word });
        }
    }

    fn insert(&mut self, secret: Secret) {
        if !secret.text.is_empty() {
            self.secrets.insert(secret);
        }
    }
}

/// Whether a variable or flag of this name holds a secret, as far as its name tells.
pub fn looks_secret(key: &str) -> bool {
    const SIGNS: [&str; 12] = [
        "PASSWORD",
        "PASSWD",
        "PASSPHRASE",
        "SECRET",
        "TOKEN",
        "KEY",
        "CREDENTIAL",
        "PRIVATE",
        "DSN",
        "DATABASE_URL",
        "AUTH",
        "_PASS",
    ];
    let key = key.to_ascii_uppercase();
    SIGNS.iter().any(|sign| key.contains(sign))
}

/// Whether a value is a secret by what it looks like, whatever its name: a URL with a password, a private key, a
/// signed token, the tokens and keys of well-known services.
pub fn is_secret_value(value: &str) -> bool {
    const BEGIN: [&str; 18] = [
        "ghp_",
        "gho_",
        "ghu_",
        "ghs_",
        "ghr_",
        "github_pat_",
        "glpat-",
        "npm_",
        "xoxa-",
        "xoxb-",
        "xoxp-",
        "sk_live_",
        "sk_test_",
        "rk_live_",
        "whsec_",
        "sk-",
        "AIza",
        "SG.",
    ];
    let words = || value.split(|c: char| c.is_whitespace() || "\"'=,;".contains(c));
    let long = |word: &str, least: usize| {
        word.len() >= least
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    let token = |word: &str| {
        let of_service =
            BEGIN.iter().any(|begin| word.strip_prefix(begin).is_some_and(|rest| long(rest, 16)));
        let of_aws = ["AKIA", "ASIA"].iter().any(|begin| word.starts_with(begin))
            && word.len() == 20
            && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        let signed = word.starts_with("eyJ") && word.split('.').count() == 3 && long(word, 24);
        of_service || of_aws || signed
    };
    let said = || value.to_ascii_lowercase();
    !url_passwords(value).is_empty()
        || value.contains("-----BEGIN ") && value.contains("PRIVATE KEY")
        || ["bearer ", "basic "].iter().any(|scheme| said().starts_with(scheme) && value.len() > 16)
        || ["password=", "pwd=", "secret=", "token="].iter().any(|word| said().contains(word))
        || words().any(token)
}

fn is_harmless(value: &str) -> bool {
    const COMMON: [&str; 26] = [
        "production",
        "development",
        "staging",
        "testing",
        "preview",
        "localhost",
        "127.0.0.1",
        "0.0.0.0",
        "default",
        "enabled",
        "disabled",
        "verbose",
        "warning",
        "public",
        "private",
        "server",
        "client",
        "cluster",
        "memory",
        "sqlite",
        "postgres",
        "postgresql",
        "mysql",
        "mongodb",
        "undefined",
        "http://localhost",
    ];
    value.len() < 6
        || value.parse::<f64>().is_ok()
        || is_address(value)
        || COMMON.contains(&value.to_ascii_lowercase().as_str())
}

/// Whether a value only says where something listens: `127.0.0.1:5432`, `db.internal:5432`, `http://10.0.0.7:8080/`. A
/// path, a question and a user may hold a secret; an address is what a person must see at night.
fn is_address(value: &str) -> bool {
    let bare = value.split_once("://").map_or(value, |(_, rest)| rest.trim_end_matches('/'));
    if bare.parse::<std::net::SocketAddr>().is_ok() || bare.parse::<std::net::IpAddr>().is_ok() {
        return true;
    }
    let (host, port) =
        bare.rsplit_once(':').map_or((bare, None), |(host, port)| (host, Some(port)));
    let named = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let listens = port.map_or(bare != value, |port| port.parse::<u16>().is_ok());
    listens && (host == "localhost" || host.contains('.')) && host.split('.').all(named)
}

/// Where passwords stand in `scheme://user:password@host`.
fn url_passwords(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (at, mark) in text.match_indices("://") {
        let begin = at + mark.len();
        let authority = text[begin..]
            .find(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '"' | '\'' | '<' | '>'))
            .map_or(&text[begin..], |end| &text[begin..begin + end]);
        // A password may itself hold `@` or `:`: the last `@` ends it, the first `:` begins it.
        if let Some(end) = authority.rfind('@')
            && let Some(colon) = authority[..end].find(':')
            && colon + 1 < end
            && &authority[colon + 1..end] != REDACTED
        {
            found.push((begin + colon + 1, begin + end));
        }
    }
    found
}

fn stands_alone(text: &str, from: usize, to: usize) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    !text[..from].chars().next_back().is_some_and(word)
        && !text[to..].chars().next().is_some_and(word)
}

fn percent_encoded(value: &str) -> String {
    let mut out = String::new();
    for b in value.bytes() {
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

fn percent_decoded(value: &str) -> String {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&b, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.filter(|_| b == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(b);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
