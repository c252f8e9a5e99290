//! Tables whose rows a down changes or deletes: by its own statements, and by what those set off.
//!
//! Told from the text and from what the down locked on the throwaway database. What can be told from neither
//! counts as changing every table.

use std::collections::{BTreeMap, BTreeSet};

use super::Dialect;
use super::compile::Known;
use crate::schema::{Catalog, Fact, Kind, Name};
use crate::sql::{DmlKind, ObjectAction, ObjectName, Opaque, Reading, StatementFacts, words_of};
use crate::tools::about;
use crate::verdict::SetOff;

/// First words of texts that change no rows by themselves.
const NOT_ROWS: [&str; 9] =
    ["ALTER", "ANALYZE", "COMMENT", "CREATE", "DROP", "GRANT", "REINDEX", "REVOKE", "SET"];

/// First words of statements that a parser must have read for their rows to be known.
const MAY_HOLD_ROWS: [&str; 5] = ["CALL", "DO", "EXECUTE", "SELECT", "WITH"];

/// Words with which a SELECT takes other rows than all of one table.
const CHOOSING: [&str; 8] = ["distinct", "except", "group", "intersect", "join", "limit", "union", "where"];

/// What a down does to rows, by the names that tables have before it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Rows {
    /// Tables whose rows it may change or delete.
    pub changed: BTreeSet<Name>,
    /// Tables that it does something to which only running it shows, most likely no change of rows.
    pub watched: BTreeSet<Name>,
    /// Tables that the live database alone has and that no text names, where not all is known: they may be reached.
    pub beside: BTreeSet<Name>,
    /// Foreign tables whose rows it may change: those are elsewhere.
    pub foreign: BTreeSet<Name>,
    /// Why more is in `changed` than the text names.
    pub because: Vec<String>,
}

/// Finds them. `after` is the throwaway database's catalog after the down.
pub(super) fn rows(known: &Known<'_>, after: &Catalog) -> Rows {
    let Some(script) = known.migration.down.script() else { return Rows::default() };
    let mut seen = Seen::new(known, after);
    for statement in &known.facts.statements {
        let text = script.sql.get(statement.span.clone()).unwrap_or_default();
        seen.statement(statement, text, script.first_line);
    }
    seen.finish()
}

struct Seen<'a> {
    known: &'a Known<'a>,
    after: &'a Catalog,
    /// Names that the down gives, in lower case, with those they stand for.
    renamed: BTreeMap<String, String>,
    changed: BTreeSet<Name>,
    /// Tables that rows are added to.
    added: BTreeSet<String>,
    /// The names of tables whose rows statements change, in lower case.
    written: BTreeSet<String>,
    /// Foreign tables among them, and those that are reached.
    foreign: BTreeSet<Name>,
    /// Names that statements which change rows use, and functions that any statement calls; in lower case.
    names: BTreeSet<String>,
    /// Tables that statements name as theirs.
    named: BTreeSet<String>,
    /// Why not all is known, and whether rows are likely to change.
    opaque: Option<String>,
    builds_ddl: bool,
}

impl<'a> Seen<'a> {
    fn new(known: &'a Known<'a>, after: &'a Catalog) -> Seen<'a> {
        Seen {
            known,
            after,
            renamed: renamed(known),
            changed: BTreeSet::new(),
            added: BTreeSet::new(),
            written: BTreeSet::new(),
            foreign: BTreeSet::new(),
            names: BTreeSet::new(),
            named: BTreeSet::new(),
            opaque: None,
            builds_ddl: false,
        }
    }

    fn before(&self) -> &'a Catalog {
        &self.known.trial.before
    }

    fn statement(&mut self, statement: &StatementFacts, text: &str, first_line: u32) {
        let line = first_line + statement.line - 1;
        let words = words_of(text);
        self.names.extend(statement.calls.iter().map(|call| call.name.to_lowercase()));
        self.named.extend(statement.objects.iter().map(|object| object.name.name.to_lowercase()));
        if !statement.dml.is_empty() {
            self.names.extend(words.iter().cloned());
        }
        for dml in &statement.dml {
            let Some(table) = &dml.table else {
                self.unknown(format!("line {line} changes rows of a table that its text does not name"));
                continue;
            };
            let adds = matches!(dml.kind, DmlKind::Insert | DmlKind::CopyFrom);
            if adds && !(words.contains("conflict") && words.contains("update")) {
                self.added.insert(table.name.to_lowercase());
                continue;
            }
            self.written.insert(table.name.to_lowercase());
            let found = self.tables_called(table);
            if dml.kind == DmlKind::Truncate && words.contains("cascade") {
                for name in &found {
                    let emptied = self.emptied_with(name);
                    self.changed.extend(emptied);
                }
            }
            self.changed.extend(found);
        }
        for opaque in &statement.opaque_execute {
            self.opaque(opaque, first_line);
        }
        let first = statement.verb.split(' ').next().unwrap_or_default();
        if statement.reading != Reading::Parsed && MAY_HOLD_ROWS.contains(&first) {
            self.unknown(format!("line {line} could not be read"));
        }
    }

    fn opaque(&mut self, opaque: &Opaque, first_line: u32) {
        match &opaque.verb {
            Some(verb) if NOT_ROWS.contains(&verb.as_str()) => self.builds_ddl = true,
            _ => self.unknown(format!(
                "line {} puts its SQL together while it runs, or is in a language that is not read",
                first_line + opaque.line - 1
            )),
        }
    }

    fn unknown(&mut self, why: String) {
        self.opaque.get_or_insert(why);
    }

    /// The tables before the down that a name in its text can mean: none for what it makes itself.
    fn tables_called(&self, table: &ObjectName) -> BTreeSet<Name> {
        let mut found = called_in(self.before(), table, self.moves_search_path());
        if let Some(first) = self.renamed.get(&table.name.to_lowercase()) {
            let first = ObjectName { schema: table.schema.clone(), name: first.clone() };
            found.extend(called_in(self.before(), &first, self.moves_search_path()));
        }
        if found.is_empty() {
            // Made under another name and renamed since, or renamed in a way that the words do not show.
            let now = called_in(self.after, table, true);
            let same = now.iter().filter_map(|name| self.after.get(Kind::Table, name));
            let was = same.filter_map(|now| self.before().at(Kind::Table, now.address));
            found.extend(was.map(|was| was.name.clone()));
        }
        found
    }

    fn moves_search_path(&self) -> bool {
        let mut changes = self.known.facts.statements.iter().flat_map(|statement| &statement.session_changes);
        changes.any(|change| matches!(change.setting.as_str(), "search_path" | "all" | "set_config()"))
    }

    /// What TRUNCATE ... CASCADE empties as well: what points at the table, and what points at that. Tables that somebody
    /// made on the live database alone are emptied there too.
    fn emptied_with(&self, table: &Name) -> BTreeSet<Name> {
        let mut emptied = BTreeSet::new();
        let mut waiting = vec![table.object.to_lowercase()];
        let mut done = BTreeSet::new();
        while let Some(target) = waiting.pop() {
            if !done.insert(target.clone()) {
                continue;
            }
            let alone = self.known.live.objects().filter(|key| self.known.is_live_alone(&key.name.parent()));
            let keys = self.before().objects().chain(alone);
            for key in keys.filter(|object| object.fact(Fact::Sort) == Some("f")) {
                let points =
                    key.fact(Fact::Definition).and_then(|text| text.split_once("REFERENCES ")).is_some_and(
                        |(_, rest)| words_of(rest.split('(').next().unwrap_or(rest)).contains(&target),
                    );
                if key.kind == Kind::Constraint && points {
                    emptied.insert(key.name.parent());
                    waiting.push(key.name.object.to_lowercase());
                }
            }
        }
        emptied
    }

    fn finish(mut self) -> Rows {
        let mut because = Vec::new();
        let mut all = self.reach(&mut because);
        let locked = self.locked();
        let mut beside = BTreeSet::new();
        if let Some(why) = self.opaque.clone() {
            let written: Vec<&Name> = locked
                .iter()
                .filter(|name| {
                    let lower = name.object.to_lowercase();
                    !self.changed.contains(*name) && !self.named.contains(&lower)
                })
                .collect();
            if written.is_empty() {
                all = all.or(Some(why));
            } else {
                because.push(format!("{why}: every table that it locked counts"));
            }
            self.changed.extend(locked.iter().cloned());
            beside = self.changed.iter().flat_map(|name| self.emptied_with(name)).collect();
            all = all.or_else(|| self.reach(&mut because));
        }
        if let Some(why) = all {
            because.push(format!("{why}: every table counts"));
            self.changed.extend(tables(self.before()).cloned());
            beside.extend(tables(self.known.live).cloned());
        }
        let known = self.known;
        let is_table =
            |name: &Name| known.trial.before.get(Kind::Table, name).is_some() || known.is_live_alone(name);
        self.changed.retain(is_table);
        // A partition's rows are its parent's.
        beside.retain(|name| {
            let table = known.live.get(Kind::Table, name).filter(|_| known.is_live_alone(name));
            table.is_some_and(|table| !table.has(Fact::PartitionBound)) && !self.changed.contains(name)
        });
        let mut watched = if self.builds_ddl { locked } else { BTreeSet::new() };
        watched.retain(|name| !self.changed.contains(name) && is_table(name));
        Rows { changed: self.changed, watched, beside, foreign: self.foreign, because }
    }

    /// Adds what triggers, functions, rules and foreign keys carry on to; what makes that unknown, if anything does.
    fn reach(&mut self, because: &mut Vec<String>) -> Option<String> {
        let mut changed: BTreeSet<String> =
            self.changed.iter().map(|name| name.object.to_lowercase()).collect();
        changed.extend(self.emptied());
        let mut off = self.set_off(&changed);
        // Rows that are added set off triggers and rules alone.
        let acts = |name: &String| {
            let on = |object: &std::sync::Arc<crate::schema::Object>| {
                matches!(object.kind, Kind::Trigger | Kind::Rule)
                    && object.name.object.to_lowercase() == *name
            };
            [self.before(), self.after, self.known.live].iter().any(|catalog| catalog.objects().any(on))
        };
        let added: BTreeSet<String> = self.added.iter().filter(|name| acts(name)).cloned().collect();
        if !added.is_empty() || !self.names.is_empty() {
            let more = self.set_off(&changed.union(&added).cloned().collect());
            off.writes.extend(more.writes);
            off.unreadable = off.unreadable.or(more.unreadable);
        }
        // Tables that somebody made on the live database alone are reached there too.
        let alone = tables(self.known.live).filter(|name| self.known.is_live_alone(name));
        let reached: Vec<Name> = tables(self.before())
            .chain(alone)
            .filter(|name| off.writes.contains(&name.object.to_lowercase()) && !self.changed.contains(name))
            .cloned()
            .collect();
        if !reached.is_empty() {
            let names: Vec<String> = reached.iter().map(ToString::to_string).collect();
            because.push(format!("triggers, functions or foreign keys carry it on to {}", names.join(", ")));
        }
        self.changed.extend(reached);
        let elsewhere = [self.before(), self.known.live].into_iter().flat_map(Catalog::objects);
        let elsewhere = elsewhere.filter(|object| object.kind == Kind::ForeignTable).filter(|object| {
            let name = object.name.object.to_lowercase();
            off.writes.contains(&name) || self.written.contains(&name)
        });
        let foreign: Vec<Name> = elsewhere.map(|object| object.name.clone()).collect();
        self.foreign.extend(foreign);
        off.unreadable.map(|what| format!("{what} puts its SQL together while it runs"))
    }

    /// SQLite, where a table is dropped and made again to alter it: tables that are emptied by being dropped, so that
    /// foreign keys act, as long as they are enforced. A copy that takes not simply every row changes the table.
    fn emptied(&mut self) -> BTreeSet<String> {
        let mut emptied = BTreeSet::new();
        if self.known.dialect != Dialect::Sqlite {
            return emptied;
        }
        let script = self.known.migration.down.script().map(|script| script.sql.as_str()).unwrap_or_default();
        let statements = &self.known.facts.statements;
        let dropped = statements.iter().flat_map(|statement| &statement.objects);
        let dropped = dropped.filter(|object| object.action == ObjectAction::Drop && object.kind == "table");
        for table in dropped.map(|object| object.name.name.to_lowercase()) {
            let is_whole_copy = |statement: &StatementFacts| {
                let words = words_of(script.get(statement.span.clone()).unwrap_or_default());
                statement.dml.iter().any(|dml| dml.kind == DmlKind::Insert)
                    && words.contains(&table)
                    && !CHOOSING.iter().any(|word| words.contains(*word))
            };
            let stays = self
                .after
                .objects()
                .find(|object| object.kind == Kind::Table && object.name.object.eq_ignore_ascii_case(&table));
            if let Some(stays) = stays.filter(|_| !statements.iter().any(is_whole_copy)) {
                self.changed.insert(stays.name.clone());
            }
            emptied.insert(table);
        }
        if about(self.known.migration.tool).sqlite_foreign_keys { emptied } else { BTreeSet::new() }
    }

    fn set_off(&self, written: &BTreeSet<String>) -> SetOff {
        let mut names = self.names.clone();
        names.extend(written.iter().cloned());
        let mut off = SetOff::by(&names, written, self.before(), self.after);
        // What somebody added on the live database alone acts there too.
        let live = SetOff::by(&names, written, self.known.live, self.known.live);
        off.writes.extend(live.writes);
        off.unreadable = off.unreadable.or(live.unreadable);
        off
    }

    fn locked(&self) -> BTreeSet<Name> {
        if self.known.dialect == Dialect::Sqlite {
            return BTreeSet::new();
        }
        self.known.trial.locks.iter().flat_map(|table| called_in(self.before(), table, false)).collect()
    }
}

fn tables(catalog: &Catalog) -> impl Iterator<Item = &Name> {
    catalog.objects().filter(|object| object.kind == Kind::Table).map(|object| &object.name)
}

/// New names, in lower case, to the names that their objects had first.
fn renamed(known: &Known<'_>) -> BTreeMap<String, String> {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for object in known.facts.statements.iter().flat_map(|statement| &statement.objects) {
        let Some(to) = object.renamed_to.as_ref().filter(|_| object.action == ObjectAction::Rename) else {
            continue;
        };
        if object.kind == "table" {
            let was = object.name.name.to_lowercase();
            let first = names.get(&was).cloned().unwrap_or(was);
            names.insert(to.to_lowercase(), first);
        }
    }
    names
}

/// The tables and views that a name can mean. Without a schema it is that of `public`, where there is one and the
/// script does not look elsewhere.
pub(super) fn called_in(catalog: &Catalog, table: &ObjectName, anywhere: bool) -> BTreeSet<Name> {
    let kinds = [Kind::Table, Kind::View, Kind::MaterializedView];
    let all = catalog.objects().filter(|object| {
        kinds.contains(&object.kind)
            && object.name.object.eq_ignore_ascii_case(&table.name)
            && table.schema.as_ref().is_none_or(|schema| object.name.schema.eq_ignore_ascii_case(schema))
    });
    let all: BTreeSet<Name> = all.map(|object| object.name.clone()).collect();
    let public: BTreeSet<Name> = all.iter().filter(|name| name.schema == "public").cloned().collect();
    if table.schema.is_none() && !anywhere && !public.is_empty() { public } else { all }
}
