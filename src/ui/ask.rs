//! Questions on a terminal.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use super::Ui;

/// Why a question was not answered. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// There is nobody to ask.
    #[error("{0:?} needs an answer and there is no terminal to ask on")]
    NoTerminal(String),
    /// The terminal was closed at the prompt.
    #[error("the terminal was closed at the question")]
    Closed,
}

/// Asks a yes-or-no question; Enter takes `default`.
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

/// Whether there is somebody to ask.
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
