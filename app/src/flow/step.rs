//! Every step kind's do, check and undo. The match over [`Step`] has no catch-all, so a new kind cannot be
//! forgotten here.

use std::time::{Duration, Instant};

use unship_core::capsule::Manifest;
use unship_core::plan::{RunKind, Step, Undo};
use unship_core::protocol::{
    Action, Desired, Envelope, Epoch, Flip, HostReply, HostRequest, HostState, InstanceState,
    PROTOCOL_VERSION, Serve, WRITE_BYTES_MAX,
};
use unship_core::release::{HostName, Release, RunId};

use super::FlowError;
use super::observe::{is_held, observe_one, serves_only};
use crate::ports::{Host, World};

/// What a step's do or undo came to.
pub(super) type StepResult = Result<Vec<Action>, StepError>;

/// A step failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StepError {
    /// Why.
    pub error: String,
    /// What to run.
    pub hint: Option<String>,
    /// A request that changes something got no answer: it may have been carried out, or still will be.
    pub in_doubt: bool,
}

impl StepError {
    pub fn new(error: impl Into<String>) -> StepError {
        StepError::with_hint(error, None)
    }

    pub fn with_hint(error: impl Into<String>, hint: Option<String>) -> StepError {
        StepError { error: error.into(), hint, in_doubt: false }
    }
}

/// The circumstances of one attempt; every request to a host carries them.
pub(super) struct Attempt<'a> {
    pub world: &'a World,
    pub run: &'a RunId,
    pub epoch: Epoch,
    pub step: usize,
    pub number: u32,
    /// What the run is for: how patient a proof is with what was there before.
    pub kind: RunKind,
    /// The invocations that a deploy command has to have replaced.
    pub replaced: &'a [String],
}

impl Attempt<'_> {
    fn host(&self, name: &HostName) -> Result<&Host, StepError> {
        self.world.hosts.iter().find(|host| host.name == *name).ok_or_else(|| {
            let hint = "put it back into `hosts`, or end the run with `unship abort`";
            StepError::with_hint(format!("{name} is not in the configuration any more"), Some(hint.into()))
        })
    }

    async fn ask(&self, name: &HostName, request: HostRequest) -> Result<HostReply, StepError> {
        let envelope = Envelope {
            version: PROTOCOL_VERSION,
            run: self.run.clone(),
            step: u32::try_from(self.step).unwrap_or(u32::MAX),
            attempt: self.number,
            epoch: self.epoch,
            request,
        };
        let in_doubt = !envelope.request.only_reads();
        let answered = self.host(name)?.transport.call(envelope).await;
        answered
            .map_err(|error| StepError { in_doubt, ..StepError::with_hint(error.to_string(), error.hint) })
    }

    /// Asks for something that is answered with Done.
    async fn order(&self, name: &HostName, request: HostRequest) -> StepResult {
        match self.ask(name, request).await? {
            HostReply::Done { actions } => Ok(actions),
            other => Err(refused(other)),
        }
    }

    async fn converge(&self, name: &HostName, serve: Serve, flip: Flip) -> StepResult {
        let desired = Desired { service: self.world.target.service.clone(), serve, flip };
        self.order(name, HostRequest::Converge { desired: Box::new(desired) }).await
    }

    /// Does the step.
    pub async fn act(&self, step: &Step) -> StepResult {
        match step {
            Step::Stage { host, release } => self.stage(host, release).await,
            Step::MigrateUp { release } => {
                let output = self.world.commands.migrate_up(release).await.map_err(failure)?;
                Ok(said(output))
            }
            Step::LiftFences { release } => self.lift_fences(release).await,
            Step::StepDown { release, program } => self.step_down(release, program).await,
            Step::Command { release, .. } => self.run_command(release).await,
            Step::Adopt { host, adoption } => {
                let actions = self.order(host, HostRequest::Adopt { adoption: adoption.clone() }).await?;
                let kept = self.world.source.keep_papers(&adoption.manifest, &adoption.capsule).await;
                kept.map_err(|error| StepError::with_hint(error.message, error.hint))?;
                Ok(actions)
            }
            Step::Quarantine { host, release, reason } => {
                let request = HostRequest::Quarantine { release: release.clone(), reason: reason.clone() };
                self.order(host, request).await
            }
            Step::Flip { host, to, flip, .. } => {
                self.converge(host, Serve::Release { release: to.clone() }, *flip).await
            }
            Step::Hold { host, retry_after_s, .. } => {
                self.converge(host, Serve::Hold { retry_after_s: *retry_after_s }, Flip::StopFirst).await
            }
            Step::ReleaseHold { host, release, .. } => {
                self.converge(host, Serve::Release { release: release.clone() }, Flip::Overlap).await
            }
            Step::Prove { host, release } if self.world.deploy.is_some() => {
                self.prove_command(host, release).await
            }
            Step::Prove { host, release } => self.prove(host, release).await,
            Step::Smoke { release } => {
                let output = self.world.commands.smoke(release).await.map_err(failure)?;
                Ok(said(output))
            }
            Step::Prune { host, keep } => {
                let keep = keep.iter().map(|release| release.digest).collect();
                self.order(host, HostRequest::Prune { keep }).await
            }
            Step::Record { release, replaces, moment } => {
                self.record(release, replaces.as_ref(), *moment).await
            }
            Step::InstallFlags { release, replaces } => self.install_flags(release, replaces.as_ref()).await,
            Step::TurnOffFlags { flags, .. } => self.turn_off(flags).await,
            Step::RestoreFlags { flags } => self.restore(flags).await,
            Step::ConfirmCi { release, commit, known } => self.confirm_ci(release, commit, known).await,
        }
    }

    /// Looks whether the step is done already. `false` also where that cannot be seen: doing any of these
    /// again is harmless, which is why they may be repeated.
    pub async fn is_done(&self, step: &Step) -> Result<bool, StepError> {
        match step {
            Step::Stage { host, release } => {
                let request = HostRequest::Verify { release: release.clone() };
                Ok(matches!(self.ask(host, request).await?, HostReply::Done { .. }))
            }
            Step::Quarantine { host, release, .. } => match self.observe(host).await? {
                Some(state) => Ok(state.quarantined.iter().any(|mark| mark.release.digest == release.digest)),
                None => Ok(false),
            },
            Step::Flip { host, to: release, .. } | Step::ReleaseHold { host, release, .. } => {
                let units = self.world.target.service.units.len();
                let state = self.observe(host).await?;
                Ok(state.is_some_and(|state| serves_only(&state, release, units).is_ok()))
            }
            Step::Hold { host, .. } => {
                let state = self.observe(host).await?;
                Ok(state.is_some_and(|state| is_held(&state, &self.world.target.service.units).is_ok()))
            }
            Step::LiftFences { release } => self.are_lifted(release).await,
            Step::StepDown { program, .. } => self.is_down(program).await,
            Step::Command { release, .. } => self.command_did(release).await,
            Step::TurnOffFlags { flags, .. } => self.are_off(flags).await,
            Step::RestoreFlags { flags } => self.are_restored(flags).await,
            // Migration tools apply only what is not applied; a file of flags is merged; proofs, smoke tests, pruning,
            // records and questions may be repeated.
            Step::MigrateUp { .. }
            | Step::Prove { .. }
            | Step::Smoke { .. }
            | Step::Prune { .. }
            | Step::Record { .. }
            | Step::InstallFlags { .. }
            | Step::Adopt { .. }
            | Step::ConfirmCi { .. } => Ok(false),
        }
    }

    /// Takes the step back.
    pub async fn undo(&self, undo: &Undo) -> StepResult {
        match undo {
            Undo::Nothing | Undo::PointOfNoReturn(_) => Ok(Vec::new()),
            Undo::Step(step) => Box::pin(self.act(step)).await,
            Undo::StepUp { release, program } => self.step_up(release, program).await,
            Undo::Command { release, from } => self.undo_command(release, from.as_ref()).await,
            Undo::LiftQuarantine { host, release } => {
                self.order(host, HostRequest::LiftQuarantine { release: release.clone() }).await
            }
            Undo::ServeNothing { host } => self.converge(host, Serve::Nothing, Flip::StopFirst).await,
        }
    }

    async fn observe(&self, name: &HostName) -> Result<Option<HostState>, StepError> {
        self.observe_also(name, &[]).await
    }

    /// The same, where what serves may be a release that no history has yet.
    pub(super) async fn observe_with(
        &self,
        name: &HostName,
        release: &Release,
    ) -> Result<Option<HostState>, StepError> {
        self.observe_also(name, std::slice::from_ref(release)).await
    }

    async fn observe_also(&self, name: &HostName, also: &[Release]) -> Result<Option<HostState>, StepError> {
        match observe_one(self.world, self.host(name)?, self.run, also).await {
            Ok(facts) => Ok(Some(facts.state)),
            Err(FlowError::Transport(error)) => Err(StepError::new(error.to_string())),
            Err(_) => Ok(None),
        }
    }

    /// Sends what the host does not have yet, then has it check and publish.
    async fn stage(&self, name: &HostName, release: &Release) -> StepResult {
        let artifact = self
            .world
            .source
            .kept(release)
            .await
            .map_err(|error| StepError::with_hint(error.message, error.hint))?;
        let manifest = artifact.manifest.clone();
        let missing = match self.ask(name, HostRequest::Stage { manifest: manifest.clone() }).await? {
            HostReply::Staging { published: true, .. } => return Ok(Vec::new()),
            HostReply::Staging { missing, .. } => missing,
            other => return Err(refused(other)),
        };
        for file in missing {
            self.send(name, &artifact.folder, &manifest, release, &file.path, file.have).await?;
        }
        let capsule = Box::new(artifact.capsule);
        self.order(name, HostRequest::Publish { digest: release.digest, capsule }).await
    }

    async fn send(
        &self,
        name: &HostName,
        folder: &std::path::Path,
        manifest: &Manifest,
        release: &Release,
        path: &str,
        have: u64,
    ) -> Result<(), StepError> {
        use tokio::io::{AsyncReadExt, AsyncSeekExt};
        let place = folder.join(path);
        let gone = |error: std::io::Error| {
            StepError::new(format!("cannot read `{}` to send it: {error}", place.display()))
        };
        let size = manifest.files.iter().find(|file| file.path == path).map_or(0, |file| file.size);
        let mut file = tokio::fs::File::open(&place).await.map_err(gone)?;
        file.seek(std::io::SeekFrom::Start(have)).await.map_err(gone)?;
        let mut offset = have;
        while offset < size {
            let length = usize::try_from(size - offset).unwrap_or(usize::MAX).min(WRITE_BYTES_MAX);
            let mut bytes = vec![0; length];
            file.read_exact(&mut bytes).await.map_err(gone)?;
            let request = HostRequest::Write { digest: release.digest, path: path.to_owned(), offset, bytes };
            self.order(name, request).await?;
            offset += length as u64;
        }
        Ok(())
    }

    /// What the host runs, seen from inside and from outside.
    async fn prove(&self, name: &HostName, release: &Release) -> StepResult {
        let units = self.world.target.service.units.len();
        // At the same time: what the host says from inside does not depend on what it answers outside.
        let outside = self.world.prober.probe(name, &release.tag);
        let (inside, outside) = futures_util::future::join(self.observe(name), outside).await;
        let Some(state) = inside? else {
            return Err(StepError::new(format!("{name} does not say what it runs")));
        };
        serves_only(&state, release, units).map_err(|why| {
            let hint = Some("`unship status` shows every instance".into());
            StepError::with_hint(format!("{name} is not proved: {why}"), hint)
        })?;
        let answer = outside.map_err(failure)?;
        self.alone(name, release, &state).await?;
        Ok(said(answer))
    }

    /// That nothing else takes new connections. A signal takes the listener from nobody: a release that
    /// ignores it, or hangs, still has it open and may go on answering. Most services close it at once, and
    /// then this is over. One that keeps it is watched: if it answers, a rollback ends it, and a deploy gives
    /// it the time that it has to finish.
    async fn alone(&self, name: &HostName, release: &Release, state: &HostState) -> Result<(), StepError> {
        let mut lingers = still_listening(state, release);
        let began = Instant::now();
        let mut answered = None;
        let mut ended = false;
        while let Some(other) = lingers {
            // The first moment belongs to the signal that is on its way: what is answered then says nothing.
            if began.elapsed() < SIGNAL_MAX {
                tokio::time::sleep(SIGNAL_LOOK).await;
            } else {
                let asked = self.world.prober.all_answer(name, &release.tag, CONNECTIONS_SURE).await;
                answered = answered.or(asked.err());
            }
            let watched = began.elapsed() > LINGER_MAX;
            match &answered {
                None if watched => return Ok(()),
                Some(_) if self.kind == RunKind::Rollback && !ended => {
                    ended = true;
                    self.end_at_once(name, release).await?;
                }
                Some(why) if began.elapsed() > LINGER_MAX + self.drain_max() => {
                    return Err(StepError::with_hint(
                        format!("{name} is not proved: {other} was told to stop and still answers: {why}"),
                        Some("`unship status` shows its process".into()),
                    ));
                }
                _ if began.elapsed() < SIGNAL_MAX => {}
                _ => tokio::time::sleep(LINGER_LOOK).await,
            }
            lingers = self.observe(name).await?.and_then(|state| still_listening(&state, release));
        }
        Ok(())
    }

    /// How long an instance that was told to stop has to finish.
    fn drain_max(&self) -> Duration {
        match self.kind {
            RunKind::Rollback | RunKind::Flags => Duration::ZERO,
            RunKind::Deploy | RunKind::Adopt | RunKind::Hold | RunKind::ReleaseHold => {
                Duration::from_millis(self.world.target.service.drain_ms_max)
            }
        }
    }

    /// Has the host end what still finishes its requests.
    async fn end_at_once(&self, name: &HostName, release: &Release) -> StepResult {
        let mut service = self.world.target.service.clone();
        service.drain_ms_max = 0;
        let serve = Serve::Release { release: release.clone() };
        let desired = Desired { service, serve, flip: Flip::Overlap };
        self.order(name, HostRequest::Converge { desired: Box::new(desired) }).await
    }
}

/// How long a release that was told to stop may need to hear it.
const SIGNAL_MAX: Duration = Duration::from_millis(300);
const SIGNAL_LOOK: Duration = Duration::from_millis(1);

/// How long a release that keeps the listener open is watched.
const LINGER_MAX: Duration = Duration::from_secs(2);
const LINGER_LOOK: Duration = Duration::from_millis(20);

/// New connections of one look that must all reach the target.
const CONNECTIONS_SURE: usize = 12;

/// An instance of another release that was told to stop and could still take new connections.
fn still_listening(state: &HostState, release: &Release) -> Option<String> {
    let other = state.instances.iter().find(|instance| {
        instance.state == InstanceState::Draining
            && instance.listening
            && instance.release.digest != release.digest
    })?;
    Some(format!("{} of {}", other.unit, other.release))
}

pub(super) fn said(what: String) -> Vec<Action> {
    if what.is_empty() { Vec::new() } else { vec![Action { what, took_us: 0 }] }
}

pub(super) fn failure(failure: crate::ports::CheckFailure) -> StepError {
    StepError::with_hint(failure.message, failure.hint)
}

fn refused(reply: HostReply) -> StepError {
    match reply {
        HostReply::Failed { error, hint, .. } => StepError::with_hint(error, hint),
        HostReply::Refused { refusal } => StepError::new(refusal.to_string()),
        HostReply::Observed { .. }
        | HostReply::Whose { .. }
        | HostReply::Looked { .. }
        | HostReply::Staging { .. }
        | HostReply::Done { .. } => StepError::new("the host gave an answer that does not fit the question"),
    }
}
