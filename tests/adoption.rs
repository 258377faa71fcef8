//! A server that was set up by hand is taken over, has its bad night, and is given back: one story, as the
//! app's own user, on express under pm2's cluster mode.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::*;
use serde_json::Value;

/// The app's user on the server: no account of this machine.
const USER: u32 = 54_322;

/// How long one command of the story may take.
const LIMIT: Duration = Duration::from_secs(180);

/// The tags of the past, the last one serves: lightweight ones and annotated ones, none signed.
const PAST: [&str; 5] = ["0.7.0", "0.8.0", "0.8.1", "0.9.0", "1.0.0"];

/// A server whose `/etc/passwd` knows `app` and whose crontab deploys the app.
struct Server<'h> {
    host: &'h TestEnvironment,
    app: App<'h>,
    program: PathBuf,
}

impl<'h> Server<'h> {
    fn set_up_by_hand(host: &'h TestEnvironment) -> Self {
        let app = host.app(Fixture::Express);
        fs::remove_file(app.dir.join("gitroll.toml")).expect("the fixture has one");
        app.write(".gitignore", "node_modules/\ndist/\n.env\n");
        app.write("config/host.json", "{ \"workers\": 2 }\n");
        app.write("features/upload/index.js", "module.exports = 'one at a time';\n");
        app.write("features/search/index.js", "module.exports = 'by name';\n");
        for (index, version) in PAST.into_iter().enumerate() {
            app.commit_version(version, Behaviour::Good);
            let tag = format!("v{version}-stable");
            if index % 2 == 0 {
                app.lightweight_tag(&tag)
            } else {
                app.tag(&tag)
            }
            // As the runbook says: `git checkout` of the tag, on the server.
            app.git(&["checkout", "-q", &tag]);
            app.git(&["checkout", "-q", "main"]);
        }
        app.build_by_hand();
        app.write("config/host.json", "{ \"workers\": 4 }\n");
        let server = Self { host, app, program: host.path("gitroll-program") };
        server.make_reachable();
        server
    }

    /// Everything the app's user needs, below the host's own directory: the checkout of these tests may lie
    /// where only its owner can go.
    fn make_reachable(&self) {
        fs::copy(env!("CARGO_BIN_EXE_gitroll"), &self.program).expect("it can be copied");
        let pm2 = std::env::var_os("GITROLL_TEST_PM2")
            .map_or_else(|| test_tools().join("pm2/node_modules/.bin/pm2"), PathBuf::from);
        let modules = pm2.ancestors().nth(2).expect("it lies in node_modules/.bin");
        fs::create_dir(self.host.path("pm2-program")).expect("ours");
        self.copy(modules, "pm2-program/node_modules");
        self.copy(&test_tools().join("npm-cache"), "npm-cache");
        let start = self.host.path("pm2-program/node_modules/pm2/bin/pm2");
        self.host.fake_tool("pm2", &format!("#!/bin/sh\nexec node '{}' \"$@\"\n", start.display()));
        let npmrc = fs::read_to_string(self.host.path("home/.npmrc")).expect("every host has one");
        let kept = npmrc.lines().filter(|line| !line.starts_with("cache="));
        let cache = format!("cache={}", self.host.path("npm-cache").display());
        let npmrc: Vec<&str> = kept.chain([cache.as_str()]).collect();
        fs::write(self.host.path("home/.npmrc"), npmrc.join("\n") + "\n").expect("ours");
        let home = self.host.path("home");
        let account =
            format!("root:x:0:0::/root:/bin/sh\napp:x:{USER}:{USER}::{}:/bin/sh\n", home.display());
        fs::write(self.host.path("passwd"), account).expect("ours");
        fs::write(self.host.path("group"), format!("root:x:0:\napp:x:{USER}:\n")).expect("ours");
        let line =
            format!("*/5 * * * * cd {} && git pull && pm2 reload shop\n", self.app.dir.display());
        fs::write(self.host.path("crontab"), line).expect("ours");
        fs::write(self.host.path("as-app"), AS_APP).expect("ours");
        self.hand_over();
    }

    fn copy(&self, from: &Path, to: &str) {
        let copied = Command::new("cp").arg("-a").arg(from).arg(self.host.path(to)).status();
        assert!(copied.expect("cp can be run").success(), "{} could not be copied", from.display());
    }

    /// All of it belongs to the app's user, as on a server where nothing was ever done as root.
    fn hand_over(&self) {
        give(self.host.root());
        for program in ["as-app", "gitroll-program"] {
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(self.host.path(program), mode).expect("ours");
        }
    }

    /// Runs a program as the app's user.
    #[track_caller]
    fn run(&self, program: &str, args: &[&str]) -> Answer {
        let mut command = self.host.command(self.host.path("as-app"));
        command.env("SERVER", self.host.root()).env("USER_ID", USER.to_string());
        command.env("USER", "app").arg(program).args(args);
        Answer::of(command, LIMIT)
    }

    #[track_caller]
    fn gitroll(&self, args: &[&str]) -> Answer {
        self.run(self.program.to_str().expect("temporary paths are UTF-8"), args)
    }

    #[track_caller]
    fn git(&self, args: &[&str]) -> String {
        self.run("git", args).exit(0).text().to_owned()
    }

    /// A version on top of `main`, made elsewhere and fetched: what is checked out stays.
    #[track_caller]
    fn push(&self, version: &str, changes: &[(&str, &str)]) -> String {
        let elsewhere = self.host.path("laptop");
        let place = elsewhere.to_str().expect("temporary paths are UTF-8");
        if !elsewhere.exists() {
            self.git(&["clone", "-q", ".", place]);
        }
        self.git(&["-C", place, "fetch", "-q", "origin", "main"]);
        self.git(&["-C", place, "checkout", "-q", "--detach", "origin/main"]);
        for (path, text) in changes {
            let file = elsewhere.join(path);
            fs::write(&file, text).expect("ours");
        }
        let package = elsewhere.join("package.json");
        let text = fs::read_to_string(&package).expect("every version has one");
        let mut json: Value = serde_json::from_str(&text).expect("it is JSON");
        json["version"] = version.into();
        fs::write(&package, format!("{json:#}\n")).expect("ours");
        self.git(&["-C", place, "commit", "-q", "-a", "-m", &format!("Release {version}")]);
        self.git(&["fetch", "-q", place, "HEAD"]);
        self.git(&["update-ref", "refs/heads/main", "FETCH_HEAD"]);
        self.git(&["rev-parse", "main"])
    }

    #[track_caller]
    fn answers(&self, feature: &str, wanted: &str) {
        let answer = http_get(&self.app.url(&format!("/features/{feature}")));
        assert_eq!(answer.expect("the app answers").body.trim(), wanted, "/features/{feature}");
    }

    #[track_caller]
    fn serves(&self, version: &str) {
        wait_for_version(&self.app.health(), version);
    }

    fn pids(&self) -> Vec<u64> {
        let list = self.run("pm2", &["jlist"]);
        let list = list.exit(0).stdout.lines().rev().find(|line| line.starts_with('['));
        let list: Vec<Value> = list.and_then(|l| serde_json::from_str(l).ok()).unwrap_or_default();
        list.iter().filter_map(|process| process["pid"].as_u64()).collect()
    }
}

/// `/etc/passwd` and the crontabs are the server's in a mount namespace of the command's own.
///
/// pm2's daemon stays in this namespace for the whole test. The disks whose power other tests cut must not be
/// held by it: a dead file system that is mounted anywhere cannot be mounted anew.
const AS_APP: &str = r#"#!/bin/sh
exec unshare --mount --propagation private sh -c '
for disk in /tmp/gp-*/disk; do umount -l "$disk" 2>/dev/null; done
mount --bind "$SERVER/passwd" /etc/passwd && mount --bind "$SERVER/group" /etc/group &&
mkdir -p /var/spool/cron && mount -t tmpfs none /var/spool/cron &&
mkdir /var/spool/cron/crontabs && cp "$SERVER/crontab" /var/spool/cron/crontabs/app &&
chown "$USER_ID" /var/spool/cron/crontabs/app && chmod 600 /var/spool/cron/crontabs/app || exit 99
exec setpriv --reuid "$USER_ID" --regid "$USER_ID" --clear-groups -- "$@"' sh "$@"
"#;

fn give(path: &Path) {
    let kind = path.symlink_metadata().expect("it was just listed").file_type();
    std::os::unix::fs::lchown(path, Some(USER), Some(USER)).expect("root may give files away");
    if kind.is_dir() {
        for entry in fs::read_dir(path).expect("a directory can be listed") {
            give(&entry.expect("a directory can be listed").path());
        }
    }
}

#[test]
fn a_server_set_up_by_hand_is_taken_over_has_its_bad_night_and_is_given_back() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let host = TestEnvironment::new();
    let server = Server::set_up_by_hand(&host);
    server.run("pm2", &["start", "server.js", "--name", "shop", "-i", "2"]).exit(0);
    server.serves("1.0.0");

    // Taken over while visitors are there.
    let visitors = RequestLoop::start(&server.app.health());
    let before = server.pids();
    let init = server.gitroll(&["init", "--yes", "--environment", "production", "--name", "web-1"]);
    let taken = visitors.stop();
    init.exit(0)
        .stdout_has("adopted")
        .stdout_has("gitroll back would go to v0.9.0-stable")
        .stdout_has("&& git pull && pm2 reload shop")
        .stdout_has("gitroll deploy --yes --quiet");
    taken.without_failures().only("1.0.0");
    assert_eq!(server.pids(), before, "no process was touched");
    assert!(server.app.read("gitroll.toml").contains("config/host.json"), "it is kept as local");
    let tags = "--format=%(objecttype) %(refname:short)";
    let tags = server.git(&["for-each-ref", tags, "refs/tags/v*"]);
    assert_eq!(tags.matches("commit v").count(), 3, "nothing was retagged: {tags}");
    server.gitroll(&["doctor"]).exit(0);

    // The team lead declares a component, commits, and makes the state a stable one.
    let mut config = server.app.read("gitroll.toml");
    config
        .push_str("\n[component.QW-001]\ntitle = \"Uploads\"\npaths = [\"features/upload/**\"]\n");
    fs::write(server.app.dir.join("gitroll.toml"), config).expect("ours");
    server.git(&["add", "gitroll.toml"]);
    server.git(&["commit", "-q", "-m", "Deploy with gitroll"]);
    server.gitroll(&["deploy", "--yes"]).exit(0);
    server.gitroll(&["promote", "--as", "v1.0.1", "--yes"]).exit(0);
    assert_eq!(server.app.read("config/host.json"), "{ \"workers\": 4 }\n");

    // The bad deploy: it serves, and one feature of it is wrong.
    let bad = server.push(
        "1.1.0",
        &[
            ("features/upload/index.js", "module.exports = 'all at once, half of them lost';\n"),
            ("features/search/index.js", "module.exports = 'by everything';\n"),
        ],
    );
    server.gitroll(&["deploy", &bad, "--yes"]).exit(0);
    server.answers("upload", "all at once, half of them lost");
    let back = ["component", "QW-001", "--yes", "--reason", "uploads are lost"];
    server.gitroll(&back).exit(0).stdout_has("observed serving");
    server.answers("upload", "one at a time");
    server.answers("search", "by everything");
    server.serves("1.1.0");

    // What the pipeline does next.
    server.gitroll(&["deploy", &bad, "--yes"]).exit(10).stderr_has("--keep-component QW-001");
    let search = [("features/search/index.js", "module.exports = 'by meaning';\n")];
    let next = server.push("1.2.0", &search);
    server.gitroll(&["deploy", &next, "--yes"]).exit(10);
    server.gitroll(&["deploy", &next, "--keep-component", "QW-001", "--yes"]).exit(0);
    server.answers("upload", "one at a time");
    server.answers("search", "by meaning");

    // What the channel gets to read.
    let told = server.gitroll(&["diff", "--since-good", "--markdown"]);
    told.exit(0).stdout_has("features/search/index.js");
    assert!(told.stdout.lines().count() <= 20, "{}", told.stdout);

    // It was not only the uploads.
    server.gitroll(&["back", "--yes"]).exit(0).stdout_has("v1.0.1-stable observed serving");
    server.serves("1.0.0");
    server.answers("search", "by name");
    assert_eq!(server.app.read("config/host.json"), "{ \"workers\": 4 }\n");
    let serving = server.git(&["rev-parse", "HEAD"]);

    // And back to plain git.
    let (visitors, before) = (RequestLoop::start(&server.app.health()), server.pids());
    server.gitroll(&["eject", "--yes"]).exit(0);
    visitors.stop().without_failures();
    assert_eq!(server.pids(), before);
    assert_eq!(server.git(&["rev-parse", "HEAD"]), serving);
    server.git(&["symbolic-ref", "HEAD"]);
    assert_eq!(server.git(&["status", "--porcelain"]), "M config/host.json");
}
