//! Levels of a rollback: who is suspect, what is passed over, what is said and recorded of it.

use std::fs;

use crate::support::*;

fn uploads<'h>(host: &'h TestEnvironment) -> Scenario<'h> {
    flagged(host, &format!("{UPLOADS}{SHOWN_BY_HTTP}"))
}

#[test]
fn a_flag_that_cannot_be_read_is_passed_over_and_the_code_goes_back() {
    let host = TestEnvironment::new();
    let api = "[flags.source.api]\nfile = \"flags.json\"\npointer = \"/f\"\n\
               [component.API]\npaths = [\"features/**\"]\n\
               flag = { name = \"USE_API\", off = \"false\", on = \"true\", source = \"api\", verify = \"environ\" }\n";
    let s = flagged(&host, api);
    fs::write(s.app.dir.join(".git/info/exclude"), "flags.json\n").expect("it is writable");
    fs::write(s.app.dir.join("flags.json"), "{").expect("it is writable");
    s.sicken("code");
    let before = s.app.head();
    host.gitroll(&["component", "API", "--via", "flag", "--yes"]).exit(1);
    assert_eq!(s.app.head(), before);
    let back = host.gitroll(&["back", "--level", "auto", "--yes"]);
    back.exit(0).stderr_has("USE_API of API skipped").stderr_has("level code");
    s.serves("1.0.0");
    host.gitroll(&["show"]).exit(0).stdout_has("USE_API of API skipped");
}

#[test]
fn a_component_whose_flag_cannot_be_read_goes_by_its_files() {
    let host = TestEnvironment::new();
    let api = "[flags.source.api]\nfile = \"flags.json\"\npointer = \"/f\"\n\
               [component.API]\npaths = [\"features/**\"]\n\
               flag = { name = \"USE_API\", off = \"false\", on = \"true\", source = \"api\", verify = \"environ\" }\n";
    let s = flagged(&host, api);
    fs::write(s.app.dir.join(".git/info/exclude"), "flags.json\n").expect("it is writable");
    fs::write(s.app.dir.join("flags.json"), "{").expect("it is writable");
    s.sicken("files");
    let component = host.gitroll(&["component", "API", "--yes"]);
    component.exit(0).stderr_has("its flag is skipped").stderr_has("restoring its files instead");
    assert!(s.app.read("features/upload/index.js").contains("one at a time"));
}

#[test]
fn a_feature_older_than_the_last_release_is_suspect_where_nothing_newer_is() {
    let host = TestEnvironment::new();
    let s = uploads(&host);
    s.release_kept("1.2.0").exit(0);
    s.release_kept("1.3.0").exit(0);
    let head = s.app.head();
    s.sicken("flag");
    let back = host.gitroll(&["back", "--level", "auto", "--yes"]);
    back.exit(0).stderr_has("ENABLE_UPLOADS of QW-001, which is the same in v1.2.0");
    assert_eq!(s.app.head(), head);
    s.serves("1.3.0");
    host.gitroll(&["show"]).exit(0).stdout_has("which is the same in v1.2.0");
}

#[test]
fn every_decision_is_in_the_record_of_the_run_that_follows_from_it() {
    let host = TestEnvironment::new();
    let s = uploads(&host);
    s.sicken("code");
    host.gitroll(&["back", "--level", "auto", "--yes"]).exit(0);
    s.serves("1.0.0");
    host.gitroll(&["show"])
        .exit(0)
        .stdout_has("level flags: ENABLE_UPLOADS of QW-001, which differs from")
        .stdout_has("level flags: did not help, restored")
        .stdout_has("level code: rolling back to an earlier version");
}

#[test]
fn a_person_who_stops_one_level_did_not_ask_for_the_next() {
    let host = TestEnvironment::new();
    let s = uploads(&host);
    s.sicken("code");
    let going = Going::start(&host, &["back", "--level", "auto", "--yes"]);
    going.tells("reload web");
    going.interrupt();
    let (_, told) = going.ends(21);
    assert!(!told.contains("level code"), "{told}");
    assert!(s.env().contains("ENABLE_UPLOADS=true"), "{}", s.env());
    assert_eq!(s.app.version_served().as_deref(), Some("1.1.0"));
}

#[test]
fn what_neither_level_cures_leaves_the_flags_that_are_on_to_be_tried() {
    let host = TestEnvironment::new();
    let s = uploads(&host);
    s.sicken("both");
    let back = host.gitroll(&["back", "--yes"]);
    back.exit(21).stderr_has("gitroll flags off QW-001").stderr_has("ENABLE_UPLOADS is still on");
}

#[test]
fn an_emergency_asks_only_what_is_critical_at_every_step() {
    let host = TestEnvironment::new();
    let quick = AppConfig::default().without_builds().settle(1, "200ms").timeout("3s");
    let report = NOT_CRITICAL.replace("exit 3", "test ! -e .git/report-fails");
    let quick = quick.min_served("0s").and(&report);
    let s = Scenario::serving(&host, Fixture::Plain, &quick);
    for version in ["1.1.0", "1.2.0", "1.3.0"] {
        s.release(version, Behaviour::Good).exit(0);
    }
    s.app.write(".git/report-fails", "");
    s.app.sour("1.2.0");
    let back = host.gitroll(&["back", "--emergency", "--cascade", "2"]);
    back.exit(0).stderr_has("cascade: trying");
    s.serves("1.1.0");
    host.gitroll(&["show"])
        .exit(0)
        .stdout_has("emergency: not critical, not run: report")
        .stdout_has("cascade: trying");
    // What serves fails, and so does the first candidate.
    s.app.sour("1.1.0");
    host.gitroll(&["back", "--emergency"]).exit(0);
    s.serves("1.0.0");
    host.gitroll(&["show"]).exit(0).stdout_has("emergency: not critical, not run: report");
}

#[test]
fn an_emergency_judges_a_flag_by_what_is_critical() {
    let host = TestEnvironment::new();
    let s = flagged(&host, &format!("{UPLOADS}{SHOWN_BY_HTTP}"));
    let toml = format!("{}{NOT_CRITICAL}", s.app.read("gitroll.toml"));
    s.app.write("gitroll.toml", &toml);
    host.gitroll(&["init", "--yes"]).exit(0);
    s.sicken("flag");
    let back = host.gitroll(&["back", "--emergency", "--level", "auto"]);
    back.exit(0).stdout_has("ENABLE_UPLOADS false");
    host.gitroll(&["show"]).exit(0).stdout_has("emergency: not critical, not run: report");
}

#[test]
fn without_a_terminal_a_component_goes_from_its_flag_to_its_files() {
    let host = TestEnvironment::new();
    let s = uploads(&host);
    s.sicken("files");
    let component = host.gitroll(&["component", "QW-001"]);
    component
        .exit(0)
        .stderr_has("switching its flag off did not help; restoring its files instead");
    assert!(s.app.read("features/upload/index.js").contains("one at a time"));
    assert!(s.env().contains("ENABLE_UPLOADS=true"), "{}", s.env());
    host.gitroll(&["show"]).exit(0).stdout_has("switching its flag off did not help");
}

#[test]
fn undo_returns_to_what_the_last_change_of_flags_left() {
    let host = TestEnvironment::new();
    let s = uploads(&host);
    host.gitroll(&["flags", "off", "QW-001"]).exit(0);
    host.gitroll(&["back", "--level", "flags", "--yes"]).exit(0);
    assert!(s.env().contains("ENABLE_UPLOADS=true"), "{}", s.env());
    host.gitroll(&["log"])
        .exit(0)
        .stdout_has("flags back")
        .stdout_has("ENABLE_UPLOADS true, was false");
    host.gitroll(&["back", "--undo", "--yes"]).exit(0);
    assert!(s.env().contains("ENABLE_UPLOADS=false"), "{}", s.env());
    host.gitroll(&["back", "--undo", "--yes"]).exit(0);
    assert!(s.env().contains("ENABLE_UPLOADS=true"), "{}", s.env());
}

#[test]
fn a_flag_that_was_tried_in_vain_is_no_success_where_the_files_are_the_same() {
    let host = TestEnvironment::new();
    let s = uploads(&host);
    s.release_kept("1.2.0").exit(0);
    s.sicken("both");
    let component = host.gitroll(&["component", "QW-001"]);
    component
        .exit(21)
        .stderr_has("QW-001 is the same in")
        .stderr_has("the flag was switched off first");
    assert!(s.env().contains("ENABLE_UPLOADS=true"), "{}", s.env());
    s.cure("both");
    fs::remove_file(s.app.dir.join(".env")).expect("it is there");
    fs::create_dir(s.app.dir.join(".env")).expect("the app's directory is writable");
    let component = host.gitroll(&["component", "QW-001"]);
    component.exit(1).stderr_has("its flag could not be switched");
}
