//! The model host and a real agent are asked the same questions and must give the same answers: the same kind, the
//! same actions in the same order, the same refusals, and afterwards the same state.

use unship_core::protocol::*;
use unship_core::release::{Digest, Release, RunId};
use unship_core::time::Timestamp;

use crate::agents::{RealHost, artifacts};
use crate::chance::Chance;
use crate::model::host::{Behaviour, ModelHost};
use crate::{real, say, thorough};

/// An answer without what only one side can know: times, sizes, the words of an error.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Staging { missing: Vec<MissingFile>, published: bool },
    Done(Vec<String>),
    Failed { unchanged: bool, actions: Vec<String> },
    Refused(Refusal),
    Observed,
    Whose(Option<EpochRecord>),
}

fn answer(reply: HostReply) -> Answer {
    // One that fails and is started again and again is running one moment and waiting the next.
    let fails =
        |what: &String| what.contains("@v3") && (what.starts_with("stop ") || what.starts_with("ended "));
    let names = |actions: Vec<Action>| {
        actions.into_iter().map(|action| action.what).filter(|what| !fails(what)).collect::<Vec<_>>()
    };
    match reply {
        HostReply::Observed { .. } | HostReply::Looked { .. } => Answer::Observed,
        HostReply::Whose { record } => Answer::Whose(record),
        HostReply::Staging { missing, published } => Answer::Staging { missing, published },
        HostReply::Done { actions } => Answer::Done(names(actions)),
        HostReply::Failed { unchanged, actions, .. } => Answer::Failed { unchanged, actions: names(actions) },
        HostReply::Refused { refusal } => Answer::Refused(refusal),
    }
}

/// Epoch, stored releases, current, what runs (a unit, its release, whether it is ready and proved), quarantine,
/// hold.
type Facts = (
    Option<EpochRecord>,
    Vec<Release>,
    Option<Release>,
    Vec<(String, String, bool)>,
    Vec<QuarantinedRelease>,
    Option<Held>,
);

fn facts(state: HostState) -> Facts {
    let mut stored: Vec<Release> = state.releases.into_iter().map(|stored| stored.release).collect();
    stored.sort_by(|a, b| a.tag.cmp(&b.tag));
    // One that fails and is started again and again is now this and now that.
    let mut running: Vec<(String, String, bool)> = state
        .instances
        .into_iter()
        .map(|one| {
            let well = one.state == InstanceState::Ready && one.proved;
            (one.unit, one.release.tag.to_string(), well)
        })
        .collect();
    running.sort();
    (state.epoch, stored, state.current, running, state.quarantined, state.held)
}

struct Both {
    real: RealHost,
    model: ModelHost,
    artifacts: Vec<unship::ports::Artifact>,
    broken: Digest,
    _folder: Removable,
}

struct Removable(tempfile::TempDir);

impl Drop for Removable {
    fn drop(&mut self) {
        real::make_removable(self.0.path());
    }
}

impl Both {
    fn new() -> Both {
        let folder = tempfile::Builder::new().prefix("um-").tempdir().expect("a folder");
        let real = RealHost::start(folder.path().join("a"), "a");
        let artifacts: Vec<_> = artifacts(folder.path()).into_iter().take(4).map(|(_, kept)| kept).collect();
        let mut model = ModelHost::new("a");
        real.break_release("v3");
        let broken = artifacts[2].manifest.digest();
        model.behaves(broken, Behaviour { ends_at_once: true });
        Both { real, model, artifacts, broken, _folder: Removable(folder) }
    }

    async fn ask(&mut self, envelope: Envelope, place: &str) {
        self.model.tick();
        let model = answer(self.model.serve(&envelope, &mut |_| {}));
        let reply = self.real.transport().call(envelope.clone()).await.expect("it answers");
        let told = format!("{reply:?}");
        let what = crate::points::word(&envelope);
        assert_eq!(answer(reply), model, "real and model, {place}, {what} of {}: {told}", envelope.run);
        let state = self.real.at_rest().await;
        self.model.tick();
        assert_eq!(facts(state), facts(self.model.state()), "real and model after {place}, {what}");
    }

    fn any_request(&self, chance: &mut Chance) -> Vec<HostRequest> {
        let kept = &self.artifacts[usize::try_from(chance.below(4)).expect("small")];
        let (manifest, release) = (kept.manifest.clone(), kept.manifest.release());
        let digest = release.digest;
        match chance.below(20) {
            0 => vec![HostRequest::Verify { release }],
            1 => vec![HostRequest::Quarantine { release, reason: format!("reason {}", chance.below(2)) }],
            2 | 3 => vec![HostRequest::LiftQuarantine { release }],
            4 => vec![HostRequest::Prune { keep: vec![digest] }],
            5 => vec![HostRequest::Unclaim, HostRequest::Whose],
            6 => vec![HostRequest::Publish { digest, capsule: Box::new(kept.capsule.clone()) }],
            7..12 => {
                // All of a staging, or what comes before a crash.
                let mut all = vec![HostRequest::Stage { manifest: manifest.clone() }];
                for file in &manifest.files {
                    let bytes = fs_err::read(kept.folder.join(&file.path)).expect("a file");
                    let digest = manifest.digest();
                    all.push(HostRequest::Write { digest, path: file.path.clone(), offset: 0, bytes });
                }
                all.push(HostRequest::Stage { manifest: manifest.clone() });
                all.push(HostRequest::Publish { digest, capsule: Box::new(kept.capsule.clone()) });
                if chance.below(3) == 0 {
                    let some = usize::try_from(chance.below(all.len() as u64)).expect("small");
                    all.truncate(some + 1);
                }
                all
            }
            12 => vec![self.converge(Serve::Nothing, chance)],
            13 | 14 => vec![self.converge(Serve::Hold { retry_after_s: 30 }, chance)],
            _ => vec![self.converge(Serve::Release { release }, chance)],
        }
    }

    fn converge(&self, serve: Serve, chance: &mut Chance) -> HostRequest {
        let flip = if chance.below(2) == 0 { Flip::Overlap } else { Flip::StopFirst };
        let service = self.real.service.clone();
        HostRequest::Converge { desired: Box::new(Desired { service, serve, flip }) }
    }
}

async fn history(seed: u64) -> usize {
    let mut both = Both::new();
    let mut chance = Chance::new(3_000_000 + seed);
    let (mut asked, mut highest, mut now) = (0, 0, 0);
    assert_eq!(both.artifacts[2].manifest.digest(), both.broken);
    for turn in 0..40 {
        let place = format!("seed {seed}, turn {turn}");
        let run = |number: u64| format!("run-{number}").parse::<RunId>().expect("a run");
        // Mostly the run that has the host, sometimes another one or an old epoch.
        let (name, epoch) = match chance.below(12) {
            0 => (run(chance.below(3)), chance.below(highest + 2)),
            _ => (run(now), highest),
        };
        let requests = if turn == 0 || chance.below(8) == 0 {
            let claimed = highest + chance.below(2) + u64::from(turn == 0);
            let other = chance.below(3);
            let holder =
                Holder { run: run(other), who: "op@desk".into(), since: Timestamp(1), what: "test".into() };
            (highest, now) = (claimed.max(highest), other);
            vec![(run(other), claimed, HostRequest::Claim { holder })]
        } else {
            let requests = both.any_request(&mut chance);
            requests.into_iter().map(|request| (name.clone(), epoch, request)).collect()
        };
        for (run, epoch, request) in requests {
            let epoch = Epoch(epoch);
            let envelope = Envelope { version: PROTOCOL_VERSION, run, step: 0, attempt: 1, epoch, request };
            both.ask(envelope, &place).await;
            asked += 1;
        }
    }
    asked
}

#[tokio::test]
async fn the_model_answers_as_a_real_agent() {
    let count = if thorough() { 40 } else { 3 };
    let mut asked = 0;
    for seed in 0..count {
        asked += history(seed).await;
    }
    say(&format!("{count} histories, {asked} requests, the same answers"));
}
