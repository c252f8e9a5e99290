//! Two instances on one socket, flipped back and forth under clients that never retry.

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::http::Connection;
use crate::service::World;

const FLIPS: usize = 20;
const KEEPERS: usize = 8;
const CLOSERS: usize = 4;

#[test]
fn keep_alive_posts_survive_twenty_flips() {
    let world = World::migrated();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut current = world.web_on(&listener, &[]);
    let token = current.sign_up_with_repo("ada");

    let stop = AtomicBool::new(false);
    let (sent, failures) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for client in 0..KEEPERS + CLOSERS {
            // Some pause between their requests: their connections are idle when a flip begins.
            let pause = Duration::from_millis([0, 3, 20, 200][client % 4]);
            let keep = client < KEEPERS;
            let (token, stop, sent, failures) = (&token, &stop, &sent, &failures);
            scope.spawn(move || {
                let mut connection = None;
                while !stop.load(Ordering::Relaxed) {
                    match post(&mut connection, address, token) {
                        Ok(closes) if closes || !keep => connection = None,
                        Ok(_) => {}
                        Err(error) => {
                            eprintln!("client {client}: {error}");
                            failures.fetch_add(1, Ordering::Relaxed);
                            connection = None;
                        }
                    }
                    sent.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(pause);
                }
            });
        }
        for _ in 0..FLIPS {
            std::thread::sleep(Duration::from_millis(60));
            let next = world.web_on(&listener, &[]);
            let mut old = std::mem::replace(&mut current, next);
            old.terminate();
            assert!(old.end(Duration::from_secs(8)).success());
        }
        stop.store(true, Ordering::Relaxed);
    });

    let (sent, failures) = (sent.into_inner(), failures.into_inner());
    assert_eq!(failures, 0, "of {sent} requests");
    // Every answer was true: as many issues as answers.
    let created = current.post("/api/repos/ada/project/issues", &token, json!({"title": "last"}));
    assert_eq!(created.json["number"], sent + 1);
}

/// One POST on the kept connection, or on a new one. Says whether the server will close it.
fn post(connection: &mut Option<Connection>, address: SocketAddr, token: &str) -> std::io::Result<bool> {
    if connection.is_none() {
        *connection = Some(Connection::open(address)?);
    }
    let Some(open) = connection else { unreachable!("it was opened above") };
    let body = json!({"title": "flip", "body": "under load"});
    open.send("POST", "/api/repos/ada/project/issues", Some(token), Some(&body))?;
    let answer = open.receive()?;
    if answer.status == 201 {
        Ok(answer.closes())
    } else {
        Err(std::io::Error::other(format!("status {}: {}", answer.status, answer.body)))
    }
}
