//! Names of things: service, environment, host, tag, digest, release, span.
//!
//! A release is its artifact's digest; a git tag names it. Two artifacts under one tag are two releases.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// A digest computed elsewhere, for example over a stream.
    pub fn from_bytes(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }

    /// The first twelve digits, enough for a person to compare.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..6])
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

impl FromStr for Digest {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Digest, NameError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|_| NameError::new("digest", text, "must be 64 hexadecimal digits"))?;
        Ok(Digest(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a name was refused. Names become folder names, unit names and arguments, so the rules are strict.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {kind} `{}` {rule}", .text.escape_debug())]
pub struct NameError {
    /// What was being named: `tag`, `service`, `host`.
    pub kind: &'static str,
    /// The text that was refused, cut to 80 characters.
    pub text: String,
    /// The rule that it breaks, to follow the name in a sentence.
    pub rule: &'static str,
}

impl NameError {
    pub(crate) fn new(kind: &'static str, text: &str, rule: &'static str) -> NameError {
        NameError { kind, text: text.chars().take(80).collect(), rule }
    }
}

/// One set of rules for all names: what the first character may be and what the others may be.
fn check_name(
    kind: &'static str,
    text: &str,
    length_max: usize,
    allowed: fn(char) -> bool,
    rule: &'static str,
) -> Result<String, NameError> {
    if text.is_empty() {
        return Err(NameError::new(kind, text, "must not be empty"));
    }
    if text.len() > length_max {
        return Err(NameError::new(kind, text, "is too long"));
    }
    if text.contains("..") {
        return Err(NameError::new(kind, text, "must not contain `..`"));
    }
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) || !text.chars().all(allowed) {
        return Err(NameError::new(kind, text, rule));
    }
    Ok(text.to_owned())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $length_max:literal, $allowed:expr, $rule:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                check_name($kind, text, $length_max, $allowed, $rule).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(
    /// A git tag that names a release. It becomes a folder name and part of a unit name on every host, so a
    /// slash, though git allows it, is refused.
    Tag, "tag", 100,
    |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+'),
    "must start with a letter or digit and have only letters, digits, `.`, `_`, `-` and `+`"
);

impl Tag {
    /// The tag of the next patch on top of this one: its last number one up, as often as it takes until the tag is
    /// not `taken`. `v1.3.0` gives `v1.3.1`; a tag without a number gets one: `spring` gives `spring.1`.
    pub fn next_patch(&self, taken: &BTreeSet<Tag>) -> Result<Tag, NameError> {
        let text = self.as_str();
        let digits = text.len() - text.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let (head, number) = text.split_at(text.len() - digits);
        let (head, mut number) = match number.parse::<u64>() {
            Ok(number) => (head.to_owned(), number),
            Err(_) if number.is_empty() => (format!("{text}."), 0),
            Err(_) => return Err(NameError::new("tag", text, "ends in a number that is too large")),
        };
        loop {
            number = number
                .checked_add(1)
                .ok_or_else(|| NameError::new("tag", text, "ends in a number that is too large"))?;
            let tag: Tag = format!("{head}{number}").parse()?;
            if !taken.contains(&tag) {
                return Ok(tag);
            }
        }
    }
}

name!(
    /// The name of a service, as its units and folders carry it.
    ServiceName, "service", 63,
    |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'),
    "must start with a letter or digit and have only letters, digits, `_` and `-`"
);

name!(
    /// The name of an environment, for example `production`.
    EnvironmentName, "environment", 63,
    |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'),
    "must start with a letter or digit and have only letters, digits, `_` and `-`"
);

name!(
    /// The name of a host as the configuration or the inventory gives it.
    HostName, "host", 253,
    |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'),
    "must start with a letter or digit and have only letters, digits, `.`, `_` and `-`"
);

name!(
    /// The name of a run: sortable by start time, unique in an environment.
    RunId, "run", 64,
    |c| c.is_ascii_alphanumeric() || c == '-',
    "must start with a letter or digit and have only letters, digits and `-`"
);

/// A release: what its artifact is, and the tag that names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Release {
    /// The tag that named it when it was staged.
    pub tag: Tag,
    /// Its identity: the digest of its manifest of files.
    pub digest: Digest,
}

impl Release {
    /// What instances carry that answer 503 while a host is held. No artifact has this digest.
    pub fn hold() -> Release {
        Release { tag: Tag("hold".into()), digest: Digest::of(b"unship: the host is held") }
    }

    /// Whether this is [`Release::hold`] and no release at all.
    pub fn is_hold(&self) -> bool {
        self.digest == Release::hold().digest
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tag.fmt(f)
    }
}

#[cfg(test)]
mod tests;
