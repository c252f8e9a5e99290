use super::*;
use crate::protocol::{Flip, HostState, QuarantinedRelease, StoredRelease};
use crate::release::HostName;
use crate::time::Timestamp;

fn release(tag: &str) -> Release {
    Release { tag: tag.parse().expect("a tag"), digest: Digest::of(tag.as_bytes()) }
}

fn host(name: &str, stored: &[&str], current: Option<&str>) -> HostFacts {
    HostFacts {
        host: name.parse::<HostName>().expect("a host"),
        state: HostState {
            agent: "0.1.0".into(),
            architecture: "x86_64".into(),
            epoch: None,
            releases: stored
                .iter()
                .map(|tag| StoredRelease { release: release(tag), bytes: 1, published_at: Timestamp(0) })
                .collect(),
            current: current.map(release),
            instances: vec![],
            exits: vec![],
            quarantined: vec![],
            disk_free_bytes: 1 << 30,
            memory_available_bytes: 1 << 30,
            troubles: Vec::new(),
        },
    }
}

fn rollback_facts(hosts: Vec<HostFacts>) -> RollbackFacts {
    RollbackFacts {
        service: "shithub".parse().expect("a service"),
        environment: "production".parse().expect("an environment"),
        bad: Some(release("v2")),
        target: release("v1"),
        reason: "panic loop".into(),
        hosts,
        flip: Flip::Overlap,
        smokes: true,
    }
}

fn titles(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(Step::title).collect()
}

#[test]
fn a_rollback_quarantines_everywhere_before_it_flips_host_by_host() {
    let hosts = vec![host("a", &["v1", "v2"], Some("v2")), host("b", &["v1", "v2"], Some("v2"))];
    let plan = rollback(&rollback_facts(hosts)).expect("a plan");
    assert_eq!(plan.title(), "rollback v2 -> v1");
    assert_eq!(
        titles(&plan),
        [
            "quarantine v2 on a",
            "quarantine v2 on b",
            "flip a to v1",
            "prove v1 on a",
            "flip b to v1",
            "prove v1 on b",
            "smoke test of v1"
        ]
    );
}

#[test]
fn a_rollback_is_refused_when_a_host_lacks_the_target_or_has_it_in_quarantine() {
    let hosts = vec![host("a", &["v1", "v2"], Some("v2")), host("b", &["v2"], Some("v2"))];
    assert_eq!(
        rollback(&rollback_facts(hosts)),
        Err(PlanError::TargetNotStored { target: release("v1"), hosts: vec!["b".into()] })
    );
    let mut marked = host("a", &["v1", "v2"], Some("v2"));
    marked.state.quarantined.push(QuarantinedRelease { release: release("v1"), reason: "leaks".into() });
    assert!(matches!(rollback(&rollback_facts(vec![marked])), Err(PlanError::TargetQuarantined { .. })));
    assert!(matches!(rollback(&rollback_facts(vec![])), Err(PlanError::NoHosts { .. })));
}

#[test]
fn a_deploy_stages_only_where_the_release_is_missing() {
    let facts = DeployFacts {
        service: "shithub".parse().expect("a service"),
        environment: "production".parse().expect("an environment"),
        release: release("v2"),
        hosts: vec![host("a", &["v1"], Some("v1")), host("b", &["v1", "v2"], Some("v1"))],
        migrates: true,
        smokes: false,
        keep: vec![release("v1")],
    };
    let plan = deploy(&facts).expect("a plan");
    assert_eq!(plan.from, Some(release("v1")));
    assert_eq!(
        titles(&plan),
        [
            "stage v2 on a",
            "apply the migrations of v2",
            "flip a to v2",
            "prove v2 on a",
            "flip b to v2",
            "prove v2 on b",
            "remove old releases from a",
            "remove old releases from b"
        ]
    );
}

#[test]
fn the_same_facts_give_the_same_plan_and_another_target_another_digest() {
    let facts = rollback_facts(vec![host("a", &["v0", "v1", "v2"], Some("v2"))]);
    let plan = rollback(&facts).expect("a plan");
    assert_eq!(plan.digest(), rollback(&facts).expect("a plan").digest());
    let other = rollback(&RollbackFacts { target: release("v0"), ..facts }).expect("a plan");
    assert_ne!(plan.digest(), other.digest());
}
