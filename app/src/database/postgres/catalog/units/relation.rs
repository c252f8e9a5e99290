//! Tables, views, sequences, composite types, and their columns.

use sqlx::PgConnection;
use sqlx::postgres::types::Oid;
use unship_core::schema::{Address, Fact, Kind, Name, Object};

use super::{Found, Unit, grants, not_of_extension, rows};

const RELATIONS: &str = concat!(
    "SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text
, concat_ws(' ', nullif(c.relpersistence::text, 'p'), array_to_string(c.reloptions, ','),
    CASE WHEN c.relreplident <> 'd' AND c.relkind IN ('r', 'p', 'm') THEN 'replica identity ' || c.relreplident::text END,
    CASE WHEN a.amname NOT IN ('heap') THEN a.amname END,
    CASE WHEN c.reloftype <> 0 THEN 'of ' || c.reloftype::regtype::text END,
    f.ftserver, array_to_string(f.ftoptions, ','))
, CASE WHEN c.relrowsecurity THEN 'on' END
, CASE WHEN c.relforcerowsecurity THEN 'on' END
, CASE WHEN c.relkind = 'S' THEN ",
    grants!("c.relacl", "s", "c.relowner"),
    " ELSE ",
    grants!("c.relacl", "r", "c.relowner"),
    " END
, CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END
, CASE WHEN c.relispartition THEN i.parents || ' ' || pg_get_expr(c.relpartbound, c.oid) END
, CASE WHEN NOT c.relispartition THEN i.parents END
, CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid)
    WHEN c.relkind = 'c' THEN (SELECT string_agg(quote_ident(attname) || ' ' || format_type(atttypid, atttypmod), ', '
        ORDER BY attnum) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped)
    WHEN s.seqrelid IS NOT NULL THEN concat_ws(' ', format_type(s.seqtypid, NULL), 'start', s.seqstart, 'by',
        s.seqincrement, 'from', s.seqmin, 'to', s.seqmax, 'cache', s.seqcache, CASE WHEN s.seqcycle THEN 'cycle' END)
    END
, CASE WHEN c.relkind = 'S' THEN (SELECT n2.nspname || '.' || c2.relname || '.' || t.attname
    FROM pg_depend d JOIN pg_class c2 ON c2.oid = d.refobjid JOIN pg_namespace n2 ON n2.oid = c2.relnamespace
    JOIN pg_attribute t ON t.attrelid = d.refobjid AND t.attnum = d.refobjsubid
    WHERE d.classid = 1259 AND d.objid = c.oid AND d.refclassid = 1259 AND d.deptype IN ('a', 'i') LIMIT 1) END
, coalesce(m.description, CASE WHEN c.relkind = 'c' THEN obj_description(c.reltype, 'pg_type') END)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_am a ON a.oid = c.relam
LEFT JOIN pg_sequence s ON s.seqrelid = c.oid
LEFT JOIN pg_foreign_table f0 ON f0.ftrelid = c.oid
LEFT JOIN LATERAL (SELECT srvname AS ftserver, f0.ftoptions FROM pg_foreign_server WHERE oid = f0.ftserver) f ON true
LEFT JOIN LATERAL (SELECT string_agg(inhparent::regclass::text, ', ' ORDER BY inhseqno) AS parents
    FROM pg_inherits WHERE inhrelid = c.oid) i ON true
LEFT JOIN pg_description m ON m.classoid = 1259 AND m.objoid = c.oid AND m.objsubid = 0
WHERE c.oid = ANY($1) AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')
AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND ",
    not_of_extension!("1259", "c.oid")
);

pub(super) async fn relations(conn: &mut PgConnection, oids: &[Oid]) -> Result<Vec<Found>, sqlx::Error> {
    rows(conn, RELATIONS, oids, |columns| {
        let oid = columns.oid()?;
        let name = Name::of(columns.text()?, columns.text()?);
        let relkind = columns.text()?;
        let kind = match relkind.as_str() {
            "v" => Kind::View,
            "m" => Kind::MaterializedView,
            "f" => Kind::ForeignTable,
            "S" => Kind::Sequence,
            "c" => Kind::Composite,
            _ => Kind::Table,
        };
        let object = Object::new(kind, name, Unit::Relation.address(oid))
            .with(Fact::Options, columns.text()?)
            .with(Fact::RowSecurity, columns.text()?)
            .with(Fact::ForceRowSecurity, columns.text()?)
            .with(Fact::Grants, columns.text()?)
            .with(Fact::PartitionKey, columns.text()?)
            .with(Fact::PartitionBound, columns.text()?)
            .with(Fact::Inherits, columns.text()?)
            .with(Fact::Definition, columns.text()?)
            .with(Fact::OwnedBy, columns.text()?)
            .with(Fact::Comment, columns.text()?);
        Ok(Found { oid, object })
    })
    .await
}

const COLUMNS: &str = concat!(
    "SELECT a.attrelid, a.attnum::integer, n.nspname::text, c.relname::text, a.attname::text
, format_type(a.atttypid, a.atttypmod)
, CASE WHEN a.attnotnull THEN 'on' END
, CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END
, nullif(a.attidentity::text, '')
, CASE WHEN a.attgenerated <> '' THEN a.attgenerated::text || ' ' || pg_get_expr(d.adbin, d.adrelid) END
, CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END
, concat_ws(' ', CASE WHEN a.attstorage <> t.typstorage THEN 'storage ' || a.attstorage::text END,
    nullif(to_jsonb(a)->>'attcompression', ''),
    CASE WHEN coalesce(a.attstattarget, -1) <> -1 THEN 'statistics ' || a.attstattarget END,
    array_to_string(a.attoptions, ','), array_to_string(a.attfdwoptions, ','))
, ",
    grants!("a.attacl", "c", "c.relowner"),
    "
, m.description
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_description m ON m.classoid = 1259 AND m.objoid = a.attrelid AND m.objsubid = a.attnum
WHERE a.attrelid = ANY($1) AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND ",
    not_of_extension!("1259", "c.oid")
);

pub(super) async fn columns(conn: &mut PgConnection, oids: &[Oid]) -> Result<Vec<Found>, sqlx::Error> {
    rows(conn, COLUMNS, oids, |columns| {
        let oid = columns.oid()?;
        let number = columns.number()?;
        let name = Name::part(columns.text()?, columns.text()?, columns.text()?);
        let address = Address { class: Unit::Relation.class(), oid, sub: number };
        let object = Object::new(Kind::Column, name, address)
            .at(number)
            .with(Fact::Type, columns.text()?)
            .with(Fact::NotNull, columns.text()?)
            .with(Fact::Default, columns.text()?)
            .with(Fact::Identity, columns.text()?)
            .with(Fact::Generated, columns.text()?)
            .with(Fact::Collation, columns.text()?)
            .with(Fact::Storage, columns.text()?)
            .with(Fact::Grants, columns.text()?)
            .with(Fact::Comment, columns.text()?);
        Ok(Found { oid, object })
    })
    .await
}
