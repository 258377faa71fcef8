//! Services whose manager names no process: whoever listens stands for them, as long as it is the one that was started.

use std::process::Stdio;
use std::time::Duration;

use crate::support::*;

/// The app under commands of its own, and a check that names no version.
struct Commanded<'h> {
    s: Scenario<'h>,
    pid: std::path::PathBuf,
}

impl<'h> Commanded<'h> {
    /// `program` runs the app; `app` are lines of `[app]`, `more` lines of the service.
    fn new(host: &'h TestEnvironment, program: &str, app: &str, more: &str) -> Self {
        let tree = host.app(Fixture::Plain);
        let (pid, port) = (host.path("pid"), tree.port.number());
        let control = format!(
            "#!/bin/sh\ncase $1 in\nstart) PORT={port} nohup {program} >/dev/null 2>&1 & echo $! >'{pid}'; sleep 0.3 ;;\n\
             stop) kill $(cat '{pid}'); while kill -0 $(cat '{pid}') 2>/dev/null; do sleep 0.1; done ;;\n\
             reload) kill -HUP $(cat '{pid}'); sleep 0.5 ;;\nstatus) kill -0 $(cat '{pid}') ;;\nesac\n",
            pid = pid.display()
        );
        host.fake_tool("control", &control);
        tree.write(
            "gitroll.toml",
            &format!(
                "[app]\nname = \"plain-app\"\n{app}[stable]\nmin_served = \"0s\"\n\
                 [service.web]\nmanager = \"command\"\nstart = [\"control\", \"start\"]\n\
                 stop = [\"control\", \"stop\"]\nstatus = [\"control\", \"status\"]\n{more}\n\
                 [[check]]\nname = \"api\"\nhttp = \"http://127.0.0.1:{port}/api/health\"\npasses = 2\n\
                 settle = \"2s\"\ntimeout = \"8s\"\n[run]\nwatchdog = \"off\"\n"
            ),
        );
        Self { s: Scenario { host, app: tree }, pid }
    }

    /// Commits the first version, starts it and binds it.
    fn bound(self) -> Self {
        self.s.app.commit_version("1.0.0", Behaviour::Good);
        self.control("start");
        self.s.serves("1.0.0");
        self.s.bind();
        self
    }

    fn control(&self, what: &str) {
        let line = format!("cd '{}' && control {what}", self.s.app.dir.display());
        self.s.host.run("sh", &["-c", &line]).exit(0);
    }

    fn main(&self) -> String {
        std::fs::read_to_string(&self.pid).expect("it was started").trim().to_owned()
    }
}

impl Drop for Commanded<'_> {
    fn drop(&mut self) {
        let _ = self.s.host.run("sh", &["-c", &format!("kill -9 {}", self.main())]);
    }
}

#[test]
fn a_process_that_takes_the_place_of_the_service_while_it_is_proven_fails_the_run() {
    let host = TestEnvironment::new();
    let one = Commanded::new(&host, "node server.js", "", "");
    // Told to, it gives up its port and runs on.
    let server = one.s.app.read("server.js");
    let yields = "process.on('SIGUSR2', () => { server.close(); setInterval(() => {}, 1000); });\n";
    one.s.app.write("server.js", &(server + yields));
    let one = one.bound();
    let other = host.path("other");
    std::fs::create_dir(&other).expect("the host's directory is writable");
    for file in ["server.js", "behaviour.js", "behaviour.json", "package.json"] {
        std::fs::copy(one.s.app.dir.join(file), other.join(file)).expect("a file of the app");
    }
    let before = one.s.app.head();
    one.s.app.git(&["checkout", "-q", "main"]);
    let next = one.s.app.commit_version("1.1.0", Behaviour::Good);
    one.s.app.git(&["checkout", "-q", "--detach", &before]);
    let mut deploy = host.gitroll_command(&["deploy", &next, "--yes"]);
    let deploy = deploy.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    wait_for_version(&one.s.app.health(), "1.1.0");
    // It must have been seen first.
    std::thread::sleep(Duration::from_millis(800));
    let served = one.main();
    host.run("kill", &["-USR2", &served]).exit(0);
    let mut stranger = host.command("node");
    stranger.arg("server.js").current_dir(&other).env("PORT", one.s.app.port.number().to_string());
    let stranger = stranger.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut stranger = stranger.spawn().expect("node can be started");
    let ended = deploy.wait_with_output().expect("it ends");
    stranger.kill().expect("it runs");
    stranger.wait().expect("it ends");
    let (told, out) =
        (String::from_utf8_lossy(&ended.stderr), String::from_utf8_lossy(&ended.stdout));
    assert!(matches!(ended.status.code(), Some(20 | 21)), "{told}{out}");
    assert!(told.contains(&format!("in place of process {served}")), "{told}");
    assert!(!out.contains("observed serving"), "{out}");
    host.gitroll(&["abort", "--yes"]);
}

#[test]
fn a_worker_that_an_old_process_has_forked_is_as_old_as_its_code() {
    /// Reads the version once; each HUP ends the worker and forks another one, which opens the port by itself.
    const PRELOADING: &str = "
import json, os, signal
from http.server import BaseHTTPRequestHandler, HTTPServer
version = json.load(open('package.json'))['version']
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({'status': 'healthy', 'version': version}, separators=(',', ':')).encode()
        self.send_response(200)
        self.send_header('content-length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words): pass
def fork():
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        HTTPServer(('127.0.0.1', int(os.environ['PORT'])), Handler).serve_forever()
    return child
def end():
    os.kill(worker, signal.SIGKILL)
    os.waitpid(worker, 0)
def renew(*_):
    global worker
    end()
    worker = fork()
def leave(*_):
    end()
    os._exit(0)
worker = fork()
signal.signal(signal.SIGHUP, renew)
signal.signal(signal.SIGTERM, leave)
while True: signal.pause()
";
    let host = TestEnvironment::new();
    let one = Commanded::new(&host, "python3 app.py", "", "reload = [\"control\", \"reload\"]\n");
    one.s.app.write("app.py", PRELOADING);
    let one = one.bound();
    let deploy = one.s.release("1.1.0", Behaviour::Good);
    deploy.stdout_lacks("observed serving").stderr_has("which started before the reload");
    assert!(matches!(deploy.code, Some(20 | 21)), "{deploy:?}");
    one.s.serves("1.0.0");
    host.gitroll(&["abort", "--yes"]);
    one.control("stop");
}

#[test]
fn what_was_proven_weakly_is_never_called_observed_later_on() {
    let host = TestEnvironment::new();
    let one = Commanded::new(&host, "node server.js", "prove = \"weak\"\n", "").bound();
    one.s.release("1.1.0", Behaviour::Good).exit(0).stdout_has("v1.1.0 weak proof");
    let check = host.gitroll(&["check"]);
    check.exit(0).stdout_has("weak: up, but #3 proved it weakly").stdout_lacks("observed serving");
    let check = host.gitroll(&["check", "--json"]).exit(0).json();
    assert!(check["result"]["weak"].is_string(), "{check}");
    let status = host.gitroll(&["status"]);
    status.exit(0).stdout_has("! weak: #3 proved it weakly").stdout_lacks("✓ proven");
    let status = host.gitroll(&["status", "--json"]).exit(0).json();
    assert_eq!(status["result"]["proven"], false, "{status}");
    host.gitroll(&["deploy", "--yes"])
        .exit(0)
        .stdout_has("already serves: #3 proved it weakly")
        .stdout_lacks("observed");
    // Somebody checks out another version; nothing shows which of the two answers.
    let head = one.s.app.head();
    one.s.app.git(&["checkout", "-q", "main"]);
    let third = one.s.app.commit_version("1.2.0", Behaviour::Good);
    assert_ne!(head, third);
    let check = host.gitroll(&["check"]);
    check.exit(0).stdout_lacks("observed serving").stdout_has("was never started");
    one.control("stop");
}

#[test]
fn a_service_that_is_dropped_and_cannot_be_asked_is_named_in_the_last_lines() {
    let host = TestEnvironment::new();
    let one = Commanded::new(&host, "node server.js", "prove = \"weak\"\n", "").bound();
    one.s.release("1.1.0", Behaviour::Good).exit(0);
    let config = one.s.app.read("gitroll.toml");
    let (from, to) = (config.find("[service.web]").unwrap(), config.find("[[check]]").unwrap());
    let port = free_port();
    let service = format!(
        "[service.site]\nmanager = \"process\"\ncommand = [\"node\", \"server.js\"]\n\
         env = {{ PORT = \"{0}\" }}\nstop_timeout = \"2s\"\n\n",
        port.number()
    );
    let config = format!("{}{service}{}", &config[..from], &config[to..]);
    let config =
        config.replace(&format!(":{}/", one.s.app.port.number()), &format!(":{}/", port.number()));
    let before = one.s.app.head();
    one.s.app.git(&["checkout", "-q", "main"]);
    one.s.app.write("gitroll.toml", &config.replace("prove = \"weak\"\n", ""));
    let next = one.s.app.commit_version("1.2.0", Behaviour::Good);
    one.s.app.git(&["checkout", "-q", "--detach", &before]);
    let pid = one.main();
    std::fs::remove_file(host.path("fake/control")).expect("it is there");
    let deploy = host.gitroll(&["deploy", &next, "--yes"]);
    deploy.exit(0).stdout_has("older    web is no longer a service");
    deploy.stdout_has(&format!("process {pid} (node server.js)"));
    host.gitroll(&["service", "stop"]).exit(0);
}
