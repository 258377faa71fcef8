//! The main job on a real npm app under a real pm2: deploy, promote, back, and what pm2 does not say.

use std::path::PathBuf;
use std::time::Duration;

use crate::support::*;
use serde_json::Value;

/// An app that a person started under pm2, bound by `gitroll init`.
struct UnderPm2<'h> {
    scenario: Scenario<'h>,
    instances: usize,
}

const CLUSTER: usize = 2;
const FORK: usize = 0;

fn quick() -> AppConfig {
    AppConfig::default().served_by(ServedBy::Pm2("web".to_owned())).timeout("20s")
}

impl<'h> UnderPm2<'h> {
    /// `version` runs under pm2 and is adopted. `instances` 0 is fork mode.
    #[track_caller]
    fn adopted(
        host: &'h TestEnvironment,
        fixture: Fixture,
        config: &AppConfig,
        version: &str,
        instances: usize,
    ) -> Self {
        let this = Self::started(host, fixture, config, version, instances);
        this.scenario.bind().stdout_has("adopted");
        this
    }

    #[track_caller]
    fn started(
        host: &'h TestEnvironment,
        fixture: Fixture,
        config: &AppConfig,
        version: &str,
        instances: usize,
    ) -> Self {
        pm2_on_path(host);
        let app = host.app(fixture);
        app.configure(config);
        app.commit_version(version, Behaviour::Good);
        app.build_by_hand();
        let this = Self { scenario: Scenario { host, app }, instances };
        this.start_by_hand("server.js", &[]);
        wait_for_version(&this.scenario.app.health(), version);
        this
    }

    /// What a person types.
    #[track_caller]
    fn start_by_hand(&self, script: &str, variables: &[(&str, &str)]) {
        let mut command = self.scenario.host.command("pm2");
        command.args(["start", script, "--name", "web"]).envs(variables.iter().copied());
        if self.instances > 0 {
            command.args(["-i", &self.instances.to_string()]);
        }
        Answer::of(command, Duration::from_secs(60)).exit(0);
    }

    /// Each process of the app as pm2 lists it.
    #[track_caller]
    fn listed(&self) -> Vec<Value> {
        let answer = self.scenario.host.run("pm2", &["jlist"]);
        let list = answer.exit(0).stdout.lines().rev().find(|line| line.starts_with('['));
        let list: Vec<Value> = list.and_then(|l| serde_json::from_str(l).ok()).unwrap_or_default();
        list.into_iter().filter(|app| app["name"] == "web").collect()
    }

    #[track_caller]
    fn kill_daemon(&self) {
        let pid = std::fs::read_to_string(self.scenario.host.path("pm2/pm2.pid"));
        let pid = pid.expect("pm2's daemon runs");
        self.scenario.host.run("kill", &["-KILL", pid.trim()]).exit(0);
        let place = PathBuf::from(format!("/proc/{}/fd", pid.trim()));
        wait_until("the daemon is gone", || place.read_dir().is_err());
    }
}

fn pm2_on_path(host: &TestEnvironment) {
    let pm2 = std::env::var_os("GITROLL_TEST_PM2")
        .map_or_else(|| test_tools().join("pm2/node_modules/.bin/pm2"), PathBuf::from);
    assert!(pm2.is_file(), "pm2 is not installed yet: tests/run installs it");
    host.fake_tool("pm2", &format!("#!/bin/sh\nexec '{}' \"$@\"\n", pm2.display()));
}

/// npm works until it is watched; from then on each call is noted and fails.
struct Canary {
    watch: PathBuf,
    calls: PathBuf,
}

impl Canary {
    fn new(host: &TestEnvironment) -> Self {
        let (watch, calls) = (host.path("npm-is-watched"), host.path("npm-calls"));
        let npm = host.run("sh", &["-c", "command -v npm"]).exit(0).text().to_owned();
        host.fake_tool(
            "npm",
            &format!(
                "#!/bin/sh\nif [ -e '{}' ]; then echo \"$@\" >>'{}'; exit 1; fi\nexec '{npm}' \"$@\"\n",
                watch.display(),
                calls.display()
            ),
        );
        Self { watch, calls }
    }

    fn watch(&self, host: &TestEnvironment) {
        std::fs::write(&self.watch, "").expect("the host's directory is writable");
        host.registry_away();
    }

    fn calls(&self) -> String {
        std::fs::read_to_string(&self.calls).unwrap_or_default()
    }
}

#[test]
fn in_cluster_mode_back_leaves_a_release_that_fails_late_and_touches_no_npm() {
    let host = TestEnvironment::new();
    let npm = Canary::new(&host);
    let web = UnderPm2::adopted(&host, Fixture::Express, &quick(), "0.9.0", CLUSTER);
    let s = &web.scenario;
    let users = RequestLoop::start(&s.app.health());
    s.release("1.0.0", Behaviour::Good).exit(0);
    s.promote("v1.0.0");
    let stable = s.app.head();
    s.release("1.1.0", Behaviour::Good).exit(0).stdout_has("web 2/2 fresh");
    s.serves("1.1.0");
    s.app.sour("1.1.0");
    wait_until("1.1.0 fails", || http_get(&s.app.health()).is_ok_and(|a| a.status == 500));

    npm.watch(&host);
    let back = host.gitroll(&["back", "--yes", "--reason", "errors 12 %"]);
    back.exit(0).stdout_has("v1.0.0-stable observed serving").stdout_has("web 2/2 fresh");
    std::thread::sleep(Duration::from_millis(500));
    let traffic = users.stop();
    traffic.since(back.ended).only("1.0.0").without_failures();
    assert!(traffic.versions().contains("1.1.0"), "the users never saw 1.1.0");
    assert_eq!(s.app.head(), stable);
    assert_eq!(s.app.git(&["status", "--porcelain"]), "");
    assert!(s.app.has("node_modules/express/package.json"));

    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("0.9.0");
    host.gitroll(&["back", "--yes"]).exit(1).stderr_has("no version to roll back to");
    host.gitroll(&["back", "--undo", "--yes"]).exit(0);
    s.serves("1.0.0");
    assert_eq!(npm.calls(), "", "npm was called");
    plain_git_agrees(s, &stable);

    // The canary sings: what must be built calls the npm of the binding.
    let changed = s.app.commit_changed_lock("1.2.0");
    s.app.git(&["checkout", "-q", "--detach", &stable]);
    host.gitroll(&["deploy", &changed, "--yes"]).exit(1).stderr_has("nothing was changed");
    assert_eq!(npm.calls(), "ci\n");
    s.serves("1.0.0");
}

/// Without gitroll: every tag verifies against the trust file, the story can be read, nothing is broken.
#[track_caller]
fn plain_git_agrees(s: &Scenario<'_>, stable: &str) {
    let git = |args: &[&str]| s.app.git(args);
    let trust = format!("gpg.ssh.allowedSignersFile={}", s.host.path("gitroll/trust").display());
    let tags = git(&["for-each-ref", "--format=%(refname:short)", "refs/tags"]);
    let tags: Vec<&str> = tags.lines().collect();
    assert!(tags.contains(&"v1.0.0-stable"), "{tags:?}");
    for tag in &tags {
        s.app.try_git(&["-c", &trust, "verify-tag", tag]).exit(0).says("Good \"git\" signature");
    }
    let format = "--format=%(refname:lstrip=5) %(contents:trailers:key=Gitroll-To,valueonly)";
    let story = git(&["for-each-ref", "--sort=refname", format, "refs/tags/gitroll/production/"]);
    let story: Vec<(&str, &str)> = story
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(n, to)| (n, to.trim()))
        .collect();
    let events: Vec<&str> =
        story.iter().filter_map(|(name, _)| Some(name.split_once('-')?.1)).collect();
    let all = ["init", "adopt", "deploy", "deploy", "back", "back", "back"];
    assert_eq!(events, all, "{story:?}");
    let served: Vec<&str> =
        story.iter().filter(|(_, to)| *to == stable).map(|(name, _)| *name).collect();
    assert_eq!(served.len(), 3, "deployed, gone back to, returned to: {story:?}");
    let log = git(&["log", "--notes=gitroll/production/*", "--format=%s%n%N", "main"]);
    assert!(log.contains("rolled back from v1.1.0 to v1.0.0-stable"), "{log}");
    let reasons = git(&["for-each-ref", "--format=%(contents:body)", "refs/tags/gitroll/"]);
    assert!(reasons.contains("errors 12 %"), "{reasons}");
    s.app.try_git(&["fsck", "--strict", "--no-dangling"]).exit(0).never_says("warning");
}

#[test]
fn a_hand_made_pull_and_reload_unknown_to_gitroll_is_rolled_back_to_what_served_before() {
    let host = TestEnvironment::new();
    let config = quick().without_builds();
    let web = UnderPm2::adopted(&host, Fixture::Plain, &config, "1.0.0", CLUSTER);
    let s = &web.scenario;
    let good = s.app.head();
    let origin = s.app.with_remote();
    let elsewhere = host.path("laptop");
    let laptop = elsewhere.to_str().expect("temporary paths are UTF-8");
    host.run("git", &["clone", "-q", origin.to_str().expect("UTF-8"), laptop]).exit(0);
    let package = s.app.read("package.json").replace("1.0.0", "1.1.0");
    std::fs::write(elsewhere.join("package.json"), package).expect("a clone is writable");
    host.run("git", &["-C", laptop, "commit", "-q", "-am", "Release 1.1.0"]).exit(0);
    host.run("git", &["-C", laptop, "push", "-q", "origin", "main"]).exit(0);

    s.app.git(&["pull", "-q", "origin", "main"]);
    host.run("pm2", &["reload", "web"]).exit(0);
    wait_for_version(&s.app.health(), "1.1.0");
    s.app.sour("1.1.0");
    let bad = s.app.head();
    assert_ne!(bad, good);

    let back = host.gitroll(&["back", "--yes"]);
    back.exit(0);
    s.serves("1.0.0");
    assert_eq!(s.app.head(), good);
    host.gitroll(&["log"]).exit(0).stdout_has("predeploy").stdout_has("back");
    host.gitroll(&["deploy", &bad, "--yes"]).exit(10);
    assert_eq!(s.app.git(&["rev-parse", "main"]), bad, "a branch was moved");
}

#[test]
fn in_fork_mode_back_serves_what_served_before() {
    let host = TestEnvironment::new();
    let web = UnderPm2::adopted(&host, Fixture::Plain, &quick().without_builds(), "1.0.0", FORK);
    let s = &web.scenario;
    s.release("1.1.0", Behaviour::Good).exit(0).stdout_has("web 1/1 fresh");
    s.serves("1.1.0");
    s.app.sour("1.1.0");
    let back = host.gitroll(&["back", "--yes"]);
    back.exit(0);
    assert_eq!(s.app.version_served().as_deref(), Some("1.0.0"));
}

#[test]
fn a_release_that_crashes_on_boot_under_pm2_is_not_deployed_and_the_old_one_serves() {
    let host = TestEnvironment::new();
    let config = quick().without_builds();
    let web = UnderPm2::adopted(&host, Fixture::Plain, &config, "1.0.0", CLUSTER);
    let s = &web.scenario;
    let answer = s.release("1.1.0", Behaviour::ThrowsAtBoot);
    answer.exit(20).stderr_has("restored, observed serving");
    assert_eq!(s.app.version_served().as_deref(), Some("1.0.0"));
    assert!(web.listed().iter().all(|app| app["pm2_env"]["status"] == "online"));
    host.gitroll(&["status"]).exit(0).stdout_has("none open");
}

#[test]
fn a_release_that_hangs_on_boot_under_pm2_is_not_deployed_and_the_old_one_serves() {
    let host = TestEnvironment::new();
    let config = quick().without_builds().timeout("6s");
    let web = UnderPm2::adopted(&host, Fixture::Plain, &config, "1.0.0", FORK);
    let s = &web.scenario;
    // pm2 calls it online all the same.
    s.release("1.1.0", Behaviour::HangsAtBoot).exit(20).stderr_has("restored, observed serving");
    assert_eq!(s.app.version_served().as_deref(), Some("1.0.0"));
}

#[test]
fn with_pm2s_daemon_killed_back_starts_the_app_again_with_its_recorded_environment() {
    let host = TestEnvironment::new();
    let config = quick().without_builds();
    let web = UnderPm2::started(&host, Fixture::Plain, &config, "1.0.0", FORK);
    let s = &web.scenario;
    host.run("pm2", &["delete", "web"]).exit(0);
    let secret = "Zebra77Quantum";
    web.start_by_hand("server.js", &[("OF_THE_SHELL", "once"), ("DB_PASSWORD", secret)]);
    wait_for_version(&s.app.health(), "1.0.0");
    s.bind().stdout_has("adopted");
    // A secret that no file of the app has, printed by a release that crashes.
    let crashes = "console.error('no login for shop with ' + process.env.DB_PASSWORD); throw 1;\n";
    s.app.write("server.js", &format!("{crashes}{}", s.app.read("server.js")));
    s.app.commit("Crash and say too much");
    let failed = host.gitroll(&["deploy", "HEAD", "--yes"]);
    failed.exit(20).says("no login for shop with [redacted]").never_says(secret);
    host.gitroll(&["show", "--json"]).exit(0).never_says(secret);
    s.app.git(&["update-ref", "refs/heads/main", "HEAD"]);
    s.release("1.1.0", Behaviour::Good).exit(0);
    host.gitroll(&["logs"]).exit(0).stdout_has("web-out").stdout_has("1.1.0 listens");
    web.kill_daemon();
    wait_until("the app is down", || http_get(&s.app.health()).is_err());
    let remembered = host.gitroll(&["logs"]);
    remembered.exit(0).stdout_has("1.1.0 listens").stderr_has("its daemon is dead");

    host.set("OF_THE_CALLER", "never");
    host.gitroll(&["back", "--yes"]).exit(0);
    assert_eq!(s.app.version_served().as_deref(), Some("1.0.0"));
    let listed = web.listed();
    assert_eq!(listed.len(), 1);
    let environment = &listed[0]["pm2_env"]["env"];
    assert_eq!(environment["OF_THE_SHELL"], "once");
    assert!(environment.get("OF_THE_CALLER").is_none(), "{environment}");
    let status = host.gitroll(&["status", "--json"]).exit(0).json();
    assert_eq!(status["result"]["healthy"], true, "{status}");
}

#[test]
fn an_app_that_pm2_runs_from_another_directory_is_served_from_the_live_tree_after_a_deploy() {
    let host = TestEnvironment::new();
    let config = quick().without_builds();
    let web = UnderPm2::started(&host, Fixture::Plain, &config, "1.0.0", FORK);
    let s = &web.scenario;
    host.run("pm2", &["delete", "web"]).exit(0);
    let old = host.path("old-release");
    let copy = old.to_str().expect("temporary paths are UTF-8");
    host.run("cp", &["-a", s.app.dir.to_str().expect("UTF-8"), copy]).exit(0);
    host.run("sh", &["-c", &format!("cd '{copy}' && pm2 start server.js --name web")]).exit(0);
    wait_for_version(&s.app.health(), "1.0.0");
    assert_eq!(web.listed()[0]["pm2_env"]["pm_cwd"], copy);

    s.bind().stdout_has("it belongs to another checkout");
    s.release("1.1.0", Behaviour::Good).exit(1).stderr_has("gitroll init --take-over");
    assert_eq!(s.app.version_served().as_deref(), Some("1.0.0"));
    host.gitroll(&["init", "--yes", "--take-over"]).exit(0);
    host.gitroll(&["deploy", "main", "--yes"]).exit(0);
    assert_eq!(s.app.version_served().as_deref(), Some("1.1.0"));
    let listed = web.listed();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["pm2_env"]["pm_cwd"], s.app.dir.to_str().expect("UTF-8"));
}

#[test]
fn a_service_that_pm2_does_not_know_is_refused_with_the_nearest_name() {
    let host = TestEnvironment::new();
    let config = quick().without_builds().served_by(ServedBy::Pm2("wbe".to_owned()));
    let web = UnderPm2::started(&host, Fixture::Plain, &config, "1.0.0", FORK);
    let s = &web.scenario;
    s.bind();
    let commit = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", "HEAD~1"]);
    let before = s.app.state();
    let answer = host.gitroll(&["deploy", &commit, "--yes"]);
    answer.exit(1).stderr_has("pm2 has no \"wbe\"").stderr_has("did you mean name = \"web\"");
    before.assert_same(&s.app.state());
    assert_eq!(s.app.version_served().as_deref(), Some("1.0.0"));
}

#[test]
fn what_an_app_writes_to_the_logs_of_pm2_is_read_from_the_change_on() {
    let host = TestEnvironment::new();
    let log = "\n[[check]]\nname = \"web-log\"\nlog = { service = \"web\" }\n\
               expect = { must = 'plain-app {version} listens', must_not = 'FATAL' }\nsettle = \"500ms\"\n";
    let config = quick().without_builds().and(log);
    let this = UnderPm2::adopted(&host, Fixture::Plain, &config, "1.0.0", FORK);
    let s = &this.scenario;
    s.release_kept("1.1.0").exit(0);
    s.app.write(
        "features/sick/index.js",
        "console.error('FATAL: no disk');\nmodule.exports = 'sick';\n",
    );
    s.release("1.2.0", Behaviour::Good).exit(20).stderr_has("FATAL: no disk");
    s.serves("1.1.0");
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.0.0");
}
