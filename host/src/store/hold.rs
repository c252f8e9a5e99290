//! The mark that the host is held: `<root>/held.json`. It counts more than `current`, so that neither a reboot
//! nor a new child runner brings back what was held.

use std::io;
use std::path::PathBuf;

use unship_core::protocol::Held;

use super::{Store, StoreError, read_json};
use crate::durable;

impl Store {
    fn held_path(&self) -> PathBuf {
        self.root.join("held.json")
    }

    /// Who holds the host and what it would serve otherwise, if it is held.
    pub fn held(&self) -> Result<Option<Held>, StoreError> {
        read_json(&self.held_path())
    }

    /// Puts the mark there. Answers whether anything was written.
    pub fn set_held(&self, held: &Held) -> Result<bool, StoreError> {
        if self.held().is_ok_and(|present| present.as_ref() == Some(held)) {
            return Ok(false);
        }
        let bytes = serde_json::to_vec(held).map_err(io::Error::from)?;
        durable::write(&self.held_path(), &bytes, 0o644)?;
        Ok(true)
    }

    /// Takes the mark away. Answers whether there was one.
    pub fn clear_held(&self) -> Result<bool, StoreError> {
        Ok(durable::remove(&self.held_path())?)
    }
}
