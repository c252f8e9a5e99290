//! `drill`: rehearse a rollback for real. Deploys the good release, loads it, deploys the bad one, waits
//! until the failure shows, goes the scenario's way out (back, a flag off, forward to a hotfix, or back with
//! the migrations), and says what it cost. Users write meanwhile, and what they wrote is compared at the end.
//!
//! It deploys and rolls back through the same flows as an operator does. What a rehearsal needs besides is
//! the [`Stage`]: a world of its own, which whoever made it takes down again whatever happens here.

mod error;
mod figures;
mod lives;
mod report;
pub mod scenario;
mod timeline;
pub mod users;
mod watch;
mod way;

pub use error::DrillError;
pub use figures::{FailureGroup, Figures, Phase, PhaseFigures, Windows};
pub use lives::Lives;
pub use report::{DrillReport, Held, Moment};
pub use scenario::{Scenario, Seen, Way};
pub use users::{Compared, Task, UsersMoment};

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use unship_core::journal::Outcome;
use unship_core::plan::Step;
use unship_core::release::{Release, RunId, Tag};
use unship_core::verdict::Verdict;

use super::run::{self, Prepared};
use super::{RunReport, deploy, hotfix};
use crate::load::attribution::{Holding, Window};
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
    /// Runs one of the drill's own commands against the release that serves; what it printed. None where the drill
    /// has no such command.
    async fn command(&self, task: Task, serving: &Release) -> Result<Option<Vec<u8>>, CheckFailure>;
    /// Runs a command of the scenario's against the release that serves; what it complains of when it fails. That it
    /// could not be run is no complaint.
    async fn complaint(&self, command: &[String], serving: &Release) -> Result<Option<String>, CheckFailure>;
    /// Starts `from` without unship, then starts `to`, waits until it is ready and tells `from` to stop;
    /// how long that took, from the start of `to` to the signal. Without `from` nothing else runs. Leaves nothing
    /// running.
    async fn bare_flip(&self, from: Option<&Release>, to: &Release) -> Result<Duration, CheckFailure>;
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

    // All are built before anything is measured: compilers and load would disturb each other.
    let good = drill.build_and_deploy_good().await?;
    let bad = drill.build(&scenario.bad).await?;
    let end = match &scenario.way {
        Way::Back | Way::Down => good.clone(),
        Way::Flag(_) => bad.clone(),
        Way::Hotfix(hotfix) => drill.build(hotfix).await?,
    };
    let variables = drill.phase("set up", stage.set_up(&good)).await?;

    let load = Load::start(load_plan, stage.address(), &variables)?;
    let watch = Watch::start(stage.watched()?, &drill.world);
    timeline.load_began();
    let result = drill.under_load(&load, &watch, &good, &bad, &end).await;
    let recording = load.stop().await;
    timeline.mark("the load ends");
    let lives = watch.stop().await;
    let course = result?;
    let recording = recording?;
    let lives = lives.of_unit(stage.unit(), &recording);
    let figures = Figures::of(&recording, &lives, (&scenario.good, &scenario.bad), course.windows);

    let found = Found {
        smoke: drill.smoke(&end).await,
        serves: drill.serves(&end).await,
        users: drill.compare(&end).await?,
        floor: match scenario.way {
            Way::Flag(_) => None,
            Way::Back | Way::Hotfix(_) | Way::Down => Some(drill.floor(&bad, &end).await?),
        },
    };
    Ok(DrillReport::new(scenario, &course, &recording, &figures, found, timeline.moments()))
}

/// What was found when the load had ended.
struct Found {
    /// None where the service has no smoke test.
    smoke: Option<Result<(), String>>,
    serves: Result<(), String>,
    /// None where the drill has no users.
    users: Option<Compared>,
    /// None where nothing was flipped.
    floor: Option<Duration>,
}

/// What happened under load.
struct Course {
    windows: Windows,
    seen: String,
    seen_after_ms: u64,
    run: RunReport,
    /// The option of the runbook that its plan was.
    option: Option<u8>,
    /// What it destroyed, as it was said and accepted beforehand.
    losses: Vec<String>,
    ceremony: Duration,
    /// Whether the failure showed no more; none where the release that showed it is gone.
    gone: Option<Result<(), String>>,
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

    async fn build(&self, tag: &Tag) -> Result<Release, DrillError> {
        let built = self.world.source.build(tag, self.world.progress.as_ref()).await?;
        Ok(built.manifest.release())
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
        end: &Release,
    ) -> Result<Course, DrillError> {
        let Scenario { name, steady_ms, settle_ms, .. } = self.scenario;
        self.timeline.mark(&format!("{good} serves under load"));
        self.phase(&format!("{name}: load on {good}"), self.pause(*steady_ms)).await?;
        self.users_write(UsersMoment::Before, good).await?;

        let (deploy_from, began) = (load.now_us(), Instant::now());
        // A smoke test that fails would take the bad release back before anybody saw it fail.
        let mut unsmoked = self.world.clone();
        unsmoked.target.smokes = false;
        let prepared = deploy::plan(&unsmoked, self.run_id("bad"), &self.scenario.bad, None).await?;
        let deployed = self.execute(&unsmoked, prepared).await?;
        let deploy = Window { from_us: deploy_from, until_us: load.now_us() };
        let migrates = [Step::MigrateUp { release: bad.clone() }.title()];
        let unfit = self.timeline.began_at(&migrates, began);
        let unfit = if self.breaks(bad, good).await { unfit } else { None };
        self.users_write(UsersMoment::Between, bad).await?;

        let began = Instant::now();
        let seen = watch::wait(self, watch, load, bad, deployed.started_at);
        let seen = self.phase(&format!("{name}: wait for {}", self.scenario.seen.words()), seen).await?;
        let seen_after_ms = millis(began.elapsed());
        self.timeline.mark(&format!("seen: {seen}"));

        let (from_us, began) = (load.now_us(), Instant::now());
        let way = way::plan(&self.world, self.run_id(way::name(&self.scenario.way)), self.scenario).await?;
        let (proof, option) = (last_proof(&way.prepared), way::option(&way.prepared));
        let holds = way::holds(&way.prepared);
        let run = run::execute(&self.world, way.prepared, self.stop).await?;
        // The smoke test comes after the proof and is no part of the ceremony.
        let verified =
            proof.and_then(|title| self.timeline.done_at(&title, began)).unwrap_or_else(Instant::now);
        self.timeline.mark(&match &self.scenario.way {
            Way::Flag(flag) => format!("{flag} is off"),
            Way::Back | Way::Down => format!("{} is back", run.to),
            Way::Hotfix(_) => format!("{} serves", run.to),
        });
        let gone = match &self.scenario.way {
            Way::Flag(_) => Some(self.gone(load, bad).await?),
            Way::Back | Way::Hotfix(_) | Way::Down => None,
        };
        // The service looks at its flags when it likes: until then it fails as before.
        let until = if gone.is_some() { Instant::now() } else { verified };
        let rollback = Window { from_us, until_us: load.us(until) };
        let holding = holds.and_then(|holds| {
            let held_at = self.timeline.began_at(&holds.titles, began)?;
            let window = Window { from_us: load.us(held_at), until_us: rollback.until_us };
            Some(Holding { window, retry_after_s: holds.retry_after_s })
        });
        self.users_write(UsersMoment::After, end).await?;
        self.phase(&format!("{name}: load on {}", run.to), self.pause(*settle_ms)).await?;
        Ok(Course {
            windows: Windows { deploy, rollback, unfit_us: unfit.map(|at| load.us(at)), holding },
            seen,
            seen_after_ms,
            run,
            option,
            losses: way.losses,
            ceremony: verified.saturating_duration_since(began),
            gone,
        })
    }

    /// Waits until the failure shows no more; what shows of it if it does not go.
    async fn gone(&self, load: &Load, bad: &Release) -> Result<Result<(), String>, DrillError> {
        let gone = watch::gone(self, load, bad);
        let gone = self.phase("wait until the failure is gone", gone).await?;
        if gone.is_ok() {
            self.timeline.mark("the failure is gone");
        }
        Ok(gone)
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

    /// Whether the good release is known not to run on the bad one's schema.
    async fn breaks(&self, bad: &Release, good: &Release) -> bool {
        let verdicts = hotfix::judged(&self.world, bad).await;
        let towards = verdicts.iter().find(|(target, _)| target.digest == good.digest);
        towards.is_some_and(|(_, span)| span.overall() == Verdict::Breaks)
    }

    async fn users_write(&self, moment: UsersMoment, serving: &Release) -> Result<(), DrillError> {
        let title = format!("users write on {serving}");
        let written = self.stage.command(Task::Write(moment), serving).await?;
        if written.is_some() {
            self.timeline.mark(&title);
        }
        Ok(())
    }

    async fn compare(&self, serving: &Release) -> Result<Option<Compared>, DrillError> {
        let Some(printed) = self.stage.command(Task::Compare, serving).await? else { return Ok(None) };
        let compared = Compared::read(&printed).map_err(|why| CheckFailure {
            message: format!("{}: {why}", Task::Compare.name()),
            hint: None,
        })?;
        Ok(Some(compared))
    }

    /// What the flip takes without unship: the middle of a few. Where the bad release had to be stopped first, and its
    /// migrations are gone, nothing runs beside.
    async fn floor(&self, bad: &Release, end: &Release) -> Result<Duration, DrillError> {
        let from = (self.scenario.way != Way::Down).then_some(bad);
        let measure = async {
            let mut taken = Vec::with_capacity(BARE_FLIPS);
            while taken.len() < BARE_FLIPS && !self.stop.is_cancelled() {
                taken.push(self.stage.bare_flip(from, end).await?);
            }
            taken.sort_unstable();
            taken.get(taken.len() / 2).copied().ok_or(DrillError::Stopped)
        };
        let title =
            if from.is_some() { "the same flip without unship" } else { "the same start without unship" };
        self.phase(title, measure).await
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
    let mut proofs = prepared.plan.steps().filter(|step| matches!(step, Step::Prove { .. }));
    proofs.next_back().map(Step::title)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
