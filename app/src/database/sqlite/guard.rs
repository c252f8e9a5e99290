//! Which statements may run on a shadow: none that reach beside it.
//!
//! SQLite reaches other files by ATTACH, VACUUM INTO and a few PRAGMAs; load_extension() is off unless asked for,
//! and readfile() and its like belong to its shell. The process that runs the statements may write no file
//! either (see the shadow): this says why, before.

use super::tokens::Statement;

/// PRAGMAs that a migration may set or ask. What they mean for the migration is kept; none names a file or
/// lifts a limit that the shadow has set.
const PRAGMAS: [&str; 48] = [
    "analysis_limit",
    "application_id",
    "auto_vacuum",
    "automatic_index",
    "busy_timeout",
    "cache_size",
    "cache_spill",
    "case_sensitive_like",
    "cell_size_check",
    "checkpoint_fullfsync",
    "collation_list",
    "compile_options",
    "count_changes",
    "data_version",
    "database_list",
    "defer_foreign_keys",
    "encoding",
    "foreign_key_check",
    "foreign_key_list",
    "foreign_keys",
    "freelist_count",
    "fullfsync",
    "ignore_check_constraints",
    "incremental_vacuum",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "journal_mode",
    "journal_size_limit",
    "legacy_alter_table",
    "locking_mode",
    "mmap_size",
    "optimize",
    "page_count",
    "page_size",
    "quick_check",
    "recursive_triggers",
    "schema_version",
    "secure_delete",
    "synchronous",
    "table_info",
    "table_list",
    "table_xinfo",
    "temp_store",
    "user_version",
    "wal_autocheckpoint",
    "wal_checkpoint",
];

/// Whether the statement may run; the error says what it does that it may not.
pub fn check(statement: &Statement<'_>) -> Result<(), String> {
    let words = statement.words();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let words = match words.as_slice() {
        ["explain", "query", "plan", rest @ ..] | ["explain", rest @ ..] => rest,
        all => all,
    };
    match words {
        ["attach" | "detach", ..] => {
            Err(format!("not run: {} reaches another database", words[0].to_ascii_uppercase()))
        }
        ["vacuum", rest @ ..] => {
            let into = rest.contains(&"into")
                || statement.tokens.iter().any(|token| token.is(statement.text, "into"));
            if into { Err("not run: VACUUM INTO writes a file".to_owned()) } else { Ok(()) }
        }
        ["pragma", ..] => {
            // `PRAGMA main.user_version`: the name may follow its schema.
            let at =
                statement.tokens.iter().position(|token| token.is(statement.text, "pragma")).unwrap_or(0);
            let name = |at: usize| statement.tokens.get(at).map(|token| token.name(statement.text));
            let dotted = name(at + 2).as_deref() == Some(".");
            let name = name(if dotted { at + 3 } else { at + 1 }).unwrap_or_default();
            if PRAGMAS.contains(&name.as_str()) {
                Ok(())
            } else {
                Err(format!("not run: PRAGMA {name} could reach beside the shadow or lift its limits"))
            }
        }
        _ => {
            let loads = statement.tokens.iter().any(|token| {
                token.name(statement.text) == "load_extension" && token.kind != super::tokens::Kind::Text
            });
            if loads { Err("not run: load_extension() brings foreign code".to_owned()) } else { Ok(()) }
        }
    }
}

/// True if the statement switches foreign keys, which does nothing inside a transaction.
pub fn switches_foreign_keys(statement: &Statement<'_>) -> bool {
    let tokens = &statement.tokens;
    statement.words().first().is_some_and(|word| word == "pragma")
        && tokens.iter().any(|token| token.is(statement.text, "foreign_keys"))
        && tokens.len() > 2
}
