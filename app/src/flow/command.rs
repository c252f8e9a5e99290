//! Do, check and undo of the user's own deploy command, and the proof that it did what it said.

use std::time::{Duration, Instant};

use unship_core::protocol::{HostState, InstanceState};
use unship_core::release::{HostName, Release};
use unship_core::time::Timestamp;

use super::observe::serves_only;
use super::step::{Attempt, StepError, StepResult, failure, said};
use crate::ports::DeployCommand;

/// How often a host is looked at while its units come up.
const LOOK: Duration = Duration::from_millis(250);

impl Attempt<'_> {
    fn deploy_command(&self) -> Result<&dyn DeployCommand, StepError> {
        self.world.deploy.as_deref().ok_or_else(|| {
            let hint = "put `strategy = \"command\"` back, or end the run with `unship abort`";
            StepError::with_hint("the environment has no deploy command any more", Some(hint.into()))
        })
    }

    pub(super) async fn run_command(&self, release: &Release) -> StepResult {
        let command = self.deploy_command()?;
        let progress = self.world.progress.as_ref();
        Ok(said(command.run(self.run, release, progress).await.map_err(failure)?))
    }

    /// Whether the command of an earlier attempt did it. One that still runs is waited for first: it might.
    pub(super) async fn command_did(&self, release: &Release) -> Result<bool, StepError> {
        let progress = self.world.progress.as_ref();
        self.deploy_command()?.wait_for_earlier(progress).await.map_err(failure)?;
        for host in &self.world.hosts {
            // A host that does not answer is not there yet; to bring a release out twice does no harm.
            let Ok(Some(state)) = self.observe_with(&host.name, release).await else { return Ok(false) };
            if self.brought(&host.name, &state, release).is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Goes back to what served before, on all hosts, with proof. Where nothing came of the command, nothing is run.
    pub(super) async fn undo_command(&self, release: &Release, from: Option<&Release>) -> StepResult {
        self.deploy_command()?.wait_for_earlier(self.world.progress.as_ref()).await.map_err(failure)?;
        let mut touched = false;
        for host in &self.world.hosts {
            touched |= match self.observe_with(&host.name, release).await {
                Ok(Some(state)) => match from {
                    Some(from) => self.serves(&state, from).is_err(),
                    None => state.instances.iter().any(|instance| instance.release.digest == release.digest),
                },
                Ok(None) | Err(_) => true,
            };
        }
        if !touched {
            return Ok(Vec::new());
        }
        let Some(from) = from else {
            return Err(StepError::with_hint(
                "what served before is not known by its tag, so the deploy command cannot bring it out again",
                Some("bring out a release that has a tag: `unship deploy TAG`".into()),
            ));
        };
        let mut actions = self.run_command(from).await?;
        for host in &self.world.hosts {
            self.wait_for(&host.name, from, |state| {
                self.serves(state, from)
                    .map_err(|why| StepError::new(format!("{} is not back on {from}: {why}", host.name)))
            })
            .await?;
            actions.extend(said(format!("{} serves {from}", host.name)));
        }
        Ok(actions)
    }

    fn serves(&self, state: &HostState, release: &Release) -> Result<(), String> {
        serves_only(state, release, self.world.target.service.units.len())
    }

    /// The proof of a host that the command brought the release to.
    pub(super) async fn prove_command(&self, name: &HostName, release: &Release) -> StepResult {
        self.wait_for(name, release, |state| self.brought(name, state, release)).await?;
        let answer = self.world.prober.probe(name, &release.tag).await.map_err(failure)?;
        Ok(said(answer))
    }

    /// Looks until it is so, or the units have had the time that they may take to get ready.
    async fn wait_for(
        &self,
        name: &HostName,
        release: &Release,
        is_so: impl Fn(&HostState) -> Result<(), StepError>,
    ) -> Result<(), StepError> {
        let began = Instant::now();
        let limit = Duration::from_millis(self.world.target.service.ready_ms_max);
        loop {
            let looked = match self.observe_with(name, release).await? {
                Some(state) => is_so(&state),
                None => Err(StepError::new(format!("{name} does not say what it runs"))),
            };
            match looked {
                Ok(()) => return Ok(()),
                Err(error) if began.elapsed() >= limit => return Err(error),
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Whether a host serves the release and none of its processes is one from before the command.
    fn brought(&self, name: &HostName, state: &HostState, release: &Release) -> Result<(), StepError> {
        let on_disk = state.current.as_ref().is_some_and(|current| current.digest == release.digest);
        let left = state.instances.iter().find(|instance| self.replaced.contains(&instance.invocation));
        if let Some(old) = left.filter(|old| old.state != InstanceState::Draining) {
            let since = time_text(old.started_at);
            let (what, hint) = if on_disk {
                let restart = format!("sudo systemctl restart {}", self.systemd_name(&old.unit));
                let hint = format!("on {name} run `{restart}`, and have the deploy command do that");
                ("replaced the file and restarted nothing", hint)
            } else {
                ("did not reach this host", "see in its output which hosts it acts on".to_owned())
            };
            return Err(StepError::with_hint(
                format!(
                    "{name} is not proved: {} is still process {} of {}, started {since}; the deploy command {what}",
                    old.unit, old.pid, old.release
                ),
                Some(hint),
            ));
        }
        self.serves(state, release).map_err(|why| {
            let hint = "`unship status` shows every instance".to_owned();
            StepError::with_hint(format!("{name} is not proved: {why}"), Some(hint))
        })
    }

    fn systemd_name(&self, unit: &str) -> String {
        let units = &self.world.target.service.units;
        let found = units.iter().find(|spec| spec.name == unit);
        found.map_or_else(|| unit.to_owned(), super::foreign::systemd_name)
    }
}

/// UTC to the second.
fn time_text(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
