//! Whose the hosts are: claiming them for a run under a new epoch, and giving them back.
//!
//! A host that does not answer cannot be claimed and need not be: it is claimed before it is asked for anything.
//! One that comes back with a higher epoch, whose run has ended, is claimed with a still higher one.

use std::collections::BTreeSet;

use unship_core::plan::{HostFacts, MissingHost};
use unship_core::protocol::{Epoch, EpochRecord, Holder, HostReply, HostRequest, Refusal};
use unship_core::release::{HostName, RunId};

use super::FlowError;
use super::observe::{ask_all, question, unexpected};
use crate::ports::{Host, World};

/// The epoch records of hosts.
pub type Claims = Vec<(HostName, Option<EpochRecord>)>;

/// Whose every host is.
pub(super) fn claims_of(hosts: &[HostFacts]) -> Claims {
    hosts.iter().map(|facts| (facts.host.clone(), facts.state.epoch.clone())).collect()
}

/// Whose every host is now, asked at the same time; beside them the hosts that did not answer. Fails only when not
/// one of them answers.
pub(super) async fn whose(world: &World, run: &RunId) -> Result<(Claims, Vec<MissingHost>), FlowError> {
    let answers = ask_all(world, |host| async move {
        match host.transport.call(question(run, HostRequest::Whose)).await? {
            HostReply::Whose { record } => Ok((host.name.clone(), record)),
            reply => Err(unexpected(host, reply)),
        }
    });
    answers.await
}

/// Fails when another run was at a host since it was seen. Whoever waits while another rolls back, and then
/// executes what was planned before, would take a second release back. A host that was not seen then is none of
/// the plan's.
pub(super) fn not_overtaken(seen: &Claims, now: &Claims) -> Result<(), FlowError> {
    let was_seen = |name: &HostName| seen.iter().any(|(host, _)| host == name);
    let changed = now.iter().find(|claim| was_seen(&claim.0) && !seen.contains(claim));
    match changed {
        Some((host, Some(record))) => {
            Err(FlowError::Overtaken { host: host.clone(), holder: Box::new(record.holder.clone()) })
        }
        Some((_, None)) | None => Ok(()),
    }
}

/// The highest epoch that any host knows.
pub(super) fn highest_epoch(claims: &Claims) -> Epoch {
    let epochs = claims.iter().filter_map(|(_, record)| record.as_ref()).map(|record| record.epoch);
    epochs.max().unwrap_or(Epoch(0))
}

/// The hosts that could not be claimed, with why.
pub(super) type Unclaimed = Vec<(HostName, FlowError)>;

/// Claims the hosts for the run, at the same time; answers those that could not be reached. A host that another
/// run claimed meanwhile refuses, and then nothing goes on.
pub(super) async fn claim(
    hosts: impl Iterator<Item = &Host>,
    holder: &Holder,
    epoch: Epoch,
) -> Result<Unclaimed, FlowError> {
    let claims = hosts.map(|host| async move { (host, claim_one(host, holder, epoch).await) });
    let mut unclaimed = Vec::new();
    let mut refused = None;
    for (host, claimed) in futures_util::future::join_all(claims).await {
        match claimed {
            Ok(()) => {}
            Err(error @ FlowError::Refused { .. }) => refused = refused.or(Some(error)),
            Err(error) => unclaimed.push((host.name.clone(), error)),
        }
    }
    refused.map_or(Ok(unclaimed), Err)
}

pub(super) async fn claim_one(host: &Host, holder: &Holder, epoch: Epoch) -> Result<(), FlowError> {
    let mut envelope = question(&holder.run, HostRequest::Claim { holder: holder.clone() });
    envelope.epoch = epoch;
    match host.transport.call(envelope).await? {
        HostReply::Done { .. } => Ok(()),
        reply => Err(unexpected(host, reply)),
    }
}

/// The epoch that a host must be asked above: it was away, and had another run meanwhile, which has ended.
pub(super) fn must_be_above(error: &FlowError) -> Option<Epoch> {
    match error {
        FlowError::Refused { refusal: Refusal::StaleEpoch { now, .. }, .. } if now.ended => Some(now.epoch),
        _ => None,
    }
}

/// Gives hosts back, at the same time. A claim that stays ends with the next run's.
pub(super) async fn unclaim(world: &World, run: &RunId, epoch: Epoch, passed_over: &BTreeSet<HostName>) {
    let hosts = world.hosts.iter().filter(|host| !passed_over.contains(&host.name));
    let asked = hosts.map(|host| async move {
        let mut envelope = question(run, HostRequest::Unclaim);
        envelope.epoch = epoch;
        host.transport.call(envelope).await.err()
    });
    for error in futures_util::future::join_all(asked).await.into_iter().flatten() {
        world.progress.note(&format!("{error}; its claim ends with the next run"));
    }
}
