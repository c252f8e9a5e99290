//! Accounts.

use serde::Serialize;

use super::CreateError;
use crate::database::{Db, each, sql};

#[derive(Debug, Clone, Serialize)]
pub struct User {
    pub id: i64,
    pub name: String,
    pub full_name: Option<String>,
    pub created_at: i64,
}

pub type Row = (i64, String, Option<String>, i64);

impl From<Row> for User {
    fn from((id, name, full_name, created_at): Row) -> Self {
        Self { id, name, full_name, created_at }
    }
}

pub async fn create(db: &Db, name: &str, full_name: Option<&str>, now: i64) -> Result<User, CreateError> {
    let (id,): (i64,) = each!(db, pool => {
        sqlx::query_as(sql!("user_insert")).bind(name).bind(full_name).bind(now).fetch_one(pool).await
    })?;
    Ok(User { id, name: name.to_owned(), full_name: full_name.map(str::to_owned), created_at: now })
}

pub async fn by_name(db: &Db, name: &str) -> Result<Option<User>, sqlx::Error> {
    let row: Option<Row> =
        each!(db, pool => sqlx::query_as(sql!("user_by_name")).bind(name).fetch_optional(pool).await)?;
    Ok(row.map(User::from))
}
