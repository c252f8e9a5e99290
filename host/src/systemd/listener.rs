//! Which socket of the kernel a socket unit listens on: its inode number, by which /proc/PID/fd names it.
//!
//! The kernel is asked for what listens and nothing else (sock_diag(7)). /proc/net/tcp has every connection of the host
//! as well, and is read only where a kernel does not know that question.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::constants::{AF_INET, AF_INET6, IPPROTO_TCP};
use netlink_packet_sock_diag::inet::{ExtensionFlags, InetRequest, SocketId, StateFlags};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use rustix::net::sockopt::{Timeout, set_socket_timeout};

/// The state of a socket that listens, in /proc/net/tcp.
const TCP_LISTEN: &str = "0A";
/// The flag of a unix socket that listens, in /proc/net/unix.
const UNIX_ACCEPTS: &str = "00010000";
/// How long the kernel may take for a piece of its answer.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// The largest piece of an answer; the kernel makes none larger.
const PIECE_BYTES: usize = 32 << 10;
/// The most pieces that are read: some twenty thousand listeners.
const PIECES_MAX: usize = 100;

/// The inode number of what listens on an address as systemd writes it; nothing when that cannot be seen.
pub(super) fn inode(listen: &str) -> Option<u64> {
    if listen.starts_with(['/', '@']) {
        let table = fs_err::read_to_string("/proc/net/unix").ok()?;
        return unix_inode(&table, listen);
    }
    let address: SocketAddr = listen.parse().ok()?;
    if let Ok(inode) = diagnosed(address) {
        return inode;
    }
    let table = if address.is_ipv4() { "/proc/net/tcp" } else { "/proc/net/tcp6" };
    tcp_inode(&fs_err::read_to_string(table).ok()?, address)
}

/// What the kernel says listens on the address; an error where it cannot be asked.
fn diagnosed(address: SocketAddr) -> io::Result<Option<u64>> {
    let mut socket = Socket::new(NETLINK_SOCK_DIAG)?;
    set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_MAX))?;
    socket.bind_auto()?;
    socket.send(&question(address), 0)?;
    let mut found = None;
    let mut piece = vec![0; PIECE_BYTES];
    for _ in 0..PIECES_MAX {
        let size = socket.recv(&mut piece.as_mut_slice(), 0)?;
        let mut rest = piece.get(..size).unwrap_or_default();
        while !rest.is_empty() {
            let message = NetlinkMessage::<SockDiagMessage>::deserialize(rest).map_err(io::Error::other)?;
            match message.payload {
                NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(told)) => {
                    let id = &told.header.socket_id;
                    if (id.source_address, id.source_port) == (address.ip(), address.port()) {
                        found = Some(u64::from(told.header.inode));
                    }
                }
                NetlinkPayload::Done(_) => return Ok(found),
                NetlinkPayload::Noop => {}
                other => return Err(io::Error::other(format!("{other:?}"))),
            }
            let length = usize::try_from(message.header.length).unwrap_or(usize::MAX).max(1);
            rest = rest.get(length..).unwrap_or_default();
        }
    }
    Err(io::ErrorKind::FileTooLarge.into())
}

/// Asks for all that listens on TCP, in the address's family.
fn question(address: SocketAddr) -> Vec<u8> {
    let (family, socket_id) = match address {
        SocketAddr::V4(_) => (AF_INET, SocketId::new_v4()),
        SocketAddr::V6(_) => (AF_INET6, SocketId::new_v6()),
    };
    let (protocol, states) = (IPPROTO_TCP, StateFlags::LISTEN);
    let request = InetRequest { family, protocol, extensions: ExtensionFlags::empty(), states, socket_id };
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut message = NetlinkMessage::new(header, SockDiagMessage::InetRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

fn tcp_inode(table: &str, address: SocketAddr) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (ip, port) = fields.get(1)?.split_once(':')?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let same = port == address.port() && ip_of(ip)? == address.ip() && *fields.get(3)? == TCP_LISTEN;
        if same { fields.get(9)?.parse().ok() } else { None }
    })
}

/// An address of /proc/net/tcp: words of 32 bits in the machine's byte order.
fn ip_of(hex: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(hex.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    if hex.len() == 8 {
        return Some(IpAddr::V4(Ipv4Addr::from(word(0)?)));
    }
    let bytes = [word(0)?, word(8)?, word(16)?, word(24)?].concat();
    Some(IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)))
}

fn unix_inode(table: &str, path: &str) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let same = *fields.get(3)? == UNIX_ACCEPTS && *fields.get(7)? == path;
        if same { fields.get(6)?.parse().ok() } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0100007F:1F90 0100007F:9C4A 01 00000000:00000000 00:00000000 00000000     0        0 11 1 0 20 4 0 10 -1\n   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12 1 0 100 0 0 10 0\n   2: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 13 1 0 100 0 0 10 0\n";

    #[test]
    #[cfg(target_endian = "little")]
    fn the_listener_is_told_from_its_connections_and_from_other_addresses() {
        let at = |text: &str| tcp_inode(TCP, text.parse().expect("an address"));
        assert_eq!(at("127.0.0.1:8080"), Some(12));
        assert_eq!(at("0.0.0.0:8080"), Some(13));
        assert_eq!(at("127.0.0.1:8081"), None);
        assert_eq!(ip_of("00000000000000000000000001000000"), Some(IpAddr::V6(Ipv6Addr::LOCALHOST)));
    }

    #[test]
    fn the_kernel_and_its_table_name_the_same_listener() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = std::net::TcpListener::bind(address).expect("an address");
            let address = listener.local_addr().expect("an address");
            let _connection = std::net::TcpStream::connect(address).expect("a connection");
            let table = if address.is_ipv4() { "/proc/net/tcp" } else { "/proc/net/tcp6" };
            let read = tcp_inode(&fs_err::read_to_string(table).expect("a table"), address);
            assert!(read.is_some());
            assert_eq!(inode(&address.to_string()), read);
            match diagnosed(address) {
                Ok(told) => assert_eq!(told, read),
                Err(error) => println!("this kernel does not say what listens: {error}"),
            }
            drop(listener);
            assert_eq!(inode(&address.to_string()), None);
        }
    }

    #[test]
    fn a_unix_listener_is_found_by_its_path() {
        let table = "Num RefCount Protocol Flags Type St Inode Path\n\
                     0: 00000003 00000000 00000000 0001 03 21 /run/a.sock\n\
                     1: 00000002 00000000 00010000 0001 01 22 /run/a.sock\n";
        assert_eq!(unix_inode(table, "/run/a.sock"), Some(22));
        assert_eq!(unix_inode(table, "/run/b.sock"), None);
    }
}
