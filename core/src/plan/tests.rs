use std::collections::BTreeSet;

use super::*;
use crate::protocol::{
    Flip, Held, Holder, HostState, Instance, InstanceState, QuarantinedRelease, StoredRelease,
};
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
            held: None,
            flips: Vec::new(),
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
        missing: vec![],
        on_target: vec![],
        size: WaveSize::default(),
        flip: Flip::Overlap,
        one_host_first: false,
        smokes: true,
        command: None,
        downs: vec![],
        left_out: BTreeSet::new(),
        retry_after_s: 30,
        flags_off: vec![],
        flags_left: vec![],
        ci: None,
    }
}

fn titles(plan: &Plan) -> Vec<String> {
    plan.steps().map(Step::title).collect()
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
fn a_rollback_goes_on_without_a_host_that_cannot_go_back_and_names_it() {
    let hosts = vec![host("a", &["v1", "v2"], Some("v2")), host("b", &["v2"], Some("v2"))];
    let mut facts = rollback_facts(hosts);
    facts.missing.push(MissingHost { host: "c".parse().expect("a host"), why: "it is off".into() });
    let plan = rollback(&facts).expect("a plan");
    assert!(plan.steps().all(|step| step.host().is_none_or(|host| host.as_str() == "a")), "{plan:#?}");
    let without: Vec<_> = plan.without.iter().map(|missing| missing.host.as_str()).collect();
    assert_eq!(without, ["c", "b"]);
}

#[test]
fn a_rollback_is_refused_when_no_host_has_the_target_or_one_has_it_in_quarantine() {
    let hosts = vec![host("b", &["v2"], Some("v2"))];
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
        missing: vec![],
        size: WaveSize::default(),
        migrates: true,
        smokes: false,
        command: None,
        keep: vec![release("v1")],
        records: false,
        installs_flags: false,
        unfences: None,
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

fn ready(mut host: HostFacts) -> HostFacts {
    host.state.instances = vec![Instance {
        unit: "web".into(),
        release: host.state.current.clone().expect("a current release"),
        proved: true,
        pid: 1,
        invocation: "1".into(),
        state: InstanceState::Ready,
        restarts: 0,
        started_at: Timestamp(0),
        ready_after_us: None,
        listening: true,
    }];
    host
}

fn fleet(count: usize) -> Vec<HostFacts> {
    (0..count).map(|n| ready(host(&format!("web-{n:02}"), &["v1", "v2"], Some("v2")))).collect()
}

/// The hosts of each wave that flips.
fn flipped(plan: &Plan) -> Vec<Vec<&str>> {
    let flips = |wave: &'_ Wave| wave.steps.iter().any(|step| matches!(step, Step::Flip { .. }));
    let waves = plan.waves.iter().filter(|wave| flips(wave));
    let hosts = waves.map(|wave| {
        let flips = wave.steps.iter().filter(|step| matches!(step, Step::Flip { .. }));
        flips.filter_map(Step::host).map(HostName::as_str).collect()
    });
    hosts.collect()
}

#[test]
fn hosts_are_flipped_in_waves_that_keep_the_capacity() {
    let mut facts = rollback_facts(fleet(6));
    facts.size = WaveSize { hosts: Share::Percent(50), capacity_min: Share::Count(4) };
    let plan = rollback(&facts).expect("a plan");
    let expected = [["web-00", "web-01"], ["web-02", "web-03"], ["web-04", "web-05"]];
    assert_eq!(flipped(&plan), expected);
    assert_eq!(plan.waves.first().expect("a wave").steps.len(), 6, "quarantined everywhere first");
    // A host that does not serve costs no capacity.
    facts.hosts[1].state.instances.clear();
    let plan = rollback(&facts).expect("a plan");
    assert_eq!(flipped(&plan).first().expect("a wave"), &["web-00", "web-01"]);
    assert_eq!(flipped(&plan).get(1).expect("a wave"), &["web-02"], "five serve, and four must");
}

#[test]
fn hosts_that_serve_the_target_already_are_proved_and_not_flipped() {
    let mut facts = rollback_facts(fleet(3));
    facts.on_target = vec![facts.hosts[0].host.clone(), facts.hosts[2].host.clone()];
    let plan = rollback(&facts).expect("a plan");
    assert_eq!(flipped(&plan), [["web-01"]]);
    let proofs = plan.steps().filter(|step| matches!(step, Step::Prove { .. })).count();
    assert_eq!(proofs, 3);
}

#[test]
fn a_deploy_takes_no_host_from_a_fleet_that_has_lost_too_many() {
    let facts = |hosts: Vec<HostFacts>, missing: usize| DeployFacts {
        service: "shithub".parse().expect("a service"),
        environment: "production".parse().expect("an environment"),
        release: release("v3"),
        hosts,
        missing: (0..missing)
            .map(|n| MissingHost { host: format!("off-{n}").parse().expect("a host"), why: "off".into() })
            .collect(),
        size: WaveSize { hosts: Share::Count(1), capacity_min: Share::Percent(60) },
        migrates: false,
        smokes: false,
        command: None,
        installs_flags: false,
        unfences: None,
        records: false,
        keep: vec![],
    };
    assert!(deploy(&facts(fleet(3), 0)).is_ok(), "a healthy fleet can always be flipped");
    assert_eq!(deploy(&facts(fleet(2), 1)), Err(PlanError::NoCapacity { serving: 2, all: 3, needed: 2 }));
    assert!(deploy(&facts(vec![host("new", &[], None)], 0)).is_ok(), "a first release onto nothing");
}

fn held(mut host: HostFacts) -> HostFacts {
    let by = Holder {
        run: "r1".parse().expect("a run"),
        who: "op@desk".into(),
        since: Timestamp(0),
        what: "hold v2".into(),
    };
    host.state.held = Some(Held { release: host.state.current.take(), retry_after_s: 30, by });
    host.state.instances.clear();
    host
}

fn hold_facts(hosts: Vec<HostFacts>) -> HoldFacts {
    HoldFacts {
        service: "shithub".parse().expect("a service"),
        environment: "production".parse().expect("an environment"),
        reason: "auth regression".into(),
        hosts,
        missing: vec![],
        retry_after_s: 60,
        size: WaveSize::default(),
    }
}

#[test]
fn a_hold_is_one_wave_and_passes_over_what_is_held_or_serves_nothing() {
    let mut hosts = fleet(3);
    hosts.push(held(host("h", &["v2"], Some("v2"))));
    hosts.push(host("new", &[], None));
    let plan = hold(&hold_facts(hosts)).expect("a plan");
    assert_eq!(titles(&plan), ["hold web-00", "hold web-01", "hold web-02"]);
    assert_eq!((plan.waves.len(), plan.title()), (1, "hold v2".to_owned()));
    assert_eq!(hold(&hold_facts(vec![held(fleet(1).remove(0))])), Err(PlanError::AlreadyHeld));
    assert_eq!(hold(&hold_facts(vec![host("new", &[], None)])), Err(PlanError::NothingToHold));
}

/// What is recorded of a hold says nothing where a release still serves.
#[test]
fn a_host_whose_hold_was_cut_off_half_way_is_not_held() {
    let half = || {
        let serving = ready(host("h", &["v1", "v2"], Some("v2")));
        let instances = serving.state.instances.clone();
        let mut half = held(serving);
        half.state.instances = instances;
        half
    };
    assert!(half().held().is_none() && held(fleet(1).remove(0)).held().is_some());
    assert_eq!(titles(&hold(&hold_facts(vec![half()])).expect("a plan")), ["hold h"]);
    let mut facts = rollback_facts(vec![half()]);
    facts.flip = Flip::StopFirst;
    let plan = rollback(&facts).expect("a plan");
    let stopped = |step: &Step| {
        matches!(step, Step::Flip { flip: Flip::StopFirst, held_retry_after_s: None, from: Some(from), .. }
            if *from == release("v2"))
    };
    assert!(plan.steps().any(stopped), "{plan:#?}");
    // Who ends a hold ends a half one too.
    assert!(release_hold(&hold_facts(vec![half()])).is_ok());
}

#[test]
fn where_the_schema_is_not_known_one_host_tries_the_target_before_the_others() {
    let mut facts = rollback_facts(fleet(4));
    facts.size = WaveSize { hosts: Share::Count(2), capacity_min: Share::Count(0) };
    let known = [vec!["web-00", "web-01"], vec!["web-02", "web-03"]];
    assert_eq!(flipped(&rollback(&facts).expect("a plan")), known);
    facts.one_host_first = true;
    let alone = [vec!["web-00"], vec!["web-01", "web-02"], vec!["web-03"]];
    assert_eq!(flipped(&rollback(&facts).expect("a plan")), alone);
    // What does harm waits for nobody; what is held does none.
    facts.flip = Flip::StopFirst;
    assert_eq!(flipped(&rollback(&facts).expect("a plan")), known);
    facts.hosts = facts.hosts.into_iter().map(held).collect();
    assert_eq!(flipped(&rollback(&facts).expect("a plan")), alone);
    let facts = RollbackFacts { one_host_first: true, ..rollback_facts(fleet(1)) };
    assert_eq!(flipped(&rollback(&facts).expect("a plan")), [["web-00"]]);
}

#[test]
fn a_host_that_serves_nothing_yet_has_no_say_in_what_is_replaced() {
    let mut facts = DeployFacts {
        service: "shithub".parse().expect("a service"),
        environment: "production".parse().expect("an environment"),
        release: release("v3"),
        hosts: vec![host("new", &[], None), ready(host("a", &["v2"], Some("v2")))],
        missing: vec![],
        size: WaveSize::default(),
        migrates: false,
        smokes: false,
        command: None,
        keep: vec![],
        records: false,
        installs_flags: false,
        unfences: None,
    };
    assert_eq!(deploy(&facts).expect("a plan").from, Some(release("v2")));
    facts.hosts.push(host("b", &["v1"], Some("v1")));
    assert_eq!(deploy(&facts).expect("a plan").from, None, "two releases serve");
}

#[test]
fn the_release_from_a_hold_brings_back_what_was_held_and_its_undo_holds_again() {
    let plan = release_hold(&hold_facts(fleet(2).into_iter().map(held).collect())).expect("a plan");
    assert_eq!(
        titles(&plan),
        ["release web-00 to v2", "prove v2 on web-00", "release web-01 to v2", "prove v2 on web-01"]
    );
    let undo = plan.step(0).expect("a step").undo();
    let again = matches!(&undo, Undo::Step(step) if matches!(**step, Step::Hold { retry_after_s: 30, .. }));
    assert!(again, "{undo:?}");
    assert_eq!(release_hold(&hold_facts(fleet(1))), Err(PlanError::NotHeld));
}

#[test]
fn from_a_hold_the_target_comes_beside_and_going_back_holds_again() {
    let mut facts = rollback_facts(fleet(1).into_iter().map(held).collect());
    facts.flip = Flip::StopFirst;
    let plan = rollback(&facts).expect("a plan");
    let flip = plan.steps().find(|step| matches!(step, Step::Flip { .. })).expect("a flip");
    assert!(matches!(flip, Step::Flip { flip: Flip::Overlap, from: Some(_), .. }), "{flip:?}");
    assert!(matches!(flip.undo(), Undo::Step(step) if matches!(*step, Step::Hold { .. })));
}

#[test]
fn a_deploy_command_is_run_once_and_every_host_is_proved() {
    let serving = |name: &str, tag: &str, invocation: &str| {
        let mut facts = host(name, &[], Some(tag));
        facts.state.instances.push(Instance {
            unit: "web".into(),
            release: release(tag),
            proved: true,
            pid: 7,
            invocation: invocation.into(),
            state: InstanceState::Ready,
            restarts: 0,
            started_at: Timestamp(0),
            ready_after_us: None,
            listening: false,
        });
        facts
    };
    // The second host is on the target already: its process need not be another one.
    let mut facts = rollback_facts(vec![serving("a", "v2", "a2"), serving("b", "v1", "b1")]);
    let lines = vec!["make deploy".to_owned()];
    facts.command = Some(CommandFacts { lines: lines.clone(), from: None });
    let plan = rollback(&facts).expect("a plan, though no host stores the target");
    let expected = [
        "quarantine v2 on a",
        "quarantine v2 on b",
        "run the deploy command of v1",
        "prove v1 on a",
        "prove v1 on b",
        "smoke test of v1",
    ];
    assert_eq!(titles(&plan), expected);
    let run = Step::Command { release: release("v1"), from: None, lines, replaces: vec!["a2".into()] };
    assert_eq!(plan.step(2), Some(&run));
    assert_eq!(plan.on_failure(2), OnFailure::GoOn);
    assert_eq!(run.undo(), Undo::Command { release: release("v1"), from: None });
}

#[test]
fn flags_are_turned_off_when_every_host_is_back_and_ci_is_confirmed_last() {
    let on = crate::flags::FlagWas {
        name: "topics_ui".parse().expect("a flag"),
        was: crate::flags::FlagValue { on: true, raw: None },
    };
    let missing = crate::evidence::Evidence::Missing { why: "not asked".into() };
    let facts = RollbackFacts {
        flags_off: vec![on],
        ci: Some((crate::evidence::Evidence::default(), missing)),
        ..rollback_facts(vec![host("a", &["v1", "v2"], Some("v2"))])
    };
    let plan = rollback(&facts).expect("a plan");
    assert_eq!(
        titles(&plan),
        [
            "quarantine v2 on a",
            "flip a to v1",
            "prove v1 on a",
            "turn off flag topics_ui",
            "smoke test of v1",
            "confirm that v1 passed CI"
        ]
    );
    assert_eq!(plan.on_failure(3), OnFailure::GoOn);
    assert_eq!(plan.on_failure(5), OnFailure::Note);
}

pub(crate) mod downs;
