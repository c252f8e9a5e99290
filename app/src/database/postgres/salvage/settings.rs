//! Settings under which a value's text says all of it, whatever the role, the tool or the down has set.

use sqlx::PgConnection;

/// With these, what a type's output function gives its input function takes back to the same value. Names of ours
/// are always written with their schema.
const EXACT: [(&str, &str); 8] = [
    ("search_path", "pg_catalog, pg_temp"),
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("TimeZone", "UTC"),
    ("lc_monetary", "C"),
    // A policy must not hide a row from us: reading fails instead.
    ("row_security", "off"),
];

/// What was set before.
#[derive(Debug)]
pub(super) struct Found(Vec<(String, String)>);

/// Sets what exact text needs, inside the transaction only if `local`.
pub(super) async fn exact(conn: &mut PgConnection, local: bool) -> Result<Found, sqlx::Error> {
    let names: Vec<&str> = EXACT.iter().map(|(name, _)| *name).collect();
    let found =
        sqlx::query_as("SELECT n, pg_catalog.current_setting(n) FROM pg_catalog.unnest($1::text[]) n")
            .bind(&names)
            .fetch_all(&mut *conn)
            .await?;
    let wanted: Vec<(String, String)> =
        EXACT.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    set(conn, &wanted, local).await?;
    Ok(Found(found))
}

/// Sets what was found.
pub(super) async fn put_back(conn: &mut PgConnection, found: Found, local: bool) -> Result<(), sqlx::Error> {
    set(conn, &found.0, local).await
}

async fn set(conn: &mut PgConnection, values: &[(String, String)], local: bool) -> Result<(), sqlx::Error> {
    let (names, values): (Vec<&str>, Vec<&str>) =
        values.iter().map(|(name, value)| (name.as_str(), value.as_str())).unzip();
    sqlx::query(
        "SELECT pg_catalog.set_config(x.n, x.v, $3) FROM ROWS FROM
            (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) x(n, v)",
    )
    .bind(names)
    .bind(values)
    .bind(local)
    .execute(conn)
    .await
    .map(drop)
}
