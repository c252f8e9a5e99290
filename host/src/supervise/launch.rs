//! What a waiting shim is told to become, and how it gets there: a length, the words, and two descriptors over
//! a unix socket.

use std::ffi::{OsStr, OsString};
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

/// The most bytes of program, arguments and environment together; the kernel's own limit is higher.
const WORDS_BYTES_MAX: usize = 1 << 20;
/// The most descriptors that go with it: the log and the listener.
const FDS_MAX: usize = 2;

/// A process to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Launch {
    /// The working directory.
    pub(super) folder: OsString,
    /// The program's path.
    pub(super) program: OsString,
    pub(super) arguments: Vec<OsString>,
    /// All of its environment, each `NAME=value`.
    pub(super) environment: Vec<OsString>,
}

impl Launch {
    /// Every word ends with a NUL, which none may contain.
    fn encode(&self) -> Vec<u8> {
        let count = OsString::from(self.arguments.len().to_string());
        let head = [&self.folder, &self.program, &count];
        let mut bytes = Vec::new();
        for word in head.into_iter().chain(&self.arguments).chain(&self.environment) {
            bytes.extend_from_slice(word.as_bytes());
            bytes.push(0);
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Launch> {
        let words = bytes.strip_suffix(&[0])?;
        let mut words = words.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec()));
        let (folder, program) = (words.next()?, words.next()?);
        let count: usize = words.next()?.to_str()?.parse().ok()?;
        let arguments: Vec<_> = words.by_ref().take(count).collect();
        let complete = arguments.len() == count;
        complete.then(|| Launch { folder, program, arguments, environment: words.collect() })
    }

    /// The environment as names and values.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.environment.iter().filter_map(|variable| {
            let bytes = variable.as_bytes();
            let at = bytes.iter().position(|byte| *byte == b'=')?;
            Some((OsStr::from_bytes(&bytes[..at]), OsStr::from_bytes(&bytes[at + 1..])))
        })
    }

    /// Sends it to the shim at the other end.
    pub(super) fn send(
        &self,
        mut socket: &UnixStream,
        log: BorrowedFd<'_>,
        listener: Option<BorrowedFd<'_>>,
    ) -> io::Result<()> {
        let words = self.encode();
        if words.len() > WORDS_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::ArgumentListTooLong,
                format!("command and environment have more than {WORDS_BYTES_MAX} bytes"),
            ));
        }
        let length = (words.len() as u64).to_le_bytes();
        let fds: Vec<BorrowedFd<'_>> = std::iter::once(log).chain(listener).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&fds));
        let sent = rustix::net::sendmsg(socket, &[IoSlice::new(&length)], &mut control, SendFlags::NOSIGNAL)?;
        if sent != length.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        socket.write_all(&words)
    }

    /// Waits for one; answers it with the log and, where there is one, the listener.
    pub(super) fn receive(mut socket: &UnixStream) -> io::Result<(Launch, OwnedFd, Option<OwnedFd>)> {
        let mut length = [0; 8];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL;
        let mut slices = [IoSliceMut::new(&mut length)];
        let received = rustix::net::recvmsg(socket.as_fd(), &mut slices, &mut control, flags)?;
        if received.bytes != 8 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut fds = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                fds.extend(rights);
            }
        }
        let nonsense = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
        let length = usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX);
        if length > WORDS_BYTES_MAX {
            return Err(nonsense("it is longer than it may be"));
        }
        let mut words = vec![0; length];
        socket.read_exact(&mut words)?;
        let launch = Launch::decode(&words).ok_or_else(|| nonsense("it is not a launch"))?;
        let mut fds = fds.into_iter();
        let log = fds.next().ok_or_else(|| nonsense("it came without a log"))?;
        Ok((launch, log, fds.next()))
    }
}

#[cfg(test)]
#[path = "launch_tests.rs"]
mod tests;
