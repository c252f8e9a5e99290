//! What is owed: one file a delivery, on the disk before the first try and before each sending.
//!
//! - A delivery is made by [`Outbox::tell`] while the run's journal is still open; the journal is closed after it.
//!   So a delivery is never lost: whoever finds the journal open makes it again, and it is the same one.
//! - "About to send" is on the disk before a sending, "it arrived" after it. Whoever finds the first without the
//!   second does not know, and does what the receiver allows ([`Repeat`]).
//! - Two commands never work at one delivery at the same time: a lock file each.
//! - Every wait and the number of tries have a limit.

mod item;
mod store;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use unship_core::aftercare::{Notice, Suspects};
use unship_core::time::Timestamp;

use self::item::Item;
use self::store::Store;
use super::carrier::{Carrier, CarryError};
use super::courier::{Answer, Courier, Letter, Repeat, Retry, Role, Step};
use super::credentials::SecretSources;
use crate::ports::{Aftercare, CheckFailure, Clock, Delivery, DeliveryState, no_such};

/// How often a delivery is tried before it is given up: with the waits below that is more than a day.
const ATTEMPTS_MAX: u32 = 14;

/// The waits before the second and each later try, in milliseconds; the last one again and again.
const WAITS_MS: [u64; 10] =
    [1_000, 5_000, 30_000, 120_000, 600_000, 1_800_000, 3_600_000, 7_200_000, 14_400_000, 14_400_000];

/// How much longer than it was given a carrier may take before it is left alone.
const GRACE: Duration = Duration::from_millis(250);

/// How many requests one try may need: looks and the act.
const STEPS_MAX: usize = 8;

/// One receiver.
pub struct Addressee {
    /// Its name, unique in the configuration.
    pub name: String,
    /// What to say to it.
    pub courier: Box<dyn Courier>,
    /// Its secrets.
    pub secrets: SecretSources,
}

/// What an outbox works with.
pub struct OutboxSettings {
    /// Where the files are; made when something is owed.
    pub folder: PathBuf,
    /// Who is told.
    pub addressees: Vec<Addressee>,
    /// Carries requests out.
    pub carrier: Arc<dyn Carrier>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Lists the commits that the bad release added.
    pub commits: Arc<dyn Commits>,
}

/// Lists the commits between two releases.
#[async_trait]
pub trait Commits: Send + Sync {
    /// Those that are in what was taken back and not in what serves now.
    async fn between(&self, notice: &Notice) -> Suspects;
}

/// What is owed to people.
pub struct Outbox {
    settings: OutboxSettings,
    store: Store,
}

impl Outbox {
    /// The outbox of a folder.
    pub fn new(settings: OutboxSettings) -> Outbox {
        let store = Store { folder: settings.folder.clone() };
        Outbox { settings, store }
    }

    fn now(&self) -> Timestamp {
        self.settings.clock.now()
    }

    /// Works at one delivery, unless another command does.
    async fn try_one(&self, id: &str, until: Instant) -> Option<Delivery> {
        let _lock = self.store.lock(id).ok()??;
        // Read under the lock: another command may just have brought it.
        let mut item = self.store.read(id).ok()?;
        if !item.is_due(self.now()) {
            return None;
        }
        let Some(to) = self.settings.addressees.iter().find(|to| to.name == item.courier) else {
            item.failed(self.now(), "unship.toml does not name this courier any more", None);
            self.store.write(&item).ok()?;
            return Some(item.delivery());
        };
        item.attempts += 1;
        let before = Doubt { sent: item.sending, repeated: item.repeated };
        let outcome = self.attempt(&mut item, to, until).await;
        self.record(&mut item, outcome, before, to.courier.repeat());
        // What cannot be written is found as it was: about to be sent.
        self.store.write(&item).ok()?;
        Some(item.delivery())
    }

    async fn attempt(&self, item: &mut Item, to: &Addressee, until: Instant) -> Outcome {
        let unknown = item.sending;
        let mut may_repeat = item.repeated;
        if unknown && to.courier.repeat() == Repeat::AtMostOnce {
            if item.repeated {
                return Outcome::NeverKnown;
            }
            may_repeat = true;
        }
        let credentials = match to.secrets.read().await {
            Ok(credentials) => credentials,
            Err(why) => return Outcome::not_sent(why),
        };
        if to.courier.role() == Role::Issue && item.suspects.is_none() {
            item.suspects = Some(self.settings.commits.between(&item.notice).await);
        }
        let nothing = Suspects::No { why: "nobody looked".into() };
        let suspects = item.suspects.clone().unwrap_or(nothing);
        let (notice, key) = (item.notice.clone(), item.id.clone());
        let letter = Letter { notice: &notice, key: &key, may_repeat, suspects: &suspects };
        let mut so_far: Vec<Answer> = Vec::new();
        for _ in 0..STEPS_MAX {
            let (request, acts) = match to.courier.step(&letter, &so_far) {
                Step::Look(request) => (request, false),
                Step::Act(request) => (request, true),
                Step::Delivered { place } => return Outcome::Delivered { place },
                Step::Failed { why, retry } => {
                    return Outcome::Failed { why: credentials.redact(&why), retry };
                }
                Step::InDoubt { why } => return Outcome::InDoubt { why: credentials.redact(&why) },
            };
            if acts {
                item.sending = true;
                item.repeated = may_repeat;
                if let Err(error) = self.store.write(item) {
                    item.sending = unknown;
                    return Outcome::not_sent(format!("the outbox cannot be written: {error}"));
                }
            }
            let left = until.saturating_duration_since(Instant::now());
            let time_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            let carried = self.settings.carrier.carry(&request, &credentials, time_ms);
            // It minds the time itself; this is for what does not.
            let carried = tokio::time::timeout(left + GRACE, carried).await;
            match carried {
                Ok(Ok(answer)) => so_far.push(answer),
                Ok(Err(CarryError { why, may_have_arrived: true, .. })) if acts => {
                    return Outcome::InDoubt { why };
                }
                Ok(Err(CarryError { why, for_good, .. })) => {
                    let retry = if for_good { Retry::Never } else { Retry::Later };
                    return Outcome::Failed { why, retry };
                }
                Err(_) if acts => return Outcome::InDoubt { why: "it did not answer in time".into() },
                Err(_) => return Outcome::not_sent("it did not answer in time".into()),
            }
        }
        Outcome::not_sent("it takes too many requests".into())
    }

    fn record(&self, item: &mut Item, outcome: Outcome, before: Doubt, repeat: Repeat) {
        let now = self.now();
        match outcome {
            Outcome::Delivered { place } => item.delivered(place),
            Outcome::InDoubt { why } => {
                item.sending = true;
                item.failed(now, &why, Outbox::next(item, now, Retry::Later));
                if item.state == DeliveryState::Waiting {
                    item.state = DeliveryState::InDoubt;
                }
                if item.repeated && repeat == Repeat::AtMostOnce {
                    self.never_known(item);
                }
            }
            Outcome::NeverKnown => self.never_known(item),
            Outcome::Failed { why, retry } => {
                // This one is known not to have been taken; an earlier one may have been.
                (item.sending, item.repeated) = (before.sent, before.repeated);
                item.failed(now, &why, Outbox::next(item, now, retry));
                if item.sending && item.state == DeliveryState::Waiting {
                    item.state = DeliveryState::InDoubt;
                }
            }
        }
    }

    fn never_known(&self, item: &mut Item) {
        let why = item.error.clone().unwrap_or_else(|| "it was cut off".into());
        let why = format!("it was sent twice, and whether it arrived is not known: {why}");
        item.failed(self.now(), &why, None);
    }

    /// When it is tried again; never after too many tries.
    fn next(item: &Item, now: Timestamp, retry: Retry) -> Option<Timestamp> {
        if item.attempts >= ATTEMPTS_MAX {
            return None;
        }
        let index = usize::try_from(item.attempts.saturating_sub(1)).unwrap_or(usize::MAX);
        let wait = WAITS_MS.get(index).or(WAITS_MS.last()).copied().unwrap_or(1_000);
        // Between three quarters and five quarters: deliveries of many machines do not come at once. Taken from the
        // name, so that a try has one time.
        let spread = wait / 2 * u64::from(item.spread()) / 255;
        let wait = wait - wait / 4 + spread;
        match retry {
            Retry::Later => Some(now.plus_ms(wait)),
            Retry::After { ms } => Some(now.plus_ms(ms.max(wait))),
            Retry::Never => None,
        }
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut Item)) -> Result<Delivery, CheckFailure> {
        let failed = |error: std::io::Error| CheckFailure {
            message: format!("the outbox cannot be read or written: {error}"),
            hint: None,
        };
        if !self.store.exists(id) {
            return Err(no_such(id));
        }
        let Some(_lock) = self.store.lock(id).map_err(failed)? else {
            return Err(CheckFailure {
                message: format!("another command is bringing `{id}`"),
                hint: Some("wait for it".into()),
            });
        };
        let mut item = self.store.read(id).map_err(failed)?;
        change(&mut item);
        self.store.write(&item).map_err(failed)?;
        Ok(item.delivery())
    }
}

/// What was not known before a try.
#[derive(Clone, Copy)]
struct Doubt {
    sent: bool,
    repeated: bool,
}

/// What came of one try.
enum Outcome {
    Delivered { place: Option<String> },
    InDoubt { why: String },
    NeverKnown,
    Failed { why: String, retry: Retry },
}

impl Outcome {
    fn not_sent(why: String) -> Outcome {
        Outcome::Failed { why, retry: Retry::Later }
    }
}

#[async_trait]
impl Aftercare for Outbox {
    async fn tell(&self, notice: &Notice) -> Result<(), CheckFailure> {
        for to in &self.settings.addressees {
            let item = Item::new(notice, &to.name, self.now());
            self.store.add(&item).map_err(|error| CheckFailure {
                message: format!("the outbox cannot be written: {error}"),
                hint: Some("what is owed is in the run's journal; the next command tries again".into()),
            })?;
        }
        Ok(())
    }

    async fn deliver(&self, budget_ms: u64) -> Vec<Delivery> {
        let until = Instant::now() + Duration::from_millis(budget_ms);
        let mut done: Vec<Delivery> = Vec::new();
        loop {
            let items = self.store.open().unwrap_or_default();
            let now = self.now();
            let due: Vec<&Item> = items.iter().filter(|item| item.is_due(now)).collect();
            let tried =
                futures_util::future::join_all(due.iter().map(|item| self.try_one(&item.id, until))).await;
            for delivery in tried.into_iter().flatten() {
                done.retain(|other| other.id != delivery.id);
                done.push(delivery);
            }
            // A short wait is worth it, as long as the budget lasts.
            let items = self.store.open().unwrap_or_default();
            let Some(next) = items.iter().filter_map(Item::due_at).min() else { return done };
            let wait = Duration::from_millis(next.since_ms(self.now()).max(10));
            if Instant::now() + wait >= until {
                return done;
            }
            tokio::time::sleep(wait).await;
        }
    }

    fn list(&self) -> Result<Vec<Delivery>, CheckFailure> {
        let items = self.store.all().map_err(|error| CheckFailure {
            message: format!("the outbox cannot be read: {error}"),
            hint: None,
        })?;
        Ok(items.iter().map(Item::delivery).collect())
    }

    fn retry(&self, id: &str) -> Result<Delivery, CheckFailure> {
        let now = self.now();
        self.change(id, |item| item.again(now))
    }

    fn drop_it(&self, id: &str, why: &str) -> Result<Delivery, CheckFailure> {
        self.change(id, |item| item.dropped(why))
    }
}
