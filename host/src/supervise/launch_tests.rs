use super::*;

fn launch() -> Launch {
    let words = |words: &[&str]| words.iter().map(OsString::from).collect();
    Launch {
        folder: "/srv/demo".into(),
        program: "/srv/demo/bin/demo".into(),
        arguments: words(&["serve", "", "--name=a b\nc"]),
        environment: [words(&["EMPTY=", "PAIR=a=b"]), vec![OsString::from_vec(b"RAW=\xff".to_vec())]]
            .concat(),
    }
}

#[test]
fn a_launch_arrives_with_its_descriptors() {
    let (here, there) = UnixStream::pair().expect("pair");
    let (log, listener) = (tempfile::tempfile().expect("file"), tempfile::tempfile().expect("file"));
    for listener in [None, Some(listener.as_fd())] {
        launch().send(&here, log.as_fd(), listener).expect("send");
        let (received, log, got) = Launch::receive(&there).expect("receive");
        assert_eq!(received, launch());
        assert_eq!(got.is_some(), listener.is_some());
        let flags = rustix::io::fcntl_getfd(&log).expect("flags");
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC), "nothing leaks into the service");
    }
    let variables: Vec<_> = launch().variables().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
    assert_eq!(variables[0], ("EMPTY".into(), "".into()));
    assert_eq!(variables[1], ("PAIR".into(), "a=b".into()));
    drop(here);
    let error = Launch::receive(&there).expect_err("nobody is there any more");
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
}

#[test]
fn nonsense_is_no_launch() {
    let whole = launch().encode();
    for cut in 0..whole.len() - 1 {
        if let Some(read) = Launch::decode(&whole[..cut]) {
            // Cut between two variables, which only the length before the words can tell.
            assert!(read.environment.len() < launch().environment.len());
        }
    }
    assert_eq!(Launch::decode(b"/a\0/b\0many\0"), None);
    assert_eq!(Launch::decode(b""), None);
}
