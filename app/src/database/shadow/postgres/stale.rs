//! Clears away what a run left behind whose process and watchdog were both killed.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// Start of the name of every data directory, followed by the owner's process id.
pub(super) const PREFIX: &str = "unship-shadow-";

/// File beside the data that names the owner: process id and start time, so that a reused id is not mistaken.
const OWNER: &str = "owner";

/// Writes who owns `directory`: this process.
pub(super) fn sign(directory: &Path) -> std::io::Result<()> {
    let me = std::process::id();
    fs_err::write(directory.join(OWNER), format!("{me} {}", started(me).unwrap_or_default()))
}

/// Removes directories below `parent` whose owner is gone. What cannot be removed belongs to someone else.
pub(super) fn clear(parent: &Path) {
    for entry in fs_err::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PREFIX) && is_orphan(&entry.path()) {
            stop_server(&entry.path());
            // Left for the next time if it cannot be removed now.
            let _ = fs_err::remove_dir_all(entry.path());
        }
    }
}

fn is_orphan(directory: &Path) -> bool {
    let Ok(owner) = fs_err::read_to_string(directory.join(OWNER)) else { return false };
    let Some((pid, start)) = owner.split_once(' ') else { return false };
    pid.parse().is_ok_and(|pid| started(pid).as_deref() != Some(start))
}

/// Start time of a process in clock ticks since boot: field 22 of its stat line.
fn started(pid: u32) -> Option<String> {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a program name in parentheses, which may hold anything.
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.split(' ').nth(19).map(str::to_owned)
}

/// Stops a server that still runs in `directory`, told by its working directory, not by its id alone.
fn stop_server(directory: &Path) {
    let data = directory.join("data");
    let Ok(lock) = fs_err::read_to_string(data.join("postmaster.pid")) else { return };
    // While initdb is at work the number is negative: a server process on its own writes itself down so.
    let number = lock.lines().next().and_then(|line| line.trim().parse::<i32>().ok());
    let Some(pid) = number.and_then(i32::checked_abs) else { return };
    let runs_here = fs_err::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == data);
    if let Some(process) = Pid::from_raw(pid).filter(|_| runs_here) {
        // It may have ended meanwhile.
        let _ = kill_process(process, Signal::QUIT);
    }
}

#[cfg(test)]
mod tests;
