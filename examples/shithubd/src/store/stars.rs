//! Stars. Giving one twice is giving it once.

use super::jobs::{self, Kind};
use crate::database::{Db, each, sql};

pub async fn give(db: &Db, user: i64, repo: i64, now: i64) -> Result<(), sqlx::Error> {
    each!(db, pool => {
        let mut transaction = pool.begin().await?;
        sqlx::query(sql!("star_insert")).bind(user).bind(repo).bind(now).execute(&mut *transaction).await?;
        sqlx::query(jobs::ENQUEUE)
            .bind(Kind::CountStars.name())
            .bind(repo)
            .bind(now)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    })
}

pub async fn take(db: &Db, user: i64, repo: i64, now: i64) -> Result<(), sqlx::Error> {
    each!(db, pool => {
        let mut transaction = pool.begin().await?;
        sqlx::query(sql!("star_delete")).bind(user).bind(repo).execute(&mut *transaction).await?;
        sqlx::query(jobs::ENQUEUE)
            .bind(Kind::CountStars.name())
            .bind(repo)
            .bind(now)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    })
}

pub async fn count(db: &Db, repo: i64) -> Result<i64, sqlx::Error> {
    let (count,): (i64,) =
        each!(db, pool => sqlx::query_as(sql!("stars_count")).bind(repo).fetch_one(pool).await)?;
    Ok(count)
}

pub async fn given(db: &Db, user: i64, repo: i64) -> Result<bool, sqlx::Error> {
    let (count,): (i64,) =
        each!(db, pool => sqlx::query_as(sql!("star_exists")).bind(user).bind(repo).fetch_one(pool).await)?;
    Ok(count > 0)
}
