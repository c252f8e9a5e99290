//! Carries requests out, with the secrets put in.

use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use fs_err::OpenOptions;
use hmac::{Hmac, KeyInit, Mac};
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials as SmtpLogin;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use sha2::Sha256;

use super::courier::{Answer, Auth, Base, HttpRequest, Request};
use super::credentials::Credentials;
use super::mail::{Mail, MailTls};
use crate::ports::{HeaderText, Outgoing, Secret, Sender};
use crate::process::Program;

/// How long one request may take, in milliseconds.
const REQUEST_MS_MAX: u64 = 10_000;

/// How long a command may take, in milliseconds.
const COMMAND_MS_MAX: u64 = 30_000;

/// The largest answer that is read: a hundred issues of the longest kind.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// How much of the end of a file is searched for what was added before.
const SEARCHED_BYTES_MAX: u64 = 4 << 20;

/// How long another process may keep a file locked, in milliseconds.
const LOCK_MS_MAX: u64 = 2_000;

/// How often a lock is tried meanwhile, in milliseconds.
const LOCK_LOOK_MS: u64 = 20;

/// The longest time that a receiver can ask to be left alone: six hours. Nobody waits longer for a note.
const RETRY_AFTER_MS_MAX: u64 = 6 * 3_600_000;

/// It was not carried out, or nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct CarryError {
    /// Why; no secret is in it.
    pub why: String,
    /// Whether the receiver may have it all the same.
    pub may_have_arrived: bool,
    /// Whether trying again is of no use until somebody mends something.
    pub for_good: bool,
}

impl CarryError {
    fn not_sent(why: impl Into<String>) -> CarryError {
        CarryError { why: why.into(), may_have_arrived: false, for_good: false }
    }
}

/// Carries requests out.
#[async_trait]
pub trait Carrier: Send + Sync {
    /// Carries one out, once, within so many milliseconds: whoever has to stop in the middle knows best whether the
    /// receiver may have it.
    async fn carry(
        &self,
        request: &Request,
        credentials: &Credentials,
        time_ms: u64,
    ) -> Result<Answer, CarryError>;
}

/// Carries requests out in the world.
pub struct WorldCarrier {
    /// Sends over HTTP.
    pub sender: Arc<dyn Sender>,
    /// More certificates to trust, a PEM file.
    pub certificates: Option<PathBuf>,
}

#[async_trait]
impl Carrier for WorldCarrier {
    async fn carry(
        &self,
        request: &Request,
        credentials: &Credentials,
        time_ms: u64,
    ) -> Result<Answer, CarryError> {
        let carried = match request {
            Request::Http(request) => self.http(request, credentials, time_ms).await,
            Request::Mail(mail) => self.mail(mail, credentials, time_ms).await,
            Request::Program { words, input } => run(words, input, time_ms).await,
            Request::Append { path, marker, text, instead } => {
                let (path, marker, text, instead) =
                    (path.clone(), marker.clone(), text.clone(), instead.clone());
                let added =
                    tokio::task::spawn_blocking(move || append(&path, &marker, &text, instead.as_ref()));
                match added.await {
                    Ok(Ok(())) => Ok(Answer::Done),
                    Ok(Err(error)) => Err(CarryError::not_sent(error.to_string())),
                    Err(error) => Err(CarryError::not_sent(error.to_string())),
                }
            }
        };
        carried.map_err(|error| CarryError { why: credentials.redact(&error.why), ..error })
    }
}

impl WorldCarrier {
    async fn http(
        &self,
        request: &HttpRequest,
        credentials: &Credentials,
        time_ms: u64,
    ) -> Result<Answer, CarryError> {
        let outgoing = outgoing(request, credentials, time_ms).map_err(CarryError::not_sent)?;
        let answered = self.sender.send(&outgoing).await.map_err(|error| CarryError {
            why: error.to_string(),
            may_have_arrived: error.may_have_arrived,
            for_good: false,
        })?;
        Ok(Answer::Http {
            status: answered.status,
            retry_after_ms: answered.header("retry-after").and_then(retry_after_ms),
            body: answered.body,
        })
    }

    async fn mail(&self, mail: &Mail, credentials: &Credentials, time_ms: u64) -> Result<Answer, CarryError> {
        let never = |why: String| CarryError { why, may_have_arrived: false, for_good: true };
        let message = written(mail).map_err(never)?;
        let transport = self.transport(mail, credentials).map_err(never)?;
        // A first connection shows that the server is there and lets us in: from then on only the sending can fail.
        let first = tokio::time::timeout(Duration::from_millis(time_ms), transport.test_connection());
        let Ok(first) = first.await else {
            return Err(CarryError::not_sent(format!("{} does not answer in time", mail.host)));
        };
        match first {
            Ok(true) => {}
            Ok(false) => {
                return Err(CarryError::not_sent(format!("{} does not answer as a mail server", mail.host)));
            }
            Err(error) => return Err(CarryError::not_sent(smtp_words(mail, &error))),
        }
        match transport.send(message).await {
            Ok(_) => Ok(Answer::Done),
            Err(error) => Err(CarryError {
                why: smtp_words(mail, &error),
                // The server said no; everything else may have come after it took the mail.
                may_have_arrived: !(error.is_transient() || error.is_permanent()),
                for_good: error.is_permanent(),
            }),
        }
    }

    fn transport(
        &self,
        mail: &Mail,
        credentials: &Credentials,
    ) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
        let mut tls = TlsParameters::builder(mail.host.clone());
        if let Some(file) = &self.certificates {
            let pem = fs_err::read(file).map_err(|error| error.to_string())?;
            tls = tls.add_root_certificate(Certificate::from_pem(&pem).map_err(|error| error.to_string())?);
        }
        let parameters = || tls.build_rustls().map_err(|error| error.to_string());
        let tls = match mail.tls {
            MailTls::Starttls => Tls::Required(parameters()?),
            MailTls::Implicit => Tls::Wrapper(parameters()?),
            MailTls::None => Tls::None,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&mail.host)
            .port(mail.port)
            .tls(tls)
            .timeout(Some(Duration::from_millis(REQUEST_MS_MAX)));
        if let (Some(user), Some(password)) = (&mail.user, &credentials.token) {
            builder = builder.credentials(SmtpLogin::new(user.clone(), password.reveal().to_owned()));
        }
        Ok(builder.build())
    }
}

fn smtp_words(mail: &Mail, error: &lettre::transport::smtp::Error) -> String {
    use std::error::Error as _;
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    crate::plain::plain(&format!("{}:{}: {error}{cause}", mail.host, mail.port))
}

/// The mail as RFC 5322 has it; lettre encodes what is not ASCII and keeps line breaks out of headers.
fn written(mail: &Mail) -> Result<Message, String> {
    let mailbox = |text: &str| text.parse::<Mailbox>().map_err(|error| format!("`{text}`: {error}"));
    let mut builder = Message::builder()
        .from(mailbox(&mail.from)?)
        .subject(mail.subject.clone())
        .message_id(Some(mail.message_id.clone()))
        .header(ContentType::TEXT_PLAIN);
    for to in &mail.to {
        builder = builder.to(mailbox(to)?);
    }
    // RFC 3834: nobody's holiday answers this.
    let automatic =
        HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".into());
    let mut message = builder.body(mail.text.clone()).map_err(|error| error.to_string())?;
    message.headers_mut().insert_raw(automatic);
    Ok(message)
}

/// The request with its secrets.
fn outgoing(request: &HttpRequest, credentials: &Credentials, time_ms: u64) -> Result<Outgoing, String> {
    let url = match (&request.base, &credentials.url) {
        (Base::Plain(base), _) => Secret::new(&format!("{}{}", base.trim_end_matches('/'), request.path)),
        (Base::Secret, Some(url)) => url.clone(),
        (Base::Secret, None) => return Err("its address is not configured".into()),
    };
    let mut headers: Vec<(&'static str, HeaderText)> =
        request.headers.iter().map(|(name, text)| (*name, HeaderText::Plain(text.clone()))).collect();
    match (request.auth, &credentials.token) {
        (Auth::None, _) | (_, None) => {}
        (Auth::Header(name, words), Some(token)) => {
            headers.push((name, HeaderText::Secret(Secret::new(&format!("{words}{}", token.reveal())))));
        }
        (Auth::Signature(name), Some(key)) => {
            let mut mac = Hmac::<Sha256>::new_from_slice(key.reveal().as_bytes())
                .map_err(|_| "the key of the signature cannot be used".to_owned())?;
            mac.update(&request.body);
            let signature = hex::encode(mac.finalize().into_bytes());
            headers.push((name, HeaderText::Plain(format!("sha256={signature}"))));
        }
    }
    Ok(Outgoing {
        method: request.method,
        url,
        headers,
        body: request.body.clone(),
        time_ms_max: time_ms.min(REQUEST_MS_MAX),
        answer_bytes_max: ANSWER_BYTES_MAX,
    })
}

/// `Retry-After` in seconds or as a date (RFC 9110, 10.2.3).
fn retry_after_ms(text: &str) -> Option<u64> {
    let ms = match text.trim().parse::<u64>() {
        Ok(seconds) => seconds.saturating_mul(1_000),
        Err(_) => {
            let date = jiff::fmt::rfc2822::DateTimeParser::new()
                .relaxed_weekday(true)
                .parse_timestamp(text.trim())
                .ok()?;
            let from_now = date.as_millisecond() - jiff::Timestamp::now().as_millisecond();
            u64::try_from(from_now).unwrap_or(0)
        }
    };
    Some(ms.min(RETRY_AFTER_MS_MAX))
}

async fn run(words: &[String], input: &[u8], time_ms: u64) -> Result<Answer, CarryError> {
    let name = words.first().cloned().unwrap_or_default();
    let program = Program::new(words.iter().cloned(), time_ms.min(COMMAND_MS_MAX)).with_input(input.to_vec());
    match program.run().await {
        Ok(ended) if ended.success => Ok(Answer::Done),
        // It said that it did not do it.
        Ok(ended) => Err(CarryError::not_sent(unship_core::aftercare::mask(&format!(
            "`{name}` ended with {}: {}",
            ended.status,
            ended.complaint()
        )))),
        Err(error @ crate::process::ProgramError::NotStarted { .. }) => {
            Err(CarryError::not_sent(error.to_string()))
        }
        Err(error) => Err(CarryError { why: error.to_string(), may_have_arrived: true, for_good: false }),
    }
}

/// Looks and adds under one lock: two commands at once must not both find it missing.
fn append(path: &Path, marker: &str, text: &str, instead: Option<&(String, String)>) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        fs_err::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    locked(&file, path)?;
    let start = file.metadata()?.len().saturating_sub(SEARCHED_BYTES_MAX);
    file.seek(std::io::SeekFrom::Start(start))?;
    let mut end = Vec::new();
    file.read_to_end(&mut end)?;
    let holds = |marker: &str| end.windows(marker.len().max(1)).any(|window| window == marker.as_bytes());
    if holds(marker) {
        return Ok(());
    }
    let text = match instead {
        Some((marker, instead)) if holds(marker) => instead,
        _ => text,
    };
    // A line that an earlier write left half is ended first.
    let gap = if end.last().is_some_and(|byte| *byte != b'\n') { "\n" } else { "" };
    file.write_all(format!("{gap}{text}").as_bytes())?;
    file.sync_data()
}

/// Takes the file's lock, and waits for it no longer than others may reasonably hold it: whoever never lets go must
/// not keep an operator's command.
fn locked(file: &fs_err::File, path: &Path) -> std::io::Result<()> {
    let give_up = Instant::now() + Duration::from_millis(LOCK_MS_MAX);
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) if Instant::now() < give_up => {
                std::thread::sleep(Duration::from_millis(LOCK_LOOK_MS));
            }
            Err(Errno::WOULDBLOCK) => {
                let why = format!("another process keeps {} locked", path.display());
                return Err(std::io::Error::new(std::io::ErrorKind::WouldBlock, why));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests;
