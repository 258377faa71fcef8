//! Git hooks in a checkout: whatever somebody does with git by hand leaves a way back, and no git command notices.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::*;
use serde_json::Value;

/// Another clone of the app's remote, where people commit.
struct Upstream<'h> {
    host: &'h TestEnvironment,
    dir: PathBuf,
}

impl<'h> Upstream<'h> {
    fn of(s: &Scenario<'h>) -> Self {
        let remote = s.app.with_remote();
        let dir = s.host.path("work");
        let place = dir.to_str().unwrap();
        s.host.run("git", &["clone", "-q", remote.to_str().unwrap(), place]).exit(0);
        let app = s.app.dir.to_str().unwrap();
        s.host.run("git", &["-C", app, "branch", "-q", "--set-upstream-to=origin/main", "main"]);
        Self { host: s.host, dir }
    }

    /// Commits a version. Returns its commit.
    fn commit(&self, version: &str, run: &str) -> String {
        let package = fs::read_to_string(self.dir.join("package.json")).unwrap();
        let mut package: Value = serde_json::from_str(&package).unwrap();
        package["version"] = version.into();
        fs::write(self.dir.join("package.json"), format!("{package:#}\n")).unwrap();
        let behaviour = format!("{{ \"run\": \"{run}\", \"seconds\": 0, \"build\": \"good\" }}\n");
        fs::write(self.dir.join("behaviour.json"), behaviour).unwrap();
        self.git(&["commit", "-q", "-am", version]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Pushes a version to `main`. Returns its commit.
    fn release(&self, version: &str, run: &str) -> String {
        let commit = self.commit(version, run);
        self.git(&["push", "-q"]);
        commit
    }

    fn git(&self, args: &[&str]) -> String {
        let dir = self.dir.to_str().unwrap();
        self.host.run("git", &[&["-C", dir], args].concat()).exit(0).text().to_owned()
    }
}

/// By git's own clock, as a person's command.
#[track_caller]
fn git(s: &Scenario<'_>, args: &[&str]) -> Answer {
    s.host.run("git", args)
}

/// The records of HEAD being moved, oldest first.
fn moved(s: &Scenario<'_>) -> Vec<Value> {
    let log = s.host.gitroll(&["log", "-n", "100", "--json"]).exit(0).json();
    let records = log["result"]["records"].as_array().unwrap().iter().rev();
    let records = records.map(|line| line["record"].clone());
    records.filter(|record| record["event"] == "moved").collect()
}

/// From where to where HEAD was moved, once so many records say it.
#[track_caller]
fn moves(s: &Scenario<'_>, count: usize) -> Vec<(String, String)> {
    wait_until(&format!("{count} moves are recorded"), || moved(s).len() >= count);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let found: Vec<_> = moved(s).iter().map(|r| (text(&r["from"]), text(&r["moved_to"]))).collect();
    assert_eq!(found.len(), count, "{found:?}");
    found
}

fn quick() -> AppConfig {
    AppConfig::default().settle(2, "300ms").timeout("5s").without_builds()
}

/// A reflog knows no more than seconds.
fn next_second() {
    std::thread::sleep(Duration::from_millis(1100));
}

/// A hook that was there before: it notes that it ran, and with what.
fn hook_of_the_team(path: &Path, noted: &Path) -> String {
    let text = format!("#!/bin/sh\necho \"$(basename \"$0\") $#\" >>'{}'\n", noted.display());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, &text).unwrap();
    set_mode(path, 0o755);
    text
}

#[test]
fn three_pulls_by_hand_to_a_bad_release_are_undone_to_what_served_before() {
    let host = TestEnvironment::new();
    let pm2 = std::env::var_os("GITROLL_TEST_PM2")
        .map_or_else(|| test_tools().join("pm2/node_modules/.bin/pm2"), PathBuf::from);
    host.fake_tool("pm2", &format!("#!/bin/sh\nexec '{}' \"$@\"\n", pm2.display()));
    let app = host.app(Fixture::Express);
    app.configure(&AppConfig::default().served_by(ServedBy::Pm2("web".to_owned())).timeout("20s"));
    app.commit_version("1.0.0", Behaviour::Good);
    app.build_by_hand();
    host.run("pm2", &["start", "server.js", "--name", "web"]).exit(0);
    wait_for_version(&app.health(), "1.0.0");
    let s = Scenario { host: &host, app };
    s.bind().stdout_has("adopted");
    let upstream = Upstream::of(&s);
    host.gitroll(&["hooks", "install"]).exit(0).stdout_has("post-merge");

    let by_hand = "git pull -q && npm ci --silent && npm run -s build && pm2 reload web";
    let mut commits = vec![s.app.head()];
    for (version, run) in [("1.1.0", "good"), ("1.2.0", "good"), ("1.3.0", "throws")] {
        commits.push(upstream.release(version, run));
        host.run("sh", &["-c", by_hand]).exit(0);
        if run == "good" {
            s.serves(version);
        }
    }
    let told = moves(&s, 3);
    for (n, (from, to)) in told.iter().enumerate() {
        assert_eq!((from, to), (&commits[n], &commits[n + 1]));
    }
    // The tag is on what was there before, and git believes it.
    let (_, record) = (moved(&s), moved(&s).pop().unwrap());
    let writer = record["writer"].as_str().unwrap();
    let tag = format!("gitroll/production/{writer}/{}-moved", record["seq"]);
    assert_eq!(s.app.git(&["rev-parse", &format!("{tag}^{{commit}}")]), commits[2]);

    let targets = host.gitroll(&["targets"]);
    targets.exit(0).stdout_has("moved by hand").stdout_has("→ ");
    host.gitroll(&["back", "--yes"]).exit(0).stdout_has("v1.2.0");
    s.serves("1.2.0");
    assert_eq!(s.app.head(), commits[2]);
    // One more pull, of what contains the bad release: it is told at once, and what to do.
    let pull = git(&s, &["checkout", "-q", "main"]);
    pull.exit(0).stderr_has("gitroll: ").stderr_has("is held").stderr_has("gitroll back");
    assert_eq!(pull.stderr.lines().count(), 1, "{}", pull.stderr);
    let last = moves(&s, 4).pop().unwrap();
    assert_eq!(last, (commits[2].clone(), commits[3].clone()));
    // A git command of gitroll's own is no move by hand.
    host.gitroll(&["deploy", &commits[1], "--yes"]).exit(0);
    s.serves("1.1.0");
    assert_eq!(moved(&s).len(), 4);
}

#[test]
fn whatever_git_does_by_hand_is_told_once_and_no_command_fails() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    let v1 = s.app.head();
    git(&s, &["checkout", "-q", "main"]).exit(0);
    // What others installed stays and runs: a script, a program, a link, and one that git passes over.
    let (hooks, noted) = (s.app.dir.join(".git/hooks"), host.path("noted"));
    fs::remove_dir_all(&hooks).ok();
    let merge = hook_of_the_team(&hooks.join("post-merge"), &noted);
    fs::create_dir_all(s.app.dir.join(".git/team")).unwrap();
    hook_of_the_team(&s.app.dir.join(".git/team/post-rewrite"), &noted);
    symlink("../team/post-rewrite", hooks.join("post-rewrite")).unwrap();
    fs::write(hooks.join("post-checkout"), "no program\n").unwrap();
    set_mode(&hooks.join("post-checkout"), 0o644);
    let before = Tree::of(&hooks);
    let install = host.gitroll(&["hooks", "install"]);
    install.exit(0).stdout_has("the previous content runs after it");
    let once = Tree::of(&hooks);
    host.gitroll(&["hooks", "install"]).exit(0);
    assert_eq!(Tree::of(&hooks), once, "installed twice");
    host.gitroll(&["hooks", "status"]).exit(0);
    let text = fs::read_to_string(hooks.join("post-merge")).unwrap();
    assert!(text.starts_with("#!/bin/sh\n# gitroll begin") && text.ends_with(&merge[10..]));

    // A person who works here: a branch, a commit that lies beside, a pull.
    let upstream = Upstream::of(&s);
    let v2 = upstream.release("1.1.0", "good");
    next_second();
    let pull = git(&s, &["pull", "-q"]);
    pull.exit(0);
    assert_eq!((pull.stdout.as_str(), pull.stderr.as_str()), ("", ""));
    assert_eq!(moves(&s, 1), [(v1.clone(), v2.clone())]);
    assert!(fs::read_to_string(&noted).unwrap().contains("post-merge 1"));
    let first = moved(&s).remove(0);
    assert!(first["ran_since"].is_object(), "its process was seen: {first:#}");
    let targets = host.gitroll(&["targets"]).exit(0).text().to_owned();
    assert!(targets.contains("moved by hand (#"), "{targets}");
    // Started by hand, then left: without a home, without a path, as from cron.
    host.gitroll(&["service", "restart", "web"]).exit(0);
    s.serves("1.1.0");
    let v3 = upstream.release("1.2.0", "good");
    next_second();
    let dir = s.app.dir.display();
    let cron = format!("cd '{dir}' && env -i PATH=/usr/bin:/bin git pull -q");
    host.run("sh", &["-c", &cron]).exit(0);
    assert_eq!(moves(&s, 2)[1], (v2.clone(), v3.clone()));
    let second = moved(&s).remove(1);
    assert!(second["ran_since"].is_object(), "{second:#}");
    host.gitroll(&["targets"]).exit(0).stdout_has("ran");

    // No hook tells of a reset; the next one does, or the next command.
    next_second();
    git(&s, &["reset", "-q", "--hard", &v1]).exit(0);
    git(&s, &["stash"]).exit(0);
    git(&s, &["checkout", "-q", "--", "package.json"]).exit(0);
    assert_eq!(moved(&s).len(), 2);
    host.gitroll(&["annotate", "--reason", "a night of its own"]).exit(0);
    assert_eq!(moves(&s, 3)[2], (v3.clone(), v1.clone()));

    // On the way through a bisection nothing is a state, nor where it comes back to where it began.
    git(&s, &["bisect", "start", &v3, &v1]).exit(0);
    git(&s, &["bisect", "good"]).exit(0);
    git(&s, &["bisect", "reset"]).exit(0);
    // A rebase is one move, from its beginning to its end.
    git(&s, &["checkout", "-q", "-b", "topic"]).exit(0);
    for name in ["one", "two"] {
        s.app.write(name, name);
        git(&s, &["add", name]).exit(0);
        git(&s, &["commit", "-q", "-m", name]).exit(0);
    }
    next_second();
    git(&s, &["rebase", "-q", &v3]).exit(0);
    let rebased = s.app.head();
    wait_until("the rebase is told", || {
        moved(&s).iter().any(|record| record["moved_to"] == rebased.as_str())
    });
    assert!(fs::read_to_string(&noted).unwrap().contains("post-rewrite 1"));
    let before_worktree = moved(&s).len();
    assert!(before_worktree <= 7, "{:?}", moved(&s));
    // A merge that conflicts ends as git says; another work tree and another clone are nobody's checkout.
    git(&s, &["checkout", "-q", "-b", "other", &v1]).exit(0);
    s.app.write("one", "another");
    git(&s, &["add", "one"]).exit(0);
    git(&s, &["commit", "-q", "-m", "another one"]).exit(0);
    git(&s, &["merge", "-q", "topic"]).exit(1);
    git(&s, &["merge", "--abort"]).exit(0);
    git(&s, &["checkout", "-q", "-"]).exit(0);
    let elsewhere = host.path("elsewhere");
    let add = git(&s, &["worktree", "add", "-q", elsewhere.to_str().unwrap(), &v3]);
    add.exit(0);
    assert_eq!(add.stderr, "");
    let linked = host.run("git", &["-C", elsewhere.to_str().unwrap(), "checkout", "-q", &v1]);
    assert_eq!((linked.code, linked.stderr.as_str()), (Some(0), ""));
    host.run("git", &["clone", "-q", ".", host.path("clone").to_str().unwrap()]).exit(0);
    // gitroll runs git: its children's hooks do nothing.
    let quiet = host.run("env", &["GITROLL_RUN=x", "git", "checkout", "-q", &v2]);
    quiet.exit(0);

    host.gitroll(&["hooks", "uninstall"]).exit(0);
    assert_eq!(Tree::of(&hooks), before, "not byte for byte");
    assert!(!s.app.dir.join(".git/gitroll/hooks.json").exists());
    let mode = fs::metadata(hooks.join("post-checkout")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
    let count = moved(&s).len();
    git(&s, &["checkout", "-q", &v1]).exit(0);
    host.gitroll(&["annotate", "--reason", "without hooks"]).exit(0);
    assert_eq!(moved(&s).len(), count);
}

#[test]
fn a_move_that_cannot_be_signed_waits_in_the_queue() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    git(&s, &["checkout", "-q", "main"]).exit(0);
    let upstream = Upstream::of(&s);
    host.gitroll(&["hooks", "install"]).exit(0);
    let v2 = upstream.release("1.1.0", "good");
    let v3 = upstream.release("1.2.0", "good");
    let binding = fs::read_to_string(host.path("gitroll/host.toml")).unwrap();
    let key = binding.lines().find_map(|line| line.strip_prefix("key = \"")).unwrap();
    let key = PathBuf::from(key.trim_end_matches('"'));
    let hidden = key.with_extension("away");
    fs::rename(&key, &hidden).unwrap();
    let v1 = s.app.head();
    let queue = s.app.dir.join(".git/gitroll/queue");
    let queued = || fs::read_dir(&queue).map_or(0, |dir| dir.flatten().count());
    for (n, commit) in [&v2, &v3].into_iter().enumerate() {
        git(&s, &["fetch", "-q"]).exit(0);
        let merge = git(&s, &["merge", "-q", "--ff-only", commit]);
        assert_eq!((merge.code, merge.stderr.as_str()), (Some(0), ""));
        wait_until("it waits to be signed", || queued() == n + 1);
    }
    fs::rename(&hidden, &key).unwrap();
    host.gitroll(&["annotate", "--reason", "the key is back"]).exit(0);
    assert_eq!(moves(&s, 2), [(v1, v2.clone()), (v2, v3)]);
    assert_eq!(queued(), 0);
}

#[test]
fn hooks_go_with_the_binding() {
    let host = TestEnvironment::new();
    let s = Scenario::bound(&host, Fixture::Plain, &quick());
    let hooks = s.app.dir.join(".git/hooks");
    let before = Tree::of(&hooks);
    host.gitroll(&["hooks", "status"]).exit(0).stdout_has("no hooks of gitroll are installed");
    host.gitroll(&["hooks", "install"]).exit(0);
    host.gitroll(&["doctor"]).stdout_lacks("post-checkout; gitroll does not");
    // Something else writes a hook anew: the next command puts the lines back, before it.
    fs::write(hooks.join("post-merge"), "#!/bin/sh\nexit 0\n").unwrap();
    let status = host.gitroll(&["hooks", "status", "--json"]);
    status.exit(1);
    assert_eq!(status.json()["result"]["hooks"][1]["state"], "lost");
    host.gitroll(&["annotate", "--reason", "x"]).exit(0);
    let status = host.gitroll(&["hooks", "status", "--json"]).exit(0).json();
    assert_eq!(status["result"]["hooks"][1]["state"], "chained", "{status:#}");
    fs::remove_file(hooks.join("post-merge")).unwrap();
    host.gitroll(&["hooks", "install"]).exit(0);
    host.gitroll(&["eject", "--yes"]).exit(0);
    assert_eq!(Tree::of(&hooks), before);
}

#[test]
fn two_work_trees_of_one_repository_share_hooks_and_each_takes_out_its_own() {
    let host = TestEnvironment::new();
    let s = Scenario::bound(&host, Fixture::Plain, &quick());
    let hooks = s.app.dir.join(".git/hooks");
    let before = Tree::of(&hooks);
    let tree = host.path("linked");
    git(&s, &["worktree", "add", "-q", tree.to_str().unwrap(), "HEAD"]).exit(0);
    let there = |args: &[&str]| {
        let mut command = host.gitroll_command(args);
        command.current_dir(&tree).env("GITROLL_HOME", host.path("gitroll-2"));
        Answer::of(command, Duration::from_secs(60))
    };
    there(&["init", "--yes", "--environment", "staging", "--name", "linked"]).exit(0);
    host.gitroll(&["hooks", "install"]).exit(0);
    there(&["hooks", "install"]).exit(0);
    let text = || fs::read_to_string(hooks.join("post-merge")).unwrap_or_default();
    assert_eq!(text().matches("# gitroll begin").count(), 2);
    // Each move is told to whom it concerns.
    let one = s.app.commit("one");
    let log = there(&["log", "--json"]).exit(0).json();
    assert!(!log.to_string().contains("\"moved\""), "{log:#}");
    git(&s, &["checkout", "-q", "--detach", &one]).exit(0);
    wait_until("it is told here", || !moved(&s).is_empty());

    host.gitroll(&["hooks", "uninstall"]).exit(0);
    assert_eq!(text().matches("# gitroll begin").count(), 1);
    there(&["hooks", "status"]).exit(0);
    let told = moved(&s).len();
    let other = ["-C", tree.to_str().unwrap(), "checkout", "-q", "--detach", &one];
    host.run("git", &other).exit(0);
    wait_until("it is told there", || {
        there(&["log", "--json"]).exit(0).json().to_string().contains("\"moved\"")
    });
    assert_eq!(moved(&s).len(), told);
    there(&["hooks", "uninstall"]).exit(0);
    assert_eq!(Tree::of(&hooks), before);
}

/// A tool of the npm registry or of PyPI, installed once for all tests. Returns its directory.
fn tool(name: &str, commands: &[&[&str]]) -> PathBuf {
    let dir = test_tools().join(name);
    fs::create_dir_all(&dir).unwrap();
    let lock = fs::File::create(dir.join("lock")).unwrap();
    lock.lock().unwrap();
    if !dir.join("installed").exists() {
        for command in commands {
            let mut run = std::process::Command::new(command[0]);
            run.args(&command[1..]).current_dir(&dir);
            Answer::of(run, Duration::from_secs(300)).exit(0);
        }
        fs::write(dir.join("installed"), "").unwrap();
    }
    dir
}

#[test]
fn husky_and_pre_commit_go_on_running_and_come_back_byte_for_byte() {
    let husky = tool(
        "husky",
        &[&["npm", "install", "--no-audit", "--no-fund", "--prefix", ".", "husky@9.1.7"]],
    );
    let pre_commit = tool(
        "pre-commit",
        &[
            &["python3", "-m", "venv", "."],
            &["bin/pip", "install", "-q", "--disable-pip-version-check", "pre-commit==4.7.0"],
        ],
    );
    let host = TestEnvironment::new();
    let s = Scenario::bound(&host, Fixture::Plain, &quick());
    git(&s, &["checkout", "-q", "main"]).exit(0);
    let noted = host.path("noted");
    let read = || fs::read_to_string(&noted).unwrap_or_default();
    let hooks = s.app.dir.join(".git/hooks");
    fs::remove_dir_all(&hooks).ok();

    // pre-commit, installed before: its hook runs behind gitroll's lines.
    let hook = format!("echo from-pre-commit >>'{}'", noted.display());
    s.app.write(
        ".pre-commit-config.yaml",
        &format!(
            "repos:\n- repo: local\n  hooks:\n  - id: note\n    name: note\n    language: system\n    \
             entry: sh -c \"{hook}\"\n    stages: [post-checkout]\n    always_run: true\n"
        ),
    );
    let one = s.app.commit("pre-commit");
    let pre_commit = pre_commit.join("bin/pre-commit");
    let install = ["install", "-t", "post-checkout"];
    host.run(pre_commit.to_str().unwrap(), &install).exit(0);
    let before = Tree::of(&hooks);
    host.gitroll(&["hooks", "install"]).exit(0).stdout_has("the previous content runs after it");
    s.app.write("two", "2");
    let two = s.app.commit("two");
    git(&s, &["checkout", "-q", "--detach", &one]).exit(0);
    assert_eq!(read().lines().filter(|line| *line == "from-pre-commit").count(), 1);
    // What was committed before is a move, too.
    assert_eq!(moves(&s, 2)[1], (two.clone(), one.clone()));
    host.gitroll(&["hooks", "uninstall"]).exit(0);
    assert_eq!(Tree::of(&hooks), before);
    // Installed afterwards it sets gitroll's lines aside and calls them.
    fs::remove_dir_all(&hooks).unwrap();
    fs::create_dir(&hooks).unwrap();
    host.gitroll(&["hooks", "install"]).exit(0);
    host.run(pre_commit.to_str().unwrap(), &install).exit(0);
    host.gitroll(&["hooks", "status"]).exit(0);
    git(&s, &["checkout", "-q", "--detach", &two]).exit(0);
    assert_eq!(moves(&s, 3)[2], (one.clone(), two.clone()));
    host.gitroll(&["hooks", "uninstall"]).exit(0);
    assert!(!hooks.join("post-checkout.legacy").exists());
    fs::remove_dir_all(&hooks).unwrap();

    git(&s, &["checkout", "-q", "main"]).exit(0);
    // husky says where hooks lie and writes them anew with every install of packages.
    s.app.write(".husky/post-checkout", &format!("echo from-husky >>'{}'\n", noted.display()));
    let three = s.app.commit("husky");
    let run_husky = || {
        let script = husky.join("node_modules/husky/bin.js");
        host.run("node", &[script.to_str().unwrap()]).exit(0);
    };
    run_husky();
    let (before, exclude) =
        (Tree::of(&s.app.dir.join(".husky")), s.app.dir.join(".git/info/exclude"));
    let excluded = fs::read(&exclude).ok();
    let clean = git(&s, &["status", "--porcelain"]).exit(0).text().to_owned();
    host.gitroll(&["hooks", "install"]).exit(0).stdout_has(".husky/post-merge");
    assert_eq!(git(&s, &["status", "--porcelain"]).text(), clean);
    git(&s, &["checkout", "-q", "--detach", &one]).exit(0);
    git(&s, &["checkout", "-q", "--detach", &three]).exit(0);
    let told = moved(&s).len();
    assert!(read().contains("from-husky"));
    // After an install of packages the hook that the project has itself is husky's alone again, the others go on.
    run_husky();
    host.gitroll(&["hooks", "status"])
        .exit(1)
        .stdout_has("post-checkout  .husky/_/post-checkout was");
    git(&s, &["checkout", "-q", "main"]).exit(0);
    let upstream = Upstream::of(&s);
    let told = told.max(moved(&s).len());
    upstream.release("1.1.0", "good");
    git(&s, &["pull", "-q"]).exit(0);
    wait_until("the pull is told", || moved(&s).len() > told);
    host.gitroll(&["annotate", "--reason", "puts it back"]).exit(0);
    host.gitroll(&["hooks", "status"]).exit(0);
    host.gitroll(&["hooks", "uninstall"]).exit(0);
    assert_eq!(Tree::of(&s.app.dir.join(".husky")), before);
    assert_eq!(fs::read(&exclude).ok(), excluded);

    // Hooks that the project tracks are not written to: a directory of gitroll's own calls them.
    hook_of_the_team(&s.app.dir.join(".githooks/post-checkout"), &noted);
    hook_of_the_team(&s.app.dir.join(".githooks/pre-commit"), &noted);
    let four = s.app.commit("tracked hooks");
    s.app.git(&["config", "core.hooksPath", ".githooks"]);
    let (config, told) = (s.app.read(".git/config"), moved(&s).len());
    host.gitroll(&["hooks", "install"]).exit(0);
    assert_eq!(git(&s, &["status", "--porcelain"]).text(), "");
    fs::write(&noted, "").unwrap();
    git(&s, &["commit", "-q", "--allow-empty", "-m", "five"]).exit(0);
    git(&s, &["checkout", "-q", "--detach", &four]).exit(0);
    assert_eq!(read(), "pre-commit 0\npost-checkout 3\n");
    wait_until("the checkout is told", || moved(&s).len() > told);
    host.gitroll(&["hooks", "status"]).exit(0);
    host.gitroll(&["hooks", "uninstall"]).exit(0);
    assert_eq!(s.app.read(".git/config"), config);
    assert!(!s.app.dir.join(".git/gitroll-hooks").exists());
}

#[test]
fn lefthook_and_a_hooks_directory_at_home_go_on_running() {
    let lefthook = tool(
        "lefthook",
        // Its own script would install its hooks into the repository of these tests.
        &[&[
            "npm",
            "install",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--prefix",
            ".",
            "lefthook@1.13.6",
        ]],
    );
    let host = TestEnvironment::new();
    let s = Scenario::bound(&host, Fixture::Plain, &quick());
    git(&s, &["checkout", "-q", "main"]).exit(0);
    let noted = host.path("noted");
    let read = || fs::read_to_string(&noted).unwrap_or_default();
    let hooks = s.app.dir.join(".git/hooks");
    fs::remove_dir_all(&hooks).ok();
    let bin = lefthook.join("node_modules/.bin");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    host.set("PATH", path);
    let lefthook = bin.join("lefthook");
    let run_lefthook = |args: &[&str]| {
        host.run(lefthook.to_str().unwrap(), args).exit(0);
    };
    let command = format!("echo from-lefthook >>'{}'", noted.display());
    let yml = format!("post-checkout:\n  commands:\n    note:\n      run: {command}\n");
    s.app.write("lefthook.yml", &yml);
    let one = s.app.commit("lefthook");
    run_lefthook(&["install"]);
    let before = Tree::of(&hooks);
    host.gitroll(&["hooks", "install"]).exit(0).stdout_has("the previous content runs after it");
    s.app.write("two", "2");
    let two = s.app.commit("two");
    git(&s, &["checkout", "-q", "--detach", &one]).exit(0);
    assert!(read().contains("from-lefthook"), "{}", read());
    assert_eq!(moves(&s, 2)[1], (two.clone(), one.clone()));
    // It writes its hooks anew when packages are installed: told, and put right by the next command.
    run_lefthook(&["install", "--force"]);
    let status = host.gitroll(&["hooks", "status"]);
    let lost = status.code == Some(1);
    host.gitroll(&["annotate", "--reason", "puts it back"]).exit(0);
    host.gitroll(&["hooks", "status"]).exit(0);
    fs::remove_file(&noted).ok();
    git(&s, &["checkout", "-q", "--detach", &two]).exit(0);
    assert!(read().contains("from-lefthook"), "{}", read());
    assert_eq!(moves(&s, 3)[2], (one.clone(), two.clone()));
    host.gitroll(&["hooks", "uninstall"]).exit(0);
    if !lost {
        assert_eq!(Tree::of(&hooks), before);
    }
    fs::remove_file(&noted).ok();
    git(&s, &["checkout", "-q", "--detach", &one]).exit(0);
    assert!(read().contains("from-lefthook"), "lefthook's own hook is left as it was");
    fs::remove_dir_all(&hooks).unwrap();

    // A directory of hooks for all repositories of a person, as git's configuration writes it.
    fs::remove_file(&noted).ok();
    let home = PathBuf::from(host.run("sh", &["-c", "echo $HOME"]).exit(0).text());
    hook_of_the_team(&home.join("all-hooks/post-checkout"), &noted);
    hook_of_the_team(&home.join("all-hooks/post-commit"), &noted);
    host.configure_git("core.hooksPath", "~/all-hooks");
    let shared = Tree::of(&home.join("all-hooks"));
    host.gitroll(&["hooks", "install"]).exit(0);
    assert_eq!(Tree::of(&home.join("all-hooks")), shared);
    git(&s, &["commit", "-q", "--allow-empty", "-m", "three"]).exit(0);
    git(&s, &["checkout", "-q", "--detach", &two]).exit(0);
    assert_eq!(read(), "post-commit 0\npost-checkout 3\n");
    let told = moved(&s).len();
    wait_until("the checkout is told", || moved(&s).len() > told.saturating_sub(1));
    host.gitroll(&["hooks", "uninstall"]).exit(0);
    fs::remove_file(&noted).ok();
    git(&s, &["checkout", "-q", "--detach", &one]).exit(0);
    assert_eq!(read(), "post-checkout 3\n");
}

#[test]
fn a_push_that_moves_what_must_stay_does_not_leave_and_one_of_what_is_held_is_told() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    git(&s, &["checkout", "-q", "main"]).exit(0);
    let remote = s.app.with_remote();
    let noted = host.path("noted");
    let hook = s.app.dir.join(".git/hooks/pre-push");
    fs::create_dir_all(hook.parent().unwrap()).unwrap();
    fs::write(&hook, format!("#!/bin/sh\ncat >'{}'\necho \"$1\" >>'{0}'\n", noted.display()))
        .unwrap();
    set_mode(&hook, 0o755);
    host.gitroll(&["hooks", "install"]).exit(0);
    let (v1, tag) = (s.app.head(), "refs/tags/v1.0.0-stable");
    assert_eq!(s.app.git(&["ls-remote", "origin", tag]).split_whitespace().nth(1), Some(tag));
    let bad = s.app.commit_version("1.1.0", Behaviour::Good);
    // The hook that was there gets what git says, whole.
    git(&s, &["push", "-q", "origin", "main"]).exit(0);
    let read = fs::read_to_string(&noted).unwrap();
    assert_eq!(read, format!("refs/heads/main {bad} refs/heads/main {v1}\norigin\n"));

    let delete = git(&s, &["push", "-q", "origin", "--delete", "v1.0.0-stable"]);
    delete
        .fails()
        .stderr_has("gitroll: refs/tags/v1.0.0-stable is a stable tag: it is never deleted");
    let moved = git(&s, &["push", "-q", "--force", "origin", &format!("{bad}:{tag}")]);
    moved.fails().stderr_has("it is never moved").stderr_has("give the new one another name");
    let chain = s.app.git(&["for-each-ref", "--format=%(refname)", "refs/gitroll"]);
    git(&s, &["push", "-q", "origin", &chain]).exit(0);
    let forced = format!("+{v1}:{chain}");
    git(&s, &["push", "-q", "origin", &forced]).fails().stderr_has("it only grows");
    git(&s, &["push", "-q", "origin", &format!(":{chain}")]).fails().stderr_has("never deleted");
    host.gitroll(&["annotate", "--reason", "one more"]).exit(0);
    git(&s, &["push", "-q", "origin", &chain]).exit(0);

    host.gitroll(&["mark", "bad", &bad, "--reason", "errors"]).exit(0);
    let warned = git(&s, &["push", "-q", "origin", "main:again"]);
    warned
        .exit(0)
        .stderr_has("again contains")
        .stderr_has("is held")
        .stderr_has("gitroll deploy refuses it");
    // Without its records gitroll stops no push.
    fs::rename(host.path("gitroll"), host.path("gone")).unwrap();
    git(&s, &["push", "-q", "origin", "main:third"]).exit(0);
    fs::rename(host.path("gone"), host.path("gitroll")).unwrap();
    host.gitroll(&["hooks", "uninstall"]).exit(0);
    assert!(remote.is_dir());
    assert!(fs::read_to_string(&hook).unwrap().starts_with("#!/bin/sh\ncat >"));
}

#[test]
fn a_push_deploys_and_its_last_line_is_honest() {
    let host = TestEnvironment::new();
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    let server = GitServer::start(&host);
    s.app.git(&["remote", "add", "origin", server.bare.to_str().unwrap()]);
    s.app.git(&["push", "-q", "origin", "main"]);
    let work = host.path("work");
    host.run("git", &["clone", "-q", &server.url, work.to_str().unwrap()]).exit(0);
    let upstream = Upstream { host: &host, dir: work.clone() };
    let app = s.app.dir.to_str().unwrap();
    let install = ["hooks", "install", "--server", "--deploy", app];
    host.gitroll_in(&server.bare, &install).exit(0).stdout_has("post-receive");
    let push = |version: &str, run: &str| {
        upstream.commit(version, run);
        host.run("git", &["-C", work.to_str().unwrap(), "push"])
    };
    let good = push("1.1.0", "good");
    good.exit(0).stderr_has("observed serving").stderr_has("DEPLOYED ").stderr_has("[0]");
    s.serves("1.1.0");
    // git push exits 0 whatever became of it, so the line says it.
    let bad = push("1.2.0", "throws");
    bad.exit(0).stderr_has("NOT DEPLOYED [20]; git push exits 0 anyway");
    let last = bad.stderr.lines().rfind(|line| line.starts_with("remote: ")).unwrap();
    assert!(last.contains("NOT DEPLOYED [20]"), "{}", bad.stderr);
    s.serves("1.1.0");
    // Of two pushes that wait only the newest is deployed, wherever git keeps its refs.
    let first = work_head(&host, &work);
    upstream.release("1.2.1", "good");
    host.run("git", &["-C", server.bare.to_str().unwrap(), "pack-refs", "--all"]).exit(0);
    let late = host.gitroll_in(&server.bare, &["hook", "received", &first]);
    late.exit(0).stdout_has("was pushed after").stdout_has("NOT DEPLOYED");
    s.serves("1.2.1");
    // Another branch is nobody's release.
    let topic = ["-C", work.to_str().unwrap(), "push", "-q", "origin", "HEAD:refs/heads/topic"];
    host.run("git", &topic).exit(0).stderr_lacks("DEPLOYED");
    // A connection that is closed ends no deploy: the pusher is killed as soon as it began.
    upstream.commit("1.3.0", "good");
    let mut command = host.command("git");
    command.args(["-C", work.to_str().unwrap(), "push", "-q"]).stderr(std::process::Stdio::piped());
    let mut pusher = command.spawn().unwrap();
    let journal = s.app.dir.join(".git/gitroll/lock");
    let head = s.host.run("git", &["-C", work.to_str().unwrap(), "rev-parse", "HEAD"]);
    let head = head.text().to_owned();
    wait_until("the push was taken", || {
        fs::read_to_string(server.bare.join("refs/heads/main")).is_ok_and(|at| at.trim() == head)
    });
    pusher.kill().unwrap();
    pusher.wait().unwrap();
    s.serves("1.3.0");
    assert!(journal.exists());
    host.gitroll_in(&server.bare, &["hooks", "uninstall", "--server"]).exit(0);
    assert!(!server.bare.join("hooks/post-receive").exists());
}

fn work_head(host: &TestEnvironment, work: &Path) -> String {
    host.run("git", &["-C", work.to_str().unwrap(), "rev-parse", "HEAD"]).exit(0).text().to_owned()
}

#[test]
fn a_hook_costs_little_where_there_is_nothing_to_do() {
    let host = TestEnvironment::new();
    let s = Scenario::bound(&host, Fixture::Plain, &quick());
    host.gitroll(&["hooks", "install"]).exit(0);
    let gitroll = host.gitroll_command(&[]).get_program().to_string_lossy().into_owned();
    // Processor time: what the clock on the wall says depends on the machine's other work.
    let took = (0..5).map(|_| {
        let times = host.run("sh", &["-c", &format!("'{gitroll}' hook post-checkout; times")]);
        let children = times.exit(0).text().lines().last().unwrap().to_owned();
        let millis = |time: &str| {
            let (minutes, seconds) = time.trim_end_matches('s').split_once('m').unwrap();
            minutes.parse::<f64>().unwrap() * 60e3 + seconds.parse::<f64>().unwrap() * 1e3
        };
        children.split_whitespace().map(millis).sum::<f64>()
    });
    let least = took.fold(f64::MAX, f64::min);
    assert!(least < 50.0, "{least} ms");
    drop(s);
}
