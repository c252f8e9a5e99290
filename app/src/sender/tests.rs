use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;
use std::time::Instant;

use super::*;
use crate::ports::Secret;

fn get(url: &str) -> Outgoing {
    Outgoing {
        method: Method::Get,
        url: Secret::new(url),
        headers: vec![("authorization", HeaderText::Secret(Secret::new("Bearer hunter2")))],
        body: Vec::new(),
        time_ms_max: 2_000,
        answer_bytes_max: 1_000,
    }
}

/// Answers one connection with `answer` and gives what it was sent.
fn server(answer: &'static [u8]) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/secret-path?q=1", listener.local_addr().expect("an address"));
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut got = Vec::new();
        let mut buffer = [0; 4096];
        while !got.windows(4).any(|end| end == b"\r\n\r\n") {
            let count = stream.read(&mut buffer).expect("a request");
            got.extend_from_slice(&buffer[..count]);
        }
        // Whoever asked may have gone.
        let _ = stream.write_all(answer);
        String::from_utf8_lossy(&got).into_owned()
    });
    (url, served)
}

fn sender() -> HttpSender {
    HttpSender::new(None).expect("a sender")
}

#[tokio::test]
async fn a_request_is_sent_once_with_its_headers_and_the_answer_is_read_whatever_its_status() {
    let (url, served) = server(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 5\r\n\r\nlater");
    let answered = sender().send(&get(&url)).await.expect("an answer");
    assert_eq!((answered.status, answered.body.as_slice()), (503, b"later".as_slice()));
    assert_eq!(answered.header("retry-after"), Some("7"));
    let got = served.join().expect("a request");
    assert!(got.starts_with("GET /secret-path?q=1 HTTP/1.1\r\n"), "{got}");
    assert!(got.contains("authorization: Bearer hunter2\r\n"), "{got}");
    assert!(got.contains("connection: close\r\n"), "{got}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let (url, served) =
        server(b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n");
    let answered = sender().send(&get(&url)).await.expect("an answer");
    assert_eq!(answered.status, 302);
    served.join().expect("one request");
}

#[tokio::test]
async fn an_answer_that_is_too_long_or_never_comes_is_an_error_without_the_path_or_the_token() {
    let (url, _served) = server(b"HTTP/1.1 200 OK\r\nContent-Length: 2000000000\r\n\r\nxxxx");
    let began = Instant::now();
    let long = sender().send(&get(&url)).await.expect_err("too long");
    assert!(long.why.contains("more than 1000 bytes"), "{long}");
    assert!(began.elapsed() < Duration::from_secs(1));

    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/secret-path", silent.local_addr().expect("an address"));
    let request = Outgoing { time_ms_max: 200, ..get(&url) };
    let error = sender().send(&request).await.expect_err("no answer");
    assert!(error.may_have_arrived && error.why == "no answer within 200 ms", "{error:?}");
    for error in [long, error] {
        let said = format!("{error} {error:?}");
        assert!(!said.contains("secret-path") && !said.contains("hunter2"), "{said}");
    }
}

#[tokio::test]
async fn a_host_that_speaks_no_tls_or_is_not_there_is_said_to_be_so() {
    let (url, _served) = server(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n\r\n\r\n");
    let https = url.replace("http://", "https://");
    let error = sender().send(&Outgoing { time_ms_max: 500, ..get(&https) }).await.expect_err("no TLS");
    assert!(!error.may_have_arrived, "{error:?}");
    let gone = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let error = sender().send(&get(&format!("http://{gone}/"))).await.expect_err("nobody there");
    assert!(!error.may_have_arrived && error.why.contains("cannot connect"), "{error:?}");
}

#[tokio::test]
async fn what_is_no_address_is_refused_without_saying_it() {
    for url in ["ftp://example.org/x", "nonsense", "https://user:hunter2@example.org/"] {
        let error = sender().send(&get(url)).await.expect_err("no address");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn a_request_that_is_printed_shows_no_secret() {
    let shown = format!("{:?}", get("https://hooks.example.org/services/T0/B0/hunter3"));
    assert!(!shown.contains("hunter"), "{shown}");
}
