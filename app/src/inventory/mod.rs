//! The hosts of an environment from an Ansible inventory, as `ansible-inventory --list` tells it.
//!
//! Ansible's own program reads the inventory, so that whatever it understands is understood: files, folders,
//! plugins, variables of groups. What comes back is from outside all the same: every value that would end up
//! among the arguments of ssh is checked by the types of the configuration and refused by the name of its host and
//! variable. Variables that would weaken the checking of host keys, or run commands, are refused.

mod arguments;
mod error;
mod listing;

use std::path::Path;

use unship_core::release::HostName;

pub use error::InventoryError;

use crate::config::{HostTable, Inventory, Pattern};
use crate::process::Program;
use listing::Listing;

/// The longest inventory that is read.
const LISTING_BYTES_MAX: u64 = 32 << 20;

/// A host of an inventory, in the inventory's order, with what its variables say of the way to it.
pub type InventoryHost = (HostName, HostTable);

/// Asks `ansible-inventory` in `folder`, and picks the hosts that are meant.
pub async fn read(inventory: &Inventory, folder: &Path) -> Result<Vec<InventoryHost>, InventoryError> {
    let bytes = list(inventory, folder).await?;
    pick(inventory, &bytes)
}

/// The hosts of a listing that are meant.
pub fn pick(inventory: &Inventory, listing: &[u8]) -> Result<Vec<InventoryHost>, InventoryError> {
    let listing = Listing::read(listing)?;
    let group = inventory.group.as_ref().map_or("all", Pattern::as_str);
    let limit = inventory.limit.as_ref().map(Pattern::as_str);
    let names = listing.hosts(group, limit)?;
    names.into_iter().map(|name| listing.host(&name)).collect()
}

async fn list(inventory: &Inventory, folder: &Path) -> Result<Vec<u8>, InventoryError> {
    let failed = |why: String| InventoryError::Failed { path: inventory.ansible.as_str().to_owned(), why };
    let spool = tempfile::tempdir().map_err(|error| failed(error.to_string()))?;
    let output = spool.path().join("inventory.json");
    // To a file: what is printed beside it, such as warnings, is no part of the listing.
    let words = ["ansible-inventory", "--inventory", inventory.ansible.as_str(), "--list", "--output"];
    let mut program = Program::new(words, inventory.time_max.0).in_folder(folder);
    program.words.push(output.display().to_string());
    let ended = program.run().await.map_err(|error| failed(error.to_string()))?;
    if !ended.success {
        return Err(failed(ended.complaint()));
    }
    let length = fs_err::metadata(&output).map_err(|error| failed(error.to_string()))?.len();
    if length > LISTING_BYTES_MAX {
        return Err(failed(format!("it has {length} bytes; the limit is {LISTING_BYTES_MAX}")));
    }
    fs_err::read(&output).map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests;
