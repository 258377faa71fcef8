//! A disk that is full, read-only or broken, and too few descriptors, in the middle of a run: it is undone like
//! a failed check, or stays open and is finished later. Never a panic, never "nothing changed" after a change.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::*;

fn quick() -> AppConfig {
    AppConfig::default().without_builds().settle(1, "100ms")
}

/// The version that answers now.
fn served(s: &Scenario<'_>) -> String {
    let mut version = String::new();
    wait_until("something answers", || {
        http_get(&s.app.health()).is_ok_and(|answer| {
            let found = ["1.0.0", "1.1.0"].into_iter().find(|v| answer.body.contains(v));
            version = found.unwrap_or_default().to_owned();
            !version.is_empty()
        })
    });
    version
}

/// The exit code, the version in the tree and the one that answers say the same, and no run is open.
#[track_caller]
fn is_settled(s: &Scenario<'_>, code: Option<i32>, before: &str, wanted: &str, place: &str) {
    let expected = match code {
        Some(0 | 30) => wanted,
        Some(1 | 10 | 20) => before,
        _ => panic!("{place}: exit {code:?}"),
    };
    assert_eq!(served(s), expected, "{place}: exit {code:?}");
    let package = s.app.read("package.json");
    assert!(package.contains(&format!("\"{expected}\"")), "{place}: {package}");
    assert_eq!(s.app.git(&["diff", "HEAD", "--stat"]), "", "{place}: the tree is HEAD's");
    s.host.gitroll(&["status"]).exit(0).stdout_has("none open");
    assert_eq!(s.host.gitroll(&["check"]).code, Some(0), "{place}");
}

#[test]
fn an_error_at_any_place_of_a_run_undoes_it_or_does_not_matter() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &AppConfig::default().settle(1, "100ms"));
    let one = s.app.head();
    let two = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &one]);
    let log = host.path("places");
    let mut deploy = host.gitroll_command(&["deploy", &two, "--yes"]);
    deploy.env("GITROLL_FAIL_LOG", &log);
    assert!(deploy.output().expect("it runs").status.success());
    let mut passed: BTreeMap<String, usize> = BTreeMap::new();
    let places: Vec<String> = fs::read_to_string(&log)
        .expect("places were passed")
        .lines()
        .filter(|place| *place != "lock taken")
        .map(|place| {
            let number = passed.entry(place.to_owned()).or_default();
            *number += 1;
            format!("{place}#{number}")
        })
        .collect();
    assert!(places.len() > 20, "{places:?}");
    let mut fired = 0;
    let mut serving = "1.1.0";
    for place in &places {
        let (commit, wanted) = if serving == "1.1.0" { (&one, "1.0.0") } else { (&two, "1.1.0") };
        fs::remove_file(&log).expect("it was written");
        let mut deploy = host.gitroll_command(&["deploy", commit, "--yes"]);
        deploy.env("GITROLL_FAIL_LOG", &log).env("GITROLL_FAIL_AT", format!("{place}=error"));
        let code = deploy.output().expect("it runs").status.code();
        is_settled(&s, code, serving, wanted, place);
        fired += usize::from(fs::read_to_string(&log).expect("a log").contains("fired "));
        if matches!(code, Some(0 | 30)) {
            serving = wanted;
        }
    }
    // Builds are kept after the first deploy: their places are not passed again.
    let builds = places.iter().filter(|p| p.starts_with("stage") || p.starts_with("build")).count();
    assert!(fired + builds + 8 >= places.len(), "{fired} of {}: {places:?}", places.len());
}

/// Deploys to and fro under each limit of `prlimit`: undone, or put back by `abort`, or done; how often it was not done.
fn deployed_under(option: &str, limits: &[u32]) -> usize {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    let one = s.app.head();
    let two = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &one]);
    let mut serving = "1.0.0";
    let mut failed = 0;
    for limit in limits {
        let (commit, wanted) = if serving == "1.1.0" { (&one, "1.0.0") } else { (&two, "1.1.0") };
        let limited = format!("--{option}={limit}");
        let gitroll = env!("CARGO_BIN_EXE_gitroll");
        let answer = host.run("prlimit", &[&limited, gitroll, "deploy", commit, "--yes"]);
        assert!(answer.code.is_some(), "{limited}: ended by a signal");
        assert!(!answer.stderr.contains("panicked"), "{limited}: {}", answer.stderr);
        // Nothing could be put back with so little: then it stays open, and nobody says otherwise.
        let code = match answer.code {
            Some(21 | 22) => {
                host.gitroll(&["abort"]).exit(0);
                Some(20)
            }
            code => code,
        };
        is_settled(&s, code, serving, wanted, &limited);
        failed += usize::from(!matches!(code, Some(0 | 30)));
        if matches!(code, Some(0 | 30)) {
            serving = wanted;
        }
    }
    failed
}

#[test]
fn too_few_descriptors_end_a_deploy_without_a_trace() {
    let failed = deployed_under("nofile", &[5, 8, 10, 11, 12, 13, 14, 16, 20]);
    assert!(failed >= 2, "the limits were never in the way");
}

#[test]
fn a_limit_for_the_size_of_files_is_answered_like_a_full_disk() {
    let sizes = [0, 1, 100, 500, 1000, 2000, 3000, 5000, 8000, 20_000];
    assert!(deployed_under("fsize", &sizes) >= 5, "the limits were never in the way");
}

/// A small file system in memory at a directory; gone with the test.
struct Small<'h> {
    host: &'h TestEnvironment,
    dir: PathBuf,
}

impl<'h> Small<'h> {
    /// `None` where this user may not mount.
    fn at(host: &'h TestEnvironment, dir: PathBuf, options: &str) -> Option<Self> {
        fs::create_dir_all(&dir).expect("it can be made");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&dir).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then_some(Self { host, dir })
    }

    /// Itself once more, read-only, on top.
    fn over_itself(&self) -> Self {
        for options in [&["--bind"][..], &["-o", "remount,bind,ro"]] {
            let mut mount = Command::new("mount");
            mount
                .args(options)
                .args(options.first().filter(|o| **o == "--bind").map(|_| &self.dir));
            assert!(mount.arg(&self.dir).status().expect("mount runs").success(), "{options:?}");
        }
        Self { host: self.host, dir: self.dir.clone() }
    }

    fn lies_over_another(&self) -> bool {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let here = self.dir.display().to_string();
        mounts.lines().filter(|line| line.split(' ').nth(1) == Some(here.as_str())).count() > 1
    }

    /// Writes until nothing is left.
    fn fill(&self) -> PathBuf {
        let path = self.dir.join(".git/filler");
        let mut file = File::create(&path).expect("a name is free");
        for size in [1 << 20, 1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![b'x'; size]).is_ok() {}
        }
        path
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        // Whoever works there is found by what lies there.
        if std::thread::panicking() || !self.lies_over_another() {
            self.host.end_processes();
        }
        let _ = Command::new("umount").arg("-l").arg(&self.dir).status();
    }
}

/// 1.0.0 serves on a small file system; 1.1.0 brings a large file, and changes one.
fn small(host: &TestEnvironment) -> Option<(Small<'_>, Scenario<'_>, String)> {
    let small = Small::at(host, host.path("app"), "size=64m,mode=755")?;
    let app = host.app(Fixture::Plain);
    app.configure(&quick());
    app.write("data.txt", &"a".repeat(1 << 20));
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    let serving = s.app.head();
    s.app.write("data.txt", &"b".repeat(3 << 20));
    s.app.write("large.txt", &"c".repeat(8 << 20));
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    Some((small, s, next))
}

/// A deploy that waits at a place until it is told to go on.
struct Paused {
    child: Child,
    go: PathBuf,
}

impl Paused {
    fn at(host: &TestEnvironment, place: &str, args: &[&str]) -> Self {
        let log = host.path("places");
        let go = host.path("places.go");
        let _ = (fs::remove_file(&log), fs::remove_file(&go));
        let mut command = host.gitroll_command(args);
        command.env("GITROLL_FAIL_AT", format!("{place}=wait")).env("GITROLL_FAIL_LOG", &log);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let fired = format!("fired {place}");
        let reached = |log: &Path| fs::read_to_string(log).is_ok_and(|text| text.contains(&fired));
        wait_until("the place is reached", || reached(&log));
        Self { child: child.expect("it starts"), go }
    }

    fn go_on(self) -> (Option<i32>, String) {
        fs::write(&self.go, "").expect("it is writable");
        let output = self.child.wait_with_output().expect("it ends");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

#[test]
fn a_disk_that_is_full_before_activation_leads_back_to_what_served() {
    let host = TestEnvironment::new();
    let Some((disk, s, next)) = small(&host) else { return };
    let paused = Paused::at(&host, "activate before", &["deploy", &next, "--yes"]);
    let filler = disk.fill();
    let (code, told) = paused.go_on();
    assert_eq!(code, Some(20), "{told}");
    assert!(told.contains("No space left"), "{told}");
    fs::remove_file(filler).expect("it is there");
    is_settled(&s, code, "1.0.0", "1.1.0", "full before activation");
    assert!(s.app.read("data.txt").starts_with('a'));
    assert!(!s.app.dir.join("large.txt").exists());
    host.gitroll(&["deploy", &next, "--yes"]).exit(0);
}

#[test]
fn a_disk_that_is_full_when_the_new_version_does_not_answer_leads_back_all_the_same() {
    let host = TestEnvironment::new();
    let Some((disk, s, _)) = small(&host) else { return };
    let serving = s.app.head();
    let next = s.app.commit_version("1.1.0", Behaviour::ThrowsAtBoot);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    let paused = Paused::at(&host, "reload web after", &["deploy", &next, "--yes"]);
    let filler = disk.fill();
    let (code, told) = paused.go_on();
    assert_eq!(code, Some(20), "{told}");
    fs::remove_file(filler).expect("it is there");
    is_settled(&s, code, "1.0.0", "1.1.0", "full in the proof");
    let journals = fs::read_dir(s.app.dir.join(".git/gitroll/runs")).expect("there are runs");
    for run in journals.flatten() {
        use std::os::unix::fs::MetadataExt as _;
        let journal = run.path().join("journal.jsonl").metadata().expect("a journal");
        assert!(journal.blocks() * 512 <= journal.len() + 8192, "its room was given back");
        assert!(!run.path().join("reserve").exists());
    }
}

#[test]
fn a_tree_that_turns_read_only_needs_a_person_and_can_be_undone_later() {
    let host = TestEnvironment::new();
    let Some((disk, s, next)) = small(&host) else { return };
    let paused = Paused::at(&host, "reload web after", &["deploy", &next, "--yes"]);
    // Laid over the tree: what is opened from now on cannot be written.
    let over = disk.over_itself();
    let (code, told) = paused.go_on();
    // 1.1.0 answers well, but neither its record nor the draft of one can be written.
    assert_eq!(code, Some(22), "{told}");
    assert!(told.contains("gitroll resume") && told.contains("Read-only file system"), "{told}");
    drop(over);
    host.gitroll(&["resume"]).exit(0);
    is_settled(&s, Some(0), "1.0.0", "1.1.0", "read-only");

    let one = s.app.git(&["rev-parse", "HEAD~1"]);
    let paused = Paused::at(&host, "activate after", &["deploy", &one, "--yes"]);
    let over = disk.over_itself();
    let (code, told) = paused.go_on();
    assert_eq!(code, Some(21), "{told}");
    drop(over);
    host.gitroll(&["abort"]).exit(0);
    is_settled(&s, Some(20), "1.1.0", "1.0.0", "read-only again");
}

#[test]
fn a_journal_that_cannot_be_written_any_more_leaves_the_run_open_for_both_ways_on() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    let one = s.app.head();
    let two = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &one]);
    let mut serving = "1.0.0";
    for (place, way, goes_on) in [
        ("journal intent before#2", "abort", false),
        ("journal done after#1", "resume", true),
        ("journal done before#3", "abort", false),
        ("journal proven before", "resume", true),
        ("journal proven after", "resume", true),
        ("journal recorded before", "resume", true),
    ] {
        let (commit, wanted) = if serving == "1.1.0" { (&one, "1.0.0") } else { (&two, "1.1.0") };
        let log = host.path("places");
        let mut deploy = host.gitroll_command(&["deploy", commit, "--yes"]);
        deploy.env("GITROLL_FAIL_LOG", &log).env("GITROLL_FAIL_AT", format!("{place}=errors"));
        let output = deploy.output().expect("it runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(22), "{place}: {told}");
        assert!(told.contains("gitroll resume") && told.contains("gitroll abort"), "{told}");
        host.gitroll(&["deploy", "--yes"]).exit(22);
        host.gitroll(&[way]).exit(0);
        let code = if goes_on { Some(0) } else { Some(20) };
        is_settled(&s, code, serving, wanted, place);
        if goes_on {
            serving = wanted;
        }
    }
}

/// Nothing was touched: no run, the same tree, the same version.
#[track_caller]
fn is_refused(s: &Scenario<'_>, args: &[&str], why: &str, place: &Path) {
    let runs = || fs::read_dir(s.app.dir.join(".git/gitroll/runs")).expect("runs").count();
    let before = runs();
    let answer = s.host.gitroll(args);
    answer.exit(1).stderr_has(why).stderr_has(&format!("at {}", place.display()));
    assert_eq!(runs(), before, "no run was begun");
    is_settled(s, Some(1), "1.0.0", "1.1.0", why);
}

#[test]
fn too_little_room_is_found_before_anything_changes_in_bytes() {
    let host = TestEnvironment::new();
    let Some((disk, s, next)) = small(&host) else { return };
    // 11 MiB come in and 1 MiB may have to come back.
    let filler = disk.fill();
    let file = File::options().write(true).open(&filler).expect("it is ours");
    let length = file.metadata().expect("it is there").len();
    file.set_len(length - (10 << 20)).expect("room is given back");
    let args = ["deploy", &next, "--yes"];
    is_refused(&s, &args, "the disk is nearly full", &s.app.dir.join(".git"));
    file.set_len(length - (17 << 20)).expect("room is given back");
    host.gitroll(&args).exit(0);
}

#[test]
fn too_little_room_is_found_before_anything_changes_in_inodes() {
    let host = TestEnvironment::new();
    let Some((disk, s, _)) = small(&host) else { return };
    let serving = s.app.head();
    for n in 0..400 {
        s.app.write(&format!("many/{}/{n}", n % 7), "x");
    }
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    let left = |wanted: &str| {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,nr_inodes={wanted}")]).arg(&disk.dir);
        assert!(mount.status().expect("mount runs").success());
    };
    let counted = host.run("df", &["--output=iused", &disk.dir.display().to_string()]);
    let used: u64 = counted.stdout.lines().last().expect("a number").trim().parse().expect("one");
    left(&(used + 300).to_string());
    let args = ["deploy", &next, "--yes"];
    is_refused(&s, &args, "inodes left", &s.app.dir.join(".git"));
    left(&(used + 600).to_string());
    host.gitroll(&args).exit(0);
}

#[test]
fn too_little_room_for_the_stage_is_found_where_that_lies() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &AppConfig::default().settle(1, "100ms"));
    let serving = s.app.head();
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    s.app.git(&["checkout", "-q", "--detach", &serving]);
    let work = host.path(".app.gitroll");
    assert!(work.is_dir(), "builds are staged beside the app");
    let Some(_disk) = Small::at(&host, work.clone(), "size=8m,mode=700") else { return };
    is_refused(&s, &["deploy", &next, "--yes"], "the disk is nearly full", &work);
}
