//! What a query names and writes, told from its words alone.
//!
//! Words are enough here: whatever the words do not mention, the query does not use, so nothing is missed that a
//! parser would see, and a text that no parser takes is read too. What a word means is for PostgreSQL to say,
//! which plans the query.

use std::collections::BTreeSet;

use super::lex::{Kind, Token, tokens};
use super::name::{ObjectName, part};

/// What a query does to a table that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WriteKind {
    Insert,
    Update,
    Delete,
    Merge,
    CopyFrom,
    Truncate,
}

/// One table that a query writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryWrite {
    pub kind: WriteKind,
    /// Folded to lower case.
    pub table: ObjectName,
    /// The columns that an INSERT lists or an UPDATE sets, in lower case; none if it lists none.
    pub columns: Option<Vec<String>>,
}

/// What the words of one query say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueryFacts {
    /// The first word, in capitals; that after the brackets and common table expressions is not looked for.
    pub verb: String,
    /// Every word and quoted name, in lower case; what stands in a text that reads like a name, as in
    /// `nextval('t_id_seq')`, and all that is in the block of a DO.
    pub words: BTreeSet<String>,
    /// Those that do not stand behind a dot.
    pub bare: BTreeSet<String>,
    pub writes: Vec<QueryWrite>,
    /// How many SELECTs are in it.
    pub selects: usize,
    /// `COPY` of a whole table, in either direction, with its columns if it lists them.
    pub copies: Option<(ObjectName, Option<Vec<String>>)>,
    /// The highest `$n`.
    pub parameters: usize,
    /// What stands before a bracket: functions, among others.
    pub calls: BTreeSet<String>,
    /// An INSERT takes all columns of something, whatever they are: `INSERT INTO t SELECT *`.
    pub inserts_star: bool,
}

impl QueryFacts {
    /// Is this word, in whatever case, in the query?
    pub fn mentions(&self, word: &str) -> bool {
        self.words.contains(&word.to_lowercase())
    }
}

/// The words of a text: of a query, a function's body, a view's definition. In lower case, names in quotes and
/// the words inside text literals too, since bodies hold SQL in them.
pub fn words_of(text: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    add_words(text, &mut words, 3);
    words
}

fn add_words(text: &str, words: &mut BTreeSet<String>, deep: usize) {
    for token in tokens(text, 0) {
        let piece = &text[token.start..token.end];
        match token.kind {
            Kind::Word | Kind::QuotedWord => {
                words.insert(part(piece).to_lowercase());
            }
            Kind::Text | Kind::DollarText if deep > 0 => {
                add_words(super::guard::inside_quotes(piece), words, deep - 1);
            }
            _ => {}
        }
    }
}

/// Does a body take all columns of something?
pub fn takes_all_columns(text: &str) -> bool {
    let all: Vec<Token> = tokens(text, 0).filter(|token| token.counts()).collect();
    let reader = Reader { text, all: &all };
    (0..all.len()).any(|at| reader.is_star(at))
}

/// Does the body of a trigger take NEW or OLD as a whole, other than to give it back?
pub fn takes_trigger_row(text: &str) -> bool {
    let all: Vec<Token> = tokens(text, 0).filter(|token| token.counts()).collect();
    let reader = Reader { text, all: &all };
    (0..all.len()).any(|at| {
        (reader.is(at, "new") || reader.is(at, "old"))
            && reader.kind(at + 1) != Some(Kind::Dot)
            && !reader.before(at, &["return"])
    })
}

/// Reads one statement. Never fails.
pub fn query_facts(text: &str) -> QueryFacts {
    facts_of(text, true)
}

/// `may_be_do` is false inside the block of a DO, which holds no other.
fn facts_of(text: &str, may_be_do: bool) -> QueryFacts {
    let all: Vec<Token> = tokens(text, 0).filter(|token| token.counts()).collect();
    let reader = Reader { text, all: &all };
    let mut facts = QueryFacts { inserts_star: reader.inserts_star(), ..QueryFacts::default() };
    for (at, token) in all.iter().enumerate() {
        match token.kind {
            Kind::Word | Kind::QuotedWord => {
                let word = reader.name(at);
                if facts.verb.is_empty() {
                    facts.verb = word.to_uppercase();
                }
                facts.selects += usize::from(reader.is(at, "select"));
                if at == 0 || all[at - 1].kind != Kind::Dot {
                    facts.bare.insert(word.clone());
                }
                if reader.kind(at + 1) == Some(Kind::OpenParen) {
                    facts.calls.insert(word.clone());
                }
                facts.words.insert(word);
            }
            Kind::Text | Kind::DollarText => {
                let inside = super::guard::inside_quotes(&text[token.start..token.end]);
                if facts.verb == "DO" && may_be_do {
                    let block = facts_of(inside, false);
                    facts.words.extend(words_of(inside));
                    facts.writes.extend(block.writes);
                } else if let Some(name) = ObjectName::parse(inside) {
                    facts.words.extend(name.schema.map(|schema| schema.to_lowercase()));
                    facts.words.insert(name.name.to_lowercase());
                }
            }
            Kind::Param => {
                let number = text[token.start + 1..token.end].parse().unwrap_or(0);
                facts.parameters = facts.parameters.max(number);
            }
            _ => {}
        }
        reader.write_at(at, &mut facts);
    }
    facts
}

struct Reader<'a> {
    text: &'a str,
    all: &'a [Token],
}

impl Reader<'_> {
    fn kind(&self, at: usize) -> Option<Kind> {
        self.all.get(at).map(|token| token.kind)
    }

    fn is(&self, at: usize, word: &str) -> bool {
        self.all.get(at).is_some_and(|token| {
            token.kind == Kind::Word && self.text[token.start..token.end].eq_ignore_ascii_case(word)
        })
    }

    fn is_name(&self, at: usize) -> bool {
        matches!(self.kind(at), Some(Kind::Word | Kind::QuotedWord))
    }

    fn name(&self, at: usize) -> String {
        self.all
            .get(at)
            .map(|token| part(&self.text[token.start..token.end]).to_lowercase())
            .unwrap_or_default()
    }

    /// A `*` that multiplies nothing and counts nothing.
    fn is_star(&self, at: usize) -> bool {
        self.all.get(at).is_some_and(|token| &self.text[token.start..token.end] == "*")
            && at > 0
            && (matches!(self.kind(at - 1), Some(Kind::Dot | Kind::Comma))
                || self.before(at, &["select", "distinct", "all", "returning"]))
    }

    /// Is there such a star between INSERT INTO and its RETURNING, or the bracket that the INSERT is in?
    fn inserts_star(&self) -> bool {
        let mut depth = 0_usize;
        // How deep in brackets the INSERT stands that is being read.
        let mut insert: Option<usize> = None;
        for at in 0..self.all.len() {
            match self.kind(at) {
                Some(Kind::OpenParen) => depth += 1,
                Some(Kind::CloseParen) => depth = depth.saturating_sub(1),
                _ => {}
            }
            if self.is(at, "into") && self.before(at, &["insert"]) {
                insert = Some(depth);
            } else if insert.is_some_and(|from| depth < from || depth == from && self.is(at, "returning")) {
                insert = None;
            } else if insert.is_some() && self.is_star(at) {
                return true;
            }
        }
        false
    }

    fn before(&self, at: usize, words: &[&str]) -> bool {
        at > 0 && words.iter().any(|word| self.is(at - 1, word))
    }

    /// A dotted name at `at` after ONLY, and where what follows it stands.
    fn table(&self, mut at: usize) -> Option<(ObjectName, usize)> {
        // Since SQL:1999 brackets may stand behind ONLY.
        let bracketed = self.is(at, "only") && self.kind(at + 1) == Some(Kind::OpenParen);
        if self.is(at, "only") {
            at += 1 + usize::from(bracketed);
        }
        if !self.is_name(at) {
            return None;
        }
        let mut name = ObjectName { schema: None, name: self.name(at) };
        at += 1;
        while self.kind(at) == Some(Kind::Dot) && self.is_name(at + 1) {
            name = ObjectName { schema: Some(name.name), name: self.name(at + 1) };
            at += 2;
        }
        at += usize::from(bracketed && self.kind(at) == Some(Kind::CloseParen));
        Some((name, at))
    }

    /// The names at the front of each part of the list in brackets at `at`; none if it is a query.
    fn list(&self, at: usize) -> Option<Vec<String>> {
        if self.kind(at) != Some(Kind::OpenParen) {
            return None;
        }
        if ["select", "with", "values", "table"].iter().any(|word| self.is(at + 1, word))
            || self.kind(at + 1) == Some(Kind::OpenParen)
        {
            return None;
        }
        let mut names = Vec::new();
        let mut depth = 0_usize;
        for place in at..self.all.len() {
            match self.kind(place) {
                Some(Kind::OpenParen | Kind::OpenBracket) => depth += 1,
                Some(Kind::CloseParen | Kind::CloseBracket) => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
            let starts = place == at + 1 || (depth == 1 && self.kind(place - 1) == Some(Kind::Comma));
            if starts && self.is_name(place) {
                names.push(self.name(place));
            }
        }
        Some(names)
    }

    fn write_at(&self, at: usize, facts: &mut QueryFacts) {
        let mut push = |kind, table, columns| facts.writes.push(QueryWrite { kind, table, columns });
        if self.is(at, "into")
            && self.before(at, &["insert", "replace", "ignore", "abort", "fail", "rollback"])
        {
            let Some((table, mut next)) = self.table(at + 1) else { return };
            if self.is(next, "as") {
                next += 2;
            } else if self.is_name(next)
                && self.kind(next + 1) == Some(Kind::OpenParen)
                && !self.is_keyword(next)
            {
                next += 1;
            }
            push(WriteKind::Insert, table, self.list(next));
        } else if self.is(at, "into") && self.before(at, &["merge"]) {
            if let Some((table, _)) = self.table(at + 1) {
                push(WriteKind::Merge, table, None);
            }
        } else if self.is(at, "update") && self.before(at, &["do"]) {
            let last = facts.writes.iter().rev().find(|write| write.kind == WriteKind::Insert);
            if let Some(table) = last.map(|write| write.table.clone()) {
                let columns = self.set_list(at + 1);
                facts.writes.push(QueryWrite { kind: WriteKind::Update, table, columns });
            }
        } else if self.is(at, "update") && !self.before(at, &["for", "key", "on"]) && !self.is(at + 1, "set")
        {
            // SQLite: UPDATE OR IGNORE t.
            let from = if self.is(at + 1, "or") { at + 3 } else { at + 1 };
            if let Some((table, next)) = self.table(from) {
                let set = (next..self.all.len().min(next + 4)).find(|place| self.is(*place, "set"));
                push(WriteKind::Update, table, set.and_then(|set| self.set_list(set)));
            }
        } else if self.is(at, "from") && self.before(at, &["delete"]) {
            if let Some((table, _)) = self.table(at + 1) {
                push(WriteKind::Delete, table, None);
            }
        } else if self.is(at, "truncate") && at == 0 {
            let mut place = if self.is(1, "table") { 2 } else { 1 };
            while let Some((table, next)) = self.table(place) {
                push(WriteKind::Truncate, table, None);
                place = next + 1;
                if self.kind(next) != Some(Kind::Comma) {
                    break;
                }
            }
        } else if self.is(at, "copy") && at == 0 {
            let Some((table, next)) = self.table(1) else { return };
            let columns = self.list(next);
            let to = (next..self.all.len()).find(|place| self.is(*place, "from") || self.is(*place, "to"));
            if to.is_some_and(|to| self.is(to, "from")) {
                push(WriteKind::CopyFrom, table.clone(), columns.clone());
            }
            facts.copies = Some((table, columns));
        }
    }

    fn is_keyword(&self, at: usize) -> bool {
        ["values", "select", "default", "overriding", "with", "table"].iter().any(|word| self.is(at, word))
    }

    /// The columns behind SET at `at`: each name before `=`, and each name of a list before `=`.
    fn set_list(&self, at: usize) -> Option<Vec<String>> {
        if !self.is(at, "set") {
            return None;
        }
        let mut columns = Vec::new();
        let mut depth = 0_usize;
        let mut starts = true;
        for place in at + 1..self.all.len() {
            let end = ["where", "from", "returning"].iter().any(|word| self.is(place, word));
            if depth == 0 && end || self.kind(place) == Some(Kind::Semi) {
                break;
            }
            if starts {
                match self.list(place) {
                    Some(list) => columns.extend(list),
                    None if self.is_name(place) => columns.push(self.name(place)),
                    None => return None,
                }
            }
            starts = false;
            match self.kind(place) {
                Some(Kind::OpenParen | Kind::OpenBracket) => depth += 1,
                Some(Kind::CloseParen | Kind::CloseBracket) => {
                    let Some(out) = depth.checked_sub(1) else { break };
                    depth = out;
                }
                Some(Kind::Comma) => starts = depth == 0,
                _ => {}
            }
        }
        Some(columns)
    }
}

#[cfg(test)]
#[path = "query_tests.rs"]
mod tests;
