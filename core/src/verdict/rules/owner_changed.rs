//! An existing object was given to another owner.

use super::{Finding, Need, Rule, Subject};
use crate::schema::{Kind, Object};

pub(super) const RULE: Rule = Rule {
    id: "owner-changed",
    title: "An existing object was given to another owner",
    page: include_str!("../../../../docs/rules/owner-changed.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let given = subject.facts.statements.iter().filter(|statement| statement.changes_owner);
    given
        .flat_map(|statement| statement.objects.iter().map(move |object| (statement.line, &object.name)))
        .filter_map(|(line, name)| {
            let is_it = |object: &&std::sync::Arc<Object>| {
                let kinds = [&Kind::RELATIONS[..], &[Kind::Function, Kind::Sequence, Kind::Schema]].concat();
                kinds.contains(&object.kind)
                    && object.name.object.split('(').next() == Some(name.name.as_str())
                    && name.schema.as_ref().is_none_or(|schema| *schema == object.name.schema)
            };
            let object = subject.before.objects().find(is_it)?;
            let text = format!("line {line} gives {} to another owner: may the older release still use it?", object.name);
            let need = Need::Privileges { kind: object.kind, name: object.name.clone() };
            Some(Finding::unknown(text).needing(need))
        })
        .collect()
}
