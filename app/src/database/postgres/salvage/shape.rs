//! A table as it is: its columns, how each is kept, and a key that tells its rows apart.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use sqlx::postgres::types::Oid;
use unship_core::sql::ObjectName;
use unship_core::sql::quote::{QuoteError, identifier};

use super::failed;
use crate::database::postgres::live::name::quoted;
use crate::ports::DatabaseFailure;

/// One column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Column {
    pub num: i16,
    pub name: String,
    /// As PostgreSQL prints it, with its schema.
    pub type_name: String,
    /// The type is not the server's own: it is kept as the text that its output function gives. A type that somebody
    /// made may be dropped by the very down, and what is kept must not stand in the way.
    pub as_text: bool,
    /// Computed from others: never written.
    pub generated: bool,
    pub not_null: bool,
    /// Always numbered by the database: given on insertion only if that is overruled, never on a change.
    pub always_identity: bool,
    /// The collation, quoted with its schema; none for types without one.
    pub collation: Option<String>,
    /// For a column of a key: the operator that says whether two are equal.
    pub equals: Option<String>,
}

impl Column {
    pub fn quoted(&self) -> Result<String, QuoteError> {
        identifier(&self.name)
    }

    /// Its type in a store.
    pub fn kept_type(&self) -> &str {
        if self.as_text { "text" } else { &self.type_name }
    }

    /// The live column of `row` as a store keeps it.
    pub fn to_kept(&self, row: &str) -> Result<String, QuoteError> {
        let column = format!("{row}.{}", self.quoted()?);
        // `format` always uses the output function; a cast to text may be anybody's function.
        Ok(if self.as_text {
            format!("CASE num_nulls({column}) WHEN 0 THEN format('%s', {column}) END")
        } else {
            column
        })
    }

    /// The kept column of `row` as the live table has it.
    pub fn to_live(&self, row: &str) -> Result<String, QuoteError> {
        let column = format!("{row}.{}", self.quoted()?);
        Ok(if self.as_text { format!("CAST({column} AS {})", self.type_name) } else { column })
    }
}

/// A list of columns, each put into words by `of`.
pub(super) fn list(
    columns: &[Column],
    of: impl Fn(&Column) -> Result<String, QuoteError>,
) -> Result<Vec<String>, QuoteError> {
    columns.iter().map(of).collect()
}

/// A live table.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub oid: u32,
    pub name: ObjectName,
    /// Divided into partitions, which have the rows.
    pub partitioned: bool,
    pub columns: Vec<Column>,
    /// Unique keys without a NULL in them, the primary one first.
    keys: Vec<Vec<Column>>,
    /// Whether the server's own types and methods are all that it is made of, so that it can be moved aside whole.
    pub plain: bool,
    /// Nothing but its own parts hangs on it: dropping it takes nothing else along.
    pub alone: bool,
    /// Bytes on disk, indexes not counted.
    pub bytes: i64,
    /// Rows, as the planner believes.
    pub rows: i64,
}

impl Shape {
    /// With its schema, quoted.
    pub fn quoted(&self) -> Result<String, DatabaseFailure> {
        quoted(&self.name)
    }

    /// Its own rows and no descendant's, or those of its partitions.
    pub fn from(&self) -> Result<String, DatabaseFailure> {
        Ok(format!("{}{}", if self.partitioned { "" } else { "ONLY " }, self.quoted()?))
    }

    /// The best key without any of `lost`.
    pub fn key_without(&self, lost: &BTreeSet<String>) -> Option<&Vec<Column>> {
        self.keys.iter().find(|key| key.iter().all(|column| !lost.contains(&column.name)))
    }
}

/// The oid of a table, partitioned or not; nothing if there is none of that name.
pub(super) async fn oid_of(
    conn: &mut PgConnection,
    name: &ObjectName,
) -> Result<Option<u32>, DatabaseFailure> {
    let found: Option<Oid> = sqlx::query_scalar(
        "SELECT c.oid FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass($1) AND c.relkind IN ('r', 'p')",
    )
    .bind(quoted(name)?)
    .fetch_optional(conn)
    .await
    .map_err(|error| failed(format_args!("looking for {name}"), &error))?;
    Ok(found.map(|oid| oid.0))
}

const COLUMNS: &str =
    "SELECT a.attnum AS num, a.attname::text AS name, format_type(a.atttypid, a.atttypmod) AS type_name,
        t.typnamespace <> 'pg_catalog'::regnamespace AS as_text, a.attgenerated <> '' AS generated,
        a.attnotnull AS not_null, a.attidentity = 'a' AS always_identity,
        CASE WHEN a.attcollation <> 0 THEN format('%I.%I', n.nspname, c.collname) END AS collation
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_collation c ON c.oid = a.attcollation LEFT JOIN pg_namespace n ON n.oid = c.collnamespace
    WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum";

/// One row a column of an index that tells rows apart, with the operator of its class.
const KEYS: &str = "SELECT i.indexrelid, k.num,
        (SELECT format('OPERATOR(%I.%s)', n.nspname, o.oprname) FROM pg_opclass c
            JOIN pg_amop m ON m.amopfamily = c.opcfamily AND m.amopstrategy = 3
                AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype
            JOIN pg_operator o ON o.oid = m.amopopr JOIN pg_namespace n ON n.oid = o.oprnamespace
            WHERE c.oid = (i.indclass::oid[])[k.place - 1])
    FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am am ON am.oid = x.relam,
        unnest(i.indkey::int2[]) WITH ORDINALITY k(num, place)
    WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
        AND am.amname = 'btree' AND k.place <= i.indnkeyatts
    ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid, k.place";

/// Whether nothing that the table is made of belongs to somebody else.
const FACTS: &str = "SELECT c.relkind = 'p', n.nspname::text, c.relname::text,
        c.relkind = 'r' AND NOT c.relispartition AND c.reloftype = 0 AND c.relpersistence <> 't' AND am.amname = 'heap'
        AND NOT EXISTS (SELECT FROM pg_inherits i WHERE c.oid IN (i.inhrelid, i.inhparent))
        AND NOT EXISTS (SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
            LEFT JOIN pg_collation l ON l.oid = a.attcollation
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
            AND (t.typnamespace <> 'pg_catalog'::regnamespace OR a.attgenerated NOT IN ('', 's')
                OR l.collnamespace <> 'pg_catalog'::regnamespace))
        AND NOT EXISTS (SELECT FROM pg_index i, unnest(i.indclass::oid[]) k(class) JOIN pg_opclass o ON o.oid = k.class
            WHERE i.indrelid = c.oid AND i.indisunique AND o.opcnamespace <> 'pg_catalog'::regnamespace)
        AND NOT EXISTS (SELECT FROM pg_publication_rel p WHERE p.prrelid = c.oid)
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('e', 'x'))
        AND NOT EXISTS (SELECT FROM pg_event_trigger e WHERE e.evtenabled <> 'D'),
        NOT EXISTS (SELECT FROM pg_depend d WHERE d.deptype = 'n'
            AND (d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid OR d.refclassid = 'pg_type'::regclass
                AND d.refobjid IN (SELECT t.oid FROM pg_type t WHERE c.reltype IN (t.oid, t.typelem)))
            AND NOT EXISTS (SELECT FROM pg_constraint o WHERE d.classid = 'pg_constraint'::regclass AND o.oid = d.objid AND o.conrelid = c.oid)
            AND NOT EXISTS (SELECT FROM pg_attrdef o WHERE d.classid = 'pg_attrdef'::regclass AND o.oid = d.objid AND o.adrelid = c.oid)
            AND NOT EXISTS (SELECT FROM pg_trigger o WHERE d.classid = 'pg_trigger'::regclass AND o.oid = d.objid AND o.tgrelid = c.oid)
            AND NOT EXISTS (SELECT FROM pg_policy o WHERE d.classid = 'pg_policy'::regclass AND o.oid = d.objid AND o.polrelid = c.oid)
            AND NOT EXISTS (SELECT FROM pg_index o WHERE d.classid = 'pg_class'::regclass AND o.indexrelid = d.objid AND o.indrelid = c.oid)),
        (SELECT coalesce(sum(pg_table_size(p.relid)), 0)::bigint FROM (SELECT relid FROM pg_partition_tree(c.oid)
            UNION SELECT c.oid) p),
        (SELECT coalesce(sum(greatest(x.reltuples, 0)), 0)::bigint FROM (SELECT relid FROM pg_partition_tree(c.oid)
            UNION SELECT c.oid) p JOIN pg_class x ON x.oid = p.relid)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_am am ON am.oid = c.relam
    WHERE c.oid = $1";

/// As [`COLUMNS`] gives it.
type ColumnRow = (i16, String, String, bool, bool, bool, bool, Option<String>);

fn column(row: ColumnRow) -> Column {
    let (num, name, type_name, as_text, generated, not_null, always_identity, collation) = row;
    Column { num, name, type_name, as_text, generated, not_null, always_identity, collation, equals: None }
}

/// What [`FACTS`] gives: partitioned, schema, name, plain, alone, bytes, rows.
type FactsRow = (bool, String, String, Option<bool>, bool, i64, i64);

/// Reads a table; nothing if it is gone.
pub(super) async fn read(conn: &mut PgConnection, oid: u32) -> Result<Option<Shape>, sqlx::Error> {
    let facts: Option<FactsRow> = sqlx::query_as(FACTS).bind(Oid(oid)).fetch_optional(&mut *conn).await?;
    let Some((partitioned, schema, name, plain, alone, bytes, rows)) = facts else { return Ok(None) };
    let found: Vec<ColumnRow> = sqlx::query_as(COLUMNS).bind(Oid(oid)).fetch_all(&mut *conn).await?;
    let columns: Vec<Column> = found.into_iter().map(column).collect();
    let parts: Vec<(Oid, i16, Option<String>)> =
        sqlx::query_as(KEYS).bind(Oid(oid)).fetch_all(&mut *conn).await?;
    let mut keys: Vec<(Oid, Vec<Option<Column>>)> = Vec::new();
    for (index, num, equals) in parts {
        let usable = |column: &&Column| column.num == num && column.not_null && !column.generated;
        let column = columns.iter().find(usable).filter(|_| equals.is_some()).cloned();
        let column = column.map(|column| Column { equals, ..column });
        match keys.last_mut() {
            Some((last, key)) if *last == index => key.push(column),
            _ => keys.push((index, vec![column])),
        }
    }
    // A key is one only if all of its columns will do.
    let keys = keys.into_iter().filter_map(|(_, key)| key.into_iter().collect()).collect();
    let name = ObjectName { schema: Some(schema), name };
    Ok(Some(Shape {
        oid,
        name,
        partitioned,
        columns,
        keys,
        plain: plain.unwrap_or(false),
        alone,
        bytes,
        rows,
    }))
}

/// A piece of a table that has rows itself, with the number of the file in which they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leaf {
    pub quoted: String,
    pub file: i64,
    pub pages: i64,
}

const LEAVES: &str = "SELECT format('%I.%I', n.nspname, c.relname) AS name,
        coalesce(pg_relation_filenode(c.oid), 0)::bigint AS file,
        pg_relation_size(c.oid) / current_setting('block_size')::bigint AS pages
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid IN (SELECT $1 UNION SELECT relid FROM pg_partition_tree($1)) AND c.relkind = 'r' ORDER BY c.oid";

/// The table itself, or its partitions.
pub(super) async fn leaves(conn: &mut PgConnection, oid: u32) -> Result<Vec<Leaf>, sqlx::Error> {
    let found: Vec<(String, i64, i64)> = sqlx::query_as(LEAVES).bind(Oid(oid)).fetch_all(conn).await?;
    Ok(found.into_iter().map(|(quoted, file, pages)| Leaf { quoted, file, pages }).collect())
}
