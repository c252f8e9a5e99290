//! The advisory lock keys that tools take on PostgreSQL, so that a step run by somebody else can hold them too.

use super::{LockRule, Tool, about};

/// The names that a key is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockScope<'a> {
    /// The database's name as the tool has it. golang-migrate opened with a URL uses the URL's path, with its
    /// leading `/`; opened on a connection it asks the server.
    pub database: &'a str,
    /// Schema of the version table.
    pub schema: &'a str,
    /// The version table, unquoted.
    pub table: &'a str,
}

/// What golang-migrate multiplies with (`database/util.go`, `advisoryLockIDSalt`), modulo 2^32.
const GOLANG_MIGRATE_SALT: u32 = 1_486_364_155;

/// What sqlx multiplies with (`sqlx-postgres/src/migrate.rs`, `generate_lock_id`).
const SQLX_FACTOR: i64 = 0x3d32_ad9e;

/// The key for `pg_advisory_lock`, if the tool takes one.
pub fn lock_key(tool: Tool, scope: LockScope<'_>) -> Option<i64> {
    match about(tool).lock {
        LockRule::None => None,
        LockRule::AdvisoryFixedIfAsked { key } => Some(key),
        LockRule::AdvisoryFromDatabaseName => {
            Some(SQLX_FACTOR.wrapping_mul(i64::from(crc32(scope.database.as_bytes()))))
        }
        LockRule::AdvisoryFromTableName => {
            let text = [scope.schema, scope.table, scope.database].join("\0");
            Some(i64::from(crc32(text.as_bytes()).wrapping_mul(GOLANG_MIGRATE_SALT)))
        }
    }
}

/// CRC-32 as in IEEE 802.3, bit by bit: the texts are names.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}
