use super::*;
use crate::decision::{FailureMode, decide};

fn facts() -> Facts {
    Facts {
        mode: FailureMode::AuthRegression,
        contained: false,
        flag: Flag::None,
        hotfix: Hotfix::NotKnown,
        ceremony: Ceremony::NotKnown,
        span: Span::Compatible { why: "both releases have the same migrations".into() },
        hosts: 3,
        can_be_held: true,
        can_be_borne: false,
        down: Down::NotKnown,
    }
}

fn said(facts: &Facts) -> Vec<String> {
    let decision = decide(facts);
    let mut lines = vec![headline(facts, &decision)];
    lines.extend(reasons(facts, &decision));
    lines.extend(command_lines(facts, &decision, Tags { from: Some("v1.4.0"), to: Some("v1.3.2") }));
    lines
}

#[test]
fn harm_is_held_first_and_then_taken_back() {
    assert_eq!(
        said(&facts()),
        [
            "option 1: roll the code back, leave the schema alone",
            "the old code runs on the schema as it is",
            "auth regression: every minute of it does more harm",
            "auth regression is no failure to wait with",
            "nobody said when a hotfix could be there",
            "unship hold --mode auth-regression",
            "unship rollback --mode auth-regression --to v1.3.2",
        ]
    );
}

#[test]
fn a_time_from_a_drill_is_called_one() {
    let facts = Facts {
        mode: FailureMode::Degraded,
        hotfix: Hotfix::After { eta_ms: 60_000 },
        ceremony: Ceremony::Rehearsed { ms: 90_000 },
        ..facts()
    };
    let said = said(&facts);
    assert_eq!(said[1], "the hotfix takes 1 min 0 s, going back takes 1 min 30 s (in a drill, not here)");
    assert_eq!(said[2], "going back was measured in a drill alone");
}

#[test]
fn what_is_to_be_tried_on_one_host_first_is_not_refused_for_being_unknown() {
    let span = Span::Unknown { what: vec!["0014 is not read".into()] };
    let facts = Facts { mode: FailureMode::PanicLoop, span, hosts: 3, ..facts() };
    assert_eq!(decide(&facts).act, Act::OneHostFirst);
    let lines = command_lines(&facts, &decide(&facts), Tags { from: None, to: Some("v1.3.2") });
    assert_eq!(lines, ["unship rollback --mode panic-loop --to v1.3.2 --accept-unknown-schema"]);
}

#[test]
fn a_refused_option_3_says_why() {
    let facts = Facts {
        mode: FailureMode::PanicLoop,
        hotfix: Hotfix::OutOfTheQuestion,
        span: Span::Breaks { what: vec!["0014 drops column repos.owner".into()] },
        down: Down::Missing { migration: "0014".into() },
        ..facts()
    };
    let said = said(&facts);
    assert!(said.contains(&"option 3 is refused: 0014 has no down".to_owned()), "{said:?}");
    assert_eq!(said[0], "option 2: roll forward to a hotfix on top of the bad release");
}

#[test]
fn a_line_to_copy_runs_nothing_that_a_flags_name_says() {
    let line = |name: &str| {
        let flag = Flag::Known { name: name.into() };
        let facts = Facts { mode: FailureMode::SmallBug, flag, ..facts() };
        command_lines(&facts, &decide(&facts), Tags { from: None, to: None }).remove(0)
    };
    assert_eq!(line("new_search"), "unship flags off new_search");
    assert_eq!(line("a; rm -rf ~"), "unship flags off 'a; rm -rf ~'");
    assert_eq!(line("it's"), r"unship flags off 'it'\''s'");
    assert_eq!(line("--all"), "unship flags off -- '--all'");
}
