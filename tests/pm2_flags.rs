//! Flags that an app under a real pm2 is handed in its environment, and one that is down while files change.

use std::path::PathBuf;
use std::time::Duration;

use crate::support::*;
use serde_json::Value;

/// Tells what it was started with.
const SERVER: &str = r#"
const fs = require('fs'), http = require('http'), path = require('path');
const version = JSON.parse(fs.readFileSync(path.join(__dirname, 'package.json'))).version;
process.on('SIGINT', () => process.exit(0));
if (fs.existsSync(path.join(__dirname, '.git/sick'))) process.exit(1);
const { NEW_UI, OF_THE_CALLER, OWN, LANG } = process.env;
http.createServer((request, response) => {
  response.writeHead(200, { 'content-type': 'application/json', connection: 'close' });
  response.end(JSON.stringify({ status: 'healthy', version, pid: process.pid, NEW_UI, OF_THE_CALLER, OWN, LANG }));
}).listen(process.env.PORT, '127.0.0.1');
"#;

const FLAGS: &str = r#"
[flags]
file = ".env"
apply = "environment"
verify = "environ"

[component.UI]
paths = ["ui/**"]
flag = { name = "NEW_UI", off = "false", on = "true" }
"#;

/// 1.0.0 of an app that a person started under pm2 with these options, bound.
fn under_pm2<'h>(
    host: &'h TestEnvironment,
    config: &AppConfig,
    dotenv: &str,
    options: &[&str],
) -> Scenario<'h> {
    let pm2 = std::env::var_os("GITROLL_TEST_PM2")
        .map_or_else(|| test_tools().join("pm2/node_modules/.bin/pm2"), PathBuf::from);
    assert!(pm2.is_file(), "pm2 is not installed yet: tests/run installs it");
    host.fake_tool("pm2", &format!("#!/bin/sh\nexec '{}' \"$@\"\n", pm2.display()));
    let app = host.app(Fixture::Plain);
    app.configure(config);
    app.write("server.js", SERVER);
    app.write(".gitignore", ".env\n");
    app.write(".env", dotenv);
    app.commit_version("1.0.0", Behaviour::Good);
    let mut start = host.command("pm2");
    start.args(["start", "server.js", "--name", "web"]).args(options).env("OWN", "kept");
    start.env("PORT", app.port.number().to_string());
    Answer::of(start, Duration::from_secs(60)).exit(0);
    wait_for_version(&app.health(), "1.0.0");
    let s = Scenario { host, app };
    s.bind();
    s
}

fn config() -> AppConfig {
    AppConfig::default()
        .without_builds()
        .served_by(ServedBy::Pm2("web".to_owned()))
        .settle(1, "200ms")
        .timeout("20s")
}

#[track_caller]
fn told(s: &Scenario<'_>, name: &str) -> Option<String> {
    let answer = http_get(&s.app.health()).expect("the app answers");
    let answer: Value = serde_json::from_str(&answer.body).expect("JSON");
    assert_eq!(answer["OF_THE_CALLER"], Value::Null, "a variable of the caller's is in the app");
    assert_eq!(answer["OWN"], "kept", "a variable of the app's own is gone");
    answer[name].as_str().map(str::to_owned)
}

#[track_caller]
fn gitroll(s: &Scenario<'_>, args: &[&str]) -> Answer {
    let mut command = s.host.gitroll_command(args);
    command.env("OF_THE_CALLER", "secret");
    Answer::of(command, Duration::from_secs(120))
}

fn switched_and_back(options: &[&str]) {
    let host = TestEnvironment::new();
    let s = under_pm2(&host, &config().and(FLAGS), "NEW_UI=true\n", options);
    let language = told(&s, "LANG");
    gitroll(&s, &["flags", "off", "UI"]).exit(0);
    assert_eq!(told(&s, "NEW_UI").as_deref(), Some("false"));
    assert_eq!(told(&s, "LANG"), language, "the app's own");
    host.gitroll(&["flags"]).exit(0).stdout_has("yes");
    s.release_kept("1.1.0").exit(0);
    assert_eq!(told(&s, "NEW_UI").as_deref(), Some("false"));
    gitroll(&s, &["flags", "on", "UI"]).exit(0);
    assert_eq!(told(&s, "NEW_UI").as_deref(), Some("true"));
    // A person starts it anew, without the flag.
    host.run("pm2", &["delete", "web"]).exit(0);
    gitroll(&s, &["service", "start"]).exit(0);
    wait_for_version(&s.app.health(), "1.1.0");
    assert_eq!(told(&s, "NEW_UI").as_deref(), Some("true"));
    let mut off = host.gitroll_command(&["flags", "off", "UI"]);
    off.env("GITROLL_FAIL_AT", "reload web after=kill");
    assert_eq!(Answer::of(off, Duration::from_secs(120)).code, None);
    gitroll(&s, &["abort"]).exit(0);
    assert_eq!(told(&s, "NEW_UI").as_deref(), Some("true"));
}

#[test]
fn in_fork_mode_flags_are_handed_over_and_nothing_of_the_caller() {
    switched_and_back(&[]);
}

#[test]
fn in_cluster_mode_flags_are_handed_over_and_nothing_of_the_caller() {
    switched_and_back(&["-i", "2"]);
}

#[test]
fn a_flag_that_was_not_set_is_taken_away_again() {
    let host = TestEnvironment::new();
    let s = under_pm2(&host, &config().and(FLAGS), "# none\n", &[]);
    assert_eq!(told(&s, "NEW_UI"), None);
    gitroll(&s, &["flags", "off", "UI"]).exit(0);
    assert_eq!(told(&s, "NEW_UI").as_deref(), Some("false"));
    gitroll(&s, &["back", "--level", "flags", "--yes"]).exit(0);
    wait_for_version(&s.app.health(), "1.0.0");
    assert_eq!(told(&s, "NEW_UI"), None);
    s.app.write(".git/sick", "");
    gitroll(&s, &["flags", "off", "UI"]).exit(21);
    std::fs::remove_file(s.app.dir.join(".git/sick")).expect("it is there");
    gitroll(&s, &["abort"]).exit(0);
    wait_for_version(&s.app.health(), "1.0.0");
    assert_eq!(told(&s, "NEW_UI"), None);
}

#[test]
fn under_pm2_an_app_is_down_while_files_change_and_up_again_after_every_end() {
    let host = TestEnvironment::new();
    let s = under_pm2(&host, &config().and("[run]\nwatchdog = \"off\"\n"), "", &[]);
    let text = s.app.read("gitroll.toml");
    s.app
        .write("gitroll.toml", &text.replace("[service.web]\n", "[service.web]\nquiesce = true\n"));
    s.release_kept("1.1.0").exit(0).stderr_has("quiesce web");
    s.serves("1.1.0");
    s.app.write(".git/sick", "");
    s.release_kept("1.2.0").exit(21);
    std::fs::remove_file(s.app.dir.join(".git/sick")).expect("it is there");
    host.gitroll(&["resume"]).exit(20);
    s.serves("1.1.0");
    for (version, place, way, after) in [
        ("1.3.0", "quiesce web after", "abort", "1.1.0"),
        ("1.4.0", "activate after", "resume", "1.4.0"),
        ("1.5.0", "activate before", "abort", "1.4.0"),
    ] {
        let serving = s.app.head();
        let next = s.app.commit_version(version, Behaviour::Good);
        s.app.git(&["checkout", "-q", "--detach", &serving]);
        let mut command = host.gitroll_command(&["deploy", &next, "--yes"]);
        command.env("GITROLL_FAIL_AT", format!("{place}=kill"));
        assert_eq!(Answer::of(command, Duration::from_secs(60)).code, None, "{place}");
        s.is_down();
        host.gitroll(&[way]).exit(0);
        s.serves(after);
    }
    s.app.write("server.js", "throw new Error('no database at boot');\n");
    s.release_kept("1.6.0").exit(20);
    s.serves("1.4.0");
}
