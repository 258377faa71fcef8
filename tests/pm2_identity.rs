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
        .stdout_has("it belongs to another checkout");
    in_clone(&["deploy", "--yes"]).exit(1).stderr_has("it belongs to another checkout");
    in_clone(&["service", "stop"]).exit(1).stderr_has("it belongs to another checkout");
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

/// Tells what it was started with.
const SERVER: &str = r#"
const fs = require('fs'), http = require('http'), path = require('path');
const version = JSON.parse(fs.readFileSync(path.join(__dirname, 'package.json'))).version;
process.on('SIGINT', () => process.exit(0));
if (version.endsWith('-bad')) process.exit(1);
const { GREETING, GONE, OF_THE_SHELL } = process.env;
http.createServer((request, response) => {
  response.writeHead(200, { 'content-type': 'application/json', connection: 'close' });
  response.end(JSON.stringify({ status: 'healthy', version, GREETING, GONE, OF_THE_SHELL }));
}).listen(process.env.PORT, '127.0.0.1');
"#;

/// The process file with these settings of the app, which are JavaScript.
fn process_file(port: u16, name: &str, instances: u32, env: &str) -> String {
    format!(
        "const fs = require('fs');\n\
         console.log('read');\n\
         module.exports = {{ apps: [{{ name: '{name}', cwd: __dirname, script: 'server.js', exec_mode: 'cluster',\n\
           instances: {instances}, env: {{ PORT: process.env.PORT || {port}, {env} }} }}] }};\n"
    )
}

/// What the app says of itself, and how many processes there are.
#[track_caller]
fn told(s: &Scenario<'_>) -> (Value, Value, usize) {
    let answer = http_get(&s.app.health()).expect("the app answers");
    let answer: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(answer["OF_THE_SHELL"], "once", "what the app was given by hand is gone");
    (answer["GREETING"].clone(), answer["GONE"].clone(), pids(s.host, &s.app.dir).len())
}

#[test]
fn an_edited_process_file_is_applied_with_the_release_and_undone_with_it() {
    let host = TestEnvironment::new();
    let s = plain(&host, &quick("web").and("[run]\nwatchdog = \"off\"\n"));
    let port = s.app.port.number();
    let write = |name: &str, instances: u32, env: &str| {
        s.app.write("ecosystem.config.js", &process_file(port, name, instances, env));
    };
    s.app.write("server.js", SERVER);
    write("web", 1, "GREETING: 'one', GONE: 'here'");
    s.app.commit("A process file");
    let mut start = host.command("pm2");
    start
        .args(["start", "ecosystem.config.js"])
        .current_dir(&s.app.dir)
        .env("OF_THE_SHELL", "once");
    Answer::of(start, Duration::from_secs(60)).exit(0);
    wait_for_version(&s.app.health(), "1.0.0");
    host.run("pm2", &["save"]).exit(0);
    s.bind().stdout_has("adopted");
    let first = ("one".into(), "here".into(), 1);
    assert_eq!(told(&s), first);

    write("web", 2, "GREETING: 'two'");
    s.release_kept("1.1.0").exit(0).stdout_has("web 2/2 fresh");
    let second = ("two".into(), Value::Null, 2);
    assert_eq!(told(&s), second);
    let dump = std::fs::read_to_string(host.path("pm2/dump.pm2")).expect("pm2 saved it");
    let saved: Value = serde_json::from_str(&dump).expect("JSON");
    assert_eq!(
        (saved.as_array().map(Vec::len), saved[1]["GREETING"].as_str()),
        (Some(2), Some("two"))
    );

    // A restart after a change of the file's own input, without any release.
    host.gitroll(&["back", "--yes"]).exit(0);
    assert_eq!(told(&s), first);
    let good = s.app.head();

    // What can be known is refused before anything is changed; what a file makes of others is not known then.
    for (version, name, env, code, says) in [
        ("1.2.0-bad", "web", "GREETING: 'three'", 20, "restored, observed serving"),
        ("1.3.0", "web", "GREETING: undefined.x", 1, "Cannot read properties of undefined"),
        ("1.3.1", "web", "GREETING: require('./none.js')", 20, "Cannot find module"),
        ("1.4.0", "www", "GREETING: 'four'", 1, "no longer names web"),
    ] {
        write(name, 2, env);
        s.release_kept(version).exit(code).stderr_has(says);
        assert_eq!(told(&s), first, "{version}");
    }
    // Killed when the app runs with the new definition, and when it is nowhere.
    write("web", 2, "GREETING: 'five'");
    let next = s.app.commit_version("1.5.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &good]);
    let mut deploy = host.gitroll_command(&["deploy", &next, "--yes"]);
    deploy.env("GITROLL_FAIL_AT", "reload web after=kill");
    assert_eq!(Answer::of(deploy, Duration::from_secs(60)).code, None);
    wait_for_version(&s.app.health(), "1.5.0");
    assert_eq!(told(&s).0, "five");
    host.run("pm2", &["delete", "web"]).exit(0);
    host.gitroll(&["abort", "--yes"]).exit(0);
    assert_eq!(told(&s), first);
    host.gitroll(&["deploy", &next, "--yes"]).exit(0);
    assert_eq!(told(&s), ("five".into(), Value::Null, 2));

    // A pull by hand, and no reload: the file of that tree has not been applied yet.
    write("web", 2, "GREETING: 'pulled'");
    s.app.commit_version("1.5.1", Behaviour::Good);
    host.gitroll(&["deploy", "--yes"]).exit(0);
    assert_eq!(told(&s).0, "pulled");

    // What a person set since is not what the file had: no release can know what is right then.
    let mut by_hand = host.command("pm2");
    by_hand
        .args(["restart", "web", "--update-env"])
        .env("GREETING", "by hand")
        .env("OF_THE_SHELL", "once");
    Answer::of(by_hand, Duration::from_secs(60)).exit(0);
    wait_for_version(&s.app.health(), "1.5.1");
    write("web", 2, "GREETING: 'six'");
    s.app.commit_version("1.6.0", Behaviour::Good);
    host.gitroll(&["deploy", "--yes"]).exit(1).stderr_has("it changes GREETING");
    assert_eq!(told(&s).0, "by hand");
}

#[test]
fn a_process_file_is_found_wherever_it_is_and_however_it_declares_the_app() {
    let host = TestEnvironment::new();
    let s = plain(&host, &quick("web").and("[run]\nwatchdog = \"off\"\n"));
    let port = s.app.port.number();
    s.app.write("server.js", SERVER);
    let json = |greeting: &str| {
        format!(
            "{{ \"name\": \"web\", \"script\": \"server.js\", \"env\": {{ \"PORT\": {port}, \"GREETING\": \"{greeting}\" }} }}"
        )
    };
    let js = |name: &str, cwd: &str, greeting: &str| {
        format!(
            "module.exports = {{ apps: [{{ name: {name}, cwd: __dirname + '/{cwd}', script: 'server.js', \
             env: {{ PORT: {port}, GREETING: '{greeting}' }} }}] }};\n"
        )
    };
    let text = |file: &str, greeting: &str| match file {
        "web.json" => json(greeting),
        "list.json" => format!("[{}]", json(greeting)),
        ".deploy/ecosystem.config.js" => js("'web'", "..", greeting),
        "ops/pm2/ecosystem.config.js" => js("'web'", "../..", greeting),
        _ => js("'w' + 'eb'", ".", greeting),
    };
    // Each is about something else, whatever its words are.
    s.app.write("tool.json", "{ \"name\": \"web\", \"tool\": { \"script\": true } }");
    let mut bound = false;
    for (turn, file) in [
        "web.json",
        "list.json",
        ".deploy/ecosystem.config.js",
        "ops/pm2/ecosystem.config.js",
        "prod.config.js",
    ]
    .into_iter()
    .enumerate()
    {
        s.app.write(file, &text(file, "one"));
        s.app.commit_version(&format!("1.{turn}.0"), Behaviour::Good);
        if bound {
            host.run("pm2", &["delete", "web"]).exit(0);
        }
        let mut start = host.command("pm2");
        start.args(["start", file]).current_dir(&s.app.dir).env("OF_THE_SHELL", "once");
        Answer::of(start, Duration::from_secs(60)).exit(0);
        wait_for_version(&s.app.health(), &format!("1.{turn}.0"));
        if !bound {
            s.bind().stdout_has("adopted");
        }
        bound = true;
        host.gitroll(&["deploy", "--yes"]).exit(0);
        s.app.write(file, &text(file, "two"));
        s.release_kept(&format!("1.{turn}.1")).exit(0);
        assert_eq!(told(&s).0, "two", "{file}");
        std::fs::remove_file(s.app.dir.join(file)).expect("ours");
    }
}

#[test]
fn a_process_of_the_tree_in_no_service_is_named_as_the_code_changes() {
    let host = TestEnvironment::new();
    let config = AppConfig::default().without_builds().settle(1, "200ms");
    let s = Scenario::serving(&host, Fixture::Plain, &config);
    s.app.write("worker.js", "setInterval(() => {}, 1000);\n");
    s.release_kept("1.0.1").exit(0).stderr_lacks("does not belong to a service");
    let mut worker = host.command("node");
    let mut worker = worker.arg("worker.js").current_dir(&s.app.dir).spawn().expect("node runs");
    // What a person works with in the directory is no part of the app.
    let mut pager = host.command("tail");
    let mut pager = pager.args(["-f", "worker.js"]).current_dir(&s.app.dir).spawn().expect("tail");
    let begun = |pid: u32| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|c| c.starts_with(b"node"))
    };
    wait_until("the worker runs", || begun(worker.id()));
    let named = format!("process {} (node worker.js)", worker.id());
    let answer = s.release_kept("1.1.0");
    answer.exit(0).stderr_has(&named).never_says(&format!("process {} ", pager.id()));
    let record = host.gitroll(&["show", "--json"]).exit(0).stdout.clone();
    assert!(record.contains(&named), "{record}");
    for process in [&mut worker, &mut pager] {
        process.kill().expect("ours");
        process.wait().expect("ours");
    }
}
