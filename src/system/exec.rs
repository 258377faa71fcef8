//! Another program in this process's place: gitroll as the tree's owner, the user's pager.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::environment;
use super::user::Account;

/// Replaces this process by the same command run as `account`, with that account's groups, `HOME`,
/// `USER` and `LOGNAME`. `actor` is the person to be named in records. Returns only when it failed.
///
/// Uses `setpriv` of util-linux, which is part of every Debian system.
pub fn gitroll_as(account: &Account, actor: &str) -> io::Error {
    const KEPT: [&str; 10] = [
        "PATH",
        "LANG",
        "LC_ALL",
        "TERM",
        "NO_COLOR",
        "TZ",
        "GITROLL_HOME",
        "GITROLL_LOG",
        "COLUMNS",
        "PM2_HOME",
    ];
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error,
    };
    // A number without an account (a mounted volume's owner) is in no groups, and setpriv refuses to look.
    let groups = match Account::named(&account.name) {
        Some(_) => "--init-groups",
        None => "--clear-groups",
    };
    tracing::debug!("continuing as {}", account.name);
    let mut command = Command::new("setpriv");
    command
        .arg(format!("--reuid={}", account.uid))
        .arg(format!("--regid={}", account.gid))
        .arg(groups)
        .arg("--")
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env_clear();
    for name in KEPT {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    // What is in the home directory that is left is not that account's to read.
    let own = std::env::var_os("HOME").unwrap_or_default();
    let own = own.as_encoded_bytes();
    for (name, value) in environment::for_builds(&[]) {
        if own.is_empty() || !value.as_encoded_bytes().starts_with(own) {
            command.env(name, value);
        }
    }
    command
        .env("HOME", &account.home)
        .env("USER", &account.name)
        .env("LOGNAME", &account.name)
        .env("GITROLL_ACTOR", actor)
        .exec()
}

/// Shows `text` in a pager, which takes this process's place: so Ctrl-C is the pager's alone, and nothing
/// waits for it. `command` is a line for the shell and must be the user's own. Returns only when it failed.
pub fn pager(command: &str, text: &[u8]) -> io::Error {
    let file = match unnamed(text) {
        Ok(file) => file,
        Err(error) => return error,
    };
    tracing::debug!("starting the pager {command}");
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(file);
    // What git sets for its pager: leave short texts on the screen, show colours.
    for (name, value) in [("LESS", "FRX"), ("LV", "-c")] {
        if std::env::var_os(name).is_none() {
            shell.env(name, value);
        }
    }
    shell.exec()
}

/// What a person made of `text` in their editor, at most `most` bytes: git's choice of it, `GIT_EDITOR`, `VISUAL`,
/// `EDITOR`, else `vi`. The command is a line for the shell and the user's own.
///
/// # Errors
/// When the editor cannot be run or fails, or what it left cannot be read.
pub fn edited(text: &str, most: u64) -> io::Result<String> {
    let names = ["GIT_EDITOR", "VISUAL", "EDITOR"].into_iter();
    let editor =
        names.filter_map(|name| std::env::var(name).ok()).find(|line| !line.trim().is_empty());
    let editor = editor.unwrap_or_else(|| "vi".to_owned());
    let mut file = tempfile::Builder::new().prefix("gitroll-report-").suffix(".md").tempfile()?;
    file.write_all(text.as_bytes())?;
    tracing::debug!("starting the editor {editor}");
    let status = Command::new("sh")
        .args(["-c", &format!("{editor} \"$1\""), "sh"])
        .arg(file.path())
        .status()?;
    if !status.success() {
        return Err(io::Error::other(format!("{editor} ended with {status}")));
    }
    // An editor may put a new file in its place.
    let bytes = super::files::read_plain(file.path(), most)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A file without a name that holds `text`, at its beginning.
fn unnamed(text: &[u8]) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(text)?;
    file.rewind()?;
    Ok(file)
}
