//! Where hosts are and as whom to go there: `[environment.NAME.ssh]` and `[environment.NAME.host.HOST]`.
//!
//! Whatever ends up among the arguments of `ssh` is a type of its own that is checked where it is read: none
//! begins with `-`, none holds a space, a quote, a `%` or a control character. OpenSSH puts some of them into
//! the command lines of `ProxyCommand` and `Match exec`, so they must be harmless to a shell as well.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use serde::Deserialize;
use unship_core::release::HostName;

use super::Millis;

/// The longest value of an argument.
const VALUE_BYTES_MAX: usize = 1_024;

macro_rules! argument {
    ($(#[$doc:meta])* $name:ident, $what:literal, $parts:expr, $first:expr, $allowed:expr, $rule:literal) => {
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
                let first: fn(char) -> bool = $first;
                let allowed: fn(char) -> bool = $allowed;
                let separators: &[char] = $parts;
                let well = text.split(separators).all(|part| part.starts_with(first));
                if well && text.chars().all(allowed) && text.len() <= VALUE_BYTES_MAX {
                    return Ok($name(text));
                }
                let text: String = text.chars().take(80).collect();
                Err(format!(concat!("the ", $what, " `{}` ", $rule), text.escape_debug()))
            }
        }
    };
}

argument!(
    /// A name or an IP address.
    Address, "address", &[],
    |c| c.is_ascii_alphanumeric() || c == ':',
    |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':'),
    "must start with a letter or digit and have only letters, digits, `.`, `_`, `-` and `:`"
);

argument!(
    /// An account on a host.
    Account, "user", &[],
    |c| c.is_ascii_alphanumeric() || c == '_',
    |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'),
    "must start with a letter or digit and have only letters, digits, `.`, `_` and `-`"
);

argument!(
    /// A file of OpenSSH's, on the operator's machine: a key or a configuration.
    SshFile, "file", &[],
    |c| c.is_ascii_alphanumeric() || matches!(c, '/' | '~' | '.' | '_'),
    |c| c.is_ascii_alphanumeric() || matches!(c, '/' | '~' | '.' | '_' | '-' | '+' | '@' | ','),
    "must not start with `-` and have only letters, digits and `/`, `~`, `.`, `_`, `-`, `+`, `@`, `,`"
);

argument!(
    /// Hosts to go through, as `ssh -J` takes them: `bastion` or `me@bastion:2222`, more than one with commas.
    Jump, "jump", &[',', '@'],
    |c| c.is_ascii_alphanumeric() || c == '_',
    |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '@' | ','),
    "must have parts that start with a letter or digit and have only letters, digits, `.`, `_`, `-`, `:`, `@`, `,`"
);

/// A name or an IP address with a port: `10.0.0.3:80`, `[::1]:80`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct ProbeAddress(String);

impl ProbeAddress {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ProbeAddress {
    type Error = String;

    fn try_from(text: String) -> Result<ProbeAddress, String> {
        let well = text.rsplit_once(':').is_some_and(|(address, port)| {
            let inner = address.strip_prefix('[').and_then(|address| address.strip_suffix(']'));
            let plain = inner.unwrap_or(address);
            port.parse::<NonZeroU16>().is_ok()
                && Address::try_from(plain.to_owned()).is_ok()
                && plain.contains(':') == inner.is_some()
        });
        if well {
            return Ok(ProbeAddress(text));
        }
        let text: String = text.chars().take(80).collect();
        Err(format!("`{}` must be an address with a port, such as \"10.0.0.3:80\"", text.escape_debug()))
    }
}

impl From<&HostName> for Address {
    /// A host's name keeps stricter rules than an address.
    fn from(name: &HostName) -> Address {
        Address(name.to_string())
    }
}

/// Where the agent is on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentPlace {
    /// Below `/usr/local/lib/unship`, which is root's.
    #[default]
    System,
    /// Below `.local/lib/unship` in the home of the account: for services that need no root.
    Home,
}

/// `[environment.NAME.ssh]`: for all hosts of the environment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ssh {
    /// The account; the user's own configuration of ssh says which unless given.
    pub user: Option<Account>,
    /// The port.
    pub port: Option<NonZeroU16>,
    /// The private key.
    pub identity: Option<SshFile>,
    /// Hosts to go through.
    pub jump: Option<Jump>,
    /// A configuration of ssh in place of the user's own.
    pub config: Option<SshFile>,
    /// Whether the account becomes root by `sudo -n`; `docs/privileges.md` has the fragment for sudoers.
    pub sudo: bool,
    /// Where the agent is.
    pub agent: AgentPlace,
    /// How many sessions are opened at once: sshd refuses bursts of more than ten (MaxStartups).
    pub sessions: std::num::NonZeroU8,
    /// How long a connection may take to be made.
    pub connect: Millis,
}

impl Default for Ssh {
    fn default() -> Ssh {
        Ssh {
            user: None,
            port: None,
            identity: None,
            jump: None,
            config: None,
            sudo: false,
            agent: AgentPlace::System,
            sessions: std::num::NonZeroU8::MIN.saturating_add(7),
            connect: Millis(10_000),
        }
    }
}

/// `[environment.NAME.host.HOST]`: what is different for one host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HostTable {
    /// Its address, where its name is not enough.
    pub address: Option<Address>,
    /// The account.
    pub user: Option<Account>,
    /// The port.
    pub port: Option<NonZeroU16>,
    /// The private key.
    pub identity: Option<SshFile>,
    /// Hosts to go through.
    pub jump: Option<Jump>,
    /// Where probes reach the service on it from the operator's machine, where that is not the host's address
    /// and the port that the first unit listens on.
    pub probe: Option<ProbeAddress>,
}

impl HostTable {
    /// What this one says, and where it says nothing what the other does.
    #[must_use]
    pub fn or(self, other: HostTable) -> HostTable {
        HostTable {
            address: self.address.or(other.address),
            user: self.user.or(other.user),
            port: self.port.or(other.port),
            identity: self.identity.or(other.identity),
            jump: self.jump.or(other.jump),
            probe: self.probe.or(other.probe),
        }
    }
}

/// A host and the way to it, all that was said put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// What it is called.
    pub name: HostName,
    /// Where it is.
    pub address: Address,
    /// The account.
    pub user: Option<Account>,
    /// The port.
    pub port: Option<NonZeroU16>,
    /// The private key.
    pub identity: Option<SshFile>,
    /// Hosts to go through.
    pub jump: Option<Jump>,
}

impl Destination {
    /// The way to a host of that name: what its own table says, else what all hosts have.
    pub fn new(name: &HostName, tables: &BTreeMap<HostName, HostTable>, ssh: &Ssh) -> Destination {
        let own = tables.get(name).cloned().unwrap_or_default();
        Destination {
            name: name.clone(),
            address: own.address.unwrap_or_else(|| Address::from(name)),
            user: own.user.or_else(|| ssh.user.clone()),
            port: own.port.or(ssh.port),
            identity: own.identity.or_else(|| ssh.identity.clone()),
            jump: own.jump.or_else(|| ssh.jump.clone()),
        }
    }
}

#[cfg(test)]
mod tests;
