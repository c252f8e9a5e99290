//! What has to hold for a change to leave the older release alone, and whether its queries say that it holds.

use super::reach::Reach;
use super::{Fate, Used, Uses, bare};
use crate::schema::{Catalog, Fact, Kind, Name, Object};
use crate::sql::WriteKind;

/// What has to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::verdict) enum Need {
    /// No query names this object, which is gone.
    Unnamed { kind: Kind, name: Name },
    /// No query uses this column, whose type changed.
    Untouched { column: Name },
    /// No query, and nothing that one sets off, comes to this.
    Unreached { word: String, what: String },
    /// No query writes the table.
    Unwritten { table: Name },
    /// No query gives these columns a value that it did not pass for before. `fills` says what a row gets that
    /// does not name them.
    Unrestricted { table: Name, columns: Vec<String>, fills: Fills },
    /// Every INSERT names the column, which does not fill itself.
    Given { column: Name, is_new: bool },
    /// No query deletes or changes what others may point at now.
    KeysKept { table: String, definition: String },
    /// No INSERT leaves the column to its default.
    DefaultUnused { column: Name },
    /// Every ON CONFLICT on the table still finds what makes its rows unique.
    ConflictTargetsPlan { table: Name },
    /// No query takes the column, which takes NULL now, to hold none.
    NullsRead { column: Name },
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
            Need::Unnamed { name, .. } => self.unnamed(name),
            Need::Untouched { column } => self.untouched(column, after),
            Need::Unreached { word, what } => match (self.reached_by(word), self.dynamic()) {
                (Some(by), _) => Open(format!("{by} comes to {what}")),
                (None, Some(by)) => Open(puts_together(by)),
                (None, None) => Holds(format!("no query comes to {what}")),
            },
            Need::Unwritten { table } => self.unwritten(table),
            Need::Unrestricted { table, columns, fills } => self.unrestricted(table, columns, *fills, after),
            Need::Given { column, is_new } => self.given(column, *is_new, after),
            Need::KeysKept { table, definition } => self.keys_kept(table, definition),
            Need::DefaultUnused { column } => self.default_unused(column, after),
            Need::ConflictTargetsPlan { table } => self.conflict_targets_plan(table),
            Need::NullsRead { column } => self.nulls_read(column),
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
        if self.reached_by(&column.object).is_some()
            && let Some(by) = self.indirectly(&part)
        {
            return Open(format!("{by} may name it"));
        }
        self.unless_dynamic("no query names it")
    }

    /// It holds, for the reason given, unless something puts SQL together while it runs.
    fn unless_dynamic(&self, why: &str) -> Answer {
        match self.dynamic() {
            Some(by) => Open(puts_together(by)),
            None => Holds(why.to_owned()),
        }
    }

    fn unnamed(&self, name: &Name) -> Answer {
        let by_fate =
            |fate| self.queries.iter().find(move |query| query.fate() == fate && query.mentions(name));
        if let Some(query) = by_fate(Fate::Fails) {
            return Broken(format!("{} names it", query.id));
        }
        if let Some(query) = by_fate(Fate::Unusable) {
            return Open(format!("{} may name it, and does not plan even on the older schema", query.id));
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

    fn unrestricted(&self, table: &Name, columns: &[String], fills: Fills, after: &Catalog) -> Answer {
        let hidden = has_triggers(after, table);
        let mut spared = false;
        for (query, write) in self.writes(table) {
            let listed = write
                .columns
                .as_ref()
                .map(|listed| columns.iter().any(|column| listed.contains(&column.to_lowercase())));
            let computed = || columns.iter().any(|column| is_generated(after, table, column));
            let answer = match (write.kind, listed) {
                (WriteKind::Delete | WriteKind::Truncate, _) => Holds(String::new()),
                (WriteKind::Update, Some(false)) if !hidden && !computed() && !columns.is_empty() => {
                    Holds(String::new())
                }
                (WriteKind::Insert, Some(false)) if !hidden && !columns.is_empty() => match fills {
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
                (false, ..) | (true, false, Some(true)) => {}
            }
        }
        match self.unwritten_indirectly(&table) {
            Holds(_) => Holds(format!("no query inserts into {table} without it")),
            other => other,
        }
    }

    fn keys_kept(&self, table: &str, definition: &str) -> Answer {
        let (_, actions) = super::reach::foreign_key(definition);
        let keys = actions.split(')').next().unwrap_or_default();
        let keys: Vec<String> =
            keys.split(',').map(|key| key.trim().trim_matches('"').to_lowercase()).collect();
        let name = Name { schema: String::new(), object: table.to_owned(), part: None };
        for (query, write) in self.writes(&name) {
            let stops = match write.kind {
                // Without deferring, a TRUNCATE is refused whatever the foreign key says.
                WriteKind::Truncate => true,
                kind if Reach::takes_away(kind) => !actions.contains("ON DELETE CASCADE"),
                WriteKind::Update => {
                    let listed = write.columns.as_ref();
                    let touches = listed.is_none_or(|set| set.iter().any(|column| keys.contains(column)));
                    touches && !actions.contains("ON UPDATE CASCADE")
                }
                _ => false,
            };
            if stops {
                return Open(format!("{} takes rows of {table} away that may be pointed at", query.id));
            }
        }
        match self.unwritten_indirectly(&name) {
            Holds(_) => Holds(format!("no query takes rows of {table} away")),
            other => other,
        }
    }

    fn default_unused(&self, column: &Name, after: &Catalog) -> Answer {
        let part = column.part.clone().unwrap_or_default();
        let table = column.parent();
        if !is_constrained(after, column) {
            return Holds("whatever the default, the column takes it".to_owned());
        }
        for (query, write) in self.writes(&table) {
            let adds = matches!(write.kind, WriteKind::Insert | WriteKind::CopyFrom | WriteKind::Merge);
            let given = write.columns.as_ref().is_some_and(|columns| columns.contains(&part.to_lowercase()));
            if adds && (!given || query.facts.mentions("default")) {
                return Open(format!(
                    "{} leaves it to its default, and a constraint may refuse that",
                    query.id
                ));
            }
        }
        match self.unwritten_indirectly(&table) {
            Holds(_) => Holds("no query leaves it to its default".to_owned()),
            other => other,
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
        if self.indirectly("conflict").is_some()
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
        if self.reached_by(part).is_none() && self.dynamic().is_none() {
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

fn has_triggers(catalog: &Catalog, table: &Name) -> bool {
    catalog
        .objects()
        .any(|object| matches!(object.kind, Kind::Trigger | Kind::Rule) && object.name.parent() == *table)
}

fn column_of<'a>(catalog: &'a Catalog, table: &Name, column: &str) -> Option<&'a Object> {
    let name = Name { part: Some(column.trim_matches('"').to_owned()), ..table.clone() };
    catalog.get(Kind::Column, &name).map(|object| &**object)
}

fn is_generated(catalog: &Catalog, table: &Name, column: &str) -> bool {
    column_of(catalog, table, column).is_none_or(|column| column.has(Fact::Generated))
}

/// May something refuse a value of this column?
fn is_constrained(catalog: &Catalog, column: &Name) -> bool {
    let part = column.part.as_deref().unwrap_or_default();
    let table = column.parent();
    let of_domain =
        column_of(catalog, &table, part).and_then(|column| column.fact(Fact::Type)).is_some_and(|of_type| {
            catalog
                .objects()
                .any(|object| object.kind == Kind::Domain && of_type.contains(bare(&object.name.object)))
        });
    of_domain
        || catalog.objects().any(|object| {
            let limits = object.kind == Kind::Constraint
                || object.kind == Kind::Trigger
                || object.kind == Kind::Index && object.has(Fact::Unique);
            limits
                && object.name.parent() == table
                && object.fact(Fact::Columns).is_none_or(|columns| {
                    columns.split(", ").any(|one| one.trim_matches('"') == part || one.starts_with('('))
                })
        })
}
