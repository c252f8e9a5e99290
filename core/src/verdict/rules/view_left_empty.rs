//! A materialized view is left without rows.

use super::{Finding, Need, Rule, Subject};
use crate::schema::Kind;
use crate::sql::ObjectName;

pub(super) const RULE: Rule = Rule {
    id: "view-left-empty",
    title: "A materialized view is left without rows",
    page: include_str!("../../../../docs/rules/view-left-empty.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let fills: Vec<_> =
        subject.facts.statements.iter().filter_map(|statement| Some((statement.line, statement.fills_view.as_ref()?))).collect();
    let views = subject.before.objects().filter(|object| object.kind == Kind::MaterializedView);
    views
        .filter_map(|view| {
            let of_it = |(_, (name, _)): &&(u32, &(ObjectName, bool))| {
                name.name == view.name.object && name.schema.as_ref().is_none_or(|schema| *schema == view.name.schema)
            };
            // Whatever comes last counts.
            let (line, (_, holds_rows)) = fills.iter().rev().find(of_it)?;
            let text = format!("line {line} leaves {} without rows: reading it fails until it is refreshed", view.name);
            let need = Need::Unreached { word: view.name.object.clone(), what: "it".to_owned() };
            (!holds_rows).then(|| Finding::unknown(text).needing(need))
        })
        .collect()
}
