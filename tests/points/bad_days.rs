//! Bad days: a database on another file system, a hot journal, another writer, points that are gone, commands that meet.

use std::fs;
use std::path::{Path, PathBuf};

use super::{places, quick};
use crate::support::*;

/// A directory on the file system of shared memory, which is another one than that of the app.
struct Elsewhere(PathBuf);

impl Elsewhere {
    fn make(host: &TestEnvironment) -> Self {
        let name = host.root().file_name().expect("it has a name").to_string_lossy().into_owned();
        let dir = Path::new("/dev/shm").join(format!("gitroll-{name}"));
        fs::create_dir(&dir).expect("it can be made");
        Self(dir)
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Whether a directory holds something with this in its name, at any depth.
fn holds(dir: &Path, part: &str) -> bool {
    super::files_below(dir).iter().any(|file| file.to_string_lossy().contains(part))
}

#[test]
fn a_database_elsewhere_with_a_hot_journal_goes_back_and_what_it_replaced_goes_when_a_person_says_so()
 {
    let host = TestEnvironment::new();
    let elsewhere = Elsewhere::make(&host);
    let database = elsewhere.0.join("app.db");
    let sql = |query: &str| {
        let path = database.display().to_string();
        host.run("sqlite3", &[&path, query]).stdout.trim().to_owned()
    };
    let app = host.app(Fixture::Plain);
    app.configure(&quick().and(&format!(
        "[retention]\ndata = \"1d\"\n[data.app]\nengine = \"sqlite\"\npath = {:?}\n\
         lost_rows = \"SELECT count(*) FROM orders WHERE at > :since\"\n",
        database.display()
    )));
    sql("CREATE TABLE orders (what TEXT, at TEXT DEFAULT (datetime('now', '-1 hour')))");
    sql("INSERT INTO orders (what) SELECT hex(randomblob(900)) FROM generate_series(1, 300)");
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host: &host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes", "--no-point"]).exit(0);
    host.gitroll(&["point", "create"]).exit(0);

    // Killed in the middle of a transaction: what it wrote so far is rolled back by whoever opens it.
    let hot = "PRAGMA cache_size = 1;\nBEGIN IMMEDIATE;\nUPDATE orders SET what = 'half';\n\
               .shell kill -9 $PPID\n";
    let killed = || {
        let script = host.path("hot.sql");
        fs::write(&script, hot).expect("it is writable");
        let line = format!("sqlite3 '{}' < '{}'", database.display(), script.display());
        host.run("sh", &["-c", &line]);
        assert!(elsewhere.0.join("app.db-journal").exists(), "its journal is hot");
    };
    killed();
    host.gitroll(&["point", "create"]).exit(0);
    assert_eq!(sql("SELECT count(*) FROM orders WHERE what = 'half'"), "0");
    sql("INSERT INTO orders (what, at) VALUES ('milk', datetime('now', '+1 hour'))");
    killed();
    let back = ["back", "--only", "app", "--to", "p1", "--yes", "--accept-loss", "app=1h"];
    host.gitroll(&back).exit(0).says("lost     app: 1 row").says(".gitroll-");
    assert_eq!(sql("PRAGMA integrity_check; SELECT count(*) FROM orders"), "ok\n300");
    s.serves("1.0.0");

    // What it replaced stays, also when the next run ends, until a person removes it.
    let kept = host.gitroll(&["saved", "--json"]).exit(0).json()["result"]["data"][0].clone();
    let place = PathBuf::from(kept["places"][0]["place"].as_str().expect("a place"));
    assert!(place.starts_with(&elsewhere.0) && holds(&place, "database.sqlite"), "{kept:#}");
    assert!(kept["places"][0]["bytes"].as_u64().is_some_and(|bytes| bytes > 100_000), "{kept:#}");
    assert!(kept["expires"].is_string(), "{kept:#}");
    host.gitroll(&["saved"]).exit(0).says("replaced data, until").says("gitroll saved remove");
    host.gitroll(&["saved", "remove", "--expired"]).exit(0).says("nothing is older");
    host.gitroll(&["saved", "remove", "77", "--yes"])
        .exit(1)
        .says("no replaced data is kept by 77");
    let record = kept["seq"].to_string();
    host.gitroll(&["saved", "remove", &record]).exit(2);
    assert!(place.exists());
    host.gitroll(&["saved", "remove", &record, "--yes"]).exit(0).says("removed");
    assert!(!place.exists() && !holds(&elsewhere.0, "before"));
    host.gitroll(&["saved"]).exit(0).says("no replaced data");
    // Its undo needs none of it.
    host.gitroll(&["back", "--undo", "--yes", "--accept-loss", "app=1h"]).exit(0);
    assert_eq!(sql("SELECT count(*) FROM orders"), "301");

    // Whoever comes while data is exchanged waits or is told so: a prune, a timer that takes a point.
    let paused = Paused::at(&host, "swap aside before", &back);
    host.gitroll(&["point", "prune"]).exit(12);
    host.gitroll(&["point", "create"]).exit(12);
    host.gitroll(&["point", "verify", "p1"]).exit(0);
    assert_eq!(paused.go_on().code(), Some(0));
    assert_eq!(sql("SELECT count(*) FROM orders"), "300");

    // A link is not followed.
    let real = elsewhere.0.join("real.db");
    fs::rename(&database, &real).expect("it is there");
    std::os::unix::fs::symlink(&real, &database).expect("it can be linked");
    host.gitroll(&back).exit(1).says("is a symbolic link").says("nothing was changed");
    fs::remove_file(&database).expect("it is there");
    fs::rename(&real, &database).expect("it is there");
    // The points are gone.
    let (points, _) = places(&host);
    let (repository, away) = (points.join("repository"), points.join("away"));
    fs::rename(&repository, &away).expect("it is there");
    host.gitroll(&back).exit(1).says("there are no points here");
    fs::rename(&away, &repository).expect("it is there");
    // They are another writer's.
    host.gitroll(&["init", "--new-writer", "--yes"]).exit(0);
    host.gitroll(&back).exit(10).says("another host's").says("--into DIR");
    s.serves("1.0.0");
    assert_eq!(sql("SELECT count(*) FROM orders"), "300");
}
