//! What a command answered, and assertions on it that read as a sentence.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// The exit code and output of one command.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The command as typed, for failure messages.
    pub command: String,
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output, invalid UTF-8 replaced.
    pub stdout: String,
    /// Standard error, invalid UTF-8 replaced.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
    /// The moment it had ended.
    pub ended: Instant,
}

impl Answer {
    /// Runs `command` to its end, standard input empty unless set, and reads what it said.
    ///
    /// # Panics
    /// When it cannot be started, does not end within `limit`, or leaves a process behind that keeps
    /// its output open: whoever calls the program through a pipe would wait for ever.
    #[track_caller]
    pub fn of(mut command: Command, limit: Duration) -> Self {
        let typed = typed(&command);
        let begun = Instant::now();
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{typed}: {e}"));
        let stdout = drain(child.stdout.take().expect("stdout is piped"));
        let stderr = drain(child.stderr.take().expect("stderr is piped"));
        let status = wait(&mut child, limit);
        let ended = Instant::now();
        if status.is_none() {
            child.kill().ok();
            child.wait().ok();
        }
        let [stdout, stderr] = [stdout, stderr].map(|output| {
            output.recv_timeout(Duration::from_secs(10)).unwrap_or_else(|_| {
                panic!("{typed}: it ended, but something it started keeps its output open")
            })
        });
        let Some(status) = status else {
            panic!("{typed}: still running after {limit:?}\n{stdout}\n{stderr}")
        };
        Self { command: typed, code: status.code(), stdout, stderr, took: ended - begun, ended }
    }

    /// It exited with `code`.
    #[track_caller]
    pub fn exit(&self, code: i32) -> &Self {
        assert!(self.code == Some(code), "expected exit {code}{}", self.story());
        self
    }

    /// It exited with anything but 0.
    #[track_caller]
    pub fn fails(&self) -> &Self {
        assert!(self.code.is_some_and(|c| c != 0), "expected a failure{}", self.story());
        self
    }

    /// Standard output contains `text`.
    #[track_caller]
    pub fn stdout_has(&self, text: &str) -> &Self {
        assert!(self.stdout.contains(text), "expected {text:?} on stdout{}", self.story());
        self
    }

    /// Standard output does not contain `text`.
    #[track_caller]
    pub fn stdout_lacks(&self, text: &str) -> &Self {
        assert!(!self.stdout.contains(text), "expected no {text:?} on stdout{}", self.story());
        self
    }

    /// Standard error contains `text`.
    #[track_caller]
    pub fn stderr_has(&self, text: &str) -> &Self {
        assert!(self.stderr.contains(text), "expected {text:?} on stderr{}", self.story());
        self
    }

    /// Standard error does not contain `text`.
    #[track_caller]
    pub fn stderr_lacks(&self, text: &str) -> &Self {
        assert!(!self.stderr.contains(text), "expected no {text:?} on stderr{}", self.story());
        self
    }

    /// Either stream contains `text`.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        let said = self.stdout.contains(text) || self.stderr.contains(text);
        assert!(said, "expected {text:?}{}", self.story());
        self
    }

    /// Neither stream contains `text`.
    #[track_caller]
    pub fn never_says(&self, text: &str) -> &Self {
        let said = self.stdout.contains(text) || self.stderr.contains(text);
        assert!(!said, "expected no {text:?}{}", self.story());
        self
    }

    /// It took less than `limit`.
    #[track_caller]
    pub fn within(&self, limit: Duration) -> &Self {
        assert!(self.took < limit, "expected less than {limit:?}{}", self.story());
        self
    }

    /// Standard output as one JSON document.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("expected JSON on stdout: {e}{}", self.story()))
    }

    /// Standard output without the white space around it.
    pub fn text(&self) -> &str {
        self.stdout.trim()
    }

    /// Streams and exit code in one text, for snapshots.
    pub fn transcript(&self) -> String {
        let code = self.code.map_or("signal".to_owned(), |c| c.to_string());
        let mut text = format!("exit {code}\n");
        for (name, stream) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !stream.is_empty() {
                text.push_str(&format!("--- {name}\n{}\n", stream.trim_end()));
            }
        }
        text
    }

    fn story(&self) -> String {
        format!("\n$ {}   ({:.1?})\n{}", self.command, self.took, self.transcript())
    }
}

fn typed(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let words = std::iter::once(name).chain(command.get_args());
    words.map(|w| w.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

fn drain(mut pipe: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // A read error ends the output like its end does; what was read is still worth showing.
        pipe.read_to_end(&mut bytes).ok();
        send.send(String::from_utf8_lossy(&bytes).into_owned()).ok();
    });
    receive
}

fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return Some(status);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
}
