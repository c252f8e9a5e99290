//! Mail over SMTP.

use unship_core::aftercare::{message, subject};

use super::courier::{Answer, Courier, Letter, Repeat, Request, Role, Step, judged};

/// How the way to the server is kept private.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MailTls {
    /// STARTTLS on a plain connection (RFC 3207), required.
    Starttls,
    /// TLS from the first byte (RFC 8314).
    Implicit,
    /// Not at all: for a server on this machine.
    None,
}

/// A mail without its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the way to it is kept private.
    pub tls: MailTls,
    /// The user that the password belongs to.
    pub user: Option<String>,
    /// Who sends.
    pub from: String,
    /// Who gets it.
    pub to: Vec<String>,
    /// The same for every try, so that a mailbox can know one twice.
    pub message_id: String,
    /// The subject.
    pub subject: String,
    /// The text.
    pub text: String,
}

/// Brings notes by mail.
#[derive(Debug, Clone)]
pub struct MailCourier {
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the way to it is kept private.
    pub tls: MailTls,
    /// The user, where the server wants one.
    pub user: Option<String>,
    /// Who sends.
    pub from: String,
    /// Who gets it.
    pub to: Vec<String>,
}

impl Courier for MailCourier {
    fn role(&self) -> Role {
        Role::Note
    }

    fn repeat(&self) -> Repeat {
        Repeat::AtMostOnce
    }

    fn step(&self, letter: &Letter<'_>, so_far: &[Answer]) -> Step {
        if let Some(answer) = so_far.first() {
            return judged(answer);
        }
        let lines = message(letter.notice, letter.may_repeat);
        Step::Act(Request::Mail(Mail {
            host: self.host.clone(),
            port: self.port,
            tls: self.tls,
            user: self.user.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
            message_id: format!("<{}@unship>", letter.key),
            subject: subject(letter.notice),
            text: lines.join("\n") + "\n",
        }))
    }
}
