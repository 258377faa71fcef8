//! What was built and then edited by hand is never served, kept or gone back to as what was built.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::support::*;

/// 1.0.0 serves, with a `dist` that gitroll built.
fn serving(host: &TestEnvironment) -> Scenario<'_> {
    Scenario::serving(host, Fixture::Plain, &AppConfig::default().settle(1, "100ms"))
}

/// A deploy of 1.1.0 that was killed at this place.
#[track_caller]
fn killed<'h>(host: &'h TestEnvironment, place: &str) -> Scenario<'h> {
    let s = serving(host);
    let serving = s.app.head();
    s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["branch", "-f", "next"]);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    let mut command = host.gitroll_command(&["deploy", "next", "--yes"]);
    command.env("GITROLL_FAIL_AT", format!("{place}=kill"));
    let answer = Answer::of(command, std::time::Duration::from_secs(60));
    assert_eq!(answer.code, None, "{}", answer.transcript());
    s
}

/// The built page, edited in place: the directory it lies in shows nothing of it.
fn edit(s: &Scenario<'_>) {
    s.app.write("dist/index.html", "mine\n");
}

fn edit_below(dir: &Path) {
    fs::write(dir.join("index.html"), "mine\n").expect("it is there");
}

#[track_caller]
fn built(s: &Scenario<'_>, version: &str) {
    let page = s.app.read("dist/index.html");
    assert!(page.contains(version), "{page}");
}

fn store(s: &Scenario<'_>) -> PathBuf {
    s.app.dir.join(".git/gitroll/store")
}

/// The artifacts that are kept and do not serve.
fn kept(s: &Scenario<'_>) -> Vec<PathBuf> {
    let entries = fs::read_dir(store(s)).expect("there is a store");
    let entries = entries.map(|entry| entry.expect("it can be read").path().join("dist"));
    entries.filter(|dist| dist.is_dir()).collect()
}

const PLACES: [&str; 4] = ["activate after", "head after", "reload web after", "prove before"];

#[test]
fn resume_does_not_serve_an_edited_artifact_as_the_target() {
    for place in PLACES {
        let host = TestEnvironment::new();
        let s = killed(&host, place);
        edit(&s);
        host.gitroll(&["resume"]).exit(20).stderr_has("dist: was changed since it was built");
        s.serves("1.0.0");
        built(&s, "1.0.0");
        host.gitroll(&["deploy", "next", "--yes"]).exit(0);
        built(&s, "1.1.0");
    }
}

#[test]
fn after_abort_an_edited_artifact_is_built_anew() {
    for place in PLACES {
        let host = TestEnvironment::new();
        let s = killed(&host, place);
        edit(&s);
        host.gitroll(&["abort"]).exit(0);
        built(&s, "1.0.0");
        host.gitroll(&["deploy", "next", "--yes"]).exit(0).stderr_has("changed since it was built");
        s.serves("1.1.0");
        built(&s, "1.1.0");
    }
}

#[test]
fn what_served_and_was_edited_meanwhile_goes_back_as_it_is_and_is_built_anew_later() {
    let host = TestEnvironment::new();
    let s = killed(&host, "head after");
    let before = kept(&s);
    assert_eq!(before.len(), 1, "{before:?}");
    edit_below(&before[0]);
    host.gitroll(&["abort"]).exit(0).stderr_has("dist was changed since it was built");
    s.serves("1.0.0");
    assert_eq!(s.app.read("dist/index.html"), "mine\n", "a person's edit is not lost");
    host.gitroll(&["deploy", "next", "--yes"]).exit(0);
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.0.0");
    built(&s, "1.0.0");
}

#[test]
fn an_edit_of_what_is_kept_or_stays_live_fails_a_run_that_is_resumed_over_it() {
    let host = TestEnvironment::new();
    let s = killed(&host, "activate before");
    kept(&s).iter().for_each(|dist| edit_below(dist));
    host.gitroll(&["resume"]).exit(20).stderr_has("dist: was changed since it was built");
    built(&s, "1.0.0");
    s.serves("1.0.0");
}

#[test]
fn what_was_added_since_is_no_edit() {
    let host = TestEnvironment::new();
    let s = killed(&host, "head after");
    s.app.write("dist/assets/__pycache__/x", "made by the app\n");
    s.app.write("dist/assets/.cache/x", "made by a tool\n");
    host.gitroll(&["resume"]).exit(0);
    s.serves("1.1.0");
    host.gitroll(&["back", "--yes"]).exit(0).stdout_lacks("changed since");
    host.gitroll(&["doctor"]).stdout_lacks("changed since");
}

#[test]
fn an_artifact_edited_while_it_serves_is_not_gone_back_to() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    edit(&s);
    s.release_kept("1.1.0").exit(0).stderr_has("changed since it was built, not used: dist");
    built(&s, "1.1.0");
    host.gitroll(&["back", "--yes"]).exit(0).stderr_has("build    app");
    s.serves("1.0.0");
    built(&s, "1.0.0");
    host.gitroll(&["back", "--undo", "--yes"]).exit(0).stderr_has("none (kept)");
    built(&s, "1.1.0");
}

#[test]
fn what_serves_and_was_edited_does_not_serve_already() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let serving = s.app.head();
    host.gitroll(&["deploy", &serving, "--yes"]).exit(0).stdout_has("already serves");
    edit(&s);
    host.gitroll(&["deploy", &serving, "--yes"]).exit(0).stdout_lacks("already serves");
    built(&s, "1.0.0");
}

#[test]
fn what_is_edited_in_the_store_is_found_by_doctor_and_never_used() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    s.release_kept("1.1.0").exit(0);
    host.gitroll(&["doctor"]).exit(0);
    kept(&s).iter().for_each(|dist| edit_below(dist));
    let doctor = host.gitroll(&["doctor"]);
    doctor.exit(1).stdout_has("dist of v1.0.0-stable, kept for it, was changed since it was built");
    let fix = doctor.stdout.lines().find_map(|line| line.trim().strip_prefix("rm -r "));
    let fix = fix.expect("the command that mends it").to_owned();
    host.gitroll(&["back", "--yes"]).exit(0).stderr_has("build    app");
    built(&s, "1.0.0");
    assert!(fix.starts_with(&*store(&s).to_string_lossy()), "{fix}");
    host.gitroll(&["doctor"]).stdout_lacks("changed since");
}

#[test]
fn the_command_that_doctor_prints_mends_an_artifact_edited_in_the_store() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    s.release_kept("1.1.0").exit(0);
    kept(&s).iter().for_each(|dist| edit_below(dist));
    let doctor = host.gitroll(&["doctor"]);
    let fix = doctor.stdout.lines().find_map(|line| line.trim().strip_prefix("rm -r "));
    host.run("rm", &["-r", fix.expect("the command")]).exit(0);
    host.gitroll(&["doctor"]).exit(0).stdout_has("back would build app");
}

#[test]
fn a_store_of_an_earlier_version_has_no_seals_and_goes_on_to_be_used() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    s.release_kept("1.1.0").exit(0);
    fs::remove_file(store(&s).join("seals.json")).expect("there are seals");
    host.gitroll(&["doctor"]).exit(0);
    host.gitroll(&["back", "--yes"]).exit(0).stderr_has("none (kept)");
    built(&s, "1.0.0");
    // What went through a run is sealed by it.
    kept(&s).iter().for_each(|dist| edit_below(dist));
    host.gitroll(&["back", "--undo", "--yes"]).exit(0).stderr_has("build    app");
    built(&s, "1.1.0");
}

#[test]
fn an_output_that_was_replaced_as_a_whole_is_not_what_was_proven() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &AppConfig::default().settle(2, "1s"));
    let dist = s.app.dir.join("dist");
    let replace = || {
        fs::remove_dir_all(&dist).expect("it is there");
        s.app.write("dist/index.html", "of another tool\n");
    };
    let serving = s.app.head();
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    let mut deploy = host.gitroll_command(&["deploy", &next, "--yes"]);
    let deploy = deploy.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    wait_for_version(&s.app.health(), "1.1.0");
    replace();
    let ended = deploy.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(20), "{told}");
    assert!(told.contains("dist changed after v1.1.0"), "{told}");
    s.serves("1.0.0");
    built(&s, "1.0.0");

    // By hand, and started again.
    replace();
    host.gitroll(&["service", "restart", "web"]).exit(0);
    host.gitroll(&["check"]).exit(1).stderr_has("it may run another version");
    host.gitroll(&["status"]).stdout_has("not proven: web: process").stdout_has("dist edited");
    host.gitroll(&["promote", "--yes"]).exit(10);
    host.gitroll(&["deploy", &serving, "--yes"]).exit(0).stdout_lacks("already serves");
    built(&s, "1.0.0");
    host.gitroll(&["check"]).exit(0);
    // A link to the very same is not what was put there, either.
    fs::rename(&dist, s.app.dir.join("../elsewhere")).expect("it is there");
    std::os::unix::fs::symlink("../elsewhere", &dist).expect("the place is free");
    host.gitroll(&["status"]).stdout_has("dist edited");
}

#[test]
fn what_a_build_puts_in_the_live_tree_is_not_kept_as_what_served() {
    let host = TestEnvironment::new();
    let s = serving(&host);
    let live = s.app.dir.join("dist");
    let builds = s.app.read("build.js");
    let also = format!(
        "\nconst live = {live:?};\nrequire('fs').rmSync(live, {{ recursive: true }});\n\
         require('fs').mkdirSync(live);\nrequire('fs').writeFileSync(live + '/index.html', 'of the build');\n"
    );
    s.app.write("build.js", &(builds + &also));
    s.release_kept("1.1.0").exit(0);
    built(&s, "1.1.0");
    host.gitroll(&["back", "--yes"]).exit(0).stderr_has("not used: dist").stderr_has("✓ build app");
    built(&s, "1.0.0");
}
