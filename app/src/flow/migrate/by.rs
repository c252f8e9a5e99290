//! A site's migrations: those of the release that serves, or of another one that is known; and the environment,
//! taken so that nobody else steps at the same time.

use unship_core::history;
use unship_core::protocol::{Epoch, Holder};
use unship_core::release::{RunId, Tag};

use super::Subject;
use crate::flow::claims::{claim, highest_epoch, unclaim, whose};
use crate::flow::observe::{look, serving};
use crate::flow::{FlowError, span, unfinished};
use crate::ports::World;

/// The migrations of a release: of what serves, or of the one that was named.
pub async fn found(world: &World, run: &RunId, named: Option<&Tag>) -> Result<Subject, FlowError> {
    let shadows = world.shadows.as_deref().ok_or(FlowError::NoShadows)?;
    let history = history::fold(&world.ledger.marks().await?);
    let release = match named {
        None => serving(&look(world, run).await?.hosts)?,
        Some(tag) => {
            let known = history.releases.iter().map(|record| &record.release);
            let found = known.clone().rev().find(|release| release.tag == *tag).cloned();
            let all = || known.map(|release| release.tag.clone()).collect();
            found.ok_or_else(|| FlowError::UnknownRelease { tag: tag.clone(), known: all() })?
        }
    };
    let artifact = world.source.kept(&release).await?;
    let set = span::set_of(shadows.settings(), &artifact.capsule)
        .map_err(|why| FlowError::Migrations { release: release.clone(), why })?;
    let deployed_at = history.get(&release.digest).and_then(|record| record.deployed_at);
    Ok(Subject { set, release: Some(release), deployed_at })
}

/// The environment of a site, for as long as something is done to its database.
pub struct Site<'a> {
    world: &'a World,
    run: RunId,
    epoch: Epoch,
}

impl<'a> Site<'a> {
    /// Takes the lease and, under a new epoch, the hosts that answer: whoever acted before and comes back is
    /// refused by them, and by the database.
    pub async fn take(world: &'a World, run: RunId, what: String) -> Result<Site<'a>, FlowError> {
        let who = world.target.who.clone();
        let holder = Holder { run: run.clone(), who, since: world.clock.now(), what };
        world.ledger.acquire(&holder).await?;
        match claimed(world, &holder).await {
            Ok(epoch) => Ok(Site { world, run, epoch }),
            Err(error) => {
                // The error is what counts; a lease that cannot be given back expires.
                let _ = world.ledger.release(&run).await;
                Err(error)
            }
        }
    }

    /// The epoch under which it was taken.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Gives it back.
    pub async fn give_back(self) {
        unclaim(self.world, &self.run, self.epoch, &self.world.target.without).await;
        if let Err(error) = self.world.ledger.release(&self.run).await {
            self.world.progress.note(&format!("{error}; the lease ends by itself"));
        }
    }
}

async fn claimed(world: &World, holder: &Holder) -> Result<Epoch, FlowError> {
    if let Some((_, other)) = unfinished(world).await? {
        let Holder { run, what, who, .. } = other.holder;
        return Err(FlowError::Unfinished { run, what, who });
    }
    let (claims, missing) = whose(world, &holder.run).await?;
    for host in &missing {
        world.progress.note(&format!("{} is not claimed: {}", host.host, host.why));
    }
    let epoch = Epoch(highest_epoch(&claims).0 + 1);
    let answered = world.hosts.iter().filter(|host| claims.iter().any(|(name, _)| *name == host.name));
    for (host, error) in claim(answered, holder, epoch).await? {
        world.progress.note(&format!("{host} is not claimed: {error}"));
    }
    Ok(epoch)
}
