//! Applies one migration as its tool would.

use sqlx::{AssertSqlSafe, PgConnection};
use unship_core::down::{Session, difference, row_changes};
use unship_core::sql::ObjectName;
use unship_core::tools::{LockScope, Migration, When, Wrap, about, lock_key};

use super::connect::{Address, as_ourselves, as_the_tool};
use super::failure::{failed, refused};
use super::name::quoted;
use super::{exclusive, fence, look, rows};
use crate::ports::{DatabaseFailure, Live, Progress};

/// A migration may take its time, but neither locks nor statements wait for ever.
const APPLYING: Session = Session { lock_ms_max: 10_000, lock_attempts_max: 3, statement_ms_max: 3_600_000 };

/// Nobody watches.
struct Silent;

impl Progress for Silent {
    fn started(&self, _: &str) {}
    fn done(&self, _: &str, _: u64) {}
    fn failed(&self, _: &str, _: &str) {}
    fn note(&self, _: &str) {}
}

/// Applies it. What fails inside the tool's own transaction leaves nothing.
pub async fn up(address: &Address, migration: &Migration, live: &Live) -> Result<(), DatabaseFailure> {
    let mut conn = address.connect(&APPLYING).await?;
    let ended = apply(&mut conn, migration, live).await;
    if ended.is_err() {
        let _ = sqlx::raw_sql("ROLLBACK").execute(&mut conn).await;
    }
    address.close(conn, ended).await
}

async fn apply(conn: &mut PgConnection, migration: &Migration, live: &Live) -> Result<(), DatabaseFailure> {
    let tool = migration.tool;
    if let Some(unreadable) = &migration.up.unreadable {
        return Err(refused(
            format!("{} cannot be read: {}", migration.up.path, unreadable.why),
            "mend the file",
        ));
    }
    if let Some(name) = migration.up.environment.first() {
        return Err(refused(
            format!("{} takes the environment variable `{name}` into its text", migration.up.path),
            format!("let {tool} itself apply it"),
        ));
    }
    let now = look::look(conn, tool).await?;
    if let Some(why) = now.cannot_change {
        return Err(refused(format!("nothing can be changed in the database: {why}"), "nothing was touched"));
    }
    let Some(about) = about(tool).table else {
        as_the_tool(conn).await.map_err(|error| failed("the session's settings", &error))?;
        return script(conn, migration).await;
    };
    let table = match &now.table {
        Some(table) => table.clone(),
        None => make_table(conn, &about).await?,
    };
    let scope = LockScope {
        database: &now.database,
        schema: table.schema.as_deref().unwrap_or_default(),
        table: &table.name,
    };
    exclusive::take(conn, lock_key(tool, scope), &APPLYING, &Silent).await?;
    fence::expect_none(conn, tool, &table, migration.version.recorded()).await?;
    let (applied, _) = rows::read(conn, tool, &table).await?;
    if applied != live.applied {
        let difference = difference(&live.applied.versions, &applied.versions);
        return Err(refused(format!("the version table {table} has changed: {difference}"), "look again"));
    }
    if applied.dirty {
        return Err(refused(
            format!("the version table {table} says that a migration broke off halfway"),
            format!("look at what it left, and mend it as {tool} wants it"),
        ));
    }
    let changes = |when: When, with_script: bool| {
        let writes =
            about.up.iter().filter(move |write| write.when == when && write.with_script == with_script);
        row_changes(&about, writes, migration, None)
    };
    let is_wrapped = migration.up.wrap == Wrap::Transaction;
    rows::change(conn, &table, &changes(When::BeforeScript, false)).await?;
    if is_wrapped {
        say(conn, "BEGIN").await?;
    }
    rows::change(conn, &table, &changes(When::BeforeScript, true)).await?;
    as_the_tool(conn).await.map_err(|error| failed("the session's settings", &error))?;
    script(conn, migration).await?;
    rows::change(conn, &table, &changes(When::AfterScript, true)).await?;
    if is_wrapped {
        say(conn, "COMMIT").await?;
    }
    rows::change(conn, &table, &changes(When::AfterScript, false)).await?;
    as_ourselves(conn).await.map_err(|error| failed("the session's settings", &error))?;
    let (applied, _) = rows::read(conn, tool, &table).await?;
    if applied.versions.contains(migration.version.recorded()) && !applied.dirty {
        return Ok(());
    }
    Err(refused(format!("{} ran, and {table} does not say so", migration.id), "look at both by hand"))
}

/// Makes the tool's table where the tool would: in the first schema of the search path.
async fn make_table(
    conn: &mut PgConnection,
    about: &unship_core::tools::VersionTable,
) -> Result<ObjectName, DatabaseFailure> {
    as_the_tool(conn).await.map_err(|error| failed("the session's settings", &error))?;
    let schema: Option<String> = sqlx::query_scalar("SELECT current_schema()::text")
        .fetch_one(&mut *conn)
        .await
        .map_err(|error| failed("asking for the schema", &error))?;
    let Some(schema) = schema else {
        let hint = "ALTER ROLE ... SET search_path";
        return Err(refused(format!("no schema of the search path is there for `{}`", about.name), hint));
    };
    let table = ObjectName { schema: Some(schema), name: about.name.to_owned() };
    let name = quoted(&table)?;
    for sql in [Some(about.create_postgres), about.seed].into_iter().flatten() {
        let made = sqlx::raw_sql(AssertSqlSafe(sql.replace("{table}", &name))).execute(&mut *conn).await;
        made.map_err(|error| failed(format_args!("making the version table {table}"), &error))?;
    }
    Ok(table)
}

async fn script(conn: &mut PgConnection, migration: &Migration) -> Result<(), DatabaseFailure> {
    for (place, batch) in migration.up.batches.iter().enumerate() {
        let line = migration.up.batch_lines.get(place).copied().unwrap_or(1);
        // The text is the migration's own: that is what is to be applied.
        let sent = sqlx::raw_sql(AssertSqlSafe(batch.clone())).execute(&mut *conn).await;
        sent.map_err(|error| failed(format_args!("{}:{line}", migration.up.path), &error))?;
    }
    Ok(())
}

async fn say(conn: &mut PgConnection, sql: &'static str) -> Result<(), DatabaseFailure> {
    sqlx::raw_sql(sql).execute(conn).await.map(drop).map_err(|error| failed(sql, &error))
}
