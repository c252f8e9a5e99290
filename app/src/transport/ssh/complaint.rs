//! What ssh, sudo or a login shell said when there was no agent, put into words that say what to do.

use unship_core::protocol::PROTOCOL_VERSION;

use crate::config::Destination;
use crate::plain::plain;

/// How much of a complaint is repeated.
const SAID_CHARS_MAX: usize = 300;

/// Why there is no agent at the other end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    /// What kind of trouble it is.
    pub kind: Kind,
    /// In one sentence.
    pub why: String,
    /// What to run.
    pub hint: Option<String>,
}

/// What can be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// sshd would not talk now; a moment later it may.
    Busy,
    /// The host was reached and has no agent of this protocol.
    NoAgent,
    /// Trying again would come to the same.
    Final,
}

/// How a session ended without having served.
pub(super) struct Ended<'a> {
    /// The end of standard error.
    pub stderr: &'a str,
    /// What came on standard output that was no answer.
    pub stdout: &'a str,
    /// The exit status of ssh, where it has one: 255 is its own, others are the remote command's.
    pub status: Option<i32>,
}

/// A text that ssh or the other side says, the kind of trouble, what it means and what to run. `HOST` stands for
/// how people would name the host to ssh, `KNOWN` for how its key is filed, and `TABLE` for what unship calls it. The first
/// that fits counts.
type Known = (&'static [&'static str], Kind, &'static str, &'static str);

const KNOWN: [Known; 19] = [
    (
        &["REMOTE HOST IDENTIFICATION HAS CHANGED"],
        Kind::Final,
        "its host key is not the one that is known",
        "if the host was set up anew, compare the key's fingerprint there and then `ssh-keygen -R KNOWN`; if not, \
         do not go on",
    ),
    (
        &["host key is known for", "Host key verification failed"],
        Kind::Final,
        "its host key is not known here",
        "compare the fingerprint once by hand: `ssh HOST`",
    ),
    (
        &["Permission denied (", "Too many authentication failures"],
        Kind::Final,
        "it does not accept the key",
        "is the key loaded? `ssh-add -l`; what does ssh offer? `ssh -v HOST true`",
    ),
    (
        &["Could not resolve hostname"],
        Kind::Final,
        "its name is not known",
        "give its address in `[environment.NAME.host.TABLE]`, or in your configuration of ssh",
    ),
    (&["Connection refused"], Kind::Final, "nothing listens for ssh there", "is sshd running there?"),
    (
        &["No route to host", "Network is unreachable", "Host is down"],
        Kind::Final,
        "there is no way to it in the network",
        "`ssh -v HOST true`",
    ),
    (
        &["not responding", "Broken pipe"],
        Kind::Final,
        "the connection was lost",
        "see whether it is there: `ssh HOST true`",
    ),
    (
        &["timed out", "Connection timed out during banner exchange"],
        Kind::Final,
        "it did not answer in time",
        "see whether it is there: `ssh HOST true`",
    ),
    (
        &[
            "kex_exchange_identification",
            "ssh_exchange_identification",
            "Connection reset by",
            "Connection closed by",
        ],
        Kind::Busy,
        "sshd hung up before anybody was let in",
        "too many sessions at once? see MaxStartups in its sshd_config, and `sessions` in `[environment.NAME.ssh]`",
    ),
    (
        &["a password is required", "is not allowed to", "not in the sudoers", "may not run sudo"],
        // sudo says the same of a program that is not there when it allows that one by a pattern alone.
        Kind::NoAgent,
        "sudo starts no agent there: there is none, or the account may not",
        "`unship agent install`; docs/privileges.md has the lines for sudoers",
    ),
    (
        &["sudo: not found", "sudo: command not found"],
        Kind::Final,
        "it has no sudo",
        "connect as root instead",
    ),
    (
        &["GLIBC_", "version `GLIBC"],
        Kind::Final,
        "its C library is too old for this agent",
        "deploy with an unship that was built on a system as old as the host's",
    ),
    (
        &["Exec format error", "cannot execute binary file"],
        Kind::Final,
        "the agent is for another kind of machine",
        "deploy with an unship for the host's architecture",
    ),
    (
        &["unrecognized subcommand"],
        Kind::NoAgent,
        "the agent there does not know this way of being asked",
        "put this unship's there: `unship agent install`",
    ),
    (
        &["command not found", "not found", "No such file", "Unknown command"],
        Kind::NoAgent,
        "it has no agent for this version of unship",
        "put one there: `unship agent install`",
    ),
    (&["This account is", "nologin"], Kind::Final, "the account may not log in", "use another `user`"),
    (
        &["remote port forwarding failed", "stdio forwarding failed", "open failed"],
        Kind::Final,
        "the host in between cannot reach it",
        "`ssh -v HOST true`",
    ),
    (
        &["Bad configuration option", "Bad owner or permissions"],
        Kind::Final,
        "ssh does not start",
        "`ssh -G HOST`",
    ),
    (
        &["Killed", "Out of memory"],
        Kind::Final,
        "the agent was killed",
        "is there memory left? `ssh HOST free -m`",
    ),
];

/// There was no session.
pub(super) fn not_started(error: &std::io::Error) -> Complaint {
    Complaint {
        kind: Kind::Final,
        why: format!("cannot run ssh: {error}"),
        hint: Some("install OpenSSH's client".into()),
    }
}

/// Reads a session's last words.
pub(super) fn read(to: &Destination, ended: &Ended<'_>) -> Complaint {
    let said = format!("{}\n{}", ended.stderr, ended.stdout);
    let known = KNOWN.iter().find(|(texts, ..)| texts.iter().any(|text| said.contains(text)));
    if let Some((_, kind, why, hint)) = known {
        let why = match last_line(ended.stderr) {
            Some(line) => format!("{why} ({line})"),
            None => (*why).to_owned(),
        };
        return Complaint { kind: *kind, why, hint: Some(hint_for(to, hint)) };
    }
    if let Some(said) = last_line(ended.stdout) {
        return banner(to, &said);
    }
    let why = match (last_line(ended.stderr), ended.status) {
        (Some(line), _) => format!("there is no agent: {line}"),
        (None, Some(status)) => {
            format!("there is no agent, and ssh ended with status {status} without a word")
        }
        (None, None) => "there is no agent, and ssh was killed".into(),
    };
    Complaint { kind: Kind::Final, why, hint: Some(format!("`ssh -v {} true`", ssh_name(to))) }
}

/// What came in place of an agent, when it is nothing but talk.
pub(super) fn banner(to: &Destination, said: &str) -> Complaint {
    Complaint {
        kind: Kind::Final,
        why: format!("its login shell says `{}` where the agent should answer", shortened(said)),
        hint: Some(format!(
            "start files of a shell must say nothing without a terminal; see it with `ssh {} true`",
            ssh_name(to)
        )),
    }
}

/// Another protocol at the other end.
pub(super) fn protocol(host: u32) -> Complaint {
    Complaint {
        kind: Kind::NoAgent,
        why: format!("its agent speaks protocol {host}, this unship {PROTOCOL_VERSION}"),
        hint: Some("put this unship's agent there: `unship agent install`".into()),
    }
}

fn hint_for(to: &Destination, hint: &str) -> String {
    let address = to.address.as_str();
    let known = to.port.map_or(address.to_owned(), |port| format!("'[{address}]:{port}'"));
    hint.replace("KNOWN", &known).replace("TABLE", to.name.as_str()).replace("HOST", &ssh_name(to))
}

/// How a person would name the host to ssh.
fn ssh_name(to: &Destination) -> String {
    let user = to.user.as_ref().map(|user| format!("{}@", user.as_str())).unwrap_or_default();
    let port = to.port.map(|port| format!("-p {port} ")).unwrap_or_default();
    let jump = to.jump.as_ref().map(|jump| format!("-J {} ", jump.as_str())).unwrap_or_default();
    format!("{jump}{port}{user}{}", to.address.as_str())
}

/// The last line that says something, fit for a terminal.
fn last_line(text: &str) -> Option<String> {
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    Some(shortened(line))
}

fn shortened(text: &str) -> String {
    plain(text.trim()).chars().take(SAID_CHARS_MAX).collect()
}

#[cfg(test)]
#[path = "complaint_tests.rs"]
mod tests;
