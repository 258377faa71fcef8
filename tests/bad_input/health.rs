//! Health URLs that never answer, drip, lie, redirect, or belong to the process before.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::*;

/// How a strange server answers each request.
#[derive(Clone, Copy)]
enum Strange {
    /// Accepts and says nothing.
    Never,
    /// One byte of a correct answer at a time.
    Drips,
    /// A body without an end.
    Endless,
    /// Sends elsewhere: where the right answer is.
    Redirects(u16),
    /// No HTTP.
    Rubbish,
    /// Headers without an end.
    EndlessHeaders,
}

/// A health URL of the test's own, beside the app's.
struct Server {
    port: u16,
    asked: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Server {
    fn start(how: Strange) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port can be bound");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let (asked, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, ended) = (Arc::clone(&asked), Arc::clone(&stop));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                count.fetch_add(1, Ordering::Relaxed);
                let ended = Arc::clone(&ended);
                thread::spawn(move || answer(stream, how, &ended));
            }
        });
        Self { port, asked, stop }
    }

    fn check(&self, timeout: &str) -> String {
        format!(
            "[[check]]\nname = \"strange\"\nhttp = \"http://127.0.0.1:{}/\"\npasses = 1\n\
             settle = \"100ms\"\ntimeout = \"{timeout}\"\n",
            self.port
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the thread that waits for a connection.
        std::net::TcpStream::connect(("127.0.0.1", self.port)).ok();
    }
}

fn answer(mut stream: std::net::TcpStream, how: Strange, stop: &AtomicBool) {
    let mut request = [0; 4096];
    let _ = stream.read(&mut request);
    let mut say = |bytes: &[u8]| stream.write_all(bytes).and_then(|()| stream.flush()).is_ok();
    let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    let pause = |millis| thread::sleep(Duration::from_millis(millis));
    match how {
        Strange::Never => {}
        Strange::Drips => {
            for byte in [head, &b"content-length: 100000\r\n\r\n{}"[..]].concat() {
                if stop.load(Ordering::Relaxed) || !say(&[byte]) {
                    return;
                }
                pause(100);
            }
        }
        Strange::Endless => {
            say(head);
            say(b"\r\n");
            while !stop.load(Ordering::Relaxed) && say(&[b'x'; 65536]) {}
        }
        Strange::EndlessHeaders => {
            say(head);
            while !stop.load(Ordering::Relaxed)
                && say(b"x-more: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n")
            {}
        }
        Strange::Redirects(port) => {
            let to = format!(
                "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:{port}/\r\ncontent-length: 0\r\n\r\n"
            );
            say(to.as_bytes());
        }
        Strange::Rubbish => {
            say(b"\x00\xff\x1b[2J nothing of HTTP\r\n\r\n");
        }
    }
    while matches!(how, Strange::Never) && !stop.load(Ordering::Relaxed) {
        pause(20);
    }
}

/// 1.0.0 serves; 1.1.0 comes with a check of this server, which must fail it.
fn strange_health_ends_in_the_old_state(how: Strange) {
    let server = Server::start(how);
    let host = TestEnvironment::new();
    let s = serving(&host, &quick());
    s.app.configure(&quick().and(&server.check("1500ms")));
    let next = s.app.commit_version("1.1.0", Behaviour::Good);
    let answer = host.gitroll(&["deploy", &next, "--yes"]);
    answer
        .exit(20)
        .stderr_has("strange")
        .stderr_has("restored, observed serving")
        .never_says("\u{1b}");
    answer.within(Duration::from_secs(40));
    assert!(server.asked.load(Ordering::Relaxed) > 0, "nobody asked it");
    s.serves("1.0.0");
    host.gitroll(&["status"]).exit(0).stdout_has("none open");
}

#[test]
fn a_health_url_that_never_answers_fails_the_deploy() {
    strange_health_ends_in_the_old_state(Strange::Never);
}

#[test]
fn a_health_url_that_drips_fails_the_deploy() {
    strange_health_ends_in_the_old_state(Strange::Drips);
}

#[test]
fn a_health_url_without_an_end_fails_the_deploy() {
    strange_health_ends_in_the_old_state(Strange::Endless);
}

#[test]
fn health_headers_without_an_end_fail_the_deploy() {
    strange_health_ends_in_the_old_state(Strange::EndlessHeaders);
}

#[test]
fn a_health_url_that_speaks_no_http_fails_the_deploy() {
    strange_health_ends_in_the_old_state(Strange::Rubbish);
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = Server::start(Strange::Rubbish);
    strange_health_ends_in_the_old_state(Strange::Redirects(elsewhere.port));
    assert_eq!(elsewhere.asked.load(Ordering::Relaxed), 0, "the redirect was followed");
}

/// The old process keeps answering 200 on its port, whoever is told to stop it, while the new one hangs.
fn the_old_process_does_not_count(json: &str) {
    let host = TestEnvironment::new();
    let app = host.app(Fixture::Plain);
    let port = app.port.number();
    let config = |command: &str| {
        format!(
            "[app]\nname = \"plain-app\"\n[service.web]\nmanager = \"process\"\ncommand = [{command}]\n\
             env = {{ PORT = \"{port}\" }}\nstop_timeout = \"1s\"\n\
             [[check]]\nname = \"api\"\nhttp = \"http://127.0.0.1:{port}/api/health\"\n\
             expect = {{ status = 200{json} }}\npasses = 1\nsettle = \"100ms\"\ntimeout = \"2s\"\n"
        )
    };
    // The server leaves the session and the group of the process gitroll started, and so outlives it.
    let leaves = "\"sh\", \"-c\", \"setsid node server.js & sleep 600\"";
    app.write("gitroll.toml", &config(leaves));
    app.commit_version("1.0.0", Behaviour::Good);
    host.gitroll(&["init", "--yes", "--environment", "production", "--name", "web-1"]).exit(0);
    let mut old = app.start_by_hand();
    let pid = app.pid_served();
    app.write("gitroll.toml", &config("\"node\", \"server.js\""));
    let next = app.commit_version("1.1.0", Behaviour::HangsAtBoot);
    let answer = host.gitroll(&["deploy", &next, "--yes"]);
    assert_eq!(app.pid_served(), pid, "the old process should still answer");
    // It does not belong to a service, and is named before anything is started.
    answer.exit(1).stderr_has(&format!("process {pid}")).stderr_has("does not belong to a service");
    old.kill().expect("a child can be killed");
    old.wait().expect("a child can be waited for");
}

#[test]
fn an_answer_of_the_old_process_is_told_by_its_version() {
    the_old_process_does_not_count(", json = { \"/version\" = \"{version}\" }");
}

#[test]
fn an_answer_of_the_old_process_is_told_by_its_pid() {
    the_old_process_does_not_count("");
}
