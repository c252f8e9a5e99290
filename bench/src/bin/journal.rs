//! `make bench-journal`: what the journal costs per step and per flip, in microseconds, against a bare write and
//! fdatasync of the same bytes.
//!
//! A step is two entries: its intent, on the disk before the act, and what came of it. A flip is all that a
//! rollback of one host writes. Both sides write to files on the same disk, in turns, each entry with an fsync of
//! its own.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use unship::ledger::JournalFolder;
use unship::ports::{Journal, Journals};
use unship_bench::{paired, report};
use unship_core::history::Mark;
use unship_core::journal::{Entry, Event, NewMark, Outcome};
use unship_core::plan::{Plan, RunKind, Step, Wave};
use unship_core::protocol::{Action, Epoch, Flip, Holder};
use unship_core::release::{Digest, Release};
use unship_core::time::Timestamp;

/// Measured rounds of each side.
const ROUNDS: usize = 300;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<(), Failure> {
    // Beside the build, which is on a disk; the system's temporary folder may be in memory.
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bench");
    fs_err::create_dir_all(&target)?;
    let folder = tempfile::tempdir_in(target)?;
    let run = rollback()?;
    let step = run.iter().filter(|event| of_flip(event)).cloned().collect::<Vec<_>>();
    compare("journal", folder.path(), &step)?;
    compare("journal-flip", folder.path(), &run)
}

fn compare(name: &str, folder: &Path, events: &[Event]) -> Result<(), Failure> {
    let journals = JournalFolder::open(&folder.join(name))?;
    let mut journal = journals.create(&name.parse()?)?;
    let mut bare = File::create(folder.join(format!("{name}.bare")))?;
    let mut seq = 0;
    let lines = lines(&folder.join(format!("{name}.lines")), events)?;
    let comparison = paired::<Failure>(
        name,
        "us",
        ROUNDS,
        || {
            let entries: Vec<Entry> = (seq..).zip(events).map(|(seq, event)| entry(seq, event)).collect();
            seq += entries.len() as u64;
            timed(&entries, |entry| Ok(journal.append(entry)?))
        },
        || timed(&lines, |line| Ok(bare.write_all(line).and_then(|()| bare.sync_data())?)),
    )?;
    report(&comparison)?;
    Ok(())
}

fn timed<T>(all: &[T], mut each: impl FnMut(&T) -> Result<(), Failure>) -> Result<f64, Failure> {
    let began = Instant::now();
    for one in all {
        each(one)?;
    }
    Ok(began.elapsed().as_secs_f64() * 1e6)
}

/// The bytes that the journal writes for these events.
fn lines(folder: &Path, events: &[Event]) -> Result<Vec<Vec<u8>>, Failure> {
    let journals = JournalFolder::open(folder)?;
    let mut journal: Box<dyn Journal> = journals.create(&"lines".parse()?)?;
    for (seq, event) in (0..).zip(events) {
        journal.append(&entry(seq, event))?;
    }
    let bytes = fs_err::read(folder.join("lines.journal"))?;
    Ok(bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect())
}

fn entry(seq: u64, event: &Event) -> Entry {
    Entry { seq, at: Timestamp(1_767_225_600_000), event: event.clone() }
}

fn of_flip(event: &Event) -> bool {
    matches!(event, Event::Intent { step: 1, .. } | Event::Done { step: 1, .. })
}

/// What a rollback of one host writes.
fn rollback() -> Result<Vec<Event>, Failure> {
    let release =
        |tag: &str| Ok::<_, Failure>(Release { tag: tag.parse()?, digest: Digest::of(tag.as_bytes()) });
    let (bad, target) = (release("v1.4.0")?, release("v1.3.2")?);
    let host: unship_core::release::HostName = "local".parse()?;
    let flip = Step::Flip {
        host: host.clone(),
        from: Some(bad.clone()),
        to: target.clone(),
        flip: Flip::Overlap,
        held_retry_after_s: None,
    };
    let quarantine =
        Step::Quarantine { host: host.clone(), release: bad.clone(), reason: "panic loop".into() };
    let waves = vec![
        Wave::alone(quarantine),
        Wave { steps: vec![flip, Step::Prove { host, release: target.clone() }] },
    ];
    let actions: [&[&str]; 3] = [
        &["quarantine v1.4.0"],
        &[
            "verify v1.3.2",
            "start web@v1.3.2",
            "ready web@v1.3.2",
            "prove web@v1.3.2",
            "current -> v1.3.2",
            "stop web@v1.4.0 (draining)",
        ],
        &["/version says v1.3.2, /healthz answers 200"],
    ];
    let mark = NewMark { release: bad.clone(), mark: Mark::Bad, why: "panic loop".into() };
    let plan = Plan {
        kind: RunKind::Rollback,
        service: "shithub".parse()?,
        environment: "production".parse()?,
        from: Some(bad.clone()),
        to: target,
        reason: "panic loop".into(),
        waves,
        without: Vec::new(),
    };
    let holder = Holder {
        run: "20260101T000000-000-1".parse()?,
        who: "op@desk".into(),
        since: Timestamp(0),
        what: plan.title(),
    };
    let mut events = vec![Event::Started {
        holder,
        epoch: Epoch(7),
        plan: Box::new(plan),
        marks: vec![mark],
        decided: None,
    }];
    events.push(Event::Marked { release: bad, mark: Mark::Bad, why: "panic loop".into() });
    for (step, actions) in actions.iter().enumerate() {
        events.push(Event::Intent { step, attempt: 1 });
        let actions = actions.iter().map(|what| Action { what: (*what).into(), took_us: 1_234 }).collect();
        events.push(Event::Done { step, actions });
    }
    events.push(Event::Finished { outcome: Outcome::Completed, pulses: Vec::new() });
    Ok(events)
}
