//! What is remembered of a service between commands and belongs to no environment: how long a rehearsed rollback
//! took. Best effort: a time that cannot be kept is a time that is not known.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Site;

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Serialize, Deserialize)]
struct Rehearsal {
    took_ms: u64,
}

/// `$XDG_STATE_HOME/unship/SERVICE/rehearsal.json`, as the XDG base directory specification has it.
fn rehearsal_file(service: &str) -> Option<PathBuf> {
    let absolute =
        |name| std::env::var_os(name).map(PathBuf::from).filter(|path: &PathBuf| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join("unship").join(service).join("rehearsal.json"))
}

/// Remembers how long the rollback of a drill took in which everything held.
pub fn remember_rehearsal(service: &str, took_ms: f64) {
    let Some(file) = rehearsal_file(service) else { return };
    let took = std::time::Duration::try_from_secs_f64(took_ms / 1_000.0).unwrap_or_default();
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let written = || -> std::io::Result<()> {
        let folder = file.parent().map(PathBuf::from).unwrap_or_default();
        fs_err::create_dir_all(&folder)?;
        let mut made = tempfile::NamedTempFile::new_in(&folder)?;
        serde_json::to_writer(&mut made, &Rehearsal { took_ms })?;
        made.persist(&file)?;
        Ok(())
    };
    if let Err(error) = written() {
        tracing::info!("the time of the drill is not kept: {error}");
    }
}

impl Site {
    /// How long the rollback of the last good drill of this service took, in milliseconds.
    pub fn rehearsed_ms(&self) -> Option<u64> {
        let text = small_file(&rehearsal_file(self.config.service.name.as_str())?).ok()?;
        Some(serde_json::from_str::<Rehearsal>(&text).ok()?.took_ms)
    }
}

fn small_file(path: &std::path::Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    fs_err::File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}
