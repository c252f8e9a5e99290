//! A server made of answers: each path has its own, and what was asked is remembered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::Value;

use super::Api;
use crate::ports::{Answered, HeaderText, Outgoing, SendError, Sender};

#[derive(Default)]
pub struct Fake {
    answers: BTreeMap<String, Vec<Answered>>,
    asked: Mutex<Vec<String>>,
}

pub fn answered(status: u16, headers: &[(&str, &str)], body: &Value) -> Answered {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Answered { status, headers: headers.collect(), body: body.to_string().into_bytes() }
}

impl Fake {
    /// An answer to a path that contains `part`; several are given one after the other, the last again and again.
    pub fn on(mut self, part: &str, answer: Answered) -> Fake {
        self.answers.entry(part.to_owned()).or_default().push(answer);
        self
    }

    pub fn api(self) -> (Arc<Fake>, Api) {
        let fake = Arc::new(self);
        let api = Api {
            sender: Arc::clone(&fake) as Arc<dyn Sender>,
            url: "https://forge.example.org/api/".into(),
            token_file: None,
            time_ms_max: 5_000,
        };
        (fake, api)
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

#[async_trait]
impl Sender for Fake {
    async fn send(&self, request: &Outgoing) -> Result<Answered, SendError> {
        let url = request.url.reveal();
        let mut line = url.strip_prefix("https://forge.example.org/api").expect("the API").to_owned();
        for (name, value) in &request.headers {
            if let HeaderText::Secret(secret) = value {
                line = format!("{line} {name}={}", secret.reveal());
            }
        }
        let mut asked = self.asked.lock().expect("not poisoned");
        let part =
            self.answers.keys().filter(|part| url.contains(part.as_str())).max_by_key(|part| part.len());
        let part = part.unwrap_or_else(|| panic!("nobody expected {url}"));
        let before = asked.iter().filter(|line| line.contains(part.as_str())).count();
        asked.push(line);
        let answers = &self.answers[part];
        Ok(answers[before.min(answers.len() - 1)].clone())
    }
}
