//! What foreign keys do to those who take away the rows that they point at, or give these other keys.

use std::collections::BTreeSet;

use super::table::Table;
use crate::schema::{Catalog, Fact, Kind, Name, Object};
use crate::sql::{ObjectName, words_of};

/// What happens to rows that are pointed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::verdict) enum Event {
    Delete,
    Update,
}

/// What a foreign key does then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Refuses,
    Cascades,
    SetsNull,
    SetsDefault,
}

/// A foreign key, read from how a catalog prints it.
#[derive(Debug, Clone)]
pub(in crate::verdict) struct ForeignKey {
    /// Whose it is.
    table: Name,
    columns: Vec<String>,
    /// Where it points; without a schema if the catalog does not say which.
    pub target: Name,
    /// In lower case; none where it does not say, which means the primary key.
    pub keys: Vec<String>,
    on_delete: Action,
    on_update: Action,
    match_full: bool,
}

impl ForeignKey {
    /// None if the object is no foreign key.
    pub fn of(constraint: &Object) -> Option<ForeignKey> {
        if constraint.kind != Kind::Constraint || constraint.fact(Fact::Sort) != Some("f") {
            return None;
        }
        let definition = constraint.fact(Fact::Definition)?;
        let (own, rest) = definition.split_once(" REFERENCES ")?;
        let (target, rest) = rest.split_once('(').unwrap_or((rest, ""));
        let (keys, actions) = rest.split_once(')').unwrap_or((rest, ""));
        let target = ObjectName::parse(target.trim()).map_or_else(
            || Name::global(target.trim()),
            |name| Name::of(name.schema.unwrap_or_default(), name.name),
        );
        Some(ForeignKey {
            table: constraint.name.parent(),
            columns: names(own.split_once('(').map_or("", |(_, columns)| columns)),
            target,
            keys: names(keys).into_iter().map(|key| key.to_lowercase()).collect(),
            on_delete: action(actions, "ON DELETE "),
            on_update: action(actions, "ON UPDATE "),
            match_full: actions.contains("MATCH FULL"),
        })
    }

    /// Does it act on its own rows, rather than refuse?
    pub fn acts(&self) -> bool {
        [self.on_delete, self.on_update].iter().any(|action| *action != Action::Refuses)
    }

    /// Does it take rows of its own table away?
    pub fn takes_away(&self) -> bool {
        self.on_delete == Action::Cascades
    }

    /// The columns of its own table that it may change.
    pub fn changes(&self) -> &[String] {
        let sets = |action| matches!(action, Action::SetsNull | Action::SetsDefault);
        let changes = sets(self.on_delete) || self.on_update != Action::Refuses;
        if changes { &self.columns } else { &[] }
    }

    /// Does it point at this table?
    pub fn points_at(&self, table: &Name) -> bool {
        let schema = &self.target.schema;
        self.target.object == table.object && (schema.is_empty() || *schema == table.schema)
    }

    /// May it, or what its action sets off, refuse that this happens to a row that it points at?
    pub fn may_refuse(&self, event: Event, catalog: &Catalog) -> bool {
        self.refuses(event, catalog, &mut BTreeSet::new())
    }

    fn refuses(&self, event: Event, catalog: &Catalog, seen: &mut BTreeSet<(Name, Event)>) -> bool {
        let action = match event {
            Event::Delete => self.on_delete,
            Event::Update => self.on_update,
        };
        let table = Table::of(catalog, &self.table);
        match (action, event) {
            (Action::Refuses | Action::SetsDefault, _) => true,
            (Action::Cascades, Event::Delete) => {
                table.has_trigger("DELETE") || self.others_refuse(Event::Delete, catalog, seen)
            }
            (Action::Cascades, Event::Update) => {
                let of_another_type = !self.types_are_those_of(catalog);
                let elsewhere = table.objects().filter_map(|object| ForeignKey::of(object)).any(|other| {
                    other.target != self.target && other.columns.iter().any(|one| self.columns.contains(one))
                });
                of_another_type || elsewhere || self.row_refuses(&table, catalog, seen)
            }
            (Action::SetsNull, _) => {
                let takes_null = |column: &String| {
                    let column = table.column(column);
                    column
                        .is_some_and(|column| !column.has(Fact::NotNull) && table.domain_of(column).is_none())
                };
                self.match_full
                    || !self.columns.iter().all(takes_null)
                    || self.row_refuses(&table, catalog, seen)
            }
        }
    }

    /// May something refuse that the columns of this key change in its own table?
    fn row_refuses(&self, table: &Table, catalog: &Catalog, seen: &mut BTreeSet<(Name, Event)>) -> bool {
        let looks = |text: Option<&str>| {
            text.is_some_and(|text| {
                let words = words_of(text);
                self.columns.iter().any(|column| words.contains(&column.to_lowercase()))
            })
        };
        let limits = table.objects().any(|object| match object.kind {
            Kind::Constraint => match object.fact(Fact::Sort) {
                // One that lists no columns looks at whole rows.
                Some("c") => !object.has(Fact::Columns) || looks(object.fact(Fact::Columns)),
                Some("f") => false,
                Some("p" | "u") => {
                    object.fact(Fact::Definition).is_some_and(|text| text.contains("NULLS NOT DISTINCT"))
                        && looks(object.fact(Fact::Columns))
                }
                _ => looks(object.fact(Fact::Definition)),
            },
            Kind::Index => {
                let definition = object.fact(Fact::Definition);
                let is_plain = definition
                    .is_some_and(|text| !text.contains(" WHERE ") && !text.contains("NULLS NOT DISTINCT"))
                    && object.fact(Fact::Columns).is_some_and(|columns| !columns.contains('('));
                !is_plain && looks(definition)
            }
            Kind::Column => looks(object.fact(Fact::Generated)),
            Kind::Table | Kind::ForeignTable => looks(object.fact(Fact::PartitionKey)),
            _ => false,
        });
        limits || table.has_trigger("UPDATE") || self.others_refuse(Event::Update, catalog, seen)
    }

    /// Do keys that point at this one's table refuse it?
    fn others_refuse(&self, event: Event, catalog: &Catalog, seen: &mut BTreeSet<(Name, Event)>) -> bool {
        if !seen.insert((self.table.clone(), event)) {
            return false;
        }
        catalog.objects().filter_map(|object| ForeignKey::of(object)).any(|other| {
            let is_concerned = event == Event::Delete
                || other.keys.is_empty()
                || self.columns.iter().any(|column| other.keys.contains(&column.to_lowercase()));
            other.points_at(&self.table) && is_concerned && other.refuses(event, catalog, seen)
        })
    }

    fn types_are_those_of(&self, catalog: &Catalog) -> bool {
        let target = catalog.objects().find(|object| {
            matches!(object.kind, Kind::Table | Kind::ForeignTable) && self.points_at(&object.name)
        });
        let Some(target) = target else { return false };
        let (own, target) = (Table::of(catalog, &self.table), Table::of(catalog, &target.name));
        let of_type = |table: &Table, column: &str| {
            table.column(column).and_then(|column| column.fact(Fact::Type)).map(str::to_owned)
        };
        self.keys.len() == self.columns.len()
            && self.columns.iter().zip(&self.keys).all(|(own_column, key)| {
                let own = of_type(&own, own_column);
                own.is_some() && own == of_type(&target, key)
            })
    }
}

/// The names of a list in brackets, up to its end.
fn names(list: &str) -> Vec<String> {
    let list = list.split(')').next().unwrap_or_default();
    let names = list.split(',').map(|name| name.trim().trim_matches('"').to_owned());
    names.filter(|name| !name.is_empty()).collect()
}

fn action(actions: &str, event: &str) -> Action {
    let Some((_, rest)) = actions.split_once(event) else { return Action::Refuses };
    if rest.starts_with("CASCADE") {
        Action::Cascades
    } else if rest.starts_with("SET NULL") {
        Action::SetsNull
    } else if rest.starts_with("SET DEFAULT") {
        Action::SetsDefault
    } else {
        Action::Refuses
    }
}

#[cfg(test)]
mod tests;
