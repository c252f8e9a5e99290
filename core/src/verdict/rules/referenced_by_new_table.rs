//! A new table points at an existing one.

use super::{Finding, Need, Rule, Subject};
use crate::verdict::limits::keys_kept;

pub(super) const RULE: Rule = Rule {
    id: "referenced-by-new-table",
    title: "A new table points at an existing one",
    page: include_str!("../../../../docs/rules/referenced-by-new-table.md"),
    find,
};

fn find(subject: &Subject) -> Vec<Finding> {
    let truncates = subject.uses.is_some_and(|uses| uses.reached_by("truncate").is_some());
    subject
        .after
        .objects()
        .filter(|object| !subject.before.has_table(&object.name.parent()))
        .filter_map(|object| Some((object, keys_kept(subject.after, object)?)))
        .filter_map(|(object, need)| {
            let Need::KeysKept { table: target, keys, deletes, updates } = &need else { return None };
            if !subject.before.has_table(target) {
                return None;
            }
            let what = match (deletes, updates) {
                (true, true) => format!("deleting from {target} or changing its {}", words(keys)),
                (true, false) => format!("deleting from {target}"),
                (false, true) => format!("changing the {} of {target}", words(keys)),
                (false, false) if truncates => format!("truncating {target}"),
                (false, false) => return None,
            };
            let text = format!("rows of {} do not stop the older release from {what}", object.name.parent());
            Some(Finding::assumes(text).needing(need))
        })
        .collect()
}

fn words(keys: &[String]) -> String {
    if keys.is_empty() { "keys".to_owned() } else { keys.join(", ") }
}
