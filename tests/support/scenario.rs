//! Stories told so often that they have a name.

use super::{
    Answer, App, AppConfig, Behaviour, Fixture, TestEnvironment, http_get, wait_for_version,
};

/// A host whose app is bound to `production` and served by gitroll.
pub struct Scenario<'h> {
    /// The host.
    pub host: &'h TestEnvironment,
    /// The app.
    pub app: App<'h>,
}

impl<'h> Scenario<'h> {
    /// The app with 1.0.0 committed, bound by `gitroll init`; nothing serves yet.
    #[track_caller]
    pub fn bound(host: &'h TestEnvironment, fixture: Fixture, config: &AppConfig) -> Self {
        let app = host.app(fixture);
        app.configure(config);
        app.commit_version("1.0.0", Behaviour::Good);
        let scenario = Self { host, app };
        scenario.bind();
        scenario
    }

    /// `gitroll init`: the checkout is `production` on `web-1`.
    #[track_caller]
    pub fn bind(&self) -> Answer {
        let init = ["init", "--yes", "--environment", "production", "--name", "web-1"];
        let answer = self.host.gitroll(&init);
        answer.exit(0);
        answer
    }

    /// 1.0.0 deployed, promoted and serving.
    #[track_caller]
    pub fn serving(host: &'h TestEnvironment, fixture: Fixture, config: &AppConfig) -> Self {
        let scenario = Self::bound(host, fixture, config);
        scenario.host.gitroll(&["deploy", "--yes"]).exit(0);
        scenario.promote("v1.0.0");
        scenario
    }

    /// 1.0.0 serves, and `origin` has it as `main`; `more` is added to gitroll.toml.
    #[track_caller]
    pub fn with_origin(host: &'h TestEnvironment, more: &str) -> Self {
        let config = AppConfig::default().without_builds().settle(1, "100ms").timeout("5s");
        let app = host.app(Fixture::Plain);
        app.configure(&config.and(more));
        app.commit_version("1.0.0", Behaviour::Good);
        app.with_remote();
        let scenario = Self { host, app };
        scenario.bind();
        host.gitroll(&["deploy", "--yes"]).exit(0);
        scenario
    }

    /// Commits a version on top of `main` and deploys it, whatever comes of it.
    #[track_caller]
    pub fn release(&self, version: &str, behaviour: Behaviour) -> Answer {
        // gitroll leaves HEAD detached and `main` where it was.
        self.app.try_git(&["symbolic-ref", "HEAD", "refs/heads/main"]).exit(0);
        self.app.git(&["reset", "-q", "--hard", "main"]);
        let commit = self.app.commit_version(version, behaviour);
        self.host.gitroll(&["deploy", &commit, "--yes"])
    }

    /// Commits what lies in the tree as this version, on top of what serves, and deploys it.
    #[track_caller]
    pub fn release_kept(&self, version: &str) -> Answer {
        let serving = self.app.head();
        let commit = self.app.commit_version(version, Behaviour::Good);
        self.app.git(&["checkout", "-q", "--detach", &serving]);
        self.host.gitroll(&["deploy", &commit, "--yes"])
    }

    /// As [`Self::release_kept`], of a version that crashes at boot.
    #[track_caller]
    pub fn release_kept_bad(&self, version: &str) -> Answer {
        let serving = self.app.head();
        let commit = self.app.commit_version(version, Behaviour::ThrowsAtBoot);
        self.app.git(&["checkout", "-q", "--detach", &serving]);
        self.host.gitroll(&["deploy", &commit, "--yes"])
    }

    /// Makes what serves a stable release of this name.
    #[track_caller]
    pub fn promote(&self, name: &str) -> Answer {
        let answer = self.host.gitroll(&["promote", "--as", name, "--yes"]);
        answer.exit(0);
        answer
    }

    /// This version answers, healthy.
    #[track_caller]
    pub fn serves(&self, version: &str) -> &Self {
        wait_for_version(&self.app.health(), version);
        let answer = http_get(&self.app.health()).expect("the app answers");
        assert_eq!(answer.status, 200, "{version} answers {}", answer.body);
        self
    }

    /// Nobody answers, or not with 200.
    #[track_caller]
    pub fn is_down(&self) -> &Self {
        let answer = http_get(&self.app.health());
        assert!(!answer.as_ref().is_ok_and(|a| a.status == 200), "expected no answer: {answer:?}");
        self
    }
}
