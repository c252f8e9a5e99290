//! A command of the service's own that says how CI went.

use std::collections::BTreeMap;

use async_trait::async_trait;
use unship_core::ci::CiProof;
use unship_core::release::Tag;

use super::{commit_id, failure};
use crate::ports::{CheckFailure, CiSource};
use crate::process::Program;

/// The most that it may print, in bytes.
const ANSWER_BYTES_MAX: usize = 4 << 20;

/// A command.
pub struct CiCommandSource {
    /// Its words, with those in braces still in them.
    pub ask: Vec<String>,
    /// Its variables.
    pub environment: BTreeMap<String, String>,
    /// Where it starts.
    pub folder: std::path::PathBuf,
    /// Checks without which nothing is green.
    pub required: Vec<String>,
    /// How long it may take, milliseconds.
    pub time_ms_max: u64,
}

#[async_trait]
impl CiSource for CiCommandSource {
    fn name(&self) -> String {
        format!("`{}`", self.ask.join(" "))
    }

    fn required(&self) -> &[String] {
        &self.required
    }

    async fn ask(&self, commit: &str, tag: &Tag) -> Result<CiProof, CheckFailure> {
        let commit = commit_id(commit)?;
        let fill = |word: &String| word.replace("{commit}", commit).replace("{tag}", tag.as_str());
        let words: Vec<String> = self.ask.iter().map(fill).collect();
        let shown = words.join(" ");
        let failed = |why: String| CheckFailure {
            message: format!("the command for CI failed: {why}"),
            hint: Some(format!("run it yourself: {shown}")),
        };
        let mut program =
            Program::new(words, self.time_ms_max).with(&self.environment).in_folder(&self.folder);
        program.output_bytes_max = ANSWER_BYTES_MAX;
        let ended = program.run().await.map_err(|error| failed(error.to_string()))?;
        if !ended.success {
            return Err(failed(format!("{}: {}", ended.status, ended.complaint())));
        }
        let proof: CiProof = serde_json::from_slice(&ended.stdout)
            .map_err(|error| failure(format!("the command for CI prints something else: {error}")))?;
        Ok(proof)
    }
}
