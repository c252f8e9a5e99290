//! What systemd says of units, as values. Only reads.

use std::path::PathBuf;

use unship_core::time::Timestamp;
use zbus::Variant;

use super::SystemdError;
use super::bus::{Bus, Properties};

/// What the name of an instance must become in `ExecStart=` when the template writes `%I`; `%i` would show.
pub(super) const LOOK_TAG: &str = "unship-look";

/// What a unit is doing, from ActiveState and SubState.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Activity {
    Inactive,
    Starting,
    Active,
    Stopping,
    /// Ended by itself; systemd starts it again.
    AutoRestart,
    Failed,
}

impl Activity {
    pub(super) fn of(active_state: &str, sub_state: &str) -> Activity {
        match (active_state, sub_state) {
            // `auto-restart-queued` since systemd 254.
            (_, sub) if sub.starts_with("auto-restart") => Activity::AutoRestart,
            ("active" | "reloading" | "refreshing", _) => Activity::Active,
            ("activating", _) => Activity::Starting,
            ("deactivating", _) => Activity::Stopping,
            ("failed", _) => Activity::Failed,
            _ => Activity::Inactive,
        }
    }
}

/// A service unit.
#[derive(Debug, Clone)]
pub(super) struct ServiceFacts {
    pub(super) name: String,
    pub(super) load_state: String,
    pub(super) activity: Activity,
    /// Type=.
    pub(super) kind: String,
    /// The program of ExecStart=, specifiers replaced.
    pub(super) program: Option<PathBuf>,
    pub(super) reloads: bool,
    pub(super) start_limit_interval_us: u64,
    pub(super) stop_limit_ms: u64,
    pub(super) triggered_by: Vec<String>,
    pub(super) fragment: String,
    pub(super) main_pid: u32,
    pub(super) invocation: String,
    pub(super) restarts: u32,
    /// `success`, `exit-code`, `signal`, `start-limit-hit`...
    pub(super) result: String,
    /// The latest process that ended, if its end is still known.
    pub(super) exit: Option<ExitFacts>,
    pub(super) started_at: Timestamp,
    pub(super) left_inactive_us: u64,
    pub(super) entered_active_us: u64,
    /// When the present state began, on the monotonic clock.
    pub(super) state_since_us: u64,
    /// When the unit was last started, in microseconds since 1970.
    pub(super) left_inactive_at_us: u64,
    pub(super) stale: bool,
}

/// The end of a unit's main process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ExitFacts {
    pub(super) pid: u32,
    /// Exit code, or the negative signal number.
    pub(super) status: i32,
    pub(super) at: Timestamp,
}

/// `CLD_EXITED` of waitid(2).
const CODE_EXITED: i32 = 1;

impl ServiceFacts {
    /// Reads a unit, loaded or not.
    pub(super) fn read(bus: &Bus, name: &str) -> Result<ServiceFacts, SystemdError> {
        Ok(ServiceFacts::of(name, &bus.properties(name)?))
    }

    fn of(name: &str, unit: &Properties) -> ServiceFacts {
        let pid = number(unit, "ExecMainPID");
        let code = signed(unit, "ExecMainCode");
        let status = signed(unit, "ExecMainStatus");
        let exit = (code != 0 && pid != 0).then(|| ExitFacts {
            pid: u32::try_from(pid).unwrap_or(0),
            status: if code == CODE_EXITED { status } else { -status },
            at: timestamp(number(unit, "ExecMainExitTimestamp")),
        });
        ServiceFacts {
            name: name.to_owned(),
            load_state: text(unit, "LoadState"),
            activity: Activity::of(&text(unit, "ActiveState"), &text(unit, "SubState")),
            kind: text(unit, "Type"),
            program: program(unit),
            reloads: unit.get("ExecReload").is_some_and(|value| first_command(value).is_some()),
            start_limit_interval_us: number(unit, "StartLimitIntervalUSec"),
            stop_limit_ms: number(unit, "TimeoutStopUSec") / 1_000,
            triggered_by: texts(unit, "TriggeredBy"),
            fragment: text(unit, "FragmentPath"),
            main_pid: u32::try_from(number(unit, "MainPID")).unwrap_or(0),
            invocation: invocation(unit),
            restarts: u32::try_from(number(unit, "NRestarts")).unwrap_or(u32::MAX),
            result: text(unit, "Result"),
            exit,
            started_at: timestamp(number(unit, "ExecMainStartTimestamp")),
            left_inactive_us: number(unit, "InactiveExitTimestampMonotonic"),
            entered_active_us: number(unit, "ActiveEnterTimestampMonotonic"),
            state_since_us: number(unit, "StateChangeTimestampMonotonic"),
            left_inactive_at_us: number(unit, "InactiveExitTimestamp"),
            stale: flag(unit, "NeedDaemonReload"),
        }
    }

    /// Whether systemd found the unit's file.
    pub(super) fn is_there(&self) -> bool {
        is_there_by(&self.load_state)
    }
}

/// A socket unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SocketFacts {
    pub(super) load_state: String,
    pub(super) activity: Activity,
    pub(super) accept: bool,
    pub(super) trigger_limit_interval_us: u64,
    /// The first ListenStream=.
    pub(super) listen: Option<String>,
    pub(super) stale: bool,
}

impl SocketFacts {
    pub(super) fn read(bus: &Bus, name: &str) -> Result<SocketFacts, SystemdError> {
        let unit = bus.properties(name)?;
        let listen = unit.get("Listen").and_then(|value| match &**value {
            Variant::Array(array) => array.iter().find_map(|item| match item {
                Variant::Structure(pair) => match pair.fields() {
                    [Variant::Str(_), Variant::Str(address)] => Some(address.to_string()),
                    _ => None,
                },
                _ => None,
            }),
            _ => None,
        });
        Ok(SocketFacts {
            load_state: text(&unit, "LoadState"),
            activity: Activity::of(&text(&unit, "ActiveState"), &text(&unit, "SubState")),
            accept: flag(&unit, "Accept"),
            trigger_limit_interval_us: number(&unit, "TriggerLimitIntervalUSec"),
            listen,
            stale: flag(&unit, "NeedDaemonReload"),
        })
    }
}

/// A timer unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TimerFacts {
    pub(super) load_state: String,
    pub(super) activity: Activity,
    /// The unit that it starts.
    pub(super) unit: String,
    pub(super) invocation: String,
    pub(super) since: Timestamp,
    pub(super) stale: bool,
}

impl TimerFacts {
    pub(super) fn read(bus: &Bus, name: &str) -> Result<TimerFacts, SystemdError> {
        let unit = bus.properties(name)?;
        Ok(TimerFacts {
            load_state: text(&unit, "LoadState"),
            activity: Activity::of(&text(&unit, "ActiveState"), &text(&unit, "SubState")),
            unit: text(&unit, "Unit"),
            invocation: invocation(&unit),
            since: timestamp(number(&unit, "ActiveEnterTimestamp")),
            stale: flag(&unit, "NeedDaemonReload"),
        })
    }
}

/// The files that systemd read a unit of any kind from: its own and the drop-ins, in their order.
pub(super) fn files(bus: &Bus, name: &str) -> Result<Vec<String>, SystemdError> {
    let unit = bus.properties(name)?;
    let mut files = vec![text(&unit, "FragmentPath")];
    files.extend(texts(&unit, "DropInPaths"));
    files.retain(|path| !path.is_empty());
    Ok(files)
}

/// Whether systemd finds the file of a unit of any kind.
pub(super) fn is_there(bus: &Bus, name: &str) -> Result<bool, SystemdError> {
    let load_state = text(&bus.properties(name)?, "LoadState");
    Ok(is_there_by(&load_state))
}

fn is_there_by(load_state: &str) -> bool {
    matches!(load_state, "loaded" | "masked")
}

/// What a unit of any kind is doing.
pub(super) fn activity(bus: &Bus, name: &str) -> Result<Activity, SystemdError> {
    let unit = bus.properties(name)?;
    Ok(Activity::of(&text(&unit, "ActiveState"), &text(&unit, "SubState")))
}

fn text(properties: &Properties, name: &str) -> String {
    match properties.get(name).map(|value| &**value) {
        Some(Variant::Str(text)) => text.to_string(),
        _ => String::new(),
    }
}

fn texts(properties: &Properties, name: &str) -> Vec<String> {
    let Some(Variant::Array(array)) = properties.get(name).map(|value| &**value) else { return Vec::new() };
    let texts = array.iter().filter_map(|item| match item {
        Variant::Str(text) => Some(text.to_string()),
        _ => None,
    });
    texts.collect()
}

fn number(properties: &Properties, name: &str) -> u64 {
    match properties.get(name).map(|value| &**value) {
        Some(Variant::U64(number)) => *number,
        Some(Variant::U32(number)) => u64::from(*number),
        _ => 0,
    }
}

fn signed(properties: &Properties, name: &str) -> i32 {
    match properties.get(name).map(|value| &**value) {
        Some(Variant::I32(number)) => *number,
        _ => 0,
    }
}

fn flag(properties: &Properties, name: &str) -> bool {
    matches!(properties.get(name).map(|value| &**value), Some(Variant::Bool(true)))
}

fn timestamp(microseconds: u64) -> Timestamp {
    Timestamp(i64::try_from(microseconds / 1_000).unwrap_or(i64::MAX))
}

/// 128 bits as 32 hexadecimal digits, as `INVOCATION_ID` has them; empty before the first start.
fn invocation(unit: &Properties) -> String {
    let Some(Variant::Array(bytes)) = unit.get("InvocationID").map(|value| &**value) else {
        return String::new();
    };
    let hex = bytes.iter().map(|byte| match byte {
        Variant::U8(byte) => format!("{byte:02x}"),
        _ => String::new(),
    });
    hex.collect()
}

/// The path of the first command: `a(sasbttttuii)`.
fn first_command(value: &Variant<'_>) -> Option<String> {
    let Variant::Array(commands) = value else { return None };
    commands.iter().find_map(|command| match command {
        Variant::Structure(command) => match command.fields().first() {
            Some(Variant::Str(path)) => Some(path.to_string()),
            _ => None,
        },
        _ => None,
    })
}

fn program(service: &Properties) -> Option<PathBuf> {
    service.get("ExecStart").and_then(|value| first_command(value)).map(PathBuf::from)
}
