//! Which throwaway database a check gets.

use std::path::PathBuf;
use std::sync::Arc;

use unship_core::tools::{Tool, about};

use crate::database::shadow::Limits as ShadowLimits;
use crate::database::shadow::postgres::{Binaries, Cluster, OwnTable, PostgresShadow, Server};
use crate::ports::{Shadow, ShadowFailure};

/// Where the throwaway database comes from.
#[derive(Debug, Clone, Default)]
pub struct ShadowChoice {
    /// Folder of the PostgreSQL server binaries; found if not given.
    pub pg_bin: Option<PathBuf>,
    /// A server that was given for the purpose, instead of one of our own.
    pub url: Option<String>,
    pub limits: ShadowLimits,
}

/// Starts or reaches a server and makes an empty database for the migrations of one tool.
pub async fn shadow(choice: &ShadowChoice, tool: Tool) -> Result<Box<dyn Shadow>, ShadowFailure> {
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
