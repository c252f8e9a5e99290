//! Why an inventory gives no hosts.

/// What is wrong with an inventory, by the name of the host and the variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InventoryError {
    /// `ansible-inventory` could not be run or did not read it.
    #[error("`ansible-inventory` did not read `{path}`: {why}")]
    Failed {
        /// The inventory.
        path: String,
        /// Why.
        why: String,
    },
    /// What it printed is no inventory.
    #[error("what `ansible-inventory --list` says cannot be read: {why}")]
    Unreadable {
        /// Why.
        why: String,
    },
    /// There is no such group.
    #[error("the inventory has no group `{group}`")]
    NoGroup {
        /// The group.
        group: String,
        /// Some that there are.
        known: Vec<String>,
    },
    /// Nothing of a limit is in the group.
    #[error("the limit names `{part}`, and the inventory has no host or group of that name")]
    NoSuchLimit {
        /// The part of the limit.
        part: String,
    },
    /// No host is left.
    #[error("the inventory has no host for this environment: {why}")]
    NoHost {
        /// The group and limit, or the rule that the hosts break.
        why: String,
    },
    /// A host's name or a variable of it cannot be used.
    #[error("{variable} of `{host}` in the inventory: {why}")]
    Refused {
        /// The host, fit to be printed.
        host: String,
        /// Which.
        variable: String,
        /// Why.
        why: String,
    },
}

impl InventoryError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            InventoryError::Failed { path, .. } => Some(format!("`ansible-inventory -i {path} --graph`")),
            InventoryError::NoGroup { known, .. } if !known.is_empty() => {
                Some(format!("known groups: {}", known.join(", ")))
            }
            InventoryError::Refused { .. } => {
                Some("put what only ssh needs into ~/.ssh/config, which unship uses as it is".into())
            }
            InventoryError::NoHost { .. }
            | InventoryError::NoSuchLimit { .. }
            | InventoryError::NoGroup { .. }
            | InventoryError::Unreadable { .. } => {
                Some("`ansible-inventory -i INVENTORY --graph` shows it".into())
            }
        }
    }
}
