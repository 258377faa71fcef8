//! Telling people: each channel against a server that takes its protocol, and nothing that waits for one of them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::*;
use serde_json::Value;

/// A part of a secret address and of a key; it must be found nowhere.
const CANARY: &str = "canary-9e77b2c1d4";

/// A server of a channel: keeps what it is sent.
struct Receiver {
    port: u16,
    got: Arc<Mutex<Vec<Request>>>,
    answer: Arc<Mutex<&'static str>>,
}

#[derive(Debug, Clone)]
struct Request {
    path: String,
    head: String,
    body: Value,
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const ACCEPTED: &str = "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";
const BROKEN: &str = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 4\r\n\r\noops";
const ELSEWHERE: &str =
    "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n";
/// It takes the message and never says so.
const SILENT: &str = "";

impl Receiver {
    fn that_answers(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let (got, answer) = (Arc::default(), Arc::new(Mutex::new(answer)));
        let this = Self { port, got, answer };
        let (got, answer) = (this.got.clone(), this.answer.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (got, answer) = (Arc::clone(&got), Arc::clone(&answer));
                std::thread::spawn(move || take(stream, &got, &answer));
            }
        });
        this
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    fn now_answers(&self, answer: &'static str) {
        *self.answer.lock().expect("not poisoned") = answer;
    }

    fn got(&self) -> Vec<Request> {
        self.got.lock().expect("not poisoned").clone()
    }

    /// What it has got once it has `count`.
    #[track_caller]
    fn has(&self, count: usize) -> Vec<Request> {
        wait_until("the messages", || self.got().len() >= count);
        let got = self.got();
        assert_eq!(got.len(), count, "{got:#?}");
        got
    }
}

fn take(mut stream: TcpStream, got: &Mutex<Vec<Request>>, answer: &Mutex<&'static str>) {
    let mut text = Vec::new();
    let mut piece = [0; 8192];
    let request = loop {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return,
            Ok(count) => text.extend_from_slice(&piece[..count]),
        }
        let whole = String::from_utf8_lossy(&text).into_owned();
        let Some((head, body)) = whole.split_once("\r\n\r\n") else { continue };
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        if body.len() >= length {
            let path = whole.split(' ').nth(1).unwrap_or_default().to_owned();
            let body = serde_json::from_str(body).unwrap_or(Value::Null);
            break Request { path, head, body };
        }
    };
    got.lock().expect("not poisoned").push(request);
    let answer = *answer.lock().expect("not poisoned");
    if answer == SILENT {
        std::thread::sleep(Duration::from_secs(60));
    }
    let _ = stream.write_all(answer.as_bytes());
}

fn quick() -> AppConfig {
    AppConfig::default().without_builds().settle(1, "100ms").timeout("5s")
}

/// A file on the host that holds a secret.
fn secret(host: &TestEnvironment, name: &str, text: &str) -> String {
    let path = host.path(name);
    fs::write(&path, format!("{text}\n")).expect("it is writable");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
    path.display().to_string()
}

#[test]
fn a_chat_is_told_and_no_channel_that_fails_delays_a_run() {
    let host = TestEnvironment::new();
    let chat = Receiver::that_answers(OK);
    let (silent, broken) = (Receiver::that_answers(SILENT), Receiver::that_answers(BROKEN));
    let url = secret(&host, "chat-url", &chat.url(CANARY));
    host.set("SILENT_URL", silent.url(CANARY));
    let channels = format!(
        "[notify.chat]\nkind = \"slack\"\nurl = {{ file = \"{url}\" }}\n\
         events = [\"started\", \"done\", \"failed\"]\n\
         [notify.silent]\nkind = \"slack\"\nurl = {{ env = \"SILENT_URL\" }}\n\
         [notify.broken]\nkind = \"webhook\"\nurl = \"{}\"\nsecret = {{ file = \"{}\" }}\n\
         [links]\nrunbook = \"https://wiki.example.com/x\"\n",
        broken.url("hook"),
        secret(&host, "hook-secret", CANARY),
    );
    let s = Scenario::with_origin(&host, &channels);
    // The channels of the first deployment are accepted by `init`.
    let told = chat.has(2);
    assert_eq!(told[0].path, format!("/{CANARY}"));
    let text = |request: &Request| request.body["text"].as_str().unwrap_or_default().to_owned();
    assert!(text(&told[0]).starts_with("→ plain-app · production · web-1: deploy to v1.0.0"));
    assert!(text(&told[1]).contains("observed serving after deploy"), "{told:?}");

    // Nobody waits: the silent one has not been given up yet when the command is over.
    s.app.write(".env", &format!("API_KEY={CANARY}\n"));
    let two = s.app.commit_version("1.1.0", Behaviour::ThrowsAtBoot);
    s.app.git(&["checkout", "-q", "--detach", "HEAD~1"]);
    host.gitroll(&["deploy", &two, "--yes"]).exit(20);
    let waiting = host.gitroll(&["notify", "--json"]).exit(0).json();
    assert!(waiting["result"]["waiting"].as_u64() >= Some(1), "{waiting}");
    // That it began is not told any more once it ended.
    let of_the_end = |request: &Request| text(request).contains("failed; v1.0.0");
    wait_until("the chat hears of the failure", || chat.got().iter().any(of_the_end));
    let last = chat.got().iter().find(|told| of_the_end(told)).map(text).unwrap_or_default();
    assert!(last.contains("deploy to v1.1.0"), "{last}");
    assert!(last.contains("runbook  https://wiki.example.com/x"), "{last}");

    // What did not answer is named, and told again by the next command.
    let names = |answer: &Answer, text: &str| answer.stdout.contains(text);
    wait_until("doctor names both", || {
        let doctor = host.gitroll(&["doctor"]);
        names(&doctor, "channel silent did not take a message")
            && names(&doctor, "channel broken did not take a message")
            && names(&doctor, "answered 500: oops")
    });
    broken.now_answers(ELSEWHERE);
    let refused = host.gitroll(&["notify", "test", "broken"]);
    refused.exit(1).stdout_has("answered 302, which is not followed");
    let before = broken.got().len();
    broken.now_answers(OK);
    host.gitroll(&["status"]).exit(0);
    wait_until("the next command sends it", || broken.got().len() >= before + 2);
    let last = broken.got().pop().expect("it got some");
    assert_eq!(last.body["event"], "failed");
    let signed = last.head.lines().any(|line| line.starts_with("x-gitroll-signature: sha256="));
    assert!(signed, "{}", last.head);
    silent.now_answers(OK);
    host.gitroll(&["status"]).exit(0);
    wait_until("nothing waits", || {
        host.gitroll(&["notify", "--json"]).json()["result"]["waiting"] == 0
    });
    host.gitroll(&["doctor"]).stdout_has("3 channels answer");

    // The secrets are where they were put, and nowhere else.
    let clone = host.path("clone");
    let (remote, to) = (host.path("remote.git"), clone.display().to_string());
    let mirror = ["clone", "-q", "--mirror", remote.to_str().expect("UTF-8"), &to];
    host.run("git", &mirror).exit(0);
    for dir in [s.app.dir.join(".git"), host.path("gitroll"), clone, host.path("home")] {
        holds_no_canary(&dir);
    }
    for dir in [s.app.dir.to_str().expect("UTF-8"), &to] {
        let objects = ["-C", dir, "cat-file", "--batch-all-objects", "--batch"];
        let objects = host.run("git", &objects);
        objects.exit(0).stdout_has("plain-app");
        assert!(!objects.stdout.contains(CANARY));
    }
}

/// No file below `dir` has it.
#[track_caller]
fn holds_no_canary(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let kind = entry.file_type().expect("it is there");
        if kind.is_dir() {
            holds_no_canary(&path);
        } else if kind.is_file() {
            let bytes = fs::read(&path).unwrap_or_default();
            let found = bytes.windows(CANARY.len()).any(|part| part == CANARY.as_bytes());
            assert!(!found, "{} holds the secret", path.display());
        }
    }
}

#[test]
fn a_page_is_opened_when_a_person_is_needed_taken_up_and_closed() {
    let host = TestEnvironment::new();
    let (pager, alerts) = (Receiver::that_answers(ACCEPTED), Receiver::that_answers(OK));
    let channels = format!(
        "[notify.oncall]\nkind = \"pagerduty\"\nurl = \"{}\"\nkey = {{ file = \"{}\" }}\n\
         [notify.alerts]\nkind = \"alertmanager\"\nurl = \"{}\"\n\
         [contacts]\ndatabase = {{ who = \"Ben, @ben\", within = \"15m\" }}\n\
         [links]\nrunbook = \"https://wiki.example.com/x\"\n",
        pager.url("v2/enqueue"),
        secret(&host, "key", CANARY),
        alerts.url("am"),
    );
    let s = Scenario::serving(&host, Fixture::Plain, &quick().and(&channels));
    s.app.sour("1.0.0");
    let failed = s.release("1.1.0", Behaviour::ThrowsAtBoot);
    failed.exit(21).stderr_has("call     database: Ben, @ben (within 15 min)");
    failed.stderr_has("page     runbook: https://wiki.example.com/x");
    let opened = pager.has(1).remove(0).body;
    assert_eq!(opened["event_action"], "trigger");
    assert_eq!(opened["routing_key"], CANARY);
    assert_eq!(opened["dedup_key"], "gitroll/plain-app/production/web-1");
    assert_eq!(opened["payload"]["severity"], "critical");
    assert_eq!(opened["links"][0]["href"], "https://wiki.example.com/x");
    let summary = opened["payload"]["summary"].as_str().unwrap_or_default();
    assert!(summary.contains("A person is needed"), "{summary}");
    let alert = alerts.has(1).remove(0);
    assert_eq!(alert.path, "/am/api/v2/alerts");
    assert_eq!(alert.body[0]["labels"]["instance"], "web-1");
    host.gitroll(&["status"]).exit(0).stdout_has("call      database: Ben");

    s.app.mend("1.0.0");
    host.gitroll(&["abort", "--yes"]);
    let good = s.app.commit_version("1.2.0", Behaviour::Good);
    host.gitroll(&["deploy", &good, "--yes"]).exit(0);
    wait_until("the page is closed", || {
        pager.got().last().is_some_and(|last| last.body["event_action"] == "resolve")
    });
    let actions: Vec<String> =
        pager.got().iter().map(|one| one.body["event_action"].to_string()).collect();
    assert!(pager.got().iter().all(|one| one.body["dedup_key"] == opened["dedup_key"]));
    assert!(actions.contains(&"\"acknowledge\"".to_owned()), "{actions:?}");
    wait_until("the alert ends", || {
        let last = alerts.got().pop().expect("it got some").body;
        let ends = last[0]["endsAt"].as_str().expect("a time").parse::<jiff::Timestamp>();
        last[0]["labels"] == alert.body[0]["labels"]
            && ends.expect("a time") <= jiff::Timestamp::now()
    });
    host.gitroll(&["status"]).exit(0).stdout_lacks("call ");
    let got = pager.got().len();
    host.gitroll(&["notify", "test"]).exit(0).stdout_has("oncall  pagerduty");
    let test = pager.has(got + 2);
    assert_ne!(test[got].body["dedup_key"], opened["dedup_key"]);
    assert_eq!(test[got + 1].body["event_action"], "resolve");
}

#[test]
fn a_command_gets_the_message_and_only_what_is_accepted_is_told() {
    let host = TestEnvironment::new();
    let out = host.path("told.jsonl");
    let channel = format!(
        "[notify.script]\nkind = \"command\"\nrun = [\"sh\", \"-c\", \"cat >> {0}; echo >> {0}\"]\n\
         events = [\"done\"]\n",
        out.display()
    );
    let s = Scenario::serving(&host, Fixture::Plain, &quick());
    // A release that brings its own channel and fails tells nobody by it.
    s.app.configure(&quick().and(&channel.replace("done", "failed")));
    s.release_kept_bad("1.1.0").exit(20);
    s.app.configure(&quick().and(&channel));
    s.release_kept("1.2.0").exit(0);
    let told = || fs::read_to_string(&out).unwrap_or_default();
    wait_until("the command is told", || told().ends_with("}\n"));
    let message: Value = serde_json::from_str(told().trim()).expect("one message");
    assert_eq!(message["event"], "done");
    assert_eq!(message["to"].as_str().map(|to| to.starts_with("v1.2.0")), Some(true));
    assert!(message["run"].is_string() && message["record"].is_string(), "{message}");
}

/// OpenSMTPD on the loopback, and TLS in front of it, which the OpenSMTPD of Debian 12 cannot do itself.
struct MailServer {
    running: Vec<Child>,
    plain: u16,
    tls: u16,
}

/// Takes TLS off a connection and passes it on.
const TLS_FRONT: &str = r#"
import socket, ssl, sys, threading
port, behind, cert, key = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(cert, key)
def pump(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
        b.shutdown(socket.SHUT_WR)
    except OSError:
        pass
listener = socket.create_server(("127.0.0.1", port))
while True:
    raw, _ = listener.accept()
    try:
        client = context.wrap_socket(raw, server_side=True)
        server = socket.create_connection(("127.0.0.1", behind))
    except OSError:
        continue
    threading.Thread(target=pump, args=(client, server), daemon=True).start()
    threading.Thread(target=pump, args=(server, client), daemon=True).start()
"#;

impl MailServer {
    fn start(host: &TestEnvironment) -> Self {
        let dir = host.path("mail");
        fs::create_dir_all(dir.join("kept")).expect("it can be made");
        // The server delivers as another user.
        for open in [host.root(), &dir] {
            fs::set_permissions(open, fs::Permissions::from_mode(0o755)).expect("ours");
        }
        fs::set_permissions(dir.join("kept"), fs::Permissions::from_mode(0o777)).expect("ours");
        let text = |name: &str| dir.join(name).display().to_string();
        let (key, cert) = (text("key.pem"), text("cert.pem"));
        let kind = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"];
        let name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
        let no_authority = ["-addext", "basicConstraints=critical,CA:FALSE"];
        let files = ["-keyout", &key, "-out", &cert];
        host.run("openssl", &[&kind[..], &name, &no_authority, &files].concat()).exit(0);
        let (plain, tls) = (free_port().number(), free_port().number());
        let config = format!(
            "table who {{ \"@\" = \"nobody\" }}\nlisten on 127.0.0.1 port {plain}\n\
             action \"keep\" maildir \"{}\" virtual <who>\nmatch from any for any action \"keep\"\n",
            text("kept"),
        );
        fs::write(dir.join("smtpd.conf"), config).expect("it is writable");
        let start = |program: &str, args: &[&str]| {
            let log = fs::File::create(dir.join("log")).expect("it is writable");
            let mut command = Command::new(program);
            command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
            command.spawn().expect("tests/run installs it")
        };
        let ports = [tls.to_string(), plain.to_string()];
        let front = ["-c", TLS_FRONT, &ports[0], &ports[1], &cert, &key];
        let running = vec![
            start("/usr/sbin/smtpd", &["-d", "-f", &text("smtpd.conf")]),
            start("python3", &front),
        ];
        let this = Self { running, plain, tls };
        for port in [plain, tls] {
            wait_until("the mail server", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        }
        this
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        for child in &mut self.running {
            // The children of the server end with it.
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
    }
}

#[test]
fn mail_goes_to_a_real_server_and_never_in_the_clear_where_tls_is_asked_for() {
    let host = TestEnvironment::new();
    let server = MailServer::start(&host);
    let mail = |name: &str, port: u16, tls: &str| {
        format!(
            "[notify.{name}]\nkind = \"smtp\"\nserver = \"localhost:{port}\"\ntls = \"{tls}\"\n\
             from = \"Shop <shop@example.com>\"\nto = [\"{name}@example.com\"]\n"
        )
    };
    let channels = [
        mail("starttls", server.plain, "starttls"),
        mail("tls", server.tls, "tls"),
        mail("plain", server.plain, "none"),
    ]
    .concat();
    let s = Scenario::bound(&host, Fixture::Plain, &quick().and(&channels));
    // A certificate that nobody vouches for is refused, and so is a server that offers no STARTTLS.
    let refused = host.gitroll(&["notify", "test"]);
    refused.exit(1).stdout_has("✗ starttls").stdout_has("✗ tls").stdout_has("✓ plain");
    host.set("SSL_CERT_FILE", host.path("mail/cert.pem"));
    host.gitroll(&["notify", "test"]).exit(1).stdout_has("✗ starttls").stdout_has("✓ tls");
    host.unset("SSL_CERT_FILE");
    host.gitroll(&["deploy", "--yes"]).exit(0);
    let kept = || {
        let entries = fs::read_dir(host.path("mail/kept/new")).into_iter().flatten().flatten();
        entries
            .map(|entry| fs::read_to_string(entry.path()).unwrap_or_default())
            .collect::<Vec<_>>()
    };
    let deployed = |letter: &String| letter.contains("observed serving after deploy");
    wait_until("the mail about the deploy", || kept().iter().any(deployed));
    let letter = kept().into_iter().find(deployed).expect("it was there");
    for part in ["From: Shop <shop@example.com>", "To: plain@example.com", "Subject: "] {
        assert!(letter.contains(part), "{part} in {letter}");
    }
    let tested = kept().iter().filter(|letter| letter.contains("this channel works")).count();
    assert_eq!(tested, 3, "one at the first test, two at the second");
    s.serves("1.0.0");
}
