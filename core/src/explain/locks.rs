//! What a migration will do to tables that are in use.

use crate::verdict::TableLock;

/// How fast a table is written anew, for a prediction: a disk that does no more than this is slow.
const REWRITE_BYTES_PER_S: u64 = 100 << 20;

/// One lock, with the size of the live table if it is known.
pub fn lock(lock: &TableLock, bytes: Option<u64>) -> String {
    let size = bytes.map_or_else(String::new, |bytes| format!(" ({})", size(bytes)));
    let rewrites = match (lock.rewrites, bytes) {
        (false, _) => String::new(),
        (true, None) => ", and writes it anew".to_owned(),
        (true, Some(bytes)) => {
            let seconds = bytes.div_ceil(REWRITE_BYTES_PER_S);
            format!(", and writes it anew: about {seconds} s at 100 MiB/s")
        }
    };
    format!("{} takes {} on {}{size}{rewrites}", lock.migration, lock.mode, lock.table)
}

/// `1.2 GiB`, `8 KiB`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let (mut tenths, mut unit) = (u128::from(bytes) * 10 / 1024, 0);
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    if tenths % 10 == 0 || tenths >= 1_000 {
        format!("{} {}", tenths / 10, UNITS[unit])
    } else {
        format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewrite_is_predicted_from_the_live_size() {
        let one = |rewrites| TableLock {
            migration: "0012_wide".into(),
            table: "repos".into(),
            mode: "ACCESS EXCLUSIVE".into(),
            rewrites,
        };
        assert_eq!(lock(&one(false), None), "0012_wide takes ACCESS EXCLUSIVE on repos");
        assert_eq!(lock(&one(false), Some(8192)), "0012_wide takes ACCESS EXCLUSIVE on repos (8 KiB)");
        assert_eq!(
            lock(&one(true), Some(1_288_490_189)),
            "0012_wide takes ACCESS EXCLUSIVE on repos (1.2 GiB), and writes it anew: about 13 s at 100 MiB/s"
        );
        assert_eq!(lock(&one(true), None), "0012_wide takes ACCESS EXCLUSIVE on repos, and writes it anew");
    }
}
