//! The one way for a statement to be run by a superuser: a function that asks for a word nobody else has.
//!
//! A migration runs as a role that is no superuser, and a few statements of real migrations need one. Which
//! ones is decided outside, by looking at the statement; this only runs it, inside the session's own
//! transaction. The function keeps a digest of the word, and the word goes in as a bound value, so that a
//! migration that reads the catalog cannot learn it.

use sqlx::PgConnection;

/// Puts the function into a database. `conn` is a superuser's.
pub(super) async fn make(conn: &mut PgConnection, token: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(MAKE).execute(&mut *conn).await?;
    sqlx::query("INSERT INTO pg_catalog.unship_word SELECT sha256(convert_to($1, 'UTF8'))")
        .bind(token)
        .execute(&mut *conn)
        .await?;
    Ok(())
}

/// Runs a statement as a superuser, with the caller's search path.
pub(super) async fn run(conn: &mut PgConnection, token: &str, statement: &str) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_catalog.unship_elevated($1, $2)")
        .bind(token)
        .bind(statement)
        .execute(conn)
        .await
        .map(drop)
}

const MAKE: &str = "
SET allow_system_table_mods = on;
CREATE TABLE pg_catalog.unship_word (digest bytea);
REVOKE ALL ON pg_catalog.unship_word FROM PUBLIC;
CREATE FUNCTION pg_catalog.unship_elevated(word text, statement text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $body$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.unship_word
        WHERE digest OPERATOR(pg_catalog.=) pg_catalog.sha256(pg_catalog.convert_to(word, 'UTF8'))) THEN
        RAISE insufficient_privilege USING MESSAGE = 'this is not for migrations';
    END IF;
    EXECUTE statement;
    -- Whoever runs migrations owns what they make.
    UPDATE pg_catalog.pg_extension SET extowner = mine.oid FROM pg_catalog.pg_roles mine, pg_catalog.pg_roles other
        WHERE mine.rolname = session_user AND other.rolname = current_user AND extowner = other.oid
        AND pg_extension.oid >= 16384;
    UPDATE pg_catalog.pg_publication SET pubowner = mine.oid FROM pg_catalog.pg_roles mine, pg_catalog.pg_roles other
        WHERE mine.rolname = session_user AND other.rolname = current_user AND pubowner = other.oid;
    UPDATE pg_catalog.pg_event_trigger SET evtowner = mine.oid FROM pg_catalog.pg_roles mine, pg_catalog.pg_roles other
        WHERE mine.rolname = session_user AND other.rolname = current_user AND evtowner = other.oid;
END
$body$;
";
