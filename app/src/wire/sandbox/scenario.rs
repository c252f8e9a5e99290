//! A scenario of the configuration as the flow takes it.

use crate::config::{ScenarioTable, SeenTable};
use crate::flow::drill::{Scenario, Seen, Way};

/// What the flow is given for a scenario of the configuration.
pub fn scenario(table: &ScenarioTable) -> Scenario {
    Scenario {
        name: table.name.clone(),
        good: table.good.clone(),
        bad: table.bad.clone(),
        mode: table.mode,
        way: way(table),
        accept_unknown_schema: table.accept_unknown_schema,
        steady_ms: table.steady.0,
        seen: seen(&table.seen),
        seen_within_ms: table.seen.within.0,
        settle_ms: table.settle.0,
        failed_requests_max: table.failed_requests,
    }
}

/// The configuration holds that at most one is given.
fn way(table: &ScenarioTable) -> Way {
    match (&table.flag, &table.hotfix) {
        (Some(flag), _) => Way::Flag(flag.clone()),
        (None, Some(hotfix)) => Way::Hotfix(hotfix.clone()),
        (None, None) if table.down => Way::Down,
        (None, None) => Way::Back,
    }
}

/// The configuration holds that exactly one is given.
fn seen(table: &SeenTable) -> Seen {
    match (table.restarts, table.status, &table.check_fails) {
        (Some(count), ..) => Seen::Restarts { count },
        (None, Some((status, share)), _) => Seen::Status { status, share },
        (None, None, Some(command)) => Seen::CheckFails { command: command.words().to_vec() },
        (None, None, None) => Seen::SmokeFails,
    }
}
