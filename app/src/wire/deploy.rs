//! The user's own deploy command, from the configuration.

use std::path::Path;
use std::sync::Arc;

use super::Site;
use crate::command::ConfiguredCommand;
use crate::config::{ConfigError, Strategy};
use crate::ports::{Clock, DeployCommand};
use crate::source::GitSource;

impl Site {
    /// The user's own deploy command, where the strategy is that.
    pub(super) fn deploy_command(
        &self,
        folder: &Path,
        source: &Arc<GitSource>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Option<Arc<dyn DeployCommand>>, ConfigError> {
        if self.environment.strategy == Strategy::Native {
            return Ok(None);
        }
        let Some(table) = self.environment.command.clone() else {
            return Err(ConfigError::NoCommand { environment: self.name.clone() });
        };
        Ok(Some(Arc::new(ConfiguredCommand {
            table,
            source: Arc::clone(source),
            folder: folder.join("command"),
            placeholders: self.placeholders(),
            environment: self.environment.environment.clone(),
            database_url_file: self.config.database.as_ref().map(|database| database.url_file.clone()),
            clock: Arc::clone(clock),
            ready: tokio::sync::Mutex::new(None),
        })))
    }
}
