//! Applies one migration as its tool would.

use sqlx::{AssertSqlSafe, SqliteConnection};
use unship_core::down::{difference, row_changes};
use unship_core::tools::{Migration, VersionTable, When, Wrap, about};

use super::connect::{self, Address, Opening, roll_back, say};
use super::failure::{failed, refused};
use super::{look, name, rows};
use crate::database::sqlite::guard;
use crate::database::sqlite::tokens::statements;
use crate::ports::{DatabaseFailure, Live};

/// How long a migration waits for a writer, in milliseconds.
const LOCK_MS_MAX: u64 = 30_000;

/// How long one statement may take, in milliseconds.
const STATEMENT_MS_MAX: u64 = 3_600_000;

/// Applies it. What fails inside the tool's own transaction leaves nothing.
pub async fn up(address: &Address, migration: &Migration, live: &Live) -> Result<(), DatabaseFailure> {
    if let Some(why) = look::cannot_change(&address.file) {
        return Err(refused(format!("nothing can be changed in the database: {why}"), "nothing was touched"));
    }
    let foreign_keys = about(migration.tool).sqlite_foreign_keys;
    let mut conn = address.open(Opening { foreign_keys, lock_ms_max: LOCK_MS_MAX }).await?;
    let ended = apply(&mut conn, migration, live).await;
    if ended.is_err() {
        roll_back(&mut conn).await;
    }
    connect::close(conn, ended).await
}

async fn apply(
    conn: &mut SqliteConnection,
    migration: &Migration,
    live: &Live,
) -> Result<(), DatabaseFailure> {
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
    for batch in &migration.up.batches {
        for statement in statements(batch) {
            guard::check(&statement).map_err(|why| {
                refused(format!("{}: {why}", migration.up.path), "apply it with its own tool")
            })?;
        }
    }
    let Some(table) = about(tool).table else { return script(conn, migration).await };
    expect(conn, migration, &table, live).await?;
    let writes = |when: When, with_script: bool| {
        let writes =
            table.up.iter().filter(move |write| write.when == when && write.with_script == with_script);
        row_changes(&table, writes, migration, None)
    };
    let is_wrapped = about(tool).sqlite_wrap.unwrap_or(migration.up.wrap) == Wrap::Transaction;
    rows::change(conn, table.name, &writes(When::BeforeScript, false)).await?;
    if is_wrapped {
        own(conn, "BEGIN IMMEDIATE").await?;
    }
    rows::change(conn, table.name, &writes(When::BeforeScript, true)).await?;
    script(conn, migration).await?;
    rows::change(conn, table.name, &writes(When::AfterScript, true)).await?;
    if is_wrapped {
        own(conn, "COMMIT").await?;
    }
    rows::change(conn, table.name, &writes(When::AfterScript, false)).await?;
    let (applied, _) = rows::read(conn, tool).await?;
    if applied.versions.contains(migration.version.recorded()) && !applied.dirty {
        return Ok(());
    }
    Err(refused(
        format!("{} ran, and `{}` does not say so", migration.id, table.name),
        "look at both by hand",
    ))
}

/// Makes the version table where it is missing, and fails unless it is as it was looked at and no fence stands.
async fn expect(
    conn: &mut SqliteConnection,
    migration: &Migration,
    table: &VersionTable,
    live: &Live,
) -> Result<(), DatabaseFailure> {
    if !rows::is_there(conn, migration.tool).await? {
        let quoted = name::main(table.name)?;
        for sql in [Some(table.create_sqlite), table.seed].into_iter().flatten() {
            own(conn, &sql.replace("{table}", &quoted)).await?;
        }
    }
    let (applied, _) = rows::read(conn, migration.tool).await?;
    if applied != live.applied {
        let difference = difference(&live.applied.versions, &applied.versions);
        return Err(refused(
            format!("the version table `{}` has changed: {difference}", table.name),
            "look again",
        ));
    }
    if applied.dirty {
        return Err(refused(
            format!("the version table `{}` says that a migration broke off halfway", table.name),
            format!("look at what it left, and mend it as {} wants it", migration.tool),
        ));
    }
    super::fence::expect_none(conn, migration).await
}

async fn script(conn: &mut SqliteConnection, migration: &Migration) -> Result<(), DatabaseFailure> {
    for (place, batch) in migration.up.batches.iter().enumerate() {
        let first = migration.up.batch_lines.get(place).copied().unwrap_or(1);
        for statement in statements(batch) {
            connect::limit(conn, STATEMENT_MS_MAX).await?;
            // The text is the migration's own: that is what is to be applied.
            let ran = sqlx::raw_sql(AssertSqlSafe(statement.text.to_owned())).execute(&mut *conn).await;
            let line = first + statement.line - 1;
            ran.map_err(|error| failed(format_args!("{}:{line}", migration.up.path), &error))?;
        }
    }
    connect::unlimit(conn).await
}

async fn own(conn: &mut SqliteConnection, sql: &str) -> Result<(), DatabaseFailure> {
    say(conn, sql).await.map_err(|error| failed(sql, &error))
}
