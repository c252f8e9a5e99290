//! A way through a host to a database that only that host reaches.

use std::path::PathBuf;

use async_trait::async_trait;

use super::TransportError;

/// Where a server of PostgreSQL listens, as the host sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listens {
    /// At a port of a host name or an address.
    Tcp { host: String, port: u16 },
    /// At the socket of a port in a folder.
    Socket { folder: PathBuf, port: u16 },
}

impl Listens {
    /// The port, by which the socket is named too.
    pub fn port(&self) -> u16 {
        match self {
            Listens::Tcp { port, .. } | Listens::Socket { port, .. } => *port,
        }
    }
}

/// An open way. It is closed when this goes.
pub struct Tunnel {
    /// A folder with a socket in it, named as PostgreSQL names it for the port.
    pub folder: PathBuf,
    /// What keeps it open.
    pub held_by: Box<dyn Send + Sync>,
}

/// Opens ways through one host.
#[async_trait]
pub trait Tunnels: Send + Sync {
    /// A way to what listens there.
    async fn open(&self, to: &Listens) -> Result<Tunnel, TransportError>;
}
