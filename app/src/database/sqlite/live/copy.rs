//! A copy of the live database, made while it is in use: what a down is tried on before anything is touched, and what
//! the database is compared with when the down has run.
//!
//! It lies in a folder of its own beside the database, so that no user data leaves that disk, and goes away with its
//! value. What a killed process left there is removed by the next one.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock, statvfs};
use sqlx::{Connection as _, SqliteConnection};
use tempfile::TempDir;

use super::connect::Address;
use super::failure::{failed, refused};
use crate::ports::DatabaseFailure;

/// Largest database that is copied, in bytes. While a copy is made without WAL no writer can commit: at 200 MB/s this
/// is most of a minute.
const BYTES_MAX: u64 = 8 << 30;

/// Room left on the disk beside what is needed, in bytes.
const ROOM_BYTES: u64 = 64 << 20;

/// How the folders are called; nothing else is removed.
const PREFIX: &str = ".unship-copy-";

/// The file in it that its owner keeps locked.
const LOCK: &str = "lock";

/// A copy.
#[derive(Debug)]
pub struct Copy {
    pub file: PathBuf,
    folder: TempDir,
    /// Locked for as long as the copy is wanted.
    _lock: File,
}

impl Copy {
    /// The file beside it that a trial writes.
    pub fn trial(&self) -> PathBuf {
        self.folder.path().join("trial.db")
    }

    /// Removes it now, so that what cannot be removed is told.
    pub fn remove(self) -> Result<(), DatabaseFailure> {
        let shown = self.folder.path().display().to_string();
        self.folder.close().map_err(|error| {
            refused(format!("the copy of the database in `{shown}` stays: {error}"), "remove that folder")
        })
    }
}

/// Copies what is committed, and no other connection's open transaction. `copies` is how many files of that size there
/// will be room for.
pub async fn make(address: &Address, copies: u64) -> Result<Copy, DatabaseFailure> {
    let beside = address.file.parent().unwrap_or(Path::new("/"));
    remove_stale(beside);
    check_room(address, beside, copies)?;
    let cannot = |error: std::io::Error| {
        refused(
            format!("a copy of the database cannot be made in `{}`: {error}", beside.display()),
            "the folder must be writable for whoever runs this: SQLite keeps its journal there too",
        )
    };
    let folder = tempfile::Builder::new()
        .prefix(PREFIX)
        .permissions(std::fs::Permissions::from_mode(0o700))
        .tempdir_in(beside)
        .map_err(cannot)?;
    let lock = own(folder.path()).map_err(cannot)?;
    let copy = Copy { file: folder.path().join("before.db"), folder, _lock: lock };
    let mut conn = address.look().await?;
    let made = vacuum_into(&mut conn, &copy.file).await;
    let closed = conn.close().await;
    made?;
    closed.map_err(|error| failed("closing the database after copying it", &error))?;
    Ok(copy)
}

/// Copies within one read transaction and with every rowid as it is, which `VACUUM` alone would not promise.
async fn vacuum_into(conn: &mut SqliteConnection, file: &Path) -> Result<(), DatabaseFailure> {
    let Some(name) = file.to_str() else {
        return Err(refused(
            format!("the path `{}` is not UTF-8", file.display()),
            "move the database to another folder",
        ));
    };
    let copied = sqlx::query("VACUUM main INTO ?").bind(name).execute(conn).await;
    copied.map(drop).map_err(|error| failed("copying the database", &error))
}

/// The lock file, locked before it has its name.
fn own(folder: &Path) -> std::io::Result<File> {
    let unnamed = folder.join("unlocked");
    let lock = File::create_new(&unnamed)?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
    std::fs::rename(unnamed, folder.join(LOCK))?;
    Ok(lock)
}

/// Removes copies whose owner is gone. What cannot be removed is in nobody's way.
fn remove_stale(beside: &Path) {
    let Ok(entries) = std::fs::read_dir(beside) else { return };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let free = File::open(entry.path().join(LOCK))
            .is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok());
        if free {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn check_room(address: &Address, beside: &Path, copies: u64) -> Result<(), DatabaseFailure> {
    let size = |path: &Path| path.metadata().map_or(0, |found| found.len());
    let mut wal = address.file.clone().into_os_string();
    wal.push("-wal");
    let bytes = size(&address.file) + size(Path::new(&wal));
    if bytes > BYTES_MAX {
        return Err(refused(
            format!("the database has {bytes} bytes; a down is tried on a copy of at most {BYTES_MAX}"),
            "roll forward, or take the migration down by hand with its tool and with a backup",
        ));
    }
    let needed = bytes.saturating_mul(copies) + ROOM_BYTES;
    let Ok(disk) = statvfs(beside) else { return Ok(()) };
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free < needed {
        return Err(refused(
            format!(
                "the disk of `{}` has {free} bytes free; a copy of the database, its journal and what is salvaged \
                 need {needed}",
                beside.display()
            ),
            "free space there",
        ));
    }
    Ok(())
}
