//! What stands in the guides as code.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use super::{exit_codes, gate, guides, read};
use crate::support::TestEnvironment;

/// ssh's own code for "no connection", which the guides explain beside gitroll's.
const OF_SSH: i32 = 255;

#[test]
fn every_command_in_a_guide_is_one_the_program_takes() {
    let host = TestEnvironment::new();
    let mut help = BTreeMap::new();
    let mut wrong = Vec::new();
    for (place, verb, options) in said() {
        let text: &String = help.entry(verb.clone()).or_insert_with(|| help_of(&host, &verb));
        if text.is_empty() {
            wrong.push(format!("{place}: gitroll {verb}: there is no such command"));
        }
        for option in options {
            let listed = text.split_whitespace().any(|word| word.trim_end_matches(',') == option);
            if !text.is_empty() && !listed {
                wrong.push(format!("{place}: gitroll {verb} has no {option}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The help of a verb and of the commands below it.
fn help_of(host: &TestEnvironment, verb: &str) -> String {
    let mut text = host.gitroll(&[verb, "--help"]).stdout.clone();
    let below = text.lines().skip_while(|line| *line != "Commands:").skip(1);
    let below = below.take_while(|line| line.starts_with("  "));
    let names = below.filter_map(|line| line.split_whitespace().next());
    let names: Vec<String> = names.filter(|name| *name != "help").map(str::to_owned).collect();
    for name in names {
        text += &host.gitroll(&[verb, &name, "--help"]).stdout;
    }
    text
}

#[test]
fn the_reader_of_commands_finds_verbs_and_options() {
    let found = |text: &str| commands(text);
    let one = |verb: &str, options: &[&str]| {
        (verb.to_owned(), options.iter().map(|&o| o.to_owned()).collect::<Vec<_>>())
    };
    assert_eq!(
        found("$ gitroll back --yes --reason \"a --b\""),
        [one("back", &["--yes", "--reason"])]
    );
    assert_eq!(
        found("exec gitroll -C \"$app\" deploy \"$c\" --wait 600"),
        [one("deploy", &["--wait"])]
    );
    assert_eq!(
        found(
            "cd x && /usr/local/bin/gitroll deploy --quiet >/dev/null; gitroll back --undo   # --no"
        ),
        [one("deploy", &["--quiet"]), one("back", &["--undo"])]
    );
    assert_eq!(found("gitroll-gate --x, gitroll.toml, refs/gitroll/ x, Gitroll x"), []);
    assert_eq!(
        code("a `gitroll x` b\n```sh\ngitroll y\n```\n    gitroll z\nend gitroll w"),
        ["gitroll x", "gitroll y", "    gitroll z"]
    );
}

#[test]
fn every_shell_line_in_a_guide_is_one_that_bash_reads() {
    let mut seen = 0;
    for page in pages() {
        for script in shell_of(&read(&page)) {
            let read = Command::new("bash").args(["-n", "-c", &script]).output();
            let read = read.expect("bash can be run");
            let said = String::from_utf8_lossy(&read.stderr);
            assert!(
                read.status.success() && said.is_empty(),
                "{}:\n{script}\n{said}",
                page.display()
            );
            seen += 1;
        }
    }
    assert!(seen > 40, "only {seen} were found");
    let read = Command::new("bash").arg("-n").arg(gate()).status();
    assert!(read.expect("bash can be run").success());
}

#[test]
fn every_exit_code_in_a_guide_is_explained() {
    let known = exit_codes();
    assert!(known.contains(&21), "{known:?}");
    let mut seen = 0;
    for page in pages() {
        for code in codes(&read(&page)) {
            assert!(known.contains(&code) || code == OF_SSH, "{}: {code}", page.display());
            seen += 1;
        }
    }
    assert!(seen > 30, "only {seen} were found");
    assert_eq!(
        codes("| 1, 10 | x |\nit exits with 20, [21]\nexit code 22, 30 minutes"),
        [1, 10, 20, 21, 22]
    );
}

fn pages() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(guides()).expect("the guides can be listed");
    let mut pages: Vec<PathBuf> = entries.map(|entry| entry.expect("a guide").path()).collect();
    pages.retain(|page| page.extension().is_some_and(|e| e == "md"));
    pages.sort();
    pages
}

/// Every command in the guides and in the files they hand out: where, which verb, which options.
fn said() -> Vec<(String, String, Vec<String>)> {
    let mut all = Vec::new();
    for page in pages() {
        let place = page.file_name().expect("a file").to_string_lossy().into_owned();
        for text in code(&read(&page)) {
            all.extend(commands(&text).into_iter().map(|(verb, o)| (place.clone(), verb, o)));
        }
    }
    for file in [
        gate(),
        guides().join("github-actions/deploy.yml"),
        guides().join("gitlab-ci/.gitlab-ci.yml"),
    ] {
        let place = file.file_name().expect("a file").to_string_lossy().into_owned();
        let lines = read(&file).lines().flat_map(commands).collect::<Vec<_>>();
        assert!(!lines.is_empty(), "{place} says no command");
        all.extend(lines.into_iter().map(|(verb, o)| (place.clone(), verb, o)));
    }
    assert!(all.len() > 80, "only {} were found", all.len());
    all
}

/// What a page shows as code: lines of blocks, and what stands between backticks.
fn code(page: &str) -> Vec<String> {
    let mut fenced = false;
    let mut found = Vec::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            found.push(line.to_owned());
        } else {
            found.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    found
}

/// The commands in a line of code: verb and long options of each.
fn commands(line: &str) -> Vec<(String, Vec<String>)> {
    let starts = line.match_indices("gitroll ").map(|(at, _)| at).filter(|&at| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| c.is_whitespace() || matches!(c, '/' | '\'' | '"' | '`' | '('))
    });
    let mut found = Vec::new();
    for start in starts {
        let rest = &line[start + "gitroll ".len()..];
        let end = ["   ", "  #", ";", "|", "&&", " >", "gitroll "]
            .iter()
            .filter_map(|mark| rest.find(mark))
            .min();
        // What is quoted is a value, whatever it looks like: every second piece.
        let plain =
            rest[..end.unwrap_or(rest.len())].split('"').step_by(2).collect::<Vec<_>>().join("_");
        let mut words = plain.split_whitespace().peekable();
        while words.next_if(|word| *word == "-C").is_some() {
            words.next();
        }
        let Some(verb) = words.next().filter(|word| word.chars().all(|c| c.is_ascii_lowercase()))
        else {
            continue;
        };
        let option = |word: &str| {
            word.starts_with("--").then(|| word.split('=').next().unwrap_or(word).to_owned())
        };
        found.push((verb.to_owned(), words.filter_map(option).collect()));
    }
    found
}

/// Blocks marked as shell, and each line after a prompt.
fn shell_of(page: &str) -> Vec<String> {
    let mut scripts = Vec::new();
    let mut block: Option<(bool, String)> = None;
    for line in page.lines() {
        if let Some(language) = line.strip_prefix("```") {
            block = match block {
                Some((true, script)) => {
                    scripts.push(script);
                    None
                }
                Some(_) => None,
                None => Some((matches!(language, "sh" | "bash"), String::new())),
            };
        } else if let Some((true, script)) = &mut block {
            script.push_str(line);
            script.push('\n');
        } else if let Some(typed) = line.trim_start().strip_prefix("$ ") {
            scripts.push(typed.to_owned());
        }
    }
    scripts
}

/// Exit codes: a table's first cell, `[20]` at the end of a line, and what follows "exit", "exits with".
fn codes(page: &str) -> Vec<i32> {
    let mut found = Vec::new();
    for line in page.lines() {
        if let Some(cell) = line.strip_prefix("| ").and_then(|rest| rest.split(" |").next()) {
            let cell: Vec<Result<i32, _>> = cell.split(", ").map(str::parse).collect();
            if cell.iter().all(Result::is_ok) {
                found.extend(cell.into_iter().flatten());
            }
        }
        let words: Vec<&str> = line.split(' ').collect();
        for (index, word) in words.iter().enumerate() {
            let bare = word.trim_matches(|c: char| !c.is_ascii_digit());
            let Ok(number) = bare.parse::<i32>() else { continue };
            let before = words[..index].iter().rev().take(2).copied().collect::<Vec<_>>();
            let said = match before.as_slice() {
                ["exit" | "exits" | "exited", ..]
                | ["with" | "code" | "codes", "exit" | "exits" | "ends"] => true,
                _ => {
                    word.starts_with('[')
                        && word.trim_end_matches([',', '.']) == format!("[{number}]")
                }
            };
            found.extend(said.then_some(number));
        }
    }
    found
}
