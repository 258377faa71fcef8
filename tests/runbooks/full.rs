//! The deepest section of each runbook: data and configuration go back, with the code or without it.

use super::agents::serving_after;
use super::memory_system::{By, Memory};
use super::*;
use crate::approvals::{Laptop, own_key, roles};
use crate::points::cluster::Cluster;
use serde_json::json;

/// The files that belong to a runbook, for the plain app.
fn plain<'h>(host: &'h TestEnvironment, fixture: &str, ignored: &str) -> Scenario<'h> {
    let app = host.app(Fixture::Plain);
    app.lay_over(&format!("runbooks/{fixture}"));
    let text = app.read("gitroll.toml");
    let port = format!("127.0.0.1:{}", app.port.number());
    let text =
        text.replace("127.0.0.1:3000", &port).replace("settle = \"2s\"", "settle = \"200ms\"");
    app.write("gitroll.toml", &text);
    app.write(".gitignore", &format!(".env\ndist\n{ignored}"));
    Scenario { host, app }
}

impl Scenario<'_> {
    /// 1.0.0 serves.
    fn first(&self) {
        self.app.commit_version("1.0.0", Behaviour::Good);
        self.bind();
        self.host.gitroll(&["deploy", "--yes", "--no-point"]).exit(0);
    }

    /// 1.1.0 serves.
    fn next(&self) {
        self.release_kept("1.1.0").exit(0);
        self.serves("1.1.0");
    }
}

fn minutes(count: u64) -> Option<Duration> {
    Some(Duration::from_secs(60 * count))
}

/// What a SQLite database of this app answers.
fn sql(s: &Scenario<'_>, file: &str, query: &str) -> String {
    let database = s.app.dir.join(file).display().to_string();
    s.host.run("sqlite3", &[&database, query]).exit(0).stdout.trim().to_owned()
}

/// All points, the newest first.
fn points(host: &TestEnvironment) -> Vec<Value> {
    let list = host.gitroll(&["point", "list", "--json"]).exit(0).json();
    list["result"]["points"].as_array().expect("a list").clone()
}

#[test]
fn runbook_000_two_memory_files_the_settings_and_everything() {
    let host = TestEnvironment::new();
    let s = plain(&host, "000-agent-hub", "/.claude\n");
    let (hub, domain) =
        (".claude/memory/coordination-hub.md", ".claude/memory/domain-intelligence.md");
    s.app.write(hub, "# Coordination hub\n");
    s.app.write(domain, "# Domain intelligence\n");
    s.app.write(".claude/settings.json", "{ \"agents\": 4 }\n");
    s.first();
    host.gitroll(&["point", "create"]).exit(0);
    host.gitroll(&["point", "verify", "p1", "--restore"]).exit(0).says("restored and checked");
    // "Pre-update backup": the deploy takes it.
    s.next();
    assert_eq!(points(&host)[0]["manifest"]["kind"], json!("before-deploy"));

    s.app.write(hub, "\0\0\0 not a memory");
    fs::remove_file(s.app.dir.join(domain)).unwrap();
    let quick = ["back", "--only", "memory", "--to", "p1", "--yes", "--accept-loss", "memory=1h"];
    within("000, quick rollback of two files", minutes(5), || host.gitroll(&quick)).exit(0);
    assert_eq!((s.app.read(hub).as_str(), s.app.has(domain)), ("# Coordination hub\n", true));
    s.serves("1.1.0");

    // Data recovery: a copy whose files are not what they should be is never started on.
    s.app.write(hub, "garbage");
    host.gitroll(&["point", "create", "--reason", "of garbage"]).exit(0);
    let garbage = points(&host)[0]["manifest"]["id"].as_str().unwrap().to_owned();
    host.gitroll(&["point", "verify", &garbage, "--restore"]).exit(1).says("is corrupt");
    s.app.write(hub, "# Since then\n");
    let pid = s.app.pid_served();
    let back =
        ["back", "--only", "memory", "--to", &garbage, "--yes", "--accept-loss", "memory=1h"];
    let refused = host.gitroll(&back);
    refused.exit(20).says("coordination-hub.md is corrupt");
    assert_eq!(s.app.read(hub), "# Since then\n");
    assert_ne!(s.app.pid_served(), pid, "it was stopped, and started again");

    s.app.write(".claude/settings.json", "{ broken");
    let settings = ["settings", "back", "claude", "--to", "p1", "--yes"];
    let answer = within("000, configuration", minutes(10), || host.gitroll(&settings));
    answer.exit(0).says("kept");
    assert_eq!(s.app.read(".claude/settings.json"), "{ \"agents\": 4 }\n");
    host.gitroll(&["settings", "reset", "claude", "--yes"]).exit(0);
    assert_eq!(s.app.read(".claude/settings.json"), "{ \"agents\": 1 }\n");

    let full = ["back", "--level", "full", "--to", "p1", "--yes", "--accept-loss", "memory=1h"];
    let rto = promised("000-agent-hub/gitroll.toml").full;
    within("000, full system rollback", rto, || host.gitroll(&full)).exit(0);
    s.serves("1.0.0");
    assert_eq!(s.app.read(".claude/settings.json"), "{ \"agents\": 4 }\n");
    assert_eq!(s.app.read(hub), "# Coordination hub\n");
    host.gitroll(&["fsck"]).exit(0);
}

#[test]
fn runbook_001_to_a_rollback_point_whole_in_an_emergency_and_the_configuration_only() {
    let host = TestEnvironment::new();
    let s = plain(&host, "001-consolidated", "/data\n/config\n");
    fs::create_dir(s.app.dir.join("data")).unwrap();
    sql(&s, "data/app.db", "CREATE TABLE requests (id INTEGER PRIMARY KEY, at TEXT)");
    let request = |when: &str| {
        let insert = format!("INSERT INTO requests (at) VALUES (datetime('now', '{when}'))");
        sql(&s, "data/app.db", &insert);
    };
    let count = || sql(&s, "data/app.db", "SELECT count(*) FROM requests");
    request("-1 hour");
    s.app.write("config/local.json", "{ \"traffic\": \"legacy\" }\n");
    s.first();
    host.gitroll(&["point", "create", "--reason", "before the consolidation", "--pin"]).exit(0);
    within("001, verify a backup", minutes(10), || {
        host.gitroll(&["point", "verify", "p1", "--restore"])
    })
    .exit(0);
    s.next();
    request("+1 hour");
    s.app.write("config/local.json", "{ \"traffic\": \"consolidated\" }\n");
    let accept = ["--yes", "--accept-loss", "app=1h"];
    let full = [&["back", "--level", "full", "--to", "p1"][..], &accept].concat();
    let rto = promised("001-consolidated/gitroll.toml").full;
    let answer = within("001, full system restore", rto, || host.gitroll(&full));
    answer.exit(0).says("lost     app: 1 row");
    s.serves("1.0.0");
    assert_eq!((count().as_str(), s.app.read("config/local.json").contains("legacy")), ("1", true));
    host.gitroll(&[&["back", "--undo"][..], &accept].concat()).exit(0);
    assert_eq!(count(), "2");
    s.serves("1.1.0");
    let settings = ["settings", "back", "config", "--to", "p1", "--yes"];
    within("001, configuration only", minutes(3), || host.gitroll(&settings)).exit(0);
    assert!(s.app.read("config/local.json").contains("legacy"));
    s.serves("1.1.0");

    // The app fails, and its database is no database.
    fs::write(s.app.dir.join("data/app.db"), "garbage ".repeat(900)).unwrap();
    s.app.sour("1.1.0");
    let emergency = ["back", "--level", "full", "--emergency", "--accept-loss", "app=1h"];
    within("001, emergency", minutes(2), || host.gitroll(&emergency)).exit(0);
    s.serves("1.0.0");
    assert_eq!(count(), "1");
    host.gitroll(&["point", "prune", "--plan"]).exit(0).says("pinned");
}

#[test]
fn runbook_002_level_3_with_postgresql_files_and_configuration() {
    let host = TestEnvironment::new();
    let cluster = Cluster::start(&host);
    let rows = || cluster.sql("sh\"op", "SELECT count(*) FROM activities");
    let url = format!("postgresql://app:hunter2-of-app@/sh%22op?host={}", cluster.socket());
    let s = serving_after(&host, true, &format!("DATABASE_URL={url}\n"), |s| {
        cluster.sql(
            "sh\"op",
            "SET ROLE app; CREATE TABLE activities (id int, at timestamptz DEFAULT now()); \
             INSERT INTO activities SELECT i, now() - interval '1 h' FROM generate_series(1, 500) i",
        );
        s.app.write(".git/info/exclude", "/uploads\n");
        s.app.write("uploads/report.pdf", "of ana");
        host.gitroll(&["point", "create", "--reason", "before 1.1.0"]).exit(0);
        host.gitroll(&["point", "verify", "p1", "--restore"]).exit(0);
    });
    let variables = s.app.read(".env");
    cluster.sql(
        "sh\"op",
        "SET ROLE app; DELETE FROM activities WHERE id < 400; \
         INSERT INTO activities SELECT i, now() + interval '1 h' FROM generate_series(1, 7) i",
    );
    fs::remove_file(s.app.dir.join("uploads/report.pdf")).unwrap();
    s.app
        .write(".env", &variables.replace("ENABLE_MCP_TRACKING=true", "ENABLE_MCP_TRACKING=maybe"));
    host.gitroll(&["settings", "diff"]).exit(0).says("ENABLE_MCP_TRACKING changed");
    let back = [
        "back",
        "--level",
        "full",
        "--to",
        "p1",
        "--yes",
        "--accept-loss",
        "app=1h",
        "--accept-loss",
        "uploads=1h",
        "--reason",
        "activities are gone",
    ];
    let rto = promised("002-agents/gitroll.toml").full;
    let answer = within("002, level 3 under pm2", rto, || host.gitroll(&back));
    answer.exit(0).says("lost     app: 7 rows").says("(rto 45 min)").never_says("hunter2");
    s.serves("1.0.0");
    assert_eq!((rows().as_str(), s.app.read("uploads/report.pdf").as_str()), ("500", "of ana"));
    assert_eq!(s.app.read(".env"), variables);
    let kept = "SELECT datname FROM pg_database WHERE datname LIKE '%_before_%'";
    let kept = cluster.sql("postgres", kept);
    assert_eq!(cluster.sql(&kept, "SELECT count(*) FROM activities"), "108");
    host.gitroll(&["check"]).exit(0);
    cluster.stop();
}

#[test]
fn runbook_003_option_c_with_two_approvals_the_loss_stated_and_a_copy_off_the_host_first() {
    let host = TestEnvironment::new();
    for dir in ["lib", "backups"] {
        fs::create_dir(host.path(dir)).unwrap();
    }
    let database = host.path("lib/memory.db").display().to_string();
    let ask =
        |query: &str| host.run("sqlite3", &[&database, query]).exit(0).stdout.trim().to_owned();
    let migrations = "runbooks/003-memory-system-database";
    ask(
        "CREATE TABLE entities (id INTEGER PRIMARY KEY); INSERT INTO entities VALUES (1), (2), (3)",
    );
    let m = Memory::serving_migrated(&host, By::Process, "config", Some(migrations));
    ask(&m.app.read("migrations/004_hierarchical_memory.sql"));
    let insert = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1234) \
                  INSERT INTO memories (entity, text) SELECT 1, 'remembered ' || i FROM n";
    ask(insert);
    let remote = host.path("remote.git");
    let own = own_key(&host);
    let (ben, eva) = (Laptop::new(&host, &remote, "ben"), Laptop::new(&host, &remote, "eva"));
    roles(&host, &own, &[(&ben, &["manager"]), (&eva, &["dba"])]);
    m.faults("{ \"numbers\": { \"corrupt_rows\": 1 } }");
    assert_eq!(advised(&m.host.gitroll(&["advise", "--json"])).0, "full");

    let plan = host.gitroll(&["back", "--migrate-down", "--plan"]);
    plan.exit(0).says("loses 1234 rows").says("approval by manager, dba");
    plan.says("a point is taken and copied away before anything stops");
    let back =
        ["back", "--migrate-down", "--yes", "--accept-loss", "1234", "--reason", "corrupt rows"];
    host.gitroll(&back).exit(11).says("an approval is missing: manager, dba");
    assert!(fs::read_dir(host.path("backups")).unwrap().next().is_none(), "nothing was done yet");
    ben.run(&["approve", "--list"]).exit(0).says("loses 1234 rows");
    ben.run(&["approve", "--yes"]).exit(0);
    host.gitroll(&back).exit(11).says("an approval is missing: dba");
    eva.run(&["approve", "--yes"]).exit(0);

    // The copy is not taken away: nothing is changed.
    fs::rename(host.path("backups"), host.path("away")).unwrap();
    fs::write(host.path("backups"), "no directory").unwrap();
    host.gitroll(&back).exit(1).says("the points were not copied away").says("nothing was changed");
    fs::remove_file(host.path("backups")).unwrap();
    fs::rename(host.path("away"), host.path("backups")).unwrap();
    // The rollback fails: 1.0.0 does not work. The database is as it was, and 2.0.0 serves.
    m.faults("{ \"core\": \"1.0.0\" }");
    host.gitroll(&back).exit(20);
    assert_eq!(
        (ask("SELECT count(*) FROM memories").as_str(), &m.deep()["version"]),
        ("1234", &json!("2.0.0"))
    );

    m.faults("{}");
    let rto = promised("003-memory-system/gitroll.toml").full;
    // What failed once is named by whoever tries it again.
    host.gitroll(&back).exit(1).says("failed when it was tried").says("gitroll back --to");
    let again = [&back[..], &["--to", "v1.0.0-stable"]].concat();
    let answer = within("003, option C", rto, || host.gitroll(&again));
    answer.exit(0).says("loses 1234 rows").says("copied away");
    // Nobody gave this host the role `point`: that bars no way back.
    answer.says("is stored, but not recorded");
    assert_eq!(m.deep()["version"], "1.0.0");
    let tables = "SELECT group_concat(name) FROM sqlite_master WHERE type = 'table'";
    assert_eq!(ask(tables), "entities");
    assert_eq!(
        ask("PRAGMA integrity_check; PRAGMA foreign_key_check; SELECT count(*) FROM entities"),
        "ok\n3"
    );
    let evidence = host.gitroll(&["show", "--json"]).exit(0).json()["result"]["evidence"].clone();
    assert_eq!(evidence["migration"]["lost"]["rows"], 1234, "{evidence:#}");
    assert_eq!(evidence["approvals"]["given"].as_array().map(Vec::len), Some(2), "{evidence:#}");

    // From the copy away from here alone, with restic: every memory is there.
    let (repository, password) =
        (host.path("backups/repository"), host.path("gitroll/points.password"));
    let (repository, password) = (repository.display().to_string(), password.display().to_string());
    let into = host.path("restored").display().to_string();
    let restic =
        ["--no-cache", "-r", &repository, "-p", &password, "restore", "latest", "--target", &into];
    host.run("restic", &restic).exit(0);
    let copy = format!("{into}/data/main/database.sqlite");
    let counted = host.run("sqlite3", &[&copy, "SELECT count(*) FROM memories"]);
    assert_eq!(counted.exit(0).stdout.trim(), "1234");

    // "Emergency: restore from backup", approved like everything that replaces the database.
    let newest = points(&host)[0].clone();
    let id = newest["manifest"]["id"].as_str().unwrap();
    assert_eq!(newest["manifest"]["kind"], json!("before-back"), "{newest:#}");
    assert_ne!(newest["offsite"], Value::Null, "{newest:#}");
    let restore = ["back", "--only", "main", "--to", id, "--yes", "--accept-loss", "main=1h"];
    host.gitroll(&restore).exit(11).says("missing: manager, dba");
    for laptop in [&ben, &eva] {
        laptop.run(&["approve", "--yes"]).exit(0);
    }
    within("003, restore from a backup", rto, || host.gitroll(&restore)).exit(0);
    assert_eq!(ask("SELECT count(*) FROM memories"), "1234");
}

#[test]
fn runbook_004_databases_and_configuration() {
    let host = TestEnvironment::new();
    let s = plain(&host, "004-assistant", "/.swarm\n/config.db\n/config.json\n/agents.json\n");
    fs::create_dir(s.app.dir.join(".swarm")).unwrap();
    let memories = || sql(&s, ".swarm/memory.db", "SELECT count(*) FROM memories");
    sql(
        &s,
        ".swarm/memory.db",
        "CREATE TABLE memories (id INTEGER); INSERT INTO memories VALUES (1), (2)",
    );
    sql(&s, "config.db", "CREATE TABLE settings (key TEXT); INSERT INTO settings VALUES ('one')");
    s.app.write("config.json", "{ \"rateLimit\": 90 }\n");
    s.app.write("agents.json", "{ \"template\": \"own\" }\n");
    s.first();
    host.gitroll(&["point", "create"]).exit(0);
    s.next();
    let mut bytes = fs::read(s.app.dir.join(".swarm/memory.db")).unwrap();
    bytes[4096..].fill(0x5a);
    fs::write(s.app.dir.join(".swarm/memory.db"), bytes).unwrap();
    let memory = ["back", "--only", "memory", "--to", "p1", "--yes", "--accept-loss", "memory=1h"];
    within("004, memory database", minutes(15), || host.gitroll(&memory)).exit(0);
    assert_eq!(memories(), "2");
    s.serves("1.1.0");
    s.app.write("config.json", "{ broken");
    let reset = ["settings", "reset", "config", "--yes"];
    within("004, default configuration", minutes(5), || host.gitroll(&reset)).exit(0);
    assert!(s.app.read("agents.json").contains("executive-assistant"));
    let settings = ["settings", "back", "config", "--to", "p1", "--yes"];
    within("004, configuration checkpoint", minutes(5), || host.gitroll(&settings)).exit(0);
    assert!(s.app.read("config.json").contains("90"));
    sql(&s, "config.db", "DROP TABLE settings");
    let config = ["back", "--only", "config", "--to", "p1", "--yes", "--accept-loss", "config=1h"];
    within("004, configuration database", minutes(15), || host.gitroll(&config)).exit(0);
    assert_eq!(sql(&s, "config.db", "SELECT key FROM settings"), "one");
    // P0: the service is down.
    s.app.sour("1.1.0");
    host.gitroll(&["service", "stop", "--maintenance"]).exit(0);
    let rto = promised("004-assistant/gitroll.toml").full;
    let p0 = [
        "back",
        "--level",
        "full",
        "--to",
        "p1",
        "--emergency",
        "--accept-loss",
        "memory=1h",
        "--accept-loss",
        "config=1h",
    ];
    within("004, emergency rollback", rto, || host.gitroll(&p0)).exit(0);
    s.serves("1.0.0");
    assert_eq!(memories(), "2");
}
