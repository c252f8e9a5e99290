//! Watches every request that reaches a host, and notes what must never be:
//!
//! * a host acts under another epoch than the last one that was claimed;
//! * two processes act on one host under one epoch;
//! * a host acts and the intent is not in the run's journal.
//!
//! It keeps its own account of claims and does not ask the host, so a host that does not compare is found.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use unship_core::journal::Event;
use unship_core::protocol::{Envelope, Epoch, HostReply, HostRequest};
use unship_core::release::HostName;

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
    /// How many acts were watched.
    acts: u64,
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

    pub fn acts(&self) -> u64 {
        lock(&self.seen).acts
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
            HostRequest::Observe | HostRequest::Verify { .. } => return,
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
        seen.acts += 1;
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
        if needs_intent && !self.intended(envelope) {
            let text = format!("{host} did `{what}` of step {} without an intent on the disk", envelope.step);
            seen.violations.push(text);
        }
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
