//! Reads what a SQLite database has, and says it in the terms of the one catalog.
//!
//! SQLite keeps the text of each CREATE statement and little else, so columns and keys come from its PRAGMA
//! functions, and checks, collations and generated expressions from the text. Names of constraints are seldom
//! given; a constraint is named after what it is about. SQLite has no identity that outlives a name, so a
//! rename reads as one object gone and another one come.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::{Row as _, SqliteConnection};
use unship_core::schema::{Address, Catalog, Fact, Kind, Name, Object};

use super::tokens::{Kind as Sort, Token, tokens};

/// Everything that was read, ready to be sent from one process to another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schema {
    tables: Vec<Table>,
    /// Indexes made by CREATE INDEX.
    indexes: Vec<Index>,
    /// Views and triggers.
    texts: Vec<Text>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Table {
    name: String,
    sql: String,
    /// Virtual tables, WITHOUT ROWID, STRICT.
    options: String,
    columns: Vec<Column>,
    keys: Vec<ForeignKey>,
    /// The columns of each UNIQUE constraint.
    uniques: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Column {
    position: i32,
    name: String,
    of_type: String,
    not_null: bool,
    default: Option<String>,
    /// Place in the primary key, from 1; 0 if it is not part of it.
    key_place: i32,
    /// 0 plain, 1 hidden, 2 generated virtual, 3 generated stored.
    hidden: i32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ForeignKey {
    columns: String,
    definition: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Index {
    name: String,
    table: String,
    unique: bool,
    columns: String,
    sql: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Text {
    is_view: bool,
    name: String,
    table: String,
    sql: String,
    columns: Vec<Column>,
}

/// Reads the schema `main`.
pub async fn read(connection: &mut SqliteConnection) -> Result<Schema, sqlx::Error> {
    let mut schema = Schema::default();
    let rows = sqlx::query(
        "SELECT m.type, m.name, m.tbl_name, coalesce(m.sql, ''), l.type, l.wr, l.strict \
         FROM sqlite_schema AS m LEFT JOIN pragma_table_list AS l ON l.schema = 'main' AND l.name = m.name \
         WHERE m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY m.type, m.name",
    )
    .fetch_all(&mut *connection)
    .await?;
    for row in rows {
        let (kind, name, table, sql): (String, String, String, String) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        match kind.as_str() {
            "table" => {
                // The tables that a virtual table keeps for itself come and go with it.
                let of: Option<String> = row.try_get(4)?;
                if of.as_deref() == Some("shadow") {
                    continue;
                }
                let (without_rowid, strict): (Option<i64>, Option<i64>) = (row.try_get(5)?, row.try_get(6)?);
                let options = [
                    (of.as_deref() == Some("virtual")).then(|| normal(&sql)),
                    (without_rowid == Some(1)).then(|| "WITHOUT ROWID".to_owned()),
                    (strict == Some(1)).then(|| "STRICT".to_owned()),
                    has_word(&sql, "autoincrement").then(|| "AUTOINCREMENT".to_owned()),
                ];
                schema.tables.push(Table {
                    options: options.into_iter().flatten().collect::<Vec<_>>().join(", "),
                    columns: columns(connection, &name).await?,
                    keys: foreign_keys(connection, &name).await?,
                    uniques: uniques(connection, &name).await?,
                    name,
                    sql,
                });
            }
            "index" => {
                let columns = index_columns(connection, &name).await?;
                let unique = tokens(&sql).get(1).is_some_and(|token| token.is(&sql, "unique"));
                schema.indexes.push(Index { name, table, unique, columns, sql });
            }
            "view" | "trigger" => {
                let is_view = kind == "view";
                // A view on something that is gone has no columns any more; that is no error of reading.
                let columns =
                    if is_view { columns(connection, &name).await.unwrap_or_default() } else { Vec::new() };
                schema.texts.push(Text { is_view, name, table, sql, columns });
            }
            _ => {}
        }
    }
    Ok(schema)
}

async fn columns(connection: &mut SqliteConnection, table: &str) -> Result<Vec<Column>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT cid, name, type, \"notnull\", dflt_value, pk, hidden FROM pragma_table_xinfo(?) ORDER BY cid",
    )
    .bind(table)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Column {
                position: row.try_get::<i32, _>(0)? + 1,
                name: row.try_get(1)?,
                of_type: normal(&row.try_get::<Option<String>, _>(2)?.unwrap_or_default()).to_lowercase(),
                not_null: row.try_get::<i64, _>(3)? != 0,
                default: row.try_get(4)?,
                key_place: row.try_get(5)?,
                hidden: row.try_get(6)?,
            })
        })
        .collect()
}

async fn foreign_keys(
    connection: &mut SqliteConnection,
    table: &str,
) -> Result<Vec<ForeignKey>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT id, group_concat(\"from\", ', ' ORDER BY seq), max(\"table\"), \
         coalesce(group_concat(\"to\", ', ' ORDER BY seq), ''), max(on_update), max(on_delete) \
         FROM pragma_foreign_key_list(?) GROUP BY id ORDER BY 2, 3",
    )
    .bind(table)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let (columns, other, targets, update, delete): (String, String, String, String, String) =
                (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?, row.try_get(5)?);
            let definition = format!(
                "FOREIGN KEY ({columns}) REFERENCES {other}({targets}) ON UPDATE {update} ON DELETE {delete}"
            );
            Ok(ForeignKey { columns, definition })
        })
        .collect()
}

/// The columns of every UNIQUE constraint; SQLite keeps each as an index of origin `u`.
async fn uniques(connection: &mut SqliteConnection, table: &str) -> Result<Vec<String>, sqlx::Error> {
    let names: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_index_list(?) WHERE origin = 'u'")
        .bind(table)
        .fetch_all(&mut *connection)
        .await?;
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        found.push(index_columns(connection, &name).await?);
    }
    found.sort();
    Ok(found)
}

async fn index_columns(connection: &mut SqliteConnection, index: &str) -> Result<String, sqlx::Error> {
    let names: Vec<Option<String>> =
        sqlx::query_scalar("SELECT name FROM pragma_index_info(?) ORDER BY seqno")
            .bind(index)
            .fetch_all(connection)
            .await?;
    let names: Vec<String> =
        names.into_iter().map(|name| name.unwrap_or_else(|| "(expression)".to_owned())).collect();
    Ok(names.join(", "))
}

impl Schema {
    /// Leaves out tables, and what belongs to them, and everything else whose name is not to be kept.
    pub fn retain(&mut self, is_kept: impl Fn(&str) -> bool) {
        self.tables.retain(|table| is_kept(&table.name));
        self.indexes.retain(|index| is_kept(&index.table) && is_kept(&index.name));
        self.texts.retain(|text| is_kept(&text.table) && is_kept(&text.name));
    }

    /// The same in the terms of the one catalog. Tables named in `left_out` are the migration tool's own.
    pub fn catalog(&self, left_out: &[String]) -> Catalog {
        let mut catalog = Catalog::default();
        let mut add = |object: Object| drop(catalog.insert(object));
        for table in self.tables.iter().filter(|table| !left_out.contains(&table.name)) {
            table.objects(&mut add);
        }
        for index in self.indexes.iter().filter(|index| !left_out.contains(&index.table)) {
            let unique = if index.unique { "t" } else { "" };
            let object = object(Kind::Index, part(&index.table, &index.name))
                .with(Fact::Definition, normal(&index.sql))
                .with(Fact::Unique, unique)
                .with(Fact::Columns, index.columns.clone());
            add(object);
        }
        for text in &self.texts {
            if text.is_view {
                let definition = normal(&text.sql);
                add(object(Kind::View, whole(&text.name)).with(Fact::Definition, definition));
                for column in &text.columns {
                    let name = part(&text.name, &column.name);
                    let object = object(Kind::Column, name).with(Fact::Type, column.of_type.clone());
                    add(object.at(column.position));
                }
            } else {
                let definition = normal(&text.sql);
                add(object(Kind::Trigger, part(&text.table, &text.name)).with(Fact::Definition, definition));
            }
        }
        catalog
    }
}

impl Table {
    fn objects(&self, add: &mut impl FnMut(Object)) {
        add(object(Kind::Table, whole(&self.name)).with(Fact::Options, self.options.clone()));
        let body = Body::of(&self.sql);
        for column in self.columns.iter().filter(|column| column.hidden != 1) {
            let written = body.columns.get(&column.name.to_lowercase());
            let generated = match column.hidden {
                2 | 3 => written.and_then(|w| w.generated.clone()).unwrap_or_else(|| "generated".to_owned()),
                _ => String::new(),
            };
            // A lone INTEGER PRIMARY KEY is the row's own number and fills itself in.
            let fills_itself = column.key_place == 1
                && column.of_type == "integer"
                && self.columns.iter().filter(|other| other.key_place > 0).count() == 1
                && !self.options.contains("WITHOUT ROWID");
            let object = object(Kind::Column, part(&self.name, &column.name))
                .with(Fact::Type, column.of_type.clone())
                .with(Fact::NotNull, if column.not_null { "t" } else { "" })
                .with(Fact::Default, column.default.as_deref().map(normal).unwrap_or_default())
                .with(Fact::Identity, if fills_itself { "rowid" } else { "" })
                .with(Fact::Generated, generated)
                .with(Fact::Collation, written.and_then(|w| w.collation.clone()).unwrap_or_default());
            add(object.at(column.position));
        }
        let mut key: Vec<&Column> = self.columns.iter().filter(|column| column.key_place > 0).collect();
        key.sort_by_key(|column| column.key_place);
        if !key.is_empty() {
            let columns = key.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ");
            add(self.constraint("p", "primary key", &columns, format!("PRIMARY KEY ({columns})")));
        }
        for columns in &self.uniques {
            add(self.constraint("u", &format!("unique ({columns})"), columns, format!("UNIQUE ({columns})")));
        }
        for key in &self.keys {
            let name = format!("foreign key ({})", key.columns);
            add(self.constraint("f", &name, &key.columns, key.definition.clone()));
        }
        for check in &body.checks {
            add(self.constraint("c", &format!("check {check}"), "", format!("CHECK {check}")));
        }
    }

    fn constraint(&self, sort: &str, name: &str, columns: &str, definition: String) -> Object {
        object(Kind::Constraint, part(&self.name, name))
            .with(Fact::Sort, sort)
            .with(Fact::Columns, columns)
            .with(Fact::Definition, definition)
    }
}

fn whole(name: &str) -> Name {
    Name::global(name)
}

fn part(table: &str, name: &str) -> Name {
    Name::part("", table, name)
}

/// An object whose address is its own alone, so that it is never taken for another one renamed.
fn object(kind: Kind, name: Name) -> Object {
    let text = format!("{kind:?} {name}");
    let hash =
        text.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    let class = u32::try_from(text.len()).unwrap_or(u32::MAX);
    Object::new(kind, name, Address { class, oid: hash, sub: 0 })
}

/// A text with one blank between tokens, without comments: what two spellings of one thing have in common.
fn normal(sql: &str) -> String {
    let parts: Vec<&str> = tokens(sql).iter().map(|token| &sql[token.span.clone()]).collect();
    parts.join(" ")
}

fn has_word(sql: &str, word: &str) -> bool {
    tokens(sql).iter().any(|token| token.is(sql, word))
}

/// What only the text of a CREATE TABLE tells.
#[derive(Default)]
struct Body {
    columns: BTreeMap<String, Written>,
    checks: Vec<String>,
}

#[derive(Default)]
struct Written {
    collation: Option<String>,
    generated: Option<String>,
}

impl Body {
    fn of(sql: &str) -> Body {
        let all = tokens(sql);
        let Some(open) = all.iter().position(|token| token.kind == Sort::Open) else {
            return Body::default();
        };
        let mut body = Body::default();
        let mut depth = 0_usize;
        let mut start = open + 1;
        for (at, token) in all.iter().enumerate().skip(open) {
            match token.kind {
                Sort::Open => depth += 1,
                Sort::Close => depth = depth.saturating_sub(1),
                _ => {}
            }
            let ends = (token.kind == Sort::Comma && depth == 1) || depth == 0;
            if ends {
                body.segment(sql, &all[start..at]);
                start = at + 1;
            }
            if depth == 0 {
                break;
            }
        }
        body.checks.sort();
        body.checks.dedup();
        body
    }

    fn segment(&mut self, sql: &str, tokens: &[Token]) {
        let mut written = Written::default();
        for (at, token) in tokens.iter().enumerate() {
            if token.is(sql, "check") {
                self.checks.extend(bracket(sql, &tokens[at + 1..]));
            } else if token.is(sql, "collate") {
                written.collation = tokens.get(at + 1).map(|token| token.name(sql));
            } else if token.is(sql, "as") {
                written.generated = bracket(sql, &tokens[at + 1..]);
            }
        }
        let constraint = ["constraint", "primary", "unique", "check", "foreign"];
        if let Some(first) = tokens.first()
            && !constraint.iter().any(|word| first.is(sql, word))
        {
            self.columns.insert(first.name(sql), written);
        }
    }
}

/// The bracket with which `tokens` begin, normalised.
fn bracket(sql: &str, tokens: &[Token]) -> Option<String> {
    let mut depth = 0_usize;
    let end = tokens.iter().position(|token| {
        match token.kind {
            Sort::Open => depth += 1,
            Sort::Close => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    })?;
    (end > 0).then(|| normal(&sql[tokens[0].span.start..tokens[end].span.end]))
}
