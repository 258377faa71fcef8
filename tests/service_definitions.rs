//! What a manager runs, where that is not what the release, the record or the port says.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::support::*;

/// Says what it was started with.
const SERVER: &str = r#"
const fs = require('fs'), path = require('path');
const version = JSON.parse(fs.readFileSync(path.join(__dirname, 'package.json'))).version;
process.on('SIGINT', () => process.exit(0));
require('http').createServer((request, response) => {
  response.writeHead(200, { 'content-type': 'application/json', connection: 'close' });
  response.end(JSON.stringify({ status: 'healthy', version, mode: process.env.MODE, words: process.argv.slice(2) }));
}).listen(process.env.PORT, process.env.HOST || '127.0.0.1');
"#;

fn quick() -> AppConfig {
    AppConfig::default().without_builds().settle(1, "200ms").timeout("6s")
}

fn under_pm2(host: &TestEnvironment) -> Scenario<'_> {
    let pm2 = std::env::var_os("GITROLL_TEST_PM2")
        .map_or_else(|| test_tools().join("pm2/node_modules/.bin/pm2"), Into::into);
    assert!(pm2.is_file(), "pm2 is not installed yet: tests/run installs it");
    host.fake_tool("pm2", &format!("#!/bin/sh\nexec '{}' \"$@\"\n", pm2.display()));
    let app = host.app(Fixture::Plain);
    app.configure(&quick().served_by(ServedBy::Pm2("web".to_owned())));
    app.write("server.js", SERVER);
    Scenario { host, app }
}

#[track_caller]
fn pm2(host: &TestEnvironment, dir: &Path, args: &[&str]) {
    let mut command = host.command("pm2");
    command.args(args).current_dir(dir);
    Answer::of(command, Duration::from_secs(60)).exit(0);
}

fn said(s: &Scenario<'_>) -> serde_json::Value {
    let answer = http_get(&s.app.health()).expect("the app answers");
    serde_json::from_str(&answer.body).expect("JSON")
}

#[test]
fn an_app_started_for_production_from_a_file_of_any_name_follows_that_file() {
    let host = TestEnvironment::new();
    let s = under_pm2(&host);
    let port = s.app.port.number();
    let write = |mode: &str, more: &str| {
        let text = format!(
            "module.exports = {{ apps: [{{ name: 'web', script: 'server.js',\n\
             env: {{ PORT: {port}, MODE: 'dev' }}, env_production: {{ MODE: '{mode}' }} }}{more}] }};\n"
        );
        s.app.write("apps.config.js", &text);
    };
    write("one", "");
    // It speaks of the same things and is none.
    s.app.write("other.config.js", "throw new Error('apps: script: web');\n");
    s.app.commit_version("1.0.0", Behaviour::Good);
    pm2(&host, &s.app.dir, &["start", "apps.config.js", "--env", "production"]);
    wait_for_version(&s.app.health(), "1.0.0");
    s.bind().stdout_has("adopted");
    s.release_kept("1.0.1").exit(0);
    assert_eq!(said(&s)["mode"], "one");
    write("two", ", { name: 'worker', script: 'server.js' }");
    // What nothing starts is said.
    s.release_kept("1.1.0").exit(0).stderr_has("apps.config.js also declares worker now");
    assert_eq!(said(&s)["mode"], "two");
    let mut worker = host.command("pm2");
    worker
        .args(["start", "server.js", "--name", "worker"])
        .current_dir(&s.app.dir)
        .env("PORT", "0");
    Answer::of(worker, Duration::from_secs(60)).exit(0);
    // Nor does anything stop it.
    write("three", "");
    s.release_kept("1.2.0").exit(0).stderr_has("no longer declares worker, which continues to run");
    pm2(&host, &s.app.dir, &["delete", "worker"]);
    host.gitroll(&["back", "--yes"]).exit(0);
    assert_eq!(said(&s)["mode"], "two");
    host.gitroll(&["back", "--yes"]).exit(0);
    assert_eq!(said(&s)["mode"], "one");

    // Deleted and started by hand, as something else: that is not what was proven.
    host.gitroll(&["check"]).exit(0);
    pm2(&host, &s.app.dir, &["delete", "web"]);
    s.app.write("old.js", SERVER);
    let mut command = host.command("pm2");
    command.args(["start", "old.js", "--name", "web"]).current_dir(&s.app.dir);
    command.env("PORT", port.to_string());
    Answer::of(command, Duration::from_secs(60)).exit(0);
    wait_for_version(&s.app.health(), "1.0.1");
    host.gitroll(&["check"]).exit(1).stderr_has("old.js, not ");
    host.gitroll(&["status"]).exit(0).stdout_has("not proven: web: pm2 runs");
    host.gitroll(&["deploy", "--yes"]).exit(0).stdout_lacks("already serves");
    host.gitroll(&["check"]).exit(0);
}

#[test]
fn an_app_that_works_in_a_directory_of_its_data_stays_there() {
    let host = TestEnvironment::new();
    let s = under_pm2(&host);
    s.app.write("server.js", &SERVER.replace("mode: process.env.MODE", "mode: process.cwd()"));
    s.app.commit_version("1.0.0", Behaviour::Good);
    let data = host.path("data");
    std::fs::create_dir(&data).expect("ours");
    let script = s.app.dir.join("server.js");
    let mut command = host.command("pm2");
    command.args(["start", script.to_str().expect("UTF-8"), "--name", "web"]).current_dir(&data);
    command.env("PORT", s.app.port.number().to_string());
    Answer::of(command, Duration::from_secs(60)).exit(0);
    wait_for_version(&s.app.health(), "1.0.0");
    s.bind().stdout_has("adopted");
    s.release_kept("1.1.0").exit(0);
    assert_eq!(said(&s)["mode"], data.to_str().expect("UTF-8"));
    assert_eq!(said(&s)["version"], "1.1.0");
}

#[test]
fn another_app_in_cluster_mode_that_gets_some_of_the_requests_is_named() {
    let host = TestEnvironment::new();
    let s = under_pm2(&host);
    let port = s.app.port.number().to_string();
    s.app.commit_version("1.0.0", Behaviour::Good);
    let start = |dir: &Path, name: &str| {
        let mut command = host.command("pm2");
        command.args(["start", "server.js", "-i", "2", "--name", name]).current_dir(dir);
        command.env("PORT", &port).env("MODE", name);
        Answer::of(command, Duration::from_secs(60)).exit(0);
    };
    start(&s.app.dir, "web");
    wait_for_version(&s.app.health(), "1.0.0");
    s.bind().stdout_has("adopted");
    let other = host.path("other");
    std::fs::create_dir(&other).expect("ours");
    std::fs::write(other.join("server.js"), SERVER).expect("ours");
    std::fs::write(other.join("package.json"), "{\"version\": \"1.0.0\"}").expect("ours");
    // One that has its own port is none of this app's business.
    let own = free_port();
    let mut beside = host.command("pm2");
    beside.args(["start", "server.js", "-i", "1", "--name", "beside"]).current_dir(&other);
    beside.env("PORT", own.number().to_string());
    Answer::of(beside, Duration::from_secs(60)).exit(0);
    s.release_kept("1.0.1").exit(0).stdout_has("web 2/2 fresh");
    host.gitroll(&["check"]).exit(0);

    start(&other, "admin");
    wait_until("it gets some of the requests", || said(&s)["mode"] == "admin");
    let taken = format!("listens on 127.0.0.1:{port} but does not belong to a service");
    host.gitroll(&["check"]).exit(1).stderr_has(&taken);
    s.release_kept("1.1.0").exit(1).stderr_has(&taken).stderr_has("/other/server.js");
    pm2(&host, &other, &["delete", "admin"]);
    host.gitroll(&["check"]).exit(0);
}

#[test]
fn a_start_line_that_the_release_changes_is_not_left_behind() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.configure(&quick());
    let package = app.read("package.json");
    let start = |line: &str| {
        let mut json: serde_json::Value = serde_json::from_str(&package).expect("JSON");
        json["scripts"]["start"] = line.into();
        app.write("package.json", &json.to_string());
    };
    start("node server.js");
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host: &host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    let start = |line: &str| {
        let mut json: serde_json::Value =
            serde_json::from_str(&s.app.read("package.json")).expect("JSON");
        json["scripts"]["start"] = line.into();
        s.app.write("package.json", &json.to_string());
    };
    // The same, said otherwise.
    start("NODE_ENV=production node --enable-source-maps ./server.js");
    s.release_kept("1.0.1").exit(0).stderr_lacks("package.json starts");
    s.app.write("main.js", "require('./server.js');\n");
    start("node main.js");
    s.release_kept("1.1.0")
        .exit(1)
        .stderr_has("package.json starts \"node main.js\"")
        .stderr_has("set command under [service.web]");
    s.serves("1.0.1");
    s.app.write("main.js", "require('./server.js');\n");
    start("node main.js");
    let config = s.app.read("gitroll.toml").replace("\"server.js\"", "\"main.js\"");
    s.app.write("gitroll.toml", &config);
    s.release_kept("1.1.1").exit(0);
    s.serves("1.1.1");
}

#[test]
fn a_release_that_narrows_where_it_listens_is_not_serving() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.configure(&quick());
    app.write("server.js", &SERVER.replace("process.env.HOST || '127.0.0.1'", "'0.0.0.0'"));
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host: &host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s.app.write("server.js", SERVER);
    let port = s.app.port.number();
    s.release_kept("1.1.0")
        .exit(20)
        .stderr_has(&format!("web: listens only on 127.0.0.1:{port}, no longer on 0.0.0.0:{port}"));
    s.serves("1.0.0");
    // Wider is never less.
    s.app.write("server.js", &SERVER.replace("process.env.HOST || '127.0.0.1'", "'::'"));
    s.release_kept("1.2.0").exit(0);
}

/// Its second process fails at once, again and again, while the first listens and answers for it.
const FAILING_WORKER: &str = "
const cluster = require('cluster');
if (cluster.isPrimary) {
  cluster.fork({ NUMBER: 0 });
  cluster.fork({ NUMBER: 1 });
  cluster.on('exit', () => cluster.fork({ NUMBER: 1 }));
} else if (process.env.NUMBER === '1') setTimeout(() => process.exit(1), 150);
else require('./web.js');
";

#[test]
fn workers_that_fail_one_after_the_other_do_not_serve() {
    let host = TestEnvironment::new();
    // A shell forks itself all the time.
    let loops = "\n[service.loop]\nmanager = \"process\"\n\
                 command = [\"sh\", \"-c\", \"while :; do (sleep 0.1; :); done\"]\n";
    let config = quick().settle(2, "2s").timeout("10s").and(loops);
    let s = Scenario::serving(&host, Fixture::Plain, &config);
    s.app.write("web.js", SERVER);
    s.app.write("server.js", FAILING_WORKER);
    s.release_kept("1.1.0").exit(20).stderr_has("a process that it starts itself ended");
    s.serves("1.0.0");
    // The same without a fault.
    s.app.write("web.js", SERVER);
    s.app.write("server.js", &FAILING_WORKER.replace("=== '1'", "=== '2'"));
    s.release_kept("1.2.0").exit(0);
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_second_clone_whose_commands_would_end_the_first_ones_app_is_refused() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    let pid = host.path("app.pid");
    let at = pid.display();
    let commands = format!(
        "\n[service.web]\nmanager = \"command\"\n\
         start = [\"sh\", \"-c\", \"PORT={} node server.js >/dev/null 2>&1 & echo $! >{at}\"]\n\
         stop = [\"sh\", \"-c\", \"kill $(cat {at})\"]\nstatus = [\"sh\", \"-c\", \"kill -0 $(cat {at})\"]\n",
        app.port.number()
    );
    app.configure(&quick().served_by(ServedBy::Nobody).and(&commands));
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host: &host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    // Who listens is seen, so its age tells.
    s.release_kept("1.0.1").exit(0);
    s.serves("1.0.1");
    let first = std::fs::read_to_string(&pid).expect("it was started");

    let clone = host.path("clone");
    let from = s.app.dir.to_str().expect("UTF-8");
    host.run("git", &["clone", "-q", from, clone.to_str().expect("UTF-8")]).exit(0);
    let home = host.path("clone-binding");
    let in_clone = |args: &[&str]| {
        let mut command = host.gitroll_command(args);
        command.current_dir(&clone).env("GITROLL_HOME", &home);
        Answer::of(command, Duration::from_secs(60))
    };
    in_clone(&["init", "--yes", "--environment", "production"]).exit(0);
    in_clone(&["deploy", "--yes"]).exit(1).stderr_has("it belongs to another checkout");
    in_clone(&["service", "stop"]).exit(1).stderr_has("it belongs to another checkout");
    assert_eq!(std::fs::read_to_string(&pid).expect("it is there"), first);
    s.serves("1.0.1");
    in_clone(&["init", "--yes", "--take-over"]).exit(0).says("the next deploy replaces the app");
    in_clone(&["deploy", "--yes"]).exit(0);
    assert_ne!(std::fs::read_to_string(&pid).expect("it is there"), first);
    host.run("sh", &["-c", &format!("kill $(cat {at})")]).exit(0);
}

#[test]
fn a_worker_that_was_started_from_elsewhere_is_named_too() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    s.app.write("worker.js", "setInterval(() => {}, 1000);\n");
    s.release_kept("1.1.0").exit(0).stdout_lacks("older code");
    let code = format!("require('{}/worker.js')", s.app.dir.display());
    let mut worker = host.command("node");
    worker.args(["-e", &code]).current_dir("/").stdout(Stdio::null()).stderr(Stdio::null());
    let worker = Running(worker.spawn().expect("node can be started"));
    s.release_kept("1.2.0")
        .exit(0)
        .stdout_has("; 1 process of no service runs older code")
        .stdout_has(&format!("older    process {} (node", worker.0.id()));
}

#[test]
fn a_service_that_runs_another_copy_of_the_app_does_not_serve_the_release() {
    let host = TestEnvironment::new();
    let s = under_pm2(&host);
    let told = ", \"/version\" = \"{version}\"";
    let config = s.app.read("gitroll.toml");
    assert!(config.contains(told));
    s.app.write("gitroll.toml", &config.replace(told, ""));
    let old = host.path("old");
    std::fs::create_dir(&old).expect("ours");
    std::fs::write(old.join("server.js"), SERVER).expect("ours");
    std::fs::write(old.join("package.json"), r#"{"version":"0.9.0"}"#).expect("ours");
    let (top, old) = (s.app.dir.display().to_string(), old.display().to_string());
    let start = |line: &str| {
        s.app.write("run.sh", &format!("#!/bin/sh\n{line}\n"));
        set_mode(&s.app.dir.join("run.sh"), 0o755);
    };
    let said = format!("does not run from the live tree: it runs the copy in {old}");

    start("exec node server.js");
    s.app.commit_version("1.0.0", Behaviour::Good);
    let mut command = host.command("pm2");
    command.args(["start", "./run.sh", "--name", "web"]).current_dir(&s.app.dir);
    command.env("PORT", s.app.port.number().to_string());
    Answer::of(command, Duration::from_secs(60)).exit(0);
    wait_for_version(&s.app.health(), "1.0.0");
    s.bind().stdout_has("adopted");
    s.release_kept("1.1.0").exit(0);
    // pm2 believes that it runs where it was started.
    start(&format!("cd '{old}' && exec node server.js"));
    s.release_kept("1.2.0").exit(20).stderr_has(&said).stderr_has("restored, observed serving");
    s.serves("1.1.0");
    // By its path, from the tree, as a child of what was started.
    start(&format!("trap 'kill $!' TERM INT\nnode '{old}/server.js' &\nwait"));
    s.release_kept("1.3.0").exit(20).stderr_has(&said);
    s.serves("1.1.0");

    // Outside of gitroll too: neither is it healthy, nor does it serve already.
    start(&format!("cd '{old}' && exec node server.js"));
    host.run("pm2", &["restart", "web"]).exit(0);
    wait_for_version(&s.app.health(), "0.9.0");
    host.gitroll(&["check"]).exit(1).stderr_has(&said);
    s.app.git(&["checkout", "-q", "--", "run.sh"]);
    host.gitroll(&["deploy", "--yes"]).exit(0).stdout_lacks("already serves");
    s.serves("1.1.0");

    // A start script may copy the tree: the version in the answer says which one runs.
    s.app.write("gitroll.toml", &config);
    start(&format!("cp '{top}'/* '{old}' && cd '{old}' && exec node server.js"));
    s.release_kept("1.4.0").exit(0);
    s.serves("1.4.0");
}
