//! Access tokens: handed out once, kept only as a hash, refused from the second they expire.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::users::{Row, User};
use crate::database::{Db, each, sql};
use crate::secret::Secret;

/// So that a leaked token is recognised for what it is by those who search for such things.
const PREFIX: &str = "shd_";
const RANDOM_BYTES: usize = 24;

/// The longest life of a token: a year.
pub const MAX_EXPIRES_IN: i64 = 366 * 24 * 3600;

#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("expires_in is between 0 and {MAX_EXPIRES_IN} seconds")]
    Lifetime,
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

#[derive(Debug)]
pub struct Issued {
    pub token: Secret,
    pub expires_at: i64,
}

/// A lifetime of 0 is allowed: such a token is expired at once, which is how clients are tested.
pub async fn issue(db: &Db, user: i64, label: &str, expires_in: i64, now: i64) -> Result<Issued, TokenError> {
    if !(0..=MAX_EXPIRES_IN).contains(&expires_in) {
        return Err(TokenError::Lifetime);
    }
    let mut random = [0; RANDOM_BYTES];
    getrandom::fill(&mut random).map_err(TokenError::Random)?;
    let token = format!("{PREFIX}{}", hex(&random));
    let expires_at = now + expires_in;
    each!(db, pool => {
        sqlx::query(sql!("token_insert"))
            .bind(user)
            .bind(hash(&token))
            .bind(label)
            .bind(now)
            .bind(expires_at)
            .execute(pool)
            .await
            .map(drop)
    })?;
    Ok(Issued { token: Secret::new(token), expires_at })
}

/// Whose token is this? `None` if it is unknown or has expired.
pub async fn owner(db: &Db, token: &Secret, now: i64) -> Result<Option<User>, sqlx::Error> {
    let row: Option<Row> = each!(db, pool => {
        sqlx::query_as(sql!("token_owner")).bind(hash(token.reveal())).bind(now).fetch_optional(pool).await
    })?;
    Ok(row.map(User::from))
}

/// Tokens are 192 random bits, so a plain hash is enough: there is nothing to guess.
fn hash(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
