use super::*;
use crate::aftercare::courier::{Auth, Base};
use crate::ports::Method;

fn request(auth: Auth) -> HttpRequest {
    HttpRequest {
        method: Method::Post,
        base: Base::Plain("https://example.org/api/".into()),
        path: "/x".into(),
        headers: Vec::new(),
        auth,
        body: b"what do ya want for nothing?".to_vec(),
    }
}

fn credentials(token: &str) -> Credentials {
    Credentials { token: Some(Secret::new(token)), url: None }
}

#[test]
fn a_signature_is_that_of_the_rfc() {
    // RFC 4231, test case 2.
    let sent =
        outgoing(&request(Auth::Signature("x-signature")), &credentials("Jefe"), 1_000).expect("a request");
    let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    assert_eq!(sent.headers, [("x-signature", HeaderText::Plain(expected.into()))]);
    assert_eq!(sent.url.reveal(), "https://example.org/api/x");
}

#[test]
fn no_secret_is_in_what_is_printed_of_a_request() {
    let sent = outgoing(&request(Auth::Header("authorization", "Bearer ")), &credentials("hunter2"), 1_000);
    assert!(!format!("{sent:?}").contains("hunter2"));
    assert!(!format!("{:?}", credentials("hunter2")).contains("hunter2"));
    assert_eq!(credentials("hunter2").redact("it said hunter2"), "it said [redacted]");
}

#[test]
fn a_wish_to_be_left_alone_is_understood_and_has_a_limit() {
    assert_eq!(retry_after_ms("120"), Some(120_000));
    assert_eq!(retry_after_ms("99999999999"), Some(RETRY_AFTER_MS_MAX));
    assert_eq!(retry_after_ms("Wed, 21 Oct 2015 07:28:00 GMT"), Some(0));
    assert_eq!(retry_after_ms("soon"), None);
}

#[test]
fn a_line_is_added_once_and_a_line_that_was_cut_off_does_not_swallow_the_next() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("made/notes.log");
    for line in ["one\n", "one\n", "two\n"] {
        append(&path, line, line, None).expect("adds");
    }
    assert_eq!(fs_err::read_to_string(&path).expect("reads"), "one\ntwo\n");
    fs_err::write(&path, "cut o").expect("writes");
    append(&path, "three\n", "three\n", None).expect("adds");
    assert_eq!(fs_err::read_to_string(&path).expect("reads"), "cut o\nthree\n");
    let instead = ("three".to_owned(), "again\n".to_owned());
    append(&path, "four\n", "four\n", Some(&instead)).expect("adds");
    assert!(fs_err::read_to_string(&path).expect("reads").ends_with("again\n"));
}

#[test]
fn a_file_that_another_process_keeps_locked_is_given_up_and_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notes.log");
    let other = fs_err::File::create(&path).expect("a file");
    flock(&other, FlockOperation::LockExclusive).expect("locks");
    let error = append(&path, "one\n", "one\n", None).expect_err("locked by another");
    assert!(error.to_string().contains("locked"), "{error}");
    assert_eq!(fs_err::read_to_string(&path).expect("reads"), "");
    drop(other);
    append(&path, "one\n", "one\n", None).expect("adds");
}
