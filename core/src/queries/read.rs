//! From files to queries.
//!
//! sqlx: one JSON file a query in `.sqlx/` (sqlx-cli 0.7 and later, `sqlx-macros-core/src/query/data.rs`), or all
//! in `sqlx-data.json` (before that). sqlc: `-- name: GetAuthor :one` before each query (docs.sqlc.dev, "Query
//! annotations"). pg_stat_statements: whatever has a column or key `query`.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{Form, QUERIES_MAX, QUERY_BYTES_MAX, Query, csv, placeholders};
use crate::sql::{Piece, is_blank, split};

/// The queries of a release.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuerySet {
    pub queries: Vec<Query>,
    /// Files or queries that were not read.
    pub passed_over: Vec<PassedOver>,
    /// Texts of sqlx's files so far.
    seen: BTreeSet<String>,
}

/// Something that is no query, with its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    pub path: String,
    pub why: String,
}

#[derive(Deserialize)]
struct SqlxFile {
    db_name: Option<String>,
    query: String,
    describe: Option<SqlxDescribe>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SqlxDescribe {
    columns: Vec<SqlxColumn>,
    /// What the database said of each column; an alias in the query may say otherwise.
    nullable: Vec<Option<bool>>,
}

#[derive(Deserialize)]
struct SqlxColumn {
    name: String,
}

impl SqlxFile {
    fn into_query(self, id: String) -> Query {
        let never_null = self.describe.map(SqlxDescribe::never_null).unwrap_or_default();
        Query { id, form: Form::SqlxOffline, sql: self.query, never_null }
    }
}

impl SqlxDescribe {
    /// The columns that sqlx makes no `Option` of. In an alias, `!` says that it is none and `?` that it is one
    /// (sqlx, `query!`, "Force Not-Null" and "Force Nullable").
    fn never_null(self) -> Vec<String> {
        let columns = self.columns.into_iter().zip(self.nullable);
        let never = columns.filter_map(|(column, nullable)| {
            let cut = column.name.find(['!', '?', ':']).unwrap_or(column.name.len());
            let (name, mark) = column.name.split_at(cut);
            let never = mark.starts_with('!') || nullable == Some(false) && !mark.starts_with('?');
            never.then(|| name.trim().to_owned())
        });
        never.collect()
    }
}

/// May a file of this name hold queries?
pub fn is_query_file(path: &str) -> bool {
    let ending = path.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
    path.contains('.') && matches!(ending.as_str(), "sql" | "json" | "csv")
}

/// Reads files, each with its path. Never fails: what cannot be read is named.
pub fn read<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> QuerySet {
    let mut set = QuerySet::default();
    for (path, text) in files {
        let ending = path.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        let read = match ending.as_str() {
            "json" => json(path, text),
            "csv" => statistics_csv(path, text),
            "sql" => Ok(sql(path, text)),
            _ => Err("no file of this kind holds queries".to_owned()),
        };
        match read {
            Ok(queries) => set.add(path, queries),
            Err(why) => set.passed_over.push(PassedOver { path: path.to_owned(), why }),
        }
    }
    set
}

/// Queries that a server gave from its statistics.
pub fn statistics(source: &str, texts: Vec<String>) -> QuerySet {
    let mut set = QuerySet::default();
    set.add(source, from_statistics(source, texts));
    set
}

impl QuerySet {
    fn add(&mut self, path: &str, queries: Vec<Query>) {
        for query in queries {
            // Every crate of a workspace may have its own file of the same query.
            if query.form == Form::SqlxOffline && !self.seen.insert(query.sql.clone()) {
                continue;
            }
            let why = if query.sql.len() > QUERY_BYTES_MAX {
                format!("{} is longer than {QUERY_BYTES_MAX} bytes", query.id)
            } else if self.queries.len() >= QUERIES_MAX {
                format!("{} comes after the limit of {QUERIES_MAX} queries", query.id)
            } else {
                self.queries.push(query);
                continue;
            };
            self.passed_over.push(PassedOver { path: path.to_owned(), why });
        }
    }
}

fn json(path: &str, text: &str) -> Result<Vec<Query>, String> {
    let unreadable = |error: serde_json::Error| format!("it is no JSON of a known form: {error}");
    let value: serde_json::Value = serde_json::from_str(text).map_err(unreadable)?;
    match value {
        serde_json::Value::Object(map) if map.contains_key("query") => {
            let file: SqlxFile = serde_json::from_value(map.into()).map_err(unreadable)?;
            let others = |name: &&String| name.starts_with("My") || name.starts_with("MSSQL");
            if let Some(other) = file.db_name.as_ref().filter(others) {
                return Err(format!("its query is for {other}"));
            }
            Ok(vec![file.into_query(path.to_owned())])
        }
        // sqlx-data.json: "db" and then a digest for each query.
        serde_json::Value::Object(map) => {
            let queries = map.into_iter().filter_map(|(key, value)| {
                let file: SqlxFile = serde_json::from_value(value).ok()?;
                let id = format!("{path}: {}", key.chars().take(12).collect::<String>());
                Some(file.into_query(id))
            });
            let queries: Vec<Query> = queries.collect();
            if queries.is_empty() { Err("no query is in it".to_owned()) } else { Ok(queries) }
        }
        serde_json::Value::Array(rows) => {
            let texts = rows.iter().filter_map(|row| row.get("query")?.as_str().map(str::to_owned)).collect();
            Ok(from_statistics(path, texts))
        }
        _ => Err("it is no JSON of a known form".to_owned()),
    }
}

fn statistics_csv(path: &str, text: &str) -> Result<Vec<Query>, String> {
    let mut records = csv::records(text).into_iter();
    let head = records.next().unwrap_or_default();
    let column = head.iter().position(|name| name.trim().eq_ignore_ascii_case("query"));
    let column = column.ok_or_else(|| "its first line names no column `query`".to_owned())?;
    Ok(from_statistics(
        path,
        records
            .filter_map(|mut record| (column < record.len()).then(|| record.swap_remove(column)))
            .collect(),
    ))
}

fn from_statistics(source: &str, texts: Vec<String>) -> Vec<Query> {
    let mut seen = BTreeSet::new();
    let texts = texts.into_iter().filter(|text| !is_blank(text) && seen.insert(text.clone()));
    let query = |(index, sql)| Query {
        id: format!("{source}: statement {}", index + 1),
        form: Form::Statistics,
        sql,
        never_null: Vec::new(),
    };
    texts.enumerate().map(query).collect()
}

/// Statements of a file; each is called by the `-- name:` line before it, if there is one.
fn sql(path: &str, text: &str) -> Vec<Query> {
    let statements: Vec<_> = split(text)
        .pieces
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Statement(statement) => Some(statement),
            Piece::Meta(_) => None,
        })
        .collect();
    let alone = statements.len() == 1;
    let mut from = 0;
    let mut queries = Vec::new();
    for statement in statements {
        let name = text[from..statement.span.start].lines().rev().find_map(name_of);
        from = statement.span.end;
        let sql = text[statement.span].trim().trim_end_matches(';').to_owned();
        if is_blank(&sql) {
            continue;
        }
        let (id, form) = match name {
            Some(name) => (format!("{path}: {name}"), Form::Named),
            None if alone => (path.to_owned(), Form::File),
            None => (format!("{path}:{}", statement.line), Form::File),
        };
        queries.push(Query { id, form, sql: placeholders::numbered(&sql), never_null: Vec::new() });
    }
    queries
}

/// `GetAuthor` of `-- name: GetAuthor :one`.
fn name_of(line: &str) -> Option<&str> {
    let rest = line.trim().strip_prefix("--")?.trim_start().strip_prefix("name:")?;
    rest.split_whitespace().next()
}
