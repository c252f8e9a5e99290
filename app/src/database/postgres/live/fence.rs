//! The fence around a migration that was taken down: a trigger on the tool's version table.
//!
//! It holds where the tool writes its row first, or in the transaction of the script. Where a script commits before
//! the row is written, it only says so afterwards. It does not hold for a session with
//! `session_replication_role = replica`.

use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use unship_core::down::Program;
use unship_core::release::Release;
use unship_core::sql::ObjectName;
use unship_core::time::Timestamp;
use unship_core::tools::{Rows, Tool, about};

use super::epoch::step;
use super::failure::{failed, is_code, refused};
use super::name::quoted;
use crate::ports::{DatabaseFailure, Fence, StepBy};

/// The trigger's name, on every version table.
const TRIGGER: &str = "unship_fence";

/// How long the removal of a trigger that holds nothing any more may wait.
const TIDY: &str = "SET lock_timeout = 2000";

/// Puts a fence around the program's migration, inside its transaction.
pub async fn put(conn: &mut PgConnection, program: &Program, by: &StepBy) -> Result<(), DatabaseFailure> {
    let Some(table) = about(program.tool).table else { return Ok(()) };
    let schema = program.table.schema.clone().unwrap_or_default();
    let written = sqlx::query(
        "INSERT INTO _unship.fence VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10,
            to_timestamp($11::float8 / 1000))
        ON CONFLICT (table_schema, table_name, version) DO UPDATE SET migration = excluded.migration,
            release_tag = excluded.release_tag, release_digest = excluded.release_digest, run = excluded.run,
            step = excluded.step, reason = excluded.reason, who = excluded.who, since = excluded.since",
    )
    .bind(&schema)
    .bind(&program.table.name)
    .bind(&program.version)
    .bind(&program.migration)
    .bind(by.release.as_ref().map(|release| release.tag.to_string()))
    .bind(by.release.as_ref().map(|release| release.digest.to_string()))
    .bind(by.run.as_str())
    .bind(step(by))
    .bind(&by.reason)
    .bind(&by.who)
    .bind(by.at.0)
    .execute(&mut *conn)
    .await;
    written.map_err(|error| failed("writing the fence", &error))?;
    let name = quoted(&program.table)?;
    let sort = match table.rows {
        Rows::OnlyNewest { .. } => "newest",
        Rows::OnePerVersion => "each",
    };
    // None where the trigger is there already. The words in it are PostgreSQL's to quote.
    let sql: Option<String> = sqlx::query_scalar(
        "SELECT format('CREATE TRIGGER %I BEFORE INSERT OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION
            _unship.fence_holds(%L, %L)', $1, $2, $3, $4)
        WHERE NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = $2::regclass AND tgname = $1)",
    )
    .bind(TRIGGER)
    .bind(&name)
    .bind(table.version_column)
    .bind(sort)
    .fetch_optional(&mut *conn)
    .await
    .map_err(|error| failed("looking for the fence", &error))?;
    if let Some(sql) = sql {
        let made = sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await;
        made.map_err(|error| failed(format_args!("putting the fence on {}", program.table), &error))?;
    }
    Ok(())
}

const STANDING: &str =
    "SELECT table_schema, table_name, version, migration, release_tag, release_digest, run, reason,
    (extract(epoch FROM since) * 1000)::bigint AS since FROM _unship.fence";

/// A fence with the version table that it is on.
struct Placed {
    table: ObjectName,
    fence: Fence,
}

fn placed(row: &sqlx::postgres::PgRow) -> Result<Placed, DatabaseFailure> {
    let unreadable = |error: &dyn std::fmt::Display| {
        refused(format!("a row of _unship.fence cannot be read: {error}"), "look at the table; who wrote it?")
    };
    let text = |column: &str| row.try_get::<String, _>(column).map_err(|error| unreadable(&error));
    let perhaps = |column: &str| row.try_get::<Option<String>, _>(column).map_err(|error| unreadable(&error));
    let release = match (perhaps("release_tag")?, perhaps("release_digest")?) {
        (Some(tag), Some(digest)) => Some(Release {
            tag: tag.parse().map_err(|error| unreadable(&error))?,
            digest: digest.parse().map_err(|error| unreadable(&error))?,
        }),
        _ => None,
    };
    let fence = Fence {
        migration: text("migration")?,
        version: text("version")?,
        release,
        run: text("run")?.parse().map_err(|error| unreadable(&error))?,
        reason: text("reason")?,
        since: Timestamp(row.try_get("since").map_err(|error| unreadable(&error))?),
    };
    Ok(Placed { table: ObjectName { schema: Some(text("table_schema")?), name: text("table_name")? }, fence })
}

async fn is_there(conn: &mut PgConnection) -> Result<bool, DatabaseFailure> {
    let there = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = '_unship' AND c.relname = 'fence')",
    );
    there.fetch_one(conn).await.map_err(|error| failed("looking for fences", &error))
}

async fn all(conn: &mut PgConnection) -> Result<Vec<Placed>, DatabaseFailure> {
    if !is_there(conn).await? {
        return Ok(Vec::new());
    }
    let sql = format!("{STANDING} ORDER BY since, table_schema, table_name, version");
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(conn).await;
    rows.map_err(|error| failed("reading the fences", &error))?.iter().map(placed).collect()
}

/// The fences that stand.
pub async fn list(conn: &mut PgConnection) -> Result<Vec<Fence>, DatabaseFailure> {
    Ok(all(conn).await?.into_iter().map(|placed| placed.fence).collect())
}

/// Fails where a fence keeps this version from being applied.
pub async fn expect_none(
    conn: &mut PgConnection,
    tool: Tool,
    table: &ObjectName,
    version: &str,
) -> Result<(), DatabaseFailure> {
    let only_newest = about(tool).table.is_some_and(|table| matches!(table.rows, Rows::OnlyNewest { .. }));
    let number = |version: &str| version.parse::<i128>().unwrap_or_default();
    let holds = |fence: &Fence| {
        if only_newest { number(version) >= number(&fence.version) } else { fence.version == version }
    };
    let standing = all(conn).await?.into_iter().find(|placed| placed.table == *table && holds(&placed.fence));
    let Some(Placed { fence, .. }) = standing else { return Ok(()) };
    let release =
        fence.release.as_ref().map_or("an unknown release".to_owned(), |release| release.tag.to_string());
    Err(refused(
        format!(
            "a fence stands: migration {} of {release} was taken down by run {} ({})",
            fence.migration, fence.run, fence.reason
        ),
        format!("unship quarantine lift {release}"),
    ))
}

/// Takes away the fences of the release's artifact, under whatever tag.
pub async fn lift(conn: &mut PgConnection, release: &Release) -> Result<Vec<Fence>, DatabaseFailure> {
    if !is_there(conn).await? {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(
        "DELETE FROM _unship.fence WHERE release_digest = $1 RETURNING table_schema, table_name, version, migration,
            release_tag, release_digest, run, reason, (extract(epoch FROM since) * 1000)::bigint AS since",
    )
    .bind(release.digest.to_string())
    .fetch_all(&mut *conn)
    .await
    .map_err(|error| failed("lifting the fences", &error))?;
    let lifted = rows.iter().map(placed).collect::<Result<Vec<_>, _>>()?;
    let mut tables: Vec<&ObjectName> = lifted.iter().map(|placed| &placed.table).collect();
    tables.sort();
    tables.dedup();
    for table in tables {
        tidy(conn, table).await?;
    }
    Ok(lifted.into_iter().map(|placed| placed.fence).collect())
}

/// Takes the trigger from a version table that has no fence left. If somebody uses the table just now it stays, and
/// holds nothing.
async fn tidy(conn: &mut PgConnection, table: &ObjectName) -> Result<(), DatabaseFailure> {
    let sql: Option<String> = sqlx::query_scalar(
        "SELECT format('DROP TRIGGER IF EXISTS %I ON %s', $1, $2) WHERE to_regclass($2) IS NOT NULL
        AND NOT EXISTS (SELECT FROM _unship.fence WHERE table_schema = $3 AND table_name = $4)",
    )
    .bind(TRIGGER)
    .bind(quoted(table)?)
    .bind(table.schema.clone().unwrap_or_default())
    .bind(&table.name)
    .fetch_optional(&mut *conn)
    .await
    .map_err(|error| failed("looking for the fence", &error))?;
    let Some(sql) = sql else { return Ok(()) };
    let dropped = async {
        sqlx::raw_sql(TIDY).execute(&mut *conn).await?;
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(conn).await.map(drop)
    };
    match dropped.await {
        Err(error) if !is_code(&error, &[super::failure::LOCK_NOT_AVAILABLE]) => {
            Err(failed(format_args!("taking the fence's trigger from {table}"), &error))
        }
        _ => Ok(()),
    }
}
