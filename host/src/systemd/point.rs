//! What systemd brings up by itself: at boot, on a connection, at a time. Said in files first, so that a reboot
//! at any moment comes up as the files say; systemd reads them in one `daemon-reload`.

use std::path::Path;

use unship_core::protocol::{FlipOrder, SystemdUnit, UnitSpec};
use unship_core::release::Release;

use super::bus::Verb;
use super::files::swap_file;
use super::unit::{Activity, ServiceFacts, SocketFacts, TimerFacts, activity, is_there};
use super::{Systemd, SystemdError};
use crate::supervise::SlotView;

impl Systemd {
    /// Makes boot, sockets and timers bring up a release. Answers what was changed. With `at_once` systemd
    /// knows when this returns; else only where a flip without overlap needs it, and [`Systemd::reload_if_stale`] does
    /// the rest, when nobody waits any more. Where not all can be pointed, all is as it was, or the error says what is
    /// not.
    pub(crate) fn point_to(&mut self, release: &Release, at_once: bool) -> Result<Vec<String>, SystemdError> {
        let mut swapped = Vec::new();
        self.files.begin();
        let pointed = self.point_all(release, at_once, &mut swapped);
        pointed.map_err(|error| self.taken_back(error, &swapped))
    }

    fn point_all(
        &mut self,
        release: &Release,
        at_once: bool,
        swapped: &mut Vec<String>,
    ) -> Result<Vec<String>, SystemdError> {
        let mut changed = Vec::new();
        let mut reload = at_once;
        for (unit, names) in self.units()? {
            let takes_turns = self.flip_of(&unit.name)?.order != FlipOrder::Overlap;
            if self.point_unit(&names, release, &mut changed)? {
                reload |= takes_turns;
            }
            if takes_turns && names.socket.is_some() {
                // Until the target is started a connection may start it, as it may have done a moment ago: that a limit
                // of systemd's counts.
                self.bus()?.reset_failed(&Systemd::current_name(&names)?)?;
            }
        }
        if reload {
            changed.extend(self.reload_if_stale()?);
        }
        // Last: a file that was swapped is not swapped back.
        for (unit, names) in self.units()? {
            let order = self.flip_of(&unit.name)?.order;
            if matches!(order, FlipOrder::Swap | FlipOrder::Reload) && self.swap(&unit, &names, release)? {
                changed.push(format!("swap the file of {} for {release}'s", names.unit));
                swapped.push(names.unit);
            }
        }
        Ok(changed)
    }

    /// Takes back what was written before an error, and adds to it what could not be.
    fn taken_back(&mut self, error: SystemdError, swapped: &[String]) -> SystemdError {
        let taken_back = self.files.take_back();
        self.stale |= !matches!(taken_back, Ok(false));
        if self.stale {
            // The files are what a boot reads; what systemd has read is put right by the next one who points.
            let _ = self.reload();
        }
        let mut left: Vec<String> =
            swapped.iter().map(|unit| format!("the file of {unit} is swapped already")).collect();
        left.extend(taken_back.err().map(|why| format!("what boots could not be put back: {why}")));
        if left.is_empty() {
            return error;
        }
        SystemdError::HalfPointed { error: Box::new(error), left: left.join("; ") }
    }

    /// Answers whether systemd has to read something anew.
    fn point_unit(
        &mut self,
        names: &SystemdUnit,
        release: &Release,
        changed: &mut Vec<String>,
    ) -> Result<bool, SystemdError> {
        let Some(template) = names.template() else { return self.open_plain(names, changed) };
        let instance = Systemd::unit_name(names, release)?;
        let mut stale = false;
        if let Some(socket) = &names.socket {
            self.store.follow_current()?;
            let current = Systemd::current_name(names)?;
            if self.point_socket(socket, &current)? {
                changed.push(format!("{socket} -> {current}"));
                stale = true;
            }
        }
        if let Some(timer) = &names.timer {
            if self.files.drop_in(timer, Some(&format!("[Timer]\nUnit={instance}\n")))? {
                changed.push(format!("{timer} -> {instance}"));
                stale = true;
            }
        } else {
            let source = ServiceFacts::read(self.bus()?, &instance)?.fragment;
            let source = if source.is_empty() || source == "/dev/null" {
                format!("/etc/systemd/system/{}", names.unit)
            } else {
                source
            };
            if self.files.boot(template, Some(&instance), &source)? {
                changed.push(format!("boot -> {instance}"));
            }
        }
        self.stale |= stale;
        Ok(stale)
    }

    /// Takes away what kept a plain unit, and what starts it, from coming up: they are as they were installed. Answers
    /// whether systemd has to read something anew.
    fn open_plain(&mut self, names: &SystemdUnit, changed: &mut Vec<String>) -> Result<bool, SystemdError> {
        let mut stale = false;
        for unit in [Some(&names.unit), names.socket.as_ref(), names.timer.as_ref()].into_iter().flatten() {
            if self.files.drop_in(unit, None)? {
                changed.push(format!("{unit} -> {}", names.unit));
                stale = true;
            }
        }
        self.stale |= stale;
        Ok(stale)
    }

    /// Keeps a unit from coming up while nothing is current, whoever starts it: the boot of an enabled unit, another
    /// unit, a person in a hurry. Answers whether that was a change. A unit that is not there is left alone.
    fn shut(&mut self, unit: &str) -> Result<bool, SystemdError> {
        if !is_there(self.bus()?, unit)? {
            return Ok(false);
        }
        // systemd ignores a condition whose path is not in its shortest form.
        let current = fs_err::canonicalize(&self.root)?.join("current").display().to_string();
        let text = format!(
            "# Written by unship: nothing serves here on purpose. `unship status` says why.\n\
             [Unit]\nConditionPathIsSymbolicLink={}\n",
            current.replace('%', "%%")
        );
        let changed = self.files.drop_in(unit, Some(&text))?;
        self.stale |= changed;
        Ok(changed)
    }

    /// Points a socket to a unit, in the file that the next reload or boot reads. Answers whether that was a
    /// change.
    pub(super) fn point_socket(&mut self, socket: &str, to: &str) -> Result<bool, SystemdError> {
        let changed = self.files.drop_in(socket, Some(&format!("[Socket]\nService={to}\n")))?;
        self.stale |= changed;
        Ok(changed)
    }

    /// Puts the release's file in the place of the one that a plain unit names, unless that leads to the
    /// release already.
    fn swap(
        &mut self,
        unit: &UnitSpec,
        names: &SystemdUnit,
        release: &Release,
    ) -> Result<bool, SystemdError> {
        let Some(path) = ServiceFacts::read(self.bus()?, &names.unit)?.program else { return Ok(false) };
        if super::leads_through(&path, &self.root.join("current")) {
            return Ok(false);
        }
        let digest = self.swapped_in(unit, release)?;
        let source = Systemd::program_in(&self.store.files_of(release), unit);
        Ok(swap_file(&path, &source, &digest)?)
    }

    /// Has systemd follow the files, where it does not yet. Answers what was done.
    pub(crate) fn reload_if_stale(&mut self) -> Result<Option<String>, SystemdError> {
        let mut stale = self.stale;
        for (_, names) in self.units()? {
            if let Some(socket) = &names.socket {
                stale |= SocketFacts::read(self.bus()?, socket)?.stale;
            }
            if let Some(timer) = &names.timer {
                stale |= TimerFacts::read(self.bus()?, timer)?.stale;
            }
            if names.template().is_none() {
                stale |= ServiceFacts::read(self.bus()?, &names.unit)?.stale;
            }
        }
        if !stale {
            return Ok(None);
        }
        self.reload()?;
        Ok(Some("daemon-reload".to_owned()))
    }

    /// Makes nothing come up: not at boot, not on a connection, not at a time. Connections are refused.
    pub(crate) fn point_to_nothing(&mut self) -> Result<Vec<String>, SystemdError> {
        let mut changed = Vec::new();
        for (_, names) in self.units()? {
            self.point_unit_to_nothing(&names, &mut changed)?;
        }
        changed.extend(self.reload_if_stale()?);
        Ok(changed)
    }

    fn point_unit_to_nothing(
        &mut self,
        names: &SystemdUnit,
        changed: &mut Vec<String>,
    ) -> Result<(), SystemdError> {
        let mut shut = Ok(());
        for starter in [&names.socket, &names.timer].into_iter().flatten() {
            // One that is enabled comes up at the next boot, and with it what its own file names.
            match self.shut(starter) {
                Ok(true) => changed.push(format!("{starter} -> nothing")),
                Ok(false) => {}
                Err(error) => shut = shut.and(Err(error)),
            }
        }
        self.close(names, changed)?;
        shut?;
        self.no_boot(names, changed)
    }

    /// Stops what starts a unit, before that is stopped: a connection would start it again.
    fn close(&mut self, names: &SystemdUnit, changed: &mut Vec<String>) -> Result<(), SystemdError> {
        for starter in [&names.socket, &names.timer].into_iter().flatten() {
            if !matches!(activity(self.bus()?, starter)?, Activity::Inactive | Activity::Failed) {
                self.run(Verb::Stop, starter)?;
                changed.push(format!("stop {starter}"));
            }
        }
        Ok(())
    }

    fn no_boot(&mut self, names: &SystemdUnit, changed: &mut Vec<String>) -> Result<(), SystemdError> {
        let shut = match names.template() {
            Some(template) => self.files.boot(template, None, "")?,
            None => self.shut(&names.unit)?,
        };
        if shut {
            changed.push(format!("boot -> no {}", names.unit));
        }
        Ok(())
    }

    /// Makes the hold units come up, and no release. A socket that cannot be held is closed: what is held must
    /// not come back by a connection. What goes wrong with one unit does not keep the others from it, and the first
    /// error is the answer. Answers what was done.
    pub(crate) fn point_to_hold(&mut self, retry_after_s: u32) -> Result<Vec<String>, SystemdError> {
        let mut done = Vec::new();
        let mut pointed = Ok(());
        for (unit, names) in self.units()? {
            let one = self.point_unit_to_hold(&unit, &names, retry_after_s, &mut done);
            if one.is_err() {
                // Why it could not be pointed is what is told.
                let _ = self.close(&names, &mut done);
            }
            pointed = pointed.and(one);
        }
        done.extend(self.reload_if_stale()?);
        pointed.map(|()| done)
    }

    fn point_unit_to_hold(
        &mut self,
        unit: &UnitSpec,
        names: &SystemdUnit,
        retry_after_s: u32,
        done: &mut Vec<String>,
    ) -> Result<(), SystemdError> {
        let can_hold = self.flip_of(&unit.name)?.can_hold;
        let (Some(socket), Some(hold), true) = (&names.socket, &names.hold, can_hold) else {
            return self.point_unit_to_nothing(names, done);
        };
        if self.write_hold(hold, &retry_after_s.to_string())? {
            done.push(format!("{hold} answers 503, Retry-After {retry_after_s} s"));
        }
        if self.point_socket(socket, hold)? {
            done.push(format!("{socket} -> {hold}"));
        }
        self.no_boot(names, done)
    }

    /// Writes what a hold unit runs. Answers whether that was a change.
    pub(super) fn write_hold(&mut self, hold: &str, retry_after_s: &str) -> Result<bool, SystemdError> {
        let place = match self.hold_place.take() {
            Some(place) => place,
            None => self.hold_program.place(&self.root),
        };
        let text = self.hold_text(&place, retry_after_s);
        self.hold_place = Some(place);
        let changed = self.files.drop_in(hold, Some(&text))?;
        self.stale |= changed;
        Ok(changed)
    }

    pub(super) fn cannot_hold(unit: &str) -> SystemdError {
        SystemdError::Unfit {
            why: format!("unit `{unit}` has no hold unit that takes its socket"),
            hint: "`unship init --systemd` writes one".to_owned(),
        }
    }

    /// The drop-in of a hold unit.
    fn hold_text(&self, place: &Path, retry_after_s: &str) -> String {
        let mut words = vec![place.display().to_string()];
        words.extend(self.hold_program.args.iter().map(|word| word.to_string_lossy().into_owned()));
        words.push(retry_after_s.to_owned());
        let words: Vec<String> = words.iter().map(|word| exec_word(word)).collect();
        format!("[Service]\nExecStart=\nExecStart={}\n", words.join(" "))
    }

    /// Keeps an ended instance from being started again by anything but this agent. Answers what was done.
    pub(crate) fn mask(&mut self, slot: &SlotView) -> Result<Option<String>, SystemdError> {
        let (_, names) = self.unit(&slot.instance.unit)?;
        // A plain unit is the target's as well.
        if names.template().is_none() {
            return Ok(None);
        }
        let instance = Systemd::unit_name(&names, &slot.instance.release)?;
        Ok(self.files.mask(&instance)?.then(|| format!("mask {instance}")))
    }
}

/// A word of `ExecStart=`, quoted as systemd.service(5) has it: no specifier, variable or quote is left in it.
fn exec_word(word: &str) -> String {
    let mut quoted = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            '%' => quoted.push_str("%%"),
            '$' => quoted.push_str("$$"),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
