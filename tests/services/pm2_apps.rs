//! pm2, the real one. Most of these begin with what pm2 itself says, and it says that all is well.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use gitroll::config::{EcosystemFile, Manager, Service};
use gitroll::service::{self, ServiceError, running_pm2_apps};
use gitroll::system::procs::{self, Ticks};
use gitroll::system::sockets;
use serde_json::{Value, json};

use crate::support::bench::{self, Bench, ask, until};
use crate::support::pm2::Pm2;

/// An app under a pm2 of its own.
struct Managed {
    bench: Bench,
    service: Service,
    pm2: Pm2,
}

impl Managed {
    /// Nothing started yet.
    fn new() -> Self {
        let pm2 = Pm2::new();
        let mut bench = Bench::new(pm2.dir());
        bench.binding.tools.pm2 = Some(pm2.program.clone());
        bench.binding.pm2_home = Some(pm2.home.clone());
        let service = bench::service(
            "web",
            Manager::Pm2 {
                app: "shop".to_owned(),
                namespace: None,
                ecosystem: EcosystemFile::Found,
            },
        );
        Self { bench, service, pm2 }
    }

    fn fork() -> Self {
        let web = Self::new();
        web.start_by_hand(&json!({ "exec_mode": "fork" }));
        web
    }

    fn cluster() -> Self {
        Self::cluster_that_waits(1500)
    }

    /// Until a new worker says that it is ready, at most so many milliseconds; then pm2 goes on without it.
    fn cluster_that_waits(listen_timeout: u32) -> Self {
        let web = Self::new();
        web.start_by_hand(&json!({
            "exec_mode": "cluster", "instances": 2, "wait_ready": true, "listen_timeout": listen_timeout
        }));
        web
    }

    /// As a person does it: from a shell with variables of its own.
    fn start_by_hand(&self, settings: &Value) {
        let mut app = json!({
            "name": "shop", "cwd": self.bench.top, "script": "server.js", "kill_timeout": 1500,
            "max_restarts": 2, "min_uptime": 2000, "env": { "PORT": self.bench.port.to_string() }
        });
        app.as_object_mut().unwrap().extend(settings.as_object().unwrap().clone());
        let file = self.pm2.dir().join("ecosystem.json");
        std::fs::write(&file, json!({ "apps": [app] }).to_string()).unwrap();
        let shell = [("OF_THE_SHELL", "once")];
        let output = self.pm2.run(&self.bench.top, &shell, &["start", file.to_str().unwrap()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        assert!(self.bench.serves("v1"));
    }

    /// As the kernel does it when memory runs out.
    fn kill_daemon(&self) {
        let daemon = self.pm2.daemon().expect("a daemon");
        assert!(daemon.kill());
        assert!(procs::wait_until_gone(&[daemon], Duration::from_secs(5)));
    }

    fn reload_fresh(&self) {
        let moment = self.bench.reload(&self.service);
        let state = self.bench.observe(&self.service);
        let fresh = |start: u64| Ticks(start) >= moment;
        assert!(state.processes.iter().all(|p| fresh(p.start_ticks)), "old processes remain");
    }

    fn definition(&self) -> PathBuf {
        self.bench.state.join("services/web.pm2.json")
    }
}

/// Ends with the test, however it ends.
struct Orphan(Child);

impl Drop for Orphan {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn pm2_reload_exits_0_when_the_new_code_crashes_on_boot_and_observing_finds_it() {
    let web = Managed::cluster();
    web.bench.deploy("crash");
    let output = web.pm2.run(&web.bench.top, &[], &["reload", "shop"]);
    assert!(output.status.success(), "pm2 learned to tell: {output:?}");
    web.bench.deploy("v1");
    web.reload_fresh();
    assert!(web.bench.serves("v1"));

    web.bench.deploy("crash");
    web.bench.reload(&web.service);
    assert!(until(|| web.bench.observe(&web.service).word == "errored"));
    let state = web.bench.observe(&web.service);
    assert!(!state.up && state.restarts > 0 && state.processes.is_empty());
    // pm2 loses the last words of a cluster worker; its own are better than none.
    assert!(state.log.iter().any(|line| line.contains("unstable restarts")), "{:?}", state.log);

    web.bench.deploy("v1");
    web.reload_fresh();
    assert!(web.bench.serves("v1"), "what crashed is started again");
    let state = web.bench.observe(&web.service);
    assert!(state.up && state.processes.len() == 2);
    assert_eq!(state.log, [""; 0], "the crash was before this reload");
}

#[test]
fn a_crash_on_boot_in_fork_mode_is_told_in_its_own_words() {
    let web = Managed::fork();
    web.bench.deploy("crash");
    web.bench.reload(&web.service);
    assert!(until(|| web.bench.observe(&web.service).word == "errored"));
    let log = web.bench.observe(&web.service).log;
    assert!(log.iter().any(|line| line == "Error: no database at boot"), "{log:?}");
    assert!(log.iter().any(|line| line.contains("server.js:5")), "{log:?}");
    web.bench.deploy("v1");
    web.reload_fresh();
    assert!(web.bench.serves("v1"));
    assert_eq!(web.bench.observe(&web.service).log, [""; 0], "the crash was before this reload");
}

#[test]
fn a_hang_on_boot_shows_online_so_online_is_no_proof() {
    for web in [Managed::fork(), Managed::cluster()] {
        web.bench.deploy("hang");
        web.reload_fresh();
        let state = web.bench.observe(&web.service);
        assert_eq!((state.word.as_str(), state.up), ("online", true));
        let serves = sockets::listeners(web.bench.port);
        assert!(
            serves.iter().all(|pid| state.socket_owners.contains(pid)),
            "only pm2's daemon may hold the socket"
        );
        web.bench.deploy("v1");
        web.reload_fresh();
        assert!(web.bench.serves("v1"), "what hung is replaced");
    }
}

#[test]
fn an_app_started_inside_a_symbolic_link_is_stale_after_the_flip_and_is_mended() {
    let mut web = Managed::new();
    let dir = web.pm2.dir().to_owned();
    let (v1, v2, current) = (dir.join("r/v1"), dir.join("r/v2"), dir.join("current"));
    bench::write_app(&v1, "v1");
    bench::write_app(&v2, "v2");
    std::os::unix::fs::symlink(&v1, &current).unwrap();
    // The daemon's cwd is the real path, as in `cd current && pm2 start server.js`.
    let port = web.bench.port.to_string();
    let start = ["start", "server.js", "--name", "shop", "-i", "1"];
    web.pm2.run(&current, &[("PORT", &port), ("OF_THE_SHELL", "once")], &start);
    web.bench.top = current.clone();
    assert!(web.bench.serves("v1"));
    assert_eq!(web.bench.observe(&web.service).stale, None);

    std::fs::remove_file(&current).unwrap();
    std::os::unix::fs::symlink(&v2, &current).unwrap();
    assert!(web.pm2.run(&current, &[], &["reload", "shop"]).status.success());
    assert!(web.bench.serves("v1"), "pm2 itself goes on with the old release");
    let refused = service::reload(&web.bench.host(), &web.service).unwrap_err().to_string();
    assert!(refused.contains("it belongs to another checkout"), "{refused}");
    assert!(web.bench.serves("v1"));
    web.bench.binding.take_over = vec![dir.join("r")];
    let stale = web.bench.observe(&web.service).stale.expect("it is stale");
    assert!(stale.contains("r/v1"), "{stale}");

    web.reload_fresh();
    assert!(web.bench.serves("v2"));
    assert_eq!(web.bench.observe(&web.service).stale, None);
    assert_eq!(web.bench.ask().unwrap()["env"]["OF_THE_SHELL"], "once", "its environment is kept");
    let left: Vec<_> = std::fs::read_dir(web.bench.state.join("services"))
        .unwrap()
        .filter(|file| file.as_ref().unwrap().file_name().to_str().unwrap().contains("start"))
        .collect();
    assert!(left.is_empty(), "the file with the environment was left: {left:?}");
}

#[test]
fn an_app_keeps_its_recorded_environment_and_gets_nothing_of_the_caller() {
    let web = Managed::fork();
    let own = |env: &Value| {
        let mut env = env.as_object().unwrap().clone();
        // What pm2 counts, dates and names itself.
        env.retain(|name, _| {
            let counted =
                ["restart_time", "unique_id", "status", "created_at", "unstable_restarts"];
            !name.starts_with("pm_")
                && !name.starts_with("axm_")
                && !name.starts_with("PM2_")
                && !counted.contains(&name.as_str())
        });
        env
    };
    let before = own(&web.bench.ask().unwrap()["env"]);
    assert_eq!(before["OF_THE_SHELL"], "once");
    service::remember(&web.bench.host(), &web.service).unwrap();
    web.reload_fresh();
    assert!(web.bench.serves("v1"));
    let caller = |env: &Value| {
        env.as_object().unwrap().iter().any(|(name, value)| {
            name.starts_with("CARGO") || value.as_str().is_some_and(|v| v.contains("CARGO"))
        })
    };
    let after = web.bench.ask().unwrap()["env"].clone();
    assert!(!caller(&after), "a variable of the caller came in");
    for (name, value) in &before {
        assert_eq!(after.get(name), Some(value), "{name} after a reload");
    }
    web.kill_daemon();
    web.reload_fresh();
    assert!(web.bench.serves("v1"));
    let after = web.bench.ask().unwrap()["env"].clone();
    assert!(!caller(&after), "a variable of the caller came in");
    for name in ["OF_THE_SHELL", "PORT", "HOME", "PATH"] {
        assert_eq!(after.get(name), before.get(name), "{name} after a fresh start");
    }
}

#[test]
fn a_variable_that_vanished_does_not_come_back() {
    let web = Managed::new();
    let port = web.bench.port.to_string();
    web.start_by_hand(&json!({ "env": { "PORT": port, "OLD": "1" } }));
    service::remember(&web.bench.host(), &web.service).unwrap();
    assert!(std::fs::read_to_string(web.definition()).unwrap().contains("OLD"));
    web.pm2.run(&web.bench.top, &[], &["delete", "shop"]);
    web.start_by_hand(&json!({ "env": { "PORT": port } }));
    service::remember(&web.bench.host(), &web.service).unwrap();
    web.kill_daemon();
    web.reload_fresh();
    assert!(web.bench.serves("v1"));
    assert_eq!(web.bench.ask().unwrap()["env"].get("OLD"), None);
}

#[test]
fn a_killed_daemon_is_noticed_without_starting_another_and_the_app_is_started_again() {
    for web in [Managed::fork(), Managed::cluster()] {
        let instances = web.bench.observe(&web.service).processes.len();
        service::remember(&web.bench.host(), &web.service).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &web.definition().metadata().unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600, "it holds secrets");
        web.kill_daemon();
        let state = web.bench.observe(&web.service);
        assert_eq!((state.word.as_str(), state.up), ("daemon dead", false));
        assert_eq!(web.pm2.daemon(), None, "observing started a daemon");
        assert_eq!(running_pm2_apps(&web.pm2.program, &web.pm2.home), []);
        assert_eq!(web.pm2.daemon(), None, "looking for apps started a daemon");

        web.bench.deploy("v2");
        web.reload_fresh();
        assert!(web.bench.serves("v2"));
        let state = web.bench.observe(&web.service);
        assert!(state.up, "{state:?}");
        assert_eq!(state.processes.len(), instances);
        assert_eq!(state.socket_owners, [web.pm2.daemon().unwrap().pid]);
    }
}

/// What gitroll makes of every app: all that run, each by its name, and what it remembers of it.
fn made_of(web: &Managed, names: &[(&str, Option<&str>)]) -> String {
    let mut told = format!("{:#?}\n", running_pm2_apps(&web.pm2.program, &web.pm2.home));
    for (name, namespace) in names {
        let manager = Manager::Pm2 {
            app: (*name).to_owned(),
            namespace: namespace.map(str::to_owned),
            ecosystem: EcosystemFile::Found,
        };
        let service = bench::service(&format!("as-{name}"), manager);
        told += &format!("{name} {:#?}\n", web.bench.observe(&service));
        service::remember(&web.bench.host(), &service).unwrap();
        let remembered = web.bench.state.join(format!("services/as-{name}.pm2.json"));
        told += &std::fs::read_to_string(&remembered).unwrap();
        std::fs::remove_file(remembered).unwrap();
    }
    told
}

#[test]
fn the_daemon_says_by_its_socket_what_pm2_jlist_prints_and_the_command_is_left_alone() {
    let mut web = Managed::new();
    std::fs::write(web.bench.top.join("idle.js"), "setInterval(() => {}, 1000);\n").unwrap();
    std::fs::write(web.bench.top.join("broken.js"), "process.exit(3);\n").unwrap();
    let app = |name: &str, script: &str, more: Value| {
        let mut app = json!({
            "name": name, "cwd": web.bench.top, "script": script, "max_restarts": 1, "min_uptime": 2000
        });
        app.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        app
    };
    let file = web.pm2.dir().join("ecosystem.json");
    let apps = json!({ "apps": [
        app("cluster", "idle.js", json!({ "exec_mode": "cluster", "instances": 2 })),
        app("fork", "idle.js", json!({ "env": { "NAME": "späť \u{1f680} \"x\"\n" } })),
        app("many", "idle.js", json!({ "instances": 4, "exec_mode": "cluster" })),
        app("named", "idle.js", json!({ "namespace": "inner" })),
        app("broken", "broken.js", json!({})),
        app("resting", "idle.js", json!({})),
    ]});
    std::fs::write(&file, apps.to_string()).unwrap();
    let run = |args: &[&str]| web.pm2.run(&web.bench.top, &[], args);
    assert!(run(&["start", file.to_str().unwrap()]).status.success());
    assert!(run(&["stop", "resting"]).status.success());
    let list = || String::from_utf8_lossy(&run(&["jlist"]).stdout).into_owned();
    assert!(until(|| list().contains(r#""status":"errored""#)));

    let calls = web.pm2.dir().join("calls");
    let counted = web.pm2.dir().join("pm2");
    let script = format!(
        "#!/bin/sh\necho \"$@\" >>'{}'\nexec '{}' \"$@\"\n",
        calls.display(),
        web.pm2.program.display()
    );
    std::fs::write(&counted, script).unwrap();
    std::fs::set_permissions(&counted, std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    web.bench.binding.tools.pm2 = Some(counted.clone());
    let names = [
        ("cluster", None),
        ("fork", None),
        ("many", None),
        ("named", Some("inner")),
        ("broken", None),
        ("resting", None),
    ];
    let by_socket = made_of(&web, &names);
    for word in ["online", "errored", "stopped", "inner", "späť"] {
        assert!(by_socket.contains(word), "{word}: {by_socket}");
    }
    assert!(!calls.exists(), "pm2 was called: {:?}", std::fs::read_to_string(&calls));

    // The daemon is still reached this way, by whoever follows links.
    let (socket, aside) = (web.pm2.home.join("rpc.sock"), web.pm2.home.join("aside.sock"));
    std::fs::rename(&socket, &aside).unwrap();
    std::os::unix::fs::symlink(&aside, &socket).unwrap();
    let by_command = made_of(&web, &names);
    assert!(std::fs::read_to_string(&calls).unwrap().lines().all(|call| call == "jlist"));
    assert_eq!(by_socket, by_command);
    std::fs::remove_file(&socket).unwrap();
    std::fs::rename(&aside, &socket).unwrap();
}

#[test]
fn an_empty_list_of_a_new_daemon_does_not_hide_a_remembered_app() {
    let web = Managed::fork();
    service::remember(&web.bench.host(), &web.service).unwrap();
    web.kill_daemon();
    let output = web.pm2.run(&web.bench.top, &[], &["jlist"]);
    assert!(output.status.success() && output.stdout.trim_ascii().ends_with(b"[]"), "{output:?}");
    let state = web.bench.observe(&web.service);
    assert_eq!((state.word.as_str(), state.up), ("unknown", false));
    web.reload_fresh();
    assert!(web.bench.serves("v1"));
}

#[test]
fn a_process_that_outlived_its_daemon_is_ended_before_the_app_starts_again() {
    let web = Managed::fork();
    service::remember(&web.bench.host(), &web.service).unwrap();
    let app = web.bench.observe(&web.service).processes;
    // As a child that pm2's end does not reach: it keeps the environment and the port.
    let environment = procs::environment(app[0].pid).unwrap();
    web.kill_daemon();
    procs::wait_until_gone(&app, Duration::from_secs(1));
    for process in &app {
        process.kill();
    }
    procs::wait_until_gone(&app, Duration::from_secs(5));
    let orphan = std::process::Command::new("node")
        .arg("server.js")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir(&web.bench.top)
        .env_clear()
        .envs(environment.into_iter().filter(|(name, _)| name != "NODE_CHANNEL_FD"))
        .spawn()
        .unwrap();
    let mut orphan = Orphan(orphan);
    assert!(web.bench.serves("v1"));
    let pids =
        |state: service::ServiceState| state.processes.iter().map(|p| p.pid).collect::<Vec<_>>();
    assert_eq!(pids(web.bench.observe(&web.service)), [orphan.0.id()]);
    web.bench.deploy("v2");
    web.reload_fresh();
    assert!(web.bench.serves("v2"));
    assert!(orphan.0.try_wait().unwrap().is_some(), "it was left running");
}

#[test]
fn a_killed_daemon_and_nothing_remembered_is_said_plainly_unless_pm2_saved_the_app() {
    let web = Managed::fork();
    web.kill_daemon();
    let error = service::reload(&web.bench.host(), &web.service).unwrap_err().to_string();
    assert!(error.contains("gitroll has no stored definition of shop"), "{error}");
    assert_eq!(web.pm2.daemon(), None);

    let web = Managed::fork();
    web.pm2.run(&web.bench.top, &[], &["save"]);
    web.kill_daemon();
    web.reload_fresh();
    assert!(web.bench.serves("v1"));
    assert_eq!(web.bench.ask().unwrap()["env"]["OF_THE_SHELL"], "once");
}

#[test]
fn a_cluster_reload_under_load_fails_no_new_connection_and_leaves_no_old_worker() {
    let web = Managed::cluster_that_waits(15_000);
    let before = web.bench.observe(&web.service).processes;
    let (stop, port) = (AtomicBool::new(false), web.bench.port);
    let (asked, failed) = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let (mut asked, mut failed) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                asked += 1;
                failed += u32::from(ask(port).is_none());
            }
            (asked, failed)
        });
        web.bench.deploy("v2");
        web.reload_fresh();
        let answers: Vec<Value> = (0..20).filter_map(|_| ask(port)).collect();
        stop.store(true, Ordering::Relaxed);
        assert!(answers.iter().all(|answer| answer["version"] == "v2"), "v1 still answers");
        load.join().unwrap()
    });
    assert!(asked > 20 && failed == 0, "{failed} of {asked} failed");
    assert!(before.iter().all(|process| !process.alive()));
    assert_eq!(web.bench.observe(&web.service).processes.len(), 2);
}

#[test]
fn a_fork_reload_gives_a_fresh_process_of_the_new_code() {
    let web = Managed::fork();
    web.bench.deploy("v2");
    web.reload_fresh();
    assert!(web.bench.serves("v2"));
}

#[test]
fn a_pm2_home_that_is_too_long_for_a_socket_is_refused() {
    let mut web = Managed::new();
    web.bench.binding.pm2_home = Some(Path::new("/tmp").join("x".repeat(100)));
    let error = service::observe(&web.bench.host(), &web.service).unwrap_err();
    assert!(matches!(error, ServiceError::Unsupported(_)));
    assert!(error.to_string().contains("too long"), "{error}");
}

#[test]
fn an_unknown_app_is_named_with_those_that_pm2_knows() {
    let mut web = Managed::fork();
    web.service.manager =
        Manager::Pm2 { app: "shpo".to_owned(), namespace: None, ecosystem: EcosystemFile::Found };
    for result in [
        service::observe(&web.bench.host(), &web.service).map(|_| ()),
        service::reload(&web.bench.host(), &web.service).map(|_| ()),
        service::stop(&web.bench.host(), &web.service),
    ] {
        let error = result.unwrap_err().to_string();
        assert_eq!(error, "pm2 has no \"shpo\", it has shop");
    }
    web.service.manager =
        Manager::Pm2 { app: "all".to_owned(), namespace: None, ecosystem: EcosystemFile::Found };
    assert!(service::stop(&web.bench.host(), &web.service).is_err());
    assert!(web.bench.serves("v1"), "`pm2 stop all` was run");
}

#[test]
fn a_missing_pm2_is_said() {
    let mut web = Managed::fork();
    web.bench.binding.tools.pm2 = Some("/nonexistent/pm2".into());
    let error = service::observe(&web.bench.host(), &web.service).unwrap_err();
    assert!(matches!(error, ServiceError::NoTool(_)), "{error}");
}

#[test]
fn a_stopped_app_stays_listed_and_is_started_again() {
    let web = Managed::cluster();
    let running = web.bench.observe(&web.service).processes;
    web.bench.start(&web.service).unwrap();
    assert_eq!(web.bench.observe(&web.service).processes, running, "a start of what runs");
    web.bench.stop(&web.service);
    let state = web.bench.observe(&web.service);
    assert_eq!((state.word.as_str(), state.up, state.processes.len()), ("stopped", false, 0));
    assert_eq!(web.bench.ask(), None);
    web.bench.stop(&web.service);
    web.bench.start(&web.service).unwrap();
    assert!(web.bench.serves("v1") && web.bench.observe(&web.service).up);
}

#[test]
fn running_apps_are_found_with_directory_and_port() {
    let web = Managed::cluster();
    let found = running_pm2_apps(&web.pm2.program, &web.pm2.home);
    assert_eq!(found.len(), 1, "two instances are one app");
    assert_eq!(found[0].name.as_str(), "shop");
    assert_eq!(found[0].cwd, web.bench.top);
    assert_eq!(found[0].port, Some(web.bench.port));
    assert!(found[0].user.is_some());
}
