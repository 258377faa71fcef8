//! Points of a PostgreSQL database, with the server's own tools.

use std::fs;
use std::path::Path;

use super::cluster::Cluster;
use super::{newest, places, quick, restic};
use crate::support::*;
use serde_json::json;

const DATA: &str = r#"
[data.shop]
engine = "postgres"
url = { env = "DATABASE_URL", file = ".env" }
verify = ["SELECT count(*) = 2 FROM orders"]

[data.queue]
engine = "command"
backup = ["sh", "-c", "cp queue.txt \"$GITROLL_DATA_DIR/\""]
verify = ["sh", "-c", "grep -q waiting \"$GITROLL_DATA_DIR/queue.txt\""]
"#;

#[test]
fn a_database_of_a_server_is_dumped_tried_out_and_never_told_with_its_password() {
    let host = TestEnvironment::new();
    let cluster = Cluster::start(&host);
    let app = host.app(Fixture::Plain);
    app.configure(&quick().and(DATA));
    app.write(".gitignore", ".env\nqueue.txt\n");
    app.write("queue.txt", "waiting: 3\n");
    let url = |user: &str| {
        format!(
            "postgresql://{user}:hunter2-of-app@/sh%22op?host={}&pool_timeout=3",
            cluster.socket()
        )
    };
    app.write(".env", &format!("DATABASE_URL={}\n", url("app")));
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host: &host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes", "--no-point"]).exit(0);
    cluster.sql(
        "sh\"op",
        "SET ROLE app; CREATE TABLE orders (id int); INSERT INTO orders VALUES (1), (2)",
    );
    let databases = || {
        cluster.sql("postgres", "SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_database")
    };
    let before = databases();

    let created = host.gitroll(&["point", "create", "-vv"]);
    created.exit(0).never_says("hunter2").says("without their passwords");
    let item = newest(&host)["manifest"]["items"][1].clone();
    assert_eq!(item["postgres"]["owner"], json!("app"), "{item}");
    assert_eq!(item["postgres"]["database"], json!("sh\"op"), "{item}");
    let tried = host.gitroll(&["point", "verify", "p1", "--restore", "-vv"]);
    tried.exit(0).never_says("hunter2").says("restored and checked");
    assert_eq!(databases(), before, "the database it was tried in is gone");

    // Uncompressed, the next dump has nearly everything in common with this one.
    cluster.sql("sh\"op", "INSERT INTO orders SELECT 3");
    host.gitroll(&["point", "create"]).exit(0);
    host.gitroll(&["point", "verify", "p2", "--restore"]).exit(1).says("the answer is not true");
    assert_eq!(databases(), before);
    let into = host.path("into");
    host.gitroll(&["point", "restore", "p1", "data/shop", "--into", &into.display().to_string()])
        .exit(0);
    let dump = into.join("data/shop/database.dump").display().to_string();
    host.run("pg_restore", &["-l", &dump]).exit(0).stdout_has("orders");
    let globals = fs::read_to_string(into.join("data/shop/globals.sql")).expect("it was restored");
    assert!(globals.contains("CREATE ROLE app"), "{globals}");
    restic(&host, &["check", "--read-data"]).exit(0);
    host.gitroll(&["point", "import", "--data", "shop", &dump]).exit(0);
    host.gitroll(&["point", "import", "--data", "shop", "server.js"]).exit(1).says("shop: ");

    cluster.demand_password();
    let wrong = url("app").replace("hunter2-of-app", "guessed-it");
    s.app.write(".env", &format!("DATABASE_URL={wrong}\n"));
    let refused = host.gitroll(&["point", "create"]);
    refused.exit(1).says("password authentication failed").never_says("guessed-it");
    s.app.write(".env", &format!("DATABASE_URL={}\n", url("nobody")));
    host.gitroll(&["point", "create"]).exit(1).says("nobody").never_says("hunter2");
    s.app.write(".env", "DATABASE_URL=mysql://app:hunter2-of-app@/x\n");
    host.gitroll(&["point", "create"])
        .exit(1)
        .says("must begin with postgresql://")
        .never_says("hunter2");
    s.app.write(".env", &format!("DATABASE_URL={}\n", url("app")));
    cluster.stop();
    host.gitroll(&["point", "create"]).exit(1).says("shop: ").never_says("hunter2");
    let (points, _) = places(&host);
    assert!(!leaks(&points, b"hunter2"), "a password is in a file of the points");
    let listed = host.gitroll(&["point", "list", "--json"]).exit(0).json();
    assert_eq!(listed["result"]["points"].as_array().map(Vec::len), Some(3), "{listed}");
}

fn leaks(dir: &Path, secret: &[u8]) -> bool {
    super::files_below(dir).iter().any(|file| {
        let bytes = fs::read(file).unwrap_or_default();
        bytes.windows(secret.len()).any(|part| part == secret)
    })
}

/// What of the database neither a dump nor a rename carries.
fn around(cluster: &Cluster<'_>) -> String {
    cluster.sql(
        "postgres",
        "SELECT pg_get_userbyid(datdba), encoding, datcollate, datconnlimit, \
           shobj_description(oid, 'pg_database'), \
           (SELECT string_agg(format('%s %s %s', grantee::regrole, privilege_type, is_grantable), ',' \
              ORDER BY grantee, privilege_type) FROM aclexplode(datacl)), \
           (SELECT string_agg(format('%s %s', setrole, c), ',' ORDER BY c) \
              FROM pg_db_role_setting, unnest(setconfig) c WHERE setdatabase = d.oid) \
         FROM pg_database d WHERE datname = 'sh\"op'",
    )
}

const BOTH: &str = r#"
[data.local]
engine = "sqlite"
path = "local.db"

[data.shop]
engine = "postgres"
url = { env = "DATABASE_URL", file = ".env" }
lost_rows = "SELECT count(*) FROM orders WHERE at > :since"
verify = ["SELECT count(*) > 0 FROM orders"]
"#;

/// 1.0.0 with a point of two databases, then 1.1.0 with a row more in each.
fn with_both<'h>(host: &'h TestEnvironment, cluster: &Cluster<'_>) -> Scenario<'h> {
    let app = host.app(Fixture::Plain);
    app.configure(&quick().and(BOTH));
    app.write(".gitignore", ".env\nlocal.db*\n");
    let url = format!("postgresql://app:hunter2-of-app@/sh%22op?host={}", cluster.socket());
    app.write(".env", &format!("DATABASE_URL={url}\n"));
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes", "--no-point"]).exit(0);
    cluster.sql(
        "sh\"op",
        "SET ROLE app; CREATE TABLE orders (id int, at timestamptz DEFAULT now() - interval '1 h'); \
         INSERT INTO orders VALUES (1), (2)",
    );
    local(host, "CREATE TABLE t (id int); INSERT INTO t VALUES (1), (2)");
    host.gitroll(&["point", "create"]).exit(0);
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    host.gitroll(&["deploy", &next, "--yes", "--no-point"]).exit(0);
    cluster.sql("sh\"op", "SET ROLE app; INSERT INTO orders VALUES (3, now() + interval '1 h')");
    local(host, "INSERT INTO t VALUES (3)");
    s
}

fn local(host: &TestEnvironment, query: &str) -> String {
    let database = host.path("app/local.db").display().to_string();
    host.run("sqlite3", &[&database, query]).exit(0).stdout.trim().to_owned()
}

#[test]
fn a_database_of_a_server_goes_back_by_two_renames_with_all_that_surrounds_it() {
    let host = TestEnvironment::new();
    let cluster = Cluster::start(&host);
    for statement in [
        "REVOKE CONNECT ON DATABASE \"sh\"\"op\" FROM PUBLIC",
        "GRANT CONNECT ON DATABASE \"sh\"\"op\" TO app",
        "ALTER DATABASE \"sh\"\"op\" SET search_path TO \"$user\", public",
        "ALTER DATABASE \"sh\"\"op\" SET application_name TO 'it''s here'",
        "ALTER ROLE app IN DATABASE \"sh\"\"op\" SET work_mem TO '7MB'",
        "ALTER DATABASE \"sh\"\"op\" CONNECTION LIMIT 17",
        "COMMENT ON DATABASE \"sh\"\"op\" IS 'of the shop'",
    ] {
        cluster.sql("postgres", statement);
    }
    let s = with_both(&host, &cluster);
    let before = around(&cluster);
    let rows = |database: &str| cluster.sql(database, "SELECT count(*) FROM orders");
    let back = ["back", "--only", "shop", "--to", "p1", "--yes", "--accept-loss", "shop=1h"];

    // What its role may not do is found while everything runs.
    cluster.sql("postgres", "ALTER ROLE app NOCREATEDB");
    let pid = s.app.pid_served();
    let refused = host.gitroll(&back);
    refused.exit(1).says("app may not create databases").says("nothing was changed");
    assert_eq!(s.app.pid_served(), pid);
    cluster.sql("postgres", "ALTER ROLE app CREATEDB");

    // A session of the app that does not end by itself.
    let socket = cluster.socket();
    let session = ["-h", &socket, "-U", "app", "-c", "SELECT pg_sleep(120)", "sh\"op"];
    let mut session = host.command("psql").args(session).spawn().expect("it starts");
    let gone = host.gitroll(&back);
    gone.exit(0).says("lost     shop: 1 row").says("database sh\"op_before_").never_says("hunter2");
    assert!(!session.wait().expect("it ended").success());
    assert_eq!(rows("sh\"op"), "2");
    assert_eq!(around(&cluster), before);
    let kept =
        cluster.sql("postgres", "SELECT datname FROM pg_database WHERE datname LIKE '%_before_%'");
    assert_eq!(rows(&kept), "3", "what was there is kept");
    assert_eq!(local(&host, "SELECT count(*) FROM t"), "3", "the other stays");
    host.gitroll(&["back", "--undo", "--yes", "--accept-loss", "shop=1h"]).exit(0);
    assert_eq!((rows("sh\"op").as_str(), around(&cluster)), ("3", before));
    s.serves("1.1.0");

    // What was restored is not good: nothing is exchanged, and what served is proven.
    cluster.sql("sh\"op", "CREATE EXTENSION pg_stat_statements");
    host.gitroll(&["point", "create"]).exit(0);
    let failed = host.gitroll(&[
        "back",
        "--only",
        "shop",
        "--to",
        "p4",
        "--yes",
        "--accept-loss",
        "shop=1h",
    ]);
    failed.exit(20).says("extension");
    assert_eq!(rows("sh\"op"), "3");
    let left =
        cluster.sql("postgres", "SELECT count(*) FROM pg_database WHERE datname LIKE '%_new_%'");
    assert_eq!(left, "0", "what was restored and not used is removed");

    // What the role of the app may not do, that of admin_url may; what would stay with the old database is refused.
    let admin = host.path("pg-admin");
    let url = format!("postgresql://boss@/sh%22op?host={}", cluster.socket());
    fs::write(&admin, url).expect("it is writable");
    let more = format!("services = []\nadmin_url = {{ file = {:?} }}\n", admin.display());
    s.app.configure(&quick().and(&BOTH.replace("lost_rows", &format!("{more}lost_rows"))));
    host.gitroll(&["init", "--yes"]).exit(0);
    cluster.sql("postgres", "ALTER ROLE app NOCREATEDB");
    cluster.sql(
        "sh\"op",
        "CREATE SUBSCRIPTION news CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false)",
    );
    host.gitroll(&back).exit(1).says("has subscriptions").says("nothing was changed");
    cluster.sql("sh\"op", "ALTER SUBSCRIPTION news SET (slot_name = NONE)");
    cluster.sql("sh\"op", "DROP SUBSCRIPTION news");
    let slot = "SELECT pg_create_logical_replication_slot('reports', 'test_decoding')";
    cluster.sql("sh\"op", slot);
    host.gitroll(&back).exit(1).says("replication slots").says("reports");
    cluster.sql("postgres", "SELECT pg_drop_replication_slot('reports')");
    host.gitroll(&back).exit(0);
    assert_eq!(rows("sh\"op"), "2");
    assert!(around(&cluster).starts_with("app|"), "its owner is who it was");
    // What was replaced is listed with its size, and removed by a person.
    let kept = host.gitroll(&["saved", "--json"]).exit(0).json()["result"]["data"].clone();
    let runs = kept.as_array().expect("a list").clone();
    assert!(runs.len() >= 3, "{kept:#}");
    for run in &runs {
        host.gitroll(&["saved", "remove", run["id"].as_str().expect("text"), "--yes"]).exit(0);
    }
    let left = "SELECT count(*) FROM pg_database WHERE datname ~ '_(before|undone)_'";
    assert_eq!(cluster.sql("postgres", left), "0");
    assert_eq!(rows("sh\"op"), "2");
    cluster.stop();
    host.gitroll(&back).exit(1);
    s.serves("1.1.0");
}

#[test]
fn killed_at_every_step_over_two_databases_it_ends_old_or_new_and_never_between() {
    let host = TestEnvironment::new();
    let cluster = Cluster::start(&host);
    let s = with_both(&host, &cluster);
    let accepted = ["--yes", "--accept-loss", "shop=1h", "--accept-loss", "local=1h"];
    let command = |command: &[&str], armed: &str| {
        let mut command = host.gitroll_command(command);
        command.env("GITROLL_FAIL_LOG", host.path("fail.log")).env("GITROLL_FAIL_AT", armed);
        Answer::of(command, std::time::Duration::from_secs(120))
    };
    let state = || {
        let shop = cluster.sql("sh\"op", "SELECT count(*) FROM orders");
        (s.app.version_served().unwrap_or_default(), shop, local(&host, "SELECT count(*) FROM t"))
    };
    let is = |version: &str, rows: &str| (version.to_owned(), rows.to_owned(), rows.to_owned());
    let (old, new) = (is("1.1.0", "3"), is("1.0.0", "2"));
    let back = [&["back", "--level", "full", "--to", "p1"][..], &accepted].concat();
    let undo = [&["back", "--undo"][..], &accepted].concat();
    command(&back, "nowhere=kill").exit(0);
    assert_eq!(state(), new);
    let log = fs::read_to_string(host.path("fail.log")).expect("places were passed");
    host.gitroll(&undo).exit(0);
    assert_eq!(state(), old);
    let mut times = std::collections::BTreeMap::new();
    let places: Vec<(String, usize)> = log
        .lines()
        .map(|line| {
            let n = times.entry(line.to_owned()).or_insert(0);
            *n += 1;
            (line.to_owned(), *n)
        })
        .filter(|(place, n)| {
            let inside = ["swap aside after", "swap in place"].contains(&place.as_str()) && *n <= 2;
            place == "journal intent after" || inside
        })
        .collect();
    let mut mixed = Vec::new();
    let (mut killed, mut went_on) = (0, 0);
    for (place, n) in &places {
        fs::remove_file(host.path("fail.log")).ok();
        let answer = command(&back, &format!("{place}#{n}=kill"));
        assert_eq!(answer.code, None, "{place}#{n}: {}", answer.transcript());
        killed += 1;
        // Every fifth goes on to its end.
        let (way, code, wanted) =
            if killed % 5 == 0 { ("resume", 0, &new) } else { ("abort", 0, &old) };
        host.gitroll(&[way, "--yes"]).exit(code);
        if state() != *wanted {
            mixed.push(format!("{place}#{n}, {way}: {:?}", state()));
        }
        if way == "resume" {
            went_on += 1;
            host.gitroll(&undo).exit(0);
            assert_eq!(state(), old, "undone after {place}#{n}");
        }
    }
    assert_eq!(mixed, Vec::<String>::new());
    assert!(killed >= 13 && went_on >= 2, "{places:?}");
    host.gitroll(&["fsck"]).exit(0);
    cluster.stop();
}

#[test]
fn what_was_restored_is_asked_with_the_rights_of_the_app_and_no_others() {
    let host = TestEnvironment::new();
    let cluster = Cluster::start(&host);
    let s = with_both(&host, &cluster);
    // What is counted is a view of the app, and what it does depends on who asks.
    cluster.sql(
        "sh\"op",
        "SET ROLE app; ALTER TABLE orders RENAME TO kept; CREATE FUNCTION public.who() RETURNS boolean \
         LANGUAGE plpgsql AS $$ BEGIN CREATE ROLE grabbed SUPERUSER; RETURN true; \
         EXCEPTION WHEN insufficient_privilege THEN RETURN true; END $$; \
         CREATE VIEW orders AS SELECT * FROM kept WHERE who()",
    );
    let boss = format!("postgresql://boss@/postgres?host={}", cluster.socket());
    s.app.write(".env", &format!("{}ADMIN_URL={boss}\n", s.app.read(".env")));
    let more = "url = { env = \"DATABASE_URL\", file = \".env\" }\n";
    let admin = format!("{more}admin_url = {{ env = \"ADMIN_URL\", file = \".env\" }}\n");
    s.app.configure(&quick().and(&BOTH.replace(more, &admin)));
    s.release_kept("1.2.0").exit(0);
    host.gitroll(&["point", "create"]).exit(0);
    host.gitroll(&["point", "verify", "p2", "--restore"]).exit(0);
    let back = ["back", "--only", "shop", "--to", "p2", "--yes", "--accept-loss", "shop=1h"];
    host.gitroll(&back).exit(0);
    let grabbed = "SELECT count(*) FROM pg_roles WHERE rolname = 'grabbed'";
    assert_eq!(cluster.sql("postgres", grabbed), "0");
    // As the role that may do it, it would have been done.
    cluster.sql("sh\"op", "SELECT who()");
    assert_eq!(cluster.sql("postgres", grabbed), "1");
    cluster.stop();
}
