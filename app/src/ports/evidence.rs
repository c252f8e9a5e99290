//! Flags and CI: where they are asked and, flags, set.

use async_trait::async_trait;
use unship_core::ci::CiProof;
use unship_core::flags::{FlagName, FlagState, FlagValue};
use unship_core::protocol::Epoch;
use unship_core::release::{RunId, Tag};

use super::CheckFailure;

/// Under whose name a flag is set: hosts that keep flags compare it with the run that has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acting {
    /// The run.
    pub run: RunId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Index of the step.
    pub step: usize,
    /// Which attempt.
    pub attempt: u32,
}

/// Where an environment's flags are.
#[async_trait]
pub trait FlagSource: Send + Sync {
    /// What it is, for people: a file, a server.
    fn name(&self) -> String;
    /// All flags with what they are set to.
    async fn read(&self) -> Result<Vec<FlagState>, CheckFailure>;
    /// Sets one flag. Without a value's `raw` it is only turned on or off. Setting it again does no harm.
    async fn set(&self, flag: &FlagName, to: &FlagValue, acting: &Acting) -> Result<(), CheckFailure>;
    /// Puts what `new`, the file of flags of a release, has otherwise than `old`; without `old` all of it. Fails
    /// where flags are in no file.
    async fn install(&self, new: &str, old: Option<&str>, acting: &Acting) -> Result<(), CheckFailure>;
}

/// Who knows whether a commit passed.
#[async_trait]
pub trait CiSource: Send + Sync {
    /// What it is, for people.
    fn name(&self) -> String;
    /// Checks without which nothing is green.
    fn required(&self) -> &[String];
    /// What it says of a commit. No check at all is an answer; not being answered is a failure.
    async fn ask(&self, commit: &str, tag: &Tag) -> Result<CiProof, CheckFailure>;
}
