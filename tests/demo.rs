//! The demo, as somebody sees it who has only just cloned the project.

use std::fs;
use std::time::Duration;

use crate::support::*;
use serde_json::json;

/// Only so that a hang or a story that got long is seen: it takes 7 s on a free machine.
const GENEROUS: Duration = Duration::from_secs(60);

/// What git itself prints about a signature; everything else fits a terminal.
const GITS_OWN: &str = "  Good \"git\" signature";

#[test]
fn the_demo_tells_its_story_and_leaves_nothing() {
    let host = TestEnvironment::new();
    let demo = host.gitroll(&["demo"]);
    demo.exit(0)
        .within(GENEROUS)
        .stdout_has("v1.0.0 observed serving")
        .stdout_has("v1.1.0 observed serving")
        .stdout_has("web ✗ 500")
        .stdout_has("v1.0.0-stable observed serving")
        .stdout_has("skip: bad (#5)")
        .stdout_has("rolled back from v1.1.0 to v1.0.0-stable")
        .stdout_has(GITS_OWN)
        .stdout_has("Nothing is left running");
    for line in demo.stdout.lines().filter(|line| !line.starts_with(GITS_OWN)) {
        assert!(line.chars().count() <= 100, "too wide: {line}");
    }
    assert_eq!(left_in(&host), Vec::<String>::new());
    assert_eq!(running_below(&host), Vec::<String>::new());

    // The README shows the end of it: some lines less, and the figures of another run.
    let mut told = demo.stdout.lines().map(without_figures);
    let readme = fs::read_to_string(project().join("README.md")).expect("it is there");
    let (_, recorded) = readme.split_once("## A bad night, recorded").expect("it has a recording");
    let recorded = recorded.split("```").nth(1).expect("the recording is code");
    for line in recorded.lines().filter(|line| !line.is_empty()) {
        let wanted = without_figures(line);
        assert!(told.any(|line| line == wanted), "the demo does not print this here: {line}");
    }
}

/// A line of output without what differs from run to run: ids, ports, times, and how far words are apart.
fn without_figures(line: &str) -> String {
    let plain = |word: &str| -> Option<String> {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        let commit = bare.len() == 7 && bare.chars().all(|c| c.is_ascii_hexdigit());
        match bare {
            "s" | "ms" => None,
            "Mon" | "Tue" | "Wed" | "Thu" | "Fri" | "Sat" | "Sun" => Some("today".to_owned()),
            _ if bare.starts_with("v1.") => Some(word.to_owned()),
            _ if commit || bare.contains(|c: char| c.is_ascii_digit()) => Some("#".to_owned()),
            _ => Some(word.to_owned()),
        }
    };
    line.split_whitespace().filter_map(plain).collect::<Vec<_>>().join(" ")
}

#[test]
fn it_needs_neither_node_nor_a_home_nor_a_configured_git() {
    let host = TestEnvironment::new();
    host.only_tools(&["git", "perl", "ssh-keygen"]);
    for name in ["HOME", "USER", "GIT_CONFIG_GLOBAL", "XDG_CONFIG_HOME", "GITROLL_HOME"] {
        host.unset(name);
    }
    let demo = host.gitroll(&["demo", "--json"]);
    let answer = demo.exit(0).within(GENEROUS).json();
    assert_eq!(answer["command"], json!("demo"));
    assert_eq!(answer["exit"], json!(0));
    let wrong = schema::misfits(&committed_schema(), &answer["result"]);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        answer["result"]["rollback_millis"].as_u64() < answer["result"]["took_millis"].as_u64()
    );
    assert_eq!(answer["result"]["kept"], json!(null));
    assert_eq!(left_in(&host), Vec::<String>::new());
    assert_eq!(running_below(&host), Vec::<String>::new());
}

#[test]
fn kept_it_can_be_looked_at_and_ended_by_the_lines_it_prints() {
    let host = TestEnvironment::new();
    let demo = host.gitroll(&["demo", "--keep"]);
    demo.exit(0).within(GENEROUS);
    let lines: Vec<&str> = demo.stdout.lines().map(str::trim).collect();
    let export = lines.iter().position(|l| l.starts_with("export GITROLL_HOME=")).expect("printed");
    let (look, end) = (lines[export + 1], lines[export + 2]);
    let typed = |line: &str| host.run("sh", &["-c", &format!("{}; {line}", lines[export])]);
    typed(look).exit(0).stdout_has("serving   v1.0.0-stable").stdout_has("web running");
    assert!(!running_below(&host).is_empty(), "kept means that it still serves");
    typed(end).exit(0);
    assert_eq!(left_in(&host), Vec::<String>::new());
    assert_eq!(running_below(&host), Vec::<String>::new());
}

#[test]
fn without_an_interpreter_it_says_what_to_install() {
    let host = TestEnvironment::new();
    host.only_tools(&["git", "ssh-keygen"]);
    host.gitroll(&["demo"]).exit(1).says("node or perl").says("perl-base");
    assert_eq!(left_in(&host), Vec::<String>::new());
}

fn committed_schema() -> serde_json::Value {
    let text = std::fs::read_to_string(project().join("docs/schema/demo.json"));
    serde_json::from_str(&text.expect("it is committed")).expect("it is JSON")
}

/// What lies in the host's temporary directory, where the demo puts its own.
fn left_in(host: &TestEnvironment) -> Vec<String> {
    let entries = std::fs::read_dir(host.path("tmp")).expect("the host has one");
    entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect()
}

/// The command lines of processes that work below the host's directory.
fn running_below(host: &TestEnvironment) -> Vec<String> {
    let root = host.root().to_path_buf();
    let processes = std::fs::read_dir("/proc").expect("Linux has it").flatten();
    processes
        .filter(|p| {
            std::fs::read_link(p.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&root))
        })
        .map(|p| std::fs::read_to_string(p.path().join("cmdline")).unwrap_or_default())
        .map(|line| line.replace('\0', " "))
        .collect()
}
