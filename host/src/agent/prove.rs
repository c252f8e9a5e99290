//! Whether a process is what it is said to be. A native binary is known by its file: /proc names device and
//! inode of what the process executes, and that file is verified. Two releases of an interpreted service
//! share their interpreter, so there the invocation and the release's folder have to do.

use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::hold::HOLD_VERB;
use crate::store::{Store, StoreError};
use crate::supervise::SlotView;

/// The first bytes of a native executable.
const ELF_MAGIC: [u8; 4] = *b"\x7fELF";
/// How much of a process's arguments and environment is looked at.
const PROC_BYTES_MAX: u64 = 1 << 20;

/// Whether the slot's process runs its release's verified file. An altered file is an error; a process that
/// has ended, or runs something else, is not proved.
pub(super) fn proved(store: &mut Store, slot: &SlotView) -> Result<bool, StoreError> {
    let pid = slot.instance.pid;
    if slot.waits {
        // Nothing runs: what will run is the release's file, whole.
        return store.verify(&slot.instance.release).map(|()| true);
    }
    if pid == 0 {
        return Ok(false);
    }
    if slot.instance.release.is_hold() {
        return Ok(is_invocation(pid, &slot.instance.invocation) && has_argument(pid, HOLD_VERB.as_bytes()));
    }
    // The link is followed by the kernel to the file itself, even when its name is gone.
    let Ok(running) = fs_err::metadata(format!("/proc/{pid}/exe")) else { return Ok(false) };
    if store.verify_executable(&slot.instance.release, running.dev(), running.ino())? {
        return Ok(true);
    }
    if let Some(runs) = &slot.runs
        && store.has_executable(&slot.instance.release, runs)?
    {
        return Ok(true);
    }
    if is_native(&slot.program) {
        return Ok(false);
    }
    let Ok(script) = fs_err::metadata(&slot.program) else { return Ok(false) };
    Ok(store.verify_executable(&slot.instance.release, script.dev(), script.ino())?
        && is_invocation(pid, &slot.instance.invocation)
        && (works_in(pid, &slot.files) || has_argument_in(pid, &slot.files)))
}

fn is_native(program: &Path) -> bool {
    let mut magic = [0; 4];
    let read = fs_err::File::open(program).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && magic == ELF_MAGIC
}

fn read_bounded(path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(file) = fs_err::File::open(path) {
        let _ = file.take(PROC_BYTES_MAX).read_to_end(&mut bytes);
    }
    bytes
}

/// Whether the process was started as this invocation, by the child runner or by systemd.
fn is_invocation(pid: u32, invocation: &str) -> bool {
    let environment = read_bounded(&format!("/proc/{pid}/environ"));
    let names = ["UNSHIP_INVOCATION=", "INVOCATION_ID="].map(|name| format!("{name}{invocation}"));
    environment.split(|byte| *byte == 0).any(|found| names.iter().any(|name| name.as_bytes() == found))
}

fn works_in(pid: u32, files: &Path) -> bool {
    let identity = |path: &Path| fs_err::metadata(path).map(|found| (found.dev(), found.ino())).ok();
    let cwd = identity(Path::new(&format!("/proc/{pid}/cwd")));
    cwd.is_some() && cwd == identity(files)
}

fn has_argument(pid: u32, wanted: &[u8]) -> bool {
    read_bounded(&format!("/proc/{pid}/cmdline")).split(|byte| *byte == 0).any(|found| found == wanted)
}

/// Also by a link: what a connection starts is named by what is current.
fn has_argument_in(pid: u32, files: &Path) -> bool {
    let arguments = read_bounded(&format!("/proc/{pid}/cmdline"));
    let real = fs_err::canonicalize(files).unwrap_or_else(|_| files.to_owned());
    arguments.split(|byte| *byte == 0).any(|argument| {
        let path = Path::new(std::ffi::OsStr::from_bytes(argument));
        let leads = || fs_err::canonicalize(path).is_ok_and(|path| path.starts_with(&real));
        path.starts_with(files) || path.is_absolute() && leads()
    })
}
