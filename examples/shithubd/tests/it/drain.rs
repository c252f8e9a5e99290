//! SIGTERM: nothing that a client could rely on is lost.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::http::Connection;
use crate::service::World;

const SOON: Duration = Duration::from_secs(3);

#[test]
fn without_connections_the_end_is_at_once() {
    let world = World::migrated();
    let mut service = world.web(&[]);
    let begun = Instant::now();
    service.terminate();
    assert!(service.end(SOON).success());
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[test]
fn an_idle_connection_is_answered_once_more_and_told_to_close() {
    let world = World::migrated();
    let mut service = world.web(&[]);
    let token = service.sign_up_with_repo("ada");
    let mut connection = Connection::open(service.address).unwrap();
    connection.send("GET", "/healthz", None, None).unwrap();
    assert!(!connection.receive().unwrap().closes());

    service.terminate();
    std::thread::sleep(Duration::from_millis(500));
    assert!(service.runs());
    let body = json!({"title": "sent after SIGTERM"});
    connection.send("POST", "/api/repos/ada/project/issues", Some(&token), Some(&body)).unwrap();
    let answer = connection.receive().unwrap();
    assert_eq!(answer.status, 201);
    assert!(answer.closes() && connection.ends());
    assert!(service.end(SOON).success());
}

#[test]
fn a_connection_that_has_sent_nothing_yet_is_served() {
    let world = World::migrated();
    let mut service = world.web(&[]);
    let mut silent = Connection::open(service.address).unwrap();
    let mut halting = Connection::open(service.address).unwrap();
    halting.write(b"GET /version HTTP/1.1\r\nHo").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    service.terminate();
    halting.write(b"st: x\r\n\r\n").unwrap();
    silent.send("GET", "/healthz", None, None).unwrap();
    for connection in [&mut silent, &mut halting] {
        let answer = connection.receive().unwrap();
        assert!(answer.status == 200 && answer.closes());
    }
    assert!(service.end(SOON).success());
}

#[test]
fn what_waits_in_the_queue_of_the_listener_is_served() {
    let world = World::migrated();
    let mut service = world.web(&[]);
    // Stopped, the process cannot accept: the kernel does the handshakes and queues them.
    service.signal("STOP");
    let mut queued: Vec<_> = (0..20).map(|_| Connection::open(service.address).unwrap()).collect();
    for connection in &mut queued {
        connection.send("GET", "/healthz", None, None).unwrap();
    }
    service.signal("TERM");
    service.signal("CONT");
    for connection in &mut queued {
        assert_eq!(connection.receive().unwrap().status, 200);
    }
    assert!(service.end(SOON).success());
}

#[test]
fn requests_and_streams_that_run_finish() {
    let world = World::migrated();
    let mut service = world.web(&[]);
    let mut slow = Connection::open(service.address).unwrap();
    let mut stream = Connection::open(service.address).unwrap();
    slow.send("GET", "/slow?ms=1000", None, None).unwrap();
    stream.send("GET", "/api/events/stream?seconds=1", None, None).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    service.terminate();
    let answer = slow.receive().unwrap();
    assert!(answer.status == 200 && answer.closes());
    assert!(stream.receive().unwrap().body.contains("event: end\n"));
    drop(stream);
    assert!(service.end(SOON).success());
}

#[test]
fn nothing_new_is_accepted() {
    let world = World::migrated();
    let service = world.web(&[]);
    let _holds_it_open = Connection::open(service.address).unwrap();
    service.terminate();
    std::thread::sleep(Duration::from_millis(100));
    assert!(Connection::open(service.address).is_err());
}

#[test]
fn an_idle_connection_is_closed_after_its_time() {
    let world = World::migrated();
    let mut service = world.web(&["--drain-idle-ms", "700"]);
    let mut connection = Connection::open(service.address).unwrap();
    connection.send("GET", "/healthz", None, None).unwrap();
    connection.receive().unwrap();
    let begun = Instant::now();
    service.terminate();
    assert!(connection.ends());
    let kept = begun.elapsed();
    assert!((Duration::from_millis(600)..Duration::from_secs(2)).contains(&kept), "{kept:?}");
    assert!(service.end(SOON).success());
}

#[test]
fn at_the_limit_what_is_left_is_cut_and_the_exit_status_says_so() {
    let world = World::migrated();
    let mut service = world.web(&["--drain-max-ms", "500"]);
    let mut slow = Connection::open(service.address).unwrap();
    slow.send("GET", "/slow?ms=10000", None, None).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    service.terminate();
    assert_eq!(service.end(SOON).code(), Some(4));
    assert!(slow.receive().is_err());
}
