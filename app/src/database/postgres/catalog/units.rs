//! The kinds of catalog rows that are read object by object, with the SQL for each.

use sqlx::PgConnection;
use sqlx::postgres::types::Oid;
use unship_core::schema::{Address, Fact, Kind, Name, Object};

use super::decode::{Columns, Found};

mod code;
mod relation;
mod table;
mod types;

/// What is read together and changes together. Order as in the pulse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Unit {
    Namespace,
    /// A table, view, sequence or composite type, with its columns.
    Relation,
    Index,
    Type,
    Function,
    Constraint,
    Trigger,
    Policy,
    Rule,
}

impl Unit {
    pub const ALL: [Self; 9] = [
        Self::Namespace,
        Self::Relation,
        Self::Index,
        Self::Type,
        Self::Function,
        Self::Constraint,
        Self::Trigger,
        Self::Policy,
        Self::Rule,
    ];

    /// The oid of the system catalog that holds it; fixed in every PostgreSQL.
    pub fn class(self) -> u32 {
        match self {
            Self::Namespace => 2615,
            Self::Relation | Self::Index => 1259,
            Self::Type => 1247,
            Self::Function => 1255,
            Self::Constraint => 2606,
            Self::Trigger => 2620,
            Self::Policy => 3256,
            Self::Rule => 2618,
        }
    }

    /// Can its name, or that of its parts, stand in the printed text of another object?
    pub fn is_named_in_texts(self) -> bool {
        matches!(self, Self::Namespace | Self::Relation | Self::Type | Self::Function)
    }

    fn address(self, oid: u32) -> Address {
        Address { class: self.class(), oid, sub: 0 }
    }
}

/// Were values of an enum renamed? They stand in defaults and checks.
pub(super) fn relabelled(was: &Object, now: &Object) -> bool {
    let values = |object: &Object| -> Vec<String> {
        object.fact(Fact::Values).unwrap_or_default().lines().map(str::to_owned).collect()
    };
    was.kind == Kind::Enum && {
        let now = values(now);
        values(was).iter().any(|value| !now.contains(value))
    }
}

/// Reads the given objects.
pub(super) async fn read(
    conn: &mut PgConnection,
    unit: Unit,
    oids: &[Oid],
) -> Result<Vec<Found>, sqlx::Error> {
    match unit {
        Unit::Namespace => table::namespaces(conn, oids).await,
        Unit::Relation => {
            let mut found = relation::relations(conn, oids).await?;
            found.extend(relation::columns(conn, oids).await?);
            Ok(found)
        }
        Unit::Index => table::indexes(conn, oids).await,
        Unit::Type => types::types(conn, oids).await,
        Unit::Function => code::functions(conn, oids).await,
        Unit::Constraint => table::constraints(conn, oids).await,
        Unit::Trigger => table::triggers(conn, oids).await,
        Unit::Policy => table::policies(conn, oids).await,
        Unit::Rule => table::rules(conn, oids).await,
    }
}

/// Sends one of the fixed queries; `$1` are the oids.
async fn rows(
    conn: &mut PgConnection,
    query: &'static str,
    oids: &[Oid],
    mut decode: impl FnMut(&mut Columns) -> Result<Found, sqlx::Error>,
) -> Result<Vec<Found>, sqlx::Error> {
    let rows = sqlx::query(query).bind(oids).fetch_all(conn).await?;
    rows.iter().map(|row| decode(&mut Columns::of(row))).collect()
}

/// A part of a relation: the next columns are schema, relation and own name.
fn part(columns: &mut Columns, unit: Unit, kind: Kind) -> Result<(u32, Object), sqlx::Error> {
    let oid = columns.oid()?;
    let name = Name::part(columns.text()?, columns.text()?, columns.text()?);
    Ok((oid, Object::new(kind, name, unit.address(oid))))
}

/// SQL text of the grants in `$acl`, sorted, with the owner's name taken out, so that two owners compare equal.
/// NULL when they are what PostgreSQL gives by default.
macro_rules! grants {
    ($acl:literal, $kind:literal, $owner:literal) => {
        concat!(
            "(CASE WHEN ", $acl, " IS NOT NULL THEN (SELECT nullif(mine.text, defaults.text) FROM ",
            grants!(@text $acl, $owner), " mine, ",
            grants!(@text concat!("acldefault('", $kind, "', ", $owner, ")"), $owner), " defaults) END)"
        )
    };
    (@text concat!($($acl:expr),*), $owner:literal) => {
        concat!(
            "(SELECT coalesce(string_agg(line, ' ' ORDER BY line), 'nobody') AS text FROM (",
            "SELECT CASE WHEN grantee = 0 THEN 'PUBLIC' WHEN grantee = ", $owner, " THEN '(owner)' ",
            "ELSE grantee::regrole::text END || '=' || string_agg(privilege_type || ",
            "CASE WHEN is_grantable THEN '*' ELSE '' END, ',' ORDER BY privilege_type) AS line FROM aclexplode(",
            $($acl),*, ") GROUP BY grantee) lines)"
        )
    };
    (@text $acl:literal, $owner:literal) => {
        grants!(@text concat!($acl), $owner)
    };
}
pub(super) use grants;

/// SQL condition: not a member of an extension.
macro_rules! not_of_extension {
    ($class:literal, $oid:literal) => {
        concat!(
            "NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = ",
            $class,
            " AND e.objid = ",
            $oid,
            " AND e.objsubid = 0 AND e.deptype = 'e')"
        )
    };
}
pub(super) use not_of_extension;
