//! What holds for the hosts in between, too. `ssh -J` starts an ssh of its own for each, and hands on its `-F` and none
//! of its `-o`: without more, a bastion whose key is not known would be asked about at the terminal, or let through where
//! the user's own configuration says so. So the options stand in a configuration, before what the user's own says,
//! because the first value counts.

use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::sync::{Arc, OnceLock};

use rustix::fs::MemfdFlags;

use super::command::{SshOptions, own_options};
use crate::config::SshFile;

/// What ssh reads when it is given no configuration; ssh_config(5).
const USUAL: &str = "Match all\nInclude ~/.ssh/config\nMatch all\nInclude /etc/ssh/ssh_config\n";
/// A configuration that is none; ssh(1).
const NONE: &str = "none";

/// The configuration, in memory: a full disk must not stop a rollback, and nothing is left behind.
#[derive(Debug, Clone, Default)]
pub(super) struct ForJumps(Arc<OnceLock<fs_err::File>>);

impl ForJumps {
    /// Where this program's children find it, by a name that is harmless to the shell that `-J` goes through.
    pub(super) fn path(&self, options: &SshOptions) -> io::Result<String> {
        let file = match self.0.get() {
            Some(file) => file,
            None => {
                let file = in_memory(text(options)?.as_bytes())?;
                self.0.get_or_init(|| file)
            }
        };
        Ok(format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()))
    }
}

fn in_memory(bytes: &[u8]) -> io::Result<fs_err::File> {
    let memory = rustix::fs::memfd_create(c"ssh_config", MemfdFlags::CLOEXEC)?;
    let mut file = fs_err::File::from_parts(memory.into(), "ssh_config in memory");
    file.write_all(bytes)?;
    Ok(file)
}

fn text(options: &SshOptions) -> io::Result<String> {
    let mut text = String::new();
    for (name, value) in own_options(options) {
        text.push_str(&format!("{name} {value}\n"));
    }
    match &options.config {
        None => text.push_str(USUAL),
        Some(config) if config.as_str() == NONE => {}
        // Its text and not its name, which ssh would read as a pattern.
        Some(config) => text.push_str(&fs_err::read_to_string(in_home(config))?),
    }
    Ok(text)
}

/// The path of a file of OpenSSH's: no shell is there that would know what `~` is.
pub(super) fn in_home(file: &SshFile) -> String {
    let path = file.as_str();
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest).display().to_string(),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
#[path = "jump_tests.rs"]
mod tests;
