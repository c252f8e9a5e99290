//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use tracing::level_filters::LevelFilter;

#[derive(Debug, Parser)]
#[command(name = "shithubd", about = "A small forge", disable_version_flag = true)]
pub struct Cli {
    /// How much to log: error, warn, info, debug or off
    #[arg(long, global = true, env = "SHITHUBD_LOG", default_value = "info")]
    pub log: LevelFilter,
    #[command(flatten)]
    pub settings: Settings,
    #[command(subcommand)]
    pub command: Command,
}

/// Settings that also stand in the configuration file; the command line wins.
///
/// The database URL is not among them: it may hold a password, and the process list is public.
#[derive(Debug, Default, Args)]
pub struct Settings {
    /// Configuration file [default: /etc/shithubd/shithubd.toml where that exists]
    #[arg(long, global = true, env = "SHITHUBD_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of the repositories, and of the database where that is SQLite
    #[arg(long, global = true, env = "SHITHUBD_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Feature flags, in flagd's format
    #[arg(long, global = true, env = "SHITHUBD_FLAGS_FILE", value_name = "FILE")]
    pub flags_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API
    Web(WebOptions),
    /// Work off the job queue
    Worker(WorkerOptions),
    /// Change or show the schema of the database
    Migrate {
        #[command(subcommand)]
        step: MigrateStep,
    },
    /// Accounts, tokens and repositories, without the API
    Admin {
        #[command(subcommand)]
        task: AdminTask,
    },
    /// Check a running service end to end
    Smoke(SmokeOptions),
    /// Print the release
    Version,
}

#[derive(Debug, Args)]
pub struct WebOptions {
    /// Address to listen on, unless a socket was passed (LISTEN_FDS) [default: 127.0.0.1:8080]
    #[arg(long, env = "SHITHUBD_LISTEN", value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Apply pending migrations before serving
    #[arg(long)]
    pub migrate: bool,
    /// After SIGTERM, how long an idle connection is kept for its next request [default: 5000]
    #[arg(long, value_name = "MS")]
    pub drain_idle_ms: Option<u64>,
    /// After SIGTERM, when to cut what is still running [default: 30000]
    #[arg(long, value_name = "MS")]
    pub drain_max_ms: Option<u64>,
}

#[derive(Debug, Args)]
pub struct WorkerOptions {
    /// Work off what is due, then exit
    #[arg(long)]
    pub once: bool,
}

#[derive(Debug, Clone, Copy, Subcommand)]
pub enum MigrateStep {
    /// Apply every pending migration
    Up,
    /// Revert exactly one migration: the newest applied
    Down,
    /// List migrations and whether they are applied
    Status,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::enum_variant_names, reason = "the names are the subcommands: create-user and so on")]
pub enum AdminTask {
    /// Create an account; succeeds as well where it exists already
    CreateUser {
        name: String,
        #[arg(long)]
        full_name: Option<String>,
    },
    /// Create an access token and print it
    CreateToken {
        user: String,
        /// Seconds
        #[arg(long, default_value_t = 3600)]
        expires_in: i64,
        #[arg(long, default_value = "admin")]
        label: String,
    },
    /// Create a repository; succeeds as well where it exists already
    CreateRepo { owner: String, name: String },
}

#[derive(Debug, Args)]
pub struct SmokeOptions {
    /// Where the service is, e.g. http://127.0.0.1:8080
    #[arg(long)]
    pub url: String,
}
