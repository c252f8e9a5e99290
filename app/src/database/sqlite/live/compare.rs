//! What a down did to the rows, told by comparing every table of the copy from before with the database after it.
//!
//! Whatever the cause was, a dropped table or column, a rebuilt table, an UPDATE, a cascade or a trigger: a value that
//! was there before and is not in its place afterwards is lost. Values are the same when they have the same storage
//! class and the same bytes.

use sqlx::{AssertSqlSafe, SqliteConnection};
use unship_core::down::{Loss, LossKind};
use unship_core::sql::quote::sqlite_identifier;

use super::failure::{failed, refused};
use super::name;
use super::script::{Rename, column_after, table_after};
use super::table::{BEFORE, Column, Table, read};
use super::violations::{self, Violations};
use crate::database::sqlite::tokens::{Kind, tokens};
use crate::ports::DatabaseFailure;

/// A column that is there before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub before: String,
    pub after: String,
}

/// What tells which row afterwards is which row from before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pairing {
    /// The columns of the primary key.
    Key(Vec<Kept>),
    /// The rowid.
    Rowid { before: &'static str, after: &'static str },
    /// The place among the rows, which is all that a table without a key keeps when it is rebuilt. `pairs` is the
    /// temporary table with the rowids of each pair.
    Place { before: &'static str, after: &'static str, pairs: String },
    /// Nothing: no row afterwards can be called one from before.
    None,
}

/// Rows as SQL has them: what stands behind FROM, and which of them.
#[derive(Debug, Clone)]
pub struct Rows {
    pub from: String,
    pub only: String,
}

impl Rows {
    fn all(from: String) -> Rows {
        Rows { from, only: "TRUE".to_owned() }
    }

    /// Those of them for which this holds too.
    pub fn and(&self, condition: &str) -> Rows {
        Rows { from: self.from.clone(), only: format!("{} AND {condition}", self.only) }
    }
}

/// A table from before with what became of it.
#[derive(Debug)]
pub struct Compared {
    pub before: Table,
    /// None where it is gone.
    pub after: Option<Table>,
    pub kept: Vec<Kept>,
    pub pairing: Pairing,
    /// Rows without a pair.
    pub gone: u64,
    /// Pairs whose kept columns differ.
    pub changed: u64,
    pub losses: Vec<Loss>,
    /// Whether rows of it pointed nowhere before.
    pub dangled: bool,
}

impl Compared {
    /// Columns that are gone although their table is not.
    pub fn lost_columns(&self) -> Vec<&Column> {
        let is_kept = |column: &&Column| !self.kept.iter().any(|kept| kept.before == column.name);
        if self.after.is_none() {
            return Vec::new();
        }
        self.before.columns.iter().filter(is_kept).collect()
    }

    /// The rows `b` from before, each with its row `a` afterwards.
    pub fn pairs(&self) -> Result<Option<Rows>, DatabaseFailure> {
        let Some(after) = &self.after else { return Ok(None) };
        let (b, a) = (self.before.quoted(BEFORE)?, after.quoted("main")?);
        Ok(match &self.pairing {
            Pairing::None => None,
            Pairing::Place { before, after, pairs } => Some(Rows::all(format!(
                "{b} AS b JOIN {pairs} AS p ON p.b = b.{before} JOIN {a} AS a ON a.{after} = p.a"
            ))),
            Pairing::Key(_) | Pairing::Rowid { .. } => {
                Some(Rows::all(format!("{b} AS b JOIN {a} AS a ON {}", self.pairing.condition()?)))
            }
        })
    }

    /// The rows `b` from before that have no row afterwards.
    pub fn gone_rows(&self) -> Result<Rows, DatabaseFailure> {
        let from = format!("{} AS b", self.before.quoted(BEFORE)?);
        let Some(after) = &self.after else { return Ok(Rows::all(from)) };
        let found = match &self.pairing {
            Pairing::None => return Ok(Rows::all(from)),
            Pairing::Place { before, pairs, .. } => {
                format!("SELECT 1 FROM {pairs} AS p WHERE p.b = b.{before}")
            }
            Pairing::Key(_) | Pairing::Rowid { .. } => {
                format!("SELECT 1 FROM {} AS a WHERE {}", after.quoted("main")?, self.pairing.condition()?)
            }
        };
        Ok(Rows { from, only: format!("NOT EXISTS ({found})") })
    }

    /// Whether the kept columns of a pair are the same.
    pub fn unchanged(&self) -> Result<String, DatabaseFailure> {
        let before = name::columns("b", self.kept.iter().map(|kept| kept.before.as_str()))?;
        let after = name::columns("a", self.kept.iter().map(|kept| kept.after.as_str()))?;
        Ok(identical(&before, &after))
    }
}

impl Pairing {
    fn condition(&self) -> Result<String, DatabaseFailure> {
        Ok(match self {
            Pairing::Key(columns) => {
                let mut parts = Vec::with_capacity(columns.len());
                for column in columns {
                    let (before, after) =
                        (sqlite_identifier(&column.before)?, sqlite_identifier(&column.after)?);
                    // SQLite lets NULLs into a primary key that is not the rowid.
                    parts.push(format!("a.{after} IS b.{before}"));
                }
                parts.join(" AND ")
            }
            Pairing::Rowid { before, after } => format!("a.{after} = b.{before}"),
            Pairing::Place { .. } | Pairing::None => "FALSE".to_owned(),
        })
    }
}

/// Whether each of `these` is the very value that `others` has in its place: as row values, since a chain of ANDs would
/// be too deep for a table of many columns.
pub fn identical(these: &[String], others: &[String]) -> String {
    if these.is_empty() {
        return "TRUE".to_owned();
    }
    let classes =
        |of: &[String]| of.iter().map(|one| format!("typeof({one})")).collect::<Vec<_>>().join(", ");
    let binary = these.iter().map(|one| format!("{one} COLLATE BINARY")).collect::<Vec<_>>().join(", ");
    format!("(({}) IS ({}) AND ({binary}) IS ({}))", classes(these), classes(others), others.join(", "))
}

/// Compares every table of the attached copy. `version_table` is the tool's own; `dangling` is about the copy.
pub async fn compare(
    conn: &mut SqliteConnection,
    renames: &[Rename],
    version_table: &str,
    dangling: &Violations,
) -> Result<Vec<Compared>, DatabaseFailure> {
    let before = read(conn, BEFORE, Some(version_table)).await?;
    let after = read(conn, "main", Some(version_table)).await?;
    let mut all = Vec::with_capacity(before.len());
    for (number, table) in before.into_iter().enumerate() {
        let one = |named: &str| after.iter().find(|other| name::same(&other.name, named)).cloned();
        let now = one(&table_after(renames, &table.name)).or_else(|| one(&table.name));
        let mut compared = one_table(conn, renames, number, table, now).await?;
        compared.dangled = violations::has(dangling, &compared.before.name);
        all.push(compared);
    }
    Ok(all)
}

async fn one_table(
    conn: &mut SqliteConnection,
    renames: &[Rename],
    number: usize,
    before: Table,
    after: Option<Table>,
) -> Result<Compared, DatabaseFailure> {
    if before.columns.iter().any(|column| name::is_ours(&column.name)) {
        return Err(refused(
            format!("the table `{}` has a column whose name begins with `unship_`", before.name),
            "such names are for what unship keeps there: rename the column",
        ));
    }
    if before.key.is_empty() && before.rowid.is_none() {
        return Err(refused(
            format!(
                "columns of the table `{}` have every name of its rowid, and it has no primary key",
                before.name
            ),
            "its rows cannot be told apart: rename one of the columns",
        ));
    }
    let kept = after.as_ref().map(|after| kept(renames, &before, after)).unwrap_or_default();
    let mut table = Compared {
        before,
        after,
        kept,
        pairing: Pairing::None,
        gone: 0,
        changed: 0,
        losses: Vec::new(),
        dangled: false,
    };
    table.pairing = pairing(conn, &table, number).await?;
    table.gone = count(conn, &table, &table.gone_rows()?).await?;
    if let Some(pairs) = table.pairs()? {
        let changed = pairs.and(&format!("NOT {}", table.unchanged()?));
        table.changed = count(conn, &table, &changed).await?;
    }
    table.losses = losses(conn, &table).await?;
    Ok(table)
}

fn kept(renames: &[Rename], before: &Table, after: &Table) -> Vec<Kept> {
    let find = |column: &Column| {
        let moved = after.column(&column_after(renames, &before.name, &column.name));
        let now = moved.or_else(|| after.column(&column.name))?;
        Some(Kept { before: column.name.clone(), after: now.name.clone() })
    };
    let mut kept: Vec<Kept> = Vec::new();
    for found in before.columns.iter().filter_map(find) {
        // A column takes the place of one column.
        if !kept.iter().any(|other| other.after == found.after) {
            kept.push(found);
        }
    }
    kept
}

/// What tells the rows apart on both sides; a primary key before a rowid, which a rebuilt table deals out anew.
async fn pairing(
    conn: &mut SqliteConnection,
    table: &Compared,
    number: usize,
) -> Result<Pairing, DatabaseFailure> {
    let Some(after) = &table.after else { return Ok(Pairing::None) };
    let of_key = |column: &String| table.kept.iter().find(|kept| kept.before == *column).cloned();
    let key: Option<Vec<Kept>> = table.before.key.iter().map(of_key).collect();
    if let Some(key) = key.filter(|key| !key.is_empty())
        && is_key(conn, table, BEFORE, &table.before, key.iter().map(|kept| &kept.before)).await?
        && is_key(conn, table, "main", after, key.iter().map(|kept| &kept.after)).await?
    {
        return Ok(Pairing::Key(key));
    }
    let (Some(before), Some(now)) = (table.before.rowid, after.rowid) else { return Ok(Pairing::None) };
    let pairs = format!("temp.unship_pairs_{number}");
    if places_agree(conn, table, before, now, &pairs).await? {
        return Ok(Pairing::Place { before, after: now, pairs });
    }
    Ok(Pairing::Rowid { before, after: now })
}

/// Whether these columns are different in every row, where one NULL is as another.
async fn is_key(
    conn: &mut SqliteConnection,
    table: &Compared,
    schema: &str,
    of: &Table,
    columns: impl Iterator<Item = &String>,
) -> Result<bool, DatabaseFailure> {
    let columns: Vec<String> = name::columns("t", columns.map(String::as_str))?;
    let is_declared = of.key.len() == columns.len()
        && name::columns("t", of.key.iter().map(String::as_str))?.iter().all(|one| columns.contains(one));
    if is_declared && (of.rowid.is_none() || of.key_is_rowid) {
        return Ok(true);
    }
    let (from, list) = (of.quoted(schema)?, columns.join(", "));
    let nulls = columns.iter().map(|column| format!("{column} IS NULL")).collect::<Vec<_>>().join(" OR ");
    let all = Rows::all(format!("{from} AS t"));
    if is_declared && count(conn, table, &all.and(&format!("({nulls})"))).await? == 0 {
        return Ok(true);
    }
    let twice = format!("(SELECT 1 FROM {from} AS t GROUP BY {list} HAVING count(*) > 1 LIMIT 1)");
    Ok(count(conn, table, &Rows::all(twice)).await? == 0)
}

/// Whether a table without a key has as many rows as before, and in every place the same row under another rowid. If
/// so the pairs are written down.
async fn places_agree(
    conn: &mut SqliteConnection,
    table: &Compared,
    before: &str,
    now: &str,
    pairs: &str,
) -> Result<bool, DatabaseFailure> {
    let Some(after) = &table.after else { return Ok(false) };
    let (b, a) = (table.before.quoted(BEFORE)?, after.quoted("main")?);
    let rows = count(conn, table, &Rows::all(format!("{b} AS t"))).await?;
    if rows != count(conn, table, &Rows::all(format!("{a} AS t"))).await? {
        return Ok(false);
    }
    let same_rowids = Rows::all(format!("{b} AS b JOIN {a} AS a ON a.{now} = b.{before}"));
    if count(conn, table, &same_rowids).await? == rows {
        return Ok(false);
    }
    let sql = format!(
        "CREATE TABLE {pairs} (b INTEGER PRIMARY KEY, a INTEGER NOT NULL); \
         INSERT INTO {pairs} SELECT b.id, a.id FROM \
         (SELECT {before} AS id, row_number() OVER (ORDER BY {before}) AS place FROM {b}) AS b JOIN \
         (SELECT {now} AS id, row_number() OVER (ORDER BY {now}) AS place FROM {a}) AS a ON a.place = b.place"
    );
    super::connect::say(conn, &sql).await.map_err(|error| comparing(table, &error))?;
    let joined = format!("{pairs} AS p JOIN {b} AS b ON b.{before} = p.b JOIN {a} AS a ON a.{now} = p.a");
    let differ = Rows::all(joined).and(&format!("NOT {}", table.unchanged()?));
    Ok(count(conn, table, &differ).await? == 0)
}

/// Every loss of a table that touches a row, or takes something away.
async fn losses(conn: &mut SqliteConnection, table: &Compared) -> Result<Vec<Loss>, DatabaseFailure> {
    let name = name::object(&table.before.name);
    let all = Rows::all(format!("{} AS b", table.before.quoted(BEFORE)?));
    let rows = count(conn, table, &all).await?;
    let loss = |kind, affected, bytes| Loss { kind, rows, affected, bytes, since_deploy: None };
    let Some(after) = &table.after else {
        let bytes = bytes(conn, table, &all, table.before.names()).await?;
        return Ok(vec![loss(LossKind::Table { table: name }, rows, bytes)]);
    };
    let mut losses = Vec::new();
    let pairs = table.pairs()?;
    for column in table.lost_columns() {
        let from = pairs.as_ref().unwrap_or(&all);
        let affected = count(conn, table, &from.and(&differs_from_default(column)?)).await?;
        let bytes = bytes(conn, table, from, [column.name.as_str()]).await?;
        let kind = LossKind::Column {
            table: name.clone(),
            column: column.name.clone(),
            default: column.default.clone(),
        };
        losses.push(loss(kind, affected, bytes));
    }
    let Some(pairs) = pairs.filter(|_| table.changed > 0) else {
        if table.gone > 0 {
            losses.push(loss(LossKind::Rows { table: name }, table.gone, 0));
        }
        return Ok(losses);
    };
    let mut others: Vec<&Kept> = Vec::new();
    for kept in &table.kept {
        let (Some(was), Some(now)) = (table.before.column(&kept.before), after.column(&kept.after)) else {
            continue;
        };
        if was.of_type == now.of_type {
            others.push(kept);
            continue;
        }
        let affected = count(conn, table, &pairs.and(&differ(&[kept])?)).await?;
        if affected > 0 {
            let kind = LossKind::Rewritten {
                table: name.clone(),
                column: kept.before.clone(),
                from: was.of_type.clone(),
                to: now.of_type.clone(),
            };
            losses.push(loss(kind, affected, bytes(conn, table, &pairs, [kept.before.as_str()]).await?));
        }
    }
    let changed = count(conn, table, &pairs.and(&differ(&others)?)).await? + table.gone;
    if changed > 0 {
        losses.push(loss(LossKind::Rows { table: name }, changed, 0));
    }
    Ok(losses)
}

/// Whether any of these columns of a pair differs.
fn differ(kept: &[&Kept]) -> Result<String, DatabaseFailure> {
    let before = name::columns("b", kept.iter().map(|kept| kept.before.as_str()))?;
    let after = name::columns("a", kept.iter().map(|kept| kept.after.as_str()))?;
    Ok(format!("NOT {}", identical(&before, &after)))
}

/// Whether a column of `b` holds what nobody wrote: neither NULL nor its default. A default that is no plain value is
/// not evaluated, and counts as none.
fn differs_from_default(column: &Column) -> Result<String, DatabaseFailure> {
    let quoted = format!("b.{}", sqlite_identifier(&column.name)?);
    Ok(match column.default.as_deref().filter(|default| is_plain(default)) {
        Some(default) => format!("{quoted} IS NOT NULL AND {quoted} COLLATE BINARY IS NOT ({default})"),
        None => format!("{quoted} IS NOT NULL"),
    })
}

/// Whether a default is one number, text, blob or NULL.
pub fn is_plain(default: &str) -> bool {
    let found = tokens(default);
    let text = |at: usize| found.get(at).map(|token| &default[token.span.clone()]);
    let number = |at: usize| text(at).is_some_and(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    match found.as_slice() {
        [one] => {
            one.kind == Kind::Text
                || number(0)
                || text(0).is_some_and(|word| word.eq_ignore_ascii_case("null"))
        }
        [sign, _] if sign.kind == Kind::Sign => matches!(text(0), Some("-" | "+")) && number(1),
        [x, blob] => x.is(default, "x") && blob.kind == Kind::Text,
        _ => false,
    }
}

async fn bytes<'a>(
    conn: &mut SqliteConnection,
    table: &Compared,
    rows: &Rows,
    columns: impl IntoIterator<Item = &'a str>,
) -> Result<u64, DatabaseFailure> {
    let mut sum = 0;
    for column in name::columns("b", columns)? {
        let sql =
            format!("SELECT coalesce(sum(octet_length({column})), 0) FROM {} WHERE {}", rows.from, rows.only);
        sum += number(conn, table, &sql).await?;
    }
    Ok(sum)
}

async fn count(conn: &mut SqliteConnection, table: &Compared, rows: &Rows) -> Result<u64, DatabaseFailure> {
    number(conn, table, &format!("SELECT count(*) FROM {} WHERE {}", rows.from, rows.only)).await
}

async fn number(conn: &mut SqliteConnection, table: &Compared, sql: &str) -> Result<u64, DatabaseFailure> {
    let counted: i64 = sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
        .fetch_one(conn)
        .await
        .map_err(|error| comparing(table, &error))?;
    Ok(u64::try_from(counted).unwrap_or(0))
}

fn comparing(table: &Compared, error: &sqlx::Error) -> DatabaseFailure {
    failed(format_args!("comparing the table `{}` with what it was", table.before.name), error)
}
