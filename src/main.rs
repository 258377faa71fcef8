//! argv → exit code.

use std::process::ExitCode;

use gitroll::cli::Topic;

/// A page of `docs/`, as `gitroll help` shows it.
macro_rules! topic {
    ($name:literal, $page:literal, $about:literal) => {
        Topic { name: $name, about: $about, text: include_str!(concat!("../docs/", $page)) }
    };
}

/// The pages for people who use gitroll. A name that is also a command would never be shown.
const TOPICS: &[Topic] = &[
    topic!("first-hour", "guides/first-hour.md", "set up an app, deploy, roll back"),
    topic!("exit-codes", "exit-codes.md", "what each exit code means and what to do"),
    topic!("proof", "proof.md", "what \"observed serving\" means"),
    topic!("troubleshooting", "troubleshooting.md", "what went wrong, and the way out"),
    topic!("glossary", "glossary.md", "the words"),
    topic!("gitroll.toml", "gitroll-toml.md", "every key of the configuration"),
    topic!("host-binding", "host-binding.md", "host.toml: what only this host decides"),
    topic!("signatures", "trust.md", "keys, roles, approvals, and who is trusted"),
    topic!("points", "guides/points.md", "rollback points of data"),
    topic!("migrations", "guides/migrations.md", "databases and the way back"),
    topic!("suspects", "diff.md", "how gitroll diff finds what broke"),
    topic!("messages", "guides/notify.md", "tell a chat, a pager, a mailbox"),
    topic!("watching", "guides/watch.md", "watch, and roll back without a person"),
    topic!("git-hooks", "guides/hooks.md", "hooks in the checkout and on a server"),
    topic!("adopt-pm2", "guides/adopt-pm2.md", "adopt an app that pm2 runs"),
    topic!("systemd", "guides/systemd.md", "apps that systemd runs"),
    topic!("stacks", "guides/stacks.md", "what init writes for your app"),
    topic!("runbooks", "guides/from-runbook-to-gitroll-toml.md", "from a runbook to gitroll.toml"),
    topic!("team", "guides/team.md", "what changes for the team"),
    topic!("github-actions", "guides/github-actions.md", "deploy from GitHub Actions"),
    topic!("gitlab-ci", "guides/gitlab-ci.md", "deploy from GitLab CI"),
    topic!("deploy-over-ssh", "guides/deploy-over-ssh.md", "deploy from any build server"),
    topic!("json", "json.md", "the output of --json and --json-lines"),
    topic!("plain-git", "plain-git.md", "read and verify everything with plain git"),
    topic!("records", "record-format.md", "the format of records, chains and trust"),
    topic!("runs", "journal.md", "runs on disk, and how they are finished"),
    topic!("reliability", "reliability.md", "what was tested with kills and power cuts"),
];

fn main() -> ExitCode {
    gitroll::start(|| gitroll::cli::main(TOPICS))
}
