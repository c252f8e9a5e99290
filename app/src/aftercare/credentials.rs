//! Secrets: where they are read from, each time when they are needed and kept nowhere.

use std::io::Read;
use std::path::PathBuf;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::ports::Secret;
use crate::process::Program;

/// The longest secret.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// How long a command that prints a secret may take, in milliseconds.
const COMMAND_MS_MAX: u64 = 10_000;

/// Where a secret is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A file that holds it and nothing else.
    File(PathBuf),
    /// A command that prints it.
    Command(Vec<String>),
}

/// The secrets of a courier, by what they are for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretSources {
    /// A token, a password or the key of a signature.
    pub token: Option<SecretSource>,
    /// An address that is a secret.
    pub url: Option<SecretSource>,
}

/// The secrets themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// A token, a password or the key of a signature.
    pub token: Option<Secret>,
    /// An address that is a secret.
    pub url: Option<Secret>,
}

impl SecretSource {
    async fn read(&self) -> Result<Secret, String> {
        let secret = match self {
            SecretSource::File(path) => {
                let mut text = String::new();
                fs_err::File::open(path)
                    .and_then(|file| file.take(SECRET_BYTES_MAX).read_to_string(&mut text))
                    .map_err(|error| error.to_string())?;
                Secret::new(&text)
            }
            SecretSource::Command(words) => {
                let name = words.first().cloned().unwrap_or_default();
                let ended = Program::new(words.iter().cloned(), COMMAND_MS_MAX).run().await;
                let ended = ended.map_err(|error| error.to_string())?;
                if !ended.success {
                    // What it printed may be the secret.
                    return Err(format!("`{name}`, which is to print a secret, ended with {}", ended.status));
                }
                Secret::new(&ended.text())
            }
        };
        if secret.reveal().is_empty() { Err("a secret is empty".into()) } else { Ok(secret) }
    }
}

impl SecretSources {
    /// Reads them.
    pub async fn read(&self) -> Result<Credentials, String> {
        let mut credentials = Credentials::default();
        if let Some(source) = &self.token {
            credentials.token = Some(source.read().await?);
        }
        if let Some(source) = &self.url {
            credentials.url = Some(source.read().await?);
        }
        Ok(credentials)
    }
}

impl Credentials {
    /// The text without the secrets, whoever put them there: as they are, and as a log-in to a mail server sends them.
    pub fn redact(&self, text: &str) -> String {
        let secrets = [&self.token, &self.url].into_iter().flatten();
        secrets.fold(text.to_owned(), |text, secret| {
            let text = text.replace(secret.reveal(), "[redacted]");
            text.split(' ').map(|word| word_without(word, secret)).collect::<Vec<_>>().join(" ")
        })
    }
}

/// The word, unless it is base64 that has the secret in it.
fn word_without<'a>(word: &'a str, secret: &Secret) -> &'a str {
    let encoded = word.trim_matches(|char: char| !(char.is_ascii_alphanumeric() || "+/=".contains(char)));
    let holds = BASE64_STANDARD.decode(encoded).is_ok_and(|bytes| {
        let secret = secret.reveal().as_bytes();
        bytes.windows(secret.len().max(1)).any(|window| window == secret)
    });
    if holds { "[redacted]" } else { word }
}
