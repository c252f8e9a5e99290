//! Stands between unship and the server and does something to the connection, or to the server, at the n-th request.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use crate::server::Server;

/// The body of a request for TLS, which there is none of here.
const ASKS_FOR_TLS: [u8; 4] = 80_877_103_u32.to_be_bytes();

/// What is done at the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Nothing,
    /// The request does not reach the server, and the connection is gone.
    CutBefore,
    /// The server has answered, the answer does not come back, and the connection is gone.
    CutAfter,
    /// The server is told to end the session, then it gets the request.
    Terminate,
    /// The session's process is killed; the server recovers.
    KillBackend,
    /// The whole server is killed and started again.
    KillServer,
    /// The server gets the request, and is killed at once.
    KillServerAfter,
}

/// A way to the server.
pub struct Proxy {
    pub folder: tempfile::TempDir,
    pub seen: Arc<Seen>,
    task: tokio::task::JoinHandle<()>,
}

/// What went through.
#[derive(Default)]
pub struct Seen {
    count: AtomicUsize,
    /// What was asked at each point, as far as it was said there.
    pub labels: Mutex<Vec<String>>,
}

impl Proxy {
    /// Does `act` at request `point`, counted from 1 over all connections.
    pub fn start(server: &'static Server, point: usize, act: Act) -> Proxy {
        let folder = tempfile::tempdir().expect("a folder");
        let listener = UnixListener::bind(folder.path().join(".s.PGSQL.5432")).expect("a socket");
        let seen = Arc::new(Seen::default());
        let task = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    tokio::spawn(connection(client, server, Arc::clone(&seen), point, act));
                }
            }
        });
        Proxy { folder, seen, task }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One message with its type; the first of a client has none.
async fn message(from: &mut (impl tokio::io::AsyncRead + Unpin), has_type: bool) -> Option<(u8, Vec<u8>)> {
    let mut raw = Vec::new();
    let mut kind = 0;
    if has_type {
        kind = from.read_u8().await.ok()?;
        raw.push(kind);
    }
    let length = from.read_u32().await.ok()?;
    raw.extend(length.to_be_bytes());
    let start = raw.len();
    raw.resize(start + usize::try_from(length).ok()?.checked_sub(4)?, 0);
    from.read_exact(&mut raw[start..]).await.ok()?;
    Some((kind, raw))
}

async fn connection(client: UnixStream, server: &'static Server, seen: Arc<Seen>, point: usize, act: Act) {
    let (mut from_client, mut to_client) = client.into_split();
    let Some((_, mut first)) = message(&mut from_client, false).await else { return };
    if first[4..] == ASKS_FOR_TLS {
        if to_client.write_all(b"N").await.is_err() {
            return;
        }
        let Some((_, startup)) = message(&mut from_client, false).await else { return };
        first = startup;
    }
    let socket: PathBuf = server.folder.join(".s.PGSQL.5432");
    let Ok(upstream) = UnixStream::connect(socket).await else { return };
    let (mut from_server, mut to_server) = upstream.into_split();
    if to_server.write_all(&first).await.is_err() {
        return;
    }
    let pid = Arc::new(AtomicI32::new(0));
    // From here on nothing comes back to the client, and the first `ready` ends it.
    let silent = Arc::new(tokio::sync::Notify::new());
    let is_silent = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let back = tokio::spawn({
        let (pid, silent, is_silent) = (Arc::clone(&pid), Arc::clone(&silent), Arc::clone(&is_silent));
        async move {
            while let Some((kind, raw)) = message(&mut from_server, true).await {
                if kind == b'K' {
                    let bytes: [u8; 4] = raw[5..9].try_into().expect("four bytes");
                    pid.store(i32::from_be_bytes(bytes), Ordering::SeqCst);
                }
                if is_silent.load(Ordering::SeqCst) {
                    if kind == b'Z' {
                        break;
                    }
                    continue;
                }
                if to_client.write_all(&raw).await.is_err() {
                    break;
                }
            }
            silent.notify_one();
        }
    });
    let mut label = String::new();
    while let Some((kind, raw)) = message(&mut from_client, true).await {
        match kind {
            b'Q' => label = String::from_utf8_lossy(&raw[5..]).into_owned(),
            b'P' => label = String::from_utf8_lossy(&raw[5..]).into_owned(),
            _ => {}
        }
        if kind == b'Q' || kind == b'S' {
            let at = seen.count.fetch_add(1, Ordering::SeqCst) + 1;
            seen.labels.lock().expect("a lock").push(label.replace('\0', " "));
            if at == point {
                match act {
                    Act::Nothing => {}
                    Act::CutBefore => break,
                    Act::CutAfter => {
                        is_silent.store(true, Ordering::SeqCst);
                        if to_server.write_all(&raw).await.is_ok() {
                            silent.notified().await;
                        }
                        break;
                    }
                    Act::Terminate => {
                        let mut admin = server.admin("postgres").await;
                        let ended =
                            sqlx::query("SELECT pg_terminate_backend($1)").bind(pid.load(Ordering::SeqCst));
                        ended.execute(&mut admin).await.expect("a signal");
                    }
                    Act::KillBackend => server.kill_session(pid.load(Ordering::SeqCst)).await,
                    Act::KillServer => {
                        tokio::task::spawn_blocking(|| server.kill_and_launch()).await.expect("launched")
                    }
                    Act::KillServerAfter => {
                        let sent = to_server.write_all(&raw).await;
                        tokio::task::spawn_blocking(|| server.kill_and_launch()).await.expect("launched");
                        if sent.is_err() {
                            break;
                        }
                        continue;
                    }
                }
            }
        }
        if to_server.write_all(&raw).await.is_err() {
            break;
        }
    }
    back.abort();
}
