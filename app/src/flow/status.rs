//! `status`: what every host serves, what is known of every release, who runs what. Changes nothing.

use serde::Serialize;
use unship_core::history::{self, ReleaseRecord};
use unship_core::journal::State;
use unship_core::plan::HostFacts;
use unship_core::protocol::{Holder, HostState};
use unship_core::release::{HostName, Release, RunId};

use super::observe::{host_serves_well, observe, serving};
use super::{FlowError, unfinished};
use crate::ports::World;

/// The state of an environment.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// What all hosts serve, if they agree.
    pub serves: Option<Release>,
    /// The release that `rollback` would go back to.
    pub rollback_target: Option<Release>,
    /// Every host.
    pub hosts: Vec<HostStatus>,
    /// Every release, newest deploy last.
    pub releases: Vec<ReleaseRecord>,
    /// Who acts right now.
    pub holder: Option<Holder>,
    /// A run that was not ended.
    pub unfinished: Option<RunId>,
}

/// The state of a host.
#[derive(Debug, Clone, Serialize)]
pub struct HostStatus {
    /// Its name.
    pub host: HostName,
    /// Why it does not serve its current release well; none when it does.
    pub trouble: Option<String>,
    /// All that it says.
    pub state: HostState,
}

/// Looks at everything.
pub async fn status(world: &World, run: RunId) -> Result<Status, FlowError> {
    let hosts = observe(world, &run).await?;
    let history = history::fold(&world.ledger.marks().await?);
    let serves = serving(&hosts).ok();
    let rollback_target = serves.as_ref().and_then(|serves| history.target(serves).ok());
    let units = world.target.service.units.len();
    Ok(Status {
        serves,
        rollback_target,
        hosts: hosts.into_iter().map(|facts| host_status(facts, units)).collect(),
        releases: history.releases,
        holder: world.ledger.holder().await?,
        unfinished: unfinished(world).await?.map(|(_, state): (_, State)| state.holder.run),
    })
}

fn host_status(facts: HostFacts, units: usize) -> HostStatus {
    let trouble = match &facts.state.current {
        Some(current) => host_serves_well(&facts.state, current, units).err(),
        None => Some("it serves nothing".into()),
    };
    HostStatus { host: facts.host, trouble, state: facts.state }
}
