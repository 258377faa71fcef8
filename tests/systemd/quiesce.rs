//! Services that must be down while files change, under every manager.

use std::fs;

use super::*;

/// Served by gitroll's own process manager, down during the swap.
#[track_caller]
fn quiet(host: &TestEnvironment) -> Scenario<'_> {
    let config = AppConfig::default().without_builds().settle(2, "300ms");
    let config = config.and("[run]\nwatchdog = \"off\"\n");
    let s = Scenario::bound(host, Fixture::Plain, &config);
    let text = s.app.read("gitroll.toml");
    s.app
        .write("gitroll.toml", &text.replace("[service.web]\n", "[service.web]\nquiesce = true\n"));
    s.app.commit("Down while files change");
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s.serves("1.0.0");
    s
}

/// A deploy that is killed at a place; the commit that it was of.
#[track_caller]
fn killed(s: &Scenario<'_>, version: &str, place: &str) {
    let serving = s.app.head();
    let next = s.app.commit_version(version, Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    let mut command = s.host.gitroll_command(&["deploy", &next, "--yes"]);
    command.env("GITROLL_FAIL_AT", format!("{place}=kill"));
    assert_eq!(Answer::of(command, std::time::Duration::from_secs(60)).code, None);
}

#[test]
fn it_is_down_while_files_change_and_up_again_after_every_end() {
    let host = TestEnvironment::new();
    let s = quiet(&host);
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", "HEAD^"]);
    let plan = host.gitroll(&["deploy", &next, "--plan"]);
    plan.exit(0).stderr_has("web while files change").stdout_has("quiesce   web is stopped");
    host.gitroll(&["deploy", &next, "--yes"]).exit(0).stderr_has("quiesce web");
    s.serves("1.1.0");
    s.release_kept_bad("1.2.0").exit(20);
    s.serves("1.1.0");

    killed(&s, "1.3.0", "quiesce web after");
    s.is_down();
    host.gitroll(&["resume"]).exit(0);
    s.serves("1.3.0");
    killed(&s, "1.4.0", "activate after");
    s.is_down();
    host.gitroll(&["abort"]).exit(0);
    s.serves("1.3.0");
    killed(&s, "1.5.0", "quiesce web before");
    host.gitroll(&["abort"]).exit(0);
    s.serves("1.3.0");
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.1.0");
}

#[test]
fn the_way_back_stops_it_before_files_change_again() {
    let host = TestEnvironment::new();
    let s = quiet(&host);
    let events = host.path("events");
    let ctl = format!(
        "#!/bin/sh\ncase $1 in status) test -e ../up ;;\n\
         start) echo \"start $(cat ../app/package.json | sed -n 's/.*\"version\": \"\\(.*\\)\".*/\\1/p')\" >>{0}; touch ../up ;;\n\
         stop) echo \"stop $(sed -n 's/.*\"version\": \"\\(.*\\)\".*/\\1/p' package.json)\" >>{0}; rm -f ../up ;;\n\
         reload) test -e ../up || exit 9; echo reload >>{0} ;; esac\n",
        events.display()
    );
    let file = script(&host, "ctl", &ctl);
    let ctl = file.display();
    let text = s.app.read("gitroll.toml");
    let more = format!(
        "{text}\n[service.cache]\nmanager = \"command\"\nquiesce = true\nidempotent = true\n\
         start = [\"sh\", \"{ctl}\", \"start\"]\nstop = [\"sh\", \"{ctl}\", \"stop\"]\n\
         reload = [\"sh\", \"{ctl}\", \"reload\"]\nstatus = [\"sh\", \"{ctl}\", \"status\"]\n"
    );
    s.app.write("gitroll.toml", &more);
    s.release_kept("1.1.0").exit(0);
    fs::write(&events, "").expect("ours");
    s.release_kept_bad("1.2.0").exit(20);
    let events = fs::read_to_string(&events).expect("ours");
    let events: Vec<&str> = events.lines().collect();
    // The last stop is of the bad tree, before it is replaced; what is down is started, never reloaded.
    assert_eq!(events, ["stop 1.1.0", "start 1.2.0", "stop 1.2.0", "start 1.1.0"]);
    s.serves("1.1.0");
}

#[test]
fn a_unit_is_down_while_files_change() {
    boxed(|host, inside| {
        let name = "web\"\nquiesce = true\n#".to_owned();
        let config = config().served_by(ServedBy::Unit(name));
        let served =
            Served::configured(host, inside, &config, &[("web.service", &web_unit(host, ""))]);
        served.release("1.1.0", Behaviour::Good).exit(0).stderr_has("quiesce web");
        served.release("1.2.0", Behaviour::ThrowsAtBoot).exit(20);
        served.serves("1.1.0");
        let serving = served.app.head();
        let next = served.app.commit_version("1.3.0", Behaviour::Good);
        served.app.git(&["checkout", "-q", "--detach", &serving]);
        let killed = inside.gitroll_until("activate before=kill", &["deploy", &next, "--yes"]);
        assert_eq!((killed.code, served.shown("web", "ActiveState").as_str()), (None, "inactive"));
        inside.gitroll(&["abort"]).exit(0);
        served.serves("1.1.0");
    });
}
