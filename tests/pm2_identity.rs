//! Apps that pm2 runs: which of them are this checkout's, how they are started, what a changed definition does.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::*;
use serde_json::Value;

fn pm2_on_path(host: &TestEnvironment) {
    let pm2 = std::env::var_os("GITROLL_TEST_PM2")
        .map_or_else(|| test_tools().join("pm2/node_modules/.bin/pm2"), PathBuf::from);
    assert!(pm2.is_file(), "pm2 is not installed yet: tests/run installs it");
    host.fake_tool("pm2", &format!("#!/bin/sh\nexec '{}' \"$@\"\n", pm2.display()));
}

fn quick(app: &str) -> AppConfig {
    AppConfig::default()
        .without_builds()
        .served_by(ServedBy::Pm2(app.to_owned()))
        .settle(1, "200ms")
        .timeout("20s")
}

/// 1.0.0, committed, not started.
fn plain<'h>(host: &'h TestEnvironment, config: &AppConfig) -> Scenario<'h> {
    pm2_on_path(host);
    let app = host.app(Fixture::Plain);
    app.configure(config);
    app.commit_version("1.0.0", Behaviour::Good);
    Scenario { host, app }
}

/// As a person does it, in `dir`.
#[track_caller]
fn pm2(host: &TestEnvironment, dir: &Path, port: u16, args: &[&str]) {
    let mut command = host.command("pm2");
    command.args(args).current_dir(dir).env("PORT", port.to_string());
    Answer::of(command, Duration::from_secs(60)).exit(0);
}

/// All that pm2 lists.
#[track_caller]
fn listed(host: &TestEnvironment) -> Vec<Value> {
    let answer = host.run("pm2", &["jlist"]);
    let list = answer.exit(0).stdout.lines().rev().find(|line| line.starts_with('['));
    list.and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default()
}

/// The processes of the apps that run in `dir`.
fn pids(host: &TestEnvironment, dir: &Path) -> Vec<u64> {
    let here = |app: &&Value| app["pm2_env"]["pm_cwd"].as_str().map(Path::new) == Some(dir);
    listed(host).iter().filter(here).filter_map(|app| app["pid"].as_u64()).collect()
}

#[test]
fn an_app_of_the_same_name_in_another_checkout_is_never_touched() {
    let host = TestEnvironment::new();
    let s = plain(&host, &quick("web"));
    let staging = host.path("staging");
    let copy = staging.to_str().expect("UTF-8");
    host.run("cp", &["-a", s.app.dir.to_str().expect("UTF-8"), copy]).exit(0);
    let port = s.app.port.number();
    let start = ["start", "server.js", "-f", "--name", "web", "--namespace"];
    pm2(&host, &s.app.dir, port, &[&start[..], &["production"]].concat());
    let other = free_port();
    pm2(&host, &staging, other.number(), &[&start[..], &["staging"]].concat());
    wait_for_version(&s.app.health(), "1.0.0");
    let before = pids(&host, &staging);
    assert_eq!(before.len(), 1);

    s.bind().stdout_has("adopted");
    s.release_kept("1.1.0").exit(0).stdout_has("web 1/1 fresh");
    s.serves("1.1.0");
    host.gitroll(&["service", "restart"]).exit(0);
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.0.0");
    assert_eq!(pids(&host, &staging), before, "the app of the other checkout was touched");

    // A second clone has the first one's gitroll.toml, and no app of its own.
    let clone = host.path("clone");
    let place = clone.to_str().expect("UTF-8");
    host.run("git", &["clone", "-q", s.app.dir.to_str().expect("UTF-8"), place]).exit(0);
    let home = host.path("clone-binding");
    let in_clone = |args: &[&str]| {
        let mut command = host.gitroll_command(args);
        command.current_dir(&clone).env("GITROLL_HOME", &home);
        Answer::of(command, Duration::from_secs(60))
    };
    let serving = pids(&host, &s.app.dir);
    in_clone(&["init", "--yes", "--environment", "production"])
        .exit(0)
        .stdout_has("that is another checkout's");
    in_clone(&["deploy", "--yes"]).exit(1).stderr_has("that is another checkout's");
    in_clone(&["service", "stop"]).exit(1).stderr_has("that is another checkout's");
    assert_eq!(pids(&host, &s.app.dir), serving);
    assert_eq!(pids(&host, &staging), before);
}

#[test]
fn init_names_every_app_whatever_its_name_and_deploy_reloads_each() {
    let host = TestEnvironment::new();
    let s = plain(&host, &quick("web"));
    std::fs::remove_file(s.app.dir.join("gitroll.toml")).expect("it is there");
    s.app.write("worker.js", "setInterval(() => {}, 1000);\n");
    s.app.commit("No gitroll yet");
    let apps = serde_json::json!({ "apps": [
        { "name": "@acme/web", "cwd": s.app.dir, "script": "server.js", "exec_mode": "cluster", "instances": 2,
          "env": { "PORT": s.app.port.number() } },
        { "name": "all", "cwd": s.app.dir, "script": "worker.js" },
        { "name": "mails.json", "cwd": s.app.dir, "script": "worker.js", "namespace": "@acme" },
    ]});
    let file = host.path("apps.json");
    std::fs::write(&file, apps.to_string()).expect("ours");
    pm2(&host, host.root(), 1, &["start", file.to_str().expect("UTF-8")]);
    wait_for_version(&s.app.health(), "1.0.0");

    s.bind();
    let written = s.app.read("gitroll.toml");
    for line in
        ["[service.web]", "name = \"@acme/web\"", "[service.all]", "[service.\"mails.json\"]"]
    {
        assert!(written.lines().any(|l| l == line), "{line} is missing in\n{written}");
    }
    s.app.write("gitroll.toml", &written.replace("settle = \"5s\"", "settle = \"300ms\""));
    s.app.commit("Take gitroll");
    let before = pids(&host, &s.app.dir);
    assert_eq!(before.len(), 4);
    host.gitroll(&["init", "--yes"]).exit(0);
    s.release_kept("1.1.0").exit(0).stdout_has("web 2/2 fresh");
    s.serves("1.1.0");
    let after = pids(&host, &s.app.dir);
    assert_eq!(after.len(), 4);
    assert!(!after.iter().any(|pid| before.contains(pid)), "{before:?} {after:?}");
}

#[test]
fn an_app_that_a_program_of_the_host_starts_is_deployed_and_rolled_back() {
    let host = TestEnvironment::new();
    let s = plain(&host, &quick("web"));
    let mut package: Value = serde_json::from_str(&s.app.read("package.json")).expect("JSON");
    package["scripts"] = serde_json::json!({ "start": "node server.js" });
    s.app.write("package.json", &package.to_string());
    s.app.commit("Start it with npm");
    // The link that comes with node; the host under test has a script of that name.
    let npm = find_tool("npm").expect("npm is here");
    let npm = npm.to_str().expect("UTF-8");
    pm2(&host, &s.app.dir, s.app.port.number(), &["start", npm, "--name", "web", "--", "start"]);
    wait_for_version(&s.app.health(), "1.0.0");
    s.bind().stdout_has("adopted");
    s.release_kept("1.1.0").exit(0);
    s.serves("1.1.0");
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.0.0");
}
