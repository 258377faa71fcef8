//! The app whose deploys are looked for, and the names its deploys use.

use std::path::{Path, PathBuf};

use crate::config::{Config, Manager, UpstreamBranch};
use crate::site::Site;

#[derive(Debug, Clone)]
pub struct App {
    /// Its tree.
    pub top: PathBuf,
    pub git_dir: PathBuf,
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

impl App {
    pub(super) fn of(site: &Site, config: &Config) -> Self {
        let pm2 = |manager: &Manager| match manager {
            Manager::Pm2 { app, .. } => Some(app.clone()),
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
    pub(super) fn spelled_top(&self) -> String {
        spelled(&self.top)
    }

    /// `revision`, unless that is what `gitroll deploy` takes without being told.
    pub(super) fn unless_followed(&self, revision: &str) -> Option<String> {
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
    pub(super) fn service_of(&self, pm2: &str) -> Option<String> {
        let known = |(_, app): &&(String, Option<String>)| app.as_deref() == Some(pm2);
        self.services.iter().find(known).map(|(service, _)| service.clone())
    }

    pub(super) fn is_named(&self, name: &str) -> bool {
        let bare = |unit: &String| unit.trim_end_matches(".service") == name;
        self.name == name
            || self.services.iter().any(|(s, app)| s == name || app.as_ref().is_some_and(bare))
    }
}

/// A path as a word of shell.
fn spelled(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "/._-+@:,".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
