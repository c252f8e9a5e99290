//! The migrations that are benchmarked: a folder, or a schema that grows.

use std::path::Path;

use unship_core::tools::{self, MigrationFile, MigrationSet, Tool};

use super::Failure;

/// Reads a folder of files, one level deep or two.
pub fn read(folder: &Path, tool: Option<&str>) -> Result<MigrationSet, Failure> {
    let mut files = Vec::new();
    collect(folder, "", &mut files)?;
    let tool: Tool = match tool {
        Some(name) => name.parse()?,
        None => tools::detect(&files).tool().ok_or("say whose migrations they are with `--tool`")?,
    };
    Ok(tools::read(tool, files)?)
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<MigrationFile>) -> Result<(), Failure> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            if prefix.is_empty() {
                collect(&entry.path(), &format!("{path}/"), files)?;
            }
        } else {
            files.push(MigrationFile::new(path, fs_err::read(entry.path())?));
        }
    }
    Ok(())
}

/// Steps of the kinds that real projects have, on a schema that gains a table in every third.
pub fn grown(steps: usize) -> Result<MigrationSet, Failure> {
    let mut files = Vec::new();
    for step in 0..steps {
        let (up, down) = pair(step);
        for (direction, text) in [("up", up), ("down", down)] {
            let path = format!("{:04}_step.{direction}.sql", step + 1);
            files.push(MigrationFile::new(path, text));
        }
    }
    Ok(tools::read(Tool::Sqlx, files)?)
}

fn pair(step: usize) -> (String, String) {
    let table = step / 3;
    let before = table.saturating_sub(1);
    match step % 3 {
        0 => {
            let parent = if table == 0 { String::new() } else { format!(" REFERENCES t{before} (id)") };
            (
                format!(
                    "CREATE TABLE t{table} (id bigserial PRIMARY KEY, parent_id bigint{parent}, name text NOT NULL,\n\
                     email varchar(200) UNIQUE, state text NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'old')),\n\
                     created_at timestamptz NOT NULL DEFAULT now());\n\
                     CREATE INDEX t{table}_name_idx ON t{table} (lower(name));"
                ),
                format!("DROP TABLE t{table};"),
            )
        }
        1 => (
            format!(
                "ALTER TABLE t{table} ADD COLUMN note text, ADD COLUMN rank integer NOT NULL DEFAULT 0;\n\
                     CREATE INDEX t{table}_rank_idx ON t{table} (rank);"
            ),
            format!("ALTER TABLE t{table} DROP COLUMN rank, DROP COLUMN note;"),
        ),
        _ => (
            format!(
                "ALTER TABLE t{table} ALTER COLUMN note SET NOT NULL, ADD CONSTRAINT t{table}_rank CHECK (rank >= 0);\n\
                     CREATE OR REPLACE FUNCTION f{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;\n\
                     CREATE TRIGGER t{table}_touch BEFORE UPDATE ON t{table} FOR EACH ROW EXECUTE FUNCTION f{table}();"
            ),
            format!(
                "DROP TRIGGER t{table}_touch ON t{table}; DROP FUNCTION f{table}();\n\
                     ALTER TABLE t{table} DROP CONSTRAINT t{table}_rank, ALTER COLUMN note DROP NOT NULL;"
            ),
        ),
    }
}
