//! The processes of a unit on a host, by what systemd and they themselves wrote to the journal: past unship.

use std::collections::BTreeMap;

use serde_json::Value;
use unship::load::Recording;
use unship::load::attribution::InstanceLife;
use unship_core::time::Timestamp;

use crate::testbed::{Failure, Testbed};

/// systemd's own names of its messages, see `journalctl --catalog`: a unit is told to stop, its process has ended,
/// it has ended well.
const STOPPING: &str = "de5b426a63be47a7b6ac3eaac82e2f6f";
const PROCESS_ENDED: &str = "98e322203f7a4ed290d09fe03c09fe15";
const ENDED_WELL: &str = "7ad2d189f7e94e70a38c781354912448";

/// All processes of a template's instances since the host booted, on the clock of a load. An instance is named after
/// its release.
pub fn of_template(
    testbed: &Testbed,
    host: &str,
    template: &str,
    recording: &Recording,
) -> Result<Vec<InstanceLife>, Failure> {
    let units = format!("{template}@*.service");
    let text = testbed.at(host, &["journalctl", "-b", "-q", "-o", "json", "--no-pager", "-u", &units])?;
    let mut lives: BTreeMap<String, InstanceLife> = BTreeMap::new();
    for line in text.lines() {
        let entry: Value = serde_json::from_str(line)?;
        let word = |name: &str| entry[name].as_str();
        // What systemd says of a unit, and what a process of it says.
        let by_systemd = word("INVOCATION_ID").zip(word("UNIT"));
        let by_itself = word("_SYSTEMD_INVOCATION_ID").zip(word("_SYSTEMD_UNIT"));
        let Some((invocation, unit)) = by_systemd.or(by_itself) else { continue };
        let instance = unit.strip_prefix(template).and_then(|rest| rest.strip_prefix('@'));
        let Some(tag) = instance.and_then(|rest| rest.strip_suffix(".service")) else { continue };
        let at_us: i64 = word("__REALTIME_TIMESTAMP").unwrap_or_default().parse()?;
        let at = Some(recording.load_us(Timestamp(at_us / 1_000)));
        if !lives.contains_key(invocation) {
            let life = InstanceLife {
                release: tag.parse().map_err(|error| format!("{unit}: {error}"))?,
                pid: 0,
                invocation: invocation.to_owned(),
                started_us: at,
                signalled_us: None,
                ended_us: None,
            };
            lives.insert(invocation.to_owned(), life);
        }
        let Some(life) = lives.get_mut(invocation) else { continue };
        // Nobody sends that signal: one that was told to stop, and has this fault before it is done, ends by itself.
        let has_aborted = word("MESSAGE").is_some_and(|text| text.contains("status=6/ABRT"));
        match word("MESSAGE_ID") {
            Some(PROCESS_ENDED) if has_aborted => {
                (life.signalled_us, life.ended_us) = (None, life.ended_us.or(at));
            }
            Some(STOPPING) if life.ended_us.is_none() => life.signalled_us = life.signalled_us.or(at),
            Some(PROCESS_ENDED | ENDED_WELL) => life.ended_us = life.ended_us.or(at),
            _ if by_systemd.is_none() => life.pid = word("_PID").unwrap_or_default().parse()?,
            _ => {}
        }
    }
    Ok(lives.into_values().collect())
}
