//! What `--help` says: every verb has examples, nothing is wider than a terminal, and a change is seen.

use crate::support::*;

const VERBS: [&str; 42] = [
    "init",
    "deploy",
    "promote",
    "demote",
    "back",
    "component",
    "flags",
    "migrate",
    "targets",
    "status",
    "log",
    "logs",
    "show",
    "diff",
    "report",
    "stats",
    "check",
    "advise",
    "approve",
    "doctor",
    "mark",
    "unhold",
    "annotate",
    "saved",
    "point",
    "settings",
    "fsck",
    "hooks",
    "sync",
    "trust",
    "service",
    "resume",
    "abort",
    "eject",
    "demo",
    "config",
    "notify",
    "completions",
    "help",
    "watch",
    "silence",
    "incident",
];

/// No help text is wider, so that it can be read in any terminal and quoted in any page.
const MOST_COLUMNS: usize = 100;

#[test]
fn the_help_of_every_verb_is_as_reviewed() {
    let host = TestEnvironment::new();
    let mut all = host.gitroll(&["--help"]).exit(0).stdout.clone();
    for verb in VERBS {
        let help = host.gitroll(&[verb, "--help"]).exit(0).stdout.clone();
        assert!(help.contains("\nExamples:\n  gitroll "), "{verb} shows no example");
        all.push_str(&format!("\n\n=== {verb}\n{help}"));
    }
    for line in all.lines() {
        assert!(line.chars().count() <= MOST_COLUMNS, "too wide: {line}");
    }
    // Trailing spaces are clap's and say nothing.
    let all: Vec<&str> = all.lines().map(str::trim_end).collect();
    snapshots(&host).bind(|| insta::assert_snapshot!("help", all.join("\n")));
}

#[test]
fn prose_is_wrapped_once_at_every_width() {
    let host = TestEnvironment::new();
    for width in [60, 80, 120] {
        host.set("COLUMNS", width.to_string());
        let most = width.min(MOST_COLUMNS);
        for verb in VERBS {
            let help = host.gitroll(&[verb, "--help"]).exit(0).stdout.clone();
            let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
            for pair in lines.windows(2) {
                let prose = |line: &str| !line.is_empty() && !line.starts_with(' ');
                // Beneath a heading and beneath an example begins something new.
                if !prose(pair[0]) || !prose(pair[1]) || pair[0].starts_with("Usage:") {
                    continue;
                }
                let next = pair[1].split(' ').next().unwrap_or_default().chars().count();
                let room = most.saturating_sub(pair[0].chars().count() + 1);
                assert!(
                    next > room,
                    "{verb} at {width} columns breaks early: {:?}, {:?}",
                    pair[0],
                    pair[1]
                );
            }
        }
    }
}

#[test]
fn every_verb_of_the_program_is_looked_at_here() {
    let host = TestEnvironment::new();
    let help = host.gitroll(&["--help"]).exit(0).stdout.clone();
    // In groups, each with a heading.
    let groups = help.split("Exit codes:").next().expect("it begins with the verbs");
    let groups = groups.split("Global options:").next().expect("the verbs are listed");
    let mut listed: Vec<&str> = groups
        .lines()
        .skip_while(|line| *line != "Set up:")
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    listed.sort_unstable();
    let mut verbs = VERBS.to_vec();
    verbs.sort_unstable();
    assert_eq!(listed, verbs);
}

#[test]
fn the_exit_codes_are_in_the_help_and_in_the_document() {
    let host = TestEnvironment::new();
    let help = host.gitroll(&["--help"]).exit(0).stdout.clone();
    let codes = help.split("Exit codes:\n").nth(1).expect("the exit codes are listed");
    let listed: Vec<&str> = codes.lines().filter_map(|l| l.split_whitespace().next()).collect();
    let page = std::fs::read_to_string(project().join("docs/exit-codes.md")).expect("it is there");
    let explained: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## ")?.split(':').next())
        .filter(|code| code.chars().all(|c| c.is_ascii_digit()))
        .collect();
    assert_eq!(listed, explained, "gitroll --help (left) and docs/exit-codes.md (right)");
    assert_eq!(listed, ["0", "1", "2", "10", "11", "12", "20", "21", "22", "30", "70"]);
}

#[test]
fn a_mistyped_verb_is_a_usage_error_that_names_the_nearest() {
    let host = TestEnvironment::new();
    host.gitroll(&["bakc"]).exit(2).stderr_has("back");
    host.gitroll(&["back", "--undo", "--to", "previous"]).exit(2);
    host.gitroll(&[])
        .exit(2)
        .stderr_has("no app is bound on this host")
        .stderr_has("gitroll --help");
    let wrong = host.gitroll(&["deploy", "--nope", "--json"]);
    wrong.exit(2).stderr_has("[2]").stderr_has("gitroll deploy --help");
    let error = wrong.json()["error"].clone();
    assert_eq!(error["next"][0][0], "gitroll deploy --help", "{error}");
}
