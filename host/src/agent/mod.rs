//! The one who is asked: serves the requests of [`unship_core::protocol`] against the disk and against
//! whatever runs the instances.
//!
//! Every changing request is compared with the epoch inside the lock and keeps the lock until it is answered.
//! Convergence looks at what is and does what is missing, in named actions each of which may be the last
//! before a crash: asking again goes on from there. Never decides which release is right.

mod adopt;
mod converge;
mod observe;
mod prove;
mod runner;
mod words;

use std::io;
use std::path::PathBuf;
use std::time::Instant;

use unship_core::protocol::{
    Action, Envelope, HostReply, HostRequest, HostSetup, Manager, PROTOCOL_VERSION, Refusal,
};

pub use crate::paths::HostPaths;

use crate::clock;
use crate::durable;
use crate::epoch::{EpochError, EpochFile, LOCK_WAIT_MS_MAX};
use crate::look::{self, LookError};
use crate::store::{Store, StoreError};
use crate::systemd::{HoldProgram, Systemd};
use runner::{Children, Runner, RunnerError};

/// Why an agent cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A folder's path could not be made absolute.
    #[error("`{}` cannot be used as a host's folder: {source}", .path.display())]
    Path {
        /// The path as it was given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Called with an action's name.
#[cfg(test)]
type AfterAction = Box<dyn FnMut(&str) + Send>;

/// The agent of one service on one host.
pub struct Agent {
    store: Store,
    epoch: EpochFile,
    root: PathBuf,
    runner: Box<dyn Runner + Send>,
    /// Whether there is anything for the runner to run; not where another tool looks after the service.
    has_units: bool,
    /// Tests cut a convergence off, by a panic, after any of its actions.
    #[cfg(test)]
    after_action: Option<AfterAction>,
}

impl std::fmt::Debug for Agent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Agent").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Agent {
    /// The agent of a host. Nothing is created or asked yet.
    pub fn open(setup: HostSetup) -> Result<Agent, AgentError> {
        Agent::open_with(setup, HoldProgram::default())
    }

    /// The same with another program for hold units than this one: for a program whose verbs are its own.
    pub fn open_with(setup: HostSetup, hold: HoldProgram) -> Result<Agent, AgentError> {
        let absolute = |path: String| {
            let path = PathBuf::from(path);
            std::path::absolute(&path).map_err(|source| AgentError::Path { path, source })
        };
        let has_units = !setup.service.units.is_empty();
        let root = absolute(setup.root)?;
        let runtime = absolute(setup.runtime)?;
        let runner: Box<dyn Runner + Send> = match setup.manager {
            Manager::ChildRunner => Box::new(Children::new(runtime)),
            Manager::Systemd => Box::new(Systemd::new(&root, setup.service, hold)),
        };
        Ok(Agent {
            store: Store::new(&root),
            epoch: EpochFile::new(&root),
            root,
            runner,
            has_units,
            #[cfg(test)]
            after_action: None,
        })
    }

    /// Serves one request to its end. Whatever goes wrong is in the answer.
    pub fn serve(&mut self, envelope: Envelope) -> HostReply {
        if envelope.version != PROTOCOL_VERSION {
            return refused(Refusal::Protocol { host: PROTOCOL_VERSION, operator: envelope.version });
        }
        let served = if envelope.request.only_reads() {
            self.serve_reading(envelope.request)
        } else {
            self.serve_changing(envelope)
        };
        served.unwrap_or_else(Failure::into_reply)
    }

    fn serve_reading(&mut self, request: HostRequest) -> Result<HostReply, Failure> {
        let began = Instant::now();
        match request {
            HostRequest::Verify { release } => {
                self.store.verify(&release)?;
                Ok(done(began, Some(format!("verify {release}"))))
            }
            HostRequest::Whose => Ok(HostReply::Whose { record: self.epoch.read()? }),
            HostRequest::Look { units } => Ok(HostReply::Looked { units: look::look(&units)? }),
            _ => Ok(HostReply::Observed { state: Box::new(self.observe()?) }),
        }
    }

    fn serve_changing(&mut self, envelope: Envelope) -> Result<HostReply, Failure> {
        let began = Instant::now();
        durable::folder(&self.root)?;
        let file = self.epoch.clone();
        let lock = file.lock(&envelope.run, LOCK_WAIT_MS_MAX)?;
        match &envelope.request {
            HostRequest::Claim { holder } => {
                let new = lock.claim(&envelope.run, envelope.epoch, holder)?;
                return Ok(done(began, new.then(|| format!("claim epoch {}", envelope.epoch.0))));
            }
            HostRequest::Unclaim => {
                let new = lock.unclaim(&envelope.run, envelope.epoch)?;
                return Ok(done(began, new.then(|| format!("end epoch {}", envelope.epoch.0))));
            }
            _ => {
                lock.check(&envelope.run, envelope.epoch)?;
            }
        }
        let what = match envelope.request {
            HostRequest::Stage { manifest } => {
                let staging = self.store.stage(&manifest)?;
                return Ok(HostReply::Staging { missing: staging.missing, published: staging.published });
            }
            HostRequest::Converge { desired } => return self.converge(&desired),
            HostRequest::Write { digest, path, offset, bytes } => {
                self.store.write(&digest, &path, offset, &bytes)?;
                Some(format!("write {} bytes to {path}", bytes.len()))
            }
            HostRequest::Publish { digest, mut capsule } => {
                // What the host's units say now is what they said when this release came.
                capsule.units.extend(self.runner.unit_files()?);
                let new = self.store.publish(&digest, &capsule)?;
                new.then(|| format!("publish {}", capsule.release))
            }
            HostRequest::Quarantine { release, reason } => {
                let new = self.store.quarantine(&release, &reason)?;
                new.then(|| format!("quarantine {release}"))
            }
            HostRequest::LiftQuarantine { release } => {
                let was = self.store.lift_quarantine(&release)?;
                was.then(|| format!("lift the quarantine of {release}"))
            }
            HostRequest::Adopt { adoption } => return self.adopt(*adoption),
            HostRequest::Prune { keep } => return self.prune(keep),
            // Answered before the lock and above.
            HostRequest::Observe
            | HostRequest::Whose
            | HostRequest::Verify { .. }
            | HostRequest::Look { .. }
            | HostRequest::Claim { .. }
            | HostRequest::Unclaim => None,
        };
        Ok(done(began, what))
    }

    /// Removes what is not kept; what runs is kept, and when nobody can say what runs, nothing is removed.
    fn prune(&mut self, keep: Vec<unship_core::release::Digest>) -> Result<HostReply, Failure> {
        let began = Instant::now();
        let view = self.runner.view()?;
        let running = view.slots.iter().map(|slot| slot.instance.release.digest);
        // What is held does not run and is not current, and is to serve again.
        let held = self.store.held()?.and_then(|held| held.release).map(|release| release.digest);
        let running = running.chain(held);
        let removed = self.store.prune(&keep.into_iter().chain(running).collect())?;
        let took_us = clock::micros_since(began);
        let actions = removed.iter().map(|release| Action { what: format!("remove {release}"), took_us });
        Ok(HostReply::Done { actions: actions.collect() })
    }
}

/// Why a request was not carried out.
#[derive(Debug)]
enum Failure {
    Refused(Refusal),
    Failed { error: String, hint: Option<String>, unchanged: bool, actions: Vec<Action> },
}

impl Failure {
    fn into_reply(self) -> HostReply {
        match self {
            Failure::Refused(refusal) => refused(refusal),
            Failure::Failed { error, hint, unchanged, actions } => {
                HostReply::Failed { error, hint, unchanged, actions }
            }
        }
    }

    /// The same failure with what else has to be said of it.
    fn and(self, more: &str) -> Failure {
        match self {
            Failure::Failed { error, hint, unchanged, actions } => {
                Failure::Failed { error: format!("{error}; {more}"), hint, unchanged, actions }
            }
            refused @ Failure::Refused(_) => refused,
        }
    }

    /// One that left the host serving what it served.
    fn unchanged(error: String, hint: Option<String>) -> Failure {
        Failure::Failed { error, hint, unchanged: true, actions: Vec::new() }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::unchanged(error.to_string(), error.hint())
    }
}

impl From<RunnerError> for Failure {
    fn from(error: RunnerError) -> Failure {
        Failure::unchanged(error.to_string(), error.hint())
    }
}

impl From<EpochError> for Failure {
    fn from(error: EpochError) -> Failure {
        match error {
            EpochError::Refused(refusal) => Failure::Refused(refusal),
            error => Failure::unchanged(error.to_string(), error.hint()),
        }
    }
}

impl From<LookError> for Failure {
    fn from(error: LookError) -> Failure {
        Failure::unchanged(error.to_string(), error.hint())
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::unchanged(error.to_string(), None)
    }
}

fn refused(refusal: Refusal) -> HostReply {
    HostReply::Refused { refusal }
}

fn done(began: Instant, what: Option<String>) -> HostReply {
    let took_us = clock::micros_since(began);
    HostReply::Done { actions: what.into_iter().map(|what| Action { what, took_us }).collect() }
}

#[cfg(test)]
mod systemd_tests;
#[cfg(test)]
mod tests;
