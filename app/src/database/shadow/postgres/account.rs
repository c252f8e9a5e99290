//! The account that the server runs as: PostgreSQL refuses root.

use super::ShadowError;

/// User and group of the server's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    pub uid: u32,
    pub gid: u32,
}

/// Accounts to use when we are root, best first. Not `postgres`: on a database host that account owns the real
/// clusters, and a migration must not get near them.
const CANDIDATES: [&str; 2] = ["unship-shadow", "nobody"];

impl Account {
    /// None if we are not root: then the server runs as ourselves.
    pub fn to_become() -> Result<Option<Self>, ShadowError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let passwd = fs_err::read_to_string("/etc/passwd").map_err(ShadowError::Directory)?;
        CANDIDATES
            .iter()
            .find_map(|name| Self::in_passwd(&passwd, name))
            .map(Some)
            .ok_or(ShadowError::NoAccount)
    }

    fn in_passwd(passwd: &str, name: &str) -> Option<Self> {
        passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            if fields.next() != Some(name) {
                return None;
            }
            let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
            Some(Self { uid, gid })
        })
    }
}
