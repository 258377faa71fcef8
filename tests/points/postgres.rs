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
