//! The values of `unship.toml` that have rules of their own. Each is checked where it is read, so that the
//! error points at its line.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Deserializer, de};

/// A length of time, written with its unit: `200ms`, `30s`, `10m`, `2h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Millis(pub u64);

/// The longest time that can be configured: a day. Every wait has a limit.
const MILLIS_MAX: u64 = 24 * 3_600_000;

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Millis, D::Error> {
        struct Text;
        impl de::Visitor<'_> for Text {
            type Value = Millis;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time with its unit, such as \"200ms\", \"30s\", \"10m\" or \"2h\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Millis, E> {
                let digits = text.bytes().take_while(u8::is_ascii_digit).count();
                let (number, unit) = text.split_at(digits);
                let factor = match unit {
                    "ms" => 1,
                    "s" => 1_000,
                    "m" => 60_000,
                    "h" => 3_600_000,
                    _ => return Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                };
                let ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
                match ms {
                    Some(ms @ 1..=MILLIS_MAX) => Ok(Millis(ms)),
                    _ => Err(E::custom(format!("the time `{text}` must be more than 0 and at most 24h"))),
                }
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// A command as a list of words. It is never given to a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandLine(Vec<String>);

impl CommandLine {
    /// The program and its arguments.
    pub fn words(&self) -> &[String] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for CommandLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<CommandLine, D::Error> {
        struct Words;
        impl<'de> de::Visitor<'de> for Words {
            type Value = CommandLine;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a command as a list of words, such as [\"make\", \"build\"]")
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<CommandLine, A::Error> {
                let mut words: Vec<String> = Vec::new();
                while let Some(word) = list.next_element()? {
                    words.push(word);
                }
                if words.first().is_none_or(String::is_empty) {
                    return Err(de::Error::custom("a command needs at least the name of a program"));
                }
                if words.iter().any(|word| word.contains('\0')) {
                    return Err(de::Error::custom("a command cannot hold a NUL character"));
                }
                Ok(CommandLine(words))
            }
        }
        deserializer.deserialize_seq(Words)
    }
}

/// A path below a known folder: not absolute, without `..`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct RelativePath(String);

impl RelativePath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RelativePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for RelativePath {
    type Error = String;

    fn try_from(path: String) -> Result<RelativePath, String> {
        let bad_part = |part: &str| matches!(part, "" | "." | "..");
        if path.contains('\0') || path.split('/').any(bad_part) {
            return Err(format!(
                "the path `{}` must be relative, without `.`, `..` or empty parts",
                path.escape_debug()
            ));
        }
        Ok(RelativePath(path))
    }
}

/// The path of a URL, from its `/` on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct UrlPath(String);

impl UrlPath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for UrlPath {
    type Error = String;

    fn try_from(path: String) -> Result<UrlPath, String> {
        let plain = path.bytes().all(|byte| byte.is_ascii_graphic());
        if plain && path.starts_with('/') {
            Ok(UrlPath(path))
        } else {
            Err(format!("the URL path `{}` must begin with `/` and be plain ASCII", path.escape_debug()))
        }
    }
}

/// An address to listen on, with its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Listen(pub SocketAddr);

impl TryFrom<String> for Listen {
    type Error = String;

    fn try_from(text: String) -> Result<Listen, String> {
        match text.parse::<SocketAddr>() {
            Ok(address) if address.port() != 0 => Ok(Listen(address)),
            _ => Err(format!(
                "the address `{}` must be an IP address and a port, such as \"127.0.0.1:8080\"",
                text.escape_debug()
            )),
        }
    }
}
