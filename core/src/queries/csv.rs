//! The little of CSV that exports of a database hold (RFC 4180): quotes, doubled quotes, line ends inside quotes.

/// The records of a text; the separator is the comma, or the semicolon or tab if the first line has none.
pub(super) fn records(text: &str) -> Vec<Vec<String>> {
    let head = text.lines().next().unwrap_or_default();
    let separator = [',', ';', '\t'].into_iter().find(|separator| head.contains(*separator)).unwrap_or(',');
    let mut records = Vec::new();
    let mut record: Vec<String> = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut letters = text.trim_start_matches('\u{feff}').chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                field.push('"');
                letters.next();
            }
            '"' if quoted => quoted = false,
            '"' if field.is_empty() => quoted = true,
            '\r' if !quoted && letters.peek() == Some(&'\n') => {}
            '\n' if !quoted => {
                record.push(std::mem::take(&mut field));
                records.push(std::mem::take(&mut record));
            }
            letter if !quoted && letter == separator => record.push(std::mem::take(&mut field)),
            letter => field.push(letter),
        }
    }
    if !field.is_empty() || !record.is_empty() {
        record.push(field);
        records.push(record);
    }
    records
}
