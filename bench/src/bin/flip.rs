//! `make bench-flip`: 100 flips back and forth at 500 requests a second, slow ones among them, against the
//! floor: start the target, wait until it is ready, tell the other to stop.
//!
//! Ours is what a deploy does from the intent of the flip to the proof of the target: journal with fsync, the
//! host's checks, the child runner, the proof from inside and outside. Both sides alternate under the same
//! load; neither waits for the drain. A failed request fails the benchmark.

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use unship::config::Config;
use unship::flow::drill::Stage;
use unship::flow::{deploy, run};
use unship::load::plan::RequestPlan;
use unship::load::{Load, LoadPlan, Recording, Variables};
use unship::ports::{Progress, World};
use unship::wire::sandbox::Sandbox;
use unship_bench::{Comparison, report};
use unship_core::journal::Outcome;
use unship_core::plan::Step;
use unship_core::release::{Release, Tag};

/// Flips on each side.
const FLIPS: usize = 100;
/// Requests a second.
const RATE: u32 = 500;
/// The pause after each flip, so that the machine is not full of draining instances.
const PAUSE: Duration = Duration::from_millis(100);
/// The aim for the ratio.
const AIM: f64 = 1.15;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    // The sandbox starts this very program as its child runner, and that as the shim of each instance.
    let verb = std::env::args_os().nth(1);
    if verb.as_deref().is_some_and(|verb| verb == unship_host::supervise::SHIM_VERB) {
        return unship::cli::shim_failed(&unship_host::supervise::exec_shim(std::env::args_os()));
    }
    if verb.is_some_and(|verb| verb == "supervise") {
        return unship::cli::main();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = runtime.map_err(Failure::from).and_then(|runtime| runtime.block_on(bench()));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn bench() -> Result<(), Failure> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testbed/tinyd/unship.toml");
    let drill = Config::read(&file)?.drill.ok_or("tinyd has no drill")?;
    let scenario = drill.scenarios.find(Some("flip")).ok_or("tinyd has no scenario `flip`")?;
    let mut sandbox = Sandbox::open(&file, None, &std::env::current_exe()?).await?;
    let result = flips(&mut sandbox, &scenario.good, &scenario.bad).await;
    for killed in sandbox.close().await {
        note(&format!("warning: {killed}"));
    }
    let Flips { ours, step, floor, whole, recording } = result?;
    let failed: Vec<_> = recording.samples.iter().filter(|sample| recording.failed(sample)).collect();
    let asked = recording.samples.len();
    note(&format!("{FLIPS} flips under load: {} of {asked} requests failed", failed.len()));
    let ratio = report(&Comparison { name: "flip".into(), ours, other: floor.clone(), unit: "ms" })?;
    // For the record: the flip alone, with the host's own proof and its place in the journal, but without the
    // look from outside.
    report(&Comparison { name: "flip-step".into(), ours: step, other: floor.clone(), unit: "ms" })?;
    // And a whole run, from the operator's command to the last line of the ledger.
    report(&Comparison { name: "flip-run".into(), ours: whole, other: floor, unit: "ms" })?;
    if ratio > AIM {
        note(&format!("the ratio is above {AIM}, which is the aim"));
    }
    match failed.first() {
        None => Ok(()),
        Some(sample) => Err(format!(
            "{} requests failed, the first of `{}`: {}",
            failed.len(),
            recording.request_name(sample.request),
            sample.outcome
        )
        .into()),
    }
}

/// What was measured, in milliseconds.
struct Flips {
    ours: Vec<f64>,
    step: Vec<f64>,
    floor: Vec<f64>,
    whole: Vec<f64>,
    recording: Recording,
}

async fn flips(sandbox: &mut Sandbox, one: &Tag, other: &Tag) -> Result<Flips, Failure> {
    let clock = Arc::new(StepClock::default());
    let world = sandbox.world(Arc::clone(&clock) as Arc<dyn Progress>).await?;
    let releases = [flip(&world, &clock, one).await?.to, flip(&world, &clock, other).await?.to];
    let load = Load::start(&plan(), sandbox.address(), &Variables::new())?;
    let (mut ours, mut step, mut floor, mut whole) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    tokio::time::sleep(Duration::from_secs(1)).await;
    for round in 0..FLIPS {
        let (from, to) = (&releases[(round + 1) % 2], &releases[round % 2]);
        floor.push(ms(sandbox.bare_flip(Some(from), to).await?));
        tokio::time::sleep(PAUSE).await;
        let flipped = flip(&world, &clock, &to.tag).await?;
        ours.push(ms(flipped.steps));
        step.push(ms(flipped.flip));
        whole.push(ms(flipped.run));
        tokio::time::sleep(PAUSE).await;
    }
    let recording = load.stop().await?;
    Ok(Flips { ours, step, floor, whole, recording })
}

/// One flip through unship.
struct Flipped {
    to: Release,
    /// From the intent of the flip to the proof of the target.
    steps: Duration,
    /// The flip without the proof from outside.
    flip: Duration,
    /// From the plan to the end of the run.
    run: Duration,
}

async fn flip(world: &World, clock: &StepClock, tag: &Tag) -> Result<Flipped, Failure> {
    let began = Instant::now();
    let id = unship::wire::new_run_id(world.clock.now())?;
    let prepared = deploy::plan(world, id, tag, None).await?;
    let to = prepared.plan.to.clone();
    let title = |wanted: fn(&Step) -> bool| prepared.plan.steps().find(|step| wanted(step)).map(Step::title);
    let flip = title(|step| matches!(step, Step::Flip { .. })).ok_or("the plan has no flip")?;
    let proof = title(|step| matches!(step, Step::Prove { .. })).ok_or("the plan has no proof")?;
    let report = run::execute(world, prepared, &CancellationToken::new()).await?;
    if report.outcome != Some(Outcome::Completed) {
        return Err(format!("the flip to {tag} did not complete: {:?}", report.steps).into());
    }
    let steps = clock.between(&flip, &proof).ok_or("the steps were not seen")?;
    let flip = clock.between(&flip, &flip).ok_or("the flip was not seen")?;
    Ok(Flipped { to, steps, flip, run: began.elapsed() })
}

/// Half keep alive, 30 % POST, and always about ten slow requests and one stream in flight.
fn plan() -> LoadPlan {
    let request = |name: &str, method: &str, path: &str, weight, expect_status| RequestPlan {
        name: name.into(),
        method: method.into(),
        path: path.into(),
        headers: std::collections::BTreeMap::new(),
        body: None,
        weight,
        expect_status,
        stream: name == "watch",
        slow: name == "slow",
    };
    LoadPlan {
        rate_per_s: RATE,
        requests: vec![
            request("hello", "GET", "/", 69, 200),
            request("note", "POST", "/notes", 30, 201),
            request("slow", "GET", "/slow?ms=2000", 1, 200),
            request("watch", "GET", "/stream", 1, 200),
        ],
        ..LoadPlan::default()
    }
}

/// When steps begin and end.
#[derive(Default)]
struct StepClock {
    seen: Mutex<Vec<(bool, String, Instant)>>,
}

impl StepClock {
    fn note(&self, ended: bool, title: &str) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push((ended, title.to_owned(), Instant::now()));
    }

    /// From the latest beginning of one step to the latest end of the other.
    fn between(&self, begins: &str, ends: &str) -> Option<Duration> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = |ended: bool, title: &str| {
            seen.iter().rev().find(|(was, what, _)| *was == ended && what == title).map(|(_, _, at)| *at)
        };
        latest(true, ends)?.checked_duration_since(latest(false, begins)?)
    }
}

impl Progress for StepClock {
    fn started(&self, title: &str) {
        self.note(false, title);
    }

    fn done(&self, title: &str, _: u64) {
        self.note(true, title);
    }

    fn failed(&self, title: &str, error: &str) {
        note(&format!("failed: {title}: {error}"));
    }

    fn note(&self, text: &str) {
        note(text);
    }
}

fn note(text: &str) {
    unship::cli::output::say(text);
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
