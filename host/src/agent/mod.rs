//! stub
use unship_core::protocol::{Envelope, HostReply};
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct AgentError;
pub struct Agent;
impl Agent {
    pub fn open(_p: crate::paths::HostPaths) -> Result<Agent, AgentError> {
        Err(AgentError)
    }
    pub fn serve(&mut self, _e: Envelope) -> HostReply {
        HostReply::Done { actions: vec![] }
    }
}
pub use crate::paths::HostPaths;
