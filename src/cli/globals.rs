//! The options of every command.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::system::text::quoted;
use crate::ui::Address;

/// The heading under which they are shown, so that a verb's own options stand by themselves.
const EVERYWHERE: &str = "Global options";

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub struct Globals {
    /// Print the result as one JSON document on stdout
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(super) json: bool,
    /// Print progress as JSON on stdout, a line for each event; the result is the last line
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(super) json_lines: bool,
    /// Print no progress on stderr; errors are still printed
    #[arg(long, short, global = true, help_heading = EVERYWHERE)]
    pub(super) quiet: bool,
    /// Log each command and each ref update to stderr; -vv logs more
    #[arg(long, short, action = clap::ArgAction::Count, global = true, help_heading = EVERYWHERE)]
    pub(super) verbose: u8,
    /// Work on the checkout at DIR
    #[arg(short = 'C', value_name = "DIR", global = true, help_heading = EVERYWHERE)]
    pub(super) dir: Option<PathBuf>,
    /// Work on the app NAME of this host, e.g. shop or shop/staging
    #[arg(long, value_name = "NAME", conflicts_with = "dir", global = true, help_heading = EVERYWHERE)]
    pub(super) app: Option<String>,
    /// Wait up to this long for another gitroll command to finish, e.g. 60s
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = duration_or_seconds,
        global = true,
        help_heading = EVERYWHERE
    )]
    pub(super) wait: Option<Duration>,
}

impl Globals {
    /// Leaves a working directory that does not exist any more, where the checkout is named: nothing can be found from
    /// there, not even by its full path.
    pub(super) fn leave_what_is_gone(&self) {
        if let (Err(_), Some(dir)) = (std::env::current_dir(), &self.dir)
            && dir.is_absolute()
        {
            // Where this fails as well, opening the repository says why.
            drop(std::env::set_current_dir(dir));
        }
    }

    /// How the checkout was named, for commands that are typed where the caller stands.
    pub(super) fn address(&self) -> Option<Address> {
        let dir = quoted(&self.dir.as_ref()?.display().to_string())?;
        let option = match &self.app {
            Some(name) => format!("--app {}", quoted(name)?),
            None => format!("-C {dir}"),
        };
        Some(Address { option, dir })
    }
}

/// `60s`, `2m`, or a bare number of seconds.
fn duration_or_seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => crate::config::duration(text),
    }
}
