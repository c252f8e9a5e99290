//! The objects that a CREATE, ALTER or DROP names.

use super::super::lex::Kind;
use super::super::name::{ObjectName, part};
use super::words::Front;
use super::{ObjectAction, ObjectChange};

/// Words between the verb and the kind of object that do not name a kind.
const MODIFIERS: [&str; 15] = [
    "or",
    "replace",
    "temp",
    "temporary",
    "unlogged",
    "unique",
    "local",
    "global",
    "recursive",
    "constraint",
    "trusted",
    "procedural",
    "default",
    "concurrently",
    "only",
];

/// Kinds of two words, by their first.
const TWO_WORDS: [(&str, &str); 7] = [
    ("materialized", "view"),
    ("foreign", "table"),
    ("event", "trigger"),
    ("text", "search"),
    ("user", "mapping"),
    ("access", "method"),
    ("foreign", "data"),
];

/// Reads what the statement creates, alters, drops or renames, as far as its front shows.
pub(super) fn read(front: &[Front<'_>]) -> Vec<ObjectChange> {
    let action = match front.first().map(|front| front.word.as_str()) {
        Some("create") => ObjectAction::Create,
        Some("alter") => ObjectAction::Alter,
        Some("drop") => ObjectAction::Drop,
        _ => return Vec::new(),
    };
    let mut at = 1;
    let skip = |at: &mut usize, words: &[&str]| {
        while front.get(*at).is_some_and(|front| words.contains(&front.word.as_str())) {
            *at += 1;
        }
    };
    skip(&mut at, &MODIFIERS);
    let Some(first) = front.get(at).filter(|front| front.kind == Kind::Word) else { return Vec::new() };
    let mut kind = first.word.clone();
    at += 1;
    let second = front.get(at).map(|front| front.word.as_str()).unwrap_or_default();
    if TWO_WORDS.contains(&(kind.as_str(), second)) {
        kind = format!("{kind} {second}");
        at += 1;
    }
    skip(&mut at, &["concurrently", "if", "not", "exists", "only"]);
    let mut found = Vec::new();
    while let Some((name, next)) = name_at(front, at) {
        found.push(ObjectChange { action, kind: kind.clone(), name, renamed_to: None });
        at = next;
        if action != ObjectAction::Drop || front.get(at).is_none_or(|front| front.kind != Kind::Comma) {
            break;
        }
        at += 1;
    }
    if action == ObjectAction::Alter
        && let Some(object) = found.first()
    {
        let renamed = rename(front, at, object);
        found.extend(renamed);
    }
    found
}

/// A dotted name at `at`, and where what follows it starts.
fn name_at(front: &[Front<'_>], mut at: usize) -> Option<(ObjectName, usize)> {
    let is_name = |at: usize| {
        front
            .get(at)
            .filter(|front| matches!(front.kind, Kind::Word | Kind::QuotedWord))
            .map(|f| part(f.text))
    };
    let mut name = ObjectName { schema: None, name: is_name(at)? };
    // An index without a name: `CREATE INDEX ON t`.
    if name.name == "on" && front[at].kind == Kind::Word {
        return None;
    }
    at += 1;
    while front.get(at).is_some_and(|front| front.kind == Kind::Dot)
        && let Some(next) = is_name(at + 1)
    {
        name = ObjectName { schema: Some(name.name), name: next };
        at += 2;
    }
    Some((name, at))
}

/// What `ALTER ... RENAME` renames: the object, one of its columns, or a constraint.
fn rename(front: &[Front<'_>], from: usize, object: &ObjectChange) -> Option<ObjectChange> {
    let at = from + front.get(from..)?.iter().position(|front| front.word == "rename")?;
    let rest = front.get(at + 1..)?;
    let to = rest.iter().position(|front| front.word == "to")?;
    let new = rest.get(to + 1).map(|front| part(front.text.trim_matches('\'')))?;
    let (kind, name) = match &rest[..to] {
        [] => (object.kind.clone(), object.name.clone()),
        [one] => ("column".to_owned(), ObjectName { schema: None, name: part(one.text) }),
        [kind, name, ..] => {
            (kind.word.clone(), ObjectName { schema: None, name: part(name.text.trim_matches('\'')) })
        }
    };
    Some(ObjectChange { action: ObjectAction::Rename, kind, name, renamed_to: Some(new) })
}
