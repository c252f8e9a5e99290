//! Names of units: how an instance's name is written, as systemd.unit(5) says under "String escaping for
//! inclusion in unit names".

/// The longest name of a unit, 255 bytes by systemd.unit(5), less what a file of that name has more while it is written:
/// a name that could be started and not be masked would be found out too late.
const NAME_BYTES_MAX: usize = 255 - "..new".len();

/// A text as part of a unit's name: `/` becomes `-`; what is no letter, digit, `:`, `_` or `.`, and a `.` in
/// front, becomes `\x` with two hexadecimal digits. `%I` in the unit is the text again.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'/' => escaped.push('-'),
            b'.' if index == 0 => escaped.push_str("\\x2e"),
            b':' | b'_' | b'.' => escaped.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => escaped.push(char::from(byte)),
            byte => escaped.push_str(&format!("\\x{byte:02x}")),
        }
    }
    escaped
}

/// The text that [`escape`] made this of; nothing for what it never makes.
pub(crate) fn unescape(escaped: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'-' => bytes.push(b'/'),
            b'\\' => {
                if rest.next() != Some(b'x') {
                    return None;
                }
                let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
                let (high, low) = (digit()?, digit()?);
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

/// The instance of the template `template@.service` for a release's tag; nothing when the name is too long.
pub(crate) fn instance(template: &str, tag: &str) -> Option<String> {
    let name = format!("{template}@{}.service", escape(tag));
    (name.len() <= NAME_BYTES_MAX).then_some(name)
}

/// The text that an instance of the template is named for; nothing for a unit of another template.
pub(crate) fn instance_of(template: &str, unit: &str) -> Option<String> {
    let escaped = unit.strip_prefix(template)?.strip_prefix('@')?.strip_suffix(".service")?;
    if escaped.is_empty() { None } else { unescape(escaped) }
}

#[cfg(test)]
#[path = "escape_tests.rs"]
mod tests;
