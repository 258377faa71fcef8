//! Becoming the tree's owner.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::user::Account;

/// Replaces this process by the same command run as `account`, with that account's groups, `HOME`,
/// `USER` and `LOGNAME`. `actor` is the person to be named in records. Returns only when it failed.
///
/// Uses `setpriv` of util-linux, which is part of every Debian system.
pub fn re_execute_as(account: &Account, actor: &str) -> io::Error {
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
    command
        .env("HOME", &account.home)
        .env("USER", &account.name)
        .env("LOGNAME", &account.name)
        .env("GITROLL_ACTOR", actor)
        .exec()
}

/// The nearest directory at or above `dir` that holds `name`.
pub fn find_upwards(dir: &Path, name: &str) -> Option<PathBuf> {
    dir.ancestors().find(|above| above.join(name).symlink_metadata().is_ok()).map(Path::to_owned)
}
