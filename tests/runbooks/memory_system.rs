//! A service under systemd with three flags, switched off by each of three methods; and its code.

use super::*;

const FILE: &str = "003-memory-system/gitroll.toml";
const TOKEN: &str = "s3cret-of-the-administrator";
const ALL: [&str; 3] = ["injection", "sharing", "tiers"];

/// Who runs the service.
pub enum By<'h> {
    Systemd(Sysbox<'h>),
    Process,
}

pub struct Memory<'h> {
    pub host: &'h TestEnvironment,
    pub app: App<'h>,
    by: By<'h>,
}

impl<'h> Memory<'h> {
    /// 1.0.0 promoted, 2.0.0 serving, its flags kept in this source.
    fn serving(host: &'h TestEnvironment, by: By<'h>, source: &str) -> Self {
        Self::serving_migrated(host, by, source, None)
    }

    /// As [`Self::serving`], with a remote and the migrations of a directory of fixtures in 2.0.0.
    pub fn serving_migrated(
        host: &'h TestEnvironment,
        by: By<'h>,
        source: &str,
        migrations: Option<&str>,
    ) -> Self {
        let app = host.app(Fixture::MemorySystem);
        let (etc, log) = (host.path("etc"), host.path("log"));
        for dir in [&etc, &log] {
            fs::create_dir(dir).unwrap();
        }
        let flags = ["USE_ENHANCED_INJECTION", "USE_CROSS_AGENT_SHARING", "USE_HIERARCHICAL_TIERS"];
        let lines: String = flags.iter().map(|flag| format!("{flag}=true\n")).collect();
        fs::write(etc.join("environment"), format!("# switches\n{lines}")).unwrap();
        let json: Vec<String> = flags.iter().map(|flag| format!("    \"{flag}\": true")).collect();
        let json = format!("{{\n  \"featureFlags\": {{\n{}\n  }}\n}}\n", json.join(",\n"));
        fs::write(etc.join("config.json"), json).unwrap();
        fs::write(etc.join("admin-token"), TOKEN).unwrap();
        host.set("ADMIN_TOKEN", TOKEN);

        let port = app.port.number().to_string();
        let text = fs::read_to_string(project().join("fixtures/runbooks").join(FILE)).unwrap();
        let mut text = text
            .replace("127.0.0.1:8080", &format!("127.0.0.1:{port}"))
            .replace("/etc/memory-system", &etc.display().to_string())
            .replace("/var/log/memory-system", &log.display().to_string())
            .replace("/var/lib/memory-system", &host.path("lib").display().to_string())
            .replace("/var/backups/memory-system", &host.path("backups").display().to_string())
            .replace("source = \"env\"", &format!("source = {source:?}"));
        let settings = [
            ("PORT", port),
            ("MEMORY_ETC", etc.display().to_string()),
            ("MEMORY_LOG", log.join("app.log").display().to_string()),
        ];
        match &by {
            By::Process => {
                let env: Vec<String> =
                    settings.iter().map(|(name, value)| format!("{name} = {value:?}")).collect();
                let unit = "manager = \"systemd\"\nname = \"memory-system\"";
                assert!(text.contains(unit));
                text = text.replace(
                    unit,
                    &format!(
                        "manager = \"process\"\ncommand = [\"node\", \"dist/server.js\"]\nenv = {{ {} }}",
                        env.join(", ")
                    ),
                );
            }
            By::Systemd(inside) => {
                let unit = app.read("memory-system.service");
                let node = find_tool("node").unwrap().display().to_string();
                let env: String = settings
                    .iter()
                    .map(|(name, value)| format!("Environment={name}={value}\n"))
                    .collect();
                let unit = unit
                    .replace("[Unit]\n", "[Unit]\nDefaultDependencies=no\n")
                    .replace("/opt/memory-system", &app.dir.display().to_string())
                    .replace("/usr/bin/env node", &node)
                    .replace("Restart=on-failure\n", &format!("{env}Restart=on-failure\n"));
                inside.unit("memory-system.service", &unit);
                inside.start_journal();
            }
        }
        app.write("gitroll.toml", &text);
        app.commit("Release 1.0.0");
        if migrations.is_some() {
            app.with_remote();
        }
        let this = Self { host, app, by };
        let init = ["init", "--yes", "--environment", "production", "--name", "web-1"];
        this.gitroll(&init).exit(0);
        this.gitroll(&["deploy", "--yes"]).exit(0);
        this.gitroll(&["promote", "--as", "v1.0.0", "--yes"]).exit(0);
        this.app.git(&["checkout", "-q", "-B", "main"]);
        this.app.lay_over("runbooks/003-memory-system-2.0.0");
        migrations.into_iter().for_each(|dir| this.app.lay_over(dir));
        this.app.set_version("2.0.0");
        let stable = this.app.head();
        let commit = this.app.commit("Release 2.0.0");
        this.app.git(&["checkout", "-q", "--detach", &stable]);
        this.gitroll(&["deploy", &commit, "--yes"]).exit(0);
        assert_eq!(this.deep()["version"], "2.0.0");
        this
    }

    #[track_caller]
    fn gitroll(&self, args: &[&str]) -> Answer {
        match &self.by {
            By::Systemd(inside) => inside.gitroll(args),
            By::Process => self.host.gitroll(args),
        }
    }

    pub fn faults(&self, json: &str) {
        fs::write(self.host.path("etc/faults.json"), json).unwrap();
    }

    pub fn deep(&self) -> Value {
        http_get(&self.app.url("/health/deep")).unwrap().json().unwrap()
    }

    fn p95(&self) -> String {
        let page = http_get(&self.app.url("/metrics")).unwrap().body;
        let line = page.lines().find(|line| line.starts_with("memory_injection_latency_p95_ms"));
        line.unwrap().split(' ').next_back().unwrap().to_owned()
    }
}

/// Option A: the three flags off, seen in the service, within the runbook's time; and on again.
fn option_a(memory: &Memory<'_>, source: &str) {
    memory.faults("{ \"injection\": true }");
    assert_eq!(memory.p95(), "812");
    memory.gitroll(&["check"]).exit(1);
    let pid = memory.deep()["pid"].clone();
    let off = [&["flags", "off"], &ALL[..], &["--reason", "latency"]].concat();
    let by = if matches!(memory.by, By::Process) { "process" } else { "systemd" };
    let what = format!("option A by {source}, {by}");
    let answer = within(&what, promised(FILE).flags, || memory.gitroll(&off));
    answer.exit(0).stdout_has("(rto 5 min)");
    let deep = memory.deep();
    assert_eq!(deep["status"], "ok");
    for flag in ["USE_ENHANCED_INJECTION", "USE_CROSS_AGENT_SHARING", "USE_HIERARCHICAL_TIERS"] {
        assert_eq!(deep["flags"][flag], false, "{deep:#}");
    }
    assert_eq!((memory.p95().as_str(), &deep["version"]), ("60", &"2.0.0".into()));
    // Only variables need a new process.
    assert_eq!(deep["pid"] == pid, source != "env", "{pid} {deep:#}");
    memory.gitroll(&["check"]).exit(0);
    if source != "env" {
        let log = fs::read_to_string(memory.host.path("log/app.log")).unwrap();
        let line = "\"event\":\"feature_flag_changed\",\"flag\":\"USE_ENHANCED_INJECTION\",\
                    \"old_value\":true,\"new_value\":false";
        assert!(log.contains(line), "{log}");
    }
    memory.faults("{}");
    memory.gitroll(&["back", "--level", "flags", "--yes"]).exit(0);
    assert_eq!(memory.deep()["flags"]["USE_ENHANCED_INJECTION"], true);
    no_secret_below(&memory.app.dir);
}

/// Option B: the code, from a fault that no flag cures.
fn option_b(memory: &Memory<'_>) {
    memory.faults("{ \"core\": \"2.0.0\" }");
    memory.gitroll(&["check"]).exit(1);
    let back = ["back", "--yes", "--reason", "the index is corrupt"];
    let by = if matches!(memory.by, By::Process) { "process" } else { "systemd" };
    let answer =
        within(&format!("option B, the code, {by}"), promised(FILE).code, || memory.gitroll(&back));
    answer.exit(0).stdout_has("v1.0.0-stable observed serving").stdout_has("(rto 5 min)");
    let deep = memory.deep();
    assert_eq!((&deep["version"], &deep["status"]), (&"1.0.0".into(), &"ok".into()));
    memory.gitroll(&["check"]).exit(0);
}

/// The token is nowhere in what a run leaves behind.
#[track_caller]
fn no_secret_below(dir: &std::path::Path) {
    let found = std::process::Command::new("grep").args(["-rl", TOKEN]).arg(dir).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

fn under_the_built_in_manager(source: &str) {
    let host = TestEnvironment::new();
    option_a(&Memory::serving(&host, By::Process, source), source);
}

/// Where this machine can have a systemd of the test's own.
fn under_systemd(source: &str, act: impl FnOnce(&Memory<'_>)) {
    let host = TestEnvironment::new();
    match Sysbox::start(&host) {
        Ok(inside) => act(&Memory::serving(&host, By::Systemd(inside), source)),
        Err(why) => println!("skipped: {why}"),
    }
}

#[test]
fn option_a_by_variables() {
    under_the_built_in_manager("env");
}

#[test]
fn option_a_by_the_configuration_file() {
    under_the_built_in_manager("config");
}

#[test]
fn option_a_by_the_admin_api() {
    under_the_built_in_manager("api");
}

#[test]
fn option_a_by_variables_and_option_b_under_systemd() {
    under_systemd("env", |memory| {
        option_a(memory, "env");
        option_b(memory);
    });
}

#[test]
fn option_a_by_the_configuration_file_under_systemd() {
    under_systemd("config", |memory| option_a(memory, "config"));
}

#[test]
fn option_a_by_the_admin_api_under_systemd() {
    under_systemd("api", |memory| option_a(memory, "api"));
}

#[test]
fn option_b_is_the_way_when_no_flag_helps() {
    let host = TestEnvironment::new();
    let memory = Memory::serving(&host, By::Process, "config");
    option_b(&memory);
}

#[test]
fn the_matrix_of_the_runbook_is_answered_with_its_options() {
    let host = TestEnvironment::new();
    let memory = Memory::serving(&host, By::Process, "api");
    let advise = || advised(&memory.gitroll(&["advise", "--json"]));
    assert_eq!(advise(), (String::new(), String::new()));
    let one = |flag: &str| format!("gitroll flags off {flag} ");
    let all = || one(&ALL.join(" "));
    for (fault, level, command) in [
        ("\"injection\": true", "flags", one("injection")),
        ("\"numbers\": { \"database_failures_5m\": 2 }", "flags", all()),
        ("\"tiers\": true", "flags", all()),
        ("\"numbers\": { \"rag_timeouts_5m\": 4 }", "fix-forward", String::new()),
        ("\"numbers\": { \"cache_hit_rate\": 0.4 }", "fix-forward", String::new()),
        ("\"numbers\": { \"injection_errors_per_min\": 3 }", "fix-forward", String::new()),
        ("\"numbers\": { \"injection_errors_per_min\": 5 }", "", String::new()),
        ("\"numbers\": { \"corrupt_rows\": 1 }", "full", "gitroll back --level full ".to_owned()),
        ("\"sharing\": true", "flags", one("sharing")),
        ("\"core\": \"2.0.0\"", "code", "gitroll back ".to_owned()),
    ] {
        memory.faults(&format!("{{ {fault} }}"));
        let (found, typed) = advise();
        assert_eq!(found, level, "{fault}");
        assert!(typed.starts_with(&command) && typed.is_empty() == command.is_empty(), "{typed}");
    }

    // The heap runs out: what is advised is typed, and cures it.
    memory.faults("{ \"tiers\": true }");
    let (_, command) = advise();
    assert_eq!(command, format!("{}--reason 'the heap runs out: 2'", all()));
    let typed = command.replace("gitroll", env!("CARGO_BIN_EXE_gitroll"));
    within("advised: heap", promised(FILE).flags, || host.run("sh", &["-c", &typed])).exit(0);
    assert_eq!(advise().0, "");
}
