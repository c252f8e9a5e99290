//! The plan of taking over what serves: nothing is flipped.

use super::{Plan, RunKind, Step, Wave};
use crate::protocol::Adoption;
use crate::release::{EnvironmentName, HostName, Release, ServiceName};

/// What a plan to adopt is made from.
#[derive(Debug, Clone)]
pub struct AdoptFacts {
    /// The service.
    pub service: ServiceName,
    /// The environment.
    pub environment: EnvironmentName,
    /// What serves.
    pub release: Release,
    /// The hosts, with what each is asked to take over.
    pub hosts: Vec<(HostName, Adoption)>,
}

/// Every host by itself, all at the same time, each with its proof that it still serves what it served.
pub fn adopt(facts: AdoptFacts) -> Plan {
    let prove = |host: &HostName| Step::Prove { host: host.clone(), release: facts.release.clone() };
    let steps = facts.hosts.iter().flat_map(|(host, adoption)| {
        [Step::Adopt { host: host.clone(), adoption: Box::new(adoption.clone()) }, prove(host)]
    });
    let waves = Wave::of(steps.collect()).into_iter().collect();
    Plan {
        kind: RunKind::Adopt,
        service: facts.service,
        environment: facts.environment,
        from: None,
        to: facts.release,
        reason: String::new(),
        waves,
        without: Vec::new(),
    }
}
