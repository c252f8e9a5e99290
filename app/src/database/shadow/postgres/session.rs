//! A shadow database and the connection that runs scripts in it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Postgres, Transaction};

use super::cluster::Server;
use super::failure::Failure;
use super::guard::{Guard, Stop};
use super::{ShadowError, gateway};
use crate::database::shadow::{Limits, account};
use unship_core::tools::Migration;

/// The role that runs migrations in a throwaway cluster.
const RUNNER: &str = "unship";
/// The advisory lock under which roles are made and changed. They belong to the whole server, and PostgreSQL lets
/// two sessions that look for one and make it, or that grant it, run into each other.
const ROLES_LOCK: i64 = 0x756e_7368_6970;
/// How long a session that was told to end may take before its process is killed.
const TERMINATE_MS_MAX: u64 = 3_000;

/// What is sent at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// One simple query, of one statement or several.
    Sql(String),
    /// `COPY ... FROM STDIN` and its rows.
    Copy { statement: String, data: String },
    /// One statement that was looked at and that a superuser runs.
    Elevated(String),
}

/// One shadow database, and clones of it while one is entered.
#[derive(Debug)]
pub struct Session {
    server: Arc<Server>,
    limits: Limits,
    role: String,
    main: String,
    /// A clone of `main` that work is done in at the moment.
    clone: Option<String>,
    clones_made: u32,
    admin: PgConnection,
    conn: Option<(PgConnection, i32)>,
    deadline: Instant,
    /// Roles made on a server that is not ours, to be dropped at the end.
    roles_made: Vec<String>,
    pub major: u32,
    /// As the server says it.
    pub version: String,
}

impl Session {
    /// Makes a database on `server`.
    pub async fn open(server: Arc<Server>, limits: Limits) -> Result<Self, ShadowError> {
        let mut admin = server.admin(&server.first_database()).connect().await?;
        let number: String = sqlx::query_scalar("SHOW server_version_num").fetch_one(&mut admin).await?;
        let version = sqlx::query_scalar("SHOW server_version").fetch_one(&mut admin).await?;
        let major = number.parse::<u32>().unwrap_or_default() / 10_000;
        let (role, main) = if server.is_throwaway() {
            make_runner(&mut admin, major).await?;
            (RUNNER.to_owned(), format!("unship_shadow_{}", unique()))
        } else {
            let role = sqlx::query_scalar("SELECT current_user::text").fetch_one(&mut admin).await?;
            (role, format!("unship_shadow_{}_{}", std::process::id(), unique()))
        };
        let mut session = Self {
            server,
            limits,
            role,
            main,
            clone: None,
            clones_made: 0,
            admin,
            conn: None,
            deadline: Instant::now() + limits.step_time(),
            roles_made: Vec::new(),
            major,
            version,
        };
        let main = session.main.clone();
        session.create_database(&main, None).await?;
        if let Some(token) = session.server.token() {
            let mut admin = session.server.admin(&main).connect().await?;
            gateway::make(&mut admin, token).await?;
            admin.close().await?;
        }
        Ok(session)
    }

    /// Drops what was made. A throwaway cluster needs no call: it goes as a whole.
    pub async fn close(mut self) -> Result<(), ShadowError> {
        self.leave_clone().await?;
        if let Some((conn, _)) = self.conn.take() {
            // The database is dropped with force anyway.
            let _ = conn.close().await;
        }
        let main = self.main.clone();
        self.drop_database(&main).await?;
        for role in std::mem::take(&mut self.roles_made) {
            match self.as_admin("SELECT format('DROP ROLE IF EXISTS %I', $1)", &[&role]).await {
                // Another shadow on this server has met it meanwhile and uses it.
                Err(ShadowError::Database(error)) if has_code(&error, "2BP01") => {}
                dropped => dropped?,
            }
        }
        Ok(())
    }

    /// The connection to the database that is worked in, made anew if it was lost.
    pub async fn connection(&mut self) -> Result<&mut PgConnection, ShadowError> {
        if self.conn.is_none() {
            let database = self.clone.as_ref().unwrap_or(&self.main);
            let mut conn = self.server.runner(&self.role, database).connect().await?;
            let process = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut conn).await?;
            self.conn = Some((conn, process));
        }
        match &mut self.conn {
            Some((conn, _)) => Ok(conn),
            None => Err(ShadowError::Database(sqlx::Error::PoolClosed)),
        }
    }

    /// Sends fixed SQL of our own.
    pub async fn say(&mut self, sql: &'static str) -> Result<(), ShadowError> {
        let conn = self.connection().await?;
        match sqlx::raw_sql(sql).execute(conn).await {
            Ok(_) => Ok(()),
            Err(error) => {
                self.conn = None;
                Err(error.into())
            }
        }
    }

    /// Gives the connection up; the next use makes a new one.
    pub fn forget_connection(&mut self) {
        self.conn = None;
    }

    /// Starts the clock of one direction of one step.
    pub fn start_clock(&mut self) {
        self.deadline = Instant::now() + self.limits.step_time();
    }

    /// Runs pieces in order, from `from`, until one fails.
    pub async fn run(&mut self, pieces: &[Piece], from: usize) -> Result<Result<(), Failure>, ShadowError> {
        for (place, piece) in pieces.iter().enumerate().skip(from) {
            if let Err(failure) = self.run_piece(piece, place).await? {
                return Ok(Err(failure));
            }
        }
        Ok(Ok(()))
    }

    async fn run_piece(&mut self, piece: &Piece, place: usize) -> Result<Result<(), Failure>, ShadowError> {
        self.connection().await?;
        let Some((conn, process)) = &mut self.conn else { return Ok(Ok(())) };
        let process = *process;
        let mut guard = Guard::new(self.deadline, self.server.data_directory(), self.limits.disk_bytes_max);
        let mut stopped: Option<Stop> = None;
        let token = self.server.token().unwrap_or_default();
        let ended = {
            let mut work = pin!(send(conn, piece, token));
            tokio::select! {
                ended = &mut work => Some(ended),
                why = guard.tripped() => {
                    stopped = Some(why);
                    terminate(&mut self.admin, process).await;
                    tokio::time::timeout(Duration::from_millis(TERMINATE_MS_MAX), &mut work).await.ok()
                }
            }
        };
        if ended.is_none() {
            self.kill(process);
        }
        let outcome = match (stopped, ended) {
            (None, Some(Ok(()))) => Ok(()),
            (None, Some(Err(error))) => Err(Failure::of(&error, place)),
            (Some(why), _) => Err(Failure::stopped(why, place, &self.limits)),
            (None, None) => Err(Failure::stopped(Stop::Time, place, &self.limits)),
        };
        if outcome.as_ref().is_err_and(|failure| failure.is_connection_lost) {
            self.conn = None;
            self.reconnect_admin().await?;
        }
        Ok(outcome)
    }

    /// Ends a server process that does not listen. The server then restarts all others, ours included.
    fn kill(&mut self, process: i32) {
        self.conn = None;
        if let Some(process) = Pid::from_raw(process).filter(|_| self.server.is_throwaway()) {
            // It may have ended meanwhile.
            let _ = kill_process(process, Signal::KILL);
        }
    }

    /// A server that lost a process, or ran out of memory, has dropped every session.
    async fn reconnect_admin(&mut self) -> Result<(), ShadowError> {
        if self.admin.ping().await.is_ok() {
            return Ok(());
        }
        let started = Instant::now();
        loop {
            match self.server.admin(&self.server.first_database()).connect().await {
                Ok(admin) => {
                    self.admin = admin;
                    return Ok(());
                }
                Err(error) if started.elapsed() > Duration::from_secs(30) => return Err(error.into()),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    /// Is there a way to have single statements run by a superuser?
    pub fn can_elevate(&self) -> bool {
        self.server.is_throwaway()
    }

    /// Makes a role that a script names; false if that cannot be.
    pub async fn make_role(&mut self, role: &str) -> Result<bool, ShadowError> {
        let runner = self.role.clone();
        let mut turn = turn_at_roles(&mut self.admin).await?;
        // Another shadow may have made it since it was missed.
        let is_new = !is_role(&mut turn, role).await?;
        let mut made =
            !is_new || ask(&mut turn, "SELECT format('CREATE ROLE %I NOLOGIN', $1)", &[role]).await.is_ok();
        made =
            made && ask(&mut turn, "SELECT format('GRANT %I TO %I', $1, $2)", &[role, &runner]).await.is_ok();
        if !made {
            turn.rollback().await?;
            return Ok(false);
        }
        turn.commit().await?;
        if is_new && !self.server.is_throwaway() {
            self.roles_made.push(role.to_owned());
        }
        Ok(true)
    }

    /// How to connect to the database that is worked in with the rights of `role`, or of who runs migrations. In a
    /// cluster of our own the role logs in itself, so that its settings are those that it has; elsewhere the
    /// session becomes it.
    pub async fn options_as(&mut self, role: Option<&str>) -> Result<PgConnectOptions, ShadowError> {
        let database = self.clone.as_ref().unwrap_or(&self.main).clone();
        let Some(role) = role else { return Ok(self.server.runner(&self.role, &database)) };
        if !is_role(&mut self.admin, role).await? {
            self.make_role(role).await?;
        }
        if self.server.is_throwaway() {
            let mut turn = turn_at_roles(&mut self.admin).await?;
            ask(&mut turn, "SELECT format('ALTER ROLE %I LOGIN', $1)", &[role]).await?;
            turn.commit().await?;
            return Ok(self.server.runner(role, &database));
        }
        Ok(self.server.admin(&database).options([("role", role)]))
    }

    /// Writes the tool's account of what is applied, and says how another program connects.
    pub async fn lend(&mut self, applied: &[Migration]) -> Result<String, ShadowError> {
        let database = self.clone.as_ref().unwrap_or(&self.main).clone();
        let options = self.server.runner(&self.role, &database);
        let mut conn = options.connect().await?;
        account::on_postgres(&mut conn, applied).await?;
        conn.close().await?;
        let mut url = options.to_url_lossy();
        // The settings of our own sessions are not that program's.
        if let Some(socket) = options.get_socket() {
            url.set_query(None);
            url.query_pairs_mut().append_pair("host", &socket.to_string_lossy());
        }
        Ok(url.to_string())
    }

    /// Copies the database as it is and works in the copy from here on.
    pub async fn enter_clone(&mut self) -> Result<(), ShadowError> {
        self.close_connection().await;
        self.clones_made += 1;
        let name = format!("{}_{}", self.main, self.clones_made);
        let main = self.main.clone();
        self.create_database(&name, Some(&main)).await?;
        self.clone = Some(name);
        Ok(())
    }

    /// Throws the copy away and goes back to the database as it was. Nothing happens outside a copy.
    pub async fn leave_clone(&mut self) -> Result<(), ShadowError> {
        let Some(name) = self.clone.take() else { return Ok(()) };
        self.close_connection().await;
        self.drop_database(&name).await
    }

    async fn close_connection(&mut self) {
        if let Some((conn, process)) = self.conn.take() {
            // Sent or not, the session must have ended before the database can be copied.
            let _ = conn.close().await;
            for _ in 0..200 {
                let gone = sqlx::query_scalar::<_, bool>(
                    "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)",
                )
                .bind(process)
                .fetch_one(&mut self.admin)
                .await
                .unwrap_or(true);
                if gone {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    async fn create_database(&mut self, name: &str, template: Option<&str>) -> Result<(), ShadowError> {
        // Copying files beats writing the copy to the log when nothing is synced.
        let strategy = if self.major >= 15 && template.is_some() { " STRATEGY file_copy" } else { "" };
        let role = self.role.clone();
        self.as_admin(
            "SELECT format('CREATE DATABASE %I OWNER %I TEMPLATE %I', $1, $2, $3) || $4",
            &[name, &role, template.unwrap_or("template1"), strategy],
        )
        .await
    }

    async fn drop_database(&mut self, name: &str) -> Result<(), ShadowError> {
        self.as_admin("SELECT format('DROP DATABASE IF EXISTS %I WITH (FORCE)', $1)", &[name]).await
    }

    /// Has PostgreSQL put names into a statement, quoted as it wants them, and runs that.
    async fn as_admin(&mut self, statement: &'static str, names: &[&str]) -> Result<(), ShadowError> {
        ask(&mut self.admin, statement, names).await.map_err(ShadowError::Database)
    }
}

async fn ask(conn: &mut PgConnection, statement: &'static str, names: &[&str]) -> Result<(), sqlx::Error> {
    let mut query = sqlx::query_scalar::<_, String>(statement);
    for name in names {
        query = query.bind((*name).to_owned());
    }
    let statement = query.fetch_one(&mut *conn).await?;
    // PostgreSQL's own `format` has quoted every name in it.
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(conn).await.map(drop)
}

/// A transaction in which nobody else makes or changes roles for shadows of this server.
async fn turn_at_roles(admin: &mut PgConnection) -> Result<Transaction<'_, Postgres>, sqlx::Error> {
    let mut turn = admin.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(ROLES_LOCK).execute(&mut *turn).await?;
    Ok(turn)
}

async fn is_role(conn: &mut PgConnection, role: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)")
        .bind(role)
        .fetch_one(conn)
        .await
}

fn has_code(error: &sqlx::Error, code: &str) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() == Some(code)
}

async fn make_runner(admin: &mut PgConnection, major: u32) -> Result<(), ShadowError> {
    let mut turn = turn_at_roles(admin).await?;
    if is_role(&mut turn, RUNNER).await? {
        return Ok(());
    }
    sqlx::raw_sql("CREATE ROLE unship LOGIN CREATEROLE").execute(&mut *turn).await?;
    if major >= 15 {
        sqlx::raw_sql("GRANT SET ON PARAMETER session_replication_role TO unship")
            .execute(&mut *turn)
            .await?;
    }
    if major >= 16 {
        // As before: who makes a role may act as it.
        sqlx::raw_sql("ALTER ROLE unship SET createrole_self_grant = 'set, inherit'")
            .execute(&mut *turn)
            .await?;
    }
    turn.commit().await?;
    Ok(())
}

async fn send(conn: &mut PgConnection, piece: &Piece, token: &str) -> Result<(), sqlx::Error> {
    match piece {
        // The text is what is to be tried out; that is what this database is for.
        Piece::Sql(sql) => sqlx::raw_sql(AssertSqlSafe(sql.as_str())).execute(conn).await.map(drop),
        Piece::Copy { statement, data } => {
            let mut copy = conn.copy_in_raw(statement).await?;
            copy.send(data.as_bytes()).await?;
            copy.finish().await.map(drop)
        }
        Piece::Elevated(statement) => gateway::run(conn, token, statement).await,
    }
}

/// Asks the server to end a session; whether it did is seen at that session.
async fn terminate(admin: &mut PgConnection, process: i32) {
    let _ = sqlx::query("SELECT pg_terminate_backend($1)").bind(process).execute(admin).await;
}

/// Tells databases of one process on one server apart, and from those of an earlier process with its number.
fn unique() -> String {
    static MADE: AtomicU64 = AtomicU64::new(0);
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    format!("{:x}_{:x}", since_epoch.as_nanos(), MADE.fetch_add(1, Ordering::Relaxed))
}
