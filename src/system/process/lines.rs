//! Which lines of a program's output say what went wrong.

use std::collections::BTreeSet;

use crate::system::secrets;

/// Lines are cut at this many characters.
const WIDTH: usize = 200;

/// The last lines of output that say what went wrong: error lines first, at most `most`, colour codes
/// and progress noise removed, secrets that were met and what looks like one masked. Without any such line, the last
/// lines there are.
///
/// The lines stand in the order of the output, each once, cut at 200 characters. Bytes that are not
/// UTF-8 are shown as `�`.
pub fn telling_lines(output: &[u8], most: usize) -> Vec<String> {
    // Before any line is cut.
    let text = secrets::masked(&String::from_utf8_lossy(output));
    let mut lines: Vec<String> = text.split('\n').map(plain).collect();
    for gap in (0..lines.len()).filter(|at| is_gap(&lines[*at])).collect::<Vec<_>>() {
        // What is cut there may be a secret, and nobody would know its parts again.
        for at in [gap.checked_sub(1), Some(gap + 1)].into_iter().flatten() {
            lines.get_mut(at).map(String::clear).unwrap_or_default();
        }
    }
    let mut ranked: Vec<(u8, usize)> = Vec::new();
    let mut in_stack = false;
    for (index, line) in lines.iter().enumerate() {
        let weight = if let Some(place) = stack_place(line) {
            // Of a stack, the first line in the app's own code tells where; the rest is noise.
            let own = in_stack && is_own_code(place);
            in_stack &= !own;
            if own { 2 } else { 0 }
        } else {
            let weight = weight(line);
            in_stack |= weight == 3;
            weight
        };
        if weight > 0 {
            ranked.push((weight, index));
        }
    }
    if ranked.is_empty() {
        let quiet = |line: &str| !line.trim().is_empty() && !is_noise(line);
        ranked = lines.iter().enumerate().filter(|(_, l)| quiet(l)).map(|(i, _)| (1, i)).collect();
    }
    ranked.sort_by(|a, b| b.cmp(a));
    let mut seen = BTreeSet::new();
    ranked.retain(|(_, index)| seen.insert(lines[*index].trim().to_owned()));
    ranked.truncate(most);
    ranked.sort_by_key(|(_, index)| *index);
    ranked.into_iter().map(|(_, index)| secrets::cut(lines[index].trim(), WIDTH)).collect()
}

/// What is where the middle of an output is not kept.
pub(super) fn gap(bytes: u64) -> String {
    format!("\n… {bytes} bytes left out …\n")
}

fn is_gap(line: &str) -> bool {
    line.strip_prefix("… ")
        .and_then(|line| line.strip_suffix(" bytes left out …"))
        .is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit()))
}

/// A line as it would stand on a terminal: without escape sequences, and only what the last carriage
/// return left.
fn plain(line: &str) -> String {
    let line = line.trim_end_matches('\r');
    let line = line.rsplit('\r').next().unwrap_or(line);
    let mut plain = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.next() {
                // CSI: parameters, then one final character.
                Some('[') => while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
                // OSC and other strings: up to BEL or ESC \.
                Some(']' | 'P' | '^' | '_' | 'X') => {
                    while let Some(c) = chars.next() {
                        if c == '\u{7}' || (c == '\u{1b}' && chars.next_if_eq(&'\\').is_some()) {
                            break;
                        }
                    }
                }
                Some('(' | ')' | '#' | '%') => {
                    chars.next();
                }
                _ => {}
            },
            '\t' => plain.push(' '),
            c if c.is_control() || is_invisible(c) => {}
            c => plain.push(c),
        }
    }
    plain.truncate(plain.trim_end().len());
    plain
}

/// Characters that reorder or hide text on screen.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Whether a line names an error or speaks of one.
pub fn is_error(line: &str) -> bool {
    weight(line) >= 2
}

/// How much a line tells: 3 names an error, 2 speaks of one, 1 is a package manager's comment on it.
fn weight(line: &str) -> u8 {
    let line = line.trim();
    let lower = line.to_lowercase();
    if line.is_empty() || is_noise(line) {
        return 0;
    }
    if ["npm err!", "npm error", "error command failed"]
        .iter()
        .any(|start| lower.starts_with(start))
    {
        // What the program below npm said tells more than npm's comment on it, unless npm names a cause.
        let cause = ["e40", "e50", "eresolve", "eusage", "missing:", "invalid:", "enotfound"];
        return if cause.iter().any(|word| lower.contains(word)) { 2 } else { 1 };
    }
    let names_one = line.contains("Error:")
        || line.starts_with("Error")
        || line.contains("ERROR")
        || ["error:", "error ", "error[", "fatal:", "panic:", "panicked at", "uncaught "]
            .iter()
            .any(|start| lower.starts_with(start))
        || ["cannot find", "module not found", "command not found", "thread 'main' panicked"]
            .iter()
            .any(|words| lower.contains(words));
    if names_one {
        return 3;
    }
    let words = [
        "error",
        "err!",
        "cannot",
        "can't",
        "could not",
        "couldn't",
        "failed",
        "failure",
        "not found",
        "no such",
        "denied",
        "refused",
        "exception",
        "unable to",
        "timed out",
        "out of memory",
        "already in use",
        "eaddrinuse",
        "econnrefused",
        "enoent",
        "eacces",
        "fatal",
        "killed",
    ];
    if words.iter().any(|word| lower.contains(word)) { 2 } else { 0 }
}

/// Lines that contain an error word and say nothing, and pictures.
fn is_noise(line: &str) -> bool {
    let line = line.trim();
    let lower = line.to_lowercase();
    line.chars().all(|c| !c.is_alphanumeric())
        || lower.contains("a complete log of this run can be found in")
        || lower.contains("0 errors")
        || lower.contains("no errors")
        || lower.starts_with("npm notice")
        || lower.starts_with("npm warn")
        || lower.starts_with("node.js v")
        || lower.starts_with("throw ")
        || lower.ends_with("-debug-0.log")
}

/// The place in `    at name (place)` or `    at place`.
fn stack_place(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("at ")?;
    line.starts_with(' ').then_some(())?;
    match rest.rsplit_once('(') {
        Some((_, place)) => Some(place.trim_end_matches(')')),
        None => Some(rest),
    }
}

fn is_own_code(place: &str) -> bool {
    place.contains('/')
        && !place.starts_with("node:")
        && !place.starts_with("internal/")
        && !place.contains("/node_modules/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_of_node_is_told_by_its_message_and_its_own_line() {
        let output = b"listening soon
node:internal/modules/cjs/loader:1228
  throw err;
  ^

Error: Cannot find module 'sharp'
Require stack:
- /srv/shop/server.js
    at Module._resolveFilename (node:internal/modules/cjs/loader:1225:15)
    at require (/srv/shop/node_modules/hook/index.js:3:1)
    at Object.<anonymous> (/srv/shop/server.js:14:15)
    at Object.<anonymous> (/srv/shop/other.js:1:1) {
  code: 'MODULE_NOT_FOUND'
}

Node.js v20.20.2
";
        assert_eq!(
            telling_lines(output, 3),
            [
                "Error: Cannot find module 'sharp'",
                "at Object.<anonymous> (/srv/shop/server.js:14:15)",
            ]
        );
    }

    #[test]
    fn the_cause_of_a_failed_build_goes_before_the_comment_of_npm() {
        let output = b"
> shop@1.1.0 build
> webpack

\x1b[31mERROR in ./src/app.js 3:0\x1b[0m
Module not found: Error: Can't resolve './missing' in '/srv/shop/src'
webpack 5.90.0 compiled with 1 error in 300 ms
npm error Lifecycle script `build` failed with error:
npm error code 1
npm error path /srv/shop
npm error A complete log of this run can be found in: /root/.npm/_logs/x-debug-0.log
";
        assert_eq!(
            telling_lines(output, 2),
            [
                "ERROR in ./src/app.js 3:0",
                "Module not found: Error: Can't resolve './missing' in '/srv/shop/src'",
            ]
        );
    }

    #[test]
    fn an_error_that_only_npm_tells_is_shown() {
        let output = b"npm error code ENOTFOUND
npm error network request to https://registry.example/express failed
npm error A complete log of this run can be found in: /x-debug-0.log\n";
        assert_eq!(telling_lines(output, 5).len(), 2);
    }

    #[test]
    fn output_without_errors_gives_its_last_lines() {
        assert_eq!(telling_lines(b"one\ntwo\n\nthree\n", 2), ["two", "three"]);
        assert_eq!(telling_lines(b"", 2), Vec::<String>::new());
        assert_eq!(telling_lines(b"Error: x\n", 0), Vec::<String>::new());
    }

    #[test]
    fn escape_sequences_and_overwritten_progress_do_not_reach_the_screen() {
        let output =
            b"10 %\r50 %\rError: \x1b]0;title\x07a\x1b[1;31mb\x1b[0m\x08\xe2\x80\xae\xffc\x1b(B\r\n";
        assert_eq!(telling_lines(output, 1), ["Error: ab\u{fffd}c"]);
        assert_eq!(telling_lines(b"error \x1b[", 1), ["error"]);
        assert_eq!(telling_lines(b"error \x1b", 1), ["error"]);
    }

    #[test]
    fn a_repeated_error_is_told_once_and_long_lines_are_cut() {
        let once = telling_lines(b"Error: x\nError: x\nError: y\nError: x\n", 5);
        assert_eq!(once, ["Error: y", "Error: x"]);
        let long = telling_lines(format!("Error: {}", "é".repeat(500)).as_bytes(), 1);
        assert_eq!(long[0].chars().count(), WIDTH);
    }
}
