//! `unship init` without `--systemd`: an unship.toml from what the repository shows.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use crate::cli::site::block_on;
use crate::cli::{CliError, Output, exit};
use crate::config::Config;
use crate::gather::project::{self, Project};

/// Writes `unship.toml` into the folder from what is found there, or prints it.
pub(super) fn run(folder: &Path, print: bool, output: &mut Output) -> Result<ExitCode, CliError> {
    let path = folder.join("unship.toml");
    if !print && path.exists() {
        return Err(CliError::new(exit::REFUSED, format!("`{}` is there already", path.display()))
            .hint("see what would be written with `unship init --print`"));
    }
    let project = block_on(async { Ok(project::look(folder).await) })?;
    let text = written(&project);
    // What is written must be what every other command reads.
    Config::parse(&path, &text)?;
    for line in missing(&project) {
        output.note(format!("not found: {line}"));
    }
    if print {
        output.line(text.trim_end());
        return Ok(ExitCode::SUCCESS);
    }
    write_new(&path, &text)?;
    output.line(format!("wrote {}", path.display()));
    Ok(ExitCode::SUCCESS)
}

/// Writes a file that must not be there yet.
fn write_new(path: &Path, text: &str) -> Result<(), CliError> {
    let failed =
        |error: std::io::Error| CliError::failed(format!("cannot write `{}`: {error}", path.display()));
    let mut file = fs_err::OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

/// What a person has to fill in.
fn missing(project: &Project) -> Vec<String> {
    let mut missing = Vec::new();
    if project.build.is_none() {
        missing.push("how it is built; write [build]".to_owned());
    }
    if project.units.is_empty() {
        missing.push("unit files of systemd; look at [[unit]]".to_owned());
    }
    match &project.migrations {
        None => {
            let why = project.no_migrations.clone().unwrap_or_default();
            missing.push(format!(
                "migrations ({why}); write [migrations], or `stateless = true` if there is no database"
            ));
        }
        Some(found) if found.tool.is_none() => {
            let hint = found.hint.clone().unwrap_or_default();
            missing.push(format!("whose migrations `{}` are; {hint}", found.folder));
        }
        Some(_) => {}
    }
    if project.queries.is_empty() && project.migrations.is_some() {
        missing.push(format!("queries; {}", unship_core::verdict::HOW_TO_GIVE_QUERIES));
    }
    if project.ci.is_empty() {
        missing.push("how it is tested".to_owned());
    }
    if project.tags.is_empty() {
        missing.push("tags; releases are named by them".to_owned());
    }
    missing
}

/// The file. Values go through TOML's own writer, so that no name of the repository can break it.
fn written(project: &Project) -> String {
    let mut text = String::from(
        "# How unship deploys this service and takes a release back. Written by `unship init`: look at every line.\n\
         # example.toml of unship explains every key.\n\n",
    );
    let name = value(&project.name);
    let stateless = if project.migrations.is_none() {
        "# No migrations folder was found for sure. If there is no database at all, say so:\n# stateless = true\n"
    } else {
        ""
    };
    let _ = write!(text, "[service]\nname = {name}\n{stateless}\n");
    match &project.build {
        Some(build) => {
            let _ = write!(
                text,
                "# From {}. The command runs in a fresh worktree of a tag.\n[build]\ncommand = {}\nartifact = {}\n\n",
                comment(&build.because),
                list(&build.command),
                value(&build.artifact)
            );
        }
        None => text.push_str(
            "# Not found: the command that builds a tag, and the file or folder that it makes.\n[build]\ncommand = \
             [\"make\", \"build\"]\nartifact = \"build\"\n\n",
        ),
    }
    for unit in &project.units {
        let _ = write!(
            text,
            "# From {}. The first word is a path inside the release.\n[[unit]]\nname = {}\ncommand = {}\n\n",
            comment(&unit.because),
            value(&unit.name),
            list(&unit.command)
        );
    }
    if project.units.is_empty() {
        let command = list(&[format!("bin/{}", project.name)]);
        let _ = write!(
            text,
            "# Not found: the processes of the service. The first word is a path inside the release.\n[[unit]]\nname = \
             \"web\"\ncommand = {command}\n# The address that is handed to it as an open socket.\n# listen = \
             \"127.0.0.1:8080\"\n\n"
        );
    }
    if let Some(found) = &project.migrations {
        let sqlite = if found.folder.contains("sqlite") { "sqlite" } else { "postgresql" };
        let tool = match found.tool {
            Some(tool) => format!("tool = {}\n", value(tool.name())),
            None => format!(
                "# Not clear from the files: {}\n# tool = \"...\"\n",
                comment(found.hint.as_deref().unwrap_or_default())
            ),
        };
        let _ = write!(
            text,
            "[migrations]\nfolder = {}\n{tool}database = {}\n# The command that applies what is not applied yet.\n# up = \
             [\"{{executable}}\", \"migrate\", \"up\"]\n\n",
            value(&found.folder),
            value(sqlite)
        );
    }
    if !project.queries.is_empty() {
        let _ = write!(
            text,
            "# Whether an older release runs on a newer schema is asked of these.\n[queries]\npaths = {}\n# As which role \
             the service connects to PostgreSQL.\n# role = \"...\"\n\n",
            list(&project.queries)
        );
    }
    if let Some(flags) = &project.flags {
        let _ = write!(text, "[flags]\nfile = {}\n\n", value(flags));
    }
    text.push_str("# Must answer 200, and the release's tag.\n[probe]\n# health = \"/healthz\"\n# version = \"/version\"\n\n");
    if !project.ci.is_empty() {
        let _ = writeln!(text, "# Tested by {}.", comment(&project.ci.join(", ")));
    }
    if let Some(newest) = project.tags.first() {
        let _ =
            writeln!(text, "# The newest tag is {}: `unship deploy {}`.", comment(newest), comment(newest));
    }
    text.push_str("[environment.production]\nhosts = [\"local\"]\n");
    text
}

fn value(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn list(words: &[String]) -> String {
    toml::Value::Array(words.iter().cloned().map(toml::Value::String).collect()).to_string()
}

/// On one line, whatever was in it.
fn comment(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests;
