//! Whether SQLite enforces foreign keys while a down runs under its tool.

use crate::sql::{Piece, split};
use crate::tools::{Migration, Wrap, about};

/// As the tool's own connection has it, unless the script switches it where that works: before its first statement, and
/// outside of any transaction. What a script says before a BEGIN of its own is its executor's to read.
pub(super) fn foreign_keys(migration: &Migration) -> bool {
    let about = about(migration.tool);
    let mut on = about.sqlite_foreign_keys;
    let Some(script) = migration.down.script() else { return on };
    if about.sqlite_wrap.unwrap_or(script.wrap) == Wrap::Transaction {
        return on;
    }
    for piece in split(&script.sql).pieces {
        let Piece::Statement(statement) = piece else { continue };
        let text = script.sql.get(statement.span.clone()).unwrap_or_default().to_ascii_lowercase();
        let Some(rest) = text.trim().strip_prefix("pragma") else { return on };
        let rest: String = rest.chars().filter(|c| !c.is_whitespace() && *c != ';').collect();
        let Some(value) = rest.trim_start_matches("main.").strip_prefix("foreign_keys") else { continue };
        match value.trim_matches(['=', '(', ')', '\'', '"']) {
            "" => {}
            value => on = matches!(value, "on" | "yes" | "true" | "1"),
        }
    }
    on
}

#[cfg(test)]
mod tests {
    use super::foreign_keys;
    use crate::tools::{MigrationFile, Tool, read};

    fn of(tool: Tool, down: &str) -> bool {
        let files = match tool {
            Tool::Dbmate => vec![MigrationFile::new(
                "1_s.sql",
                format!("-- migrate:up\nSELECT 1;\n-- migrate:down transaction:false\n{down}"),
            )],
            _ => {
                vec![MigrationFile::new("1_s.up.sql", "SELECT 1;"), MigrationFile::new("1_s.down.sql", down)]
            }
        };
        foreign_keys(&read(tool, files).expect("right").migrations[0])
    }

    #[test]
    fn a_switch_counts_where_sqlite_heeds_it() {
        assert!(of(Tool::Sqlx, "PRAGMA foreign_keys=OFF; DROP TABLE t;"), "sqlx has opened a transaction");
        assert!(!of(Tool::Sqlx, "-- no-transaction\nPRAGMA foreign_keys = off;\nDROP TABLE t;"));
        assert!(!of(Tool::GolangMigrate, "PRAGMA foreign_keys=ON; DROP TABLE t;"));
        assert!(of(Tool::Dbmate, "PRAGMA main.foreign_keys(ON); DROP TABLE t;"));
        assert!(of(
            Tool::Dbmate,
            "PRAGMA legacy_alter_table=1; PRAGMA foreign_keys = 1; PRAGMA foreign_keys; DROP TABLE t;"
        ));
        assert!(!of(Tool::Dbmate, "DROP TABLE t; PRAGMA foreign_keys=ON;"), "too late for what went before");
    }
}
