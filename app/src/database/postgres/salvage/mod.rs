//! What a step down destroys, kept next to the data, so that it can be put back after the next `up`.
//!
//! Owns `unship.salvage`, `unship.salvage_store`, `unship.salvage_sequence` and the stores `unship.s<N>_<table>`. A table
//! that a plain statement drops is moved aside; everything else is copied by key before the lock, and under the lock only
//! what was written meanwhile; what the down changes or deletes itself is kept by triggers that are there for its
//! transaction only.
//!
//! Invariants:
//! * Nothing that is kept stands in anybody's way: no foreign key, no type of somebody's stays, and of triggers only
//!   the one that notes which rows are written while their migration is down, until all is put back.
//! * No value goes through a text that does not say all of it, and none through this program.
//! * A salvage counts once it is taken, with the commit of its step or, where that goes piece by piece, before the first
//!   piece. What an attempt left that was not, the next one removes; what it took and left open, that one settles.

mod aside;
mod capture;
mod choose;
mod copy;
mod layout;
mod place;
mod restore;
mod room;
mod sequences;
mod settings;
mod shape;
mod shelf;
mod since;

use sqlx::{AssertSqlSafe, PgConnection};
use unship_core::down::{LossKind, Program};
use unship_core::release::RunId;

use crate::database::postgres::live::failure::{failed, refused};
use crate::ports::{DatabaseFailure, Progress, StepBy};
use copy::Copied;
use layout::{Form, Kept};
use shape::Shape;

pub use restore::restore;
pub use shelf::{drop_salvage, export, salvaged};

/// How long one statement may take before the lock, in milliseconds: an index over a large store.
const ONLINE_STATEMENT_MS_MAX: u64 = 3_600_000;

/// What was made ready before the locks.
pub struct Prepared {
    salvage: i64,
    stores: Vec<Store>,
    batches: Vec<String>,
    said: Vec<String>,
}

struct Store {
    kept: Kept,
    shape: Shape,
    copied: Option<Copied>,
}

impl Prepared {
    /// How often rows of what `kind` is about were written since `prepare` returned; none where nothing tells. To be
    /// asked before `take`.
    pub async fn written_since(
        &self,
        conn: &mut PgConnection,
        kind: &LossKind,
    ) -> Result<Option<u64>, DatabaseFailure> {
        let store = self.stores.iter().find(|store| store.kept.kind == *kind);
        let Some(Store { kept, shape, copied: Some(copied) }) = store else { return Ok(None) };
        if !copy::is_in_same_files(conn, shape, copied).await? {
            return Ok(None);
        }
        let sql = format!("SELECT count(*) FROM {}", kept.delta()?);
        let noted = scalar::<i64>(conn, "what was written meanwhile", sql);
        Ok(u64::try_from(noted.await?).ok())
    }
}

/// Before any lock, in transactions of its own: makes the stores and copies what can be copied while others write.
/// Removes what earlier attempts left that came to nothing; the caller has the lock of all who step this database, and
/// calls [`abandon`] if this fails.
pub async fn prepare(
    conn: &mut PgConnection,
    program: &Program,
    by: &StepBy,
    progress: &dyn Progress,
) -> Result<Prepared, DatabaseFailure> {
    place::make(conn).await?;
    shelf::clear_untaken(conn).await?;
    for salvage in shelf::left_open(conn).await? {
        settle_later(conn, salvage.id).await?;
    }
    let timeout: String =
        scalar(conn, "the session's settings", "SELECT current_setting('statement_timeout')").await?;
    set_timeout(conn, &ONLINE_STATEMENT_MS_MAX.to_string()).await?;
    let named = choose::named(conn, program).await?;
    let found =
        settings::exact(conn, false).await.map_err(|error| failed("the session's settings", &error))?;
    let prepared = prepare_exactly(conn, program, &named, by, progress).await;
    let back = settings::put_back(conn, found, false)
        .await
        .map_err(|error| failed("the session's settings", &error));
    let prepared = prepared?;
    back?;
    set_timeout(conn, &timeout).await?;
    Ok(prepared)
}

async fn prepare_exactly(
    conn: &mut PgConnection,
    program: &Program,
    named: &choose::Named,
    by: &StepBy,
    progress: &dyn Progress,
) -> Result<Prepared, DatabaseFailure> {
    let (wanted, said) = choose::stores(conn, named).await?;
    room::check(conn, &wanted, progress).await?;
    let salvage = shelf::begin(conn, program, by).await?;
    let mut prepared = Prepared { salvage, stores: Vec::new(), batches: Vec::new(), said };
    for choose::Wanted { kind, layout, shape } in wanted {
        let kept = shelf::add(conn, salvage, kind, layout).await?;
        prepared.stores.push(Store { kept, shape, copied: None });
    }
    prepared.batches = aside::batches(program, named, &prepared.stores);
    for Store { kept, shape, copied } in &mut prepared.stores {
        if kept.layout.form != Form::Aside {
            copy::make_store(conn, kept).await?;
        }
        if kept.layout.form == Form::Copied {
            copy::watch(conn, kept, shape, &program.session).await?;
            *copied = Some(copy::copy_online(conn, kept, shape, progress).await?);
        }
        if kept.layout.form == Form::Aside && !kept.layout.key.is_empty() {
            // Not to copy anything: only so that nobody has to count the table under the lock.
            copy::watch(conn, kept, shape, &program.session).await?;
            *copied = Some(copy::seen(conn, shape).await?);
        }
    }
    Ok(prepared)
}

/// In the step's transaction, after the locks and the recount: brings the stores up to this moment and watches the rows
/// that the down may change. The batches to run in place of the program's.
pub async fn take(conn: &mut PgConnection, prepared: &mut Prepared) -> Result<Vec<String>, DatabaseFailure> {
    let found =
        settings::exact(conn, true).await.map_err(|error| failed("the session's settings", &error))?;
    sequences::note(conn, prepared.salvage).await?;
    for Store { kept, shape, copied } in &mut prepared.stores {
        match (kept.layout.form, copied) {
            (Form::Copied, Some(copied)) => {
                prepared.said.extend(copy::finish(conn, kept, shape, copied).await?);
            }
            (Form::Copied | Form::CopiedWhole, _) => {
                copy::copy_whole(conn, kept, shape).await?;
                prepared.said.push(format!("{} has no key: it was copied whole under the lock", shape.name));
            }
            (Form::Aside, Some(_)) => copy::stop_watching(conn, kept, &shape.quoted()?).await?,
            (Form::Aside | Form::Changed, _) => {}
        }
        shelf::update(conn, kept).await?;
    }
    for Store { kept, .. } in prepared.stores.iter().filter(|store| store.kept.layout.form == Form::Changed) {
        capture::watch(conn, kept).await?;
    }
    let sql = "UPDATE _unship.salvage SET taken = true WHERE id = $1";
    sqlx::query(sql)
        .bind(prepared.salvage)
        .execute(&mut *conn)
        .await
        .map_err(|error| failed("the salvage", &error))?;
    settings::put_back(conn, found, true).await.map_err(|error| failed("the session's settings", &error))?;
    Ok(prepared.batches.clone())
}

/// In the step's transaction, after the down ran: the triggers go, each kept row gets a mark of how it was left, and
/// the salvage is written down. Lines to say.
pub async fn settle(conn: &mut PgConnection, prepared: Prepared) -> Result<Vec<String>, DatabaseFailure> {
    let mut said = prepared.said;
    said.extend(settle_taken(conn, prepared.salvage).await?);
    Ok(said)
}

/// The same for a step that broke off, in a transaction of its own: however far the down came, what is kept is kept.
async fn settle_later(conn: &mut PgConnection, salvage: i64) -> Result<(), DatabaseFailure> {
    let what = "settling what a step kept that broke off";
    run(conn, what, "BEGIN".to_owned()).await?;
    let settled = settle_taken(conn, salvage).await;
    let end = if settled.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = run(conn, what, end.to_owned()).await;
    settled.and(ended.map(drop))
}

async fn settle_taken(conn: &mut PgConnection, salvage: i64) -> Result<Vec<String>, DatabaseFailure> {
    let found =
        settings::exact(conn, true).await.map_err(|error| failed("the session's settings", &error))?;
    let mut stores = Vec::new();
    for kept in shelf::stores(conn, salvage).await? {
        if shelf::is_there(conn, &kept).await? {
            stores.push(kept);
        } else {
            // A table that was to be moved aside, and still is where it was.
            shelf::forget(conn, &kept).await?;
        }
    }
    let watched = stores.iter().filter(|kept| kept.layout.form == Form::Changed);
    let ids: Vec<i64> = watched.map(|kept| kept.id).collect();
    capture::unwatch(conn, &ids).await?;
    let is_column = |kept: &&Kept| matches!(kept.kind, LossKind::Column { .. } | LossKind::Rewritten { .. });
    let columns: Vec<Kept> = stores.iter().filter(is_column).cloned().collect();
    let mut changed: Vec<Kept> = Vec::new();
    for kept in stores.iter_mut().filter(|kept| kept.layout.form == Form::Changed) {
        capture::first_only(conn, kept).await?;
        if capture::has_rows(conn, kept).await? {
            capture::fill(conn, kept, &columns).await?;
            if let Some(now) = capture::Now::of(conn, kept.layout.oid).await? {
                now.mark(conn, kept).await?;
                shelf::update(conn, kept).await?;
                now.watch(conn, kept).await?;
            }
            changed.push(kept.clone());
        } else {
            shelf::forget(conn, kept).await?;
        }
    }
    for kept in &mut stores {
        if matches!(kept.kind, LossKind::Column { .. } | LossKind::Rewritten { .. })
            && let Some(now) = capture::Now::of(conn, kept.layout.oid).await?
        {
            let changed = changed.iter().find(|changed| changed.layout.oid == kept.layout.oid);
            now.mark_column(conn, kept, changed).await?;
            shelf::update(conn, kept).await?;
            now.watch(conn, kept).await?;
        }
        if matches!(kept.kind, LossKind::Table { .. })
            && let Some(oid) = shape::oid_of(conn, &kept.layout.table).await?
            && let Some(now) = capture::Now::of(conn, oid).await?
        {
            now.watch_anew(conn, kept).await?;
            shelf::update(conn, kept).await?;
        }
    }
    sequences::settle(conn, salvage).await?;
    let said = shelf::settle(conn, salvage).await?;
    settings::put_back(conn, found, true).await.map_err(|error| failed("the session's settings", &error))?;
    Ok(said)
}

/// After the step failed: what `prepare` left is removed, and what was taken of a step that broke off is settled.
pub async fn abandon(conn: &mut PgConnection, run: &RunId, step: usize) -> Result<(), DatabaseFailure> {
    shelf::abandon(conn, run, step).await?;
    for salvage in shelf::left_open(conn).await?.into_iter().filter(|one| one.is_of(run, step)) {
        settle_later(conn, salvage.id).await?;
    }
    Ok(())
}

async fn set_timeout(conn: &mut PgConnection, value: &str) -> Result<(), DatabaseFailure> {
    let set =
        sqlx::query("SELECT set_config('statement_timeout', $1, false)").bind(value).execute(conn).await;
    set.map(drop).map_err(|error| failed("the session's settings", &error))
}

/// Sends SQL of ours, with names in it that were quoted; the rows that it came to.
async fn run(conn: &mut PgConnection, what: &str, sql: String) -> Result<u64, DatabaseFailure> {
    let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await;
    done.map(|done| done.rows_affected()).map_err(|error| failed(what, &error))
}

/// One value.
async fn scalar<T>(conn: &mut PgConnection, what: &str, sql: impl Into<String>) -> Result<T, DatabaseFailure>
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    let found = sqlx::query_scalar(AssertSqlSafe(sql.into())).persistent(false).fetch_one(conn).await;
    found.map_err(|error| failed(what, &error))
}
