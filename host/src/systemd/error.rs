//! What can go wrong between the agent and systemd.

use std::io;
use std::path::PathBuf;

/// Why systemd could not be asked, or did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum SystemdError {
    /// The bus does not answer.
    #[error("systemd cannot be asked over D-Bus: {why}")]
    NoBus {
        /// What the bus's client said.
        why: String,
    },
    /// A question got no answer in time.
    #[error("systemd did not answer `{what}` within {limit_ms} ms")]
    Silent {
        /// The method, with its argument.
        what: String,
        /// How long was waited.
        limit_ms: u64,
    },
    /// systemd refuses.
    #[error("systemd refuses `{what}`: {why}")]
    Refused {
        /// The method, with its argument.
        what: String,
        /// What systemd said.
        why: String,
    },
    /// An answer that does not fit the question.
    #[error("systemd's answer to `{what}` cannot be read: {why}")]
    Unreadable {
        /// The method, with its argument.
        what: String,
        /// The reader's reason.
        why: String,
    },
    /// A unit that the service needs is not on the host.
    #[error("`{unit}` is not on this host (systemd says `{load_state}`)")]
    NoUnit {
        /// The unit.
        unit: String,
        /// systemd's word for what it found.
        load_state: String,
    },
    /// The configuration does not say what systemd calls a unit.
    #[error("unit `{unit}` has no name for systemd")]
    Unnamed {
        /// The unit as the configuration names it.
        unit: String,
    },
    /// The name of an instance does not fit.
    #[error("the tag `{tag}` is too long for an instance of `{template}`")]
    LongName {
        /// The template.
        template: String,
        /// The tag.
        tag: String,
    },
    /// A template's instance does not start the release.
    #[error("`{unit}` starts `{found}`, not the release's `{expected}`")]
    OtherProgram {
        /// The instance.
        unit: String,
        /// What its ExecStart= names.
        found: String,
        /// What it should name.
        expected: PathBuf,
    },
    /// A job ended otherwise than asked.
    #[error("`{what}` ended with `{result}`")]
    Job {
        /// For example `start shithub-web.socket`.
        what: String,
        /// systemd's word for the end of the job.
        result: String,
        /// The unit whose log says more.
        unit: String,
        /// The last it wrote.
        lines: Vec<String>,
    },
    /// A convergence that needs what the unit does not offer.
    #[error("{why}")]
    Unfit {
        /// Why.
        why: String,
        /// What to do.
        hint: String,
    },
    /// What comes up by itself was changed in part.
    #[error("{error}; {left}")]
    HalfPointed {
        /// What went wrong first.
        error: Box<SystemdError>,
        /// What is not as it was.
        left: String,
    },
    /// The disk.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl SystemdError {
    /// Whether the connection is of no more use.
    pub(super) fn is_of_bus(&self) -> bool {
        match self {
            SystemdError::NoBus { .. } | SystemdError::Silent { .. } => true,
            SystemdError::HalfPointed { error, .. } => error.is_of_bus(),
            _ => false,
        }
    }

    /// What can be run to see or mend it.
    pub fn hint(&self) -> Option<String> {
        match self {
            SystemdError::NoBus { .. } => {
                Some("is dbus installed and running? see `systemctl status dbus.socket`".to_owned())
            }
            SystemdError::Silent { .. } => {
                Some("see what systemd waits for with `systemctl list-jobs`".to_owned())
            }
            SystemdError::NoUnit { .. } | SystemdError::OtherProgram { .. } => Some(
                "`unship init --systemd` writes the units; see what is there with `systemctl cat`".to_owned(),
            ),
            SystemdError::Job { unit, lines, .. } => {
                let mut hint = format!("its log is `journalctl -u '{unit}'`");
                for (index, line) in lines.iter().enumerate() {
                    hint.push_str(if index == 0 { ", which ends with:\n  " } else { "\n  " });
                    hint.push_str(line);
                }
                Some(hint)
            }
            SystemdError::Unfit { hint, .. } => Some(hint.clone()),
            SystemdError::HalfPointed { error, .. } => error.hint(),
            _ => None,
        }
    }
}
