//! What lies beside the main process: units bound to it, what an earlier start left, where its output goes.

use std::fs;
use std::time::Duration;

use super::*;

#[test]
fn units_that_systemd_stops_with_ours_run_again_afterwards() {
    boxed(|host, inside| {
        let bound = |how: &str, name: &str| {
            let unit = format!(
                "[Unit]\nDefaultDependencies=no\n{how}={name}\nAfter={name}\n[Service]\n\
                 ExecStart=/bin/sh -c 'test ! -e {} && exec sleep 1000'\n",
                host.path("broken").display()
            );
            unit
        };
        let units = [
            ("web.service", web_unit(host, "")),
            ("one.service", bound("BindsTo", "web.service")),
            ("two.service", bound("Requires", "one.service")),
            ("three.service", bound("PartOf", "web.service")),
            ("idle.service", bound("Requires", "web.service")),
        ];
        let units = units.each_ref().map(|(name, text)| (*name, text.as_str()));
        let served = Served::configured(host, inside, &config(), &units);
        let run = ["one", "two", "three"];
        inside.run("systemctl", &["start", "one", "two", "three"]).exit(0);
        let all = |why: &str| {
            for unit in run {
                wait_until(&format!("{why}: {unit} runs"), || {
                    served.shown(unit, "ActiveState") == "active"
                });
            }
            assert_eq!(served.shown("idle", "ActiveState"), "inactive");
        };
        served.release("1.1.0", Behaviour::Good).exit(0);
        all("restarted");
        served.release("1.2.0", Behaviour::ThrowsAtBoot).exit(20);
        all("gone back");
        let text = served.app.read("gitroll.toml");
        let quiet = text.replace("[service.web]\n", "[service.web]\nquiesce = true\n");
        served.app.write("gitroll.toml", &quiet);
        served.release("1.3.0", Behaviour::Good).exit(0);
        all("stopped and started");
        // One that does not come back is no success.
        fs::write(host.path("broken"), "").expect("ours");
        let lost = served.release("1.4.0", Behaviour::Good);
        assert_eq!(lost.code, Some(21), "{}", lost.stderr);
        lost.stderr_has("was running, was stopped with web and is not running now");
        fs::remove_file(host.path("broken")).expect("ours");
        inside.gitroll(&["abort"]).exit(0);
        all("mended");
        served.serves("1.3.0");
    });
}

#[test]
fn a_reload_that_fails_is_taken_back_by_a_restart() {
    boxed(|host, inside| {
        let name = "web\"\nreload = true\n#".to_owned();
        let config = config().served_by(ServedBy::Unit(name));
        let unit = web_unit(host, "ExecReload=/bin/false");
        let served = Served::configured(host, inside, &config, &[("web.service", &unit)]);
        let pid = served.shown("web", "MainPID");
        let bad = served.release("1.1.0", Behaviour::Good);
        bad.exit(20).stderr_has("systemctl reload web.service");
        served.serves("1.0.0");
        assert_ne!(served.shown("web", "MainPID"), pid);
    });
}

#[test]
fn a_process_that_an_earlier_start_left_is_named() {
    boxed(|host, inside| {
        // The shell is ended, and what it started keeps the port.
        let run = script(host, "run.sh", "node server.js &\nwait\n");
        let unit = unit_of(host, &run, "KillMode=process\nTimeoutStopSec=2");
        let served = Served::configured(host, inside, &config(), &[("web.service", &unit)]);
        let bad = served.release("1.1.0", Behaviour::Good);
        assert_eq!(bad.code, Some(21), "{}", bad.stderr);
        bad.stderr_has(" server.js) is still running although the unit is not: KillMode=process");
        inside.run("systemctl", &["kill", "--signal=KILL", "web"]);
    });
}

#[test]
fn a_slow_journal_takes_nothing_from_a_good_release() {
    boxed(|host, inside| {
        let served = Served::by_unit(host, inside, "");
        let journalctl = find_tool("journalctl").expect("journalctl is on this machine");
        let slow = format!("#!/bin/sh\nsleep 2.5\nexec {} \"$@\"\n", journalctl.display());
        host.fake_tool("journalctl", &slow);
        inside.gitroll(&["init", "--yes"]).exit(0);
        let good = served.release("1.1.0", Behaviour::Good);
        good.exit(0);
        assert!(good.took < Duration::from_secs(8), "it took {:?}", good.took);
        let status = inside.gitroll(&["status"]);
        assert!(status.took < Duration::from_secs(2), "it took {:?}", status.took);
        // It is read when something is wrong.
        served.release("1.2.0", Behaviour::ThrowsAtBoot).exit(20).stderr_has("throws at boot");
    });
}

#[test]
fn what_a_unit_wrote_to_its_file_is_told_and_silence_is_called_silence() {
    boxed(|host, inside| {
        let file = host.path("web.err");
        let unit = web_unit(host, &format!("StandardError=append:{}", file.display()));
        let served = Served::configured(host, inside, &config(), &[("web.service", &unit)]);
        let bad = served.release("1.1.0", Behaviour::ThrowsAtBoot);
        bad.exit(20).stderr_has("plain-app 1.1.0 throws at boot");
        let mute = web_unit(host, "StandardOutput=null\nStandardError=null");
        inside.unit("web.service", &mute);
        let mute = served.release("1.2.0", Behaviour::ThrowsAtBoot);
        mute.exit(20).stderr_has("it has written nothing to the journal since its start");
        assert!(!mute.stderr.contains("sudo"), "{}", mute.stderr);
    });
}
