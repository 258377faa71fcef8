//! The guard of a server's bare repository: what `pre-receive` takes and what it refuses. And what a person's own
//! clone says before a push.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::caller::Caller;
use super::failure::Failure;
use super::session::Session;
use crate::config::{self, Binding};
use crate::ledger::{self, CHAINS, History, PushedRef, check_pushed, only_adds};
use crate::model::Oid;
use crate::plan::holds;
use crate::plan::names::stable_matcher;
use crate::site::hooks::Server;
use crate::system::files;
use crate::system::git::Git;

/// What a push comes to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Why it is refused, a sentence each.
    pub refused: Vec<String>,
    /// What the pusher should know, where it is not.
    pub warning: Option<String>,
}

/// Looks at a push before it leaves this checkout: `lines` are those that git gives `pre-push`.
///
/// # Errors
/// When the checkout cannot be opened, or its records cannot be read.
pub fn before_push(caller: &Caller, lines: &str) -> Result<Verdict, Failure> {
    let pushed = lines.lines().filter_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let [.., new, name, old] = words[..] else { return None };
        Some(pushed_ref(old, new, name))
    });
    let pushed: Vec<PushedRef> = pushed.collect();
    let session = Session::look(caller)?;
    let site = &session.site;
    let ledger = site.ledger().map_err(Failure::from);
    let own = ledger.as_ref().ok().and_then(|l| l.chains.get(&site.binding.writer)?.entries.last());
    let accepted = own.and_then(|last| ledger::config(&site.git, last).ok());
    let accepted = accepted.and_then(|text| config::parse(&text, "gitroll.toml").ok());
    let pattern = accepted.map_or_else(|| USUAL.to_owned(), |config| config.stable.pattern);
    let stable = matches(&pattern);
    let mut verdict = Verdict::default();
    for pushed in &pushed {
        if let Err(why) = only_adds(pushed, &stable).and_then(|()| only_forward(&site.git, pushed))
        {
            verdict.refused.push(why);
        }
    }
    let Ok(ledger) = ledger else { return Ok(verdict) };
    let history = History::of(&ledger, Some(&site.binding.writer));
    for PushedRef { name, new, .. } in &pushed {
        let Some(new) = new.as_ref().filter(|_| name.starts_with("refs/heads/")) else { continue };
        if let Some(held) = holds::stopping(site, &history, new)?.held.first() {
            let branch = name.trim_start_matches("refs/heads/");
            verdict.warning = Some(format!(
                "{branch} contains {}, which is held (#{}): gitroll deploy refuses it",
                held.subject.short(),
                held.seq
            ));
        }
    }
    Ok(verdict)
}

/// A chain that is pushed over another one loses records.
fn only_forward(git: &Git, pushed: &PushedRef) -> Result<(), String> {
    let PushedRef { name, old: Some(old), new: Some(new) } = pushed else { return Ok(()) };
    let forward = || git.has(old) && git.contains(new, old).unwrap_or(false);
    match name.starts_with("refs/gitroll/") && name.contains("/ledger/") && !forward() {
        true => Err(format!(
            "{name} is the history of a host: it only grows, and the remote has records that are not here"
        )),
        false => Ok(()),
    }
}

/// Judges a push that a bare repository is about to take: `lines` are those that git gives `pre-receive`.
///
/// # Errors
/// When the server's own files cannot be read: then nothing is taken.
pub fn receive(dir: &Path, lines: &str) -> Result<Vec<String>, String> {
    let server = Server::at(dir).ok_or("its guard is no longer installed here")?;
    let place = server.dir.display();
    if let Some(problem) =
        files::open_to_others(&server.dir).map_err(|error| format!("{place}: {error}"))?
    {
        return Err(format!("{place}: {problem}"));
    }
    let binding = Binding::of_server(&server.dir);
    closed_to_others(&server.trust_file(), true)?;
    closed_to_others(&binding.roles_file(), false)?;
    closed_to_others(&binding.revoked_file(), false)?;
    let pushed = lines.lines().filter_map(|line| {
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        let [old, new, name] = words[..] else { return None };
        Some(pushed_ref(old, new, name))
    });
    let stable = matches(&server.stable);
    let view = tempfile::tempdir().map_err(|error| error.to_string())?;
    let git = view_of(&server, view.path())?;
    let there = refs_of_server(&git, CHAINS)?;
    let judge = |pushed| check_pushed(&git, &binding, &pushed, &there, &stable).err();
    Ok(pushed.filter_map(judge).collect())
}

/// What decides who is trusted is written by the server's account alone.
fn closed_to_others(path: &Path, needed: bool) -> Result<(), String> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound && !needed => Ok(()),
        Err(error) => Err(format!("{}: {error}", path.display())),
        Ok(meta) if !meta.is_file() || meta.mode() & 0o022 != 0 => {
            Err(format!("{}: others may write it", path.display()))
        }
        Ok(_) => Ok(()),
    }
}

/// What the server's repository is called in a view of it.
const SERVER: &str = "server";

/// A repository on this disk answers at once.
const LIMIT: Duration = Duration::from_secs(60);

/// The refs of the server's repository that match a pattern, wherever git keeps them.
///
/// # Errors
/// What git says.
pub(super) fn refs_of_server(view: &Git, pattern: &str) -> Result<Vec<(String, Oid)>, String> {
    let found = view.remote_refs_like(SERVER, &[pattern.to_owned()], LIMIT);
    found.map_err(|error| error.to_string())
}

/// A repository without refs that has the objects of the server's and those that are just pushed, and calls the server's
/// [`SERVER`].
///
/// # Errors
/// When it cannot be made.
pub(super) fn view_of(server: &Server, view: &Path) -> Result<Git, String> {
    let io = |error: std::io::Error| error.to_string();
    let git_dir = view.join(".git");
    for dir in ["objects/info", "refs/heads"] {
        std::fs::create_dir_all(git_dir.join(dir)).map_err(io)?;
    }
    let absolute = |path: PathBuf| std::path::absolute(server.git_dir().join(path)).map_err(io);
    let mut places = vec![absolute(PathBuf::from("objects"))?];
    // Until they are taken, pushed objects lie apart.
    for name in ["GIT_OBJECT_DIRECTORY", "GIT_QUARANTINE_PATH"] {
        if let Some(place) = std::env::var_os(name) {
            places.push(absolute(PathBuf::from(place))?);
        }
    }
    places.dedup();
    let lines: String = places.iter().map(|place| format!("{}\n", place.display())).collect();
    std::fs::write(git_dir.join("objects/info/alternates"), lines).map_err(io)?;
    std::fs::write(git_dir.join("HEAD"), "ref: refs/heads/main\n").map_err(io)?;
    let format = match server.sha256() {
        true => "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tobjectFormat = sha256\n",
        false => "[core]\n\trepositoryformatversion = 0\n",
    };
    let url = server.git_dir().display().to_string().replace('\\', "\\\\").replace('"', "\\\"");
    let config = format!("{format}[remote \"{SERVER}\"]\n\turl = \"{url}\"\n");
    std::fs::write(git_dir.join("config"), config).map_err(io)?;
    Git::open(view, None).map_err(|error| error.to_string())
}

/// The pattern of stable tags if nobody says another.
pub const USUAL: &str = "*-stable";

fn matches(pattern: &str) -> impl Fn(&str) -> bool + use<> {
    let matcher = stable_matcher(pattern).or_else(|| stable_matcher(USUAL));
    move |tag| matcher.as_ref().is_some_and(|matcher| matcher.is_match(tag))
}

fn pushed_ref(old: &str, new: &str, name: &str) -> PushedRef {
    let id = |text: &str| text.parse::<Oid>().ok().filter(|_| text.bytes().any(|b| b != b'0'));
    PushedRef { name: name.to_owned(), old: id(old), new: id(new) }
}
