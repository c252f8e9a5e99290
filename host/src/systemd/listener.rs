//! Which socket of the kernel a socket unit listens on: its inode number, by which /proc/PID/fd names it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The state of a socket that listens, in /proc/net/tcp.
const TCP_LISTEN: &str = "0A";
/// The flag of a unix socket that listens, in /proc/net/unix.
const UNIX_ACCEPTS: &str = "00010000";

/// The inode number of what listens on an address as systemd writes it; nothing when that cannot be seen.
pub(super) fn inode(listen: &str) -> Option<u64> {
    if listen.starts_with(['/', '@']) {
        let table = fs_err::read_to_string("/proc/net/unix").ok()?;
        return unix_inode(&table, listen);
    }
    let address: SocketAddr = listen.parse().ok()?;
    let table = if address.is_ipv4() { "/proc/net/tcp" } else { "/proc/net/tcp6" };
    tcp_inode(&fs_err::read_to_string(table).ok()?, address)
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
    fn a_unix_listener_is_found_by_its_path() {
        let table = "Num RefCount Protocol Flags Type St Inode Path\n\
                     0: 00000003 00000000 00000000 0001 03 21 /run/a.sock\n\
                     1: 00000002 00000000 00010000 0001 01 22 /run/a.sock\n";
        assert_eq!(unix_inode(table, "/run/a.sock"), Some(22));
        assert_eq!(unix_inode(table, "/run/b.sock"), None);
    }
}
