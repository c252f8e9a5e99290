//! How many hosts of an environment are flipped at the same time: `wave` and `capacity_min`.

use serde::Deserialize;
use unship_core::plan::{Share, WaveSize};

use super::Environment;

/// A number of hosts or a part of them, of which at least one is meant: `wave`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Share")]
pub struct Wave(pub Share);

impl TryFrom<Share> for Wave {
    type Error = &'static str;

    fn try_from(share: Share) -> Result<Wave, &'static str> {
        match share {
            Share::Count(0) | Share::Percent(0) => Err("a wave needs at least one host"),
            share => Ok(Wave(share)),
        }
    }
}

impl Environment {
    /// How hosts are put into waves: one at a time unless the file says otherwise.
    pub fn waves(&self) -> WaveSize {
        let default = WaveSize::default();
        WaveSize {
            hosts: self.wave.map_or(default.hosts, |wave| wave.0),
            capacity_min: self.capacity_min.unwrap_or(default.capacity_min),
        }
    }
}
