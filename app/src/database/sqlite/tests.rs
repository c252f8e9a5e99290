use proptest::prelude::*;

use super::guard::check;
use super::tokens::{Kind, statements, tokens};

fn cut(text: &str) -> Vec<(&str, u32)> {
    statements(text).into_iter().map(|statement| (statement.text, statement.line)).collect()
}

#[test]
fn statements_end_where_sqlite_ends_them() {
    assert_eq!(
        cut("SELECT ';' ;\n-- ;\nSELECT [a;b], `c;`, \"d;\" /* ; */; ;"),
        [("SELECT ';'", 1), ("SELECT [a;b], `c;`, \"d;\"", 3)]
    );
    let trigger =
        "CREATE TEMP TRIGGER r AFTER INSERT ON t BEGIN SELECT CASE WHEN 1 THEN 2 END; DELETE FROM t; END";
    assert_eq!(cut(&format!("{trigger};\nSELECT 1")), [(trigger, 1), ("SELECT 1", 2)]);
    assert_eq!(cut("CREATE TABLE trigger_log (a); SELECT 1;").len(), 2);
    assert_eq!(cut("SELECT 'never closed; SELECT 1;").len(), 1);
    // No nested comments and no backslashes, unlike PostgreSQL.
    assert_eq!(cut("/* /* */ SELECT '\\'; SELECT 2").len(), 2);
}

#[test]
fn names_lose_their_quotes() {
    let names = |text: &str| tokens(text).iter().map(|token| token.name(text)).collect::<Vec<_>>();
    assert_eq!(names("A \"B\"\"c\" [D] `e``f` 'G''h'"), ["a", "b\"c", "d", "e`f", "g'h"]);
}

#[test]
fn only_what_stays_inside_may_run() {
    let refused = |text: &str| statements(text).iter().any(|statement| check(statement).is_err());
    for text in [
        "ATTACH 'x' AS y",
        "detach y",
        "EXPLAIN QUERY PLAN ATTACH 'x' AS y",
        "SELECT 1;\u{feff}ATTACH 'x' AS y",
        "/*;*/ATTACH'x'AS y",
        "VACUUM INTO 'x'",
        "VACUUM main INTO 'x'",
        "PRAGMA \"temp_store_directory\"='x'",
        "PRAGMA main . writable_schema=1",
        "PRAGMA max_page_count=1",
        "PRAGMA key='x'",
        "SELECT $a('); ATTACH 'x' AS y; --')",
        "SELECT @a(\"); ATTACH 'x' AS y",
        "SELECT load_extension('x')",
        "SELECT [load_extension]('x')",
    ] {
        assert!(refused(text), "{text}");
    }
    for text in [
        "VACUUM",
        "PRAGMA foreign_keys=OFF",
        "PRAGMA main.user_version = 3",
        "SELECT 'ATTACH'",
        "CREATE TABLE attach (a)",
        "SELECT 'load_extension'",
        "INSERT INTO t VALUES (';ATTACH ''x'' AS y')",
    ] {
        assert!(!refused(text), "{text}");
    }
}

proptest! {
    /// Nothing panics, tokens come in order, and a word that SQLite would see is never inside one of our quotes.
    #[test]
    fn every_text_has_tokens(text in "\\PC{0,60}|[-'\"`\\[\\];/*()a-e\u{feff}\\n ]{0,60}") {
        let found = tokens(&text);
        let mut end = 0;
        for token in &found {
            prop_assert!(token.span.start >= end && token.span.end > token.span.start);
            prop_assert!(text.get(token.span.clone()).is_some());
            end = token.span.end;
        }
        let semicolons = found.iter().filter(|token| token.kind == Kind::Semi).count();
        prop_assert!(statements(&text).len() <= semicolons + 1);
    }
}
