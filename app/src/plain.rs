//! Words of others, made fit to be shown on a terminal.

/// The text on one line, without escape sequences and without characters that move the cursor or turn the
/// direction of writing round: whoever wrote it does not get to draw on the screen.
pub fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text)
        .to_string()
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .filter(|char| !matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
        .collect()
}

#[cfg(test)]
mod tests;
