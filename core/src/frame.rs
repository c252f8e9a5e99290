//! How the protocol travels over a pipe: a preamble of fixed shape, then frames. Bytes in, values out; nothing
//! here reads or writes.
//!
//! A frame is a header of twelve bytes, a head in JSON and a raw body. JSON, because it is what the journal and
//! the capsule speak already, because the closed enums of [`crate::protocol`] are tagged inside, which formats
//! without names cannot carry, and because a person can read it in a dump. The bytes of a
//! [`HostRequest::Write`] are the one thing that would grow in JSON (to three and a half times their length), so
//! they travel raw behind it.
//!
//! The preamble never changes its shape. Each side sends its own before anything else, so that two sides that
//! do not understand each other can still say which versions they are.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::protocol::{Envelope, HostReply, HostRequest, HostSetup, PROTOCOL_VERSION, WRITE_BYTES_MAX};

/// What a preamble begins with. No text holds it, so it is found behind whatever a login shell says.
const MAGIC: [u8; 8] = *b"\0unship\0";

/// The length of a preamble.
pub const PREAMBLE_BYTES: usize = 12;

/// The length of a frame's header.
pub const HEADER_BYTES: usize = 12;

/// What a header begins with, so that stray output between two frames is seen and not taken for a length.
const MARK: [u8; 4] = *b"\x01frm";

/// The longest head: a manifest of the most files with paths of a usual length has about 30 MB.
pub const HEAD_BYTES_MAX: usize = 64 << 20;

/// The longest body.
pub const BODY_BYTES_MAX: usize = WRITE_BYTES_MAX;

/// What is sent before anything else: the magic, and the version of the protocol, big-endian.
pub fn preamble() -> [u8; PREAMBLE_BYTES] {
    let mut bytes = [0; PREAMBLE_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..].copy_from_slice(&PROTOCOL_VERSION.to_be_bytes());
    bytes
}

/// The version that a preamble names; none when these bytes are no preamble.
pub fn version_of(preamble: [u8; PREAMBLE_BYTES]) -> Option<u32> {
    let version = preamble.strip_prefix(&MAGIC)?;
    Some(u32::from_be_bytes(version.try_into().ok()?))
}

/// Where in what was read so far a preamble begins, if it does, whole or not.
pub fn find_magic(bytes: &[u8]) -> Option<usize> {
    bytes.windows(MAGIC.len()).position(|window| window == MAGIC)
}

/// What an operator says to a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum ToHost {
    /// Comes first, once.
    Open {
        /// Which service on this host.
        setup: Box<HostSetup>,
    },
    /// Asks something; answered before the next is read.
    Ask {
        /// Counts up from 1; the answer repeats it.
        number: u64,
        /// What is asked.
        envelope: Box<Envelope>,
    },
}

/// What a host says to an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case")]
pub enum FromHost {
    /// The agent is there.
    Opened {
        /// Its version, as people know it.
        agent: String,
        /// The folder that it was started from, which names its digest when unship has put it there.
        place: String,
    },
    /// There can be no agent for that setup.
    NotOpened {
        /// Why.
        error: String,
    },
    /// The answer to a question.
    Answer {
        /// The question's number.
        number: u64,
        /// What came of it.
        reply: Box<HostReply>,
    },
    /// What came was no frame, or none that belongs there. Nothing was done, and the host hangs up.
    NotUnderstood {
        /// Why.
        error: String,
    },
}

/// Bytes are no frame, or not one that this side takes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// They do not begin like one.
    #[error("these bytes are no frame: `{saw}`")]
    NoFrame {
        /// What they begin with, fit to be printed.
        saw: String,
    },
    /// It would be too long.
    #[error("a frame's {part} of {bytes} bytes is too long; the limit is {limit}")]
    TooLong {
        /// Head or body.
        part: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Its head does not say anything that this side knows.
    #[error("a frame cannot be read: {why}")]
    Unreadable {
        /// The reader's reason.
        why: String,
    },
    /// It has a body that nothing in its head asks for.
    #[error("a frame has {bytes} bytes that belong to nothing")]
    StrayBody {
        /// How many.
        bytes: usize,
    },
}

/// The lengths of what follows a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of JSON.
    pub head: usize,
    /// Raw bytes behind it.
    pub body: usize,
}

impl Header {
    /// Reads a header, and refuses lengths beyond the limits before anything is kept for them.
    pub fn read(bytes: [u8; HEADER_BYTES]) -> Result<Header, FrameError> {
        let no_frame = || FrameError::NoFrame { saw: bytes.escape_ascii().to_string() };
        let lengths = bytes.strip_prefix(&MARK).ok_or_else(no_frame)?;
        let (head, body) = lengths.split_at_checked(4).ok_or_else(no_frame)?;
        let length = |bytes: &[u8]| {
            let bytes = bytes.try_into().map_err(|_| no_frame())?;
            usize::try_from(u32::from_be_bytes(bytes)).map_err(|_| no_frame())
        };
        let header = Header { head: length(head)?, body: length(body)? };
        within("head", header.head, HEAD_BYTES_MAX)?;
        within("body", header.body, BODY_BYTES_MAX)?;
        Ok(header)
    }
}

fn within(part: &'static str, bytes: usize, limit: usize) -> Result<u32, FrameError> {
    let fits = u32::try_from(bytes).ok().filter(|_| bytes <= limit);
    fits.ok_or(FrameError::TooLong { part, bytes, limit })
}

fn frame(message: &impl Serialize, body: &[u8]) -> Result<Vec<u8>, FrameError> {
    let head =
        serde_json::to_vec(message).map_err(|error| FrameError::Unreadable { why: error.to_string() })?;
    let head_length = within("head", head.len(), HEAD_BYTES_MAX)?;
    let body_length = within("body", body.len(), BODY_BYTES_MAX)?;
    let mut bytes = Vec::with_capacity(HEADER_BYTES + head.len() + body.len());
    bytes.extend_from_slice(&MARK);
    bytes.extend_from_slice(&head_length.to_be_bytes());
    bytes.extend_from_slice(&body_length.to_be_bytes());
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(body);
    Ok(bytes)
}

fn message<T: DeserializeOwned>(head: &[u8]) -> Result<T, FrameError> {
    serde_json::from_slice(head).map_err(|error| FrameError::Unreadable { why: error.to_string() })
}

impl ToHost {
    /// The frame of the message.
    pub fn into_frame(mut self) -> Result<Vec<u8>, FrameError> {
        let body = self.raw().map(std::mem::take).unwrap_or_default();
        frame(&self, &body)
    }

    /// The message of a frame.
    pub fn from_parts(head: &[u8], body: Vec<u8>) -> Result<ToHost, FrameError> {
        let mut message: ToHost = message(head)?;
        match message.raw() {
            // One way to say a thing: bytes that came in the head are none of this program's.
            Some(bytes) if !bytes.is_empty() => {
                return Err(FrameError::Unreadable { why: "bytes in the head of a frame".into() });
            }
            Some(bytes) => *bytes = body,
            None if body.is_empty() => {}
            None => return Err(FrameError::StrayBody { bytes: body.len() }),
        }
        Ok(message)
    }

    /// The bytes that travel raw.
    fn raw(&mut self) -> Option<&mut Vec<u8>> {
        match self {
            ToHost::Ask { envelope, .. } => match &mut envelope.request {
                HostRequest::Write { bytes, .. } => Some(bytes),
                _ => None,
            },
            ToHost::Open { .. } => None,
        }
    }
}

impl FromHost {
    /// The frame of the message.
    pub fn into_frame(self) -> Result<Vec<u8>, FrameError> {
        frame(&self, &[])
    }

    /// The message of a frame.
    pub fn from_parts(head: &[u8], body: &[u8]) -> Result<FromHost, FrameError> {
        if !body.is_empty() {
            return Err(FrameError::StrayBody { bytes: body.len() });
        }
        message(head)
    }
}

#[cfg(test)]
mod tests;
