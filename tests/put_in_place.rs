//! How files and artifacts are put in place: modes, groups, ACLs, marks of the index, directories that cannot be exchanged.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use crate::support::*;

/// A group that every Debian has and no app is in.
const DAEMON: u32 = 1;

/// The program under test with this mask, as a shell or a cron job leaves it.
fn under_mask(host: &TestEnvironment, mask: &str, args: &[&str]) -> Answer {
    let script = "umask \"$0\"; exec \"$@\"";
    let mut all = vec!["-c", script, mask, env!("CARGO_BIN_EXE_gitroll")];
    all.extend(args);
    host.run("sh", &all)
}

/// Mode, group and ACL of a file of the work tree, e.g. `640 1 user:daemon:r--`.
fn access(app: &App<'_>, path: &str) -> String {
    let meta = app.dir.join(path).symlink_metadata().unwrap_or_else(|e| panic!("{path}: {e}"));
    let file = app.dir.join(path);
    let acl = std::process::Command::new("getfacl")
        .args(["-cpE", file.to_str().expect("temporary paths are UTF-8")])
        .output()
        .expect("getfacl can be run");
    let acl = String::from_utf8_lossy(&acl.stdout);
    let named: Vec<&str> = acl.lines().filter(|line| line.starts_with("user:daemon")).collect();
    let mode = meta.permissions().mode() & 0o7777;
    format!("{mode:o} {} {}", meta.gid(), named.join(" ")).trim_end().to_owned()
}

/// What others may write below the git directory.
fn open_to_others(dir: &Path) -> Vec<String> {
    let mut open = Vec::new();
    for entry in fs::read_dir(dir).expect("it can be listed") {
        let path = entry.expect("it can be listed").path();
        let meta = path.symlink_metadata().expect("it is there");
        if !meta.is_symlink() && meta.permissions().mode() & 0o022 != 0 {
            open.push(path.display().to_string());
        }
        if meta.is_dir() {
            open.extend(open_to_others(&path));
        }
    }
    open
}

/// Commits of 1.0.0, 1.1.0 and a bad 1.2.0 that change the same files; 1.0.0 is checked out. Their modes are
/// set afterwards: git itself makes every file anew.
fn three_versions(app: &App<'_>) -> [String; 3] {
    let version = |version: &str, behaviour| {
        app.write("conf/secret.json", version);
        app.write("conf/run", version);
        app.commit_version(version, behaviour)
    };
    let first = version("1.0.0", Behaviour::Good);
    app.write("shared/new", "1");
    app.write("shared/deeper/new", "1");
    app.write("acl/new", "1");
    set_mode(&app.dir.join("conf/run"), 0o755);
    let second = version("1.1.0", Behaviour::Good);
    let third = version("1.2.0", Behaviour::ThrowsAtBoot);
    app.git(&["checkout", "-q", "--detach", &first]);
    [first, second, third]
}

#[test]
fn files_are_as_readable_as_those_they_replace_whoever_runs_the_command() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.configure(&AppConfig::default().without_builds().settle(1, "100ms").timeout("4s"));
    let [_, second, third] = three_versions(&app);
    let s = Scenario { host: &host, app };
    let init = ["init", "--yes", "--environment", "production", "--name", "web-1"];
    under_mask(&host, "077", &init).exit(0);
    let binding = fs::read_to_string(host.path("gitroll/host.toml")).expect("it was written");
    assert!(binding.contains("\numask = \"022\"\n"), "{binding}");
    under_mask(&host, "077", &["deploy", "--yes"]).exit(0);

    let root = rustix::process::geteuid().is_root();
    let group = |path: &str| {
        if root {
            chown(s.app.dir.join(path), None, Some(DAEMON)).expect("root may");
        }
    };
    for dir in ["shared", "acl"] {
        fs::create_dir_all(s.app.dir.join(dir)).expect("the tree is writable");
    }
    group("conf/secret.json");
    set_mode(&s.app.dir.join("conf/secret.json"), 0o640);
    set_mode(&s.app.dir.join("conf/run"), 0o640);
    host.run("setfacl", &["-m", "u:daemon:r", "conf/run"]).exit(0);
    group("shared");
    set_mode(&s.app.dir.join("shared"), 0o2750);
    host.run("setfacl", &["-m", "d:u:daemon:rX", "acl"]).exit(0);
    let own = s.app.dir.metadata().expect("it is there").gid();
    let theirs = if root { DAEMON } else { own };
    let before = [
        ("conf/secret.json", format!("640 {theirs}")),
        ("conf/run", format!("640 {own} user:daemon:r--")),
        ("package.json", format!("644 {own}")),
    ];
    let is = |wanted: &[(&str, String)], when: &str| {
        for (path, wanted) in wanted {
            assert_eq!(access(&s.app, path), *wanted, "{path} {when}");
        }
    };
    is(&before, "at first");

    under_mask(&host, "077", &["deploy", &second, "--yes"]).exit(0);
    is(&[before[0].clone(), before[2].clone()], "after 077");
    is(
        &[
            ("conf/run", format!("750 {own} user:daemon:r-x")),
            ("shared/new", format!("644 {theirs}")),
            ("shared/deeper", format!("2755 {theirs}")),
            ("shared/deeper/new", format!("644 {theirs}")),
            ("acl/new", format!("644 {own} user:daemon:r-x")),
        ],
        "after 077",
    );
    let now: Vec<(&str, String)> = ["conf/secret.json", "conf/run", "package.json", "shared/new"]
        .map(|path| (path, access(&s.app, path)))
        .to_vec();
    let mut deploy = host.command("sh");
    deploy.args(["-c", "umask 000; exec \"$0\" deploy \"$1\" --yes"]);
    deploy.args([env!("CARGO_BIN_EXE_gitroll"), &third]);
    Answer::of(deploy, std::time::Duration::from_secs(60)).exit(20);
    is(&now, "put back after a bad version");

    under_mask(&host, "000", &["back", "--yes"]).exit(0);
    is(&before, "after 000");
    assert_eq!(open_to_others(&s.app.dir.join(".git")), Vec::<String>::new());
    s.serves("1.0.0");
}

#[test]
fn files_that_the_index_looks_away_from_stay_as_they_are() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    app.configure(&AppConfig::default().without_builds().settle(1, "100ms").timeout("4s"));
    app.write("conf/db.json", "dev");
    app.write("conf/mail.json", "dev");
    app.commit_version("1.0.0", Behaviour::Good);
    app.write("conf/db.json", "dev 2");
    app.write("conf/mail.json", "dev 2");
    let second = app.commit_version("1.1.0", Behaviour::Good);
    app.git(&["rm", "-q", "--cached", "conf/db.json"]);
    fs::remove_file(app.dir.join("conf/db.json")).expect("it is there");
    let third = app.commit_version("1.2.0", Behaviour::Good);
    app.git(&["checkout", "-q", "--detach", "HEAD~2"]);
    let s = Scenario { host: &host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s.app.git(&["update-index", "--skip-worktree", "conf/db.json"]);
    s.app.git(&["update-index", "--assume-unchanged", "conf/mail.json"]);
    s.app.write("conf/db.json", "production");
    s.app.write("conf/mail.json", "production");
    let kept = |mark: &str| {
        assert_eq!(s.app.read("conf/db.json"), "production");
        assert_eq!(s.app.read("conf/mail.json"), "production");
        assert_eq!(s.app.git(&["ls-files", "-v", "conf"]), mark);
    };

    host.gitroll(&["deploy", &second, "--yes"]).exit(0).stderr_lacks("edited here");
    kept("S conf/db.json\nh conf/mail.json");
    host.gitroll(&["doctor"]).never_says("edited here");
    // Not tracked any more, it is the host's all the same, and when it is tracked again.
    host.gitroll(&["deploy", &third, "--yes"]).exit(0);
    kept("h conf/mail.json");
    host.gitroll(&["back", "--yes"]).exit(0);
    s.serves("1.1.0");
    kept("S conf/db.json\nh conf/mail.json");
    // Without its mark it is a file like any other.
    s.app.git(&["update-index", "--no-skip-worktree", "conf/db.json"]);
    host.gitroll(&["back", "--to", "previous", "--yes"]).exit(0);
    assert_eq!(s.app.read("conf/db.json"), "dev");
    assert_eq!(s.app.read("conf/mail.json"), "production");
}
