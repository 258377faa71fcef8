//! What looks like a secret, wherever it comes from: nobody has to declare it.

use std::sync::LazyLock;

use regex::Regex;

/// Tokens and keys that begin as those of well-known services do.
static TOKEN: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?x)
        (?: \b | _ ) (
          gh[pousr]_[A-Za-z0-9]{16,} | github_pat_[A-Za-z0-9_]{20,} | glpat-[A-Za-z0-9_\-]{16,}
        | npm_[A-Za-z0-9]{30,} | pypi-[A-Za-z0-9_\-]{30,} | dop_v1_[a-f0-9]{32,} | hf_[A-Za-z0-9]{30,}
        | xox[abposr]-[A-Za-z0-9\-]{16,} | [rs]k_(?:live|test)_[A-Za-z0-9]{8,} | whsec_[A-Za-z0-9+/=]{16,}
        | sk-[A-Za-z0-9_\-]*[0-9][A-Za-z0-9_\-]{16,} | AIza[A-Za-z0-9_\-]{30,} | ya29\.[A-Za-z0-9_\-]{20,}
        | SG\.[A-Za-z0-9_\-]{16,}\.[A-Za-z0-9_\-]{16,} | shp(?:at|ss|ca|pa)_[A-Fa-f0-9]{32}
        | (?:AKIA|ASIA)[A-Z0-9]{16} | eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{4,}
        )",
    )
});

/// `Bearer …`, `Basic …`.
static SCHEME: LazyLock<Regex> =
    LazyLock::new(|| regex(r"(?i)\b(?:bearer|basic)\s+([A-Za-z0-9+/_.~=\-]{16,})"));

/// The name of a secret and what assigns to it: `password=`, `"apiKey": "`, `--token `.
static NAME: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r#"(?xi)
        [a-z0-9_.\-]* (?: password | passwd | passphrase | pwd | secret | token | credential | api[_\-]?key
        | access[_\-]?key | private[_\-]?key | encryption[_\-]?key | signing[_\-]?key ) [a-z0-9_\-]*
        \\?["']? (?P<sign> \s? [=:] \s? ) (?P<open> \\?["'`]? )"#,
    )
});

/// The block of a private key, to its end or to that of the text.
static KEY: LazyLock<Regex> = LazyLock::new(|| {
    regex(
        r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(?:.*?-----END [A-Z0-9 ]*PRIVATE KEY-----|.*\z)",
    )
});

/// Where a text holds what looks like a secret.
pub(super) fn find(text: &str) -> Vec<(usize, usize)> {
    let range = |found: regex::Match<'_>| (found.start(), found.end());
    let mut found: Vec<(usize, usize)> = Vec::new();
    found.extend(KEY.find_iter(text).map(range));
    found.extend(TOKEN.captures_iter(text).filter_map(|c| c.get(1)).map(range));
    let schemes = SCHEME.captures_iter(text).filter_map(|c| c.get(1));
    found.extend(schemes.filter(|value| looks_random(value.as_str())).map(range));
    for name in NAME.captures_iter(text) {
        let part = |name_of: &str| name.name(name_of).map_or("", |part| part.as_str());
        let begin = name.get(0).map_or(0, |all| all.end());
        let quote = part("open");
        let value = &text[begin..];
        let value = &value[..end_of_value(value, quote)];
        // In prose a colon or a sign between blanks assigns nothing.
        let assigns = !quote.is_empty() || part("sign") == "=";
        let secret = if assigns { !is_plain(value) } else { looks_random(value) };
        if value.len() >= 4 && secret {
            found.push((begin, begin + value.len()));
        }
    }
    found
}

/// Where a value ends: at the quote that began it, or where no value without quotes continues.
fn end_of_value(value: &str, quote: &str) -> usize {
    let open = |c: char| c.is_whitespace() || r#""'`&,;<>(){}[]|\"#.contains(c);
    let end = match (quote.strip_prefix('\\'), quote.chars().next()) {
        (Some(_), _) => value.find(quote),
        (None, Some(quote)) => {
            let mut escaped = false;
            let closing = |(_, c): &(usize, char)| {
                let closing = *c == '\n' || *c == quote && !escaped;
                escaped = *c == '\\' && !escaped;
                closing
            };
            value.char_indices().find(closing).map(|(at, _)| at)
        }
        (None, None) => value.find(open),
    };
    end.unwrap_or(value.len())
}

/// Words that stand where a secret is missing, and what is masked already.
fn is_plain(value: &str) -> bool {
    const WORDS: [&str; 12] = [
        "null",
        "none",
        "undefined",
        "true",
        "false",
        "missing",
        "empty",
        "invalid",
        "expired",
        "required",
        "unset",
        "redacted",
    ];
    WORDS.contains(&value.to_ascii_lowercase().as_str())
        || value.chars().all(|c| matches!(c, '*' | 'x' | 'X' | '.' | '•'))
        || value.len() < 6 && value.parse::<f64>().is_ok()
}

/// Long enough, with letters and digits: no word of a language.
fn looks_random(value: &str) -> bool {
    value.len() >= 8
        && value.bytes().any(|b| b.is_ascii_digit())
        && value.bytes().any(|b| b.is_ascii_alphabetic())
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a pattern that a test compiles")
}

#[cfg(test)]
mod tests {
    use crate::model::Redactor;

    #[test]
    fn what_looks_secret_is_masked_and_its_name_stays() {
        for (text, wanted) in [
            ("token=sk_live_4eC39HqLyjWDarjtT1zdp7dc failed", "token=[redacted] failed"),
            ("using sk_live_4eC39HqLyjWDarjtT1zdp7dc", "using [redacted]"),
            ("password=hunter22 refused", "password=[redacted] refused"),
            ("?apikey=abc123def&x=1", "?apikey=[redacted]&x=1"),
            (r#"{"apiKey":"with blanks in it","a":1}"#, r#"{"apiKey":"[redacted]","a":1}"#),
            (r#"{\"client_secret\":\"s3cr3t\"}"#, r#"{\"client_secret\":\"[redacted]\"}"#),
            (r#"{"password":"ab\"cd ef","a":1}"#, r#"{"password":"[redacted]","a":1}"#),
            ("DB_PASSWORD='it is long' x", "DB_PASSWORD='[redacted]' x"),
            ("dbPassword: hunter22x", "dbPassword: [redacted]"),
            ("Authorization: Bearer abcdef0123456789abcd", "Authorization: Bearer [redacted]"),
            ("key AKIAIOSFODNN7EXAMPLE used", "key [redacted] used"),
            ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl!", "jwt [redacted]!"),
            (
                "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nb",
                "a\n[redacted]\nb",
            ),
            ("a -----BEGIN PRIVATE KEY-----\nMIIE", "a [redacted]"),
        ] {
            assert_eq!(Redactor::default().text(text), wanted);
        }
    }

    #[test]
    fn what_is_no_secret_stays_readable() {
        for text in [
            "SyntaxError: Unexpected token: punc (,)",
            "Error: JWT_SECRET is not set",
            "token=undefined password=null secret=***",
            "password: must have at least 8 characters",
            "max_tokens=4096",
            "invalid password for user app",
            "basic authentication is required here",
            "sk-learn-something-quite-long-but-wordy",
            "npm_config_registry=http://127.0.0.1:1",
            "const token = request.token",
            "password=[redacted]",
        ] {
            assert_eq!(Redactor::default().text(text), text);
        }
    }
}
