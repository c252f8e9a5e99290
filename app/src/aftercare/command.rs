//! A command of one's own, with the notice as JSON on its standard input. Status 0 means that it was brought.

use super::courier::{Answer, Courier, Letter, Repeat, Request, Role, Step, judged};

/// Gives notices to a command.
#[derive(Debug, Clone)]
pub struct CommandCourier {
    /// The command.
    pub words: Vec<String>,
    /// What it brings.
    pub role: Role,
}

impl Courier for CommandCourier {
    fn role(&self) -> Role {
        self.role
    }

    fn repeat(&self) -> Repeat {
        Repeat::AtMostOnce
    }

    fn step(&self, letter: &Letter<'_>, so_far: &[Answer]) -> Step {
        if let Some(answer) = so_far.first() {
            return judged(answer);
        }
        let mut document = letter.document();
        if self.role == Role::Issue {
            let issue = letter.issue();
            document["issue"] = serde_json::json!({
                "title": issue.title, "body": issue.body, "failure": letter.notice.failure_key(),
            });
        }
        let mut input = document.to_string().into_bytes();
        input.push(b'\n');
        Step::Act(Request::Program { words: self.words.clone(), input })
    }
}
