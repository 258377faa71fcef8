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

/// 1.0.0 serves, with a `dist` that gitroll built; a branch `next` has 1.1.0.
fn serving_with_next(host: &TestEnvironment) -> Scenario<'_> {
    let config = AppConfig::default().settle(1, "100ms").timeout("5s");
    let s = Scenario::serving(host, Fixture::Plain, &config);
    commit_next(&s, "1.1.0");
    s
}

/// Commits a version as `next`, what serves stays checked out.
fn commit_next(s: &Scenario<'_>, version: &str) {
    let serving = s.app.head();
    s.app.commit_version(version, Behaviour::Good);
    s.app.git(&["branch", "-f", "next"]);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
}

/// Runs it, killed at this place.
#[track_caller]
fn killed(host: &TestEnvironment, place: &str, args: &[&str]) {
    let mut command = host.gitroll_command(args);
    command.env("GITROLL_FAIL_AT", format!("{place}=kill"));
    let answer = Answer::of(command, std::time::Duration::from_secs(60));
    assert_eq!(answer.code, None, "{}", answer.transcript());
}

#[track_caller]
fn built(s: &Scenario<'_>, version: &str) {
    let page = s.app.read("dist/index.html");
    assert!(page.contains(version), "{page}");
    s.serves(version);
}

/// The names in the work tree that only a run in progress may have.
fn leftovers(s: &Scenario<'_>) -> Vec<String> {
    let names = fs::read_dir(&s.app.dir).expect("it can be listed").flatten();
    let names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(".gitroll-")).collect()
}

/// Says what this machine does not let a test do.
#[allow(clippy::print_stderr)]
fn left_out(why: &str) {
    eprintln!("left out: {why}");
}

#[test]
fn an_output_is_as_readable_as_what_it_replaces() {
    if !rustix::process::geteuid().is_root() {
        return left_out("only root can give files to a group it is not in");
    }
    let host = TestEnvironment::new();
    let s = serving_with_next(&host);
    let set = |script: &str| host.run("sh", &["-ec", script]).exit(0).code;
    set(
        "chgrp -R 1 dist; find dist -type d -exec chmod 2750 {} +; find dist -type f -exec chmod 640 {} +",
    );
    host.gitroll(&["deploy", "next", "--yes"]).exit(0);
    built(&s, "1.1.0");
    assert_eq!(access(&s.app, "dist"), "2750 1");
    assert_eq!(access(&s.app, "dist/assets"), "2755 1");
    assert_eq!(access(&s.app, "dist/assets/app.js"), "644 1");
    commit_next(&s, "1.2.0");
    host.gitroll(&["deploy", "next", "--yes"]).exit(0);

    // What is kept gets what its place has by now, and needs no build, whenever it is killed.
    set("chgrp -R 2 dist; setfacl -R -m u:daemon:rX -m d:u:daemon:rX dist");
    killed(&host, "artifact fitted", &["back", "--yes"]);
    host.gitroll(&["abort"]).exit(0);
    built(&s, "1.2.0");
    host.gitroll(&["back", "--yes"]).exit(0).never_says("build app");
    built(&s, "1.1.0");
    assert_eq!(access(&s.app, "dist"), "2750 2 user:daemon:r-x");
    assert_eq!(access(&s.app, "dist/assets"), "2750 2 user:daemon:r-x");
    assert_eq!(access(&s.app, "dist/assets/app.js"), "640 2 user:daemon:r-x");
}

/// Something mounted for a test; unmounted with it.
struct Mounted(std::path::PathBuf);

impl Mounted {
    /// `None` where this machine does not let us.
    fn over(host: &TestEnvironment, place: &str, program: &str, args: &[&str]) -> Option<Self> {
        let place = host.path(place);
        let answer = find_tool(program).map(|_| {
            let mut all = args.to_vec();
            all.push(place.to_str().expect("temporary paths are UTF-8"));
            host.run(program, &all)
        });
        match answer {
            Some(answer) if answer.code == Some(0) => Some(Self(place)),
            answer => {
                let why = answer.map_or(format!("no {program}"), |a| a.transcript());
                left_out(&format!("nothing can be mounted with {program} here: {why}"));
                None
            }
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn what_cannot_be_renamed_is_found_before_anything_is_changed() {
    let host = TestEnvironment::new();
    let s = serving_with_next(&host);
    fs::create_dir_all(s.app.dir.join("dist/uploads")).expect("the tree is writable");
    fs::create_dir(host.path("volume")).expect("the host's directory is writable");
    fs::write(host.path("volume/theirs"), "theirs").expect("the host's directory is writable");
    let volume = host.path("volume").to_str().expect("temporary paths are UTF-8").to_owned();
    for place in ["app/dist", "app/dist/uploads", "app/package.json"] {
        let from = match place {
            "app/package.json" => format!("{volume}/package.json"),
            _ => volume.clone(),
        };
        fs::copy(s.app.dir.join("package.json"), host.path("volume/package.json")).expect("ours");
        let Some(mounted) = Mounted::over(&host, place, "mount", &["--bind", &from]) else {
            return;
        };
        let before = s.app.state();
        host.gitroll(&["deploy", "next", "--yes"]).exit(1).stderr_has("is a mount point");
        assert_eq!(s.app.state(), before, "{place}");
        if place.contains("dist") {
            host.gitroll(&["doctor"]).exit(1).stdout_has("is a mount point");
        }
        drop(mounted);
    }
    // The image of a container: what it brought along lies in a lower layer.
    for dir in ["upper", "work"] {
        fs::create_dir(host.path(dir)).expect("the host's directory is writable");
    }
    let at = |name: &str| host.path(name).display().to_string();
    let options = format!("lowerdir={},upperdir={},workdir={}", at("app"), at("upper"), at("work"));
    let args = ["-t", "overlay", "overlay", "-o", &options];
    let Some(_mounted) = Mounted::over(&host, "app", "mount", &args) else { return };
    host.gitroll(&["deploy", "next", "--yes"]).exit(1).stderr_has("lower layer of an overlay");
    host.gitroll(&["doctor"]).exit(1).stdout_has("lower layer of an overlay");
    host.run("sh", &["-c", "mv dist dist.copy && mv dist.copy dist"]).exit(0);
    host.gitroll(&["deploy", "next", "--yes"]).exit(0);
    built(&s, "1.1.0");
    host.gitroll(&["service", "stop"]).exit(0);
}

#[test]
fn where_no_exchange_is_known_two_renames_do_it_and_a_kill_between_them_is_mended() {
    let host = TestEnvironment::new();
    let s = serving_with_next(&host);
    let app = host.path("app").to_str().expect("temporary paths are UTF-8").to_owned();
    let Some(_mounted) = Mounted::over(&host, "app", "bindfs", &[&app]) else { return };
    host.gitroll(&["doctor"]).stdout_has("in two steps");
    for end in ["abort", "resume"] {
        killed(&host, "between renames", &["deploy", "next", "--yes"]);
        assert!(!s.app.has("dist"), "it was killed between the two");
        host.gitroll(&["status"]).stdout_has("gitroll abort");
        host.gitroll(&[end]).exit(0);
        built(&s, if end == "abort" { "1.0.0" } else { "1.1.0" });
        assert_eq!(leftovers(&s), Vec::<String>::new());
    }
    host.gitroll(&["back", "--yes"]).exit(0).stderr_has("in two steps");
    built(&s, "1.0.0");
    // Back again from a version that does not hold, and killed on that way.
    let serving = s.app.head();
    s.app.commit_version("1.2.0", Behaviour::ThrowsAtBoot);
    s.app.git(&["branch", "-f", "next"]);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    killed(&host, "between renames#2", &["deploy", "next", "--yes"]);
    host.gitroll(&["resume"]).exit(20);
    built(&s, "1.0.0");
    assert_eq!(leftovers(&s), Vec::<String>::new());
    host.gitroll(&["service", "stop"]).exit(0);
}
