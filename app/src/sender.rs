//! Sends HTTP requests to others: a connection of its own for each, TLS by rustls with ring, no redirects, no
//! retries, no proxy, a limit on time and on what is read.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Bytes};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::ports::{Answered, HeaderText, Method, Outgoing, SendError, Sender};

/// What this program calls itself.
const AGENT: &str = concat!("unship/", env!("CARGO_PKG_VERSION"));

/// The most bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Sends over TCP, with TLS where the address says `https`.
pub struct HttpSender {
    tls: TlsConnector,
}

/// The certificates of authorities could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the certificates in `{file}`: {why}")]
pub struct CertificatesError {
    file: String,
    why: String,
}

impl HttpSender {
    /// A sender that trusts the machine's certificate authorities, those that come with this program when the
    /// machine has none, and the ones in `extra`, a PEM file.
    pub fn new(extra: Option<&std::path::Path>) -> Result<HttpSender, CertificatesError> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        if let Some(file) = extra {
            let wrong = |why: String| CertificatesError { file: file.display().to_string(), why };
            let certificates =
                CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))?;
            let mut count = 0;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
                roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
                count += 1;
            }
            if count == 0 {
                return Err(wrong("it holds no certificate".into()));
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| CertificatesError { file: "rustls".into(), why: error.to_string() })?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(HttpSender { tls: TlsConnector::from(Arc::new(config)) })
    }
}

#[async_trait]
impl Sender for HttpSender {
    async fn send(&self, request: &Outgoing) -> Result<Answered, SendError> {
        let place = Place::of(request.url.reveal())?;
        let mut sent = false;
        let limit = Duration::from_millis(request.time_ms_max);
        match tokio::time::timeout(limit, self.exchange(&place, request, &mut sent)).await {
            Ok(Ok(answered)) => Ok(answered),
            Ok(Err(why)) => Err(SendError { host: place.shown(), why, may_have_arrived: sent }),
            Err(_) => Err(SendError {
                host: place.shown(),
                why: format!("no answer within {} ms", request.time_ms_max),
                may_have_arrived: sent,
            }),
        }
    }
}

impl HttpSender {
    async fn exchange(&self, place: &Place, request: &Outgoing, sent: &mut bool) -> Result<Answered, String> {
        let stream = TcpStream::connect((place.host.as_str(), place.port))
            .await
            .map_err(|error| format!("cannot connect: {error}"))?;
        if !place.tls {
            return over(stream, place, request, sent).await;
        }
        let name = ServerName::try_from(place.host.clone()).map_err(|error| error.to_string())?;
        let stream =
            self.tls.connect(name, stream).await.map_err(|error| format!("cannot agree on TLS: {error}"))?;
        over(stream, place, request, sent).await
    }
}

/// One request and its answer over a connection.
async fn over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    place: &Place,
    request: &Outgoing,
    sent: &mut bool,
) -> Result<Answered, String> {
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    // It ends with this future: nothing goes on when the time is up.
    let driver = Driver(tokio::spawn(async move {
        let _ = connection.await;
    }));
    let message = message(place, request)?;
    *sent = true;
    let response = sender.send_request(message).await.map_err(|error| error.to_string())?;
    let status = response.status().as_u16();
    let headers = response
        .headers()
        .iter()
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    let bytes_max = request.answer_bytes_max;
    let too_long = || format!("the answer has more than {bytes_max} bytes");
    if usize::try_from(response.body().size_hint().lower()).map_or(true, |bytes| bytes > bytes_max) {
        return Err(too_long());
    }
    let body = Limited::new(response.into_body(), bytes_max).collect().await;
    drop(driver);
    let body = body.map_err(|error| match error.downcast_ref::<LengthLimitError>() {
        Some(_) => too_long(),
        None => error.to_string(),
    })?;
    Ok(Answered { status, headers, body: body.to_bytes().to_vec() })
}

struct Driver(tokio::task::JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn message(place: &Place, request: &Outgoing) -> Result<Request<Full<Bytes>>, String> {
    let method = match request.method {
        Method::Get => hyper::Method::GET,
        Method::Post => hyper::Method::POST,
        Method::Put => hyper::Method::PUT,
        Method::Patch => hyper::Method::PATCH,
    };
    let mut message = Request::builder()
        .method(method)
        .uri(&place.path)
        .header(HOST, place.authority())
        .header(CONNECTION, "close")
        .header(USER_AGENT, AGENT);
    for (name, text) in &request.headers {
        let (text, secret) = match text {
            HeaderText::Plain(text) => (text.as_str(), false),
            HeaderText::Secret(secret) => (secret.reveal(), true),
        };
        let mut value = HeaderValue::from_str(text)
            .map_err(|_| format!("the header `{name}` cannot hold what it is to hold"))?;
        value.set_sensitive(secret);
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
        message = message.header(name, value);
    }
    message.body(Full::from(request.body.clone())).map_err(|error| error.to_string())
}

/// Where a request goes.
struct Place {
    tls: bool,
    host: String,
    port: u16,
    /// Path and query.
    path: String,
}

impl Place {
    /// Takes an address apart. The address may be a secret: no error holds any part of it but the host.
    fn of(url: &str) -> Result<Place, SendError> {
        let wrong =
            |why: &str| SendError { host: "the address".into(), why: why.into(), may_have_arrived: false };
        let uri: Uri = url.parse().map_err(|_| wrong("it is no address"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("it must begin with `https://` or `http://`")),
        };
        let authority = uri.authority().ok_or_else(|| wrong("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(wrong("a user and a password have no place in it"));
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Place { tls, host, port, path })
    }

    /// The host as it is written in an address.
    fn bracketed(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }

    /// For the `Host` header: with the port where it is not the usual one.
    fn authority(&self) -> String {
        let usual = if self.tls { 443 } else { 80 };
        let host = self.bracketed();
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }

    /// For people: host and port, no path, which may be a secret.
    fn shown(&self) -> String {
        format!("{}:{}", self.bracketed(), self.port)
    }
}

#[cfg(test)]
mod tests;
