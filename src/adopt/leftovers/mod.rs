//! Commands from before gitroll that still deploy this app: in crontabs, systemd units, scripts, hooks and
//! CI files. Each would move the tree or reload services behind gitroll's back.
//!
//! Looking reads files and lists the user's crontab; it executes nothing that it finds. Everything read here
//! is somebody else's text: escape it before it is shown.

mod ci;
mod command;
mod cron;
mod read;
mod rewrite;
mod script;
mod shell;
#[cfg(test)]
mod tests;
mod unit;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use crate::config::{Config, Manager, UpstreamBranch};
use crate::site::Site;
use crate::system::process;
use crate::system::user::Account;

/// A line that deploys the app past gitroll.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Leftover {
    /// The file: relative to the tree where it lies in it. `crontab -l` for the user's own crontab.
    pub place: String,
    /// The number of the (first) line, from 1.
    pub line: Option<usize>,
    /// The line as it is, bytes that are no text replaced; continued lines joined.
    pub text: String,
    /// The line to put in its place; `None`: remove it, what it did is done by another line's replacement.
    pub replacement: Option<String>,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Each line, by place; at most [`MOST`].
    pub found: Vec<Leftover>,
    /// Files that might hold more and could not be read, or are far too large: the path and why.
    pub unread: Vec<String>,
}

/// More lines than this are not listed: nobody reads on.
pub const MOST: usize = 100;

/// Where a host keeps what runs by itself.
#[derive(Debug, Clone)]
pub struct Places {
    /// `/etc`
    pub etc: PathBuf,
    /// Where crontabs of users lie: `/var/spool/cron/crontabs`.
    pub spool: PathBuf,
    /// The user's home directory.
    pub home: PathBuf,
    /// `crontab`, which may read what this user may not.
    pub crontab: Option<PathBuf>,
}

/// The app whose deploys are looked for.
#[derive(Debug, Clone)]
pub struct App {
    /// Its tree.
    pub top: PathBuf,
    /// Its git directory.
    pub git_dir: PathBuf,
    /// Its name.
    pub name: String,
    /// What `gitroll deploy` takes by itself.
    pub upstream: Option<UpstreamBranch>,
    /// Its services, and the pm2 app each runs as.
    pub services: Vec<(String, Option<String>)>,
    /// The user it runs as.
    pub user: String,
    /// The host's name.
    pub host: String,
    /// gitroll, as cron and systemd must call it: they search few directories.
    pub program: String,
}

impl Leftovers {
    /// Those of a site on this host, with `config` as its configuration.
    pub fn of(site: &Site, config: &Config) -> Self {
        let account = Account::named(&site.binding.run_as).unwrap_or_else(Account::current);
        let path = &site.binding.path_variable;
        let places = Places {
            etc: "/etc".into(),
            spool: "/var/spool/cron/crontabs".into(),
            crontab: process::find_program(Path::new("crontab"), path),
            home: account.home,
        };
        Self::find(&App::of(site, config), &places)
    }

    /// Looks in the tree and in `places`.
    pub fn find(app: &App, places: &Places) -> Self {
        let mut search = Search { app, places, found: BTreeSet::new(), unread: BTreeSet::new() };
        cron::search(&mut search);
        unit::search(&mut search);
        script::search(&mut search);
        ci::search(&mut search);
        Self {
            found: search.found.into_iter().take(MOST).collect(),
            unread: search.unread.into_iter().collect(),
        }
    }
}

impl App {
    fn of(site: &Site, config: &Config) -> Self {
        let pm2 = |manager: &Manager| match manager {
            Manager::Pm2 { app } => Some(app.clone()),
            Manager::Systemd { unit, .. } => Some(unit.clone()),
            _ => None,
        };
        let own = std::env::current_exe().ok();
        let found = |dir: &&str| Path::new(dir).join("gitroll").is_file();
        let program = match ["/usr/bin", "/bin"].iter().any(found) {
            true => None,
            false => own.filter(|path| path.file_name().is_some_and(|name| name == "gitroll")),
        };
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            top: site.top().to_owned(),
            git_dir: site.git.git_dir().to_owned(),
            name: config.app.name.to_string(),
            upstream: config.deploy.upstream.clone(),
            services: config
                .services
                .iter()
                .map(|service| (service.name.to_string(), pm2(&service.manager)))
                .collect(),
            user: site.binding.run_as.clone(),
            host: host.trim().to_owned(),
            program: program.map_or_else(|| "gitroll".to_owned(), |path| spelled(&path)),
        }
    }

    /// The top of the tree as a word of shell.
    fn spelled_top(&self) -> String {
        spelled(&self.top)
    }

    /// `revision`, unless that is what `gitroll deploy` takes without being told.
    fn unless_followed(&self, revision: &str) -> Option<String> {
        let plain = revision.trim_matches(['"', '\'']);
        let own = |upstream: &UpstreamBranch| {
            plain == upstream.branch || plain == format!("{}/{}", upstream.remote, upstream.branch)
        };
        let usual = || matches!(plain.rsplit('/').next(), Some("main" | "master"));
        let followed = self.upstream.as_ref().map_or_else(usual, own);
        let relative = ["HEAD", "FETCH_HEAD", "@{u}", "@{upstream}", "-", "@"].contains(&plain);
        (!followed && !relative).then(|| revision.to_owned())
    }

    /// The service that runs as this pm2 app.
    fn service_of(&self, pm2: &str) -> Option<String> {
        let known = |(_, app): &&(String, Option<String>)| app.as_deref() == Some(pm2);
        self.services.iter().find(known).map(|(service, _)| service.clone())
    }

    fn is_named(&self, name: &str) -> bool {
        let bare = |unit: &String| unit.trim_end_matches(".service") == name;
        self.name == name
            || self.services.iter().any(|(s, app)| s == name || app.as_ref().is_some_and(bare))
    }
}

/// A search on its way.
struct Search<'a> {
    app: &'a App,
    places: &'a Places,
    found: BTreeSet<Leftover>,
    unread: BTreeSet<String>,
}

impl Search<'_> {
    fn add(&mut self, place: &str, line: Option<usize>, text: &str, replacement: Option<String>) {
        let (place, text) = (place.to_owned(), text.trim_end().to_owned());
        let line_of = |known: &Leftover| known.place == place && known.line == line;
        if line.is_none() || !self.found.iter().any(line_of) {
            self.found.insert(Leftover { place, line, text, replacement });
        }
    }

    /// How a file is called: by its path in the tree, else by its whole path.
    fn place_of(&self, path: &Path) -> String {
        path.strip_prefix(&self.app.top).unwrap_or(path).display().to_string()
    }

    /// Whether `text` names the app's directory, or one below it.
    fn names_app(&self, text: &str) -> bool {
        let top = self.app.top.display().to_string();
        let mut spellings = vec![top];
        if let Ok(below) = self.app.top.strip_prefix(&self.places.home) {
            let below = below.display();
            spellings.extend([format!("~/{below}"), format!("$HOME/{below}")]);
            spellings.push(format!("${{HOME}}/{below}"));
        }
        spellings.iter().any(|spelling| names_path(text, spelling)) || self.enters_app(text)
    }

    /// Whether a `cd` of it leads into the app, through links or from the home directory.
    fn enters_app(&self, text: &str) -> bool {
        let entered = |command: shell::Command<'_>| {
            let parsed = command::Parsed::of(command, self.app);
            let (command::Part::Enter(dir) | command::Part::Move { dir: Some(dir), .. }) =
                parsed.part
            else {
                return false;
            };
            let dir = self.places.home.join(dir);
            dir.canonicalize().is_ok_and(|dir| dir.starts_with(&self.app.top))
        };
        shell::split(text).into_iter().any(entered)
    }

    /// Whether it reloads one of the app's own pm2 apps.
    fn reloads_app(&self, text: &str) -> bool {
        let reloads = |command: shell::Command<'_>| {
            matches!(command::Parsed::of(command, self.app).part,
                command::Part::Reload(name) if self.app.service_of(&name).is_some())
        };
        shell::split(text).into_iter().any(reloads)
    }
}

/// Whether `path` stands in `text` as a whole: `/srv/shop` is not in `/srv/shop2`, nor in `/srv/shop.old`.
fn names_path(text: &str, path: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || "._-".contains(c);
    text.match_indices(path).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + path.len()..].chars().next();
        !before.is_some_and(|c| part(c) || c == '/') && !after.is_some_and(part)
    })
}

/// A path as a word of shell.
fn spelled(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+@:,".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
