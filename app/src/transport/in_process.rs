//! This machine as a host: the agent in the same process, on a thread that may block.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use unship_core::protocol::{Envelope, HostReply, HostSetup};
use unship_core::release::HostName;
use unship_host::agent::{Agent, AgentError};

use crate::ports::{HostTransport, TransportError};

/// An agent of this process. It is kept for the whole run, so that what it has verified it need not hash
/// again before it starts it.
pub struct InProcess {
    host: HostName,
    agent: Arc<Mutex<Agent>>,
}

impl InProcess {
    /// Opens the agent.
    pub fn open(host: HostName, setup: HostSetup) -> Result<InProcess, AgentError> {
        Ok(InProcess { host, agent: Arc::new(Mutex::new(Agent::open(setup)?)) })
    }
}

#[async_trait]
impl HostTransport for InProcess {
    async fn call(&self, envelope: Envelope) -> Result<HostReply, TransportError> {
        let agent = Arc::clone(&self.agent);
        let served = tokio::task::spawn_blocking(move || {
            agent.lock().unwrap_or_else(PoisonError::into_inner).serve(envelope)
        });
        served.await.map_err(|error| TransportError {
            host: self.host.clone(),
            why: error.to_string(),
            hint: None,
        })
    }
}
