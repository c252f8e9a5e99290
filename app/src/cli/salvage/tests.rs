use unship_core::down::LossKind;
use unship_core::release::{Digest, Release};
use unship_core::sql::ObjectName;
use unship_core::time::Timestamp;

use super::*;
use crate::ports::Store;

fn name(schema: &str, name: &str) -> ObjectName {
    ObjectName { schema: Some(schema.into()), name: name.into() }
}

#[test]
fn a_salvage_reads_as_a_person_would_want_it() {
    let store = |kind: LossKind, place: &str, rows: u64, bytes: u64| Store {
        kind,
        place: name("unship", place),
        rows,
        bytes,
    };
    let salvaged = Salvaged {
        run: "20260101T000000-000-1".parse().expect("a run"),
        step: 3,
        migration: "0012_repo_topics".into(),
        version: "12".into(),
        release: Some(Release { tag: "v1.4.0".parse().expect("a tag"), digest: Digest::of(b"x") }),
        at: Timestamp(1_767_225_600_000),
        stores: vec![
            store(LossKind::Table { table: name("public", "topics") }, "s1_topics", 1_234_567, 98_765_432),
            store(
                LossKind::Column { table: name("public", "issues"), column: "note".into(), default: None },
                "s2_issues",
                1,
                8_192,
            ),
        ],
        restored: None,
    };
    let text = anstream::adapter::strip_str(&lines(&salvaged).join("\n")).to_string();
    insta::assert_snapshot!(text);
}

#[test]
fn numbers_are_grouped() {
    assert_eq!(count(1, "row"), "1 row");
    assert_eq!(count(1_234_567, "row"), "1,234,567 rows");
    assert_eq!(count(123, "row"), "123 rows");
}
