//! What users of shithubd do through its API, and every row of theirs in its database, compared value by value.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::forge::Forge;
use crate::testbed::Failure;

/// The bad release may be away for a moment; users try again.
const PATIENCE: Duration = Duration::from_secs(30);

/// What users' data is, and its keys. The worker's queue and its index are made from it.
const TABLES: [(&str, &str); 6] = [
    ("users", "id"),
    ("tokens", "id"),
    ("repos", "id"),
    ("stars", "user_id, repo_id"),
    ("issues", "id"),
    ("repo_topics", "repo_id, topic"),
];
/// Counted by the worker and by every new issue; they only grow while nobody takes a star away.
const COUNTS: [(&str, &str); 2] = [("repos", "star_count"), ("repos", "last_issue")];

/// The service on one host, as its users' programs see it.
pub struct Api<'f> {
    pub forge: &'f Forge<'f>,
    pub host: &'f str,
}

/// Somebody with an account and a token.
pub struct User {
    pub name: String,
    pub token: String,
}

impl User {
    /// The path of a repository of theirs, or of something in it.
    pub fn repo(&self, rest: &str) -> String {
        format!("/api/repos/{}/project{rest}", self.name)
    }
}

impl Api<'_> {
    /// Status and answer. Asks again while the service is away or fails.
    fn call(
        &self,
        request: (&str, &str),
        token: Option<&str>,
        body: Option<&Value>,
    ) -> Result<(u16, Value), Failure> {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = self.forge.ask(self.host, request, token, body);
            match answer {
                Some((status, answer)) if status < 500 => return Ok((status, answer)),
                _ if Instant::now() < until => std::thread::sleep(Duration::from_millis(50)),
                answer => return Err(format!("{request:?} on {} failed: {answer:?}", self.host).into()),
            }
        }
    }

    /// The answer of a request that has to succeed.
    fn done(&self, request: (&str, &str), user: &User, body: &Value) -> Result<Value, Failure> {
        match self.call(request, Some(&user.token), Some(body))? {
            (200 | 201, answer) => Ok(answer),
            (status, answer) => Err(format!("{request:?} answered {status}: {answer}").into()),
        }
    }

    /// A new account with a repository, made with these values besides its name.
    pub fn sign_up(&self, name: &str, repo: &Value) -> Result<User, Failure> {
        // Whoever does not know whether a sign-up got through takes another name.
        for name in std::iter::once(name.to_owned()).chain((1..100).map(|n| format!("{name}-{n}"))) {
            let body = json!({"name": name, "full_name": format!("{name} Ünïcode")});
            let (status, answer) = self.call(("POST", "/api/users"), None, Some(&body))?;
            let token = answer["token"]["token"].as_str().map(str::to_owned);
            let (201, Some(token)) = (status, token) else { continue };
            let user = User { name, token };
            let mut body = json!({"name": "project", "description": "\"quoted\" & 'more' ☃"});
            body.as_object_mut()
                .into_iter()
                .for_each(|body| body.extend(repo.as_object().cloned().unwrap_or_default()));
            return match self.call(("POST", "/api/repos"), Some(&user.token), Some(&body))? {
                (201 | 409, _) => Ok(user),
                (status, answer) => {
                    Err(format!("the repository was answered with {status}: {answer}").into())
                }
            };
        }
        Err(format!("nobody can sign up as {name} on {}", self.host).into())
    }

    /// Opens an issue; its number. One that is asked for again because no answer came may be there twice.
    pub fn open(&self, user: &User, of: &User, title: &str) -> Result<i64, Failure> {
        let body = json!({"title": title, "body": "It leaks.\n100 % \"quotes\" & 'more' ☃"});
        let answer = self.done(("POST", &of.repo("/issues")), user, &body)?;
        answer["number"].as_i64().ok_or_else(|| format!("an issue without a number: {answer}").into())
    }

    pub fn close(&self, user: &User, number: i64) -> Result<(), Failure> {
        self.done(("PATCH", &user.repo(&format!("/issues/{number}"))), user, &json!({"state": "closed"}))
            .map(drop)
    }

    pub fn star(&self, user: &User, of: &User) -> Result<(), Failure> {
        self.done(("PUT", &of.repo("/star")), user, &json!({})).map(drop)
    }

    /// Sets the topics of the user's repository, which v1.0.0 knows nothing of.
    pub fn topics(&self, user: &User, topics: &[&str]) -> Result<(), Failure> {
        self.done(("PUT", &user.repo("/topics")), user, &json!({"topics": topics})).map(drop)
    }

    /// An issue as the service shows it.
    pub fn issue(&self, of: &User, number: i64) -> Result<Value, Failure> {
        self.call(("GET", &of.repo(&format!("/issues/{number}"))), None, None).map(|(_, answer)| answer)
    }
}

/// Every row of users' data by its table and key, as of one moment.
pub struct Rows(BTreeMap<(String, String), Map<String, Value>>);

impl Rows {
    pub fn now(forge: &Forge<'_>) -> Result<Rows, Failure> {
        let there = forge.query("select tablename from pg_tables where schemaname = 'public'")?;
        let there: Vec<&str> = there.lines().collect();
        let of_table = |(table, key): &(&str, &str)| {
            format!(
                "select '{table}' as of, concat_ws('/', {key}) as key, to_jsonb({table}) as row from {table}"
            )
        };
        let tables: Vec<String> =
            TABLES.iter().filter(|(table, _)| there.contains(table)).map(of_table).collect();
        // One statement sees one moment.
        let text =
            forge.query(&format!("select to_jsonb(found) from ({}) found", tables.join(" union all ")))?;
        let mut rows = BTreeMap::new();
        for line in text.lines() {
            let mut found: Value = serde_json::from_str(line)?;
            let Value::Object(row) = found["row"].take() else {
                return Err(format!("no row: {line}").into());
            };
            let word = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
            rows.insert((word("of"), word("key")), row);
        }
        Ok(Rows(rows))
    }

    /// How many rows a table has.
    pub fn count(&self, table: &str) -> usize {
        self.0.keys().filter(|(of, _)| of == table).count()
    }

    /// How many values these rows have, every one of which is the same in `later`; or which are not.
    pub fn outlive(&self, later: &Rows) -> Result<usize, Failure> {
        let (mut same, mut differences) = (0, Vec::new());
        for ((table, key), row) in &self.0 {
            let now = later.0.get(&(table.clone(), key.clone()));
            for (column, was) in row {
                let now = now.and_then(|now| now.get(column));
                let grows = COUNTS.contains(&(table, column));
                let holds = match now {
                    Some(now) if grows => now.as_i64() >= was.as_i64(),
                    now => now == Some(was),
                };
                if holds {
                    same += 1;
                } else {
                    differences.push(format!("{table} {key}: {column} was {was} and is {now:?}"));
                }
            }
        }
        if differences.is_empty() && same > 0 {
            return Ok(same);
        }
        Err(format!("{same} values are as they were, and these are not: {differences:#?}").into())
    }
}
