//! Takes a running install over: its program becomes a stored release and the current one. Nothing that serves
//! is touched, so it can be asked for again after any crash.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use unship_core::protocol::{Action, Adoption, HostReply};

use super::{Agent, Failure};
use crate::{clock, durable, look};

/// Where an administrator's drop-ins are; systemd.unit(5).
const SYSTEM_UNITS: &str = "/etc/systemd/system";
/// The drop-in that unship writes, after most others and before the ones of people in a hurry.
const DROP_IN: &str = "50-unship.conf";
/// An empty assignment takes all earlier ones away; systemd.service(5).
const NO_START_PRE: &str = "# Written by `unship adopt`. unship applies migrations itself, once per deploy. Left to this unit, a\n\
                            # rollback would run the older release's own `migrate up` on the newer schema, at every start.\n\
                            [Service]\nExecStartPre=\n";

impl Agent {
    pub(super) fn adopt(&mut self, adoption: Adoption) -> Result<HostReply, Failure> {
        let Adoption { manifest, capsule, unit, without_start_pre } = adoption;
        let release = manifest.release();
        let mut actions = Vec::new();
        let mut did = |began: Instant, what: String| {
            actions.push(Action { what, took_us: clock::micros_since(began) });
        };
        let began = Instant::now();
        let staging = self.store.stage(&manifest)?;
        if !staging.published {
            let seen = look::look(std::slice::from_ref(&unit))?;
            let process = seen.into_iter().find_map(|unit| unit.process);
            let Some(process) = process else {
                let hint = Some(format!("see why with `systemctl status {unit}`"));
                return Err(Failure::unchanged(format!("`{unit}` does not run"), hint));
            };
            for missing in &staging.missing {
                let source = PathBuf::from(format!("/proc/{}/exe", process.pid));
                self.store.write_from(&release.digest, missing, &source)?;
            }
            did(began, format!("copy {} of process {}", process.program.path, process.pid));
        }
        let began = Instant::now();
        if self.store.publish(&release.digest, &capsule)? {
            did(began, format!("publish {release}"));
        }
        let began = Instant::now();
        let mut changed = false;
        for unit in &without_start_pre {
            // A name that systemd knows, and so no path.
            look::look(std::slice::from_ref(unit))?;
            let place = Path::new(SYSTEM_UNITS).join(format!("{unit}.d")).join(DROP_IN);
            if fs_err::read_to_string(&place).is_ok_and(|text| text == NO_START_PRE) {
                continue;
            }
            if let Some(folder) = place.parent() {
                durable::folder(folder)?;
            }
            durable::write(&place, NO_START_PRE.as_bytes(), 0o644)?;
            changed = true;
            did(began, format!("write {}", place.display()));
        }
        if changed {
            let began = Instant::now();
            let mut reload = Command::new("systemctl");
            let ended = reload.arg("daemon-reload").stdin(Stdio::null()).output()?;
            if !ended.status.success() {
                let why = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
                return Err(Failure::unchanged(format!("`systemctl daemon-reload` failed: {why}"), None));
            }
            did(began, "daemon-reload".to_owned());
        }
        let began = Instant::now();
        if self.store.set_current(&release)? {
            did(began, format!("current -> {release}"));
        }
        Ok(HostReply::Done { actions })
    }
}
