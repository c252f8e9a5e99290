//! The generator against servers that misbehave in one way each.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use super::*;
use crate::load::sample::TransportKind;

/// A server whose every connection is handled by `serve` on a thread of its own, until the test ends.
fn server(serve: impl Fn(TcpStream, usize) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("has an address");
    thread::spawn(move || {
        for (number, socket) in listener.incoming().enumerate() {
            let (serve, Ok(socket)) = (serve.clone(), socket) else { return };
            thread::spawn(move || serve(socket, number));
        }
    });
    address
}

/// Reads one request without a body; `None` at the end of the connection.
fn read_request(socket: &mut TcpStream) -> Option<String> {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") {
        if socket.read(&mut byte).ok()? == 0 {
            return None;
        }
        text.push(byte[0]);
    }
    String::from_utf8(text).ok()
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nserver: shop/1.0.0\r\nx-instance: 42\r\n\r\nok";

/// Answers every request rightly and obeys `Connection: close`.
fn behaves(mut socket: TcpStream) {
    while let Some(request) = read_request(&mut socket) {
        if socket.write_all(OK).is_err() || request.contains("connection: close") {
            return;
        }
    }
}

/// Closes with a reset instead of an orderly end, as the death of a process with unread data does.
fn reset(socket: &TcpStream) {
    rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO)).expect("sets linger");
}

fn plan(more: &str) -> LoadPlan {
    let text = format!("rate_per_s = 200\ntimeout_ms = 500\n{more}");
    toml::from_str(&text).expect("reads")
}

const HOME: &str = "requests = [{ name = 'home', path = '/' }]";

/// Runs a plan for a while and hands out what happened.
fn run(plan: &LoadPlan, address: SocketAddr, for_ms: u64) -> Recording {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let load = Load::start(plan, address, &Variables::new()).expect("starts");
        tokio::time::sleep(Duration::from_millis(for_ms)).await;
        load.stop().await.expect("stops")
    })
}

fn count(recording: &Recording, wanted: impl Fn(&Sample) -> bool) -> usize {
    recording.samples.iter().filter(|sample| wanted(sample)).count()
}

fn of_kind(kind: TransportKind) -> impl Fn(&Sample) -> bool {
    move |sample| sample.outcome == Outcome::Transport(kind)
}

#[test]
fn a_good_server_is_asked_at_the_rate_and_half_the_connections_are_kept() {
    let address = server(|socket, _| behaves(socket));
    let recording = run(&plan(HOME), address, 1_000);
    let all = recording.samples.len();
    assert!((195..=205).contains(&all), "{all} requests in a second at 200 a second");
    assert_eq!(count(&recording, |sample| recording.failed(sample)), 0);
    let kept = count(&recording, |sample| sample.keep_alive);
    assert!(kept.abs_diff(all - kept) <= 1, "{kept} of {all} keep their connection");
    let reused = count(&recording, |sample| sample.reused);
    assert!(reused > kept / 2, "{reused} of {kept} were used again");
    assert_eq!(count(&recording, |sample| sample.reused && !sample.keep_alive), 0);
    let sample = &recording.samples[0];
    assert_eq!((sample.server.as_deref(), sample.instance.as_deref()), (Some("shop/1.0.0"), Some("42")));
}

#[test]
fn each_way_of_losing_a_request_has_its_name() {
    type Serve = fn(TcpStream, usize);
    let cases: &[(&str, TransportKind, Serve)] = &[
        ("reset before the answer", TransportKind::Reset, |mut socket, _| {
            let _ = read_request(&mut socket);
            reset(&socket);
        }),
        ("closed before the answer", TransportKind::Eof, |mut socket, _| {
            let _ = read_request(&mut socket);
        }),
        ("closed within the head", TransportKind::Eof, |mut socket, _| {
            let _ = read_request(&mut socket);
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-le");
        }),
        ("closed within the body", TransportKind::BadBody, |mut socket, _| {
            let _ = read_request(&mut socket);
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
        }),
        ("closed within a chunk", TransportKind::BadBody, |mut socket, _| {
            let _ = read_request(&mut socket);
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhel");
        }),
        ("not HTTP", TransportKind::Garbled, |mut socket, _| {
            let _ = read_request(&mut socket);
            let _ = socket.write_all(b"SSH-2.0-OpenSSH_9.2\r\n\r\n");
        }),
        (
            "never answers",
            TransportKind::Timeout,
            |mut socket, _| {
                while read_request(&mut socket).is_some() {}
            },
        ),
        ("never ends its body", TransportKind::Timeout, |mut socket, _| {
            let _ = read_request(&mut socket);
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf");
            while read_request(&mut socket).is_some() {}
        }),
    ];
    for (what, kind, serve) in cases {
        let recording = run(&plan(HOME), server(*serve), 100);
        let all = recording.samples.len();
        assert!(all >= 15, "{what}: {all} requests");
        assert_eq!(count(&recording, of_kind(*kind)), all, "{what}: {:?}", recording.samples[0].outcome);
    }
}

#[test]
fn a_closed_port_is_refused() {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
    let recording = run(&plan(HOME), address, 100);
    assert_eq!(count(&recording, of_kind(TransportKind::Refused)), recording.samples.len());
    assert!(!recording.samples.is_empty());
}

#[test]
fn a_connection_closed_while_idle_is_not_used_again_and_nothing_is_lost() {
    // Answers one request and closes without a word: what the check before reuse is for.
    let address = server(|mut socket, _| {
        if read_request(&mut socket).is_some() {
            let _ = socket.write_all(OK);
            let _ = socket.shutdown(Shutdown::Both);
        }
    });
    let recording = run(
        &plan("keep_alive_share = 1.0\nthink_ms = [20]\nrequests = [{ name = 'home', path = '/' }]"),
        address,
        500,
    );
    assert_eq!(count(&recording, |sample| recording.failed(sample)), 0, "{:?}", recording.samples.first());
    assert_eq!(count(&recording, |sample| sample.reused), 0);
}

#[test]
fn a_connection_closed_under_a_request_is_a_failure_and_not_retried() {
    use std::sync::atomic::AtomicUsize;
    // The second request of a connection is read and never answered.
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let address = server(move |mut socket, _| {
        for answer in [true, false] {
            if read_request(&mut socket).is_none() {
                return;
            }
            counter.fetch_add(1, Ordering::SeqCst);
            if answer && socket.write_all(OK).is_err() {
                return;
            }
        }
    });
    let recording = run(
        &plan("keep_alive_share = 1.0\nthink_ms = [0]\nrequests = [{ name = 'home', path = '/' }]"),
        address,
        500,
    );
    let failed = count(&recording, of_kind(TransportKind::Eof));
    assert!(failed >= 40, "{failed} of {}", recording.samples.len());
    assert_eq!(count(&recording, |sample| recording.failed(sample) && !sample.reused), 0);
    assert_eq!(asked.load(Ordering::SeqCst), recording.samples.len(), "asked more often than due");
    // The answer before named the process that the connection was with.
    assert_eq!(count(&recording, |sample| sample.instance.as_deref() != Some("42")), 0);
}

#[test]
fn a_stalled_server_does_not_slow_the_load_and_every_wait_is_measured_from_when_it_was_due() {
    // The first connections stall for 300 ms, so that everything behind them would wait in a closed loop.
    let address = server(|socket, _| {
        thread::sleep(Duration::from_millis(300));
        behaves(socket);
    });
    let recording =
        run(&plan("keep_alive_share = 0.0\nrequests = [{ name = 'home', path = '/' }]"), address, 500);
    let all = recording.samples.len();
    assert!((95..=103).contains(&all), "{all} requests in half a second at 200 a second");
    assert_eq!(count(&recording, |sample| sample.latency_us() < 300_000), 0);
}

#[test]
fn what_is_due_while_too_many_are_in_flight_is_counted_as_shed() {
    let address = server(|mut socket, _| while read_request(&mut socket).is_some() {});
    let recording = run(&plan("in_flight_max = 5\nrequests = [{ name = 'home', path = '/' }]"), address, 300);
    let shed = count(&recording, of_kind(TransportKind::Shed));
    let sent = count(&recording, of_kind(TransportKind::Timeout));
    assert_eq!(sent, 5);
    assert!((50..=60).contains(&shed), "{shed} shed");
    assert_eq!(shed + sent, recording.samples.len());
}

#[test]
fn a_stream_is_opened_again_when_complete_and_a_cut_one_is_a_failure() {
    let address = server(|mut socket, number| {
        let Some(request) = read_request(&mut socket) else { return };
        if !request.starts_with("GET /stream") {
            let _ = socket.write_all(OK);
            return;
        }
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
        for _ in 0..4 {
            thread::sleep(Duration::from_millis(20));
            let _ = socket.write_all(b"2\r\nhi\r\n");
        }
        // Every other one is cut.
        if number % 2 == 0 {
            let _ = socket.write_all(b"0\r\n\r\n");
        }
    });
    let streams = "keep_alive_share = 0.0\nrate_per_s = 1
        requests = [{ name = 'home', path = '/' }, { name = 'watch', path = '/stream', stream = true }]";
    let streams: LoadPlan = toml::from_str(streams).expect("reads");
    let recording = run(&streams, address, 900);
    let watched = |sample: &Sample| sample.request == 1;
    let whole = count(&recording, |sample| watched(sample) && !recording.failed(sample));
    let cut = count(&recording, |sample| watched(sample) && of_kind(TransportKind::IncompleteStream)(sample));
    assert!(whole >= 1 && cut >= 1, "{whole} whole, {cut} cut");
    assert_eq!(whole + cut, count(&recording, watched));
}

#[test]
fn a_wrong_plan_starts_nothing() {
    let error = Load::start(&plan("requests = []"), ([127, 0, 0, 1], 1).into(), &Variables::new());
    assert!(matches!(error, Err(LoadError::Plan(_))));
}
