//! Issues, numbered from 1 in each repository, and the index of their words.

use serde::{Deserialize, Serialize};

use super::LIST_LIMIT;
use super::jobs::{self, Kind};
use crate::database::{Db, each, sql};

/// Words after this many are not indexed: one huge issue must not occupy the worker.
const MAX_TERMS: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    Open,
    Closed,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

#[derive(Debug, Serialize)]
pub struct Issue {
    #[serde(skip)]
    pub id: i64,
    pub number: i64,
    pub author: String,
    pub title: String,
    pub body: String,
    pub state: String,
    pub created_at: i64,
    pub updated_at: i64,
}

type Row = (i64, i64, String, String, String, String, i64, i64);

impl From<Row> for Issue {
    fn from((id, number, author, title, body, state, created_at, updated_at): Row) -> Self {
        Self { id, number, author, title, body, state, created_at, updated_at }
    }
}

/// What a change leaves out stays as it is.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    pub title: Option<String>,
    pub body: Option<String>,
    pub state: Option<State>,
}

#[derive(Debug, Serialize)]
pub struct Found {
    pub owner: String,
    pub repo: String,
    pub number: i64,
    pub title: String,
    pub state: String,
}

/// Creates an issue and returns its number.
pub async fn create(
    db: &Db,
    repo: i64,
    author: i64,
    title: &str,
    body: &str,
    now: i64,
) -> Result<i64, sqlx::Error> {
    each!(db, pool => {
        let mut transaction = pool.begin().await?;
        // A write first: SQLite then waits its turn, where read-then-write would fail as busy.
        let (number,): (i64,) =
            sqlx::query_as(sql!("issue_next_number")).bind(repo).fetch_one(&mut *transaction).await?;
        let (id,): (i64,) = sqlx::query_as(sql!("issue_insert"))
            .bind(repo)
            .bind(number)
            .bind(author)
            .bind(title)
            .bind(body)
            .bind(now)
            .fetch_one(&mut *transaction)
            .await?;
        sqlx::query(jobs::ENQUEUE)
            .bind(Kind::IndexIssue.name())
            .bind(id)
            .bind(now)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(number)
    })
}

pub async fn by_number(db: &Db, repo: i64, number: i64) -> Result<Option<Issue>, sqlx::Error> {
    let row: Option<Row> = each!(db, pool => {
        sqlx::query_as(sql!("issue_by_number")).bind(repo).bind(number).fetch_optional(pool).await
    })?;
    Ok(row.map(Issue::from))
}

pub async fn list(db: &Db, repo: i64) -> Result<Vec<Issue>, sqlx::Error> {
    let rows: Vec<Row> = each!(db, pool => {
        sqlx::query_as(sql!("issues_list")).bind(repo).bind(LIST_LIMIT).fetch_all(pool).await
    })?;
    Ok(rows.into_iter().map(Issue::from).collect())
}

pub async fn update(db: &Db, repo: i64, issue: &Issue, change: &Change, now: i64) -> Result<(), sqlx::Error> {
    let state = match change.state {
        Some(state) => state.name(),
        None => &issue.state,
    };
    each!(db, pool => {
        let mut transaction = pool.begin().await?;
        sqlx::query(sql!("issue_update"))
            .bind(repo)
            .bind(issue.number)
            .bind(change.title.as_deref().unwrap_or(&issue.title))
            .bind(change.body.as_deref().unwrap_or(&issue.body))
            .bind(state)
            .bind(now)
            .execute(&mut *transaction)
            .await?;
        sqlx::query(jobs::ENQUEUE)
            .bind(Kind::IndexIssue.name())
            .bind(issue.id)
            .bind(now)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await
    })
}

pub async fn search(db: &Db, term: &str) -> Result<Vec<Found>, sqlx::Error> {
    let rows: Vec<(String, String, i64, String, String)> = each!(db, pool => {
        sqlx::query_as(sql!("issues_search"))
            .bind(term.to_lowercase())
            .bind(LIST_LIMIT)
            .fetch_all(pool)
            .await
    })?;
    let found = |(owner, repo, number, title, state)| Found { owner, repo, number, title, state };
    Ok(rows.into_iter().map(found).collect())
}

/// The worker's job `index_issue`. An issue that is gone is not an error.
pub async fn index(db: &Db, id: i64) -> Result<(), sqlx::Error> {
    let text: Option<(String, String)> =
        each!(db, pool => sqlx::query_as(sql!("issue_text")).bind(id).fetch_optional(pool).await)?;
    let Some((title, body)) = text else { return Ok(()) };
    let words = terms(&title, &body);
    each!(db, pool => {
        let mut transaction = pool.begin().await?;
        sqlx::query(sql!("issue_terms_delete")).bind(id).execute(&mut *transaction).await?;
        for word in &words {
            sqlx::query(sql!("issue_terms_insert")).bind(id).bind(word).execute(&mut *transaction).await?;
        }
        transaction.commit().await
    })
}

fn terms(title: &str, body: &str) -> Vec<String> {
    let mut terms: Vec<String> = Vec::new();
    let words = title.split(|c: char| !c.is_alphanumeric()).chain(body.split(|c: char| !c.is_alphanumeric()));
    for word in words.filter(|word| !word.is_empty()).map(str::to_lowercase) {
        if terms.len() == MAX_TERMS {
            break;
        }
        if !terms.contains(&word) {
            terms.push(word);
        }
    }
    terms
}
