//! Looks at a host's service from outside, over HTTP, on connections of their own.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use unship_core::release::{HostName, Tag};

use crate::config::{Probe, UrlPath};
use crate::ports::{CheckFailure, Prober};

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The wait between two tries grows from the first to the last of these.
const RETRY_MS: (u64, u64) = (1, 250);

/// Probes every host at the address of its first unit that listens.
#[derive(Debug, Clone)]
pub struct HttpProber {
    /// What to ask and how long.
    pub probe: Probe,
    /// Whom to ask, as `name:port` or `[::1]:port`; a host on which nothing can be reached from here is not there.
    pub addresses: BTreeMap<HostName, String>,
}

#[async_trait]
impl Prober for HttpProber {
    async fn probe(&self, host: &HostName, tag: &Tag) -> Result<String, CheckFailure> {
        let Some(address) = self.addresses.get(host) else {
            return Ok("no unit listens where it could be asked from here".into());
        };
        if self.probe.health.is_none() && self.probe.version.is_none() {
            return Ok("no probe is configured".into());
        }
        let until = Instant::now() + Duration::from_millis(self.probe.time_max.0);
        let mut wait_ms = RETRY_MS.0;
        loop {
            match self.ask_all(address, tag).await {
                Ok(answer) => return Ok(answer),
                Err(why) if Instant::now() >= until => {
                    return Err(CheckFailure {
                        message: format!("{host} does not answer as {tag}: {why}"),
                        hint: Some(format!("see for yourself: `curl -i http://{address}{}`", self.shown())),
                    });
                }
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
                    wait_ms = (wait_ms * 2).min(RETRY_MS.1);
                }
            }
        }
    }

    async fn all_answer(&self, host: &HostName, tag: &Tag, connections: usize) -> Result<(), String> {
        self.ask_on_each(host, tag, connections).await
    }

    async fn beat(&self, host: &HostName) -> Option<Option<Duration>> {
        let address = self.addresses.get(host)?;
        let path = self.probe.health.as_ref().or(self.probe.version.as_ref())?;
        let began = Instant::now();
        Some(self.ask(address, path).await.ok().map(|_| began.elapsed()))
    }
}

impl HttpProber {
    async fn ask_on_each(&self, host: &HostName, tag: &Tag, connections: usize) -> Result<(), String> {
        let Some(address) = self.addresses.get(host) else { return Ok(()) };
        let asked = (0..connections).map(|_| self.ask_version(address, tag));
        futures_util::future::try_join_all(asked).await?;
        // One after the other as well: who takes a connection depends on who waits for one at that moment.
        for _ in 0..connections {
            self.ask_version(address, tag).await?;
        }
        Ok(())
    }

    fn shown(&self) -> &str {
        self.probe.version.as_ref().or(self.probe.health.as_ref()).map_or("/", UrlPath::as_str)
    }

    async fn ask_all(&self, address: &str, tag: &Tag) -> Result<String, String> {
        let (version, health) =
            futures_util::future::try_join(self.ask_version(address, tag), self.ask_health(address)).await?;
        Ok([version, health].into_iter().flatten().collect::<Vec<_>>().join(", "))
    }

    async fn ask_version(&self, address: &str, tag: &Tag) -> Result<Option<String>, String> {
        let Some(path) = &self.probe.version else { return Ok(None) };
        let answer = self.ask(address, path).await?;
        let version = self.version(&answer)?;
        if version == tag.as_str() {
            Ok(Some(format!("{} says {version}", path.as_str())))
        } else {
            Err(format!("{} says `{version}`", path.as_str()))
        }
    }

    async fn ask_health(&self, address: &str) -> Result<Option<String>, String> {
        let Some(path) = &self.probe.health else { return Ok(None) };
        self.ask(address, path).await?;
        Ok(Some(format!("{} answers 200", path.as_str())))
    }

    fn version(&self, answer: &[u8]) -> Result<String, String> {
        let text = String::from_utf8_lossy(answer);
        let Some(field) = &self.probe.version_field else {
            return Ok(text.trim().to_owned());
        };
        let json: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| format!("the version is not JSON: {error}"))?;
        match json.get(field) {
            Some(serde_json::Value::String(version)) => Ok(version.clone()),
            _ => Err(format!("the version's JSON has no text field `{field}`")),
        }
    }

    /// The body of an answer with status 200.
    async fn ask(&self, address: &str, path: &UrlPath) -> Result<Vec<u8>, String> {
        let answer = async {
            let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|error| error.to_string())?;
            // It ends with the request: the answer says Connection: close.
            let driver = tokio::spawn(connection);
            let request = Request::get(path.as_str())
                .header(hyper::header::HOST, address)
                .header(hyper::header::CONNECTION, "close")
                .header(hyper::header::USER_AGENT, "unship-probe")
                .body(Empty::<Bytes>::new())
                .map_err(|error| error.to_string())?;
            let result = async {
                let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
                let status = response.status();
                let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
                let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
                if status == hyper::StatusCode::OK {
                    Ok(body.to_vec())
                } else {
                    Err(format!("{} answers {status}", path.as_str()))
                }
            };
            let result = result.await;
            driver.abort();
            result
        };
        let limit = Duration::from_millis(self.probe.answer_max.0);
        tokio::time::timeout(limit, answer)
            .await
            .unwrap_or_else(|_| Err(format!("{} gives no answer in {limit:?}", path.as_str())))
    }
}
