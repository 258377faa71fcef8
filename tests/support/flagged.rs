//! An app with a feature flag, whose faults are cured by what a test says.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::{App, AppConfig, Behaviour, Fixture, Scenario, TestEnvironment, wait_until};

/// Reads `.env` as it starts. It fails while `.git/sick-flag` is there and its flag is on, while `.git/sick-code`
/// is there and it is not 1.0.0, while `.git/sick-files` is there and the feature is in the tree, and while
/// `.git/sick-both` is there.
const SERVER: &str = r#"
const fs = require('fs'), http = require('http'), path = require('path');
const version = JSON.parse(fs.readFileSync(path.join(__dirname, 'package.json'))).version;
const read = () => { try { return fs.readFileSync(path.join(__dirname, '.env'), 'utf8'); } catch { return ''; } };
const flag = (text, name) => {
  const lines = text.split(/\r?\n/).filter((line) => line.startsWith(name + '='));
  return lines.length ? lines[lines.length - 1].slice(name.length + 1).replace(/\s+#.*/, '') : undefined;
};
let env = read();
const value = () => flag(env, 'ENABLE_UPLOADS') ?? 'absent';
process.on('SIGTERM', () => process.exit(0));
const sick = (kind) => fs.existsSync(path.join(__dirname, '.git/sick-' + kind));
const parallel = () => fs.readFileSync(path.join(__dirname, 'features/upload/index.js'), 'utf8').includes('all at once');
http.createServer((request, response) => {
  const bad = (sick('flag') && value() !== 'false') || (sick('code') && version !== '1.0.0') || sick('both') || (sick('files') && parallel());
  response.writeHead(bad ? 500 : 200, { 'content-type': 'application/json', connection: 'close' });
  response.end(JSON.stringify({ status: bad ? 'failing' : 'healthy', version, pid: process.pid, flags: { ENABLE_UPLOADS: value() } }));
}).listen(process.env.PORT, '127.0.0.1');
"#;

/// The component of the flag.
pub const UPLOADS: &str = r#"
[component.QW-001]
title = "Parallel uploads"
paths = ["features/upload/**"]
flag = { name = "ENABLE_UPLOADS", off = "false", on = "true" }
"#;

/// A check that always fails and is not critical.
pub const NOT_CRITICAL: &str = r#"
[[check]]
name = "report"
command = ["sh", "-c", "exit 3"]
critical = false
passes = 1
settle = "0s"
timeout = "1s"
"#;

/// Where it is kept, and how the app shows it.
pub const SHOWN_BY_HTTP: &str = r#"
[flags]
file = ".env"
verify = { http = "http://127.0.0.1:PORT/api/health", expect = { json = { "/flags/{name}" = "{value}" } }, timeout = "3s" }
"#;

/// 1.0.0 of the app, promoted, without the feature, and 1.1.0 with it, serving; the flag is on. `PORT` in `more` is
/// the app's.
#[track_caller]
pub fn flagged<'h>(host: &'h TestEnvironment, more: &str) -> Scenario<'h> {
    let quick =
        AppConfig::default().without_builds().settle(1, "200ms").timeout("4s").min_served("0s");
    let env = "# the app's own\nENABLE_UPLOADS=true\n";
    let s = without_the_feature(host, SERVER, env, quick, more);
    s.with_the_feature();
    s
}

/// 1.0.0 of an app that reads `.env`, serving without the feature. `PORT` in `more` is the app's.
#[track_caller]
pub fn without_the_feature<'h>(
    host: &'h TestEnvironment,
    server: &str,
    env: &str,
    config: AppConfig,
    more: &str,
) -> Scenario<'h> {
    let app: App<'h> = host.app(Fixture::Plain);
    app.configure(&config.and(&more.replace("PORT", &app.port.number().to_string())));
    app.write("server.js", server);
    app.write(".gitignore", ".env\n");
    app.write("features/upload/index.js", "// one at a time\n");
    app.write(".env", env);
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host, app };
    s.bind();
    host.gitroll(&["deploy", "--yes"]).exit(0);
    s
}

impl Scenario<'_> {
    /// What serves is promoted as 1.0.0, and 1.1.0 brings the feature.
    #[track_caller]
    pub fn with_the_feature(&self) {
        self.promote("v1.0.0");
        self.app.write("features/upload/index.js", "// all at once\n");
        self.release_kept("1.1.0").exit(0);
    }

    /// From now on the app fails as the server says of this kind: `flag`, `code`, `files` or `both`.
    pub fn sicken(&self, kind: &str) {
        let path = self.app.dir.join(format!(".git/sick-{kind}"));
        fs::write(path, "").expect("the app's directory is writable");
    }

    /// It is well again.
    pub fn cure(&self, kind: &str) {
        let path = self.app.dir.join(format!(".git/sick-{kind}"));
        fs::remove_file(path).expect("it was sick");
    }

    /// What lies in `.env`.
    pub fn env(&self) -> String {
        fs::read_to_string(self.app.dir.join(".env")).unwrap_or_default()
    }
}

/// A gitroll that goes on while the test does other things; what it says is kept beside it.
pub struct Going<'h> {
    child: Child,
    host: &'h TestEnvironment,
}

impl<'h> Going<'h> {
    /// Starts it.
    pub fn start(host: &'h TestEnvironment, args: &[&str]) -> Self {
        let file = |name: &str| fs::File::create(host.path(name)).expect("it is writable");
        let mut command: Command = host.gitroll_command(args);
        command.stdin(Stdio::null()).stdout(file("going.out")).stderr(file("going.err"));
        Self { child: command.spawn().expect("it starts"), host }
    }

    /// What it told so far.
    pub fn told(&self) -> String {
        fs::read_to_string(self.host.path("going.err")).unwrap_or_default()
    }

    /// Waits until it told this.
    #[track_caller]
    pub fn tells(&self, text: &str) {
        wait_until(text, || self.told().contains(text));
    }

    /// Waits until its answer on standard output has this.
    #[track_caller]
    pub fn answers(&self, text: &str) {
        let answer = || fs::read_to_string(self.host.path("going.out")).unwrap_or_default();
        wait_until(text, || answer().contains(text));
    }

    /// Asks it to stop.
    pub fn interrupt(&self) {
        self.host.run("kill", &["-INT", &self.child.id().to_string()]).exit(0);
    }

    /// Waits for its end with this code; what it answered on stdout, and told.
    #[track_caller]
    pub fn ends(mut self, code: i32) -> (String, String) {
        let end = Instant::now() + Duration::from_secs(90);
        let mut status = None;
        while status.is_none() && Instant::now() < end {
            thread::sleep(Duration::from_millis(20));
            status = self.child.try_wait().expect("a child can be waited for");
        }
        if status.is_none() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
        let out = fs::read_to_string(self.host.path("going.out")).unwrap_or_default();
        let told = self.told();
        assert_eq!(status.and_then(|s| s.code()), Some(code), "{out}\n{told}");
        (out, told)
    }
}
