//! A command on a terminal: prompts, answers, and the terminal going away.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::{TestEnvironment, ending};

/// A command whose three streams are a terminal of 100 columns and 40 rows, made by `script` of util-linux.
pub struct Terminal {
    script: Child,
    keyboard: ChildStdin,
    screen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Starts `program` on a terminal in the app's directory.
    #[track_caller]
    pub fn start(host: &TestEnvironment, program: &str, args: &[&str]) -> Self {
        let words: Vec<String> =
            std::iter::once(&program).chain(args).map(|word| quoted(word)).collect();
        let line = format!("stty cols 100 rows 40; exec {}", words.join(" "));
        let mut command = host.command("script");
        command
            .args(["--quiet", "--return", "--flush", "--command"])
            .arg(line)
            .arg("/dev/null")
            .env("TERM", "xterm")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut script = command.spawn().expect("script of util-linux is on this machine");
        let keyboard = script.stdin.take().expect("stdin is piped");
        let mut output = script.stdout.take().expect("stdout is piped");
        let screen = Arc::new(Mutex::new(Vec::new()));
        let shown = Arc::clone(&screen);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read) = output.read(&mut bytes)
                && read > 0
            {
                shown.lock().expect("nobody panics with the lock").extend(&bytes[..read]);
            }
        });
        Self { script, keyboard, screen }
    }

    /// Waits until the screen has shown `text`, at most 30 s.
    #[track_caller]
    pub fn expect(&mut self, text: &str) -> &mut Self {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !self.screen().contains(text) {
            let screen = self.screen();
            assert!(
                Instant::now() < deadline,
                "waited for {text:?}, the terminal shows:\n{screen}"
            );
            thread::sleep(Duration::from_millis(20));
        }
        self
    }

    /// Types a line and Enter.
    pub fn answer(&mut self, line: &str) -> &mut Self {
        self.press(&format!("{line}\r"))
    }

    /// Presses keys as they are: `\x03` is Ctrl-C.
    pub fn press(&mut self, keys: &str) -> &mut Self {
        self.keyboard.write_all(keys.as_bytes()).expect("the terminal takes keys");
        self.keyboard.flush().expect("the terminal takes keys");
        self
    }

    /// Everything shown so far, escape sequences removed.
    pub fn screen(&self) -> String {
        let bytes = self.screen.lock().expect("nobody panics with the lock");
        without_escapes(&String::from_utf8_lossy(&bytes))
    }

    /// Waits for the command's end, at most 60 s. Returns its exit code and all it showed.
    #[track_caller]
    pub fn finish(mut self) -> (i32, String) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.script.try_wait().expect("a child can be waited for") {
                // The reader may still hold the last bytes.
                thread::sleep(Duration::from_millis(50));
                return (status.code().unwrap_or(-1), self.screen());
            }
            let screen = self.screen();
            assert!(Instant::now() < deadline, "still running, the terminal shows:\n{screen}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The terminal goes away, as when a connection is lost. Returns what it had shown once the command
    /// has ended too.
    #[track_caller]
    pub fn close(mut self) -> String {
        let inside = ending::children_of(self.script.id());
        self.script.kill().expect("a child can be killed");
        self.script.wait().expect("a child can be waited for");
        super::wait_until("the command notices that its terminal is gone", || {
            !inside.iter().any(|&pid| ending::alive(pid))
        });
        self.screen()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.script.kill().ok();
        self.script.wait().ok();
    }
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Removes CSI sequences and carriage returns.
fn without_escapes(text: &str) -> String {
    let mut plain = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\x1b' if characters.next_if_eq(&'[').is_some() => {
                characters.by_ref().find(|c| ('@'..='~').contains(c));
            }
            '\r' => {}
            other => plain.push(other),
        }
    }
    plain
}
