use super::*;

/// What initdb, or a server, leaves when it and everybody around it is killed.
#[test]
fn what_was_left_half_made_is_cleared_away() {
    let parent = tempfile::tempdir().expect("a folder");
    let left = |name: &str, lock: &str| {
        let directory = parent.path().join(format!("{PREFIX}{name}"));
        fs_err::create_dir_all(directory.join("data")).expect("a folder");
        // No process has this number: the kernel's largest is smaller.
        fs_err::write(directory.join(OWNER), "99999999 1").expect("a file");
        fs_err::write(directory.join("data/postmaster.pid"), lock).expect("a file");
        directory
    };
    let gone: Vec<_> = ["-99999999\n/data\n", "99999999\n", "0\n", "-2147483648\n", "no number", ""]
        .iter()
        .enumerate()
        .map(|(place, lock)| left(&place.to_string(), lock))
        .collect();
    let mine = parent.path().join(format!("{PREFIX}mine"));
    fs_err::create_dir(&mine).expect("a folder");
    sign(&mine).expect("signed");
    clear(parent.path());
    assert!(gone.iter().all(|directory| !directory.exists()), "{gone:?}");
    assert!(mine.exists(), "its owner is alive");
}
