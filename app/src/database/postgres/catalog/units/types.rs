//! Enums, domains, range types and base types. Composite types are relations; array and multirange types come
//! with the type they are of.

use sqlx::PgConnection;
use sqlx::postgres::types::Oid;
use unship_core::schema::{Fact, Kind, Name, Object};

use super::{Found, Unit, grants, not_of_extension, rows};

const TYPES: &str = concat!(
    "SELECT t.oid, n.nspname::text, t.typname::text, t.typtype::text
, (SELECT string_agg(enumlabel, E'\\n' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid)
, CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END
, CASE WHEN t.typnotnull THEN 'on' END
, t.typdefault
, CASE WHEN t.typtype = 'd' AND t.typcollation <> b.typcollation THEN t.typcollation::regcollation::text END
, CASE WHEN t.typtype = 'r' THEN (SELECT concat_ws(' ', format_type(rngsubtype, NULL), nullif(rngcollation, 0)::regcollation,
    (SELECT opcname FROM pg_opclass WHERE oid = rngsubopc), nullif(rngcanonical::oid, 0)::regproc,
    nullif(rngsubdiff::oid, 0)::regproc) FROM pg_range WHERE rngtypid = t.oid)
  WHEN t.typtype = 'b' THEN concat_ws(' ', t.typinput, t.typoutput, t.typlen, t.typbyval, t.typalign, t.typstorage,
    t.typcategory, t.typdelim) END
, ",
    grants!("t.typacl", "T", "t.typowner"),
    "
, m.description
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_type b ON b.oid = t.typbasetype
LEFT JOIN pg_description m ON m.classoid = 1247 AND m.objoid = t.oid
WHERE t.oid = ANY($1) AND t.typtype IN ('e', 'd', 'r', 'b') AND t.typisdefined
AND NOT EXISTS (SELECT FROM pg_type x WHERE x.typarray = t.oid)
AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND ",
    not_of_extension!("1247", "t.oid")
);

pub(super) async fn types(conn: &mut PgConnection, oids: &[Oid]) -> Result<Vec<Found>, sqlx::Error> {
    rows(conn, TYPES, oids, |columns| {
        let oid = columns.oid()?;
        let name = Name::of(columns.text()?, columns.text()?);
        let sort = columns.text()?;
        let kind = match sort.as_str() {
            "e" => Kind::Enum,
            "d" => Kind::Domain,
            "r" => Kind::Range,
            _ => Kind::BaseType,
        };
        let object = Object::new(kind, name, Unit::Type.address(oid))
            .with(Fact::Values, columns.text()?)
            .with(Fact::Type, columns.text()?)
            .with(Fact::NotNull, columns.text()?)
            .with(Fact::Default, columns.text()?)
            .with(Fact::Collation, columns.text()?)
            .with(Fact::Definition, columns.text()?)
            .with(Fact::Grants, columns.text()?)
            .with(Fact::Comment, columns.text()?);
        Ok(Found { oid, object })
    })
    .await
}
