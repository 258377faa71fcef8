//! Who answers where the app should: the sockets of its services, the fronts before them, and strangers.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

pub(super) use crate::system::sockets::Place;

use crate::config::{Check, CheckKind, MetricSource};
use crate::model::CheckName;
use crate::service::{ServiceError, ServiceState};
use crate::system::procs::{self, ProcessId};
use crate::system::sockets::{self, ListeningSocket};
use crate::system::user::Account;

use super::expectation::{Listens, MustListen};
use super::http::{LOOPBACK, is_name_of_this_host, parse};
use super::judgement::shown;
use super::takeover::{Origin, Unnamed};

/// A service and what its manager said of it.
pub type ObservedService = (String, Result<ServiceState, ServiceError>);

/// Programs that stand before an app and pass on what they are asked. They are older than any release.
const FRONTS: [&str; 19] = [
    "nginx",
    "openresty",
    "angie",
    "haproxy",
    "docker-proxy",
    "rootlessport",
    "pasta",
    "slirp4netns",
    "systemd",
    "systemd-socket-proxyd",
    "caddy",
    "traefik",
    "envoy",
    "apache2",
    "httpd",
    "lighttpd",
    "varnishd",
    "hitch",
    "kube-proxy",
];

/// Whose a listener is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// It belongs to a service's processes, or may own their socket.
    Ours,
    /// A proxy: what is answered through it may come from anywhere.
    Front,
    /// No process of any service.
    Stranger,
    /// Nobody can tell: a manager names no processes, or the holder of the socket may not be seen.
    Unknown,
}

/// A process that accepts connections where a check asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listener {
    pub(super) pid: Option<u32>,
    /// The start of its program, in clock ticks since boot.
    pub(super) started: Option<u64>,
    pub(super) whose: Whose,
}

/// The listeners that each check reaches; `None` if it asks another host, or nobody is seen.
pub(super) type Sockets = Vec<Option<Vec<Listener>>>;

/// A process that listens where the app should, but does not belong to a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// What it took.
    pub at: Place,
    /// The check that it answers.
    pub check: Option<CheckName>,
    /// The service that listens there, where no check asks.
    pub service: Option<String>,
    /// `None` if this user may not see more of it than whose socket it is.
    pub pid: Option<u32>,
    /// What is known of it: command, and since when it runs.
    pub who: String,
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.check, &self.service) {
            (Some(check), _) => write!(f, "check {check}: ")?,
            (None, Some(service)) => write!(f, "service {service}: ")?,
            (None, None) => {}
        }
        write!(f, "{} listens on {} but does not belong to a service", self.who, self.at)
    }
}

/// What was seen of all listeners at one look.
#[derive(Debug, Clone, Default)]
pub(super) struct Answerers {
    pub(super) sockets: Sockets,
    pub(super) strangers: Vec<Stranger>,
    /// The services that do not listen where they must, with where.
    pub(super) silent: Vec<(String, String)>,
    /// Where each service listens.
    pub(super) listens: BTreeMap<String, Vec<Place>>,
    /// Who listens where checks ask and may be a service's own.
    pub(super) unnamed: Vec<Unnamed>,
}

impl From<Sockets> for Answerers {
    fn from(sockets: Sockets) -> Self {
        Self { sockets, ..Self::default() }
    }
}

/// Looks at all of them. `demanded`: strangers and what is older than a reload count.
pub(super) fn answerers(
    checks: &[Check],
    look: &[ObservedService],
    listens: &Listens,
    demanded: bool,
) -> Answerers {
    let seen = Seen::now(look, listens);
    let mut found = Answerers { silent: seen.silent(listens), ..Answerers::default() };
    if demanded {
        found.sockets = seen.sockets(checks, look);
        found.strangers = seen.strangers(checks, listens);
        found.unnamed = seen.unnamed(checks);
    }
    let asked = asked_ports(checks);
    for own in &seen.own {
        let named = listens.services.get(&own.service).map(|s| s.named.clone()).unwrap_or_default();
        let told = |heard: &&Heard| {
            let wanted = |port: u16| named.contains(&port) || asked.contains(&port);
            !heard.shared || heard.place.port().is_some_and(wanted)
        };
        let places: BTreeSet<Place> =
            own.heard.iter().filter(told).map(|heard| heard.place.clone()).collect();
        found.listens.insert(own.service.clone(), places.into_iter().collect());
    }
    found
}

/// What listens where the app should but does not belong to a service.
pub fn strangers(checks: &[Check], look: &[ObservedService], listens: &Listens) -> Vec<Stranger> {
    Seen::now(look, listens).strangers(checks, listens)
}

/// Who listens where checks ask the app on this host, besides the processes that managers name and fronts: the app's
/// own, where they name none.
pub fn unnamed(checks: &[Check], look: &[ObservedService]) -> Vec<ProcessId> {
    let states = || look.iter().filter_map(|(_, result)| result.as_ref().ok());
    let named: BTreeSet<u32> = states()
        .flat_map(|state| &state.processes)
        .flat_map(|process| procs::family(process.pid))
        .chain(states().flat_map(|state| state.socket_owners.clone()))
        .collect();
    let all = asked_ports(checks).into_iter().flat_map(sockets::listeners);
    let others = all.filter(|pid| !named.contains(pid) && !is_front(*pid));
    others.filter_map(ProcessId::of).collect()
}

/// The checks that ask the app on this host and reach a proxy only.
pub fn behind_fronts(
    checks: &[Check],
    look: &[ObservedService],
    listens: &Listens,
) -> Vec<CheckName> {
    let seen = Seen::now(look, listens);
    let behind = |check: &&Check| {
        asked_here(check).is_some_and(|asked| {
            let found = seen.reached(&asked);
            !found.is_empty() && found.iter().all(|(_, l)| l.whose == Whose::Front)
        })
    };
    checks.iter().filter(behind).map(|check| check.name.clone()).collect()
}

/// Whether a check asks the app itself, over a connection to this host.
pub(super) fn asks_on_this_host(check: &Check) -> bool {
    asked_here(check).is_some()
}

/// The ports of this host on which checks ask the app.
pub fn asked_ports(checks: &[Check]) -> BTreeSet<u16> {
    checks.iter().filter_map(|check| Some(asked_here(check)?.port)).collect()
}

/// The addresses of this host at which checks ask the app on a port.
pub fn asked_addresses(checks: &[Check], port: u16) -> BTreeSet<IpAddr> {
    let asked = checks.iter().filter_map(asked_here).filter(|asked| asked.port == port);
    asked.flat_map(|asked| asked.addresses).collect()
}

/// Whether who listens can be seen wherever checks ask the app on this host, and is no proxy: its age then shows which
/// version answers.
pub fn shows_its_socket(checks: &[Check]) -> bool {
    let ports = asked_ports(checks);
    let seen = |port: &u16| {
        let listeners = sockets::listeners(*port);
        !listeners.is_empty() && !listeners.into_iter().any(is_front)
    };
    !ports.is_empty() && ports.iter().all(seen)
}

/// Where each service listens and must continue listening, unless a release says otherwise. Ports that someone
/// asked the system for, whatever number, count only where it is the service's own process that did, or `asked`
/// says so.
pub fn listened(
    checks: &[Check],
    look: &[ObservedService],
    listens: &Listens,
) -> BTreeMap<String, MustListen> {
    let asked = asked_ports(checks);
    let mut must = BTreeMap::new();
    for own in Seen::now(look, listens).own {
        let named = listens.services.get(&own.service).map(|s| &s.named);
        let lasts = |heard: &&Heard| match heard.place.port() {
            Some(port) => {
                let known = named.is_some_and(|named| named.contains(&port));
                !heard.place.is_passing() || heard.direct || known || asked.contains(&port)
            }
            None => heard.direct,
        };
        let at: BTreeSet<Place> = own.heard.iter().filter(lasts).map(|h| h.place.clone()).collect();
        let somewhere = at.is_empty() && own.heard.iter().any(|heard| !heard.shared);
        if somewhere || !at.is_empty() {
            let at = at.into_iter().collect();
            must.insert(own.service, MustListen { at, somewhere, ports: Vec::new() });
        }
    }
    must
}

/// Where a check asks on this host.
struct Asked {
    addresses: Vec<IpAddr>,
    port: u16,
    http: bool,
}

/// Where a check asks the app itself on this host.
fn asked_here(check: &Check) -> Option<Asked> {
    match &check.kind {
        CheckKind::Http(http) if http.own => asked_by_url(&http.url, true),
        CheckKind::Tcp(tcp) if tcp.own => asked_at(&tcp.host, tcp.port, false),
        CheckKind::Metric(metric) if metric.own => {
            let (MetricSource::Prometheus { url, .. } | MetricSource::Json { url, .. }) =
                &metric.source;
            asked_by_url(url, false)
        }
        // What else is asked (a database, an exporter) was there before and may well stay.
        CheckKind::Http(_) | CheckKind::Tcp(_) | CheckKind::Metric(_) => None,
        CheckKind::Command(_) | CheckKind::Log(_) | CheckKind::File(_) => None,
    }
}

fn asked_by_url(url: &str, http: bool) -> Option<Asked> {
    let url = parse(url).ok()?;
    asked_at(url.host_str()?, url.port_or_known_default()?, http)
}

fn asked_at(host: &str, port: u16, http: bool) -> Option<Asked> {
    let addresses = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(address) => match address.to_canonical() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => vec![IpAddr::V6(Ipv6Addr::LOCALHOST)],
            address if sockets::is_own_address(address) => vec![address],
            _ => return None,
        },
        Err(_) if is_name_of_this_host(host) => LOOPBACK.to_vec(),
        Err(_) => return None,
    };
    Some(Asked { addresses, port, http })
}

/// Where a service was heard.
struct Heard {
    place: Place,
    inode: u64,
    /// A process that the manager names listens itself.
    direct: bool,
    /// By a process that may serve others too: pm2's daemon.
    shared: bool,
}

/// The processes and sockets of one service.
struct Own {
    service: String,
    pids: BTreeSet<u32>,
    users: BTreeSet<u32>,
    /// Those of the manager that may hold its socket.
    lenders: BTreeSet<u32>,
    /// Those themselves: pm2's daemon accepts for every app in cluster mode.
    passing: BTreeSet<u32>,
    heard: Vec<Heard>,
    /// All descriptors of its processes could be read.
    readable: bool,
}

/// All that listens, told from what belongs to the services.
struct Seen {
    all: Vec<ListeningSocket>,
    own: Vec<Own>,
    /// Which processes are a service's own nobody knows.
    nameless: bool,
    /// Who holds each socket, once that was asked for.
    holders: OnceCell<BTreeMap<u64, Vec<u32>>>,
}

impl Seen {
    fn now(look: &[ObservedService], listens: &Listens) -> Self {
        // The processes first: what is begun by a service after that is found among its family.
        let states = look.iter().filter_map(|(name, result)| Some((name, result.as_ref().ok()?)));
        let mut nameless = listens.services.values().any(|service| service.nameless);
        let mut named = Vec::new();
        for (name, state) in states {
            nameless |= state.up && state.processes.is_empty() && !state.untouched;
            let direct: BTreeSet<u32> = state.processes.iter().map(|p| p.pid).collect();
            let family: BTreeSet<u32> =
                direct.iter().flat_map(|pid| procs::family(*pid)).chain(direct.clone()).collect();
            named.push((name.clone(), direct, family, &state.socket_owners));
        }
        let all = sockets::listening();
        let own = named.into_iter().map(|(service, direct, family, owners)| {
            let shared: BTreeSet<u32> =
                owners.iter().copied().filter(|pid| !family.contains(pid)).collect();
            let mut own = Own {
                service,
                users: family.iter().flat_map(|pid| procs::users(*pid)).collect(),
                lenders: shared.iter().flat_map(|pid| procs::users(*pid)).collect(),
                pids: family.union(&shared).copied().collect(),
                passing: shared.clone(),
                heard: Vec::new(),
                readable: true,
            };
            for pid in &own.pids {
                let Some(held) = sockets::held_by(*pid) else {
                    own.readable &= shared.contains(pid);
                    continue;
                };
                let is_shared = shared.contains(pid);
                // The machine's own manager listens for many.
                if is_shared && is_front(*pid) {
                    continue;
                }
                let held = all.iter().filter(|socket| held.contains(&socket.inode));
                // What pm2's daemon is asked over is not a part of the app.
                let held = held.filter(|socket| !is_shared || socket.place.port().is_some());
                own.heard.extend(held.map(|socket| Heard {
                    place: socket.place.clone(),
                    inode: socket.inode,
                    direct: direct.contains(pid),
                    shared: is_shared,
                }));
            }
            own
        });
        let own = own.collect();
        Self { all, own, nameless, holders: OnceCell::new() }
    }

    /// What a question reaches: of several sockets the one that says its address most exactly.
    fn reached(&self, asked: &Asked) -> Vec<(ListeningSocket, Listener)> {
        let on_port: Vec<&ListeningSocket> =
            self.all.iter().filter(|socket| socket.place.port() == Some(asked.port)).collect();
        let at = |address: IpAddr| -> Vec<&ListeningSocket> {
            let is = |socket: &&&ListeningSocket| matches!(&socket.place, Place::Tcp(at) if at.ip() == address);
            on_port.iter().filter(is).copied().collect()
        };
        let mut found: Vec<&ListeningSocket> = Vec::new();
        for address in &asked.addresses {
            let any4 = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
            let any6 = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            let tries = match address {
                IpAddr::V4(_) => vec![*address, any4, any6],
                IpAddr::V6(_) => vec![*address, any6],
            };
            let reached = tries.into_iter().map(at).find(|sockets| !sockets.is_empty());
            found.extend(reached.unwrap_or_default());
        }
        found.sort_by_key(|socket| socket.inode);
        found.dedup_by_key(|socket| socket.inode);
        self.judged(&found)
    }

    /// The listeners of sockets.
    fn judged(&self, found: &[&ListeningSocket]) -> Vec<(ListeningSocket, Listener)> {
        let all = || sockets::holders(&self.all.iter().map(|socket| socket.inode).collect());
        let holders =
            if found.is_empty() { &BTreeMap::new() } else { self.holders.get_or_init(all) };
        let mut judged = Vec::new();
        for socket in found {
            let pids = holders.get(&socket.inode).map(Vec::as_slice).unwrap_or_default();
            for pid in pids {
                let whose = self.whose(*pid);
                let started = procs::program_started(*pid);
                let listener = Listener { pid: Some(*pid), started, whose };
                // One that has ended by now is none.
                judged.extend(started.map(|_| ((*socket).clone(), listener)));
            }
            if pids.is_empty() {
                let whose = self.whose_by_user(socket);
                judged.push(((*socket).clone(), Listener { pid: None, started: None, whose }));
            }
        }
        judged
    }

    fn whose(&self, pid: u32) -> Whose {
        if self.own.iter().any(|own| own.pids.contains(&pid)) {
            Whose::Ours
        } else if is_front(pid) {
            Whose::Front
        } else if self.nameless {
            Whose::Unknown
        } else {
            Whose::Stranger
        }
    }

    /// Whose a socket is that none of the processes holds that this user may look into.
    fn whose_by_user(&self, socket: &ListeningSocket) -> Whose {
        // Whoever may see everything and sees nobody cannot tell: it is held in another container.
        let (Some(uid), false) = (socket.uid, rustix::process::geteuid().is_root()) else {
            return Whose::Unknown;
        };
        let theirs: Vec<u32> =
            procs::running().into_iter().filter(|pid| procs::owner(*pid) == Some(uid)).collect();
        let unreadable = self.own.iter().filter(|own| !own.readable);
        let traces = Traces {
            uid,
            lent: unreadable.clone().any(|own| own.lenders.contains(&uid)),
            own: unreadable.map(|own| own.users.clone()).collect(),
            low: socket.place.port().is_some_and(|port| port < 1024),
            seen: !theirs.is_empty(),
            // The machine's own manager runs everywhere.
            front: theirs.iter().any(|pid| is_front(*pid) && !is_systemd(*pid)),
        };
        match traces.whose() {
            Whose::Stranger if self.nameless => Whose::Unknown,
            whose => whose,
        }
    }

    fn sockets(&self, checks: &[Check], look: &[ObservedService]) -> Sockets {
        // A service that is not reloaded may have the port, and which processes are its own nobody knows.
        let unnamed = look.iter().any(|(_, result)| match result {
            Ok(state) => state.untouched && state.processes.is_empty(),
            Err(_) => false,
        });
        let reached = |check: &Check| {
            let asked = asked_here(check)?;
            let found: Vec<Listener> = self.reached(&asked).into_iter().map(|(_, l)| l).collect();
            // If nobody is seen it may be another user's, of whom no more is known.
            let seen = asked.http || !(unnamed || found.is_empty());
            seen.then_some(found)
        };
        checks.iter().map(reached).collect()
    }

    fn unnamed(&self, checks: &[Check]) -> Vec<Unnamed> {
        let text = |path: Option<PathBuf>| Some(path?.display().to_string());
        let reached = checks.iter().filter_map(asked_here).flat_map(|asked| {
            let reached = self.reached(&asked).into_iter();
            reached.map(move |(socket, listener)| (asked.port, socket, listener))
        });
        let unknown = reached.filter(|(_, _, listener)| listener.whose == Whose::Unknown);
        let unnamed = unknown.filter_map(|(port, socket, listener)| {
            let pid = listener.pid?;
            let origin = text(procs::executable(pid)).zip(text(procs::working_directory(pid)));
            Some(Unnamed {
                port,
                inode: socket.inode,
                pid,
                started: ProcessId::of(pid)?.start_ticks,
                parent: procs::parent(pid),
                origin: origin.map(|(program, directory)| Origin { program, directory }),
                who: described(pid),
            })
        });
        unnamed.collect()
    }

    fn strangers(&self, checks: &[Check], listens: &Listens) -> Vec<Stranger> {
        if self.own.is_empty() {
            return Vec::new();
        }
        let mut ports: BTreeSet<u16> =
            self.own.iter().flat_map(|own| &own.heard).filter_map(|h| h.place.port()).collect();
        for service in listens.services.values() {
            ports.extend(&service.named);
            ports.extend(service.must.at.iter().filter_map(Place::port));
        }
        let asked: Vec<_> = checks
            .iter()
            .filter_map(|check| {
                let asked = asked_here(check)?;
                let reached = self.reached(&asked);
                Some((check, asked, reached))
            })
            .collect();
        // Where the app itself answers nowhere, all that answers stands for it.
        let alone = asked.iter().all(|(_, _, reached)| {
            reached.iter().all(|(_, listener)| listener.whose == Whose::Stranger)
        });
        let mut found: Vec<Stranger> = Vec::new();
        let mut add = |stranger: Stranger| {
            let same = |known: &Stranger| known.pid == stranger.pid && known.at == stranger.at;
            if !found.iter().any(same) {
                found.push(stranger);
            }
        };
        for (check, asked, reached) in &asked {
            if asked.http && !alone && !ports.contains(&asked.port) {
                continue;
            }
            for (socket, listener) in reached.iter().filter(|(_, l)| l.whose == Whose::Stranger) {
                add(Stranger::at(socket, listener, Some(check.name.clone()), None));
            }
        }
        for own in &self.own {
            let beside: Vec<&ListeningSocket> = self
                .all
                .iter()
                .filter(|socket| own.heard.iter().any(|heard| takes_from(socket, heard)))
                .collect();
            for (socket, listener) in self.judged(&beside) {
                if listener.whose == Whose::Stranger {
                    add(Stranger::at(&socket, &listener, None, Some(own.service.clone())));
                }
            }
            let named = listens.services.get(&own.service).map(|service| &service.named);
            let wanted = |port: u16| {
                named.is_some_and(|named| named.contains(&port))
                    || asked.iter().any(|(_, asked, _)| asked.port == port)
            };
            let shared = own.heard.iter().filter(|heard| heard.shared);
            for heard in shared.filter(|heard| heard.place.port().is_some_and(wanted)) {
                self.sharing(own, heard).into_iter().for_each(&mut add);
            }
        }
        found
    }

    /// The workers of another app to which one socket's connections go as well: in cluster mode node's master, which
    /// is pm2's daemon, listens once on each port and deals the connections out among all of its workers that want it.
    fn sharing(&self, own: &Own, heard: &Heard) -> Vec<Stranger> {
        const MOST: usize = 32;
        let Place::Tcp(at) = heard.place else { return Vec::new() };
        let ours = |pid: &u32| self.own.iter().any(|own| own.pids.contains(pid));
        let clustered = |pid: &u32| {
            let environment = procs::environment(*pid);
            environment.is_some_and(|env| env.contains_key(OsStr::new("NODE_UNIQUE_ID")))
        };
        let workers = own.passing.iter().flat_map(|daemon| procs::children(*daemon));
        let (mine, others): (Vec<u32>, Vec<u32>) =
            workers.filter(clustered).partition(|pid| ours(pid));
        if others.is_empty() {
            return Vec::new();
        }
        let at = match at.ip() {
            IpAddr::V4(Ipv4Addr::UNSPECIFIED) => SocketAddr::from((Ipv4Addr::LOCALHOST, at.port())),
            IpAddr::V6(Ipv6Addr::UNSPECIFIED) => SocketAddr::from((Ipv6Addr::LOCALHOST, at.port())),
            _ => at,
        };
        let takers = sockets::takers(at, (mine.len() + others.len()).min(MOST), &own.passing);
        let strangers = takers.into_iter().filter(|pid| others.contains(pid));
        let stranger = |pid| Stranger {
            at: heard.place.clone(),
            check: None,
            service: Some(own.service.clone()),
            pid: Some(pid),
            who: described(pid),
        };
        strangers.map(stranger).collect()
    }

    /// The services that do not listen where they must.
    fn silent(&self, listens: &Listens) -> Vec<(String, String)> {
        let mut silent = Vec::new();
        for own in &self.own {
            let Some(service) = listens.services.get(&own.service) else { continue };
            let missing = self.missing(own, &service.must);
            if !missing.is_empty() {
                silent.push((own.service.clone(), missing.join(", ")));
            }
        }
        silent
    }

    fn missing(&self, own: &Own, must: &MustListen) -> Vec<String> {
        let heard = |place: &Place| match place.port() {
            Some(port) => self.heard_on(own, port),
            None => {
                own.heard.iter().any(|heard| heard.place == *place)
                    || !own.readable && self.all.iter().any(|socket| socket.place == *place)
            }
        };
        let (mut gone, other): (Vec<&Place>, Vec<&Place>) = must
            .at
            .iter()
            .filter(|place| !heard(place))
            .partition(|place| !place.is_passing() && place.port().is_some());
        // Numbers that are given to whoever wants any are others after each start.
        let new = |wanted: fn(&Place) -> bool| {
            let places = own.heard.iter().filter(|heard| !heard.shared).map(|heard| &heard.place);
            let places: BTreeSet<&Place> =
                places.filter(|place| wanted(place) && !must.at.contains(place)).collect();
            places.len()
        };
        for kind in [Place::is_passing, |place: &Place| place.port().is_none()] {
            gone.extend(other.iter().copied().filter(|place| kind(place)).skip(new(kind)));
        }
        let mut words: Vec<String> =
            gone.into_iter().map(|place| format!("no longer listens on {place}")).collect();
        let declared = must.ports.iter().filter(|port| !self.heard_on(own, **port));
        words.extend(declared.map(|port| format!("does not listen on port {port}")));
        if own.readable {
            let heard: Vec<&Place> = own.heard.iter().map(|heard| &heard.place).collect();
            words.extend(must.at.iter().filter_map(|before| narrowed(before, &heard)));
        }
        if must.somewhere && own.readable && own.heard.is_empty() {
            words.push("no longer listens on any port".to_owned());
        }
        words
    }

    fn heard_on(&self, own: &Own, port: u16) -> bool {
        let theirs = |socket: &ListeningSocket| {
            socket.place.port() == Some(port)
                && socket.uid.is_some_and(|uid| own.users.contains(&uid))
        };
        own.heard.iter().any(|heard| heard.place.port() == Some(port))
            || !own.readable && self.all.iter().any(theirs)
            // The machine's own manager listens for a unit that is started by its socket.
            || own.pids.iter().any(|pid| is_front(*pid) && self.holds(*pid, port))
    }

    fn holds(&self, pid: u32, port: u16) -> bool {
        let on_port = self.all.iter().filter(|socket| socket.place.port() == Some(port));
        let held = sockets::held_by(pid).unwrap_or_default();
        on_port.into_iter().any(|socket| held.contains(&socket.inode))
    }
}

/// Why those who reached the app at `before` do not any more, although it listens on that port; `None` if they do, or
/// if it does not listen there at all. One loopback address is as good as the other.
fn narrowed(before: &Place, heard: &[&Place]) -> Option<String> {
    let Place::Tcp(before) = before else { return None };
    let there = heard.iter().filter_map(|place| match place {
        Place::Tcp(at) if at.port() == before.port() => Some(at),
        _ => None,
    });
    let there: BTreeSet<_> = there.collect();
    let kind = |ip: IpAddr| (ip.is_unspecified(), ip.is_loopback());
    let covers = |now: IpAddr| match kind(before.ip()) {
        (false, false) => now == before.ip() || now.is_unspecified(),
        (true, _) => now.is_unspecified(),
        (_, true) => now.is_unspecified() || now.is_loopback(),
    };
    if there.is_empty() || there.iter().any(|now| covers(now.ip())) {
        return None;
    }
    let now: Vec<String> = there.into_iter().map(ToString::to_string).collect();
    Some(format!("listens only on {}, no longer on {before}", now.join(", ")))
}

/// What can be told of a socket whose holder this user may not see.
struct Traces {
    /// Who made it.
    uid: u32,
    /// The users of each service whose descriptors cannot be read.
    own: Vec<BTreeSet<u32>>,
    /// It may be a socket that the manager of such a service holds for it.
    lent: bool,
    /// Only root may have taken its port.
    low: bool,
    /// Processes of that user are seen at all.
    seen: bool,
    /// One of them is a proxy.
    front: bool,
}

impl Traces {
    fn whose(&self) -> Whose {
        if self.own.iter().any(|users| users.contains(&self.uid)) {
            Whose::Ours
        } else if self.front {
            Whose::Front
        } else if !self.seen || self.lent || (self.uid == 0 && self.low && !self.own.is_empty()) {
            // A service that gave up being root keeps the port that it took as root.
            Whose::Unknown
        } else {
            Whose::Stranger
        }
    }
}

/// Whether a socket gets what is meant for another: it listens at the very same place, or says more exactly where.
fn takes_from(socket: &ListeningSocket, heard: &Heard) -> bool {
    if socket.inode == heard.inode {
        // Held by others as well, which may accept too.
        return true;
    }
    let (Place::Tcp(theirs), Place::Tcp(ours)) = (&socket.place, &heard.place) else {
        return socket.place == heard.place;
    };
    let covered = match ours.ip() {
        address if address == theirs.ip() => true,
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => theirs.is_ipv4(),
        address => address.is_unspecified(),
    };
    covered && theirs.port() == ours.port()
}

impl Stranger {
    fn at(
        socket: &ListeningSocket,
        listener: &Listener,
        check: Option<CheckName>,
        service: Option<String>,
    ) -> Self {
        let who = match (listener.pid, socket.uid) {
            (Some(pid), _) => described(pid),
            (None, Some(uid)) => format!("a process of user {}", Account::name_of(uid)),
            (None, None) => "a process".to_owned(),
        };
        Self { at: socket.place.clone(), check, service, pid: listener.pid, who }
    }
}

/// `process 1234 (node old.js, since 2026-11-30 07:12)`. Options are left out: they may hold secrets.
fn described(pid: u32) -> String {
    let words = procs::command_line(pid).unwrap_or_default();
    let words = words.iter().map(|word| word.to_string_lossy().into_owned());
    let plain = words.filter(|word| !word.starts_with('-') && !word.contains('='));
    let command: Vec<String> = plain.take(2).map(|word| shown(&word)).collect();
    let command = if command.is_empty() { procs::program(pid) } else { Some(command.join(" ")) };
    let since = procs::started_at(pid).map(|at| {
        let at = at.to_zoned(jiff::tz::TimeZone::system());
        format!("since {}", at.strftime("%Y-%m-%d %H:%M"))
    });
    let known: Vec<String> = command.into_iter().chain(since).collect();
    format!("process {pid} ({})", known.join(", "))
}

/// Whether what listens on a loopback port is a proxy and nothing else.
pub fn is_front_on(port: u16) -> bool {
    let seen = Seen::now(&[], &Listens::default());
    let found = asked_at("localhost", port, true).map(|asked| seen.reached(&asked));
    found.is_some_and(|found| {
        !found.is_empty() && found.iter().all(|(_, l)| l.whose == Whose::Front)
    })
}

fn is_systemd(pid: u32) -> bool {
    procs::program(pid).is_some_and(|name| name == "systemd")
}

fn is_front(pid: u32) -> bool {
    procs::program(pid).is_some_and(|name| FRONTS.contains(&name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_descriptors_cannot_be_read_the_user_of_the_socket_decides() {
        use Whose::{Front, Ours, Stranger, Unknown};
        let app = || vec![BTreeSet::from([1001])];
        let lent = Traces { uid: 0, own: app(), lent: true, low: false, seen: true, front: false };
        assert_eq!(lent.whose(), Unknown, "systemd's own, for a unit that it starts by a socket");
        let table = [
            // Whose, users of services that cannot be read, a low port, seen, a proxy.
            (1001, app(), false, true, false, Ours, "the unit's own user"),
            (1001, app(), false, false, false, Ours, "also where nothing of it is seen"),
            (1002, app(), false, true, false, Stranger, "another user's"),
            (1002, vec![], false, true, false, Stranger, "our own sockets are all known"),
            (0, app(), false, true, false, Stranger, "root's"),
            (0, app(), true, true, false, Unknown, "taken before it became another user"),
            (0, vec![], true, true, false, Stranger, "our own sockets are all known"),
            (0, app(), true, true, true, Front, "nginx runs as root"),
            (33, vec![], false, false, false, Unknown, "processes of others are hidden"),
        ];
        for (uid, own, low, seen, front, wanted, why) in table {
            let traces = Traces { uid, own, lent: false, low, seen, front };
            assert_eq!(traces.whose(), wanted, "{why}");
        }
    }

    #[test]
    fn an_address_that_is_not_covered_any_more_is_told() {
        let place = |text: &str| text.parse::<Place>().expect("a place");
        for (before, now, lost) in [
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("[::]:80", "127.0.0.1:80", true),
            ("10.0.0.1:80", "10.0.0.2:80", true),
            ("127.0.0.1:80", "10.0.0.2:80", true),
            ("0.0.0.0:80", "[::]:80", false),
            ("127.0.0.1:80", "0.0.0.0:80", false),
            ("127.0.0.1:80", "[::1]:80", false),
            ("10.0.0.1:80", "10.0.0.1:80", false),
            // That port is missing altogether, which is told otherwise.
            ("0.0.0.0:80", "127.0.0.1:81", false),
        ] {
            assert_eq!(narrowed(&place(before), &[&place(now)]).is_some(), lost, "{before} {now}");
        }
    }

    #[test]
    fn who_listens_more_exactly_takes_the_answers() {
        let place = |text: &str| text.parse::<Place>().expect("a place");
        let takes = |theirs: &str, ours: &str| {
            let socket = ListeningSocket { place: place(theirs), inode: 1, uid: None };
            let heard = Heard { place: place(ours), inode: 2, direct: true, shared: false };
            takes_from(&socket, &heard)
        };
        for (theirs, ours, wanted) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "0.0.0.0:80", true),
            ("10.0.0.1:80", "[::]:80", true),
            ("[::1]:80", "[::]:80", true),
            ("[::1]:80", "0.0.0.0:80", false),
            ("0.0.0.0:80", "127.0.0.1:80", false),
            ("127.0.0.1:81", "127.0.0.1:80", false),
            ("unix:/a", "unix:/a", true),
            ("unix:/b", "unix:/a", false),
        ] {
            assert_eq!(takes(theirs, ours), wanted, "{theirs} {ours}");
        }
    }
}
