//! Checks that ask something else than HTTP, against real sockets, files and commands.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gitroll::check::{
    Expectation, LogWindow, Proof, Surroundings, Symptom, log_positions, look, prove, symptoms,
};
use gitroll::config::{Check, CheckGroup, Selection, parse};
use gitroll::model::{CheckEvidence, Redactor, Served};
use gitroll::system::procs::Ticks;
use gitroll::system::signals::Until;

const COMMIT: &str = "4be21d9aaaabbbbccccddddeeeeffff000011112";

/// A live tree with checks on it.
struct Host {
    dir: tempfile::TempDir,
    expectation: Expectation,
}

impl Host {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("app")).unwrap();
        let around = Surroundings {
            top: dir.path().join("app"),
            env: BTreeMap::from([
                ("PATH".into(), std::env::var_os("PATH").unwrap()),
                ("GITROLL_COMMIT".into(), COMMIT.into()),
            ]),
            redactor: Redactor::new([("API_TOKEN", "s3cr3t-t0ken")]),
            ..Surroundings::default()
        };
        let served = Served {
            commit: COMMIT.parse().unwrap(),
            name: "v1.0.0".to_owned(),
            version: Some("1.0.0".to_owned()),
        };
        let before = Served {
            commit: "7".repeat(40).parse().unwrap(),
            version: Some("0.9.0".to_owned()),
            ..served.clone()
        };
        let expectation = Expectation {
            served,
            deployment: "run-7".to_owned(),
            not: Some(before),
            fresh_since: None,
            changed: false,
            weak: false,
            until: Until::Left,
            only: Selection::All,
            around,
            listens: Default::default(),
            tells: Default::default(),
        };
        Self { dir, expectation }
    }

    fn top(&self) -> &Path {
        &self.expectation.around.top
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.top().join(path), text).unwrap();
    }

    fn append(&self, path: &str, text: &str) {
        let path = self.top().join(path);
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// A change begins: logs are judged from here on.
    fn change(&mut self, checks: &[Check]) {
        let logs = log_positions(checks, &self.expectation.around);
        self.expectation.around.window = Some(LogWindow { must: logs.clone(), must_not: logs });
    }

    fn prove(&self, checks: &[Check]) -> Proof {
        prove(checks, &self.expectation, &mut Vec::new, &mut |_| {})
    }

    /// One answer.
    fn ask(&self, text: &str) -> (bool, String) {
        let CheckEvidence { passed, last, .. } =
            look(&checks(text), Some(&self.expectation)).remove(0);
        (passed, last.answer)
    }

    #[track_caller]
    fn passes(&self, text: &str, wanted: &str) {
        assert_eq!(self.ask(text), (true, wanted.to_owned()), "{text}");
    }

    #[track_caller]
    fn fails(&self, text: &str, wanted: &str) {
        let (passed, answer) = self.ask(text);
        assert!(!passed && answer.contains(wanted), "{text}\nwanted {wanted}\nfound {answer}");
    }
}

/// One check of this text, which is asked quickly.
fn checks(text: &str) -> Vec<Check> {
    let metric = text.starts_with("metric");
    let rhythm =
        if metric { "samples = 2\nevery = \"100ms\"" } else { "passes = 2\nsettle = \"200ms\"" };
    let text = format!(
        "[app]\nname = \"shop\"\n[[check]]\nname = \"it\"\n{rhythm}\ntimeout = \"3s\"\n{text}\n"
    );
    match parse(&text, "gitroll.toml") {
        Ok(config) => config.checks,
        Err(error) => panic!("{text}\n{:#?}", error.problems),
    }
}

/// Says `text` to everybody who connects, and then does as `after` says.
struct Speaker {
    port: u16,
    said: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Speaker {
    fn start(answer: impl Fn(&mut TcpStream, usize) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (said, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stopped) = (Arc::clone(&said), Arc::clone(&stop));
        let answer = Arc::new(answer);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(mut stream) = stream else { continue };
                let number = counted.fetch_add(1, Ordering::SeqCst);
                let answer = Arc::clone(&answer);
                thread::spawn(move || answer(&mut stream, number));
            }
        });
        Self { port, said, stop }
    }

    /// Pages over HTTP, by the number of the request.
    fn pages(page: impl Fn(usize) -> String + Send + Sync + 'static) -> Self {
        Self::start(move |stream, number| {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request);
            let body = page(number);
            let _ =
                write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        })
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn runs(marker: &str) -> bool {
    let found = Command::new("pgrep").args(["-f", marker]).output().unwrap();
    found.status.success()
}

#[test]
fn a_connection_is_accepted_or_not_and_says_what_it_must() {
    let host = Host::new();
    let ssh = Speaker::start(|stream, _| {
        let _ = stream.write_all(b"SSH-2.0-shop 1.0.0\r\n");
        thread::sleep(Duration::from_millis(50));
    });
    let silent = Speaker::start(|_, _| thread::sleep(Duration::from_secs(2)));
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let tcp = |port: u16, rest: &str| format!("tcp = \"127.0.0.1:{port}\"\n{rest}");
    host.passes(&tcp(ssh.port, ""), "connected");
    host.passes(&tcp(silent.port, ""), "connected");
    host.fails(&tcp(free, ""), &format!("no listener on :{free}"));
    host.fails("tcp = \"no-such-host.invalid:1\"\nrequest_timeout = \"2s\"", "no connection");
    let banner =
        |text: &str| format!("expect = {{ banner = \"{text}\" }}\nrequest_timeout = \"300ms\"");
    host.passes(&tcp(ssh.port, &banner("SSH-2.0")), "connected");
    host.fails(&tcp(ssh.port, &banner("FTP")), "banner does not contain \"FTP\"");
    host.fails(&tcp(silent.port, &banner("SSH")), "did not send the expected text within 300 ms");
    let proof = host.prove(&checks(&tcp(ssh.port, &banner("shop {version}"))));
    assert!(proof.proven && proof.checks[0].told_version, "{proof:?}");
    assert!(ssh.said.load(Ordering::SeqCst) >= 4);
}

#[test]
fn a_command_is_judged_by_its_code_and_its_output() {
    let host = Host::new();
    let sh = |script: &str, rest: &str| format!("command = [\"sh\", \"-c\", {script:?}]\n{rest}");
    host.passes(&sh("exit 0", ""), "exit 0");
    host.passes(&sh("exit 3", "expect = { exit = 3 }"), "exit 3");
    host.fails(
        &sh("echo Error: no db at s3cr3t-t0ken >&2; exit 3", ""),
        "exit 3: Error: no db at [redacted]",
    );
    host.fails(&sh("kill -9 $$", ""), "ended by signal 9");
    host.fails("command = [\"./missing\"]", "was not found");
    host.fails(&sh("yes | head -c 2000000", ""), "output larger than 1 MiB");
    host.fails(&sh("echo no", "expect = { stdout = \"yes\" }"), "stdout does not contain \"yes\"");
    host.passes(
        &sh("test \"$PWD\" = \"$WANTED\"", &format!("env = {{ WANTED = {:?} }}", host.top())),
        "exit 0",
    );
    let told =
        host.prove(&checks(&sh("echo $GITROLL_COMMIT", "expect = { stdout = \"{commit}\" }")));
    assert!(told.proven && told.checks[0].told_version, "{told:?}");
    host.write("here.sh", "#!/bin/sh\nexit 0\n");
    Command::new("chmod").arg("+x").arg(host.top().join("here.sh")).status().unwrap();
    host.passes("command = [\"./here.sh\"]", "exit 0");
}

#[test]
fn a_command_that_never_ends_is_ended_with_all_it_started() {
    let host = Host::new();
    let marker = format!("61{}", std::process::id());
    let begun = Instant::now();
    let script = format!("sleep {marker} & sleep {marker}");
    let text = format!("command = [\"sh\", \"-c\", {script:?}]\nrun_timeout = \"300ms\"");
    host.fails(&text, "did not end within 300 ms");
    assert!(!runs(&format!("sleep {marker}")), "it goes on");
    // A daemon that holds the output open does not hold the check up for long.
    let script = "setsid sleep 8 & exit 0";
    host.passes(&format!("command = [\"sh\", \"-c\", {script:?}]"), "exit 0");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[test]
fn a_command_does_not_outlive_the_proof_it_was_run_for() {
    let host = Host::new();
    let marker = format!("62{}", std::process::id());
    let mut both = checks(&format!("command = [\"sleep\", \"{marker}\"]\nrun_timeout = \"3s\""));
    both.extend(checks("log = { file = \"app.log\" }\nexpect = { must_not = \"Error\" }"));
    both[1].name = "quiet".parse().unwrap();
    host.write("app.log", "");
    let mut host = host;
    host.change(&both);
    host.append("app.log", "Error: x\n");
    let begun = Instant::now();
    let proof = host.prove(&both);
    assert!(!proof.proven, "{proof:?}");
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(!runs(&format!("sleep {marker}")), "it goes on");
}

#[test]
fn a_file_is_there_and_holds_what_it_must() {
    let host = Host::new();
    host.write("build.json", r#"{"commit":"4be21d9","n":[1],"token":"s3cr3t-t0ken"}"#);
    host.write("text", "abc");
    symlink("text", host.top().join("inside")).unwrap();
    symlink("/etc/hostname", host.top().join("outside")).unwrap();
    symlink("/etc", host.top().join("etc")).unwrap();
    let fifo = host.top().join("pipe");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let expect = |file: &str, expect: &str| format!("file = {file:?}\nexpect = {{ {expect} }}");
    host.passes("file = \"text\"", "there");
    host.passes("file = \"inside\"", "there");
    host.passes(&format!("file = {:?}", host.top().join("text")), "there");
    host.passes(&expect("none", "exists = false"), "absent");
    host.passes(&expect("text/none", "exists = false"), "absent");
    host.passes(
        &expect(host.top().join("text/none").to_str().unwrap(), "exists = false"),
        "absent",
    );
    host.fails("file = \"text/none\"", "no such file");
    host.fails(&expect("text", "exists = false"), "it exists");
    host.fails("file = \"none\"", "no such file");
    host.fails("file = \"outside\"", "a symbolic link leads out of the repository");
    host.fails("file = \"etc/hostname\"", "a symbolic link leads out of the repository");
    host.fails("file = \"pipe\"", "is not a regular file");
    host.passes(&expect("text", &format!("sha256 = \"{sum}\"")), "there");
    host.fails(&expect("build.json", &format!("sha256 = \"{sum}\"")), "not ba7816bf8f01…");
    host.passes(
        &expect("build.json", "json = { \"/n/0\" = 1, \"/commit\" = \"{commit}\" }"),
        "there",
    );
    host.passes(&expect("build.json", "json = {}"), "there");
    host.fails(&expect("text", "json = {}"), "not JSON");
    host.fails(&expect("build.json", "json = { \"/n/0\" = 2 }"), "/n/0 is 1, not 2");
    host.fails(&expect("build.json", "json = { \"/token\" = \"x\" }"), "/token is \"[redacted]\"");
    host.fails(&format!("{}\nmax_bytes = 2", expect("text", "json = {}")), "larger than 2 bytes");
    let told = host.prove(&checks(&expect("build.json", "json = { \"/commit\" = \"{commit}\" }")));
    assert!(told.checks[0].passed && !told.checks[0].told_version, "{told:?}");
}

#[test]
fn a_number_keeps_to_its_bounds_in_every_sample() {
    let host = Host::new();
    let page = Speaker::pages(|number| {
        format!(
            "errors_total{{code=\"500\"}} {}\nerrors_total{{code=\"502\"}} 1\nqueue 7\nodd NaN\ntop +Inf\nlow -Inf\nmuch 1e400\n",
            number * 10
        )
    });
    let url = format!("http://127.0.0.1:{}/metrics", page.port);
    let of = |name: &str, more: &str, expect: &str| {
        format!(
            "metric = {{ prometheus = {url:?}, name = {name:?}{more} }}\nexpect = {{ {expect} }}"
        )
    };
    host.passes(&of("queue", "", "below = 8, at_least = 7"), "7");
    host.fails(&of("queue", "", "below = 7"), "queue is 7, not below 7");
    host.fails(&of("queues", "", "below = 7"), "there is no queues");
    host.fails(&of("odd", "", "at_most = 7"), "odd is NaN, not a measurement");
    host.fails(&of("top", "", "above = 7"), "top is inf, not a measurement");
    host.fails(&of("low", "", "below = 7"), "low is -inf, not a measurement");
    host.fails(&of("much", "", "above = 7"), "much is inf, not a measurement");
    host.fails(&of("errors_total", "", "below = 7"), "2 series match errors_total");
    host.passes(&of("errors_total", ", sum = true", "at_least = 1"), "81");
    let rate = ", labels = { code = \"500\" }, rate = true";
    host.fails(&of("errors_total", rate, "below = 1"), "/s, not below 1");
    host.passes(
        &of("errors_total", ", labels = { code = \"502\" }, rate = true", "at_most = 0"),
        "0/s",
    );
    let json = Speaker::pages(|number| {
        format!("{{\"p95\":{},\"word\":\"x\"}}", if number < 3 { 900 } else { 80 })
    });
    let url = format!("http://127.0.0.1:{}/", json.port);
    let of = |pointer: &str| {
        format!("metric = {{ http = {url:?}, pointer = {pointer:?} }}\nexpect = {{ below = 100 }}")
    };
    host.fails(&of("/word"), "/word is \"x\", not a number");
    host.fails(&of("/none"), "/none is missing");
    let proof = host.prove(&checks(&of("/p95")));
    assert!(proof.checks[0].passed && proof.checks[0].wanted == 2, "{proof:?}");
    assert!(json.said.load(Ordering::SeqCst) >= 5, "the row began anew after 900");
    let endless = Speaker::start(|stream, _| {
        // An answer that comes before the request is none.
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    let url = format!("http://127.0.0.1:{}/", endless.port);
    host.fails(
        &format!("metric = {{ http = {url:?}, pointer = \"/p\" }}\nexpect = {{ below = 1 }}"),
        "answer larger than 1 MiB",
    );
}

#[test]
fn a_log_is_judged_from_the_change_on_and_through_rotation() {
    let quiet = checks("log = { file = \"app.log\" }\nexpect = { must_not = \"^Error\" }");
    let loud =
        checks("log = { file = \"app.log\" }\nexpect = { must = \"shop {version} listens\" }");
    let both = |rotate: &dyn Fn(&Host)| {
        let mut host = Host::new();
        host.append("app.log", "Error: of yesterday\nshop 1.0.0 listens\n");
        host.change(&[quiet.clone(), loud.clone()].concat());
        rotate(&host);
        let bad = host.prove(&quiet);
        let good = host.prove(&loud);
        (bad.checks[0].passed, good.checks[0].passed, good.checks[0].told_version)
    };
    assert_eq!(both(&|_| {}), (true, false, false), "nothing was said since");
    let listens = "shop 1.0.0 listens on 1\n";
    assert_eq!(both(&|host| host.append("app.log", listens)), (true, true, true));
    assert_eq!(both(&|host| host.append("app.log", "shop 0.9.0 listens\n")), (true, false, false));
    assert_eq!(both(&|host| host.append("app.log", "Error: x\n")), (false, false, false));
    let renamed = |host: &Host, before: &str, after: &str| {
        host.append("app.log", before);
        fs::rename(host.top().join("app.log"), host.top().join("app.log.1")).unwrap();
        host.append("app.log", after);
    };
    assert_eq!(both(&|host| renamed(host, "Error: x\n", listens)), (false, true, true));
    assert_eq!(both(&|host| renamed(host, listens, "Error: x\n")), (false, true, true));
    let cut = |host: &Host| {
        fs::copy(host.top().join("app.log"), host.top().join("app.log.1")).unwrap();
        host.write("app.log", "");
        host.append("app.log", listens);
    };
    assert_eq!(both(&cut), (true, true, true));
}

#[test]
fn a_line_that_must_not_come_ends_the_proof_at_once_and_is_told_without_secrets() {
    let quiet = checks("log = { file = \"app.log\" }\nexpect = { must_not = \"(?i)error\" }");
    let mut host = Host::new();
    host.write("app.log", "");
    host.change(&quiet);
    host.append("app.log", "ok\nERROR: s3cr3t-t0ken \u{1b}[31m refused");
    let begun = Instant::now();
    let proof = host.prove(&quiet);
    assert!(begun.elapsed() < Duration::from_secs(2), "it waited: {:?}", begun.elapsed());
    assert_eq!(proof.failures, ["it: says \"ERROR: [redacted] \\u{1b}[31m refused\""]);
}

#[test]
fn a_log_that_is_not_there_tells_nothing_unless_it_is_optional() {
    let host = Host::new();
    let log = |more: &str| {
        checks(&format!("log = {{ file = \"none.log\"{more} }}\nexpect = {{ must_not = \"E\" }}"))
    };
    assert_eq!(host.prove(&log("")).failures, ["it: no such file"]);
    assert!(host.prove(&log(", optional = true")).checks[0].passed);
    assert!(Command::new("mkfifo").arg(host.top().join("none.log")).status().unwrap().success());
    assert_eq!(host.prove(&log("")).failures, ["it: is not a regular file"]);
    let outside = host.dir.path().join("outside.log");
    fs::write(&outside, "").unwrap();
    symlink(&outside, host.top().join("link.log")).unwrap();
    let link = checks("log = { file = \"link.log\" }\nexpect = { must_not = \"E\" }");
    assert_eq!(host.prove(&link).failures, ["it: a symbolic link leads out of the repository"]);
}

#[test]
fn a_log_that_says_too_much_is_not_vouched_for() {
    let text = "log = { file = \"app.log\" }\nexpect = { must_not = \"E\" }\nmax_bytes = \"1kB\"";
    let mut host = Host::new();
    host.write("app.log", "");
    host.change(&checks(text));
    host.append("app.log", &"ok\n".repeat(1000));
    assert_eq!(host.prove(&checks(text)).failures, ["it: more than 1000 bytes written"]);
}

#[test]
fn without_a_change_no_line_is_waited_for_but_bad_ones_count() {
    let loud = checks("log = { file = \"app.log\" }\nexpect = { must = \"listens\" }");
    let quiet = checks("log = { file = \"app.log\" }\nexpect = { must_not = \"Error\" }").remove(0);
    let host = Host::new();
    host.write("app.log", "Error: of yesterday\n");
    let skipped = |evidence: &CheckEvidence| evidence.skipped.clone().unwrap();
    assert!(skipped(&host.prove(&loud).checks[0]).contains("nothing was changed"));
    assert!(skipped(&look(&loud, Some(&host.expectation))[0]).contains("after a change"));
    let quiet = [Check { timeout: Duration::from_secs(5), ..quiet }];
    assert!(host.prove(&quiet).checks[0].passed, "yesterday's does not count");
    let top = host.top().to_owned();
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        let mut file = OpenOptions::new().append(true).open(top.join("app.log")).unwrap();
        file.write_all(b"Error: now\n").unwrap();
    });
    assert!(!host.prove(&quiet).checks[0].passed);
    writer.join().unwrap();
}

#[test]
fn what_is_left_out_is_told_with_the_reason() {
    let mut host = Host::new();
    host.write("there", "");
    let mut three: Vec<Check> = ["one", "two", "three"]
        .map(|name| Check { name: name.parse().unwrap(), ..checks("file = \"there\"").remove(0) })
        .into();
    three[1].critical = false;
    three[2].group = CheckGroup::Full;
    let mut told = |only: Selection| {
        host.expectation.only = only;
        let proof = host.prove(&three);
        let looked = look(&three, Some(&host.expectation));
        let words = |all: &[CheckEvidence]| -> Vec<String> {
            all.iter().map(|c| c.skipped.clone().unwrap_or_else(|| c.passed.to_string())).collect()
        };
        assert_eq!(words(&proof.checks), words(&looked));
        words(&proof.checks)
    };
    assert_eq!(told(Selection::All), ["true", "true", "true"]);
    assert_eq!(told(Selection::Critical), ["true", "not critical", "true"]);
    assert_eq!(told(Selection::Group(CheckGroup::Quick)), ["true", "true", "group full"]);
}

#[test]
fn an_old_listener_fails_every_kind_unless_it_is_said_to_be_something_else() {
    let mut host = Host::new();
    host.expectation.fresh_since = Some(Ticks(Ticks::now().0 + 1000));
    let database = Speaker::pages(|_| "queue 1\n".to_owned());
    let text = format!("tcp = \"127.0.0.1:{}\"", database.port);
    let page = format!("http://127.0.0.1:{}/", database.port);
    let metric =
        format!("metric = {{ prometheus = {page:?}, name = \"queue\" }}\nexpect = {{ below = 2 }}");
    let pid = std::process::id();
    for text in [&text, &metric] {
        let old = host.prove(&checks(text));
        let why = format!("it: answered by process {pid}, which started before the reload");
        assert_eq!(old.failures, [why], "{text}");
        host.expectation.weak = true;
        assert!(host.prove(&checks(text)).proven, "{text}");
        host.expectation.weak = false;
    }
    let proof = host.prove(&checks(&format!("{text}\nown = false")));
    assert!(proof.checks[0].passed && !proof.proven, "{proof:?}");
    assert!(proof.failures[0].starts_with("no check and no process distinguishes"), "{proof:?}");
}

#[test]
fn what_was_asked_and_has_not_answered_is_not_said_to_be_not_asked() {
    let mut host = Host::new();
    let mut both = checks("command = [\"sleep\", \"2\"]");
    both.extend(checks("log = { file = \"app.log\" }\nexpect = { must_not = \"Error\" }"));
    both[1].name = "quiet".parse().unwrap();
    host.write("app.log", "");
    host.change(&both);
    let top = host.top().to_owned();
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(300));
        fs::write(top.join("app.log"), "Error: x\n").unwrap();
    });
    let proof = host.prove(&both);
    writer.join().unwrap();
    let last = &proof.checks[0].last;
    assert_eq!(last.answer, "no answer yet", "{proof:?}");
    assert!(last.millis >= 100, "{proof:?}");
}

#[test]
fn a_question_that_was_killed_or_says_too_much_tells_nothing_of_a_symptom() {
    let host = Host::new();
    for (script, wanted) in [
        ("kill -9 $$", "ended by signal 9"),
        ("yes | head -c 50000000", "output larger than 1 MiB"),
    ] {
        for when in ["holds", "fails"] {
            let text = format!(
                "[app]\nname = \"shop\"\n[[rule]]\nsymptom = \"x\"\nseverity = \"P1\"\n\
                 action = \"code\"\nprobe = {{ command = [\"sh\", \"-c\", {script:?}], \
                 expect = {{ stdout = \"bad\" }}, when = {when:?} }}\n"
            );
            let config = parse(&text, "gitroll.toml").map_err(|e| format!("{:#?}", e.problems));
            let rule = config.unwrap().rules.remove(0);
            let seen = symptoms(&[&rule.probe], &host.expectation).remove(0);
            let Symptom::Unknown(why) = &seen else { panic!("{script}: {seen:?}") };
            assert!(why.contains(wanted), "{seen:?}");
        }
    }
}
