//! `gitroll advise`: symptoms of a running app, and the command for the worst of them.

use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::*;
use serde_json::Value;

/// Answers `/stats` with what lies in `.git/stats.json`, `/api/upload` with the status in `.git/upload`, and writes
/// what is asked of `/say/` to its log. Its flag is read from `.env` with each request.
const SERVER: &str = r#"
const fs = require('fs'), http = require('http'), path = require('path');
const version = JSON.parse(fs.readFileSync(path.join(__dirname, 'package.json'))).version;
const read = (name, usual) => { try { return fs.readFileSync(path.join(__dirname, name), 'utf8'); } catch { return usual; } };
const flag = () => /^ENABLE_UPLOADS=(.*)$/m.exec(read('.env', ''))?.[1] ?? 'true';
process.on('SIGTERM', () => process.exit(0));
http.createServer((request, response) => {
  const answer = (status, body) => { response.writeHead(status, { connection: 'close' }); response.end(body); };
  if (request.url === '/stats') return answer(200, read('.git/stats.json', '{}'));
  if (request.url === '/api/upload') return answer(Number(read('.git/upload', '200')), '');
  if (request.url.startsWith('/say/')) {
    console.log(`${new Date().toISOString()} ${decodeURIComponent(request.url.slice(5))}`);
    return answer(200, '');
  }
  answer(200, JSON.stringify({ status: 'healthy', version, flag: flag() }));
}).listen(process.env.PORT, '127.0.0.1');
"#;

const RULES: &str = r#"
[component.QW-001]
paths = ["features/upload/**"]
flag = { name = "ENABLE_UPLOADS", off = "false", on = "true" }

[flags]
file = ".env"
apply = "none"
verify = { http = "http://127.0.0.1:PORT/", expect = { json = { "/flag" = "{value}" } } }

[[rule]]
symptom = "uploads answer 207"
probe = { http = "http://127.0.0.1:PORT/api/upload", expect = { status = 207 } }
severity = "P1"
action = "flags:QW-001"
timeline = "30m"
why = "the old way of uploading is still there"

[[rule]]
symptom = "latency above 500 ms"
probe = { metric = { http = "http://127.0.0.1:PORT/stats", pointer = "/p95_ms" }, expect = { above = 500 }, samples = 2, every = "100ms" }
severity = "P0"
action = "code"
timeline = "immediately"

[[rule]]
symptom = "the database refuses connections"
probe = { log = { service = "web" }, expect = { must = 'ECONNREFUSED' }, since = "10m" }
severity = "P2"
action = "fix-forward"

[[rule]]
symptom = "data is corrupt"
probe = { command = ["test", "-e", ".git/corrupt"] }
severity = "P0"
action = "full"

[[rule]]
symptom = "the app does not answer"
probe = { http = "http://127.0.0.1:PORT/api/health", when = "fails" }
severity = "P0"
action = "code"
"#;

/// 1.0.0, and 1.1.0 serving, with these rules.
fn ruled<'h>(host: &'h TestEnvironment, rules: &str) -> Scenario<'h> {
    let app = host.app(Fixture::Plain);
    let rules = rules.replace("PORT", &app.port.number().to_string());
    app.configure(&AppConfig::default().without_builds().settle(1, "200ms").and(&rules));
    app.write("server.js", SERVER);
    app.write(".gitignore", ".env\n");
    app.write("features/upload/index.js", "// one at a time\n");
    app.write(".env", "ENABLE_UPLOADS=true\n");
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s.app.write("features/upload/index.js", "// all at once\n");
    s.release_kept("1.1.0").exit(0);
    symptom(&s, "stats.json", "{ \"p95_ms\": 80 }");
    s
}

fn symptom(s: &Scenario<'_>, name: &str, text: &str) {
    fs::write(s.app.dir.join(".git").join(name), text).unwrap();
}

fn advice(s: &Scenario<'_>) -> Value {
    let answer = s.host.gitroll(&["advise", "--json"]).exit(0).json()["result"].clone();
    let schema = fs::read_to_string(project().join("docs/schema/advise.json")).unwrap();
    let misfits = schema::misfits(&serde_json::from_str(&schema).unwrap(), &answer);
    assert!(misfits.is_empty(), "{misfits:#?}");
    answer
}

#[test]
fn without_a_symptom_nothing_is_advised_and_nothing_is_changed() {
    let host = TestEnvironment::new();
    let s = ruled(&host, RULES);
    let before = s.app.state();
    let answer = host.gitroll(&["advise"]);
    answer.exit(0).stdout_has("no symptom of 5 rules is present").stdout_has("gitroll status");
    let json = advice(&s);
    assert_eq!(json["advice"], Value::Null);
    let seen: Vec<&str> =
        json["rules"].as_array().unwrap().iter().map(|r| r["seen"].as_str().unwrap()).collect();
    assert_eq!(seen, ["absent"; 5], "{json:#}");
    assert!(before == s.app.state(), "advise changed something");
    assert_eq!(host.gitroll(&["log"]).stdout.lines().count(), 4);
}

#[test]
fn a_symptom_of_the_flag_is_answered_with_the_flag_and_the_command_works() {
    let host = TestEnvironment::new();
    let s = ruled(&host, RULES);
    symptom(&s, "upload", "207");
    let command = "gitroll flags off QW-001 --reason 'uploads answer 207'";
    host.gitroll(&["advise"])
        .exit(0)
        .stdout_has("P1, 30m: switch the flag of QW-001 off")
        .stdout_has("the old way of uploading is still there")
        .stdout_has(command)
        .stdout_has("gitroll back --level auto --reason 'uploads answer 207'");
    assert_eq!(advice(&s)["advice"]["command"], command);

    // What it says is what a shell can run.
    let typed = command.replace("gitroll", env!("CARGO_BIN_EXE_gitroll"));
    host.run("sh", &["-c", &typed]).exit(0);
    assert!(s.app.read(".env").contains("ENABLE_UPLOADS=false"));
    // It did not help: the next level, and the files of the component alone.
    host.gitroll(&["advise"])
        .exit(0)
        .stdout_has("QW-001: ENABLE_UPLOADS is false already")
        .stdout_has("P1, 30m: roll back to v1.0.0")
        .stdout_has("next     gitroll back --reason 'uploads answer 207'")
        .stdout_has("gitroll component QW-001 --via files");
    let json = advice(&s);
    assert_eq!(
        (&json["advice"]["asked"], &json["advice"]["level"]),
        (&"flags".into(), &"code".into())
    );
}

#[test]
fn the_worst_symptom_decides_and_the_others_are_shown() {
    let host = TestEnvironment::new();
    let s = ruled(&host, RULES);
    symptom(&s, "upload", "207");
    symptom(&s, "stats.json", "{ \"p95_ms\": 812.5 }");
    let answer = host.gitroll(&["advise"]);
    answer
        .exit(0)
        .stdout_has("P0, immediately: roll back to v1.0.0")
        .stdout_has("latency above 500 ms: 812.5")
        .stdout_has("gitroll back --reason 'latency above 500 ms: 812.5'")
        .stdout_has("flags:QW-001");
    // Of two that are as bad the shallower: code before full.
    symptom(&s, "corrupt", "");
    assert_eq!(advice(&s)["advice"]["level"], "code");
    symptom(&s, "stats.json", "{ \"p95_ms\": 80 }");
    let json = advice(&s);
    assert_eq!(
        (&json["advice"]["level"], &json["advice"]["command"]),
        (&"full".into(), &Value::Null)
    );
    host.gitroll(&["advise"])
        .exit(0)
        .stdout_has("declares no [data.NAME]")
        .stdout_has("only the code to v1.0.0");
}

#[test]
fn lines_of_a_log_count_while_they_are_young() {
    let host = TestEnvironment::new();
    let s = ruled(&host, RULES);
    http_get(&s.app.url("/say/connect%20ECONNREFUSED%20127.0.0.1:5432")).unwrap();
    let json = advice(&s);
    assert_eq!(json["advice"]["level"], "fix-forward", "{json:#}");
    assert!(json["rules"][2]["answer"].as_str().unwrap().contains("1 line in 10 min"), "{json:#}");
    host.gitroll(&["advise"]).exit(0).stdout_has("do not roll back: fix the problem and deploy");

    // The same line, of yesterday.
    let log = s.app.dir.join(".git/gitroll/services/web.log");
    let old = "2020-01-01T10:00:00.000Z connect ECONNREFUSED 127.0.0.1:5432\n  at connect\n";
    fs::write(&log, old).unwrap();
    let json = advice(&s);
    assert_eq!(json["rules"][2]["answer"], "no such line in 10 min");
    assert_eq!(json["advice"], Value::Null);
}

#[test]
fn an_app_that_is_down_is_a_symptom_and_what_cannot_be_asked_is_said() {
    let host = TestEnvironment::new();
    let _s = ruled(&host, RULES);
    host.gitroll(&["service", "stop", "web"]).exit(0);
    let answer = host.gitroll(&["advise"]);
    answer
        .exit(0)
        .stdout_has("the app does not answer: no listener on")
        .stdout_has("gitroll back --reason 'the app does not answer'")
        .stdout_has("not run    P0 latency above 500 ms: no listener on")
        .stdout_has("not run    P1 uploads answer 207: no listener on");
}

#[test]
fn where_nothing_can_be_asked_it_ends_with_1() {
    let host = TestEnvironment::new();
    // Accepts and never answers.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", mute.local_addr().unwrap());
    let rule = |what: &str| {
        format!(
            "[[rule]]\nsymptom = \"it is slow\"\nprobe = {{ {what} }}\nseverity = \"P1\"\naction = \"code\"\n"
        )
    };
    let rules = [
        format!("http = \"{url}\", expect = {{ status = 500 }}, request_timeout = \"1s\""),
        format!("metric = {{ http = \"{url}\", pointer = \"/x\" }}, expect = {{ above = 1 }}, request_timeout = \"1s\""),
        "log = { file = \"/nowhere/app.log\" }, expect = { must = \"x\" }".to_owned(),
        "command = [\"./no-such-program\"]".to_owned(),
        "command = [\"sleep\", \"60\"], run_timeout = \"1s\"".to_owned(),
    ]
    .map(|what| rule(&what))
    .concat();
    let s = ruled(&host, &rules);
    let began = Instant::now();
    let answer = host.gitroll(&["advise"]);
    answer
        .exit(1)
        .stderr_has("no probe could run")
        .stdout_has("no answer within 1 s")
        .stdout_has("no such file");
    assert!(began.elapsed() < Duration::from_secs(8), "one after the other: {:?}", began.elapsed());
    let json = host.gitroll(&["advise", "--json"]).exit(1).json();
    let rules = json["result"]["rules"].as_array().unwrap().clone();
    assert!(rules.len() == 5 && rules.iter().all(|rule| rule["seen"] == "unknown"), "{rules:#?}");
    s.serves("1.1.0");
}

#[test]
fn a_file_without_rules_is_told_and_where_nothing_is_good_it_says_so() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &AppConfig::default().without_builds());
    let advise = host.gitroll(&["advise"]);
    advise.exit(0).stderr_has("no [[rule]] is set up").stdout_has("observed serving, healthy");
    let rule = "[[rule]]\nsymptom = \"it is corrupt\"\nprobe = { command = [\"true\"] }\n\
                severity = \"P0\"\naction = \"code\"\n";
    s.app.configure(&AppConfig::default().without_builds().and(rule));
    // What is not accepted is not used.
    host.gitroll(&["advise"]).exit(0).stderr_has("gitroll.toml differs");
    host.gitroll(&["init", "--yes"]).exit(0);
    host.gitroll(&["advise"])
        .exit(0)
        .stdout_has("there is no version to roll back to")
        .stdout_has("declares no [data.NAME]");
}
