#![allow(clippy::unwrap_used)]

use super::*;
use crate::model::{Oid, RepoPath};
use crate::report::diff::{Change, Commits, SuspectKind};

fn oid(digit: char) -> Oid {
    digit.to_string().repeat(40).parse().unwrap()
}

fn state(name: &str, digit: char) -> State {
    State { commit: oid(digit), name: name.to_owned(), seq: None, role: "named".to_owned() }
}

const HOSTILE: &str = "x\n\u{1b}[2J`@everyone` [a](https://evil.example) <b>\u{202e}\r| #1 **";

/// With this many of everything, all of it named by someone hostile.
fn diff(many: usize) -> Diff {
    let path = RepoPath::new(HOSTILE.replace('/', ":")).unwrap();
    let file = FileChange {
        path: path.clone(),
        change: Change::Modified,
        was: None,
        similarity: None,
        added: Some(u64::MAX / 2),
        deleted: Some(3),
    };
    let part = Part {
        component: Some("QW-001".parse().unwrap()),
        title: Some(HOSTILE.repeat(20)),
        totals: Totals { files: 100_000, added: 1, deleted: 2 },
        files: vec![file; many],
    };
    let author = Person {
        name: HOSTILE.to_owned(),
        email: String::new(),
        time: jiff::Timestamp::UNIX_EPOCH,
    };
    let commit = CommitLine {
        id: oid('c'),
        author,
        subject: HOSTILE.to_owned(),
        merge: false,
        touches: vec![path; 3],
        held: true,
    };
    let suspects = vec![Suspect::for_tests(SuspectKind::Dependency, HOSTILE); many];
    let commits = Commits {
        gained: many,
        lost: many,
        gained_commits: vec![commit.clone(); many],
        lost_commits: vec![commit; many],
    };
    Diff {
        from: state(HOSTILE, 'a'),
        to: state("v2", 'b'),
        same: false,
        totals: Totals::default(),
        seen_now: Vec::new(),
        suspects,
        locks: Vec::new(),
        environment: None,
        parts: vec![part; many],
        commits,
        warnings: vec![HOSTILE.to_owned(); many],
    }
}

#[test]
fn what_is_pasted_is_never_longer_than_20_lines_and_uses_the_room() {
    let style = Style::detect(false);
    for form in [Form::Text(&style), Form::Markdown] {
        for many in [0, 1, 2, 3, 7, 8, 500] {
            let page = short(&diff(many), form);
            assert!(page.len() <= MOST_LINES, "{} lines of {many}", page.len());
            assert!(page.iter().all(|line| !line.contains('\n')), "{page:?}");
        }
        assert_eq!(short(&diff(500), form).len(), MOST_LINES);
    }
}

#[test]
fn nothing_from_the_repository_is_a_command_to_the_terminal_or_markup() {
    let style = Style::detect(false);
    for page in [whole(&diff(2), Form::Text(&style)), whole(&diff(2), Form::Markdown)] {
        let hidden = |line: &String| line.chars().any(|c| c.is_control() || c == '\u{202e}');
        assert!(!page.iter().any(hidden), "{page:?}");
    }
    for line in whole(&diff(2), Form::Markdown) {
        // What is outside of code: every other piece between backticks.
        let outside: String = line.split('`').step_by(2).collect();
        let wrong = outside.contains(['@', '<', '#', '|', '[', '_', '/']);
        assert!(!wrong, "{line:?}");
        assert_eq!(line.matches('`').count() % 2, 0, "{line:?}");
    }
}

#[test]
fn harmless_words_stay_words_in_markdown() {
    assert_eq!(told("direct, major"), "direct, major");
    assert_eq!(told("app/api/route.js"), "`app/api/route.js`");
    assert_eq!(told("- [x] done"), "`- [x] done`");
    assert_eq!(told("1. first"), "`1. first`");
    assert_eq!(told("www.evil.example"), "`www.evil.example`");
}
