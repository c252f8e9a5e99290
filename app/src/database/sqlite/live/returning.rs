//! The rows of one table on their way back.
//!
//! Each row of the store that is not back yet gets a word: `same` (it is there as it was), `insert`, `update`, or what
//! is in its way: `missing`, `changed`. Rows that were written get `done` when they are found to be as they were;
//! `dangling` if what they point to is gone.

use sqlx::{AssertSqlSafe, SqliteConnection};
use unship_core::sql::quote::{sqlite_identifier, sqlite_text};

use super::compare::identical;
use super::connect::say;
use super::failure::{failed, refused};
use super::kept::Layout;
use super::name;
use super::store::after_name;
use super::table::Table;
use crate::ports::{CONFLICTS_MAX, Conflict, DatabaseFailure, OnConflict, Restored};

/// How often rows are tried that are in each other's way.
const PASSES_MAX: usize = 64;

/// A table's rows, and the SQL that speaks of them: `s` is a row of the store, `t` one of the table, `d` its word.
pub struct Returning<'a> {
    pub layout: &'a Layout,
    table: &'a Table,
    /// The temporary table with the words.
    words: String,
    store: String,
    target: String,
    /// Whether `t` is the row that `s` was.
    is_it: String,
    /// Whether `t` is as `s` was in every column.
    is_same: String,
    /// Whether `t` is as the down left `s`.
    is_unchanged: String,
    /// What is not NULL in every row `t`.
    is_there: String,
    /// Rows of the store that must not be written: what they point to is gone.
    left: Vec<i64>,
}

impl<'a> Returning<'a> {
    pub fn new(
        number: usize,
        layout: &'a Layout,
        table: &'a Table,
    ) -> Result<Returning<'a>, DatabaseFailure> {
        let all = |alias: &str| name::columns(alias, layout.columns.iter().map(String::as_str));
        let kept = |alias: &str| name::columns(alias, layout.kept.iter().map(String::as_str));
        let left = if layout.has_after {
            (0..layout.kept.len()).map(|place| format!("s.{}", after_name(place))).collect()
        } else {
            kept("s")?
        };
        let (is_it, is_there) = match (&layout.key, table.rowid) {
            (Some(key), rowid) => {
                let of = |alias: &str| name::columns(alias, key.iter().map(String::as_str));
                let (ours, theirs) = (of("t")?, of("s")?);
                let pairs = ours.iter().zip(&theirs).map(|(t, s)| format!("{t} IS {s}"));
                let first = ours.first().cloned().unwrap_or_default();
                (pairs.collect::<Vec<_>>().join(" AND "), rowid.map_or(first, |rowid| format!("t.{rowid}")))
            }
            (None, Some(rowid)) => {
                // Where a row has none afterwards it was gone then.
                (format!("t.{rowid} = coalesce(s.unship_after, s.unship_rowid)"), format!("t.{rowid}"))
            }
            (None, None) => {
                return Err(refused(
                    format!("the rows of `{}` had rowids, and have none now", layout.table),
                    "what is salvaged can be written to files: unship salvage export",
                ));
            }
        };
        Ok(Returning {
            words: format!("temp.unship_words_{number}"),
            store: name::main(&layout.place)?,
            target: name::main(&table.name)?,
            is_same: identical(&all("t")?, &all("s")?),
            is_unchanged: identical(&kept("t")?, &left),
            is_it,
            is_there,
            left: Vec::new(),
            layout,
            table,
        })
    }

    /// Writes what can be written.
    pub async fn put_back(
        &self,
        conn: &mut SqliteConnection,
        conflicts: OnConflict,
    ) -> Result<(), DatabaseFailure> {
        self.classify(conn, conflicts).await?;
        self.insert(conn).await?;
        let mut before = self.count(conn, "what = 'update'").await?;
        for _ in 0..PASSES_MAX {
            if before == 0 {
                break;
            }
            self.update(conn, conflicts).await?;
            let after = self.count(conn, "what = 'update'").await?;
            if after == before {
                break;
            }
            before = after;
        }
        self.sequence(conn).await
    }

    async fn classify(
        &self,
        conn: &mut SqliteConnection,
        conflicts: OnConflict,
    ) -> Result<(), DatabaseFailure> {
        let Returning { words, store, target, is_it, is_same, is_unchanged, is_there, .. } = self;
        let changed = match conflicts {
            OnConflict::Keep => "changed",
            OnConflict::Saved => "update",
        };
        // A rowid that nobody gave is taken by chance: the row gets another one.
        let by_chance =
            if self.layout.key.is_none() && self.table.has_hidden_rowid() { "TRUE" } else { "FALSE" };
        let is_twice = self.is_twice()?;
        let sql = format!(
            "CREATE TABLE {words} (row INTEGER PRIMARY KEY, what TEXT NOT NULL); \
             INSERT OR IGNORE INTO {words} SELECT s.unship_row, CASE \
             WHEN {is_there} IS NULL AND s.unship_state = 'gone' THEN 'insert' \
             WHEN {is_there} IS NULL THEN 'missing' \
             WHEN {is_twice} THEN 'changed' \
             WHEN {is_same} THEN 'same' \
             WHEN s.unship_state = 'gone' AND {by_chance} THEN 'insert' \
             WHEN s.unship_state = 'kept' AND {is_unchanged} THEN 'update' \
             ELSE '{changed}' END \
             FROM {store} AS s LEFT JOIN {target} AS t ON {is_it} WHERE s.unship_done = 0"
        );
        self.say(conn, &sql).await?;
        for row in &self.left {
            let sql = format!("UPDATE {words} SET what = 'dangling' WHERE row = ?");
            let left = sqlx::query(AssertSqlSafe(sql)).bind(row).execute(&mut *conn).await;
            left.map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }

    /// Whether another row has the key of `t` as well, as those that no constraint keeps apart may since the down: which
    /// of them `s` was nobody can say.
    fn is_twice(&self) -> Result<String, DatabaseFailure> {
        let (Some(key), Some(rowid)) = (&self.layout.key, self.table.rowid) else {
            return Ok("FALSE".to_owned());
        };
        let key = name::columns("o", key.iter().map(String::as_str))?.join(", ");
        Ok(format!(
            "t.{rowid} IN (SELECT id FROM (SELECT o.{rowid} AS id, count(*) OVER (PARTITION BY {key}) AS rows \
             FROM {} AS o) WHERE rows > 1)",
            self.target
        ))
    }

    async fn insert(&self, conn: &mut SqliteConnection) -> Result<(), DatabaseFailure> {
        let Returning { words, store, target, .. } = self;
        let names = self
            .layout
            .columns
            .iter()
            .map(|column| sqlite_identifier(column))
            .collect::<Result<Vec<_>, _>>()?;
        let (names, values) =
            (names.join(", "), name::columns("s", self.layout.columns.iter().map(String::as_str))?);
        let values = values.join(", ");
        let wanted =
            format!("FROM {store} AS s JOIN {words} AS d ON d.row = s.unship_row WHERE d.what = 'insert'");
        let Some(rowid) = self.table.rowid.filter(|_| self.table.has_hidden_rowid()) else {
            let sql = format!(
                "INSERT OR IGNORE INTO {target} ({names}) SELECT {values} {wanted} ORDER BY s.unship_row"
            );
            self.say(conn, &sql).await?;
            return self.mark(conn, "insert").await;
        };
        let sql = format!(
            "INSERT OR IGNORE INTO {target} ({rowid}, {names}) SELECT s.unship_rowid, {values} {wanted} \
             AND NOT EXISTS (SELECT 1 FROM {target} AS o WHERE o.{rowid} = s.unship_rowid) ORDER BY s.unship_row"
        );
        self.say(conn, &sql).await?;
        self.mark(conn, "insert").await?;
        // The others get a new rowid; one by one, since nothing else would tell which of them went in.
        let left: Vec<i64> =
            self.fetch(conn, &format!("SELECT row FROM {words} WHERE what = 'insert' ORDER BY row")).await?;
        for row in left {
            let sql = format!(
                "INSERT OR IGNORE INTO {target} ({names}) SELECT {values} FROM {store} AS s WHERE s.unship_row = ?"
            );
            let written = sqlx::query(AssertSqlSafe(sql)).bind(row).execute(&mut *conn).await;
            if written.map_err(|error| self.failed(&error))?.rows_affected() == 1 {
                let done = format!("UPDATE {words} SET what = 'done' WHERE row = ?");
                let done = sqlx::query(AssertSqlSafe(done)).bind(row).execute(&mut *conn).await;
                done.map_err(|error| self.failed(&error))?;
            }
        }
        Ok(())
    }

    async fn update(
        &self,
        conn: &mut SqliteConnection,
        conflicts: OnConflict,
    ) -> Result<(), DatabaseFailure> {
        let Returning { words, store, target, is_it, layout, .. } = self;
        let is_key = |column: &String| layout.key.as_ref().is_some_and(|key| key.contains(column));
        let all = layout.has_after || conflicts == OnConflict::Saved;
        let wanted = layout.columns.iter().filter(|column| !is_key(column));
        let mut set = Vec::new();
        for column in wanted.filter(|column| all || !layout.kept.contains(column)) {
            let column = sqlite_identifier(column)?;
            set.push(format!("{column} = s.{column}"));
        }
        if set.is_empty() {
            return Ok(());
        }
        let sql = format!(
            "UPDATE OR IGNORE {target} AS t SET {} FROM {store} AS s JOIN {words} AS d ON d.row = s.unship_row \
             WHERE d.what = 'update' AND {is_it}",
            set.join(", ")
        );
        self.say(conn, &sql).await?;
        self.mark(conn, "update").await
    }

    /// Rows that are as they were now are done.
    async fn mark(&self, conn: &mut SqliteConnection, what: &str) -> Result<(), DatabaseFailure> {
        let Returning { words, store, target, is_it, is_same, .. } = self;
        let sql = format!(
            "UPDATE {words} SET what = 'done' WHERE what = '{what}' AND row IN (SELECT s.unship_row FROM {store} AS s \
             JOIN {target} AS t ON {is_it} WHERE {is_same})"
        );
        self.say(conn, &sql).await
    }

    /// What AUTOINCREMENT had given out is given out to nobody else.
    async fn sequence(&self, conn: &mut SqliteConnection) -> Result<(), DatabaseFailure> {
        let Some(sequence) = self.layout.sequence else { return Ok(()) };
        let updated = sqlx::query("UPDATE main.sqlite_sequence SET seq = max(seq, ?) WHERE name = ?")
            .bind(sequence)
            .bind(&self.table.name)
            .execute(&mut *conn)
            .await
            .map_err(|error| self.failed(&error))?;
        if updated.rows_affected() == 0 {
            sqlx::query("INSERT INTO main.sqlite_sequence (name, seq) VALUES (?, ?)")
                .bind(&self.table.name)
                .bind(sequence)
                .execute(conn)
                .await
                .map_err(|error| self.failed(&error))?;
        }
        Ok(())
    }

    /// Takes rows out again that went in and point to rows which are not there, unless there were such rows before the
    /// down; how many.
    pub async fn take_out_dangling(&self, conn: &mut SqliteConnection) -> Result<u64, DatabaseFailure> {
        let Returning { words, store, target, is_it, .. } = self;
        let (Some(rowid), Some(dangling)) = (self.table.rowid, self.dangling()?) else { return Ok(0) };
        let sql = format!(
            "UPDATE {words} SET what = 'dangling' WHERE what = 'done' AND row IN ({dangling} AND s.unship_state = 'gone')"
        );
        let found = sqlx::query(AssertSqlSafe(sql)).execute(&mut *conn).await;
        let found = found.map_err(|error| self.failed(&error))?.rows_affected();
        if found > 0 {
            let sql = format!(
                "DELETE FROM {target} WHERE {rowid} IN (SELECT t.{rowid} FROM {store} AS s JOIN {target} AS t ON {is_it} \
                 JOIN {words} AS d ON d.row = s.unship_row WHERE d.what = 'dangling' AND s.unship_state = 'gone')"
            );
            self.say(conn, &sql).await?;
        }
        Ok(found)
    }

    /// Leaves rows as they are from the next time on that were there and point, as they were, to rows which are gone
    /// since; whether there are any.
    pub async fn leave_dangling(&mut self, conn: &mut SqliteConnection) -> Result<bool, DatabaseFailure> {
        let Some(dangling) = self.dangling()? else { return Ok(false) };
        let words = &self.words;
        let found: Vec<i64> = self
            .fetch(
                conn,
                &format!(
                    "SELECT row FROM {words} WHERE what = 'done' AND row IN ({dangling} AND s.unship_state = 'kept')"
                ),
            )
            .await?;
        self.left.extend(&found);
        Ok(!found.is_empty())
    }

    /// The rows of the store whose row in the table points to one that is not there; none where such rows were there
    /// before the down.
    fn dangling(&self) -> Result<Option<String>, DatabaseFailure> {
        let Returning { store, target, is_it, .. } = self;
        let Some(rowid) = self.table.rowid.filter(|_| !self.layout.dangled) else { return Ok(None) };
        let of = sqlite_text(&self.table.name)?;
        Ok(Some(format!(
            "SELECT s.unship_row FROM {store} AS s JOIN {target} AS t ON {is_it} \
             WHERE t.{rowid} IN (SELECT rowid FROM pragma_foreign_key_check({of}, 'main'))"
        )))
    }

    /// Counts, names the conflicts, and remembers in the store which rows are back.
    pub async fn finish(
        &self,
        conn: &mut SqliteConnection,
        restored: &mut Restored,
    ) -> Result<(), DatabaseFailure> {
        let Returning { words, store, .. } = self;
        restored.rows += self.count(conn, "what = 'done'").await?;
        restored.same += self.count(conn, "what = 'same'").await?;
        restored.conflicts_count += self.count(conn, "what NOT IN ('done', 'same')").await?;
        let key = match &self.layout.key {
            Some(key) => {
                let quoted = name::columns("s", key.iter().map(String::as_str))?;
                let parts = quoted.iter().map(|column| format!("quote({column})"));
                parts.collect::<Vec<_>>().join(" || ', ' || ")
            }
            None => "'rowid ' || coalesce(s.unship_after, s.unship_rowid)".to_owned(),
        };
        let room = CONFLICTS_MAX.saturating_sub(restored.conflicts.len());
        let sql = format!(
            "SELECT CAST({key} AS BLOB), d.what FROM {words} AS d JOIN {store} AS s ON s.unship_row = d.row \
             WHERE d.what NOT IN ('done', 'same') ORDER BY d.row LIMIT {room}"
        );
        let listed: Vec<(Vec<u8>, String)> = sqlx::query_as(AssertSqlSafe(sql))
            .fetch_all(&mut *conn)
            .await
            .map_err(|error| self.failed(&error))?;
        restored.conflicts.extend(listed.into_iter().map(|(key, what)| Conflict {
            table: name::object(&self.layout.table),
            // A text of SQLite need not be UTF-8.
            key: String::from_utf8_lossy(&key).into_owned(),
            why: why(&what).to_owned(),
        }));
        let sql = format!(
            "UPDATE {store} SET unship_done = 1 WHERE unship_row IN \
             (SELECT row FROM {words} WHERE what IN ('done', 'same')); DROP TABLE {words}"
        );
        self.say(conn, &sql).await
    }

    async fn count(&self, conn: &mut SqliteConnection, which: &str) -> Result<u64, DatabaseFailure> {
        let sql = format!("SELECT count(*) FROM {} WHERE {which}", self.words);
        let found: Vec<i64> = self.fetch(conn, &sql).await?;
        Ok(found.first().and_then(|count| u64::try_from(*count).ok()).unwrap_or(0))
    }

    async fn fetch(&self, conn: &mut SqliteConnection, sql: &str) -> Result<Vec<i64>, DatabaseFailure> {
        let fetched = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(conn).await;
        fetched.map_err(|error| self.failed(&error))
    }

    async fn say(&self, conn: &mut SqliteConnection, sql: &str) -> Result<(), DatabaseFailure> {
        say(conn, sql).await.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &sqlx::Error) -> DatabaseFailure {
        failed(format_args!("putting back `{}`", self.layout.table), error)
    }
}

/// What is in the way of a row, for a person.
fn why(word: &str) -> &'static str {
    match word {
        "missing" => "the row is gone",
        "changed" => "the row was changed since",
        "dangling" => "a row that it points to is gone",
        _ => "another row, or a rule of the table, is in its way",
    }
}
