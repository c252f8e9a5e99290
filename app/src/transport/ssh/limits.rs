//! How long a request may take before the one who is asked counts as silent.
//!
//! A connection that is cut is noticed by ssh within fifteen seconds; these limits are for an agent, or a disk
//! below it, that hangs while sshd answers.

use std::time::Duration;

use unship_core::protocol::HostRequest;

/// What an agent may wait for its lock (five seconds), and some air for a host under load.
const ANSWER_S_MAX: u64 = 25;

/// Reading and hashing a whole release from a slow disk.
const HASHING_S_MAX: u64 = 300;

/// The slowest line on which a release is sent.
const LINE_BYTES_PER_S_MIN: u64 = 64 << 10;

/// What a unit may need beyond its own limits: being told, being looked at, being ended by force.
const UNIT_MS_MAX: u64 = 10_000;

pub(super) fn answer_max(request: &HostRequest) -> Duration {
    match request {
        HostRequest::Observe
        | HostRequest::Whose
        | HostRequest::Look { .. }
        | HostRequest::Claim { .. }
        | HostRequest::Unclaim
        | HostRequest::Quarantine { .. }
        | HostRequest::LiftQuarantine { .. } => Duration::from_secs(ANSWER_S_MAX),
        HostRequest::Verify { .. }
        | HostRequest::Stage { .. }
        | HostRequest::Publish { .. }
        | HostRequest::Adopt { .. }
        | HostRequest::Prune { .. } => Duration::from_secs(ANSWER_S_MAX + HASHING_S_MAX),
        HostRequest::Write { bytes, .. } => {
            Duration::from_secs(ANSWER_S_MAX + bytes.len() as u64 / LINE_BYTES_PER_S_MIN)
        }
        // The target's files are read before it is started; then every unit gets ready and its other ends.
        HostRequest::Converge { desired } => {
            let service = &desired.service;
            let unit_ms =
                service.ready_ms_max.saturating_add(service.drain_ms_max).saturating_add(UNIT_MS_MAX);
            let units = service.units.len() as u64;
            Duration::from_secs(ANSWER_S_MAX + HASHING_S_MAX)
                .saturating_add(Duration::from_millis(unit_ms.saturating_mul(units)))
        }
    }
}
