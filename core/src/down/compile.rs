//! From what is known of one migration to the program that takes it down, or to the reasons why there is none.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::atomic::{self, Sent};
use super::changes::{Rows, called_in, rows};
use super::drift::drift;
use super::loss::{LossKind, LossReport};
use super::losses::{self, kinds, object_name};
use super::pragma::foreign_keys;
use super::program::{Dialect, Program, RowChange, Session};
use super::refusal::Refusal;
use super::rows::row_changes;
use super::trial::Trial;
use crate::schema::{Catalog, Fact, Kind, Name, Object, delta, diff, touched};
use crate::sql::{Facts, ObjectName, words_of};
use crate::tools::{Down, LockScope, Migration, When, about, lock_key};
use crate::verdict::{Destroyed, DownClass, Leftover, destroyed};

/// Built-in functions that change or delete what stands in no table of anybody's.
const CHANGES_LARGE_OBJECTS: [&str; 5] = ["lo_put", "lo_truncate", "lo_truncate64", "lo_unlink", "lowrite"];

/// What is known of a migration that is to be taken down.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The live database's.
    pub dialect: Dialect,
    /// The migration, as the release that brought it carries it.
    pub migration: &'a Migration,
    /// What the text of its down says.
    pub facts: &'a Facts,
    /// What running the down on a throwaway database showed.
    pub trial: &'a Trial,
    /// The throwaway database's catalog around its up, where that was run.
    pub around_up: Option<Around<'a>>,
    /// The throwaway database's catalog when all was applied there that is applied on the live one.
    pub top: &'a Catalog,
    /// The live database's catalog as it is.
    pub live: &'a Catalog,
}

/// Catalogs of a throwaway database around an up.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// Before it.
    pub before: &'a Catalog,
    /// After it.
    pub after: &'a Catalog,
}

/// What a program needs to know beside the migration.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// Session settings.
    pub session: &'a Session,
    /// The tool's version table, as it was found.
    pub table: Option<&'a ObjectName>,
    /// The database's name, as the tool's lock key needs it.
    pub database: &'a str,
    /// The versions in the table when this step begins.
    pub applied: &'a BTreeSet<String>,
    /// The version that is the newest one afterwards.
    pub version_before: Option<&'a str>,
    /// Whether a fence is put around it.
    pub fence: bool,
    /// Whether it was accepted that no transaction holds it.
    pub not_atomic: bool,
    /// Rows of the live database that are in its way, a sentence each.
    pub in_the_way: &'a [String],
    /// Why nothing can be changed there, if so.
    pub cannot_change: Option<&'a str>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compiled {
    /// The program, or every reason why there is none.
    pub program: Result<Program, Vec<Refusal>>,
    /// What a person should know and that decides nothing.
    pub remarks: Vec<String>,
}

impl Known<'_> {
    /// What it destroys, to be counted on the live database. Nothing where it did not run.
    pub fn losses(&self) -> Vec<LossKind> {
        match &self.trial.after {
            Ok(after) => kinds(self, after, &rows(self, after)),
            Err(_) => Vec::new(),
        }
    }

    /// What the live rows are asked for: whether they fit the catalog that the down leaves, as far as that can be known.
    pub fn asked(&self, after: &Catalog) -> Catalog {
        losses::asked(self, after)
    }

    /// The same loss by the names that the live database has now, which earlier steps down may change; none for
    /// what only they make.
    pub fn in_live(&self, kind: &LossKind) -> Option<LossKind> {
        let schema = kind.table().schema.clone().unwrap_or_default();
        let table = Name::of(schema, kind.table().name.clone());
        if self.is_live_alone(&table) {
            return Some(kind.clone());
        }
        if matches!(kind, LossKind::Sequence { .. }) {
            let sequence = object_name(&self.name_at_top(Kind::Sequence, &table)?);
            return Some(LossKind::Sequence { sequence });
        }
        let now = self.name_at_top(Kind::Table, &table)?;
        let (mut kind, named) = (kind.clone(), object_name(&now));
        let column = match &mut kind {
            LossKind::Table { table } | LossKind::Rows { table } => {
                *table = named;
                return Some(kind);
            }
            LossKind::Sequence { .. } => return None,
            LossKind::Column { table, column, .. } | LossKind::Rewritten { table, column, .. } => {
                *table = named;
                column
            }
        };
        let part = Name { part: Some(column.clone()), ..table };
        *column = self.name_at_top(Kind::Column, &part)?.part?;
        Some(kind)
    }

    /// Is it a table that somebody made on the live database, and no migration?
    pub(super) fn is_live_alone(&self, table: &Name) -> bool {
        self.live.get(Kind::Table, table).is_some()
            && self.top.get(Kind::Table, table).is_none()
            && self.trial.before.get(Kind::Table, table).is_none()
    }

    /// Partitions that the live database alone has, of tables by these names: they are made as time goes by.
    fn partitions<'a>(&'a self, of: &'a BTreeSet<Name>) -> impl Iterator<Item = &'a Arc<Object>> {
        self.live.objects().filter(move |table| {
            let words = table.fact(Fact::PartitionBound).map(words_of).unwrap_or_default();
            table.kind == Kind::Table
                && self.is_live_alone(&table.name)
                && of.iter().any(|parent| words.contains(&parent.object.to_lowercase()))
        })
    }

    /// How something that is there before this step is called when no step has been taken.
    fn name_at_top(&self, kind: Kind, name: &Name) -> Option<Name> {
        let object = self.trial.before.get(kind, name)?;
        self.top.at(kind, object.address).map(|object| object.name.clone())
    }

    /// What the down touches, by the names before any step: objects that it changes, and tables whose rows it does.
    fn touched(&self, after: &Catalog, rows: &Rows) -> BTreeSet<Name> {
        let mut names: BTreeSet<Name> = touched(&self.trial.before, after).into_iter().collect();
        names.extend(rows.changed.iter().chain(&rows.watched).cloned());
        let at_top = |name: &Name| {
            let before = self.trial.before.objects().find(|object| object.name == *name);
            match before {
                Some(object) => self.top.at(object.kind, object.address).map(|object| object.name.clone()),
                None => Some(name.clone()),
            }
        };
        names.iter().filter_map(at_top).collect()
    }
}

/// Compiles one step. `report` is what it destroys, counted.
pub fn compile(known: &Known<'_>, said: &Said<'_>, report: &LossReport) -> Compiled {
    let mut work = Work { known, said, refusals: Vec::new(), remarks: known.trial.remarks.clone() };
    let program = work.program(report);
    let Work { refusals, mut remarks, .. } = work;
    remarks.dedup();
    let program = match program {
        Some(program) if refusals.is_empty() => Ok(program),
        _ => Err(refusals),
    };
    Compiled { program, remarks }
}

struct Work<'a> {
    known: &'a Known<'a>,
    said: &'a Said<'a>,
    refusals: Vec<Refusal>,
    remarks: Vec<String>,
}

impl Work<'_> {
    fn id(&self) -> String {
        self.known.migration.id.clone()
    }

    fn impossible(&mut self, why: impl Into<String>) {
        let refusal = Refusal::NotPossible { migration: self.id(), why: why.into() };
        self.refusals.push(refusal);
    }

    /// None where a refusal says why.
    fn program(&mut self, report: &LossReport) -> Option<Program> {
        let (known, said) = (self.known, self.said);
        if let Some(why) = said.cannot_change {
            self.impossible(format!("nothing can be changed on the database: {why}"));
        }
        let target = self.version_table();
        let sent = self.down();
        let after = match &known.trial.after {
            Ok(after) => after,
            Err(failure) => {
                let why = failure.placed();
                self.refusals.push(Refusal::Fails { migration: self.id(), why });
                return None;
            }
        };
        let rows = rows(known, after);
        self.remarks.extend(rows.because.iter().cloned());
        let statements = known.facts.statements.iter();
        let calls = statements.flat_map(|statement| &statement.calls).map(|call| call.name.as_str());
        if let Some(call) = calls.into_iter().find(|call| CHANGES_LARGE_OBJECTS.contains(call)) {
            self.impossible(format!(
                "it changes large objects with `{call}()`, and nothing here keeps those"
            ));
        }
        for table in &rows.foreign {
            self.impossible(format!(
                "it changes rows of {table}, which are on another server: nothing here keeps them"
            ));
        }
        self.drift(after, &rows);
        self.leftover(after);
        if !said.in_the_way.is_empty() {
            let why = said.in_the_way.join("; ");
            self.refusals.push(Refusal::FailsOnData { migration: self.id(), why });
        }
        let (table, changes) = target?;
        let (Sent { batches, .. }, atomic) = sent?;
        Some(Program {
            dialect: known.dialect,
            tool: known.migration.tool,
            migration: self.id(),
            version: known.migration.version.recorded().to_owned(),
            version_before: said.version_before.map(str::to_owned),
            applied: said.applied.iter().cloned().collect(),
            down: report.down,
            session: said.session.clone(),
            tool_lock: self.tool_lock(&table),
            locks: self.locks(report, &rows),
            allowed: report.allowed(),
            captured: captured(&rows),
            batches,
            rows: changes,
            delta: self.delta(after),
            atomic,
            foreign_keys: known.dialect == Dialect::Sqlite && foreign_keys(known.migration),
            fence: said.fence,
            table,
        })
    }

    /// The version table with what is written to it.
    fn version_table(&mut self) -> Option<(ObjectName, Vec<RowChange>)> {
        let Some(rule) = about(self.known.migration.tool).table else {
            self.impossible(format!(
                "{} keeps no record of what is applied, so nothing shows that this is the newest one",
                self.known.migration.tool
            ));
            return None;
        };
        let Some(table) = self.said.table else {
            self.impossible(format!("the database has no table `{}`", rule.name));
            return None;
        };
        // What the tool writes before the down only matters to a tool that can be interrupted between the two.
        let writes = rule.down.iter().filter(|write| write.when == When::AfterScript);
        let changes = row_changes(&rule, writes, self.known.migration, self.said.version_before);
        Some((table.clone(), changes))
    }

    /// What is sent, and whether one transaction holds it.
    fn down(&mut self) -> Option<(Sent, bool)> {
        let migration = self.known.migration;
        let script = match &migration.down {
            Down::Missing => {
                self.refusals.push(Refusal::Missing { migration: self.id() });
                return None;
            }
            Down::Empty(_) => {
                if self.up_did_something() {
                    self.refusals.push(Refusal::Empty { migration: self.id() });
                }
                return Some((Sent { batches: Vec::new(), unwrapped: false }, true));
            }
            Down::Script(script) => script,
        };
        if !script.environment.is_empty() {
            let names = script.environment.join(", ");
            self.impossible(format!("its text takes {names} from the environment of who runs it"));
        }
        if let Some(meta) = self.known.facts.psql_meta.iter().find(|meta| !meta.strip) {
            let line = script.first_line + meta.line - 1;
            self.impossible(format!("`{}` on line {line} is for psql alone", meta.command));
        }
        if self.known.dialect == Dialect::Sqlite {
            // Its executor reads the script in SQLite's own dialect, and refuses what no transaction holds.
            return Some((Sent { batches: script.batches.clone(), unwrapped: false }, true));
        }
        match atomic::in_one(script, self.known.facts, self.known.trial) {
            Ok(sent) => {
                if sent.unwrapped {
                    self.remarks.push(
                        "its own BEGIN and COMMIT are left out: all of it is one transaction as it is".into(),
                    );
                }
                Some((sent, true))
            }
            Err(why) if self.said.not_atomic => {
                self.remarks.push(format!("accepted: it cannot be taken back once begun: {why}"));
                Some((Sent { batches: script.batches.clone(), unwrapped: false }, false))
            }
            Err(why) => {
                self.refusals.push(Refusal::NotAtomic { migration: self.id(), why });
                None
            }
        }
    }

    fn up_did_something(&self) -> bool {
        match self.known.around_up {
            Some(Around { before, after }) => !diff(before, after).is_empty(),
            None => !self.known.migration.up.batches.is_empty(),
        }
    }

    fn drift(&mut self, after: &Catalog, rows: &Rows) {
        let touched = self.known.touched(after, rows);
        let mut found = drift(self.known.top, self.known.live, &touched);
        // A parent that goes takes its partitions along; any other change reaches into them in ways that were not tried.
        let before = &self.known.trial.before;
        let altered: BTreeSet<Name> = diff(before, after)
            .iter()
            .filter(|change| change.kind.is_part())
            .map(|change| change.name.parent())
            .filter(|name| touched.contains(name))
            .collect();
        for partition in self.known.partitions(&altered) {
            found.matters.push(format!(
                "it has partition {}, which no migration makes, of a table whose columns, indexes or constraints \
                 are changed",
                partition.name
            ));
        }
        if !found.matters.is_empty() {
            self.refusals.push(Refusal::Drift { migration: self.id(), drift: found.matters });
        }
        if !found.beside.is_empty() {
            self.remarks.push(format!(
                "beside what it touches the database is not as the migrations say: {}",
                found.beside.join("; ")
            ));
        }
    }

    /// What stays behind or does not come back.
    fn leftover(&mut self, after: &Catalog) {
        let Some(around) = self.known.around_up else { return };
        let changes = diff(around.before, after);
        if DownClass::of_difference(&changes) == DownClass::ColumnOrder {
            self.remarks.push("columns stand in another order than before its up".into());
        } else {
            let left = Leftover::of(&changes);
            if !left.remains.is_empty() {
                self.remarks.push(format!("it leaves behind: {}", left.remains.join(", ")));
            }
            if !left.lost.is_empty() {
                self.remarks.push(format!("it does not bring back: {}", left.lost.join(", ")));
            }
        }
        let gone = Destroyed::between(around.before, around.after);
        if !gone.is_empty() {
            let names: Vec<String> = gone.tables.into_iter().chain(gone.columns).collect();
            self.remarks.push(format!(
                "the rows and values that its up removed do not come back with it: {}",
                names.join(", ")
            ));
        }
    }

    /// What it does to the live catalog: what it did to the throwaway one, and partitions go with their parents.
    fn delta(&self, after: &Catalog) -> Vec<String> {
        let before = &self.known.trial.before;
        let gone: BTreeSet<Name> = destroyed(before, after)
            .iter()
            .map(|was| was.name.clone())
            .filter(|name| name.part.is_none())
            .collect();
        let partitions: Catalog =
            self.known.partitions(&gone).map(|partition| (**partition).clone()).collect();
        let mut lines = delta(before, after);
        lines.extend(delta(&partitions, &Catalog::default()));
        lines.sort();
        lines
    }

    fn tool_lock(&self, table: &ObjectName) -> Option<i64> {
        if self.known.dialect == Dialect::Sqlite {
            return None;
        }
        let schema = table.schema.as_deref().unwrap_or("public");
        let scope = LockScope { database: self.said.database, schema, table: &table.name };
        lock_key(self.known.migration.tool, scope)
    }

    /// Tables to lock, by schema and name so that two programs never wait for each other.
    fn locks(&self, report: &LossReport, rows: &Rows) -> Vec<ObjectName> {
        let before = &self.known.trial.before;
        let mut names: BTreeSet<ObjectName> = captured(rows).into_iter().collect();
        names.extend(report.losses.iter().map(|loss| loss.kind.table().clone()));
        let locked = self.known.trial.locks.iter().flat_map(|table| called_in(before, table, false));
        names.extend(locked.map(|name| object_name(&name)));
        let is_table = |name: &ObjectName| {
            let schema = name.schema.clone().unwrap_or_default();
            let name = Name::of(schema, name.name.clone());
            before.get(Kind::Table, &name).is_some() || rows.beside.contains(&name)
        };
        names.into_iter().filter(is_table).collect()
    }
}

/// Tables whose rows it may change, also those that it drops afterwards: what is kept as a whole must be kept before.
fn captured(rows: &Rows) -> Vec<ObjectName> {
    let mut names: Vec<ObjectName> =
        rows.changed.iter().chain(&rows.watched).chain(&rows.beside).map(object_name).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests;
