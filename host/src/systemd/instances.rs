//! What runs, as slots: every instance of every unit that is not at rest.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use unship_core::protocol::{Instance, InstanceExit, InstanceState, SystemdUnit, UnitSpec};
use unship_core::release::{Digest, Release, Tag};
use unship_core::running::{ProgramFile, release_of, unknown_release};
use unship_core::time::Timestamp;

use super::bus::Listed;
use super::unit::{Activity, ServiceFacts, SocketFacts, TimerFacts};
use super::{Systemd, SystemdError, escape, journal, listener};
use crate::clock;
use crate::store::{self, CURRENT_NAME};
use crate::supervise::{ListenerView, READY_MOMENT, SlotView, View};

/// What prepares a unit's process since systemd 255.
const EXECUTOR: &str = "systemd/systemd-executor";
/// How many digests of running programs are remembered.
const PROGRAMS_MAX: usize = 64;

/// What is known of the units at one moment.
struct Seen {
    slots: Vec<SlotView>,
    exits: Vec<InstanceExit>,
}

impl Systemd {
    /// The slots and how the latest processes ended.
    pub(crate) fn read_status(&mut self) -> Result<(View, Vec<InstanceExit>), SystemdError> {
        self.observes = true;
        let seen = self.see();
        self.observes = false;
        let seen = seen?;
        let exits = seen.exits.clone();
        Ok((self.note(seen), exits))
    }

    /// The slots.
    pub(crate) fn read_view(&mut self) -> Result<View, SystemdError> {
        let seen = self.see()?;
        Ok(self.note(seen))
    }

    /// Gives the slots a new number when they are not what they were.
    fn note(&mut self, seen: Seen) -> View {
        let still = |slots: &[SlotView]| -> Vec<SlotView> {
            slots.iter().map(|slot| SlotView { kill_in_ms: None, ..slot.clone() }).collect()
        };
        if self.sequence == 0 || still(&self.slots) != still(&seen.slots) {
            self.sequence += 1;
        }
        self.slots.clone_from(&seen.slots);
        View { sequence: self.sequence, slots: seen.slots }
    }

    fn see(&mut self) -> Result<Seen, SystemdError> {
        let units = self.units()?;
        let pattern = |names: &SystemdUnit| match names.template() {
            Some(template) => format!("{template}@*.service"),
            None => names.unit.clone(),
        };
        let mut patterns: Vec<String> = units.iter().map(|(_, names)| pattern(names)).collect();
        patterns.extend(units.iter().filter_map(|(_, names)| names.hold.clone()));
        let listed = self.bus()?.list(&patterns)?;
        let mut all = Seen { slots: Vec::new(), exits: Vec::new() };
        for (unit, names) in &units {
            let mut seen = Seen { slots: Vec::new(), exits: Vec::new() };
            for listed in listed.iter().filter(|listed| is_of(names, &listed.name)) {
                self.see_one(unit, names, listed, &mut seen)?;
            }
            // What failed for good is worth a slot while nothing else runs; beside a release that serves it
            // is history, which the exits tell.
            let failed = |slot: &SlotView| slot.instance.state == InstanceState::Failed;
            if seen.slots.iter().any(|slot| !failed(slot)) {
                seen.slots.retain(|slot| !failed(slot));
            }
            if let Some(timer) = &names.timer {
                self.see_timer(unit, names, timer, &mut seen.slots)?;
            }
            all.slots.extend(seen.slots);
            all.exits.extend(seen.exits);
        }
        all.slots.sort_by_key(|slot| slot.instance.started_at);
        all.exits.sort_by_key(|exit| exit.at);
        Ok(all)
    }

    fn see_one(
        &mut self,
        unit: &UnitSpec,
        names: &SystemdUnit,
        listed: &Listed,
        seen: &mut Seen,
    ) -> Result<(), SystemdError> {
        if Activity::of(&listed.active_state, &listed.sub_state) == Activity::Inactive {
            return Ok(());
        }
        let facts = ServiceFacts::read(self.bus()?, &listed.name)?;
        if facts.activity == Activity::Failed && self.told.contains(&facts.invocation) {
            // It ended because it was told to; that it did not say so with status 0 is no failure.
            self.bus()?.reset_failed(&facts.name)?;
            return Ok(());
        }
        let Some((release, runs)) = self.release_of_unit(unit, names, &facts) else { return Ok(()) };
        self.see_exits(unit, &release, &facts, &mut seen.exits);
        let state = match facts.activity {
            Activity::Inactive => return Ok(()),
            Activity::Starting => InstanceState::Starting,
            Activity::Active if ran_too_short(unit, &facts) => InstanceState::Starting,
            Activity::Active => InstanceState::Ready,
            Activity::Stopping => InstanceState::Draining,
            Activity::AutoRestart => InstanceState::Restarting,
            Activity::Failed => InstanceState::Failed,
        };
        let listener = match &names.socket {
            None => ListenerView::None,
            Some(socket) if self.observes => self.listener(socket),
            Some(_) => ListenerView::Unknown,
        };
        let slot = slot_number(&facts.name, &release);
        self.names.insert(slot, facts.name.clone());
        let draining = state == InstanceState::Draining;
        let files = self.store.files_of(&release);
        seen.slots.push(SlotView {
            slot,
            listener,
            program: facts.program.clone().unwrap_or_default(),
            files,
            asked: draining,
            kill_in_ms: draining.then(|| kill_in_ms(&facts)),
            log: PathBuf::from(&facts.name),
            log_from: facts.left_inactive_at_us,
            runs,
            waits: false,
            instance: Instance {
                unit: unit.name.clone(),
                release,
                proved: false,
                pid: if state == InstanceState::Restarting { 0 } else { facts.main_pid },
                invocation: facts.invocation,
                state,
                restarts: facts.restarts,
                started_at: facts.started_at,
                ready_after_us: ready_after_us(facts.left_inactive_us, facts.entered_active_us, state),
                listening: false,
            },
        });
        Ok(())
    }

    /// How processes of the unit ended: the latest from the unit itself, those before a restart from the journal.
    fn see_exits(
        &self,
        unit: &UnitSpec,
        release: &Release,
        facts: &ServiceFacts,
        exits: &mut Vec<InstanceExit>,
    ) {
        let exit = |pid, invocation: &str, at, asked, status| InstanceExit {
            unit: unit.name.clone(),
            release: release.clone(),
            pid,
            invocation: invocation.to_owned(),
            at,
            asked,
            status,
        };
        if self.observes && (facts.restarts > 0 || facts.activity == Activity::Failed) {
            for (invocation, status, at) in journal::failed_exits(&facts.name) {
                // The unit itself knows its latest process best.
                if facts.exit.is_none() || invocation != facts.invocation {
                    exits.push(exit(0, &invocation, at, false, status));
                }
            }
        }
        if let Some(last) = facts.exit {
            let asked = facts.activity == Activity::Stopping || facts.result == "success";
            exits.push(exit(last.pid, &facts.invocation, last.at, asked, last.status));
        }
    }

    /// A unit that a timer starts has no process most of the time; its timer is what is ready.
    fn see_timer(
        &mut self,
        unit: &UnitSpec,
        names: &SystemdUnit,
        timer: &str,
        slots: &mut Vec<SlotView>,
    ) -> Result<(), SystemdError> {
        let facts = TimerFacts::read(self.bus()?, timer)?;
        if facts.activity != Activity::Active {
            return Ok(());
        }
        let started = ServiceFacts::read(self.bus()?, &facts.unit)?;
        let Some((release, _)) = self.release_of_unit(unit, names, &started) else { return Ok(()) };
        // A run of the same release belongs to it.
        let running = slots.iter().position(|slot| slot.instance.release == release);
        let pid = running.map_or(0, |at| slots.remove(at).instance.pid);
        let slot = slot_number(timer, &release);
        self.names.insert(slot, timer.to_owned());
        slots.push(SlotView {
            slot,
            listener: ListenerView::None,
            files: self.store.files_of(&release),
            program: started.program.unwrap_or_default(),
            asked: false,
            kill_in_ms: None,
            log: PathBuf::from(&facts.unit),
            log_from: 0,
            runs: None,
            waits: true,
            instance: Instance {
                unit: unit.name.clone(),
                release,
                proved: false,
                pid,
                invocation: facts.invocation,
                state: InstanceState::Ready,
                restarts: 0,
                started_at: facts.since,
                ready_after_us: None,
                listening: false,
            },
        });
        Ok(())
    }

    /// Which release a unit runs, or would run; for a plain unit with the digest of what it executes. Nothing
    /// for one that nothing was ever known of, and whose process is gone.
    fn release_of_unit(
        &mut self,
        unit: &UnitSpec,
        names: &SystemdUnit,
        facts: &ServiceFacts,
    ) -> Option<(Release, Option<Digest>)> {
        if names.hold.as_ref() == Some(&facts.name) {
            return Some((Release::hold(), None));
        }
        if let Some(template) = names.template() {
            let text = escape::instance_of(template, &facts.name)?;
            if text == CURRENT_NAME
                && let Some(release) = self.release_of_current(facts)
            {
                return Some((release, None));
            }
            let tag = text.parse::<Tag>().ok();
            if let Some(stored) = tag.as_ref().and_then(|tag| self.store.stored(tag)) {
                return Some((stored, None));
            }
            // An instance of no stored release: it is called by its name, and is nobody's target.
            let tag =
                tag.or_else(|| format!("unknown-{}", Digest::of(text.as_bytes()).short()).parse().ok())?;
            return Some((Release { tag, digest: Digest::of(facts.name.as_bytes()) }, None));
        }
        // What is on its way out may have no process left that could be asked: it is what it was.
        let is_it =
            |slot: &&SlotView| !facts.invocation.is_empty() && slot.instance.invocation == facts.invocation;
        let was = self.slots.iter().find(is_it);
        let was = was.map(|slot| (slot.instance.release.clone(), slot.runs));
        if facts.activity == Activity::Stopping && was.is_some() {
            return was;
        }
        let Some((program, runs)) = self.program_of(facts) else { return was };
        let path = unit.command.first()?;
        let known = self.store.known();
        let current = self.store.current().ok().flatten();
        // Two releases may share a program; then it is the one that is current.
        let of_current = known.iter().filter(|known| Some(&known.release) == current.as_ref()).cloned();
        let of_current: Vec<_> = of_current.collect();
        let release = release_of(&program, path, &self.service.name, &of_current)
            .or_else(|| release_of(&program, path, &self.service.name, &known))
            .or_else(|| unknown_release(&program, path, &self.service.name))?;
        Some((release, runs.then_some(program.sha256)))
    }

    /// Which release the instance runs that a connection has started: the one whose files its process is in. Where that
    /// does not show, as with an interpreter, the one that is current and was so when it was started.
    fn release_of_current(&self, facts: &ServiceFacts) -> Option<Release> {
        if facts.main_pid != 0 && !is_before_exec(facts.main_pid) {
            let leads = |what| fs_err::read_link(format!("/proc/{}/{what}", facts.main_pid)).ok();
            let mut seen = ["exe", "cwd"].into_iter().filter_map(leads);
            if let Some(release) = seen.find_map(|path| self.store.release_at(&path)) {
                return Some(release);
            }
        }
        let started = facts.started_at;
        let is_of_it = started == Timestamp(0) || self.store.current_since()? <= started;
        self.store.current().ok().flatten().filter(|_| is_of_it)
    }

    /// What a plain unit's process executes, or will; and whether it does.
    fn program_of(&mut self, facts: &ServiceFacts) -> Option<(ProgramFile, bool)> {
        let path = facts.program.as_ref()?.display().to_string();
        if facts.main_pid == 0 || is_before_exec(facts.main_pid) {
            let (size, sha256) = store::hash_through(facts.program.as_ref()?).ok()?;
            return Some((ProgramFile { path, size, sha256 }, false));
        }
        // What executes cannot be written to, so a file is read once. A process may execute another by and by.
        let exe = format!("/proc/{}/exe", facts.main_pid);
        let found = fs_err::metadata(&exe).ok()?;
        let key = (found.dev(), found.ino(), found.ctime(), found.ctime_nsec());
        if let Some((size, sha256)) = self.programs.get(&key) {
            return Some((ProgramFile { path, size: *size, sha256: *sha256 }, true));
        }
        let (size, sha256) = store::hash_through(Path::new(&exe)).ok()?;
        if self.programs.len() >= PROGRAMS_MAX {
            self.programs.clear();
        }
        self.programs.insert(key, (size, sha256));
        Some((ProgramFile { path, size, sha256 }, true))
    }

    fn listener(&mut self, socket: &str) -> ListenerView {
        let facts = self.bus().and_then(|bus| SocketFacts::read(bus, socket));
        let inode = facts.ok().and_then(|facts| listener::inode(&facts.listen?));
        inode.map_or(ListenerView::Unknown, ListenerView::Inode)
    }
}

/// Whether a process is still systemd's own, which prepares what its unit asks for and then becomes its program. With a
/// unit that is shut in (PrivateTmp= and the like) that takes a while.
fn is_before_exec(pid: u32) -> bool {
    let exe =
        |pid: u32| fs_err::metadata(format!("/proc/{pid}/exe")).map(|file| (file.dev(), file.ino())).ok();
    let own = exe(pid);
    let executor =
        || fs_err::read_link(format!("/proc/{pid}/exe")).is_ok_and(|path| path.ends_with(EXECUTOR));
    own.is_some() && (own == exe(1) || executor())
}

/// Whether systemd's unit is the plain unit, an instance of the template, or what holds its socket.
fn is_of(names: &SystemdUnit, name: &str) -> bool {
    if names.hold.as_deref() == Some(name) {
        return true;
    }
    match names.template() {
        Some(template) => escape::instance_of(template, name).is_some(),
        None => names.unit == name,
    }
}

/// A slot is a unit of systemd running a release; the number is the same for every agent.
pub(super) fn slot_number(unit: &str, release: &Release) -> u64 {
    let digest = Digest::of(format!("{unit}\n{}", release.digest).as_bytes()).to_string();
    u64::from_str_radix(&digest[..15], 16).unwrap_or(0)
}

/// Whether a unit that does not say READY=1 has run too short to count as ready.
fn ran_too_short(unit: &UnitSpec, facts: &ServiceFacts) -> bool {
    let ran_ms = clock::now().0.saturating_sub(facts.started_at.0);
    !unit.notify
        && !facts.kind.starts_with("notify")
        && facts.main_pid != 0
        && (0..i64::try_from(READY_MOMENT.as_millis()).unwrap_or(0)).contains(&ran_ms)
}

fn kill_in_ms(facts: &ServiceFacts) -> u64 {
    let since_ms = clock::monotonic_us().saturating_sub(facts.state_since_us) / 1_000;
    facts.stop_limit_ms.saturating_sub(since_ms)
}

fn ready_after_us(left_inactive_us: u64, entered_active_us: u64, state: InstanceState) -> Option<u64> {
    let ready = matches!(state, InstanceState::Ready | InstanceState::Draining);
    (ready && entered_active_us >= left_inactive_us).then(|| entered_active_us - left_inactive_us)
}
