//! The table against the runbook, said again without rows and without an order: for every outcome, when it must
//! come and when it must not, over every combination of what can be known.

use super::*;

fn flags() -> Vec<Flag> {
    let name = || "new_search".to_owned();
    vec![Flag::None, Flag::Known { name: name() }, Flag::NotKnown { name: name(), why: "no source".into() }]
}

const MINUTE: u64 = 60_000;

fn hotfixes() -> Vec<Hotfix> {
    let mut all = vec![Hotfix::OutOfTheQuestion, Hotfix::NotKnown];
    // Around each ceremony and around the runbook's half hour.
    for eta_ms in
        [0, 1_999, 2_000, 2_001, 10 * MINUTE, 30 * MINUTE - 1, 30 * MINUTE, 45 * MINUTE, 90 * MINUTE]
    {
        all.push(Hotfix::After { eta_ms });
    }
    all
}

fn ceremonies() -> Vec<Ceremony> {
    let mut all = vec![Ceremony::NotKnown];
    for ms in [2_000, 10 * MINUTE, 60 * MINUTE] {
        all.push(Ceremony::Measured { ms, runs: 3 });
        all.push(Ceremony::Rehearsed { ms });
    }
    all
}

fn spans() -> Vec<Span> {
    let what = || vec!["0014 drops column repos.owner".to_owned()];
    vec![
        Span::Compatible { why: "same".into() },
        Span::Unknown { what: what() },
        Span::Breaks { what: what() },
    ]
}

fn downs() -> Vec<Down> {
    let migration = || "0014".to_owned();
    vec![
        Down::NotKnown,
        Down::Missing { migration: migration() },
        Down::Fails { migration: migration(), why: "syntax".into() },
        Down::LeavesUnfit { why: "a column is gone".into() },
        Down::Runs { loss: Vec::new() },
        Down::Runs { loss: vec!["41 rows of topics".into()] },
    ]
}

/// Every combination.
fn all(mut visit: impl FnMut(&Facts)) -> usize {
    let mut count = 0;
    let (flags, hotfixes, ceremonies, spans, downs) = (flags(), hotfixes(), ceremonies(), spans(), downs());
    for mode in FailureMode::ALL {
        for flag in &flags {
            for hotfix in &hotfixes {
                for ceremony in &ceremonies {
                    for span in &spans {
                        for down in &downs {
                            for hosts in [1, 2, 20] {
                                for bits in 0..8 {
                                    visit(&Facts {
                                        mode,
                                        contained: bits & 1 != 0,
                                        flag: flag.clone(),
                                        hotfix: *hotfix,
                                        ceremony: *ceremony,
                                        span: span.clone(),
                                        hosts,
                                        can_be_held: bits & 2 != 0,
                                        can_be_borne: bits & 4 != 0,
                                        down: down.clone(),
                                    });
                                    count += 1;
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    count
}

/// The fix needs no rollback: it is a switch that exists, or it arrives before we would be back.
fn there_is_a_faster_way_than_going_back(f: &Facts) -> bool {
    let a_switch_exists = f.mode == FailureMode::SmallBug && f.flag == flags()[1];
    let arrives_before = match f.hotfix {
        Hotfix::After { eta_ms } => match f.ceremony {
            Ceremony::Measured { ms, .. } | Ceremony::Rehearsed { ms } => ms > eta_ms,
            Ceremony::NotKnown => false,
        },
        Hotfix::NotKnown | Hotfix::OutOfTheQuestion => false,
    };
    a_switch_exists || arrives_before
}

fn nobody_is_hurt_while_we_write_a_hotfix(f: &Facts) -> bool {
    let hurt = !f.contained && !f.can_be_held && !f.can_be_borne;
    !hurt && !matches!(f.hotfix, Hotfix::OutOfTheQuestion)
}

#[test]
fn every_combination_is_decided_as_the_runbook_says() {
    let count = all(|f| {
        let act = decide(f).act;
        let faster = there_is_a_faster_way_than_going_back(f);
        let is = |verdict: &str| f.span.name() == verdict;
        // "Roll-forward when you can ship a hotfix faster than the rollback ceremony. A small bug behind a known
        // feature flag is a roll-forward case."
        assert_eq!(matches!(act, Act::FlagOff | Act::Hotfix), faster, "{f:?}");
        // A switch is preferred to a hotfix, however fast that is, and used for small bugs alone.
        let switch = f.mode.name() == "small-bug" && matches!(&f.flag, Flag::Known { .. });
        assert_eq!(act == Act::FlagOff, switch, "{f:?}");
        // Option 1, whenever going back and the old code is known to run there.
        assert_eq!(act == Act::CodeBack, !faster && is("compatible"), "{f:?}");
        // Unknown never becomes safe: it is tried on one of several, or asked.
        assert_eq!(act == Act::OneHostFirst, !faster && is("unknown") && f.hosts >= 2, "{f:?}");
        assert_eq!(act == Act::Ask, !faster && is("unknown") && f.hosts < 2, "{f:?}");
        // Option 3 is the last resort: the old code cannot run there, no hotfix can be waited for, and the downs
        // are known to work.
        let last_resort = !faster
            && is("breaks")
            && !nobody_is_hurt_while_we_write_a_hotfix(f)
            && matches!(f.down, Down::Runs { .. });
        assert_eq!(act == Act::DownAndBack, last_resort, "{f:?}");
        // Option 2 is what remains.
        assert_eq!(act == Act::HotfixOnTop, !faster && is("breaks") && !last_resort, "{f:?}");
    });
    assert_eq!(count, 6 * 3 * 11 * 7 * 3 * 6 * 3 * 8);
}

#[test]
fn the_schema_the_hosts_and_the_downs_do_not_matter_where_something_is_faster() {
    let mut seen = 0;
    all(|f| {
        if there_is_a_faster_way_than_going_back(f) {
            let other = Facts {
                span: Span::Breaks { what: Vec::new() },
                hosts: f.hosts + 1,
                down: Down::NotKnown,
                can_be_held: !f.can_be_held,
                ..f.clone()
            };
            assert_eq!(decide(f).act, decide(&other).act, "{f:?}");
            seen += 1;
        }
    });
    assert!(seen > 0);
}

#[test]
fn code_that_does_harm_is_held_at_once_and_the_rest_of_the_decision_is_the_same() {
    all(|f| {
        let harms = matches!(f.mode.name(), "auth-regression" | "data-corruption");
        let decision = decide(f);
        assert_eq!(decision.hold_first, harms && !f.contained, "{f:?}");
        assert_eq!(decision.because.contains(&Because::HarmGoesOn), decision.hold_first);
        if harms && f.can_be_held && !f.contained {
            let held = Facts { contained: true, ..f.clone() };
            assert_eq!(decide(&held).act, decision.act, "{f:?}");
        }
    });
}

#[test]
fn what_is_said_beside_it_is_so() {
    all(|f| {
        let Decision { act, because, row, .. } = decide(f);
        let says = |what| because.contains(&what);
        assert_eq!(act.option() == Some(3), says(Because::LossKnown), "{f:?}");
        assert_eq!(row == Row::SpanBreaksNoDown, says(Because::DownRefused), "{f:?}");
        if says(Because::DownRefused) {
            assert!(!matches!(f.down, Down::Runs { .. }), "{f:?}");
        }
        if says(Because::HotfixTooSlow) {
            assert!(matches!(f.hotfix, Hotfix::After { eta_ms } if eta_ms / MINUTE >= 30), "{f:?}");
        }
        if says(Because::CeremonyRehearsed) {
            assert!(matches!(f.ceremony, Ceremony::Rehearsed { .. }), "{f:?}");
        }
        // Whenever a rehearsal's time decided, that is said.
        if row == Row::HotfixIsFaster && matches!(f.ceremony, Ceremony::Rehearsed { .. }) {
            assert!(says(Because::CeremonyRehearsed), "{f:?}");
        }
        if says(Because::Unsure) {
            assert!(f.mode == FailureMode::Unsure && !matches!(act, Act::FlagOff | Act::Hotfix), "{f:?}");
        }
        assert!(!(says(Because::HeldMeanwhile) && says(Because::BorneMeanwhile)));
    });
}

#[test]
fn the_ceremony_is_the_median_of_real_ones_and_a_rehearsal_only_where_there_are_none() {
    assert_eq!(Ceremony::of(vec![9, 1, 2], Some(5)), Ceremony::Measured { ms: 2, runs: 3 });
    assert_eq!(Ceremony::of(vec![4], None), Ceremony::Measured { ms: 4, runs: 1 });
    assert_eq!(Ceremony::of(vec![], Some(5)), Ceremony::Rehearsed { ms: 5 });
    assert_eq!(Ceremony::of(vec![], None), Ceremony::NotKnown);
}

#[test]
fn whoever_will_not_wait_for_the_faster_way_goes_back_as_the_schema_allows() {
    all(|f| {
        let act = going_back(f).act;
        assert!(!matches!(act, Act::FlagOff | Act::Hotfix), "{f:?}");
        if !there_is_a_faster_way_than_going_back(f) {
            assert_eq!(act, decide(f).act, "{f:?}");
        }
        let code_alone = matches!(act, Act::CodeBack | Act::OneHostFirst | Act::Ask);
        assert_eq!(code_alone, f.span.name() != "breaks", "a proved break is not accepted by it: {f:?}");
        let last_resort = !nobody_is_hurt_while_we_write_a_hotfix(f) && matches!(f.down, Down::Runs { .. });
        assert_eq!(act == Act::DownAndBack, !code_alone && last_resort, "{f:?}");
    });
}
