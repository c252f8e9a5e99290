//! From facts to a plan. Refuses before anything is changed, and says what would help.

use super::facts::{CommandFacts, DeployFacts, HostFacts, PlanError, RollbackFacts};
use super::{MissingHost, Moment, OnFailure, Plan, RunKind, Step, Wave, WaveSize};
use crate::down::Program;
use crate::protocol::Flip;
use crate::release::{EnvironmentName, Release};

/// The plan of a deploy: stage everywhere, migrate once, flip host by host with proof, smoke, tidy up.
pub fn deploy(facts: &DeployFacts) -> Result<Plan, PlanError> {
    let DeployFacts { release, hosts, .. } = facts;
    check_hosts(&facts.environment, release, hosts)?;
    let from = serves_everywhere(hosts);
    let record = |moment| Step::Record { release: release.clone(), replaces: from.clone(), moment };
    let mut waves = Vec::new();
    waves.extend(facts.records.then(|| Wave::alone(record(Moment::Before))));
    if let Some(command) = &facts.command {
        waves.extend(command_waves(command, hosts, release));
        waves.extend(facts.smokes.then(|| Wave::alone(Step::Smoke { release: release.clone() })));
        waves.extend(facts.records.then(|| Wave::alone(record(Moment::After))));
        return Ok(deploy_of(facts, waves));
    }
    spare_capacity(facts)?;
    let stage = hosts.iter().filter(|host| !host.has(release));
    let stage = stage.map(|host| Step::Stage { host: host.host.clone(), release: release.clone() });
    waves.extend(Wave::of(stage.collect()));
    if let Some(release) = &facts.unfences {
        waves.push(Wave::alone(Step::LiftFences { release: release.clone() }));
    }
    if facts.migrates {
        waves.push(Wave::alone(Step::MigrateUp { release: release.clone() }));
    }
    let all = hosts.len() + facts.missing.len();
    let flipped = sized(hosts, hosts.iter().collect(), all, facts.size);
    waves.extend(flip_waves(flipped, release, Flip::Overlap, None));
    if facts.installs_flags {
        let (release, replaces) = (release.clone(), from.clone());
        waves.push(Wave::alone(Step::InstallFlags { release, replaces }));
    }
    if facts.smokes {
        waves.push(Wave::alone(Step::Smoke { release: release.clone() }));
    }
    waves.extend(facts.records.then(|| Wave::alone(record(Moment::After))));
    let prune = |host: &HostFacts| Step::Prune { host: host.host.clone(), keep: facts.keep.clone() };
    waves.extend(Wave::of(hosts.iter().map(prune).collect()));
    Ok(deploy_of(facts, waves))
}

fn deploy_of(facts: &DeployFacts, waves: Vec<Wave>) -> Plan {
    Plan {
        kind: RunKind::Deploy,
        service: facts.service.clone(),
        environment: facts.environment.clone(),
        from: serves_everywhere(&facts.hosts),
        to: facts.release.clone(),
        reason: String::new(),
        waves,
        without: facts.missing.clone(),
    }
}

/// The command for all hosts at once, then the proof of each. Its migrations are its own.
fn command_waves(command: &CommandFacts, hosts: &[HostFacts], to: &Release) -> Vec<Wave> {
    let serving = hosts.iter().flat_map(HostFacts::serving);
    let others = serving.filter(|instance| instance.release.digest != to.digest && instance.pid != 0);
    let run = Step::Command {
        release: to.clone(),
        from: command.from.clone(),
        lines: command.lines.clone(),
        replaces: others.map(|instance| instance.invocation.clone()).collect(),
    };
    let prove = hosts.iter().map(|host| Step::Prove { host: host.host.clone(), release: to.clone() });
    [Some(Wave::alone(run)), Wave::of(prove.collect())].into_iter().flatten().collect()
}

/// The plan of a rollback that leaves the schema alone: quarantine the bad release, flip every host with
/// proof, smoke. Nothing is brought over: the target was put there when it was deployed.
pub fn rollback(facts: &RollbackFacts) -> Result<Plan, PlanError> {
    let RollbackFacts { target, bad, .. } = facts;
    // The command brings the target over itself.
    let (hosts, lacking): (Vec<HostFacts>, Vec<HostFacts>) =
        facts.hosts.iter().cloned().partition(|host| facts.command.is_some() || host.has(target));
    let lacking = lacking.into_iter().map(|host| host.host);
    if hosts.is_empty() && lacking.len() > 0 {
        let hosts = lacking.map(|host| host.to_string()).collect();
        return Err(PlanError::TargetNotStored { target: target.clone(), hosts });
    }
    // One host that cannot go back is no reason to leave the others on the bad release.
    let lacking = lacking.map(|host| MissingHost { host, why: format!("it does not have {target}") });
    let without: Vec<MissingHost> = facts.missing.iter().cloned().chain(lacking).collect();
    let hosts = hosts.as_slice();
    check_hosts(&facts.environment, target, hosts)?;
    if bad.as_ref().is_some_and(|bad| bad.digest == target.digest) {
        return Err(PlanError::SameRelease { target: target.clone() });
    }
    let mut waves = containment(facts, hosts, &without)?;
    let marks = hosts.iter().flat_map(|host| bad.iter().map(move |bad| (host, bad)));
    let marks = marks.map(|(host, bad)| Step::Quarantine {
        host: host.host.clone(),
        release: bad.clone(),
        reason: facts.reason.clone(),
    });
    waves.extend(Wave::of(marks.collect()));
    if let Some(release) = bad {
        let down = |program: &Program| Step::StepDown {
            release: release.clone(),
            program: Box::new(program.clone()),
        };
        waves.extend(facts.downs.iter().map(|program| Wave::alone(down(program))));
    }
    match &facts.command {
        Some(command) => waves.extend(command_waves(command, hosts, target)),
        None => waves.extend(native_waves(facts, hosts, hosts.len() + without.len())),
    }
    if !(facts.flags_off.is_empty() && facts.flags_left.is_empty()) {
        let (flags, left) = (facts.flags_off.clone(), facts.flags_left.clone());
        waves.push(Wave::alone(Step::TurnOffFlags { flags, left }));
    }
    if facts.smokes {
        waves.push(Wave::alone(Step::Smoke { release: target.clone() }));
    }
    if let Some((commit, known)) = &facts.ci {
        let (commit, known) = (commit.clone(), known.clone());
        waves.push(Wave::alone(Step::ConfirmCi { release: target.clone(), commit, known }));
    }
    Ok(Plan {
        kind: RunKind::Rollback,
        service: facts.service.clone(),
        environment: facts.environment.clone(),
        from: bad.clone(),
        to: target.clone(),
        reason: facts.reason.clone(),
        waves,
        without,
    })
}

/// Holds every host that serves, before the schema changes under it. First of all, so that going all the way back
/// lets a release serve only after its quarantine is lifted.
fn containment(
    facts: &RollbackFacts,
    hosts: &[HostFacts],
    without: &[MissingHost],
) -> Result<Vec<Wave>, PlanError> {
    if facts.downs.is_empty() {
        return Ok(Vec::new());
    }
    if facts.command.is_some() {
        return Err(PlanError::DownWithCommand);
    }
    let may_write = without.iter().filter(|missing| !facts.left_out.contains(&missing.host));
    let away: Vec<String> = may_write.map(|missing| missing.host.to_string()).collect();
    if !away.is_empty() {
        return Err(PlanError::DownNeedsEveryHost { hosts: away });
    }
    let serving = hosts.iter().filter(|host| host.held().is_none());
    let hold = serving.map(|host| Step::Hold {
        host: host.host.clone(),
        from: host.serves().cloned(),
        retry_after_s: facts.retry_after_s,
    });
    Ok(Wave::of(hold.collect()).into_iter().collect())
}

/// Flips with proof, and the proof of hosts that are there already.
fn native_waves(facts: &RollbackFacts, hosts: &[HostFacts], all: usize) -> Vec<Wave> {
    let target = &facts.target;
    // Everything is held while the schema changes: whatever serves then was held by this run.
    let held = (!facts.downs.is_empty()).then_some(facts.retry_after_s);
    let mut flipped: Vec<&HostFacts> =
        hosts.iter().filter(|host| !facts.on_target.contains(&host.host)).collect();
    // What does harm is stopped everywhere before anybody waits for the proof of one host.
    let harms = facts.flip == Flip::StopFirst && flipped.iter().any(|host| host.held().is_none());
    let flipped = match held {
        // Nothing serves: there is no capacity to spare, and every moment counts.
        Some(_) => vec![flipped],
        None if facts.one_host_first && !harms && flipped.len() > 1 => {
            let rest = flipped.split_off(1);
            [vec![flipped], sized(hosts, rest, all, facts.size)].concat()
        }
        None => sized(hosts, flipped, all, facts.size),
    };
    let mut waves = flip_waves(flipped, target, facts.flip, held);
    let prove = hosts.iter().filter(|host| facts.on_target.contains(&host.host));
    let prove = prove.map(|host| Step::Prove { host: host.host.clone(), release: target.clone() });
    waves.extend(Wave::of(prove.collect()));
    waves
}

fn check_hosts(
    environment: &EnvironmentName,
    target: &Release,
    hosts: &[HostFacts],
) -> Result<(), PlanError> {
    if hosts.is_empty() {
        return Err(PlanError::NoHosts { environment: environment.clone() });
    }
    for host in hosts {
        if let Some(mark) = host.state.quarantined.iter().find(|mark| mark.release.digest == target.digest) {
            return Err(PlanError::TargetQuarantined {
                target: target.clone(),
                host: host.host.clone(),
                reason: mark.reason.clone(),
            });
        }
    }
    Ok(())
}

/// Refuses a deploy that would take a host away from a fleet that has lost too many already.
fn spare_capacity(facts: &DeployFacts) -> Result<(), PlanError> {
    let all = facts.hosts.len() + facts.missing.len();
    let serving = facts.hosts.iter().filter(|host| host.has_capacity()).count();
    let needed = facts.size.capacity_min.at_least(all);
    // A healthy fleet goes one at a time at worst; onto an empty one a first release may come.
    if serving > 0 && serving < all && serving <= needed {
        return Err(PlanError::NoCapacity { serving, all, needed });
    }
    Ok(())
}

/// Those of the hosts that are flipped, in waves that leave the environment its capacity.
fn sized<'a>(
    hosts: &[HostFacts],
    flipped: Vec<&'a HostFacts>,
    all: usize,
    size: WaveSize,
) -> Vec<Vec<&'a HostFacts>> {
    let serving = hosts.iter().filter(|host| host.has_capacity()).count();
    size.waves(flipped.into_iter().map(|host| (host, host.has_capacity())).collect(), all, serving)
}

/// Flip and proof of every host, wave by wave.
fn flip_waves(waves: Vec<Vec<&HostFacts>>, to: &Release, flip: Flip, held_by_run: Option<u32>) -> Vec<Wave> {
    let steps = |host: &HostFacts| {
        let held = host.held().map(|held| held.retry_after_s).or(held_by_run);
        let flip = Step::Flip {
            host: host.host.clone(),
            from: host.serves().cloned(),
            to: to.clone(),
            // What is held does no harm any more.
            flip: if held.is_some() { Flip::Overlap } else { flip },
            held_retry_after_s: held,
        };
        [flip, Step::Prove { host: host.host.clone(), release: to.clone() }]
    };
    waves.into_iter().map(|wave| Wave { steps: wave.into_iter().flat_map(steps).collect() }).collect()
}

/// The one release that all hosts serve, if they agree. A host that serves nothing yet has no say.
fn serves_everywhere(hosts: &[HostFacts]) -> Option<Release> {
    let mut serve = hosts.iter().filter_map(HostFacts::serves);
    let first = serve.next()?;
    serve.all(|release| release.digest == first.digest).then(|| first.clone())
}

impl Plan {
    /// What the failure of the step at `index` means for this run.
    pub fn on_failure(&self, index: usize) -> OnFailure {
        match (self.kind, self.step(index)) {
            // What is not recorded is not known later, and that is said then. CI that is not green is an incident
            // of its own: it takes nothing back.
            (_, Some(Step::Prune { .. } | Step::Record { .. } | Step::ConfirmCi { .. })) => OnFailure::Note,
            (RunKind::Deploy, _) => OnFailure::GoBack,
            // Nothing may write while the schema changes, and the target must not start on one that did not.
            (RunKind::Rollback, Some(Step::StepDown { .. } | Step::Hold { .. })) => OnFailure::Halt,
            // A rollback is never itself rolled back onto the bad release: it goes on and names what failed.
            // A mark that could not be written must not keep the bad code running.
            // A deploy command that failed may have reached some hosts: each is looked at.
            // A flag that stayed on is owed to people, who are told; the code is back all the same.
            (
                RunKind::Rollback,
                Some(
                    Step::Quarantine { .. }
                    | Step::Command { .. }
                    | Step::Smoke { .. }
                    | Step::TurnOffFlags { .. },
                ),
            )
            | (RunKind::Flags, _) => OnFailure::GoOn,
            // A host that could not be held, or does not come up again, must not keep the others from it.
            (RunKind::Adopt | RunKind::Rollback | RunKind::Hold | RunKind::ReleaseHold, _) => {
                OnFailure::PassOver
            }
        }
    }
}
