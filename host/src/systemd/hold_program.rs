//! What holds a socket: a copy of this program, where every hold unit can reach it.
//!
//! The agent itself may be in a home that units do not see, or below a digest that a newer deploy takes away, while
//! the host is held and boots. The copy lies beside the releases and is what it is until a newer agent holds.

use std::ffi::OsString;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::files::swap_file;
use crate::hold::HOLD_VERB;
use crate::{durable, store};

/// Where the copy is, below the service's root.
const FOLDER: &str = "hold";
const NAME: &str = "unship";
/// A hold unit runs as nobody in particular (DynamicUser=).
const MODE: u32 = 0o755;

/// What holds a socket while no release may serve: this program with the arguments that make it so.
#[derive(Debug, Clone)]
pub struct HoldProgram {
    /// The program.
    pub program: PathBuf,
    /// Its arguments, before the seconds of `Retry-After`.
    pub args: Vec<OsString>,
}

impl Default for HoldProgram {
    fn default() -> HoldProgram {
        // The running program itself, even when the file was replaced by a newer one meanwhile.
        HoldProgram { program: PathBuf::from("/proc/self/exe"), args: vec![OsString::from(HOLD_VERB)] }
    }
}

impl HoldProgram {
    /// Sees to it that there is a copy that any user can execute. Answers what to execute: where there cannot be this
    /// copy, because the disk is full, one that an earlier agent left, or the program where it is.
    pub(super) fn place(&self, root: &Path) -> PathBuf {
        let place = root.join(FOLDER).join(NAME);
        match self.copy_to(&place) {
            Ok(()) => place,
            Err(_) if is_executable(&place) => place,
            Err(_) => fs_err::read_link(&self.program).unwrap_or_else(|_| self.program.clone()),
        }
    }

    fn copy_to(&self, place: &Path) -> io::Result<()> {
        let folder = place.parent().unwrap_or(Path::new("/"));
        durable::folder(folder)?;
        let (_, digest) = store::hash_through(&self.program)?;
        swap_file(place, &self.program, &digest)?;
        for path in [folder, place] {
            if fs_err::metadata(path)?.permissions().mode() & 0o7777 != MODE {
                fs_err::set_permissions(path, PermissionsExt::from_mode(MODE))?;
            }
        }
        Ok(())
    }
}

fn is_executable(place: &Path) -> bool {
    fs_err::metadata(place).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o001 != 0)
}

#[cfg(test)]
#[path = "hold_program_tests.rs"]
mod tests;
