//! What is rehearsed: which releases, how the failure is seen, what must hold afterwards. Values from
//! `unship.toml`; nothing here knows any service.

use unship_core::decision::FailureMode;
use unship_core::flags::FlagName;
use unship_core::release::Tag;

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
    pub mode: FailureMode,
    /// Which way is gone.
    pub way: Way,
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

/// Which way is gone from the bad release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Option 1: the code goes back, and the schema stays.
    Back,
    /// Forward: this flag is turned off, and nothing is taken back.
    Flag(FlagName),
    /// Option 2: this hotfix is shipped on top of the bad release.
    Hotfix(Tag),
    /// Option 3: the migrations of the bad release are taken down while the service is held, and the code goes back.
    Down,
}

impl Way {
    /// The option of the runbook; none where a flag is all that it takes.
    pub fn option(&self) -> Option<u8> {
        match self {
            Way::Flag(_) => None,
            Way::Back => Some(1),
            Way::Hotfix(_) => Some(2),
            Way::Down => Some(3),
        }
    }
}

/// How a failure shows.
#[derive(Debug, Clone, PartialEq)]
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
    /// A command of the scenario's own fails on the bad release.
    CheckFails {
        /// The command, with the words in braces still in it.
        command: Vec<String>,
    },
}

impl Scenario {
    /// What serves in the end.
    pub fn ends_on(&self) -> &Tag {
        match &self.way {
            Way::Back | Way::Down => &self.good,
            Way::Flag(_) => &self.bad,
            Way::Hotfix(hotfix) => hotfix,
        }
    }
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
            Seen::CheckFails { command } => format!("a failing `{}`", command.join(" ")),
        }
    }
}
