use super::*;

fn proof(states: &[(&str, CheckState)]) -> CiProof {
    let checks = states.iter().map(|(name, state)| CiCheck { name: (*name).into(), state: *state });
    CiProof { commit: "c0ffee".into(), checks: checks.collect() }
}

fn standing(states: &[(&str, CheckState)]) -> CiStanding {
    proof(states).standing("c0ffee", &[])
}

#[test]
fn green_needs_a_check_that_passed_and_none_that_did_not() {
    use CheckState::{Failed, Passed, Running, Skipped};
    assert_eq!(standing(&[("build", Passed), ("docs", Skipped)]), CiStanding::Green { passed: 1 });
    assert_eq!(standing(&[]), CiStanding::NothingRan);
    assert_eq!(standing(&[("docs", Skipped)]), CiStanding::NothingRan);
    assert_eq!(
        standing(&[("build", Passed), ("test", Running)]),
        CiStanding::Running { running: vec!["test".into()] }
    );
    assert_eq!(
        standing(&[("build", Running), ("test", Failed)]),
        CiStanding::Red { failed: vec!["test".into()] }
    );
}

#[test]
fn checks_of_another_commit_prove_nothing_even_if_all_passed() {
    let proof = proof(&[("build", CheckState::Passed)]);
    let standing = proof.standing("decaf", &[]);
    assert_eq!(standing, CiStanding::OtherCommit { ran_on: "c0ffee".into() });
    assert!(!standing.is_green());
}

#[test]
fn a_required_check_that_was_skipped_or_never_ran_keeps_it_from_being_green() {
    let required = ["test".to_owned(), "build".to_owned()];
    let proof = proof(&[("build", CheckState::Passed), ("test", CheckState::Skipped)]);
    assert_eq!(proof.standing("c0ffee", &required), CiStanding::Lacking { missing: vec!["test".into()] });
}

#[test]
fn what_is_said_names_the_first_few_checks() {
    let names: Vec<String> = (1..=7).map(|n| format!("check {n}")).collect();
    let words = CiStanding::Red { failed: names }.words();
    assert_eq!(
        words,
        "did not pass CI: `check 1`, `check 2`, `check 3`, `check 4`, `check 5` and 2 more failed"
    );
    assert_eq!(CiStanding::Green { passed: 41 }.words(), "passed CI (41 checks)");
}
