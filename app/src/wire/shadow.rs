//! Which throwaway database a check gets.

use std::path::PathBuf;
use std::sync::Arc;

use unship_core::tools::{Tool, about};

use crate::database::shadow::Limits as ShadowLimits;
use crate::database::shadow::postgres::{Binaries, Cluster, OwnTable, PostgresShadow, Server};
use crate::database::shadow::sqlite::{Launch, SqliteShadow};
use crate::ports::{Shadow, ShadowFailure};

/// On which database the migrations are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Engine {
    /// A PostgreSQL server.
    #[default]
    Postgres,
    /// SQLite, in a process of its own.
    Sqlite,
}

/// Where the throwaway database comes from.
#[derive(Debug, Clone, Default)]
pub struct ShadowChoice {
    /// On which database.
    pub engine: Engine,
    /// Folder of the PostgreSQL server binaries; found if not given.
    pub pg_bin: Option<PathBuf>,
    /// A server that was given for the purpose, instead of one of our own.
    pub url: Option<String>,
    pub limits: ShadowLimits,
}

/// Starts or reaches a server and makes an empty database for the migrations of one tool.
pub async fn shadow(choice: &ShadowChoice, tool: Tool) -> Result<Box<dyn Shadow>, ShadowFailure> {
    if choice.engine == Engine::Sqlite {
        return sqlite(choice, tool);
    }
    let server = match &choice.url {
        Some(url) => Server::given(url)?,
        None => {
            let binaries = Binaries::find(choice.pg_bin.as_deref())?;
            Server::Throwaway(Cluster::start(binaries, &choice.limits).await?)
        }
    };
    let own_tables: Vec<OwnTable> = about(tool)
        .table
        .iter()
        .map(|table| OwnTable {
            name: table.name.to_owned(),
            // A fixed name of lower-case letters; nothing in it needs quotes.
            create: table.create_postgres.replace("{table}", table.name),
        })
        .collect();
    let shadow = PostgresShadow::open(Arc::new(server), choice.limits, &own_tables).await?;
    Ok(Box::new(shadow))
}

/// The hidden verb under which the program runs SQLite for itself.
const SQLITE_VERB: &str = "sqlite-shadow";

fn sqlite(choice: &ShadowChoice, tool: Tool) -> Result<Box<dyn Shadow>, ShadowFailure> {
    let program = std::env::current_exe().map_err(|error| ShadowFailure {
        message: format!("cannot tell which program this is, to run SQLite in another process: {error}"),
        hint: None,
    })?;
    let launch = Launch { program, arguments: vec![SQLITE_VERB.to_owned()] };
    let tables = about(tool).table.iter().map(|table| table.name.to_owned()).collect();
    Ok(Box::new(SqliteShadow::open(launch, choice.limits, tables)))
}
