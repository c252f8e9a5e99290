//! The facts that words and quotes show, read from any text, parsed or not.

use std::collections::BTreeSet;

use super::super::lex::{Kind, Token, tokens};
use super::super::name::{ObjectName, part};
use super::super::query::{QueryWrite, WriteKind, query_facts};
use super::super::split::Statement;
use super::objects;
use super::{
    Control, Dml, DmlKind, Escape, EscapeKind, Inserted, NoTransaction, Place, Reading, SessionChange,
    StatementFacts,
};

/// How many words of a statement are kept for what stands at its front.
const FRONT_WORDS_MAX: usize = 64;

/// How deep quoted texts inside quoted texts are searched for ways out.
const QUOTES_DEEP_MAX: usize = 4;

/// A word, a quoted name or a sign at the front of a statement.
#[derive(Debug, Clone)]
pub(super) struct Front<'a> {
    pub kind: Kind,
    pub text: &'a str,
    /// Lower case for a plain word, empty for everything else.
    pub word: String,
}

/// Reads one statement. `reading` says parsed until somebody knows better.
pub(super) fn read(text: &str, statement: &Statement) -> StatementFacts {
    let front = front_of(text);
    let words: Vec<&str> = front.iter().map(|front| front.word.as_str()).collect();
    let mut facts = StatementFacts {
        span: statement.span.clone(),
        line: statement.line,
        verb: verb(&words),
        reading: Reading::Parsed,
        dml: dml(text, statement.line),
        opaque_execute: Vec::new(),
        transaction_control: control(&words),
        concurrently: words.contains(&"concurrently"),
        sets_sequence: words.starts_with(&["alter"]) && words.contains(&"restart")
            || words.contains(&"setval"),
        changes_owner: words.windows(2).any(|two| two == ["owner", "to"]) || words.starts_with(&["reassign"]),
        fills_view: fills_view(text, &front),
        inserted: inserted(text),
        cannot_run_in_transaction: no_transaction(&words),
        copy_stdin_data: statement.copy_data.is_some(),
        server_escape: Vec::new(),
        session_changes: session_change(&front, statement.line).into_iter().collect(),
        if_not_exists: words.windows(3).any(|three| three == ["if", "not", "exists"]),
        if_exists: words.windows(2).any(|two| two == ["if", "exists"]),
        objects: objects::read(&front),
        calls: BTreeSet::new(),
    };
    facts.server_escape.extend(statement_escape(&front, statement.line));
    called_escapes(text, statement.line, 0, &mut facts);
    facts
}

/// The materialized view that is made or refreshed, and whether it holds rows then.
fn fills_view(text: &str, front: &[Front]) -> Option<(ObjectName, bool)> {
    let at = front.windows(2).position(|two| two[0].word == "materialized" && two[1].word == "view")?;
    if !matches!(front.first()?.word.as_str(), "create" | "refresh") {
        return None;
    }
    let skipped = ["concurrently", "if", "not", "exists"];
    let name: Vec<&Front> = front
        .get(at + 2..)?
        .iter()
        .skip_while(|front| skipped.contains(&front.word.as_str()))
        .scan(true, |want_part, front| {
            let goes_on = *want_part == matches!(front.kind, Kind::Word | Kind::QuotedWord);
            let is_dot = front.kind == Kind::Dot;
            *want_part = is_dot;
            (goes_on && (is_dot || front.kind != Kind::Dot)).then_some(front)
        })
        .collect();
    let name: String = name.iter().map(|front| front.text).collect();
    let end: Vec<String> = tokens(text, 0)
        .filter(|token| token.counts() && token.kind == Kind::Word)
        .map(|token| text[token.start..token.end].to_lowercase())
        .collect();
    Some((ObjectName::parse(&name)?, !end.ends_with(&["with".into(), "no".into(), "data".into()])))
}

fn inserted(text: &str) -> Vec<Inserted> {
    let adds = |write: &QueryWrite| matches!(write.kind, WriteKind::Insert | WriteKind::CopyFrom);
    let writes = query_facts(text).writes.into_iter().filter(adds);
    writes.map(|write| Inserted { table: write.table, columns: write.columns }).collect()
}

fn front_of(text: &str) -> Vec<Front<'_>> {
    tokens(text, 0)
        .filter(|token| token.counts())
        .take(FRONT_WORDS_MAX)
        .map(|token| {
            let text = &text[token.start..token.end];
            let word = if token.kind == Kind::Word { text.to_lowercase() } else { String::new() };
            Front { kind: token.kind, text, word }
        })
        .collect()
}

/// The leading words that say what kind of statement it is, in capitals.
fn verb(words: &[&str]) -> String {
    let modifiers = [
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
    ];
    let Some(first) = words.first().filter(|word| !word.is_empty()) else { return String::new() };
    let takes_object = matches!(*first, "create" | "alter" | "drop" | "comment" | "refresh" | "reindex");
    let object =
        words[1..].iter().take(6).filter(|word| !modifiers.contains(*word)).take_while(|w| !w.is_empty());
    let mut found = vec![first.to_ascii_uppercase()];
    if takes_object {
        let object: Vec<&&str> = object.collect();
        let two = matches!(object.first().map(|w| **w), Some("materialized" | "foreign" | "event"));
        found.extend(object.iter().take(if two { 2 } else { 1 }).map(|word| word.to_ascii_uppercase()));
    }
    found.join(" ")
}

fn control(words: &[&str]) -> Option<Control> {
    match words {
        ["begin", ..] | ["start", "transaction", ..] => Some(Control::Begin),
        ["commit" | "end", ..] => Some(Control::Commit),
        ["rollback" | "abort", ..] => Some(Control::Rollback),
        ["savepoint" | "release", ..] => Some(Control::Savepoint),
        ["prepare", "transaction", ..] => Some(Control::PrepareTransaction),
        _ => None,
    }
}

/// What the server refuses inside a transaction block (`PreventInTransactionBlock` in PostgreSQL 17's sources).
fn no_transaction(words: &[&str]) -> Option<NoTransaction> {
    let refused = match words {
        ["vacuum", ..]
        | ["alter", "system", ..]
        | ["create" | "drop", "database" | "tablespace" | "subscription", ..]
        | ["reindex", "database" | "system" | "schema", ..]
        | ["commit" | "rollback", "prepared", ..]
        | ["alter", "database", .., "tablespace", _]
        | ["cluster"]
        | ["cluster", ""] => true,
        ["create" | "drop" | "reindex", ..] => words.contains(&"concurrently"),
        ["alter", "table", ..] => words.contains(&"detach") && words.contains(&"concurrently"),
        _ => false,
    };
    if refused {
        return Some(NoTransaction::Refused);
    }
    let adds_value =
        words.starts_with(&["alter", "type"]) && words.windows(2).any(|two| two == ["add", "value"]);
    adds_value.then_some(NoTransaction::NewEnumValue)
}

fn session_change(front: &[Front<'_>], line: u32) -> Option<SessionChange> {
    let words: Vec<&str> = front.iter().map(|front| front.word.as_str()).collect();
    let (rest, local, at) = match words.as_slice() {
        ["set", "local", rest @ ..] => (rest, true, 2),
        ["set", "session", rest @ ..] if rest.first() != Some(&"characteristics") => (rest, false, 2),
        ["set" | "reset", rest @ ..] => (rest, false, 1),
        ["discard", ..] => return Some(SessionChange { setting: "all".to_owned(), local: false, line }),
        _ => return None,
    };
    let setting = match rest {
        ["constraints" | "transaction", ..] | ["session", "characteristics", ..] => return None,
        ["role", ..] => "role".to_owned(),
        ["session", "authorization", ..] | ["authorization", ..] => "session_authorization".to_owned(),
        ["time", "zone", ..] => "timezone".to_owned(),
        _ => {
            let names = front[at..].iter().take_while(|f| {
                matches!(f.kind, Kind::Word | Kind::QuotedWord | Kind::Dot) && f.word != "to"
            });
            names.map(|f| if f.kind == Kind::Dot { ".".to_owned() } else { part(f.text) }).collect()
        }
    };
    (!setting.is_empty()).then_some(SessionChange { setting, local, line })
}

/// Changes of rows, by their words: for texts that the parser does not take.
fn dml(text: &str, first_line: u32) -> Vec<Dml> {
    let mut found = Vec::new();
    let counting: Vec<Token> = tokens(text, 0).filter(|token| token.counts()).collect();
    let word = |at: usize| {
        counting.get(at).filter(|t| t.kind == Kind::Word).map(|t| &text[t.start..t.end]).unwrap_or_default()
    };
    let is = |at: usize, name: &str| word(at).eq_ignore_ascii_case(name);
    let mut lines = Lines { text, at: 0, line: first_line };
    for at in 0..counting.len() {
        if counting[at].kind != Kind::Word {
            continue;
        }
        let after_word = at > 0 && counting[at - 1].kind == Kind::Dot;
        let (kind, mut name_at) = if is(at, "insert") && is(at + 1, "into") {
            (DmlKind::Insert, at + 2)
        } else if is(at, "merge") && is(at + 1, "into") {
            (DmlKind::Merge, at + 2)
        } else if is(at, "delete") && is(at + 1, "from") {
            (DmlKind::Delete, at + 2)
        } else if is(at, "truncate") && at == 0 {
            (DmlKind::Truncate, at + 1 + usize::from(is(at + 1, "table")))
        } else if is(at, "update") && starts_update(text, &counting, at) {
            (DmlKind::Update, at + 1)
        } else if at == 0 && is(0, "copy") && counting.iter().any(|t| is_word(text, *t, "from")) {
            (DmlKind::CopyFrom, 1)
        } else {
            continue;
        };
        if after_word {
            continue;
        }
        name_at += usize::from(is(name_at, "only"));
        let end = name_end(&counting, name_at);
        let table = counting
            .get(name_at..end)
            .and_then(|part| Some(&text[part.first()?.start..part.last()?.end]))
            .and_then(ObjectName::parse);
        found.push(Dml { kind, table, place: Place::Direct, line: lines.of(counting[at].start) });
    }
    found
}

fn is_word(text: &str, token: Token, word: &str) -> bool {
    token.kind == Kind::Word && text[token.start..token.end].eq_ignore_ascii_case(word)
}

/// True if the UPDATE at `at` is a statement: `FOR UPDATE`, `ON UPDATE` and `DO UPDATE SET` are not.
fn starts_update(text: &str, tokens: &[Token], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| tokens[before]);
    let clause = ["for", "on", "do", "key", "or", "of", "after", "before", "grant", "instead"];
    let in_clause =
        before.is_some_and(|t| t.kind == Kind::Comma || clause.iter().any(|w| is_word(text, t, w)));
    !in_clause && tokens[at..].iter().take(24).any(|token| is_word(text, *token, "set"))
}

/// The end of a dotted name that starts at `at`.
fn name_end(tokens: &[Token], at: usize) -> usize {
    let mut end = at;
    while tokens.get(end).is_some_and(|t| matches!(t.kind, Kind::Word | Kind::QuotedWord)) {
        end += 1;
        if tokens.get(end).is_none_or(|t| t.kind != Kind::Dot) {
            break;
        }
        end += 1;
    }
    end
}

/// Lines of places that come in order.
struct Lines<'a> {
    text: &'a str,
    at: usize,
    line: u32,
}

impl Lines<'_> {
    fn of(&mut self, at: usize) -> u32 {
        let newlines = self.text[self.at..at].bytes().filter(|byte| *byte == b'\n').count();
        self.line = self.line.saturating_add(u32::try_from(newlines).unwrap_or(u32::MAX));
        self.at = at;
        self.line
    }
}

/// Languages and extensions whose code can do what the server's own account can.
const UNTRUSTED: [&str; 12] = [
    "c",
    "internal",
    "plpythonu",
    "plpython2u",
    "plpython3u",
    "plperlu",
    "pltclu",
    "plsh",
    "plr",
    "pljavau",
    "plluau",
    "plrust",
];
const FILE_EXTENSIONS: [&str; 3] = ["file_fdw", "adminpack", "pg_read_server_files"];
const NETWORK_EXTENSIONS: [&str; 9] =
    ["dblink", "postgres_fdw", "http", "pg_net", "pg_cron", "aws_s3", "aws_lambda", "mysql_fdw", "redis_fdw"];

/// The way out that a statement is by its front words.
fn statement_escape(front: &[Front<'_>], line: u32) -> Option<Escape> {
    let words: Vec<&str> = front.iter().map(|front| front.word.as_str()).collect();
    let escape = |kind, what: &str| Some(Escape { kind, what: what.to_owned(), line, quoted: false });
    match words.as_slice() {
        ["copy", ..] => {
            let at = copy_direction(front)?;
            let direction = front[at].word.to_ascii_uppercase();
            let target = front.get(at + 1)?;
            if target.word == "program" {
                return escape(EscapeKind::Program, &format!("COPY ... {direction} PROGRAM"));
            }
            let file = matches!(target.kind, Kind::Text | Kind::DollarText);
            if file { escape(EscapeKind::ServerFile, &format!("COPY ... {direction} a file")) } else { None }
        }
        ["alter", "system", ..] => escape(EscapeKind::ServerConfig, "ALTER SYSTEM"),
        ["load", ..] => escape(EscapeKind::UntrustedCode, "LOAD"),
        [verb @ ("create" | "alter" | "drop"), "database" | "tablespace", ..] => {
            let what = format!("{} {}", verb.to_ascii_uppercase(), words[1].to_ascii_uppercase());
            escape(EscapeKind::Database, &what)
        }
        [verb @ ("create" | "alter" | "drop"), "role" | "user" | "group", rest @ ..]
            if rest.first() != Some(&"mapping") =>
        {
            let what = format!("{} {}", verb.to_ascii_uppercase(), words[1].to_ascii_uppercase());
            escape(EscapeKind::Role, &what)
        }
        ["create" | "alter", "subscription" | "server", ..] | ["create" | "alter", "user", "mapping", ..] => {
            escape(EscapeKind::Network, &format!("CREATE {}", words[1].to_ascii_uppercase()))
        }
        ["import", "foreign", "schema", ..] => escape(EscapeKind::Network, "IMPORT FOREIGN SCHEMA"),
        ["create", "extension", ..] => extension_escape(front, line),
        ["create", ..] => {
            let at = words.iter().position(|word| *word == "language")?;
            let language = front.get(at + 1).map(|front| part(front.text.trim_matches('\'')))?;
            if UNTRUSTED.contains(&language.to_lowercase().as_str()) {
                escape(EscapeKind::UntrustedCode, &format!("LANGUAGE {language}"))
            } else {
                None
            }
        }
        _ => None,
    }
}

/// Where FROM or TO stands in a COPY, after the table or the query in parentheses.
fn copy_direction(front: &[Front<'_>]) -> Option<usize> {
    let mut depth = 0_usize;
    front.iter().position(|front| {
        match front.kind {
            Kind::OpenParen => depth += 1,
            Kind::CloseParen => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && matches!(front.word.as_str(), "from" | "to")
    })
}

fn extension_escape(front: &[Front<'_>], line: u32) -> Option<Escape> {
    let name = front[2..].iter().find(|front| !matches!(front.word.as_str(), "if" | "not" | "exists"))?;
    let name = part(name.text);
    let kind = if UNTRUSTED.contains(&name.as_str()) {
        EscapeKind::UntrustedCode
    } else if FILE_EXTENSIONS.contains(&name.as_str()) {
        EscapeKind::ServerFile
    } else if NETWORK_EXTENSIONS.contains(&name.as_str()) {
        EscapeKind::Network
    } else {
        return None;
    };
    Some(Escape { kind, what: format!("CREATE EXTENSION {name}"), line, quoted: false })
}

/// Built-in functions that reach outside (PostgreSQL 17 documentation, chapter 9.28 and its neighbours).
fn function_escape(name: &str) -> Option<EscapeKind> {
    match name {
        "lo_import"
        | "lo_export"
        | "pg_read_file"
        | "pg_read_binary_file"
        | "pg_ls_dir"
        | "pg_stat_file"
        | "pg_ls_logdir"
        | "pg_ls_waldir"
        | "pg_ls_tmpdir"
        | "pg_ls_archive_statusdir"
        | "pg_file_write"
        | "pg_file_read"
        | "pg_file_unlink"
        | "pg_file_rename"
        | "pg_file_sync"
        | "pg_logdir_ls" => Some(EscapeKind::ServerFile),
        "pg_reload_conf"
        | "pg_rotate_logfile"
        | "pg_promote"
        | "pg_switch_wal"
        | "pg_create_restore_point"
        | "pg_backup_start"
        | "pg_backup_stop" => Some(EscapeKind::ServerConfig),
        "pg_terminate_backend" | "pg_cancel_backend" => Some(EscapeKind::Sessions),
        "pg_create_logical_replication_slot"
        | "pg_create_physical_replication_slot"
        | "pg_drop_replication_slot"
        | "http_get"
        | "http_post"
        | "http" => Some(EscapeKind::Network),
        name if name.starts_with("dblink") => Some(EscapeKind::Network),
        _ => None,
    }
}

/// Adds the ways out that are called as functions, and every way out inside quoted texts.
fn called_escapes(text: &str, first_line: u32, depth: usize, facts: &mut StatementFacts) {
    let mut lines = Lines { text, at: 0, line: first_line };
    let mut last: Option<Token> = None;
    for token in tokens(text, 0).filter(|token| token.counts()) {
        if token.kind == Kind::OpenParen
            && let Some(name) = last.filter(|t| matches!(t.kind, Kind::Word | Kind::QuotedWord))
        {
            let name_text = part(&text[name.start..name.end]);
            let line = lines.of(name.start);
            if let Some(kind) = function_escape(&name_text) {
                let what = format!("{name_text}()");
                facts.server_escape.push(Escape { kind, what, line, quoted: depth > 0 });
            }
            if name_text == "set_config" && depth == 0 {
                facts.session_changes.push(SessionChange {
                    setting: "set_config()".to_owned(),
                    local: false,
                    line,
                });
            }
        }
        if token.kind == Kind::DollarText && token.closed && depth < QUOTES_DEEP_MAX {
            let literal = &text[token.start..token.end];
            let tag = literal[1..].find('$').map_or(0, |end| end + 2);
            let line = lines.of(token.start);
            if let Some(inner) = literal.get(tag..literal.len().saturating_sub(tag)) {
                quoted_statements(inner, line, facts);
                called_escapes(inner, line, depth + 1, facts);
            }
        }
        last = Some(token);
    }
}

/// Adds the ways out that are statements inside a quoted text, cut at its semicolons.
fn quoted_statements(text: &str, first_line: u32, facts: &mut StatementFacts) {
    let mut lines = Lines { text, at: 0, line: first_line };
    let mut start = None;
    for token in tokens(text, 0).filter(|token| token.counts()) {
        let opens = token.kind == Kind::Semi
            || ["begin", "then", "else", "loop"].iter().any(|word| is_word(text, token, word));
        if opens {
            start = None;
            continue;
        }
        if start.is_none() {
            start = Some(token.start);
            if !["copy", "alter", "create", "drop", "load", "import"].iter().any(|w| is_word(text, token, w))
            {
                continue;
            }
            let line = lines.of(token.start);
            let escape = statement_escape(&front_of(&text[token.start..]), line);
            facts.server_escape.extend(escape.map(|escape| Escape { quoted: true, ..escape }));
        }
    }
}
