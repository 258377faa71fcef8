//! Questions on a terminal.

use std::fmt;
use std::io::{self, BufRead as _, IsTerminal as _, Stderr, Stdin, Write};
use std::os::fd::{AsRawFd, RawFd};

use console::Term;
use dialoguer::theme::Theme;

use super::output::Ui;
use crate::system::text::escape;

/// Why a question was not answered. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// There is nobody to ask.
    #[error("{0:?} needs an answer, but there is no terminal")]
    NoTerminal(String),
    /// The terminal was closed at the prompt.
    #[error("the terminal was closed before the question was answered")]
    Closed,
}

/// Asks a yes-or-no question; Enter takes `default`.
///
/// Read by the line and not by `dialoguer::Confirm`, for which the last `y` or `n` in a line counts and nothing else:
/// "not yet" would be yes, and whatever has neither the default.
///
/// # Errors
/// See [`AskError`].
pub fn confirm(ui: &Ui, text: &str, default: bool) -> Result<bool, AskError> {
    let choices = if default { "[Y/n]" } else { "[y/N]" };
    loop {
        let answer = ask(ui, text, choices)?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "" => return Ok(default),
            "y" | "yes" => return Ok(true),
            "n" | "no" => return Ok(false),
            _ => ui.cry("Please answer y or n."),
        }
    }
}

/// Asks for a text; Enter takes `default`.
///
/// # Errors
/// See [`AskError`].
pub fn question(ui: &Ui, text: &str, default: &str) -> Result<String, AskError> {
    let answer = ask(ui, text, &format!("[{default}]"))?;
    let answer = answer.trim();
    Ok(if answer.is_empty() { default.to_owned() } else { answer.to_owned() })
}

/// Whether there is someone to ask.
pub fn can_ask(ui: &Ui) -> bool {
    io::stdin().is_terminal() && !ui.json
}

/// Asks for one of a few words, by its position; Enter takes the first.
///
/// # Errors
/// See [`AskError`].
pub fn choose(ui: &Ui, text: &str, words: &[&str]) -> Result<usize, AskError> {
    let choices = format!("[{}]", words.join("/"));
    loop {
        let answer = ask(ui, text, &choices)?;
        let answer = answer.trim().to_ascii_lowercase();
        if answer.is_empty() {
            return Ok(0);
        }
        let meant: Vec<usize> =
            (0..words.len()).filter(|index| words[*index].starts_with(&answer)).collect();
        let exact = words.iter().position(|word| *word == answer);
        match (exact, meant.as_slice()) {
            (Some(index), _) => return Ok(index),
            (None, [index]) => return Ok(*index),
            _ => ui.cry(&format!("Please answer {}.", words.join(" or "))),
        }
    }
}

/// Asks for a text until `validate` takes it; Enter takes `default`.
///
/// # Errors
/// See [`AskError`].
pub fn input(
    ui: &Ui,
    text: &str,
    default: &str,
    validate: impl Fn(&str) -> Result<(), String>,
) -> Result<String, AskError> {
    if !can_ask(ui) {
        return Err(AskError::NoTerminal(text.to_owned()));
    }
    let answer = dialoguer::Input::<String>::with_theme(&Plain)
        .with_prompt(text)
        .default(default.to_owned())
        .validate_with(|answer: &String| validate(answer.trim()))
        .interact_text_on(&Terminal::open());
    answer.map(|answer| answer.trim().to_owned()).map_err(|error| unanswered(text, error))
}

/// Lets a person choose one of `lines` with the arrow keys, by its position; Enter takes the first, Esc none.
///
/// # Errors
/// See [`AskError`].
#[allow(dead_code)]
pub fn select(ui: &Ui, text: &str, lines: &[String]) -> Result<Option<usize>, AskError> {
    if !can_ask(ui) {
        return Err(AskError::NoTerminal(text.to_owned()));
    }
    let chosen = dialoguer::Select::with_theme(&Plain)
        .with_prompt(text)
        .items(lines.iter().map(|line| escape(line)))
        .default(0)
        .interact_on_opt(&Terminal::open());
    chosen.map_err(|error| unanswered(text, error))
}

fn unanswered(text: &str, error: dialoguer::Error) -> AskError {
    let dialoguer::Error::IO(error) = error;
    match error.kind() {
        io::ErrorKind::NotConnected => AskError::NoTerminal(text.to_owned()),
        _ => AskError::Closed,
    }
}

fn ask(ui: &Ui, text: &str, choices: &str) -> Result<String, AskError> {
    if !can_ask(ui) {
        return Err(AskError::NoTerminal(text.to_owned()));
    }
    let mut stderr = io::stderr();
    let _ = write!(stderr, "{text} {choices} ");
    let _ = stderr.flush();
    let mut line = String::new();
    match io::stdin().lock().read_line(&mut line) {
        Ok(0) | Err(_) => {
            let _ = writeln!(stderr);
            Err(AskError::Closed)
        }
        Ok(_) => Ok(line),
    }
}

/// Questions as they look in the rest of this program.
struct Plain;

impl Theme for Plain {
    fn format_error(&self, f: &mut dyn fmt::Write, problem: &str) -> fmt::Result {
        write!(f, "{problem}")
    }

    fn format_input_prompt(
        &self,
        f: &mut dyn fmt::Write,
        prompt: &str,
        default: Option<&str>,
    ) -> fmt::Result {
        write!(f, "{prompt} [{}] ", default.unwrap_or_default())
    }

    fn format_input_prompt_selection(
        &self,
        f: &mut dyn fmt::Write,
        prompt: &str,
        answer: &str,
    ) -> fmt::Result {
        write!(f, "{prompt} {answer}")
    }

    fn format_select_prompt(&self, f: &mut dyn fmt::Write, prompt: &str) -> fmt::Result {
        write!(f, "{prompt}")
    }
}

/// stdin and stderr. Its cursor is never hidden: Ctrl-C ends this program at once, and a hidden one stayed so.
#[derive(Debug)]
struct Terminal(Stderr);

impl Terminal {
    fn open() -> Term {
        let stdin: Stdin = io::stdin();
        Term::read_write_pair(stdin, Self(io::stderr()))
    }
}

impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match bytes {
            b"\x1b[?25l" => Ok(bytes.len()),
            _ => self.0.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl AsRawFd for Terminal {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::print_stdout)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::process::{Command, Stdio};
    use std::time::Duration;

    use super::*;

    /// Says which question the copy of these tests asks that runs on a terminal.
    const QUESTION: &str = "GITROLL_TEST_QUESTION";

    /// What the terminal shows of a question, for these keys one after another.
    fn on_a_terminal(question: &str, keys: &[&str]) -> String {
        let own = std::env::current_exe().unwrap();
        let line = format!("exec {} --exact ui::ask::tests::asked --nocapture", own.display());
        let mut script = Command::new("script")
            .args(["--quiet", "--return", "--flush", "--command", &line, "/dev/null"])
            .env(QUESTION, question)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (mut keyboard, mut screen) =
            (script.stdin.take().unwrap(), script.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            let mut shown = Vec::new();
            screen.read_to_end(&mut shown).unwrap();
            String::from_utf8(shown).unwrap()
        });
        for key in keys {
            std::thread::sleep(Duration::from_millis(500));
            keyboard.write_all(key.as_bytes()).unwrap();
        }
        script.wait().unwrap();
        reader.join().unwrap()
    }

    #[test]
    fn asked() {
        let ui = Ui::new(false, false);
        match std::env::var(QUESTION).as_deref() {
            Ok("select") => {
                let lines = ["1.0.1", "1.0.0\u{1b}[2J", "0.9.0"].map(str::to_owned);
                println!("chosen {:?}", select(&ui, "Go back to which?", &lines));
            }
            Ok("input") => {
                let short = |text: &str| match text.len() {
                    0..=4 => Ok(()),
                    _ => Err("is longer than 4 bytes".to_owned()),
                };
                println!("answered {:?}", input(&ui, "Name?", "shop", short));
            }
            _ => {}
        }
    }

    #[test]
    fn one_of_several_lines_is_chosen_by_arrow_keys_and_none_by_escape() {
        let shown = on_a_terminal("select", &["\x1b[B", "\r"]);
        assert!(shown.contains("chosen Ok(Some(1))"), "{shown}");
        assert!(shown.contains("1.0.0\\u{1b}[2J"), "{shown}");
        let shown = on_a_terminal("select", &["\r"]);
        assert!(shown.contains("chosen Ok(Some(0))"), "{shown}");
        let shown = on_a_terminal("select", &["\x1b"]);
        assert!(shown.contains("chosen Ok(None)"), "{shown}");
    }

    #[test]
    fn ctrl_c_at_a_list_ends_this_program_and_leaves_the_cursor_visible() {
        let shown = on_a_terminal("select", &["\x03"]);
        assert!(shown.contains("Go back to which?") && !shown.contains("chosen"), "{shown}");
        assert!(!shown.contains("\x1b[?25l"), "{shown:?}");
    }

    #[test]
    fn a_text_is_asked_for_until_it_is_right_and_enter_takes_the_default() {
        let shown = on_a_terminal("input", &["grocer\r", "bar\r"]);
        assert!(
            shown.contains("Name? [shop]") && shown.contains("is longer than 4 bytes"),
            "{shown}"
        );
        assert!(shown.contains("answered Ok(\"bar\")"), "{shown}");
        let shown = on_a_terminal("input", &["\r"]);
        assert!(shown.contains("answered Ok(\"shop\")"), "{shown}");
    }

    #[test]
    fn without_a_terminal_nobody_is_asked() {
        let ui = Ui::new(true, false);
        let nobody = |text: &str| AskError::NoTerminal(text.to_owned());
        assert_eq!(input(&ui, "Name?", "shop", |_| Ok(())), Err(nobody("Name?")));
        assert_eq!(select(&ui, "Which?", &["a".to_owned()]), Err(nobody("Which?")));
    }
}
