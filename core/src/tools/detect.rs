//! Tells which tool a folder belongs to, and why; where the files fit several, it says so instead of guessing.

use serde::{Deserialize, Serialize};

use super::{MigrationFile, Tool};

/// A tool that a folder may belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    pub tool: Tool,
    /// What in the folder speaks for it.
    pub why: String,
}

/// Which tool a folder belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Detection {
    Found(Candidate),
    /// The files fit several tools; the likeliest first. The user has to say which.
    Ambiguous(Vec<Candidate>),
    /// The files fit none.
    NotFound {
        why: String,
    },
}

impl Detection {
    /// The tool, if there is no doubt.
    pub fn tool(&self) -> Option<Tool> {
        match self {
            Detection::Found(candidate) => Some(candidate.tool),
            Detection::Ambiguous(_) | Detection::NotFound { .. } => None,
        }
    }

    /// What to say when there is doubt; nothing when there is none.
    pub fn hint(&self) -> Option<String> {
        match self {
            Detection::Found(_) => None,
            Detection::Ambiguous(candidates) => {
                let tools: Vec<String> =
                    candidates.iter().map(|candidate| format!("`--tool {}`", candidate.tool)).collect();
                Some(format!("say which: {}", tools.join(" or ")))
            }
            Detection::NotFound { .. } => Some("name the folder with `--migrations`".to_owned()),
        }
    }
}

/// How much of a file is searched for marks, in bytes. They stand at the top.
const SEARCHED_BYTES_MAX: usize = 64 * 1024;

/// Which tool the files of a migrations folder belong to, by the files alone.
pub fn detect(files: &[MigrationFile]) -> Detection {
    detect_in(files, &[])
}

/// The same, where files of the project around the folder may settle a doubt: `Cargo.toml`, `go.mod` and
/// the like, named by their last path part.
pub fn detect_in(files: &[MigrationFile], project: &[MigrationFile]) -> Detection {
    let found = Marks::of(files);
    let mut marked: Vec<Candidate> = Vec::new();
    let mut push = |tool, why: Option<String>| marked.extend(why.map(|why| Candidate { tool, why }));
    push(Tool::Goose, found.goose.map(|path| format!("`{path}` has a `-- +goose Up` line")));
    push(Tool::Dbmate, found.dbmate.map(|path| format!("`{path}` has a `-- migrate:up` line")));
    push(Tool::Diesel, found.diesel.map(|path| format!("`{path}` is a folder's up.sql")));
    if marked.len() > 1 {
        return Detection::Ambiguous(marked);
    }
    if let Some(only) = marked.pop() {
        return Detection::Found(only);
    }
    let mut candidates = by_names(files);
    if candidates.is_empty() {
        let why = "no file is named like a migration, `<number>_<name>.sql`".to_owned();
        return Detection::NotFound { why };
    }
    if let Some(path) = found.sqlx
        && let Some(at) = candidates.iter().position(|candidate| candidate.tool == Tool::Sqlx)
    {
        let mut candidate = candidates.swap_remove(at);
        candidate.why = format!("`{path}` has a comment that sqlx writes or reads");
        return Detection::Found(candidate);
    }
    let mut settled: Vec<Candidate> = candidates
        .iter()
        .filter_map(|c| uses(project, c.tool).map(|why| Candidate { tool: c.tool, why }))
        .collect();
    match settled.len() {
        0 => {}
        1 => return Detection::Found(settled.remove(0)),
        _ => return Detection::Ambiguous(settled),
    }
    match candidates.len() {
        1 => Detection::Found(candidates.remove(0)),
        _ => Detection::Ambiguous(candidates),
    }
}

/// The first file with a mark that belongs to one tool only.
#[derive(Default)]
struct Marks<'a> {
    goose: Option<&'a str>,
    dbmate: Option<&'a str>,
    diesel: Option<&'a str>,
    sqlx: Option<&'a str>,
}

impl<'a> Marks<'a> {
    fn of(files: &'a [MigrationFile]) -> Marks<'a> {
        let mut marks = Marks::default();
        for file in files {
            let path = file.path.as_str();
            if path.split('/').count() == 2 && file.file_name() == "up.sql" && !path.starts_with("up/") {
                marks.diesel.get_or_insert(path);
            }
            if !file.at_top() || !path.ends_with(".sql") {
                continue;
            }
            let head = &file.bytes[..file.bytes.len().min(SEARCHED_BYTES_MAX)];
            let head = String::from_utf8_lossy(head);
            for line in head.lines().filter(|line| line.starts_with("--")) {
                let words = line.trim_start_matches('-').trim();
                if words.strip_prefix("+goose").is_some_and(|w| w.trim().eq_ignore_ascii_case("up")) {
                    marks.goose.get_or_insert(path);
                }
                if words.split_whitespace().next() == Some("migrate:up") {
                    marks.dbmate.get_or_insert(path);
                }
                if matches!(
                    words,
                    "Add migration script here"
                        | "Add up migration script here"
                        | "Add down migration script here"
                ) {
                    marks.sqlx.get_or_insert(path);
                }
            }
            if head.starts_with("-- no-transaction") {
                marks.sqlx.get_or_insert(path);
            }
        }
        marks
    }
}

/// The tools whose way of naming fits every numbered file, the likeliest first.
fn by_names(files: &[MigrationFile]) -> Vec<Candidate> {
    let mut reversible = None;
    let mut simple = None;
    let mut loose = None;
    let mut sqlx_refuses = false;
    for file in files.iter().filter(|file| file.path.to_ascii_lowercase().ends_with(".sql")) {
        let name = file.file_name();
        let number = name.find(|c: char| !c.is_ascii_digit()).unwrap_or(name.len());
        let numbered = number > 0 && name[number..].starts_with('_');
        if !file.at_top() || !numbered {
            sqlx_refuses |= file.at_top() && name.contains('_');
            if name.trim_start_matches(['v', 'V']).starts_with(|c: char| c.is_ascii_digit()) {
                loose.get_or_insert(file.path.as_str());
            }
        } else if name.ends_with(".up.sql") || name.ends_with(".down.sql") {
            reversible.get_or_insert(file.path.as_str());
        } else {
            simple.get_or_insert(file.path.as_str());
        }
    }
    let mut candidates = Vec::new();
    let mut push = |tool, why: String| candidates.push(Candidate { tool, why });
    // A file with a number that the tools do not read (another separator, a folder of downs) means that
    // somebody runs them by hand.
    if let Some(path) = loose {
        push(Tool::Plain, format!("`{path}` is numbered as no tool numbers"));
        return candidates;
    }
    if let Some(path) = reversible {
        push(Tool::GolangMigrate, format!("`{path}` is named `<version>_<title>.up.sql` or `.down.sql`"));
    }
    if let Some(path) = reversible.or(simple) {
        if !sqlx_refuses {
            push(Tool::Sqlx, format!("`{path}` is named `<version>_<description>.sql`"));
        }
        push(Tool::Plain, format!("`{path}` is a numbered SQL file"));
    }
    candidates
}

/// What in the project says that it uses `tool`.
fn uses(project: &[MigrationFile], tool: Tool) -> Option<String> {
    let (names, words): (&[&str], &[&str]) = match tool {
        Tool::Sqlx => (&["Cargo.toml", "sqlx.toml"], &["sqlx"]),
        Tool::GolangMigrate => (&["go.mod"], &["golang-migrate/migrate", "mattes/migrate"]),
        Tool::Goose => (&["go.mod"], &["pressly/goose"]),
        Tool::Diesel => (&["Cargo.toml", "diesel.toml"], &["diesel_migrations", "migrations_directory"]),
        Tool::Dbmate => (&["package.json", ".dbmate"], &["dbmate"]),
        Tool::Plain => return None,
    };
    project.iter().filter(|file| names.contains(&file.file_name())).find_map(|file| {
        let text = String::from_utf8_lossy(&file.bytes);
        let word = words.iter().find(|word| text.contains(**word))?;
        Some(format!("`{}` names `{word}`", file.path))
    })
}
