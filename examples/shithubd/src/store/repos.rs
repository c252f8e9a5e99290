//! Repositories, as the database knows them. The git side is in `crate::git`.

use serde::Serialize;

use super::{CreateError, LIST_LIMIT};
use crate::database::{Db, each, sql};

#[derive(Debug, Serialize)]
pub struct Repo {
    pub id: i64,
    pub owner: String,
    pub owner_full_name: Option<String>,
    pub name: String,
    pub description: String,
    /// As of the worker's last count; the exact number is at `.../star`.
    pub star_count: i64,
    pub created_at: i64,
}

type Row = (i64, String, Option<String>, String, String, i64, i64);

impl From<Row> for Repo {
    fn from((id, owner, owner_full_name, name, description, star_count, created_at): Row) -> Self {
        Self { id, owner, owner_full_name, name, description, star_count, created_at }
    }
}

/// What a write needs to know of its repository.
#[derive(Debug, Clone, Copy)]
pub struct Ref {
    pub id: i64,
    pub owner_id: i64,
}

pub async fn create(
    db: &Db,
    owner: i64,
    name: &str,
    description: &str,
    now: i64,
) -> Result<i64, CreateError> {
    let (id,): (i64,) = each!(db, pool => {
        sqlx::query_as(sql!("repo_insert"))
            .bind(owner)
            .bind(name)
            .bind(description)
            .bind(now)
            .fetch_one(pool)
            .await
    })?;
    Ok(id)
}

pub async fn delete(db: &Db, id: i64) -> Result<(), sqlx::Error> {
    each!(db, pool => sqlx::query(sql!("repo_delete")).bind(id).execute(pool).await.map(drop))
}

pub async fn find(db: &Db, owner: &str, name: &str) -> Result<Option<Ref>, sqlx::Error> {
    let row: Option<(i64, i64)> = each!(db, pool => sqlx::query_as(sql!("repo_ref")).bind(owner).bind(name).fetch_optional(pool).await)?;
    Ok(row.map(|(id, owner_id)| Ref { id, owner_id }))
}

pub async fn by_name(db: &Db, owner: &str, name: &str) -> Result<Option<Repo>, sqlx::Error> {
    let row: Option<Row> = each!(db, pool => {
        sqlx::query_as(sql!("repo_by_name")).bind(owner).bind(name).fetch_optional(pool).await
    })?;
    Ok(row.map(Repo::from))
}

/// The newest repositories, of everyone or of one owner.
pub async fn list(db: &Db, owner: Option<&str>) -> Result<Vec<Repo>, sqlx::Error> {
    let rows: Vec<Row> = match owner {
        Some(owner) => each!(db, pool => {
            sqlx::query_as(sql!("repos_by_owner")).bind(owner).bind(LIST_LIMIT).fetch_all(pool).await
        })?,
        None => each!(db, pool => sqlx::query_as(sql!("repos_list")).bind(LIST_LIMIT).fetch_all(pool).await)?,
    };
    Ok(rows.into_iter().map(Repo::from).collect())
}

/// The worker's job `count_stars`.
pub async fn count_stars(db: &Db, id: i64) -> Result<(), sqlx::Error> {
    each!(db, pool => sqlx::query(sql!("repo_count_stars")).bind(id).execute(pool).await.map(drop))
}
