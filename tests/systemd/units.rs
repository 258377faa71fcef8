//! One unit, of every type.

use super::*;

#[test]
fn a_good_release_serves_and_a_crash_at_boot_is_taken_back_with_what_the_journal_says() {
    boxed(|host, inside| {
        let served = Served::by_unit(host, inside, "");
        let first = served.shown("web", "MainPID");
        served.release("1.1.0", Behaviour::Good).exit(0).stdout_has("web 1/1 fresh");
        assert_ne!(served.shown("web", "MainPID"), first);
        // systemctl restart exits 0 for it.
        let bad = served.release("1.2.0", Behaviour::ThrowsAtBoot);
        bad.exit(20).stderr_has("web.service failed: exit code 1");
        bad.stderr_has("Error: plain-app 1.2.0 throws at boot");
        served.serves("1.1.0");
        inside.gitroll(&["show"]).exit(0).stdout_has("throws at boot");
        inside.gitroll(&["back", "--yes"]).exit(0).stdout_has("v1.0.0");
        served.serves("1.0.0");
        inside.gitroll(&["doctor"]).stdout_has("web running");
    });
}

#[test]
fn a_crash_half_a_second_after_the_start_is_seen() {
    boxed(|host, inside| {
        let slow = script(
            host,
            "late.sh",
            "grep -q throws behaviour.json && sleep 0.5\nexec node server.js\n",
        );
        let unit = unit_of(host, &slow, "");
        let served = Served::configured(host, inside, &config(), &[("web.service", &unit)]);
        let bad = served.release("1.1.0", Behaviour::ThrowsAtBoot);
        bad.exit(20).stderr_has("reload web").stderr_has("failed: exit code 1");
        served.serves("1.0.0");
    });
}

#[test]
fn a_unit_that_is_started_again_and_again_does_not_serve() {
    boxed(|host, inside| {
        // Without a start limit systemd never gives it up.
        let unit = web_unit(host, "Restart=always\nRestartSec=300ms");
        let unit = unit.replace("[Service]", "StartLimitIntervalSec=0\n[Service]");
        let served = Served::configured(host, inside, &config(), &[("web.service", &unit)]);
        let bad = served.release("1.1.0", Behaviour::ThrowsAtBoot);
        bad.exit(20)
            .stderr_has("web.service does not stay up, ")
            .stderr_has(" restarts")
            .stderr_has("throws at boot");
        served.serves("1.0.0");
    });
}

#[test]
fn a_start_limit_does_not_block_good_code() {
    boxed(|host, inside| {
        let served = Served::by_unit(host, inside, "");
        let bad = served.app.commit_version("1.1.0", Behaviour::ThrowsAtBoot);
        served.app.git(&["checkout", "-q", "--detach", &bad]);
        for _ in 0..8 {
            inside.run("systemctl", &["restart", "web"]);
            wait_until("it fell", || served.shown("web", "ActiveState") == "failed");
        }
        served.app.git(&["checkout", "-q", "--detach", "HEAD^"]);
        assert_ne!(inside.run("systemctl", &["restart", "web"]).code, Some(0), "the limit is hit");
        served.app.git(&["checkout", "-q", "--detach", &bad]);
        inside.gitroll(&["back", "--yes"]).exit(0);
        served.serves("1.0.0");
    });
}

#[test]
fn a_notify_unit_that_crashes_or_hangs_is_taken_back() {
    boxed(|host, inside| {
        let ready = script(host, "ready.sh", NOTIFY);
        let more = "Type=notify\nNotifyAccess=all\nTimeoutStartSec=3";
        let unit = unit_of(host, &ready, more);
        let served = Served::configured(host, inside, &config(), &[("web.service", &unit)]);
        served.release("1.1.0", Behaviour::Good).exit(0);
        let crash = served.release("1.2.0", Behaviour::ThrowsAtBoot);
        crash.exit(20).stderr_has("web.service failed").stderr_has("throws at boot");
        served.serves("1.1.0");
        let hang = served.release("1.3.0", Behaviour::HangsAtBoot);
        hang.exit(20).stderr_has("it was not ready within 3 s");
        served.serves("1.1.0");
    });
}

/// Tells systemd that it is ready when the app listens.
const NOTIFY: &str = "node server.js & main=$!\n\
    until (: </dev/tcp/127.0.0.1/$(sed -n s/PORT=//p .env)) 2>/dev/null; do\n\
    kill -0 $main || exit 4; sleep 0.05\ndone\nsystemd-notify --ready\nwait $main\n";

#[test]
fn a_forking_unit_is_judged_by_the_process_that_it_leaves() {
    boxed(|host, inside| {
        let pid = host.path("web.pid");
        let fork = format!("setsid node server.js & echo $! >{}\n", pid.display());
        let fork = script(host, "fork.sh", &fork);
        let more = format!("Type=forking\nPIDFile={}", pid.display());
        let unit = unit_of(host, &fork, &more);
        let served = Served::configured(host, inside, &config(), &[("web.service", &unit)]);
        served.release("1.1.0", Behaviour::Good).exit(0).stdout_has("web 1/1 fresh");
        served.release("1.2.0", Behaviour::ThrowsAtBoot).exit(20).stderr_has("throws at boot");
        served.serves("1.1.0");
    });
}

#[test]
fn a_oneshot_is_up_when_it_ended_well_and_fails_the_run_when_it_did_not() {
    boxed(|host, inside| {
        let done = host.path("done");
        let job = format!(
            "grep -q sours behaviour.json && exit 7\ngrep version package.json >{}\n",
            done.display()
        );
        let job = script(host, "job.sh", &job);
        let more = "[service.job]\nmanager = \"systemd\"\n[service.web2]\nmanager = \"systemd\"\nname = \"job2\"\n";
        let served = Served::configured(
            host,
            inside,
            &config().and(more),
            &[
                ("web.service", &web_unit(host, "")),
                ("job.service", &unit_of(host, &job, "Type=oneshot")),
                ("job2.service", &unit_of(host, &job, "Type=oneshot\nRemainAfterExit=yes")),
            ],
        );
        let states = inside.gitroll(&["service", "status"]);
        states
            .exit(0)
            .stdout_has("✓ job  inactive")
            .stdout_has("web2  exited")
            .stdout_has("web  running");
        served.release("1.1.0", Behaviour::Good).exit(0);
        let seen = std::fs::read_to_string(&done).expect("the job ran");
        assert!(seen.contains("1.1.0"), "{seen}");
        let bad = served.release("1.2.0", Behaviour::SoursAfter(60));
        bad.exit(20).stderr_has("job.service failed: exit code 7");
        served.serves("1.1.0");
    });
}

#[test]
fn a_oneshot_that_did_not_run_is_no_step_done() {
    boxed(|host, inside| {
        let job = script(host, "job.sh", "grep version package.json >>../ran\n");
        let job = unit_of(host, &job, "Type=oneshot");
        let more = "[service.job]\nmanager = \"systemd\"\n";
        let web = web_unit(host, "");
        let db = format!(
            "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\n\
             ExecStart=/bin/sh -c 'test ! -e {}'\n",
            host.path("broken").display()
        );
        let needs = job.replace("[Unit]", "[Unit]\nRequires=db.service\nAfter=db.service");
        let units = [("web.service", web.as_str()), ("job.service", &needs), ("db.service", &db)];
        let served = Served::configured(host, inside, &config().and(more), &units);
        let ran = || std::fs::read_to_string(host.path("ran")).unwrap_or_default();
        served.release("1.1.0", Behaviour::Good).exit(0);
        assert!(ran().contains("1.1.0"), "{}", ran());
        // What it needs fails once, on the way forth.
        std::fs::write(host.path("broken"), "").expect("ours");
        let failed = served.release("1.2.0", Behaviour::Good);
        assert_eq!(failed.code, Some(21), "{}", failed.stderr);
        failed.stderr_has("systemctl restart job.service: A dependency job for job.service failed");
        std::fs::remove_file(host.path("broken")).expect("ours");
        inside.gitroll(&["abort"]).exit(0);
        served.serves("1.1.0");
        assert!(!ran().contains("1.2.0"), "{}", ran());

        // systemd forgets whether it ran; only the journal knows.
        inside.run("systemctl", &["log-target", "journal"]).exit(0);
        let wanted = host.path("wanted");
        let only = format!("[Unit]\nConditionPathExists={}", wanted.display());
        std::fs::write(&wanted, "").expect("ours");
        inside.unit("job.service", &job.replace("[Unit]", &only));
        served.release("1.3.0", Behaviour::Good).exit(0);
        assert!(ran().contains("1.3.0"), "{}", ran());
        std::fs::remove_file(&wanted).expect("ours");
        for unit in [
            job.replace("[Unit]", &only),
            format!("{}RemainAfterExit=yes\n", job.replace("[Unit]", &only)),
        ] {
            inside.unit("job.service", &unit);
            let unmet = served.release("1.4.0", Behaviour::Good);
            assert_eq!(unmet.code, Some(21), "{}", unmet.stderr);
            unmet.stderr_has("job.service did not run: ConditionPathExists=");
            std::fs::write(&wanted, "").expect("ours");
            inside.gitroll(&["abort"]).exit(0);
            std::fs::remove_file(&wanted).expect("ours");
        }
        served.serves("1.3.0");
    });
}

#[test]
fn what_systemd_cannot_start_is_found_before_anything_changes() {
    boxed(|host, inside| {
        let served = Served::by_unit(host, inside, "");
        let pid = served.shown("web", "MainPID");
        std::os::unix::fs::symlink("/dev/null", host.path("units/off.service")).expect("ours");
        inside.unit("broken.service", "[Service]\nType=simple\n");
        inside.unit(
            "elsewhere.service",
            &web_unit(host, "").replace(
                &format!("WorkingDirectory={}", host.path("app").display()),
                "WorkingDirectory=/var/lib",
            ),
        );
        for (name, wanted) in [
            ("wbe", "systemd has no \"wbe.service\", it has web.service"),
            ("wbe", "did you mean name = \"web.service\""),
            ("off", "off.service is masked"),
            ("broken", "systemd cannot read broken.service"),
            ("elsewhere", "elsewhere.service runs in /var/lib, not in "),
        ] {
            served.app.configure(&config().served_by(ServedBy::Unit(name.to_owned())));
            served.release("1.1.0", Behaviour::Good).exit(1).stderr_has(wanted);
            assert_eq!(served.shown("web", "MainPID"), pid);
        }
        served.app.configure(&config());
        // No systemd at all, as in a container.
        inside.run("mv", &["/run/systemd/system", "/run/systemd/away"]).exit(0);
        let none = served.release("1.2.0", Behaviour::Good);
        none.exit(1).stderr_has("systemd does not run on this host").stderr_has("manager = ");
        inside.run("mv", &["/run/systemd/away", "/run/systemd/system"]).exit(0);
        served.serves("1.0.0");
        served.release("1.2.0", Behaviour::Good).exit(0);
    });
}

#[test]
fn a_unit_file_that_was_changed_is_read_again() {
    boxed(|host, inside| {
        let served = Served::by_unit(host, inside, "");
        inside.write_unit("web.service", &web_unit(host, "Environment=CHANGED=yes"));
        served.release("1.1.0", Behaviour::Good).exit(0);
        assert_eq!(served.shown("web", "Environment"), "CHANGED=yes");
    });
}

#[test]
fn a_unit_that_reloads_in_place_is_believed_only_by_the_version_it_answers() {
    boxed(|host, inside| {
        let main = script(host, "main.sh", MASTER);
        let unit = unit_of(host, &main, "ExecReload=/bin/kill -HUP $MAINPID");
        let config = config().served_by(ServedBy::Unit("web\"\nreload = true\n#".to_owned()));
        let served = Served::configured(host, inside, &config, &[("web.service", &unit)]);
        let pid = served.shown("web", "MainPID");
        served.release("1.1.0", Behaviour::Good).exit(0);
        assert_eq!(served.shown("web", "MainPID"), pid, "it was reloaded, not restarted");
        served.serves("1.1.0");
        // The reload succeeds, and the old code goes on.
        std::fs::write(host.path("deaf"), "").expect("ours");
        served.release("1.2.0", Behaviour::Good).exit(20).stderr_has("1.1.0");
        served.serves("1.1.0");
        // Where no answer names the version nothing tells it, neither then nor later.
        let text = served.app.read("gitroll.toml").replace(", \"/version\" = \"{version}\"", "");
        served.app.write("gitroll.toml", &text.replacen("[app]\n", "[app]\nprove = \"weak\"\n", 1));
        let weak = served.release("1.3.0", Behaviour::Good);
        weak.exit(0).stdout_has("v1.3.0 weak proof").stdout_lacks("observed serving");
        served.serves("1.1.0");
        let check = inside.gitroll(&["check"]);
        check.exit(0).stdout_has("proved it weakly").stdout_lacks("observed serving");
    });
}

/// Runs the app below itself, and another one at each HUP.
const MASTER: &str = "trap 'test -e ../deaf || kill $app' HUP\n\
    while :; do node server.js & app=$!\nwhile kill -0 $app 2>/dev/null; do wait $app; done\ndone\n";

#[test]
fn a_unit_that_is_over_and_left_its_server_behind_is_judged_by_the_server() {
    boxed(|host, inside| {
        let start = script(host, "left.sh", "setsid node server.js >/dev/null 2>&1 &\n");
        let more = "Type=oneshot\nRemainAfterExit=yes";
        let unit = unit_of(host, &start, more);
        let config = AppConfig::default().without_builds().settle(2, "300ms");
        let config = config.served_by(ServedBy::Unit("web".to_owned()));
        let served = Served::configured(
            host,
            inside,
            &config.and("[run]\nwatchdog = \"off\"\n"),
            &[("web.service", &unit)],
        );
        served.release("1.1.0", Behaviour::Good).exit(0).stdout_has("web 1/1 fresh");
        // A start that starts nothing leaves what ran.
        let good = script(host, "left.sh", "pgrep -f server.js >/dev/null || exit 1\n");
        assert!(good.is_file());
        let stays = served.release("1.2.0", Behaviour::Good);
        assert_ne!(stays.code, Some(0), "{stays:?}");
    });
}

#[test]
fn a_unit_that_is_a_copy_of_the_trees_is_not_left_behind() {
    boxed(|host, inside| {
        let app = host.app(Fixture::Plain);
        let unit = web_unit(host, "");
        app.write("deploy/web.service", &unit);
        let served = Served::of_app(inside, app, &config(), &[("web.service", &unit)]);
        served.app.write("deploy/web.service", &web_unit(host, "Environment=X=1"));
        let other = served.release("1.1.0", Behaviour::Good);
        other.exit(1).stderr_has("deploy/web.service changes, and systemd reads");
        other.stderr_has("git show ").stderr_has("sudo tee");
        served.serves("1.0.0");
        let changed = web_unit(host, "Environment=X=1");
        served.app.write("deploy/web.service", &changed);
        inside.write_unit("web.service", &changed);
        served.release("1.1.1", Behaviour::Good).exit(0);
        // The way back is not barred.
        let back = inside.gitroll(&["back", "--yes"]);
        back.exit(0).stderr_has("deploy/web.service changes");
    });
}
