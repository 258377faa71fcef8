//! Components that are not there, match nothing, overlap, are the same, or became something else.

use std::os::unix::fs::symlink;

use crate::support::*;

const UPLOAD: &str = "[component.QW-001]\npaths = [\"features/upload/**\"]\n";

fn config(components: &str) -> AppConfig {
    AppConfig::default().without_builds().and(components)
}

/// 1.0.0 with an upload feature, promoted; then 1.1.0, changed like this.
fn changed<'h>(
    host: &'h TestEnvironment,
    components: &str,
    change: impl FnOnce(&App<'h>),
) -> Scenario<'h> {
    let app = host.app(Fixture::Plain);
    app.configure(&config(components));
    app.write("features/upload/index.js", "module.exports = 'one';\n");
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s.promote("v1.0.0");
    s.app.git(&["checkout", "-q", "main"]);
    change(&s.app);
    s.app.commit_version("1.1.0", Behaviour::Good);
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s
}

#[track_caller]
fn unchanged(s: &Scenario<'_>, args: &[&str], exit: i32) -> Answer {
    let before = s.app.state();
    let answer = s.host.gitroll(args);
    answer.exit(exit);
    before.assert_same(&s.app.state());
    s.serves("1.1.0");
    answer
}

#[test]
fn an_unknown_component_is_named_with_the_nearest() {
    let host = TestEnvironment::new();
    let s = changed(&host, UPLOAD, |_| {});
    unchanged(&s, &["component", "QW-01", "--yes"], 1)
        .stderr_has("there is no component QW-01")
        .stderr_has("gitroll component QW-001");
    unchanged(&s, &["deploy", "main", "--keep-component", "zzz", "--yes"], 1)
        .stderr_has("gitroll component");
}

#[test]
fn where_none_is_declared_it_says_how_to() {
    let host = TestEnvironment::new();
    let s = changed(&host, "", |_| {});
    unchanged(&s, &["component", "QW-001", "--yes"], 1).stderr_has("declares no component");
    unchanged(&s, &["component"], 0).stderr_has("declares no component");
}

#[test]
fn empty_and_hostile_paths_are_refused_when_the_file_is_read() {
    let host = TestEnvironment::new();
    let s = changed(&host, UPLOAD, |_| {});
    for paths in ["[]", "[\"\"]", "[\"../up\"]", "[\"/etc\"]", "[\".git/hooks\"]", "[\"a/.GIT \"]"]
    {
        s.app.git(&["checkout", "-q", "main"]);
        s.app.configure(&config(&format!("[component.QW-001]\npaths = {paths}\n")));
        let broken = s.app.commit("broken paths");
        s.app.git(&["checkout", "-q", "--detach", "HEAD^"]);
        s.app.git(&["branch", "-q", "-f", "main", "HEAD"]);
        unchanged(&s, &["deploy", &broken, "--yes"], 1).stderr_has("gitroll.toml");
    }
}

#[test]
fn paths_that_match_nothing_anywhere_are_an_error() {
    let host = TestEnvironment::new();
    let s = changed(&host, "[component.QW-001]\npaths = [\"features/uplaod/**\"]\n", |_| {});
    unchanged(&s, &["component", "QW-001", "--yes"], 1)
        .stderr_has("match nothing")
        .stderr_has("paths");
    unchanged(&s, &["component"], 0).stdout_has("empty");
}

#[test]
fn a_component_the_target_lacks_is_removed_and_that_is_said_before() {
    let host = TestEnvironment::new();
    let paths = "[component.QW-002]\npaths = [\"features/added/**\"]\n";
    let s = changed(&host, paths, |app| {
        app.write("features/added/index.js", "module.exports = 'x';\n")
    });
    unchanged(&s, &["component", "QW-002", "--plan"], 0)
        .stderr_has("has no file in v1.0.0-stable: 1 file will be removed");
    host.gitroll(&["component", "QW-002", "--yes"]).exit(0);
    assert!(!s.app.has("features/added"));
    s.serves("1.1.0");
}

#[test]
fn the_same_content_is_nothing_to_do() {
    let host = TestEnvironment::new();
    let s = changed(&host, UPLOAD, |_| {});
    let pid = s.app.pid_served();
    unchanged(&s, &["component", "QW-001", "--yes"], 0).stdout_has("nothing to do");
    assert_eq!(s.app.pid_served(), pid, "nothing was reloaded");
    let json = unchanged(&s, &["component", "QW-001", "--yes", "--json"], 0).json();
    assert_eq!(json["result"]["outcome"], "nothing-to-do");
}

#[test]
fn overlapping_components_are_told_before_acting() {
    let host = TestEnvironment::new();
    let both = format!("{UPLOAD}[component.ALL]\npaths = [\"features/**\"]\n");
    let s = changed(&host, &both, |app| {
        app.write("features/upload/index.js", "module.exports = 'two';\n");
    });
    unchanged(&s, &["component", "QW-001", "--plan"], 0).stderr_has("ALL");
}

#[test]
fn a_directory_that_became_a_link_is_put_back_and_what_it_points_to_is_not_touched() {
    let host = TestEnvironment::new();
    let outside = host.path("outside");
    std::fs::create_dir(&outside).expect("the host's directory is writable");
    std::fs::write(outside.join("index.js"), "module.exports = 'outside';\n").expect("it is");
    let s = changed(&host, UPLOAD, |app| {
        std::fs::remove_dir_all(app.dir.join("features/upload")).expect("it is there");
        symlink(&outside, app.dir.join("features/upload")).expect("a link can be made");
    });
    host.gitroll(&["component", "QW-001", "--yes"]).exit(0);
    assert!(s.app.dir.join("features/upload").symlink_metadata().expect("there").is_dir());
    assert_eq!(s.app.read("features/upload/index.js"), "module.exports = 'one';\n");
    let kept = std::fs::read_to_string(outside.join("index.js")).expect("nobody removed it");
    assert_eq!(kept, "module.exports = 'outside';\n");
}

#[test]
fn a_component_with_a_submodule_is_refused() {
    let host = TestEnvironment::new();
    let s = changed(&host, UPLOAD, |_| {});
    s.app.git(&["checkout", "-q", "main"]);
    let head = s.app.head();
    let info = format!("160000,{head},features/upload/vendored");
    s.app.git(&["update-index", "--add", "--cacheinfo", &info]);
    s.app.git(&["commit", "-q", "-m", "a submodule"]);
    let with = s.app.head();
    s.app.git(&["reset", "-q", "--hard", "HEAD^"]);
    s.app.git(&["checkout", "-q", "--detach"]);
    unchanged(&s, &["component", "QW-001", "--to", &with, "--yes"], 1).stderr_has("submodule");
}

#[test]
fn a_file_of_somebody_else_in_the_way_is_refused() {
    let host = TestEnvironment::new();
    let paths = "[component.QW-001]\npaths = [\"features/upload/deep/*.js\"]\n";
    let app = host.app(Fixture::Plain);
    app.configure(&config(paths));
    app.write("features/upload/deep/a.js", "1\n");
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host: &host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s.app.git(&["checkout", "-q", "main"]);
    std::fs::remove_dir_all(s.app.dir.join("features/upload/deep")).expect("it is there");
    s.app.write("features/upload/deep", "a file\n");
    s.app.commit_version("1.1.0", Behaviour::Good);
    host.gitroll(&["deploy", "--yes"]).exit(0);
    unchanged(&s, &["component", "QW-001", "--yes"], 1)
        .stderr_has("features/upload/deep, which does not belong to QW-001, is in the way");
}
