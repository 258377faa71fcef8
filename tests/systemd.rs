//! Apps that systemd runs, against a real systemd: what its exit codes do not tell.

mod beside;
mod beyond;
mod logs;
mod place;
mod quiesce;
mod rolling;
mod units;

use std::path::{Path, PathBuf};

use crate::support::*;

/// Runs a test on a machine of its own where one can be had.
#[allow(clippy::print_stderr)]
pub fn boxed(test: impl FnOnce(&TestEnvironment, &Sysbox<'_>)) {
    let host = TestEnvironment::new();
    match Sysbox::start(&host) {
        Ok(inside) => test(&host, &inside),
        Err(why) => eprintln!("skipped: {why}"),
    }
}

/// A unit that runs the app at `app/`, with more lines of its `[Service]`.
pub fn web_unit(host: &TestEnvironment, more: &str) -> String {
    let node = find_tool("node").expect("node is on this machine");
    let app = host.path("app");
    format!(
        "[Unit]\nDefaultDependencies=no\n[Service]\nWorkingDirectory={}\nExecStart={} server.js\n{more}\n",
        app.display(),
        node.display()
    )
}

/// A unit that runs a script in the app's directory.
pub fn unit_of(host: &TestEnvironment, script: &Path, more: &str) -> String {
    let app = host.path("app");
    format!(
        "[Unit]\nDefaultDependencies=no\n[Service]\nWorkingDirectory={}\nExecStart=/bin/bash {}\n{more}\n",
        app.display(),
        script.display()
    )
}

/// A script outside of the app.
pub fn script(host: &TestEnvironment, name: &str, text: &str) -> PathBuf {
    let file = host.path(name);
    std::fs::write(&file, text).expect("the host's directory is writable");
    file
}

/// An app that a unit of systemd runs, and the box that it runs in.
pub struct Served<'h> {
    /// The box.
    pub inside: &'h Sysbox<'h>,
    /// The app.
    pub app: App<'h>,
}

impl<'h> Served<'h> {
    /// 1.0.0 deployed and serving by `web.service`, the unit with these further lines.
    #[track_caller]
    pub fn by_unit(host: &'h TestEnvironment, inside: &'h Sysbox<'h>, more: &str) -> Self {
        let unit = |host: &TestEnvironment| web_unit(host, more);
        Self::configured(host, inside, &config(), &[("web.service", &unit(host))])
    }

    /// 1.0.0 deployed and serving with these units.
    #[track_caller]
    pub fn configured(
        host: &'h TestEnvironment,
        inside: &'h Sysbox<'h>,
        config: &AppConfig,
        units: &[(&str, &str)],
    ) -> Self {
        Self::of_app(inside, host.app(Fixture::Plain), config, units)
    }

    /// As [`Self::configured`], of an app that is there already.
    #[track_caller]
    pub fn of_app(
        inside: &'h Sysbox<'h>,
        app: App<'h>,
        config: &AppConfig,
        units: &[(&str, &str)],
    ) -> Self {
        app.configure(config);
        app.commit_version("1.0.0", Behaviour::Good);
        units.iter().for_each(|(name, text)| inside.write_unit(name, text));
        inside.run("systemctl", &["daemon-reload"]).exit(0);
        inside.start_journal();
        let served = Self { inside, app };
        let init = ["init", "--yes", "--environment", "production", "--name", "web-1"];
        inside.gitroll(&init).exit(0);
        inside.gitroll(&["deploy", "--yes"]).exit(0);
        served.serves("1.0.0");
        served
    }

    /// Commits a version on top of what serves and deploys it, whatever comes of it.
    #[track_caller]
    pub fn release(&self, version: &str, behaviour: Behaviour) -> Answer {
        let serving = self.app.head();
        let commit = self.app.commit_version(version, behaviour);
        self.app.git(&["checkout", "-q", "--detach", &serving]);
        self.inside.gitroll(&["deploy", &commit, "--yes"])
    }

    /// This version answers.
    #[track_caller]
    pub fn serves(&self, version: &str) {
        wait_for_version(&self.app.health(), version);
    }

    /// A property of a unit.
    #[track_caller]
    pub fn shown(&self, unit: &str, property: &str) -> String {
        let answer = self.inside.run("systemctl", &["show", "--value", "-p", property, unit]);
        answer.exit(0).stdout.trim().to_owned()
    }
}

/// Served by `web.service`, proven quickly.
pub fn config() -> AppConfig {
    AppConfig::default()
        .without_builds()
        .settle(2, "300ms")
        .served_by(ServedBy::Unit("web".to_owned()))
        .and("[run]\nwatchdog = \"off\"\n")
}
