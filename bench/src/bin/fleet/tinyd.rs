//! The service of the benchmark, in the two releases between which every side goes back and forth.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::testbed::{Failure, run};

/// The history of tinyd, and the programs of its two good releases that are as slow to start as a small service.
pub struct Tinyd {
    folder: TempDir,
}

impl Tinyd {
    pub fn build() -> Result<Tinyd, Failure> {
        let folder = tempfile::tempdir()?;
        let history = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testbed/tinyd/make-history");
        run(Command::new(history).arg(folder.path().join("history")))?;
        let tinyd = Tinyd { folder };
        for tag in tinyd.tags() {
            let tree = tinyd.folder.path().join(tag);
            let mut clone = Command::new("git");
            clone.args(["clone", "--quiet", "--branch", tag]).arg(tinyd.history()).arg(&tree);
            run(clone
                .env("GIT_CONFIG_COUNT", "1")
                .env("GIT_CONFIG_KEY_0", "advice.detachedHead")
                .env("GIT_CONFIG_VALUE_0", "false"))?;
            run(Command::new("make").arg("--silent").current_dir(&tree))?;
        }
        Ok(tinyd)
    }

    /// The two releases.
    #[expect(clippy::unused_self, reason = "they are this value's")]
    pub fn tags(&self) -> [&'static str; 2] {
        ["1.5.0", "1.6.0"]
    }

    /// The repository.
    pub fn history(&self) -> PathBuf {
        self.folder.path().join("history")
    }

    /// The program of a release.
    pub fn binary(&self, tag: &str) -> PathBuf {
        self.folder.path().join(tag).join("tinyd")
    }
}
