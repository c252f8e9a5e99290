//! A file in flagd's format. What is not changed stays as it was written, byte for byte.
//!
//! The format: <https://flagd.dev/reference/flag-definitions/>, its schema <https://flagd.dev/schema/v0/flags.json>.

mod edit;

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use unship_core::flags::{FlagName, FlagState, FlagValue};

use self::edit::Document;
use super::{FLAGS_MAX, failure, name};
use crate::ports::{Acting, CheckFailure, FlagSource};

/// The largest file that is read.
const FILE_BYTES_MAX: u64 = 8 << 20;

/// A file on this machine.
pub struct FlagdFile {
    /// The file.
    pub file: PathBuf,
}

impl FlagdFile {
    fn text(&self) -> Result<String, CheckFailure> {
        let cannot = |error: std::io::Error| CheckFailure {
            message: format!("cannot read the flags: {error}"),
            hint: Some("`flags.flagd.file` names the file that the service reads".into()),
        };
        let size = fs_err::metadata(&self.file).map_err(cannot)?.len();
        if size > FILE_BYTES_MAX {
            return Err(failure(format!(
                "the flags in `{}` have {size} bytes; the limit is {FILE_BYTES_MAX}",
                self.file.display()
            )));
        }
        fs_err::read_to_string(&self.file).map_err(cannot)
    }

    fn document<'a>(&self, text: &'a str) -> Result<Document<'a>, CheckFailure> {
        Document::read(text)
            .map_err(|why| failure(format!("the flags in `{}` are not flagd's: {why}", self.file.display())))
    }

    fn write(&self, text: &str) -> Result<(), CheckFailure> {
        replace(&self.file, text).map_err(|error| failure(format!("cannot write the flags: {error}")))
    }
}

#[async_trait]
impl FlagSource for FlagdFile {
    fn name(&self) -> String {
        format!("`{}`", self.file.display())
    }

    async fn read(&self) -> Result<Vec<FlagState>, CheckFailure> {
        let text = self.text()?;
        let document = self.document(&text)?;
        if document.flags.len() > FLAGS_MAX {
            return Err(failure(format!("there are more than {FLAGS_MAX} flags")));
        }
        let states = document.flags.iter().map(|flag| {
            let value = FlagValue { on: flag.is_on(), raw: Some(flag.raw()) };
            Ok(FlagState { name: name(&flag.name)?, value, changed_at: None, changed_by: None })
        });
        states.collect()
    }

    async fn set(&self, flag: &FlagName, to: &FlagValue, _: &Acting) -> Result<(), CheckFailure> {
        let text = self.text()?;
        let document = self.document(&text)?;
        let found = document.flags.iter().find(|known| known.name == flag.as_str());
        let found = found.ok_or_else(|| failure(format!("there is no flag `{flag}` in {}", self.name())))?;
        let changed = match (&to.raw, to.on) {
            (Some(raw), _) => found.with_raw(&text, raw),
            (None, false) => Ok(found.turned_off(&text)),
            (None, true) => found.turned_on(&text),
        };
        self.write(&changed.map_err(|why| failure(format!("cannot set the flag `{flag}`: {why}")))?)
    }

    async fn install(&self, new: &str, old: Option<&str>, _: &Acting) -> Result<(), CheckFailure> {
        let of = |text, whose: &str| {
            Document::read(text)
                .map_err(|why| failure(format!("{whose} file of flags is not flagd's: {why}")))
        };
        let wanted = of(new, "the release's")?;
        let before = old.map(|old| of(old, "the earlier release's")).transpose()?;
        if !self.file.exists() {
            return self.write(new);
        }
        let mut text = self.text()?;
        for flag in &wanted.flags {
            let same = before.as_ref().is_some_and(|before| before.defines_alike(flag));
            if !same {
                text = self.document(&text)?.with_flag(&text, flag);
            }
        }
        self.write(&text)
    }
}

/// Replaces a file's content at once: whoever reads sees the old text or the new one. Mode and owner stay; where the
/// path is a link, the file behind it is replaced.
fn replace(file: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;
    let place = fs_err::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let mut aside = tempfile::NamedTempFile::with_prefix_in(".unship-flags-", folder)?;
    aside.write_all(text.as_bytes())?;
    match fs_err::metadata(&place) {
        Ok(before) => {
            aside.as_file().set_permissions(before.permissions())?;
            let now = aside.as_file().metadata()?;
            if (now.uid(), now.gid()) != (before.uid(), before.gid()) {
                std::os::unix::fs::fchown(aside.as_file(), Some(before.uid()), Some(before.gid()))?;
            }
        }
        Err(_) => {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            aside.as_file().set_permissions(mode)?;
        }
    }
    aside.as_file().sync_all()?;
    aside.persist(&place).map_err(|error| error.error)?;
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
