//! The account of what was salvaged: written while a step is taken, read by `list`, thrown away by `drop`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use futures_util::TryStreamExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use unship_core::down::{LossKind, Program};
use unship_core::release::{Release, RunId};
use unship_core::sql::ObjectName;
use unship_core::time::Timestamp;
use unship_core::tools::Tool;

use super::layout::{Form, Kept, Layout, place as name_of};
use super::{failed, place, refused, run, scalar, sequences};
use crate::database::postgres::live::exclusive;
use crate::database::postgres::live::home::SCHEMA;
use crate::database::postgres::live::name::quoted;
use crate::ports::{DatabaseFailure, Salvaged, StepBy, Store};

const WHAT: &str = "the account of the salvage";

/// Writes down that a salvage begins.
pub(super) async fn begin(
    conn: &mut PgConnection,
    program: &Program,
    by: &StepBy,
) -> Result<i64, DatabaseFailure> {
    let step = step_number(by.step)?;
    let is_known: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM _unship.salvage WHERE run = $1 AND step = $2)")
            .bind(by.run.as_str())
            .bind(step)
            .fetch_one(&mut *conn)
            .await
            .map_err(|error| failed(WHAT, &error))?;
    if is_known {
        return Err(refused(
            format!(
                "step {step} of run {} was taken or begun already, and what it destroyed is salvaged",
                by.run
            ),
            "`unship salvage list` shows it",
        ));
    }
    sqlx::query_scalar(
        "INSERT INTO _unship.salvage (run, step, tool, version_table, migration, version, release, service, environment, who, at)
        VALUES ($1, $2, $3, $4, $5, $6, $7::jsonb, $8, $9, $10, to_timestamp($11::float8 / 1000)) RETURNING id",
    )
    .bind(by.run.as_str())
    .bind(step)
    .bind(program.tool.name())
    .bind(quoted(&program.table)?)
    .bind(&program.migration)
    .bind(&program.version)
    .bind(by.release.as_ref().map(json).transpose()?)
    .bind(by.service.as_str())
    .bind(by.environment.as_str())
    .bind(&by.who)
    .bind(by.at.0)
    .fetch_one(conn)
    .await
    .map_err(|error| failed(WHAT, &error))
}

fn step_number(step: usize) -> Result<i32, DatabaseFailure> {
    i32::try_from(step).map_err(|_| refused(format!("no run has a step {step}"), "look at the plan"))
}

/// Writes down a store that is to be made.
pub(super) async fn add(
    conn: &mut PgConnection,
    salvage: i64,
    kind: LossKind,
    layout: Layout,
) -> Result<Kept, DatabaseFailure> {
    // In one transaction, so that none is ever found without its place, which is named after its number.
    let mut both = conn.begin().await.map_err(|error| failed(WHAT, &error))?;
    let sql = "INSERT INTO _unship.salvage_store (salvage, place, kind, layout) VALUES ($1, '', $2::jsonb, $3::jsonb) RETURNING id";
    let id: i64 = sqlx::query_scalar(sql)
        .bind(salvage)
        .bind(json(&kind)?)
        .bind(json(&layout)?)
        .fetch_one(&mut *both)
        .await
        .map_err(|error| failed(WHAT, &error))?;
    let kept = Kept { id, place: name_of(id, &layout.table), kind, layout, rows: None };
    update(&mut both, &kept).await?;
    both.commit().await.map_err(|error| failed(WHAT, &error))?;
    Ok(kept)
}

/// Writes down what is known of a store by now.
pub(super) async fn update(conn: &mut PgConnection, kept: &Kept) -> Result<(), DatabaseFailure> {
    sqlx::query("UPDATE _unship.salvage_store SET place = $2, layout = $3::jsonb, rows = $4 WHERE id = $1")
        .bind(kept.id)
        .bind(&kept.place)
        .bind(json(&kept.layout)?)
        .bind(kept.rows)
        .execute(conn)
        .await
        .map(drop)
        .map_err(|error| failed(WHAT, &error))
}

/// Writes down that the step is done; what was salvaged, a line each. Nothing was if there is neither a store
/// nor a sequence.
pub(super) async fn settle(conn: &mut PgConnection, salvage: i64) -> Result<Vec<String>, DatabaseFailure> {
    let stores = stores(conn, salvage).await?;
    let sequences = sequences::of(conn, salvage).await?;
    if stores.is_empty() && sequences.is_empty() {
        let sql = "DELETE FROM _unship.salvage WHERE id = $1";
        sqlx::query(sql).bind(salvage).execute(conn).await.map_err(|error| failed(WHAT, &error))?;
        return Ok(Vec::new());
    }
    sqlx::query("UPDATE _unship.salvage SET xid = txid_current()::text WHERE id = $1")
        .bind(salvage)
        .execute(&mut *conn)
        .await
        .map_err(|error| failed(WHAT, &error))?;
    let numbers = sequences
        .iter()
        .map(|one| format!("salvaged the last number of sequence {}: {}", one.name, one.last));
    Ok(stores.iter().map(line).chain(numbers).collect())
}

fn line(kept: &Kept) -> String {
    let what: Vec<String> = kept
        .lost()
        .iter()
        .map(|kind| match kind {
            LossKind::Table { table: name }
            | LossKind::Rows { table: name }
            | LossKind::Sequence { sequence: name } => name.to_string(),
            LossKind::Column { table, column, .. } | LossKind::Rewritten { table, column, .. } => {
                format!("{table}.{column}")
            }
        })
        .collect();
    let what = what.join(", ");
    let how = match kept.layout.form {
        Form::Aside => "moved aside as",
        Form::Copied | Form::CopiedWhole => "copied to",
        Form::Changed => "rows that the down changed are in",
    };
    let rows = kept.rows.map(|rows| format!(", {rows} rows")).unwrap_or_default();
    format!("salvaged {what}: {how} {SCHEMA}.{}{rows}", kept.place)
}

/// The stores of a salvage, in the order in which they were made.
pub(super) async fn stores(conn: &mut PgConnection, salvage: i64) -> Result<Vec<Kept>, DatabaseFailure> {
    let sql = "SELECT id, place, kind::text, layout::text, rows FROM _unship.salvage_store WHERE salvage = $1 ORDER BY id";
    let found: Vec<(i64, String, String, String, Option<i64>)> =
        sqlx::query_as(sql).bind(salvage).fetch_all(conn).await.map_err(|error| failed(WHAT, &error))?;
    let mut stores = Vec::with_capacity(found.len());
    for (id, place, kind, layout, rows) in found {
        stores.push(Kept { id, place, kind: of_json(&kind)?, layout: of_json(&layout)?, rows });
    }
    Ok(stores)
}

/// Values of ours as JSON: only names and numbers.
fn json(value: &impl Serialize) -> Result<String, DatabaseFailure> {
    serde_json::to_string(value)
        .map_err(|error| refused(format!("{WHAT}: {error}"), "this is a mistake of unship"))
}

fn of_json<T: DeserializeOwned>(text: &str) -> Result<T, DatabaseFailure> {
    serde_json::from_str(text)
        .map_err(|error| refused(format!("{WHAT}: {error}"), "was it written by a newer unship?"))
}

/// Takes the trigger away that notes who writes, wherever it is, and its notes.
pub(super) async fn unwatch(conn: &mut PgConnection, kept: &Kept) -> Result<(), DatabaseFailure> {
    let table: Option<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_trigger t ON t.tgrelid = c.oid WHERE t.tgfoid = to_regprocedure($1) AND t.tgparentid = 0 LIMIT 1",
    )
    .bind(format!("{}()", kept.note()?))
    .fetch_optional(&mut *conn)
    .await
    .map_err(|error| failed(WHAT, &error))?;
    match table {
        Some(table) => super::copy::stop_watching(conn, kept, &table).await,
        None => {
            let sql =
                format!("DROP FUNCTION IF EXISTS {}(); DROP TABLE IF EXISTS {}", kept.note()?, kept.delta()?);
            run(conn, WHAT, sql).await.map(drop)
        }
    }
}

/// Removes a store and everything that was made for it.
pub(super) async fn forget(conn: &mut PgConnection, kept: &Kept) -> Result<(), DatabaseFailure> {
    unwatch(conn, kept).await?;
    run(conn, WHAT, format!("DROP TABLE IF EXISTS {}", kept.quoted()?)).await?;
    let sql = "DELETE FROM _unship.salvage_store WHERE id = $1";
    sqlx::query(sql).bind(kept.id).execute(conn).await.map(drop).map_err(|error| failed(WHAT, &error))
}

/// Removes what one attempt left that was not committed.
pub(super) async fn abandon(
    conn: &mut PgConnection,
    run: &RunId,
    step: usize,
) -> Result<(), DatabaseFailure> {
    if !place::is_there(conn).await? {
        return Ok(());
    }
    let sql = "SELECT id FROM _unship.salvage WHERE run = $1 AND step = $2 AND NOT taken";
    let left: Vec<i64> = sqlx::query_scalar(sql)
        .bind(run.as_str())
        .bind(step_number(step)?)
        .fetch_all(&mut *conn)
        .await
        .map_err(|error| failed(WHAT, &error))?;
    remove(conn, left).await
}

/// Removes what any attempt left that was not committed. Nobody else is stepping this database at the moment.
pub(super) async fn clear_untaken(conn: &mut PgConnection) -> Result<(), DatabaseFailure> {
    let left: Vec<i64> = sqlx::query_scalar("SELECT id FROM _unship.salvage WHERE NOT taken")
        .fetch_all(&mut *conn)
        .await
        .map_err(|error| failed(WHAT, &error))?;
    remove(conn, left).await
}

async fn remove(conn: &mut PgConnection, salvages: Vec<i64>) -> Result<(), DatabaseFailure> {
    for salvage in salvages {
        let stores = stores(conn, salvage).await?;
        let ids: Vec<i64> = stores.iter().map(|kept| kept.id).collect();
        super::capture::unwatch(conn, &ids).await?;
        for kept in &stores {
            forget(conn, kept).await?;
        }
        let sql = "DELETE FROM _unship.salvage WHERE id = $1";
        sqlx::query(sql).bind(salvage).execute(&mut *conn).await.map_err(|error| failed(WHAT, &error))?;
    }
    Ok(())
}

/// One salvage as it is written down.
pub(super) struct Written {
    pub id: i64,
    run: String,
    step: i32,
    tool: String,
    pub version_table: String,
    pub migration: String,
    pub version: String,
    release: Option<Release>,
    at_ms: i64,
    restored_ms: Option<i64>,
    /// The transaction of the down, numbered as rows have it; none before the salvage is settled.
    pub xid: Option<u32>,
}

impl Written {
    pub fn tool(&self) -> Result<Tool, DatabaseFailure> {
        let unknown = |_| {
            refused(format!("the salvage names a tool `{}`", self.tool), "was it made by a newer unship?")
        };
        self.tool.parse().map_err(unknown)
    }

    /// Whether the down has neither run to its end nor been seen to break off.
    pub fn is_open(&self) -> bool {
        self.xid.is_none()
    }

    pub fn is_of(&self, run: &RunId, step: usize) -> bool {
        self.run == run.as_str() && usize::try_from(self.step) == Ok(step)
    }

    /// When it was put back, if it was.
    pub fn restored(&self) -> Option<Timestamp> {
        self.restored_ms.map(Timestamp)
    }
}

const WRITTEN: &str = "SELECT id, run, step, tool, version_table, migration, version, release::text,
    (extract(epoch FROM at) * 1000)::bigint AS at_ms, (extract(epoch FROM restored_at) * 1000)::bigint AS restored_ms,
    xid::bigint % 4294967296 AS xid
    FROM _unship.salvage WHERE taken AND ($1::text IS NULL OR run = $1 AND step = $2) ORDER BY id DESC";

/// As [`WRITTEN`] gives it.
type WrittenRow =
    (i64, String, i32, String, String, String, String, Option<String>, i64, Option<i64>, Option<i64>);

fn written(row: WrittenRow) -> Result<Written, DatabaseFailure> {
    let (id, run, step, tool, version_table, migration, version, release, at_ms, restored_ms, xid) = row;
    let release = release.as_deref().map(of_json).transpose()?;
    let xid = xid.and_then(|xid| u32::try_from(xid).ok());
    Ok(Written { id, run, step, tool, version_table, migration, version, release, at_ms, restored_ms, xid })
}

/// Finds the salvage of a step.
pub(super) async fn find(conn: &mut PgConnection, salvage: &Salvaged) -> Result<Written, DatabaseFailure> {
    let found: Option<WrittenRow> = if place::is_there(conn).await? {
        sqlx::query_as(WRITTEN)
            .bind(salvage.run.as_str())
            .bind(step_number(salvage.step)?)
            .fetch_optional(conn)
            .await
            .map_err(|error| failed(WHAT, &error))?
    } else {
        None
    };
    let found = found.ok_or_else(|| {
        refused(
            format!("nothing is salvaged of step {} of run {}", salvage.step, salvage.run),
            "`unship salvage list` shows what is",
        )
    })?;
    written(found)
}

/// Every salvage as it is written down, newest first.
pub(super) async fn all(conn: &mut PgConnection) -> Result<Vec<Written>, DatabaseFailure> {
    let found: Vec<WrittenRow> = sqlx::query_as(WRITTEN)
        .bind(None::<&str>)
        .bind(0)
        .fetch_all(conn)
        .await
        .map_err(|error| failed(WHAT, &error))?;
    found.into_iter().map(written).collect()
}

/// What steps took that broke off, and nobody has settled: they went piece by piece, or still do.
pub(super) async fn left_open(conn: &mut PgConnection) -> Result<Vec<Written>, DatabaseFailure> {
    if !place::is_there(conn).await? {
        return Ok(Vec::new());
    }
    Ok(all(conn).await?.into_iter().filter(Written::is_open).collect())
}

/// Fails where the salvage is of a step that is under way.
pub(super) async fn expect_ended(conn: &mut PgConnection, written: &Written) -> Result<(), DatabaseFailure> {
    if !written.is_open() {
        return Ok(());
    }
    match exclusive::stepper(conn).await? {
        Some(who) => Err(refused(
            format!("a step is under way, and it may be that of {}: {who}", written.migration),
            "wait for it to end, or end it: SELECT pg_terminate_backend(PID)",
        )),
        None => Ok(()),
    }
}

/// Whether a store is there: a table that is to be moved aside is not, before that is done.
pub(super) async fn is_there(conn: &mut PgConnection, kept: &Kept) -> Result<bool, DatabaseFailure> {
    sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
        .bind(kept.quoted()?)
        .fetch_one(conn)
        .await
        .map_err(|error| failed(WHAT, &error))
}

/// What was salvaged and is still there, newest first.
pub async fn salvaged(conn: &mut PgConnection) -> Result<Vec<Salvaged>, DatabaseFailure> {
    if !place::is_there(conn).await? {
        return Ok(Vec::new());
    }
    let mut salvaged = Vec::new();
    for written in all(conn).await? {
        let mut kept = Vec::new();
        for store in stores(conn, written.id).await? {
            if is_there(conn, &store).await? {
                let lost = store.lost();
                let measured = measured(conn, store).await?;
                kept.extend(lost.into_iter().map(|kind| Store { kind, ..measured.clone() }));
            }
        }
        kept.extend(sequences::of(conn, written.id).await?.iter().map(sequences::Sequence::listed));
        let restored = written.restored();
        let run = written.run.parse().map_err(|_| {
            refused(format!("the salvage names a run `{}`", written.run), "look at _unship.salvage")
        })?;
        salvaged.push(Salvaged {
            run,
            step: usize::try_from(written.step).unwrap_or_default(),
            migration: written.migration,
            version: written.version,
            release: written.release,
            at: Timestamp(written.at_ms),
            stores: kept,
            restored,
        });
    }
    Ok(salvaged)
}

/// A store with its size. Where rows were not counted on the way, they are counted now: nothing waits for that.
async fn measured(conn: &mut PgConnection, kept: Kept) -> Result<Store, DatabaseFailure> {
    let store = kept.quoted()?;
    let rows = match kept.rows {
        Some(rows) => rows,
        None => scalar(conn, WHAT, format!("SELECT count(*) FROM {store}")).await?,
    };
    let bytes: i64 = sqlx::query_scalar("SELECT pg_total_relation_size(to_regclass($1))")
        .bind(&store)
        .fetch_one(conn)
        .await
        .map_err(|error| failed(WHAT, &error))?;
    Ok(Store {
        kind: kept.kind,
        place: ObjectName { schema: Some(SCHEMA.to_owned()), name: kept.place },
        rows: u64::try_from(rows).unwrap_or_default(),
        bytes: u64::try_from(bytes).unwrap_or_default(),
    })
}

/// Writes a salvage into files of a new folder, one a store, each row a JSON document in a line.
pub async fn export(
    conn: &mut PgConnection,
    salvage: &Salvaged,
    folder: &Path,
) -> Result<Vec<PathBuf>, DatabaseFailure> {
    let written = find(conn, salvage).await?;
    super::settings::exact(conn, false).await.map_err(|error| failed("the session's settings", &error))?;
    let file_error = |error: std::io::Error| {
        refused(error.to_string(), "name a folder that is not there yet, on a disk with room")
    };
    fs_err::create_dir(folder).map_err(file_error)?;
    let mut files = Vec::new();
    for kept in stores(conn, written.id).await? {
        if !is_there(conn, &kept).await? {
            continue;
        }
        let path = folder.join(format!("{}.jsonl", kept.place));
        let mut file = std::io::BufWriter::new(fs_err::File::create_new(&path).map_err(file_error)?);
        let sql = format!("SELECT row_to_json(s)::text FROM {} s", kept.quoted()?);
        let mut rows =
            sqlx::query_scalar::<_, String>(AssertSqlSafe(sql)).persistent(false).fetch(&mut *conn);
        while let Some(row) = rows.try_next().await.map_err(|error| failed("exporting", &error))? {
            writeln!(file, "{row}").map_err(file_error)?;
        }
        drop(rows);
        let file = file.into_inner().map_err(|error| file_error(error.into_error()))?;
        file.sync_all().map_err(file_error)?;
        files.push(path);
    }
    Ok(files)
}

/// Drops a salvage for good.
pub async fn drop_salvage(conn: &mut PgConnection, salvage: &Salvaged) -> Result<(), DatabaseFailure> {
    let written = find(conn, salvage).await?;
    expect_ended(conn, &written).await?;
    run(conn, WHAT, "BEGIN".to_owned()).await?;
    let removed = remove(conn, vec![written.id]).await;
    let end = if removed.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = run(conn, WHAT, end.to_owned()).await;
    removed.and(ended.map(drop))
}
