//! Times, counts and texts of unknown origin, as people read them.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// Where `part` begins in `bytes`.
pub fn position(bytes: &[u8], part: &[u8]) -> Option<usize> {
    use gix::bstr::ByteSlice as _;
    bytes.find(part)
}

/// Text of unknown origin, safe for a terminal: control characters, escape sequences, bidirectional
/// overrides and zero-width characters are shown as `\u{…}`.
pub fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        let hidden = c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{ad}' | '\u{61c}')
            || matches!(c, '\u{e0000}'..='\u{e007f}');
        if hidden {
            safe.extend(c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    safe
}

/// A measured time: `12 ms`, `3.9 s`, `48 s`, `12 min`.
pub fn duration(time: Duration) -> String {
    let millis = time.as_millis();
    match millis {
        0..=999 => format!("{millis} ms"),
        1_000..=9_949 => format!("{:.1} s", time.as_secs_f64()),
        _ if time.as_secs() < 120 => format!("{} s", (millis + 500) / 1000),
        _ => span(time),
    }
}

/// A long time in one unit: `45 s`, `26 min`, `5 h`, `11 d`.
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A time that runs down, to the second: `45 s`, `3 min 10 s`, `5 h 02 min`.
pub fn countdown(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..=59 => format!("{seconds} s"),
        60..=3_599 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A moment of this day to the second: `03:12:10`.
pub fn time_to_second(moment: Timestamp) -> String {
    moment.to_zoned(TimeZone::system()).strftime("%H:%M:%S").to_string()
}

/// A moment of the next 24 hours in local time: `14:07`.
pub fn time_of_day(moment: Timestamp) -> String {
    moment.to_zoned(TimeZone::system()).strftime("%H:%M").to_string()
}

/// How long ago a moment is, as [`span`]; nothing for a moment to come.
pub fn ago(then: Timestamp, now: Timestamp) -> Duration {
    let seconds = now.as_second().saturating_sub(then.as_second());
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// A moment in local time with a day word: `today 03:12`, `Mon 17:20` within a week, else the date.
pub fn clock_word(then: Timestamp, now: Timestamp) -> String {
    let zone = TimeZone::system();
    let local = |t: Timestamp| -> Zoned { t.to_zoned(zone.clone()) };
    let (then, now) = (local(then), local(now));
    let days = (now.date() - then.date()).get_days();
    match days {
        0 => then.strftime("today %H:%M").to_string(),
        1..=6 => then.strftime("%a   %H:%M").to_string(),
        _ => then.strftime("%Y-%m-%d").to_string(),
    }
}

/// `512 B`, `1.5 KiB`, `12 MiB`: at most three digits.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    // As precise as it is shown.
    #[allow(clippy::cast_precision_loss)]
    let mut size = count as f64 / 1024.0;
    let mut unit = 0;
    while size >= 999.5 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(size < 9.95);
    format!("{size:.digits$} {}", UNITS[unit])
}

/// `1 record`, `2 records`.
pub fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// The name most like `name`, if any is much like it: by Jaro and Winkler, or one slip of the finger away,
/// which in a short name is much for that measure.
pub fn nearest(name: &str, known: &[String]) -> Option<String> {
    let likeness = |candidate: &String| {
        let slip = name.len() > 2 && strsim::damerau_levenshtein(name, candidate) == 1;
        let case = name.eq_ignore_ascii_case(candidate);
        let near = if case { 1.0 } else { f64::from(slip) * 0.9 };
        strsim::jaro_winkler(name, candidate).max(near)
    };
    known
        .iter()
        .map(|candidate| (likeness(candidate), candidate))
        .filter(|(score, _)| *score > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate.clone())
}

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

/// A command as it is typed into a shell; `None` if a word of it cannot be pasted.
pub fn typed(argv: &[String]) -> Option<String> {
    // An option of the command's own is as it is.
    let option = |word: &String| {
        let name = word.trim_start_matches('-');
        let plain = quoted(name).filter(|shown| shown == name && name != word)?;
        Some(format!("{}{plain}", &word[..word.len() - name.len()]))
    };
    let words: Option<Vec<String>> =
        argv.iter().map(|word| option(word).or_else(|| quoted(word))).collect();
    words.map(|words| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_unknown_origin_reaches_the_terminal_as_it_is() {
        for hostile in ["\u{1b}[2J", "a\u{202e}b", "a\u{200b}b", "\r\n", "\u{9b}31m", "\u{feff}"] {
            let shown = escape(hostile);
            assert!(shown.is_ascii(), "{shown:?}");
            assert!(!shown.chars().any(char::is_control), "{shown:?}");
        }
        assert_eq!(escape("Grüße, 世界"), "Grüße, 世界");
    }

    #[test]
    fn a_command_is_typed_with_its_options_as_they_are() {
        let argv = ["back", "--yes", "-n", "--reason", "it's late", "--to=v1.0.0"];
        let argv = argv.map(str::to_owned);
        let shown = r"back --yes -n --reason 'it'\''s late' --to=v1.0.0";
        assert_eq!(typed(&argv).as_deref(), Some(shown));
        assert_eq!(typed(&["a\u{1b}".to_owned()]), None);
    }

    #[test]
    fn times_have_one_unit() {
        let table = [
            (12, "12 ms"),
            (3_900, "3.9 s"),
            (48_200, "48 s"),
            (119_000, "119 s"),
            (700_000, "11 min"),
            (18_000_000, "5 h"),
        ];
        for (millis, wanted) in table {
            assert_eq!(duration(Duration::from_millis(millis)), wanted);
        }
        assert_eq!(span(Duration::from_secs(11 * 86_400)), "11 d");
    }

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
