//! Starting the command and waiting for its end.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use command_fds::{CommandFdExt, FdMapping};
use rustix::process::{Pid, Signal, kill_process_group};
use unship_core::release::{Release, RunId};

use super::lock::Record;
use super::output::Output;
use super::{ConfiguredCommand, MISLEADING, Ready};
use crate::plain::plain;
use crate::ports::{CheckFailure, Progress, SourceError};

/// The descriptor under which the command has the lock: one that scripts do not use.
const LOCK_FD: i32 = 113;
/// How often its output is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How long a command that took too long may take to end when it is asked to.
const END_MAX: Duration = Duration::from_secs(10);

/// Whether a program is there: on the way from `folder` where its name has a slash, else in `PATH`.
pub fn find(program: &str, folder: &Path) -> Result<(), SourceError> {
    let can_run = |path: &Path| {
        fs_err::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    let found = if program.contains('/') {
        can_run(&folder.join(program))
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|place| can_run(&place.join(program)))
    };
    if found {
        return Ok(());
    }
    Err(SourceError {
        message: format!("the deploy command's program `{}` is not there", plain(program)),
        hint: Some(
            "install it, or write the path to it; one with a slash is relative to the worktree".into(),
        ),
    })
}

/// A command as a person would type it.
pub fn shown(words: impl IntoIterator<Item = String>) -> String {
    let quoted = words.into_iter().map(|word| {
        let harmless = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+%".contains(c);
        if !word.is_empty() && word.chars().all(harmless) {
            word
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    plain(&quoted.collect::<Vec<_>>().join(" "))
}

/// The same, with its variables before it.
pub fn shown_with(variables: &BTreeMap<String, String>, words: Vec<String>) -> String {
    let variables = variables.iter().map(|(name, value)| format!("{name}={value}"));
    shown(variables.chain(words))
}

impl ConfiguredCommand {
    pub(super) async fn start(
        &self,
        run: &RunId,
        release: &Release,
        ready: &Ready,
        progress: &dyn Progress,
    ) -> Result<String, CheckFailure> {
        let tag = &release.tag;
        let failed =
            |why: String| CheckFailure { message: format!("the deploy command of {tag} {why}"), hint: None };
        let not_started = |error: std::io::Error| failed(format!("could not be started: {error}"));
        let secrets = self.secrets();
        let (mut output, end) = Output::create(&self.folder, run, tag).map_err(not_started)?;
        let words = self.words_of(release).fill_words(self.table.run.words());
        let mut command = std::process::Command::new(words.first().map_or("", String::as_str));
        command.args(words.iter().skip(1)).current_dir(self.starts_in(tag)).stdin(Stdio::null());
        for name in MISLEADING {
            command.env_remove(name);
        }
        command.envs(self.variables(release));
        let end = end.into_parts().0;
        command.stdout(end.try_clone().map_err(not_started)?).stderr(end);
        // A group of its own: a Ctrl-C at the terminal is for unship, and a limit ends its children too.
        command.process_group(0);
        let lock = ready.lock.share().map_err(not_started)?;
        // One mapping cannot collide with itself.
        let _ = command.fd_mappings(vec![FdMapping { parent_fd: lock, child_fd: LOCK_FD }]);
        // Not killed with this process: half a deploy is worse than one that goes on.
        let mut child = tokio::process::Command::from(command).spawn().map_err(not_started)?;
        let pid = child.id().unwrap_or_default();
        let record = Record { run: run.clone(), tag: tag.clone(), pid, since: self.clock.now() };
        // It runs: not to be able to write that down is no reason to leave it alone.
        if let Err(error) = ready.lock.record(&record) {
            progress.note(&format!("cannot write down that the deploy command runs: {error}"));
        }
        let began = Instant::now();
        let limit = Duration::from_millis(self.table.time_max.0);
        let mut ended = None;
        while ended.is_none() && began.elapsed() < limit {
            let left = limit.saturating_sub(began.elapsed()).min(LOOK);
            if let Ok(status) = tokio::time::timeout(left, child.wait()).await {
                ended = Some(status.map_err(|error| failed(format!("cannot be waited for: {error}")))?);
            }
            // The disk may be full: the command goes on all the same.
            let _ = output.look(&secrets, progress);
        }
        if ended.is_none() {
            end_group(pid, &mut child).await;
        }
        ready.lock.clear();
        let kept = output.kept();
        let said =
            output.end(&secrets, progress).unwrap_or_else(|error| format!("its output is lost: {error}"));
        let hint =
            Some(format!("all that it said is in `{}`; `unship status` shows what serves", kept.display()));
        match ended {
            Some(status) if status.success() => {
                Ok(format!("{} ended well", shown(words.into_iter().take(3))))
            }
            Some(status) => Err(CheckFailure { hint, ..failed(format!("failed: {status}: {said}")) }),
            None => Err(CheckFailure {
                hint,
                ..failed(format!("was ended after {} s, its `time_max`: {said}", limit.as_secs()))
            }),
        }
    }
}

/// Ends the command and what it started: asks, then kills.
async fn end_group(pid: u32, child: &mut tokio::process::Child) {
    let Some(group) = Pid::from_raw(pid.cast_signed()) else { return };
    // Gone already is what we want.
    let _ = kill_process_group(group, Signal::TERM);
    let _ = tokio::time::timeout(END_MAX, child.wait()).await;
    let _ = kill_process_group(group, Signal::KILL);
    let _ = child.wait().await;
}
