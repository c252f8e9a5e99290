//! What runs instances, as the agent sees it. The child runner is one; another service manager joins here
//! and nowhere else.

use std::path::PathBuf;
use std::time::Duration;

use unship_core::protocol::InstanceExit;

use crate::supervise::{Client, StartOrder, SuperviseError, View};

/// Starts and stops instances and says how they are.
pub(super) trait Runner {
    /// The slots and the latest exits.
    fn status(&mut self) -> Result<(View, Vec<InstanceExit>), SuperviseError>;
    /// The slots.
    fn view(&mut self) -> Result<View, SuperviseError>;
    /// Starts an instance unless it is there; answers its slot, whether that is new, and all slots.
    fn start(&mut self, order: StartOrder) -> Result<(u64, bool, View), SuperviseError>;
    /// Tells an instance to stop and returns; the runner drains and, at the limit, kills it.
    fn stop(&mut self, slot: u64, drain_ms_max: u64) -> Result<View, SuperviseError>;
    /// The slots as soon as they differ from `after`, or at the limit.
    fn wait(&mut self, after: u64, limit: Duration) -> Result<View, SuperviseError>;
}

/// The child runner of a runtime folder. Connects when it is asked first, and again when a question failed,
/// so that an agent outlives a child runner that was started anew.
#[derive(Debug)]
pub(super) struct Children {
    runtime: PathBuf,
    client: Option<Client>,
}

impl Children {
    pub(super) fn new(runtime: PathBuf) -> Children {
        Children { runtime, client: None }
    }

    fn ask<T>(
        &mut self,
        question: impl FnOnce(&mut Client) -> Result<T, SuperviseError>,
    ) -> Result<T, SuperviseError> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => Client::connect(&self.runtime)?,
        };
        let answered = question(&mut client);
        if matches!(answered, Ok(_) | Err(SuperviseError::Refused { .. })) {
            self.client = Some(client);
        }
        answered
    }
}

impl Children {
    /// For questions without effect, which may be asked twice: the kept connection may be to a child runner
    /// that has ended.
    fn ask_again<T>(
        &mut self,
        question: impl Fn(&mut Client) -> Result<T, SuperviseError>,
    ) -> Result<T, SuperviseError> {
        if self.client.is_some() {
            match self.ask(&question) {
                Err(SuperviseError::NotRunning { .. }) => {}
                answered => return answered,
            }
        }
        self.ask(&question)
    }
}

impl Runner for Children {
    fn status(&mut self) -> Result<(View, Vec<InstanceExit>), SuperviseError> {
        self.ask_again(Client::status)
    }

    fn view(&mut self) -> Result<View, SuperviseError> {
        self.ask_again(Client::view)
    }

    fn start(&mut self, order: StartOrder) -> Result<(u64, bool, View), SuperviseError> {
        self.ask(|client| client.start(order))
    }

    fn stop(&mut self, slot: u64, drain_ms_max: u64) -> Result<View, SuperviseError> {
        self.ask(|client| client.stop(slot, drain_ms_max))
    }

    fn wait(&mut self, after: u64, limit: Duration) -> Result<View, SuperviseError> {
        self.ask(|client| client.wait(after, limit))
    }
}
