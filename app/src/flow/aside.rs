//! The steps beside the code: flags, CI, and what of both is recorded when a release is brought out.

use unship_core::capsule::Capsule;
use unship_core::ci::CiProof;
use unship_core::evidence::Evidence;
use unship_core::flags::{FlagName, FlagState, FlagValue, FlagWas};
use unship_core::plan::Moment;
use unship_core::release::Release;

use super::ci;
use super::step::{Attempt, StepError, StepResult, failure, said};
use crate::ports::{Acting, FlagSource, World};

/// A flag that is off, whatever its source keeps besides.
const OFF: FlagValue = FlagValue { on: false, raw: None };

impl Attempt<'_> {
    fn flags(&self) -> Result<&dyn FlagSource, StepError> {
        self.world.flags.as_deref().ok_or_else(|| {
            let hint = "put `[flags]` back into unship.toml";
            StepError::with_hint("no flags are configured any more", Some(hint.into()))
        })
    }

    fn acting(&self) -> Acting {
        Acting { run: self.run.clone(), epoch: self.epoch, step: self.step, attempt: self.number }
    }

    /// Turns off those that are on, and reads back.
    pub(super) async fn turn_off(&self, wanted: &[FlagWas]) -> StepResult {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let source = self.flags()?;
        let now = source.read().await.map_err(failure)?;
        for name in still_on(&now, wanted) {
            source.set(name, &OFF, &self.acting()).await.map_err(failure)?;
        }
        let now = source.read().await.map_err(failure)?;
        let on: Vec<&str> = still_on(&now, wanted).into_iter().map(FlagName::as_str).collect();
        if on.is_empty() {
            return Ok(said(format!("read back from {}", source.name())));
        }
        Err(StepError::with_hint(
            format!("{} says that {} is still on", source.name(), on.join(", ")),
            Some(format!("turn it off there, or `unship flags off {}`", on.join(" "))),
        ))
    }

    /// Whether all of them are off.
    pub(super) async fn are_off(&self, wanted: &[FlagWas]) -> Result<bool, StepError> {
        if wanted.is_empty() {
            return Ok(true);
        }
        let now = self.flags()?.read().await.map_err(failure)?;
        Ok(still_on(&now, wanted).is_empty())
    }

    /// Sets those back that are not what they were, and reads back.
    pub(super) async fn restore(&self, wanted: &[FlagWas]) -> StepResult {
        let source = self.flags()?;
        let now = source.read().await.map_err(failure)?;
        for flag in otherwise(&now, wanted) {
            source.set(&flag.name, &flag.was, &self.acting()).await.map_err(failure)?;
        }
        let now = source.read().await.map_err(failure)?;
        let wrong: Vec<&str> = otherwise(&now, wanted).into_iter().map(|flag| flag.name.as_str()).collect();
        if wrong.is_empty() {
            return Ok(said(format!("read back from {}", source.name())));
        }
        Err(StepError::new(format!("{} says that {} is not as it was", source.name(), wrong.join(", "))))
    }

    /// Whether all of them are what they were.
    pub(super) async fn are_restored(&self, wanted: &[FlagWas]) -> Result<bool, StepError> {
        let now = self.flags()?.read().await.map_err(failure)?;
        Ok(otherwise(&now, wanted).is_empty())
    }

    /// Puts what the release's own file of flags has otherwise than that of the release before it.
    pub(super) async fn install_flags(&self, release: &Release, replaces: Option<&Release>) -> StepResult {
        let source = self.flags()?;
        let new = self.own_flags(release).await?;
        let old = match replaces {
            Some(replaces) => Some(self.own_flags(replaces).await?),
            None => None,
        };
        source.install(&new, old.as_deref(), &self.acting()).await.map_err(failure)?;
        Ok(said(format!("into {}", source.name())))
    }

    async fn own_flags(&self, release: &Release) -> Result<String, StepError> {
        let capsule = self.capsule(release).await?;
        match &capsule.flags {
            Evidence::Known { value, .. } => {
                let only = value.first().filter(|_| value.len() == 1);
                let text = only.map(|file| file.text.clone());
                text.ok_or_else(|| StepError::new(format!("{release} has not one file of flags")))
            }
            Evidence::Missing { why } => {
                Err(StepError::new(format!("the flags of {release} are not known: {why}")))
            }
        }
    }

    async fn capsule(&self, release: &Release) -> Result<Capsule, StepError> {
        let artifact = self.world.source.kept(release).await;
        Ok(artifact.map_err(|error| StepError::with_hint(error.message, error.hint))?.capsule)
    }

    /// Writes into the capsule what can be known only now. What cannot be had is kept as missing, with the reason.
    pub(super) async fn record(
        &self,
        release: &Release,
        replaces: Option<&Release>,
        moment: Moment,
    ) -> StepResult {
        let mut capsule = self.capsule(release).await?;
        let mut words = Vec::new();
        // Brought out once more, it did to flags what it did the first time.
        let again = replaces.is_some_and(|replaces| replaces.digest == release.digest);
        if self.world.flags.is_some() && !(again && capsule.flag_era.before.value().is_some()) {
            words.push(self.record_flags(&mut capsule, replaces, moment).await);
        }
        if moment == Moment::Before && self.world.ci.is_some() {
            capsule.ci = ci::ask(self.world, &capsule.commit, &release.tag).await;
            let standing = ci::standing(self.world, &capsule.commit, &capsule.ci);
            words.push(format!("{release} {}", standing.words()));
        }
        let kept = self.world.source.keep_capsule(&capsule).await;
        kept.map_err(|error| StepError::with_hint(error.message, error.hint))?;
        Ok(said(words.join("; ")))
    }

    async fn record_flags(
        &self,
        capsule: &mut Capsule,
        replaces: Option<&Release>,
        moment: Moment,
    ) -> String {
        let read = read(self.world).await;
        let words = match &read {
            Evidence::Known { value, .. } => format!("{} flags", value.len()),
            Evidence::Missing { why } => format!("flags are not known: {why}"),
        };
        if let Evidence::Known { value, observed_at, .. } = &read {
            let names: Vec<FlagName> = value.iter().map(|flag| flag.name.clone()).collect();
            let found = self.world.source.introduced(&capsule.release, replaces, &names).await;
            capsule.flag_era.introduced = match found {
                Ok(value) => Evidence::Known { value, source: "git grep".into(), observed_at: *observed_at },
                Err(error) => Evidence::Missing { why: error.message },
            };
        }
        match moment {
            Moment::Before => {
                capsule.flag_era.before = read;
                capsule.flag_era.after = Evidence::default();
            }
            Moment::After => capsule.flag_era.after = read,
        }
        words
    }

    /// Asks CI once more; what was known when the plan was made counts when it does not answer.
    pub(super) async fn confirm_ci(
        &self,
        release: &Release,
        commit: &Evidence<String>,
        known: &Evidence<CiProof>,
    ) -> StepResult {
        let asked = ci::ask(self.world, commit, &release.tag).await;
        let proof = if asked.value().is_some() { &asked } else { known };
        let standing = ci::standing(self.world, commit, proof);
        let words = format!("{release} {}", standing.words());
        if standing.is_green() {
            return Ok(said(words));
        }
        let hint = "code that did not pass runs now: an incident of its own";
        Err(StepError::with_hint(words, Some(hint.into())))
    }
}

/// The environment's flags now, or why they are not known.
pub(super) async fn read(world: &World) -> Evidence<Vec<FlagState>> {
    let Some(source) = &world.flags else {
        return Evidence::Missing { why: "no flags are configured".into() };
    };
    match source.read().await {
        Ok(value) => Evidence::Known { value, source: source.name(), observed_at: world.clock.now() },
        Err(failure) => Evidence::Missing { why: failure.message },
    }
}

/// Those that are on. A flag that is gone is off.
fn still_on<'a>(now: &[FlagState], wanted: &'a [FlagWas]) -> Vec<&'a FlagName> {
    let on = |name: &FlagName| now.iter().any(|flag| flag.name == *name && flag.value.on);
    wanted.iter().map(|flag| &flag.name).filter(|name| on(name)).collect()
}

/// Those that are not what they were.
fn otherwise<'a>(now: &[FlagState], wanted: &'a [FlagWas]) -> Vec<&'a FlagWas> {
    let same = |flag: &FlagWas| now.iter().any(|state| state.name == flag.name && state.value == flag.was);
    wanted.iter().filter(|flag| !same(flag)).collect()
}
