//! The `NOTIFY_SOCKET` of one process: a datagram socket under a name that only this process was told.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// The longest message that is looked at.
const MESSAGE_BYTES_MAX: usize = 4_096;
/// The most messages that are read in one go, so that a chatty instance does not stop the others.
const MESSAGES_MAX: usize = 64;

/// What a process said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) ready: bool,
    pub(super) stopping: bool,
}

/// The socket; its name goes with it.
#[derive(Debug)]
pub(super) struct NotifySocket {
    pub(super) socket: UnixDatagram,
    path: PathBuf,
}

/// Where the socket of an invocation is.
pub(super) fn path_of(runtime: &Path, invocation: &str) -> PathBuf {
    runtime.join("n").join(&invocation[..invocation.len().min(12)])
}

impl NotifySocket {
    /// Binds the socket of an invocation, in place of one that a killed predecessor left.
    pub(super) fn bind(runtime: &Path, invocation: &str) -> io::Result<NotifySocket> {
        let path = path_of(runtime, invocation);
        match fs_err::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = UnixDatagram::bind(&path)
            .map_err(|error| io::Error::new(error.kind(), format!("`{}`: {error}", path.display())))?;
        socket.set_nonblocking(true)?;
        Ok(NotifySocket { socket, path })
    }

    /// Reads what came.
    pub(super) fn read(&self) -> Said {
        let mut said = Said::default();
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        for _ in 0..MESSAGES_MAX {
            let Ok(length) = self.socket.recv(&mut buffer) else { break };
            for line in buffer[..length].split(|byte| *byte == b'\n') {
                said.ready |= line == b"READY=1";
                said.stopping |= line == b"STOPPING=1";
            }
        }
        said
    }
}

impl Drop for NotifySocket {
    fn drop(&mut self) {
        let _ = fs_err::remove_file(&self.path);
    }
}
