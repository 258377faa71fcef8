//! Everything that earlier versions wrote: `fixtures/earlier` holds a host as it lay at each moment of a run. This version
//! reads it, and finishes or undoes what is open, as the version that wrote it would have.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use sha2::{Digest, Sha256};

use crate::support::*;

/// The directories below `fixtures/earlier`.
const VERSIONS: [&str; 1] = ["version-1"];

/// One command that ends an open run: its words, its exit code, and which version serves then.
type End = (&'static [&'static str], i32, &'static str);

/// A host as an earlier version left it, the service running.
struct Earlier<'h> {
    host: &'h TestEnvironment,
    app: PathBuf,
}

impl<'h> Earlier<'h> {
    /// Lays out the case of this name.
    fn load(host: &'h TestEnvironment, version: &str, name: &str) -> Self {
        let dir = project().join("fixtures/earlier").join(version);
        let app = host.path("app");
        fs::create_dir(&app).expect("the host's directory is writable");
        let earlier = Self { host, app };
        let mut files = case(&dir, name);
        let mut text = |path: &str| {
            let bytes = files.remove(path).unwrap_or_else(|| panic!("{name} has no {path}"));
            String::from_utf8(bytes).expect("it is text")
        };
        let (checkout, refs) = (text("checkout"), text("refs"));
        let said: BTreeMap<&str, &str> =
            checkout.lines().filter_map(|line| line.split_once(' ')).collect();
        earlier.git(&["init", "-q", "-b", "main", "."]);
        let pack = earlier
            .app
            .join(".git/objects/pack/pack-0000000000000000000000000000000000000000.pack");
        fs::copy(dir.join("objects.pack"), &pack).expect("the repository is writable");
        earlier.git(&["index-pack", pack.to_str().expect("temporary paths are UTF-8")]);
        for (id, name) in refs.lines().filter_map(|line| line.split_once(' ')) {
            earlier.git(&["update-ref", name, id]);
        }
        earlier.git(&["read-tree", said["tree"]]);
        earlier.git(&["checkout-index", "-q", "-a", "-f"]);
        fs::write(earlier.app.join(".git/HEAD"), format!("{}\n", said["head"]))
            .expect("it is writable");
        earlier.git(&["read-tree", said["index"]]);
        earlier.try_git(&["update-index", "-q", "--refresh"]);
        earlier.bind(&dir.join("host"));
        earlier.lay_state(files);
        if said["serving"] != "-" {
            earlier.serve(said["serving"]);
        }
        earlier
    }

    /// The files of the state directory: first those that know no place, for others name them by inode.
    fn lay_state(&self, files: BTreeMap<String, Vec<u8>>) {
        let state = self.app.join(".git/gitroll");
        let lay = |path: &str, bytes: &[u8]| {
            let file = state.join(path);
            let parent = file.parent().expect("it lies in a directory");
            fs::create_dir_all(parent).expect("the repository is writable");
            fs::write(&file, bytes).expect("the repository is writable");
            set_mode(&file, 0o600);
        };
        let has_places = |bytes: &[u8]| {
            bytes.windows(6).any(|w| matches!(w, b"{root}" | b"\"{dev " | b"\"{ino "))
        };
        let (later, now): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|(_, bytes)| has_places(bytes));
        for (path, bytes) in now {
            lay(&path, &bytes);
        }
        // A file that was created and then written may be a moment younger than its directory, whose time stands for
        // that of the last change in it.
        self.host.run("sh", &["-c", "find . -name dist -type d -exec chmod a+x {} +"]).exit(0);
        for (path, bytes) in later {
            let mut text = String::from_utf8(bytes).expect("it is text");
            if path.ends_with("seals.json") {
                // A seal holds times of every file, which cannot be laid out. So the store is one copied from elsewhere.
                text = text.replace("\"{ino app/.git/gitroll/store}\"", "0");
            }
            let text = self.filled(&text);
            let text = if path.ends_with("journal.jsonl") { summed(&text) } else { text };
            lay(&path, text.as_bytes());
        }
        for dir in [&state, &state.join("cache"), &state.join("runs")] {
            if dir.is_dir() {
                set_mode(dir, 0o700);
            }
        }
    }

    /// The text with what only this machine knows: `{root}`, and `{ino PATH}` and its like of what lies there.
    fn filled(&self, text: &str) -> String {
        let text =
            text.replace("{root}", self.host.root().to_str().expect("temporary paths are UTF-8"));
        let mut filled = String::new();
        let mut rest = text.as_str();
        while let Some(at) = rest.find("\"{") {
            let (before, token) = rest.split_at(at);
            filled.push_str(before);
            let place = token[2..].split_once("}\"").and_then(|(place, _)| place.split_once(' '));
            // The sum of a line, say.
            let Some((what, path)) =
                place.filter(|(what, _)| what.bytes().all(|b| b.is_ascii_lowercase()))
            else {
                filled.push_str("\"{");
                rest = &token[2..];
                continue;
            };
            let end = token.find("}\"").expect("it was found");
            let path = self.host.path(path);
            let found =
                fs::symlink_metadata(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let born = || {
                let since = found
                    .created()
                    .expect("this file system knows it")
                    .duration_since(std::time::UNIX_EPOCH);
                since.expect("it is after 1970")
            };
            filled.push_str(&match what {
                "dev" => found.dev().to_string(),
                "ino" => found.ino().to_string(),
                "born" => format!("{},{}", born().as_secs(), born().subsec_nanos()),
                "modified" => format!("{},{}", found.mtime(), found.mtime_nsec()),
                "changed" => format!("{},{}", found.ctime(), found.ctime_nsec()),
                other => panic!("nobody knows {other}"),
            });
            rest = &token[end + 2..];
        }
        filled + rest
    }

    fn bind(&self, from: &Path) {
        let to = self.host.path("gitroll");
        for name in ["host.toml", "trust", "key", "key.pub"] {
            let mut text = fs::read_to_string(from.join(name)).expect("fixtures can be read");
            let variables = self.host.variables();
            let user = self.host.run("id", &["-un"]).exit(0).text().to_owned();
            for (place, value) in [
                ("{root}", self.host.root().to_str().expect("temporary paths are UTF-8")),
                ("{user}", &user),
                (
                    "{path}",
                    variables[std::ffi::OsStr::new("PATH")].to_str().expect("PATH is UTF-8"),
                ),
            ] {
                text = text.replace(place, value);
            }
            let tool = |line: &str| match line
                .split_once(" = \"{tool ")
                .and_then(|(key, tool)| Some((key, tool.strip_suffix("}\"")?)))
            {
                Some((key, tool)) => find_tool(tool)
                    .map(|path| format!("{key} = \"{}\"\n", path.display()))
                    .unwrap_or_default(),
                None => format!("{line}\n"),
            };
            fs::write(to.join(name), text.lines().map(tool).collect::<String>())
                .expect("it is writable");
            set_mode(&to.join(name), 0o600);
        }
    }

    /// Starts what served, as gitroll would have: this version, whatever the tree is by now.
    fn serve(&self, version: &str) {
        let env = fs::read_to_string(self.app.join(".env")).unwrap_or_default();
        let flags = env.lines().filter_map(|line| line.split_once('='));
        let log = self.app.join(".git/gitroll/services/web.log");
        fs::create_dir_all(log.parent().expect("it has one")).expect("the repository is writable");
        let log =
            fs::OpenOptions::new().append(true).create(true).open(log).expect("it is writable");
        let mut command = self.host.command("setsid");
        command
            .args([
                "--fork",
                "sh",
                "-c",
                &format!("echo \"$$ {version}\" > served; exec sleep 1000000"),
            ])
            .env("GITROLL_SERVICE", format!("{}:web", self.app.display()))
            .envs(flags)
            .stdout(Stdio::from(log))
            .stderr(Stdio::null());
        fs::remove_file(self.app.join("served")).ok();
        assert!(command.status().expect("setsid can be run").success());
        wait_until("it serves", || self.serving().as_deref() == Some(version));
    }

    /// The version that serves, if the process lives.
    fn serving(&self) -> Option<String> {
        let text = fs::read_to_string(self.app.join("served")).ok()?;
        let (process, version) = text.trim().split_once(' ')?;
        Path::new("/proc").join(process).is_dir().then(|| version.to_owned())
    }

    fn git(&self, args: &[&str]) -> String {
        self.try_git(args).exit(0).text().to_owned()
    }

    fn try_git(&self, args: &[&str]) -> Answer {
        self.host.run("git", args)
    }

    fn open_runs(&self) -> usize {
        let status = self.host.gitroll(&["status", "--json"]).exit(0).json();
        status["result"]["open_runs"].as_array().expect("a list").len()
    }
}

/// The files of a case. `=== LENGTH PATH` stands before each, `=== as CASE:PATH PATH` where a case has it already.
fn case(dir: &Path, name: &str) -> BTreeMap<String, Vec<u8>> {
    let mut read = BTreeMap::new();
    let mut files = BTreeMap::new();
    for (path, content) in sections(dir, name) {
        let bytes = match content {
            Content::Here(bytes) => bytes,
            Content::In { case, path } => {
                let theirs = read.entry(case.clone()).or_insert_with(|| sections(dir, &case));
                match theirs.iter().find(|(other, _)| *other == path) {
                    Some((_, Content::Here(bytes))) => bytes.clone(),
                    _ => panic!("{name}: {case} does not hold {path}"),
                }
            }
        };
        files.insert(path, bytes);
    }
    files
}

enum Content {
    Here(Vec<u8>),
    In { case: String, path: String },
}

fn sections(dir: &Path, name: &str) -> Vec<(String, Content)> {
    let file = dir.join("cases").join(format!("{name}.txt"));
    let bytes = fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let mut found = Vec::new();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let end = rest.iter().position(|b| *b == b'\n').expect("a heading ends");
        let heading = std::str::from_utf8(&rest[..end]).expect("a heading is text");
        rest = &rest[end + 1..];
        let heading = heading.strip_prefix("=== ").unwrap_or_else(|| panic!("{name}: {heading:?}"));
        if let Some(shared) = heading.strip_prefix("as ") {
            let (from, own) = shared.split_once(' ').expect("what is shared has a path");
            let (case, path) = from.split_once(':').expect("it lies in a case");
            found.push((
                own.to_owned(),
                Content::In { case: case.to_owned(), path: path.to_owned() },
            ));
            continue;
        }
        let (length, path) = heading.split_once(' ').expect("a heading has a path");
        let (content, after) = rest.split_at(length.parse().expect("a length"));
        found.push((path.to_owned(), Content::Here(content.to_vec())));
        rest = &after[1..];
    }
    found
}

/// Each line with its checksum, where what is in it was not known before.
fn summed(journal: &str) -> String {
    let sum = |line: &str| {
        let body = line.replace("\"sum\":\"{sum}\",", "");
        let digest: String =
            Sha256::digest(body.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
        line.replace("{sum}", &digest[..16]) + "\n"
    };
    journal.lines().map(sum).collect()
}

/// Every command that only reads reads it.
fn is_read(host: &TestEnvironment) {
    for command in [&["status"] as &[&str], &["log", "--json"], &["show"], &["targets"]] {
        host.gitroll(command).exit(0);
    }
}

/// The run is shown as open on this course, and each end comes to what it should.
fn ends(name: &str, course: &str, ends: &[End]) {
    for version in VERSIONS {
        for (way, code, serves) in ends {
            let host = TestEnvironment::new();
            let earlier = Earlier::load(&host, version, name);
            is_read(&host);
            let status = host.gitroll(&["status", "--json"]).exit(0).json();
            let runs = status["result"]["open_runs"].as_array().expect("a list");
            let courses: Vec<_> = runs.iter().filter_map(|run| run["course"].as_str()).collect();
            assert_eq!(courses.join(" "), course, "{name} of {version}");
            if name.starts_with("stuck") {
                // Somebody mends what the person is needed for.
                fs::remove_file(earlier.app.join("broken")).expect("it says what does not start");
            }
            host.gitroll(way).exit(*code);
            assert_eq!(earlier.open_runs(), 0, "{name} of {version}");
            let served = earlier.serving();
            assert_eq!(served.as_deref().unwrap_or("-"), *serves, "{name} of {version}");
            if *serves != "-" {
                let tree =
                    fs::read_to_string(earlier.app.join("package.json")).expect("it is there");
                assert!(tree.contains(&format!("\"{serves}\"")), "{name} of {version}: {tree}");
                let status = host.gitroll(&["status", "--json"]).exit(0).json();
                assert_eq!(status["result"]["serving"]["version"], *serves, "{status}");
                assert_eq!(status["result"]["healthy"], true, "{status}");
            }
            is_read(&host);
        }
    }
}

macro_rules! open_runs {
    ($($test:ident: $case:literal $course:literal $([$($way:literal)+ => $code:literal $serves:literal])+;)+) => {
        $(#[test]
        fn $test() {
            ends($case, $course, &[$((&[$($way),+], $code, $serves)),+]);
        })+
    };
}

open_runs! {
    deploy_begun: "deploy-begun" "preparing" ["resume" => 0 "1.3.0"]["abort" => 0 "1.2.0"];
    deploy_in_stage: "deploy-in-stage" "preparing" ["resume" => 0 "1.3.0"]["abort" => 0 "1.2.0"];
    deploy_in_build: "deploy-in-build" "preparing" ["resume" => 0 "1.3.0"]["abort" => 0 "1.2.0"];
    deploy_built: "deploy-built" "forward" ["resume" => 0 "1.3.0"]["abort" => 0 "1.2.0"];
    deploy_in_activate: "deploy-in-activate" "forward" ["resume" => 0 "1.3.0"]["abort" => 0 "1.2.0"];
    deploy_in_activate_written: "deploy-in-activate-written" "forward" ["resume" => 0 "1.3.0"]["abort" => 0 "1.2.0"];
    deploy_activated: "deploy-activated" "forward" ["resume" => 0 "1.3.0"]["abort" => 0 "1.2.0"];
    deploy_in_head: "deploy-in-head" "forward" ["resume" => 0 "1.3.0"]["abort" => 0 "1.2.0"];
    deploy_in_reload: "deploy-in-reload" "forward" ["resume" => 0 "1.3.0"]["abort" => 0 "1.2.0"];
    deploy_reloaded: "deploy-reloaded" "forward" ["resume" => 0 "1.3.0"]["abort" => 0 "1.2.0"];
    deploy_in_prove: "deploy-in-prove" "forward" ["resume" => 0 "1.3.0"]["abort" => 0 "1.2.0"];
    deploy_proven: "deploy-proven" "proven" ["resume" => 0 "1.3.0"];
    deploy_recorded: "deploy-recorded" "proven" ["resume" => 0 "1.3.0"];
    back_in_activate: "back-in-activate" "forward" ["resume" => 0 "1.2.0"]["abort" => 0 "1.3.0"];
    back_proven: "back-proven" "proven" ["resume" => 0 "1.2.0"];
    component_in_reload: "component-in-reload" "forward" ["resume" => 0 "1.3.0"]["abort" => 0 "1.3.0"];
    flags_begun: "flags-begun" "forward" ["resume" => 0 "1.3.0"]["abort" => 0 "1.3.0"];
    flags_undo_kept: "flags-undo-kept" "forward" ["resume" => 0 "1.3.0"]["abort" => 0 "1.3.0"];
    flags_written: "flags-written" "forward" ["resume" => 0 "1.3.0"]["abort" => 0 "1.3.0"];
    flags_in_prove: "flags-in-prove" "forward" ["resume" => 0 "1.3.0"]["abort" => 0 "1.3.0"];
    restoring_failed: "restoring-failed" "forward" ["resume" => 20 "1.3.0"]["abort" => 0 "1.3.0"];
    restoring: "restoring" "back" ["resume" => 20 "1.3.0"]["abort" => 0 "1.3.0"];
    restoring_tree_restored: "restoring-tree-restored" "back" ["resume" => 20 "1.3.0"]["abort" => 0 "1.3.0"];
    restored: "restored" "back" ["resume" => 20 "1.3.0"]["abort" => 0 "1.3.0"];
    restored_recorded: "restored-recorded" "back" ["resume" => 20 "1.3.0"]["abort" => 0 "1.3.0"];
    stopped_twice: "stopped-twice" "forward" ["resume" => 0 "1.5.0"]["abort" => 0 "1.3.0"];
    stuck_before: "stuck-before" "stuck" ["resume" => 20 "1.3.0"]["abort" => 0 "1.3.0"];
    stuck_target: "stuck-target" "forward stuck" ["resume" => 0 "1.2.0"]["abort" => 0 "1.3.0"];
    nested: "nested" "forward forward" ["resume" => 0 "1.2.0"]["abort" => 21 "-"];
    unsettled: "unsettled" "forward" ["resume" "--done" => 20 "2.0.0"]["resume" "--redo" => 0 "2.1.0"]["abort" => 0 "2.0.0"];
    watchdog: "watchdog" "forward" ["resume" "--redo" => 0 "2.2.0"]["abort" => 0 "2.1.0"];
}

#[test]
fn every_record_of_the_history_is_read() {
    for version in VERSIONS {
        let host = TestEnvironment::new();
        let earlier = Earlier::load(&host, version, "history");
        is_read(&host);
        let log = host.gitroll(&["log", "--json", "-n", "100"]).exit(0).json();
        let records = log["result"]["records"].as_array().expect("a list");
        let word = |line: &serde_json::Value| {
            let said = |key: &str| line["record"][key].as_str().expect("text").to_owned();
            format!("{} {}", said("event"), said("outcome"))
        };
        let kinds: std::collections::BTreeSet<String> = records.iter().map(word).collect();
        for kind in [
            "init succeeded",
            "adopt succeeded",
            "predeploy succeeded",
            "deploy succeeded",
            "deploy restored",
            "promote succeeded",
            "back succeeded",
            "component succeeded",
            "flags succeeded",
            "flags restored",
            "mark succeeded",
            "lift succeeded",
            "annotate succeeded",
        ] {
            assert!(kinds.contains(kind), "{kind} is not among {kinds:?}");
        }
        for seq in 1..=records.len() {
            host.gitroll(&["show", &seq.to_string(), "--json"]).exit(0).json();
        }
        let doctor = host.gitroll(&["doctor"]);
        doctor.stdout_has("records   21 of this host, all valid").stdout_has("runs      none open");
        host.gitroll(&["diff"]).exit(0);
        host.gitroll(&["component"]).exit(0);
        host.gitroll(&["flags"]).exit(0);
        // The way back needs no build: the artifacts and their keys are those that were kept.
        host.gitroll(&["back", "--yes"]).exit(0).stderr_lacks("build app");
        assert_eq!(earlier.serving().as_deref(), Some("1.0.0"));
    }
}

#[test]
fn a_record_that_waits_to_be_signed_is_signed() {
    for version in VERSIONS {
        let host = TestEnvironment::new();
        let earlier = Earlier::load(&host, version, "queue");
        let chain =
            || earlier.git(&["rev-list", "--first-parent", "--count", "--glob=refs/gitroll/*"]);
        let before: u32 = chain().parse().expect("a number");
        host.gitroll(&["status"]).exit(0).stdout_has("unsigned");
        host.gitroll(&["mark", "good", "r2.2.0", "--reason", "seen"]).exit(0);
        let after: u32 = chain().parse().expect("a number");
        assert_eq!(after, before + 2);
        host.gitroll(&["status"]).exit(0).stdout_lacks("unsigned");
    }
}

#[test]
fn a_deploy_that_a_person_stopped_is_no_failed_one() {
    for version in VERSIONS {
        let host = TestEnvironment::new();
        let earlier = Earlier::load(&host, version, "stopped");
        is_read(&host);
        assert_eq!(earlier.open_runs(), 0);
        // Only the old texts say so.
        host.gitroll(&["log"]).exit(0).stdout_has("interrupted by SIGTERM");
        host.gitroll(&["deploy", "r1.5.0", "--yes"]).exit(0);
        assert_eq!(earlier.serving().as_deref(), Some("1.5.0"));
    }
}

#[test]
fn a_run_without_its_first_line_is_cleaned_up() {
    for version in VERSIONS {
        let host = TestEnvironment::new();
        let earlier = Earlier::load(&host, version, "deploy-no-line");
        is_read(&host);
        assert_eq!(earlier.open_runs(), 0);
        host.gitroll(&["resume"]).exit(1);
        host.gitroll(&["deploy", "r1.3.0", "--yes"]).exit(0);
        assert_eq!(earlier.serving().as_deref(), Some("1.3.0"));
    }
}
