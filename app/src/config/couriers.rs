//! `[aftercare]`: who is told of a rollback, and how.

use serde::Deserialize;
use unship_core::release::ServiceName;

use super::{CommandLine, Millis};

/// `[aftercare]`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(try_from = "AftercareKeys")]
pub struct Aftercare {
    /// A file to which every rollback adds one line: when, who, from-tag, to-tag, why, how it ended.
    pub note_file: Option<String>,
    /// How long a command delivers what is due after it has said its own.
    pub budget: Budget,
    /// A PEM file with more certificate authorities to trust.
    pub ca_file: Option<String>,
    /// Who gets a note.
    pub notes: Vec<Note>,
    /// Where a follow-up issue is filed.
    pub issues: Vec<IssueTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AftercareKeys {
    note_file: Option<String>,
    #[serde(default)]
    budget: Budget,
    ca_file: Option<String>,
    #[serde(default)]
    note: Vec<Note>,
    #[serde(default)]
    issue: Vec<IssueTable>,
}

impl TryFrom<AftercareKeys> for Aftercare {
    type Error = String;

    fn try_from(keys: AftercareKeys) -> Result<Aftercare, String> {
        let notes = keys.note.iter().map(|note| &note.name);
        let names: Vec<&ServiceName> = notes.chain(keys.issue.iter().map(|issue| &issue.name)).collect();
        let doubled = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name));
        if let Some((_, name)) = doubled {
            return Err(format!("two couriers are named `{name}`; give one a `name` of its own"));
        }
        Ok(Aftercare {
            note_file: keys.note_file,
            budget: keys.budget,
            ca_file: keys.ca_file,
            notes: keys.note,
            issues: keys.issue,
        })
    }
}

/// How long a command delivers what is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Budget(pub Millis);

impl Default for Budget {
    fn default() -> Budget {
        Budget(Millis(5_000))
    }
}

/// `[[aftercare.note]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "NoteKeys")]
pub struct Note {
    /// Its name in the outbox.
    pub name: ServiceName,
    /// Over what.
    pub via: NoteVia,
}

/// Over what a note goes.
#[derive(Debug, Clone)]
pub enum NoteVia {
    /// An incoming webhook in Slack's format, whose address is a secret.
    Slack {
        /// Where the address is read from.
        url: Source,
    },
    /// A webhook of one's own.
    Webhook {
        /// The address.
        url: WebhookUrl,
        /// Where the key of the signature is read from.
        key: Option<Source>,
    },
    /// Mail.
    Smtp {
        /// The server.
        host: String,
        /// Its port.
        port: u16,
        /// How the way to it is kept private.
        tls: SmtpTls,
        /// The user and where the password is read from.
        login: Option<(String, Source)>,
        /// Who sends.
        from: String,
        /// Who gets it.
        to: Vec<String>,
    },
    /// A command, with the notice on its standard input.
    Command(CommandLine),
}

/// How the way to a mail server is kept private.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SmtpTls {
    /// STARTTLS, required.
    Starttls,
    /// TLS from the first byte.
    Implicit,
    /// Not at all.
    None,
}

/// The address of a webhook.
#[derive(Debug, Clone)]
pub enum WebhookUrl {
    /// Anybody may read it.
    Plain(String),
    /// It is a secret.
    Secret(Source),
}

/// Where a secret is read from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A file that holds it and nothing else.
    File(String),
    /// A command that prints it.
    Command(CommandLine),
}

/// `[[aftercare.issue]]`
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "IssueKeys")]
pub struct IssueTable {
    /// Its name in the outbox.
    pub name: ServiceName,
    /// Where.
    pub via: IssueVia,
}

/// Where a follow-up issue is filed.
#[derive(Debug, Clone)]
pub enum IssueVia {
    /// At a forge.
    Forge {
        /// Which.
        forge: ForgeName,
        /// The address of its API.
        url: String,
        /// The repository.
        repository: String,
        /// The label.
        label: String,
        /// Where the token is read from.
        token: Source,
    },
    /// With a command, with notice and issue on its standard input.
    Command(CommandLine),
    /// In a Markdown file.
    File(String),
}

/// Which software keeps issues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForgeName {
    /// GitHub.
    GitHub,
    /// GitLab.
    GitLab,
    /// Forgejo, and Gitea.
    Forgejo,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum NoteKind {
    Slack,
    Webhook,
    Smtp,
    Command,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoteKeys {
    via: NoteKind,
    name: Option<ServiceName>,
    url: Option<String>,
    url_file: Option<String>,
    url_command: Option<CommandLine>,
    key_file: Option<String>,
    key_command: Option<CommandLine>,
    host: Option<String>,
    port: Option<u16>,
    tls: Option<SmtpTls>,
    user: Option<String>,
    password_file: Option<String>,
    password_command: Option<CommandLine>,
    from: Option<String>,
    to: Option<Vec<String>>,
    command: Option<CommandLine>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum IssueKind {
    Github,
    Gitlab,
    Forgejo,
    Command,
    File,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct IssueKeys {
    via: IssueKind,
    name: Option<ServiceName>,
    url: Option<String>,
    repository: Option<String>,
    label: Option<String>,
    token_file: Option<String>,
    token_command: Option<CommandLine>,
    command: Option<CommandLine>,
    file: Option<String>,
}

/// A secret that is read from a file or from a command, not both.
fn source(what: &str, file: Option<String>, command: Option<CommandLine>) -> Result<Option<Source>, String> {
    match (file, command) {
        (Some(_), Some(_)) => Err(format!("write `{what}_file` or `{what}_command`, not both")),
        (Some(file), None) => Ok(Some(Source::File(file))),
        (None, Some(command)) => Ok(Some(Source::Command(command))),
        (None, None) => Ok(None),
    }
}

fn needed<T>(value: Option<T>, via: &str, key: &str) -> Result<T, String> {
    value.ok_or_else(|| format!("`via = \"{via}\"` needs `{key}`"))
}

/// Refuses keys that belong to another kind.
fn alone(via: &str, others: &[(&str, bool)]) -> Result<(), String> {
    match others.iter().find(|(_, given)| *given) {
        Some((key, _)) => Err(format!("`{key}` has no meaning with `via = \"{via}\"`")),
        None => Ok(()),
    }
}

fn name(given: Option<ServiceName>, via: &str) -> Result<ServiceName, String> {
    match given {
        Some(name) => Ok(name),
        None => via.parse().map_err(|error: unship_core::release::NameError| error.to_string()),
    }
}

fn address(url: String) -> Result<String, String> {
    let begins = url.starts_with("https://") || url.starts_with("http://");
    if begins { Ok(url) } else { Err(format!("`{url}` must begin with `https://` or `http://`")) }
}

impl TryFrom<NoteKeys> for Note {
    type Error = String;

    fn try_from(keys: NoteKeys) -> Result<Note, String> {
        let (http, secret_url) = (keys.url.is_some(), keys.url_file.is_some() || keys.url_command.is_some());
        let signs = keys.key_file.is_some() || keys.key_command.is_some();
        let mails = keys.host.is_some()
            || keys.port.is_some()
            || keys.tls.is_some()
            || keys.user.is_some()
            || keys.password_file.is_some()
            || keys.password_command.is_some()
            || keys.from.is_some()
            || keys.to.is_some();
        let runs = keys.command.is_some();
        let url = source("url", keys.url_file, keys.url_command)?;
        let key = source("key", keys.key_file, keys.key_command)?;
        let (via, default) = match keys.via {
            NoteKind::Slack => {
                let others = [("url", http), ("key_file", signs), ("host", mails), ("command", runs)];
                alone("slack", &others)?;
                (NoteVia::Slack { url: needed(url, "slack", "url_file")? }, "slack")
            }
            NoteKind::Webhook => {
                alone("webhook", &[("host", mails), ("command", runs)])?;
                let url = match (keys.url, url) {
                    (Some(_), Some(_)) => return Err("write `url` or `url_file`, not both".into()),
                    (Some(plain), None) => WebhookUrl::Plain(address(plain)?),
                    (None, url) => WebhookUrl::Secret(needed(url, "webhook", "url")?),
                };
                (NoteVia::Webhook { url, key }, "webhook")
            }
            NoteKind::Smtp => {
                let others =
                    [("url", http), ("url_file", secret_url), ("key_file", signs), ("command", runs)];
                alone("smtp", &others)?;
                let password = source("password", keys.password_file, keys.password_command)?;
                let login = match (keys.user, password) {
                    (Some(user), Some(password)) => Some((user, password)),
                    (None, None) => None,
                    _ => return Err("`user` and `password_file` belong together".into()),
                };
                let tls = keys.tls.unwrap_or(SmtpTls::Starttls);
                if tls == SmtpTls::None && login.is_some() {
                    return Err("a password is not sent without TLS; write `tls = \"starttls\"`".into());
                }
                let to = needed(keys.to, "smtp", "to")?;
                if to.is_empty() {
                    return Err("`to` names nobody".into());
                }
                let via = NoteVia::Smtp {
                    host: needed(keys.host, "smtp", "host")?,
                    port: keys.port.unwrap_or(match tls {
                        SmtpTls::Starttls => 587,
                        SmtpTls::Implicit => 465,
                        SmtpTls::None => 25,
                    }),
                    tls,
                    login,
                    from: needed(keys.from, "smtp", "from")?,
                    to,
                };
                (via, "smtp")
            }
            NoteKind::Command => {
                let others = [("url", http), ("url_file", secret_url), ("key_file", signs), ("host", mails)];
                alone("command", &others)?;
                (NoteVia::Command(needed(keys.command, "command", "command")?), "command")
            }
        };
        Ok(Note { name: name(keys.name, default)?, via })
    }
}

impl TryFrom<IssueKeys> for IssueTable {
    type Error = String;

    fn try_from(keys: IssueKeys) -> Result<IssueTable, String> {
        let at_forge = keys.url.is_some() || keys.repository.is_some() || keys.label.is_some();
        let shows_token = keys.token_file.is_some() || keys.token_command.is_some();
        let (runs, files) = (keys.command.is_some(), keys.file.is_some());
        let token = source("token", keys.token_file, keys.token_command)?;
        let forge = |forge: ForgeName, via: &str, default: Option<&str>| -> Result<IssueVia, String> {
            alone(via, &[("command", runs), ("file", files)])?;
            let url = keys.url.clone().or_else(|| default.map(str::to_owned));
            Ok(IssueVia::Forge {
                forge,
                url: address(needed(url, via, "url")?)?,
                repository: needed(keys.repository.clone(), via, "repository")?,
                label: keys.label.clone().unwrap_or_else(|| "unship".into()),
                token: needed(token.clone(), via, "token_file")?,
            })
        };
        let (via, default) = match keys.via {
            IssueKind::Github => {
                (forge(ForgeName::GitHub, "github", Some("https://api.github.com"))?, "github")
            }
            IssueKind::Gitlab => {
                (forge(ForgeName::GitLab, "gitlab", Some("https://gitlab.com/api/v4"))?, "gitlab")
            }
            // Every instance has an address of its own; its API is below `/api/v1`.
            IssueKind::Forgejo => (forge(ForgeName::Forgejo, "forgejo", None)?, "forgejo"),
            IssueKind::Command => {
                alone("command", &[("url", at_forge), ("token_file", shows_token), ("file", files)])?;
                (IssueVia::Command(needed(keys.command, "command", "command")?), "issue-command")
            }
            IssueKind::File => {
                alone("file", &[("url", at_forge), ("token_file", shows_token), ("command", runs)])?;
                (IssueVia::File(needed(keys.file, "file", "file")?), "issue-file")
            }
        };
        Ok(IssueTable { name: name(keys.name, default)?, via })
    }
}
