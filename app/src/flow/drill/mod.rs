//! `drill`: rehearse a rollback for real. Deploys the good release, loads it, deploys the bad one, waits
//! until the failure shows, rolls back, and says what it cost.
//!
//! It deploys and rolls back through the same flows as an operator does. What a rehearsal needs besides is
//! the [`Stage`]: a world of its own, which whoever made it takes down again whatever happens here.

mod error;
mod figures;
mod lives;
mod report;
pub mod scenario;
mod timeline;
mod watch;

pub use error::DrillError;
pub use figures::{FailureGroup, Figures, Phase, PhaseFigures, Windows};
pub use lives::Lives;
pub use report::{DrillReport, Held, Moment};
pub use scenario::{Scenario, Seen};

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use unship_core::journal::Outcome;
use unship_core::plan::{RunKind, Step};
use unship_core::release::{Release, RunId};

use super::rollback::{self, Request};
use super::run::{self, Prepared};
use super::{RunReport, deploy};
use crate::load::attribution::Window;
use crate::load::{Load, LoadError, LoadPlan, Variables};
use crate::ports::{CheckFailure, Host, World};
use timeline::Timeline;
use watch::Watch;

/// How often the host and the load are looked at while something is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often the bare flip is measured; the middle value counts.
const BARE_FLIPS: usize = 5;

/// What a rehearsal needs besides the world it acts in.
#[async_trait]
pub trait Stage: Send + Sync {
    /// Where the load goes.
    fn address(&self) -> SocketAddr;
    /// The unit that listens there.
    fn unit(&self) -> &str;
    /// The host by a way of its own, so that looking at it waits for no one who acts on it.
    fn watched(&self) -> Result<Host, CheckFailure>;
    /// Runs the set-up command against the release that serves; what it printed.
    async fn set_up(&self, serving: &Release) -> Result<Variables, CheckFailure>;
    /// Starts `from` without unship, then starts `to`, waits until it is ready and tells `from` to stop;
    /// how long that took, from the start of `to` to the signal. Leaves nothing running.
    async fn bare_flip(&self, from: &Release, to: &Release) -> Result<Duration, CheckFailure>;
}

/// Rehearses one scenario. `stop` ends it at the next safe moment; what runs is left for the stage's owner
/// to end.
pub async fn run(
    world: &World,
    stage: &dyn Stage,
    scenario: &Scenario,
    load_plan: &LoadPlan,
    stop: &CancellationToken,
) -> Result<DrillReport, DrillError> {
    load_plan.check().map_err(LoadError::from)?;
    let timeline = Timeline::new(world);
    let drill = Drill { world: timeline.world(), stage, scenario, timeline: &timeline, stop };

    // Both are built before anything is measured: compilers and load would disturb each other.
    let good = drill.build_and_deploy_good().await?;
    let bad = drill.world.source.build(&scenario.bad, drill.world.progress.as_ref()).await?;
    let bad = bad.manifest.release();
    let variables = drill.phase("set up", stage.set_up(&good)).await?;

    let load = Load::start(load_plan, stage.address(), &variables)?;
    let watch = Watch::start(stage.watched()?, &drill.world);
    timeline.load_began();
    let result = drill.under_load(&load, &watch, &good, &bad).await;
    let recording = load.stop().await;
    timeline.mark("the load ends");
    let lives = watch.stop().await;
    let course = result?;
    let recording = recording?;
    let figures =
        Figures::of(&recording, &lives.of_unit(stage.unit(), &recording), &scenario.bad, course.windows);

    let smoke = drill.smoke(&good).await;
    let serves = drill.serves(&good).await;
    let floor = drill.floor(&bad, &good).await?;
    Ok(DrillReport::new(scenario, &course, &recording, &figures, smoke, serves, floor, timeline.moments()))
}

/// What happened under load.
struct Course {
    windows: Windows,
    seen: String,
    seen_after_ms: u64,
    rollback: RunReport,
    ceremony: Duration,
}

struct Drill<'a> {
    world: World,
    stage: &'a dyn Stage,
    scenario: &'a Scenario,
    timeline: &'a Timeline,
    stop: &'a CancellationToken,
}

impl Drill<'_> {
    /// Shows a piece of work that is not a step of a run.
    async fn phase<T, E: std::fmt::Display>(
        &self,
        title: &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.timeline.watcher().started(title);
        let began = Instant::now();
        let result = work.await;
        match &result {
            Ok(_) => self.timeline.watcher().done(title, millis(began.elapsed())),
            Err(error) => self.timeline.watcher().failed(title, &error.to_string()),
        }
        result
    }

    async fn build_and_deploy_good(&self) -> Result<Release, DrillError> {
        let prepared = deploy::plan(&self.world, self.run_id("good"), &self.scenario.good, None).await?;
        let good = prepared.plan.to.clone();
        self.execute(&self.world, prepared).await?;
        Ok(good)
    }

    async fn under_load(
        &self,
        load: &Load,
        watch: &Watch,
        good: &Release,
        bad: &Release,
    ) -> Result<Course, DrillError> {
        let Scenario { name, steady_ms, settle_ms, .. } = self.scenario;
        self.timeline.mark(&format!("{good} serves under load"));
        self.phase(&format!("{name}: load on {good}"), self.pause(*steady_ms)).await?;

        let deploy_from = load.now_us();
        // A smoke test that fails would take the bad release back before anybody saw it fail.
        let mut unsmoked = self.world.clone();
        unsmoked.target.smokes = false;
        let prepared = deploy::plan(&unsmoked, self.run_id("bad"), &self.scenario.bad, None).await?;
        let deployed = self.execute(&unsmoked, prepared).await?;
        let deploy = Window { from_us: deploy_from, until_us: load.now_us() };

        let began = Instant::now();
        let seen = watch::wait(&self.world, watch, load, bad, deployed.started_at, self.scenario, self.stop);
        let seen = self.phase(&format!("{name}: wait for {}", self.scenario.seen.words()), seen).await?;
        let seen_after_ms = millis(began.elapsed());
        self.timeline.mark(&format!("seen: {seen}"));

        let (from_us, began) = (load.now_us(), Instant::now());
        let request = Request {
            to: None,
            mode: self.scenario.mode,
            reason: Some(format!("drill {name}")),
            accept_unknown_schema: self.scenario.accept_unknown_schema,
            break_glass: false,
        };
        let proposal = rollback::plan(&self.world, self.run_id("rollback"), &request).await?;
        let proof = last_proof(&proposal.prepared);
        let run = run::execute(&self.world, proposal.prepared, self.stop).await?;
        // The smoke test comes after the proof and is no part of the ceremony.
        let verified =
            proof.and_then(|title| self.timeline.done_at(&title, began)).unwrap_or_else(Instant::now);
        let rollback = Window { from_us, until_us: load.us(verified) };
        self.timeline.mark(&format!("{} is back", run.to));
        self.phase(&format!("{name}: load on {}", run.to), self.pause(*settle_ms)).await?;
        Ok(Course {
            windows: Windows { deploy, rollback },
            seen,
            seen_after_ms,
            rollback: run,
            ceremony: verified.saturating_duration_since(began),
        })
    }

    /// Executes a deploy that has to succeed.
    async fn execute(&self, world: &World, prepared: Prepared) -> Result<RunReport, DrillError> {
        let report = run::execute(world, prepared, self.stop).await?;
        match report.outcome {
            Some(Outcome::Completed) => Ok(report),
            None => Err(DrillError::Stopped),
            Some(_) => Err(DrillError::deploy_failed(&report)),
        }
    }

    async fn pause(&self, ms: u64) -> Result<(), DrillError> {
        tokio::select! {
            () = self.stop.cancelled() => Err(DrillError::Stopped),
            () = tokio::time::sleep(Duration::from_millis(ms)) => Ok(()),
        }
    }

    /// The smoke test after everything; `None` when the service has none.
    async fn smoke(&self, good: &Release) -> Option<Result<(), String>> {
        if !self.world.target.smokes {
            return None;
        }
        let smoke = self.phase("smoke test", self.world.commands.smoke(good)).await;
        Some(smoke.map(|_| ()).map_err(|error| error.message))
    }

    /// Whether every host serves the release and nothing else, seen from inside and outside.
    async fn serves(&self, good: &Release) -> Result<(), String> {
        let run = self.run_id("proof");
        let hosts = super::observe::observe(&self.world, &run).await.map_err(|error| error.to_string())?;
        for facts in &hosts {
            let units = self.world.target.service.units.len();
            super::observe::serves_only(&facts.state, good, units)
                .map_err(|why| format!("{}: {why}", facts.host))?;
            self.world.prober.probe(&facts.host, &good.tag).await.map_err(|error| error.message)?;
        }
        Ok(())
    }

    /// What the flip takes without unship: the middle of a few.
    async fn floor(&self, bad: &Release, good: &Release) -> Result<Duration, DrillError> {
        let measure = async {
            let mut taken = Vec::with_capacity(BARE_FLIPS);
            while taken.len() < BARE_FLIPS && !self.stop.is_cancelled() {
                taken.push(self.stage.bare_flip(bad, good).await?);
            }
            taken.sort_unstable();
            taken.get(taken.len() / 2).copied().ok_or(DrillError::Stopped)
        };
        self.phase("the same flip without unship", measure).await
    }

    /// A name for a run of this drill: sortable by time, as all are.
    fn run_id(&self, what: &str) -> RunId {
        let name = format!("drill-{}-{what}", self.world.clock.now().0);
        // Letters, digits and dashes of a known length: always a name.
        name.parse().expect("a run's name")
    }
}

/// The title of the last step that proves the target.
fn last_proof(prepared: &Prepared) -> Option<String> {
    debug_assert_eq!(prepared.plan.kind, RunKind::Rollback);
    let mut proofs = prepared.plan.steps.iter().filter(|step| matches!(step, Step::Prove { .. }));
    proofs.next_back().map(Step::title)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
