//! The closed set of steps.

use serde::{Deserialize, Serialize};

use crate::ci::CiProof;
use crate::down::Program;
use crate::evidence::Evidence;
use crate::flags::{FlagName, FlagWas};
use crate::protocol::{Adoption, Flip};
use crate::release::{HostName, Release};

/// One step of a plan. Each has a do and a check in the app's executor, and says here what its undo is and
/// what its failure means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// Brings a release's files onto a host and publishes them there.
    Stage {
        /// The host.
        host: HostName,
        /// The release.
        release: Release,
    },
    /// Runs the service's own migrations up to the release's newest, once, with the release's own program.
    MigrateUp {
        /// The release whose migrations are applied.
        release: Release,
    },
    /// Takes the fences of a bad release away, so that a release on top of it may apply its migrations again.
    LiftFences {
        /// The bad release.
        release: Release,
    },
    /// Takes the newest applied migration down, in a transaction of its own, while nothing serves. What it destroys
    /// is in the program, was accepted, and is salvaged.
    StepDown {
        /// The release that brought the migration.
        release: Release,
        /// What is executed.
        program: Box<Program>,
    },
    /// Runs the user's own deploy command for a release, once. Nothing can fence it: one that was started goes on
    /// when unship is gone. It is waited for then, and never run beside itself.
    Command {
        /// What it brings out.
        release: Release,
        /// What it brings out when the run goes back; none when it is not known what served before.
        from: Option<Release>,
        /// What is run, a line a command, for people.
        lines: Vec<String>,
        /// The invocations that serve now and must not serve afterwards.
        replaces: Vec<String>,
    },
    /// Stores what a host serves as a release and makes it the current one; nothing that serves is touched.
    Adopt {
        /// The host.
        host: HostName,
        /// What is taken over.
        adoption: Box<Adoption>,
    },
    /// Marks a release as bad in the ledger and on a host, so that nothing starts it there again.
    Quarantine {
        /// The host.
        host: HostName,
        /// The release.
        release: Release,
        /// Why.
        reason: String,
    },
    /// Makes a host serve `to`, and `to` only.
    Flip {
        /// The host.
        host: HostName,
        /// What it served before; none when it served nothing.
        from: Option<Release>,
        /// What it must serve.
        to: Release,
        /// In which order to stop and start.
        flip: Flip,
        /// Set where the host is held now: what `Retry-After` says there, in seconds. Taking the flip back
        /// holds it again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        held_retry_after_s: Option<u32>,
    },
    /// Keeps a host from serving: units with a listener answer 503, the others are stopped.
    Hold {
        /// The host.
        host: HostName,
        /// What it served before; none when it served nothing.
        from: Option<Release>,
        /// What `Retry-After` says, in seconds.
        retry_after_s: u32,
    },
    /// Makes a held host serve again what it served when it was held.
    ReleaseHold {
        /// The host.
        host: HostName,
        /// What it must serve.
        release: Release,
        /// What `Retry-After` says there now, in seconds.
        retry_after_s: u32,
    },
    /// Proves from outside that a host serves the release: executable, instances, probes.
    Prove {
        /// The host.
        host: HostName,
        /// The release.
        release: Release,
    },
    /// Runs the configured smoke command once against the environment.
    Smoke {
        /// The release that must pass.
        release: Release,
    },
    /// Removes stored releases beyond the configured number from a host.
    Prune {
        /// The host.
        host: HostName,
        /// The releases to keep besides what is current or running.
        keep: Vec<Release>,
    },
    /// Writes into a release's capsule what can be known only now: what CI says of it, and the flags.
    Record {
        /// The release.
        release: Release,
        /// What it replaces.
        replaces: Option<Release>,
        /// Whether it is about to be brought out or has been.
        moment: Moment,
    },
    /// Puts the flags that a release's own file has otherwise than that of the release before it.
    InstallFlags {
        /// The release whose file counts.
        release: Release,
        /// The release whose file counted before.
        replaces: Option<Release>,
    },
    /// Turns flags off.
    TurnOffFlags {
        /// The flags, with what they were set to when the plan was made.
        flags: Vec<FlagWas>,
        /// Flags that somebody turned on and that stay on until a person says otherwise: they are owed a look.
        left: Vec<FlagName>,
    },
    /// Sets flags back to what they were.
    RestoreFlags {
        /// The flags, with what they are to be set to.
        flags: Vec<FlagWas>,
    },
    /// Confirms that a release passed CI. It fails when that is not so: an incident of its own.
    ConfirmCi {
        /// The release.
        release: Release,
        /// The commit that it was built from.
        commit: Evidence<String>,
        /// What was known when the plan was made, for when the CI system cannot be asked.
        known: Evidence<CiProof>,
    },
}

/// When something is recorded of a deploy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Before anything is brought out.
    Before,
    /// When every host serves it.
    After,
}

/// What taking a step back means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undo {
    /// Nothing has to be done: what the step left does no harm.
    Nothing,
    /// Doing this step instead.
    Step(Box<Step>),
    /// Running the user's own deploy command for the release that served before.
    Command {
        /// What was brought out.
        release: Release,
        /// What served before; none when that has no tag, and then nothing can be brought out in its place.
        from: Option<Release>,
    },
    /// Applying the migration again that was taken down, and putting back what was salvaged.
    StepUp {
        /// The release that brought it.
        release: Release,
        /// What was executed.
        program: Box<Program>,
    },
    /// Lifting the quarantine of the release on the host.
    LiftQuarantine {
        /// The host.
        host: HostName,
        /// The release.
        release: Release,
    },
    /// Making the host serve nothing again, as it was before.
    ServeNothing {
        /// The host.
        host: HostName,
    },
    /// It cannot be taken back by this run; the text says what that means.
    PointOfNoReturn(&'static str),
}

/// What the failure of a step means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Undo what was done, in reverse.
    GoBack,
    /// Skip the host's later steps, go on with the others, name it at the end.
    PassOver,
    /// Go on with everything else, and call the run incomplete at its end.
    GoOn,
    /// Begin nothing more and leave the run open: what comes next would do harm without this step. It is tried
    /// again, or everything is taken back, when a person says so.
    Halt,
    /// Say it and go on: what the run promises does not hang on it.
    Note,
}

impl Step {
    /// The host that the step acts on; none for steps of the whole environment.
    pub fn host(&self) -> Option<&HostName> {
        match self {
            Step::Stage { host, .. }
            | Step::Adopt { host, .. }
            | Step::Quarantine { host, .. }
            | Step::Flip { host, .. }
            | Step::Hold { host, .. }
            | Step::ReleaseHold { host, .. }
            | Step::Prove { host, .. }
            | Step::Prune { host, .. } => Some(host),
            Step::MigrateUp { .. }
            | Step::LiftFences { .. }
            | Step::StepDown { .. }
            | Step::Command { .. }
            | Step::Smoke { .. }
            | Step::Record { .. }
            | Step::InstallFlags { .. }
            | Step::TurnOffFlags { .. }
            | Step::RestoreFlags { .. }
            | Step::ConfirmCi { .. } => None,
        }
    }

    /// What taking it back means.
    pub fn undo(&self) -> Undo {
        match self {
            Step::Stage { .. }
            | Step::Prove { .. }
            | Step::Smoke { .. }
            | Step::Record { .. }
            | Step::ConfirmCi { .. }
            | Step::InstallFlags { replaces: None, .. } => Undo::Nothing,
            Step::InstallFlags { release, replaces: Some(replaces) } => {
                Undo::Step(Box::new(Step::InstallFlags {
                    release: replaces.clone(),
                    replaces: Some(release.clone()),
                }))
            }
            Step::TurnOffFlags { flags, .. } => {
                Undo::Step(Box::new(Step::RestoreFlags { flags: flags.clone() }))
            }
            Step::RestoreFlags { flags } => {
                Undo::Step(Box::new(Step::TurnOffFlags { flags: flags.clone(), left: Vec::new() }))
            }
            Step::MigrateUp { .. } => {
                Undo::PointOfNoReturn("the migrations stay applied; taking one down is a decision of its own")
            }
            Step::LiftFences { .. } => {
                Undo::PointOfNoReturn("the fences stay lifted; the release itself stays in quarantine")
            }
            Step::StepDown { release, program } => {
                Undo::StepUp { release: release.clone(), program: program.clone() }
            }
            Step::Command { release, from, .. } => {
                Undo::Command { release: release.clone(), from: from.clone() }
            }
            Step::Adopt { .. } => {
                Undo::PointOfNoReturn("what was stored stays there; nothing that serves was touched")
            }
            Step::Quarantine { host, release, .. } => {
                Undo::LiftQuarantine { host: host.clone(), release: release.clone() }
            }
            Step::Flip { host, from, held_retry_after_s: Some(retry_after_s), .. } => {
                Undo::Step(Box::new(Step::Hold {
                    host: host.clone(),
                    from: from.clone(),
                    retry_after_s: *retry_after_s,
                }))
            }
            Step::Flip { host, from: Some(from), to, .. } => Undo::Step(Box::new(Step::Flip {
                host: host.clone(),
                from: Some(to.clone()),
                to: from.clone(),
                flip: Flip::Overlap,
                held_retry_after_s: None,
            })),
            Step::Flip { host, from: None, .. } | Step::Hold { host, from: None, .. } => {
                Undo::ServeNothing { host: host.clone() }
            }
            Step::Hold { host, from: Some(release), retry_after_s } => {
                Undo::Step(Box::new(Step::ReleaseHold {
                    host: host.clone(),
                    release: release.clone(),
                    retry_after_s: *retry_after_s,
                }))
            }
            Step::ReleaseHold { host, release, retry_after_s } => Undo::Step(Box::new(Step::Hold {
                host: host.clone(),
                from: Some(release.clone()),
                retry_after_s: *retry_after_s,
            })),
            Step::Prune { .. } => Undo::PointOfNoReturn("removed releases have to be staged again"),
        }
    }

    /// The step in a few words, for the plan and for progress.
    pub fn title(&self) -> String {
        self.title_on(self.host().map_or("", HostName::as_str))
    }

    /// The same with another name, or several, where its host's stands.
    pub fn title_on(&self, host: &str) -> String {
        match self {
            Step::Stage { release, .. } => format!("stage {release} on {host}"),
            Step::MigrateUp { release } => format!("apply the migrations of {release}"),
            Step::LiftFences { release } => format!("lift the fences of {release}"),
            Step::StepDown { program, .. } => format!("take {} down", program.migration),
            Step::Command { release, .. } => format!("run the deploy command of {release}"),
            Step::Adopt { adoption, .. } => format!("take {} over on {host}", adoption.manifest.tag),
            Step::Quarantine { release, .. } => format!("quarantine {release} on {host}"),
            Step::Flip { to, .. } => format!("flip {host} to {to}"),
            Step::Hold { .. } => format!("hold {host}"),
            Step::ReleaseHold { release, .. } => format!("release {host} to {release}"),
            Step::Prove { release, .. } => format!("prove {release} on {host}"),
            Step::Smoke { release } => format!("smoke test of {release}"),
            Step::Prune { .. } => format!("remove old releases from {host}"),
            Step::Record { release, moment: Moment::Before, .. } => {
                format!("record CI and flags of {release}")
            }
            Step::Record { release, moment: Moment::After, .. } => {
                format!("record the flags that {release} turned on")
            }
            Step::InstallFlags { release, .. } => format!("put the flags of {release}"),
            Step::TurnOffFlags { flags, left } if flags.is_empty() => {
                format!("leave {} on", flag_names(left.iter()))
            }
            Step::TurnOffFlags { flags, .. } => {
                format!("turn off {}", flag_names(flags.iter().map(|flag| &flag.name)))
            }
            Step::RestoreFlags { flags } => {
                format!("set back {}", flag_names(flags.iter().map(|flag| &flag.name)))
            }
            Step::ConfirmCi { release, .. } => format!("confirm that {release} passed CI"),
        }
    }
}

/// `flag a` or `flags a, b`.
fn flag_names<'a>(names: impl Iterator<Item = &'a FlagName>) -> String {
    let names: Vec<&str> = names.map(FlagName::as_str).collect();
    format!("{} {}", if names.len() == 1 { "flag" } else { "flags" }, names.join(", "))
}
