//! The ledger of one machine: a SQLite file.
//!
//! The lease expires on SQLite's clock, not on the operator's idea of it. A holder on this machine whose
//! process is gone loses it at once: nobody waits half a minute at 3 a.m. for the dead.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use fs_err::os::unix::fs::OpenOptionsExt;
use rustix::fs::{Mode, OFlags};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{Row, SqliteConnection};
use unship_core::history::{Mark, MarkEntry};
use unship_core::journal::{Entry, Event, fold};
use unship_core::protocol::Holder;
use unship_core::release::{Release, RunId};
use unship_core::time::Timestamp;

use super::journal::{first_link, link};
use super::owner::{own_process, process_is_gone};
use crate::ports::{Ledger, LedgerError};

/// The version of the tables that this program writes; kept in SQLite's `user_version`.
const VERSION: i64 = 1;

/// How long a lease lasts without being prolonged, in seconds.
const LEASE_SECONDS: i64 = 30;

/// How long to wait for another command's transaction.
const BUSY_MS_MAX: u64 = 5_000;

const TABLES: &str = "
create table lease (
  one integer primary key check (one = 1),
  run text not null, who text not null, since integer not null, what text not null,
  process text not null, expires real not null
);
create table entry (
  run text not null, seq integer not null, at integer not null, body text not null, link text not null,
  primary key (run, seq)
) without rowid;
create table mark (
  id integer primary key autoincrement,
  run text, seq integer, at integer not null, tag text not null, digest text not null,
  mark text not null, why text not null,
  unique (run, seq)
);
create trigger entry_stays before update on entry begin select raise(abort, 'the ledger is append-only'); end;
create trigger entry_kept before delete on entry begin select raise(abort, 'the ledger is append-only'); end;
create trigger mark_stays before update on mark begin select raise(abort, 'the ledger is append-only'); end;
create trigger mark_kept before delete on mark begin select raise(abort, 'the ledger is append-only'); end;
";

/// A SQLite ledger.
#[derive(Debug, Clone)]
pub struct LocalLedger {
    pool: SqlitePool,
    place: PathBuf,
}

impl LocalLedger {
    /// Opens the file, or makes it.
    pub async fn open(file: &Path) -> Result<LocalLedger, LedgerError> {
        make_private(file).map_err(|error| LedgerError::Failed {
            place: file.display().to_string(),
            why: error.to_string(),
        })?;
        let options = SqliteConnectOptions::new()
            .filename(file)
            .journal_mode(SqliteJournalMode::Wal)
            // The run's own journal is what must survive a power cut; the ledger is merged from it.
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(std::time::Duration::from_millis(BUSY_MS_MAX));
        let pool = SqlitePoolOptions::new().max_connections(1).connect_lazy_with(options);
        let ledger = LocalLedger { pool, place: file.to_owned() };
        ledger.prepare().await?;
        Ok(ledger)
    }

    async fn prepare(&self) -> Result<(), LedgerError> {
        let mut connection = self.pool.acquire().await.map_err(|error| self.failed(&error))?;
        begin(&mut connection).await.map_err(|error| self.failed(&error))?;
        let found: i64 = sqlx::query_scalar("pragma user_version")
            .fetch_one(&mut *connection)
            .await
            .map_err(|error| self.failed(&error))?;
        if found > VERSION {
            return Err(LedgerError::Newer {
                place: self.place.display().to_string(),
                found,
                known: VERSION,
            });
        }
        if found == 0 {
            let made = async {
                sqlx::raw_sql(TABLES).execute(&mut *connection).await?;
                sqlx::raw_sql("pragma user_version = 1").execute(&mut *connection).await
            };
            made.await.map_err(|error| self.failed(&error))?;
        }
        commit(&mut connection).await.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &sqlx::Error) -> LedgerError {
        let place = self.place.display().to_string();
        let of_disk = error.as_database_error().is_some_and(|error| is_of_disk(error.code().as_deref()));
        // SQLite only says that something failed; people need to know that the disk is full.
        match self.place.parent().filter(|_| of_disk).and_then(why_not_writable) {
            Some(why) => LedgerError::Failed { place, why: format!("{why} ({error})") },
            None => LedgerError::Failed { place, why: error.to_string() },
        }
    }

    fn unreadable(&self, why: &impl ToString) -> LedgerError {
        LedgerError::Failed { place: self.place.display().to_string(), why: why.to_string() }
    }

    /// A column of a row; a file that was damaged may hold anything.
    fn column<'r, T>(&self, row: &'r SqliteRow, name: &str) -> Result<T, LedgerError>
    where
        T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        row.try_get(name).map_err(|error| self.failed(&error))
    }

    /// The lease's holder, if the lease has not expired and its process is not known to be gone.
    async fn live_holder(&self, connection: &mut SqliteConnection) -> Result<Option<Holder>, LedgerError> {
        let row = sqlx::query(
            "select run, who, since, what, process from lease where expires > unixepoch('now', 'subsec')",
        )
        .fetch_optional(connection)
        .await
        .map_err(|error| self.failed(&error))?;
        let Some(row) = row else { return Ok(None) };
        if process_is_gone(self.column(&row, "process")?) {
            return Ok(None);
        }
        let run = self.column::<&str>(&row, "run")?.parse().map_err(|error| self.unreadable(&error))?;
        Ok(Some(Holder {
            run,
            who: self.column(&row, "who")?,
            since: Timestamp(self.column(&row, "since")?),
            what: self.column(&row, "what")?,
        }))
    }

    /// Everything in one immediate transaction: two who come at once are put in order by SQLite.
    async fn take(
        &self,
        connection: &mut SqliteConnection,
        holder: &Holder,
    ) -> Result<Option<Holder>, LedgerError> {
        if let Some(other) = self.live_holder(connection).await? {
            return Ok(Some(other));
        }
        sqlx::query(
            "insert into lease (one, run, who, since, what, process, expires)
             values (1, ?, ?, ?, ?, ?, unixepoch('now', 'subsec') + ?)
             on conflict (one) do update set run = excluded.run, who = excluded.who,
               since = excluded.since, what = excluded.what, process = excluded.process,
               expires = excluded.expires",
        )
        .bind(holder.run.as_str())
        .bind(&holder.who)
        .bind(holder.since.0)
        .bind(&holder.what)
        .bind(own_process())
        .bind(LEASE_SECONDS)
        .execute(connection)
        .await
        .map_err(|error| self.failed(&error))?;
        Ok(None)
    }

    async fn add(
        &self,
        connection: &mut SqliteConnection,
        run: &RunId,
        entry: &Entry,
    ) -> Result<(), LedgerError> {
        let body = serde_json::to_string(entry).map_err(|error| self.unreadable(&error))?;
        let seq = i64::try_from(entry.seq).map_err(|error| self.unreadable(&error))?;
        let before: Option<String> = sqlx::query_scalar("select link from entry where run = ? and seq = ?")
            .bind(run.as_str())
            .bind(seq - 1)
            .fetch_optional(&mut *connection)
            .await
            .map_err(|error| self.failed(&error))?;
        let before = match before {
            Some(before) => before.parse().map_err(|error| self.unreadable(&error))?,
            None => first_link(),
        };
        let insert =
            "insert into entry (run, seq, at, body, link) values (?, ?, ?, ?, ?) on conflict do nothing";
        sqlx::query(insert)
            .bind(run.as_str())
            .bind(seq)
            .bind(entry.at.0)
            .bind(&body)
            .bind(link(&before, &body).to_string())
            .execute(&mut *connection)
            .await
            .map_err(|error| self.failed(&error))?;
        if let Event::Marked { release, mark, why } = &entry.event {
            self.add_mark(connection, Some((run, seq)), entry.at, release, *mark, why).await?;
        }
        Ok(())
    }

    async fn add_mark(
        &self,
        connection: &mut SqliteConnection,
        origin: Option<(&RunId, i64)>,
        at: Timestamp,
        release: &Release,
        mark: Mark,
        why: &str,
    ) -> Result<(), LedgerError> {
        sqlx::query(
            "insert into mark (run, seq, at, tag, digest, mark, why) values (?, ?, ?, ?, ?, ?, ?)
             on conflict do nothing",
        )
        .bind(origin.map(|(run, _)| run.as_str()))
        .bind(origin.map(|(_, seq)| seq))
        .bind(at.0)
        .bind(release.tag.as_str())
        .bind(release.digest.to_string())
        .bind(mark_word(mark))
        .bind(why)
        .execute(connection)
        .await
        .map_err(|error| self.failed(&error))?;
        Ok(())
    }
}

/// Whether SQLite's code is about reading and writing as such: 8 READONLY, 10 IOERR, 13 FULL, 14 CANTOPEN, with
/// what they are refined to in the higher bits (sqlite.org/rescode.html).
fn is_of_disk(code: Option<&str>) -> bool {
    let code = code.and_then(|code| code.parse::<u32>().ok());
    code.is_some_and(|code| matches!(code & 0xff, 8 | 10 | 13 | 14))
}

/// Tries to write a page beside the ledger, into a file without a name; why that fails, if it does.
fn why_not_writable(folder: &Path) -> Option<std::io::Error> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let written = rustix::fs::open(folder, flags, Mode::RUSR | Mode::WUSR)
        .and_then(|file| rustix::io::write(&file, &[0; 8192]))
        .map(|_| ());
    written.err().filter(|error| *error != rustix::io::Errno::OPNOTSUPP).map(Into::into)
}

/// Makes a folder, where it is missing, for its owner alone.
pub(super) fn private_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Makes the folder and the file, where they are missing, for their owner alone: what commands said is in there.
/// SQLite gives the files beside it the same mode. Nothing is changed that is there already.
fn make_private(file: &Path) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        private_folder(folder)?;
    }
    match fs_err::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

async fn begin(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("begin immediate").execute(connection).await.map(|_| ())
}

async fn commit(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("commit").execute(connection).await.map(|_| ())
}

/// Runs the body in one immediate transaction and rolls it back on error.
macro_rules! transaction {
    ($ledger:expr, |$connection:ident| $body:expr) => {{
        let mut held = $ledger.pool.acquire().await.map_err(|error| $ledger.failed(&error))?;
        begin(&mut held).await.map_err(|error| $ledger.failed(&error))?;
        let result = {
            let $connection = &mut *held;
            $body
        };
        let end = if result.is_ok() { "commit" } else { "rollback" };
        let ended = sqlx::raw_sql(end).execute(&mut *held).await;
        result.and_then(|value| ended.map(|_| value).map_err(|error| $ledger.failed(&error)))
    }};
}

#[async_trait]
impl Ledger for LocalLedger {
    async fn acquire(&self, holder: &Holder) -> Result<(), LedgerError> {
        let taken = transaction!(self, |connection| self.take(connection, holder).await)?;
        match taken {
            None => Ok(()),
            Some(other) => Err(LedgerError::Held { holder: Box::new(other) }),
        }
    }

    async fn renew(&self, run: &RunId) -> Result<(), LedgerError> {
        let result = sqlx::query(
            "update lease set expires = unixepoch('now', 'subsec') + ? where run = ? and process = ?",
        )
        .bind(LEASE_SECONDS)
        .bind(run.as_str())
        // A resumed run has the name of the one before: whose lease it is, the process says.
        .bind(own_process())
        .execute(&self.pool)
        .await
        .map_err(|error| self.failed(&error))?;
        if result.rows_affected() == 1 { Ok(()) } else { Err(LedgerError::Lost { run: run.clone() }) }
    }

    async fn release(&self, run: &RunId) -> Result<(), LedgerError> {
        sqlx::query("delete from lease where run = ? and process = ?")
            .bind(run.as_str())
            .bind(own_process())
            .execute(&self.pool)
            .await
            .map_err(|error| self.failed(&error))?;
        Ok(())
    }

    async fn take(&self) -> Result<Option<Holder>, LedgerError> {
        transaction!(self, |connection| {
            let holder = self.live_holder(connection).await?;
            let gone = sqlx::query("delete from lease").execute(connection).await;
            gone.map(|_| holder).map_err(|error| self.failed(&error))
        })
    }

    async fn holder(&self) -> Result<Option<Holder>, LedgerError> {
        let mut connection = self.pool.acquire().await.map_err(|error| self.failed(&error))?;
        self.live_holder(&mut connection).await
    }

    async fn append(&self, run: &RunId, entries: &[Entry]) -> Result<(), LedgerError> {
        transaction!(self, |connection| {
            let mut result = Ok(());
            for entry in entries {
                result = self.add(connection, run, entry).await;
                if result.is_err() {
                    break;
                }
            }
            result
        })
    }

    async fn entries(&self, run: &RunId) -> Result<Vec<Entry>, LedgerError> {
        let rows = sqlx::query("select body from entry where run = ? order by seq")
            .bind(run.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.failed(&error))?;
        rows.iter()
            .map(|row| {
                serde_json::from_str(self.column(row, "body")?).map_err(|error| self.unreadable(&error))
            })
            .collect()
    }

    async fn runs(&self, count_max: u32) -> Result<Vec<RunId>, LedgerError> {
        let rows = sqlx::query("select run from entry where seq = 0 order by at desc, run desc limit ?")
            .bind(count_max)
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.failed(&error))?;
        rows.iter()
            .map(|row| self.column::<&str>(row, "run")?.parse().map_err(|error| self.unreadable(&error)))
            .collect()
    }

    async fn mark(&self, mark: &MarkEntry) -> Result<(), LedgerError> {
        let mut connection = self.pool.acquire().await.map_err(|error| self.failed(&error))?;
        self.add_mark(&mut connection, None, mark.at, &mark.release, mark.mark, &mark.why).await
    }

    async fn marks(&self) -> Result<Vec<MarkEntry>, LedgerError> {
        let rows = sqlx::query("select run, at, tag, digest, mark, why from mark order by id")
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.failed(&error))?;
        rows.iter()
            .map(|row| {
                let tag =
                    self.column::<&str>(row, "tag")?.parse().map_err(|error| self.unreadable(&error))?;
                let digest =
                    self.column::<&str>(row, "digest")?.parse().map_err(|error| self.unreadable(&error))?;
                let run = self
                    .column::<Option<&str>>(row, "run")?
                    .map(str::parse)
                    .transpose()
                    .map_err(|error| self.unreadable(&error))?;
                let word = self.column::<&str>(row, "mark")?;
                let mark =
                    mark_of(word).ok_or_else(|| self.unreadable(&format!("it has a mark `{word}`")))?;
                Ok(MarkEntry {
                    release: Release { tag, digest },
                    mark,
                    why: self.column(row, "why")?,
                    at: Timestamp(self.column(row, "at")?),
                    run,
                })
            })
            .collect()
    }

    async fn verify(&self) -> Result<Vec<String>, LedgerError> {
        self.findings().await.map_err(|error| self.failed(&error))
    }
}

/// What [`Ledger::verify`] finds.
impl LocalLedger {
    async fn findings(&self) -> Result<Vec<String>, sqlx::Error> {
        let mut findings = Vec::new();
        let checked: Vec<String> = sqlx::query_scalar("pragma integrity_check").fetch_all(&self.pool).await?;
        findings.extend(checked.into_iter().filter(|line| line != "ok").map(|line| format!("file: {line}")));
        let runs: Vec<String> =
            sqlx::query_scalar("select distinct run from entry order by run").fetch_all(&self.pool).await?;
        for run in runs {
            let rows = sqlx::query("select seq, body, link from entry where run = ? order by seq")
                .bind(&run)
                .fetch_all(&self.pool)
                .await?;
            if let Err(why) = check_run(&rows) {
                findings.push(format!("run {run}: {why}"));
            }
        }
        let strays: i64 = sqlx::query_scalar(
            "select count(*) from mark where run is not null
               and not exists (select 1 from entry where entry.run = mark.run and entry.seq = mark.seq)",
        )
        .fetch_one(&self.pool)
        .await?;
        if strays > 0 {
            findings.push(format!("{strays} marks belong to no entry"));
        }
        Ok(findings)
    }
}

/// Whether the entries of a run are all there, linked, readable and in an order that can have been.
fn check_run(rows: &[SqliteRow]) -> Result<(), String> {
    let mut before = first_link();
    let mut entries: Vec<Entry> = Vec::new();
    for (index, row) in rows.iter().enumerate() {
        let damaged = |error: sqlx::Error| format!("entry {index}: {error}");
        let seq: i64 = row.try_get("seq").map_err(damaged)?;
        let body: &str = row.try_get("body").map_err(damaged)?;
        if usize::try_from(seq) != Ok(index) {
            return Err(format!("entry {index} is missing"));
        }
        before = link(&before, body);
        if row.try_get::<&str, _>("link").map_err(damaged)? != before.to_string() {
            return Err(format!("entry {index} was changed"));
        }
        entries.push(serde_json::from_str(body).map_err(|error| format!("entry {index}: {error}"))?);
    }
    fold(&entries).map(|_| ()).map_err(|error| error.to_string())
}

const MARK_WORDS: [(Mark, &str); 4] = [
    (Mark::Deployed, "deployed"),
    (Mark::KnownGood, "known_good"),
    (Mark::Bad, "bad"),
    (Mark::Lifted, "lifted"),
];

fn mark_word(mark: Mark) -> &'static str {
    MARK_WORDS.iter().find(|(known, _)| *known == mark).map_or("", |(_, word)| word)
}

fn mark_of(word: &str) -> Option<Mark> {
    MARK_WORDS.iter().find(|(_, known)| *known == word).map(|(mark, _)| *mark)
}

#[cfg(test)]
mod tests;
