//! Directories and links that lead elsewhere, or that others could have written.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn outside(host: &TestEnvironment) -> std::path::PathBuf {
    let dir = host.path("outside");
    fs::create_dir(&dir).expect("a fresh directory can be filled");
    fs::write(dir.join("precious"), "precious\n").expect("a fresh directory can be filled");
    dir
}

#[test]
fn a_build_output_that_is_a_link_leading_out_is_not_followed() {
    let host = TestEnvironment::new();
    let config = AppConfig::default().settle(1, "100ms").timeout("3s");
    let s = Scenario::bound(&host, Fixture::Plain, &config);
    let outside = outside(&host);
    symlink(&outside, s.app.dir.join("dist")).expect("a link can be made");
    let before = Tree::of(&outside);
    let answer = host.gitroll(&["deploy", "--yes"]);
    answer.exit(1).stderr_has("dist").stderr_has("link");
    before.assert_same(&Tree::of(&outside));
}

#[test]
fn a_directory_on_the_host_that_is_a_link_is_not_written_through() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    s.app.write("data/precious", "from git\n");
    s.app.write("data/new", "from git\n");
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", "HEAD~1"]);
    let outside = outside(&host);
    fs::remove_dir_all(s.app.dir.join("data")).ok();
    symlink(&outside, s.app.dir.join("data")).expect("a link can be made");
    let before = Tree::of(&outside);
    let answer = host.gitroll(&["deploy", &next, "--yes"]);
    assert!(matches!(answer.code, Some(0 | 1 | 10)), "{}", answer.transcript());
    before.assert_same(&Tree::of(&outside));
    if answer.code == Some(0) {
        assert!(s.app.dir.join("data").symlink_metadata().is_ok_and(|m| m.is_dir()));
    }
    // And back: what is removed with the release is not what lies outside.
    host.gitroll(&["back", "--yes"]);
    before.assert_same(&Tree::of(&outside));
}

#[test]
fn a_carried_environment_file_that_is_a_link_leading_out_is_refused() {
    let host = TestEnvironment::new();
    let config = AppConfig::default().settle(1, "100ms").timeout("3s");
    let s = Scenario::bound(&host, Fixture::Plain, &config);
    let toml = s.app.read("gitroll.toml");
    s.app.write(
        "gitroll.toml",
        &toml.replace("outputs = [\"dist\"]\n", "outputs = [\"dist\"]\ncarry = [\".env\"]\n"),
    );
    s.app.commit("Carry the environment");
    fs::write(host.path("shadow"), "SECRET=of-somebody-else\n").expect("ours");
    fs::remove_file(s.app.dir.join(".env")).expect("it was written");
    symlink(host.path("shadow"), s.app.dir.join(".env")).expect("a link can be made");
    host.gitroll(&["deploy", "--yes"]).exit(1).stderr_has(".env").stderr_has("link");
}

#[test]
fn a_binding_others_could_have_written_is_refused() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let mode = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
    };
    let dir = host.path("gitroll");
    for (path, bad, good) in [
        (dir.clone(), 0o777, 0o755),
        (dir.clone(), 0o775, 0o755),
        (dir.join("host.toml"), 0o666, 0o644),
    ] {
        mode(&path, bad);
        let before = s.app.state();
        for args in
            [&["back", "--yes"] as &[&str], &["deploy", "HEAD~1", "--yes"], &["init", "--yes"]]
        {
            host.gitroll(args).exit(10).stderr_has(path.to_str().expect("UTF-8"));
        }
        before.assert_same(&s.app.state());
        mode(&path, good);
    }
    host.gitroll(&["back", "--yes"]).exit(0);
}

#[test]
fn a_state_directory_others_could_write_is_refused() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let state = s.app.dir.join(".git/gitroll");
    for path in [state.clone(), state.join("runs")] {
        let was = fs::metadata(&path).expect("it is there").permissions();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("it is ours");
        let before = s.app.state();
        for args in [&["back", "--yes"] as &[&str], &["deploy", "HEAD~1", "--yes"]] {
            host.gitroll(args)
                .exit(10)
                .stderr_has(path.to_str().expect("UTF-8"))
                .stderr_has("chmod");
        }
        before.assert_same(&s.app.state());
        fs::set_permissions(&path, was).expect("it is ours");
    }
    s.serves("1.1.0");
    host.gitroll(&["back", "--yes"]).exit(0);
}

#[test]
fn a_state_directory_planted_by_another_user_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let runs = s.app.dir.join(".git/gitroll/runs");
    std::os::unix::fs::chown(&runs, Some(54_321), Some(54_321)).expect("root may give files away");
    let before = s.app.state();
    host.gitroll(&["back", "--yes"]).exit(10).stderr_has("runs");
    before.assert_same(&s.app.state());
    std::os::unix::fs::chown(&runs, Some(0), Some(0)).expect("root may take files");
    // A link in its place is no directory of ours either.
    let aside = host.path("aside");
    fs::rename(&runs, &aside).expect("it is ours");
    symlink(&aside, &runs).expect("a link can be made");
    host.gitroll(&["back", "--yes"]).exit(10).stderr_has("runs");
}

#[test]
fn a_journal_that_was_tampered_with_is_named_and_left() {
    let host = TestEnvironment::new();
    let s = two_releases(&host);
    let runs = s.app.dir.join(".git/gitroll/runs");
    let runs = fs::read_dir(&runs).expect("there are runs").flatten();
    let journal = runs.map(|run| run.path()).max().expect("there is one").join("journal.jsonl");
    let good = fs::read(&journal).expect("it is ours");
    let lines: Vec<&[u8]> = good.split_inclusive(|b| *b == b'\n').collect();
    // Without its last line the run is not over: what is wrong with one that is over is in nobody's way.
    let open = lines[..lines.len() - 1].concat();
    let mut changed = open.clone();
    changed[60] ^= 1;
    for bad in [
        changed,
        b"\xff\xfe\n{}\n".to_vec(),
        [lines[1], lines[0]].concat(),
        [&open[..], &open[..]].concat(),
    ] {
        fs::write(&journal, &bad).expect("it is ours");
        for args in [&["back", "--yes"] as &[&str], &["status"], &["resume"]] {
            let answer = host.gitroll(args);
            assert!(matches!(answer.code, Some(21 | 1)), "{}", answer.transcript());
            answer.stderr_has("journal.jsonl");
        }
        assert_eq!(fs::read(&journal).expect("it is ours"), bad, "it was changed");
    }
    fs::write(&journal, good).expect("it is ours");
    host.gitroll(&["back", "--yes"]).exit(0);
}
