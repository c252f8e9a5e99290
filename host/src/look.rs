//! What systemd units run, whoever put it there: the main process with the digest of what it executes, and the
//! unit's files. Only reads, and knows nothing of releases.

use std::collections::BTreeMap;
use std::io;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use unship_core::running::{ProgramFile, RunningProcess, RunningUnit, UnitFile};

use crate::{clock, store};

/// The most units that are looked at in one request.
pub const UNITS_MAX: usize = 64;
/// The largest unit file that is read, and how many belong to one unit.
const UNIT_FILE_BYTES_MAX: u64 = 256 << 10;
const UNIT_FILES_MAX: usize = 64;
/// Ticks of a process's start time in a second: the kernel's USER_HZ, 100 on every architecture of Linux.
const TICKS_PER_S: u64 = 100;

/// What is asked of systemd.
const PROPERTIES: &str = "--property=Id,LoadState,ActiveState,SubState,MainPID,InvocationID,NRestarts,User,\
                          ExecStart,ExecStartPre,FragmentPath,DropInPaths";

/// Why nothing can be said of the units.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// A name that is not one of a unit.
    #[error("`{}` is not the name of a systemd service", .name.escape_debug())]
    Name {
        /// The name, cut to 80 characters.
        name: String,
    },
    /// Too many at once.
    #[error("{count} units were asked for; the limit is {UNITS_MAX}")]
    TooMany {
        /// How many.
        count: usize,
    },
    /// `systemctl` failed.
    #[error("systemd does not say what runs: {why}")]
    Systemd {
        /// Why.
        why: String,
    },
    /// A file could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl LookError {
    /// What to run.
    pub fn hint(&self) -> Option<String> {
        match self {
            LookError::Systemd { .. } => Some("see whether `systemctl status` answers on the host".into()),
            _ => None,
        }
    }
}

/// Reads the named service units, in their order. One that systemd does not know is in the answer, as not found.
pub fn look(names: &[String]) -> Result<Vec<RunningUnit>, LookError> {
    if names.len() > UNITS_MAX {
        return Err(LookError::TooMany { count: names.len() });
    }
    names.iter().map(|name| look_at(name)).collect()
}

fn look_at(name: &str) -> Result<RunningUnit, LookError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    if !name.ends_with(".service") || name.starts_with(['-', '.']) || !name.chars().all(allowed) {
        return Err(LookError::Name { name: name.chars().take(80).collect() });
    }
    let mut said = Command::new("systemctl");
    said.args(["show", "--no-pager", PROPERTIES, "--", name]).stdin(Stdio::null()).env("LC_ALL", "C");
    let said = said.output().map_err(|error| LookError::Systemd { why: error.to_string() })?;
    if !said.status.success() {
        let why = String::from_utf8_lossy(&said.stderr).trim().to_owned();
        return Err(LookError::Systemd { why });
    }
    read(name, &Properties::of(&String::from_utf8_lossy(&said.stdout)))
}

/// What `systemctl show` printed: a property may be there more than once.
struct Properties(BTreeMap<String, Vec<String>>);

impl Properties {
    fn of(text: &str) -> Properties {
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            all.entry(name.to_owned()).or_default().push(value.to_owned());
        }
        Properties(all)
    }

    fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    fn one(&self, name: &str) -> &str {
        self.all(name).first().map_or("", String::as_str)
    }
}

fn read(name: &str, properties: &Properties) -> Result<RunningUnit, LookError> {
    let (active, sub) = (properties.one("ActiveState"), properties.one("SubState"));
    let state = match properties.one("LoadState") {
        "loaded" => format!("{active} ({sub})"),
        other => other.to_owned(),
    };
    let commands = |property| properties.all(property).iter().filter_map(|value| command(value));
    let on_disk = commands("ExecStart").next().and_then(|(path, _)| program(&path, &path).ok());
    let paths = std::iter::once(properties.one("FragmentPath"))
        .chain(properties.one("DropInPaths").split_whitespace())
        .filter(|path| !path.is_empty());
    let mut files = Vec::new();
    for path in paths.take(UNIT_FILES_MAX) {
        if fs_err::metadata(path)?.len() <= UNIT_FILE_BYTES_MAX {
            files.push(UnitFile { path: path.to_owned(), text: fs_err::read_to_string(path)? });
        }
    }
    Ok(RunningUnit {
        unit: name.to_owned(),
        ready: active == "active" && matches!(sub, "running" | "exited"),
        state,
        process: process(properties),
        restarts: properties.one("NRestarts").parse().unwrap_or(0),
        on_disk,
        user: properties.one("User").to_owned(),
        before_start: commands("ExecStartPre").map(|(_, words)| words).collect(),
        files,
    })
}

/// Path and words of a command as systemd shows it: `{ path=/bin/a ; argv[]=/bin/a b ; ignore_errors=no ; ...`.
fn command(shown: &str) -> Option<(String, String)> {
    let (path, rest) = shown.strip_prefix("{ path=")?.split_once(" ; argv[]=")?;
    let (words, _) = rest.split_once(" ; ignore_errors=")?;
    Some((path.to_owned(), words.to_owned()))
}

/// The main process; none when it has ended, also between the question to systemd and the look into /proc.
fn process(properties: &Properties) -> Option<RunningProcess> {
    let pid: u32 = properties.one("MainPID").parse().ok().filter(|pid| *pid != 0)?;
    let link = format!("/proc/{pid}/exe");
    let named = fs_err::read_link(&link).ok()?;
    let named = named.to_string_lossy();
    Some(RunningProcess {
        pid,
        invocation: properties.one("InvocationID").to_owned(),
        started_at: clock::timestamp_of(started_at(pid).ok()?),
        program: program(&link, named.strip_suffix(" (deleted)").unwrap_or(&named)).ok()?,
    })
}

fn program(place: &str, named: &str) -> io::Result<ProgramFile> {
    let (size, sha256) = store::hash_through(place.as_ref())?;
    Ok(ProgramFile { path: named.to_owned(), size, sha256 })
}

/// When a process was started, by the clock of now: field 22 of proc(5) counts from the boot.
fn started_at(pid: u32) -> io::Result<SystemTime> {
    let uptime = fs_err::read_to_string("/proc/uptime")?;
    let up_s: f64 = uptime.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0.0);
    let start = clock::start_ticks(pid)?;
    let start = Duration::from_millis(start.saturating_mul(1_000 / TICKS_PER_S));
    let age = Duration::from_secs_f64(up_s.max(0.0)).saturating_sub(start);
    Ok(SystemTime::now().checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH))
}

#[cfg(test)]
mod tests;
