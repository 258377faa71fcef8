//! Checks and proofs against real servers on the loopback, most of them ill-behaved.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gitroll::check::{Expectation, Listens, Proof, Surroundings, look, look_at_each, prove};
use gitroll::config::{Check, CheckGroup, CheckKind, Comparison, Expected, HttpCheck, Selection};
use gitroll::model::{Probe, Served};
use gitroll::service::ServiceState;
use gitroll::system::procs::{ProcessId, Ticks};
use serde_json::{Value, json};

const COMMIT: &str = "4be21d9aaaabbbbccccddddeeeeffff000011112";
const BEFORE: &str = "7c1e0a4aaaabbbbccccddddeeeeffff000011112";

/// A server that hands every connection, with its number and the request it read, to `answer`.
struct Server {
    port: u16,
    host: &'static str,
    asked: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Server {
    fn start(answer: impl Fn(&mut TcpStream, usize, &str) + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), "127.0.0.1", answer)
    }

    fn on(
        listener: TcpListener,
        host: &'static str,
        answer: impl Fn(&mut TcpStream, usize, &str) + Send + Sync + 'static,
    ) -> Self {
        let port = listener.local_addr().unwrap().port();
        let (asked, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let server = Self { port, host, asked: Arc::clone(&asked), stop: Arc::clone(&stop) };
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(mut stream) = stream else { continue };
                let number = asked.fetch_add(1, Ordering::SeqCst);
                let answer = Arc::clone(&answer);
                thread::spawn(move || {
                    let request = read_request(&mut stream);
                    answer(&mut stream, number, &request);
                    let _ = stream.shutdown(Shutdown::Both);
                });
            }
        });
        server
    }

    /// Answers every request the same.
    fn saying(body: &'static str) -> Self {
        Self::start(move |stream, _, _| reply(stream, 200, body))
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}:{}{path}", self.host, self.port)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect((self.host.trim_matches(['[', ']']), self.port));
    }
}

fn read_request(stream: &mut TcpStream) -> String {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
    let mut request = Vec::new();
    let mut buffer = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(read) => request.extend_from_slice(&buffer[..read]),
        }
        // The start of a TLS handshake has no empty line to wait for.
        if request.first() == Some(&0x16) {
            break;
        }
    }
    String::from_utf8_lossy(&request).into_owned()
}

fn reply(stream: &mut TcpStream, status: u16, body: &str) {
    reply_with(stream, status, "", body);
}

fn reply_with(stream: &mut TcpStream, status: u16, headers: &str, body: &str) {
    let length = body.len();
    let _ =
        write!(stream, "HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\n\r\n{body}");
}

fn http(url: String) -> HttpCheck {
    HttpCheck {
        url,
        status: 200,
        headers: BTreeMap::new(),
        body: None,
        json: BTreeMap::new(),
        file: None,
        own: true,
        redirects: 0,
        request_timeout: Duration::from_secs(5),
        max_bytes: 1 << 20,
    }
}

fn expecting(url: String, json: &[(&str, Value)]) -> HttpCheck {
    let json = json
        .iter()
        .map(|(p, v)| {
            ((*p).to_owned(), Expected { value: v.clone(), comparison: Comparison::Filled })
        })
        .collect();
    HttpCheck { json, ..http(url) }
}

/// Two passes over 200 ms, at most 20 s: only a broken proof needs as long.
fn check(http: HttpCheck) -> Check {
    Check {
        name: "api".parse().unwrap(),
        kind: CheckKind::Http(http),
        critical: true,
        group: CheckGroup::Quick,
        passes: 2,
        settle: Duration::from_millis(200),
        timeout: Duration::from_secs(20),
    }
}

/// A check that is going to fail, and is given up soon.
fn doomed(http: HttpCheck) -> Check {
    Check { timeout: Duration::from_millis(900), ..check(http) }
}

fn served(commit: &str, version: &str) -> Served {
    let name = format!("v{version}");
    Served { commit: commit.parse().unwrap(), name, version: Some(version.to_owned()) }
}

fn expectation(fresh_since: Option<Ticks>) -> Expectation {
    Expectation {
        until: gitroll::system::signals::Until::Left,
        served: served(COMMIT, "1.0.0"),
        deployment: "7".to_owned(),
        not: Some(served(BEFORE, "1.1.0")),
        fresh_since,
        changed: false,
        weak: false,
        only: Selection::All,
        around: Surroundings::default(),
        listens: Listens::default(),
        tells: Default::default(),
    }
}

fn running(processes: Vec<ProcessId>) -> ServiceState {
    ServiceState {
        word: "online".to_owned(),
        up: true,
        processes,
        restarts: 0,
        socket_owners: Vec::new(),
        stale: None,
        untouched: false,
        kept: false,
        no_witness: None,
        redefined: None,
        log: vec!["Error: boom".to_owned()],
    }
}

fn proven(checks: &[Check], expectation: &Expectation, state: &ServiceState) -> Proof {
    prove(checks, expectation, &mut || vec![("web".to_owned(), Ok(state.clone()))], &mut |_| {})
}

fn ask(http: HttpCheck) -> Probe {
    look(&[check(http)], Some(&expectation(None))).remove(0).last
}

fn myself() -> ProcessId {
    ProcessId::of(std::process::id()).unwrap()
}

/// A process that runs and answers nothing; ended when dropped.
struct Hanging(Child);

impl Hanging {
    fn start() -> Self {
        Self(Command::new("sleep").arg("60").spawn().unwrap())
    }

    fn id(&self) -> ProcessId {
        ProcessId::of(self.0.id()).unwrap()
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port on which nothing listens.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A moment at which this test's own process is already old. Processes started after this returned are
/// younger: the clock of process starts ticks every 10 ms.
fn after_my_start() -> Ticks {
    let after = Ticks(myself().start_ticks + 1);
    while Ticks::now() < after {
        std::thread::sleep(Duration::from_millis(5));
    }
    after
}

#[test]
fn answers_are_told_in_words() {
    let degraded = Server::saying(r#"{"status":"degraded","version":"1.1.0"}"#);
    let failing = Server::start(|stream, _, _| reply(stream, 500, "{}"));
    let cases = [
        (http(degraded.url("/")), true, "200".to_owned()),
        (http(failing.url("/")), false, "500".to_owned()),
        (
            expecting(degraded.url("/"), &[("/status", json!("healthy"))]),
            false,
            "/status is \"degraded\", not \"healthy\"".to_owned(),
        ),
        (
            expecting(degraded.url("/"), &[("/version", json!("{version}"))]),
            false,
            "version is 1.1.0, not 1.0.0 (what served before)".to_owned(),
        ),
        (
            HttpCheck {
                body: Some(Expected { value: json!("ok"), comparison: Comparison::Filled }),
                ..http(degraded.url("/"))
            },
            false,
            "body does not contain \"ok\"".to_owned(),
        ),
    ];
    for (http, ok, words) in cases {
        let probe = ask(http);
        assert_eq!((probe.ok, probe.answer), (ok, words));
    }
    let port = free_port();
    let probe = ask(http(format!("http://127.0.0.1:{port}/")));
    assert_eq!((probe.ok, probe.answer), (false, format!("no listener on :{port}")));
}

#[test]
fn every_question_comes_alone_on_a_connection_of_its_own() {
    let server = Server::start(|stream, _, request| {
        let request = request.to_ascii_lowercase();
        let wanted = ["get /health?x=1 http/1.1", "connection: close", "user-agent: gitroll\r\n"];
        let plain = !request.contains("cookie") && !request.contains("accept-encoding");
        let fine = plain && wanted.iter().all(|part| request.contains(part));
        reply_with(stream, if fine { 200 } else { 400 }, "set-cookie: a=b\r\n", "ok");
    });
    let proof =
        proven(&[check(http(server.url("/health?x=1")))], &expectation(None), &running(vec![]));
    assert!(proof.proven, "{:?}", proof.failures);
    assert!(server.asked() >= 2, "as many connections as questions");
}

#[test]
fn a_server_that_never_answers_or_drips_is_cut_off_in_time() {
    let silent = Server::start(|_, _, _| thread::sleep(Duration::from_secs(20)));
    let dripping_body = Server::start(|stream, _, _| {
        let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    });
    let dripping_head = Server::start(|stream, _, _| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx: ");
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    });
    let never_ready = Server::start(|stream, _, _| {
        while stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").is_ok() {
            thread::sleep(Duration::from_millis(1));
        }
    });
    for server in [&silent, &dripping_body, &dripping_head, &never_ready] {
        let request_timeout = Duration::from_millis(400);
        let began = Instant::now();
        let probe = ask(HttpCheck { request_timeout, ..http(server.url("/")) });
        assert_eq!((probe.ok, probe.answer.as_str()), (false, "no answer within 400 ms"));
        assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    }
}

#[test]
fn an_answer_without_end_is_read_no_further_than_its_cap() {
    let endless = Server::start(|stream, _, _| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 65536]).is_ok() {}
    });
    let announced = Server::start(|stream, _, _| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9999999999\r\n\r\n");
        thread::sleep(Duration::from_secs(20));
    });
    let endless_head = Server::start(|stream, _, _| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx: ");
        while stream.write_all(&[b'x'; 65536]).is_ok() {}
    });
    for server in [&endless, &announced] {
        let probe = ask(http(server.url("/")));
        assert_eq!((probe.ok, probe.answer.as_str()), (false, "answer larger than 1 MiB"));
    }
    let probe = ask(http(endless_head.url("/")));
    assert!(!probe.ok && probe.answer.starts_with("not an HTTP answer"), "{}", probe.answer);
    let small = Server::saying("12345");
    assert!(ask(HttpCheck { max_bytes: 5, ..http(small.url("/")) }).ok);
    let probe = ask(HttpCheck { max_bytes: 4, ..http(small.url("/")) });
    assert_eq!(probe.answer, "answer larger than 4 bytes");
}

#[test]
fn a_redirect_is_followed_only_if_allowed_and_never_to_another_place() {
    let elsewhere = Server::saying("ok");
    let other = format!("http://127.0.0.1:{}/", elsewhere.port);
    let away = other.clone();
    let server = Server::start(move |stream, _, request| {
        let to = match request.split(' ').nth(1) {
            Some("/metadata") => "http://169.254.169.254/latest/meta-data/",
            Some("/other") => &away,
            Some("/near") => "/there",
            Some("/loop") => "/loop",
            _ => return reply(stream, 200, "ok"),
        };
        reply_with(stream, 302, &format!("location: {to}\r\n"), "");
    });
    let told = |path: &str, redirects: u8| {
        let probe = ask(HttpCheck { redirects, ..http(server.url(path)) });
        (probe.ok, probe.answer)
    };
    let refused = |to: &str| (false, format!("redirected to {to} (not followed)"));
    assert_eq!(told("/metadata", 5), refused("http://169.254.169.254/latest/meta-data/"));
    assert_eq!(told("/other", 5), refused(&other));
    assert_eq!(elsewhere.asked(), 0);
    assert_eq!(told("/near", 0), refused("/there"));
    assert_eq!(told("/near", 1), (true, "200".to_owned()));
    let before = server.asked();
    assert_eq!(told("/loop", 3), refused("/loop"));
    assert_eq!(server.asked() - before, 4);
    let probe = ask(HttpCheck { status: 302, ..http(server.url("/metadata")) });
    assert!(probe.ok, "a redirect that is expected is an answer: {}", probe.answer);
}

#[test]
fn escape_sequences_of_a_server_never_reach_the_screen() {
    let server = Server::start(|stream, number, _| match number {
        0 => reply(stream, 200, "{\"status\":\"\\u001b[2J\\u202e\\u0007\"}"),
        1 => reply_with(stream, 302, "location: http://a/\x1b[2J\u{202e}\r\n", ""),
        2 => reply_with(stream, 302, "location: http://a/\u{202e}\u{9b}\r\n", ""),
        _ => drop(stream.write_all(b"\x1b]0;owned\x07 nonsense\r\n\r\n")),
    });
    for _ in 0..4 {
        let probe = ask(expecting(server.url("/"), &[("/status", json!("healthy"))]));
        let hidden = |c: char| c.is_control() || c == '\u{202e}';
        assert!(!probe.ok && !probe.answer.contains(hidden), "{:?}", probe.answer);
    }
}

#[test]
fn what_is_no_http_is_said_so() {
    let closing = Server::start(|_, _, _| {});
    assert_eq!(ask(http(closing.url("/"))).answer, "connection closed without an answer");
    let cut = Server::start(|stream, _, _| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc");
    });
    let probe = ask(http(cut.url("/")));
    assert!(!probe.ok, "half an answer is none: {}", probe.answer);
    let ssh = Server::start(|stream, _, _| drop(stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n")));
    let probe = ask(http(ssh.url("/")));
    assert!(!probe.ok && probe.answer.starts_with("not an HTTP answer"), "{}", probe.answer);
    let plain = Server::saying("ok");
    let probe = ask(http(plain.url("/").replace("http:", "https:")));
    assert!(!probe.ok, "{}", probe.answer);
    assert!(
        ["no secure connection", "cannot use https"].iter().any(|w| probe.answer.starts_with(w)),
        "{}",
        probe.answer
    );
}

#[test]
fn ipv6_and_names_of_this_host_are_asked_too() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else { return };
    let server = Server::on(listener, "[::1]", |stream, _, _| reply(stream, 200, "ok"));
    assert_eq!(ask(http(server.url("/"))).answer, "200");
    let named = Server::saying("ok");
    let probe = ask(http(format!("http://localhost:{}/", named.port)));
    assert_eq!(probe.answer, "200");
    let probe = ask(http("http://no-such-host.invalid/".to_owned()));
    assert!(!probe.ok && probe.answer.starts_with("no connection"), "{}", probe.answer);
}

#[test]
fn looking_asks_all_at_the_same_time_and_keeps_their_order() {
    let slow = Server::start(|_, _, _| thread::sleep(Duration::from_secs(20)));
    let quick = Server::saying("ok");
    let http_slow =
        || HttpCheck { request_timeout: Duration::from_millis(500), ..http(slow.url("/")) };
    let mut checks: Vec<Check> = (0..20).map(|_| check(http_slow())).collect();
    checks.push(Check { name: "quick".parse().unwrap(), ..check(http(quick.url("/"))) });
    let began = Instant::now();
    let answers = look(&checks, None);
    assert!(began.elapsed() < Duration::from_secs(8), "one after the other takes 10 s");
    assert_eq!(answers.len(), 21);
    assert!(answers[20].check.as_str() == "quick" && answers[20].passed);
    assert!(answers[..20].iter().all(|answer| !answer.passed));
}

#[test]
fn a_told_version_proves_it_and_progress_is_told() {
    let server = Server::saying(r#"{"status":"ok","version":"1.0.0"}"#);
    let http = expecting(server.url("/"), &[("/version", json!("{version}"))]);
    let mut told = Vec::new();
    let state = running(vec![]);
    let proof = prove(
        &[check(http)],
        &expectation(Some(after_my_start())),
        &mut || vec![("web".to_owned(), Ok(state.clone()))],
        &mut |text| told.push(text.to_owned()),
    );
    assert!(proof.proven, "{:?}", proof.failures);
    assert!(proof.checks[0].told_version && proof.checks[0].passes == 2);
    assert!(told.contains(&"api 1/2".to_owned()), "{told:?}");
}

#[test]
fn an_old_process_that_answers_while_the_new_one_hangs_is_not_proven() {
    let since = after_my_start();
    let new = Hanging::start();
    let state = running(vec![new.id()]);
    let expectation = expectation(Some(since));
    // This test's process is the old one: it has the port, answers 200, and names no version.
    let server = Server::saying(r#"{"status":"ok"}"#);
    let versioned = || expecting(server.url("/"), &[("/version", json!("{version}"))]);
    for http in [http(server.url("/")), versioned()] {
        let proof = proven(&[doomed(http)], &expectation, &state);
        assert!(!proof.proven);
        assert!(is_strange(&proof.failures[0], server.port), "{:?}", proof.failures);
        assert_eq!(proof.failures.len(), 1);
        assert_eq!(proof.lines, [("web".to_owned(), "Error: boom".to_owned())]);
    }
    // The same with the version it has always had.
    let server = Server::saying(r#"{"version":"1.1.0"}"#);
    let http = expecting(server.url("/"), &[("/version", json!("{version}"))]);
    let proof = proven(&[doomed(http)], &expectation, &state);
    assert_eq!(proof.failures[0], "api: version is 1.1.0, not 1.0.0 (what served before)");
    assert!(is_strange(&proof.failures[1], server.port), "{:?}", proof.failures);
}

/// Whether this test's own process is said to listen on a port where it should not.
fn is_strange(failure: &str, port: u16) -> bool {
    failure.starts_with(&format!("check api: process {} (", std::process::id()))
        && failure
            .ends_with(&format!("listens on 127.0.0.1:{port} but does not belong to a service"))
}

#[test]
fn an_old_process_with_the_same_version_number_is_not_proven() {
    let since = after_my_start();
    let new = Hanging::start();
    let server = Server::saying(r#"{"version":"1.0.0"}"#);
    let http = || expecting(server.url("/"), &[("/version", json!("{version}"))]);
    let fix_without_a_bump =
        Expectation { not: Some(served(BEFORE, "1.0.0")), ..expectation(Some(since)) };
    let proof = proven(&[doomed(http())], &fix_without_a_bump, &running(vec![new.id()]));
    assert!(!proof.proven && !proof.checks[0].told_version, "{:?}", proof.checks);
}

#[test]
fn fresh_processes_that_own_the_socket_prove_it_and_a_wrong_version_still_fails() {
    let server = Server::saying(r#"{"version":"1.1.0"}"#);
    let (fresh, state) = (expectation(Some(Ticks(0))), running(vec![myself()]));
    let proof = proven(&[check(http(server.url("/")))], &fresh, &state);
    assert!(proof.proven, "{:?}", proof.failures);
    assert_eq!(proof.services[0].fresh, 1);
    let versioned = expecting(server.url("/"), &[("/version", json!("{version}"))]);
    let proof = proven(&[doomed(versioned)], &fresh, &state);
    assert_eq!(proof.failures, ["api: version is 1.1.0, not 1.0.0 (what served before)"]);
}

#[test]
fn an_answer_without_the_version_is_none_of_a_release_that_tells_it() {
    let server = Server::saying("{}");
    let state = running(vec![myself()]);
    let versioned = expecting(server.url("/"), &[("/version", json!("{version}"))]);
    let old = expectation(Some(Ticks(0)));
    assert!(proven(&[check(versioned.clone())], &old, &state).proven, "it may never have told it");
    let tells = Expectation { tells: ["api".parse().unwrap()].into(), ..old };
    let proof = proven(&[doomed(versioned)], &tells, &state);
    assert_eq!(proof.failures, ["api: does not contain a version, but this release reports one"]);
}

#[test]
fn a_name_of_this_host_is_asked_at_both_its_addresses() {
    let server = Server::saying("ok");
    let named = || http(format!("http://localhost:{}/", server.port));
    assert!(ask(named()).ok, "one that listens is enough");
    let Ok(other) = TcpListener::bind(("::1", server.port)) else { return };
    let other = Server::on(other, "[::1]", |stream, _, _| reply(stream, 500, "other"));
    assert_eq!(ask(named()).answer, "500");
    assert!(other.asked() > 0 && server.asked() > 1);
}

#[test]
fn the_managers_daemon_may_own_the_socket() {
    let worker = Hanging::start();
    let server = Server::saying("ok");
    let since = expectation(Some(Ticks(worker.id().start_ticks)));
    let state =
        ServiceState { socket_owners: vec![std::process::id()], ..running(vec![worker.id()]) };
    let proof = proven(&[check(http(server.url("/")))], &since, &state);
    assert!(proof.proven, "{:?}", proof.failures);
}

#[test]
fn without_processes_the_socket_itself_must_be_fresh() {
    let server = Server::saying("ok");
    let (checks, unnamed) = (|| http(server.url("/")), running(vec![]));
    let proof = proven(&[check(checks())], &expectation(Some(Ticks(0))), &unnamed);
    assert!(proof.proven, "{:?}", proof.failures);
    let old = expectation(Some(after_my_start()));
    assert!(!proven(&[doomed(checks())], &old, &unnamed).proven);
    let weak = Expectation { weak: true, ..old };
    assert!(proven(&[check(checks())], &weak, &unnamed).proven);
}

#[test]
fn a_server_that_fails_late_or_now_and_then_is_not_proven() {
    let late = Server::start(|stream, number, _| {
        reply(stream, if number < 3 { 200 } else { 500 }, "ok");
    });
    let patient = |server: &Server| Check {
        settle: Duration::from_millis(800),
        passes: 4,
        timeout: Duration::from_millis(1500),
        ..check(http(server.url("/")))
    };
    let proof = proven(&[patient(&late)], &expectation(None), &running(vec![]));
    assert_eq!((proof.proven, proof.failures), (false, vec!["api: 500".to_owned()]));
    let flapping = Server::start(|stream, number, _| {
        reply(stream, if number % 3 == 2 { 503 } else { 200 }, "ok");
    });
    let proof = proven(&[patient(&flapping)], &expectation(None), &running(vec![]));
    assert!(!proof.proven && proof.failures[0].contains("503"), "{:?}", proof.failures);
}

#[test]
fn a_server_that_binds_late_is_waited_for() {
    let port = free_port();
    let late = thread::spawn(move || {
        thread::sleep(Duration::from_secs(1));
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        Server::on(listener, "127.0.0.1", |stream, _, _| reply(stream, 200, "ok"))
    });
    let url = format!("http://127.0.0.1:{port}/");
    let proof = proven(&[check(http(url))], &expectation(None), &running(vec![]));
    assert!(proof.proven, "{:?}", proof.failures);
    drop(late.join().unwrap());
}

#[test]
fn nothing_that_listens_is_named_with_its_port_and_the_time_it_was_given() {
    let port = free_port();
    let http = http(format!("http://127.0.0.1:{port}/"));
    let proof = proven(&[doomed(http)], &expectation(None), &running(vec![]));
    assert_eq!(proof.failures, [format!("api: no listener on :{port} within 900 ms")]);
}

#[test]
fn a_hanging_server_costs_no_more_than_the_time_and_one_request() {
    let silent = Server::start(|_, _, _| thread::sleep(Duration::from_secs(60)));
    let request_timeout = Duration::from_millis(1200);
    let http = HttpCheck { request_timeout, ..http(silent.url("/")) };
    let began = Instant::now();
    let proof = proven(&[doomed(http)], &expectation(None), &running(vec![]));
    assert_eq!(proof.failures, ["api: no answer within 1.2 s"]);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[test]
fn a_slow_manager_neither_delays_answers_nor_makes_them_fail() {
    let server = Server::saying("ok");
    let http = HttpCheck { request_timeout: Duration::from_millis(500), ..http(server.url("/")) };
    let mut looks = 0;
    let proof = prove(
        &[check(http)],
        &expectation(None),
        &mut || {
            looks += 1;
            thread::sleep(Duration::from_millis(700));
            vec![("web".to_owned(), Ok(running(vec![])))]
        },
        &mut |_| {},
    );
    assert!(proof.proven, "{:?}", proof.failures);
    assert!(looks >= 2, "at the start and at the end");
}

#[test]
fn a_service_that_crashes_after_its_last_good_answer_is_not_proven() {
    let server = Server::saying("ok");
    let mut looks = 0;
    let proof = prove(
        &[doomed(http(server.url("/")))],
        &expectation(None),
        &mut || {
            looks += 1;
            let mut state = running(vec![myself()]);
            if looks > 1 {
                state =
                    ServiceState { up: false, word: "errored".to_owned(), restarts: 16, ..state };
            }
            vec![("web".to_owned(), Ok(state))]
        },
        &mut |_| {},
    );
    assert_eq!(
        (proof.proven, proof.failures),
        (false, vec!["web: errored, 16 restarts".to_owned()])
    );
}

#[test]
fn a_manager_that_gave_up_is_not_waited_for() {
    let server = Server::start(|stream, _, _| reply(stream, 502, ""));
    let errored = ServiceState { up: false, word: "errored".to_owned(), ..running(vec![myself()]) };
    let patient = Check { timeout: Duration::from_secs(120), ..check(http(server.url("/"))) };
    let began = Instant::now();
    let proof = proven(&[patient], &expectation(None), &errored);
    assert_eq!(proof.failures, ["api: 502", "web: errored"]);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[test]
fn where_nothing_is_asked_and_nothing_runs_nothing_is_proven() {
    let began = Instant::now();
    let proof = prove(&[], &expectation(None), &mut Vec::new, &mut |_| {});
    assert!(!proof.proven);
    assert_eq!(proof.failures, ["there is no check and no service, so nothing can be observed"]);
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_version_is_told_only_where_every_worker_tells_it() {
    let told = |one_is_silent: bool| {
        let server = Server::start(move |stream, number, _| {
            let silent = one_is_silent && number % 2 == 1;
            reply(stream, 200, if silent { "{}" } else { r#"{"version":"1.0.0"}"# });
        });
        let asked = check(expecting(server.url("/"), &[("/version", json!("{version}"))]));
        let seen = look_at_each(&[asked], Some(&expectation(None)), 2).remove(0);
        assert!(seen.passed && server.asked() > 2, "{seen:?}");
        seen.told_version
    };
    assert!(told(false));
    assert!(!told(true), "the other worker names no version");
}
