//! The ground the other tests stand on, tested itself: a fixture that does not crash when it should makes
//! every test of a crash pass.

use std::time::{Duration, Instant};

use crate::support::*;

/// Commits a version and runs its server by hand; returns once `check` has seen what it wanted.
fn answers(behaviour: Behaviour, check: impl Fn(&App<'_>)) {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.commit_version("1.1.0", behaviour);
    let mut server = host.command("node");
    server.arg("server.js").stdout(std::process::Stdio::null());
    server.stderr(std::process::Stdio::null());
    let mut child = server.spawn().expect("node can be started");
    check(&app);
    child.kill().ok();
    child.wait().ok();
}

#[test]
fn a_good_version_answers_with_its_version_and_pid() {
    answers(Behaviour::Good, |app| {
        wait_for_version(&app.health(), "1.1.0");
        let answer = http_get(&app.health()).expect("it answered before");
        assert_eq!(answer.status, 200);
        let json = answer.json().expect("health is JSON");
        assert_eq!(json["status"], "healthy");
        assert!(json["pid"].is_u64());
    });
}

#[test]
fn a_version_can_throw_at_boot() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.commit_version("1.1.0", Behaviour::ThrowsAtBoot);
    host.run("node", &["server.js"]).fails().stderr_has("plain-app 1.1.0 throws at boot");
}

#[test]
fn a_version_can_hang_at_boot() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.commit_version("1.1.0", Behaviour::HangsAtBoot);
    let mut child = host.command("node").arg("server.js").spawn().expect("node can be started");
    std::thread::sleep(Duration::from_millis(700));
    assert!(http_get(&app.health()).is_err(), "it listens");
    assert!(child.try_wait().expect("a child can be waited for").is_none(), "it ended");
    host.end_processes();
    wait_until("it is ended", || child.try_wait().expect("a child can be waited for").is_some());
}

#[test]
fn a_version_can_sour_after_it_was_healthy() {
    answers(Behaviour::SoursAfter(1), |app| {
        wait_for_version(&app.health(), "1.1.0");
        assert_eq!(http_get(&app.health()).expect("it answers").status, 200);
        wait_until("it sours", || http_get(&app.health()).is_ok_and(|a| a.status == 500));
    });
}

#[test]
fn a_version_can_boot_slowly() {
    let begun = Instant::now();
    answers(Behaviour::SlowBoot(1), |app| {
        wait_for_version(&app.health(), "1.1.0");
        assert!(begun.elapsed() >= Duration::from_secs(1), "it was not slow");
    });
}

#[test]
fn a_build_can_fail_after_it_cleaned_its_output() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.commit_version("1.0.0", Behaviour::Good);
    host.run("node", &["build.js"]).exit(0).stdout_has("built plain-app 1.0.0");
    assert!(app.read("dist/index.html").contains("1.0.0"));
    app.commit_version("1.1.0", Behaviour::BuildFails);
    host.run("node", &["build.js"]).exit(1).stderr_has("1.1.0 does not build");
    assert!(!app.has("dist/index.html"));
}

#[test]
fn the_express_app_installs_builds_and_serves() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Express);
    app.commit_version("1.0.0", Behaviour::Good);
    app.build_by_hand();
    let mut server = app.start_by_hand();
    assert_eq!(app.version_served().as_deref(), Some("1.0.0"));
    let page = http_get(&app.url("/")).expect("the page is served");
    assert!(page.body.contains("express-app 1.0.0"), "{}", page.body);
    assert_eq!(app.git(&["status", "--porcelain"]), "", "built files are ignored");
    server.kill().expect("a child can be killed");
    server.wait().expect("a child can be waited for");
}

#[test]
fn a_changed_lock_installs_and_one_out_of_step_does_not() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Express);
    app.commit_version("1.0.0", Behaviour::Good);
    app.commit_lock_out_of_step("1.1.0");
    host.run("npm", &["ci"]).fails().says("picocolors");
    app.commit_changed_lock("1.2.0");
    host.run("npm", &["ci"]).exit(0);
    assert!(app.has("node_modules/picocolors/package.json"));
}

#[test]
fn without_a_registry_npm_fails_and_leaves_nothing() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Express);
    app.commit_version("1.0.0", Behaviour::Good);
    host.registry_away();
    host.run("npm", &["ci"]).fails();
    assert!(!app.has("node_modules/express"));
    host.registry_back();
    host.run("npm", &["ci"]).exit(0);
}

#[test]
fn the_same_story_has_the_same_object_ids() {
    let story = || {
        let host = TestEnvironment::new();
        let app = host.app(Fixture::Plain);
        // The port differs.
        app.write("gitroll.toml", "");
        app.commit_version("1.0.0", Behaviour::Good);
        app.tag("v1.0.0-stable");
        app.git(&["rev-parse", "v1.0.0-stable"])
    };
    assert_eq!(story(), story());
}

#[test]
fn commands_see_nothing_of_the_users_environment() {
    let host = TestEnvironment::new();
    let answer = host.run("env", &[]);
    for line in answer.exit(0).stdout.lines().filter(|line| !line.starts_with("PATH=")) {
        let own = line.contains(host.root().to_str().expect("temporary paths are UTF-8"));
        let plain =
            ["1", "0", "C.UTF-8", "UTC", "ada"].iter().any(|v| line.ends_with(&format!("={v}")));
        assert!(own || plain, "{line} came in from outside");
    }
}

#[test]
fn nothing_outlives_its_host() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.commit_version("1.0.0", Behaviour::Good);
    let mut by_hand = app.start_by_hand();
    let mut elsewhere =
        host.command("sleep").arg("60").current_dir("/").spawn().expect("sleep runs");
    let ticks = start_ticks(elsewhere.id());
    app.write(
        ".git/gitroll/services/web.json",
        &format!("{{\"process\":{{\"pid\":{},\"start_ticks\":{ticks}}}}}", elsewhere.id()),
    );
    let mut stranger =
        host.command("sleep").arg("60").current_dir("/").spawn().expect("sleep runs");
    app.write(
        ".git/gitroll/services/old.json",
        &format!("{{\"pid\":{},\"start_ticks\":{}}}", stranger.id(), ticks.saturating_sub(9999)),
    );
    let root = host.root().to_owned();
    drop(host);
    assert!(by_hand.try_wait().expect("a child can be waited for").is_some());
    assert!(elsewhere.try_wait().expect("a child can be waited for").is_some());
    assert!(
        stranger.try_wait().expect("a child can be waited for").is_none(),
        "a reused pid was hit"
    );
    assert!(!root.exists());
    stranger.kill().expect("a child can be killed");
    stranger.wait().expect("a child can be waited for");
}

#[test]
fn snapshots_hide_what_differs_and_keep_what_matters() {
    let host = TestEnvironment::new();
    let text = format!(
        "{}/app v1.2.0-stable (4be21d9) #43 web-1.k3f9 in 9.3 s (rto 15 m)\n\
         run 20261120-031205-k3f9 at 2026-11-20T03:12:05Z, today 03:12, pid 4711\n\
         {} 127.0.0.1:41234/api/health 200, 14 commits back",
        host.root().display(),
        "4be21d9".repeat(6).get(..40).expect("it is longer"),
    );
    snapshots(&host).bind(|| {
        insta::assert_snapshot!(text, @r"
        [host]/app v1.2.0-stable ([id]) #43 web-1.[suffix] in [time] (rto [time])
        run [run] at [moment], [moment], pid [pid]
        [commit] 127.0.0.1:[port]/api/health 200, 14 commits back
        ");
    });
}

#[test]
fn pm2_and_its_apps_end_with_their_host() {
    let pm2 = test_tools().join("pm2/node_modules/.bin/pm2");
    assert!(pm2.is_file(), "pm2 is not installed yet: tests/run installs it");
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.commit_version("1.0.0", Behaviour::Good);
    let mut command = host.command(pm2);
    command.args(["start", "server.js", "--name", "web", "-i", "2"]);
    Answer::of(command, Duration::from_secs(60)).exit(0);
    wait_for_version(&app.health(), "1.0.0");
    let home = host.path("pm2");
    let daemon: u32 = std::fs::read_to_string(home.join("pm2.pid"))
        .ok()
        .and_then(|pid| pid.trim().parse().ok())
        .expect("the daemon wrote its pid");
    let worker = app.pid_served();
    drop(host);
    for pid in [u64::from(daemon), worker] {
        let ended = || !std::path::Path::new(&format!("/proc/{pid}/fd")).exists();
        wait_until("pm2 and its workers are gone", ended);
    }
}

fn start_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields = stat.rsplit_once(')').expect("a name in parentheses").1;
    fields.split_whitespace().nth(19).and_then(|t| t.parse().ok()).expect("a start time")
}

#[test]
fn a_prompt_can_be_answered_and_its_terminal_taken_away() {
    let host = TestEnvironment::new();
    let ask = "test -t 0 && test -t 1 && printf 'Go back? '; read a; echo \"got $a\"; exit 3";
    let mut terminal = Terminal::start(&host, "sh", &["-c", ask]);
    terminal.expect("Go back?").answer("it's fine");
    let (code, screen) = terminal.finish();
    assert_eq!(code, 3);
    assert!(screen.contains("got it's fine"), "{screen}");

    let mut terminal = Terminal::start(&host, "sh", &["-c", ask]);
    terminal.expect("Go back?");
    assert!(!terminal.close().contains("got"));
}

#[test]
fn traffic_tells_who_answered_when() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.commit_version("1.0.0", Behaviour::Good);
    let mut first = app.start_by_hand();
    let users = RequestLoop::start(&app.health());
    std::thread::sleep(Duration::from_millis(200));
    let stopped = Instant::now();
    first.kill().expect("a child can be killed");
    first.wait().expect("a child can be waited for");
    std::thread::sleep(Duration::from_millis(300));
    app.commit_version("1.1.0", Behaviour::Good);
    let mut second = app.start_by_hand();
    let back = Instant::now();
    std::thread::sleep(Duration::from_millis(200));
    let traffic = users.stop();
    second.kill().expect("a child can be killed");
    second.wait().expect("a child can be waited for");
    traffic.until(stopped).only("1.0.0").without_failures();
    traffic.since(back).only("1.1.0").without_failures();
    assert!(!traffic.failures().is_empty());
    assert!(traffic.longest_gap() >= Duration::from_millis(300));
}

#[test]
fn a_tree_names_what_changed() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.commit_version("1.0.0", Behaviour::Good);
    let before = app.state();
    before.assert_same(&app.state());
    app.write("server.js", "changed\n");
    app.write("new/file", "");
    app.git(&["branch", "other"]);
    let changes = before.changes(&app.state());
    let heads: Vec<&str> = changes.iter().filter_map(|c| c.lines().next()).collect();
    assert_eq!(heads, ["~ (git refs)", "+ new", "+ new/file", "~ server.js"]);
}

#[test]
fn no_file_of_tests_is_left_out_of_the_binary() {
    let tests = project().join("tests");
    let declared = |source: &std::path::Path, module: &str| {
        let text = std::fs::read_to_string(source).unwrap();
        text.lines().any(|line| {
            line.trim_start_matches("pub ").trim_start_matches("pub(crate) ")
                == format!("mod {module};")
        })
    };
    let names = |dir: &std::path::Path| -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        let files = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        files.filter_map(|name| name.strip_suffix(".rs").map(str::to_owned)).collect()
    };
    let left_out = |root: &std::path::Path, dir: &std::path::Path| -> Vec<String> {
        let there = names(dir).into_iter().filter(|name| !["main", "mod"].contains(&name.as_str()));
        there.filter(|name| !declared(root, name)).collect()
    };
    assert_eq!(left_out(&tests.join("main.rs"), &tests), [""; 0]);
    for subject in names(&tests).iter().filter(|name| tests.join(name).is_dir()) {
        let root = tests.join(format!("{subject}.rs"));
        assert_eq!(left_out(&root, &tests.join(subject)), [""; 0], "{subject}");
    }
    assert_eq!(left_out(&tests.join("support/mod.rs"), &tests.join("support")), [""; 0]);
}
