//! `flags ramp`: what a flag is when a step does not hold, when somebody else acts, when a person stops it.

use crate::support::*;
use serde_json::Value;

/// The app with its flag off.
fn off<'h>(host: &'h TestEnvironment) -> Scenario<'h> {
    let s = flagged(host, &format!("{UPLOADS}{SHOWN_BY_HTTP}"));
    host.gitroll(&["flags", "off", "QW-001"]).exit(0);
    s
}

fn ramps<'h>(host: &'h TestEnvironment, args: &[&str]) -> Going<'h> {
    Going::start(host, &[&["flags", "ramp"], args].concat())
}

#[test]
fn a_ramp_answers_once() {
    let host = TestEnvironment::new();
    let s = off(&host);
    let ramp = ["flags", "ramp", "QW-001", "50%,100%", "--every", "1s", "--json"];
    let plan = host.gitroll(&[&ramp[..], &["--plan"]].concat());
    plan.exit(0);
    assert_eq!(plan.json()["result"]["steps"], serde_json::json!(["0.5", "true"]));
    assert!(s.env().contains("ENABLE_UPLOADS=false"), "{}", s.env());
    let ramp = host.gitroll(&ramp);
    ramp.exit(0);
    assert_eq!(ramp.json()["result"]["outcome"], "reached");
    assert!(s.env().contains("ENABLE_UPLOADS=true"), "{}", s.env());
}

#[test]
fn a_step_that_no_step_cures_comes_down_all_the_same() {
    let host = TestEnvironment::new();
    let s = off(&host);
    let going = ramps(&host, &["QW-001", "10%,50%,100%", "--every", "3s", "--json"]);
    going.tells("watching ENABLE_UPLOADS = 0.5");
    s.sicken("both");
    let (out, told) = going.ends(21);
    assert!(s.env().contains("ENABLE_UPLOADS=0.1"), "{}\n{told}", s.env());
    assert!(told.contains("ENABLE_UPLOADS = 0.5 did not hold; it is 0.1 now"), "{told}");
    let answer: Value = serde_json::from_str(&out).expect("one document");
    assert_eq!(answer["exit"], 21, "{out}");
}

#[test]
fn a_hidden_value_comes_back_too() {
    let host = TestEnvironment::new();
    let flags = "[flags]\nfile = \".env\"\napply = \"environment\"\nverify = \"environ\"\n\
                 [component.LOGIN]\npaths = [\"login/**\"]\n\
                 flag = { name = \"AUTH_TOKEN\", off = \"0\", on = \"1\" }\n";
    let s = flagged(&host, flags);
    let ramp = ["flags", "ramp", "LOGIN", "10%,50%,100%", "--every", "4s"];
    host.gitroll(&[&ramp[..], &["--plan"]].concat()).exit(0).stdout_lacks("0.5");
    host.gitroll(&["flags", "set", "AUTH_TOKEN=0"]).exit(0);
    let going = Going::start(&host, &ramp);
    wait_until("the first step", || s.env().contains("AUTH_TOKEN=0.1"));
    wait_until("the second", || s.env().contains("AUTH_TOKEN=0.5"));
    wait_until("it is watched", || going.told().matches("watching ").count() == 2);
    s.sicken("both");
    let (_, told) = going.ends(21);
    assert!(s.env().contains("AUTH_TOKEN=0.1"), "{}\n{told}", s.env());
    assert!(!told.contains("0.5"), "{told}");
}

#[test]
fn a_ramp_that_is_stopped_says_where_the_flag_stands() {
    let host = TestEnvironment::new();
    let s = off(&host);
    let going = ramps(&host, &["QW-001", "10%,100%", "--every", "60s"]);
    going.tells("watching ");
    // What is said of the signal is said by what watches.
    std::thread::sleep(std::time::Duration::from_millis(500));
    going.interrupt();
    let (_, told) = going.ends(21);
    assert!(told.contains("ENABLE_UPLOADS stays at 0.1"), "{told}");
    assert!(!told.contains("the live tree was not changed"), "{told}");
    assert!(s.env().contains("ENABLE_UPLOADS=0.1"), "{}", s.env());
}

#[test]
fn a_flag_that_somebody_else_sets_ends_the_ramp_and_is_named_as_it_is() {
    let host = TestEnvironment::new();
    let s = off(&host);
    let going = ramps(&host, &["QW-001", "10%,100%", "--every", "6s"]);
    going.tells("watching ");
    host.gitroll(&["flags", "off", "QW-001"]).exit(0);
    let (_, told) = going.ends(21);
    assert!(told.contains("ENABLE_UPLOADS is false now"), "{told}");
    assert!(s.env().contains("ENABLE_UPLOADS=false"), "{}", s.env());
}

#[test]
fn a_flag_that_was_absent_is_absent_again_or_that_is_said() {
    let host = TestEnvironment::new();
    let s = flagged(&host, &format!("{UPLOADS}{SHOWN_BY_HTTP}"));
    std::fs::write(s.app.dir.join(".env"), "OTHER=1\n").expect("it is writable");
    let going = ramps(&host, &["QW-001", "10%,100%", "--every", "5s"]);
    going.tells("watching ");
    s.sicken("flag");
    let (_, told) = going.ends(21);
    assert!(!s.env().contains("ENABLE_UPLOADS"), "{}\n{told}", s.env());
    assert!(told.contains("it is absent now"), "{told}");
}

#[test]
fn an_empty_step_is_refused() {
    let host = TestEnvironment::new();
    let s = off(&host);
    let before = s.env();
    for steps in [",,", "10%,,100%", ""] {
        host.gitroll(&["flags", "ramp", "QW-001", steps, "--every", "1s"]).exit(2);
    }
    assert_eq!(s.env(), before);
}

#[test]
fn who_stops_the_ramp_while_it_puts_a_step_back_does_not_bring_that_step_back() {
    let host = TestEnvironment::new();
    let s = off(&host);
    let going = ramps(&host, &["QW-001", "10%,50%,100%", "--every", "4s"]);
    going.tells("watching ENABLE_UPLOADS = 0.5");
    s.sicken("both");
    wait_until("the step before is set again", || s.env().contains("ENABLE_UPLOADS=0.1"));
    going.interrupt();
    going.tells("not stopping: the previous state is being restored");
    s.cure("both");
    let (_, told) = going.ends(20);
    assert!(told.contains("it is 0.1 again, its value before that step"), "{told}");
    assert!(s.env().contains("ENABLE_UPLOADS=0.1"), "{}", s.env());
}
