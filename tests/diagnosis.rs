//! The bad night: what gitroll says of what fails, and the command that it names first heals.

use std::fs;
use std::time::Duration;

use crate::support::*;
use serde_json::Value;

mod night;

const SERVER: &str = r"
const fs = require('fs');
const http = require('http');
const { version } = JSON.parse(fs.readFileSync('package.json', 'utf8'));
const lines = fs.readFileSync('.env', 'utf8').split('\n').filter(Boolean);
const env = Object.fromEntries(lines.map((line) => line.split('=')));
const search = require('./search/index.js');
if (fs.existsSync('crash')) throw new Error(fs.readFileSync('crash', 'utf8').trim());

function fault() {
  const order = `../fails-${version}`;
  if (fs.existsSync(order)) return fs.readFileSync(order, 'utf8').trim();
  if (env.FAST === 'on' && fs.existsSync('../fast-fails')) return 'no lane is left for express';
  return env.RELAY === 'up' ? undefined : `mail relay ${env.RELAY}: ECONNREFUSED`;
}

const server = http.createServer((request, response) => {
  const answer = (status, value) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(value));
  };
  try {
    if (request.url === '/search') return answer(200, { found: search(fs) });
    const error = fault();
    if (error) console.error(`${new Date().toISOString()} Error: ${error}`);
    answer(error ? 500 : 200, error ? { error } : { status: 'healthy', version, flags: { FAST: env.FAST } });
  } catch (error) {
    console.error(error.stack);
    answer(500, { error: error.message });
  }
});
server.listen(Number(process.env.PORT), '127.0.0.1', () => console.log('listening'));
process.on('SIGTERM', () => process.exit(0));
";

const GOOD_SEARCH: &str = "module.exports = () => 'good';\n";
const BAD_SEARCH: &str = "module.exports = (fs) => {\n  if (fs.existsSync('../search-fails')) \
                          throw new Error('index segments is empty');\n  return 'bad';\n};\n";

/// 1.0.0 of an app with a part of its own serves, and is promoted.
fn serving(host: &TestEnvironment) -> Scenario<'_> {
    serving_with(host, "")
}

/// As [`serving`], with more in its gitroll.toml.
fn serving_with<'h>(host: &'h TestEnvironment, tables: &str) -> Scenario<'h> {
    let app = host.app(Fixture::Plain);
    let port = app.port.number();
    let more = format!(
        "[run]\nwatchdog = \"off\"\n[migrate]\npaths = [\"migrations/**\"]\ndown = [\"touch\", \"../downwards\"]\n\
         [[check]]\nname = \"search\"\nhttp = \"http://127.0.0.1:{port}/search\"\npasses = 1\nsettle = \"100ms\"\n\
         timeout = \"4s\"\n[component.SRCH]\ntitle = \"Search\"\npaths = [\"search/**\"]\nchecks = [\"search\"]\n\
         [component.FAST]\ntitle = \"Express\"\npaths = [\"express/**\"]\n\
         flag = {{ name = \"FAST\", off = \"off\", on = \"on\" }}\n[flags]\nfile = \".env\"\n\
         verify = {{ http = \"http://127.0.0.1:{port}/api/health\", expect = {{ json = {{ \"/flags/{{name}}\" = \
         \"{{value}}\" }} }} }}\n"
    );
    let config = AppConfig::default().without_builds().settle(1, "200ms").timeout("4s");
    let config = config.and(&more).and(tables);
    app.configure(&config);
    app.write("server.js", SERVER);
    app.write("search/index.js", GOOD_SEARCH);
    app.write(".env", "RELAY=up\nSENDER=shop-of-ours\nFAST=off\n");
    app.write(".gitignore", ".env\n");
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s.promote("v1.0.0");
    s
}

fn release(s: &Scenario<'_>, version: &str) {
    s.release_kept(version).exit(0);
}

/// The commands that a document or a text names to be typed next, in order.
fn named(answer: &Answer) -> Vec<String> {
    let mut commands = Vec::new();
    for text in [&answer.stdout, &answer.stderr] {
        let mut lines = text.lines().skip_while(|line| !line.starts_with("  next "));
        let first = lines.next();
        let more = lines.take_while(|line| line.starts_with("         "));
        for line in first.into_iter().chain(more) {
            let line = line.trim_start_matches("  next").trim_start();
            let end = line.find("   ").unwrap_or(line.len());
            commands.push(line[..end].to_owned());
        }
    }
    commands
}

/// Types a command as it was named. It is not refused, and nobody says that it was typed in a wrong way.
#[track_caller]
fn type_in(s: &Scenario<'_>, command: &str) -> Answer {
    let asks = ["gitroll back", "gitroll component"];
    let yes = if asks.iter().any(|verb| command.starts_with(verb)) { " --yes" } else { "" };
    let program = s.host.gitroll_command(&[]).get_program().to_owned();
    let script = format!("#!/bin/sh\nexec '{}' \"$@\"\n", program.display());
    s.host.fake_tool("gitroll", &script);
    let mut shell = s.host.command("sh");
    shell.args(["-c", &format!("{command}{yes}")]).env("EDITOR", "true");
    let answer = Answer::of(shell, Duration::from_secs(90));
    let refused = answer.code.is_none_or(|code| [2, 10, 127].contains(&code));
    assert!(!refused, "{command}: {}", answer.transcript());
    answer
}

fn diagnosis(s: &Scenario<'_>, verb: &str) -> Value {
    let answer = s.host.gitroll(&[verb, "--json"]);
    answer.json()["result"]["diagnosis"].clone()
}

fn next_of(found: &Value) -> Vec<String> {
    let steps = found["next"].as_array().expect("there is a list");
    steps.iter().map(|step| step[0].as_str().expect("a command").to_owned()).collect()
}

fn fails(s: &Scenario<'_>, version: &str, error: &str) {
    fs::write(s.host.path(&format!("fails-{version}")), error).expect("it is writable");
}

fn killed(s: &Scenario<'_>, args: &[&str], place: &str) {
    let mut command = s.host.gitroll_command(args);
    command.env("GITROLL_FAIL_AT", format!("{place}=kill"));
    assert_eq!(Answer::of(command, Duration::from_secs(60)).code, None, "{place}");
}

#[test]
fn a_late_failure_is_told_with_the_answers_own_words_and_every_command_that_is_named_can_be_typed()
{
    let host = TestEnvironment::new();
    let s = serving(&host);
    release(&s, "1.1.0");
    host.gitroll(&["status"]).exit(0).stdout_lacks("  next").stdout_lacks("  why");
    fails(&s, "1.1.0", "no such column: guest");
    for verb in ["status", "doctor", "check", "advise"] {
        let answer = host.gitroll(&[verb]);
        answer.says("no such column: guest").says("api answers 500").never_says("listening");
        assert_eq!(named(&answer)[0], "gitroll back", "{}", answer.transcript());
        assert_eq!(diagnosis(&s, verb)["health"], "failing", "{verb}");
    }
    let back = type_in(&s, "gitroll back");
    back.exit(0).stderr_has("no such column: guest").stdout_has("gitroll back --undo");
    let told = host.gitroll(&["status"]);
    told.exit(0).stdout_has("gitroll back --undo").stdout_has("which was failing: api 500");
    let held = host.gitroll(&["deploy", "v1.1.0", "--yes"]);
    held.exit(10);
    assert_eq!(named(&held)[0], "gitroll back --undo");
    host.gitroll(&["targets"]).exit(0).stderr_has("gitroll back --undo");
    // Nowhere else to go: what is named is no target that is refused.
    let nowhere = host.gitroll(&["back", "--yes"]);
    nowhere.exit(1).stderr_lacks("--to 4").stderr_has("gitroll back --undo");
    fs::remove_file(host.path("fails-1.1.0")).expect("it is there");
    for command in named(&nowhere) {
        type_in(&s, &command);
    }
    s.serves("1.1.0");
}

#[test]
fn what_was_fled_is_no_good_version_because_it_passes_for_a_moment() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    release(&s, "1.1.0");
    fails(&s, "1.1.0", "no such column: guest");
    killed(&s, &["back", "--yes"], "prove before");
    let open = host.gitroll(&["status"]);
    open.exit(0).stdout_has("gitroll resume").stdout_has("which was failing: api 500");
    // It fails still: the run is over, and the way is back.
    let aborted = host.gitroll(&["abort"]);
    aborted.exit(21).stderr_has("fails as it did before").never_says("observed serving");
    assert_eq!(named(&aborted)[0], "gitroll back");
    host.gitroll(&["resume"]).exit(1).stderr_has("no run is open");
    killed(&s, &["back", "--yes"], "prove before");
    fs::remove_file(host.path("fails-1.1.0")).expect("it is there");
    let aborted = host.gitroll(&["abort"]);
    aborted.exit(21).stderr_has("it was failing before, passed 2 checks in").stderr_has("watch it");
    aborted.never_says("observed serving");
    assert_eq!(named(&aborted)[0], "gitroll back");
    let told = host.gitroll(&["status"]);
    told.exit(0).stdout_has("not proven: it was failing before #").stdout_lacks("✓ proven");
    let found = diagnosis(&s, "status");
    assert_eq!(found["health"], "doubtful", "{found:#}");
    host.gitroll(&["check"]).exit(1);
    // They are two ways: the one that stays, then the one that leaves.
    for command in next_of(&found).iter().rev() {
        type_in(&s, command).exit(0);
    }
    s.serves("1.0.0");
    host.gitroll(&["status"]).exit(0).stdout_has("✓ proven");
}

#[test]
fn what_changed_outside_of_git_is_told_by_name_and_never_by_value() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    release(&s, "1.1.0");
    s.app.write(".env", "RELAY=down-tonight\nSENDER=shop-of-ours\nFAST=off\n");
    // It stays up, and does not answer as it should: that is said at once.
    let restart = host.gitroll(&["service", "restart", "web"]);
    restart.exit(1).stdout_has("✓ web  running").stdout_has("✓ search  200");
    restart.stderr_has("every service is up, but it does not answer").stderr_has("gitroll status");
    let told = host.gitroll(&["status"]);
    told.exit(0).stdout_has("  changed   .env, today").stdout_has(": RELAY");
    told.stdout_lacks("SENDER").stdout_has("v1.0.0-stable reads the same .env");
    let found = diagnosis(&s, "status");
    assert_eq!(found["changed"][0]["names"], serde_json::json!(["RELAY"]), "{found:#}");
    let next = next_of(&found);
    assert!(next[0].ends_with(".env") && next[1] == "gitroll service restart web", "{next:?}");
    let evidence = host.gitroll(&["show", "--json"]).json().to_string();
    assert!(evidence.contains("\"outside\"") && !evidence.contains("shop-of-ours"), "{evidence}");
    // Two versions, one error: it is not the code, and it lies around the app.
    host.gitroll(&["back", "--yes"]).fails().stderr_has("mail relay");
    host.gitroll(&["abort"]);
    s.app.write(".env", "RELAY=up\nSENDER=shop-of-ours\nFAST=off\n");
    // Mended, and read by nobody yet: going back would only look like a cure, and judge what is innocent.
    let mended = diagnosis(&s, "status");
    assert_eq!(next_of(&mended), ["gitroll service restart web"], "{mended:#}");
    // The process still says the value of before, which no file holds any more.
    let told = host.gitroll(&["status"]);
    told.exit(0).stdout_lacks("down-tonight").stdout_has("mail relay [redacted]");
    let mut terminal = host.gitroll_on_terminal(&["back"]);
    terminal.expect("going back may not help: .env was written since").expect("Go back?");
    terminal.answer("");
    assert_eq!(terminal.finish().0, 1);
    type_in(&s, &next[1]).exit(0);
    let found = diagnosis(&s, "status");
    assert_eq!(found["changed"], serde_json::json!([]), "{found:#}");
    // What was around it is mended: it is proven anew, not fled.
    let again = next_of(&found).remove(0);
    assert!(again.starts_with("gitroll deploy "), "{again}");
    type_in(&s, &again).exit(0);

    // A pull by hand that crashes at boot: what is told is the error, and not the start.
    let good = s.app.head();
    s.app.write("crash", "Cannot read the price list");
    let bad = s.app.commit_version("1.2.0", Behaviour::Good);
    host.gitroll(&["service", "restart", "web"]);
    let told = host.gitroll(&["status"]);
    told.exit(0).stdout_has("Error: Cannot read the price list").stdout_lacks("listening");
    let doctor = host.gitroll(&["doctor"]);
    doctor.exit(1).stdout_has("Cannot read the price list").stdout_lacks("gitroll service start");
    assert_eq!(named(&told)[0], "gitroll back", "{}", told.transcript());
    let init = host.gitroll(&["init", "--yes"]);
    init.exit(0).stdout_has("next      gitroll back");
    type_in(&s, "gitroll back").exit(0);
    assert_eq!(s.app.head(), good);
    assert_ne!(good, bad);
    // What nothing tells any more when it is over is told by the record.
    let back = host.gitroll(&["show"]);
    back.exit(0).stdout_has("what served was failing: ").stdout_has("Cannot read the price list");
    s.serves("1.1.0");
}

#[test]
fn a_part_that_fails_is_traced_to_the_deployment_that_brought_it_and_the_target_is_doubted() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    s.app.write("search/index.js", BAD_SEARCH);
    release(&s, "1.1.0");
    s.app.write("migrations/0042_orders.sql", "alter table orders add guest text;\n");
    release(&s, "1.2.0");
    release(&s, "1.3.0");
    fs::write(host.path("search-fails"), "").expect("it is writable");
    let told = host.gitroll(&["status"]);
    told.exit(0).stdout_has("search answers 500 and says: index segments is empty");
    told.stdout_has("SRCH: check search belongs to it, last changed in v1.1.0, #4");
    told.stdout_has("SRCH is the same in v1.2.0: rolling back to it does not help");
    let components = host.gitroll(&["component"]);
    components.exit(0).stdout_has("v1.1.0, #4");
    let plan = host.gitroll(&["back", "--plan"]);
    plan.exit(0).stderr_has("v1.2.0 has the same SRCH, which fails now");
    plan.stderr_has("gitroll back --to v1.0.0-stable has another one");
    let next = next_of(&diagnosis(&s, "status"));
    assert_eq!(next[0], "gitroll component SRCH --to v1.0.0-stable", "{next:?}");
    // Whoever is asked is offered the one that heals.
    let mut terminal = host.gitroll_on_terminal(&["back"]);
    terminal.expect("Go back to v1.0.0-stable instead of v1.2.0?").answer("");
    terminal.expect("to       v1.0.0-stable").expect("Go back?").answer("n");
    assert_eq!(terminal.finish().0, 1);
    // All of it, past two versions and a migration that the older one never saw.
    let plan = host.gitroll(&["back", "--to", "v1.0.0-stable", "--plan"]);
    plan.stderr_has("1 migration crossed, schema is not rolled back: 0042_orders");
    plan.stderr_has("v1.0.0-stable never served on this schema");
    plan.stderr_has("gitroll back --migrate-down reverts 0042_orders");
    let back = type_in(&s, &next[1]);
    back.exit(0);
    s.serves("1.0.0");
    let line = back.stderr.lines().find(|line| line.contains("gitroll mark bad v1.2.0"));
    let line = line.unwrap_or_else(|| panic!("{}", back.transcript()));
    type_in(&s, line.trim().split("   ").next().expect("a command")).exit(0);
    host.gitroll(&["targets"]).exit(0).stdout_has("skip: bad");
    // Only the part, where all else shall stay.
    fs::remove_file(host.path("search-fails")).expect("it is there");
    let plan = host.gitroll(&["back", "--undo", "--plan"]);
    plan.exit(0).stderr_has("v1.3.0 was failing when #7 left it: search 500");
    type_in(&s, "gitroll back --undo").exit(0);
    fs::write(host.path("search-fails"), "").expect("it is writable");
    host.gitroll(&["check"]).exit(1);
    type_in(&s, &next[0]).exit(0);
    host.gitroll(&["check"]).exit(0);
    host.gitroll(&["status"]).exit(0).stdout_has("v1.3.0~SRCH").stdout_has("gitroll back --undo");
}

#[test]
fn a_flag_that_was_switched_while_all_was_well_is_switched_back_and_the_code_stays() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    release(&s, "1.1.0");
    host.gitroll(&["flags", "on", "FAST", "--yes"]).exit(0);
    host.gitroll(&["status"]).exit(0).stdout_has("✓ proven");
    fs::write(host.path("fast-fails"), "").expect("it is writable");
    let found = diagnosis(&s, "status");
    // The log writes the time of its first error after the last proof.
    let since = &found["failing_since"];
    assert_eq!(
        (&since["began"], &since["told_by"]),
        (&true.into(), &"web log".into()),
        "{found:#}"
    );
    let told = host.gitroll(&["status"]);
    told.exit(0).stdout_has("but failing since today").stdout_has("  failing   since today");
    told.stdout_has("FAST was switched by #5, and the app was well before that");
    let next = next_of(&found);
    assert_eq!(next, ["gitroll back --level flags"], "{next:?}");
    told.stdout_has("may not help: FAST stays as #5 set it in v1.0.0-stable, too");
    host.gitroll(&["diff"]).exit(0).stdout_has("seen now").stdout_has("FAST was switched by #5");
    // The older code fails with the flag as well, and says so; the flag is named still.
    host.gitroll(&["back", "--yes"]).fails().stderr_has("no lane is left");
    host.gitroll(&["abort"]);
    assert_eq!(next_of(&diagnosis(&s, "status"))[0], next[0]);
    type_in(&s, &next[0]).exit(0);
    s.serves("1.1.0");
    host.gitroll(&["status"]).exit(0).stdout_lacks("  why");
}
