//! Listening sockets: bound once, kept open over every flip, found again in a living instance when the child
//! runner that bound them was killed.

use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::PidfdGetfdFlags;

use super::SuperviseError;
use super::proc;

/// Connections that wait while the service starts; the kernel cuts it to `net.core.somaxconn`.
const BACKLOG: i32 = 4_096;
/// Where a service finds its first socket.
pub(super) const FIRST_FD: i32 = 3;

/// A socket that one unit's instances share.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) unit: String,
    pub(super) address: SocketAddr,
    pub(super) socket: OwnedFd,
    /// The socket's inode number: what `/proc/PID/fd` of every process that has it open shows.
    pub(super) inode: u64,
}

/// Reads a unit's `listen`.
pub(super) fn parse(unit: &str, listen: &str) -> Result<SocketAddr, SuperviseError> {
    listen.parse().map_err(|_| SuperviseError::Listen {
        unit: unit.to_owned(),
        listen: listen.to_owned(),
        why: "it must be an IP address and a port, for example `127.0.0.1:8080`".to_owned(),
    })
}

impl Listener {
    /// Binds and listens.
    pub(super) fn bind(unit: &str, address: SocketAddr) -> Result<Listener, SuperviseError> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let bound = || -> rustix::io::Result<Listener> {
            let socket = rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
            rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
            rustix::net::bind(&socket, &address)?;
            rustix::net::listen(&socket, BACKLOG)?;
            Listener::of(unit, address, socket)
        };
        bound().map_err(|error| SuperviseError::Listen {
            unit: unit.to_owned(),
            listen: address.to_string(),
            why: std::io::Error::from(error).to_string(),
        })
    }

    fn of(unit: &str, address: SocketAddr, socket: OwnedFd) -> rustix::io::Result<Listener> {
        let inode = rustix::fs::fstat(&socket)?.st_ino;
        Ok(Listener { unit: unit.to_owned(), address, socket, inode })
    }

    /// Takes a copy of the socket out of an instance that has it.
    pub(super) fn recover(
        unit: &str,
        address: SocketAddr,
        pid: u32,
        pidfd: impl AsFd,
    ) -> Result<Option<Listener>, std::io::Error> {
        let mut numbers = proc::sockets(pid)?;
        // Nearly always the first one, as it was handed over.
        numbers.sort_by_key(|number| *number != FIRST_FD);
        for number in numbers {
            let socket = rustix::process::pidfd_getfd(pidfd.as_fd(), number, PidfdGetfdFlags::empty())?;
            if listens_on(&socket, address) {
                return Ok(Some(Listener::of(unit, address, socket)?));
            }
        }
        Ok(None)
    }
}

fn listens_on(socket: &OwnedFd, address: SocketAddr) -> bool {
    let name = rustix::net::getsockname(socket).ok().and_then(|name| SocketAddr::try_from(name).ok());
    name == Some(address) && rustix::net::sockopt::socket_acceptconn(socket).unwrap_or(false)
}
