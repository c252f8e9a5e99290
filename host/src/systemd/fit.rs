//! Whether a host's units could serve a release: asked before a flip changes anything.

use std::io;
use std::path::Path;

use unship_core::protocol::{FlipOrder, SystemdUnit, UnitSpec};
use unship_core::release::{Digest, Release};

use super::unit::ServiceFacts;
use super::{Systemd, SystemdError, escape, leads_through};
use crate::store;

/// What is added to a tag for an instance that is no release's.
const STAND_IN: &str = ".look";
/// Where a distribution puts programs of its own; hier(7).
const DISTRIBUTION: [&str; 5] = ["/bin", "/sbin", "/lib", "/lib64", "/usr"];
/// What is the administrator's in there.
const ADMINISTRATOR: &str = "/usr/local";

impl Systemd {
    /// Refuses a release that a unit of this host would not start: what serves must not be stopped for it.
    pub(crate) fn check_fit(&mut self, release: &Release) -> Result<(), SystemdError> {
        for (unit, names) in self.units()? {
            match names.template() {
                Some(template) => self.check_instance(&unit, &names, template, release)?,
                None => self.check_swap(&unit, &names, release)?,
            }
        }
        Ok(())
    }

    fn check_instance(
        &mut self,
        unit: &UnitSpec,
        names: &SystemdUnit,
        template: &str,
        release: &Release,
    ) -> Result<(), SystemdError> {
        let name = Systemd::unit_name(names, release)?;
        let files = self.store.files_of(release);
        if !self.files.is_masked(&name) {
            let facts = ServiceFacts::read(self.bus()?, &name)?;
            return must_start(&facts, &Systemd::program_in(&files, unit));
        }
        // systemd reads a masked unit as an empty one. The mask is taken away by the start; until then another
        // instance, whose name is written like this one's, says what the template starts.
        let other = format!("{}{STAND_IN}", release.tag);
        let Some(name) = escape::instance(template, &other) else { return Ok(()) };
        let facts = ServiceFacts::read(self.bus()?, &name)?;
        let files = self.root.join("releases").join(other).join("files");
        must_start(&facts, &Systemd::program_in(&files, unit))
    }

    /// Refuses to put the release's file in the place of one that is nobody's release: what a unit's `ExecStart=` names
    /// first may be an interpreter that half of the host needs.
    fn check_swap(
        &mut self,
        unit: &UnitSpec,
        names: &SystemdUnit,
        release: &Release,
    ) -> Result<(), SystemdError> {
        if !matches!(self.flip_of(&unit.name)?.order, FlipOrder::Swap | FlipOrder::Reload) {
            return Ok(());
        }
        let Some(path) = ServiceFacts::read(self.bus()?, &names.unit)?.program else { return Ok(()) };
        if leads_through(&path, &self.root.join("current")) {
            return Ok(());
        }
        self.swapped_in(unit, release)?;
        let found = match store::hash_through(&path) {
            Ok((_, found)) => Some(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        let program = unit.command.first().map_or("", String::as_str);
        let known = self.store.known().into_iter().filter_map(|known| known.manifest);
        let known = known.flat_map(|manifest| manifest.files);
        let known: Vec<Digest> = known.filter(|file| file.path == program).map(|file| file.sha256).collect();
        may_swap(&names.unit, &path, found, &known)
    }

    /// The digest of the file that a swap puts in place.
    pub(super) fn swapped_in(&self, unit: &UnitSpec, release: &Release) -> Result<Digest, SystemdError> {
        let inside = unit.command.first().map_or("", String::as_str);
        let refuse = |why: String| SystemdError::Unfit {
            why,
            hint: "`unship status` shows what is stored".to_owned(),
        };
        let digest = self.store.digest_of(release, inside).map_err(|error| refuse(error.to_string()))?;
        digest.ok_or_else(|| refuse(format!("{release} has no file `{inside}`")))
    }
}

/// Refuses a unit that is not there, or that starts another program.
pub(super) fn must_start(facts: &ServiceFacts, expected: &Path) -> Result<(), SystemdError> {
    let unit = || facts.name.clone();
    if facts.load_state != "loaded" {
        return Err(SystemdError::NoUnit { unit: unit(), load_state: facts.load_state.clone() });
    }
    if facts.program.as_deref() != Some(expected) {
        let found = facts.program.clone().unwrap_or_default().display().to_string();
        return Err(SystemdError::OtherProgram { unit: unit(), found, expected: expected.to_owned() });
    }
    Ok(())
}

/// Refuses to replace a file that is not the service's: `found` is its digest, if it is there, and `known` are those of
/// the releases' programs.
fn may_swap(unit: &str, path: &Path, found: Option<Digest>, known: &[Digest]) -> Result<(), SystemdError> {
    let shown = path.display();
    let is_distributions =
        DISTRIBUTION.iter().any(|folder| path.starts_with(folder)) && !path.starts_with(ADMINISTRATOR);
    if is_distributions {
        return Err(SystemdError::Unfit {
            why: format!("`{unit}` starts `{shown}`, which is the distribution's: it is never replaced"),
            hint:
                "name the release's program in ExecStart=, below `<root>/current/files` or `/usr/local/bin`"
                    .to_owned(),
        });
    }
    if found.is_some_and(|found| !known.contains(&found)) {
        return Err(SystemdError::Unfit {
            why: format!(
                "`{unit}` starts `{shown}`, which is no stored release's program: it is not replaced"
            ),
            hint: format!(
                "if it is the service, `unship adopt` makes a release of it; if it is not needed any more, \
                 `mv {shown} {shown}.old`; else name the release's program in ExecStart="
            ),
        });
    }
    Ok(())
}

#[cfg(test)]
#[path = "fit_tests.rs"]
mod tests;
