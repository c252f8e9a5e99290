//! What a repository shows of the service in it: name, build, units, migrations, queries, flags, CI, tags.
//!
//! Everything is a guess with its reason, for a person to look at. Reads only.

use std::path::{Path, PathBuf};

use unship_core::tools::Tool;

use super::migrations::{self, Source};
use super::queries;

/// Most folders that are looked into for unit files, and deepest.
const FOLDERS_MAX: usize = 2_000;
const DEPTH_MAX: usize = 5;
/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// How the project is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildFound {
    pub command: Vec<String>,
    pub artifact: String,
    /// The file that says so.
    pub because: String,
}

/// A process of the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitFound {
    pub name: String,
    pub command: Vec<String>,
    pub because: String,
}

/// The migrations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationsFound {
    pub folder: String,
    /// None if the files leave a doubt, which the hint is about.
    pub tool: Option<Tool>,
    pub hint: Option<String>,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Project {
    pub name: String,
    pub build: Option<BuildFound>,
    pub units: Vec<UnitFound>,
    pub migrations: Option<MigrationsFound>,
    /// Why there are none, if there are none.
    pub no_migrations: Option<String>,
    pub queries: Vec<String>,
    /// Files that say how the project is tested.
    pub ci: Vec<String>,
    pub flags: Option<String>,
    /// The newest tags, newest first.
    pub tags: Vec<String>,
}

/// Looks at a folder.
pub async fn look(folder: &Path) -> Project {
    let mut project = Project { name: name_of(folder), ..Project::default() };
    let source = Source::Disk { project: folder.to_owned(), folder: None };
    match migrations::gather(&source).await {
        Ok(found) => {
            project.migrations = Some(MigrationsFound {
                tool: found.detection.tool(),
                hint: found.detection.hint(),
                folder: found.folder,
            });
        }
        Err(error) => project.no_migrations = Some(error.to_string()),
    }
    project.queries = queries::on_disk(folder, &[]).map(|found| found.places).unwrap_or_default();
    let files = files(folder);
    project.build = build(folder, &project.name);
    project.units = files
        .iter()
        .filter(|path| path.ends_with(".service"))
        .filter_map(|path| unit(folder, path))
        .collect();
    project.units.sort_by(|a, b| a.name.cmp(&b.name));
    project.units.dedup_by(|a, b| a.name == b.name);
    let is_ci = |path: &&String| {
        path.starts_with(".github/workflows/")
            || path.starts_with(".forgejo/workflows/")
            || path.starts_with(".gitea/workflows/")
            || matches!(path.as_str(), ".gitlab-ci.yml" | ".woodpecker.yml" | "Jenkinsfile")
    };
    project.ci = files.iter().filter(is_ci).cloned().collect();
    project.flags = files.iter().find(|path| path.ends_with("flags.json")).cloned();
    project.tags = migrations::git::tags(folder).await;
    project
}

/// The package's name, or the folder's.
fn name_of(folder: &Path) -> String {
    let of_cargo = text(folder, "Cargo.toml").and_then(|text| {
        let table: toml::Table = text.parse().ok()?;
        Some(table.get("package")?.get("name")?.as_str()?.to_owned())
    });
    let of_go = || {
        let text = text(folder, "go.mod")?;
        let module = text.lines().find_map(|line| line.strip_prefix("module "))?.trim().to_owned();
        Some(module.rsplit('/').next().unwrap_or(&module).to_owned())
    };
    let of_folder = || {
        let full = folder.canonicalize().ok()?;
        Some(full.file_name()?.to_string_lossy().into_owned())
    };
    let name = of_cargo.or_else(of_go).or_else(of_folder).unwrap_or_default();
    let clean: String =
        name.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let clean = clean.trim_matches('-').to_owned();
    if clean.is_empty() { "service".to_owned() } else { clean }
}

fn text(folder: &Path, path: &str) -> Option<String> {
    let full = folder.join(path);
    let size = fs_err::metadata(&full).ok()?.len();
    if size > FILE_BYTES_MAX { None } else { fs_err::read_to_string(full).ok() }
}

fn build(folder: &Path, name: &str) -> Option<BuildFound> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    if text(folder, "Cargo.toml").is_some() {
        return Some(BuildFound {
            command: words(&["cargo", "build", "--release", "--locked"]),
            artifact: format!("target/release/{name}"),
            because: "Cargo.toml".to_owned(),
        });
    }
    if text(folder, "go.mod").is_some() {
        return Some(BuildFound {
            command: words(&["go", "build", "-o", "out/", "./..."]),
            artifact: "out".to_owned(),
            because: "go.mod".to_owned(),
        });
    }
    let make = text(folder, "Makefile")?;
    make.lines().any(|line| line.starts_with("build:")).then(|| BuildFound {
        command: words(&["make", "build"]),
        artifact: "build".to_owned(),
        because: "the target `build` of the Makefile".to_owned(),
    })
}

/// The unit that a systemd file describes: its command with the program as a path inside the release.
fn unit(folder: &Path, path: &str) -> Option<UnitFound> {
    let text = text(folder, path)?;
    let command = text.lines().find_map(|line| line.trim().strip_prefix("ExecStart="))?;
    let mut words: Vec<String> = command
        .trim_start_matches(['-', '@', ':', '+', '!'])
        .split_whitespace()
        .map(|word| word.trim_matches('"').to_owned())
        .collect();
    let program = words.first_mut()?;
    *program = format!("bin/{}", program.rsplit('/').next().unwrap_or(program));
    // What systemd puts in place of % is not known here.
    words.retain(|word| !word.contains(['%', '$', '{']));
    let stem = path.rsplit('/').next()?.strip_suffix(".service")?.trim_end_matches('@');
    let name = stem.rsplit(['-', '_']).next().unwrap_or(stem).to_lowercase();
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric());
    (is_name && !words.is_empty()).then(|| UnitFound { name, command: words, because: path.to_owned() })
}

/// Paths below the folder that could matter.
fn files(root: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut waiting: Vec<(PathBuf, String, usize)> = vec![(root.to_owned(), String::new(), 0)];
    let mut folders = 0;
    while let Some((folder, prefix, depth)) = waiting.pop() {
        folders += 1;
        if folders > FOLDERS_MAX {
            break;
        }
        // A folder that may not be read shows nothing.
        let Ok(entries) = fs_err::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
            let Ok(kind) = entry.file_type() else { continue };
            let is_ci = matches!(name.as_str(), ".github" | ".forgejo" | ".gitea");
            let is_aside = migrations::places::never_entered(&name) || migrations::places::is_aside(&name);
            if kind.is_dir() && depth < DEPTH_MAX && (is_ci || !is_aside) {
                waiting.push((entry.path(), path, depth + 1));
            } else if kind.is_file() {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}
