//! From the file with the URL to a connection, with settings of its own whatever those of the role are.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use unship_core::down::Session;

use super::failure::{failed, refused, within};
use crate::ports::{DatabaseFailure, Listens, Tunnel, Tunnels};
use crate::secrets::Secrets;

/// Longest wait for a connection.
const CONNECT_MS_MAX: u64 = 10_000;
/// How long it is tried again after a connection broke, and how often.
const RECONNECT_MS_MAX: u64 = 20_000;
const AGAIN_MS: u64 = 250;
/// Longest wait for the goodbye.
const CLOSE_MS_MAX: u64 = 2_000;
/// A client that stops in the middle of a transaction, machine and all, gives its locks back after this.
const IDLE_IN_TRANSACTION_MS_MAX: u64 = 60_000;

/// For what only looks: counting may take its time.
pub const LOOKING: Session = Session { lock_ms_max: 5_000, lock_attempts_max: 1, statement_ms_max: 600_000 };

/// Where a database is, and what must not be said of it. Lives as long as one call of the port.
pub struct Address {
    options: PgConnectOptions,
    secrets: Secrets,
    /// The way to it, where it is reached through a host.
    _tunnel: Option<Tunnel>,
}

impl Address {
    /// Reads the file, and opens the way through a host where there is one to go through.
    pub async fn open(url_file: &Path, through: Option<&dyn Tunnels>) -> Result<Address, DatabaseFailure> {
        let address = Address::read(url_file)?;
        let Some(tunnels) = through else { return Ok(address) };
        let port = address.options.get_port();
        let to = match address.options.get_socket() {
            Some(folder) => Listens::Socket { folder: folder.clone(), port },
            None => Listens::Tcp { host: address.options.get_host().to_owned(), port },
        };
        let tunnel = tunnels.open(&to).await.map_err(|error| DatabaseFailure {
            message: address.secrets.redact(&format!("no way to the database: {error}")),
            hint: error.hint,
            in_doubt: false,
        })?;
        let options = address.options.socket(&tunnel.folder);
        Ok(Address { options, _tunnel: Some(tunnel), ..address })
    }

    /// Reads the file, which holds the URL and nothing else.
    fn read(url_file: &Path) -> Result<Address, DatabaseFailure> {
        let hint = "`database.url_file` names a file that holds the URL and nothing else";
        let text = fs_err::read_to_string(url_file)
            .map_err(|error| refused(format!("cannot read the database URL: {error}"), hint))?;
        let url = text.trim();
        let secrets = Secrets::of_url(url);
        if !matches!(url.split(':').next(), Some("postgres" | "postgresql")) {
            let file = url_file.display();
            let hint = "it has to be `postgres://user@host/database`, or `migrations.database` says `sqlite`";
            return Err(refused(format!("the URL in `{file}` is not one of PostgreSQL"), hint));
        }
        let options: PgConnectOptions = url.parse().map_err(|error| {
            refused(secrets.redact(&format!("the database URL cannot be read: {error}")), hint)
        })?;
        let options = match options.get_application_name() {
            Some(_) => options,
            None => options.application_name("unship"),
        };
        Ok(Address { options: options.disable_statement_logging(), secrets, _tunnel: None })
    }

    /// A connection with these settings.
    pub async fn connect(&self, settings: &Session) -> Result<PgConnection, DatabaseFailure> {
        let made = within(CONNECT_MS_MAX, self.options.connect()).await;
        let mut conn = made.map_err(|error| {
            let server = format!("{}:{}", self.options.get_host(), self.options.get_port());
            failed(format_args!("cannot connect to the database at {server}"), &error)
        })?;
        let set = within(CONNECT_MS_MAX, set(&mut conn, settings)).await;
        set.map_err(|error| failed("the session's settings", &error))?;
        Ok(conn)
    }

    /// A connection after one broke: a server that was killed takes a while to come back.
    pub async fn reconnect(&self, settings: &Session) -> Result<PgConnection, DatabaseFailure> {
        let started = Instant::now();
        loop {
            match self.connect(settings).await {
                Ok(conn) => return Ok(conn),
                Err(failure) if started.elapsed() > Duration::from_millis(RECONNECT_MS_MAX) => {
                    return Err(failure);
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(AGAIN_MS)).await,
            }
        }
    }

    /// Ends a call: the connection goes, and secrets go out of what is said.
    pub async fn close<T>(
        &self,
        conn: PgConnection,
        ended: Result<T, DatabaseFailure>,
    ) -> Result<T, DatabaseFailure> {
        // What matters is committed or rolled back.
        let _ = tokio::time::timeout(Duration::from_millis(CLOSE_MS_MAX), conn.close()).await;
        self.hide(ended)
    }

    /// Takes secrets out of what is said.
    pub fn hide<T>(&self, ended: Result<T, DatabaseFailure>) -> Result<T, DatabaseFailure> {
        ended.map_err(|failure| DatabaseFailure {
            message: self.secrets.redact(&failure.message),
            hint: failure.hint.map(|hint| self.secrets.redact(&hint)),
            in_doubt: failure.in_doubt,
        })
    }
}

/// Those settings that this server knows. A role may have any of them set to what kills the work. What is asked once
/// under locks is not worth compiling: that takes longer than to run it.
const SET: &str = "SELECT count(set_config(s.name, v.value, false)) FROM pg_settings s JOIN (VALUES
    ('lock_timeout', $1), ('statement_timeout', $2), ('idle_in_transaction_session_timeout', $3),
    ('idle_session_timeout', '0'), ('transaction_timeout', '0'),
    ('default_transaction_isolation', 'read committed'), ('default_transaction_deferrable', 'off'),
    ('row_security', 'off'), ('jit', 'off')) v(name, value) USING (name)";

/// A commit that was answered must outlive a crash of the server.
const DURABLE: &str = "SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') = 'off'";

async fn set(conn: &mut PgConnection, settings: &Session) -> Result<(), sqlx::Error> {
    sqlx::query(SET)
        .bind(settings.lock_ms_max.to_string())
        .bind(settings.statement_ms_max.to_string())
        .bind(IDLE_IN_TRANSACTION_MS_MAX.to_string())
        .execute(&mut *conn)
        .await?;
    sqlx::query(DURABLE).execute(&mut *conn).await?;
    // Since PostgreSQL 14, and on some systems only: a statement ends when its client is gone.
    let _ = sqlx::raw_sql("SET client_connection_check_interval = '2s'").execute(conn).await;
    Ok(())
}

/// From here on the session is as the tool's would be: its own search path, its own row security.
pub async fn as_the_tool(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("RESET search_path; RESET row_security").execute(conn).await.map(drop)
}

/// From here on the session is ours again, whatever a script did to it. What row security hides is an error.
pub async fn as_ourselves(conn: &mut PgConnection) -> Result<(), sqlx::Error> {
    let sql = "RESET ROLE; RESET SESSION AUTHORIZATION; RESET search_path; SET row_security = off";
    sqlx::raw_sql(sql).execute(conn).await.map(drop)
}
