//! Functions, procedures and aggregates.

use sqlx::PgConnection;
use sqlx::postgres::types::Oid;
use unship_core::schema::{Fact, Kind, Name, Object};

use super::{Found, Unit, grants, not_of_extension, rows};

/// `to_jsonb(p)` gives columns that only newer servers have, without naming them.
const FUNCTIONS: &str = concat!(
    "SELECT p.oid, n.nspname::text, p.proname || '(' || oidvectortypes(p.proargtypes) || ')'
, nullif(p.prokind::text, 'f')
, pg_get_function_result(p.oid)
, concat_ws(E'\\n', p.prosrc, p.probin,
    CASE WHEN to_jsonb(p)->>'prosqlbody' IS NOT NULL THEN pg_get_functiondef(p.oid) END)
, concat_ws(' ', l.lanname, p.provolatile::text, CASE WHEN p.proisstrict THEN 'strict' END,
    CASE WHEN p.prosecdef THEN 'security definer' END, CASE WHEN p.proleakproof THEN 'leakproof' END,
    'parallel', p.proparallel::text, 'cost', p.procost, CASE WHEN p.prorows <> 0 THEN 'rows ' || p.prorows END,
    nullif(p.prosupport::oid, 0)::regproc, array_to_string(p.proconfig, ' '),
    '(' || pg_get_function_arguments(p.oid) || ')', array_to_string(p.protrftypes::regtype[], ','),
    (SELECT concat_ws(' ', a.aggtransfn, a.aggfinalfn, a.aggcombinefn, a.aggserialfn, a.aggdeserialfn, a.aggmtransfn,
        a.aggminvtransfn, a.aggmfinalfn, a.aggfinalextra, a.aggsortop::regoperator, a.aggtranstype::regtype,
        a.agginitval, a.aggminitval) FROM pg_aggregate a WHERE a.aggfnoid = p.oid))
, ",
    grants!("p.proacl", "f", "p.proowner"),
    "
, m.description
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
LEFT JOIN pg_description m ON m.classoid = 1255 AND m.objoid = p.oid
WHERE p.oid = ANY($1) AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND ",
    not_of_extension!("1255", "p.oid"),
    // Constructors of range types belong to the type.
    " AND NOT EXISTS (SELECT FROM pg_depend i WHERE i.classid = 1255 AND i.objid = p.oid AND i.deptype = 'i')"
);

pub(super) async fn functions(conn: &mut PgConnection, oids: &[Oid]) -> Result<Vec<Found>, sqlx::Error> {
    rows(conn, FUNCTIONS, oids, |columns| {
        let oid = columns.oid()?;
        let name = Name::of(columns.text()?, columns.text()?);
        let object = Object::new(Kind::Function, name, Unit::Function.address(oid))
            .with(Fact::Sort, columns.text()?)
            .with(Fact::Type, columns.text()?)
            .with(Fact::Body, columns.text()?)
            .with(Fact::Options, columns.text()?)
            .with(Fact::Grants, columns.text()?)
            .with(Fact::Comment, columns.text()?);
        Ok(Found { oid, object })
    })
    .await
}
