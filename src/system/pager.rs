//! The user's pager.

use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Shows `text` in a pager, which takes this process's place: so Ctrl-C is the pager's alone, and nothing
/// waits for it. `pager` is a line for the shell and must be the user's own. Returns only when it failed.
pub fn show(pager: &str, text: &[u8]) -> io::Error {
    let file = match unnamed(text) {
        Ok(file) => file,
        Err(error) => return error,
    };
    let mut command = Command::new("sh");
    command.args(["-c", pager]).stdin(file);
    // What git sets for its pager: leave short texts on the screen, show colours.
    for (name, value) in [("LESS", "FRX"), ("LV", "-c")] {
        if std::env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
    command.exec()
}

/// A file without a name that holds `text`, at its beginning.
fn unnamed(text: &[u8]) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(text)?;
    file.rewind()?;
    Ok(file)
}
