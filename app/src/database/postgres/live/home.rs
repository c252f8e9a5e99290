//! The schema `_unship` in the service's database: the epoch, what was stepped down, the fences. Salvage keeps its
//! stores there too.

use sqlx::{PgConnection, Row as _};

use super::failure::{failed, refused};
use crate::ports::DatabaseFailure;

/// The schema's name.
pub const SCHEMA: &str = "_unship";

/// What is there. The function runs with the rights of who made it: whoever writes to a version table need not be
/// able to read the fences.
const MAKE: &str = r"
CREATE SCHEMA IF NOT EXISTS _unship;
CREATE TABLE IF NOT EXISTS _unship.epoch (
    service text NOT NULL, environment text NOT NULL, epoch bigint NOT NULL, run text NOT NULL,
    PRIMARY KEY (service, environment));
CREATE TABLE IF NOT EXISTS _unship.step (
    run text NOT NULL, step bigint NOT NULL, service text NOT NULL, environment text NOT NULL,
    migration text NOT NULL, version text NOT NULL, release_tag text, release_digest text,
    who text NOT NULL, reason text NOT NULL, xid bigint NOT NULL, at timestamptz NOT NULL,
    PRIMARY KEY (run, step));
CREATE TABLE IF NOT EXISTS _unship.fence (
    table_schema text NOT NULL, table_name text NOT NULL, version text NOT NULL, migration text NOT NULL,
    release_tag text, release_digest text, run text NOT NULL, step bigint NOT NULL, reason text NOT NULL,
    who text NOT NULL, since timestamptz NOT NULL,
    PRIMARY KEY (table_schema, table_name, version));
CREATE OR REPLACE FUNCTION _unship.fence_holds() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    standing _unship.fence%ROWTYPE;
    wanted text := to_jsonb(NEW) ->> TG_ARGV[0];
BEGIN
    IF TG_ARGV[1] = 'newest' THEN
        SELECT * INTO standing FROM _unship.fence f
        WHERE f.table_schema = TG_TABLE_SCHEMA AND f.table_name = TG_TABLE_NAME
        AND wanted::numeric >= f.version::numeric ORDER BY f.version::numeric LIMIT 1;
    ELSIF to_jsonb(NEW) ->> 'is_applied' IS DISTINCT FROM 'false' THEN
        SELECT * INTO standing FROM _unship.fence f
        WHERE f.table_schema = TG_TABLE_SCHEMA AND f.table_name = TG_TABLE_NAME AND f.version = wanted;
    ELSE
        RETURN NEW;
    END IF;
    IF FOUND THEN
        RAISE EXCEPTION 'unship fence: migration % of release % was taken down by run % (%); it is not applied again before: unship quarantine lift %',
            standing.migration, coalesce(standing.release_tag, 'unknown'), standing.run, standing.reason,
            coalesce(standing.release_tag, 'TAG');
    END IF;
    RETURN NEW;
END $$";

/// One maker at a time.
const MAKER_LOCK: i64 = 0x756e_7368_6970_0001;

const STATE: &str = "SELECT current_user::text, current_database()::text, n.oid IS NOT NULL AS made,
    coalesce(pg_has_role(n.nspowner, 'USAGE'), false) AS ours, pg_get_userbyid(n.nspowner)::text AS owner,
    has_database_privilege(current_database(), 'CREATE') AS may_make,
    (SELECT count(*) = 3 FROM pg_class WHERE relnamespace = n.oid AND relname IN ('epoch', 'step', 'fence'))
        AND EXISTS (SELECT FROM pg_proc WHERE pronamespace = n.oid AND proname = 'fence_holds') AS whole
FROM (SELECT) one LEFT JOIN pg_namespace n ON n.nspname = '_unship'";

/// Whether the schema is there with all that belongs into it; a failure where this role can neither use nor make it.
pub async fn is_made(conn: &mut PgConnection) -> Result<bool, DatabaseFailure> {
    let looked = async {
        let row = sqlx::query(STATE).fetch_one(conn).await?;
        let (role, database): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let (made, ours, may_make): (bool, bool, bool) =
            (row.try_get("made")?, row.try_get("ours")?, row.try_get("may_make")?);
        let (owner, whole): (Option<String>, bool) = (row.try_get("owner")?, row.try_get("whole")?);
        Ok::<_, sqlx::Error>((role, database, made, ours, may_make, owner, whole))
    };
    let (role, database, made, ours, may_make, owner, whole) =
        looked.await.map_err(|error| failed("looking for the schema `_unship`", &error))?;
    if made && !ours {
        let owner = owner.unwrap_or_default();
        return Err(refused(
            format!("the schema `_unship` belongs to `{owner}`, and `{role}` may not act as that role"),
            format!("as a superuser: GRANT \"{owner}\" TO \"{role}\""),
        ));
    }
    if !made && !may_make {
        return Err(refused(
            format!("`{role}` may not make the schema `_unship`, in which salvage and fences are kept"),
            format!("as the database's owner: GRANT CREATE ON DATABASE \"{database}\" TO \"{role}\""),
        ));
    }
    Ok(made && whole)
}

/// Makes what is missing, in a transaction of its own.
pub async fn ensure(conn: &mut PgConnection) -> Result<(), DatabaseFailure> {
    if is_made(conn).await? {
        return Ok(());
    }
    let made = async {
        sqlx::raw_sql("BEGIN").execute(&mut *conn).await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(MAKER_LOCK).execute(&mut *conn).await?;
        sqlx::raw_sql(MAKE).execute(&mut *conn).await?;
        sqlx::raw_sql("COMMIT").execute(&mut *conn).await
    };
    let ended = made.await;
    if ended.is_err() {
        // An open transaction would be in the way of what comes next; a lost connection has none.
        let _ = sqlx::raw_sql("ROLLBACK").execute(conn).await;
    }
    ended.map(drop).map_err(|error| failed("making the schema `_unship`", &error))
}
