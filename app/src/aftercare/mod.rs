//! Telling people what came of a rollback.
//!
//! [`courier`] makes values of notices: what to ask and what to send, without sending anything and without any
//! secret. [`carrier`] carries such a value out. [`outbox`] holds what is owed on the disk, from before the first try
//! until somebody has it. Nothing here can fail a rollback.

mod carrier;
mod command;
mod courier;
mod credentials;
mod file;
mod mail;
mod outbox;
mod slack;
mod tracker;
mod webhook;

pub use carrier::{Carrier, CarryError, WorldCarrier};
pub use command::CommandCourier;
pub use courier::{Answer, Auth, Base, Courier, HttpRequest, Letter, Repeat, Request, Retry, Role, Step};
pub use credentials::{Credentials, SecretSource, SecretSources};
pub use file::{IssueFile, NoteFile};
pub use mail::{Mail, MailCourier, MailTls};
pub use outbox::{Addressee, Commits, Outbox, OutboxSettings};
pub use slack::SlackCourier;
pub use tracker::{Forge, TrackerCourier};
pub use webhook::WebhookCourier;
