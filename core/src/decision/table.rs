//! The table: the first row that fits says what to do.
//!
//! From the runbook: go back when the release cannot be mended in less than 30 minutes or fails badly; go
//! forward when a hotfix is faster than going back, or when a flag switches the fault off; if unsure, go back.
//! Then its three options in their order of preference. `docs/decision.md` is this table in prose.

use serde::{Deserialize, Serialize};

use super::facts::{Down, Facts, Flag, HOTFIX_MS_MAX, Hotfix, Span};
use super::{Ceremony, FailureMode};

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Go forward: turn the flag off now, the fix follows.
    FlagOff,
    /// Go forward: ship the hotfix.
    Hotfix,
    /// Option 1: roll the code back, leave the schema alone.
    CodeBack,
    /// Option 1 on one host first, looked at, then on the rest.
    OneHostFirst,
    /// Ask, naming what is not known.
    Ask,
    /// Option 2: a hotfix on top of the bad release, which is held or borne meanwhile.
    HotfixOnTop,
    /// Option 3: the downs step by step, each accepted with its loss, then the code.
    DownAndBack,
}

impl Act {
    /// Whether the release stays and something is put on top of it.
    pub fn goes_forward(self) -> bool {
        match self {
            Act::FlagOff | Act::Hotfix | Act::HotfixOnTop => true,
            Act::CodeBack | Act::OneHostFirst | Act::Ask | Act::DownAndBack => false,
        }
    }

    /// The runbook's number of the option, where it is one.
    pub fn option(self) -> Option<u8> {
        match self {
            Act::CodeBack | Act::OneHostFirst | Act::Ask => Some(1),
            Act::HotfixOnTop => Some(2),
            Act::DownAndBack => Some(3),
            Act::FlagOff | Act::Hotfix => None,
        }
    }
}

/// Which row of the table decided. Each has its words in `explain`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Row {
    /// A small bug behind a flag that can be turned off.
    SmallBugBehindFlag,
    /// The hotfix is there sooner than the way back is gone.
    HotfixIsFaster,
    /// The old code runs on the schema.
    SpanCompatible,
    /// Not known whether it does, and one host can try.
    SpanUnknownFleet,
    /// Not known whether it does, and there is one host only.
    SpanUnknownAlone,
    /// It does not, and a hotfix can be waited for.
    SpanBreaksHotfix,
    /// It does not, and the downs run.
    SpanBreaksDown,
    /// It does not, and the downs will not do: a hotfix is all there is.
    SpanBreaksNoDown,
}

/// One row: when it fits, and what it says.
struct Rule {
    row: Row,
    fits: fn(&Facts) -> bool,
    act: Act,
}

/// First match decides. The last row fits always, so that there is always a decision.
#[rustfmt::skip]
const TABLE: &[Rule] = &[
    Rule { row: Row::SmallBugBehindFlag, fits: |f| small_bug(f) && flag_known(f),        act: Act::FlagOff },
    Rule { row: Row::HotfixIsFaster,     fits: hotfix_is_faster,                         act: Act::Hotfix },
    // Everything else goes back, by the best option there is.
    Rule { row: Row::SpanCompatible,     fits: compatible,                               act: Act::CodeBack },
    Rule { row: Row::SpanUnknownFleet,   fits: |f| unknown(f) && f.hosts > 1,            act: Act::OneHostFirst },
    Rule { row: Row::SpanUnknownAlone,   fits: unknown,                                  act: Act::Ask },
    Rule { row: Row::SpanBreaksHotfix,   fits: |f| hotfix_thinkable(f) && can_wait(f),   act: Act::HotfixOnTop },
    Rule { row: Row::SpanBreaksDown,     fits: downs_run,                                act: Act::DownAndBack },
    Rule { row: Row::SpanBreaksNoDown,   fits: |_| true,                                 act: Act::HotfixOnTop },
];

fn small_bug(facts: &Facts) -> bool {
    facts.mode == FailureMode::SmallBug
}

fn flag_known(facts: &Facts) -> bool {
    matches!(facts.flag, Flag::Known { .. })
}

fn hotfix_is_faster(facts: &Facts) -> bool {
    match (facts.hotfix, facts.ceremony.ms()) {
        (Hotfix::After { eta_ms }, Some(ceremony_ms)) => eta_ms < ceremony_ms,
        _ => false,
    }
}

fn compatible(facts: &Facts) -> bool {
    matches!(facts.span, Span::Compatible { .. })
}

fn unknown(facts: &Facts) -> bool {
    matches!(facts.span, Span::Unknown { .. })
}

/// Nobody said that there cannot be one.
fn hotfix_thinkable(facts: &Facts) -> bool {
    facts.hotfix != Hotfix::OutOfTheQuestion
}

fn can_wait(facts: &Facts) -> bool {
    facts.can_be_held || facts.can_be_borne || facts.contained
}

fn downs_run(facts: &Facts) -> bool {
    matches!(facts.down, Down::Runs { .. })
}

/// What to do, and what speaks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Whether to hold the service at once, before anything else.
    pub hold_first: bool,
    /// What to do.
    pub act: Act,
    /// Which row said so.
    pub row: Row,
    /// What else a person should know, in order.
    pub because: Vec<Because>,
}

/// Something that the decision rests on, beside its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// Every minute of the running code does harm.
    HarmGoesOn,
    /// It fails badly.
    FailsBadly,
    /// Nobody knows how it fails. Bad releases compound.
    Unsure,
    /// The hotfix takes the runbook's 30 minutes or more.
    HotfixTooSlow,
    /// The hotfix takes less, and going back is not known to be slower.
    HotfixNotFaster,
    /// Nobody said when a hotfix could be there.
    HotfixNotKnown,
    /// How long going back takes was never measured here.
    CeremonyNotKnown,
    /// How long going back takes is known from a rehearsal alone.
    CeremonyRehearsed,
    /// A flag was named that cannot be turned off.
    FlagNotKnown,
    /// The service is held meanwhile.
    HeldMeanwhile,
    /// The release is borne meanwhile.
    BorneMeanwhile,
    /// Why option 3 was refused is in the facts.
    DownRefused,
    /// What option 3 loses is in the facts.
    LossKnown,
}

/// Looks the facts up in the table.
pub fn decide(facts: &Facts) -> Decision {
    // The last row fits always; the fallback is the same as that row.
    let rule = TABLE.iter().find(|rule| (rule.fits)(facts));
    let (row, act) = rule.map_or((Row::SpanBreaksNoDown, Act::HotfixOnTop), |rule| (rule.row, rule.act));
    Decision {
        hold_first: facts.mode.harms_while_it_runs() && !facts.contained,
        act,
        row,
        because: because(facts, row),
    }
}

/// What the table says without the rows by which something is faster than going back: somebody knows better of the
/// flag or the hotfix, which says nothing of the schema.
pub fn going_back(facts: &Facts) -> Decision {
    let (flag, hotfix) = match facts.hotfix {
        Hotfix::OutOfTheQuestion => (Flag::None, Hotfix::OutOfTheQuestion),
        Hotfix::NotKnown | Hotfix::After { .. } => (Flag::None, Hotfix::NotKnown),
    };
    decide(&Facts { flag, hotfix, ..facts.clone() })
}

fn because(facts: &Facts, row: Row) -> Vec<Because> {
    let mut all = Vec::new();
    let forward = matches!(row, Row::SmallBugBehindFlag | Row::HotfixIsFaster);
    if facts.mode.harms_while_it_runs() && !facts.contained {
        all.push(Because::HarmGoesOn);
    }
    if !forward {
        match facts.mode {
            FailureMode::AuthRegression | FailureMode::DataCorruption | FailureMode::PanicLoop => {
                all.push(Because::FailsBadly);
            }
            FailureMode::Unsure => all.push(Because::Unsure),
            FailureMode::Degraded | FailureMode::SmallBug => {}
        }
        match facts.hotfix {
            Hotfix::After { eta_ms } if eta_ms >= HOTFIX_MS_MAX => all.push(Because::HotfixTooSlow),
            Hotfix::After { .. } if facts.ceremony != Ceremony::NotKnown => {
                all.push(Because::HotfixNotFaster);
            }
            Hotfix::After { .. } => all.push(Because::CeremonyNotKnown),
            Hotfix::NotKnown => all.push(Because::HotfixNotKnown),
            Hotfix::OutOfTheQuestion => {}
        }
        if facts.mode == FailureMode::SmallBug && matches!(facts.flag, Flag::NotKnown { .. }) {
            all.push(Because::FlagNotKnown);
        }
    }
    let weighed = matches!(facts.hotfix, Hotfix::After { .. }) && row != Row::SmallBugBehindFlag;
    if weighed && matches!(facts.ceremony, Ceremony::Rehearsed { .. }) {
        all.push(Because::CeremonyRehearsed);
    }
    match row {
        Row::SpanBreaksHotfix if facts.can_be_borne && !facts.contained => all.push(Because::BorneMeanwhile),
        Row::SpanBreaksHotfix => all.push(Because::HeldMeanwhile),
        Row::SpanBreaksDown => all.push(Because::LossKnown),
        Row::SpanBreaksNoDown => all.push(Because::DownRefused),
        Row::SmallBugBehindFlag
        | Row::HotfixIsFaster
        | Row::SpanCompatible
        | Row::SpanUnknownFleet
        | Row::SpanUnknownAlone => {}
    }
    all
}

#[cfg(test)]
mod tests;
