//! What to run after an error.

use unship_core::down::SpanError;
use unship_core::flags::FlagName;
use unship_core::history::TargetError;
use unship_core::plan::PlanError;
use unship_core::release::{Release, RunId, Tag};

use super::FlowError;
use crate::ports::{DatabaseFailure, LedgerError, ShadowFailure, SourceError, TransportError};

/// What to run where hosts serve several releases.
const DIFFER_HINT: &str = "`unship status` shows what serves where; `unship rollback --to TAG` takes one of them back \
                           at a time, `--without HOST` leaves the others out";

/// The most names that a hint lists.
const NAMES_SHOWN: usize = 20;

impl FlowError {
    /// What to run, where that can be said.
    pub fn hint(&self) -> Option<String> {
        match self {
            FlowError::Plan(error) => plan_hint(error),
            FlowError::Target(error) => target_hint(error),
            FlowError::Quarantined { release, .. } => Some(lift_hint(release)),
            FlowError::Ledger(LedgerError::Held { .. }) => {
                Some("wait for it, or look at it with `unship status`".into())
            }
            FlowError::Interrupted { why, .. } if why.holder().is_some() => {
                Some("what was begun is in the journal; see who acts now with `unship status`".into())
            }
            FlowError::Overtaken { .. } => {
                Some("see what serves now with `unship status`, then decide again".into())
            }
            FlowError::Interrupted { .. } | FlowError::Unfinished { .. } | FlowError::NoWayBack { .. } => {
                Some("go on with `unship resume`, or end it with `unship abort`".into())
            }
            FlowError::SchemaUnknown { .. } => {
                Some("if you know that the old code runs there, say so with `--accept-unknown-schema`".into())
            }
            FlowError::SchemaBreaks { from, .. } => Some(format!(
                "option 2: roll forward, with a hotfix on top of {from}: `unship hotfix start`; option 3, the last \
                 resort: take its migrations down one checked step at a time, and only then the code: `--step-down`"
            )),
            FlowError::Fenced { release, .. } => Some(format!(
                "a hotfix on top of it lifts the fence: `unship hotfix ship TAG`; or `unship quarantine lift \
                 {release} --reason \"...\"`"
            )),
            FlowError::NotOnTop { bad, .. } => {
                Some(format!("`unship hotfix start --on {bad}` makes the branch for it"))
            }
            FlowError::HotfixUnproven { .. } => {
                Some("to ship it all the same, say why: `--override \"REASON\"`".into())
            }
            FlowError::DownRefused { bad, .. } => {
                Some(format!("option 2 is left: a hotfix on top of {bad}: `unship hotfix start`"))
            }
            FlowError::LossNotAccepted { reports, .. } => {
                let digests = reports.iter().map(|report| format!("--accept-loss {}", report.digest()));
                Some(format!(
                    "all of it is salvaged and can be put back; to accept it: `{}`",
                    digests.collect::<Vec<_>>().join(" ")
                ))
            }
            FlowError::GoForward { .. } => {
                Some("to go back all the same, say why: `--override \"REASON\"`".into())
            }
            FlowError::HoldWithCommand => Some(
                "stop the service by your own means where it does harm; `unship rollback` goes back".into(),
            ),
            FlowError::JournalBroken { run, .. } => Some(format!(
                "put `{run}.journal` in the ledger's folder aside once you have read it; until then \
                 `unship rollback --break-glass` passes over it"
            )),
            FlowError::Journal(_) | FlowError::Ledger(LedgerError::Failed { .. }) => {
                Some("at 3 a.m., act on the hosts alone: `unship rollback --break-glass`".into())
            }
            FlowError::HostsMissing { hosts } => {
                let without = hosts.iter().map(|missing| format!("--without {}", missing.host));
                Some(format!("to go on without: `{}`", without.collect::<Vec<_>>().join(" ")))
            }
            FlowError::HostsDiffer { .. } => Some(DIFFER_HINT.into()),
            FlowError::UnknownRelease { known, .. } => tags("known", known),
            FlowError::NothingSalvaged { known, .. } => (!known.is_empty()).then(|| {
                let known: Vec<&str> = known.iter().take(NAMES_SHOWN).map(RunId::as_str).collect();
                format!("something is of: {}", known.join(", "))
            }),
            FlowError::NoDatabase => {
                Some("name the file with its URL: `url_file = \"...\"` in [database]; docs/migrate.md".into())
            }
            FlowError::NoShadows => Some("name their folder: `folder = \"...\"` in [migrations]".into()),
            FlowError::Span(SpanError::Dirty) => Some(
                "see with the tool what the broken run left, mend it, and have the tool forget the mark \
                 (golang-migrate: `migrate force VERSION`)"
                    .into(),
            ),
            FlowError::Span(SpanError::Unknown { .. }) => Some(
                "name the release that brought it: its own files say how it is taken down (`--release TAG`)"
                    .into(),
            ),
            FlowError::Span(SpanError::OutOfOrder { .. }) => {
                Some("a hotfix on top of what serves (option 2) leaves both where they are".into())
            }
            FlowError::NoFlags => {
                Some("`example.toml` shows where flags can be: docs/flags.md says more".into())
            }
            FlowError::Flags { failure } => failure.hint.clone(),
            FlowError::UnknownFlag { known, .. } => {
                let shown: Vec<&str> = known.iter().take(NAMES_SHOWN).map(FlagName::as_str).collect();
                Some(format!("`unship flags list` shows them: {}", shown.join(", ")))
            }
            FlowError::NoFlagsTurnedOff { .. } => Some("`unship log` lists the runs".into()),
            FlowError::NotQuarantined { bad, .. } => tags("in quarantine", bad),
            FlowError::Database(DatabaseFailure { hint, .. })
            | FlowError::Shadow(ShadowFailure { hint, .. })
            | FlowError::Transport(TransportError { hint, .. })
            | FlowError::Source(SourceError { hint, .. })
            | FlowError::Host { hint, .. } => hint.clone(),
            _ => None,
        }
    }
}

fn tags(what: &str, tags: &[Tag]) -> Option<String> {
    let tags: Vec<&str> = tags.iter().map(Tag::as_str).collect();
    (!tags.is_empty()).then(|| format!("{what}: {}", tags.join(", ")))
}

/// What to run where no plan could be made.
fn plan_hint(error: &PlanError) -> Option<String> {
    Some(match error {
        PlanError::TargetNotStored { target, .. } => format!("deploy it instead: `unship deploy {target}`"),
        PlanError::TargetQuarantined { target, .. } => lift_hint(target),
        PlanError::DownNeedsEveryHost { hosts } => {
            let without: Vec<String> = hosts.iter().map(|host| format!("--without {host}")).collect();
            format!("switch it off, and say that it is off: `{}`", without.join(" "))
        }
        PlanError::DownWithCommand => {
            "stop the service by your own means, `unship migrate down`, then `unship rollback` again".into()
        }
        PlanError::AlreadyHeld => {
            "`unship rollback` goes back from here; `unship hold release --reason \"...\"` lets it serve"
                .into()
        }
        PlanError::NoCapacity { .. } => "bring the others back first, or lower `capacity_min`".into(),
        PlanError::SameRelease { .. } => {
            "`unship status` shows every release and what it may go back to".into()
        }
        PlanError::NoHosts { .. } | PlanError::NothingToHold | PlanError::NotHeld => return None,
    })
}

/// What to run where there is no release to go back to.
fn target_hint(error: &TargetError) -> Option<String> {
    match error {
        TargetError::NoneKnownGood { unproven } => Some(match unproven.first() {
            Some(first) => format!("name an unproven one yourself: `unship rollback --to {first}`"),
            None => "no other release is left to go back to; ship a hotfix: `unship deploy TAG`".into(),
        }),
        TargetError::Bad { instead: Some(other), .. } => {
            Some(format!("the newest known-good release is {other}: `unship rollback --to {other}`"))
        }
        TargetError::Bad { instead: None, .. } => None,
    }
}

fn lift_hint(release: &Release) -> String {
    format!("if it is good after all: `unship quarantine lift {release} --reason \"...\"`")
}
