//! What can go wrong with the child runner.

use std::io;
use std::path::PathBuf;

use crate::store::StoreError;

/// Why the child runner cannot run or cannot be asked.
#[derive(Debug, thiserror::Error)]
pub enum SuperviseError {
    /// The folder's path does not fit into the address of a unix socket, or is relative.
    #[error("the runtime folder `{}` must be absolute and at most {limit} bytes long (it has {bytes}): it holds unix sockets", .path.display())]
    RuntimePath {
        /// The folder.
        path: PathBuf,
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A folder that is there and is not this user's alone.
    #[error("the runtime folder `{}` {rule}", .path.display())]
    ForeignRuntime {
        /// The folder.
        path: PathBuf,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// Another child runner has the folder.
    #[error("a child runner has `{}` already: process {pid}", .runtime.display())]
    Running {
        /// The folder.
        runtime: PathBuf,
        /// Its process id, as its file says.
        pid: String,
    },
    /// No child runner answers.
    #[error("no child runner answers at `{}`: {why}", .socket.display())]
    NotRunning {
        /// Its socket.
        socket: PathBuf,
        /// What the system said.
        why: String,
    },
    /// The child runner took the question and says nothing.
    #[error("the child runner at `{}` does not answer (waited {waited_ms} ms)", .socket.display())]
    Silent {
        /// Its socket.
        socket: PathBuf,
        /// Its process id, as its file says.
        pid: String,
        /// How long was waited.
        waited_ms: u64,
    },
    /// The child runner answers, and not in time or not sensibly.
    #[error("the child runner at `{}` does not answer as it should: {why}", .socket.display())]
    BadAnswer {
        /// Its socket.
        socket: PathBuf,
        /// What was wrong.
        why: String,
    },
    /// The child runner says no.
    #[error("{error}")]
    Refused {
        /// Why.
        error: String,
        /// What to do.
        hint: Option<String>,
    },
    /// An address that cannot be listened on.
    #[error("unit `{unit}` cannot listen on `{listen}`: {why}")]
    Listen {
        /// The unit.
        unit: String,
        /// The address from the configuration.
        listen: String,
        /// What the system said.
        why: String,
    },
    /// A unit that cannot be run.
    #[error("unit `{unit}` {rule}")]
    BadUnit {
        /// The unit.
        unit: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// A process could not be started.
    #[error("`{}` cannot be started: {source}", .program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of the child runner's own cannot be understood.
    #[error("`{}` cannot be read: {why}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reader's reason.
        why: String,
    },
    /// What `current` names cannot be started.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl SuperviseError {
    /// What can be run to see or mend it.
    pub fn hint(&self) -> Option<String> {
        match self {
            SuperviseError::RuntimePath { .. } => {
                Some("choose a shorter runtime folder, for example one below `/run` or `/tmp`".to_owned())
            }
            SuperviseError::ForeignRuntime { path, .. } => Some(format!(
                "name a folder that is not there yet, it is made for this user alone; or, if it is this service's own, look at `ls -ld {0}` and take the right from others with `chmod go-w {0}`",
                path.display()
            )),
            SuperviseError::Running { pid, .. } => {
                Some(format!("use the one that runs, or end it and all that it runs with `kill {pid}`"))
            }
            SuperviseError::Silent { pid, .. } => Some(format!(
                "is it stopped? `ps -o pid,stat,args -p {pid}` shows `T` then, and `kill -CONT {pid}` lets it go on"
            )),
            SuperviseError::NotRunning { .. } => {
                Some("start it with `unship supervise`; it adopts instances that still serve".to_owned())
            }
            SuperviseError::Listen { listen, .. } => {
                Some(format!("see who has the address with `ss -ltnp | grep {listen}`"))
            }
            SuperviseError::Unreadable { path, .. } => {
                Some(format!("end what runs from this folder by hand, then remove `{}`", path.display()))
            }
            SuperviseError::Refused { hint, .. } => hint.clone(),
            SuperviseError::Store(error) => error.hint(),
            _ => None,
        }
    }
}
