//! How many hosts are flipped at the same time, and how many must go on serving meanwhile.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A number of hosts, or a part of them: `3` or `"25%"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ShareText", into = "ShareText")]
pub enum Share {
    /// So many.
    Count(u32),
    /// So many of a hundred, at most 100.
    Percent(u32),
}

/// What a share is not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no share of the hosts: write a number, or a part such as \"25%\"")]
pub struct ShareError {
    text: String,
}

/// A share as it is written down.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum ShareText {
    Number(u32),
    Text(String),
}

impl TryFrom<ShareText> for Share {
    type Error = ShareError;

    fn try_from(text: ShareText) -> Result<Share, ShareError> {
        match text {
            ShareText::Number(count) => Ok(Share::Count(count)),
            ShareText::Text(text) => text.parse(),
        }
    }
}

impl From<Share> for ShareText {
    fn from(share: Share) -> ShareText {
        match share {
            Share::Count(count) => ShareText::Number(count),
            Share::Percent(_) => ShareText::Text(share.to_string()),
        }
    }
}

impl FromStr for Share {
    type Err = ShareError;

    fn from_str(text: &str) -> Result<Share, ShareError> {
        let refused = || ShareError { text: text.to_owned() };
        let (number, percent) = match text.strip_suffix('%') {
            Some(number) => (number, true),
            None => (text, false),
        };
        // `parse` would take a sign as well.
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(refused());
        }
        let number: u32 = number.parse().map_err(|_| refused())?;
        match percent {
            true if number > 100 => Err(refused()),
            true => Ok(Share::Percent(number)),
            false => Ok(Share::Count(number)),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Share::Count(count) => write!(f, "{count}"),
            Share::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl Share {
    /// As an upper bound: rounded down, and at least one, so that something can go on.
    pub fn at_most(self, hosts: usize) -> usize {
        let share = match self {
            Share::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
            Share::Percent(percent) => hosts.saturating_mul(percent as usize) / 100,
        };
        share.clamp(1, hosts.max(1))
    }

    /// As a lower bound: rounded up, and no more than there are.
    pub fn at_least(self, hosts: usize) -> usize {
        let share = match self {
            Share::Count(count) => usize::try_from(count).unwrap_or(usize::MAX),
            Share::Percent(percent) => hosts.saturating_mul(percent as usize).div_ceil(100),
        };
        share.min(hosts)
    }
}

/// How hosts are put into waves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaveSize {
    /// The most hosts of one wave.
    pub hosts: Share,
    /// How many hosts must go on serving while a wave is flipped.
    pub capacity_min: Share,
}

impl Default for WaveSize {
    /// One at a time.
    fn default() -> WaveSize {
        WaveSize { hosts: Share::Count(1), capacity_min: Share::Count(0) }
    }
}

impl WaveSize {
    /// Puts hosts into waves, in their order. Each comes with whether it serves now: one that does not costs no
    /// capacity. `all` is how many hosts the environment has and `serving` how many of them serve now.
    ///
    /// Where capacity has nothing to spare the serving hosts go one at a time: a fleet that could never be flipped
    /// could never be mended either.
    pub fn waves<T>(self, hosts: Vec<(T, bool)>, all: usize, serving: usize) -> Vec<Vec<T>> {
        let size = self.hosts.at_most(all);
        let spare = serving.saturating_sub(self.capacity_min.at_least(all)).max(1);
        let mut waves: Vec<Vec<T>> = Vec::new();
        let (mut room, mut spared) = (0, 0);
        for (host, serves) in hosts {
            if room == 0 || (serves && spared == 0) {
                waves.push(Vec::new());
                (room, spared) = (size, spare);
            }
            room -= 1;
            if serves {
                spared -= 1;
            }
            if let Some(wave) = waves.last_mut() {
                wave.push(host);
            }
        }
        waves
    }
}

#[cfg(test)]
mod tests;
