//! The sandbox's `unship.toml`: the service's own, with another environment and free ports.

use std::net::TcpListener;
use std::path::Path;

use toml::{Table, Value};

use super::{ENVIRONMENT, SandboxError};
use crate::config::Drill;
use crate::placeholders::Placeholders;

/// Where things are in the sandbox.
pub(super) struct Settings<'a> {
    /// The sandbox.
    pub place: &'a Path,
    /// Its folder for sockets.
    pub runtime: &'a Path,
    /// What stays between drills.
    pub cache: &'a Path,
}

impl Settings<'_> {
    /// The text for the sandbox. `text` is the service's file, which was read before and is right.
    pub fn write(&self, text: &str, drill: &Drill) -> Result<String, SandboxError> {
        let wrong =
            |error: &dyn std::fmt::Display| SandboxError::Io(std::io::Error::other(error.to_string()));
        let mut document: Table = toml::from_str(text).map_err(|error| wrong(&error))?;
        document.remove("drill");
        self.build(&mut document, drill);
        free_ports(&mut document)?;
        let at = |name: &str| Value::String(self.place.join(name).display().to_string());
        if let Some(Value::Table(database)) = document.get_mut("database") {
            database.insert("url_file".into(), at("database-url"));
        }
        // A rehearsal tells nobody, asks nobody, and leaves every environment's flags alone.
        document.remove("ci");
        if document.remove("aftercare").is_some() {
            let notes = Table::from_iter([("note_file".into(), at("notes.log"))]);
            document.insert("aftercare".into(), Value::Table(notes));
        }
        if let Some(Value::Table(flags)) = document.get_mut("flags") {
            let own_file = flags.contains_key("flagd");
            for place in ["flagd", "unleash", "sql", "command"] {
                flags.remove(place);
            }
            if own_file {
                let file = Table::from_iter([("file".into(), Value::String("{data}/flags.json".into()))]);
                flags.insert("flagd".into(), Value::Table(file));
            } else if flags.is_empty() {
                document.remove("flags");
            }
        }

        let mut environment = Table::new();
        environment.insert("strategy".into(), "native".into());
        environment.insert("hosts".into(), Value::Array(vec!["local".into()]));
        environment.insert("root".into(), at("root"));
        environment.insert("data".into(), at("data"));
        environment.insert("ledger".into(), at("ledger"));
        environment.insert("runtime".into(), self.runtime.display().to_string().into());
        let variables = drill.environment.iter().map(|(name, value)| (name.clone(), value.clone().into()));
        environment.insert("environment".into(), Value::Table(variables.collect()));
        let mut environments = Table::new();
        environments.insert(ENVIRONMENT.into(), Value::Table(environment));
        document.insert("environment".into(), Value::Table(environments));

        // Releases that were built for an earlier drill are found again.
        let depot = self.cache.join("depot");
        fs_err::create_dir_all(&depot)?;
        fs_err::os::unix::fs::symlink(depot, self.place.join("ledger").join("depot"))?;
        toml::to_string(&document).map_err(|error| wrong(&error))
    }

    /// `[build]` with the drill's own keys on top.
    fn build(&self, document: &mut Table, drill: &Drill) {
        let words = Placeholders::default().with("cache", self.cache.display().to_string());
        let Some(Value::Table(build)) = document.get_mut("build") else { return };
        for (key, value) in &drill.build {
            build.insert(key.clone(), value.clone());
        }
        if let Some(Value::Table(environment)) = build.get_mut("environment") {
            for value in environment.iter_mut().map(|(_, value)| value) {
                if let Value::String(text) = value {
                    *text = words.fill(text);
                }
            }
        }
    }
}

/// Free ports for every unit that listens.
fn free_ports(document: &mut Table) -> Result<(), SandboxError> {
    let Some(Value::Array(units)) = document.get_mut("unit") else { return Ok(()) };
    // All are held until all are known, so that no two units get the same.
    let mut held = Vec::new();
    for unit in units {
        if let Value::Table(unit) = unit
            && unit.contains_key("listen")
        {
            let listener = TcpListener::bind(("127.0.0.1", 0))?;
            unit.insert("listen".into(), listener.local_addr()?.to_string().into());
            held.push(listener);
        }
    }
    Ok(())
}
