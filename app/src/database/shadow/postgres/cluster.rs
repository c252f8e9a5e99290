//! One throwaway cluster, or a server that somebody gave for the purpose.

use std::io::Read;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, PgConnection};

use super::account::Account;
use super::{Binaries, ShadowError, stale};
use crate::database::shadow::Limits;

/// Where data directories go: survives small `/tmp` file systems in memory.
const PARENT: &str = "/var/tmp";
/// The cluster's superuser; no migration is likely to name it.
pub(super) const ADMIN: &str = "unship_admin";
/// Settings of every session: catalog queries are planned once, and notices are not read by anybody.
const SESSION: [(&str, &str); 2] =
    [("plan_cache_mode", "force_generic_plan"), ("client_min_messages", "error")];
const START_MS_MAX: u64 = 120_000;
const STOP_MS_MAX: u64 = 10_000;

/// Makes the data directory, starts the server, waits until its standard input ends (we stopped or died, however),
/// stops the server and removes the directory. All of that is one process of its own, so that there is no moment
/// at which our death leaves something behind. Arguments are positional: nothing is pasted into the text.
const WATCHDOG: &str = r#"dir=$1; initdb=$2; more=$3; admin=$4
ulimit -v "$5"; shift 5
if "$initdb" --pgdata "$dir/data" --username "$admin" --pwfile "$dir/password" --auth trust \
    --encoding UTF8 --locale C.UTF-8 --no-sync ${more:+"$more"} >"$dir/log" 2>&1
then
    rm -f "$dir/password"
    # The superuser proves itself; the role that runs migrations need not, but dblink and its like refuse to
    # connect without a password that was asked for.
    printf 'local all %s password\nlocal all all trust\n' "$admin" >"$dir/data/pg_hba.conf"
    "$@" </dev/null >>"$dir/log" 2>&1 & server=$!
    read -r _
    kill -QUIT "$server" 2>/dev/null
    tries=0
    while kill -0 "$server" 2>/dev/null && [ "$tries" -lt 80 ]; do sleep 0.1; tries=$((tries + 1)); done
    kill -KILL "$server" 2>/dev/null
else
    : >"$dir/failed"
    read -r _
fi
rm -rf -- "$dir"
"#;

/// A running throwaway cluster. Dropping it stops the server and removes its files; killing this process does
/// so too, through the watchdog.
#[derive(Debug)]
pub struct Cluster {
    pub binaries: Binaries,
    directory: PathBuf,
    password: String,
    token: String,
    watchdog: Child,
}

/// Where shadow databases are made.
#[derive(Debug)]
pub enum Server {
    Throwaway(Cluster),
    /// Given with `--shadow-url`.
    Given(Box<PgConnectOptions>),
}

impl Server {
    /// A server at `url`. Databases are made there and dropped.
    pub fn given(url: &str) -> Result<Self, ShadowError> {
        Ok(Self::Given(Box::new(url.parse().map_err(ShadowError::Url)?)))
    }

    /// How to connect to `database` as the role that may do everything here.
    pub(super) fn admin(&self, database: &str) -> PgConnectOptions {
        match self {
            Self::Throwaway(cluster) => cluster.options(ADMIN, database).password(&cluster.password),
            Self::Given(options) => {
                options.as_ref().clone().database(database).options(SESSION).disable_statement_logging()
            }
        }
    }

    /// The word that lets single statements be run by a superuser; none on a server that is not ours.
    pub(super) fn token(&self) -> Option<&str> {
        match self {
            Self::Throwaway(cluster) => Some(&cluster.token),
            Self::Given(_) => None,
        }
    }

    /// How to connect to `database` as `role`, which runs migrations.
    pub(super) fn runner(&self, role: &str, database: &str) -> PgConnectOptions {
        match self {
            Self::Throwaway(cluster) => cluster.options(role, database),
            Self::Given(_) => self.admin(database),
        }
    }

    /// The database that one connects to in order to make others.
    pub(super) fn first_database(&self) -> String {
        match self {
            Self::Throwaway(_) => "postgres".to_owned(),
            Self::Given(options) => options.get_database().unwrap_or("postgres").to_owned(),
        }
    }

    pub(super) fn data_directory(&self) -> Option<PathBuf> {
        match self {
            Self::Throwaway(cluster) => Some(cluster.directory.join("data")),
            Self::Given(_) => None,
        }
    }

    pub(super) fn is_throwaway(&self) -> bool {
        matches!(self, Self::Throwaway(_))
    }
}

impl Cluster {
    /// Makes a data directory and starts a server on it; takes about a second.
    pub async fn start(binaries: Binaries, limits: &Limits) -> Result<Self, ShadowError> {
        stale::clear(Path::new(PARENT));
        let account = Account::to_become()?;
        let password = random_word().map_err(ShadowError::Directory)?;
        let directory = make_directory(account, &password).map_err(ShadowError::Directory)?;
        let watchdog = launch(&binaries, &directory, account, limits).map_err(ShadowError::Directory)?;
        let token = random_word().map_err(ShadowError::Directory)?;
        let cluster = Self { binaries, directory, password, token, watchdog };
        cluster.wait_until_ready().await?;
        Ok(cluster)
    }

    /// Where its socket is, for clients other than ours.
    pub fn socket_directory(&self) -> &Path {
        &self.directory
    }

    fn options(&self, role: &str, database: &str) -> PgConnectOptions {
        PgConnectOptions::new_without_pgpass()
            .socket(&self.directory)
            .port(5432)
            .username(role)
            .database(database)
            .ssl_mode(PgSslMode::Disable)
            .options(SESSION)
            .disable_statement_logging()
    }

    async fn wait_until_ready(&self) -> Result<(), ShadowError> {
        let started = Instant::now();
        let options = self.options(ADMIN, "postgres").password(&self.password);
        loop {
            if let Ok(mut conn) = options.connect().await {
                return harden(&mut conn).await.map_err(ShadowError::Database);
            }
            if self.directory.join("failed").exists() {
                let log = fs_err::read_to_string(self.directory.join("log")).unwrap_or_default();
                return Err(ShadowError::Initdb { output: tail(&log) });
            }
            if started.elapsed() > Duration::from_millis(START_MS_MAX) {
                let log = fs_err::read_to_string(self.directory.join("log")).unwrap_or_default();
                return Err(ShadowError::NotStarted { waited_ms: START_MS_MAX, log: tail(&log) });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(STOP_MS_MAX) {
            if !matches!(self.watchdog.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Takes away the roles that reach programs and files of the server: before PostgreSQL 16, a role that may
/// create roles could give itself these.
async fn harden(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(
        "SET allow_system_table_mods = on;
        DELETE FROM pg_authid WHERE rolname IN
            ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files');",
    )
    .execute(conn)
    .await
    .map(drop)
}

/// 128 bits from the system, in hexadecimal.
fn random_word() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    fs_err::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// A directory that only the server's account can enter, with the password that initdb is to set.
fn make_directory(account: Option<Account>, password: &str) -> std::io::Result<PathBuf> {
    let directory =
        Path::new(PARENT).join(format!("{}{}-{}", stale::PREFIX, std::process::id(), &random_word()?[..8]));
    std::fs::DirBuilder::new().mode(0o700).create(&directory)?;
    stale::sign(&directory)?;
    let file = directory.join("password");
    fs_err::write(&file, password)?;
    fs_err::set_permissions(&file, std::fs::Permissions::from_mode(0o600))?;
    if let Some(account) = account {
        std::os::unix::fs::chown(&file, Some(account.uid), Some(account.gid))?;
        std::os::unix::fs::chown(&directory, Some(account.uid), Some(account.gid))?;
    }
    Ok(directory)
}

fn launch(
    binaries: &Binaries,
    directory: &Path,
    account: Option<Account>,
    limits: &Limits,
) -> std::io::Result<Child> {
    let mut command = if can_leave_network(account) {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-current-user", "--net", "--", "/bin/sh"]);
        command
    } else {
        Command::new("/bin/sh")
    };
    command
        .args(["-c", WATCHDOG, "unship-shadow"])
        .arg(directory)
        .arg(binaries.directory.join("initdb"))
        .arg(if binaries.major >= 18 { "--no-data-checksums" } else { "" })
        .arg(ADMIN)
        .arg((limits.memory_bytes_max / 1024).to_string())
        .arg(binaries.directory.join("postgres"))
        .arg("-D")
        .arg(directory.join("data"))
        .arg("-k")
        .arg(directory);
    for (name, value) in settings(binaries.major, limits) {
        command.arg("-c").arg(format!("{name}={value}"));
    }
    // A process group of its own: Ctrl-C in the terminal is ours to handle.
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    become_account(&mut command, account);
    command.spawn()
}

/// Settings of a server that is thrown away: no durability, little memory, no background work.
fn settings(major: u32, limits: &Limits) -> Vec<(&'static str, String)> {
    let mut settings: Vec<(&str, String)> = [
        ("listen_addresses", ""),
        ("port", "5432"),
        ("unix_socket_permissions", "0700"),
        ("fsync", "off"),
        ("full_page_writes", "off"),
        ("synchronous_commit", "off"),
        ("wal_level", "minimal"),
        ("max_wal_senders", "0"),
        ("autovacuum", "off"),
        ("jit", "off"),
        ("shared_buffers", "64MB"),
        ("max_connections", "32"),
        ("max_locks_per_transaction", "1024"),
        ("max_worker_processes", "0"),
        ("max_parallel_workers_per_gather", "0"),
        ("max_parallel_maintenance_workers", "0"),
        ("max_prepared_transactions", "0"),
        ("log_min_messages", "fatal"),
        ("timezone", "UTC"),
        ("lc_messages", "C"),
    ]
    .into_iter()
    .map(|(name, value)| (name, value.to_owned()))
    .collect();
    settings.push(("temp_file_limit", format!("{}kB", limits.disk_bytes_max / 1024)));
    if major >= 18 {
        settings.push(("io_method", "sync".to_owned()));
    }
    settings
}

fn become_account(command: &mut Command, account: Option<Account>) {
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("LC_ALL", "C").current_dir("/");
    if let Some(account) = account {
        // Leaves supplementary groups too.
        command.gid(account.gid).uid(account.uid);
    }
}

/// May this account make a network namespace of its own? Some systems forbid that.
fn can_leave_network(account: Option<Account>) -> bool {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-current-user", "--net", "--", "true"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    become_account(&mut command, account);
    command.status().is_ok_and(|status| status.success())
}

/// The last lines of a log, for an error.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("; ")
}
