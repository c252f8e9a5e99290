//! What nobody may read, such as the parts of a database URL, and taking it out of what is said.

/// What stands in place of a secret.
const REDACTED: &str = "[redacted]";

/// What must not be shown.
#[derive(Default)]
pub struct Secrets(Vec<String>);

impl Secrets {
    /// A database URL, or settings as libpq takes them: the whole of it, and its password as it is written and as
    /// it is meant (RFC 3986, 2.1 and 3.2.1).
    pub fn of_url(url: &str) -> Secrets {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        // A password with a slash in it is not well formed, and some programs take it all the same.
        let users = [authority, rest].into_iter().filter_map(|part| part.rsplit_once('@'));
        let named = url.split(['?', '&', ' ']).filter_map(|part| part.split_once("password="));
        let passwords = users
            .filter_map(|(user, _)| user.split_once(':'))
            .chain(named)
            .map(|(_, password)| password.trim_matches('\'').to_owned());
        let mut secrets = vec![url.to_owned()];
        for password in passwords {
            secrets.push(decoded(&password));
            secrets.push(password);
        }
        Secrets::default().and(secrets)
    }

    /// These too.
    #[must_use]
    pub fn and(mut self, secrets: impl IntoIterator<Item = String>) -> Secrets {
        self.0.extend(secrets.into_iter().filter(|secret| !secret.is_empty()));
        // The longest first: what is left of it would tell the rest.
        self.0.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        self.0.dedup();
        self
    }

    /// The text without the secrets.
    pub fn redact(&self, text: &str) -> String {
        if self.0.is_empty() {
            return text.to_owned();
        }
        let mut shown = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some(after) = self.0.iter().find_map(|secret| rest.strip_prefix(secret.as_str())) {
                shown.push_str(REDACTED);
                rest = after;
            } else {
                shown.push(first);
                rest = rest.get(first.len_utf8()..).unwrap_or_default();
            }
        }
        shown
    }
}

/// Percent-encoded text as it is meant; what is not well formed stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        let byte = code.filter(|_| *first == b'%').and_then(|code| u8::from_str_radix(code, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
