//! Migrations of a folder or a commit, as words on the command line name them.

use std::path::Path;

use unship_core::tools::{self, MigrationSet, Remark, Tool};

use super::CliError;
use crate::gather::migrations::{self, GatherError, Gathered, Source};

/// Reads them. `named` is the folder as it stands on the command line, for messages.
pub(super) async fn read(
    source: &Source,
    tool: Option<Tool>,
    named: Option<&Path>,
) -> Result<MigrationSet, CliError> {
    let gathered: Gathered = migrations::gather(source).await.map_err(|error| as_written(error, named))?;
    let Some(tool) = migrations::tool_of(&gathered, tool) else {
        let folder = match named {
            Some(folder) => folder.display().to_string(),
            None => gathered.folder,
        };
        let error = CliError::usage(format!("cannot tell whose migrations `{folder}` are"));
        return Err(match gathered.detection.hint() {
            Some(hint) => error.hint(hint),
            None => error,
        });
    };
    let mut set = tools::read(tool, gathered.files)
        .map_err(|error| CliError::usage(error.to_string()).hint(error.hint()))?;
    let skipped = gathered.skipped.into_iter();
    set.remarks.extend(
        skipped.map(|file| Remark { path: file.path, text: format!("passed over: {}", file.reason) }),
    );
    Ok(set)
}

/// With the folder named as on the command line.
fn as_written(error: GatherError, named: Option<&Path>) -> GatherError {
    let Some(folder) = named else { return error };
    let GatherError::Io { path, source } = error else { return error };
    let rest =
        std::path::absolute(folder).ok().and_then(|full| Some(path.strip_prefix(full).ok()?.to_owned()));
    let path = match rest {
        Some(rest) if rest.as_os_str().is_empty() => folder.to_owned(),
        Some(rest) => folder.join(rest),
        None => path,
    };
    GatherError::Io { path, source }
}
