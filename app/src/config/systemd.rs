//! `[unit.systemd]` and `manager`: what systemd calls a unit, and who starts processes on the hosts.

use std::fmt;

use serde::Deserialize;
use unship_core::protocol::{Manager, SystemdUnit};
use unship_core::release::ServiceName;

/// The longest name of a unit; systemd.unit(5).
const NAME_BYTES_MAX: usize = 255;

/// `[unit.systemd]`: names that differ from those that `unship init --systemd` writes.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SystemdTable {
    /// The template, with an instance per release, or one plain unit.
    pub unit: Option<UnitName<Service>>,
    /// The socket whose listener it serves.
    pub socket: Option<UnitName<Socket>>,
    /// The timer that starts it.
    pub timer: Option<UnitName<Timer>>,
    /// What answers 503 on the socket while no release may.
    pub hold: Option<UnitName<Service>>,
    /// Its `ExecReload=` takes up new code.
    pub reload: bool,
}

impl SystemdTable {
    /// The names for a unit of a service; what is not said is `<service>-<unit>`.
    pub fn names(&self, service: &ServiceName, unit: &ServiceName, listens: bool) -> SystemdUnit {
        let own = |given: Option<String>, suffix: &str| given.unwrap_or(format!("{service}-{unit}{suffix}"));
        let socket = self.socket.as_ref().map(ToString::to_string);
        let hold = self.hold.as_ref().map(ToString::to_string);
        SystemdUnit {
            unit: own(self.unit.as_ref().map(ToString::to_string), "@.service"),
            socket: listens.then(|| own(socket, ".socket")),
            timer: self.timer.as_ref().map(ToString::to_string),
            hold: listens.then(|| own(hold, "-hold.service")),
            reload: self.reload,
        }
    }
}

/// `manager` of an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ManagerName {
    /// systemd, over D-Bus.
    Systemd,
    /// `unship supervise`.
    ChildRunner,
}

impl From<ManagerName> for Manager {
    fn from(name: ManagerName) -> Manager {
        match name {
            ManagerName::Systemd => Manager::Systemd,
            ManagerName::ChildRunner => Manager::ChildRunner,
        }
    }
}

/// A kind of unit: how its name ends.
pub trait Kind {
    /// The ending, with its dot.
    const SUFFIX: &'static str;
}

macro_rules! kinds {
    ($($kind:ident = $suffix:literal),*) => {$(
        #[doc = concat!("Units that end in `", $suffix, "`.")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $kind;

        impl Kind for $kind {
            const SUFFIX: &'static str = $suffix;
        }
    )*};
}

kinds!(Service = ".service", Socket = ".socket", Timer = ".timer");

/// The name of a unit of one kind, as systemd.unit(5) allows it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct UnitName<K: Kind> {
    name: String,
    kind: std::marker::PhantomData<K>,
}

impl<K: Kind> fmt::Display for UnitName<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl<K: Kind> TryFrom<String> for UnitName<K> {
    type Error = String;

    fn try_from(name: String) -> Result<UnitName<K>, String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
        let stem = name.strip_suffix(K::SUFFIX).unwrap_or_default();
        // An instance of a template is one release; the configuration names them all.
        let instance = stem.split_once('@').is_some_and(|(_, instance)| !instance.is_empty());
        let good = !matches!(stem, "" | "@")
            && name.len() <= NAME_BYTES_MAX
            && !instance
            && !stem.starts_with('.')
            && stem.chars().all(allowed);
        if good {
            Ok(UnitName { name, kind: std::marker::PhantomData })
        } else {
            Err(format!(
                "`{}` must be the name of a unit that ends in `{}`, of letters, digits and `:-_.\\@`, and no instance",
                name.escape_debug(),
                K::SUFFIX
            ))
        }
    }
}
