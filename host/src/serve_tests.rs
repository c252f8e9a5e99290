use unship_core::protocol::{Envelope, Epoch, HostReply, HostRequest, HostSetup, Manager, ServiceSpec};

use super::*;

fn setup(folder: &std::path::Path) -> ToHost {
    let at = |name: &str| folder.join(name).display().to_string();
    let service = ServiceSpec {
        name: "demo".parse().expect("a service"),
        root: at("opt"),
        units: Vec::new(),
        ready_ms_max: 1_000,
        drain_ms_max: 1_000,
    };
    let setup = HostSetup { root: at("opt"), runtime: at("run"), manager: Manager::ChildRunner, service };
    ToHost::Open { setup: Box::new(setup) }
}

fn observe(number: u64) -> ToHost {
    let run = "look".parse().expect("a run");
    let (version, request) = (PROTOCOL_VERSION, HostRequest::Observe);
    let envelope = Envelope { version, run, step: 0, attempt: 1, epoch: Epoch(0), request };
    ToHost::Ask { number, envelope: Box::new(envelope) }
}

fn bytes(messages: impl IntoIterator<Item = ToHost>) -> Vec<u8> {
    let mut bytes = preamble().to_vec();
    messages.into_iter().for_each(|one| bytes.extend(one.into_frame().expect("a frame")));
    bytes
}

/// What the host says to an input.
fn answers(input: &[u8]) -> (Vec<FromHost>, Result<(), ServeError>) {
    let mut output = Vec::new();
    let served = serve(input, &mut output, "1.2.3", "/x");
    assert_eq!(version_of(*output.first_chunk().expect("a preamble")), Some(PROTOCOL_VERSION));
    let mut rest = &output[PREAMBLE_BYTES..];
    let mut messages = Vec::new();
    while let Some((header, after)) = rest.split_first_chunk::<HEADER_BYTES>() {
        let header = Header::read(*header).expect("a header");
        let (head, after) = after.split_at(header.head);
        messages.push(FromHost::from_parts(head, &after[..header.body]).expect("a message"));
        rest = &after[header.body..];
    }
    assert!(rest.is_empty(), "half a frame");
    (messages, served)
}

#[test]
fn questions_are_answered_in_order_until_the_input_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let (messages, served) = answers(&bytes([setup(folder.path()), observe(1), observe(2)]));
    served.expect("a clean end");
    assert_eq!(messages[0], FromHost::Opened { agent: "1.2.3".into(), place: "/x".into() });
    let numbers: Vec<u64> = messages[1..]
        .iter()
        .map(|message| match message {
            FromHost::Answer { number, .. } => *number,
            other => panic!("not an answer: {other:?}"),
        })
        .collect();
    assert_eq!(numbers, [1, 2]);
}

#[test]
fn an_input_that_ends_in_the_middle_of_a_frame_is_an_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = bytes([setup(folder.path()), observe(1)]);
    for end in 0..whole.len() {
        let (messages, served) = answers(&whole[..end]);
        served.expect("a clean end");
        assert!(messages.len() <= 1, "half a question was answered");
    }
}

#[test]
fn another_protocol_is_refused_by_name() {
    let mut other = preamble();
    other[8..].copy_from_slice(&99_u32.to_be_bytes());
    let (messages, served) = answers(&other);
    assert!(messages.is_empty());
    assert!(matches!(served, Err(ServeError::Protocol { operator: 99 })));
}

#[test]
fn what_is_no_frame_is_answered_and_nothing_after_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut input = bytes([setup(folder.path())]);
    input.extend_from_slice(b"and then something else");
    input.extend(observe(1).into_frame().expect("a frame"));
    let (messages, served) = answers(&input);
    assert!(matches!(served, Err(ServeError::Frame(FrameError::NoFrame { .. }))));
    assert!(matches!(&messages[1..], [FromHost::NotUnderstood { error }] if error.contains("and then")));
}

#[test]
fn a_question_before_the_setup_and_a_person_are_told_so() {
    let (messages, served) = answers(&bytes([observe(1)]));
    assert!(matches!(served, Err(ServeError::OutOfTurn(_))));
    assert!(matches!(&messages[..], [FromHost::NotUnderstood { .. }]));
    assert!(matches!(answers(b"hello, hello, hello").1, Err(ServeError::NoOperator)));
}

/// An answer that cannot be written any more is nobody's: what was asked was done.
#[test]
fn an_operator_who_is_gone_is_an_end() {
    struct Closed(usize);
    impl Write for Closed {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 == 0 { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(bytes.len()) }
        }
        fn flush(&mut self) -> io::Result<()> {
            self.0 -= 1;
            Ok(())
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let input = bytes([setup(folder.path()), observe(1)]);
    serve(&input[..], Closed(2), "1", "/x").expect("a clean end");
}

/// Whatever is in the open part of a protocol, an input does not bring the agent down.
#[test]
fn a_changed_byte_anywhere_breaks_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = bytes([setup(folder.path()), observe(1)]);
    let within = |at: &usize| *at < PREAMBLE_BYTES || whole[..*at].ends_with(b"root") || at.is_multiple_of(7);
    for at in (0..whole.len()).filter(within) {
        let mut changed = whole.clone();
        changed[at] ^= 0x11;
        let (messages, _) = answers(&changed);
        let done = messages.iter().filter(
            |one| matches!(one, FromHost::Answer { reply, .. } if matches!(**reply, HostReply::Done { .. })),
        );
        assert_eq!(done.count(), 0);
    }
}
