//! From `[aftercare]` to an outbox.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use unship_core::aftercare::{Notice, Suspects};

use super::{Site, SystemClock};
use crate::aftercare::{
    Addressee, CommandCourier, Commits, Courier, Forge, IssueFile, MailCourier, MailTls, NoteFile, Outbox,
    OutboxSettings, Role, SecretSource, SecretSources, SlackCourier, TrackerCourier, WebhookCourier,
    WorldCarrier,
};
use crate::config::{ForgeName, IssueVia, NoteVia, SmtpTls, Source, WebhookUrl};
use crate::ports::{Aftercare, Answered, Outgoing, SendError, Sender};
use crate::sender::HttpSender;

/// The courier of `note_file`.
const NOTE_FILE: &str = "note-file";

/// The commits of the service's own repository.
struct Repository {
    folder: PathBuf,
}

#[async_trait]
impl Commits for Repository {
    async fn between(&self, notice: &Notice) -> Suspects {
        match &notice.from {
            Some(from) => {
                crate::gather::commits::between(&self.folder, from.tag.as_str(), notice.to.tag.as_str()).await
            }
            None => Suspects::No { why: "no release was taken back".into() },
        }
    }
}

/// In place of a sender that could not be made.
struct NoSender {
    why: String,
}

#[async_trait]
impl Sender for NoSender {
    async fn send(&self, _: &Outgoing) -> Result<Answered, SendError> {
        Err(SendError { host: "this machine".into(), why: self.why.clone(), may_have_arrived: false })
    }
}

impl Site {
    /// The commits that the bad release added.
    pub async fn suspects(&self, notice: &Notice) -> Suspects {
        Repository { folder: self.folder.clone() }.between(notice).await
    }

    /// What is owed to people; none when nobody is to be told.
    pub fn aftercare(&self) -> Option<Arc<dyn Aftercare>> {
        let addressees = self.addressees();
        if addressees.is_empty() {
            return None;
        }
        let certificates = self.config.aftercare.ca_file.as_ref().map(|file| self.place(file));
        // What keeps notes from being sent must not keep them from being owed, and no rollback from anything.
        let sender: Arc<dyn Sender> = match HttpSender::new(certificates.as_deref()) {
            Ok(sender) => Arc::new(sender),
            Err(error) => Arc::new(NoSender { why: error.to_string() }),
        };
        Some(Arc::new(Outbox::new(OutboxSettings {
            folder: self.ledger_folder().join("outbox"),
            addressees,
            carrier: Arc::new(WorldCarrier { sender, certificates }),
            clock: Arc::new(SystemClock),
            commits: Arc::new(Repository { folder: self.folder.clone() }),
        })))
    }

    /// A path of the configuration, relative to the folder that it is in.
    fn place(&self, path: &str) -> PathBuf {
        self.folder.join(self.placeholders().fill(path))
    }

    fn secret(&self, source: &Source) -> SecretSource {
        match source {
            Source::File(file) => SecretSource::File(self.place(file)),
            Source::Command(command) => SecretSource::Command(command.words().to_vec()),
        }
    }

    fn addressees(&self) -> Vec<Addressee> {
        let config = &self.config.aftercare;
        let mut all: Vec<Addressee> = Vec::new();
        let mut add = |name: &str, courier: Box<dyn Courier>, secrets: SecretSources| {
            all.push(Addressee { name: name.to_owned(), courier, secrets });
        };
        if let Some(file) = &config.note_file {
            add(NOTE_FILE, Box::new(NoteFile { path: self.place(file) }), SecretSources::default());
        }
        for note in &config.notes {
            let (courier, secrets) = self.note(&note.via);
            add(note.name.as_str(), courier, secrets);
        }
        for issue in &config.issues {
            let (courier, secrets) = self.issue(&issue.via);
            add(issue.name.as_str(), courier, secrets);
        }
        all
    }

    fn note(&self, via: &NoteVia) -> (Box<dyn Courier>, SecretSources) {
        match via {
            NoteVia::Slack { url } => {
                (Box::new(SlackCourier), SecretSources { url: Some(self.secret(url)), token: None })
            }
            NoteVia::Webhook { url, key } => {
                let token = key.as_ref().map(|key| self.secret(key));
                match url {
                    WebhookUrl::Plain(url) => (
                        Box::new(WebhookCourier { url: Some(url.clone()) }),
                        SecretSources { token, url: None },
                    ),
                    WebhookUrl::Secret(source) => (
                        Box::new(WebhookCourier { url: None }),
                        SecretSources { token, url: Some(self.secret(source)) },
                    ),
                }
            }
            NoteVia::Smtp { host, port, tls, login, from, to } => {
                let courier = MailCourier {
                    host: host.clone(),
                    port: *port,
                    tls: match tls {
                        SmtpTls::Starttls => MailTls::Starttls,
                        SmtpTls::Implicit => MailTls::Implicit,
                        SmtpTls::None => MailTls::None,
                    },
                    user: login.as_ref().map(|(user, _)| user.clone()),
                    from: from.clone(),
                    to: to.clone(),
                };
                let token = login.as_ref().map(|(_, password)| self.secret(password));
                (Box::new(courier), SecretSources { token, url: None })
            }
            NoteVia::Command(command) => (
                Box::new(CommandCourier {
                    words: self.placeholders().fill_words(command.words()),
                    role: Role::Note,
                }),
                SecretSources::default(),
            ),
        }
    }

    fn issue(&self, via: &IssueVia) -> (Box<dyn Courier>, SecretSources) {
        match via {
            IssueVia::Forge { forge, url, repository, label, token } => {
                let forge = match forge {
                    ForgeName::GitHub => Forge::GitHub,
                    ForgeName::GitLab => Forge::GitLab,
                    ForgeName::Forgejo => Forge::Forgejo,
                };
                let (base, project, label) = (url.clone(), repository.clone(), label.clone());
                let token = Some(self.secret(token));
                (Box::new(TrackerCourier { forge, base, project, label }), SecretSources { token, url: None })
            }
            IssueVia::Command(command) => (
                Box::new(CommandCourier {
                    words: self.placeholders().fill_words(command.words()),
                    role: Role::Issue,
                }),
                SecretSources::default(),
            ),
            IssueVia::File(file) => {
                (Box::new(IssueFile { path: self.place(file) }), SecretSources::default())
            }
        }
    }
}
