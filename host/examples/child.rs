//! The program that the host crate's tests run: as an instance of a release, as the child runner, and as its
//! exec shim. What an instance does is told by its arguments, so a release can be good or bad as a test
//! needs it.
//!
//! `child serve [--never-ready] [--deaf] [--exit-after-ms N] [--exit-if FILE] [--status N] [--ready-after-ms N]`
//! serves `LISTEN_FDS` or, without it, just runs; `child supervise ROOT RUNTIME SPEC` is the child runner.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use listenfd::ListenFd;
use rustix::event::{PollFd, PollFlags, Timespec};
use unship_host::agent::HostPaths;
use unship_host::hold::{HOLD_VERB, answer_on_hold};
use unship_host::supervise::{self, SHIM_VERB, SuperviseOptions};

type Failed = Box<dyn std::error::Error>;

/// How long an answer to `/slow` takes.
const SLOW: Duration = Duration::from_millis(500);
/// How often the file of `--exit-if` is looked for.
const LOOK: Duration = Duration::from_millis(10);

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let verb = args.nth(1).unwrap_or_default();
    let ended = if verb == SHIM_VERB {
        Err(supervise::exec_shim(std::env::args_os()).into())
    } else if verb == HOLD_VERB {
        answer_on_hold(std::env::args_os()).map(|()| ExitCode::SUCCESS).map_err(Failed::from)
    } else if verb == "supervise" {
        supervise_main(args.map(PathBuf::from).collect())
    } else {
        serve(&std::env::args().skip(2).collect::<Vec<_>>())
    };
    match ended {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn supervise_main(args: Vec<PathBuf>) -> Result<ExitCode, Failed> {
    let [root, runtime, spec] = <[PathBuf; 3]>::try_from(args).map_err(|_| "three paths are needed")?;
    let spec = serde_json::from_slice(&std::fs::read(spec)?)?;
    supervise::run(&HostPaths { root, runtime }, spec, SuperviseOptions::default())?;
    Ok(ExitCode::SUCCESS)
}

fn option<T: std::str::FromStr>(args: &[String], name: &str) -> Option<T> {
    let at = args.iter().position(|arg| arg == name)?;
    args.get(at + 1)?.parse().ok()
}

fn notify(text: &str) -> Result<(), Failed> {
    if let Some(path) = std::env::var_os("NOTIFY_SOCKET") {
        UnixDatagram::unbound()?.send_to(text.as_bytes(), path)?;
    }
    Ok(())
}

/// The socket that the child runner or systemd handed over, as the protocol of `sd_listen_fds(3)` has it.
fn listener() -> Result<Option<TcpListener>, Failed> {
    let Ok(count) = std::env::var("LISTEN_FDS") else { return Ok(None) };
    let pid = std::env::var("LISTEN_PID")?;
    if count != "1" || pid != std::process::id().to_string() {
        return Err(format!("LISTEN_FDS={count} LISTEN_PID={pid} are not for me").into());
    }
    Ok(ListenFd::from_env().take_tcp_listener(0)?)
}

/// Becomes what its own name leads to now, with the same listener: how some services take up new code.
fn become_anew(listener: Option<TcpListener>) -> Failed {
    let mut args = std::env::args_os();
    let program = PathBuf::from(args.next().unwrap_or_default());
    let folder = program.parent().and_then(std::path::Path::parent).unwrap_or(std::path::Path::new("/"));
    let mut command = std::process::Command::new(&program);
    command.args(args).current_dir(folder);
    if let Some(listener) = listener {
        let mapping = FdMapping { parent_fd: OwnedFd::from(listener), child_fd: 3 };
        command.env("LISTEN_FDS", "1").env("LISTEN_PID", std::process::id().to_string());
        let _ = command.fd_mappings(vec![mapping]);
    }
    command.exec().into()
}

fn serve(args: &[String]) -> Result<ExitCode, Failed> {
    let has = |name: &str| args.iter().any(|arg| arg == name);
    let version = std::fs::read_to_string("version")?.trim().to_owned();
    let status = option(args, "--status").unwrap_or(0);
    writeln!(std::io::stdout(), "{version} starts")?;
    let (signals, sender) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(signal_hook::consts::SIGTERM, sender)?;
    let (reloads, sender) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(signal_hook::consts::SIGHUP, sender)?;
    let listener = listener()?;
    let until = option(args, "--exit-after-ms").map(|ms| Instant::now() + Duration::from_millis(ms));
    let file: Option<PathBuf> = option(args, "--exit-if");
    let is_over = || {
        until.is_some_and(|until| until <= Instant::now()) || file.as_ref().is_some_and(|file| file.exists())
    };
    if option(args, "--exit-after-ms") == Some(0) {
        writeln!(std::io::stderr(), "{version} panics on purpose")?;
        return Ok(ExitCode::from(status));
    }
    if let Some(ms) = option(args, "--ready-after-ms") {
        std::thread::sleep(Duration::from_millis(ms));
    }
    if !has("--never-ready") {
        notify("READY=1")?;
    }
    let in_flight = Arc::new(AtomicUsize::new(0));
    loop {
        let mut fds = vec![PollFd::new(&signals, PollFlags::IN), PollFd::new(&reloads, PollFlags::IN)];
        fds.extend(listener.iter().map(|listener| PollFd::new(listener, PollFlags::IN)));
        let left =
            [until.map(|until| until.saturating_duration_since(Instant::now())), file.as_ref().map(|_| LOOK)];
        let left = left.into_iter().flatten().min().map(|left| Timespec {
            tv_sec: left.as_secs().cast_signed(),
            tv_nsec: i64::from(left.subsec_nanos()),
        });
        match rustix::event::poll(&mut fds, left.as_ref()) {
            Err(rustix::io::Errno::INTR) => continue,
            polled => polled?,
        };
        let (told, reload) = (!fds[0].revents().is_empty(), !fds[1].revents().is_empty());
        let asked = fds.len() > 2 && !fds[2].revents().is_empty();
        if reload {
            while in_flight.load(Ordering::SeqCst) > 0 {
                std::thread::sleep(Duration::from_millis(1));
            }
            return Err(become_anew(listener));
        }
        if is_over() {
            writeln!(std::io::stderr(), "{version} panics on purpose")?;
            return Ok(ExitCode::from(status));
        }
        if told && has("--deaf") {
            (&signals).read_exact(&mut [0])?;
        } else if told {
            break;
        }
        if asked && let Some(listener) = &listener {
            // Two instances share the socket, so the connection may be with the other one by now.
            listener.set_nonblocking(true)?;
            let Ok((stream, _)) = listener.accept() else { continue };
            let (in_flight, version) = (Arc::clone(&in_flight), version.clone());
            in_flight.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || {
                let _ = answer(stream, &version);
                in_flight.fetch_sub(1, Ordering::SeqCst);
            });
        }
    }
    notify("STOPPING=1")?;
    drop(listener);
    while in_flight.load(Ordering::SeqCst) > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(ExitCode::from(status))
}

fn answer(mut stream: TcpStream, version: &str) -> Result<(), Failed> {
    stream.set_nonblocking(false)?;
    let mut request = Vec::new();
    let mut chunk = [0; 1024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut chunk)? {
            0 => return Ok(()),
            length => request.extend_from_slice(&chunk[..length]),
        }
    }
    // The first line says that the request is taken.
    write!(stream, "HTTP/1.1 200 OK\r\n")?;
    if request.starts_with(b"GET /slow ") {
        std::thread::sleep(SLOW);
    } else if request.starts_with(b"GET /wait ") {
        // Until the client has closed its side.
        while stream.read(&mut chunk)? > 0 {}
    }
    let body = format!("{version} {}", std::process::id());
    write!(stream, "Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())?;
    Ok(())
}
