//! Taking migrations back: what is counted before, what is done in one transaction, what is put back when it fails.

use crate::points::cluster::Cluster;
use crate::support::*;
use serde_json::{Value, json};

const UP: &str = "ALTER TABLE orders ADD guest TEXT; UPDATE orders SET guest = 'ana' WHERE id = 1; \
                  CREATE TABLE refunds (id INTEGER PRIMARY KEY); INSERT INTO refunds VALUES (1), (2)";
const DOWN: &str = "DROP TABLE refunds;\nALTER TABLE orders DROP COLUMN guest;\n";

/// The check of 1.0.0 asks for orders, that of 1.1.0 for their guests as well.
fn config(more: &str) -> AppConfig {
    AppConfig::default().without_builds().settle(1, "100ms").timeout("3s").and(&format!(
        "[run]\nwatchdog = \"off\"\n[points]\nbefore_deploy = \"never\"\n\
         [[check]]\nname = \"schema\"\ncommand = [\"sh\", \"schema.sh\"]\npasses = 1\nsettle = \"0s\"\ntimeout = \"3s\"\n{more}"
    ))
}

const SQLITE: &str = r#"
[data.main]
engine = "sqlite"
path = "app.db"
[migrate]
data = "main"
paths = ["migrations/**"]
"#;
const SCRIPTS: &str = "down = \"migrations/rollback/{number}_rollback.sql\"\n";

fn sqlite(host: &TestEnvironment, query: &str) -> String {
    let database = host.path("app/app.db").display().to_string();
    host.run("sqlite3", &[&database, query]).exit(0).stdout.clone()
}

/// 1.1.0 serves, with a migration that 1.0.0 never saw.
fn migrated<'h>(host: &'h TestEnvironment, down: &str) -> Scenario<'h> {
    let app = host.app(Fixture::Plain);
    app.configure(&config(&format!("{SQLITE}{down}")));
    app.write(".gitignore", "app.db*\n");
    app.write("schema.sh", "sqlite3 app.db 'SELECT count(id) FROM orders'\n");
    sqlite(host, "PRAGMA journal_mode = wal; CREATE TABLE orders (id INTEGER PRIMARY KEY)");
    sqlite(host, "INSERT INTO orders VALUES (1), (2), (3)");
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s.promote("v1.0.0");
    s.app.write("schema.sh", "sqlite3 app.db 'SELECT count(guest) FROM orders'\n");
    s.app.write("migrations/0042_orders.sql", UP);
    if down == SCRIPTS {
        s.app.write("migrations/rollback/0042_rollback.sql", DOWN);
    }
    s.app.write("down.sh", "sqlite3 app.db 'DROP TABLE refunds'\nexit 1\n");
    sqlite(host, UP);
    s.app.commit_version("1.1.0", Behaviour::Good);
    host.gitroll(&["deploy", "--yes"]).exit(0).says("1 migration included: 0042_orders");
    s
}

fn last_record(host: &TestEnvironment) -> Value {
    host.gitroll(&["show", "--json"]).exit(0).json()["result"].clone()
}

#[test]
fn a_migration_is_counted_taken_back_with_the_code_and_put_back_if_what_serves_needs_it() {
    let host = TestEnvironment::new();
    let s = migrated(&host, SCRIPTS);
    let status = host.gitroll(&["migrate", "status"]);
    status.exit(0).says("as far as the records tell").says("0042_orders");
    status.says("migrations/rollback/0042_rollback.sql").never_says("0042_rollback  ");
    let plan = host.gitroll(&["back", "--plan"]);
    plan.exit(0).says("1 migration crossed, schema is not rolled back: 0042_orders");
    plan.says("v1.0.0-stable never served on this schema").says("gitroll back --migrate-down");

    let before = sqlite(&host, ".dump");
    let plan = host.gitroll(&["migrate", "down", "--plan"]);
    plan.exit(0).says("loses 2 rows (refunds 2) and 1 value (orders.guest)");
    plan.says("migrations/rollback/0042_rollback.sql of");
    // An edited script in the tree is not what runs.
    s.app.write("migrations/rollback/0042_rollback.sql", "DROP TABLE orders;\n");
    host.gitroll(&["migrate", "down", "--plan"]).exit(0).says("loses 2 rows (refunds 2)");
    s.app.git(&["checkout", "--", "migrations"]);
    // Rows are not lost by --yes.
    host.gitroll(&["migrate", "down", "--yes"])
        .exit(2)
        .says("gitroll migrate down --yes --accept-loss 2");
    host.gitroll(&["migrate", "down", "--yes", "--accept-loss", "1"])
        .exit(10)
        .says("1 are accepted");
    // 1.1.0 needs the column: it is put back with all rows.
    let down = host.gitroll(&["migrate", "down", "--yes", "--accept-loss", "2"]);
    down.exit(20).says("schema");
    assert_eq!(sqlite(&host, ".dump"), before);
    s.serves("1.1.0");
    assert_eq!(last_record(&host)["evidence"].get("migration"), None, "nothing was reverted");

    let back = host.gitroll(&["back", "--migrate-down", "--yes", "--accept-loss", "2"]);
    back.exit(0).says("migrated 0042_orders down, loses 2 rows");
    s.serves("1.0.0");
    assert_eq!(sqlite(&host, "SELECT count(*) FROM pragma_table_info('orders')").trim(), "1");
    let migration = last_record(&host)["evidence"]["migration"].clone();
    assert_eq!(migration["reverted"], json!(["0042_orders"]), "{migration}");
    assert_eq!(migration["lost"]["rows"], json!(2), "{migration}");
    let kept = migration["kept"].as_str().expect("it is kept").to_owned();
    let kept = host.run("sqlite3", &[&kept, "SELECT count(*) FROM refunds"]).exit(0).stdout.clone();
    assert_eq!(kept.trim(), "2", "what was lost is in the copy of before");
    host.gitroll(&["migrate", "status"]).exit(0).says("no       no");
    let none = ["migrate", "down", "--to", "v1.0.0-stable", "--yes"];
    host.gitroll(&none).exit(0).says("no migration");
    host.gitroll(&["fsck"]).exit(0);
}

#[test]
fn what_fails_and_what_is_killed_leaves_the_database_as_it_was_or_goes_on() {
    let host = TestEnvironment::new();
    let s = migrated(&host, "down = [\"sh\", \"down.sh\"]\n");
    let before = sqlite(&host, ".dump");
    // A command half way.
    let back = ["back", "--migrate-down", "--yes", "--accept-loss", "any"];
    host.gitroll(&["back", "--migrate-down", "--yes"]).exit(2).says("loss unknown");
    host.gitroll(&back).exit(20).says("0042_orders: sh");
    assert_eq!(sqlite(&host, ".dump"), before);
    s.serves("1.1.0");
    // Of an edited tree nobody knows what the command is.
    s.app.write("down.sh", "sqlite3 app.db 'DROP TABLE orders'\n");
    host.gitroll(&back).exit(1).says("down.sh was edited here");
    s.app.git(&["checkout", "--", "down.sh"]);
    // With scripts, killed before they are confirmed.
    s.app.configure(&config(&format!("{SQLITE}{SCRIPTS}")));
    s.app.write("migrations/rollback/0042_rollback.sql", DOWN);
    s.app.commit_version("1.1.1", Behaviour::Good);
    host.gitroll(&["deploy", "--yes"]).exit(0);
    let back = ["back", "--to", "v1.0.0-stable", "--migrate-down", "--yes", "--accept-loss", "2"];
    let kill = |place: &str| {
        let mut command = host.gitroll_command(&back);
        command.env("GITROLL_FAIL_AT", format!("{place}=kill"));
        Answer::of(command, std::time::Duration::from_secs(60)).says("✓ quiesce web");
    };
    kill("migrate down after");
    assert_ne!(sqlite(&host, ".dump"), before);
    host.gitroll(&["abort", "--yes"]).exit(0);
    assert_eq!(sqlite(&host, ".dump"), before);
    s.serves("1.1.1");
    kill("migrate down after");
    host.gitroll(&["resume", "--yes"]).exit(0);
    s.serves("1.0.0");
    assert_eq!(sqlite(&host, "SELECT count(*) FROM pragma_table_info('orders')").trim(), "1");
}

#[test]
fn without_a_way_back_it_is_refused_and_what_fails_already_may_lose_its_schema() {
    let host = TestEnvironment::new();
    let s = migrated(&host, SCRIPTS);
    s.app.write("migrations/0043_more.sql", "CREATE TABLE more (id INTEGER)");
    sqlite(&host, "CREATE TABLE more (id INTEGER)");
    s.app.commit_version("1.2.0", Behaviour::Good);
    host.gitroll(&["deploy", "--yes"]).exit(0).says("no way back for 0043_more");
    let refused = host.gitroll(&["migrate", "down", "--to", "v1.0.0-stable", "--yes"]);
    refused.exit(10).says("no script that reverts 0043_more").says("gitroll point list");
    // A script that would end the transaction fails in a copy already.
    s.app.write(
        "migrations/rollback/0043_rollback.sql",
        "DROP TABLE more; COMMIT; DROP TABLE orders;",
    );
    s.app.commit_version("1.2.1", Behaviour::Good);
    host.gitroll(&["deploy", "--yes"]).exit(0);
    let before = sqlite(&host, ".dump");
    host.gitroll(&["migrate", "down", "--to", "v1.0.0-stable", "--yes"]).exit(1).says("in a copy");
    assert_eq!(sqlite(&host, ".dump"), before);
    s.app.write("migrations/rollback/0043_rollback.sql", "DROP TABLE more;");
    s.app.commit_version("1.2.2", Behaviour::Good);
    host.gitroll(&["deploy", "--yes"]).exit(0);
    // What serves fails: that it fails on the older schema too is no reason to put that back.
    s.app.sour("1.2.2");
    let down = ["migrate", "down", "--to", "v1.0.0-stable", "--yes", "--accept-loss", "2"];
    let down = host.gitroll(&down);
    down.exit(21).says("took back 0043_more, 0042_orders; v1.2.2").says("fails as before");
    down.says("gitroll back");
    assert_eq!(sqlite(&host, "SELECT count(*) FROM pragma_table_info('orders')").trim(), "1");
    host.gitroll(&["log"]).exit(0).says("migrate");
    let plan = host.gitroll(&["back", "--to", "v1.0.0-stable", "--plan"]);
    plan.exit(0).never_says("crossed");
    host.gitroll(&["back", "--to", "v1.0.0-stable", "--yes"]).exit(0);
    s.serves("1.0.0");
}

#[test]
fn a_server_s_database_is_tried_out_on_its_schema_taken_back_and_put_back() {
    let host = TestEnvironment::new();
    let cluster = Cluster::start(&host);
    // The connection is lost after the server did what it was asked for.
    let lost = host.path("lost");
    host.fake_tool(
        "psql",
        &format!(
            "#!/bin/sh\n/usr/bin/psql \"$@\"\ncode=$?\ncase \"$PGDATABASE $*\" in\n\
             'sh\"op '*end.sql*) if rm {} 2>/dev/null; then exit 2; fi;;\nesac\nexit $code\n",
            lost.display()
        ),
    );
    let app = host.app(Fixture::Plain);
    let data = format!(
        "[data.main]\nengine = \"postgres\"\nurl = {{ env = \"DATABASE_URL\", file = \".env\" }}\n\
         [migrate]\ndata = \"main\"\npaths = [\"migrations/**\"]\n{SCRIPTS}"
    );
    app.configure(&config(&data));
    app.write(".gitignore", ".env\n");
    let url = format!("postgresql://app:hunter2-of-app@/sh%22op?host={}", cluster.socket());
    app.write(".env", &format!("DATABASE_URL={url}\n"));
    let check = |column: &str| {
        format!(
            "psql -X -q -U app -h {} 'sh\"op' -c 'SELECT {column} FROM orders'\n",
            cluster.socket()
        )
    };
    app.write("schema.sh", &check("id"));
    let sql = |statement: &str| cluster.sql("sh\"op", &format!("SET ROLE app; {statement}"));
    sql("CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders VALUES (1), (2), (3)");
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host: &host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s.promote("v1.0.0");
    s.app.write("schema.sh", &check("guest"));
    s.app.write("migrations/0042_orders.sql", UP);
    s.app.write(
        "migrations/rollback/0042_rollback.sql",
        &format!("{DOWN}DELETE FROM orders WHERE id = 3;"),
    );
    sql(UP);
    sql(
        "CREATE TABLE knex_migrations (name text); INSERT INTO knex_migrations VALUES ('0042_orders.js')",
    );
    s.app.commit_version("1.1.0", Behaviour::Good);
    host.gitroll(&["deploy", "--yes"]).exit(0);
    let status = host.gitroll(&["migrate", "status", "--json"]).exit(0).json()["result"].clone();
    assert_eq!(status["seen_in"], json!({ "table": "knex_migrations" }), "{status}");
    assert_eq!(status["migrations"][0]["applied"], json!(true), "{status}");

    let tables = || {
        cluster.sql(
            "sh\"op",
            "SELECT (SELECT string_agg(id || coalesce(guest, '-'), ',' ORDER BY id) FROM orders), \
             (SELECT count(*) FROM refunds), (SELECT string_agg(tableowner, ',') FROM pg_tables WHERE schemaname = 'public')",
        )
    };
    let before = tables();
    let plan = host.gitroll(&["migrate", "down", "--plan"]);
    plan.exit(0).says("loses 2 rows (public.refunds 2) and 1 value (public.orders.guest)");
    plan.says("counted as it runs").never_says("hunter2");
    // One more is deleted than was accepted: all of it is put back.
    let back = |rows: &str| {
        host.gitroll(&["back", "--migrate-down", "--yes", "--accept-loss", rows, "-vv"])
    };
    back("2").exit(20).says("3 rows were lost, and 2 are accepted").never_says("hunter2");
    assert_eq!(tables(), before);
    s.serves("1.1.0");
    std::fs::write(&lost, "").expect("it can be written");
    back("3").exit(20);
    assert!(!lost.exists(), "the answer was lost");
    assert_eq!(tables(), before);
    // Who stops it wants what was there before.
    let back_3 = ["back", "--migrate-down", "--yes", "--accept-loss", "3"];
    let stopped = Paused::at(&host, "migrate down after", &back_3);
    stopped.interrupt();
    assert_eq!(stopped.go_on().code(), Some(20));
    assert_eq!(tables(), before);
    s.serves("1.1.0");
    back("3").exit(0);
    s.serves("1.0.0");
    assert_eq!(cluster.sql("sh\"op", "SELECT count(*) FROM orders"), "2");
    assert_eq!(last_record(&host)["evidence"]["migration"]["lost"]["rows"], json!(3));
    let left = "SELECT count(*) FROM pg_database WHERE datname LIKE 'gitroll%'";
    assert_eq!(cluster.sql("postgres", left), "0");
}
