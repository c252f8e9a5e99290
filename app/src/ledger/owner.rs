//! Which process holds a lease, and whether it is still there.

/// This process, so that it can be told apart from a later one with the same id: boot, id, start time, and the
/// PID namespace in which it has that id.
pub(super) fn own_process() -> String {
    let id = std::process::id();
    format!("{} {id} {} {}", boot(), start_time(id).unwrap_or_default(), pid_namespace())
}

/// Whether the process is known to have ended. On a machine without /proc nothing is known, nor of a process in
/// another container of this machine, which has ids of its own. One of an earlier boot is gone.
pub(super) fn process_is_gone(process: &str) -> bool {
    let mut words = process.split(' ');
    let (Some(boot_then), Some(id), Some(started)) = (words.next(), words.next(), words.next()) else {
        return false;
    };
    let Ok(id) = id.parse::<u32>() else { return false };
    if boot_then.is_empty() || boot().is_empty() || started.is_empty() {
        return false;
    }
    if boot_then != boot() {
        return true;
    }
    let (namespace, own) = (words.next().unwrap_or_default(), pid_namespace());
    !own.is_empty() && namespace == own && start_time(id).as_deref() != Some(started)
}

/// The PID namespace of this process as `pid:[INODE]`; nothing where that cannot be told (namespaces(7)).
pub(super) fn pid_namespace() -> String {
    let link = fs_err::read_link("/proc/self/ns/pid").unwrap_or_default();
    link.display().to_string()
}

pub(super) fn boot() -> String {
    fs_err::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Field 22 of /proc/PID/stat, in clock ticks since boot (proc(5)). None when there is no such process.
pub(super) fn start_time(id: u32) -> Option<String> {
    let stat = fs_err::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold anything, also spaces.
    let after_name = stat.rsplit_once(')')?.1;
    after_name.split_whitespace().nth(19).map(str::to_owned)
}
