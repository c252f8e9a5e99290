//! Disks that are full or cannot be written, a ledger with a broken page, a clock that jumped: a clear error, and
//! the service keeps serving.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::real::{BAD, CLOCKSHIFT, GOOD, Site, text, was_killed};
use crate::say;

/// Mounting needs root. On a laptop this is skipped, loudly; CI has to be root.
fn may_mount() -> bool {
    if rustix::process::geteuid().is_root() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "CI must run this as root");
    say("SKIP: only root can mount a small disk");
    false
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Something mounted that goes away with the value.
struct Mounted(PathBuf);

impl Mounted {
    fn small(size: &str) -> (tempfile::TempDir, Mounted) {
        let folder = tempfile::Builder::new().prefix("ud-").tempdir().expect("a folder");
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(folder.path()));
        let mounted = Mounted(folder.path().to_owned());
        (folder, mounted)
    }

    fn read_only(folder: &Path) -> Mounted {
        run(Command::new("mount").arg("--bind").args([folder, folder]));
        let mounted = Mounted(folder.to_owned());
        run(Command::new("mount").args(["-o", "remount,ro,bind"]).arg(folder));
        mounted
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

/// It says what went wrong, names something, is no panic, and does not claim to have worked.
fn is_clear(said: &Output, words: &[&str], place: &str) {
    let told = text(said);
    assert!(!told.contains("panicked"), "{place}: {told}");
    assert!(matches!(said.status.code(), Some(1 | 4)), "{place} exits with {:?}: {told}", said.status.code());
    assert!(words.iter().any(|word| told.contains(word)), "{place}: {told}");
}

/// Whatever state it was left in, with room again the rollback gets done.
fn ends_well(site: &Site, place: &str) {
    let resumed = site.unship(&["resume"]);
    if !resumed.status.success() {
        let again = site.unship(&["rollback", "--yes", "--to", GOOD]);
        let same = text(&again).contains("is what serves now");
        assert!(again.status.success() || same, "{place}: {}{}", text(&resumed), text(&again));
    }
    site.serves_only(GOOD, BAD);
}

#[test]
fn a_disk_with_too_little_room() {
    if !may_mount() {
        return;
    }
    let (mut failed, mut worked) = (0, 0);
    for free_kib in [0, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 64, 96, 128] {
        let (_folder, mounted) = Mounted::small("4m");
        let site = Site::within(&mounted.0);
        let ballast = mounted.0.join("ballast");
        // All but so much of the disk: what the kernel says is free, to the page.
        let stat = rustix::fs::statvfs(&mounted.0).expect("a file system");
        let room = (stat.f_bavail * stat.f_frsize).saturating_sub(free_kib * 1024);
        let file = fs_err::File::create(&ballast).expect("a file");
        rustix::fs::fallocate(file.file(), rustix::fs::FallocateFlags::empty(), 0, room).expect("fills up");
        drop(file);
        let place = format!("{free_kib} KiB free");
        let said = site.unship(&["rollback", "--yes"]);
        if said.status.success() {
            worked += 1;
        } else {
            failed += 1;
            is_clear(&said, &["No space left"], &place);
            assert!(site.version().is_some(), "{place}: nothing serves");
        }
        fs_err::remove_file(&ballast).expect("there is room again");
        if said.status.success() { site.serves_only(GOOD, BAD) } else { ends_well(&site, &place) }
    }
    say(&format!("full disk: {failed} failed clearly, {worked} found room enough"));
    assert!(failed > 0 && worked > 0, "{failed} failed, {worked} worked");
}

#[test]
fn a_disk_that_cannot_be_written() {
    if !may_mount() {
        return;
    }
    for folder in ["ledger", "opt"] {
        let site = Site::new();
        let mounted = Mounted::read_only(&site.path(folder));
        let said = site.unship(&["rollback", "--yes"]);
        is_clear(&said, &["Read-only file system"], folder);
        assert_eq!(site.version().as_deref(), Some(BAD), "{folder}");
        drop(mounted);
        ends_well(&site, folder);
    }
}

/// Puts everything into the file itself, whose pages are then all there is.
async fn checkpoint(file: &Path) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let mut connection = sqlx::ConnectOptions::connect(&options).await.expect("a ledger");
    sqlx::raw_sql("pragma wal_checkpoint(truncate)").execute(&mut connection).await.expect("a checkpoint");
    sqlx::Connection::close(connection).await.expect("closes");
}

#[tokio::test]
async fn a_broken_page_of_the_ledger() {
    let (mut failed, mut worked, mut page, mut pages) = (0, 0, 0, 1);
    while page < pages {
        let site = Site::new();
        let file = site.path("ledger/ledger.sqlite");
        checkpoint(&file).await;
        let mut bytes = fs_err::read(&file).expect("reads");
        pages = bytes.len() / 4096;
        bytes[page * 4096..][..4096].fill(0xa5);
        fs_err::write(&file, bytes).expect("writes");
        for aside in ["ledger/ledger.sqlite-wal", "ledger/ledger.sqlite-shm"] {
            let _ = fs_err::remove_file(site.path(aside));
        }
        let place = format!("page {page} of {pages}");
        page += 1;
        let said = site.unship(&["rollback", "--yes"]);
        if said.status.success() {
            worked += 1;
            site.serves_only(GOOD, BAD);
            continue;
        }
        failed += 1;
        is_clear(&said, &["ledger.sqlite"], &place);
        assert!(site.version().is_some(), "{place}: nothing serves");
        // The hosts know enough by themselves; nothing is decided for the operator who says so.
        let glass = site.unship(&["rollback", "--yes", "--break-glass"]);
        assert!(glass.status.success(), "{place}: {}", text(&glass));
        site.serves_only(GOOD, BAD);
    }
    say(&format!("broken ledger page: {failed} failed clearly, {worked} did not need the page"));
    assert!(failed > 0 && pages > 5, "{pages} pages, and none matters");
}

#[test]
fn a_clock_that_jumped() {
    for shift in ["-600", "600"] {
        let shifted = |site: &Site, words: &[&str]| {
            let mut command = site.command(words);
            command.env("LD_PRELOAD", &*CLOCKSHIFT).env("CLOCKSHIFT_S", shift);
            command.output().expect("unship runs")
        };
        // A whole rollback ten minutes off.
        let site = Site::new();
        let said = shifted(&site, &["rollback", "--yes"]);
        assert!(said.status.success(), "{shift} s: {}", text(&said));
        site.serves_only(GOOD, BAD);
        let log = text(&site.unship(&["log"]));
        assert!(log.contains("rollback"), "{shift} s: {log}");
        // One that died, gone on with ten minutes off.
        let site = Site::new();
        let killed = site.killed_at(&["rollback", "--yes"], 45, "after");
        assert!(was_killed(&killed), "{}", text(&killed));
        let said = shifted(&site, &["resume"]);
        assert!(said.status.success(), "{shift} s: {}", text(&said));
        site.serves_only(GOOD, BAD);
    }
}
