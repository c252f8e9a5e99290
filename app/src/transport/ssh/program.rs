//! This program as an agent for other machines: its bytes without what only a debugger reads, its digest, and
//! what it needs of a host. Read once a run, and only when an agent has to be put somewhere.

use std::path::PathBuf;

use tokio::sync::OnceCell;
use unship_core::release::Digest;

use super::elf::{self, Needs};

/// The program that is put on hosts.
#[derive(Debug)]
pub struct AgentProgram {
    file: PathBuf,
    read: OnceCell<Result<Program, String>>,
}

/// What was read of it.
#[derive(Debug)]
pub(super) struct Program {
    pub bytes: Vec<u8>,
    pub digest: Digest,
    pub needs: Needs,
}

impl AgentProgram {
    /// This program itself, even when its file was replaced since it was started.
    pub fn own() -> AgentProgram {
        AgentProgram::of("/proc/self/exe".into())
    }

    /// The program in a file.
    pub fn of(file: PathBuf) -> AgentProgram {
        AgentProgram { file, read: OnceCell::new() }
    }

    pub(super) async fn read(&self) -> Result<&Program, String> {
        let read = self.read.get_or_init(async || {
            let file = self.file.clone();
            let read = tokio::task::spawn_blocking(move || {
                let bytes = fs_err::read(&file).map_err(|error| error.to_string())?;
                let needs = elf::needs(&bytes)
                    .ok_or_else(|| format!("`{}` is no program for Linux", file.display()))?;
                let bytes = elf::stripped(bytes);
                Ok(Program { digest: Digest::of(&bytes), bytes, needs })
            });
            read.await.unwrap_or_else(|error| Err(error.to_string()))
        });
        read.await.as_ref().map_err(Clone::clone)
    }
}
