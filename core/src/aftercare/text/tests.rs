use super::super::notice::tests::notice;
use super::*;
use crate::decision::Overruled;

#[test]
fn a_reason_cannot_write_a_second_line() {
    assert_eq!(
        one_line(&notice()),
        "shithub production: v1.4.0 -> v1.3.2, panic loop: on all  [31mhosts; completed; by op@desk, run \
         20261123T031500-000-1"
    );
}

#[test]
fn a_message_says_all_that_the_runbook_asks_for() {
    assert_eq!(
        message(&notice(), true),
        [
            "shithub production: v1.4.0 taken back to v1.3.2: panic loop",
            "(may repeat an earlier note: whether that one arrived is not known)",
            "why: panic loop: on all  [31mhosts",
            "decision: option 1: roll the code back, leave the schema alone",
            "schema: compatible: both releases have the same migrations",
            "outcome: completed in 2.1 s",
            "owed: confirm that v1.3.2 passed CI",
            "by: op@desk, run 20261123T031500-000-1",
        ]
    );
}

#[test]
fn nobody_is_called_by_what_others_wrote() {
    assert_eq!(inert("@channel op@desk (@here)"), "@\u{2060}channel op@desk (@\u{2060}here)");
}

#[test]
fn no_line_is_endless() {
    let endless = Notice { reason: "x".repeat(100_000), ..notice() };
    assert!(message(&endless, false).iter().all(|line| line.chars().count() < 600));
}

#[test]
fn what_a_step_down_loses_is_told_also_where_the_table_said_something_else() {
    let mut told = notice();
    let decided = told.decided.as_mut().expect("a decision");
    decided.facts.down = Down::Runs { loss: vec!["0014: drops table notes with 2 rows".into()] };
    let loss = "loss: 0014: drops table notes with 2 rows".to_owned();
    assert!(!message(&told, false).contains(&loss), "nothing is taken down");
    let decided = told.decided.as_mut().expect("a decision");
    decided.overruled = Some(Overruled { reason: "nobody needs it".into(), act: Act::DownAndBack });
    assert!(message(&told, false).contains(&loss), "{:?}", message(&told, false));
}
