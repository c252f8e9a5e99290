//! What the operator says of the failure: `--mode`, `--hotfix-eta`, `--flag`.

use std::str::FromStr;

use clap::builder::PossibleValue;
use unship_core::decision::{FailureMode, Flag, Hotfix};

use crate::flow::decide::Said;
use crate::wire::Site;

/// How the release fails, and what else bears on what to do.
#[derive(Debug, clap::Args)]
pub(super) struct FailureArgs {
    /// How the release fails; code that does harm while it runs is stopped before the other is started
    #[arg(long, value_enum, default_value_t = ModeArg(FailureMode::Unsure))]
    mode: ModeArg,

    /// When a hotfix could be there, for example `45m`; `none` when none can be thought of
    #[arg(long, value_name = "TIME")]
    hotfix_eta: Option<EtaArg>,

    /// The flag that the fault sits behind
    #[arg(long, value_name = "NAME")]
    flag: Option<String>,
}

impl FailureArgs {
    /// How it fails.
    pub(super) fn mode(&self) -> FailureMode {
        self.mode.0
    }

    /// The same with what the service's site knows: its flags, and its rehearsals.
    pub(super) async fn said(&self, site: &Site) -> Said {
        Said {
            mode: self.mode.0,
            hotfix: self.hotfix_eta.map_or(Hotfix::NotKnown, |eta| eta.0),
            flag: match &self.flag {
                Some(name) => site.flag(name).await,
                None => Flag::None,
            },
            rehearsed_ms: site.rehearsed_ms(),
        }
    }
}

/// A failure mode as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ModeArg(FailureMode);

const MODES: [ModeArg; FailureMode::ALL.len()] = [
    ModeArg(FailureMode::PanicLoop),
    ModeArg(FailureMode::AuthRegression),
    ModeArg(FailureMode::DataCorruption),
    ModeArg(FailureMode::Degraded),
    ModeArg(FailureMode::SmallBug),
    ModeArg(FailureMode::Unsure),
];

impl clap::ValueEnum for ModeArg {
    fn value_variants<'a>() -> &'a [ModeArg] {
        &MODES
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self.0 {
            FailureMode::PanicLoop => "It keeps ending by itself",
            FailureMode::AuthRegression => "It lets in whom it must not",
            FailureMode::DataCorruption => "It writes what is wrong",
            FailureMode::Degraded => "It is slow or answers with errors",
            FailureMode::SmallBug => "It does something small wrong, and can be borne for a while",
            FailureMode::Unsure => "Not known",
        };
        Some(PossibleValue::new(self.0.name()).help(help))
    }
}

/// The time until a hotfix as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct EtaArg(Hotfix);

/// The longest time that can be named: a week. Whoever needs longer has no hotfix.
const ETA_MS_MAX: u64 = 7 * 24 * 3_600_000;

impl FromStr for EtaArg {
    type Err = String;

    fn from_str(text: &str) -> Result<EtaArg, String> {
        if text == "none" {
            return Ok(EtaArg(Hotfix::OutOfTheQuestion));
        }
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let factor = match unit {
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err("a time with its unit is expected, such as `45m` or `2h`, or `none`".into()),
        };
        let eta_ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
        match eta_ms.filter(|ms| *ms <= ETA_MS_MAX) {
            Some(eta_ms) => Ok(EtaArg(Hotfix::After { eta_ms })),
            None => Err("at most 168h can be named".into()),
        }
    }
}

#[cfg(test)]
mod tests;
