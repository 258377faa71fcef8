//! Who answers where the app should: strangers on its ports, both families, fronts, services that no longer listen.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

use crate::support::*;

/// Answers every request with its third argument, as soon as the place is free.
const OTHER: &str = "
const [port, host, body] = process.argv.slice(2);
const server = require('http').createServer((request, response) => response.end(body));
server.on('error', () => setTimeout(listen, 100));
function listen() { server.listen(Number(port), host); }
listen();
";

/// A service in a quick rhythm with what is asked of it.
fn config(service: &str, checks: &[&str]) -> String {
    let mut text = "[app]\nname = \"plain-app\"\n[stable]\nmin_served = \"0s\"\n[service.web]\n\
                    manager = \"process\"\nstop_timeout = \"2s\"\n"
        .to_owned();
    text += service;
    for (number, check) in checks.iter().enumerate() {
        text += &format!(
            "\n[[check]]\nname = \"check-{number}\"\n{check}\npasses = 2\nsettle = \"200ms\"\ntimeout = \"4s\"\n"
        );
    }
    text
}

fn node(port: u16) -> String {
    format!("command = [\"node\", \"server.js\"]\nenv = {{ PORT = \"{port}\" }}\n")
}

fn bound<'h>(host: &'h TestEnvironment, app: App<'h>, toml: &str) -> Scenario<'h> {
    app.write("gitroll.toml", toml);
    app.commit_version("1.0.0", Behaviour::Good);
    let s = Scenario { host, app };
    s.bind();
    s
}

/// What was started by a test and is not a service of the app.
struct Beside(Child);

impl Beside {
    fn start(host: &TestEnvironment, program: &str, args: &[&str]) -> Self {
        let mut command = host.command(program);
        command.args(args).current_dir(host.root()).stdin(Stdio::null());
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Another server, listening.
    fn serving(host: &TestEnvironment, address: &str, port: u16, body: &str) -> Self {
        fs::write(host.path("other.js"), OTHER).unwrap();
        let beside = Self::start(host, "node", &["other.js", &port.to_string(), address, body]);
        let listens = || gitroll::system::sockets::listeners(port).contains(&beside.0.id());
        wait_until("it listens", listens);
        beside
    }

    fn end(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_stranger_on_either_address_is_named_before_anything_is_started() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    let (port, neighbour) = (app.port.number(), free_port());
    let _neighbour = Beside::serving(&host, "127.0.0.1", neighbour.number(), "ok");
    let named = format!("http = \"http://localhost:{port}/api/health\"");
    let beside = format!("http = \"http://127.0.0.1:{}/\"\nown = false", neighbour.number());
    let s = bound(&host, app, &config(&node(port), &[&named, &beside]));

    let mut last_week = Beside::serving(&host, "127.0.0.1", port, "{}");
    let pid = last_week.0.id();
    host.gitroll(&["deploy", "--yes"])
        .exit(1)
        .stderr_has(&format!("check check-0: process {pid} (node other.js, since 20"))
        .stderr_has(&format!("listens on 127.0.0.1:{port} but does not belong to a service"))
        .stderr_has(&format!("kill {pid}"));
    last_week.end();
    s.is_down();
    host.gitroll(&["deploy", "--yes"]).exit(0).stdout_has("observed serving");

    let mut other_family = Beside::serving(&host, "::1", port, "{}");
    let found = format!("listens on [::1]:{port} but does not belong to a service");
    s.release("1.1.0", Behaviour::Good).exit(1).stderr_has(&found);
    s.serves("1.0.0");
    host.gitroll(&["check"]).exit(1).stderr_has(&found);
    let status = host.gitroll(&["status", "--json"]);
    assert_eq!(status.exit(0).json()["result"]["healthy"], false);
    other_family.end();
    host.gitroll(&["check"]).exit(0);
    s.release("1.1.0", Behaviour::Good).exit(0);
    s.serves("1.1.0");
}

#[test]
fn a_stranger_that_takes_the_port_while_the_app_is_reloaded_fails_the_proof() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    let port = app.port.number();
    // Nothing but the process that answers could tell one version from another.
    let health = format!("http = \"http://127.0.0.1:{port}/api/health\"");
    let s = bound(&host, app, &config(&node(port), &[&health]));
    host.gitroll(&["deploy", "--yes"]).exit(0);
    fs::write(host.path("other.js"), OTHER.replace("setTimeout(listen, 100)", "process.exit(1)"))
        .unwrap();
    let again = format!("while :; do node other.js {port} 127.0.0.1 old; sleep 0.2; done");
    let mut supervisor = Beside::start(&host, "sh", &["-c", &again]);
    let answer = s.release("1.1.0", Behaviour::HangsAtBoot);
    assert!(matches!(answer.code, Some(20 | 21)), "{answer:?}");
    let found = format!("listens on 127.0.0.1:{port} but does not belong to a service");
    answer.stderr_has(&found);
    host.gitroll(&["check"]).exit(1).stderr_has(&found);
    supervisor.end();
}

/// Shares its port with whoever asks to; answers one after the other.
const SHARES: &str = r#"
use Socket; my ($port, $word) = @ARGV;
socket(my $s, PF_INET, SOCK_STREAM, 0) or die; setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);
setsockopt($s, SOL_SOCKET, 15, 1) or die;
bind($s, sockaddr_in($port, INADDR_LOOPBACK)) or die "bind"; listen($s, 16) or die;
while (accept(my $c, $s)) { sysread($c, my $r, 4096); syswrite($c, "HTTP/1.0 200 OK\r\n\r\n$word"); close $c; }
"#;

#[test]
fn a_stranger_that_shares_the_port_is_told_from_the_service() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    let port = app.port.number();
    app.write("server.pl", SHARES);
    let health = format!("http = \"http://127.0.0.1:{port}/\"");
    let service = format!("command = [\"perl\", \"server.pl\", \"{port}\", \"new\"]\n");
    bound(&host, app, &config(&service, &[&health]));
    host.gitroll(&["deploy", "--yes"]).exit(0);
    host.gitroll(&["check"]).exit(0);
    fs::write(host.path("other.pl"), SHARES).unwrap();
    let mut other = Beside::start(&host, "perl", &["other.pl", &port.to_string(), "old"]);
    wait_until("both listen", || gitroll::system::sockets::listeners(port).len() == 2);
    host.gitroll(&["check"]).exit(1).stderr_has(&format!("process {} (perl", other.0.id()));
    other.end();
    host.gitroll(&["check"]).exit(0);
}

/// Listens where the file `where` says, a place a line.
const ELSEWHERE: &str = "
const places = require('fs').readFileSync(__dirname + '/where', 'utf8').split('\\n').filter(Boolean);
for (const place of places) {
  const server = require('http').createServer((request, response) => response.end('ok'));
  if (place.startsWith('/')) { try { require('fs').unlinkSync(place); } catch (e) {} server.listen(place); }
  else server.listen(Number(place), '127.0.0.1');
}
setInterval(() => {}, 60000);
";

#[test]
fn a_service_that_no_longer_listens_fails_without_any_check_too() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    let (port, more) = (app.port.number(), free_port());
    let socket = host.path("app.sock").display().to_string();
    let everywhere = format!("{port}\n{}\n{socket}\n", more.number());
    let service = "command = [\"node\", \"server.js\"]\n";
    let asked = config(service, &["command = [\"true\"]"]);
    app.write("server.js", ELSEWHERE);
    app.write("where", &everywhere);
    let s = bound(&host, app, &config(service, &[]));
    let release = |version: &str, places: &str, toml: &str| {
        s.app.write("where", places);
        s.app.write("gitroll.toml", toml);
        s.release_kept(version)
    };

    // What nobody asks may be up, and is no more than that.
    let weak = host.gitroll(&["deploy", "--yes"]);
    let last = weak.exit(0).stdout.lines().last().unwrap_or_default().to_owned();
    assert!(last.contains("weak") && last.contains("no [[check]]"), "{weak:?}");
    assert!(!weak.stdout.contains("observed serving"), "{weak:?}");
    assert!(!host.gitroll(&["check"]).exit(0).stdout.contains("observed serving"));
    let shown = host.gitroll(&["show", "--json"]).exit(0).json();
    assert_eq!(shown["result"]["evidence"]["weak"], "no [[check]] queries the app", "{shown}");

    // Without any check: the whole time that services are given.
    let answer = release("1.1.0", "", &config(service, &[]));
    answer
        .exit(20)
        // What nobody asks is not seen serving because it is put back.
        .stderr_has("restored, weak proof: no [[check]] queries the app")
        .stderr_lacks("restored, observed serving")
        .stderr_has("web: no longer")
        .stderr_has(&format!("no longer listens on 127.0.0.1:{port}"));
    let shown = host.gitroll(&["show", "--json"]).exit(0).json();
    assert_eq!(shown["result"]["evidence"]["weak"], "no [[check]] queries the app", "{shown}");
    let gone = host.gitroll(&["check"]);
    assert_eq!(gone.code, Some(0), "1.0.0 listens again: {gone:?}");

    // One place of three, and a UNIX socket of two.
    release("1.2.0", &format!("{}\n{socket}\n", more.number()), &asked)
        .exit(20)
        .stderr_has(&format!("no longer listens on 127.0.0.1:{port}"));
    release("1.3.0", &format!("{port}\n{}\n", more.number()), &asked)
        .exit(20)
        .stderr_has(&format!("no longer listens on unix:{socket}"));
    // A release that says so may.
    let said = config(&format!("{service}ports = [{port}]\n"), &["command = [\"true\"]"]);
    release("1.4.0", &format!("{port}\n"), &said).exit(0);
    release("1.5.0", &format!("{}\n", more.number()), &said)
        .exit(20)
        .stderr_has(&format!("web: does not listen on port {port}"));
}

/// Answers every path with the same page, on two ports.
const EVERYTHING: &str = "
for (const port of process.argv[2].split(','))
  require('http').createServer((request, response) => response.end('<html>')).listen(Number(port), '127.0.0.1');
";

#[test]
fn init_asks_every_port_that_listens_and_says_of_a_catch_all_how_little_it_shows() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    let (port, more) = (app.port.number(), free_port());
    app.commit_version("1.0.0", Behaviour::Good);
    app.write("other.js", EVERYTHING);
    fs::remove_file(app.dir.join("gitroll.toml")).unwrap();
    let mut command = host.command("node");
    let ports = format!("{port},{}", more.number());
    command.args(["other.js", &ports]).current_dir(&app.dir);
    let _running = Beside(command.stdout(Stdio::null()).spawn().unwrap());
    wait_until("it listens", || gitroll::system::sockets::listeners(more.number()).len() == 1);
    host.gitroll(&["init", "--yes", "--environment", "production"]).exit(0);
    let written = app.read("gitroll.toml");
    let said: Vec<&str> = written.lines().filter(|line| !line.starts_with('#')).collect();
    for port in [port, more.number()] {
        let asked = format!("http = \"http://127.0.0.1:{port}/\"");
        assert!(said.contains(&asked.as_str()), "{written}");
    }
    assert_eq!(written.matches("answers every path the same way").count(), 2, "{written}");
}

fn nginx(dir: &Path, from: u16, to: u16) -> String {
    let pass = format!("proxy_pass http://127.0.0.1:{to};");
    nginx_config(dir, &format!("server {{ listen 127.0.0.1:{from}; location / {{ {pass} }} }}"))
}

/// nginx before an app, until the end.
fn in_front(host: &TestEnvironment, from: u16, to: u16) -> Beside {
    let file = host.path("nginx.conf");
    fs::write(&file, nginx(host.root(), from, to)).unwrap();
    let program = find_tool("nginx").unwrap_or_else(|| "/usr/sbin/nginx".into());
    let args = ["-p", host.root().to_str().unwrap(), "-c", file.to_str().unwrap()];
    let front = Beside::start(host, program.to_str().unwrap(), &args);
    wait_until("nginx listens", || !gitroll::system::sockets::listeners(from).is_empty());
    front
}

#[test]
fn init_offers_a_check_through_the_proxy_beside_the_direct_one() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    fs::remove_file(app.dir.join("gitroll.toml")).unwrap();
    app.commit_version("1.0.0", Behaviour::Good);
    app.build_by_hand();
    let (port, front) = (app.port.number(), free_port());
    let _front = in_front(&host, front.number(), port);
    let mut by_hand = app.start_by_hand();
    host.gitroll(&["init", "--yes", "--environment", "production", "--name", "web-1"]).exit(0);
    let config = app.read("gitroll.toml");
    let direct = format!("name = \"health\"\nhttp = \"http://127.0.0.1:{port}/");
    assert!(config.contains(&direct), "{config}");
    let through = format!("name = \"public\"\nhttp = \"http://127.0.0.1:{}/", front.number());
    let (_, public) = config.split_once(&through).unwrap_or_else(|| panic!("{config}"));
    let public = public.split("[[check]]").next().unwrap();
    assert!(public.contains("\nown = false\n") && public.contains("{version}"), "{config}");
    by_hand.kill().unwrap();
    by_hand.wait().unwrap();
}

#[test]
fn a_front_is_no_stranger_and_no_witness() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    let (port, front) = (app.port.number(), free_port());
    let _front = in_front(&host, front.number(), port);
    let through = format!("http = \"http://127.0.0.1:{}/api/health\"", front.number());
    let direct = format!("tcp = \"127.0.0.1:{port}\"");
    let s = bound(&host, app, &config(&node(port), &[&through]));
    host.gitroll(&["deploy", "--yes"])
        .exit(1)
        .stderr_has("check-0 reaches a proxy")
        .stderr_has("queries the app's own port");
    s.app.write("gitroll.toml", &config(&node(port), &[&through, &direct]));
    s.app.commit("Ask the app itself");
    host.gitroll(&["deploy", "--yes"]).exit(0).stdout_has("observed serving");
    host.gitroll(&["check"]).exit(0);
    // Where an answer tells the version it may have come through anything.
    let told = format!("{through}\nexpect = {{ json = {{ \"/version\" = \"{{version}}\" }} }}");
    s.app.write("gitroll.toml", &config(&node(port), &[&told]));
    s.release_kept("1.1.0").exit(0).stdout_has("observed serving");
    // The way back is not barred by a front.
    host.gitroll(&["back", "--yes"]).exit(0);
}

/// Two workers, of which the second fails once the file `bad` is there.
const WORKERS: &str = "
const cluster = require('cluster');
if (cluster.isPrimary) for (let number = 0; number < 2; number += 1) cluster.fork({ NUMBER: number });
else require('http').createServer((request, response) => {
  const bad = process.env.NUMBER === '1' && require('fs').existsSync(__dirname + '/../bad');
  response.writeHead(bad ? 500 : 200); response.end('ok');
}).listen(Number(process.env.PORT), '127.0.0.1');
";

#[test]
fn one_bad_worker_of_two_is_seen_each_time() {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    let port = app.port.number();
    app.write("server.js", WORKERS);
    let health = format!("http = \"http://127.0.0.1:{port}/\"");
    bound(&host, app, &config(&node(port), &[&health]));
    host.gitroll(&["deploy", "--yes"]).exit(0);
    let healthy =
        || host.gitroll(&["status", "--json"]).exit(0).json()["result"]["healthy"].clone();
    assert_eq!(healthy(), true);
    fs::write(host.path("bad"), "").unwrap();
    for _ in 0..4 {
        assert_eq!(healthy(), false);
    }
}
