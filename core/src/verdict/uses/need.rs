//! What has to hold for a change to leave the older release alone, and whether its queries say that it holds.

use super::refusal::{has_triggers, is_constrained, is_generated, is_replaced_by_less, set_by_trigger};
use super::{Fate, ForeignKey, Table, Used, Uses, bare};
use crate::schema::{Catalog, Fact, Kind, Name};
use crate::sql::WriteKind;

/// What has to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::verdict) enum Need {
    /// No query names this object, which is gone.
    Unnamed { kind: Kind, name: Name },
    /// No query uses this column, whose type changed.
    Untouched { column: Name },
    /// Nothing that a query sets off names the column or takes whole rows of its table.
    UnnamedInBodies { column: Name },
    /// No query, and nothing that one sets off, comes to this.
    Unreached { word: String, what: String },
    /// No query writes the table.
    Unwritten { table: Name },
    /// No query gives these columns a value that it did not pass for before. `fills` says what a row gets that
    /// does not name them; `looks_at` are all columns that decide for a row that is there, none if that may be any.
    Unrestricted { table: Name, columns: Vec<String>, looks_at: Vec<String>, fills: Fills },
    /// Every INSERT names the column, which does not fill itself.
    Given { column: Name, is_new: bool },
    /// No query deletes what others may point at now, or gives it other keys, as far as they refuse that. No `keys`
    /// stand for those of the primary key.
    KeysKept { table: Name, keys: Vec<String>, deletes: bool, updates: bool },
    /// No write leaves the column to its default, unless nothing refuses that; `doubted` says that something may.
    DefaultUnused { column: Name, doubted: bool },
    /// Every ON CONFLICT on the table still finds what makes its rows unique.
    ConflictTargetsPlan { table: Name },
    /// No query takes the column, which takes NULL now, to hold none.
    NullsRead { column: Name },
    /// No query changes or deletes rows of the table.
    OnlyAdded { table: Name },
    /// Every query plans, and nothing that one sets off is hidden from planning.
    AllPlan,
    /// The privileges were tried: the queries were planned as the application's role.
    Privileges { kind: Kind, name: Name },
}

/// What a row gets in the restricted columns if nobody names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::verdict) enum Fills {
    /// Something that passes.
    Passes,
    /// NULL, and that does not pass.
    Fails,
    /// Not known here.
    Unknown,
}

/// Whether it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::verdict) enum Answer {
    /// Yes, and why.
    Holds(String),
    /// Nobody can tell, and why.
    Open(String),
    /// No, and who says so.
    Broken(String),
}

use Answer::{Broken, Holds, Open};

impl Uses {
    pub(in crate::verdict) fn answer(&self, need: &Need, after: &Catalog) -> Answer {
        match need {
            Need::Unnamed { kind: Kind::Column, name } => self.column_unnamed(name),
            Need::Unnamed { kind, name } => self.unnamed(*kind, name, after),
            Need::Untouched { column } => self.untouched(column, after),
            Need::UnnamedInBodies { column } => self.unnamed_in_bodies(column, "no function gives it"),
            Need::Unreached { word, what } => match (self.reached_by(word), self.dynamic()) {
                (Some(by), _) => Open(format!("{by} comes to {what}")),
                (None, Some(by)) => Open(puts_together(by)),
                (None, None) => Holds(format!("no query comes to {what}")),
            },
            Need::Unwritten { table } => self.unwritten(table),
            Need::Unrestricted { table, columns, looks_at, fills } => {
                self.unrestricted(table, (columns, looks_at), *fills, after)
            }
            Need::Given { column, is_new } => self.given(column, *is_new, after),
            Need::KeysKept { table, keys, deletes, updates } => {
                self.keys_kept(table, keys, (*deletes, *updates), after)
            }
            Need::DefaultUnused { column, doubted } => self.default_unused(column, *doubted, after),
            Need::ConflictTargetsPlan { table } => self.conflict_targets_plan(table),
            Need::NullsRead { column } => self.nulls_read(column),
            Need::OnlyAdded { table } => self.only_added(table),
            Need::AllPlan => self.all_plan(),
            Need::Privileges { kind, name } => self.privileges(*kind, name),
        }
    }

    fn column_unnamed(&self, column: &Name) -> Answer {
        let part = column.part.clone().unwrap_or_default();
        let names_both = |query: &&Used| query.facts.mentions(&part) && query.mentions(column);
        let by_fate = |fate| self.queries.iter().filter(move |query| query.fate() == fate);
        if let Some(query) = by_fate(Fate::Fails).find(names_both) {
            return Broken(format!("{} names it", query.id));
        }
        if let Some(query) = by_fate(Fate::Unusable).find(names_both) {
            return Open(format!("{} may name it, and does not plan even on the older schema", query.id));
        }
        // A name in an inner query that lost its column may mean one of an outer query now.
        let captured =
            |query: &&Used| query.facts.selects > 1 && query.facts.bare.contains(&part.to_lowercase());
        if let Some(query) = by_fate(Fate::Plans).filter(captured).find(names_both) {
            return Open(format!("{} still plans, but the name may mean another column in it now", query.id));
        }
        self.unnamed_in_bodies(column, "no query names it")
    }

    fn unnamed_in_bodies(&self, column: &Name, otherwise: &str) -> Answer {
        let part = column.part.as_deref().unwrap_or_default();
        if self.reached_by(&column.object).is_some()
            && let Some(by) = self.indirectly(part)
        {
            return Open(format!("{by} may name it"));
        }
        let table = column.parent();
        let is_written = self.writes(&table).next().is_some() || self.written_indirectly(&table).is_some();
        if let Some(body) = self.bodies().find(|body| body.takes_whole_rows_of(&table.object, is_written)) {
            return Open(format!("{} takes whole rows of {table}", body.by));
        }
        self.unless_dynamic(otherwise)
    }

    /// It holds, for the reason given, unless something puts SQL together while it runs.
    fn unless_dynamic(&self, why: &str) -> Answer {
        match self.dynamic() {
            Some(by) => Open(puts_together(by)),
            None => Holds(why.to_owned()),
        }
    }

    fn unnamed(&self, kind: Kind, name: &Name, after: &Catalog) -> Answer {
        let by_fate =
            |fate| self.queries.iter().find(move |query| query.fate() == fate && query.mentions(name));
        if let Some(query) = by_fate(Fate::Fails) {
            return Broken(format!("{} names it", query.id));
        }
        if let Some(query) = by_fate(Fate::Unusable) {
            return Open(format!("{} may name it, and does not plan even on the older schema", query.id));
        }
        // What still plans comes to something else by that name.
        let to_another = |query: &&Used| match kind {
            Kind::Function => query.facts.calls.contains(&bare(&name.object).to_lowercase()),
            _ => query.mentions(name) && is_replaced_by_less(after, name, query.facts.copies.is_some()),
        };
        if let Some(query) = self.queries.iter().filter(|query| query.fate() == Fate::Plans).find(to_another)
        {
            return Open(format!("{} comes to something else by that name now", query.id));
        }
        if let Some(by) = self.indirectly(&name.object) {
            return Open(format!("{by} may need it"));
        }
        self.unless_dynamic("no query names it")
    }

    fn untouched(&self, column: &Name, after: &Catalog) -> Answer {
        let part = column.part.clone().unwrap_or_default();
        let table = column.parent();
        let named = |query: &&Used| {
            query.fate() != Fate::NoSchema && query.facts.mentions(&part) && query.mentions(column)
        };
        let mut naming = self.queries.iter().filter(named);
        if let Some(query) = naming.clone().find(|query| query.fate() == Fate::Fails || types_differ(query)) {
            return Broken(format!("{} uses it", query.id));
        }
        if let Some(query) = naming.next() {
            return Open(format!(
                "{} uses it and plans with the same types, but not every value may fit",
                query.id
            ));
        }
        for (query, write) in self.writes(&table) {
            let lists_none = write.columns.is_none() && write.kind != WriteKind::Delete;
            let fills = after.get(Kind::Column, column).is_some_and(|column| column.has(Fact::Default));
            if lists_none || fills && write.kind == WriteKind::Insert {
                return Open(format!("{} may write it", query.id));
            }
        }
        if let Some(by) = self.written_indirectly(&table) {
            return Open(format!("{by} may write it"));
        }
        self.column_unnamed(column)
    }

    /// Only sqlx's files say what the program takes for granted; of others nothing is added.
    fn nulls_read(&self, column: &Name) -> Answer {
        let part = column.part.clone().unwrap_or_default();
        let trusts = |query: &&Used| query.mentions(column) && query.never_null.contains(&part);
        match self.queries.iter().find(trusts) {
            Some(query) => Open(format!("{} reads it and cannot take NULL", query.id)),
            None => Holds("no query is known to read it that cannot take NULL".to_owned()),
        }
    }

    fn unwritten(&self, table: &Name) -> Answer {
        if let Some((query, _)) = self.writes(table).next() {
            return Open(format!("{} writes {table}", query.id));
        }
        self.unwritten_indirectly(table)
    }

    fn unwritten_indirectly(&self, table: &Name) -> Answer {
        match (self.written_indirectly(table), self.dynamic()) {
            (Some(by), _) => Open(format!("{by} may write {table}")),
            (None, Some(by)) => Open(puts_together(by)),
            (None, None) => Holds(format!("no query writes {table}")),
        }
    }

    fn unrestricted(
        &self,
        table: &Name,
        (columns, looks_at): (&[String], &[String]),
        fills: Fills,
        after: &Catalog,
    ) -> Answer {
        let hidden = has_triggers(after, table);
        let mut spared = false;
        for (query, write) in self.writes(table) {
            let leaves_out = |of: &[String]| {
                let listed = write.columns.as_ref();
                !hidden
                    && !of.is_empty()
                    && listed.is_some_and(|listed| of.iter().all(|one| !listed.contains(&one.to_lowercase())))
            };
            let computed = || looks_at.iter().any(|column| is_generated(after, table, column));
            let answer = match write.kind {
                WriteKind::Delete | WriteKind::Truncate => Holds(String::new()),
                WriteKind::Update if leaves_out(looks_at) && !computed() => Holds(String::new()),
                WriteKind::Insert if leaves_out(columns) => match fills {
                    Fills::Passes => Holds(String::new()),
                    Fills::Fails => Broken(format!("{} leaves it out", query.id)),
                    Fills::Unknown => Open(format!("{} leaves it to its default", query.id)),
                },
                _ => Open(format!("{} writes {table}", query.id)),
            };
            if !matches!(answer, Holds(_)) {
                return answer;
            }
            spared = true;
        }
        match self.unwritten_indirectly(table) {
            Holds(_) if spared => Holds("no query writes these columns".to_owned()),
            other => other,
        }
    }

    fn given(&self, column: &Name, is_new: bool, after: &Catalog) -> Answer {
        let part = column.part.clone().unwrap_or_default().to_lowercase();
        let table = column.parent();
        let hidden = has_triggers(after, &table);
        for (query, write) in self.writes(&table) {
            let adds = matches!(write.kind, WriteKind::Insert | WriteKind::CopyFrom | WriteKind::Merge);
            let names_it = write.columns.as_ref().map(|columns| columns.contains(&part));
            match (adds, is_new, names_it) {
                (true, ..) if hidden || write.kind == WriteKind::Merge => {
                    return Open(format!("{} inserts into {table}", query.id));
                }
                (true, true, _) | (true, false, Some(false)) => {
                    return Broken(format!("{} does not give it", query.id));
                }
                (true, false, None) => return Open(format!("{} names no columns", query.id)),
                (true, false, Some(true)) if query.facts.mentions("default") => {
                    return Open(format!("{} may leave it to its default", query.id));
                }
                // `SET column = DEFAULT`.
                (false, false, None | Some(true))
                    if write.kind == WriteKind::Update && query.facts.mentions("default") =>
                {
                    return Open(format!("{} may set it to its default", query.id));
                }
                (false, ..) | (true, false, Some(true)) => {}
            }
        }
        match self.unwritten_indirectly(&table) {
            Holds(_) => Holds(format!("no query inserts into {table} without it")),
            other => other,
        }
    }

    fn keys_kept(
        &self,
        table: &Name,
        keys: &[String],
        (deletes, updates): (bool, bool),
        after: &Catalog,
    ) -> Answer {
        // Where a row gets its keys from, beside the query that writes it.
        let set_otherwise =
            keys.iter().any(|key| is_generated(after, table, key)) || set_by_trigger(after, table, keys);
        for (query, write) in self.writes(table) {
            let says = |word| query.facts.mentions(word);
            let (takes_away, changes_keys) = match write.kind {
                // Without deferring, a TRUNCATE is refused whatever the foreign key says.
                WriteKind::Truncate => (true, false),
                WriteKind::Delete => (deletes, false),
                WriteKind::Merge => (deletes && says("delete"), updates && says("update")),
                WriteKind::Update => {
                    let listed = write.columns.as_ref().filter(|_| !keys.is_empty() && !set_otherwise);
                    (false, updates && listed.is_none_or(|set| set.iter().any(|one| keys.contains(one))))
                }
                WriteKind::Insert | WriteKind::CopyFrom => (false, false),
            };
            if takes_away {
                return Open(format!("{} takes rows of {table} away that may be pointed at", query.id));
            }
            if changes_keys {
                return Open(format!("{} may change keys of {table} that are pointed at", query.id));
            }
        }
        let kept = || Holds(format!("no query takes away what is pointed at in {table}"));
        if self.written_beyond_keys(table) {
            return self.unwritten_indirectly(table);
        }
        // What foreign keys of the table do to it when rows are written that they point at.
        for constraint in Table::of(after, table).objects() {
            let Some(key) = ForeignKey::of(constraint) else { continue };
            let of_keys = |column: &String| set_otherwise || keys.contains(&column.to_lowercase());
            let changes_keys = key.changes().iter().any(|column| keys.is_empty() || of_keys(column));
            if self.written_indirectly(table).is_some()
                && (deletes && key.takes_away() || updates && changes_keys)
            {
                return Open(format!("constraint {} may write {table}", constraint.name));
            }
        }
        self.dynamic().map_or_else(kept, |by| Open(puts_together(by)))
    }

    fn default_unused(&self, column: &Name, doubted: bool, after: &Catalog) -> Answer {
        let part = column.part.clone().unwrap_or_default();
        let table = column.parent();
        if !doubted && !is_constrained(after, column) {
            return Holds("whatever the default, the column takes it".to_owned());
        }
        for (query, write) in self.writes(&table) {
            let adds = matches!(write.kind, WriteKind::Insert | WriteKind::CopyFrom | WriteKind::Merge);
            let given = write.columns.as_ref().is_some_and(|columns| columns.contains(&part.to_lowercase()));
            let says_default = query.facts.mentions("default");
            let sets = write.kind == WriteKind::Update && (given || write.columns.is_none());
            if adds && (!given || says_default) || sets && says_default {
                return Open(format!("{} leaves it to its default, and something may refuse that", query.id));
            }
        }
        match self.unwritten_indirectly(&table) {
            Holds(_) => Holds("no query leaves it to its default".to_owned()),
            other => other,
        }
    }

    fn only_added(&self, table: &Name) -> Answer {
        let adds = |kind| matches!(kind, WriteKind::Insert | WriteKind::CopyFrom | WriteKind::Truncate);
        match self.writes(table).find(|(_, write)| !adds(write.kind)) {
            Some((query, _)) => Open(format!("{} changes or deletes rows of {table}", query.id)),
            None => self.unwritten_indirectly(table),
        }
    }

    fn conflict_targets_plan(&self, table: &Name) -> Answer {
        let says = |query: &&Used| query.facts.mentions("conflict") && query.mentions(table);
        for query in self.queries.iter().filter(says) {
            match query.fate() {
                Fate::Fails => return Broken(format!("{} does", query.id)),
                Fate::Unusable => {
                    return Open(format!("{} may, and does not plan even on the older schema", query.id));
                }
                Fate::Plans | Fate::NoSchema => {}
            }
        }
        // A body may also group by a key alone, and take other columns with it.
        if (self.indirectly("conflict").is_some() || self.indirectly("group").is_some())
            && let Some(by) = self.indirectly(&table.object)
        {
            return Open(format!("{by} may"));
        }
        self.unless_dynamic("every ON CONFLICT of its queries finds its target")
    }

    fn all_plan(&self) -> Answer {
        let not_planned =
            self.queries.iter().find(|query| matches!(query.fate(), Fate::Fails | Fate::Unusable));
        match (
            not_planned,
            self.dynamic(),
            self.reach.writes.values().chain(self.reach.reads.values()).next(),
        ) {
            (Some(query), ..) => Open(format!("{} does not plan", query.id)),
            (None, Some(by), _) => Open(puts_together(by)),
            (None, None, Some(by)) => Open(format!("{by} runs too, and was not planned")),
            (None, None, None) => Holds("every query plans without it".to_owned()),
        }
    }

    fn privileges(&self, kind: Kind, name: &Name) -> Answer {
        let part = name.part.as_deref().unwrap_or(&name.object);
        // Whoever comes to anything in a schema comes to the schema.
        let by_schema =
            kind == Kind::Schema && self.queries.iter().any(|query| query.fate() != Fate::NoSchema);
        if self.reached_by(part).is_none() && self.dynamic().is_none() && !by_schema {
            return Holds("no query comes to it".to_owned());
        }
        let seen_by_planning = !matches!(kind, Kind::Sequence | Kind::Function | Kind::Domain | Kind::Enum);
        match &self.role {
            Some(role) if seen_by_planning && self.indirectly(part).is_none() && self.dynamic().is_none() => {
                Holds(format!("every query that comes to it plans with the rights of {role}"))
            }
            Some(role) => Open(format!("planning as {role} does not show whether it may still use it")),
            None => Open("it is not known as which role the older release connects".to_owned()),
        }
    }
}

fn puts_together(by: &str) -> String {
    format!("{by} puts SQL together while it runs, or cannot be read")
}

fn types_differ(query: &Used) -> bool {
    query.fate() == Fate::Plans && !query.difference().is_harmless()
}
