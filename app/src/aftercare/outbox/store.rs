//! The files of the outbox: `<id>.json` for what is owed, `ended/<id>.json` for what has come to its end.

use std::io::{Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use fs_err::{File, OpenOptions};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::item::Item;
use crate::ports::DeliveryState;

/// The largest file that is read: a run of a thousand steps needs less than a tenth.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// How many of the ended deliveries are kept: those of the newest runs. No journal of an older one is open, so none
/// of them is made again.
const ENDED_MAX: usize = 1_000;

pub(super) struct Store {
    pub(super) folder: PathBuf,
}

impl Store {
    fn ended(&self) -> PathBuf {
        self.folder.join("ended")
    }

    fn path(&self, id: &str) -> PathBuf {
        let name = format!("{id}.json");
        let ended = self.ended().join(&name);
        if ended.exists() { ended } else { self.folder.join(name) }
    }

    /// Notices name hosts and what commands said: they are for their owner alone.
    fn make(&self) -> std::io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(self.ended())
    }

    pub(super) fn exists(&self, id: &str) -> bool {
        // A name of somebody's command line must not lead out of the folder.
        !id.contains(['/', '\0']) && !id.starts_with('.') && self.path(id).exists()
    }

    /// Adds a delivery; one that is there already is left as it is.
    pub(super) fn add(&self, item: &Item) -> std::io::Result<()> {
        self.make()?;
        if self.path(&item.id).exists() {
            return Ok(());
        }
        Store::put(&self.folder, item)
    }

    /// Writes a delivery; what has come to its end is put aside.
    pub(super) fn write(&self, item: &Item) -> std::io::Result<()> {
        self.make()?;
        let open = self.folder.join(format!("{}.json", item.id));
        let ended = matches!(item.state, DeliveryState::Delivered | DeliveryState::Dropped);
        if !ended {
            return Store::put(&self.folder, item);
        }
        // First where it counts as ended: a crash in between leaves both, and the ended one is taken.
        Store::put(&self.ended(), item)?;
        remove(&open)?;
        self.forget_oldest()
    }

    /// Removes the oldest of what has come to its end, and the lock files that nobody needs any more.
    fn forget_oldest(&self) -> std::io::Result<()> {
        let ended = files(&self.ended())?;
        for path in &ended[..ended.len().saturating_sub(ENDED_MAX)] {
            if let Some(id) = path.file_stem().and_then(|id| id.to_str()) {
                remove(&self.lock_of(id))?;
            }
            remove(path)?;
        }
        Ok(())
    }

    fn lock_of(&self, id: &str) -> PathBuf {
        self.folder.join(format!(".lock-{id}"))
    }

    fn put(folder: &Path, item: &Item) -> std::io::Result<()> {
        let mut made = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
        serde_json::to_writer_pretty(&mut made, item)?;
        made.write_all(b"\n")?;
        made.as_file().sync_all()?;
        made.persist(folder.join(format!("{}.json", item.id)))?;
        File::open(folder)?.sync_all()
    }

    pub(super) fn read(&self, id: &str) -> std::io::Result<Item> {
        read(&self.path(id))
    }

    /// What is owed, oldest first. A file that cannot be read is passed over: it must not keep the others back.
    pub(super) fn open(&self) -> std::io::Result<Vec<Item>> {
        let mut items = Vec::new();
        for path in files(&self.folder)? {
            if path.file_name().is_some_and(|name| self.ended().join(name).exists()) {
                continue;
            }
            match read(&path) {
                Ok(item) => items.push(item),
                Err(error) => tracing::warn!("passed over: {error}"),
            }
        }
        Ok(items)
    }

    /// What is owed, and what has come to its end.
    pub(super) fn all(&self) -> std::io::Result<Vec<Item>> {
        let mut items: Vec<Item> = files(&self.ended())?.iter().filter_map(|path| read(path).ok()).collect();
        items.extend(self.open()?);
        items.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(items)
    }

    /// Takes the delivery for this command; none when another has it.
    pub(super) fn lock(&self, id: &str) -> std::io::Result<Option<File>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(self.lock_of(id))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Removes a file that may be gone already.
fn remove(path: &Path) -> std::io::Result<()> {
    match fs_err::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn read(path: &Path) -> std::io::Result<Item> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    serde_json::from_str(&text).map_err(|error| std::io::Error::other(format!("{}: {error}", path.display())))
}

/// The deliveries of a folder in the order of their names, which begin with when the run began.
fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let items = match fs_err::read_dir(folder) {
        Ok(items) => items,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut paths = Vec::new();
    for item in items {
        let path = item?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.extension().is_some_and(|end| end == "json") && !name.starts_with('.') {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
