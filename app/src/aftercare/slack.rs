//! An incoming webhook in Slack's format: a POST of `{"text": ...}` to an address that is the secret. Mattermost and
//! Rocket.Chat take the same (docs.slack.dev/messaging/sending-messages-using-incoming-webhooks,
//! developers.mattermost.com/integrate/webhooks/incoming, docs.rocket.chat/docs/integrations).

use unship_core::aftercare::{inert, message};

use super::courier::{Answer, Auth, Base, Courier, HttpRequest, Letter, Repeat, Request, Role, Step, judged};
use crate::ports::Method;

/// Brings notes to a channel.
#[derive(Debug, Clone, Copy, Default)]
pub struct SlackCourier;

impl Courier for SlackCourier {
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
        let lines: Vec<String> =
            message(letter.notice, letter.may_repeat).iter().map(|line| escaped(&inert(line))).collect();
        // `link_names` off and no Markdown: what others wrote is text and calls nobody.
        let body = serde_json::json!({ "text": lines.join("\n"), "mrkdwn": false, "link_names": 0 });
        Step::Act(Request::Http(HttpRequest {
            method: Method::Post,
            base: Base::Secret,
            path: String::new(),
            headers: vec![("content-type", "application/json".into())],
            auth: Auth::None,
            body: body.to_string().into_bytes(),
        }))
    }
}

/// The three characters that mean something in Slack's text (docs.slack.dev/messaging/formatting-message-text).
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
