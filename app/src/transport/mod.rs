//! Ways to ask a host. A transport carries requests; it knows nothing of what they mean.

mod in_process;
mod ssh;

pub use in_process::InProcess;
pub use ssh::{AgentProgram, Gate, PLACE_SCRIPT, Placed, Ssh, SshOptions, SshTunnels, SshWorld, Upkeep};
