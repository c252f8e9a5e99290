//! A hold under load: every request is answered, before, meanwhile and afterwards.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use unship_core::protocol::*;
use unship_core::release::Release;

use crate::support::{Host, child_program, unit};

/// The status of an answer that came whole; a 503 has to say when to come again.
fn ask(address: SocketAddr, request: &[u8]) -> Result<u16, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).map_err(text)?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(text)?;
    stream.write_all(request).map_err(text)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(text)?;
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    match status {
        Some(200) if answer.contains("\r\n\r\nv1.0.0 ") => Ok(200),
        Some(503) if answer.contains("\r\nRetry-After: 30\r\n") && answer.ends_with("a moment\n") => Ok(503),
        _ => Err(format!("bad answer `{answer}`")),
    }
}

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

fn converge(host: &Host, serve: Serve) -> HostRequest {
    let desired = Desired { service: host.spec.clone(), serve, flip: Flip::Overlap };
    HostRequest::Converge { desired: Box::new(desired) }
}

#[test]
fn while_held_every_request_gets_503_and_none_is_dropped_on_the_way_in_or_out() {
    let mut host = Host::with(|spec| spec.units.push(unit("worker", None)));
    let one = host.publish("v1.0.0", &[]);
    host.flip(&one);
    // Odd while the host is held for certain; 100 and more when it is over.
    let phase = Arc::new(AtomicU64::new(0));
    let (served, held) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..6)
        .map(|_| {
            let (phase, served, held) = (Arc::clone(&phase), Arc::clone(&served), Arc::clone(&held));
            let address = host.address;
            std::thread::spawn(move || {
                let mut failed = Vec::new();
                loop {
                    let before = phase.load(Ordering::SeqCst);
                    if before >= 100 {
                        return failed;
                    }
                    let status = ask(address, GET);
                    let certain = before % 2 == 1 && phase.load(Ordering::SeqCst) == before;
                    match status {
                        Ok(200) if certain => failed.push("served while it was held".to_owned()),
                        Ok(200) => drop(served.fetch_add(1, Ordering::SeqCst)),
                        Ok(_) => drop(held.fetch_add(1, Ordering::SeqCst)),
                        Err(why) => failed.push(why),
                    }
                }
            })
        })
        .collect();
    for _ in 0..5 {
        host.done(converge(&host, Serve::Hold { retry_after_s: 30 }));
        phase.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(100));
        // A body that nobody wants must not take the answer away.
        let mut post = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n".to_vec();
        post.extend(std::iter::repeat_n(b'x', 200_000));
        assert_eq!(ask(host.address, &post), Ok(503));
        phase.fetch_add(1, Ordering::SeqCst);
        host.flip(&one);
        std::thread::sleep(Duration::from_millis(50));
    }
    phase.store(100, Ordering::SeqCst);
    let failed: Vec<_> = clients.into_iter().flat_map(|client| client.join().expect("client")).collect();
    assert_eq!(failed, Vec::<String>::new());
    let (served, held) = (served.load(Ordering::SeqCst), held.load(Ordering::SeqCst));
    assert!(served > 50 && held > 50, "{served} served, {held} answered with 503");
    let state = host.wait_alone(&one);
    assert_eq!((state.held, state.current), (None, Some(one)));
}

/// Many clients that say nothing use up its descriptors. It waits for one to go, and does not ask again and again.
#[test]
fn without_descriptors_it_waits_and_goes_on() {
    use std::os::fd::OwnedFd;
    use std::process::{Command, Stdio};

    use command_fds::{CommandFdExt, FdMapping};

    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "ulimit -n 24 && LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" answer-on-hold 30"])
        .arg(child_program())
        .stdin(Stdio::null());
    let handed = FdMapping { parent_fd: OwnedFd::from(listener), child_fd: 3 };
    command.fd_mappings(vec![handed]).expect("one descriptor");
    let hold = Ended(command.spawn().expect("it starts"));
    let silent: Vec<_> = (0..60).map(|_| TcpStream::connect(address).expect("the kernel takes it")).collect();
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", hold.0.id())).expect("it runs");
        let after_name = stat.rsplit_once(')').expect("a name").1;
        let fields: Vec<u64> = after_name.split_whitespace().skip(11).take(2).flat_map(str::parse).collect();
        fields.iter().sum::<u64>()
    };
    std::thread::sleep(Duration::from_millis(300));
    let before = ticks();
    std::thread::sleep(Duration::from_secs(1));
    assert!(ticks() - before < 10, "it turns round and round");
    drop(silent);
    assert_eq!(ask(address, GET), Ok(503));
}

/// A process that goes with its test, however that ends.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_hold_outlives_the_child_runner_and_a_reboot() {
    let mut host = Host::new();
    let one = host.publish("v1.0.0", &[]);
    host.flip(&one);
    host.done(converge(&host, Serve::Hold { retry_after_s: 30 }));
    host.kill_runner();
    assert_eq!(ask(host.address, GET), Ok(503), "it answers while no child runner is there");
    host.start_runner();
    assert_eq!(ask(host.address, GET), Ok(503));
    // As after a reboot: nothing is left of the processes.
    host.end_runner();
    host.start_runner();
    let state = host.wait_for("the hold", |state| {
        state.instances.iter().any(|one| one.release.is_hold() && one.state == InstanceState::Ready)
    });
    assert_eq!(state.instances.len(), 1, "{state:#?}");
    assert_eq!(state.instances[0].release, Release::hold());
    assert_eq!(ask(host.address, GET), Ok(503));
    host.flip(&one);
    host.wait_alone(&one);
    assert_eq!(ask(host.address, GET), Ok(200));
}
