//! Takes what looks like a secret out of evidence before it leaves the machine. The values that unship itself reads
//! as secrets are never in there; this is for what commands and services printed.

/// What stands in place of a secret.
const MASKED: &str = "[redacted]";

/// Words before `=` or `:` whose value nobody may read.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "pwd",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "access_key",
    "private_key",
    "authorization",
    "cookie",
    "credential",
];

/// How tokens of well-known services begin; each such word is masked whole.
const PREFIXES: &[&str] = &[
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "glptt-",
    "gldt-",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "xapp-",
    "AKIA",
    "ASIA",
    "sk_live_",
    "sk-",
    "eyJhbGci",
];

/// The shortest rest of a well-known token that makes it one.
const TOKEN_CHARS_MIN: usize = 8;

/// The text with passwords in addresses, values of secret names, bearer words, well-known tokens and private keys
/// replaced.
pub fn mask(text: &str) -> String {
    let text = private_keys(text);
    let mut out = String::with_capacity(text.len());
    let mut next_is_secret = false;
    for piece in split_keeping(&text) {
        if piece.chars().all(char::is_whitespace) {
            out.push_str(piece);
            continue;
        }
        if next_is_secret {
            let scheme = is_auth_scheme(piece);
            out.push_str(if scheme { piece } else { MASKED });
            next_is_secret = scheme;
            continue;
        }
        next_is_secret = is_auth_scheme(piece) || names_a_secret_and_ends(piece);
        out.push_str(&word(piece));
    }
    out
}

/// Words and the blanks between them, in order.
fn split_keeping(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut blank = None;
    for (index, char) in text.char_indices() {
        let is = char.is_whitespace();
        if blank.is_some_and(|was| was != is) {
            pieces.push(text.get(start..index).unwrap_or_default());
            start = index;
        }
        blank = Some(is);
    }
    pieces.push(text.get(start..).unwrap_or_default());
    pieces
}

fn is_auth_scheme(piece: &str) -> bool {
    let word = piece.trim_matches(['"', '\'', ':', ',']).to_ascii_lowercase();
    matches!(word.as_str(), "bearer" | "basic")
}

/// `password:` or `"token":`, whose value is the next word.
fn names_a_secret_and_ends(piece: &str) -> bool {
    let ends = piece.ends_with(':') || piece.ends_with('=');
    ends && is_secret_name(piece.trim_end_matches([':', '=']))
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let last = name.rsplit(['?', '&', '{', ',', ';', '(', '"', '\'']).find(|part| !part.is_empty());
    last.is_some_and(|last| NAMES.iter().any(|known| last.contains(known)))
}

fn word(piece: &str) -> String {
    let mut piece = addresses(piece);
    for (index, char) in piece.clone().char_indices().rev() {
        let value = piece.get(index + char.len_utf8()..).unwrap_or_default();
        if !matches!(char, '=' | ':')
            || value.is_empty()
            || value.starts_with(MASKED)
            || value.starts_with("//")
        {
            continue;
        }
        if is_secret_name(piece.get(..index).unwrap_or_default()) {
            let quoted = value.starts_with(['"', '\'']);
            let bare = if quoted { value.get(1..).unwrap_or_default() } else { value };
            let end = bare.find(['&', '"', '\'', ';', ',', '}', ')']).unwrap_or(bare.len());
            let rest = bare.get(end..).unwrap_or_default().to_owned();
            let lead = if quoted { value.get(..1).unwrap_or_default() } else { "" }.to_owned();
            piece.truncate(index + char.len_utf8());
            piece.push_str(&format!("{lead}{MASKED}{rest}"));
        }
    }
    well_known(&piece)
}

/// `scheme://user:password@host`: the password.
fn addresses(piece: &str) -> String {
    let mut out = String::new();
    let mut rest = piece;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let authority_end = after.find(['/', '?', '#', '"', '\'', ',']).unwrap_or(after.len());
        // A password may hold a slash though it should not: the last @ before a blank counts.
        let at = after.rfind('@').filter(|at| *at > authority_end || after[..authority_end].contains('@'));
        match at.and_then(|at| after.get(..at)?.split_once(':').map(|(user, _)| (user, at))) {
            Some((user, at)) => {
                out.push_str(&format!("{user}:{MASKED}"));
                rest = after.get(at..).unwrap_or_default();
            }
            None => rest = after,
        }
    }
    out.push_str(rest);
    out
}

fn well_known(piece: &str) -> String {
    let mut out = piece.to_owned();
    for prefix in PREFIXES {
        let mut from = 0;
        while let Some(found) = out.get(from..).and_then(|rest| rest.find(prefix)) {
            let start = from + found;
            let body = out.get(start + prefix.len()..).unwrap_or_default();
            let length = body
                .find(|char: char| !(char.is_ascii_alphanumeric() || matches!(char, '_' | '-' | '.')))
                .unwrap_or(body.len());
            let begins_word =
                out[..start].chars().next_back().is_none_or(|char| !char.is_ascii_alphanumeric());
            if length >= TOKEN_CHARS_MIN && begins_word {
                out.replace_range(start..start + prefix.len() + length, MASKED);
                from = start + MASKED.len();
            } else {
                from = start + prefix.len();
            }
        }
    }
    out
}

/// From `-----BEGIN ... PRIVATE KEY-----` to its end.
fn private_keys(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("-----BEGIN ") {
        let (before, after) = rest.split_at(start);
        let head_end = after.get(11..).and_then(|head| head.find("-----")).map(|end| end + 16);
        let Some(head_end) =
            head_end.filter(|end| after.get(..*end).is_some_and(|head| head.contains("PRIVATE KEY")))
        else {
            out.push_str(before);
            out.push_str(after.get(..11).unwrap_or_default());
            rest = after.get(11..).unwrap_or_default();
            continue;
        };
        out.push_str(before);
        out.push_str(MASKED);
        let body = after.get(head_end..).unwrap_or_default();
        // A key that was cut off is a key all the same.
        rest = match body.find("-----END ") {
            Some(end) => {
                body.get(end + 9..).and_then(|tail| tail.split_once("-----")).map_or("", |(_, rest)| rest)
            }
            None => "",
        };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests;
