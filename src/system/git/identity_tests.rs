#![allow(clippy::unwrap_used)]

use std::fs;

use jiff::Timestamp;

use super::super::environment::Environment;
use super::super::testing::Repo;
use super::super::{Git, identity::account_name};

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
