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

fn ask(ui: &Ui, text: &str, choices: &str) -> Result<String, AskError> {
    if !io::stdin().is_terminal() || ui.json {
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
