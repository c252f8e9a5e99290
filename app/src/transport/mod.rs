//! Ways to ask a host. A transport carries requests; it knows nothing of what they mean.

mod in_process;

pub use in_process::InProcess;
