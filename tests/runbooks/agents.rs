//! Three components of an app under pm2: each by its variable of `.env`, and by its files.

use std::path::PathBuf;
use std::process::Command;

use super::*;

const FILE: &str = "002-agents/gitroll.toml";

/// Each component: what breaks it, what the runbook greps for, the file it has and what 1.0.0's is known by.
const COMPONENTS: [(&str, &str, &str, &str, &str); 3] = [
    (
        "GAP-001",
        "agents",
        "sequential agent spawning",
        "lib/orchestration/parallel-agent-spawner.ts",
        "Starts agents one after the other.",
    ),
    (
        "QW-001",
        "storage",
        "sequential upload",
        "app/api/upload/route.ts",
        "all of them, or an error",
    ),
    (
        "QW-002",
        "hub",
        "MCP.*disabled",
        "lib/observability/mcp-integration.ts",
        "There is no hub yet.",
    ),
];

/// 1.0.0 promoted, 1.1.0 serving, all of it well.
fn serving(host: &TestEnvironment, under_pm2: bool) -> Scenario<'_> {
    serving_after(host, under_pm2, "", |_| ())
}

/// As [`serving`], with more variables, and something done while 1.0.0 serves.
pub fn serving_after<'h>(
    host: &'h TestEnvironment,
    under_pm2: bool,
    variables: &str,
    before_next: impl FnOnce(&Scenario<'_>),
) -> Scenario<'h> {
    let app = host.app(Fixture::Agents);
    let log = host.path("app.log").display().to_string();
    let text = fs::read_to_string(project().join("fixtures/runbooks").join(FILE)).unwrap();
    let text = text
        .replace("127.0.0.1:3000", &format!("127.0.0.1:{}", app.port.number()))
        .replace("/var/log/app.log", &log);
    let pm2 = "manager = \"pm2\"\nname = \"app\"";
    assert!(text.contains(pm2));
    let own = "manager = \"process\"\ncommand = [\"node\", \"server.js\"]";
    app.write("gitroll.toml", &if under_pm2 { text } else { text.replace(pm2, own) });
    let port = app.port.number();
    let faults = host.path("faults.json").display().to_string();
    app.write(
        ".env",
        &format!(
            "# of this host\nPORT={port}\nLOG_FILE={log}\nFAULTS={faults}\n\
             ENABLE_PARALLEL_SPAWNING=true\nENABLE_PARALLEL_UPLOADS=true\nENABLE_MCP_TRACKING=true\n{variables}"
        ),
    );
    app.commit("Release 1.0.0");
    let s = Scenario { host, app };
    if under_pm2 {
        pm2_on_path(host);
        host.run("npm", &["run", "build"]).exit(0);
        host.run("pm2", &["start", "server.js", "--name", "app"]).exit(0);
        wait_for_version(&s.app.health(), "1.0.0");
        s.bind().stdout_has("adopted");
    } else {
        s.bind();
        host.gitroll(&["deploy", "--yes"]).exit(0);
    }
    s.promote("v1.0.0");
    before_next(&s);
    s.app.git(&["checkout", "-q", "-B", "main"]);
    s.app.lay_over("runbooks/002-agents-1.1.0");
    s.app.set_version("1.1.0");
    let stable = s.app.head();
    let commit = s.app.commit("Release 1.1.0");
    s.app.git(&["checkout", "-q", "--detach", &stable]);
    host.gitroll(&["deploy", &commit, "--yes"]).exit(0);
    s.serves("1.1.0");
    host.gitroll(&["check"]).exit(0);
    s
}

fn pm2_on_path(host: &TestEnvironment) {
    let pm2 = std::env::var_os("GITROLL_TEST_PM2")
        .map_or_else(|| test_tools().join("pm2/node_modules/.bin/pm2"), PathBuf::from);
    assert!(pm2.is_file(), "pm2 is not installed yet: tests/run installs it");
    host.fake_tool("pm2", &format!("#!/bin/sh\nexec '{}' \"$@\"\n", pm2.display()));
}

/// What is broken outside of the app, from now on.
fn faults(s: &Scenario<'_>, json: &str) {
    fs::write(s.host.path("faults.json"), json).unwrap();
}

/// What was written to the log since `from` matches what the runbook greps for.
#[track_caller]
fn log_says(s: &Scenario<'_>, from: usize, pattern: &str) {
    let text = fs::read_to_string(s.host.path("app.log")).unwrap();
    let pattern = regex::Regex::new(pattern).unwrap();
    assert!(pattern.is_match(&text[from..]), "{pattern} in:\n{}", &text[from..]);
}

fn log_length(s: &Scenario<'_>) -> usize {
    fs::read_to_string(s.host.path("app.log")).unwrap_or_default().len()
}

/// The runbook's section of each component, both of its options.
fn each_component(under_pm2: bool) {
    let host = TestEnvironment::new();
    let s = serving(&host, under_pm2);
    let rto = promised(FILE);
    let by = if under_pm2 { "pm2" } else { "process" };
    for (id, fault, greps, file, known_by) in COMPONENTS {
        let env = s.app.read(".env");
        faults(&s, &format!("{{ \"{fault}\": true }}"));
        assert_eq!(
            host.gitroll(&["status", "--json"]).json()["result"]["healthy"],
            false,
            "{fault}"
        );

        let from = log_length(&s);
        let flag =
            ["component", id, "--via", "flag", "--yes", "--reason", "the runbook's symptoms"];
        let answer = within(&format!("{id} by its flag, {by}"), rto.flags, || host.gitroll(&flag));
        answer.exit(0).stdout_has("(rto 2 min)");
        log_says(&s, from, greps);
        s.serves("1.1.0");
        host.gitroll(&["check"]).exit(0);
        assert_eq!(s.app.read(".env").matches("=false").count(), 1, "{}", s.app.read(".env"));

        faults(&s, "{}");
        host.gitroll(&["flags", "on", id]).exit(0);
        assert_eq!(s.app.read(".env"), env, "only the value changes, and back");

        faults(&s, &format!("{{ \"{fault}\": true }}"));
        assert_eq!(
            host.gitroll(&["status", "--json"]).json()["result"]["healthy"],
            false,
            "{fault}"
        );
        let from = log_length(&s);
        let files =
            ["component", id, "--via", "files", "--yes", "--reason", "the flag is not enough"];
        let answer = within(&format!("{id} by its files, {by}"), rto.code, || host.gitroll(&files));
        answer.exit(0).stdout_has("(rto 15 min)");
        log_says(&s, from, greps);
        assert!(s.app.read(file).contains(known_by), "{file} is not that of 1.0.0");
        assert_eq!(s.app.read(".env"), env);
        s.serves("1.1.0");
        host.gitroll(&["check"]).exit(0);

        faults(&s, "{}");
        host.gitroll(&["back", "--undo", "--yes"]).exit(0);
        assert!(!s.app.read(file).contains(known_by), "{file} is still that of 1.0.0");
    }
}

#[test]
fn each_component_goes_by_its_flag_and_by_its_files_under_pm2() {
    each_component(true);
}

#[test]
fn each_component_goes_by_its_flag_and_by_its_files_under_the_built_in_manager() {
    each_component(false);
}

#[test]
fn level_1_switches_all_three_off_and_level_2_goes_back_under_pm2() {
    let host = TestEnvironment::new();
    let s = serving(&host, true);
    let rto = promised(FILE);
    faults(&s, "{ \"storage\": true, \"agents\": true, \"hub\": true }");
    let from = log_length(&s);
    let off = ["flags", "off", "GAP-001", "QW-001", "QW-002", "--reason", "all three fail"];
    within("level 1, all flags, pm2", rto.flags, || host.gitroll(&off)).exit(0);
    for greps in ["sequential spawning", "sequential upload", "MCP.*unavailable"] {
        log_says(&s, from, greps);
    }
    s.serves("1.1.0");
    host.gitroll(&["check"]).exit(0);

    faults(&s, "{ \"everything\": \"1.1.0\" }");
    wait_until("1.1.0 fails", || http_get(&s.app.health()).is_ok_and(|a| a.status == 500));
    let back = ["back", "--yes", "--reason", "crashes"];
    let answer = within("level 2, the code, pm2", rto.code, || host.gitroll(&back));
    answer.exit(0).stdout_has("v1.0.0-stable observed serving").stdout_has("(rto 15 min)");
    s.serves("1.0.0");
    host.gitroll(&["check"]).exit(0);
}

#[test]
fn the_criteria_of_the_runbook_are_answered_with_its_levels() {
    let host = TestEnvironment::new();
    let s = serving(&host, false);
    let advise = || advised(&host.gitroll(&["advise", "--json"]));
    assert_eq!(advise(), (String::new(), String::new()));
    for (number, level) in [
        ("\"rows_lost\": 3", "full"),
        ("\"error_rate_5m\": 0.06", "code"),
        ("\"slower_than_baseline\": 0.6", "code"),
        ("\"users_affected\": 0.3", "code"),
        ("\"memory_growth_mb_h\": 80", "code"),
        ("\"error_rate_15m\": 0.03", "code"),
        ("\"slower_than_baseline\": 0.3", "fix-forward"),
        ("\"error_rate_15m\": 0.004", "fix-forward"),
        ("\"slower_than_baseline\": 0.1", ""),
        // Minor and critical: the critical one decides; lost data is as bad, but deeper.
        ("\"slower_than_baseline\": 0.3, \"error_rate_5m\": 0.06, \"rows_lost\": 3", "code"),
    ] {
        faults(&s, &format!("{{ \"numbers\": {{ {number} }} }}"));
        assert_eq!(advise().0, level, "{number}");
    }

    // What one sees in the app itself: every upload fails, and the flag is the answer.
    faults(&s, "{ \"storage\": true }");
    for _ in 0..5 {
        let base = s.app.url("");
        let mut upload = Command::new("node");
        upload.args(["ops/try.js", "upload", &base]).current_dir(&s.app.dir);
        assert!(!upload.output().unwrap().status.success());
    }
    let (level, command) = advise();
    assert_eq!(level, "flags");
    assert_eq!(command, "gitroll flags off QW-001 --reason 'no upload works: 1'");
    let typed = command.replace("gitroll", env!("CARGO_BIN_EXE_gitroll"));
    within("advised: uploads", promised(FILE).flags, || host.run("sh", &["-c", &typed])).exit(0);
    assert_eq!(advise().0, "");

    s.app.write("ops/vulnerable", "");
    assert_eq!(advise().0, "code");
    fs::remove_file(s.app.dir.join("ops/vulnerable")).unwrap();
    faults(&s, "{ \"everything\": true }");
    assert_eq!(advise().0, "code");
}
