//! Going back to a point: with the code of that time or without it, undone, refused, interrupted.

use std::fs;

use super::{newest, places, quick, sql};
use crate::support::*;
use serde_json::{Value, json};

/// A database that says what it loses, uploads that always stay, settings inside and outside the tree.
const DATA: &str = r#"
[data.app]
engine = "sqlite"
path = "app.db"
verify = ["SELECT count(*) > 0 FROM orders"]
lost_rows = "SELECT count(*) FROM orders WHERE created_at > :since"

[data.uploads]
engine = "files"
paths = ["uploads"]
back = "never"

[settings.env]
paths = [".env"]
defaults = "defaults"
"#;

/// 1.0.0 with a point of it, then 1.1.0 with a row, an upload and a variable more.
fn two_versions<'h>(host: &'h TestEnvironment, more: &str) -> Scenario<'h> {
    let app = host.app(Fixture::Plain);
    app.configure(&quick().and(DATA).and(more));
    app.write(".gitignore", "app.db*\nuploads\n/.env\n");
    app.write("defaults/.env", "TOKEN=by-default\n");
    app.write(".env", "TOKEN=of-the-day-before\n");
    app.write("uploads/one.txt", "one");
    sql(
        host,
        "PRAGMA journal_mode = wal; CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT, \
         created_at TEXT DEFAULT (datetime('now', '-1 hour')))",
    );
    sql(host, "INSERT INTO orders (what) VALUES ('tea'), ('coffee')");
    app.commit_version("1.0.0", Behaviour::Good);
    let scenario = Scenario { host, app };
    scenario.bind();
    host.gitroll(&["deploy", "--yes", "--no-point"]).exit(0);
    host.gitroll(&["point", "create"]).exit(0);
    let next = scenario.app.commit_version("1.1.0", Behaviour::Good);
    host.gitroll(&["deploy", &next, "--yes", "--no-point"]).exit(0);
    sql(host, "INSERT INTO orders (what, created_at) VALUES ('milk', datetime('now', '+1 hour'))");
    scenario.app.write(".env", "TOKEN=of-today\nMORE=1\n");
    scenario.app.write("uploads/two.txt", "two");
    scenario
}

fn orders(host: &TestEnvironment) -> String {
    sql(host, "SELECT group_concat(what) FROM orders").trim().to_owned()
}

/// What the last record says of data.
fn evidence(host: &TestEnvironment) -> Value {
    let log = host.gitroll(&["log", "--json"]).exit(0).json();
    let records = log["result"]["records"].as_array().expect("records are listed").clone();
    let last = records.iter().find(|line| line["record"]["event"] == json!("back"));
    let seq = last.expect("it was recorded")["record"]["seq"].to_string();
    host.gitroll(&["show", &seq, "--json"]).exit(0).json()["result"]["evidence"].clone()
}

#[test]
fn everything_goes_back_to_a_point_proven_and_what_is_replaced_is_kept() {
    let host = TestEnvironment::new();
    let s = two_versions(&host, "");
    let pid = s.app.pid_served();
    let planned = host.gitroll(&["back", "--level", "full", "--plan"]);
    planned.exit(0).says("LOSES 1 row").says("stays    uploads (back = \"never\")").says("cheaper");
    // Neither --yes nor an emergency answers for data.
    for more in ["--yes", "--emergency"] {
        let refused = host.gitroll(&["back", "--level", "full", more]);
        refused.exit(2).says("--accept-loss app=1m").says("nothing was changed");
    }
    host.gitroll(&["back", "--level", "full", "--yes", "--accept-loss", "app=0s"]).exit(10);
    for typed in ["", "yes", "uploads"] {
        let mut terminal = host.gitroll_on_terminal(&["back", "--level", "full"]);
        terminal.expect("Type its name, app").answer(typed);
        assert_eq!(terminal.finish().0, 1, "{typed:?} is not its name");
    }
    assert_eq!((s.app.pid_served(), orders(&host).as_str()), (pid, "tea,coffee,milk"));

    let mut terminal = host.gitroll_on_terminal(&["back", "--level", "full", "--reason", "bad"]);
    terminal.expect("Type its name, app").answer("app");
    let (code, screen) = terminal.finish();
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("lost     app: 1 row"), "{screen}");
    s.serves("1.0.0");
    assert_eq!(orders(&host), "tea,coffee");
    assert_eq!(s.app.read(".env"), "TOKEN=of-the-day-before\n");
    assert!(s.app.has("uploads/two.txt"), "back = never");
    let evidence = evidence(&host);
    let app = &evidence["brought_back"][0];
    assert_eq!((&app["point"], &app["rows_lost"]), (&json!("p1"), &json!(1)), "{evidence}");
    assert_eq!(evidence["copy_of_now"], json!("p2"), "{evidence}");
    let kept = app["kept"][0].as_str().expect("it is kept").to_owned();
    let milk = host.run("sqlite3", &[&kept, "SELECT count(*) FROM orders WHERE what = 'milk'"]);
    assert_eq!(milk.exit(0).stdout.trim(), "1");
    assert_eq!(newest(&host)["manifest"]["kind"], json!("before-back"));
    host.gitroll(&["point", "show", "p2"]).exit(0).says("as stored");
    host.gitroll(&["fsck"]).exit(0);
    // The bad version is held, and the point of what was left is no way back by itself.
    host.gitroll(&["back", "--level", "full", "--plan"]).exit(1).says("a rollback left it");

    sql(&host, "INSERT INTO orders (what, created_at) VALUES ('rum', datetime('now', '+1 hour'))");
    host.gitroll(&["back", "--undo", "--plan"]).exit(0).says("LOSES 1 row");
    host.gitroll(&["back", "--undo", "--yes"]).exit(2);
    host.gitroll(&["back", "--undo", "--yes", "--accept-loss", "app=1h"]).exit(0);
    s.serves("1.1.0");
    assert_eq!(orders(&host), "tea,coffee,milk");
    assert_eq!(s.app.read(".env"), "TOKEN=of-today\nMORE=1\n");
    assert_eq!(s.app.git(&["status", "--porcelain"]), "");
}

#[test]
fn settings_go_back_to_a_point_or_to_their_defaults_and_that_is_undone() {
    let host = TestEnvironment::new();
    let s = two_versions(&host, "");
    host.gitroll(&["settings", "list"]).exit(0).says("in p1").says("defaults in defaults");
    let diff = host.gitroll(&["settings", "diff"]);
    diff.exit(0).says("TOKEN changed").says("MORE only here").never_says("of-today");
    host.gitroll(&["settings", "diff", "env", "--json"]).exit(0);
    host.gitroll(&["settings", "back", "nothing", "--yes"]).exit(1).says("settings list");
    let pid = s.app.pid_served();
    host.gitroll(&["settings", "back", "env", "--to", "p1", "--yes"]).exit(0);
    assert_eq!(s.app.read(".env"), "TOKEN=of-the-day-before\n");
    assert_eq!(orders(&host), "tea,coffee,milk", "no data went with it");
    assert_ne!(s.app.pid_served(), pid, "the app was restarted with it");
    s.serves("1.1.0");
    host.gitroll(&["back", "--undo", "--yes"]).exit(0);
    assert_eq!(s.app.read(".env"), "TOKEN=of-today\nMORE=1\n");
    set_mode(&s.app.dir.join(".env"), 0o600);
    host.gitroll(&["settings", "reset", "env", "--yes"]).exit(0);
    assert_eq!(s.app.read(".env"), "TOKEN=by-default\n");
    let found = fs::metadata(s.app.dir.join(".env")).expect("it is there");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&found.permissions()) & 0o777, 0o600);
    assert_eq!(newest(&host)["manifest"]["id"], json!("p1"), "settings alone take no point");
}

#[test]
fn what_cannot_go_back_is_refused_before_anything_stops() {
    let host = TestEnvironment::new();
    let s = two_versions(&host, "");
    let (pid, back) = (s.app.pid_served(), ["back", "--level", "full", "--accept-loss", "app=1h"]);
    let back = |more: &[&str]| host.gitroll(&[&back[..], &["--yes"], more].concat());
    let only = |what: &str| host.gitroll(&["back", "--only", what, "--yes", "--to", "p1"]);
    only("uploads").exit(10).says("back = \"never\"");
    only("nothing").exit(1).says("it declares app, uploads, env");
    back(&["--to", "p9"]).exit(1).says("there is no point p9");
    back(&["--cascade", "2"]).exit(2);

    // Somebody has it open who is not stopped first.
    let database = s.app.dir.join("app.db");
    let mut held = std::process::Command::new("sleep")
        .arg("60")
        .stdin(fs::File::open(&database).expect("it is there"))
        .spawn()
        .expect("it starts");
    back(&[]).exit(1).says("sleep").says("has ").says("open");
    held.kill().expect("it runs");
    held.wait().expect("it ended");

    // A point whose own checks failed is never a target.
    sql(&host, "CREATE TABLE kept AS SELECT * FROM orders; DELETE FROM orders");
    host.gitroll(&["point", "create"]).exit(1).says("evidence only");
    back(&["--to", "p2"]).exit(10).says("evidence only");
    sql(&host, "INSERT INTO orders SELECT * FROM kept; DROP TABLE kept");

    let (points, password) = places(&host);
    let kept = fs::read(&password).expect("it is there");
    fs::remove_file(&password).expect("it is there");
    back(&[]).exit(1).says("is missing");
    fs::write(&password, kept).expect("it can be written");
    set_mode(&password, 0o600);
    for pack in super::files_below(&points.join("repository/data")) {
        set_mode(&pack, 0o600);
        let mut bytes = fs::read(&pack).expect("it is there");
        bytes[20] ^= 1;
        fs::write(&pack, bytes).expect("it can be written");
    }
    back(&[]).exit(10).says("p1 is damaged");
    assert_eq!((s.app.pid_served(), orders(&host).as_str()), (pid, "tea,coffee,milk"));
    assert!(!s.app.dir.join(".git/gitroll/kept").exists());
}

#[test]
fn a_corrupt_database_does_not_forbid_its_own_rescue() {
    let host = TestEnvironment::new();
    let s = two_versions(&host, "");
    let database = s.app.dir.join("app.db");
    for beside in ["app.db-wal", "app.db-shm"] {
        fs::remove_file(s.app.dir.join(beside)).ok();
    }
    fs::write(&database, "no database at all".repeat(400)).expect("it can be written");
    let rescued = host.gitroll(&["back", "--only", "app", "--yes", "--accept-loss", "app=1h"]);
    rescued.exit(0).says("unknown rows");
    assert_eq!(orders(&host), "tea,coffee");
    s.serves("1.1.0");
    assert_eq!(newest(&host)["sound"], json!(false));
    // Of what was left there is only evidence, and the file itself.
    let undone = host.gitroll(&["back", "--undo", "--yes", "--accept-loss", "app=1h"]);
    undone.exit(10).says("evidence only").says("kept as it was");
    // One that is not there at all comes back too.
    fs::remove_file(&database).expect("it is there");
    host.gitroll(&["back", "--only", "data", "--to", "p1", "--yes", "--accept-loss", "app=1h"])
        .exit(0);
    assert_eq!(orders(&host), "tea,coffee");
}

#[test]
fn a_step_that_fails_leaves_everything_as_it_was() {
    let host = TestEnvironment::new();
    let s =
        two_versions(&host, "[points]\noffsite = [[\"sh\", \"-c\", \"test ! -e forbidden\"]]\n");
    s.app.write(".git/info/exclude", "forbidden\n");
    s.app.write("forbidden", "");
    let back = ["back", "--level", "full", "--yes", "--accept-loss", "app=1h"];
    host.gitroll(&back).exit(20).says("the points were not copied away");
    fs::remove_file(s.app.dir.join("forbidden")).expect("it is there");
    for place in ["restore app after", "swap aside before#2", "swap in place#2", "activate after"] {
        let mut command = host.gitroll_command(&back);
        command.env("GITROLL_FAIL_AT", format!("{place}=error"));
        let failed = Answer::of(command, std::time::Duration::from_secs(60));
        failed.exit(20).says("1.1.0").never_says("is not one that");
        s.serves("1.1.0");
        assert_eq!(orders(&host), "tea,coffee,milk", "{place}");
        assert_eq!(s.app.read(".env"), "TOKEN=of-today\nMORE=1\n", "{place}");
    }
    // The proof fails with the old data: what serves is not what was asked for.
    s.app.sour("1.0.0");
    host.gitroll(&back).exit(20);
    s.app.mend("1.0.0");
    s.serves("1.1.0");
    assert_eq!(orders(&host), "tea,coffee,milk");
    host.gitroll(&back).exit(0);
    s.serves("1.0.0");
    assert_eq!(orders(&host), "tea,coffee");
}

#[test]
fn killed_on_its_way_back_as_well_it_never_takes_away_what_is_live() {
    let host = TestEnvironment::new();
    let s = two_versions(&host, "[run]\nwatchdog = \"off\"\n");
    let armed = |command: &[&str], place: &str| {
        let mut command = host.gitroll_command(command);
        command.env("GITROLL_FAIL_AT", format!("{place}=kill"));
        let answer = Answer::of(command, std::time::Duration::from_secs(60));
        assert_eq!(answer.code, None, "{place}: {}", answer.transcript());
    };
    let back = ["back", "--level", "full", "--yes", "--accept-loss", "app=1h"];
    let is_as_before = |places: (&str, &str)| {
        host.gitroll(&["abort", "--yes"]).exit(0);
        s.serves("1.1.0");
        assert_eq!(orders(&host), "tea,coffee,milk", "{places:?}");
        assert_eq!(s.app.read(".env"), "TOKEN=of-today\nMORE=1\n", "{places:?}");
    };
    for places in [
        // About to be exchanged; the database away and nothing in its place; both exchanged.
        ("swap aside before", "restore tree after"),
        ("swap aside after", "restore tree after"),
        ("swap in place#2", "swap undone whole"),
        ("swap in place#2", "restore tree after"),
    ] {
        armed(&back, places.0);
        armed(&["abort", "--yes"], places.1);
        is_as_before(places);
    }
    // The machine came up in between, and the app made itself a new database.
    armed(&back, "swap aside after");
    sql(&host, "CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT)");
    is_as_before(("swap aside after", "made anew"));
    // Where nothing was live, nothing is live again.
    fs::remove_file(s.app.dir.join(".env")).expect("it is there");
    let settings = ["settings", "back", "env", "--to", "p1", "--yes"];
    for place in ["swap undone after", "restore tree after"] {
        armed(&settings, "swap in place");
        assert!(s.app.has(".env"));
        armed(&["abort", "--yes"], place);
        host.gitroll(&["abort", "--yes"]).exit(0);
        assert!(!s.app.has(".env"), "{place}");
    }
    s.app.write(".env", "TOKEN=made-since\n");
    host.gitroll(&settings).exit(0);
    assert_eq!(s.app.read(".env"), "TOKEN=of-the-day-before\n");
}
