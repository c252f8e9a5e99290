//! The service's own database.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::shadow::LooseShadows;
use super::{Engine, ShadowChoice, Site};
use unship_core::release::HostName;

use crate::config::{Destination, EngineName};
use crate::database::postgres::live::PostgresDatabase;
use crate::database::sqlite::live::SqliteDatabase;
use crate::ports::{Database, Shadows, Tunnels};
use crate::transport::{SshOptions, SshTunnels};

impl Site {
    /// The database that its migrations are for, where its URL is in a file.
    pub(super) fn database(&self) -> Option<Arc<dyn Database>> {
        let migrations = self.config.migrations.as_ref().filter(|_| !self.config.service.stateless)?;
        let url_file = self.database_url_file()?;
        let through = self.config.database.as_ref().and_then(|database| database.through.as_ref());
        Some(open(migrations.database, url_file, through.map(|host| self.tunnels(host))))
    }

    fn tunnels(&self, through: &HostName) -> Arc<dyn Tunnels> {
        let ssh = &self.environment.ssh;
        let to = Destination::new(through, &self.environment.host_tables, ssh);
        Arc::new(SshTunnels { options: SshOptions::from(ssh), to })
    }

    /// The file that holds the URL of its database.
    pub fn database_url_file(&self) -> Option<PathBuf> {
        Some(PathBuf::from(self.placeholders().fill(&self.config.database.as_ref()?.url_file)))
    }
}

fn open(engine: EngineName, url_file: PathBuf, through: Option<Arc<dyn Tunnels>>) -> Arc<dyn Database> {
    match engine {
        EngineName::Postgresql => Arc::new(PostgresDatabase { url_file, through }),
        EngineName::Sqlite => Arc::new(SqliteDatabase { url_file }),
    }
}

/// A database that no configuration names, with throwaway ones of its kind.
pub fn unconfigured(url_file: &Path) -> std::io::Result<(Arc<dyn Database>, Arc<dyn Shadows>)> {
    let url = fs_err::read_to_string(url_file)?;
    let (name, engine) = if url.trim_start().starts_with("sqlite:") {
        (EngineName::Sqlite, Engine::Sqlite)
    } else {
        (EngineName::Postgresql, Engine::Postgres)
    };
    let choice = ShadowChoice { engine, ..ShadowChoice::default() };
    Ok((open(name, url_file.to_owned(), None), Arc::new(LooseShadows::new(choice))))
}
