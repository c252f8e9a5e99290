//! Feature flags from a file in flagd's format, read again when the file changes.
//!
//! `{"flags": {"topics_ui": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off"}}}`

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;

/// The file's metadata is looked at no more often than this.
const CHECK_EVERY: Duration = Duration::from_millis(200);

pub struct Flags {
    path: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    checked: Option<Instant>,
    seen: Option<Stamp>,
    values: BTreeMap<String, bool>,
}

/// A file that was replaced by rename can have the same time and size, but not the same inode.
#[derive(PartialEq, Eq, Clone, Copy)]
struct Stamp {
    modified: (i64, i64),
    size: u64,
    inode: u64,
}

#[derive(Deserialize)]
struct Document {
    flags: BTreeMap<String, Flag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Flag {
    state: String,
    #[serde(default)]
    variants: BTreeMap<String, serde_json::Value>,
    default_variant: Option<String>,
}

impl Flag {
    /// `None` where the file leaves the decision to the code: disabled, or not a boolean.
    fn value(&self) -> Option<bool> {
        if self.state != "ENABLED" {
            return None;
        }
        self.variants.get(self.default_variant.as_ref()?)?.as_bool()
    }
}

impl Flags {
    pub fn new(path: Option<PathBuf>) -> Self {
        Self { path, state: Mutex::default() }
    }

    /// The flag's value, or `default` where the file does not decide.
    pub fn is_on(&self, name: &str, default: bool) -> bool {
        self.with(|values| values.get(name).copied()).unwrap_or(default)
    }

    /// Every flag that the file decides.
    pub fn all(&self) -> BTreeMap<String, bool> {
        self.with(Clone::clone)
    }

    fn with<T>(&self, read: impl FnOnce(&BTreeMap<String, bool>) -> T) -> T {
        // A panic elsewhere aborts the process, so a poisoned lock holds whole values.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &self.path {
            state.refresh(path);
        }
        read(&state.values)
    }
}

impl State {
    fn refresh(&mut self, path: &Path) {
        let now = Instant::now();
        if self.checked.is_some_and(|checked| now.duration_since(checked) < CHECK_EVERY) {
            return;
        }
        self.checked = Some(now);
        let stamp = std::fs::metadata(path).ok().map(|file| Stamp {
            modified: (file.mtime(), file.mtime_nsec()),
            size: file.size(),
            inode: file.ino(),
        });
        if stamp == self.seen {
            return;
        }
        self.seen = stamp;
        if stamp.is_none() {
            self.values.clear();
            return;
        }
        match read(path) {
            Ok(values) => self.values = values,
            // Half-written or wrong: what was true before stays true.
            Err(error) => tracing::warn!("flags file {} is not used: {error}", path.display()),
        }
    }
}

fn read(path: &Path) -> Result<BTreeMap<String, bool>, std::io::Error> {
    let document: Document = serde_json::from_slice(&std::fs::read(path)?)?;
    Ok(document.flags.iter().filter_map(|(name, flag)| Some((name.clone(), flag.value()?))).collect())
}

#[cfg(test)]
#[path = "flags_tests.rs"]
mod tests;
