use super::*;
use crate::release::Digest;

fn name(text: &str) -> FlagName {
    text.parse().expect("a flag")
}

fn release(tag: &str) -> Release {
    Release { tag: tag.parse().expect("a tag"), digest: Digest::of(tag.as_bytes()) }
}

fn flags(flags: &[(&str, bool)]) -> Vec<FlagState> {
    let state = |(flag, on): &(&str, bool)| FlagState {
        name: name(flag),
        value: FlagValue { on: *on, raw: None },
        changed_at: None,
        changed_by: None,
    };
    flags.iter().map(state).collect()
}

fn names(names: &[&str]) -> BTreeSet<FlagName> {
    names.iter().map(|text| name(text)).collect()
}

/// What was recorded of one flag.
type Recorded = Option<Found>;

/// The record was there, and the flag was in it or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Not,
    Off,
    On,
}

/// Everything that decides about one flag, `f`.
#[derive(Debug, Clone, Copy)]
struct Case {
    era: Recorded,
    before: Recorded,
    after: Recorded,
    now: bool,
    introduced: bool,
    off: bool,
    keep: bool,
}

fn judged(case: Case) -> Option<(Because, Fate)> {
    let at = |recorded: Recorded| {
        recorded.map(|found| match found {
            Found::Not => Vec::new(),
            Found::Off => flags(&[("f", false)]),
            Found::On => flags(&[("f", true)]),
        })
    };
    let (era, before, after, now) =
        (at(case.era), at(case.before), at(case.after), flags(&[("f", case.now)]));
    let introduced: Vec<FlagName> = if case.introduced { vec![name("f")] } else { Vec::new() };
    let bad = release("v2");
    let span = [DeployedFlags {
        release: &bad,
        before: before.as_deref(),
        after: after.as_deref(),
        introduced: &introduced,
    }];
    let (off, keep) =
        (names(if case.off { &["f"] } else { &[] }), names(if case.keep { &["f"] } else { &[] }));
    let facts = FlagFacts { era: era.as_deref(), now: &now, span: &span, off: &off, keep: &keep };
    differences(&facts).pop().map(|difference| (difference.because, difference.fate))
}

/// The rules, said once more and otherwise: what is turned off must have a reason, what stays on without one is
/// asked about.
#[test]
fn over_all_inputs_only_what_the_release_brought_or_the_operator_named_is_turned_off() {
    let known = [None, Some(Found::Not), Some(Found::Off), Some(Found::On)];
    let mut seen = 0;
    for era in known {
        for before in known {
            for after in known {
                for bits in 0..16_u8 {
                    let [now, introduced, off, keep] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
                    let case = Case { era, before, after, now, introduced, off, keep };
                    let (because, fate) = match judged(case) {
                        Some((because, fate)) => (Some(because), Some(fate)),
                        None => (None, None),
                    };
                    seen += 1;
                    let was_off = |at: Recorded| at.is_some_and(|found| found != Found::On);
                    let by_deploy = was_off(before) && after == Some(Found::On);
                    let brought = era != Some(Found::On) && (introduced || by_deploy);
                    let expected =
                        if keep { None } else { (now && (brought || off)).then_some(Fate::TurnOff) };
                    assert_eq!(fate.filter(|fate| *fate == Fate::TurnOff), expected, "{case:?}");
                    if !now && era == Some(Found::On) {
                        assert_eq!(because, Some(Because::TurnedOff), "{case:?}");
                    }
                    if fate == Some(Fate::Ask) {
                        assert!(now && !brought && !off && !keep && era != Some(Found::On), "{case:?}");
                        assert!(before != Some(Found::On), "{case:?}");
                    }
                    // On now, known to have been off before the bad release came: never passed over.
                    if now && was_off(before) && era != Some(Found::On) {
                        assert!(fate.is_some(), "{case:?}");
                    }
                }
            }
        }
    }
    assert_eq!(seen, 4 * 4 * 4 * 16);
}

#[test]
fn the_first_release_that_names_a_flag_is_the_one_that_brought_it() {
    let (old, new) = (release("v2"), release("v3"));
    let introduced = [name("topics_ui")];
    let (now, off) = (flags(&[("topics_ui", true), ("signup_open", true)]), BTreeSet::new());
    let era = flags(&[("signup_open", true)]);
    let span = [
        DeployedFlags { release: &old, before: None, after: None, introduced: &introduced },
        DeployedFlags { release: &new, before: None, after: None, introduced: &[] },
    ];
    let facts = FlagFacts { era: Some(&era), now: &now, span: &span, off: &off, keep: &off };
    let found = differences(&facts);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].because, Because::Introduced { by: old });
}

#[test]
fn a_name_with_a_line_break_or_a_megabyte_is_refused() {
    assert!("topics\nui".parse::<FlagName>().is_err());
    assert!(" topics".parse::<FlagName>().is_err());
    assert!("x".repeat(1 << 20).parse::<FlagName>().is_err());
    assert_eq!("a flag: it is".parse::<FlagName>().map(|name| name.to_string()), Ok("a flag: it is".into()));
}
