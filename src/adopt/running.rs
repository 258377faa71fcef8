//! What runs in a work tree: who listens where, what someone started by hand, and which server in front of everything
//! hands out its files.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::recipe::{Run, Start, spelled};
use super::work_tree::WorkTree;
use crate::check::{self, HttpRequest, is_front_on};
use crate::system::files;
use crate::system::procs;
use crate::system::sockets::{self, Place};

/// A process that listens and that no manager runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByHand {
    /// Its number.
    pub pid: u32,
    /// When it was started.
    pub since: Option<jiff::Timestamp>,
    /// What it runs, as gitroll would start it.
    pub run: Run,
}

/// Files of the tree that a server of their own hands out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    /// The directory they lie in, empty at the top.
    pub root: String,
    /// Where a server answers with them; `None` if none was found.
    pub url: Option<String>,
}

/// Where processes that work in the tree or below it listen, and what they started; only those that `counts` takes.
/// Each port once.
pub(super) fn listening(top: &Path, counts: &dyn Fn(u32) -> bool) -> Vec<SocketAddr> {
    let Ok(top) = top.canonicalize() else { return Vec::new() };
    let here = |pid: &u32| procs::working_directory(*pid).is_some_and(|dir| dir.starts_with(&top));
    let running = procs::running().into_iter().filter(|pid| here(pid) && counts(*pid));
    let held: BTreeSet<u64> = running
        .flat_map(procs::family)
        .flat_map(|pid| sockets::held_by(pid).unwrap_or_default())
        .collect();
    let mut found: BTreeMap<u16, SocketAddr> = BTreeMap::new();
    for socket in sockets::listening().into_iter().filter(|socket| held.contains(&socket.inode)) {
        if let Place::Tcp(at) = socket.place
            && !DEBUGGER.contains(&at.port())
        {
            found.entry(at.port()).or_insert(at);
        }
    }
    found.into_values().map(reachable).collect()
}

/// The most that is read of a page that is compared with what is served.
const MOST_PAGE: u64 = 4 << 20;

/// The ports of node's debugger.
const DEBUGGER: RangeInclusive<u16> = 9229..=9239;

/// Where a socket is reached from this host.
fn reachable(at: SocketAddr) -> SocketAddr {
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, at.port()));
    match at.ip() {
        ip if !ip.is_unspecified() => at,
        IpAddr::V6(_) if !check::accepts(v4) => SocketAddr::from((Ipv6Addr::LOCALHOST, at.port())),
        _ => v4,
    }
}

fn port_of(place: &Place) -> Option<u16> {
    match place {
        Place::Tcp(at) => Some(at.port()),
        _ => None,
    }
}

/// Whether pm2 runs it.
pub(super) fn is_of_pm2(pid: u32) -> bool {
    procs::environment(pid).is_some_and(|env| env.contains_key(OsStr::new("pm_id")))
}

/// The program of the tree that one of these processes runs, from where the tree begins; scripts have none.
pub(super) fn program_of(top: &Path, pids: &[u32]) -> Option<String> {
    let top = top.canonicalize().ok()?;
    let link = |pid: &u32| std::fs::read_link(format!("/proc/{pid}/exe")).ok();
    let own = |exe: PathBuf| {
        let path = exe.strip_prefix(&top).ok()?.to_str()?.to_owned();
        Some(path.trim_end_matches(" (deleted)").to_owned())
    };
    pids.iter().filter_map(link).find_map(own)
}

/// Those that listen in the tree although neither pm2 nor a unit nor gitroll runs them.
pub(super) fn by_hand(top: &Path) -> Vec<ByHand> {
    let Ok(top) = top.canonicalize() else { return Vec::new() };
    let ours = procs::family(std::process::id());
    let there = |pid: u32| procs::working_directory(pid).is_some_and(|dir| dir.starts_with(&top));
    let managed = |pid: u32| {
        let marks = ["pm_id", "GITROLL_SERVICE", "INVOCATION_ID"].map(OsStr::new);
        procs::environment(pid).is_none_or(|env| marks.iter().any(|mark| env.contains_key(*mark)))
    };
    let listening: BTreeMap<u64, u16> = sockets::listening()
        .into_iter()
        .filter_map(|socket| Some((socket.inode, port_of(&socket.place)?)))
        .filter(|(_, port)| !DEBUGGER.contains(port))
        .collect();
    let mut found: Vec<ByHand> = Vec::new();
    for pid in procs::running() {
        if ours.contains(&pid) || !there(pid) {
            continue;
        }
        let held = sockets::held_by(pid).unwrap_or_default();
        let ports: Vec<u16> =
            held.iter().filter_map(|inode| listening.get(inode).copied()).collect();
        let Some(port) = ports.iter().min().copied().filter(|_| !managed(pid)) else { continue };
        // Workers hold the socket of the process that started them.
        let shares = |other: u32| {
            there(other)
                && sockets::held_by(other).unwrap_or_default().intersection(&held).next().is_some()
        };
        if procs::parent(pid).is_some_and(shares)
            || found.iter().any(|other| other.run.port == Some(port))
        {
            continue;
        }
        let Some(command) = command_of(&top, pid) else { continue };
        found.push(ByHand {
            pid,
            since: procs::started_at(pid),
            run: Run {
                name: "web".to_owned(),
                notes: Vec::new(),
                start: Start { command, env: BTreeMap::new() },
                port: Some(port),
            },
        });
    }
    found
}

/// What a process was started with, its paths below the tree from where that begins. `None` if it changed its title.
fn command_of(top: &Path, pid: u32) -> Option<Vec<String>> {
    let words = procs::command_line(pid)?;
    let words: Option<Vec<String>> =
        words.into_iter().map(|word| word.into_string().ok()).collect();
    let words = words.filter(|words| words.iter().all(|word| !word.is_empty()))?;
    let first = words.first()?;
    let changed = first.contains(": ") || (words.len() == 1 && first.contains(' '));
    let below = |word: String| {
        let rest =
            Path::new(&word).strip_prefix(top).ok().and_then(Path::to_str).map(str::to_owned);
        rest.filter(|rest| !rest.is_empty()).unwrap_or(word)
    };
    let mut words: Vec<String> = (!changed).then(|| words.into_iter().map(below).collect())?;
    // A program of the tree is found only by a path.
    if words[0].contains('/') && !words[0].starts_with(['/', '.']) {
        words[0] = format!("./{}", words[0]);
    }
    let dir = procs::working_directory(pid)?;
    let dir = dir.strip_prefix(top).ok()?.to_str()?.to_owned();
    Some(match dir.is_empty() {
        true => words,
        false => {
            vec!["sh".to_owned(), "-c".to_owned(), format!("cd {dir} && exec {}", spelled(&words))]
        }
    })
}

/// Directories that hold a site, from the one that says most.
const ROOTS: [&str; 11] =
    ["dist", "build", "out", "_site", "public", "www", "htdocs", "html", "site", "web", ""];

/// The most servers that are asked.
const MOST_ASKED: usize = 12;

/// The directory with an `index.html`, and the server of this host that answers with the very same bytes. `made` are the
/// directories that builds make.
pub(super) fn site(tree: &WorkTree<'_>, made: &[String]) -> Option<Site> {
    let index = |root: &str| {
        if root.is_empty() { "index.html".to_owned() } else { format!("{root}/index.html") }
    };
    let roots: Vec<String> = made
        .iter()
        .map(String::as_str)
        .chain(ROOTS)
        .map(str::to_owned)
        .filter(|root| tree.is_file(&index(root)))
        .collect();
    let first = roots.first()?.clone();
    let pages: Vec<(String, Vec<u8>)> = roots
        .into_iter()
        .filter_map(|root| {
            Some((root.clone(), files::read_plain(&tree.top.join(index(&root)), MOST_PAGE).ok()?))
        })
        .filter(|(_, page)| !page.is_empty())
        .collect();
    for server in fronts() {
        let url = format!("{server}/");
        let Some(body) = body_at(&url) else { continue };
        if let Some((root, _)) = pages.iter().find(|(_, page)| *page == body) {
            return Some(Site { root: root.clone(), url: Some(url) });
        }
    }
    Some(Site { root: first, url: None })
}

/// Where a proxy of this host answers the same as the app itself does at its health URL: what users reach.
pub(super) fn through_a_front(health: &str) -> Option<String> {
    let (_, place) = health.split_once("://")?;
    let (authority, path) = place.split_at(place.find('/')?);
    let itself = body_at(health)?;
    // Numbers and times may differ from one answer to the next.
    let fields = |body: &[u8]| -> Option<BTreeMap<String, Option<String>>> {
        let json: serde_json::Value = serde_json::from_slice(body).ok()?;
        let lasting = |value: &serde_json::Value| {
            let text = value.as_str().filter(|text| text.parse::<jiff::Timestamp>().is_err());
            text.map(str::to_owned)
        };
        let all = json.as_object()?.iter();
        Some(all.map(|(name, value)| (name.clone(), lasting(value))).collect())
    };
    let same = |body: &[u8]| {
        (!body.is_empty() && *body == *itself)
            || fields(body).is_some_and(|found| !found.is_empty() && Some(found) == fields(&itself))
    };
    let others = fronts().into_iter().filter(|server| !server.ends_with(authority));
    others
        .map(|server| format!("{server}{path}"))
        .find(|url| body_at(url).is_some_and(|b| same(&b)))
}

/// The web servers and proxies of this host, each as the beginning of a URL.
fn fronts() -> Vec<String> {
    let mut ports: BTreeSet<u16> =
        sockets::listening().iter().filter_map(|socket| port_of(&socket.place)).collect();
    ports.retain(|port| is_front_on(*port) || matches!(*port, 80 | 443 | 8080));
    let server = |port: u16| {
        let scheme = if port == 443 { "https" } else { "http" };
        let place = if matches!(port, 80 | 443) { String::new() } else { format!(":{port}") };
        format!("{scheme}://127.0.0.1{place}")
    };
    ports.into_iter().take(MOST_ASKED).map(server).collect()
}

/// The body of a 200 answer.
fn body_at(url: &str) -> Option<Vec<u8>> {
    let request = HttpRequest {
        method: "GET",
        url,
        headers: Vec::new(),
        bearer: None,
        body: None,
        limit: Duration::from_millis(1500),
        max_bytes: MOST_PAGE,
    };
    let answer = check::ask(&request).ok()?;
    (answer.status == 200).then_some(answer.body)
}
