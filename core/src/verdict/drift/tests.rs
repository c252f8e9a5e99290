use super::*;
use crate::schema::{Address, Object};
use crate::verdict::{Boot, BootAnswer, QueryEvidence};

fn object(kind: Kind, name: Name) -> Object {
    Object::new(kind, name, Address::default())
}

fn catalog(columns: &[(&str, &str, &str)]) -> Catalog {
    let tables = columns.iter().map(|(table, _, _)| object(Kind::Table, Name::of("public", *table)));
    let columns = columns.iter().map(|(table, column, of_type)| {
        object(Kind::Column, Name::part("public", *table, *column)).with(Fact::Type, *of_type)
    });
    tables.chain(columns).collect()
}

fn compatible() -> SpanVerdict {
    SpanVerdict {
        verdict: Verdict::Compatible,
        reasons: Vec::new(),
        settles: Vec::new(),
        migrations: Vec::new(),
        queries: QueryEvidence::No { how: String::new() },
        boot: Boot { answer: BootAnswer::Starts, why: String::new(), proven: true },
        touches: Vec::new(),
        remarks: Vec::new(),
        locks: Vec::new(),
    }
}

#[test]
fn a_change_by_hand_matters_where_the_span_or_a_query_touches() {
    let expected = catalog(&[("repos", "name", "text"), ("users", "name", "text"), ("logs", "line", "text")]);
    let live = catalog(&[("repos", "name", "citext"), ("users", "name", "text"), ("logs", "extra", "text")]);
    let repos = [Name::of("public", "repos")];
    let drift = Drift::between(&expected, &live, &repos);
    assert_eq!(drift.touched, ["type of column repos.name is not as the migrations leave it"]);
    assert_eq!(
        drift.elsewhere,
        [
            "column logs.extra is in the live database and in no migration",
            "column logs.line is not in the live database"
        ]
    );
    let mut verdict = compatible();
    verdict.drifted(&drift);
    assert_eq!((verdict.verdict, verdict.overall()), (Verdict::Unknown, Verdict::Unknown));
    assert_eq!((verdict.reasons[0].rule.as_ref(), verdict.remarks.len()), ("live-drift", 2));
    let mut verdict = compatible();
    verdict.drifted(&Drift::between(&expected, &live, &[Name::of("public", "users")]));
    assert_eq!((verdict.verdict, verdict.reasons.len(), verdict.remarks.len()), (Verdict::Compatible, 0, 3));
    assert!(Drift::between(&expected, &expected, &repos).is_empty());
}

#[test]
fn what_differs_by_nature_is_no_drift() {
    let with = |grants: &str| {
        let table = object(Kind::Table, Name::of("public", "t")).with(Fact::Grants, grants);
        Catalog::from_iter([table, object(Kind::Extension, Name::global(grants))])
    };
    assert!(Drift::between(&with("a"), &with("b"), &[Name::of("public", "t")]).is_empty());
}

#[test]
fn a_catalog_that_was_written_down_is_the_same() {
    let catalog = catalog(&[("repos", "name", "text"), ("users", "name", "text")]);
    let json = serde_json::to_string(&catalog).expect("JSON");
    let back: Catalog = serde_json::from_str(&json).expect("a catalog");
    assert_eq!(back, catalog);
    assert!(diff(&catalog, &back).is_empty());
}
