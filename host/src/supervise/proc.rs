//! What /proc says of processes.

use std::io;
use std::os::unix::ffi::OsStrExt;

use unship_core::protocol::InstanceState;

use super::wire::{ListenerView, SlotView};

/// The most processes that are looked at when one is searched by its environment.
const PROCESSES_MAX: usize = 100_000;

/// Whether the process is there, ended ones that nobody waited for included.
pub(super) fn exists(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

/// The identity of this boot of the machine.
pub(super) fn boot_id() -> io::Result<String> {
    Ok(fs_err::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// The living processes that were started with `UNSHIP_INVOCATION=invocation`: the instance and what inherited
/// its environment.
pub(super) fn of_invocation(invocation: &str) -> Vec<u32> {
    // systemd's name for the same, for processes that it started.
    let wanted = ["UNSHIP_INVOCATION=", "INVOCATION_ID="].map(|name| format!("{name}{invocation}"));
    let Ok(entries) = fs_err::read_dir("/proc") else { return Vec::new() };
    let pids =
        entries.take(PROCESSES_MAX).filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let ours = pids.filter(|pid| {
        let environment = fs_err::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|variable| wanted.iter().any(|wanted| wanted.as_bytes() == variable))
    });
    ours.collect()
}

/// Whether the process has the socket with this inode number open.
fn has_socket(pid: u32, inode: u64) -> io::Result<bool> {
    let wanted = format!("socket:[{inode}]");
    for entry in fs_err::read_dir(format!("/proc/{pid}/fd"))? {
        match fs_err::read_link(entry?.path()) {
            Ok(to) if to.as_os_str().as_bytes() == wanted.as_bytes() => return Ok(true),
            Ok(_) => {}
            // Closed since the folder was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Whether an instance has its unit's listener open; nothing when that cannot be seen. For one that drains,
/// also whether a process that it started has it: a server may hand the socket to its children.
pub(crate) fn listening(slot: &SlotView) -> Option<bool> {
    let pid = slot.instance.pid;
    let inode = match slot.listener {
        _ if pid == 0 => return Some(false),
        ListenerView::None => return Some(false),
        ListenerView::Unknown => return None,
        ListenerView::Inode(inode) => inode,
    };
    let has = |pid| match has_socket(pid, inode) {
        Ok(has) => Some(has),
        // It has ended.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(false),
        Err(_) => None,
    };
    match has(pid) {
        Some(false) if slot.instance.state == InstanceState::Draining => {
            let children = of_invocation(&slot.instance.invocation);
            let seen: Vec<_> = children.into_iter().map(has).collect();
            if seen.contains(&Some(true)) {
                Some(true)
            } else if seen.contains(&None) {
                None
            } else {
                Some(false)
            }
        }
        seen => seen,
    }
}

/// The numbers of the process's descriptors that are sockets.
pub(super) fn sockets(pid: u32) -> io::Result<Vec<i32>> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        let is_socket =
            fs_err::read_link(entry.path()).is_ok_and(|to| to.as_os_str().as_bytes().starts_with(b"socket:"));
        if let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok())
            && is_socket
        {
            found.push(number);
        }
    }
    found.sort_unstable();
    Ok(found)
}
