//! `status`: what every host serves, what is known of every release, who runs what. Changes nothing.

use serde::Serialize;
use unship_core::history::{self, History, ReleaseRecord, Standing};
use unship_core::journal::State;
use unship_core::plan::{HostFacts, MissingHost};
use unship_core::protocol::{Holder, HostState};
use unship_core::release::{HostName, Release, RunId};

use super::observe::{Fleet, host_serves_well, look, serving};
use super::{FlowError, unfinished};
use crate::ports::{Delivery, World};

/// The state of an environment.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// What all hosts serve, if they agree.
    pub serves: Option<Release>,
    /// The release that `rollback` would go back to.
    pub rollback_target: Option<Release>,
    /// Every host that answered.
    pub hosts: Vec<HostStatus>,
    /// Every host that did not, with why.
    pub missing: Vec<MissingHost>,
    /// Every release, newest deploy last.
    pub releases: Vec<ReleaseRecord>,
    /// Who acts right now.
    pub holder: Option<Holder>,
    /// What people are still to be told.
    pub owed: Vec<Delivery>,
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

/// What people are still to be told. An outbox that cannot be read is said by the verb that lists it.
fn owed(world: &World) -> Vec<Delivery> {
    let all = world.aftercare.as_ref().and_then(|aftercare| aftercare.list().ok()).unwrap_or_default();
    all.into_iter().filter(|delivery| delivery.state.is_owed()).collect()
}

/// Looks at everything.
pub async fn status(world: &World, run: RunId) -> Result<Status, FlowError> {
    let Fleet { hosts, missing } = look(world, &run).await?;
    let history = history::fold(&world.ledger.marks().await?);
    let serves = serving(&hosts).ok();
    let rollback_target = serves.as_ref().and_then(|serves| history.target(serves).ok());
    let units = world.target.service.units.len();
    let unfinished = unfinished(world).await?.map(|(_, state): (_, State)| state.holder.run);
    Ok(Status {
        serves,
        rollback_target,
        hosts: hosts.into_iter().map(|facts| host_status(facts, &history, units)).collect(),
        missing,
        releases: history.releases,
        holder: world.ledger.holder().await?,
        owed: owed(world),
        unfinished,
    })
}

fn host_status(facts: HostFacts, history: &History, units: usize) -> HostStatus {
    // One that was away while its release was taken back goes on with it when it returns.
    let bad = facts
        .live()
        .into_iter()
        .find_map(|release| history.get(&release.digest).filter(|record| record.standing == Standing::Bad));
    let trouble = match (&facts.state.held, bad, &facts.state.current) {
        (Some(held), _, _) => Some(format!("held by {}: {}", held.by.who, held.by.what)),
        (None, Some(record), _) => Some(format!("serves {}, which is bad: {}", record.release, record.why)),
        (None, None, current) => trouble(&facts, current.as_ref(), units),
    };
    HostStatus { host: facts.host, trouble, state: facts.state }
}

fn trouble(facts: &HostFacts, current: Option<&Release>, units: usize) -> Option<String> {
    match current {
        Some(current) => host_serves_well(&facts.state, current, units).err(),
        None => Some("it serves nothing".into()),
    }
}
