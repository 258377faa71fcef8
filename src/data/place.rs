//! The host that data is copied on: where the app is, and how its tools are started.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::{Binding, FilePlace};
use crate::system::process::Invocation;
use crate::system::signals::Until;
use crate::system::user::Account;

/// Where the app and its tools are.
#[derive(Debug, Clone)]
pub struct Host {
    /// The live tree.
    pub top: PathBuf,
    /// `PATH` of the tools.
    pub path_variable: String,
    /// The home of the user who runs them.
    pub home: PathBuf,
    /// What one command may take.
    pub limit: Duration,
    /// When a command is ended although it could go on.
    pub until: Until,
}

impl Host {
    /// The host of a bound checkout.
    pub fn of(binding: &Binding, top: &Path, limit: Duration) -> Self {
        Self {
            top: top.to_owned(),
            path_variable: binding.path_variable.clone(),
            home: Account::current().home,
            limit,
            until: Until::Stopped,
        }
    }

    /// The file that a place means.
    pub fn path(&self, place: &FilePlace) -> PathBuf {
        match place {
            FilePlace::Tree(path) => self.top.join(path.as_path()),
            FilePlace::Host(path) => path.clone(),
        }
    }

    /// Where a file is below its item in a point.
    pub fn in_point(&self, place: &FilePlace) -> PathBuf {
        in_point(place)
    }

    /// As [`Host::path`], where no symbolic link leads there: what is copied must be what is restored.
    pub(super) fn plain_path(&self, place: &FilePlace) -> Result<PathBuf, String> {
        let path = self.path(place);
        let found =
            path.symlink_metadata().map_err(|error| format!("{}: {error}", path.display()))?;
        if found.is_symlink() {
            let target = std::fs::canonicalize(&path).unwrap_or_default();
            return Err(format!(
                "{} is a symbolic link: name {} in gitroll.toml",
                path.display(),
                target.display()
            ));
        }
        if let FilePlace::Tree(_) = place {
            let above = path.parent().and_then(|above| std::fs::canonicalize(above).ok());
            let top = std::fs::canonicalize(&self.top).ok();
            if !above.zip(top).is_some_and(|(above, top)| above.starts_with(top)) {
                return Err(format!(
                    "{}: a symbolic link leads out of the app: name the full path",
                    path.display()
                ));
            }
        }
        Ok(path)
    }

    /// A tool, with an environment of its own: nothing of the caller's session but how to find and to speak.
    pub(super) fn tool(&self, program: &str, args: &[&str]) -> Invocation {
        let mut tool = Invocation::new(program, &self.top);
        tool.args = args.iter().map(OsString::from).collect();
        tool.limit = self.limit;
        tool.until = self.until;
        tool.env = self.variables();
        tool
    }

    /// A command of the team's own, at the top of the tree.
    pub(super) fn command(&self, argv: &[String], directory: &Path) -> Invocation {
        let args: Vec<&str> = argv.iter().skip(1).map(String::as_str).collect();
        let mut tool = self.tool(argv.first().map_or("", String::as_str), &args);
        tool.env.insert("GITROLL_DATA_DIR".into(), directory.into());
        tool
    }

    fn variables(&self) -> BTreeMap<OsString, OsString> {
        [
            ("PATH", OsString::from(&self.path_variable)),
            ("HOME", OsString::from(&self.home)),
            ("LC_ALL", OsString::from("C.UTF-8")),
        ]
        .into_iter()
        .map(|(name, value)| (OsString::from(name), value))
        .collect()
    }
}

/// Where a place is put in a point: `tree/…` and `host/…` never meet.
pub(super) fn in_point(place: &FilePlace) -> PathBuf {
    match place {
        FilePlace::Tree(path) => Path::new("tree").join(path.as_path()),
        FilePlace::Host(path) => Path::new("host").join(path.strip_prefix("/").unwrap_or(path)),
    }
}
