//! A webhook: the notice as JSON, signed with a shared key, with a key that is the same for every try.

use super::courier::{Answer, Auth, Base, Courier, HttpRequest, Letter, Repeat, Request, Role, Step, judged};
use crate::ports::Method;

/// Brings notices to a program of one's own.
#[derive(Debug, Clone)]
pub struct WebhookCourier {
    /// The address; none when it is the secret.
    pub url: Option<String>,
}

/// The header that holds `sha256=` and the HMAC-SHA256 of the body in hex.
pub const SIGNATURE: &str = "x-unship-signature-256";

impl Courier for WebhookCourier {
    fn role(&self) -> Role {
        Role::Note
    }

    fn repeat(&self) -> Repeat {
        Repeat::Key
    }

    fn step(&self, letter: &Letter<'_>, so_far: &[Answer]) -> Step {
        if let Some(answer) = so_far.first() {
            return judged(answer);
        }
        Step::Act(Request::Http(HttpRequest {
            method: Method::Post,
            base: self.url.clone().map_or(Base::Secret, Base::Plain),
            path: String::new(),
            headers: vec![
                ("content-type", "application/json".into()),
                // draft-ietf-httpapi-idempotency-key-header: a quoted string, the same for every try.
                ("idempotency-key", format!("\"{}\"", letter.key)),
            ],
            auth: Auth::Signature(SIGNATURE),
            body: letter.document().to_string().into_bytes(),
        }))
    }
}
