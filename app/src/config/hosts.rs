//! `hosts` of an environment: a list of names, or where an Ansible inventory has them.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::{Deserialize, Deserializer, de};
use unship_core::release::HostName;

use super::Millis;

/// The name of this machine as a host.
const LOCAL: &str = "local";

/// The most hosts of an environment.
pub const HOSTS_MAX: usize = 1_000;

/// The longest name of a group or pattern.
const PATTERN_BYTES_MAX: usize = 1_024;

/// The hosts of an environment: at least one, each once; or the inventory that has them and was not read yet.
#[derive(Debug, Clone)]
pub struct Hosts {
    names: Vec<HostName>,
    inventory: Option<Inventory>,
}

/// `hosts = { ansible = "production", group = "web" }`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inventory {
    /// The inventory: a file or folder, relative to the folder of `unship.toml`.
    pub ansible: InventoryPath,
    /// The group whose hosts are meant; `all` unless given.
    pub group: Option<Pattern>,
    /// Names of hosts and groups that are meant of these, with commas; `!name` leaves out, `*` stands for anything.
    pub limit: Option<Pattern>,
    /// How long `ansible-inventory` may take.
    #[serde(default = "time_max")]
    pub time_max: Millis,
}

fn time_max() -> Millis {
    Millis(30_000)
}

macro_rules! checked {
    ($(#[$doc:meta])* $name:ident, $what:literal, $allowed:expr, $rule:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// As text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<$name, String> {
                let allowed: fn(char) -> bool = $allowed;
                let well = !text.is_empty() && !text.starts_with('-') && text.len() <= PATTERN_BYTES_MAX;
                if well && text.chars().all(allowed) {
                    return Ok($name(text));
                }
                let text: String = text.chars().take(80).collect();
                Err(format!(concat!("the ", $what, " `{}` ", $rule), text.escape_debug()))
            }
        }
    };
}

checked!(
    /// An inventory of Ansible on this machine.
    InventoryPath, "inventory",
    |c| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | '~'),
    "must not start with `-` and have only letters, digits and `/`, `.`, `_`, `-`, `+`, `~`: a file or a folder"
);

checked!(
    /// Names of hosts and groups.
    Pattern, "pattern",
    |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ',' | '!' | '*'),
    "must not start with `-` and have only letters, digits and `.`, `_`, `-`, `,`, `!`, `*`"
);

impl Hosts {
    /// The host that is flipped first; none before an inventory was read.
    pub fn first(&self) -> Option<&HostName> {
        self.names.first()
    }

    /// Whether the one host is this machine.
    pub fn is_local(&self) -> bool {
        self.first().is_some_and(|host| host.as_str() == LOCAL)
    }

    /// The hosts, in the order in which they are flipped.
    pub fn as_slice(&self) -> &[HostName] {
        &self.names
    }

    /// The inventory that has them.
    pub fn inventory(&self) -> Option<&Inventory> {
        self.inventory.as_ref()
    }

    /// The hosts that an inventory had.
    pub fn of_inventory(&self, names: Vec<HostName>) -> Result<Hosts, String> {
        if names.iter().any(|name| name.as_str() == LOCAL) {
            return Err("`local` means this machine and cannot be a host of an inventory".into());
        }
        Ok(Hosts { inventory: self.inventory.clone(), ..Hosts::try_from(names)? })
    }
}

impl TryFrom<Vec<HostName>> for Hosts {
    type Error = String;

    fn try_from(names: Vec<HostName>) -> Result<Hosts, String> {
        if names.is_empty() {
            return Err("an environment needs at least one host".into());
        }
        if names.len() > 1 && names.iter().any(|host| host.as_str() == LOCAL) {
            return Err("`local` is this machine and cannot be one of several hosts".into());
        }
        if names.len() > HOSTS_MAX {
            return Err(format!("an environment has at most {HOSTS_MAX} hosts"));
        }
        let mut seen = BTreeSet::new();
        match names.iter().find(|host| !seen.insert(*host)) {
            Some(twice) => Err(format!("the host `{twice}` is there twice")),
            None => Ok(Hosts { names, inventory: None }),
        }
    }
}

impl<'de> Deserialize<'de> for Hosts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Hosts, D::Error> {
        struct Either;
        impl<'de> de::Visitor<'de> for Either {
            type Value = Hosts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a list of hosts, or an inventory such as { ansible = \"production\", group = \"web\" }",
                )
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, list: A) -> Result<Hosts, A::Error> {
                let names = Vec::<HostName>::deserialize(SeqAccessDeserializer::new(list))?;
                Hosts::try_from(names).map_err(de::Error::custom)
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Hosts, A::Error> {
                let inventory = Inventory::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Hosts { names: Vec::new(), inventory: Some(inventory) })
            }
        }
        deserializer.deserialize_any(Either)
    }
}
