//! `smoke`: does a running service do what it is for? Each check has a name, and a failure says it.
//!
//! It writes under account names of its own, new in every run, and needs sign-up to be open.

use std::fmt::Write as _;

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::{Answer, Client, ClientError};

#[derive(Debug, thiserror::Error)]
pub enum SmokeError {
    #[error(transparent)]
    Url(ClientError),
    #[error("the system gives no random bytes: {0}")]
    Random(getrandom::Error),
    #[error("smoke check failed: {check}: {why}")]
    Check { check: &'static str, why: String },
}

type Checked<T> = Result<T, SmokeError>;

pub async fn run(url: &str) -> Checked<String> {
    let mut smoke = Smoke { client: Client::new(url).map_err(SmokeError::Url)?, passed: String::new() };
    let mut random = [0; 4];
    getrandom::fill(&mut random).map_err(SmokeError::Random)?;
    let suffix = random.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });

    smoke.health().await?;
    // Without a full name, as most accounts are.
    let owner = smoke.account(&format!("smoke-a-{suffix}")).await?;
    let visitor = smoke.account(&format!("smoke-b-{suffix}")).await?;
    smoke.tokens(&owner).await?;
    smoke.repository(&owner).await?;
    smoke.repository(&visitor).await?;
    smoke.star(&owner, &visitor).await?;
    smoke.issues(&owner, &visitor).await?;
    smoke.stream().await?;
    Ok(smoke.passed)
}

struct Account {
    name: String,
    token: String,
}

impl Account {
    fn repo(&self) -> String {
        format!("/api/repos/{}/project", self.name)
    }
}

struct Smoke {
    client: Client,
    passed: String,
}

impl Smoke {
    fn pass(&mut self, check: &'static str) {
        let _ = writeln!(self.passed, "ok  {check}");
    }

    /// Sends a request and holds the status against what it has to be.
    async fn expect(
        &self,
        check: &'static str,
        (method, path, token, body): (Method, &str, Option<&str>, Option<Value>),
        status: StatusCode,
    ) -> Checked<Answer> {
        let what = format!("{method} {path}");
        let answer = self
            .client
            .send(method, path, token, body)
            .await
            .map_err(|error| SmokeError::Check { check, why: format!("{what}: {error}") })?;
        if answer.status == status {
            Ok(answer)
        } else {
            Err(SmokeError::Check {
                check,
                why: format!("{what} answered {} instead of {status}", answer.status),
            })
        }
    }

    async fn health(&mut self) -> Checked<()> {
        let check = "the service is healthy and says its version";
        self.expect(check, (Method::GET, "/healthz", None, None), StatusCode::OK).await?;
        let answer = self.expect(check, (Method::GET, "/version", None, None), StatusCode::OK).await?;
        let version = answer.json["version"].as_str().unwrap_or_default();
        let server = answer.headers.get("server").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let said = format!("shithubd/{version}");
        demand(check, !version.is_empty() && server == said, || {
            format!("the Server header is {server:?}, /version says {version:?}")
        })?;
        self.pass(check);
        Ok(())
    }

    async fn account(&mut self, name: &str) -> Checked<Account> {
        let check = "a user can sign up";
        let body = json!({"name": name});
        let answer =
            self.expect(check, (Method::POST, "/api/users", None, Some(body)), StatusCode::CREATED).await?;
        let token = answer.json["token"]["token"].as_str().unwrap_or_default().to_owned();
        let me = self.expect(check, (Method::GET, "/api/user", Some(&token), None), StatusCode::OK).await?;
        demand(check, me.json["name"] == name, || "the token is another user's".to_owned())?;
        self.pass(check);
        Ok(Account { name: name.to_owned(), token })
    }

    async fn tokens(&mut self, owner: &Account) -> Checked<()> {
        let check = "an expired token is refused";
        let body = json!({"label": "smoke", "expires_in": 0});
        let request = (Method::POST, "/api/tokens", Some(owner.token.as_str()), Some(body));
        let answer = self.expect(check, request, StatusCode::CREATED).await?;
        let expired = answer.json["token"].as_str().unwrap_or_default().to_owned();
        let request = (Method::GET, "/api/user", Some(expired.as_str()), None);
        self.expect(check, request, StatusCode::UNAUTHORIZED).await?;
        self.pass(check);

        let check = "a request without a token is refused";
        let request = (Method::POST, "/api/repos", None, Some(json!({"name": "project"})));
        self.expect(check, request, StatusCode::UNAUTHORIZED).await?;
        self.pass(check);
        Ok(())
    }

    async fn repository(&mut self, owner: &Account) -> Checked<()> {
        let check = "a repository can be created and is listed";
        let body = json!({"name": "project", "description": "smoke check"});
        let request = (Method::POST, "/api/repos", Some(owner.token.as_str()), Some(body));
        self.expect(check, request, StatusCode::CREATED).await?;
        let path = format!("/api/repos/{}", owner.name);
        let answer = self.expect(check, (Method::GET, &path, None, None), StatusCode::OK).await?;
        demand(check, answer.json["repos"][0]["name"] == "project", || {
            "it is not in the listing".to_owned()
        })?;
        self.pass(check);
        Ok(())
    }

    async fn star(&mut self, owner: &Account, visitor: &Account) -> Checked<()> {
        let check = "a star can be given and counts once";
        let path = format!("{}/star", owner.repo());
        for _ in 0..2 {
            let request = (Method::POST, path.as_str(), Some(visitor.token.as_str()), None);
            self.expect(check, request, StatusCode::OK).await?;
        }
        let answer = self.expect(check, (Method::GET, &path, None, None), StatusCode::OK).await?;
        demand(check, answer.json["stars"] == 1, || format!("there are {} stars", answer.json["stars"]))?;
        self.pass(check);
        Ok(())
    }

    /// Both repositories get an issue with the same number; a change of one must leave the other alone.
    async fn issues(&mut self, owner: &Account, visitor: &Account) -> Checked<()> {
        let check = "an issue can be created, read and closed";
        for account in [owner, visitor] {
            let path = format!("{}/issues", account.repo());
            let body = json!({"title": "It smokes", "body": format!("written by {}", visitor.name)});
            let request = (Method::POST, path.as_str(), Some(visitor.token.as_str()), Some(body));
            let answer = self.expect(check, request, StatusCode::CREATED).await?;
            demand(check, answer.json["number"] == 1, || "its number is not 1".to_owned())?;
        }
        let path = format!("{}/issues/1", owner.repo());
        let request =
            (Method::PATCH, path.as_str(), Some(owner.token.as_str()), Some(json!({"state": "closed"})));
        self.expect(check, request, StatusCode::OK).await?;
        let answer = self.expect(check, (Method::GET, &path, None, None), StatusCode::OK).await?;
        let whole = answer.json["title"] == "It smokes"
            && answer.json["body"] == format!("written by {}", visitor.name)
            && answer.json["state"] == "closed";
        demand(check, whole, || "it does not read as it was written".to_owned())?;
        self.pass(check);

        let check = "closing an issue leaves other repositories alone";
        let path = format!("{}/issues/1", visitor.repo());
        let answer = self.expect(check, (Method::GET, &path, None, None), StatusCode::OK).await?;
        demand(check, answer.json["state"] == "open", || {
            format!("issue 1 of another repository became {}", answer.json["state"])
        })?;
        self.pass(check);
        Ok(())
    }

    async fn stream(&mut self) -> Checked<()> {
        let check = "a stream of events comes to its end";
        let request = (Method::GET, "/api/events/stream?seconds=1", None, None);
        let answer = self.expect(check, request, StatusCode::OK).await?;
        let text = String::from_utf8_lossy(&answer.bytes);
        demand(check, text.contains("event: end\ndata: {\"ticks\":10}"), || "it was cut".to_owned())?;
        self.pass(check);
        Ok(())
    }
}

fn demand(check: &'static str, holds: bool, why: impl FnOnce() -> String) -> Checked<()> {
    if holds { Ok(()) } else { Err(SmokeError::Check { check, why: why() }) }
}
