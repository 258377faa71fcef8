//! Feature flags: switched as a run, seen in the running app or put back.

mod seen;

use std::fs;

use crate::support::*;

/// Reads `.env` as it starts; `uploads` fails as long as its flag is on, where the test says so. Says in its log how
/// uploads go.
const SERVER: &str = r#"
const fs = require('fs'), http = require('http'), path = require('path');
const version = JSON.parse(fs.readFileSync(path.join(__dirname, 'package.json'))).version;
const read = () => { try { return fs.readFileSync(path.join(__dirname, '.env'), 'utf8'); } catch { return ''; } };
const flag = (text, name) => {
  const lines = text.split(/\r?\n/).filter((line) => line.startsWith(name + '='));
  return lines.length ? lines[lines.length - 1].slice(name.length + 1).replace(/\s+#.*/, '') : undefined;
};
let env = read();
const deaf = fs.existsSync(path.join(__dirname, '.git/deaf'));
const value = () => deaf ? 'true' : (process.env.ENABLE_UPLOADS ?? flag(env, 'ENABLE_UPLOADS') ?? 'true');
const say = () => console.log(value() === 'false' ? 'sequential uploads' : 'parallel uploads');
process.on('SIGHUP', () => { env = read(); say(); });
process.on('SIGTERM', () => process.exit(0));
const sick = (kind) => fs.existsSync(path.join(__dirname, '.git/sick-' + kind));
http.createServer((request, response) => {
  const bad = (sick('flag') && value() !== 'false') || (sick('code') && version !== '1.0.0') || sick('both');
  response.writeHead(bad ? 500 : 200, { 'content-type': 'application/json', connection: 'close' });
  response.end(JSON.stringify({ status: bad ? 'failing' : 'healthy', version, pid: process.pid, flags: { ENABLE_UPLOADS: value() } }));
}).listen(process.env.PORT, '127.0.0.1', say);
"#;

const COMPONENT: &str = r#"
[component.QW-001]
title = "Parallel uploads"
paths = ["features/upload/**"]
flag = { name = "ENABLE_UPLOADS", off = "false", on = "true" }
after = "uploads are sequential"
symptoms = ["HTTP 207"]
"#;

/// 1.0.0 and 1.1.0 of an app with a flag, the second serving.
fn flagged<'h>(host: &'h TestEnvironment, flags: &str) -> Scenario<'h> {
    let config = AppConfig::default().without_builds().settle(1, "200ms").and(COMPONENT);
    let env = "# the app's own\nOTHER=1\nENABLE_UPLOADS=true # since May\n";
    let s = without_the_feature(host, SERVER, env, config, flags);
    s.with_the_feature();
    s
}

const BY_HTTP: &str = r#"
[flags]
file = ".env"
verify = { http = "http://127.0.0.1:PORT/api/health", expect = { status = 200, json = { "/flags/{name}" = "{value}" } } }
"#;

fn env(s: &Scenario<'_>) -> String {
    fs::read_to_string(s.app.dir.join(".env")).unwrap_or_default()
}

#[test]
fn a_flag_is_switched_off_seen_recorded_and_put_back() {
    let host = TestEnvironment::new();
    let s = flagged(&host, BY_HTTP);
    let before = env(&s);
    host.gitroll(&["flags"]).exit(0).stdout_has("ENABLE_UPLOADS").stdout_has("QW-001");
    host.gitroll(&["doctor"]).stdout_has("1 flag could be switched");
    let off = host.gitroll(&["flags", "off", "QW-001", "--reason", "uploads time out"]);
    off.exit(0)
        .stdout_has("ENABLE_UPLOADS false")
        .stdout_has("uploads are sequential")
        .stdout_has("HTTP 207");
    assert_eq!(env(&s), before.replace("=true #", "=false #"));
    s.serves("1.1.0");
    host.gitroll(&["show"]).exit(0).stdout_has("ENABLE_UPLOADS").stdout_has("uploads time out");
    host.gitroll(&["back", "--level", "flags", "--yes"]).exit(0).stdout_has("ENABLE_UPLOADS true");
    assert_eq!(env(&s), before);
    host.gitroll(&["back", "--level", "flags", "--yes"])
        .exit(1)
        .stderr_has("no flag change to undo");
}

#[test]
fn a_flag_that_the_app_does_not_take_is_put_back() {
    let host = TestEnvironment::new();
    let s = flagged(&host, &BY_HTTP.replace("verify = {", "verify = { timeout = \"2s\","));
    let before = env(&s);
    fs::write(s.app.dir.join(".git/deaf"), "").expect("it is writable");
    host.gitroll(&["flags", "off", "QW-001"]).exit(20);
    assert_eq!(env(&s), before);
    s.serves("1.1.0");
}

#[test]
fn a_log_shows_a_flag_from_the_change_on() {
    let host = TestEnvironment::new();
    let flags = "[flags]\nfile = \".env\"\napply = { signal = \"HUP\" }\n\
                 verify = { log = { service = \"web\" }, expect = { must = \"sequential uploads\" } }\n";
    let s = flagged(&host, flags);
    let pid = s.app.pid_served();
    host.gitroll(&["flags", "off", "ENABLE_UPLOADS"]).exit(0);
    assert_eq!(s.app.pid_served(), pid, "it was reloaded, not told");
    // Nothing shows that it is on: refused before anything is changed.
    let before = env(&s);
    host.gitroll(&["flags", "on", "QW-001"]).exit(1).stderr_has("no check can show");
    assert_eq!(env(&s), before);
    host.gitroll(&["flags", "set", "ENABLE_UPLODS=true"]).exit(1).stderr_has("ENABLE_UPLOADS");
}

#[test]
fn the_last_words_of_the_old_process_show_no_flag_and_the_first_of_the_new_one_do() {
    let host = TestEnvironment::new();
    let flags = "[flags]\nfile = \".env\"\n\
                 verify = { log = { service = \"web\" }, expect = { must = \"sequential uploads\" }, timeout = \"3s\" }\n";
    let s = flagged(&host, flags);
    let bye = "process.on('SIGTERM', () => { console.log('sequential uploads (bye)'); process.exit(0); });";
    let server = s.app.read("server.js");
    s.app.write("server.js", &server.replace("process.on('SIGTERM', () => process.exit(0));", bye));
    s.release_kept("1.2.0").exit(0);
    host.gitroll(&["flags", "off", "QW-001"]).exit(0);
    host.gitroll(&["back", "--level", "flags", "--yes"]).exit(0);
    // From here on the app goes on with uploads in parallel, whatever it reads.
    s.app.write(".git/deaf", "");
    let off = host.gitroll(&["flags", "off", "QW-001"]);
    off.exit(20).stderr_has("no line matches \"sequential uploads\"");
}

#[test]
fn doctor_asks_what_shows_a_flag() {
    let host = TestEnvironment::new();
    let s = flagged(&host, BY_HTTP);
    host.gitroll(&["doctor"]).stdout_has("1 flag could be switched");
    // The app goes on with what nobody set.
    fs::write(s.app.dir.join(".env"), "ENABLE_UPLOADS=false\n").expect("it is writable");
    let doctor = host.gitroll(&["doctor"]);
    doctor.stdout_has(
        "what shows ENABLE_UPLOADS does not show that it is false: /flags/ENABLE_UPLOADS",
    );
    doctor.stdout_lacks("could be switched");
}

#[test]
fn the_environment_of_processes_shows_a_flag_that_is_handed_over() {
    let host = TestEnvironment::new();
    let flags = "[flags]\nfile = \".env\"\napply = \"environment\"\nverify = \"environ\"\n";
    let s = flagged(&host, flags);
    host.gitroll(&["flags", "off", "QW-001"]).exit(0);
    host.gitroll(&["flags"]).exit(0).stdout_has("yes");
    // A later deploy hands it over, too.
    s.release("1.2.0", Behaviour::Good);
    let answer = http_get(&s.app.health()).expect("the app answers");
    assert!(answer.body.contains("\"ENABLE_UPLOADS\":\"false\""), "{}", answer.body);
}

#[test]
fn a_kill_anywhere_in_a_change_of_flags_leaves_the_old_or_the_new_value() {
    let host = TestEnvironment::new();
    let s = flagged(&host, BY_HTTP);
    let before = env(&s);
    for place in ["flags file before", "flags file after", "reload web before", "prove before"] {
        for (way, code, value) in [("abort", 0, "true"), ("resume", 0, "false")] {
            let mut off = host.gitroll_command(&["flags", "off", "QW-001"]);
            off.env("GITROLL_FAIL_AT", format!("{place}=kill"));
            assert_eq!(off.output().expect("it runs").status.code(), None, "{place}");
            host.gitroll(&["flags", "on", "QW-001"]).exit(22);
            host.gitroll(&[way]).exit(code);
            assert!(
                env(&s).contains(&format!("ENABLE_UPLOADS={value} ")),
                "{place} {way}: {}",
                env(&s)
            );
            s.serves("1.1.0");
            if value == "false" {
                host.gitroll(&["flags", "on", "QW-001"]).exit(0);
            }
            assert_eq!(env(&s), before, "{place} {way}");
        }
    }
}

#[test]
fn what_a_flag_cures_is_cured_by_the_flag() {
    let host = TestEnvironment::new();
    let s = flagged(&host, BY_HTTP);
    let head = s.app.head();
    fs::write(s.app.dir.join(".git/sick-flag"), "").expect("it is writable");
    let back = host.gitroll(&["back", "--level", "auto", "--yes"]);
    back.exit(0).stderr_has("level flags").stderr_lacks("level code");
    assert_eq!(s.app.head(), head);
    s.serves("1.1.0");
}

/// Its rule is asked by `gitroll watch`, and may act.
const WATCHED: &str = r#"
[watch]
every = "1s"
start_grace = "0s"
announce = "0s"
clear = "5s"

[[rule]]
symptom = "uploads fail"
probe = { http = "http://127.0.0.1:PORT/api/health", when = "fails" }
severity = "P1"
action = "flags:QW-001"
attempts = 2
auto = true
"#;

#[test]
fn a_watched_symptom_is_cured_by_the_flag_of_its_rule() {
    let host = TestEnvironment::new();
    let s = flagged(&host, &format!("{BY_HTTP}{WATCHED}"));
    let going = Going::start(&host, &["watch"]);
    going.tells("P1 uploads fail: absent");
    s.app.write(".git/sick-flag", "");
    going.tells("switching off QW-001 at");
    going.tells("cleared after switching off QW-001");
    going.interrupt();
    going.ends(0);
    assert!(env(&s).contains("ENABLE_UPLOADS=false"));
    s.serves("1.1.0");
    host.gitroll(&["show"]).exit(0).stdout_has("automatic, INC-1: uploads fail");
}

#[test]
fn what_only_the_code_cures_is_cured_by_the_code_and_the_flag_is_as_before() {
    let host = TestEnvironment::new();
    let s = flagged(&host, BY_HTTP);
    let before = env(&s);
    fs::write(s.app.dir.join(".git/sick-code"), "").expect("it is writable");
    let back = host.gitroll(&["back", "--level", "auto", "--yes"]);
    back.exit(0).stderr_has("level flags").stderr_has("level code");
    assert_eq!(env(&s), before);
    s.serves("1.0.0");
}

#[test]
fn what_neither_cures_needs_a_person() {
    let host = TestEnvironment::new();
    let s = flagged(&host, BY_HTTP);
    let before = env(&s);
    fs::write(s.app.dir.join(".git/sick-both"), "").expect("it is writable");
    host.gitroll(&["back", "--level", "auto", "--yes"]).exit(21).stderr_has("level code");
    assert_eq!(env(&s), before);
}

#[test]
fn a_component_goes_by_its_flag_and_then_by_its_files() {
    let host = TestEnvironment::new();
    let s = flagged(&host, BY_HTTP);
    host.gitroll(&["component", "QW-001", "--yes"]).exit(0).stdout_has("ENABLE_UPLOADS false");
    assert!(s.app.read("features/upload/index.js").contains("all at once"));
    let files = host.gitroll(&["component", "QW-001", "--yes"]);
    files.exit(0).stderr_has("restoring its files instead");
    assert!(s.app.read("features/upload/index.js").contains("one at a time"));
    let only = host.gitroll(&["component", "QW-001", "--via", "flag", "--yes"]);
    only.exit(0);
}

#[test]
fn a_ramp_goes_step_by_step_and_back_where_a_step_does_not_hold() {
    let host = TestEnvironment::new();
    let s = flagged(&host, BY_HTTP);
    host.gitroll(&["flags", "off", "QW-001"]).exit(0);
    let ramp = ["flags", "ramp", "ENABLE_UPLOADS", "1%,50%,100%", "--every", "1s"];
    host.gitroll(&ramp).exit(0);
    assert!(env(&s).contains("ENABLE_UPLOADS=true"), "{}", env(&s));
    host.gitroll(&["flags", "off", "QW-001"]).exit(0);
    let mut ramp = host.gitroll_command(&["flags", "ramp", "QW-001", "25%,100%", "--every", "20s"]);
    let ramp = ramp.spawn().expect("it starts");
    wait_until("the first step", || env(&s).contains("ENABLE_UPLOADS=0.25"));
    wait_until("it is proven", || host.gitroll(&["status"]).stdout.contains("none open"));
    fs::write(s.app.dir.join(".git/sick-flag"), "").expect("it is writable");
    let said = ramp.wait_with_output().expect("it ends");
    assert_eq!(said.status.code(), Some(20));
    assert!(env(&s).contains("ENABLE_UPLOADS=false"), "{}", env(&s));
    s.serves("1.1.0");
}

#[test]
fn a_secret_among_the_flags_is_written_down_nowhere_and_comes_back_all_the_same() {
    let host = TestEnvironment::new();
    let flags = "[flags]\nfile = \".env\"\nverify = { command = [\"true\"] }\n";
    let component = "[component.PAY]\npaths = [\"pay/**\"]\n\
                     flag = { name = \"PAY_API_TOKEN\", off = \"none\", verify = { command = [\"true\"] } }\n";
    let s = flagged(&host, &format!("{flags}{component}"));
    let canary = "canary-5f1c2e";
    fs::write(s.app.dir.join(".env"), format!("PAY_API_TOKEN={canary}\nENABLE_UPLOADS=true\n"))
        .expect("it is writable");
    let off = host.gitroll(&["flags", "off", "PAY"]);
    off.exit(0);
    assert!(env(&s).contains("PAY_API_TOKEN=none"), "{}", env(&s));
    for args in [&["show"][..], &["log", "--json"], &["status", "--json"], &["flags", "--json"]] {
        let told = host.gitroll(args);
        assert!(!format!("{}{}", told.stdout, told.stderr).contains(canary), "{args:?}");
    }
    assert!(!format!("{}{}", off.stdout, off.stderr).contains(canary));
    // Only the run's own file has it, for nobody but the user.
    let found = host.run("grep", &["-rl", canary, s.app.dir.join(".git").to_str().expect("UTF-8")]);
    let files: Vec<&str> = found.stdout.lines().collect();
    assert!(files.len() == 1 && files[0].ends_with("hidden-flags.json"), "{files:?}");
    host.gitroll(&["back", "--level", "flags", "--yes"]).exit(0);
    assert!(env(&s).contains(&format!("PAY_API_TOKEN={canary}")), "{}", env(&s));
}

#[test]
fn on_a_terminal_a_component_with_a_flag_asks_which_way() {
    let host = TestEnvironment::new();
    let s = flagged(&host, BY_HTTP);
    let gitroll = env!("CARGO_BIN_EXE_gitroll");
    let mut terminal = Terminal::start(&host, gitroll, &["component", "QW-001"]);
    terminal.expect("[flag/files]").answer("perhaps");
    terminal.expect("Please answer flag or files").answer("");
    let (code, screen) = terminal.finish();
    assert_eq!(code, 0, "{screen}");
    assert!(env(&s).contains("ENABLE_UPLOADS=false"), "{}", env(&s));
    let mut terminal = Terminal::start(&host, gitroll, &["component", "QW-001"]);
    terminal.expect("[flag/files]").answer("files");
    terminal.expect("Restore QW-001?").answer("y");
    let (code, screen) = terminal.finish();
    assert_eq!(code, 0, "{screen}");
    assert!(s.app.read("features/upload/index.js").contains("one at a time"));
}

#[test]
fn a_document_of_flags_is_changed_and_the_app_told_by_a_signal() {
    let host = TestEnvironment::new();
    let flags = r#"
[flags.source.config]
file = "flags.json"
pointer = "/featureFlags"
apply = { signal = "USR2" }
verify = { http = "http://127.0.0.1:PORT/api/health", expect = { json = { "/flags/USE_CACHE" = "{value}" } }, timeout = "3s" }
[component.CACHE]
paths = ["cache/**"]
flag = { name = "USE_CACHE", off = "false", on = "true" }
"#;
    let app = host.app(Fixture::Plain);
    let flags = flags.replace("PORT", &app.port.number().to_string());
    app.configure(&AppConfig::default().without_builds().settle(1, "200ms").and(&flags));
    app.write(
        "server.js",
        &SERVER.replace(
            "process.on('SIGTERM'",
            "let more = read2(); function read2() { return JSON.parse(fs.readFileSync(path.join(__dirname, 'flags.json'))).featureFlags; }\n\
             process.on('SIGUSR2', () => { more = read2(); });\nprocess.on('SIGTERM'",
        )
        .replace("flags: { ENABLE_UPLOADS: value() }", "flags: more"),
    );
    app.write(".gitignore", "flags.json\n");
    let before =
        "{\n  \"other\": [1, 2],\n  \"featureFlags\": { \"USE_CACHE\": true,   \"X\": \"y\" }\n}\n";
    app.write("flags.json", before);
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host: &host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    let pid = s.app.pid_served();
    host.gitroll(&["flags", "off", "CACHE"]).exit(0);
    assert_eq!(s.app.read("flags.json"), before.replace("\": true,", "\": false,"));
    assert_eq!(s.app.pid_served(), pid);
    host.gitroll(&["flags"]).exit(0).stdout_has("CACHE").stdout_has("yes");
    host.gitroll(&["back", "--undo", "--yes"]).exit(0);
    assert_eq!(s.app.read("flags.json"), before);
    // Not what the app takes for off: a text where it holds a boolean.
    host.gitroll(&["flags", "set", "USE_CACHE=off"]).exit(1);
    assert_eq!(s.app.read("flags.json"), before);
}

#[test]
fn somebody_elses_edit_survives_an_undone_change() {
    let host = TestEnvironment::new();
    let s = flagged(&host, &BY_HTTP.replace("verify = {", "verify = { timeout = \"4s\","));
    fs::write(s.app.dir.join(".git/deaf"), "").expect("it is writable");
    let mut off = host.gitroll_command(&["flags", "off", "QW-001"]);
    let off = off.stderr(std::process::Stdio::null()).spawn().expect("it starts");
    wait_until("it is changed", || env(&s).contains("ENABLE_UPLOADS=false"));
    let edited = env(&s).replace("OTHER=1", "OTHER=2");
    fs::write(s.app.dir.join(".env"), &edited).expect("it is writable");
    assert_eq!(off.wait_with_output().expect("it ends").status.code(), Some(20));
    assert_eq!(env(&s), edited.replace("=false #", "=true #"));
}
