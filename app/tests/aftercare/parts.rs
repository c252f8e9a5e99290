//! A notice, an outbox, and a carrier that dies.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use unship::aftercare::{
    Addressee, Answer, Carrier, CarryError, Commits, Courier, Credentials, Outbox, OutboxSettings, Request,
    SecretSources, WorldCarrier,
};
use unship::ports::{Aftercare, Clock, Delivery, Method};
use unship::sender::HttpSender;
use unship_core::aftercare::{Commit, Kind, Moment, Notice, Suspects};
use unship_core::explain::{Owed, Tone};
use unship_core::journal::Outcome;
use unship_core::release::{Digest, Release};
use unship_core::time::Timestamp;

pub fn notice(run: &str) -> Notice {
    let release =
        |tag: &str| Release { tag: tag.parse().expect("a tag"), digest: Digest::of(tag.as_bytes()) };
    Notice {
        kind: Kind::Rollback,
        run: run.parse().expect("a run"),
        service: "shithub".parse().expect("a service"),
        environment: "production".parse().expect("an environment"),
        who: "op@desk".into(),
        from: Some(release("v1.4.0")),
        to: release("v1.3.2"),
        reason: "panic loop: <!channel> @here `x`".into(),
        outcome: Outcome::Completed,
        at: Timestamp(jiff_now()),
        took_ms: 2_100,
        decided: None,
        pulses: Vec::new(),
        timeline: vec![Moment { at: Timestamp(0), text: "started".into(), tone: Tone::Plain }],
        failures: Vec::new(),
        owed: vec![Owed { text: "confirm that v1.3.2 passed CI".into(), done: false }],
    }
}

fn jiff_now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("not that late")
}

/// A clock that stands still until it is moved.
#[derive(Clone, Default)]
pub struct StoppedClock(pub Arc<AtomicI64>);

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

struct TwoCommits;

#[async_trait]
impl Commits for TwoCommits {
    async fn between(&self, _: &Notice) -> Suspects {
        let commit = |id: &str| Commit { id: id.into(), subject: "Change".into(), author: "A".into() };
        Suspects::Yes { commits: vec![commit("abc1234"), commit("def5678")], more: 0 }
    }
}

/// Carries as the real one does; told so, it dies after an act that arrived and before anybody hears of it.
pub struct DyingCarrier {
    inner: WorldCarrier,
    pub dies: Arc<AtomicBool>,
    pub died: Arc<AtomicBool>,
}

#[async_trait]
impl Carrier for DyingCarrier {
    async fn carry(
        &self,
        request: &Request,
        credentials: &Credentials,
        time_ms: u64,
    ) -> Result<Answer, CarryError> {
        let answer = self.inner.carry(request, credentials, time_ms).await;
        let acts = !matches!(request, Request::Http(http) if http.method == Method::Get);
        if acts && self.dies.load(Ordering::SeqCst) {
            self.died.store(true, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
        answer
    }
}

/// An outbox for one courier, in a folder that outlives it.
pub struct Desk {
    pub outbox: Outbox,
    pub clock: StoppedClock,
    dies: Arc<AtomicBool>,
    died: Arc<AtomicBool>,
}

impl Desk {
    pub fn new(folder: &Path, courier: Box<dyn Courier>, secrets: SecretSources) -> Desk {
        let clock = StoppedClock::default();
        let (dies, dead) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let sender = Arc::new(HttpSender::new(None).expect("a sender"));
        let inner = WorldCarrier { sender, certificates: None };
        let outbox = Outbox::new(OutboxSettings {
            folder: folder.join("outbox"),
            addressees: vec![Addressee { name: "tried".into(), courier, secrets }],
            carrier: Arc::new(DyingCarrier { inner, dies: Arc::clone(&dies), died: Arc::clone(&dead) }),
            clock: Arc::new(clock.clone()),
            commits: Arc::new(TwoCommits),
        });
        Desk { outbox, clock, dies, died: dead }
    }

    /// Delivers what is due, and later what becomes due.
    pub async fn deliver(&self) -> Delivery {
        self.clock.0.fetch_add(24 * 3_600_000, Ordering::SeqCst);
        self.outbox.deliver(8_000).await;
        self.only()
    }

    pub fn only(&self) -> Delivery {
        self.outbox.list().expect("lists").pop().expect("a delivery")
    }

    /// Dies between send and record.
    pub async fn die(&self) {
        self.clock.0.fetch_add(24 * 3_600_000, Ordering::SeqCst);
        self.died.store(false, Ordering::SeqCst);
        self.dies.store(true, Ordering::SeqCst);
        let dead = async {
            while !self.died.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        // Dropped in the middle: nothing of it is written.
        tokio::select! {
            _ = self.outbox.deliver(60_000) => {}
            () = dead => {}
        }
        self.dies.store(false, Ordering::SeqCst);
    }
}
