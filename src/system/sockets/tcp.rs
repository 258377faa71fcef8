//! The TCP sockets of this network namespace. The kernel is asked for those of one kind (`sock_diag`, sock_diag(7)): it
//! makes `/proc/net/tcp` by walking through a table that grows with the memory of the machine, which takes tens of
//! milliseconds, and writes every connection as a line.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use netlink_packet_core::{
    NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use procfs::net::TcpState;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, sockopt};

/// Which sockets are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Those that accept connections.
    Listening,
    /// The ends of connections that a process holds.
    Connected,
}

/// One socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TcpSocket {
    /// The own end. An IPv6 address that stands for an IPv4 one is that one, here and in `remote`.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// What tells it from all others; 0 where no process holds it any more.
    pub inode: u64,
    /// The user who made it.
    pub uid: u32,
}

/// The sockets of a kind, of both families.
pub(super) fn sockets(kind: Kind) -> Vec<TcpSocket> {
    // A container may forbid the question, a kernel be made without the answer.
    asked(kind).unwrap_or_else(|_| listed(kind))
}

fn asked(kind: Kind) -> io::Result<Vec<TcpSocket>> {
    let states = match kind {
        Kind::Listening => StateFlags::LISTEN,
        Kind::Connected => StateFlags::ESTABLISHED | StateFlags::CLOSE_WAIT,
    };
    let mut found = dump(AF_INET, SocketId::new_v4(), states.clone())?;
    match dump(AF_INET6, SocketId::new_v6(), states) {
        Ok(sockets) => found.extend(sockets),
        // The machine was started without IPv6.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(found)
}

/// All sockets of one family in one of these states.
fn dump(family: u8, socket_id: SocketId, states: StateFlags) -> io::Result<Vec<TcpSocket>> {
    /// An answer of the kernel, one of several, is never longer.
    const MOST: usize = 32 * 1024;
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(Duration::from_secs(2)))?;
    let extensions = ExtensionFlags::empty();
    let request = InetRequest { family, protocol: IPPROTO_TCP, extensions, states, socket_id };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut message =
        NetlinkMessage::new(header, NetlinkPayload::from(SockDiagMessage::InetRequest(request)));
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    let kernel = netlink::SocketAddrNetlink::new(0, 0);
    rustix::net::sendto(&socket, &bytes, SendFlags::empty(), &kernel)?;

    let (mut found, mut buffer) = (Vec::new(), vec![0; MOST]);
    loop {
        let (_, length) = rustix::net::recv(&socket, &mut buffer[..], RecvFlags::TRUNC)?;
        let mut rest = buffer.get(..length).ok_or(io::ErrorKind::InvalidData)?;
        while !rest.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            match message.payload {
                NetlinkPayload::Done(_) => return Ok(found),
                NetlinkPayload::Error(error) => return Err(error.to_io()),
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(told)) => {
                    let header = &told.header;
                    let id = &header.socket_id;
                    found.push(TcpSocket {
                        local: plain(id.source_address, id.source_port),
                        remote: plain(id.destination_address, id.destination_port),
                        inode: header.inode.into(),
                        uid: header.uid,
                    });
                }
                _ => {}
            }
            // Each begins at a multiple of four.
            let length = (message.header.length as usize).next_multiple_of(4).max(4);
            rest = rest.get(length..).unwrap_or_default();
        }
    }
}

/// The same as `/proc/net/tcp` and `tcp6` list it.
fn listed(kind: Kind) -> Vec<TcpSocket> {
    let wanted = |state: &TcpState| match kind {
        Kind::Listening => *state == TcpState::Listen,
        Kind::Connected => matches!(state, TcpState::Established | TcpState::CloseWait),
    };
    let all = procfs::net::tcp().unwrap_or_default().into_iter();
    all.chain(procfs::net::tcp6().unwrap_or_default())
        .filter(|entry| wanted(&entry.state))
        .map(|entry| TcpSocket {
            local: plain(entry.local_address.ip(), entry.local_address.port()),
            remote: plain(entry.remote_address.ip(), entry.remote_address.port()),
            inode: entry.inode,
            uid: entry.uid,
        })
        .collect()
}

fn plain(address: IpAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address.to_canonical(), port)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream};

    /// The sockets that are on one of these ports.
    fn on(mut all: Vec<TcpSocket>, ports: &[u16]) -> Vec<TcpSocket> {
        all.retain(|socket| ports.contains(&socket.local.port()));
        all.sort();
        all
    }

    #[test]
    fn the_kernel_says_when_asked_what_it_lists() {
        let listeners: Vec<TcpListener> = ["127.0.0.1:0", "0.0.0.0:0", "[::1]:0", "[::]:0"]
            .into_iter()
            .filter_map(|address| TcpListener::bind(address).ok())
            .collect();
        let ports: Vec<u16> = listeners.iter().map(|l| l.local_addr().unwrap().port()).collect();
        let listening = on(asked(Kind::Listening).unwrap(), &ports);
        assert_eq!(listening.len(), listeners.len());
        assert_eq!(listening, on(listed(Kind::Listening), &ports));

        let loopback = |at: SocketAddr| match at.ip() {
            IpAddr::V4(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, at.port())),
            IpAddr::V6(_) => SocketAddr::from((Ipv6Addr::LOCALHOST, at.port())),
        };
        let at = |listener: &TcpListener| loopback(listener.local_addr().unwrap());
        let made: Vec<_> =
            listeners.iter().map(|listener| TcpStream::connect(at(listener)).unwrap()).collect();
        let taken: Vec<_> = listeners.iter().map(|listener| listener.accept().unwrap()).collect();
        let connected = on(asked(Kind::Connected).unwrap(), &ports);
        assert_eq!(connected.len(), taken.len());
        assert!(connected.iter().all(|socket| socket.inode != 0));
        assert_eq!(connected, on(listed(Kind::Connected), &ports));
        drop(made);
    }
}
