//! From facts to a plan. Refuses before anything is changed, and says what would help.

use std::collections::BTreeSet;

use super::{OnFailure, Plan, RunKind, Step};
use crate::protocol::{Flip, HostState, InstanceState};
use crate::release::{EnvironmentName, HostName, Release, ServiceName};

/// What one host was seen to have before the plan was made.
#[derive(Debug, Clone)]
pub struct HostFacts {
    /// The host.
    pub host: HostName,
    /// Its state.
    pub state: HostState,
}

impl HostFacts {
    /// The releases that serve on the host: those of its instances, but for the ones that only finish their
    /// last requests; what it would boot when nothing runs. More than one after a flip that was cut off.
    pub fn live(&self) -> Vec<&Release> {
        let mut live: Vec<&Release> = Vec::new();
        for instance in &self.state.instances {
            if instance.state != InstanceState::Draining && !live.contains(&&instance.release) {
                live.push(&instance.release);
            }
        }
        if live.is_empty() {
            live.extend(&self.state.current);
        }
        live
    }

    /// What the host serves: the release of its instances if they agree, else what it would boot.
    pub fn serves(&self) -> Option<&Release> {
        match self.live().as_slice() {
            [one] => Some(one),
            _ => self.state.current.as_ref(),
        }
    }

    fn has(&self, release: &Release) -> bool {
        self.state.releases.iter().any(|stored| stored.release.digest == release.digest)
    }
}

/// What a deploy's plan is made from.
#[derive(Debug, Clone)]
pub struct DeployFacts {
    /// The service.
    pub service: ServiceName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The release to bring out.
    pub release: Release,
    /// The hosts, in the order to flip them.
    pub hosts: Vec<HostFacts>,
    /// Whether the service has a command that applies its migrations.
    pub migrates: bool,
    /// Whether a smoke command is configured.
    pub smokes: bool,
    /// Releases to keep on the hosts besides what runs.
    pub keep: Vec<Release>,
}

/// What a rollback's plan is made from.
#[derive(Debug, Clone)]
pub struct RollbackFacts {
    /// The service.
    pub service: ServiceName,
    /// The environment.
    pub environment: EnvironmentName,
    /// The release to take back; none when some host only lacks what it should serve already.
    pub bad: Option<Release>,
    /// The release to go back to.
    pub target: Release,
    /// Why.
    pub reason: String,
    /// The hosts, in the order to flip them.
    pub hosts: Vec<HostFacts>,
    /// In which order to stop and start: from the failure mode.
    pub flip: Flip,
    /// Whether a smoke command is configured.
    pub smokes: bool,
}

/// Why no plan was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The environment has no host.
    #[error("the environment `{environment}` has no host")]
    NoHosts {
        /// The environment.
        environment: EnvironmentName,
    },
    /// A host does not have the target, and a rollback brings nothing over.
    #[error("{target} is not on {}", .hosts.join(", "))]
    TargetNotStored {
        /// The target.
        target: Release,
        /// The hosts that lack it.
        hosts: Vec<String>,
    },
    /// The target is quarantined on a host.
    #[error("{target} is in quarantine on {host}: {reason}")]
    TargetQuarantined {
        /// The target.
        target: Release,
        /// The host.
        host: HostName,
        /// Why it was put there.
        reason: String,
    },
    /// The release to take back is the target.
    #[error("{target} is what serves now")]
    SameRelease {
        /// The target.
        target: Release,
    },
}

/// The plan of a deploy: stage everywhere, migrate once, flip host by host with proof, smoke, tidy up.
pub fn deploy(facts: &DeployFacts) -> Result<Plan, PlanError> {
    let DeployFacts { release, hosts, .. } = facts;
    check_hosts(&facts.environment, release, hosts)?;
    let mut steps = Vec::new();
    for host in hosts.iter().filter(|host| !host.has(release)) {
        steps.push(Step::Stage { host: host.host.clone(), release: release.clone() });
    }
    if facts.migrates {
        steps.push(Step::MigrateUp { release: release.clone() });
    }
    flip_each(&mut steps, hosts, release, Flip::Overlap);
    if facts.smokes {
        steps.push(Step::Smoke { release: release.clone() });
    }
    for host in hosts {
        steps.push(Step::Prune { host: host.host.clone(), keep: facts.keep.clone() });
    }
    Ok(Plan {
        kind: RunKind::Deploy,
        service: facts.service.clone(),
        environment: facts.environment.clone(),
        from: serves_everywhere(hosts),
        to: release.clone(),
        reason: String::new(),
        steps,
    })
}

/// The plan of a rollback that leaves the schema alone: quarantine the bad release, flip every host with
/// proof, smoke. Nothing is brought over: the target was put there when it was deployed.
pub fn rollback(facts: &RollbackFacts) -> Result<Plan, PlanError> {
    let RollbackFacts { target, bad, hosts, .. } = facts;
    check_hosts(&facts.environment, target, hosts)?;
    if bad.as_ref().is_some_and(|bad| bad.digest == target.digest) {
        return Err(PlanError::SameRelease { target: target.clone() });
    }
    let lacking: Vec<String> =
        hosts.iter().filter(|host| !host.has(target)).map(|host| host.host.to_string()).collect();
    if !lacking.is_empty() {
        return Err(PlanError::TargetNotStored { target: target.clone(), hosts: lacking });
    }
    let mut steps = Vec::new();
    for (host, bad) in hosts.iter().flat_map(|host| bad.iter().map(move |bad| (host, bad))) {
        steps.push(Step::Quarantine {
            host: host.host.clone(),
            release: bad.clone(),
            reason: facts.reason.clone(),
        });
    }
    flip_each(&mut steps, hosts, target, facts.flip);
    if facts.smokes {
        steps.push(Step::Smoke { release: target.clone() });
    }
    Ok(Plan {
        kind: RunKind::Rollback,
        service: facts.service.clone(),
        environment: facts.environment.clone(),
        from: bad.clone(),
        to: target.clone(),
        reason: facts.reason.clone(),
        steps,
    })
}

fn check_hosts(
    environment: &EnvironmentName,
    target: &Release,
    hosts: &[HostFacts],
) -> Result<(), PlanError> {
    if hosts.is_empty() {
        return Err(PlanError::NoHosts { environment: environment.clone() });
    }
    for host in hosts {
        if let Some(mark) = host.state.quarantined.iter().find(|mark| mark.release.digest == target.digest) {
            return Err(PlanError::TargetQuarantined {
                target: target.clone(),
                host: host.host.clone(),
                reason: mark.reason.clone(),
            });
        }
    }
    Ok(())
}

fn flip_each(steps: &mut Vec<Step>, hosts: &[HostFacts], to: &Release, flip: Flip) {
    for host in hosts {
        steps.push(Step::Flip {
            host: host.host.clone(),
            from: host.serves().cloned(),
            to: to.clone(),
            flip,
        });
        steps.push(Step::Prove { host: host.host.clone(), release: to.clone() });
    }
}

/// The one release that all hosts serve, if they agree.
fn serves_everywhere(hosts: &[HostFacts]) -> Option<Release> {
    let served: BTreeSet<_> = hosts.iter().map(|host| host.serves().map(|release| release.digest)).collect();
    if served.len() == 1 { hosts.first().and_then(HostFacts::serves).cloned() } else { None }
}

impl Plan {
    /// What the failure of the step at `index` means for this run.
    pub fn on_failure(&self, index: usize) -> OnFailure {
        match (self.kind, self.steps.get(index)) {
            (_, Some(Step::Prune { .. })) => OnFailure::Note,
            (RunKind::Deploy, _) => OnFailure::GoBack,
            // A rollback is never itself rolled back onto the bad release: it goes on and names what failed.
            // A mark that could not be written must not keep the bad code running.
            (RunKind::Rollback, Some(Step::Quarantine { .. } | Step::Smoke { .. })) => OnFailure::GoOn,
            (RunKind::Rollback, _) => OnFailure::PassOver,
        }
    }
}
