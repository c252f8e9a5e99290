//! What is run: the arguments of `ssh`, and the line that a login shell on the host gets. Values, nothing is
//! started here.
//!
//! The line is one of a few fixed texts. Nothing from a configuration, an inventory, a tag or a host is ever
//! part of it; whatever an agent has to know goes through the pipe.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use unship_core::protocol::PROTOCOL_VERSION;

use super::jump::ForJumps;
use crate::config::{AgentPlace, Destination, Ssh, SshFile};

/// How long ssh itself goes without a sign of life from sshd before it gives a connection up: three times five
/// seconds.
const ALIVE_INTERVAL_S: u64 = 5;
const ALIVE_COUNT_MAX: u64 = 3;

/// How hosts of an environment are reached.
#[derive(Debug, Clone)]
pub struct SshOptions {
    /// The program; `ssh` of the PATH unless a test brings its own.
    pub program: PathBuf,
    /// A configuration in place of the user's.
    pub config: Option<SshFile>,
    /// Whether the account becomes root.
    pub sudo: bool,
    /// Where the agent is.
    pub place: AgentPlace,
    /// How long a connection may take to be made.
    pub connect_max: Duration,
    /// What hosts in between are reached with.
    pub(super) for_jumps: ForJumps,
}

impl From<&Ssh> for SshOptions {
    fn from(ssh: &Ssh) -> SshOptions {
        SshOptions {
            program: "ssh".into(),
            config: ssh.config.clone(),
            sudo: ssh.sudo,
            place: ssh.agent,
            connect_max: Duration::from_millis(ssh.connect.0),
            for_jumps: ForJumps::default(),
        }
    }
}

/// Below which folder agents are, as the login shell of the account finds it.
pub(super) fn base(place: AgentPlace) -> &'static str {
    match place {
        AgentPlace::System => "/usr/local/lib/unship",
        AgentPlace::Home => ".local/lib/unship",
    }
}

/// What starts the agent. It is found by the protocol that this program speaks: the folder of that name is a
/// link to the agent's digest, which the newest deploy put there.
pub(super) fn agent_line(options: &SshOptions) -> String {
    let sudo = if options.sudo { "sudo -n -- " } else { "" };
    format!("{sudo}{}/protocol-{PROTOCOL_VERSION}/unship host", base(options.place))
}

/// A way to start the text that puts an agent on a host.
pub(super) struct PlaceLine {
    /// What the login shell gets.
    pub text: &'static str,
    /// Whether the text itself has to come first on standard input, behind its length in bytes.
    pub needs_script: bool,
}

/// A shell that takes so many bytes from its input as what to run, and leaves the rest for that. No quote of the
/// one kind, no backslash and no exclamation mark is in it: every login shell reads it alike.
const READS_SCRIPT: &str = r#"/bin/sh -c 'read -r n && s=$(head -c "$n") && eval "$s"'"#;
const READS_SCRIPT_AS_ROOT: &str = r#"sudo -n -- /bin/sh -c 'read -r n && s=$(head -c "$n") && eval "$s"'"#;

/// The ways to put an agent on a host, in the order in which they are tried. With sudo first the one that an
/// administrator has put there and allowed by name, so that nothing else need be allowed.
pub(super) fn place_lines(options: &SshOptions) -> Vec<PlaceLine> {
    match (options.sudo, options.place) {
        (false, _) => vec![PlaceLine { text: READS_SCRIPT, needs_script: true }],
        (true, AgentPlace::Home) => vec![PlaceLine { text: READS_SCRIPT_AS_ROOT, needs_script: true }],
        (true, AgentPlace::System) => vec![
            PlaceLine { text: "sudo -n -- /usr/local/lib/unship/place", needs_script: false },
            PlaceLine { text: READS_SCRIPT_AS_ROOT, needs_script: true },
        ],
    }
}

/// The arguments of ssh for `line` on the host.
pub(super) fn arguments(options: &SshOptions, to: &Destination, line: &str) -> io::Result<Vec<String>> {
    let mut words = common(options, to, &[("ClearAllForwardings", "yes"), ("RemoteCommand", "none")])?;
    words.extend(["--".into(), to.address.as_str().into(), line.into()]);
    Ok(words)
}

/// The arguments of ssh for a way through the host that runs nothing there. `forward` is what `-L` takes.
pub(super) fn tunnel_arguments(
    options: &SshOptions,
    to: &Destination,
    forward: &str,
) -> io::Result<Vec<String>> {
    // One that goes through a master connection would outlive its child.
    let own = [("ExitOnForwardFailure", "yes"), ("ControlPath", "none"), ("StreamLocalBindMask", "0177")];
    let mut words = common(options, to, &own)?;
    words.extend(["-N".into(), "-L".into(), forward.into(), "--".into(), to.address.as_str().into()]);
    Ok(words)
}

/// What holds on every way, for hosts in between as well.
pub(super) fn own_options(options: &SshOptions) -> [(&'static str, String); 7] {
    [
        // Nobody is there to be asked; a key that is not known is refused, and one that changed all the more.
        ("BatchMode", "yes".into()),
        ("StrictHostKeyChecking", "yes".into()),
        ("ConnectTimeout", options.connect_max.as_secs().max(1).to_string()),
        ("ConnectionAttempts", "1".into()),
        ("ServerAliveInterval", ALIVE_INTERVAL_S.to_string()),
        ("ServerAliveCountMax", ALIVE_COUNT_MAX.to_string()),
        // What a person's own configuration may have for their own sessions and would be in the way here.
        ("PermitLocalCommand", "no".into()),
    ]
}

/// What every ssh of ours is told, with some more options.
fn common(options: &SshOptions, to: &Destination, more: &[(&str, &str)]) -> io::Result<Vec<String>> {
    // No terminal, no forwarding of keys or windows to a host that may be in trouble.
    let mut words: Vec<String> = ["-T", "-a", "-x"].map(String::from).to_vec();
    let config = match (&to.jump, &options.config) {
        (Some(_), _) => Some(options.for_jumps.path(options)?),
        (None, Some(config)) => Some(super::jump::in_home(config)),
        (None, None) => None,
    };
    if let Some(config) = config {
        words.extend(["-F".into(), config]);
    }
    let own = own_options(options);
    let own = own.iter().map(|(name, value)| (*name, value.as_str()));
    for (name, value) in own.chain(more.iter().copied()) {
        words.extend(["-o".into(), format!("{name}={value}")]);
    }
    if let Some(user) = &to.user {
        words.extend(["-l".into(), user.as_str().into()]);
    }
    if let Some(port) = to.port {
        words.extend(["-p".into(), port.to_string()]);
    }
    if let Some(identity) = &to.identity {
        words.extend(["-i".into(), identity.as_str().into()]);
    }
    if let Some(jump) = &to.jump {
        words.extend(["-J".into(), jump.as_str().into()]);
    }
    Ok(words)
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
