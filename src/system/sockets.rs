//! Who listens where on this host, read from /proc; and talking to one of them by its Unix socket.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::ops::RangeInclusive;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::str::FromStr;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use super::procs;

mod tcp;

/// Where connections are accepted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Place {
    /// An IPv6 address that stands for an IPv4 one is that one.
    Tcp(SocketAddr),
    /// A path, or a name behind `@`.
    Unix(String),
}

/// A socket of this network namespace that accepts connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListeningSocket {
    /// Of several at one place each gets some of the connections.
    pub place: Place,
    /// What tells it from all others, those at the same place too.
    pub inode: u64,
    /// The user who made it, where that is told.
    pub uid: Option<u32>,
}

impl Place {
    /// The TCP port.
    pub fn port(&self) -> Option<u16> {
        match self {
            Place::Tcp(address) => Some(address.port()),
            Place::Unix(_) => None,
        }
    }

    /// Whether the system hands out ports of this number to whoever wants any.
    pub fn is_passing(&self) -> bool {
        self.port().is_some_and(|port| ports_for_anybody().contains(&port))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Tcp(address) => address.fmt(f),
            Place::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.to_string()
    }
}

impl TryFrom<String> for Place {
    type Error = std::net::AddrParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for Place {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("unix:") {
            Some(path) => Ok(Place::Unix(path.to_owned())),
            None => text.parse().map(Place::Tcp),
        }
    }
}

/// All sockets that accept connections, TCP and UNIX.
pub fn listening() -> Vec<ListeningSocket> {
    let tcp = tcp::sockets(tcp::Kind::Listening).into_iter().map(|socket| ListeningSocket {
        place: Place::Tcp(socket.local),
        inode: socket.inode,
        uid: Some(socket.uid),
    });
    let unix = fs::read("/proc/net/unix").unwrap_or_default();
    let unix = String::from_utf8_lossy(&unix);
    tcp.chain(unix.lines().filter_map(unix_listener)).collect()
}

/// `0000000000000000: 00000002 00000000 00010000 0001 01 23456 /run/app.sock`
fn unix_listener(line: &str) -> Option<ListeningSocket> {
    /// `__SO_ACCEPTCON`
    const ACCEPTS: u32 = 0x1_0000;
    let mut fields = line.split_ascii_whitespace().skip(3);
    let flags = u32::from_str_radix(fields.next()?, 16).ok()?;
    let inode = fields.nth(2)?.parse().ok()?;
    let path = line.split_once(&format!(" {inode} "))?.1.trim();
    let accepts = flags & ACCEPTS != 0 && !path.is_empty();
    accepts.then(|| ListeningSocket { place: Place::Unix(path.to_owned()), inode, uid: None })
}

/// The sockets that a process holds; `None` if this user may not look.
pub fn held_by(pid: u32) -> Option<BTreeSet<u64>> {
    let descriptors = match fs::read_dir(format!("/proc/{pid}/fd")) {
        Ok(descriptors) => descriptors,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return None,
        // It has ended.
        Err(_) => return Some(BTreeSet::new()),
    };
    let inode = |link: &Path| {
        let target = fs::read_link(link).ok()?;
        target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    };
    Some(descriptors.flatten().filter_map(|entry| inode(&entry.path())).collect())
}

/// The processes that hold each of `sockets`, as far as this user may see.
pub fn holders(sockets: &BTreeSet<u64>) -> BTreeMap<u64, Vec<u32>> {
    let mut holders: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    if sockets.is_empty() {
        return holders;
    }
    for pid in procs::running() {
        for inode in held_by(pid).unwrap_or_default().intersection(sockets) {
            holders.entry(*inode).or_default().push(pid);
        }
    }
    holders
}

/// The processes that listen on TCP `port` of the loopback or any address, as far as this user may see.
pub fn listeners(port: u16) -> Vec<u32> {
    let reached = |socket: &ListeningSocket| match &socket.place {
        Place::Tcp(address) => {
            address.port() == port && (address.ip().is_loopback() || address.ip().is_unspecified())
        }
        Place::Unix(_) => false,
    };
    let sockets = listening().into_iter().filter(reached).map(|socket| socket.inode).collect();
    let pids: BTreeSet<u32> = holders(&sockets).into_values().flatten().collect();
    pids.into_iter().collect()
}

/// The processes that get the connections to an address of this host, as `count` of them made at once show; `passing` are
/// those that accept and only pass them on. Nothing is sent.
pub fn takers(at: SocketAddr, count: usize, passing: &BTreeSet<u32>) -> BTreeSet<u32> {
    const CONNECTING: Duration = Duration::from_millis(200);
    const PATIENCE: Duration = Duration::from_secs(1);
    let connect = |_| TcpStream::connect_timeout(&at, CONNECTING).ok();
    let made: Vec<TcpStream> = (0..count).filter_map(connect).collect();
    let plain = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let ours: BTreeSet<SocketAddr> =
        made.iter().filter_map(|stream| stream.local_addr().ok()).map(plain).collect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let theirs = tcp::sockets(tcp::Kind::Connected).into_iter().filter(|socket| {
            socket.local.port() == at.port() && socket.inode != 0 && ours.contains(&socket.remote)
        });
        let mut held = holders(&theirs.map(|socket| socket.inode).collect());
        held.values_mut().for_each(|pids| pids.retain(|pid| !passing.contains(pid)));
        held.retain(|_, pids| !pids.is_empty());
        if held.len() >= made.len() || Instant::now() >= deadline {
            return held.into_values().flatten().collect();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Whether an address is one of this host's own.
pub fn is_own_address(address: IpAddr) -> bool {
    address.is_loopback() || address.is_unspecified() || UdpSocket::bind((address, 0)).is_ok()
}

/// The port numbers that are handed out to whoever wants any.
fn ports_for_anybody() -> RangeInclusive<u16> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut numbers = text.split_ascii_whitespace().filter_map(|number| number.parse().ok());
    numbers.next().unwrap_or(32_768)..=numbers.next().unwrap_or(60_999)
}

/// A connection to a Unix socket of this user or root, which ends at a moment whatever the other side does.
#[derive(Debug)]
pub struct Conversation {
    stream: UnixStream,
    end: Instant,
}

impl Conversation {
    /// Connects to a socket, not through a symbolic link; everything together may take `limit`.
    ///
    /// # Errors
    /// `PermissionDenied` where it is another user's, or no socket; whatever the system says; `TimedOut`.
    pub fn begin(path: &Path, limit: Duration) -> io::Result<Self> {
        let end = Instant::now() + limit;
        let meta = fs::symlink_metadata(path)?;
        let own = rustix::process::geteuid().as_raw();
        if !meta.file_type().is_socket() || ![own, 0].contains(&meta.uid()) {
            let problem = format!("{} is not a socket of this user", path.display());
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, problem));
        }
        // Connecting waits for as long as a process that hangs has its queue full, and has no limit of its own.
        let (connected, stream) = channel();
        let path = path.to_owned();
        std::thread::Builder::new()
            .name("connect".to_owned())
            .spawn(move || connected.send(UnixStream::connect(path)))?;
        let stream = stream.recv_timeout(limit).map_err(|_| io::ErrorKind::TimedOut)??;
        Ok(Self { stream, end })
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
    }
}

/// The system says that a limit was reached in the words of a socket that does not wait.
fn at_the_end(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
        _ => error,
    }
}

impl Read for Conversation {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(buffer).map_err(at_the_end)
    }
}

impl Write for Conversation {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes).map_err(at_the_end)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    #[test]
    fn the_listener_of_a_port_is_found_on_both_families() {
        for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            let Ok(listener) = TcpListener::bind(address) else {
                continue;
            };
            let port = listener.local_addr().unwrap().port();
            assert!(listeners(port).contains(&std::process::id()), "{address}");
            drop(listener);
            assert!(!listeners(port).contains(&std::process::id()), "{address}, closed");
        }
    }

    #[test]
    fn who_takes_connections_is_seen_by_making_some() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let own = std::process::id();
        let accepting = std::thread::spawn(move || {
            let taken: Vec<_> = listener.incoming().take(4).collect();
            std::thread::sleep(Duration::from_millis(500));
            drop(taken);
        });
        assert_eq!(takers(at, 2, &BTreeSet::new()), BTreeSet::from([own]));
        assert_eq!(takers(at, 2, &BTreeSet::from([own])), BTreeSet::new());
        accepting.join().unwrap();
    }

    #[test]
    fn a_unix_socket_counts_while_it_accepts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("with space.sock");
        let place = Place::Unix(path.to_str().unwrap().to_owned());
        let found = || listening().into_iter().find(|socket| socket.place == place);
        let listener = UnixListener::bind(&path).unwrap();
        let socket = found().expect("it listens");
        assert!(held_by(std::process::id()).unwrap().contains(&socket.inode));
        assert_eq!(
            holders(&[socket.inode].into()).get(&socket.inode),
            Some(&vec![std::process::id()])
        );
        drop(listener);
        assert_eq!(found(), None);
    }

    #[test]
    fn a_conversation_ends_at_its_limit_whatever_the_other_side_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("silent.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let limit = Duration::from_millis(150);
        let silent = Conversation::begin(&path, limit).unwrap().read(&mut [0]).unwrap_err();
        assert_eq!(silent.kind(), io::ErrorKind::TimedOut);

        // A byte now and then is no answer either.
        let drips = std::thread::spawn(move || {
            for stream in listener.incoming() {
                while stream.as_ref().unwrap().write(b"x").is_ok() {
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        });
        let began = Instant::now();
        let mut told = Vec::new();
        let ended = Conversation::begin(&path, limit).unwrap().read_to_end(&mut told).unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
        assert!(began.elapsed() < limit * 4, "{:?}", began.elapsed());
        assert!(!drips.is_finished());
    }

    #[test]
    fn only_a_socket_of_ones_own_is_talked_to_and_no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let [socket, link, file] = ["real.sock", "link.sock", "file"].map(|n| dir.path().join(n));
        let _listener = UnixListener::bind(&socket).unwrap();
        std::os::unix::fs::symlink(&socket, &link).unwrap();
        fs::write(&file, "").unwrap();
        let begin = |path: &Path| Conversation::begin(path, Duration::from_secs(5));
        assert!(begin(&socket).is_ok());
        for path in [&link, &file] {
            assert_eq!(begin(path).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        }
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&socket, Some(65_534), None).unwrap();
            assert_eq!(begin(&socket).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        }
        fs::remove_file(&socket).unwrap();
        assert_eq!(begin(&socket).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn places_are_read_back_as_they_are_written() {
        for text in ["127.0.0.1:3000", "[::1]:80", "unix:/run/app.sock", "unix:@name"] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        assert!("nowhere".parse::<Place>().is_err());
    }
}
