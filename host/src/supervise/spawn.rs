//! What one process of a unit gets: program, environment, folder, log and notify socket.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read};
use std::path::Path;

use unship_core::protocol::UnitSpec;

use super::launch::Launch;
use super::notify::{self, NotifySocket};
use super::slot::Slot;
use super::{SuperviseError, SuperviseOptions, log};

/// What an instance inherits of the child runner's environment; everything else comes from the unit.
const INHERITED: [&str; 7] = ["HOME", "USER", "LOGNAME", "SHELL", "TZ", "TMPDIR", "LANG"];
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

/// Opens what the slot's process needs of its own, its log and its notify socket, and says what it is to
/// become. The slot has its invocation and its process.
pub(super) fn prepare(
    slot: &mut Slot,
    runtime: &Path,
    options: &SuperviseOptions,
) -> Result<(Launch, fs_err::File), SuperviseError> {
    log::cut(&slot.log, options.log_bytes_max)?;
    let (log, log_from) = log::open(&slot.log)?;
    slot.log_from = log_from;
    let unit = &slot.order.unit;
    let mut environment = BTreeMap::from([(OsString::from("PATH"), OsString::from(PATH))]);
    let mut set = |name: &str, value: OsString| drop(environment.insert(OsString::from(name), value));
    set("LANG", OsString::from("C.UTF-8"));
    for name in INHERITED {
        if let Some(value) = std::env::var_os(name) {
            set(name, value);
        }
    }
    for (name, value) in &unit.environment {
        set(name, OsString::from(value));
    }
    set("UNSHIP_INVOCATION", OsString::from(&slot.invocation));
    if unit.listen.is_some() {
        set("LISTEN_FDS", OsString::from("1"));
        set("LISTEN_FDNAMES", OsString::from(&unit.name));
    }
    if unit.notify {
        set("NOTIFY_SOCKET", notify::path_of(runtime, &slot.invocation).into_os_string());
        if let Some(process) = &mut slot.process {
            process.notify = Some(NotifySocket::bind(runtime, &slot.invocation)?);
        }
    }
    let pair = |(mut variable, value): (OsString, OsString)| {
        variable.push("=");
        variable.push(value);
        variable
    };
    let arguments = unit.command.iter().skip(1).map(OsString::from);
    // What answers for a held host is this program itself.
    let (program, arguments) = if slot.order.release.is_hold() {
        let all = options.hold_args.iter().cloned().chain(arguments);
        (options.shim_program.clone(), all.collect())
    } else {
        (slot.order.program(), arguments.collect())
    };
    let launch = Launch {
        folder: slot.order.files.clone().into_os_string(),
        program: program.into_os_string(),
        arguments,
        environment: environment.into_iter().map(pair).collect(),
    };
    Ok((launch, log))
}

/// A new invocation id: 32 hexadecimal digits.
pub(super) fn new_invocation() -> io::Result<String> {
    let mut bytes = [0; 16];
    fs_err::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
