//! Containing a release before anybody knows more, and letting it serve again.

use super::{HostFacts, MissingHost, Plan, PlanError, RunKind, Step, Wave, WaveSize};
use crate::release::{EnvironmentName, Release, ServiceName};

/// What the plan of a hold, or of the release from one, is made from.
#[derive(Debug, Clone)]
pub struct HoldFacts {
    /// The service.
    pub service: ServiceName,
    /// The environment.
    pub environment: EnvironmentName,
    /// Why.
    pub reason: String,
    /// The hosts that answered.
    pub hosts: Vec<HostFacts>,
    /// The hosts that did not.
    pub missing: Vec<MissingHost>,
    /// What `Retry-After` says, in seconds.
    pub retry_after_s: u32,
    /// How many hosts are released at the same time. All are held at once: containing comes first.
    pub size: WaveSize,
}

/// The plan of a hold: every host that serves something, at the same time.
pub fn hold(facts: &HoldFacts) -> Result<Plan, PlanError> {
    let serving = facts.hosts.iter().filter(|host| host.held().is_none());
    let serving: Vec<(&HostFacts, &Release)> =
        serving.filter_map(|host| Some((host, host.serves().or(host.live().first().copied())?))).collect();
    let Some((_, first)) = serving.first() else {
        let held = facts.hosts.iter().any(|host| host.held().is_some());
        return Err(if held { PlanError::AlreadyHeld } else { PlanError::NothingToHold });
    };
    let steps = serving.iter().map(|(host, release)| Step::Hold {
        host: host.host.clone(),
        from: Some((*release).clone()),
        retry_after_s: facts.retry_after_s,
    });
    Ok(plan(facts, RunKind::Hold, first, Wave::of(steps.collect()).into_iter().collect()))
}

/// The plan of the release from a hold: every held host serves again what it served, with proof, in waves.
pub fn release_hold(facts: &HoldFacts) -> Result<Plan, PlanError> {
    let held: Vec<(&HostFacts, &Release, u32)> = facts
        .hosts
        .iter()
        .filter_map(|host| {
            let held = host.state.held.as_ref()?;
            Some((host, held.release.as_ref()?, held.retry_after_s))
        })
        .collect();
    let Some((_, first, _)) = held.first() else { return Err(PlanError::NotHeld) };
    for (host, release, _) in &held {
        if let Some(mark) = host.state.quarantined.iter().find(|mark| mark.release.digest == release.digest) {
            return Err(PlanError::TargetQuarantined {
                target: (*release).clone(),
                host: host.host.clone(),
                reason: mark.reason.clone(),
            });
        }
    }
    let first = (*first).clone();
    // What is held has no capacity that a wave could take.
    let all = facts.hosts.len() + facts.missing.len();
    let waves = facts.size.waves(held.into_iter().map(|host| (host, false)).collect(), all, 0);
    let steps = |(host, release, retry_after_s): (&HostFacts, &Release, u32)| {
        let release_hold =
            Step::ReleaseHold { host: host.host.clone(), release: release.clone(), retry_after_s };
        [release_hold, Step::Prove { host: host.host.clone(), release: release.clone() }]
    };
    let waves = waves.into_iter().map(|wave| Wave { steps: wave.into_iter().flat_map(steps).collect() });
    Ok(plan(facts, RunKind::ReleaseHold, &first, waves.collect()))
}

fn plan(facts: &HoldFacts, kind: RunKind, release: &Release, waves: Vec<Wave>) -> Plan {
    Plan {
        kind,
        service: facts.service.clone(),
        environment: facts.environment.clone(),
        from: Some(release.clone()),
        to: release.clone(),
        reason: facts.reason.clone(),
        waves,
        without: facts.missing.clone(),
    }
}
