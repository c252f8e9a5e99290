//! A scenario of the configuration as the flow takes it.

use crate::config::{DrillMode, ScenarioTable, SeenTable};
use crate::flow::drill::{Scenario, Seen};
use crate::flow::rollback::Mode;

/// What the flow is given for a scenario of the configuration.
pub fn scenario(table: &ScenarioTable) -> Scenario {
    Scenario {
        name: table.name.clone(),
        good: table.good.clone(),
        bad: table.bad.clone(),
        mode: mode(table.mode),
        accept_unknown_schema: table.accept_unknown_schema,
        steady_ms: table.steady.0,
        seen: seen(&table.seen),
        seen_within_ms: table.seen.within.0,
        settle_ms: table.settle.0,
        failed_requests_max: table.failed_requests,
    }
}

fn mode(mode: DrillMode) -> Mode {
    match mode {
        DrillMode::PanicLoop => Mode::PanicLoop,
        DrillMode::AuthRegression => Mode::AuthRegression,
        DrillMode::DataCorruption => Mode::DataCorruption,
        DrillMode::Degraded => Mode::Degraded,
        DrillMode::Unsure => Mode::Unsure,
    }
}

/// The configuration holds that exactly one is given.
fn seen(table: &SeenTable) -> Seen {
    match (table.restarts, table.status) {
        (Some(count), _) => Seen::Restarts { count },
        (None, Some((status, share))) => Seen::Status { status, share },
        (None, None) => Seen::SmokeFails,
    }
}
