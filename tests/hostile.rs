//! The repository is data, not orders: what somebody who can push, the forge or another user of the host puts
//! there is never run, never believed without a pinned key, never followed out of the tree, never printed raw.

mod canaries;
mod forged;
mod guard;
mod names;
mod places;
mod records;
mod roles;
mod secrets;
mod signers;
mod way_back;

use std::fs;
use std::path::Path;

use crate::support::*;

/// No build, one short look at the health URL.
fn quick() -> AppConfig {
    AppConfig::default().without_builds().settle(1, "100ms").timeout("3s")
}

/// The plain app: 1.0.0 promoted, then left for 1.1.0, which serves.
#[track_caller]
fn two_releases(host: &TestEnvironment) -> Scenario<'_> {
    let s = Scenario::serving(host, Fixture::Plain, &quick());
    s.release("1.1.0", Behaviour::Good).exit(0);
    s
}

/// The name of the one chain there is.
#[track_caller]
fn own_chain(s: &Scenario<'_>) -> String {
    let refs =
        s.app.git(&["for-each-ref", "--format=%(refname)", "refs/gitroll/production/ledger/"]);
    assert_eq!(refs.lines().count(), 1, "{refs}");
    refs
}

/// Runs every command there is; none ends by a bug of gitroll or shows what a terminal would obey.
#[track_caller]
fn every_command(s: &Scenario<'_>) -> Vec<(&'static str, Answer)> {
    const COMMANDS: [&[&str]; 15] = [
        &["status"],
        &["targets"],
        &["log"],
        &["show"],
        &["show", "2"],
        &["check"],
        &["log", "--json"],
        &["status", "--json"],
        &["deploy", "--plan"],
        &["back", "--plan"],
        &["back", "--to", "last-stable", "--plan"],
        &["annotate", "2", "--reason", "why"],
        &["mark", "good", "v1.0.0-stable", "--reason", "r"],
        &["promote", "--as", "v9.9.9", "--yes"],
        &["init", "--yes"],
    ];
    COMMANDS
        .iter()
        .map(|args| {
            let answer = s.host.gitroll(args);
            let code = answer.code;
            assert!(
                code.is_some_and(|code| code != 70 && code < 100),
                "a bug: {}\n{}",
                args.join(" "),
                answer.transcript()
            );
            answer.never_says("panicked");
            for hidden in ["\u{1b}", "\u{7}", "\u{202e}", "\u{200b}", "\u{9b}"] {
                answer.never_says(hidden);
            }
            (args[0], answer)
        })
        .collect()
}

/// Makes an executable.
fn write_script(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).expect("the host's directory is writable");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
}
