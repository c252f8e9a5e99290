//! What to ask the live rows, from what a step changes in the catalog.

use std::collections::BTreeMap;

use unship_core::schema::{Address, Catalog, Change, Fact, Kind, Name, Object, What, diff};
use unship_core::sql::ObjectName;
use unship_core::sql::quote;

use super::Ask;
use super::printed::{expression, group, names, parts};
use crate::database::postgres::live::name::quoted;
use crate::ports::DatabaseFailure;

/// Two readings of one database, and how to call in the live one, which is as `before`, what `after` names.
struct Readings<'a> {
    before: &'a Catalog,
    after: &'a Catalog,
    /// The tables and columns of `before`.
    were: BTreeMap<Address, &'a Object>,
}

/// The questions, one for each thing that could be in the way.
pub fn asks(before: &Catalog, after: &Catalog) -> Result<Vec<Ask>, DatabaseFailure> {
    let is_place = |object: &&Object| matches!(object.kind, Kind::Table | Kind::Column);
    let objects = before.objects().map(|object| &**object).filter(is_place);
    let were = objects.map(|object| (object.address, object)).collect();
    let readings = Readings { before, after, were };
    let mut asks = Vec::new();
    for change in diff(before, after) {
        asks.extend(readings.of_change(&change)?);
    }
    asks.extend(readings.of_enums()?);
    Ok(asks)
}

impl Readings<'_> {
    /// The object of `before` that `object` of `after` is.
    fn was(&self, object: &Object) -> Option<&Object> {
        self.were.get(&object.address).copied().filter(|was| was.kind == object.kind)
    }

    /// The live table that a part of `after` belongs to.
    fn table(&self, part: &Name) -> Option<ObjectName> {
        let table = self.after.get(Kind::Table, &part.parent())?;
        self.was(table).map(|was| object_name(&was.name))
    }

    /// A live column, by the name that it has in `after`.
    fn column(&self, table: &Name, column: &str) -> Option<String> {
        let name = Name::part(&table.schema, &table.object, column);
        let was = self.was(self.after.get(Kind::Column, &name)?)?;
        was.name.part.clone()
    }

    fn of_change(&self, change: &Change) -> Result<Option<Ask>, DatabaseFailure> {
        let Some(now) = change.now() else { return Ok(None) };
        let Some(table) = self.table(&now.name) else { return Ok(None) };
        match (&change.what, now.kind) {
            (What::Added { .. }, Kind::Column) if now.is_required_column() => required(&table, now).map(Some),
            (What::Altered { fact: Fact::NotNull, .. }, Kind::Column) if now.has(Fact::NotNull) => {
                self.nulls(&table, now)
            }
            (What::Altered { was, fact: Fact::Type, .. }, Kind::Column) => narrowed(&table, was, now),
            (What::Added { .. } | What::Altered { fact: Fact::Definition, .. }, Kind::Constraint) => {
                self.of_constraint(&table, now)
            }
            (
                What::Added { .. } | What::Altered { fact: Fact::Definition | Fact::Unique, .. },
                Kind::Index,
            ) if now.has(Fact::Unique) => self.of_index(&table, now),
            _ => Ok(None),
        }
    }

    fn nulls(&self, table: &ObjectName, now: &Object) -> Result<Option<Ask>, DatabaseFailure> {
        let Some(column) = now.name.part.as_ref().and_then(|part| self.column(&now.name, part)) else {
            return Ok(None);
        };
        let sql =
            format!("SELECT count(*) FROM {} WHERE {} IS NULL", quoted(table)?, quote::identifier(&column)?);
        Ok(Some(ask(sql, format!("{{}} of {table} with NULL in {column}, which becomes NOT NULL"))))
    }

    fn of_constraint(&self, table: &ObjectName, now: &Object) -> Result<Option<Ask>, DatabaseFailure> {
        let definition = now.fact(Fact::Definition).unwrap_or_default();
        if definition.ends_with("NOT VALID") {
            return Ok(None);
        }
        let name = now.name.part.as_deref().unwrap_or_default();
        match now.fact(Fact::Sort) {
            Some("c") => {
                let Some((check, _)) = definition.strip_prefix("CHECK ").and_then(group) else {
                    return Ok(None);
                };
                let sql = format!("SELECT count(*) FROM {} WHERE NOT ({check})", quoted(table)?);
                Ok(Some(ask(sql, format!("{{}} of {table} that the constraint {name} would not take"))))
            }
            Some("p" | "u") => {
                let Some(columns) = now.fact(Fact::Columns).and_then(names) else { return Ok(None) };
                let columns: Option<Vec<String>> =
                    columns.iter().map(|column| self.column(&now.name, column)).collect();
                let Some(columns) = columns else { return Ok(None) };
                let keys =
                    columns.iter().map(|column| quote::identifier(column)).collect::<Result<Vec<_>, _>>()?;
                let is_distinct = !definition.contains("NULLS NOT DISTINCT");
                duplicates(table, &keys, is_distinct, None, name).map(Some)
            }
            Some("f") => self.orphans(table, now, definition),
            _ => Ok(None),
        }
    }

    fn orphans(
        &self,
        table: &ObjectName,
        now: &Object,
        definition: &str,
    ) -> Result<Option<Ask>, DatabaseFailure> {
        let Some(asked) =
            definition.strip_prefix("FOREIGN KEY ").and_then(group).and_then(|(columns, rest)| {
                let rest = rest.strip_prefix(" REFERENCES ")?;
                // The first bracket that is in no quotes opens the other columns.
                let open = (0..rest.len())
                    .find(|at| rest[*at..].starts_with('(') && rest[..*at].matches('"').count() % 2 == 0)?;
                let other = ObjectName::parse(&rest[..open])?;
                let (others, _) = group(&rest[open..])?;
                Some((names(columns)?, other, names(others)?))
            })
        else {
            return Ok(None);
        };
        let (columns, other, others) = asked;
        let other_name = Name::of(other.schema.clone().unwrap_or_default(), &other.name);
        let Some(other) = self.table(&other_name) else { return Ok(None) };
        let mut matches = Vec::new();
        let mut given = Vec::new();
        for (column, its) in columns.iter().zip(&others) {
            let (Some(column), Some(its)) = (self.column(&now.name, column), self.column(&other_name, its))
            else {
                return Ok(None);
            };
            let (column, its) = (quote::identifier(&column)?, quote::identifier(&its)?);
            matches.push(format!("o.{its} = t.{column}"));
            given.push(format!("t.{column} IS NOT NULL"));
        }
        let sql = format!(
            "SELECT count(*) FROM {} t WHERE {} AND NOT EXISTS (SELECT FROM {} o WHERE {})",
            quoted(table)?,
            given.join(" AND "),
            quoted(&other)?,
            matches.join(" AND ")
        );
        let name = now.name.part.as_deref().unwrap_or_default();
        Ok(Some(ask(
            sql,
            format!("{{}} of {table} without the row in {other} that the constraint {name} wants"),
        )))
    }

    fn of_index(&self, table: &ObjectName, now: &Object) -> Result<Option<Ask>, DatabaseFailure> {
        let definition = now.fact(Fact::Definition).unwrap_or_default();
        let Some((elements, rest)) = definition.split_once(" USING btree ").and_then(|(_, rest)| group(rest))
        else {
            return Ok(None);
        };
        let Some(found) = parts(elements).into_iter().map(expression).collect::<Option<Vec<_>>>() else {
            return Ok(None);
        };
        let mut keys = Vec::new();
        for key in found {
            // A plain column may have had another name; in an expression names are as they are.
            let column = ObjectName::parse(key).and_then(|name| self.column(&now.name, &name.name));
            keys.push(match column {
                Some(column) => quote::identifier(&column)?,
                None => key.to_owned(),
            });
        }
        let filter = rest.split_once(" WHERE ").map(|(_, filter)| filter);
        let name = now.name.part.as_deref().unwrap_or_default();
        duplicates(table, &keys, !rest.contains("NULLS NOT DISTINCT"), filter, name).map(Some)
    }

    /// Values of columns whose enum is made anew without them.
    fn of_enums(&self) -> Result<Vec<Ask>, DatabaseFailure> {
        let mut asks = Vec::new();
        for now in self.after.objects().filter(|object| object.kind == Kind::Column) {
            let (Some(was), Some(table)) = (self.was(now), self.table(&now.name)) else { continue };
            let (Some(to), from) = (of_enum(self.after, now), of_enum(self.before, was)) else { continue };
            // The same enum can only gain values and rename them, and rows go along.
            if from.is_some_and(|from| from.address == to.address) {
                continue;
            }
            let values: Vec<String> =
                to.fact(Fact::Values).unwrap_or_default().lines().map(str::to_owned).collect();
            let stays = |value: &str| values.iter().any(|other| other == value);
            if from.is_some_and(|from| from.fact(Fact::Values).unwrap_or_default().lines().all(stays)) {
                continue;
            }
            let column = was.name.part.as_deref().unwrap_or_default();
            let sql = format!(
                "SELECT count(*) FROM {} WHERE {}::text <> ALL ($1)",
                quoted(&table)?,
                quote::identifier(column)?
            );
            let words = format!("{{}} of {table} with a value in {column} that {} does not have", to.name);
            asks.push(Ask { sql, values: Some(values), words });
        }
        Ok(asks)
    }
}

/// The enum that a column is of.
fn of_enum<'a>(catalog: &'a Catalog, column: &Object) -> Option<&'a Object> {
    let name = ObjectName::parse(column.fact(Fact::Type)?)?;
    catalog.get(Kind::Enum, &Name::of(name.schema.unwrap_or_default(), name.name)).map(|object| &**object)
}

fn object_name(name: &Name) -> ObjectName {
    ObjectName { schema: Some(name.schema.clone()), name: name.object.clone() }
}

fn ask(sql: String, words: String) -> Ask {
    Ask { sql, values: None, words }
}

/// A new column that every row needs and none has.
fn required(table: &ObjectName, now: &Object) -> Result<Ask, DatabaseFailure> {
    let column = now.name.part.as_deref().unwrap_or_default();
    let sql = format!("SELECT count(*) FROM {}", quoted(table)?);
    Ok(ask(
        sql,
        format!("{{}} of {table} without a value for {column}, which comes as NOT NULL without a default"),
    ))
}

fn duplicates(
    table: &ObjectName,
    keys: &[String],
    nulls_are_distinct: bool,
    filter: Option<&str>,
    name: &str,
) -> Result<Ask, DatabaseFailure> {
    let mut conditions: Vec<String> = filter.map(|filter| format!("({filter})")).into_iter().collect();
    if nulls_are_distinct {
        conditions.extend(keys.iter().map(|key| format!("{key} IS NOT NULL")));
    }
    let filter =
        if conditions.is_empty() { String::new() } else { format!(" WHERE {}", conditions.join(" AND ")) };
    let sql = format!(
        "SELECT coalesce(sum(n), 0)::bigint FROM (SELECT count(*) AS n FROM {}{filter} GROUP BY {} HAVING count(*) > 1) d",
        quoted(table)?,
        // Numbers in GROUP BY are places; an expression is never one.
        keys.join(", ")
    );
    Ok(ask(sql, format!("{{}} of {table} alike in what {name} wants unique")))
}

/// Values that do not fit a type that holds less. What an expression makes of them is not known here.
fn narrowed(table: &ObjectName, was: &Object, now: &Object) -> Result<Option<Ask>, DatabaseFailure> {
    let (from, to) = (was.fact(Fact::Type).unwrap_or_default(), now.fact(Fact::Type).unwrap_or_default());
    let column = was.name.part.as_deref().unwrap_or_default();
    let value = quote::identifier(column)?;
    let is_number = |of: &str| {
        ["smallint", "integer", "bigint", "real", "double precision"].contains(&of)
            || of.starts_with("numeric")
    };
    let is_text = |of: &str| of == "text" || of.starts_with("character");
    let between = |min: i64, max: i64| format!("round({value}::numeric) NOT BETWEEN {min} AND {max}");
    let digits = r"'^\s*[-+]?[0-9]+\s*$'";
    let condition = match to {
        "smallint" if is_number(from) => between(i16::MIN.into(), i16::MAX.into()),
        "integer" if is_number(from) => between(i32::MIN.into(), i32::MAX.into()),
        "bigint" if is_number(from) => between(i64::MIN, i64::MAX),
        "smallint" | "integer" | "bigint" if is_text(from) => format!("{value}::text !~ {digits}"),
        _ => match (limits(to), to) {
            // Blanks at the end are cut off without a word.
            (Some((length, None)), to) if to.starts_with("character") => {
                format!("length(rtrim({value}::text, ' ')) > {length}")
            }
            (Some((precision, Some(scale))), to)
                if to.starts_with("numeric") && is_number(from) && scale <= precision =>
            {
                format!("abs(round({value}::numeric, {scale})) >= 10::numeric ^ {}", precision - scale)
            }
            _ => return Ok(None),
        },
    };
    let sql = format!("SELECT count(*) FROM {} WHERE {condition}", quoted(table)?);
    Ok(Some(ask(sql, format!("{{}} of {table} with a value in {column} that does not fit {to}"))))
}

/// The numbers of `character varying(20)` and `numeric(10,2)`.
fn limits(of: &str) -> Option<(u32, Option<u32>)> {
    let (inside, _) = group(of.get(of.find('(')?..)?)?;
    match parts(inside).as_slice() {
        [length] => Some((length.parse().ok()?, None)),
        [precision, scale] => Some((precision.parse().ok()?, Some(scale.parse().ok()?))),
        _ => None,
    }
}
