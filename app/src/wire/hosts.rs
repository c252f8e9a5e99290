//! From the hosts of a configuration to the ways to ask them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use unship_core::release::HostName;

use super::{Site, WireError};
use crate::config::Destination;
use crate::inventory;
use crate::ports::{Host, Progress, TransportError};
use crate::transport::{AgentProgram, Gate, InProcess, PLACE_SCRIPT, Ssh, SshOptions, SshWorld};

pub use crate::transport::{Placed, Upkeep};

/// What came of putting an agent on a host.
pub type PutAgent = (HostName, Result<Placed, TransportError>);

impl Site {
    /// This machine as a host, with an agent of its own: looking at it waits for no other.
    pub fn own_host(&self) -> Result<Host, WireError> {
        let first = self.environment.hosts.first();
        let name = first.cloned().ok_or_else(|| WireError::Hosts("the inventory was not read".into()))?;
        let transport = InProcess::open(name.clone(), self.host_setup())?;
        Ok(Host { name, transport: Arc::new(transport) })
    }

    /// Reads the inventory, if the environment has one. What a host's own table in the configuration says goes
    /// before what the inventory has.
    pub async fn read_inventory(&mut self) -> Result<(), WireError> {
        let Some(inventory) = self.environment.hosts.inventory() else { return Ok(()) };
        let found = inventory::read(inventory, &self.folder).await?;
        let names = found.iter().map(|(name, _)| name.clone()).collect();
        self.environment.hosts = self.environment.hosts.of_inventory(names).map_err(WireError::Hosts)?;
        for (name, table) in found {
            let own = self.environment.host_tables.entry(name).or_default();
            *own = own.clone().or(table);
        }
        Ok(())
    }

    /// The hosts of the environment. Nothing is started before the first question.
    pub(super) fn hosts(&self, progress: &Arc<dyn Progress>) -> Result<Vec<Host>, WireError> {
        if self.environment.hosts.is_local() {
            return Ok(vec![self.own_host()?]);
        }
        let ways = self.ways(progress).into_iter();
        Ok(ways.map(|(name, way)| Host { name, transport: Arc::new(way) }).collect())
    }

    /// Where the service can be asked from here, host by host: what a host's table says; else the address of the
    /// first unit that listens, on the host's own address if it listens on all of them. One that listens only to
    /// its own machine can be asked on that machine alone.
    pub(super) fn probed_at(&self) -> BTreeMap<HostName, String> {
        let local = self.environment.hosts.is_local();
        let at = |name: &HostName| {
            let table = self.environment.host_tables.get(name);
            if let Some(probe) = table.and_then(|table| table.probe.as_ref()) {
                return Some(probe.as_str().to_owned());
            }
            let listen = self.listen()?;
            match listen.ip() {
                _ if local => Some(listen.to_string()),
                ip if ip.is_loopback() => None,
                ip if ip.is_unspecified() => {
                    let to = Destination::new(name, &self.environment.host_tables, &self.environment.ssh);
                    let address = to.address.as_str();
                    // An IPv6 address is told from its port by brackets.
                    let address = if address.contains(':') { format!("[{address}]") } else { address.into() };
                    Some(format!("{address}:{}", listen.port()))
                }
                _ => Some(listen.to_string()),
            }
        };
        let hosts = self.environment.hosts.as_slice().iter();
        hosts.filter_map(|name| Some((name.clone(), at(name)?))).collect()
    }

    /// Where journals go when the ledger's folder cannot be written: on the host's own disk if the host is this
    /// machine, else where the user keeps state; nobody else can put a file there.
    pub(super) fn journal_reserve(&self) -> PathBuf {
        let home = std::env::home_dir().filter(|home| home.is_absolute());
        match home {
            Some(home) if !self.environment.hosts.is_local() => {
                let state = home.join(".local/state/unship").join(self.config.service.name.as_str());
                state.join(self.name.as_str()).join("journal")
            }
            _ => self.root().join("journal"),
        }
    }

    fn ways(&self, progress: &Arc<dyn Progress>) -> Vec<(HostName, Ssh)> {
        let ssh = &self.environment.ssh;
        let world = SshWorld {
            options: SshOptions::from(ssh),
            gate: Gate::new(ssh.sessions.get()),
            program: Arc::new(AgentProgram::own()),
            upkeep: self.upkeep,
            progress: Arc::clone(progress),
        };
        let setup = self.host_setup();
        let way = |name: &HostName| {
            let to = Destination::new(name, &self.environment.host_tables, ssh);
            (name.clone(), Ssh::new(to, setup.clone(), world.clone()))
        };
        self.environment.hosts.as_slice().iter().map(way).collect()
    }

    /// Puts this program on every host as its agent; nothing for this machine, which needs none.
    pub async fn put_agents(&self, progress: &Arc<dyn Progress>) -> Vec<PutAgent> {
        if self.environment.hosts.is_local() {
            return Vec::new();
        }
        let ways = self.ways(progress);
        let all = ways.iter().map(|(name, way)| async { (name.clone(), way.put_agent().await) });
        futures_util::future::join_all(all).await
    }
}

/// The fixed text that puts an agent on a host, for administrators who allow that and nothing else.
pub fn agent_script() -> &'static str {
    PLACE_SCRIPT
}
