//! Reads unit files as systemd.syntax(7) has them, as far as it takes to see what they say.

use std::collections::BTreeMap;

/// The longest file that is read.
const BYTES_MAX: usize = 1 << 20;

/// The assignments of a unit file and its drop-ins, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    values: BTreeMap<(String, String), Vec<String>>,
}

impl Parsed {
    /// The values of a key, in order. An empty assignment took away those before it.
    pub fn all(&self, section: &str, key: &str) -> &[String] {
        self.values.get(&(section.to_owned(), key.to_owned())).map_or(&[], Vec::as_slice)
    }

    /// The last value of a key: the one that counts where a key has one.
    pub fn last(&self, section: &str, key: &str) -> Option<&str> {
        self.all(section, key).last().map(String::as_str)
    }

    /// Whether a time is set and is 0, in any unit.
    pub fn is_zero(&self, section: &str, key: &str) -> bool {
        let zero = |text: &str| {
            let digits = text.trim().trim_end_matches(|c: char| c.is_ascii_alphabetic()).trim();
            !digits.is_empty() && digits.chars().all(|c| c == '0')
        };
        self.last(section, key).is_some_and(zero)
    }

    /// Adds what a later file says, as a drop-in does.
    pub fn add(&mut self, text: &str) {
        let cut = text.char_indices().map(|(at, _)| at).take_while(|at| *at <= BYTES_MAX).last().unwrap_or(0);
        let text = if text.len() > BYTES_MAX { &text[..cut] } else { text };
        let mut section = String::new();
        let mut pending = String::new();
        for line in text.lines() {
            let trimmed = line.trim();
            // A comment inside a continued line is passed over; so is an empty one elsewhere.
            if trimmed.starts_with(['#', ';']) || trimmed.is_empty() && pending.is_empty() {
                continue;
            }
            if let Some(part) = trimmed.strip_suffix('\\') {
                pending.push_str(part);
                pending.push(' ');
                continue;
            }
            pending.push_str(trimmed);
            let whole = std::mem::take(&mut pending);
            if let Some(name) = whole.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                name.clone_into(&mut section);
            } else if let Some((key, value)) = whole.split_once('=') {
                let values = self.values.entry((section.clone(), key.trim().to_owned())).or_default();
                match value.trim() {
                    "" => values.clear(),
                    value => values.push(value.to_owned()),
                }
            }
        }
    }
}

/// Reads one file.
pub fn parse(text: &str) -> Parsed {
    let mut parsed = Parsed::default();
    parsed.add(text);
    parsed
}
