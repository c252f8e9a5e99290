use proptest::prelude::*;

use super::*;
use crate::protocol::Epoch;
use crate::release::Digest;

fn ask(number: u64, request: HostRequest) -> ToHost {
    let run = "20260101T000000-000-1".parse().expect("a run");
    let version = PROTOCOL_VERSION;
    let envelope = Envelope { version, run, step: 3, attempt: 1, epoch: Epoch(7), request };
    ToHost::Ask { number, envelope: Box::new(envelope) }
}

/// The parts of a frame's bytes, as a reader finds them.
fn parts(bytes: &[u8]) -> Result<(Vec<u8>, Vec<u8>), FrameError> {
    let (header, rest) = bytes.split_at(HEADER_BYTES);
    let header = Header::read(header.try_into().expect("the length of a header"))?;
    assert_eq!(rest.len(), header.head + header.body);
    let (head, body) = rest.split_at(header.head);
    Ok((head.to_vec(), body.to_vec()))
}

fn write(path: &str, offset: u64, bytes: Vec<u8>) -> HostRequest {
    HostRequest::Write { digest: Digest::of(b"x"), path: path.to_owned(), offset, bytes }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_framed_comes_out_again(
        number in any::<u64>(),
        path in ".{0,40}",
        offset in any::<u64>(),
        bytes in proptest::collection::vec(any::<u8>(), 0..5_000),
    ) {
        let length = bytes.len();
        let sent = ask(number, write(&path, offset, bytes));
        let frame = sent.clone().into_frame().expect("a frame");
        prop_assert!(frame.len() < length + 800 + 6 * path.len(), "bytes are not sent as text");
        let (head, body) = parts(&frame).expect("a header");
        prop_assert_eq!(ToHost::from_parts(&head, body).expect("a message"), sent);
    }

    #[test]
    fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = ToHost::from_parts(&bytes, Vec::new());
        let _ = FromHost::from_parts(&bytes, &[]);
        if let Some(header) = bytes.first_chunk() {
            let _ = Header::read(*header);
            prop_assert_eq!(version_of(*header), None);
        }
    }
}

#[test]
fn a_preamble_says_the_version_and_is_found_behind_a_banner() {
    assert_eq!(version_of(preamble()), Some(PROTOCOL_VERSION));
    let mut said = b"Welcome to web-01!\n".to_vec();
    assert_eq!(find_magic(&said), None);
    let banner = said.len();
    said.extend_from_slice(&preamble());
    assert_eq!(find_magic(&said), Some(banner));
}

#[test]
fn lengths_beyond_the_limits_are_refused_before_anything_is_kept_for_them() {
    let header = |head: u32, body: u32| {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&MARK);
        bytes[4..8].copy_from_slice(&head.to_be_bytes());
        bytes[8..].copy_from_slice(&body.to_be_bytes());
        Header::read(bytes)
    };
    assert_eq!(header(5, 6), Ok(Header { head: 5, body: 6 }));
    assert!(matches!(header(u32::MAX, 0), Err(FrameError::TooLong { part: "head", .. })));
    assert!(matches!(header(1, u32::MAX), Err(FrameError::TooLong { part: "body", .. })));
    let long = ask(1, write("a", 0, vec![0; BODY_BYTES_MAX + 1]));
    assert!(matches!(long.into_frame(), Err(FrameError::TooLong { part: "body", .. })));
}

#[test]
fn what_is_no_frame_is_shown() {
    let error = Header::read(*b"Last login: ").expect_err("a banner is no frame");
    assert_eq!(error.to_string(), "these bytes are no frame: `Last login: `");
}

#[test]
fn bytes_belong_to_a_write_and_come_behind_the_head() {
    let observe = ask(1, HostRequest::Observe).into_frame().expect("a frame");
    let (head, _) = parts(&observe).expect("a header");
    assert_eq!(ToHost::from_parts(&head, vec![1, 2]), Err(FrameError::StrayBody { bytes: 2 }));
    let in_head = serde_json::to_vec(&ask(1, write("a", 0, vec![7]))).expect("JSON");
    assert!(matches!(ToHost::from_parts(&in_head, Vec::new()), Err(FrameError::Unreadable { .. })));
}
