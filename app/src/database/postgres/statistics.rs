//! What a server has counted in `pg_stat_statements`.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

/// Longest wait for the server.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The statements of the URL's own database, the most frequent ones first.
const STATEMENTS: &str = "SELECT s.query FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid \
     WHERE d.datname = current_database() AND s.query NOT LIKE '<%' \
     GROUP BY s.query ORDER BY sum(s.calls) DESC LIMIT 20000";

pub async fn queries(url: &str) -> Result<Vec<String>, sqlx::Error> {
    let options: PgConnectOptions = url.parse()?;
    let read = async {
        let mut conn = options.disable_statement_logging().connect().await?;
        let texts = sqlx::query_scalar(STATEMENTS).fetch_all(&mut conn).await?;
        conn.close().await?;
        Ok(texts)
    };
    tokio::time::timeout(WAIT_MAX, read)
        .await
        .unwrap_or_else(|_| Err(sqlx::Error::Protocol("the server did not answer in time".to_owned())))
}
