//! Starts one process: which program, environment, folder and descriptors it gets.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use command_fds::{CommandFdExt, FdMapping};
use unship_core::protocol::UnitSpec;

use super::listener::FIRST_FD;
use super::notify::{self, NotifySocket};
use super::slot::{Process, Slot};
use super::{SuperviseError, SuperviseOptions, log};

/// What an instance inherits of the child runner's environment; everything else comes from the unit.
const INHERITED: [&str; 6] = ["HOME", "USER", "LOGNAME", "SHELL", "TZ", "TMPDIR"];
/// Where programs are found, whoever started the child runner.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The longest name of a unit; it becomes part of file names.
const UNIT_NAME_BYTES_MAX: usize = 64;

/// Refuses units whose name or command could reach out of their folder.
pub(super) fn check_unit(unit: &UnitSpec) -> Result<(), SuperviseError> {
    let bad = |rule| Err(SuperviseError::BadUnit { unit: unit.name.clone(), rule });
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if unit.name.is_empty()
        || unit.name.len() > UNIT_NAME_BYTES_MAX
        || unit.name.starts_with('.')
        || !unit.name.chars().all(harmless)
    {
        return bad("has a name that is not 1 to 64 letters, digits, `.`, `_` and `-`");
    }
    let Some(program) = unit.command.first() else {
        return bad("has no command");
    };
    let plain = |part| matches!(part, std::path::Component::Normal(_));
    if program.is_empty() || !Path::new(program).components().all(plain) {
        return bad("has a command whose first word is not a path inside the release");
    }
    let nul = |text: &String| text.contains('\0');
    if unit.command.iter().any(nul)
        || unit
            .environment
            .iter()
            .any(|(name, value)| name.is_empty() || name.contains('=') || nul(name) || nul(value))
    {
        return bad("has a command or environment that no process can be given");
    }
    Ok(())
}

/// Starts the slot's process. The slot has its invocation; what is answered is the process's handle.
pub(super) fn spawn(
    slot: &mut Slot,
    listener: Option<&OwnedFd>,
    runtime: &Path,
    options: &SuperviseOptions,
) -> Result<Process, SuperviseError> {
    let unit = &slot.order.unit;
    let notify = unit.notify.then(|| NotifySocket::bind(runtime, &slot.invocation)).transpose()?;
    log::cut(&slot.log, options.log_bytes_max)?;
    let (out, log_from) = log::open(&slot.log)?;
    slot.log_from = log_from;
    let error_out = out.try_clone()?;

    let program = slot.order.program();
    let mut command = if listener.is_some() {
        let mut command = Command::new(&options.shim_program);
        command.args(&options.shim_args).arg("--").arg(&program);
        command
    } else {
        Command::new(&program)
    };
    command
        .args(unit.command.iter().skip(1))
        .env_clear()
        .env("PATH", PATH)
        .env("LANG", std::env::var_os("LANG").unwrap_or_else(|| OsString::from("C.UTF-8")))
        .envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        .envs(&unit.environment)
        .env("UNSHIP_INVOCATION", &slot.invocation)
        .current_dir(&slot.order.files)
        .stdin(Stdio::null())
        .stdout(Stdio::from(std::fs::File::from(out)))
        .stderr(Stdio::from(std::fs::File::from(error_out)))
        .process_group(0);
    if notify.is_some() {
        command.env("NOTIFY_SOCKET", notify::path_of(runtime, &slot.invocation));
    }
    if let Some(listener) = listener {
        command.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", &unit.name);
        let mapping = FdMapping { parent_fd: listener.try_clone()?, child_fd: FIRST_FD };
        // One mapping cannot collide with itself.
        let _ = command.fd_mappings(vec![mapping]);
    }
    let child =
        command.spawn().map_err(|source| SuperviseError::Spawn { program: program.clone(), source })?;
    // Nobody waits for the child before the pidfd is there, so its pid is its own.
    let opened = Process::open(child.id(), None)?;
    let mut process =
        opened.ok_or_else(|| SuperviseError::Spawn { program, source: io::Error::other("it vanished") })?;
    process.notify = notify;
    Ok(process)
}

/// A new invocation id: 32 hexadecimal digits.
pub(super) fn new_invocation() -> io::Result<String> {
    let mut bytes = [0; 16];
    fs_err::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
