//! What is rehearsed: which releases, how the failure is seen, what must hold afterwards. Values from
//! `unship.toml`; nothing here knows any service.

use unship_core::release::Tag;

use crate::flow::rollback::Mode;

/// One scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// The release that is good.
    pub good: Tag,
    /// The release that is not.
    pub bad: Tag,
    /// The failure mode that the operator names.
    pub mode: Mode,
    /// Whether the operator says that the good release runs on the bad one's schema.
    pub accept_unknown_schema: bool,
    /// How long the good release serves under load before the bad one comes, milliseconds.
    pub steady_ms: u64,
    /// How the failure shows.
    pub seen: Seen,
    /// How long to wait until it shows, milliseconds.
    pub seen_within_ms: u64,
    /// How long the load goes on after the rollback, milliseconds.
    pub settle_ms: u64,
    /// The most failed requests of unship's that are borne.
    pub failed_requests_max: u64,
}

/// How a failure shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Seen {
    /// Processes of the bad release have ended by themselves this often since it was deployed.
    Restarts {
        /// How often.
        count: usize,
    },
    /// Of the requests of the last second, at least this part was answered with the status.
    Status {
        /// The status.
        status: u16,
        /// The part, from 0 to 1.
        share: f64,
    },
    /// The smoke command fails on the bad release.
    SmokeFails,
}

impl Seen {
    /// What is waited for, in words.
    pub fn words(&self) -> String {
        match self {
            Seen::Restarts { count } => format!("{count} restarts"),
            Seen::Status { status, share } => {
                format!("status {status} for {:.0} % of the requests", share * 100.0)
            }
            Seen::SmokeFails => "a failing smoke test".to_owned(),
        }
    }
}
