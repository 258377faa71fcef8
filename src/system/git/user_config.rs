//! What the git configuration says here, without an order of the repository: who acts, hooks, the pager.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::model::Person;
use crate::system::process;
use crate::system::user::Account;

use super::config::Origin;
use super::repository::{Git, GitError};

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

    /// A value of the user's or system's git configuration, never the repository's.
    pub fn user_setting(&self, key: &str) -> Option<String> {
        self.settings().ok()?.last(key, Origin::User)
    }

    /// Where a plain git looks for hooks here, and whether the repository's own configuration says so.
    /// gitroll runs none of them.
    pub fn hooks_dir(&self) -> (PathBuf, bool) {
        let settings = self.settings().ok();
        let said = |origin| settings.and_then(|s| s.last("core.hooksPath", origin));
        let (path, own) = match said(Origin::Repository) {
            Some(path) => (Some(path), true),
            None => (said(Origin::User), false),
        };
        match path {
            Some(path) => (self.top.join(self.at_home(&path)), own),
            None => (self.common_dir.join("hooks"), false),
        }
    }

    /// A path as git's configuration writes it: `~` is this user's home directory, `~name` another one's.
    fn at_home(&self, path: &str) -> PathBuf {
        let Some(below) = path.strip_prefix('~') else { return PathBuf::from(path) };
        let (name, rest) = below.split_once('/').unwrap_or((below, ""));
        let home = match name {
            "" => self.environment.get("HOME").map(PathBuf::from),
            name => Account::named(name).map(|account| account.home),
        };
        home.map_or_else(|| PathBuf::from(path), |home| home.join(rest))
    }

    /// A directory of hooks of gitroll's own, which may stand before another one.
    pub fn own_hooks(&self) -> PathBuf {
        self.common_dir.join("gitroll-hooks")
    }

    /// The directory that holds what all work trees of the repository share.
    pub fn common_dir(&self) -> &Path {
        &self.common_dir
    }

    /// `core.hooksPath` as the repository's own configuration says it.
    pub fn own_hooks_path(&self) -> Option<String> {
        self.settings().ok()?.last("core.hooksPath", Origin::Repository)
    }

    /// Sets `core.hooksPath` in the repository's own configuration, or takes it out.
    ///
    /// # Errors
    /// `Command` with what git said.
    pub fn set_hooks_path(&self, path: Option<&str>) -> Result<(), GitError> {
        let call = self.call("config").arg("--local");
        let call = match path {
            Some(path) => call.args(["core.hooksPath", path]),
            None => call.args(["--unset", "core.hooksPath"]),
        };
        call.run_ok().map(drop)
    }

    /// The patterns of what this clone does not track, beside those in the tree.
    pub fn exclude_file(&self) -> PathBuf {
        self.common_dir.join("info/exclude")
    }

    /// The user's pager, a line for the shell, chosen as git chooses it but never by the repository: `None`
    /// if there is none or it is `cat`.
    pub fn user_pager(&self) -> Option<String> {
        let named = self.environment.text("GIT_PAGER").map(str::to_owned);
        let named = named
            .or_else(|| self.user_setting("core.pager"))
            .or_else(|| self.environment.text("PAGER").map(str::to_owned));
        let pager = named.or_else(|| {
            let path = self.environment.text("PATH").unwrap_or_default();
            process::find_program("less".as_ref(), path).map(|_| "less".to_owned())
        })?;
        (!pager.trim().is_empty() && pager.trim() != "cat").then_some(pager)
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
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use jiff::Timestamp;

    use super::super::config::Environment;
    use super::super::testing::Repo;
    use super::{Git, account_name};

    fn without_env(repo: &Repo) -> Git {
        let variables = Repo::variables(repo.dir.path())
            .into_iter()
            .filter(|(name, _)| !name.to_string_lossy().contains("_AUTHOR_"))
            .filter(|(name, _)| !name.to_string_lossy().contains("_COMMITTER_"));
        Git::open_in(&repo.top, None, Environment::with(variables)).unwrap()
    }

    #[test]
    fn the_users_word_comes_before_the_repositorys_and_the_account_last() {
        let repo = Repo::new();
        let now = Timestamp::from_second(5).unwrap();
        let us = account_name(rustix::process::geteuid().as_raw());
        let who = without_env(&repo).identity(now);
        assert_eq!((who.name.as_str(), who.time), (us.as_str(), now));
        assert!(who.email.starts_with(&format!("{us}@")), "{}", who.email);

        repo.git(&["config", "user.name", "Repository <x>"]);
        repo.git(&["config", "user.email", "repo@example.org"]);
        let who = without_env(&repo).identity(now);
        assert_eq!((who.name.as_str(), who.email.as_str()), ("Repository x", "repo@example.org"));

        fs::write(repo.dir.path().join("gitconfig"), "[user]\n\tname = User\n").unwrap();
        let who = without_env(&repo).identity(now);
        assert_eq!((who.name.as_str(), who.email.as_str()), ("User", "repo@example.org"));

        let who = repo.open().identity(now);
        assert_eq!((who.name.as_str(), who.email.as_str()), ("Ana", "ana@example.org"));
    }

    #[test]
    fn a_setting_of_the_repository_is_never_taken_for_the_users() {
        let repo = Repo::new();
        repo.git(&["config", "gpg.ssh.program", "/tmp/evil"]);
        repo.git(&["config", "user.signingKey", "repo"]);
        let user = "[user]\n\tsigningKey = mine\n[gpg \"ssh\"]\n\tallowedSignersFile = a file\n";
        fs::write(repo.dir.path().join("gitconfig"), user).unwrap();
        let git = repo.open();
        assert_eq!(git.user_setting("gpg.ssh.program"), None);
        assert_eq!(git.user_setting("user.signingkey").as_deref(), Some("mine"));
        assert_eq!(git.user_setting("gpg.ssh.allowedSignersFile").as_deref(), Some("a file"));
    }
}
