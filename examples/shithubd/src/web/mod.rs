//! `web`: the API.

mod auth;
mod error;
mod events;
mod issues;
mod metrics;
mod repos;
mod router;
mod stars;
mod system;
mod users;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::cli::WebOptions;
use crate::config::Config;
use crate::database::{DatabaseError, Db, migrations};
use crate::flags::Flags;
use crate::serve::{Counters, Ended, Limits, Server, Stop};
use crate::version;
use metrics::Metrics;

/// Exit status when the drain limit cut connections that were still in use.
pub const EXIT_CUT: u8 = 4;

#[derive(Debug, thiserror::Error)]
pub enum WebError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("cannot listen on {address}: {source}")]
    Bind { address: std::net::SocketAddr, source: std::io::Error },
    #[error("the passed socket cannot be used: {0}")]
    Passed(#[source] std::io::Error),
    #[error("cannot listen for signals: {0}")]
    Signals(#[source] std::io::Error),
}

/// What every handler can reach.
#[derive(Clone)]
pub struct App(Arc<Parts>);

pub struct Parts {
    pub db: Db,
    pub data_dir: PathBuf,
    pub flags: Flags,
    pub metrics: Metrics,
    pub connections: Arc<Counters>,
    pub stop: watch::Receiver<Stop>,
}

impl std::ops::Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

pub async fn run(config: &Config, options: &WebOptions, passed: ListenFd) -> Result<ExitCode, WebError> {
    // First of all: a SIGTERM during start-up must not find the default action.
    let terminate = signal(SignalKind::terminate()).map_err(WebError::Signals)?;
    let interrupt = signal(SignalKind::interrupt()).map_err(WebError::Signals)?;
    let db = Db::open(config).await?;
    if options.migrate {
        migrations::up(&db).await?;
    }
    migrations::check(&db).await?;
    let (listener, shared) = listen(config, options, passed).await?;
    let address = listener.local_addr().map_err(WebError::Passed)?;
    let (stopper, stop) = watch::channel(None);
    let app = App(Arc::new(Parts {
        db: db.clone(),
        data_dir: config.data_dir.clone(),
        flags: Flags::new(config.flags_file.clone()),
        metrics: Metrics::default(),
        connections: Arc::default(),
        stop: stop.clone(),
    }));
    let server = Server {
        listener,
        shared,
        limits: Limits {
            idle: Duration::from_millis(options.drain_idle_ms.unwrap_or(config.drain_idle_ms)),
            max: Duration::from_millis(options.drain_max_ms.unwrap_or(config.drain_max_ms)),
        },
        counters: app.connections.clone(),
    };
    tokio::spawn(wait_for_signal(terminate, interrupt, stopper));
    // With the address, since `--listen 127.0.0.1:0` leaves the choice of the port to the system.
    notify(&[NotifyState::Ready, NotifyState::Status(&format!("listening on {address}"))]);
    tracing::info!("{} serves on {address} as pid {}", version::TAG, std::process::id());
    let ended = server.run(router::build(app), stop).await;
    match ended {
        Ended::Drained => {
            db.close().await;
            tracing::info!("stopped: every connection was served");
            Ok(ExitCode::SUCCESS)
        }
        Ended::Cut { connections } => {
            tracing::error!("stopped at the drain limit: {connections} connections cut");
            Ok(ExitCode::from(EXIT_CUT))
        }
    }
}

/// The socket that was passed by the service manager, or one of our own.
async fn listen(
    config: &Config,
    options: &WebOptions,
    mut passed: ListenFd,
) -> Result<(TcpListener, bool), WebError> {
    if let Some(listener) = passed.take_tcp_listener(0).map_err(WebError::Passed)? {
        listener.set_nonblocking(true).map_err(WebError::Passed)?;
        return Ok((TcpListener::from_std(listener).map_err(WebError::Passed)?, true));
    }
    let address = options.listen.unwrap_or(config.listen);
    let listener = TcpListener::bind(address).await.map_err(|source| WebError::Bind { address, source })?;
    Ok((listener, false))
}

async fn wait_for_signal(mut terminate: Signal, mut interrupt: Signal, stopper: watch::Sender<Stop>) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    stopper.send_replace(Some(Instant::now()));
    notify(&[NotifyState::Stopping]);
    tracing::info!("stopping: no new connections, those open are served");
    // The sender stays: without it every receiver would take the stop for withdrawn.
    std::future::pending::<()>().await;
}

fn notify(states: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("cannot notify the service manager: {error}");
    }
}
