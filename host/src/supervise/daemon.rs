//! The child runner's state and its one loop.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::FlockOperation;
use unship_core::protocol::{ServiceSpec, UnitSpec};

use super::exits::Exits;
use super::instances::STANDBY_QUIET;
use super::listener::Listener;
use super::log::RunnerLog;
use super::serve::Server;
use super::slot::Slot;
use super::spawn::check_unit;
use super::standby::Standby;
use super::state::{State, StateFile};
use super::wire::{ListenerView, View};
use super::{SuperviseError, SuperviseOptions, log, proc};
use crate::paths::HostPaths;
use crate::store::Store;

/// How long a new child runner waits for the folder's lock: a shim that a killed predecessor was just starting
/// holds it until its exec.
const LOCK_WAIT: Duration = Duration::from_secs(1);
/// How often the length of logs is looked at.
const LOG_LOOK: Duration = Duration::from_secs(5);

/// The child runner.
#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) paths: HostPaths,
    pub(super) spec: ServiceSpec,
    pub(super) options: SuperviseOptions,
    pub(super) store: Store,
    _lock: fs_err::File,
    signals: UnixStream,
    signal_ids: Vec<signal_hook::SigId>,
    server: Server,
    pub(super) listeners: Vec<Listener>,
    pub(super) slots: Vec<Slot>,
    pub(super) next_slot: u64,
    pub(super) sequence: u64,
    pub(super) exits: Exits,
    pub(super) log: RunnerLog,
    pub(super) boot_id: String,
    /// Told to end; how many signals said so.
    pub(super) ending: u32,
    /// The shim that was started ahead.
    pub(super) standby: Option<Standby>,
    /// When the next one is started, if there is none.
    pub(super) standby_at: Instant,
    state: StateFile,
    written: u64,
    logs_looked_at: Instant,
}

/// What an event of `poll` belongs to.
#[derive(Debug, Clone, Copy)]
enum Source {
    Signals,
    Process(u64),
    Notify(u64),
    Accept,
    Connection(u64),
}

impl Daemon {
    /// Takes the runtime folder, adopts what is left there, starts what is missing, and listens for clients.
    pub(super) fn open(
        paths: &HostPaths,
        spec: ServiceSpec,
        options: SuperviseOptions,
    ) -> Result<Daemon, SuperviseError> {
        for unit in &spec.units {
            check_unit(unit)?;
        }
        let runtime = &paths.runtime;
        for folder in [runtime.clone(), runtime.join("n"), runtime.join("log")] {
            fs_err::create_dir_all(&folder)?;
            fs_err::set_permissions(&folder, PermissionsExt::from_mode(0o700))?;
        }
        // Opened first and held to the end, so that descriptor 3 is taken: instances get their socket there,
        // and nothing that std opens for a spawn may lie in its way.
        let lock = take_lock(paths)?;
        let (signals, signal_ids) = catch_signals()?;
        let (state, left) = StateFile::open(runtime)?;
        let mut daemon = Daemon {
            standby: None,
            standby_at: Instant::now(),
            state,
            paths: paths.clone(),
            store: Store::new(&paths.root),
            _lock: lock,
            signals,
            signal_ids,
            server: Server::closed(),
            listeners: Vec::new(),
            slots: Vec::new(),
            next_slot: 1,
            sequence: 1,
            exits: Exits::open(runtime)?,
            log: RunnerLog::new(runtime, options.log_bytes_max),
            boot_id: proc::boot_id()?,
            ending: 0,
            written: 0,
            logs_looked_at: Instant::now(),
            spec,
            options,
        };
        let anew = left.map(|left| daemon.adopt(left)).transpose()?.unwrap_or_default();
        daemon.listen()?;
        for order in anew {
            if let Err(error) = daemon.start(order) {
                daemon.log.say(&format!("what was starting cannot be started anew: {error}"));
            }
        }
        daemon.boot();
        daemon.persist();
        daemon.server = Server::open(runtime)?;
        Ok(daemon)
    }

    /// Runs until told to end and everything is drained.
    pub(super) fn run(mut self) -> Result<(), SuperviseError> {
        self.log.say(&format!("child runner of {} runs as process {}", self.spec.name, std::process::id()));
        loop {
            self.persist();
            let view = self.view();
            self.server.flush(&view);
            if self.ending > 0 && self.slots.is_empty() {
                break;
            }
            let events = self.poll()?;
            self.handle(&events);
        }
        self.log.say("child runner ends");
        self.server.close(&self.paths.runtime);
        for id in self.signal_ids {
            signal_hook::low_level::unregister(id);
        }
        Ok(())
    }

    fn poll(&self) -> Result<Vec<(Source, PollFlags)>, SuperviseError> {
        let mut sources = vec![Source::Signals];
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
        for slot in &self.slots {
            if let Some(process) = &slot.process {
                if let Some(notify) = &process.notify {
                    sources.push(Source::Notify(slot.id));
                    fds.push(PollFd::new(&notify.socket, PollFlags::IN));
                }
                sources.push(Source::Process(slot.id));
                fds.push(PollFd::new(&process.pidfd, PollFlags::IN));
            }
        }
        if let Some(socket) = self.server.accepting() {
            sources.push(Source::Accept);
            fds.push(PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN));
        }
        for (id, stream, wants_to_write) in self.server.connections() {
            let write = if wants_to_write { PollFlags::OUT } else { PollFlags::empty() };
            sources.push(Source::Connection(id));
            fds.push(PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::IN | write));
        }
        let timeout = self.due().map(|due| {
            let wait = due.saturating_duration_since(Instant::now());
            // Rounded up, so that what is due is due when poll returns.
            let wait = wait + Duration::from_micros(50);
            Timespec {
                tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(wait.subsec_nanos()),
            }
        });
        match rustix::event::poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
        let flags = fds.iter().map(PollFd::revents);
        Ok(sources.into_iter().zip(flags).filter(|(_, flags)| !flags.is_empty()).collect())
    }

    /// When something is due next without an event.
    fn due(&self) -> Option<Instant> {
        let logs = (!self.slots.is_empty()).then(|| self.logs_looked_at + LOG_LOOK);
        let slots = self.slots.iter().filter_map(Slot::due);
        let standby = self.wants_standby().then_some(self.standby_at);
        slots.chain(logs).chain(standby).chain(self.server.due()).min()
    }

    fn wants_standby(&self) -> bool {
        self.standby.is_none() && self.ending == 0
    }

    fn handle(&mut self, events: &[(Source, PollFlags)]) {
        // What processes said comes before how they ended: a READY=1 may be its last word.
        for (source, _) in events {
            match source {
                Source::Notify(id) => self.hear(*id),
                Source::Signals => self.hear_signal(),
                _ => {}
            }
        }
        for (source, _) in events {
            if let Source::Process(id) = source {
                self.ended(*id);
            }
        }
        let now = Instant::now();
        let due: Vec<u64> =
            self.slots.iter().filter(|s| s.due().is_some_and(|d| d <= now)).map(|s| s.id).collect();
        for id in due {
            self.sequence += 1;
            if self.slot(id).is_some_and(|slot| slot.tick(now)) {
                self.restart(id);
            }
        }
        if self.wants_standby() && now >= self.standby_at {
            self.standby_at = now + LOG_LOOK;
            match Standby::start(&self.options) {
                Ok(standby) => self.standby = Some(standby),
                Err(error) => self.log.say(&format!("no shim can be started ahead: {error}")),
            }
        }
        if now >= self.logs_looked_at + LOG_LOOK {
            self.logs_looked_at = now;
            for slot in &mut self.slots {
                if log::cut(&slot.log, self.options.log_bytes_max).is_ok_and(|cut| cut) {
                    slot.log_from = 0;
                }
            }
        }
        for (source, _) in events {
            match source {
                Source::Accept => self.server.accept(),
                Source::Connection(id) => {
                    for ask in self.server.read(*id) {
                        self.standby_at = now + STANDBY_QUIET;
                        let answer = self.answer(ask);
                        self.server.answer(*id, answer);
                    }
                }
                _ => {}
            }
        }
    }

    fn hear(&mut self, id: u64) {
        let Some(slot) = self.slot(id) else { return };
        let Some(notify) = slot.process.as_ref().and_then(|process| process.notify.as_ref()) else { return };
        let said = notify.read();
        if said.ready {
            slot.ready();
        }
        slot.leaving |= said.stopping;
        if said.ready || said.stopping {
            self.sequence += 1;
        }
    }

    fn hear_signal(&mut self) {
        let mut bytes = [0; 16];
        let count = self.signals.read(&mut bytes).unwrap_or(0);
        if count > 0 {
            self.end();
        }
    }

    pub(super) fn view(&self) -> View {
        View {
            sequence: self.sequence,
            slots: self.slots.iter().map(|slot| slot.view(self.listener_view(&slot.order.unit))).collect(),
        }
    }

    fn listener_view(&self, unit: &UnitSpec) -> ListenerView {
        if unit.listen.is_none() {
            return ListenerView::None;
        }
        let listener = self.listeners.iter().find(|listener| listener.unit == unit.name);
        listener.map_or(ListenerView::Unknown, |listener| ListenerView::Inode(listener.inode))
    }

    /// Writes the state if it changed. A full disk does not stop the instances: it is said in the log, and
    /// only a successor would miss it.
    pub(super) fn persist(&mut self) {
        if self.written == self.sequence {
            return;
        }
        let now = Instant::now();
        let state = State {
            boot_id: self.boot_id.clone(),
            next_slot: self.next_slot,
            slots: self.slots.iter().map(|slot| slot.record(now)).collect(),
        };
        match self.state.write(&state) {
            Ok(()) => self.written = self.sequence,
            Err(error) => self.log.say(&format!("the state cannot be written: {error}")),
        }
    }
}

/// Takes the runtime folder for this process.
fn take_lock(paths: &HostPaths) -> Result<fs_err::File, SuperviseError> {
    let path = paths.runtime.join("supervise.pid");
    let mut options = fs_err::OpenOptions::new();
    let mut file = options.read(true).write(true).create(true).truncate(false).open(&path)?;
    let began = Instant::now();
    while let Err(error) = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if error != rustix::io::Errno::WOULDBLOCK && error != rustix::io::Errno::INTR {
            return Err(io::Error::from(error).into());
        }
        if began.elapsed() >= LOCK_WAIT {
            let mut pid = String::new();
            (&mut file).take(32).read_to_string(&mut pid)?;
            return Err(SuperviseError::Running {
                runtime: paths.runtime.clone(),
                pid: pid.trim().to_owned(),
            });
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    file.set_len(0)?;
    file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
    Ok(file)
}

fn catch_signals() -> Result<(UnixStream, Vec<signal_hook::SigId>), SuperviseError> {
    let (signals, sender) = UnixStream::pair()?;
    signals.set_nonblocking(true)?;
    let mut ids = Vec::new();
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        ids.push(signal_hook::low_level::pipe::register(signal, sender.try_clone()?)?);
    }
    Ok((signals, ids))
}
