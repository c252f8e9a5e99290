//! sudo and a login shell hand their umask on to the agent. A umask is of a whole process, so this test is run once more
//! for each.

use unship_core::protocol::{Held, Holder};

use super::*;

/// Tells the program that it has the umask that it was to get.
const AGAIN: &str = "UNSHIP_TEST_UMASK";
const NAME: &str = "store::tests::umask::a_service_reads_its_release_and_changes_nothing_whatever_the_umask";

#[test]
fn a_service_reads_its_release_and_changes_nothing_whatever_the_umask() {
    if std::env::var_os(AGAIN).is_some() {
        return look_at_modes();
    }
    for umask in ["077", "000"] {
        let again = std::process::Command::new("/bin/sh")
            .args(["-c", "umask \"$1\" && shift && exec \"$@\"", "sh", umask])
            .arg(std::env::current_exe().expect("the test knows itself"))
            .args(["--exact", NAME])
            .env(AGAIN, umask)
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&again.stdout);
        assert!(again.status.success() && said.contains("1 passed"), "umask {umask}: {said}");
    }
}

fn look_at_modes() {
    let folder = tempfile::tempdir().expect("folder");
    let root = folder.path().join("root");
    let mut store = Store::new(&root);
    let release = publish(&mut store, "v1.0.0", &FILES);
    store.quarantine(&release, "a test").expect("marked");
    store.set_current(&release).expect("current");
    let by = Holder {
        run: "run-1".parse().expect("run"),
        who: "me@here".to_owned(),
        since: Timestamp(1),
        what: "test".to_owned(),
    };
    store.set_held(&Held { release: None, retry_after_s: 1, by }).expect("held");
    for path in std::iter::once(root.display().to_string()).chain(everything_below(&root)) {
        let mode = fs_err::metadata(&path).expect("there").permissions().mode() & 0o7777;
        let others = if path.ends_with("/capsule.json") { 0 } else { 0o004 };
        assert_eq!((mode & 0o004, mode & 0o022), (others, 0), "{path}: {mode:o}");
        assert!(!Path::new(&path).is_dir() || mode & 0o001 != 0, "{path}: {mode:o}");
    }
}
