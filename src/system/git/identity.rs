//! Who acts, as far as git knows.

use std::fs;

use jiff::Timestamp;

use crate::model::Person;

use super::Git;
use super::settings::Origin;

impl Git {
    /// The user's git identity, `now`: the environment (`GIT_COMMITTER_*`, `GIT_AUTHOR_*`), the user's or
    /// system's configuration, then the repository's (it is only text), else one made from the account and
    /// host names.
    pub fn identity(&self, now: Timestamp) -> Person {
        let account = account_name(rustix::process::geteuid().as_raw());
        let name = self.declared("NAME", "user.name").unwrap_or_else(|| account.clone());
        let email = self
            .declared("EMAIL", "user.email")
            .unwrap_or_else(|| format!("{account}@{}", host_name()));
        Person { name, email, time: now }
    }

    fn declared(&self, part: &str, key: &str) -> Option<String> {
        let from_env = ["GIT_COMMITTER", "GIT_AUTHOR"]
            .iter()
            .find_map(|who| self.environment.text(&format!("{who}_{part}")).map(str::to_owned));
        let from_files = || {
            let settings = self.settings().ok()?;
            settings.last(key, Origin::User).or_else(|| settings.last(key, Origin::Repository))
        };
        let clean = |text: String| {
            let kept: String =
                text.chars().filter(|c| !matches!(c, '<' | '>') && !c.is_control()).collect();
            Some(kept.trim().to_owned()).filter(|kept| !kept.is_empty())
        };
        from_env.and_then(clean).or_else(|| from_files().and_then(clean))
    }
}

/// The login name of an account, or its number where it has no entry.
pub(super) fn account_name(uid: u32) -> String {
    let number = uid.to_string();
    let entries = fs::read_to_string("/etc/passwd").unwrap_or_default();
    entries
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == number).then(|| name.to_owned())
        })
        .unwrap_or(number)
}

fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
