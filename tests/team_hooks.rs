//! `[hooks]`: commands of the team's own at certain moments of a run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::support::*;

/// A script outside of the app that every hook runs: it notes what it is told, then waits as long as `slow-MOMENT` is
/// there and fails where `fail-MOMENT` is.
const SCRIPT: &str = r#"#!/bin/sh
cd "$(dirname "$0")"
{ echo "== $GITROLL_HOOK"; env | grep '^GITROLL_' | sort; } >> hooks.log
while [ -e "slow-$GITROLL_HOOK" ]; do sleep 0.05; done
[ -e leak ] && echo "the secret is s3cr3t-v4lue-0815"
if [ -e "fail-$GITROLL_HOOK" ]; then echo "Error: $GITROLL_HOOK is out of sorts" >&2; exit 7; fi
echo "end $GITROLL_HOOK" >> hooks.log
"#;

const MOMENTS: [&str; 5] =
    ["before_deploy", "after_activate", "after_proven", "after_back", "on_failed"];

fn script(host: &TestEnvironment, name: &str, text: &str) -> String {
    let path = host.path(name);
    fs::write(&path, text).expect("the host's directory is writable");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it was just made");
    path.to_str().expect("temporary paths are UTF-8").to_owned()
}

/// 1.0.0 serves, and every moment has the script.
#[track_caller]
fn hooked<'h>(host: &'h TestEnvironment, more: &str) -> Scenario<'h> {
    let hook = script(host, "hook.sh", SCRIPT);
    let lines: Vec<String> = MOMENTS.map(|moment| format!("{moment} = [[\"{hook}\"]]\n")).into();
    let config = quick().and(&format!("[hooks]\n{}{more}", lines.concat()));
    let s = Scenario::serving(host, Fixture::Plain, &config);
    forget(host);
    s
}

fn quick() -> AppConfig {
    AppConfig::default().settle(2, "300ms").timeout("4s").without_builds()
}

fn log(host: &TestEnvironment) -> String {
    fs::read_to_string(host.path("hooks.log")).unwrap_or_default()
}

/// The moments that were run, in order.
fn ran(host: &TestEnvironment) -> Vec<String> {
    log(host).lines().filter_map(|line| line.strip_prefix("== ").map(str::to_owned)).collect()
}

fn forget(host: &TestEnvironment) {
    let _ = fs::remove_file(host.path("hooks.log"));
}

/// The variables that a moment was told, the last time it was run.
fn told(host: &TestEnvironment, moment: &str) -> String {
    let log = log(host);
    let part = log.rsplit(&format!("== {moment}\n")).next().unwrap_or_default();
    part.split("\n== ").next().unwrap_or_default().to_owned()
}

#[track_caller]
fn tells(host: &TestEnvironment, moment: &str, variables: &[&str]) {
    let told = told(host, moment);
    for variable in variables {
        assert!(told.lines().any(|line| line == *variable), "{moment}: {variable} not in\n{told}");
    }
}

fn order(host: &TestEnvironment, order: &str) {
    fs::write(host.path(order), "").expect("the host's directory is writable");
}

fn end_order(host: &TestEnvironment, order: &str) {
    fs::remove_file(host.path(order)).expect("it was given");
}

/// The evidence of the last record.
#[track_caller]
fn evidence(host: &TestEnvironment) -> serde_json::Value {
    host.gitroll(&["show", "--json"]).exit(0).json()["result"].clone()
}

#[test]
fn every_act_runs_the_commands_of_its_moments_and_tells_them_what_it_is_about() {
    let host = TestEnvironment::new();
    let s = hooked(
        &host,
        "[component.up]\npaths = [\"up/**\"]\nflag = { name = \"UP\", off = \"false\" }\n\
         [flags]\nfile = \".env\"\napply = \"environment\"\nverify = \"environ\"\n",
    );
    let one = s.app.head();
    s.app.write("up/it.js", "1\n");
    let two = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &one]);
    let plan = host.gitroll(&["deploy", &two, "--plan"]);
    plan.exit(0).stdout_has("hook      before_deploy: ").stdout_has("hook      after_proven: ");
    plan.stdout_lacks("after_back").stderr_has("before_deploy, after_activate, after_proven");
    assert_eq!(ran(&host), [] as [&str; 0], "a plan runs nothing");

    let deploy = host.gitroll(&["deploy", &two, "--yes", "--reason", "ticket 7"]);
    deploy.exit(0).stderr_has("✓ before_deploy").stderr_has("✓ after_proven");
    assert_eq!(ran(&host), ["before_deploy", "after_activate", "after_proven"]);
    let (from, to) = (format!("GITROLL_FROM_COMMIT={one}"), format!("GITROLL_TO_COMMIT={two}"));
    let about = [
        "GITROLL_APP=plain-app",
        "GITROLL_ENVIRONMENT=production",
        "GITROLL_ACT=deploy",
        "GITROLL_FROM_VERSION=1.0.0",
        "GITROLL_TO_VERSION=1.1.0",
        "GITROLL_REASON=ticket 7",
        &from,
        &to,
    ];
    tells(&host, "before_deploy", &about);
    tells(&host, "before_deploy", &["GITROLL_VERSION=1.0.0"]);
    tells(&host, "after_activate", &["GITROLL_VERSION=1.1.0"]);
    let shown = evidence(&host);
    let record = format!(
        "GITROLL_RECORD={}",
        shown["record"]["seq"].as_u64().expect("records are numbered")
    );
    tells(&host, "after_proven", &about);
    tells(&host, "after_proven", &["GITROLL_RESULT=proven", &record]);
    for early in ["before_deploy", "after_activate"] {
        let early = told(&host, early);
        assert!(!early.contains("GITROLL_RESULT") && !early.contains("GITROLL_RECORD"), "{early}");
    }
    let run = shown["evidence"]["run"].as_str().expect("it was a run").to_owned();
    tells(&host, "after_proven", &[&format!("GITROLL_RUN={run}")]);
    let steps = shown["evidence"]["steps"].as_array().expect("steps are a list").clone();
    let names: Vec<&str> = steps.iter().filter_map(|step| step["step"].as_str()).collect();
    let wanted = "before_deploy activate head after_activate reload web prove after_proven";
    assert_eq!(names.join(" "), wanted);
    assert_eq!(steps[0]["result"], "done");

    // Nothing to do is no run.
    forget(&host);
    host.gitroll(&["deploy", &two, "--yes"]).exit(0);
    assert_eq!(ran(&host), [] as [&str; 0]);

    host.gitroll(&["back", "--yes"]).exit(0);
    assert_eq!(ran(&host), ["after_activate", "after_proven", "after_back"]);
    tells(&host, "after_back", &["GITROLL_ACT=back", "GITROLL_TO_VERSION=1.0.0"]);
    forget(&host);
    host.gitroll(&["back", "--undo", "--yes"]).exit(0);
    assert_eq!(ran(&host), ["after_activate", "after_proven", "after_back"]);
    tells(&host, "after_back", &["GITROLL_ACT=back", "GITROLL_TO_VERSION=1.1.0"]);
    forget(&host);
    host.gitroll(&["component", "up", "--to", &one, "--yes"]).exit(0);
    assert_eq!(ran(&host), ["after_activate", "after_proven"]);
    tells(&host, "after_proven", &["GITROLL_ACT=component"]);
    forget(&host);
    // Nothing is activated where only flags change.
    host.gitroll(&["flags", "off", "UP", "--yes"]).exit(0);
    assert_eq!(ran(&host), ["after_proven"]);
    tells(&host, "after_proven", &["GITROLL_ACT=flags"]);
}

#[test]
fn a_command_that_fails_beforehand_refuses_and_one_that_fails_after_activation_is_undone() {
    let host = TestEnvironment::new();
    let s = hooked(&host, "");
    let (before, pid) = (s.app.head(), s.app.pid_served());
    order(&host, "fail-before_deploy");
    let refused = s.release("1.1.0", Behaviour::Good);
    refused.exit(1).stderr_has("✗ before_deploy").stderr_has("exit 7");
    refused.stderr_has("Error: before_deploy is out of sorts").stderr_has("nothing was changed");
    assert_eq!(ran(&host), ["before_deploy", "on_failed"]);
    tells(&host, "on_failed", &["GITROLL_RESULT=untouched", "GITROLL_VERSION=1.0.0"]);
    assert!(!told(&host, "on_failed").contains("GITROLL_RECORD"), "it is not recorded");
    assert_eq!(s.app.pid_served(), pid);
    host.gitroll(&["log", "-n", "2"]).exit(0).stdout_has("promote");
    end_order(&host, "fail-before_deploy");

    forget(&host);
    order(&host, "fail-after_activate");
    let next = s.app.git(&["rev-parse", "main"]);
    s.app.git(&["checkout", "-q", "--detach", &before]);
    let deploy = host.gitroll(&["deploy", &next, "--yes"]);
    deploy.exit(20).stderr_has("✗ after_activate").stderr_has("restored, observed serving");
    assert_eq!(ran(&host), ["before_deploy", "after_activate", "on_failed"]);
    tells(&host, "on_failed", &["GITROLL_RESULT=restored", "GITROLL_VERSION=1.0.0"]);
    let shown = evidence(&host);
    tells(&host, "on_failed", &[&format!("GITROLL_RECORD={}", shown["record"]["seq"])]);
    assert!(told(&host, "on_failed").contains("GITROLL_FAILURE=after_activate: exit 7"));
    // Nothing was reloaded: it fails before that.
    assert_eq!((s.app.head(), s.app.pid_served()), (before, pid));
    let text = shown["evidence"].to_string();
    assert!(text.contains("is out of sorts") && text.contains("\"step\":\"on_failed\""), "{text}");
    // In an emergency nothing of the team's own stands in the way.
    host.gitroll(&["deploy", &next, "--yes"]).exit(20);
    end_order(&host, "fail-after_activate");
    host.gitroll(&["deploy", &next, "--yes"]).exit(0);
    order(&host, "fail-after_activate");
    host.gitroll(&["back", "--yes"]).exit(20);
    forget(&host);
    let back = host.gitroll(&["back", "--emergency", "--yes"]);
    back.exit(0).stderr_has("emergency: not run: after_activate");
    assert_eq!(ran(&host), ["after_proven", "after_back"]);
    s.serves("1.0.0");
}

#[test]
fn what_fails_when_all_is_over_is_a_warning_and_no_secret_of_the_app_is_told() {
    let host = TestEnvironment::new();
    let s = hooked(&host, "");
    let env = s.app.read(".env");
    s.app.write(".env", &format!("{env}API_TOKEN=s3cr3t-v4lue-0815\n"));
    order(&host, "leak");
    for moment in ["after_proven", "after_back"] {
        order(&host, &format!("fail-{moment}"));
    }
    let deploy = s.release("1.1.0", Behaviour::Good);
    deploy.exit(0).stderr_has("✗ after_proven").stderr_lacks("s3cr3t-v4lue");
    let back = host.gitroll(&["back", "--yes", "--json"]);
    let warnings = back.exit(0).json()["result"]["warnings"].to_string();
    assert!(warnings.contains("after_proven: exit 7"), "{warnings}");
    assert!(warnings.contains("after_back: exit 7"), "{warnings}");
    let shown = evidence(&host).to_string();
    assert!(shown.contains("the secret is"), "its output is in the evidence: {shown}");
    assert!(!shown.contains("s3cr3t-v4lue"), "{shown}");
    let runs = host.run("grep", &["-rl", "s3cr3t-v4lue", ".git/gitroll"]);
    assert_eq!(runs.stdout, "", "the secret lies in the journal");
    s.serves("1.0.0");
}

/// The moment's command, as the accepted configuration has it from now on.
#[track_caller]
fn accept(s: &Scenario<'_>, version: &str, hooks: &str) {
    s.app.try_git(&["symbolic-ref", "HEAD", "refs/heads/main"]).exit(0);
    s.app.git(&["reset", "-q", "--hard", "main"]);
    s.app.configure(&quick().and(&format!("[hooks]\n{hooks}")));
    s.release_kept(version).exit(0);
}

#[test]
fn a_command_that_never_ends_says_too_much_leaves_a_process_or_calls_gitroll_ends_in_time() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    let daemon = script(
        &host,
        "daemon.sh",
        "#!/bin/sh\ncd \"$(dirname \"$0\")\"\n(sleep 300 & echo $! > kept.pid)\n\
         setsid sh -c 'echo $$ > own.pid; exec sleep 300' &\nsleep 0.3\n",
    );
    let nested = script(
        &host,
        "nested.sh",
        &format!(
            "#!/bin/sh\n{GITROLL} status > {root}/status 2>&1; echo \"status $?\" >> {root}/nested\n\
             {GITROLL} back --yes > {root}/back 2>&1; echo \"back $?\" >> {root}/nested\n",
            GITROLL = env!("CARGO_BIN_EXE_gitroll"),
            root = host.root().display()
        ),
    );
    // 100 MB, of which the last line says most.
    let loud = script(
        &host,
        "loud.sh",
        "#!/bin/sh\nyes 'a line of no interest' | head -c 100000000\necho 'Error: it is full'\nexit 3\n",
    );
    let hooks = format!(
        "after_activate = [[\"{nested}\"]]\n\
         after_proven = [[\"{daemon}\"], [\"{loud}\"], [\"sleep\", \"300\"]]\ntimeout = \"3s\"\n"
    );
    accept(&s, "1.1.0", &hooks);
    let began = Instant::now();
    let deploy = s.release_kept("1.2.0");
    deploy.exit(0).stderr_has("✓ after_proven 1/3").stderr_has("✗ after_proven 2/3");
    deploy.stderr_has("it is full").stderr_has("did not end within 3 s");
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    s.serves("1.2.0");
    // A hook holds up nobody: it is told at once that the run of which it is a part has the lock.
    let said = fs::read_to_string(host.path("nested")).expect("it was run");
    assert_eq!(said, "status 0\nback 12\n");
    let back = fs::read_to_string(host.path("back")).expect("it was run");
    assert!(back.contains("a hook of a run can look at it"), "{back}");
    let status = fs::read_to_string(host.path("status")).expect("it was run");
    assert!(status.contains("after_activate"), "{status}");
    // What stays in its process group ends with it; what made a session of its own wanted to go on.
    let alive = |file: &str| {
        let pid = fs::read_to_string(host.path(file)).expect("it was started");
        fs::read_to_string(format!("/proc/{}/stat", pid.trim())).is_ok_and(|s| !s.contains(") Z"))
    };
    assert!(!alive("kept.pid") && alive("own.pid"));
    let kept = evidence(&host).to_string();
    assert!(kept.len() < 40_000, "{} bytes", kept.len());
}

#[test]
fn only_what_was_accepted_is_run_and_what_cannot_be_run_is_found_beforehand() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    let note = |word: &str| format!("#!/bin/sh\necho {word} >> {}/notes\n", host.root().display());
    let notes = || fs::read_to_string(host.path("notes")).unwrap_or_default();
    s.app.write("warm.sh", &note("warm"));
    s.app.git(&["add", "warm.sh"]);
    s.app.git(&["update-index", "--chmod=+x", "warm.sh"]);
    fs::set_permissions(s.app.dir.join("warm.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    s.app.configure(&quick().and("[hooks]\nafter_activate = [[\"./warm.sh\"]]\n"));
    // The hooks of what is deployed are those of the next run.
    let first = s.release_kept("1.1.0");
    first.exit(0).stderr_has("[hooks] of this revision are others");
    assert_eq!(notes(), "");
    s.release_kept("1.2.0").exit(0).stderr_has("✓ after_activate");
    assert_eq!(notes(), "warm\n");

    // Older than the script: the way back is not barred.
    let back = host.gitroll(&["back", "--to", "v1.0.0-stable", "--yes"]);
    back.exit(0).stderr_has("after_activate is not run: warm.sh is not there in the target");
    host.gitroll(&["back", "--undo", "--yes"]).exit(0);
    assert_eq!(notes(), "warm\nwarm\n");

    // Not executable, missing: nothing is begun.
    let serving = s.app.head();
    let broken = |version: &str, change: &dyn Fn()| {
        s.app.git(&["checkout", "-q", "-B", "next", &serving]);
        change();
        let commit = s.app.commit_version(version, Behaviour::Good);
        s.app.git(&["checkout", "-q", "--detach", &serving]);
        host.gitroll(&["deploy", &commit, "--yes"])
    };
    let plain = || drop(s.app.git(&["update-index", "--chmod=-x", "warm.sh"]));
    s.app.git(&["config", "core.fileMode", "false"]);
    let refused = broken("1.3.0", &plain);
    refused.exit(1).stderr_has("after_activate: warm.sh is not executable in the target");
    refused.stderr_has("git update-index --chmod=+x warm.sh");
    let gone = || fs::remove_file(s.app.dir.join("warm.sh")).unwrap();
    broken("1.3.1", &gone).exit(1).stderr_has("after_activate: warm.sh is not there in the target");
    let tool = "before_deploy = [[\"no-such-tool\", \"x\"]]\n";
    // A release that takes both away goes through.
    let both = || {
        gone();
        s.app.configure(&quick().and(&format!("[hooks]\n{tool}")));
    };
    let last = broken("1.4.0", &both);
    last.exit(0).stderr_has("after_activate is not run: warm.sh is not there in the target");
    assert_eq!(notes(), "warm\nwarm\n");
    let refused = s.release_kept("1.5.0");
    refused.exit(1).stderr_has("before_deploy: no-such-tool was not found");
    host.gitroll(&["back", "--yes"]).exit(0);
}

/// Kills a command in the middle of this moment's hook; the hook ends by itself then.
#[track_caller]
fn killed_in(host: &TestEnvironment, moment: &str, args: &[&str]) {
    forget(host);
    order(host, &format!("slow-{moment}"));
    let mut command = host.gitroll_command(args);
    let mut child = command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    wait_until("the hook runs", || ran(host).last().is_some_and(|last| last == moment));
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
}

fn times(host: &TestEnvironment, moment: &str) -> usize {
    ran(host).iter().filter(|ran| *ran == moment).count()
}

#[test]
fn a_command_in_which_gitroll_was_killed_is_run_again_only_if_it_says_so() {
    let host = TestEnvironment::new();
    let s = hooked(&host, "idempotent = [\"after_back\"]\ntimeout = \"20s\"\n");
    let one = s.app.head();
    let two = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &one]);
    let deploy = ["deploy", two.as_str(), "--yes"];

    // Before anything was touched: the question, then the other moments follow.
    killed_in(&host, "before_deploy", &deploy);
    let status = host.gitroll(&["status"]);
    status.exit(0).stdout_has("is still running (process").stdout_has("hook.sh` finish?");
    end_order(&host, "slow-before_deploy");
    let asked = host.gitroll(&["resume"]);
    asked.exit(22).stderr_has("before_deploy was interrupted").stderr_has("resume --done");
    asked.stderr_has("[hooks] idempotent = [\"before_deploy\"]").stderr_has("gitroll abort");
    host.gitroll(&["abort"]).exit(0).stdout_has("the live tree was not changed");
    tells(&host, "on_failed", &["GITROLL_RESULT=untouched"]);
    killed_in(&host, "before_deploy", &deploy);
    end_order(&host, "slow-before_deploy");
    host.gitroll(&["resume", "--done"]).exit(0).stdout_has("observed serving");
    assert_eq!(ran(&host), ["before_deploy", "after_activate", "after_proven"]);
    s.serves("1.1.0");

    // On the way back nobody waits for a person: killed after activation, aborted.
    killed_in(&host, "after_activate", &["back", "--yes"]);
    end_order(&host, "slow-after_activate");
    host.gitroll(&["resume"]).exit(22).stderr_has("after_activate was interrupted");
    host.gitroll(&["resume", "--redo"]).exit(0);
    assert_eq!(times(&host, "after_activate"), 2);
    s.serves("1.0.0");

    // After the proof: the one that says so is run again, the other one is told.
    host.gitroll(&["back", "--undo", "--yes"]).exit(0);
    killed_in(&host, "after_back", &["back", "--yes"]);
    end_order(&host, "slow-after_back");
    host.gitroll(&["resume"]).exit(0);
    assert_eq!((times(&host, "after_proven"), times(&host, "after_back")), (1, 2));
    host.gitroll(&["back", "--undo", "--yes"]).exit(0);
    killed_in(&host, "after_proven", &["back", "--yes"]);
    end_order(&host, "slow-after_proven");
    host.gitroll(&["resume"]).exit(0).stderr_has("was interrupted, and is not run again");
    assert_eq!((times(&host, "after_proven"), times(&host, "after_back")), (1, 1));
    let warnings = evidence(&host)["evidence"]["warnings"].to_string();
    assert!(warnings.contains("after_proven: was interrupted, and is not run again"), "{warnings}");

    // And where it failed.
    order(&host, "fail-after_activate");
    killed_in(&host, "on_failed", &["back", "--undo", "--yes"]);
    end_order(&host, "slow-on_failed");
    host.gitroll(&["resume"]).exit(20);
    assert_eq!(times(&host, "on_failed"), 1);
    s.serves("1.0.0");
    host.gitroll(&["status"]).exit(0).stdout_has("none open");
}

#[test]
fn the_watchdog_undoes_what_it_cannot_ask_about_and_tells_the_team() {
    let host = TestEnvironment::new();
    let s = hooked(&host, "timeout = \"20s\"\n[run]\nwatchdog = \"2s\"\n");
    let one = s.app.head();
    let two = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &one]);
    killed_in(&host, "after_activate", &["deploy", &two, "--yes"]);
    end_order(&host, "slow-after_activate");
    wait_until("the watchdog finished it", || ran(&host).contains(&"on_failed".to_owned()));
    wait_until("it is over", || host.gitroll(&["status"]).stdout.contains("none open"));
    tells(&host, "on_failed", &["GITROLL_RESULT=restored"]);
    assert_eq!(times(&host, "after_activate"), 1);
    s.serves("1.0.0");
    assert_eq!(s.app.head(), one);
}
