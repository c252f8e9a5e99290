//! The words in braces that commands and variables of `unship.toml` may hold. Replaced word by word, after the
//! command is a list already: a value cannot become a second word or reach a shell.

use std::collections::BTreeMap;

/// What the words in braces stand for.
#[derive(Debug, Clone, Default)]
pub struct Placeholders(BTreeMap<&'static str, String>);

impl Placeholders {
    /// Adds one, without its braces.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Placeholders {
        self.0.insert(name, value.into());
        self
    }

    /// The text with every known word replaced, in one pass: a value that holds braces is left as it is.
    pub fn fill(&self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let (before, from_open) = rest.split_at(open);
            filled.push_str(before);
            let known = self.0.iter().find_map(|(name, value)| {
                let after = from_open.strip_prefix('{')?.strip_prefix(name)?.strip_prefix('}')?;
                Some((value, after))
            });
            match known {
                Some((value, after)) => {
                    filled.push_str(value);
                    rest = after;
                }
                None => {
                    filled.push('{');
                    rest = from_open.get(1..).unwrap_or_default();
                }
            }
        }
        filled.push_str(rest);
        filled
    }

    /// Every word of a command.
    pub fn fill_words(&self, words: &[String]) -> Vec<String> {
        words.iter().map(|word| self.fill(word)).collect()
    }

    /// Every value of a list of variables.
    pub fn fill_values(&self, variables: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        variables.iter().map(|(name, value)| (name.clone(), self.fill(value))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_words_are_replaced_once_and_others_are_left() {
        let words = Placeholders::default().with("data", "/var/{url}").with("url", "http://x");
        assert_eq!(words.fill("{data}/a?{url}&{other}{"), "/var/{url}/a?http://x&{other}{");
        assert_eq!(words.fill(""), "");
    }
}
