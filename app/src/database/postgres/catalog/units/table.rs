//! Schemas, and what hangs on tables: indexes, constraints, triggers, policies, rules.

use sqlx::PgConnection;
use sqlx::postgres::types::Oid;
use unship_core::schema::{Fact, Kind, Name, Object};

use super::{Found, Unit, grants, not_of_extension, part, rows};

const NAMESPACES: &str = concat!(
    "SELECT n.oid, n.nspname::text, ",
    grants!("n.nspacl", "n", "n.nspowner"),
    ", m.description
FROM pg_namespace n
LEFT JOIN pg_description m ON m.classoid = 2615 AND m.objoid = n.oid AND n.oid >= 16384
WHERE n.oid = ANY($1) AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND ",
    not_of_extension!("2615", "n.oid")
);

pub(super) async fn namespaces(conn: &mut PgConnection, oids: &[Oid]) -> Result<Vec<Found>, sqlx::Error> {
    rows(conn, NAMESPACES, oids, |columns| {
        let oid = columns.oid()?;
        let object = Object::new(Kind::Schema, Name::global(columns.text()?), Unit::Namespace.address(oid))
            .with(Fact::Grants, columns.text()?)
            .with(Fact::Comment, columns.text()?);
        Ok(Found { oid, object })
    })
    .await
}

const INDEXES: &str = concat!(
    "SELECT i.indexrelid, n.nspname::text, t.relname::text, c.relname::text
, pg_get_indexdef(i.indexrelid)
, quote_ident(c.relname)
, CASE WHEN i.indisunique THEN 'on' END
, CASE WHEN NOT (i.indisvalid AND i.indisready) THEN 'on' END
, (SELECT string_agg(coalesce(quote_ident(a.attname), '(expression)'), ', ' ORDER BY k.place)
    FROM unnest(i.indkey) WITH ORDINALITY k(attnum, place)
    LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum <> 0)
, concat_ws(' ', CASE WHEN i.indisclustered THEN 'clustered' END, CASE WHEN i.indisreplident THEN 'replica identity' END)
, m.description
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
JOIN pg_namespace n ON n.oid = t.relnamespace
LEFT JOIN pg_description m ON m.classoid = 1259 AND m.objoid = i.indexrelid AND m.objsubid = 0
WHERE i.indexrelid = ANY($1) AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conrelid = i.indrelid AND o.conindid = i.indexrelid
    AND o.contype IN ('p', 'u', 'x')) AND ",
    not_of_extension!("1259", "t.oid")
);

pub(super) async fn indexes(conn: &mut PgConnection, oids: &[Oid]) -> Result<Vec<Found>, sqlx::Error> {
    rows(conn, INDEXES, oids, |columns| {
        let (oid, object) = part(columns, Unit::Index, Kind::Index)?;
        let definition = columns.text()?;
        let quoted = columns.text()?;
        let object = object
            .with(Fact::Definition, without_name(&definition, &quoted))
            .with(Fact::Unique, columns.text()?)
            .with(Fact::Invalid, columns.text()?)
            .with(Fact::Columns, columns.text()?)
            .with(Fact::Options, columns.text()?)
            .with(Fact::Comment, columns.text()?);
        Ok(Found { oid, object })
    })
    .await
}

/// `CREATE INDEX name ON t USING ...` without the name, so that a renamed index compares equal.
fn without_name(definition: &str, quoted: &str) -> String {
    definition.replacen(&format!("INDEX {quoted} ON "), "INDEX ON ", 1)
}

const CONSTRAINTS: &str = concat!(
    "SELECT o.oid, n.nspname::text, coalesce(c.relname, d.typname)::text, o.conname::text
, o.contype::text, CASE WHEN o.contypid <> 0 THEN 'on' END
, pg_get_constraintdef(o.oid)
, (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY k.place) FROM unnest(o.conkey) WITH ORDINALITY k(attnum, place)
    JOIN pg_attribute a ON a.attrelid = o.conrelid AND a.attnum = k.attnum)
, m.description
FROM pg_constraint o LEFT JOIN pg_class c ON c.oid = o.conrelid LEFT JOIN pg_type d ON d.oid = o.contypid
JOIN pg_namespace n ON n.oid = coalesce(c.relnamespace, d.typnamespace)
LEFT JOIN pg_description m ON m.classoid = 2606 AND m.objoid = o.oid
WHERE o.oid = ANY($1) AND o.contype IN ('c', 'f', 'p', 'u', 'x')
AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
AND (o.conrelid = 0 OR ",
    not_of_extension!("1259", "o.conrelid"),
    ") AND (o.contypid = 0 OR ",
    not_of_extension!("1247", "o.contypid"),
    ")"
);

/// NOT NULL entries of PostgreSQL 18 are left out: the column says it, and their names mean nothing. Constraint
/// triggers are triggers.
pub(super) async fn constraints(conn: &mut PgConnection, oids: &[Oid]) -> Result<Vec<Found>, sqlx::Error> {
    rows(conn, CONSTRAINTS, oids, |columns| {
        let (oid, mut object) = part(columns, Unit::Constraint, Kind::Constraint)?;
        let sort = columns.text()?;
        if !columns.text()?.is_empty() {
            object.kind = Kind::DomainConstraint;
        }
        let object = object
            .with(Fact::Sort, sort)
            .with(Fact::Definition, columns.text()?)
            .with(Fact::Columns, columns.text()?)
            .with(Fact::Comment, columns.text()?);
        Ok(Found { oid, object })
    })
    .await
}

/// Triggers that a partition has from its parent are left out: the parent's says it.
const TRIGGERS: &str = "SELECT g.oid, n.nspname::text, c.relname::text, g.tgname::text
, pg_get_triggerdef(g.oid), nullif(g.tgenabled::text, 'O'), m.description
FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_description m ON m.classoid = 2620 AND m.objoid = g.oid
WHERE g.oid = ANY($1) AND NOT g.tgisinternal AND g.tgparentid = 0
AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

pub(super) async fn triggers(conn: &mut PgConnection, oids: &[Oid]) -> Result<Vec<Found>, sqlx::Error> {
    rows(conn, TRIGGERS, oids, |columns| {
        let (oid, object) = part(columns, Unit::Trigger, Kind::Trigger)?;
        let object = object
            .with(Fact::Definition, columns.text()?)
            .with(Fact::Enabled, columns.text()?)
            .with(Fact::Comment, columns.text()?);
        Ok(Found { oid, object })
    })
    .await
}

const POLICIES: &str = "SELECT p.oid, n.nspname::text, c.relname::text, p.polname::text
, concat_ws(' ', CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END, 'for', p.polcmd::text, 'to',
    (SELECT string_agg(CASE WHEN r = 0 THEN 'PUBLIC' ELSE r::regrole::text END, ', ' ORDER BY 1) FROM unnest(p.polroles) r),
    'using (' || pg_get_expr(p.polqual, p.polrelid) || ')', 'check (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')
, m.description
FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_description m ON m.classoid = 3256 AND m.objoid = p.oid
WHERE p.oid = ANY($1)";

pub(super) async fn policies(conn: &mut PgConnection, oids: &[Oid]) -> Result<Vec<Found>, sqlx::Error> {
    rows(conn, POLICIES, oids, |columns| {
        let (oid, object) = part(columns, Unit::Policy, Kind::Policy)?;
        let object = object.with(Fact::Definition, columns.text()?).with(Fact::Comment, columns.text()?);
        Ok(Found { oid, object })
    })
    .await
}

const RULES: &str = "SELECT r.oid, n.nspname::text, c.relname::text, r.rulename::text
, pg_get_ruledef(r.oid), nullif(r.ev_enabled::text, 'O'), m.description
FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_description m ON m.classoid = 2618 AND m.objoid = r.oid
WHERE r.oid = ANY($1) AND r.rulename <> '_RETURN' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

pub(super) async fn rules(conn: &mut PgConnection, oids: &[Oid]) -> Result<Vec<Found>, sqlx::Error> {
    rows(conn, RULES, oids, |columns| {
        let (oid, object) = part(columns, Unit::Rule, Kind::Rule)?;
        let object = object
            .with(Fact::Definition, columns.text()?)
            .with(Fact::Enabled, columns.text()?)
            .with(Fact::Comment, columns.text()?);
        Ok(Found { oid, object })
    })
    .await
}
