//! Watches every request that reaches a host, and notes what must never be:
//!
//! * a host acts under another epoch than the last one that was claimed;
//! * two processes act on one host under one epoch;
//! * a host acts and the intent is not in the run's journal.
//!
//! It keeps its own account of claims and does not ask the host, so a host that does not compare is found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use unship_core::journal::Event;
use unship_core::protocol::{Envelope, Epoch, HostReply, HostRequest};
use unship_core::release::{HostName, RunId};

use super::host::{AfterAction, ModelHost};
use super::journals::{JournalsState, ModelJournals};
use super::lock;

pub struct Monitor {
    journals: Arc<Mutex<JournalsState>>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Clone, Default)]
struct Seen {
    /// Who claimed a host last.
    claims: BTreeMap<HostName, (Epoch, u64)>,
    /// Who acted on a host under an epoch.
    acted: BTreeMap<(HostName, Epoch), u64>,
    /// Which processes changed something on a host; claiming one is not meant.
    changed: BTreeSet<u64>,
    /// What was done for which run, under which epoch, step and attempt.
    done: BTreeSet<(RunId, Epoch, u32, u32)>,
    violations: Vec<String>,
}

impl Monitor {
    pub fn new(journals: &ModelJournals) -> Monitor {
        Monitor { journals: Arc::clone(&journals.state), seen: Mutex::default() }
    }

    pub fn copy(&self, journals: &ModelJournals) -> Monitor {
        let seen = Mutex::new(lock(&self.seen).clone());
        Monitor { journals: Arc::clone(&journals.state), seen }
    }

    pub fn violations(&self) -> Vec<String> {
        lock(&self.seen).violations.clone()
    }

    /// Whether the process changed anything on any host.
    pub fn changed(&self, process: u64) -> bool {
        lock(&self.seen).changed.contains(&process)
    }

    /// Serves the request on the host and judges it at its first action.
    pub fn serve(
        &self,
        host: &mut ModelHost,
        process: u64,
        envelope: &Envelope,
        after: AfterAction<'_>,
    ) -> HostReply {
        let name = host.name.clone();
        let mut judged = false;
        let reply = host.serve(envelope, &mut |action| {
            if !judged {
                judged = true;
                self.judge(&name, process, envelope);
            }
            after(action);
        });
        // A claim that was there already is a claim.
        if let (HostRequest::Claim { .. }, HostReply::Done { .. }, false) =
            (&envelope.request, &reply, judged)
        {
            self.judge(&name, process, envelope);
        }
        reply
    }

    fn judge(&self, host: &HostName, process: u64, envelope: &Envelope) {
        let mut seen = lock(&self.seen);
        match &envelope.request {
            request if request.only_reads() => return,
            HostRequest::Claim { .. } => {
                if let Some((epoch, _)) = seen.claims.get(host)
                    && *epoch > envelope.epoch
                {
                    let text = format!("{host} gave epoch {} away after {}", envelope.epoch.0, epoch.0);
                    seen.violations.push(text);
                }
                seen.claims.insert(host.clone(), (envelope.epoch, process));
                return;
            }
            _ => {}
        }
        if !matches!(envelope.request, HostRequest::Unclaim) {
            seen.changed.insert(process);
        }
        let what = crate::points::word(envelope);
        if seen.claims.get(host).map(|(epoch, _)| *epoch) != Some(envelope.epoch) {
            let last = seen.claims.get(host);
            let text = format!(
                "{host} did `{what}` for process {process} with epoch {}, but was claimed by {last:?}",
                envelope.epoch.0
            );
            seen.violations.push(text);
        }
        let other = *seen.acted.entry((host.clone(), envelope.epoch)).or_insert(process);
        if other != process {
            let text = format!("{host} acted for {process} and {other} in epoch {}", envelope.epoch.0);
            seen.violations.push(text);
        }
        let needs_intent =
            !matches!(envelope.request, HostRequest::Unclaim | HostRequest::LiftQuarantine { .. });
        if needs_intent {
            seen.done.insert((envelope.run.clone(), envelope.epoch, envelope.step, envelope.attempt));
        }
        if needs_intent && !self.intended(envelope) {
            let text = format!("{host} did `{what}` of step {} without an intent on the disk", envelope.step);
            seen.violations.push(text);
        }
    }

    /// Acts whose intent is not in the journal any more, or never was there under that epoch.
    pub fn without_intent(&self) -> Vec<String> {
        let journals = lock(&self.journals);
        let mut intents = BTreeSet::new();
        for (run, file) in &journals.files {
            let mut under = Epoch(0);
            for entry in &file.entries {
                match &entry.event {
                    Event::Started { epoch, .. } | Event::Resumed { epoch, .. } => under = *epoch,
                    Event::Intent { step, attempt } | Event::UndoIntent { step, attempt } => {
                        intents.insert((run.clone(), under, u32::try_from(*step).expect("small"), *attempt));
                    }
                    _ => {}
                }
            }
        }
        let seen = lock(&self.seen);
        seen.done.difference(&intents).map(|act| format!("{act:?}")).collect()
    }

    fn intended(&self, envelope: &Envelope) -> bool {
        let journals = lock(&self.journals);
        let entries =
            journals.files.get(&envelope.run).map(|file| file.entries.as_slice()).unwrap_or_default();
        entries.iter().any(|entry| match entry.event {
            Event::Intent { step, attempt } | Event::UndoIntent { step, attempt } => {
                step as u64 == u64::from(envelope.step) && attempt == envelope.attempt
            }
            _ => false,
        })
    }
}
