//! Which order a unit is flipped in, from what systemd says of it: the one table. Decides, and asks nothing.

use std::path::Path;

use unship_core::protocol::{FlipOrder, OverlapGap, SystemdUnit, UnitFlip};

use super::unit::{ServiceFacts, SocketFacts};

/// What the choice is made from.
pub(super) struct Seen<'a> {
    /// The unit as the configuration names it.
    pub(super) unit: &'a str,
    /// What systemd calls it and what belongs to it.
    pub(super) names: &'a SystemdUnit,
    /// The plain unit, or the template's instance [`super::unit::LOOK_TAG`].
    pub(super) service: &'a ServiceFacts,
    /// Where that instance should find the release's program.
    pub(super) expected: &'a Path,
    /// Whether the plain unit's program is found through `<root>/current`.
    pub(super) through_current: bool,
    /// Its socket.
    pub(super) socket: Option<&'a SocketFacts>,
    /// The unit that holds its socket.
    pub(super) hold: Option<&'a ServiceFacts>,
}

/// The order, and what overlap misses.
pub(super) fn choose(seen: &Seen<'_>) -> UnitFlip {
    let gaps = gaps(seen);
    let order = match seen.names.template() {
        Some(_) if seen.names.timer.is_none() && seen.socket.is_some() && gaps.is_empty() => {
            FlipOrder::Overlap
        }
        Some(_) => FlipOrder::Restart,
        None if seen.names.reload && seen.service.reloads => FlipOrder::Reload,
        None if seen.through_current => FlipOrder::Restart,
        None => FlipOrder::Swap,
    };
    let holds = |hold: &ServiceFacts| {
        let takes = |socket: &String| hold.triggered_by.contains(socket);
        hold.load_state == "loaded" && seen.names.socket.as_ref().is_some_and(takes)
    };
    UnitFlip { unit: seen.unit.to_owned(), order, gaps, can_hold: seen.hold.is_some_and(holds) }
}

fn gaps(seen: &Seen<'_>) -> Vec<OverlapGap> {
    let names = seen.names;
    let mut gaps = Vec::new();
    if names.template().is_some() && seen.service.program.as_deref() != Some(seen.expected) {
        let expected = seen.expected.display().to_string().replace(super::unit::LOOK_TAG, "%I");
        gaps.push(OverlapGap::OtherProgram { unit: names.unit.clone(), expected });
    }
    // What has no listener has nothing to share: it is no lack.
    let Some(socket) = &names.socket else { return gaps };
    let unit = || names.unit.clone();
    let Some(_) = names.template() else {
        let stem = names.unit.strip_suffix(".service").unwrap_or(&names.unit);
        gaps.push(OverlapGap::NoTemplate { unit: unit(), template: format!("{stem}@.service") });
        return gaps;
    };
    match seen.socket.filter(|socket| socket.load_state == "loaded") {
        None => gaps.push(OverlapGap::SocketMissing { socket: socket.clone() }),
        Some(facts) => {
            if facts.accept {
                gaps.push(OverlapGap::Accepts { socket: socket.clone() });
            }
            if facts.trigger_limit_interval_us != 0 {
                gaps.push(OverlapGap::TriggerLimit { socket: socket.clone() });
            }
        }
    }
    if !seen.service.triggered_by.contains(socket) {
        gaps.push(OverlapGap::SocketNotTaken { unit: unit(), socket: socket.clone() });
    }
    if !seen.service.kind.starts_with("notify") {
        gaps.push(OverlapGap::NotNotify { unit: unit(), kind: seen.service.kind.clone() });
    }
    if seen.service.start_limit_interval_us != 0 {
        gaps.push(OverlapGap::StartLimit { unit: unit() });
    }
    gaps
}

#[cfg(test)]
#[path = "choice_tests.rs"]
pub(super) mod tests;
