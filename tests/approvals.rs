//! Approvals: two clones with keys of their own over a bare remote, and everything that does not count.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::*;
use serde_json::{Value, json};

/// Rollbacks of the code need a manager and a dba.
fn config(more: &str) -> AppConfig {
    AppConfig::default().without_builds().settle(1, "100ms").timeout("3s").and(&format!(
        "[run]\nwatchdog = \"off\"\n[approvals]\ncode = [\"manager\", \"dba\"]\n{more}"
    ))
}

/// 1.1.0 serves on web-1, and 1.0.0 did before.
fn serving<'h>(host: &'h TestEnvironment, more: &str) -> (Scenario<'h>, PathBuf) {
    let app = host.app(Fixture::Plain);
    app.configure(&config(more));
    app.commit_version("1.0.0", Behaviour::Good);
    let remote = app.with_remote();
    let s = Scenario { host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s.promote("v1.0.0");
    s.release("1.1.0", Behaviour::Good).exit(0);
    s.app.git(&["push", "-q", "origin", "HEAD:refs/heads/main", "--tags"]);
    (s, remote)
}

/// The machine of one who approves: a clone, a binding and a key.
pub struct Laptop<'h> {
    host: &'h TestEnvironment,
    name: &'static str,
    dir: PathBuf,
}

impl<'h> Laptop<'h> {
    pub fn new(host: &'h TestEnvironment, remote: &Path, name: &'static str) -> Self {
        let dir = host.path(&format!("clone-{name}"));
        let laptop = Self { host, name, dir };
        let (remote, dir) = (remote.display().to_string(), laptop.dir.display().to_string());
        host.run("git", &["clone", "-q", &remote, &dir]).exit(0);
        laptop.run(&["init", "--yes", "--environment", "production", "--name", name]).exit(0);
        laptop.trusts(&host.gitroll(&["trust", "request"]).exit(0).stdout.clone());
        let line = laptop.run(&["trust", "request"]).exit(0).stdout.clone();
        host.gitroll(&["trust", "add", line.trim(), "--yes"]).exit(0);
        laptop.run(&["sync"]).exit(0);
        laptop
    }

    fn trusts(&self, line: &str) {
        self.run(&["trust", "add", line.trim(), "--yes"]).exit(0);
    }

    pub fn run(&self, args: &[&str]) -> Answer {
        let mut command = self.host.gitroll_command(args);
        command.current_dir(&self.dir);
        command.env("GITROLL_HOME", self.host.path(&format!("home-{}", self.name)));
        // Another person at another machine.
        let email = format!("{}@example.com", self.name);
        for (name, value) in [("NAME", self.name), ("EMAIL", &email)] {
            command.env(format!("GIT_COMMITTER_{name}"), value);
            command.env(format!("GIT_AUTHOR_{name}"), value);
        }
        Answer::of(command, Duration::from_secs(60))
    }

    fn key(&self) -> String {
        let keys = self.run(&["trust", "list", "--json"]).exit(0).json()["result"]["keys"].clone();
        let own =
            |key: &&Value| key["principal"].as_str().is_some_and(|p| p.starts_with(self.name));
        let keys = keys.as_array().expect("a list").clone();
        keys.iter().find(own).expect("its own")["fingerprint"].as_str().expect("text").to_owned()
    }
}

/// Who has which role, on the host.
pub fn roles(host: &TestEnvironment, own: &str, others: &[(&Laptop<'_>, &[&str])]) {
    let all = r#"["deploy", "back", "promote", "flags", "trust", "mark", "manager", "dba"]"#;
    let mut text = format!("[[key]]\nfingerprint = \"{own}\"\nroles = {all}\n");
    for (laptop, roles) in others {
        text += &format!("[[key]]\nfingerprint = \"{}\"\nroles = {}\n", laptop.key(), json!(roles));
    }
    let path = host.path("gitroll/roles.toml");
    fs::write(&path, text).expect("it is writable");
    set_mode(&path, 0o600);
}

pub fn own_key(host: &TestEnvironment) -> String {
    let keys = host.gitroll(&["trust", "list", "--json"]).exit(0).json()["result"]["keys"].clone();
    let keys = keys.as_array().expect("a list").clone();
    let own =
        keys.iter().find(|key| key["principal"].as_str().is_some_and(|p| p.starts_with("web-1")));
    own.expect("its own")["fingerprint"].as_str().expect("text").to_owned()
}

const BACK: [&str; 3] = ["back", "--yes", "--no-verdict"];

#[test]
fn a_rollback_waits_for_two_people_with_their_roles_and_names_who_is_missing() {
    let host = TestEnvironment::new();
    let (s, remote) = serving(&host, "");
    let own = own_key(&host);
    let (ben, eva) = (Laptop::new(&host, &remote, "ben"), Laptop::new(&host, &remote, "eva"));
    roles(&host, &own, &[(&ben, &["manager"]), (&eva, &["dba"])]);
    host.gitroll(&["back", "--plan"]).exit(0).says("approval by manager, dba");
    let asked = host.gitroll(&BACK);
    asked.exit(11).says("an approval is missing: manager, dba").says("gitroll approve ");
    s.serves("1.1.0");
    let listed = ben.run(&["approve", "--list"]);
    listed.exit(0).says("code of web-1").says("v1.0.0-stable").says("open, missing manager, dba");
    // Who may not, by the roles of the host: it signs, and it does not count.
    ben.run(&["approve", "--yes"]).exit(0).says("approved");
    host.gitroll(&BACK).exit(11).says("manager ✓ ben").says("an approval is missing: dba");
    // Twice by one person.
    ben.run(&["approve", "--list", "--json"]).exit(0);
    let open = ben.run(&["approve", "--list", "--json"]).json()["result"]["requests"][0].clone();
    let digest =
        open["digest"].as_str().expect("text").trim_start_matches("sha256:")[..8].to_owned();
    ben.run(&["approve", &digest, "--yes"]).exit(0);
    host.gitroll(&BACK).exit(11).says("approved already");
    // The runner itself.
    host.gitroll(&["approve", &digest, "--yes"]).exit(10).says("who runs it");
    eva.run(&["approve", "--yes"]).exit(0);
    host.gitroll(&BACK).exit(0);
    s.serves("1.0.0");
    let evidence = host.gitroll(&["show", "--json"]).exit(0).json()["result"]["evidence"].clone();
    let given = evidence["approvals"]["given"].clone();
    assert_eq!(
        (&given[0]["role"], &given[0]["name"]),
        (&json!("manager"), &json!("ben")),
        "{evidence}"
    );
    assert_eq!(
        (&given[1]["role"], &given[1]["name"]),
        (&json!("dba"), &json!("eva")),
        "{evidence}"
    );
    host.gitroll(&["show"]).exit(0).says("manager ben");
    // What was approved is done: the same way back is asked for again.
    host.gitroll(&["deploy", "main", "--yes"]).exit(0);
    host.gitroll(&BACK).exit(11).says("an approval is missing: manager, dba");
    eva.run(&["approve", "--deny", "wait for ben", "--yes"]).exit(0);
    host.gitroll(&BACK).exit(10).says("denied").says("wait for ben");
    s.serves("1.1.0");
}

#[test]
fn what_is_forged_expired_or_without_a_role_does_not_count_and_a_line_does() {
    let host = TestEnvironment::new();
    let (s, remote) = serving(&host, "");
    let own = own_key(&host);
    let (ben, eva) = (Laptop::new(&host, &remote, "ben"), Laptop::new(&host, &remote, "eva"));
    roles(&host, &own, &[(&ben, &["manager", "dba"]), (&eva, &["mark"])]);
    // The remote is away: lines do it.
    let away = remote.with_extension("away");
    fs::rename(&remote, &away).expect("it can be renamed");
    let asked = host.gitroll(&BACK);
    asked.exit(11).says("the request is not published");
    let request = asked.stderr.lines().find_map(|line| line.trim().strip_prefix("request  "));
    let request = request.expect("a line").to_owned();
    let line = |laptop: &Laptop<'_>| {
        let answer = laptop.run(&["approve", &request, "--yes"]);
        let line = answer.exit(0).stdout.lines().find(|line| line.starts_with("gitroll-approval:"));
        line.expect("a line").to_owned()
    };
    let (of_ben, of_eva) = (line(&ben), line(&eva));
    let back = |lines: &[&str]| {
        let lines = lines.iter().flat_map(|line| ["--approval", line]);
        host.gitroll(&BACK.into_iter().chain(lines).collect::<Vec<_>>())
    };
    back(&[&of_ben]).exit(11).says("manager ✓ ben").says("missing: dba");
    back(&[&of_ben, &of_eva]).exit(11).says("does not have the role manager, dba");
    // One byte of the record.
    let mut bytes = of_ben.clone().into_bytes();
    let at = bytes.len() / 3;
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(bytes).expect("text");
    back(&[&forged]).exit(11).says("not counted").says("missing: manager, dba");
    // One role is enough now, and the line is for the request of two.
    roles(&host, &own, &[(&ben, &["manager"]), (&eva, &["dba"])]);
    back(&[&of_ben, &of_eva]).exit(0);
    s.serves("1.0.0");
    // The clock of the host moves on: what was asked for is over, whatever the other clock said.
    let older = of_ben;
    s.app.configure(&config("valid = \"8s\"\n"));
    s.release_kept("1.2.0").exit(0);
    let asked = host.gitroll(&BACK);
    let request =
        asked.exit(11).stderr.lines().find_map(|line| line.trim().strip_prefix("request  "));
    let request = request.expect("a line").to_owned();
    let answer = |laptop: &Laptop<'_>| {
        let answer = laptop.run(&["approve", &request, "--yes"]);
        let line = answer.exit(0).stdout.lines().find(|line| line.starts_with("gitroll-approval:"));
        line.expect("a line").to_owned()
    };
    let (of_ben, of_eva) = (answer(&ben), answer(&eva));
    std::thread::sleep(Duration::from_secs(8));
    let late = back(&[&of_ben, &of_eva, &older]);
    late.exit(11).says("earlier request").says("for another plan").says("missing: manager, dba");
    s.serves("1.2.0");
}

/// Ends what serves, as a crash would.
fn crash(app: &App<'_>) {
    let pid = i32::try_from(app.pid_served()).expect("a pid");
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("it runs");
}

#[test]
fn an_override_is_for_what_is_down_or_corrupt_and_is_the_first_line_of_every_report() {
    let host = TestEnvironment::new();
    let data = "[data.app]\nengine = \"sqlite\"\npath = \"app.db\"\n\
                verify = [\"SELECT count(*) > 0 FROM orders\"]\n";
    let database = host.path("app.db").display().to_string();
    let (s, _) = serving(&host, &data.replace("app.db", &database));
    let sql = |query: &str| host.run("sqlite3", &[&database, query]).exit(0).stdout.clone();
    sql("CREATE TABLE orders (id INTEGER); INSERT INTO orders VALUES (1)");
    let back = ["back", "--yes", "--override", "the night is dark"];
    let only = "only for when everything is observed down";
    host.gitroll(&back).exit(10).says(only);
    host.gitroll(&["service", "stop", "web"]).exit(0);
    host.gitroll(&back).exit(10).says(only);
    host.gitroll(&["service", "stop", "--maintenance"]).exit(0);
    // A stop after a stop says nothing about what was before both.
    host.gitroll(&back).exit(10).says(only);
    host.gitroll(&["service", "start", "web"]).exit(0).says("maintenance ended");
    host.gitroll(&["service", "stop", "--maintenance"]).exit(0);
    host.gitroll(&back).exit(10).says(only);
    host.gitroll(&["service", "start"]).exit(0);
    // It crashes by itself, and is stopped only then.
    crash(&s.app);
    host.gitroll(&["service", "stop", "--maintenance"]).exit(0);
    host.gitroll(&back).exit(0);
    s.serves("1.0.0");
    let shown = host.gitroll(&["show"]).exit(0).stdout.clone();
    let first = shown.lines().next().expect("a line");
    assert!(first.contains("WITHOUT APPROVAL") && first.contains("the night is dark"), "{shown}");
    // It answers, and its data is not what it should be.
    host.gitroll(&["deploy", "main", "--yes", "--fixes", "v1.1.0"]).exit(0);
    host.gitroll(&back).exit(10).says(only);
    sql("DELETE FROM orders");
    host.gitroll(&back).exit(0).says("the answer is not true");
    s.serves("1.0.0");
}

#[test]
fn waiting_on_a_terminal_lets_others_stop_the_damage_and_ctrl_c_leaves_the_request_open() {
    let host = TestEnvironment::new();
    let (s, remote) = serving(&host, "");
    let own = own_key(&host);
    let (ben, eva) = (Laptop::new(&host, &remote, "ben"), Laptop::new(&host, &remote, "eva"));
    roles(&host, &own, &[(&ben, &["manager"]), (&eva, &["dba"])]);
    s.app.sour("1.1.0");
    let mut terminal = host.gitroll_on_terminal(&["back", "--no-verdict"]);
    terminal.expect("manager ✗  dba ✗").expect("gitroll service stop --maintenance");
    host.gitroll(&["service", "stop", "--maintenance"]).exit(0);
    s.is_down();
    ben.run(&["approve", "--yes"]).exit(0);
    terminal.expect("manager ✓ ben  dba ✗").press("\x03");
    let (code, screen) = terminal.finish();
    assert_eq!(code, 11, "{screen}");
    assert!(screen.contains("an approval is missing: dba"), "{screen}");
    host.gitroll(&["approve", "--list"]).exit(0).says("open, missing dba");
    // What was given counts, and the other comes while a person waits.
    let mut terminal = host.gitroll_on_terminal(&["back", "--no-verdict"]);
    terminal.expect("manager ✓ ben  dba ✗");
    eva.run(&["approve", "--yes"]).exit(0);
    terminal.expect("Go back?").answer("y");
    let (code, screen) = terminal.finish();
    assert_eq!(code, 0, "{screen}");
    s.serves("1.0.0");
    host.gitroll(&["status"]).exit(0).never_says("silenced");
}

#[test]
fn an_approval_is_for_these_flags_and_what_changed_while_it_was_waited_for_is_not_carried_out() {
    let host = TestEnvironment::new();
    let flags = "flags = [\"dba\"]\n[flags]\nfile = \".env\"\napply = \"environment\"\nverify = \"environ\"\n";
    let (s, remote) = serving(&host, flags);
    s.app.write(".git/info/exclude", ".env\n");
    s.app.write(".env", "ONE=true\nTWO=true\n");
    let own = own_key(&host);
    let (ben, eva) = (Laptop::new(&host, &remote, "ben"), Laptop::new(&host, &remote, "eva"));
    roles(&host, &own, &[(&ben, &["manager"]), (&eva, &["dba"])]);
    // The remote is away: lines do it, for flags as well.
    let away = remote.with_extension("away");
    fs::rename(&remote, &away).expect("it can be renamed");
    let set = |setting: &str, more: &[&str]| {
        host.gitroll(&[&["flags", "set", setting][..], more].concat())
    };
    let asked = set("ONE=false", &[]);
    asked.exit(11);
    let request = asked.stderr.lines().find_map(|line| line.trim().strip_prefix("request  "));
    let answer = eva.run(&["approve", request.expect("a line"), "--yes"]);
    answer.exit(0).says("ONE of file: true to false");
    let line = answer.stdout.lines().find(|line| line.starts_with("gitroll-approval:"));
    let line = line.expect("a line").to_owned();
    set("TWO=false", &["--approval", &line]).exit(11).says("for another plan");
    assert_eq!(s.app.read(".env"), "ONE=true\nTWO=true\n");
    // The app of this test reads no such file: it was let go on, and is undone.
    set("ONE=false", &["--approval", &line]).exit(20).says("✓ flags file").says("restored");
    fs::rename(&away, &remote).expect("it can be renamed");

    let mut terminal = host.gitroll_on_terminal(&BACK);
    terminal.expect("gitroll approve");
    let mark = ["mark", "bad", "v1.0.0-stable", "--reason", "it loses orders"];
    wait_until("the target is judged", || host.gitroll(&mark).code == Some(0));
    ben.run(&["approve", "--yes"]).exit(0);
    eva.run(&["approve", "--yes"]).exit(0);
    let (code, screen) = terminal.finish();
    assert_eq!(code, 1, "{screen}");
    assert!(screen.contains("what was shown is not so any more"), "{screen}");
    s.serves("1.1.0");
}
