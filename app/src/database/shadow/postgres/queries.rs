//! Plans queries on the shadow as it is, with the rights of a role.
//!
//! PREPARE gives the types and finds names that are gone; EXPLAIN EXECUTE of the generic plan finds what PREPARE
//! passes over: privileges, targets of ON CONFLICT, bodies of inlined functions. Nothing is executed, but for
//! TRUNCATE and LOCK, which have no plan and run in a transaction that is rolled back.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use sqlx::{
    AssertSqlSafe, Column as _, ConnectOptions as _, Either, Executor as _, PgConnection, Row as _,
    SqlSafeStr as _, Statement as _, TypeInfo as _,
};
use unship_core::queries::{Outcome, Query, ResultColumn, Sort, sort_of};
use unship_core::sql::query_facts;

use super::{Session, ShadowError};

/// Longest time for one query, and for all of them together.
const QUERY_MS_MAX: u64 = 10_000;
const ALL_MAX: Duration = Duration::from_mins(10);

/// COPY names a table and columns; as a SELECT they can be planned. PostgreSQL quotes the names.
const COPY_AS_SELECT: &str = "SELECT 'SELECT ' || coalesce((SELECT string_agg(quote_ident(c), ', ') \
     FROM unnest($1::text[]) c), '*') || ' FROM ' || coalesce(quote_ident($2) || '.', '') || quote_ident($3)";

pub(super) async fn plan(
    session: &mut Session,
    queries: &[Query],
    role: Option<&str>,
) -> Result<Vec<Outcome>, ShadowError> {
    let options = session.options_as(role).await?;
    let mut conn = connect(&options).await?;
    let started = Instant::now();
    let mut outcomes = Vec::with_capacity(queries.len());
    for (number, query) in queries.iter().enumerate() {
        if started.elapsed() > ALL_MAX {
            let message =
                format!("not planned: all queries together took longer than {} s", ALL_MAX.as_secs());
            outcomes.push(Outcome::Failed { message, code: None });
            continue;
        }
        match one(&mut conn, number, query).await {
            Ok(outcome) => outcomes.push(outcome),
            Err(error) => {
                let lost = error.as_database_error().is_none_or(|error| {
                    error.code().is_some_and(|code| code.starts_with("57P") || code.starts_with("08"))
                });
                outcomes.push(failed(&error));
                if lost {
                    conn = connect(&options).await?;
                }
            }
        }
    }
    Ok(outcomes)
}

async fn connect(options: &sqlx::postgres::PgConnectOptions) -> Result<PgConnection, ShadowError> {
    let mut conn = options.connect().await?;
    sqlx::query("SELECT set_config('statement_timeout', $1, false)")
        .bind(QUERY_MS_MAX.to_string())
        .execute(&mut conn)
        .await?;
    Ok(conn)
}

fn failed(error: &sqlx::Error) -> Outcome {
    match error.as_database_error() {
        Some(database) => Outcome::Failed {
            message: database.message().to_owned(),
            code: database.code().map(std::borrow::Cow::into_owned),
        },
        None => Outcome::Failed { message: error.to_string(), code: None },
    }
}

async fn one(conn: &mut PgConnection, number: usize, query: &Query) -> Result<Outcome, sqlx::Error> {
    let facts = query_facts(&query.sql);
    match sort_of(&facts.verb) {
        Sort::NoSchema => Ok(Outcome::NoSchema),
        Sort::NotPlannable => Ok(Outcome::NotPlannable),
        Sort::Plannable => prepared(conn, number, &query.sql).await,
        Sort::Copy => {
            let Some((table, columns)) = facts.copies else { return Ok(Outcome::NotPlannable) };
            let select: String = sqlx::query_scalar(COPY_AS_SELECT)
                .bind(columns)
                .bind(table.schema)
                .bind(table.name)
                .fetch_one(&mut *conn)
                .await?;
            prepared(conn, number, &select).await
        }
        Sort::Table => {
            sqlx::raw_sql("BEGIN").execute(&mut *conn).await?;
            // One statement: the extended protocol takes no more.
            let ended = sqlx::query(AssertSqlSafe(query.sql.clone())).execute(&mut *conn).await;
            sqlx::raw_sql("ROLLBACK").execute(&mut *conn).await?;
            ended.map(|_| Outcome::Planned { parameters: Vec::new(), columns: Vec::new() })
        }
    }
}

async fn prepared(conn: &mut PgConnection, number: usize, sql: &str) -> Result<Outcome, sqlx::Error> {
    let statement = (&mut *conn).prepare(AssertSqlSafe(sql.to_owned()).into_sql_str()).await?;
    let parameters: Vec<String> = match statement.parameters() {
        Some(Either::Left(types)) => types.iter().map(|of_type| of_type.name().to_owned()).collect(),
        Some(Either::Right(_)) | None => Vec::new(),
    };
    let columns = statement.columns().iter().map(|column| ResultColumn {
        name: column.name().to_owned(),
        of_type: column.type_info().name().to_owned(),
    });
    let columns = columns.collect();
    // The text is what is to be tried out; it was taken above as one statement that can be prepared. A comment at
    // its end must not swallow what follows.
    let mut text = format!("PREPARE unship_{number} AS {sql}\n; EXPLAIN EXECUTE unship_{number}");
    if !parameters.is_empty() {
        let nulls = vec!["NULL"; parameters.len()].join(", ");
        let _ = write!(text, "({nulls})");
    }
    sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut *conn).await?;
    Ok(Outcome::Planned { parameters, columns })
}

/// The locks that the transaction holds on tables, and the file that each table is in.
pub(super) async fn locks(conn: &mut PgConnection) -> Result<Vec<Held>, sqlx::Error> {
    const LOCKS: &str = "SELECT c.oid::bigint, n.nspname::text, c.relname::text, l.mode, c.relfilenode::bigint \
         FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.granted \
         AND c.relkind IN ('r', 'p', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";
    let rows = sqlx::query(LOCKS).fetch_all(conn).await?;
    let mut held: Vec<Held> = Vec::new();
    for row in rows {
        let (schema, table): (String, String) = (row.try_get(1)?, row.try_get(2)?);
        held.push(Held {
            oid: row.try_get(0)?,
            table: if schema == "public" { table } else { format!("{schema}.{table}") },
            mode: row.try_get(3)?,
            file: row.try_get(4)?,
        });
    }
    held.retain(|one| rank(&one.mode) >= rank("ShareUpdateExclusiveLock"));
    Ok(held)
}

/// The numbers of the tables that the transaction wrote to or keeps writers from; those that it dropped too.
pub(super) async fn locked(conn: &mut PgConnection) -> Result<Vec<i64>, sqlx::Error> {
    const LOCKED: &str = "SELECT l.relation::bigint, l.mode FROM pg_locks l \
        WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.granted \
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let rows = sqlx::query(LOCKED).fetch_all(conn).await?;
    let mut tables = Vec::new();
    for row in rows {
        let mode: String = row.try_get(1)?;
        if rank(&mode) >= rank("RowExclusiveLock") {
            tables.push(row.try_get(0)?);
        }
    }
    Ok(tables)
}

/// A column of a table: when its definition was written last, and in which file the table's rows are. Partitioned tables
/// have none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definition {
    pub table: i64,
    pub column: i16,
    pub name: String,
    written: String,
    file: i64,
}

impl Definition {
    /// Were the rows written anew and the column's definition too, since `before`?
    pub fn is_rewritten_since(&self, before: &Definition) -> bool {
        (self.table, self.column) == (before.table, before.column)
            && self.written != before.written
            && (self.file != before.file || self.file == 0)
    }
}

/// The columns of all tables.
pub(super) async fn definitions(conn: &mut PgConnection) -> Result<Vec<Definition>, sqlx::Error> {
    const COLUMNS: &str = "SELECT c.oid::bigint, a.attnum, a.attname::text, a.xmin::text || a.ctid::text, \
        c.relfilenode::bigint FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid WHERE c.relkind IN ('r', 'p') AND a.attnum > 0 \
        AND NOT a.attisdropped AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1, 2";
    let found: Vec<(i64, i16, String, String, i64)> = sqlx::query_as(COLUMNS).fetch_all(conn).await?;
    let definition = |(table, column, name, written, file)| Definition { table, column, name, written, file };
    Ok(found.into_iter().map(definition).collect())
}

/// One lock a table: the strongest, with the file that the table was in last.
pub(super) fn strongest(held: &[Held]) -> Vec<Held> {
    let mut strongest: Vec<Held> = Vec::new();
    for one in held {
        match strongest.iter_mut().find(|other| other.oid == one.oid) {
            Some(other) => {
                if rank(&one.mode) > rank(&other.mode) {
                    other.mode.clone_from(&one.mode);
                }
                other.file = one.file;
            }
            None => strongest.push(one.clone()),
        }
    }
    strongest.sort_by(|a, b| a.table.cmp(&b.table));
    strongest
}

/// A lock on a table.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub oid: i64,
    pub table: String,
    pub mode: String,
    pub file: i64,
}

impl Held {
    /// As the documentation writes it.
    pub fn mode_words(&self) -> &'static str {
        match rank(&self.mode) {
            8 => "ACCESS EXCLUSIVE",
            7 => "EXCLUSIVE",
            6 => "SHARE ROW EXCLUSIVE",
            5 => "SHARE",
            _ => "SHARE UPDATE EXCLUSIVE",
        }
    }
}

/// PostgreSQL's table of lock modes, weakest first.
fn rank(mode: &str) -> usize {
    const MODES: [&str; 8] = [
        "AccessShareLock",
        "RowShareLock",
        "RowExclusiveLock",
        "ShareUpdateExclusiveLock",
        "ShareLock",
        "ShareRowExclusiveLock",
        "ExclusiveLock",
        "AccessExclusiveLock",
    ];
    MODES.iter().position(|known| *known == mode).map_or(0, |place| place + 1)
}
