//! Where one thing cannot be done: what was done before it is taken back, or, where something does harm, the rest is
//! done all the same. Either way it is told.

use std::time::Duration;

use unship_core::capsule::CapsuleFile;
use unship_core::protocol::*;
use unship_core::release::Release;

use super::super::runner::{Pointing, Runner, RunnerError};
use super::super::words::Log;
use super::support::Host;
use crate::supervise::{SlotView, StartOrder, View};
use crate::systemd::SystemdError;

/// A runner that cannot point, as on a host whose `/etc` is full.
struct Pointless {
    runner: Box<dyn Runner + Send>,
    /// Whether part of it was done and could not be taken back.
    half: bool,
}

impl Runner for Pointless {
    fn point(&mut self, _to: Pointing<'_>) -> Result<Vec<String>, RunnerError> {
        let error = SystemdError::Io(std::io::ErrorKind::StorageFull.into());
        let half = SystemdError::HalfPointed { error: Box::new(error), left: "half of it".to_owned() };
        Err(if self.half { half } else { SystemdError::Io(std::io::ErrorKind::StorageFull.into()) }.into())
    }

    fn status(&mut self) -> Result<(View, Vec<InstanceExit>), RunnerError> {
        self.runner.status()
    }

    fn view(&mut self) -> Result<View, RunnerError> {
        self.runner.view()
    }

    fn check(&mut self, target: &Release) -> Result<(), RunnerError> {
        self.runner.check(target)
    }

    fn start(&mut self, order: StartOrder) -> Result<(u64, bool, View), RunnerError> {
        self.runner.start(order)
    }

    fn stop(&mut self, slot: u64, drain_ms_max: u64) -> Result<View, RunnerError> {
        self.runner.stop(slot, drain_ms_max)
    }

    fn wait(&mut self, after: u64, limit: Duration) -> Result<View, RunnerError> {
        self.runner.wait(after, limit)
    }

    fn log(&mut self, slot: &SlotView, from: u64) -> Log {
        self.runner.log(slot, from)
    }

    fn flips(&mut self, anew: bool) -> Result<Vec<UnitFlip>, RunnerError> {
        self.runner.flips(anew)
    }

    fn unit_files(&mut self) -> Result<Vec<CapsuleFile>, RunnerError> {
        self.runner.unit_files()
    }

    fn overlaps(&mut self, unit: &UnitSpec) -> Result<bool, RunnerError> {
        self.runner.overlaps(unit)
    }

    fn has_one_instance(&self) -> bool {
        self.runner.has_one_instance()
    }

    fn take_up(&mut self, unit: &UnitSpec, limit: Duration) -> Result<bool, RunnerError> {
        self.runner.take_up(unit, limit)
    }

    fn holds_while_stopped(&mut self, unit: &UnitSpec) -> Result<bool, RunnerError> {
        self.runner.holds_while_stopped(unit)
    }

    fn settle(&mut self) -> Result<Option<String>, RunnerError> {
        self.runner.settle()
    }

    fn bar(&mut self, slot: &SlotView) -> Result<Option<String>, RunnerError> {
        self.runner.bar(slot)
    }
}

/// Makes the host's runner one that cannot point; answers how to make it whole again.
fn break_pointing(host: &mut Host, half: bool) {
    let whole: Box<dyn Runner + Send> =
        Box::new(super::super::runner::Children::new(host.paths.runtime.clone()));
    host.agent.runner = Box::new(Pointless { runner: whole, half });
}

fn mend_pointing(host: &mut Host) {
    host.agent.runner = Box::new(super::super::runner::Children::new(host.paths.runtime.clone()));
}

#[test]
fn a_flip_that_cannot_be_what_boots_is_taken_back() {
    for flip in [Flip::Overlap, Flip::StopFirst] {
        let mut host = Host::new();
        let one = host.publish("v1.0.0", &[]);
        let two = host.publish("v1.1.0", &[]);
        // Also where nothing served before.
        for served in [None, Some(&one)] {
            if let Some(served) = served {
                mend_pointing(&mut host);
                host.flip(served);
            }
            break_pointing(&mut host, false);
            let request = host.converge_to(&two, flip);
            host.fails(request, true);
            let state = host.wait_for("the end of what was started", |state| {
                state.instances.iter().all(|instance| Some(&instance.release) == served)
            });
            assert_eq!((state.current.as_ref(), state.instances.len()), (served, served.into_iter().count()));
        }
        mend_pointing(&mut host);
        host.flip(&two);
        host.wait_alone(&two);
    }
}

#[test]
fn what_cannot_be_taken_back_is_told_and_both_serve() {
    let mut host = Host::new();
    let one = host.publish("v1.0.0", &[]);
    let two = host.publish("v1.1.0", &[]);
    host.flip(&one);
    break_pointing(&mut host, true);
    let request = host.converge_to(&two, Flip::Overlap);
    let (error, _) = host.fails(request, false);
    assert!(error.ends_with("half of it"), "{error}");
    let state = host.observe();
    assert_eq!((state.current.as_ref(), state.instances.len()), (Some(&one), 2));
    mend_pointing(&mut host);
    host.flip(&two);
    host.wait_alone(&two);
}

#[test]
fn a_hold_that_cannot_be_written_down_stops_what_does_harm_all_the_same() {
    let mut host = Host::new();
    let one = host.publish("v1.0.0", &[]);
    host.flip(&one);
    // The name under which the mark would be written is taken.
    let taken = host.paths.root.join(".held.json.new");
    std::fs::create_dir(&taken).expect("a folder");
    let desired = Desired {
        service: host.spec.clone(),
        serve: Serve::Hold { retry_after_s: 30 },
        flip: Flip::StopFirst,
    };
    let hold = HostRequest::Converge { desired: Box::new(desired) };
    let (error, _) = host.fails(hold.clone(), false);
    assert!(error.contains(".held.json.new") && error.contains("was stopped all the same"), "{error}");
    let state = host.observe();
    assert!(state.instances.iter().all(|instance| instance.release.is_hold()), "{state:#?}");
    assert_eq!((state.instances.len(), state.current), (1, None));

    std::fs::remove_dir(&taken).expect("removed");
    host.flip(&one);
    break_pointing(&mut host, false);
    let (error, _) = host.fails(hold.clone(), false);
    assert!(error.contains("was stopped all the same, and nothing answers"), "{error}");
    let state = host.observe();
    assert_eq!((state.instances, state.current), (Vec::new(), None));
    assert!(state.held.is_some());
    mend_pointing(&mut host);
    host.done(hold);
}
