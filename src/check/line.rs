//! A regular expression over a line, with placeholders that may tell the version. Pure.

use regex::{Regex, RegexBuilder};

use super::format::shown;
use super::template::{ABBREVIATION, Piece, Subject, Template, begins_apart, ends_apart};

/// A larger expression is not compiled.
const MOST_PROGRAM: usize = 1 << 20;

/// The lines that are looked for.
#[derive(Debug)]
pub(super) struct LinePattern {
    regex: Regex,
    /// The groups that stand for placeholders, with which one they stand for.
    groups: Vec<(String, Piece<'static>)>,
    /// A line with all of them rules out what served before.
    tells: bool,
}

impl LinePattern {
    /// # Errors
    /// When the expression, filled, is none.
    pub(super) fn new(text: &str, subject: &Subject) -> Result<Self, String> {
        let template = Template::new(text);
        let mut filled = String::new();
        let mut groups = Vec::new();
        for piece in template.pieces() {
            let own = match piece {
                Piece::Literal(text) => {
                    filled.push_str(text);
                    continue;
                }
                Piece::Version => Piece::Version,
                Piece::Commit => Piece::Commit,
                Piece::Deployment => Piece::Deployment,
            };
            let Some(value) = own.value(subject) else {
                // Not known: whatever stands there tells nothing.
                filled.push_str(r"\S+");
                continue;
            };
            let name = format!("gitroll{}", groups.len());
            let value = match own {
                Piece::Commit => abbreviated(value),
                _ => regex::escape(value),
            };
            filled.push_str(&format!("(?P<{name}>{value})"));
            groups.push((name, own));
        }
        let regex = RegexBuilder::new(&filled).size_limit(MOST_PROGRAM).build();
        let regex = regex.map_err(|_| format!("\"{}\" is no regular expression", shown(text)))?;
        let tells = template.known(subject) && template.tells(subject);
        Ok(Self { regex, groups, tells })
    }

    /// Whether the line matches; if so, whether it tells the version. A version must stand for itself.
    pub(super) fn matches(&self, line: &str) -> Option<bool> {
        if self.groups.is_empty() {
            return self.regex.is_match(line).then_some(false);
        }
        self.regex.captures_iter(line).find_map(|found| {
            let mut all = true;
            for (name, piece) in &self.groups {
                match found.name(name) {
                    None => all = false,
                    Some(value) => {
                        let apart = begins_apart(Some(piece), &line[..value.start()])
                            && ends_apart(Some(piece), &line[value.end()..]);
                        if !apart {
                            return None;
                        }
                    }
                }
            }
            Some(all && self.tells)
        })
    }
}

/// A commit by seven digits or more: `4be21d9(?:a(?:b)?)?`.
fn abbreviated(commit: &str) -> String {
    let (least, rest) = commit.split_at(ABBREVIATION.min(commit.len()));
    let digits: String = rest.chars().map(|digit| format!("(?:{digit}")).collect();
    format!("(?i:{least}{digits}{})", ")?".repeat(rest.len()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::Served;

    const COMMIT: &str = "4be21d9aaaabbbbccccddddeeeeffff000011112";

    fn subject() -> Subject {
        Subject {
            version: Some("1.0.0".to_owned()),
            commit: Some(COMMIT.parse().unwrap()),
            deployment: Some("run-7".to_owned()),
            before: None,
        }
    }

    #[test]
    fn a_version_in_a_line_must_stand_for_itself_and_then_tells() {
        let table = [
            ("listens", "shop listens", Some(false)),
            ("^Error", "an Error", None),
            ("shop {version} listens", "shop 1.0.0 listens on 3000", Some(true)),
            ("shop v{version}", "shop v1.0.0", Some(true)),
            ("{version}", "shop 1.0.0-rc.1", None),
            ("{version}", "shop 11.0.0", None),
            ("{version}", "shop 1x0x0", None),
            ("{version}", "11.0.0, now 1.0.0", Some(true)),
            ("ready|{version}", "ready", Some(false)),
            ("{commit} up", "4be21d9 up", Some(true)),
            ("{commit} up", &format!("{COMMIT} up"), Some(true)),
            ("{commit} up", "4BE21D9A up", Some(true)),
            ("{commit} up", "4be21d up", None),
            ("{commit} up", "4be21d9b up", None),
            (r"run {deployment}\b", "run run-7", Some(true)),
        ];
        for (text, line, wanted) in table {
            let found = LinePattern::new(text, &subject()).unwrap().matches(line);
            assert_eq!(found, wanted, "{text:?} against {line:?}");
        }
    }

    #[test]
    fn what_is_not_known_or_not_different_tells_nothing() {
        let nobody = Subject::default();
        let line = LinePattern::new("shop {version} up", &nobody).unwrap();
        assert_eq!(line.matches("shop 9 up"), Some(false));
        let before = Served {
            commit: "7".repeat(40).parse().unwrap(),
            name: "before".to_owned(),
            version: Some("1.0.0".to_owned()),
        };
        let same = Subject { before: Some(before), ..subject() };
        let line = LinePattern::new("{version}", &same).unwrap();
        assert_eq!(line.matches("1.0.0"), Some(false));
    }
}
