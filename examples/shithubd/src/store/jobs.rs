//! The job queue: at most one waiting job per kind and subject, claimed for a limited time.

use crate::database::{Db, each, sql};

/// For other nouns to enqueue in their own transaction: binds kind, subject and the present time.
pub const ENQUEUE: &str = sql!("job_enqueue");

/// A claim that is neither finished nor released by then goes to the next worker.
const CLAIM_SECONDS: i64 = 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    CountStars,
    IndexIssue,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::CountStars => "count_stars",
            Self::IndexIssue => "index_issue",
        }
    }

    fn named(name: &str) -> Option<Self> {
        [Self::CountStars, Self::IndexIssue].into_iter().find(|kind| kind.name() == name)
    }
}

#[derive(Debug)]
pub struct Job {
    pub id: i64,
    /// `None` for a kind that only a newer release knows: left in the queue for that one.
    pub kind: Option<Kind>,
    pub subject: i64,
    pub revision: i64,
    pub attempts: i64,
}

pub async fn claim(db: &Db, now: i64) -> Result<Option<Job>, sqlx::Error> {
    let row: Option<(i64, String, i64, i64, i64)> = each!(db, pool => {
        sqlx::query_as(sql!("job_claim")).bind(now).bind(now + CLAIM_SECONDS).fetch_optional(pool).await
    })?;
    Ok(row.map(|(id, kind, subject, revision, attempts)| Job {
        id,
        kind: Kind::named(&kind),
        subject,
        revision,
        attempts,
    }))
}

/// Done. If it was asked for again meanwhile, it goes back into the queue instead.
pub async fn finish(db: &Db, job: &Job, now: i64) -> Result<(), sqlx::Error> {
    let finished = each!(db, pool => {
        sqlx::query(sql!("job_finish"))
            .bind(job.id)
            .bind(job.revision)
            .execute(pool)
            .await
            .map(|done| done.rows_affected())
    })?;
    if finished == 0 { release(db, job, now).await } else { Ok(()) }
}

/// Not done: due again at `not_before`.
pub async fn release(db: &Db, job: &Job, not_before: i64) -> Result<(), sqlx::Error> {
    each!(db, pool => {
        sqlx::query(sql!("job_release")).bind(job.id).bind(not_before).execute(pool).await.map(drop)
    })
}

pub async fn count(db: &Db) -> Result<i64, sqlx::Error> {
    let (count,): (i64,) = each!(db, pool => sqlx::query_as(sql!("jobs_count")).fetch_one(pool).await)?;
    Ok(count)
}
