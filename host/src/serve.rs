//! The agent at the other end of a pipe: frames come in, each is served to its end, its answer goes out.
//!
//! One request at a time, in order. The end of the input ends it, after the request that is being served: an
//! operator who is gone has nobody to tell, and whatever the request began is finished or found by the next
//! one. Never says anything on the output that is no frame.

use std::io::{self, Read, Write};

use unship_core::frame::{
    FrameError, FromHost, HEADER_BYTES, Header, PREAMBLE_BYTES, ToHost, preamble, version_of,
};
use unship_core::protocol::PROTOCOL_VERSION;

use crate::agent::Agent;

/// Why serving ended otherwise than by the end of the input.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The pipe failed.
    #[error("the operator's end failed: {0}")]
    Pipe(#[from] io::Error),
    /// What came was no frame, or not one that belongs there.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// What came first was no preamble.
    #[error("standard input is no operator's: this is started by unship over ssh, not by people")]
    NoOperator,
    /// The operator speaks another protocol. It was told which one is spoken here.
    #[error("the operator speaks protocol {operator}, this agent {PROTOCOL_VERSION}")]
    Protocol {
        /// The operator's.
        operator: u32,
    },
    /// A message came that does not belong there.
    #[error("{0}")]
    OutOfTurn(&'static str),
}

/// Serves until the input ends. `agent` and `place` are what people are told of this program: its version and
/// the folder that it is in.
pub fn serve(
    mut input: impl Read,
    mut output: impl Write,
    agent: &str,
    place: &str,
) -> Result<(), ServeError> {
    let served = exchange(&mut input, &mut output, agent, place);
    match served {
        // The operator is gone in the middle of something: as at the end of the input.
        Err(ServeError::Pipe(error)) if is_gone(&error) => Ok(()),
        Err(error @ (ServeError::Frame(_) | ServeError::OutOfTurn(_))) => {
            // The operator may be gone as well; the error is what counts.
            let _ = send(&mut output, FromHost::NotUnderstood { error: error.to_string() });
            Err(error)
        }
        other => other,
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe)
}

fn exchange(
    input: &mut impl Read,
    output: &mut impl Write,
    version: &str,
    place: &str,
) -> Result<(), ServeError> {
    output.write_all(&preamble())?;
    output.flush()?;
    let mut theirs = [0; PREAMBLE_BYTES];
    if !filled(input, &mut theirs)? {
        return Ok(());
    }
    match version_of(theirs) {
        Some(PROTOCOL_VERSION) => {}
        Some(operator) => return Err(ServeError::Protocol { operator }),
        None => return Err(ServeError::NoOperator),
    }
    let setup = match receive(input)? {
        Some(ToHost::Open { setup }) => setup,
        Some(ToHost::Ask { .. }) => return Err(ServeError::OutOfTurn("a question before the setup")),
        None => return Ok(()),
    };
    let mut agent = match Agent::open(*setup) {
        Ok(agent) => agent,
        Err(error) => return send(output, FromHost::NotOpened { error: error.to_string() }),
    };
    send(output, FromHost::Opened { agent: version.to_owned(), place: place.to_owned() })?;
    while let Some(message) = receive(input)? {
        let ToHost::Ask { number, envelope } = message else {
            return Err(ServeError::OutOfTurn("a second setup"));
        };
        let reply = Box::new(agent.serve(*envelope));
        send(output, FromHost::Answer { number, reply })?;
    }
    Ok(())
}

/// The next message; nothing at the end of the input.
fn receive(input: &mut impl Read) -> Result<Option<ToHost>, ServeError> {
    let mut header = [0; HEADER_BYTES];
    if !filled(input, &mut header)? {
        return Ok(None);
    }
    let header = Header::read(header)?;
    let head = exactly(input, header.head)?;
    let body = exactly(input, header.body)?;
    Ok(Some(ToHost::from_parts(&head, body)?))
}

/// Reads so many bytes. The room grows with what really comes, whatever was announced.
fn exactly(input: &mut impl Read, count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input.take(count as u64).read_to_end(&mut bytes)?;
    if bytes.len() == count { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// Fills the buffer; false when the input ends before its first byte.
fn filled(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    let mut rest = &mut buffer[..];
    let count = loop {
        match input.read(rest) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    if count == 0 {
        return Ok(false);
    }
    rest = &mut rest[count..];
    input.read_exact(rest)?;
    Ok(true)
}

fn send(output: &mut impl Write, message: FromHost) -> Result<(), ServeError> {
    output.write_all(&message.into_frame()?)?;
    Ok(output.flush()?)
}

#[cfg(test)]
#[path = "serve_tests.rs"]
mod tests;
