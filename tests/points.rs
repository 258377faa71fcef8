//! Rollback points: what they copy, what restic makes of them, what they notice, and that they change nothing.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::support::*;
use serde_json::{Value, json};

mod back;
mod bad_days;
pub mod cluster;
mod postgres;

fn quick() -> AppConfig {
    AppConfig::default().without_builds().settle(1, "100ms").timeout("3s")
}

/// A database, files and settings.
const DATA: &str = r#"
[data.app]
engine = "sqlite"
path = "app.db"
verify = ["SELECT count(*) > 0 FROM orders"]

[data.uploads]
engine = "files"
paths = ["uploads"]

[settings.env]
paths = [".env"]
"#;

/// An app with a database, uploads and an environment file.
fn with_data<'h>(host: &'h TestEnvironment, more: &str) -> Scenario<'h> {
    let app = host.app(Fixture::Plain);
    app.configure(&quick().and(DATA).and(more));
    app.write(".gitignore", "app.db*\nuploads\n.env\n");
    app.write(".env", "TOKEN=of-the-day-before\n");
    app.write("uploads/ana/photo.png", "of ana");
    let photo = app.dir.join("uploads/ana/photo.png");
    fs::hard_link(&photo, app.dir.join("uploads/linked.png")).expect("it can be linked");
    set_mode(&photo, 0o640);
    std::os::unix::fs::symlink("ana", app.dir.join("uploads/latest")).expect("it can be linked");
    sql(host, "PRAGMA journal_mode = wal; CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT)");
    sql(host, "INSERT INTO orders (what) VALUES ('tea'), ('coffee')");
    app.commit_version("1.0.0", Behaviour::Good);
    let scenario = Scenario { host, app };
    scenario.bind();
    host.gitroll(&["deploy", "--yes", "--no-point"]).exit(0);
    scenario
}

/// What the database answers.
fn sql(host: &TestEnvironment, query: &str) -> String {
    let database = host.path("app/app.db");
    host.run("sqlite3", &[&database.display().to_string(), query]).exit(0).stdout.clone()
}

fn places(host: &TestEnvironment) -> (PathBuf, PathBuf) {
    let binding = fs::read_to_string(host.path("gitroll/host.toml")).expect("it is bound");
    let line = binding.lines().find_map(|line| line.strip_prefix("work_dir = "));
    let work = PathBuf::from(line.expect("it is written").trim_matches('"'));
    (work.join("points"), host.path("gitroll/points.password"))
}

/// restic, as Debian has it.
fn restic(host: &TestEnvironment, args: &[&str]) -> Answer {
    let (points, password) = places(host);
    let repository = points.join("repository").display().to_string();
    let password = password.display().to_string();
    let given = ["--no-cache", "-r", &repository, "-p", &password];
    host.run("restic", &[&given[..], args].concat())
}

fn newest(host: &TestEnvironment) -> Value {
    host.gitroll(&["point", "list", "--json"]).exit(0).json()["result"]["points"][0].clone()
}

#[test]
fn a_point_holds_data_and_settings_and_restic_reads_it_when_gitroll_is_gone() {
    let host = TestEnvironment::new();
    let s = with_data(&host, "");
    host.gitroll(&["point", "list"]).exit(0).says("there are no points yet");
    let uploads = s.app.dir.join("uploads");
    host.run("setfattr", &["-n", "user.owner", "-v", "ana", "uploads/ana/photo.png"]).exit(0);
    let before = (s.app.head(), s.app.git(&["status", "--porcelain"]), sql(&host, ".dump"));

    let created =
        host.gitroll(&["point", "create", "--reason", "before the import", "--label", "by=ana"]);
    created.exit(0).says("p1").says("1.0.0 was healthy").says("gitroll point key export");
    let after = (s.app.head(), s.app.git(&["status", "--porcelain"]), sql(&host, ".dump"));
    assert_eq!(after, before, "nothing of the app was changed");
    let (points, password) = places(&host);
    assert_eq!(password.metadata().expect("it is there").mode() & 0o777, 0o600);
    assert_eq!(points.metadata().expect("it is there").mode() & 0o777, 0o700);
    assert!(
        !points.join("scratch").exists()
            || fs::read_dir(points.join("scratch")).expect("it is a directory").next().is_none()
    );

    let point = newest(&host);
    assert_eq!(point["manifest"]["health"], json!("healthy"), "{point}");
    assert_eq!(point["manifest"]["labels"], json!({ "by": "ana" }));
    assert_eq!(point["manifest"]["items"][0]["engine"], json!("sqlite"));
    host.gitroll(&["point", "show", "p1"]).exit(0).says("as stored").says("before the import");
    host.gitroll(&["log"]).exit(0).says("point");
    host.gitroll(&["fsck"]).exit(0);

    // Nobody but this host knows the password: with the host the points would be lost.
    host.gitroll(&["doctor"]).exit(1).says("gitroll point key export");
    let shown = host.gitroll(&["point", "key", "export"]).exit(0).stdout.clone();
    assert_eq!(shown, fs::read_to_string(&password).expect("it is text"));
    host.gitroll(&["point", "key", "export"]).exit(10).says("--again");
    host.gitroll(&["doctor"]).says("✓ points").never_says("point key export");

    host.gitroll(&["point", "verify", "--all", "--restore"]).exit(0).says("restored and checked");
    assert_eq!(newest(&host)["verified"]["restored"], json!(true));

    // Data changes; the point does not.
    sql(&host, "DELETE FROM orders");
    s.app.write("uploads/new.txt", "later");
    host.gitroll(&["point", "create", "--pin"]).exit(1).says("evidence only");
    host.gitroll(&["point", "diff", "p1"]).exit(0).says("data/uploads/tree/uploads/new.txt");

    let into = host.path("elsewhere");
    let into_text = into.display().to_string();
    host.gitroll(&["point", "restore", "p1", "--into", &into_text]).exit(0);
    compare(&host, &into);
    host.gitroll(&["point", "restore", "p1", "--into", &into_text]).exit(1).says("not empty");
    let inside = uploads.join("here").display().to_string();
    host.gitroll(&["point", "restore", "p1", "--into", &inside]).exit(1).says("part of the app");
    let one = host.path("one").display().to_string();
    host.gitroll(&["point", "restore", "p1", "data/uploads/tree/uploads/ana", "--into", &one])
        .exit(0);
    assert!(Path::new(&one).join("data/uploads/tree/uploads/ana/photo.png").exists());
    assert!(!Path::new(&one).join("data/app").exists());
    let none = host.path("none").display().to_string();
    host.gitroll(&["point", "restore", "p1", "no/such", "--into", &none])
        .exit(1)
        .says("does not contain");

    let listed = restic(&host, &["snapshots", "--json"]);
    let listed: Value = serde_json::from_str(&listed.exit(0).stdout).expect("it is JSON");
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
    restic(&host, &["check", "--read-data"]).exit(0);
    let theirs = host.path("by-restic");
    let id = point["snapshot"].as_str().expect("it is text").to_owned();
    restic(&host, &["restore", &id, "--target", &theirs.display().to_string()]).exit(0);
    compare(&host, &theirs);
}

/// What lies in a restored directory is what the point copied.
#[track_caller]
fn compare(host: &TestEnvironment, restored: &Path) {
    let database = restored.join("data/app/database.sqlite").display().to_string();
    let rows = host.run("sqlite3", &[&database, "SELECT group_concat(what) FROM orders"]);
    assert_eq!(rows.exit(0).stdout.trim(), "tea,coffee");
    let photo = restored.join("data/uploads/tree/uploads/ana/photo.png");
    assert_eq!(fs::read_to_string(&photo).expect("it was restored"), "of ana");
    let found = photo.metadata().expect("it was restored");
    assert_eq!(found.permissions().mode() & 0o7777, 0o640);
    let live = host.path("app/uploads/ana/photo.png").metadata().expect("it is there");
    assert_eq!(found.mtime(), live.mtime());
    let linked = restored.join("data/uploads/tree/uploads/linked.png");
    assert_eq!(linked.metadata().expect("it was restored").ino(), found.ino(), "a hard link");
    let latest = restored.join("data/uploads/tree/uploads/latest");
    assert_eq!(fs::read_link(latest).expect("it is a link"), Path::new("ana"));
    let path = photo.display().to_string();
    host.run("getfattr", &["-n", "user.owner", &path]).exit(0).stdout_has("ana");
    let env = restored.join("settings/env/tree/.env");
    assert_eq!(fs::read_to_string(env).expect("it was restored"), "TOKEN=of-the-day-before\n");
}

#[test]
fn a_damaged_byte_a_lost_password_and_foreign_locks_are_noticed() {
    let host = TestEnvironment::new();
    let s = with_data(&host, "");
    host.gitroll(&["point", "create"]).exit(0);
    let (points, password) = places(&host);
    let repository = points.join("repository");

    let lock = repository.join("locks").join("0".repeat(64));
    fs::create_dir_all(repository.join("locks")).expect("it can be made");
    fs::write(&lock, "of restic").expect("it can be written");
    host.gitroll(&["point", "create"]).exit(12).says("restic has locked the points");
    fs::remove_file(&lock).expect("it is there");

    let kept = fs::read(&password).expect("it is there");
    fs::write(&password, "another\n").expect("it can be written");
    host.gitroll(&["point", "list"]).exit(1).says("does not open");
    fs::remove_file(&password).expect("it is there");
    host.gitroll(&["point", "create"]).exit(1).says("is missing");
    fs::write(&password, &kept).expect("it can be written");
    set_mode(&password, 0o644);
    host.gitroll(&["point", "list"]).exit(10).says("others may read it");
    set_mode(&password, 0o600);
    host.gitroll(&["point", "verify", "p1"]).exit(0);

    // One byte of each pack.
    for pack in files_below(&repository.join("data")) {
        set_mode(&pack, 0o600);
        let mut bytes = fs::read(&pack).expect("it is there");
        bytes[20] ^= 1;
        fs::write(&pack, bytes).expect("it can be written");
    }
    host.gitroll(&["point", "verify", "p1"]).exit(1).says("is not good");
    host.gitroll(&["point", "verify", "p1", "--restore"]).exit(1).says("is not good");
    let into = host.path("into").display().to_string();
    host.gitroll(&["point", "restore", "p1", "--into", &into]).exit(1).never_says("panicked");
    s.serves("1.0.0");
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("it is a directory").flatten().map(|e| e.path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn what_cannot_be_copied_whole_is_no_point() {
    let host = TestEnvironment::new();
    let s = with_data(&host, "");
    let none = |host: &TestEnvironment| {
        let listed = host.gitroll(&["point", "list", "--json"]).exit(0).json();
        assert_eq!(listed["result"]["points"], json!([]), "{listed}");
    };
    let database = s.app.dir.join("app.db");
    let away = s.app.dir.join("uploads/away.db");
    fs::rename(&database, &away).expect("it can be moved");
    host.gitroll(&["point", "create"]).exit(1).says("app: ").says("No such file");
    std::os::unix::fs::symlink("uploads/away.db", &database).expect("it can be linked");
    host.gitroll(&["point", "create"]).exit(1).says("is a symbolic link");
    fs::remove_file(&database).expect("it is there");
    fs::write(&database, "no database at all".repeat(400)).expect("it can be written");
    host.gitroll(&["point", "create"]).exit(1).says("not a database");
    fs::remove_file(&database).expect("it is there");
    fs::rename(&away, &database).expect("it can be moved");
    none(&host);

    // Faults that only the copy's own checks find: it is kept, and is never a way back.
    sql(&host, "PRAGMA wal_checkpoint(truncate); PRAGMA journal_mode = delete");
    sql(
        &host,
        "INSERT INTO orders (what) SELECT hex(randomblob(500)) FROM generate_series(1, 200)",
    );
    let mut bytes = fs::read(&database).expect("it is there");
    let from = bytes.len() - 3 * 4096;
    bytes[from..from + 8192].fill(0x5a);
    fs::write(&database, bytes).expect("it can be written");
    let answer = host.gitroll(&["point", "create", "--json"]);
    let point = answer.exit(1).json()["result"]["point"].clone();
    assert_eq!(point["sound"], json!(false), "{point}");
    assert_ne!(point["manifest"]["items"][0]["problems"], json!([]), "{point}");
}

#[test]
fn points_are_kept_pinned_and_pruned_as_configured() {
    let host = TestEnvironment::new();
    let _s = with_data(
        &host,
        "[points]\nkeep = { last = 1, daily = 0, weekly = 0, monthly = 0, within = \"0s\" }\n",
    );
    for _ in 0..3 {
        host.gitroll(&["point", "create"]).exit(0);
    }
    host.gitroll(&["point", "pin", "p1"]).exit(0).says("is kept for ever");
    let shown = host.gitroll(&["point", "show", "p1"]);
    shown.exit(0).says("as stored").says("pinned");
    host.gitroll(&["point", "prune", "--plan"])
        .exit(0)
        .says("remove  p2")
        .says("would remove 1 point");
    assert_eq!(
        host.gitroll(&["point", "list", "--json"]).json()["result"]["points"]
            .as_array()
            .map(Vec::len),
        Some(3)
    );
    host.gitroll(&["point", "prune"]).exit(0).says("removed 1 point");
    host.gitroll(&["point", "unpin", "p1"]).exit(0);
    host.gitroll(&["point", "prune"]).exit(0).says("removed 1 point");
    // A name is given once.
    host.gitroll(&["point", "create"]).exit(0).says("p4");
    host.gitroll(&["point", "verify", "p4", "--restore"]).exit(0);
    restic(&host, &["check", "--read-data"]).exit(0);

    // A copy that was made elsewhere.
    let dump = host.path("elsewhere.db").display().to_string();
    host.run(
        "sqlite3",
        &[&dump, "CREATE TABLE orders (id INTEGER); INSERT INTO orders VALUES (7)"],
    )
    .exit(0);
    host.gitroll(&["point", "import", "--data", "app", &dump]).exit(0).says("nothing tells how");
    host.gitroll(&["point", "import", "--data", "nothing", &dump]).exit(1).says("declared: app");
    host.gitroll(&["point", "import", "--data", "uploads", &dump])
        .exit(1)
        .says("its engine is files");
    assert_eq!(newest(&host)["manifest"]["kind"], json!("imported"));
}

#[test]
fn a_deploy_takes_a_point_first_and_stops_where_that_fails() {
    let host = TestEnvironment::new();
    let s = with_data(&host, "[migrate]\npaths = [\"migrations/**\"]\n");
    s.release_plain(&host, "1.1.0");
    assert_eq!(host.gitroll(&["point", "list", "--json"]).json()["result"]["points"], json!([]));
    s.app.write("migrations/0002_colour.sql", "ALTER TABLE orders ADD colour TEXT;\n");
    let next = s.app.commit_version("1.2.0", Behaviour::Good);
    fs::rename(s.app.dir.join("uploads"), host.path("away")).expect("it can be moved");
    let refused = host.gitroll(&["deploy", &next, "--yes"]);
    refused
        .exit(1)
        .says("no point before this deploy")
        .says("--no-point")
        .says("nothing was changed");
    s.serves("1.1.0");
    fs::rename(host.path("away"), s.app.dir.join("uploads")).expect("it can be moved");
    host.gitroll(&["deploy", &next, "--yes"]).exit(0).says("point p1 taken");
    let point = newest(&host);
    assert_eq!(point["manifest"]["kind"], json!("before-deploy"));
    assert_eq!(point["manifest"]["name"], json!("v1.1.0"), "{point}");
    s.serves("1.2.0");
}

impl Scenario<'_> {
    /// A version without anything that calls for a point.
    fn release_plain(&self, host: &TestEnvironment, version: &str) {
        let next = self.app.commit_version(version, Behaviour::Good);
        host.gitroll(&["deploy", &next, "--yes"]).exit(0);
    }
}

#[test]
fn a_repository_of_which_a_part_is_lost_is_never_replaced_by_a_new_one() {
    let host = TestEnvironment::new();
    with_data(&host, "");
    host.gitroll(&["point", "create"]).exit(0);
    let (points, _) = places(&host);
    let repository = points.join("repository");
    let config = fs::read(repository.join("config")).expect("it is there");
    fs::remove_file(repository.join("config")).expect("it is there");
    let before = files_below(&repository);
    let refused = host.gitroll(&["point", "create"]);
    refused.exit(1).says("it has no file `config`").says("it is left as it is");
    assert_eq!(files_below(&repository), before);
    fs::write(repository.join("config"), &config).expect("it can be written");
    host.gitroll(&["point", "verify", "p1", "--restore"]).exit(0);

    // Somebody else's directory.
    fs::rename(&repository, points.join("away")).expect("it can be renamed");
    fs::create_dir_all(repository.join("photos")).expect("it can be made");
    host.gitroll(&["point", "create"]).exit(1).says("holds photos");
    fs::remove_dir(repository.join("photos")).expect("it is empty");
    // What a kill left while it was made.
    fs::create_dir_all(repository.join("data/00")).expect("it can be made");
    fs::create_dir_all(repository.join("keys")).expect("it can be made");
    fs::write(repository.join("keys/of-nothing"), "{}").expect("it can be written");
    host.gitroll(&["point", "create"]).exit(0).says("p2");
}
