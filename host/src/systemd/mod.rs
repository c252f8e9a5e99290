//! systemd as the runner of a service: reads its units over D-Bus, starts and stops instances, and says what
//! is brought up at boot, on a connection and at a time.
//!
//! An instance of a template `<name>@.service` is a release; instances share the listener of one socket unit.
//! Never edits a unit file: all it writes are drop-ins, links and masks of its own. Never decides which
//! release is right, nor in which order a flip goes: that is the agent's, whoever runs the processes.

mod bus;
mod choice;
mod error;
mod escape;
mod files;
mod fit;
mod hold_program;
mod instances;
mod jobs;
mod journal;
mod listener;
mod point;
mod unit;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Instant;

use unship_core::capsule::CapsuleFile;
use unship_core::protocol::{FlipOrder, ServiceSpec, SystemdUnit, UnitFlip, UnitSpec};
use unship_core::release::{Digest, Release};

pub use error::SystemdError;
pub use hold_program::HoldProgram;

use crate::store::{CURRENT_NAME, Store};
use crate::supervise::SlotView;
use bus::Bus;
use files::Files;
use unit::{LOOK_TAG, ServiceFacts, SocketFacts};

/// The largest unit file that goes into a capsule.
const UNIT_FILE_BYTES_MAX: u64 = 256 << 10;

/// A service under systemd.
#[derive(Debug)]
pub(crate) struct Systemd {
    root: PathBuf,
    service: ServiceSpec,
    store: Store,
    files: Files,
    hold_program: HoldProgram,
    /// Where the hold program is, once it was seen to.
    hold_place: Option<PathBuf>,
    bus: Option<Bus>,
    /// How units are flipped, as it was read last.
    flips: Option<Vec<UnitFlip>>,
    /// Files were written that systemd has not read.
    stale: bool,
    /// The present look is for an observation: it takes in how processes ended, and what they listen on.
    observes: bool,
    sequence: u64,
    slots: Vec<SlotView>,
    /// Which unit of systemd a slot is.
    names: HashMap<u64, String>,
    /// Invocations that this agent told to stop. The next one of the same unit is another matter, whoever starts it.
    told: HashSet<String>,
    /// Which invocations are killed, their unit and when, where that is sooner than the unit says.
    kill_at: HashMap<String, (String, Instant)>,
    /// What processes of plain units execute: size and digest, by device, inode and change time.
    programs: HashMap<(u64, u64, i64, i64), (u64, Digest)>,
}

/// A unit of the service with what systemd calls it.
type Named = (UnitSpec, SystemdUnit);

impl Systemd {
    /// The runner; systemd is not asked yet.
    pub(crate) fn new(root: &Path, service: ServiceSpec, hold_program: HoldProgram) -> Systemd {
        Systemd {
            root: root.to_owned(),
            service,
            store: Store::new(root),
            files: Files::system(),
            hold_program,
            hold_place: None,
            bus: None,
            flips: None,
            stale: false,
            observes: false,
            sequence: 0,
            slots: Vec::new(),
            names: HashMap::new(),
            told: HashSet::new(),
            kill_at: HashMap::new(),
            programs: HashMap::new(),
        }
    }

    /// The connection, made when it is needed first.
    fn bus(&mut self) -> Result<&mut Bus, SystemdError> {
        let bus = match self.bus.take() {
            Some(bus) => bus,
            None => Bus::connect()?,
        };
        Ok(self.bus.insert(bus))
    }

    /// Does something with the connection, which is given up when it fails: the next one may be better.
    pub(crate) fn with_bus<T>(
        &mut self,
        act: impl FnOnce(&mut Systemd) -> Result<T, SystemdError>,
    ) -> Result<T, SystemdError> {
        let done = act(self);
        if done.as_ref().is_err_and(SystemdError::is_of_bus) {
            self.bus = None;
        }
        done
    }

    fn units(&self) -> Result<Vec<Named>, SystemdError> {
        let named = |unit: &UnitSpec| match &unit.systemd {
            Some(names) => Ok((unit.clone(), names.clone())),
            None => Err(SystemdError::Unnamed { unit: unit.name.clone() }),
        };
        self.service.units.iter().map(named).collect()
    }

    fn unit(&self, name: &str) -> Result<Named, SystemdError> {
        let unit = self.units()?.into_iter().find(|(unit, _)| unit.name == name);
        unit.ok_or_else(|| SystemdError::Unnamed { unit: name.to_owned() })
    }

    /// What systemd calls a release's unit.
    fn unit_name(names: &SystemdUnit, release: &Release) -> Result<String, SystemdError> {
        let Some(template) = names.template() else { return Ok(names.unit.clone()) };
        escape::instance(template, release.tag.as_str()).ok_or_else(|| SystemdError::LongName {
            template: names.unit.clone(),
            tag: release.tag.to_string(),
        })
    }

    /// The instance that a connection starts where none is up: of whatever release is current then, so that systemd need
    /// not read anything anew when that becomes another one.
    fn current_name(names: &SystemdUnit) -> Result<String, SystemdError> {
        let Some(template) = names.template() else { return Ok(names.unit.clone()) };
        escape::instance(template, CURRENT_NAME).ok_or_else(|| SystemdError::LongName {
            template: names.unit.clone(),
            tag: CURRENT_NAME.to_owned(),
        })
    }

    /// The file that a unit's command names in a release.
    fn program_in(files: &Path, unit: &UnitSpec) -> PathBuf {
        files.join(unit.command.first().map_or("", String::as_str))
    }

    /// In which order each unit is flipped, read anew.
    pub(crate) fn read_flips(&mut self) -> Result<Vec<UnitFlip>, SystemdError> {
        let mut flips = Vec::new();
        for (unit, names) in self.units()? {
            flips.push(self.read_flip(&unit, &names)?);
        }
        self.flips = Some(flips.clone());
        Ok(flips)
    }

    /// In which order each unit is flipped, as it was read last.
    pub(crate) fn known_flips(&mut self) -> Result<Vec<UnitFlip>, SystemdError> {
        match &self.flips {
            Some(flips) => Ok(flips.clone()),
            None => self.read_flips(),
        }
    }

    fn flip_of(&mut self, unit: &str) -> Result<UnitFlip, SystemdError> {
        let flip = self.known_flips()?.into_iter().find(|flip| flip.unit == unit);
        flip.ok_or_else(|| SystemdError::Unnamed { unit: unit.to_owned() })
    }

    /// Whether two releases of the unit serve beside each other.
    pub(crate) fn is_overlapping(&mut self, unit: &str) -> Result<bool, SystemdError> {
        Ok(self.flip_of(unit)?.order == FlipOrder::Overlap)
    }

    /// Whether a hold unit can answer on the unit's socket.
    pub(crate) fn can_hold(&mut self, unit: &str) -> Result<bool, SystemdError> {
        Ok(self.flip_of(unit)?.can_hold)
    }

    /// The unit files of the service as they are on this host, with their drop-ins.
    pub(crate) fn unit_files(&mut self) -> Result<Vec<CapsuleFile>, SystemdError> {
        let mut paths = Vec::new();
        for (_, names) in self.units()? {
            let look = names.template().and_then(|template| escape::instance(template, LOOK_TAG));
            let own = look.unwrap_or_else(|| names.unit.clone());
            for name in [Some(own), names.socket, names.timer, names.hold].into_iter().flatten() {
                paths.extend(unit::files(self.bus()?, &name)?);
            }
        }
        paths.sort_unstable();
        paths.dedup();
        let mut files = Vec::new();
        for path in paths {
            if fs_err::metadata(&path)?.len() <= UNIT_FILE_BYTES_MAX {
                let text = String::from_utf8_lossy(&fs_err::read(&path)?).into_owned();
                files.push(CapsuleFile { path, sha256: Digest::of(text.as_bytes()), text });
            }
        }
        Ok(files)
    }

    fn read_flip(&mut self, unit: &UnitSpec, names: &SystemdUnit) -> Result<UnitFlip, SystemdError> {
        let look = match names.template() {
            Some(template) => escape::instance(template, LOOK_TAG).unwrap_or_default(),
            None => names.unit.clone(),
        };
        let files = self.root.join("releases").join(LOOK_TAG).join("files");
        let expected = Systemd::program_in(&files, unit);
        let current = self.root.join("current");
        let bus = self.bus()?;
        let service = ServiceFacts::read(bus, &look)?;
        if !service.is_there() {
            return Err(SystemdError::NoUnit { unit: names.unit.clone(), load_state: service.load_state });
        }
        let socket = names.socket.as_ref().map(|socket| SocketFacts::read(bus, socket)).transpose()?;
        let hold = names.hold.as_ref().map(|hold| ServiceFacts::read(bus, hold)).transpose()?;
        Ok(choice::choose(&choice::Seen {
            unit: &unit.name,
            names,
            service: &service,
            expected: &expected,
            through_current: service.program.as_deref().is_some_and(|path| leads_through(path, &current)),
            socket: socket.as_ref(),
            hold: hold.as_ref(),
        }))
    }
}

/// Whether a path is below `current`, itself or by a symlink that it is.
fn leads_through(path: &Path, current: &Path) -> bool {
    path.starts_with(current) || fs_err::read_link(path).is_ok_and(|target| target.starts_with(current))
}
