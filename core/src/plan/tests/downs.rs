//! Option 3: the plan with migrations taken down.

use super::*;
use crate::down::{Dialect, Program, Session};
use crate::sql::ObjectName;
use crate::tools::Tool;

pub(crate) fn program(migration: &str) -> Program {
    Program {
        dialect: Dialect::Postgres,
        tool: Tool::Sqlx,
        migration: migration.into(),
        version: migration.into(),
        version_before: None,
        applied: vec![migration.into()],
        down: Digest::of(migration.as_bytes()),
        session: Session { lock_ms_max: 1, lock_attempts_max: 1, statement_ms_max: 1 },
        table: ObjectName { schema: None, name: "_sqlx_migrations".into() },
        tool_lock: None,
        locks: vec![],
        allowed: vec![],
        captured: vec![],
        batches: vec![],
        rows: vec![],
        delta: vec![],
        atomic: true,
        foreign_keys: true,
        fence: true,
    }
}

fn two_hosts() -> Vec<HostFacts> {
    ["a", "b"].map(|name| host(name, &["v1", "v2"], Some("v2"))).into()
}

fn facts(hosts: Vec<HostFacts>) -> RollbackFacts {
    RollbackFacts { downs: vec![program("3"), program("2")], ..rollback_facts(hosts) }
}

#[test]
fn everything_is_held_before_the_first_migration_goes_and_until_the_last_is_gone() {
    let plan = rollback(&facts(two_hosts())).expect("a plan");
    assert_eq!(
        titles(&plan),
        [
            "hold a",
            "hold b",
            "quarantine v2 on a",
            "quarantine v2 on b",
            "take 3 down",
            "take 2 down",
            "flip a to v1",
            "prove v1 on a",
            "flip b to v1",
            "prove v1 on b",
            "smoke test of v1",
        ]
    );
    let alone = plan.waves.iter().filter(|wave| matches!(wave.steps[..], [Step::StepDown { .. }])).count();
    assert_eq!(alone, 2, "each down has the environment to itself");
    // Nothing serves, so there is no capacity to spare: all are flipped at once.
    let flips =
        plan.waves.iter().filter(|wave| wave.steps.iter().any(|step| matches!(step, Step::Flip { .. })));
    assert_eq!(flips.count(), 1);
    for (index, step) in plan.steps().enumerate() {
        let halts = matches!(step, Step::Hold { .. } | Step::StepDown { .. });
        assert_eq!(plan.on_failure(index) == OnFailure::Halt, halts, "{}", step.title());
        if let Step::Flip { held_retry_after_s, .. } = step {
            assert_eq!(*held_retry_after_s, Some(30), "taking it back holds again");
        }
    }
}

#[test]
fn taking_it_back_lets_a_release_serve_only_when_its_quarantine_is_lifted() {
    let plan = rollback(&facts(two_hosts())).expect("a plan");
    let undone: Vec<Undo> = plan.steps().rev().map(Step::undo).collect();
    let place = |wanted: fn(&Undo) -> bool| undone.iter().rposition(wanted).expect("it is there");
    let first = |wanted: fn(&Undo) -> bool| undone.iter().position(wanted).expect("it is there");
    let up = place(|undo| matches!(undo, Undo::StepUp { .. }));
    let lifted = place(|undo| matches!(undo, Undo::LiftQuarantine { .. }));
    let serves = first(|undo| matches!(undo, Undo::Step(step) if matches!(**step, Step::ReleaseHold { .. })));
    assert!(up < lifted && lifted < serves, "{undone:#?}");
}

#[test]
fn what_is_held_already_is_not_held_again() {
    let [a, b]: [HostFacts; 2] = two_hosts().try_into().expect("two");
    let hosts = vec![held(a), b];
    let plan = rollback(&facts(hosts)).expect("a plan");
    assert!(!titles(&plan).contains(&"hold a".to_owned()));
    assert!(titles(&plan).contains(&"hold b".to_owned()));
}

#[test]
fn what_still_serves_is_held_whatever_its_host_has_on_record() {
    let [a, b]: [HostFacts; 2] = two_hosts().try_into().expect("two");
    let serving = ready(a);
    let instances = serving.state.instances.clone();
    let mut half = held(serving);
    half.state.instances = instances;
    let plan = rollback(&facts(vec![half, held(b)])).expect("a plan");
    let holds: Vec<String> = titles(&plan).into_iter().filter(|title| title.starts_with("hold")).collect();
    assert_eq!(holds, ["hold a"]);
}

#[test]
fn no_migration_goes_while_a_host_is_away_or_another_tool_runs_the_service() {
    let away = MissingHost { host: "c".parse().expect("a host"), why: "it is off".into() };
    let missing = RollbackFacts { missing: vec![away], ..facts(two_hosts()) };
    assert!(matches!(rollback(&missing), Err(PlanError::DownNeedsEveryHost { .. })));
    let off = RollbackFacts { left_out: ["c".parse().expect("a host")].into(), ..missing };
    let plan = rollback(&off).expect("what is said to be off writes nothing");
    assert_eq!(plan.without.len(), 1, "and is named all the same");
    let command = CommandFacts { lines: vec!["make deploy".into()], from: None };
    let foreign = RollbackFacts { command: Some(command), ..facts(two_hosts()) };
    assert_eq!(rollback(&foreign), Err(PlanError::DownWithCommand));
}
