//! A host as a pure state machine: what `host/src/agent` does, without a disk and without processes.
//! `conformance.rs` asks both the same questions, so that the two cannot drift apart.

use std::collections::{BTreeMap, BTreeSet};

use unship_core::capsule::Manifest;
use unship_core::protocol::*;
use unship_core::release::{Digest, HostName, Release};
use unship_core::running::RunningUnit;
use unship_core::time::Timestamp;

/// What processes of a release do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Behaviour {
    /// They end before they are ready.
    pub ends_at_once: bool,
}

#[derive(Debug, Clone)]
struct Slot {
    unit: String,
    release: Release,
    state: InstanceState,
    asked: bool,
    new: bool,
}

/// What was staged of a release: its manifest, and how much of each file is here.
type Staged = (Manifest, BTreeMap<String, u64>);

/// The state of a host.
#[derive(Debug, Clone)]
pub struct ModelHost {
    pub name: HostName,
    epoch: Option<EpochRecord>,
    releases: Vec<StoredRelease>,
    staging: BTreeMap<Digest, Staged>,
    current: Option<Release>,
    held: Option<Held>,
    slots: Vec<Slot>,
    quarantined: Vec<QuarantinedRelease>,
    behaviours: BTreeMap<Digest, Behaviour>,
    invocations: u64,
    /// What units run that another tool looks after.
    pub foreign: Vec<RunningUnit>,
    dropped_in: BTreeSet<String>,
    /// A canary: serves whoever asks, whatever the epoch.
    pub ignores_epochs: bool,
}

/// Told of every action when it is done; it does not return when the agent dies there.
pub type AfterAction<'a> = &'a mut dyn FnMut(&str);

enum Failure {
    Failed(String),
    Refused(Refusal),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Failure {
        Failure::Refused(refusal)
    }
}

fn stale(yours: Epoch, now: &EpochRecord) -> Refusal {
    Refusal::StaleEpoch { yours: yours.0, now: Box::new(now.clone()) }
}

fn failed<T>(why: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Failed(why.into()))
}

impl ModelHost {
    pub fn new(name: &str) -> ModelHost {
        ModelHost {
            name: name.parse().expect("a host"),
            epoch: None,
            releases: Vec::new(),
            staging: BTreeMap::new(),
            current: None,
            held: None,
            slots: Vec::new(),
            quarantined: Vec::new(),
            behaviours: BTreeMap::new(),
            invocations: 0,
            foreign: Vec::new(),
            dropped_in: BTreeSet::new(),
            ignores_epochs: false,
        }
    }

    pub fn behaves(&mut self, digest: Digest, behaviour: Behaviour) {
        self.behaviours.insert(digest, behaviour);
    }

    /// Time goes by: what was told to stop is gone.
    pub fn tick(&mut self) {
        self.slots.retain(|slot| !slot.asked);
    }

    /// Serves one request to its end, or until `after` does not return.
    pub fn serve(&mut self, envelope: &Envelope, after: AfterAction<'_>) -> HostReply {
        let mut actions = Vec::new();
        let mut changed = false;
        let mut act = Act { actions: &mut actions, changed: &mut changed, after };
        match self.answer(envelope, &mut act) {
            Ok(Some(reply)) => reply,
            Ok(None) => HostReply::Done { actions },
            Err(Failure::Refused(refusal)) => HostReply::Refused { refusal },
            Err(Failure::Failed(error)) => {
                HostReply::Failed { error, hint: None, unchanged: !changed, actions }
            }
        }
    }

    /// What `Observe` answers.
    pub fn state(&self) -> HostState {
        let mut releases = self.releases.clone();
        releases.sort_by_key(|stored| stored.published_at);
        let instances = self.slots.iter().map(|slot| Instance {
            unit: slot.unit.clone(),
            release: slot.release.clone(),
            proved: slot.state != InstanceState::Restarting,
            pid: 1,
            invocation: "1".into(),
            state: slot.state,
            restarts: 0,
            started_at: Timestamp(0),
            ready_after_us: None,
            listening: false,
        });
        HostState {
            agent: "model".into(),
            architecture: "model".into(),
            epoch: self.epoch.clone(),
            releases,
            current: self.current.clone(),
            instances: instances.collect(),
            exits: Vec::new(),
            quarantined: self.quarantined.clone(),
            disk_free_bytes: 1 << 40,
            memory_available_bytes: 1 << 34,
            flips: Vec::new(),
            held: self.held.clone(),
            troubles: Vec::new(),
        }
    }

    fn answer(&mut self, envelope: &Envelope, act: &mut Act<'_, '_>) -> Result<Option<HostReply>, Failure> {
        if envelope.version != PROTOCOL_VERSION {
            return Err(Refusal::Protocol { host: PROTOCOL_VERSION, operator: envelope.version }.into());
        }
        match &envelope.request {
            HostRequest::Observe => {
                return Ok(Some(HostReply::Observed { state: Box::new(self.state()) }));
            }
            HostRequest::Whose => return Ok(Some(HostReply::Whose { record: self.epoch.clone() })),
            HostRequest::Look { units } => {
                let units = units.iter().map(|name| self.unit(name)).collect();
                return Ok(Some(HostReply::Looked { units }));
            }
            HostRequest::Verify { release } => {
                self.stored(release)?;
                act.did(format!("verify {release}"));
                return Ok(None);
            }
            HostRequest::Claim { holder } => {
                if self.claim(envelope, holder)? {
                    act.did(format!("claim epoch {}", envelope.epoch.0));
                }
                return Ok(None);
            }
            HostRequest::Unclaim => {
                if self.unclaim(envelope)? {
                    act.did(format!("end epoch {}", envelope.epoch.0));
                }
                return Ok(None);
            }
            _ => self.check_epoch(envelope)?,
        }
        match &envelope.request {
            HostRequest::Stage { manifest } => return self.stage(manifest).map(Some),
            HostRequest::Write { digest, path, offset, bytes } => {
                self.write(digest, path, *offset, bytes)?;
                act.did(format!("write {} bytes to {path}", bytes.len()));
            }
            HostRequest::Publish { digest, capsule } => {
                if self.publish(digest)? {
                    act.did(format!("publish {}", capsule.release));
                }
            }
            HostRequest::Converge { desired } => self.converge(desired, act)?,
            HostRequest::Quarantine { release, reason } => {
                let mark = QuarantinedRelease { release: release.clone(), reason: reason.clone() };
                if !self.quarantined.contains(&mark) {
                    self.quarantined.retain(|mark| mark.release.digest != release.digest);
                    self.quarantined.push(mark);
                    self.quarantined.sort_by(|a, b| a.release.tag.cmp(&b.release.tag));
                    act.did(format!("quarantine {release}"));
                }
            }
            HostRequest::LiftQuarantine { release } => {
                let before = self.quarantined.len();
                self.quarantined.retain(|mark| mark.release.digest != release.digest);
                if self.quarantined.len() < before {
                    act.did(format!("lift the quarantine of {release}"));
                }
            }
            HostRequest::Adopt { adoption } => self.adopt(adoption, act)?,
            HostRequest::Prune { keep } => self.prune(keep, act),
            HostRequest::Observe
            | HostRequest::Whose
            | HostRequest::Verify { .. }
            | HostRequest::Look { .. }
            | HostRequest::Claim { .. }
            | HostRequest::Unclaim => {}
        }
        Ok(None)
    }

    /// A unit that another tool looks after, as the host sees it.
    fn unit(&self, name: &str) -> RunningUnit {
        let known = self.foreign.iter().find(|unit| unit.unit == name).cloned();
        known.unwrap_or_else(|| RunningUnit {
            unit: name.to_owned(),
            state: "not-found".to_owned(),
            ready: false,
            process: None,
            restarts: 0,
            on_disk: None,
            user: String::new(),
            before_start: Vec::new(),
            files: Vec::new(),
        })
    }

    fn adopt(&mut self, adoption: &Adoption, act: &mut Act<'_, '_>) -> Result<(), Failure> {
        let Adoption { manifest, unit, without_start_pre, .. } = adoption;
        let release = manifest.release();
        let HostReply::Staging { missing, published } = self.stage(manifest)? else {
            return failed("it cannot be staged");
        };
        if !published {
            let unit = self.unit(unit);
            let Some(process) = unit.process else { return failed(format!("`{}` does not run", unit.unit)) };
            for file in missing {
                let bytes = vec![0; usize::try_from(process.program.size - file.have).unwrap_or(0)];
                self.write(&release.digest, &file.path, file.have, &bytes)?;
            }
            act.did(format!("copy {} of process {}", process.program.path, process.pid));
        }
        if self.publish(&release.digest)? {
            act.did(format!("publish {release}"));
        }
        for unit in without_start_pre {
            if self.dropped_in.insert(unit.clone()) {
                act.did(format!("write /etc/systemd/system/{unit}.d/50-unship.conf"));
            }
        }
        self.make_current(&release, act);
        Ok(())
    }

    fn check_epoch(&self, envelope: &Envelope) -> Result<(), Failure> {
        if self.ignores_epochs {
            return Ok(());
        }
        let Some(record) = &self.epoch else { return Err(Refusal::NotClaimed.into()) };
        let own = record.epoch == envelope.epoch && record.holder.run == envelope.run;
        if own && !record.ended {
            return Ok(());
        }
        if own || envelope.epoch > record.epoch {
            return Err(Refusal::NotClaimed.into());
        }
        Err(stale(envelope.epoch, record).into())
    }

    fn claim(&mut self, envelope: &Envelope, holder: &Holder) -> Result<bool, Failure> {
        let wanted = EpochRecord { epoch: envelope.epoch, holder: holder.clone(), ended: false };
        match &self.epoch {
            Some(record) if *record == wanted => return Ok(false),
            Some(record) if envelope.epoch > record.epoch || self.ignores_epochs => {}
            Some(record) if envelope.epoch == record.epoch && record.holder.run == envelope.run => {}
            Some(record) => return Err(stale(envelope.epoch, record).into()),
            None => {}
        }
        self.epoch = Some(wanted);
        Ok(true)
    }

    fn unclaim(&mut self, envelope: &Envelope) -> Result<bool, Failure> {
        if let Some(record) = &self.epoch
            && record.ended
            && record.epoch == envelope.epoch
            && record.holder.run == envelope.run
        {
            return Ok(false);
        }
        self.check_epoch(envelope)?;
        if let Some(record) = &mut self.epoch {
            record.ended = true;
        }
        Ok(true)
    }

    fn stored(&self, release: &Release) -> Result<(), Failure> {
        match self.releases.iter().find(|stored| stored.release.tag == release.tag) {
            Some(stored) if stored.release.digest == release.digest => Ok(()),
            Some(_) => failed(format!("another release is stored as {release}")),
            None => failed(format!("{release} is not stored here")),
        }
    }

    fn stage(&mut self, manifest: &Manifest) -> Result<HostReply, Failure> {
        let release = manifest.release();
        if self.releases.iter().any(|stored| stored.release.tag == release.tag) {
            self.stored(&release)?;
            return Ok(HostReply::Staging { missing: Vec::new(), published: true });
        }
        let staged =
            self.staging.entry(release.digest).or_insert_with(|| (manifest.clone(), BTreeMap::new()));
        staged.0 = manifest.clone();
        let have = |path: &str| staged.1.get(path).copied().unwrap_or(0);
        let missing = manifest.files.iter().filter(|file| have(&file.path) < file.size);
        let missing = missing.map(|file| MissingFile { path: file.path.clone(), have: have(&file.path) });
        Ok(HostReply::Staging { missing: missing.collect(), published: false })
    }

    fn write(&mut self, digest: &Digest, path: &str, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        let Some((manifest, files)) = self.staging.get_mut(digest) else {
            return failed("it is not being staged");
        };
        let Some(file) = manifest.files.iter().find(|file| file.path == path) else {
            return failed("the release has no such file");
        };
        let have = files.entry(path.to_owned()).or_default();
        if *have != offset {
            return failed(format!("`{path}` has {have} bytes and not {offset}"));
        }
        if offset + bytes.len() as u64 > file.size {
            return failed("too many bytes");
        }
        *have += bytes.len() as u64;
        Ok(())
    }

    fn publish(&mut self, digest: &Digest) -> Result<bool, Failure> {
        if self.releases.iter().any(|stored| stored.release.digest == *digest) {
            return Ok(false);
        }
        let Some((manifest, files)) = self.staging.get(digest) else {
            return failed("it is not being staged");
        };
        let complete = |path: &str, size| files.get(path).copied().unwrap_or(0) == size;
        if !manifest.files.iter().all(|file| complete(&file.path, file.size)) {
            return failed("a file is not complete");
        }
        let at = self.releases.iter().map(|stored| stored.published_at.0).max().unwrap_or(0) + 1;
        let bytes = manifest.size();
        self.releases.push(StoredRelease { release: manifest.release(), bytes, published_at: Timestamp(at) });
        self.staging.remove(digest);
        Ok(true)
    }

    fn prune(&mut self, keep: &[Digest], act: &mut Act<'_, '_>) {
        let kept = |release: &Release, host: &ModelHost| {
            keep.contains(&release.digest)
                || host.current.as_ref().is_some_and(|current| current.digest == release.digest)
                || host.slots.iter().any(|slot| slot.release.digest == release.digest)
                || host.held.as_ref().is_some_and(|held| held.release.as_ref() == Some(release))
        };
        let remove: Vec<Release> = self
            .releases
            .iter()
            .map(|stored| stored.release.clone())
            .filter(|release| !kept(release, self))
            .collect();
        for release in remove {
            self.releases.retain(|stored| stored.release != release);
            act.did(format!("remove {release}"));
        }
        self.staging.retain(|digest, _| keep.contains(digest));
    }

    fn converge(&mut self, desired: &Desired, act: &mut Act<'_, '_>) -> Result<(), Failure> {
        for slot in &mut self.slots {
            slot.new = false;
        }
        match (&desired.serve, desired.flip) {
            (Serve::Nothing, _) => {
                if self.current.take().is_some() {
                    act.change();
                    act.did("current -> nothing".into());
                }
                self.end_hold(act);
                self.stop_where(act, |_| true);
                self.wait_gone(act, |_| true);
                Ok(())
            }
            (Serve::Hold { retry_after_s }, _) => self.hold(&desired.service, *retry_after_s, act),
            (Serve::Release { release }, Flip::Overlap) => self.overlap(&desired.service, release, act),
            (Serve::Release { release }, Flip::StopFirst) => {
                self.check(release, act)?;
                self.make_current(release, act);
                self.end_hold(act);
                // What answers 503 does no harm: it goes when the target is there.
                let is_other = |slot: &Slot| slot.release != *release && !slot.release.is_hold();
                self.stop_where(act, is_other);
                self.wait_gone(act, is_other);
                let units: Vec<&UnitSpec> = desired.service.units.iter().collect();
                self.bring_up(release, &units, act)?;
                self.stop_where(act, |slot| slot.release.is_hold());
                self.wait_gone(act, |slot| slot.release.is_hold());
                Ok(())
            }
        }
    }

    fn overlap(
        &mut self,
        service: &ServiceSpec,
        target: &Release,
        act: &mut Act<'_, '_>,
    ) -> Result<(), Failure> {
        let (web, workers): (Vec<&UnitSpec>, Vec<&UnitSpec>) =
            service.units.iter().partition(|unit| unit.listen.is_some());
        self.check(target, act)?;
        let left_over = self.current.as_ref() != Some(target);
        if let Err(failure) = self.bring_up(target, &web, act) {
            self.take_back(target, left_over, act);
            return Err(failure);
        }
        self.make_current(target, act);
        self.end_hold(act);
        let is_worker = |slot: &Slot| workers.iter().any(|unit| unit.name == slot.unit);
        self.stop_where(act, |slot| slot.release != *target && !is_worker(slot));
        self.stop_where(act, |slot| slot.release != *target && is_worker(slot));
        self.wait_gone(act, |slot| slot.release != *target && is_worker(slot));
        self.bring_up(target, &workers, act)
    }

    fn hold(
        &mut self,
        service: &ServiceSpec,
        retry_after_s: u32,
        act: &mut Act<'_, '_>,
    ) -> Result<(), Failure> {
        let held = match (self.held.clone(), &self.epoch) {
            (Some(held), _) => Held { retry_after_s, ..held },
            (None, Some(record)) => {
                let mut runs = self.slots.iter().filter(|slot| !slot.asked).map(|slot| &slot.release);
                let runs = runs.find(|release| !release.is_hold());
                let release = self.current.clone().or_else(|| runs.cloned());
                Held { release, retry_after_s, by: record.holder.clone() }
            }
            (None, None) => return Err(Refusal::NotClaimed.into()),
        };
        if self.held.as_ref() != Some(&held) {
            self.held = Some(held);
            act.change();
            act.did(format!("mark as held, Retry-After {retry_after_s} s"));
        }
        if self.current.take().is_some() {
            act.change();
            act.did("current -> nothing".into());
        }
        let units: Vec<&UnitSpec> = service.units.iter().filter(|unit| unit.listen.is_some()).collect();
        self.bring_up(&Release::hold(), &units, act)?;
        self.stop_where(act, |slot| !slot.release.is_hold());
        self.wait_gone(act, |slot| !slot.release.is_hold());
        Ok(())
    }

    fn end_hold(&mut self, act: &mut Act<'_, '_>) {
        if self.held.take().is_some() {
            act.change();
            act.did("no longer held".into());
        }
    }

    fn check(&mut self, target: &Release, act: &mut Act<'_, '_>) -> Result<(), Failure> {
        let mark = self.quarantined.iter().find(|mark| mark.release.digest == target.digest);
        if let Some(mark) = mark {
            let refusal = Refusal::Quarantined { tag: target.tag.clone(), reason: mark.reason.clone() };
            return Err(refusal.into());
        }
        self.stored(target)?;
        act.did(format!("verify {target}"));
        Ok(())
    }

    fn bring_up(
        &mut self,
        target: &Release,
        units: &[&UnitSpec],
        act: &mut Act<'_, '_>,
    ) -> Result<(), Failure> {
        let ends = self.behaviours.get(&target.digest).copied().unwrap_or_default().ends_at_once;
        for unit in units {
            let of_unit = |slot: &Slot| slot.unit == unit.name && slot.release == *target && !slot.asked;
            let living = self.slots.iter().position(of_unit);
            if let Some(index) = living {
                if self.slots[index].state != InstanceState::Restarting {
                    continue;
                }
                self.slots.remove(index);
                act.did(format!("stop {}@{target} (failing)", unit.name));
            }
            self.invocations += 1;
            self.slots.push(Slot {
                unit: unit.name.clone(),
                release: target.clone(),
                state: if ends { InstanceState::Restarting } else { InstanceState::Ready },
                asked: false,
                new: true,
            });
            act.did(format!("start {}@{target}", unit.name));
        }
        for unit in units {
            let of_unit = |slot: &&Slot| slot.unit == unit.name && slot.release == *target && !slot.asked;
            match self.slots.iter().find(of_unit) {
                Some(slot) if slot.state == InstanceState::Ready => {
                    if slot.new {
                        act.did(format!("ready {}@{target}", unit.name));
                        act.did(format!("prove {}@{target}", unit.name));
                    }
                }
                _ => return failed(format!("`{}@{target}` ended before it was ready", unit.name)),
            }
        }
        Ok(())
    }

    fn make_current(&mut self, target: &Release, act: &mut Act<'_, '_>) {
        if self.current.as_ref() != Some(target) {
            self.current = Some(target.clone());
            act.change();
            act.did(format!("current -> {target}"));
        }
    }

    fn stop_where(&mut self, act: &mut Act<'_, '_>, of: impl Fn(&Slot) -> bool) {
        let mut index = 0;
        while index < self.slots.len() {
            let slot = &mut self.slots[index];
            if slot.asked || !of(slot) {
                index += 1;
                continue;
            }
            act.change();
            let name = format!("{}@{}", slot.unit, slot.release);
            if slot.state == InstanceState::Restarting {
                self.slots.remove(index);
                act.did(format!("stop {name} (failing)"));
            } else {
                slot.asked = true;
                slot.state = InstanceState::Draining;
                index += 1;
                act.did(format!("stop {name} (draining)"));
            }
        }
    }

    fn wait_gone(&mut self, act: &mut Act<'_, '_>, of: impl Fn(&Slot) -> bool) {
        let leaving: Vec<Slot> = self.slots.iter().filter(|slot| of(slot)).cloned().collect();
        self.slots.retain(|slot| !of(slot));
        for slot in leaving {
            act.did(format!("ended {}@{}", slot.unit, slot.release));
        }
    }

    fn take_back(&mut self, target: &Release, left_over: bool, act: &mut Act<'_, '_>) {
        if *act.changed {
            return;
        }
        let ours = |slot: &Slot| slot.new || left_over && slot.release == *target;
        for index in (0..self.slots.len()).rev() {
            let slot = &mut self.slots[index];
            if !ours(slot) || slot.asked {
                continue;
            }
            let name = format!("{}@{}", slot.unit, slot.release);
            if slot.state == InstanceState::Restarting {
                self.slots.remove(index);
            } else {
                slot.asked = true;
                slot.state = InstanceState::Draining;
            }
            act.did(format!("stop {name} (taken back)"));
        }
    }
}

/// What a request did so far.
struct Act<'a, 'b> {
    actions: &'a mut Vec<Action>,
    changed: &'a mut bool,
    after: AfterAction<'b>,
}

impl Act<'_, '_> {
    fn change(&mut self) {
        *self.changed = true;
    }

    fn did(&mut self, what: String) {
        (self.after)(&what);
        self.actions.push(Action { what, took_us: 0 });
    }
}
