use super::*;
use crate::release::Digest;
use crate::sql::ObjectName;

fn column(rows: u64, affected: u64) -> Loss {
    let kind = LossKind::Column {
        table: ObjectName { schema: Some("public".into()), name: "issues".into() },
        column: "triage_note".into(),
        default: None,
    };
    Loss { kind, rows, affected, bytes: 0, since_deploy: None }
}

fn report(losses: Vec<Loss>) -> LossReport {
    LossReport { migration: "0006_issue_status".into(), down: Digest::of(b"down"), losses }
}

#[test]
fn a_ceiling_leaves_room_and_none_over_nothing() {
    for (count, bound) in [(0, 0), (1, 10), (8, 10), (9, 20), (17, 50), (41, 100), (1_000, 2_000)] {
        assert_eq!(ceiling(count), bound, "{count}");
    }
    assert_eq!(ceiling(u64::MAX), u64::MAX);
    for count in 1..5_000 {
        assert!(ceiling(count) >= count + count / 4 && ceiling(count) <= ceiling(count + 1));
    }
}

#[test]
fn an_acceptance_outlives_a_few_more_rows_and_nothing_else() {
    let accepted = report(vec![column(100, 41)]).digest();
    assert_eq!(report(vec![column(200, 60)]).digest(), accepted);
    assert_ne!(report(vec![column(100, 90)]).digest(), accepted);
    assert_ne!(report(vec![column(100, 41), column(100, 41)]).digest(), accepted);
    let other = LossReport { down: Digest::of(b"another"), ..report(vec![column(100, 41)]) };
    assert_ne!(other.digest(), accepted);
}
