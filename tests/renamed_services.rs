//! Services that have another name in the next version, or are gone: nothing of what served before runs on.

use std::fs;

use crate::support::*;

/// 1.0.0 of an app with a worker beside it.
fn with_worker(host: &TestEnvironment) -> Scenario<'_> {
    let config = AppConfig::default().without_builds().settle(1, "200ms").timeout("4s").and(
        "[run]\nwatchdog = \"off\"\n[service.worker]\nmanager = \"process\"\n\
         command = [\"sh\", \"-c\", \"echo $$ >.git/worker; exec sleep 1000\"]\n",
    );
    let s = Scenario::bound(host, Fixture::Plain, &config);
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s.serves("1.0.0");
    s
}

fn worker_runs(s: &Scenario<'_>) -> bool {
    let pid = fs::read_to_string(s.app.dir.join(".git/worker")).expect("it was started");
    // One that nobody waited for has no words any more.
    fs::read(format!("/proc/{}/cmdline", pid.trim())).is_ok_and(|words| !words.is_empty())
}

#[test]
fn what_is_no_service_any_more_is_stopped_and_started_again_on_every_way_back() {
    let host = TestEnvironment::new();
    let s = with_worker(&host);
    let text = s.app.read("gitroll.toml");
    let without = text[..text.find("[service.worker]").expect("it is there")].to_owned();
    let renamed = without.replace("[service.web]", "[service.www]");
    assert!(worker_runs(&s));

    s.app.write("gitroll.toml", &renamed);
    s.release_kept_bad("1.1.0")
        .exit(20)
        .stderr_has("worker is no longer a service of v1.1.0: it is stopped");
    s.serves("1.0.0");
    assert!(worker_runs(&s), "it is started again");
    host.gitroll(&["status"]).exit(0).stdout_has("proven");

    s.app.write("gitroll.toml", &renamed);
    let deploy = s.release_kept("1.2.0");
    deploy.exit(0).stderr_has("stop web").stderr_has("stop worker");
    s.serves("1.2.0");
    assert!(!worker_runs(&s));
    host.gitroll(&["show"]).exit(0);
    // Going back goes by what was accepted last, and says what that leaves out.
    host.gitroll(&["back", "--plan"]).exit(0).says("worker was a service of v1.0.0");

    // With a person's own revision comes its configuration.
    let first = s.app.git(&["rev-list", "--max-parents=0", "HEAD"]);
    let mut again = host.gitroll_command(&["deploy", &first, "--yes"]);
    again.env("GITROLL_FAIL_AT", "stop www after=kill");
    assert_eq!(Answer::of(again, std::time::Duration::from_secs(60)).code, None);
    host.gitroll(&["abort"]).exit(0);
    s.serves("1.2.0");
    assert!(!worker_runs(&s));
    host.gitroll(&["deploy", &first, "--yes"]).exit(0).stderr_has("stop www");
    s.serves("1.0.0");
    assert!(worker_runs(&s));
}
