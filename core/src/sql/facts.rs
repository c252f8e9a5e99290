//! What a script does, as far as its text can tell: the facts that catalogs before and after do not show.
//!
//! Words and quotes are enough for most of them and are read from every text, even one that no parser takes.
//! Which rows a statement changes comes from the parser, also inside DO blocks and inside functions that the
//! same script makes and calls; where the parser refuses, it comes from the words, and [`Reading`] says so.

mod objects;
mod tree;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::guard::{self, Refusal};
use super::name::ObjectName;
use super::split::{Meta, MetaEffect, Open, Piece, Statement, split};

/// How a statement was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    /// By the parser.
    Parsed,
    /// By its words only, because the parser found a mistake.
    Rejected { message: String, line: u32 },
    /// By its words only, because parsing it would cost too much.
    Refused(Refusal),
}

/// What a statement does to rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DmlKind {
    Insert,
    Update,
    Delete,
    Truncate,
    Merge,
    CopyFrom,
}

/// Where in the script it stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    Direct,
    DoBlock,
    /// In the body of a function that this script makes and this statement calls.
    Function(ObjectName),
}

/// A change of rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dml {
    pub kind: DmlKind,
    /// The table as written, folded to lower case where it is not quoted.
    pub table: Option<ObjectName>,
    pub place: Place,
    /// Line of the script, from 1.
    pub line: u32,
}

/// Rows that are put into a table by an INSERT or a COPY.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inserted {
    /// Folded to lower case.
    pub table: ObjectName,
    /// In lower case; none if all of them get a value.
    pub columns: Option<Vec<String>>,
}

/// SQL that is put together while the script runs, or code in a language that is not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opaque {
    pub place: Place,
    pub line: u32,
    /// The first word of the first text in it, in capitals: what it most likely does.
    pub verb: Option<String>,
}

/// The script's own say in transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Control {
    Begin,
    Commit,
    Rollback,
    Savepoint,
    PrepareTransaction,
    /// COMMIT or ROLLBACK inside a DO block or procedure.
    InBlock,
}

/// Why a statement does not go, or does not go fully, inside a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoTransaction {
    /// The server refuses it inside one.
    Refused,
    /// It runs, but a new enum value cannot be used before the commit (PostgreSQL 12 and later).
    NewEnumValue,
}

/// What a statement reaches beside its own database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EscapeKind {
    /// Runs a program on the server.
    Program,
    /// Reads or writes a file of the server.
    ServerFile,
    /// Speaks to another server.
    Network,
    /// Brings code in a language that can do anything.
    UntrustedCode,
    /// Changes the configuration of the whole server.
    ServerConfig,
    /// Makes, changes or drops a whole database or tablespace.
    Database,
    /// Makes, changes or drops a role, which all databases of the server share.
    Role,
    /// Ends or disturbs other sessions.
    Sessions,
}

/// A way out of the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escape {
    pub kind: EscapeKind,
    /// The words that do it: `COPY ... PROGRAM`, `pg_read_file()`.
    pub what: String,
    pub line: u32,
    /// True if it stands in a function body or another quoted text, where it may never run.
    pub quoted: bool,
}

/// A setting changed for what follows in the session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionChange {
    /// `search_path`, `role`, `statement_timeout`, ...
    pub setting: String,
    /// Until the end of the transaction only.
    pub local: bool,
    pub line: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectAction {
    Create,
    Alter,
    Drop,
    Rename,
}

/// An object that a statement names as its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectChange {
    pub action: ObjectAction,
    /// `table`, `index`, `materialized view`, `column`, ...
    pub kind: String,
    pub name: ObjectName,
    /// The new name of a renamed object.
    pub renamed_to: Option<String>,
}

/// What one statement does.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own, not a state")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementFacts {
    /// Bytes of the script.
    pub span: Range<usize>,
    /// Line of the script, from 1.
    pub line: u32,
    /// The leading words in capitals: `CREATE INDEX`, `ALTER TABLE`, `UPDATE`.
    pub verb: String,
    pub reading: Reading,
    pub dml: Vec<Dml>,
    pub opaque_execute: Vec<Opaque>,
    pub transaction_control: Option<Control>,
    pub concurrently: bool,
    /// Says with which number a sequence goes on: `RESTART`, `setval()`.
    pub sets_sequence: bool,
    /// Gives an object to another owner.
    pub changes_owner: bool,
    /// The materialized view that it makes or refreshes, and whether it holds rows then.
    pub fills_view: Option<(ObjectName, bool)>,
    /// Where rows are put in, with the columns that are named.
    pub inserted: Vec<Inserted>,
    pub cannot_run_in_transaction: Option<NoTransaction>,
    /// Rows of data follow the statement.
    pub copy_stdin_data: bool,
    pub server_escape: Vec<Escape>,
    pub session_changes: Vec<SessionChange>,
    pub if_not_exists: bool,
    pub if_exists: bool,
    pub objects: Vec<ObjectChange>,
    /// Everything that is called like a function, by name; built-in ones too.
    pub calls: BTreeSet<ObjectName>,
}

/// A backslash line and what can be done about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaFact {
    pub line: u32,
    pub command: String,
    pub effect: MetaEffect,
    /// True if the script does the same to a database without the line.
    pub strip: bool,
}

/// What a script does.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub statements: Vec<StatementFacts>,
    pub psql_meta: Vec<MetaFact>,
    /// A quote or comment that is never closed, with its line.
    pub left_open: Option<(Open, u32)>,
}

impl Facts {
    /// Every change of rows.
    pub fn dml(&self) -> impl Iterator<Item = &Dml> {
        self.statements.iter().flat_map(|statement| &statement.dml)
    }

    /// Every piece of SQL that only running it can show.
    pub fn opaque_execute(&self) -> impl Iterator<Item = &Opaque> {
        self.statements.iter().flat_map(|statement| &statement.opaque_execute)
    }

    /// Every way out of the database.
    pub fn server_escape(&self) -> impl Iterator<Item = &Escape> {
        self.statements.iter().flat_map(|statement| &statement.server_escape)
    }

    /// The first statement that takes transactions into its own hands.
    pub fn own_transaction_control(&self) -> Option<&StatementFacts> {
        self.statements.iter().find(|statement| statement.transaction_control.is_some())
    }

    /// The first statement that no wrapping transaction can hold.
    pub fn not_atomic(&self) -> Option<&StatementFacts> {
        self.statements.iter().find(|statement| {
            statement.transaction_control.is_some()
                || statement.cannot_run_in_transaction == Some(NoTransaction::Refused)
        })
    }

    /// The statements that were read by their words only.
    pub fn unparsed(&self) -> impl Iterator<Item = &StatementFacts> {
        self.statements.iter().filter(|statement| statement.reading != Reading::Parsed)
    }
}

/// What the body of a function does, should it be called.
#[derive(Debug, Clone, Default)]
struct Body {
    dml: Vec<Dml>,
    opaque: Vec<Opaque>,
    calls: BTreeSet<ObjectName>,
}

/// Reads a script. Never fails and never runs anything; starts one thread with a large stack for the parser,
/// because the parser recurses.
pub fn facts(script: &str) -> Facts {
    let cut = split(script);
    let mut found = Facts { left_open: cut.left_open, ..Facts::default() };
    let mut statements = Vec::new();
    for piece in cut.pieces {
        match piece {
            Piece::Statement(statement) => statements.push(statement),
            Piece::Meta(meta) => found.psql_meta.push(meta_fact(meta)),
        }
    }
    let mut bodies = Bodies::new();
    let trees = guard::on_large_stack(|| read_trees(script, &statements));
    for (index, statement) in statements.iter().enumerate() {
        let text = &script[statement.span.clone()];
        let mut facts = words::read(text, statement);
        let refused = || tree::Tree::refused(Refusal::NoThread);
        let tree = trees.as_ref().and_then(|trees| trees.get(index).cloned()).unwrap_or_else(refused);
        facts.reading = tree.reading;
        if facts.reading == Reading::Parsed {
            facts.dml = tree.dml;
            facts.opaque_execute = tree.opaque;
            facts.calls = tree.calls;
            facts.sets_sequence |= facts.calls.iter().any(|call| call.name == "setval");
            if tree.commits && facts.transaction_control.is_none() {
                facts.transaction_control = Some(Control::InBlock);
            }
        }
        if let Some((name, body)) = tree.defines {
            define(&mut bodies, name, body);
        }
        found.statements.push(facts);
    }
    if !bodies.is_empty() {
        let mut budget = CALLED_FACTS_MAX;
        for statement in &mut found.statements {
            add_called(statement, &bodies, &mut budget);
        }
    }
    found
}

fn read_trees(script: &str, statements: &[Statement]) -> Vec<tree::Tree> {
    let mut budget = guard::PARSE_BYTES_MAX;
    statements
        .iter()
        .map(|statement| {
            let text = &script[statement.span.clone()];
            match guard::check(text, &mut budget) {
                Ok(()) => tree::read(text, statement.line),
                Err(refusal) => tree::Tree::refused(refusal),
            }
        })
        .collect()
}

/// Most facts that calls of functions add to all statements of a script together. A script that calls large
/// functions over and over would otherwise cost the product of the two.
const CALLED_FACTS_MAX: usize = 100_000;

/// The functions that a script makes, by their name without the schema.
type Bodies = BTreeMap<String, Vec<(ObjectName, Body)>>;

/// Adds a function; one that is made again under its name does, for the facts, what both bodies do.
fn define(bodies: &mut Bodies, name: ObjectName, body: Body) {
    let known = bodies.entry(name.name.clone()).or_default();
    let Some((_, first)) = known.iter_mut().find(|(other, _)| *other == name) else {
        known.push((name, body));
        return;
    };
    let have: BTreeSet<(DmlKind, Option<ObjectName>)> =
        first.dml.iter().map(|dml| (dml.kind, dml.table.clone())).collect();
    first.dml.extend(body.dml.into_iter().filter(|dml| !have.contains(&(dml.kind, dml.table.clone()))));
    let opaque = body.opaque.into_iter().filter(|opaque| !first.opaque.iter().any(|o| o.verb == opaque.verb));
    let opaque: Vec<Opaque> = opaque.collect();
    first.opaque.extend(opaque);
    first.calls.extend(body.calls);
}

/// Adds what the functions do that a statement calls, and those that they call.
fn add_called(statement: &mut StatementFacts, bodies: &Bodies, budget: &mut usize) {
    let mut waiting: Vec<ObjectName> = statement.calls.iter().cloned().collect();
    let mut seen: BTreeSet<ObjectName> = BTreeSet::new();
    while let Some(called) = waiting.pop() {
        for (name, body) in bodies.get(&called.name).into_iter().flatten() {
            let other_schema = matches!((&name.schema, &called.schema), (Some(a), Some(b)) if a != b);
            if other_schema || !seen.insert(name.clone()) {
                continue;
            }
            let place = Place::Function(name.clone());
            let cost = 1 + body.dml.len() + body.opaque.len() + body.calls.len();
            let Some(rest) = budget.checked_sub(cost) else {
                statement.opaque_execute.push(Opaque { place, line: statement.line, verb: None });
                return;
            };
            *budget = rest;
            statement.dml.extend(body.dml.iter().cloned().map(|dml| Dml { place: place.clone(), ..dml }));
            let opaque = body.opaque.iter().cloned().map(|o| Opaque { place: place.clone(), ..o });
            statement.opaque_execute.extend(opaque);
            waiting.extend(body.calls.iter().cloned());
        }
    }
}

fn meta_fact(meta: Meta) -> MetaFact {
    let strip = match meta.effect {
        MetaEffect::Display => true,
        // ON_ERROR_STOP and its like steer psql; other variables are put into the SQL.
        MetaEffect::Variable => meta.command == "\\set" || meta.command == "\\unset",
        _ => false,
    };
    MetaFact { line: meta.line, command: meta.command, effect: meta.effect, strip }
}

#[cfg(test)]
mod tests;
