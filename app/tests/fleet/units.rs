//! The units of a test's service, as an administrator has them.

use crate::world::Units;

/// Where `unship agent install` puts the program that answers while a host is held.
const AGENT: &str = "/usr/local/lib/unship/protocol-1/unship";

/// Names and texts of the unit files.
pub fn files(service: &str, port: u16, units: Units) -> Vec<(String, String)> {
    let install = "[Install]\nWantedBy=multi-user.target\n";
    let limits = "Restart=on-failure\nRestartSec=100ms\nTimeoutStopSec=5\n";
    match units {
        Units::Socket => vec![
            (
                format!("{service}-web.socket"),
                format!(
                    "[Socket]\nListenStream=0.0.0.0:{port}\nService={service}-web-hold.service\n\
                     TriggerLimitIntervalSec=0\n[Install]\nWantedBy=sockets.target\n"
                ),
            ),
            (
                format!("{service}-web@.service"),
                format!(
                    "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=notify\nUser=shithub\n\
                     ExecStart=/opt/{service}/releases/%I/files/bin/tinyd serve\nSockets={service}-web.socket\n\
                     {limits}{install}"
                ),
            ),
            (
                format!("{service}-web-hold.service"),
                format!(
                    "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=notify\nSockets={service}-web.socket\n\
                     ExecStart={AGENT} answer-on-hold 30\n{limits}"
                ),
            ),
        ],
        Units::Plain | Units::Swap => {
            let program = match units {
                Units::Swap => format!("/usr/local/bin/{service}"),
                Units::Plain | Units::Socket => format!("/opt/{service}/current/files/bin/tinyd"),
            };
            vec![(
                format!("{service}.service"),
                format!(
                    "[Unit]\nStartLimitIntervalSec=0\n[Service]\nType=notify\nUser=shithub\nEnvironment=PORT={port}\n\
                     ExecStart={program} serve\n{limits}{install}"
                ),
            )]
        }
    }
}
