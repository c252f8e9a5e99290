//! A new function may be called in place of another.

use super::{Finding, Rule, Subject};
use crate::schema::{Fact, Kind};

pub(super) const RULE: Rule = Rule {
    id: "function-overloaded",
    title: "A new function may be called in place of another",
    page: include_str!("../../../../docs/rules/function-overloaded.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    subject
        .added(&[Kind::Function])
        .filter(|function| !matches!(function.fact(Fact::Type), Some("trigger" | "event_trigger")))
        .filter_map(|function| {
            let name = bare(&function.name.object);
            let had_namesake = || subject.before.objects().any(|other| {
                other.kind == Kind::Function && bare(&other.name.object) == name
            });
            let by = match subject.uses {
                None => had_namesake().then(|| "the older release".to_owned())?,
                Some(uses) => {
                    let calls = uses.queries().find(|query| query.facts.calls.contains(&name.to_lowercase()));
                    calls.map(|query| query.id.clone()).or_else(|| uses.indirectly(name).map(str::to_owned))?
                }
            };
            let text = format!("{by} may call the new function {}, or not know which of two it means", function.name);
            Some(Finding::unknown(text))
        })
        .collect()
}

/// Without the arguments.
fn bare(object: &str) -> &str {
    object.split('(').next().unwrap_or(object)
}
