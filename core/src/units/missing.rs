//! What unit files miss for `overlap`, by their text: for people who wrote their own. A host's systemd says the
//! same of what it has loaded.

use super::text::Parsed;
use crate::protocol::{OverlapGap, ServiceSpec, UnitSpec};

/// What a unit's files miss. `unit_file` and `socket_file` are nothing where there is no such file.
pub fn gaps_of_files(
    service: &ServiceSpec,
    unit: &UnitSpec,
    unit_file: Option<&Parsed>,
    socket_file: Option<&Parsed>,
) -> Vec<OverlapGap> {
    let Some(names) = &unit.systemd else { return Vec::new() };
    let mut gaps = Vec::new();
    let name = || names.unit.clone();
    let Some(socket) = &names.socket else { return gaps };
    let Some(template) = names.template() else {
        let stem = names.unit.strip_suffix(".service").unwrap_or(&names.unit);
        return vec![OverlapGap::NoTemplate { unit: name(), template: format!("{stem}@.service") }];
    };
    match unit_file {
        None => {
            let unit = format!("{template}.service");
            gaps.push(OverlapGap::NoTemplate { unit, template: name() });
        }
        Some(file) => {
            let program = unit.command.first().map_or("", String::as_str);
            let expected = format!("{}/releases/%I/files/{program}", service.root);
            let starts = file.last("Service", "ExecStart").and_then(|line| line.split_whitespace().next());
            if starts.map(|word| word.trim_matches('"')) != Some(expected.as_str()) {
                gaps.push(OverlapGap::OtherProgram { unit: name(), expected });
            }
            let takes = |line: &String| line.split_whitespace().any(|word| word == socket);
            if !file.all("Service", "Sockets").iter().any(takes) {
                gaps.push(OverlapGap::SocketNotTaken { unit: name(), socket: socket.clone() });
            }
            let kind = file.last("Service", "Type").unwrap_or("simple");
            if !kind.starts_with("notify") {
                gaps.push(OverlapGap::NotNotify { unit: name(), kind: kind.to_owned() });
            }
            if !file.is_zero("Unit", "StartLimitIntervalSec") {
                gaps.push(OverlapGap::StartLimit { unit: name() });
            }
        }
    }
    match socket_file {
        None => gaps.push(OverlapGap::SocketMissing { socket: socket.clone() }),
        Some(file) => {
            let yes = |text: &str| matches!(text.to_ascii_lowercase().as_str(), "yes" | "true" | "on" | "1");
            if file.last("Socket", "Accept").is_some_and(yes) {
                gaps.push(OverlapGap::Accepts { socket: socket.clone() });
            }
            if !file.is_zero("Socket", "TriggerLimitIntervalSec") {
                gaps.push(OverlapGap::TriggerLimit { socket: socket.clone() });
            }
        }
    }
    gaps
}
