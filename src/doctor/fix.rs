//! Commands that a person can paste into a shell as they stand.

/// A word as a shell reads it: plain where it is harmless, else in single quotes. `None` for a word that
/// cannot be pasted: a terminal would act on its control characters before any shell sees it, and what
/// is invisible cannot be checked by who pastes it.
pub fn quoted(word: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._/+-@:=,".contains(c);
    let shown = |c: char| c == ' ' || c.is_ascii_graphic() || c.is_alphanumeric();
    if word.is_empty() || !word.chars().all(shown) {
        return None;
    }
    if word.chars().all(plain) && !word.starts_with('-') {
        return Some(word.to_owned());
    }
    Some(format!("'{}'", word.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_reaches_the_shell_as_one_word_or_not_at_all() {
        for (word, wanted) in [
            ("/srv/shop/.git", Some("/srv/shop/.git")),
            ("a b", Some("'a b'")),
            ("it's $(rm)", Some(r"'it'\''s $(rm)'")),
            ("Grüße", Some("'Grüße'")),
            ("-rf", Some("'-rf'")),
            ("", None),
            ("a\nb", None),
            ("a\u{1b}[2J", None),
            ("a\u{202e}b", None),
        ] {
            assert_eq!(quoted(word).as_deref(), wanted, "{word:?}");
        }
    }
}
