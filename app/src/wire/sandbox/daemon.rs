//! The child runner of a sandbox, as a process of this program's own.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, ChildStdin, Command};
use unship_host::agent::HostPaths;

use super::{ENVIRONMENT, SandboxError};

/// How long it may take until it answers.
const UP_MAX: Duration = Duration::from_secs(10);
/// How much longer than the drain it may take to end.
const END_GRACE: Duration = Duration::from_secs(5);

/// A running child runner. It watches its standard input, so that it ends with us however we end.
pub struct Daemon {
    child: Child,
    /// Open for as long as we live. Held apart from the child: waiting for a child closes its own.
    _lifeline: Option<ChildStdin>,
    log: PathBuf,
}

impl Daemon {
    /// Starts `program supervise` and waits until it answers.
    pub async fn start(
        program: &Path,
        config_file: &Path,
        log: &Path,
        paths: &HostPaths,
    ) -> Result<Daemon, SandboxError> {
        let out = fs_err::File::create(log)?.into_parts().0;
        let mut child = Command::new(program)
            .arg("supervise")
            .arg("--while-stdin-is-open")
            .arg("--config")
            .arg(config_file)
            .args(["--env", ENVIRONMENT])
            .stdin(Stdio::piped())
            .stdout(out.try_clone()?)
            .stderr(out)
            // Ctrl-C is for the drill, which then ends this in order.
            .process_group(0)
            .spawn()?;
        let lifeline = child.stdin.take();
        let mut daemon = Daemon { child, _lifeline: lifeline, log: log.to_owned() };
        if let Err(why) = daemon.wait_until_up(paths).await {
            daemon.kill();
            return Err(SandboxError::Daemon { why });
        }
        Ok(daemon)
    }

    async fn wait_until_up(&mut self, paths: &HostPaths) -> Result<(), String> {
        let paths = paths.clone();
        let up = tokio::task::spawn_blocking(move || {
            unship_host::supervise::wait_until_up(&paths, UP_MAX).map_err(|error| error.to_string())
        });
        tokio::select! {
            up = up => up.map_err(|error| error.to_string())?,
            ended = self.child.wait() => {
                let said = fs_err::read_to_string(&self.log).unwrap_or_default();
                let status = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
                Err(format!("{status}: {}", said.lines().last().unwrap_or_default()))
            }
        }
    }

    fn pid(&self) -> Option<Pid> {
        self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()))
    }

    /// Tells it to drain all instances and end; kills what does not within `drain` and a little more. Says
    /// what it had to kill.
    pub async fn stop(mut self, drain: Duration) -> Vec<String> {
        let Some(pid) = self.pid() else { return Vec::new() };
        // Gone already is what we want.
        let _ = kill_process(pid, Signal::TERM);
        if tokio::time::timeout(drain + END_GRACE, self.child.wait()).await.is_ok() {
            return Vec::new();
        }
        self.kill();
        let _ = self.child.wait().await;
        vec![format!(
            "the child runner did not end within {} s and was killed",
            (drain + END_GRACE).as_secs()
        )]
    }

    fn kill(&mut self) {
        if let Some(pid) = self.pid() {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}
