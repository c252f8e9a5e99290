//! The JSON of `ansible-inventory --list`: groups with hosts and groups below them, and the variables of each host
//! with those of its groups put together.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;
use unship_core::release::HostName;

use super::{InventoryError, InventoryHost, arguments};
use crate::config::{Account, Address, HostTable, SshFile};
use crate::plain::plain;

/// How many groups may be below one another.
const DEPTH_MAX: usize = 100;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Group {
    hosts: Vec<String>,
    children: Vec<String>,
}

/// A listing.
#[derive(Debug)]
pub(super) struct Listing {
    groups: BTreeMap<String, Group>,
    variables: BTreeMap<String, BTreeMap<String, Value>>,
}

impl Listing {
    /// Reads the JSON.
    pub fn read(bytes: &[u8]) -> Result<Listing, InventoryError> {
        #[derive(Deserialize)]
        struct Meta {
            #[serde(default)]
            hostvars: BTreeMap<String, BTreeMap<String, Value>>,
        }
        let unreadable = |why: String| InventoryError::Unreadable { why };
        let mut all: BTreeMap<String, Value> =
            serde_json::from_slice(bytes).map_err(|error| unreadable(error.to_string()))?;
        let variables = match all.remove("_meta") {
            Some(meta) => {
                serde_json::from_value::<Meta>(meta)
                    .map_err(|error| unreadable(format!("_meta: {error}")))?
                    .hostvars
            }
            None => BTreeMap::new(),
        };
        let group = |(name, value): (String, Value)| {
            let group = serde_json::from_value(value)
                .map_err(|error| unreadable(format!("group {}: {error}", plain(&name))))?;
            Ok((name, group))
        };
        let groups = all.into_iter().map(group).collect::<Result<_, InventoryError>>()?;
        Ok(Listing { groups, variables })
    }

    /// The hosts of a group and of the groups below it, each once, in the inventory's order; of these those that
    /// the limit means.
    pub fn hosts(&self, group: &str, limit: Option<&str>) -> Result<Vec<String>, InventoryError> {
        if !self.groups.contains_key(group) {
            let known = self.groups.keys().take(20).map(|name| plain(name)).collect();
            return Err(InventoryError::NoGroup { group: group.to_owned(), known });
        }
        let all = self.below(group);
        let meant = match limit {
            Some(limit) => self.limited(all, limit)?,
            None => all,
        };
        if meant.is_empty() {
            let limit = limit.map(|limit| format!(", limit `{limit}`")).unwrap_or_default();
            return Err(InventoryError::NoHost { why: format!("group `{group}`{limit} is empty") });
        }
        Ok(meant)
    }

    fn below(&self, group: &str) -> Vec<String> {
        let (mut hosts, mut seen_hosts, mut seen_groups) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        // Groups that are still to be looked at, the next one last.
        let mut waiting = vec![(group, 0)];
        while let Some((name, depth)) = waiting.pop() {
            let Some(group) = self.groups.get(name).filter(|_| depth < DEPTH_MAX) else { continue };
            if !seen_groups.insert(name) {
                continue;
            }
            hosts.extend(group.hosts.iter().filter(|host| seen_hosts.insert(host.as_str())).cloned());
            waiting.extend(group.children.iter().rev().map(|child| (child.as_str(), depth + 1)));
        }
        hosts
    }

    /// Parts that name, one of which must fit, and parts with `!`, none of which may.
    fn limited(&self, hosts: Vec<String>, limit: &str) -> Result<Vec<String>, InventoryError> {
        let (mut meant, mut left_out) = (Vec::new(), Vec::new());
        for part in limit.split(',').filter(|part| !part.is_empty()) {
            let name = part.strip_prefix('!').unwrap_or(part);
            let named: BTreeSet<String> = if self.groups.contains_key(name) {
                self.below(name).into_iter().collect()
            } else {
                hosts.iter().filter(|host| fits(name, host)).cloned().collect()
            };
            let known =
                !named.is_empty() || self.groups.contains_key(name) || self.variables.contains_key(name);
            if !known {
                // A typo must not mean nobody, nor, after a `!`, everybody.
                return Err(InventoryError::NoSuchLimit { part: part.to_owned() });
            }
            if part.starts_with('!') { left_out.push(named) } else { meant.push(named) }
        }
        let is_meant = |host: &String| {
            (meant.is_empty() || meant.iter().any(|named| named.contains(host)))
                && !left_out.iter().any(|named| named.contains(host))
        };
        Ok(hosts.into_iter().filter(is_meant).collect())
    }

    /// What a host's variables say of the way to it.
    pub fn host(&self, name: &str) -> Result<InventoryHost, InventoryError> {
        let refused = |variable: &str, why: String| InventoryError::Refused {
            host: plain(name),
            variable: variable.to_owned(),
            why,
        };
        let host: HostName = name
            .parse()
            .map_err(|error: unship_core::release::NameError| refused("the name", error.to_string()))?;
        let none = BTreeMap::new();
        let variables = self.variables.get(name).unwrap_or(&none);
        // As Ansible's ssh connection names them, newest name first.
        let text = |names: &[&'static str]| -> Result<Option<(&'static str, String)>, InventoryError> {
            let found = names.iter().find_map(|name| Some((*name, variables.get(*name)?)));
            match found {
                None | Some((_, Value::Null)) => Ok(None),
                Some((name, Value::String(text))) if text.is_empty() && name.ends_with("_args") => Ok(None),
                Some((name, Value::String(text))) => Ok(Some((name, text.clone()))),
                Some((name, Value::Number(number))) => Ok(Some((name, number.to_string()))),
                Some((name, _)) => Err(refused(name, "is neither a text nor a number".into())),
            }
        };
        if let Some((name, connection)) = text(&["ansible_connection"])?
            && !matches!(connection.as_str(), "ssh" | "smart" | "paramiko" | "paramiko_ssh")
        {
            return Err(refused(name, format!("`{}` is not a connection over ssh", plain(&connection))));
        }
        let mut table = HostTable::default();
        for names in [
            ["ansible_ssh_common_args", "ansible_ssh_common_args"],
            ["ansible_ssh_extra_args", "ansible_ssh_extra_args"],
            ["ansible_ssh_args", "ansible_ssh_args"],
        ] {
            if let Some((name, arguments)) = text(&names)? {
                arguments::apply(&arguments, &mut table).map_err(|why| refused(name, why))?;
            }
        }
        if let Some((name, value)) = text(&["ansible_host", "ansible_ssh_host"])? {
            table.address = Some(Address::try_from(value).map_err(|why| refused(name, why))?);
        }
        if let Some((name, value)) = text(&["ansible_user", "ansible_ssh_user"])? {
            table.user = Some(Account::try_from(value).map_err(|why| refused(name, why))?);
        }
        if let Some((name, value)) = text(&["ansible_port", "ansible_ssh_port"])? {
            table.port = Some(arguments::port(&value).map_err(|why| refused(name, why))?);
        }
        if let Some((name, value)) = text(&["ansible_ssh_private_key_file", "ansible_private_key_file"])? {
            table.identity = Some(SshFile::try_from(value).map_err(|why| refused(name, why))?);
        }
        Ok((host, table))
    }
}

/// Whether a name fits a pattern in which `*` stands for anything.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}
