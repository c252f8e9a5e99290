use super::*;

fn one(sql: &str) -> StatementFacts {
    let found = facts(sql);
    assert_eq!(found.statements.len(), 1, "{found:?}");
    found.statements.into_iter().next().expect("one statement")
}

fn rows(facts: &Facts) -> Vec<String> {
    let place = |dml: &Dml| match &dml.place {
        Place::Direct => String::new(),
        Place::DoBlock => " in a DO block".to_owned(),
        Place::Function(name) => format!(" in {name}()"),
    };
    let table = |dml: &Dml| dml.table.as_ref().map_or("?".to_owned(), ToString::to_string);
    facts.dml().map(|dml| format!("{:?} {}{} line {}", dml.kind, table(dml), place(dml), dml.line)).collect()
}

#[test]
fn rows_are_found_wherever_they_change() {
    let sql = "WITH gone AS (DELETE FROM a.b RETURNING *)\nINSERT INTO \"Kept\" SELECT * FROM gone;\n\
               UPDATE ONLY t SET x = 1 FROM u;\nMERGE INTO m USING s ON true WHEN MATCHED THEN DELETE;\n\
               TRUNCATE a, b.c;\nCOPY t (x) FROM stdin;\n1\n\\.\nCOPY t TO stdout;\n\
               DO $$ BEGIN\n  IF true THEN UPDATE z SET a = 1; END IF;\nEND $$;\n\
               INSERT INTO t VALUES (1) ON CONFLICT DO UPDATE SET x = 1;\nSELECT * FROM t FOR UPDATE;";
    assert_eq!(
        rows(&facts(sql)),
        [
            "Insert Kept line 1",
            "Delete a.b line 1",
            "Update t line 3",
            "Merge m line 4",
            "Truncate a line 5",
            "Truncate b.c line 5",
            "CopyFrom t line 6",
            "Update z in a DO block line 11",
            "Insert t line 13",
        ]
        .map(str::to_owned)
        .into_iter()
        .collect::<Vec<_>>()
    );
}

#[test]
fn functions_count_when_the_script_calls_them() {
    let sql = "CREATE FUNCTION fill() RETURNS void LANGUAGE plpgsql AS $$\nBEGIN\n  INSERT INTO t VALUES (1);\n\
               PERFORM deeper();\nEND $$;\n\
               CREATE FUNCTION deeper() RETURNS void LANGUAGE sql AS 'DELETE FROM u';\n\
               CREATE FUNCTION unused() RETURNS void LANGUAGE sql BEGIN ATOMIC DELETE FROM v; END;\n";
    assert_eq!(rows(&facts(sql)), Vec::<String>::new(), "made, not called");
    let called = format!("{sql}SELECT fill();");
    assert_eq!(rows(&facts(&called)), ["Insert t in fill() line 3", "Delete u in deeper() line 6"]);
    let in_block = format!("{sql}DO $$ BEGIN PERFORM public.unused(); END $$;");
    assert_eq!(rows(&facts(&in_block)), ["Delete v in unused() line 7"]);
}

#[test]
fn what_is_put_together_at_run_time_is_opaque() {
    let sql = "DO $$ BEGIN EXECUTE format('UPDATE %I SET x = 1', 't'); END $$;";
    let found = facts(sql);
    let verbs: Vec<_> = found.opaque_execute().map(|opaque| opaque.verb.as_deref()).collect();
    assert_eq!(verbs, [Some("UPDATE")]);
    // What stands there as one text is read.
    for text in
        ["'UPDATE t SET x = ''1'''", "$q$ UPDATE t SET x = 1 $q$ INTO y", "'UPDATE t SET x = $1' USING 1"]
    {
        let found = facts(&format!("DO $$ DECLARE y int; BEGIN EXECUTE {text}; END $$;"));
        assert_eq!(found.opaque_execute().count(), 0, "{text}");
        let tables: Vec<_> =
            found.dml().filter_map(|dml| dml.table.as_ref()).map(ToString::to_string).collect();
        assert_eq!(tables, ["t"], "{text}");
    }
    for text in ["'UPDATE t SET x = 1 ' || y", "E'UPDATE t SET x = 1'", "'UPDATE t SET'"] {
        let found = facts(&format!("DO $$ DECLARE y text; BEGIN EXECUTE {text}; END $$;"));
        assert_eq!(found.opaque_execute().count(), 1, "{text}");
    }
    let other = facts("DO LANGUAGE plpython3u $$ plpy.execute('x') $$;");
    assert_eq!(other.opaque_execute().count(), 1);
}

#[test]
fn transactions_of_its_own() {
    let control = |sql: &str| one(sql).transaction_control;
    assert_eq!(control("BEGIN;"), Some(Control::Begin));
    assert_eq!(control("START TRANSACTION ISOLATION LEVEL SERIALIZABLE"), Some(Control::Begin));
    assert_eq!(control("END"), Some(Control::Commit));
    assert_eq!(control("ABORT"), Some(Control::Rollback));
    assert_eq!(control("SAVEPOINT a"), Some(Control::Savepoint));
    assert_eq!(control("DO $$ BEGIN COMMIT; END $$"), Some(Control::InBlock));
    assert_eq!(control("CREATE TABLE commit_log (a int)"), None);
}

#[test]
fn what_no_transaction_holds() {
    let refused = |sql: &str| one(sql).cannot_run_in_transaction;
    assert_eq!(refused("VACUUM FULL t"), Some(NoTransaction::Refused));
    assert_eq!(refused("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)"), Some(NoTransaction::Refused));
    assert_eq!(refused("DROP INDEX CONCURRENTLY IF EXISTS i"), Some(NoTransaction::Refused));
    assert_eq!(refused("ALTER TYPE e ADD VALUE IF NOT EXISTS 'x'"), Some(NoTransaction::NewEnumValue));
    assert_eq!(refused("REFRESH MATERIALIZED VIEW CONCURRENTLY v"), None, "that one may");
    assert!(one("REFRESH MATERIALIZED VIEW CONCURRENTLY v").concurrently);
}

#[test]
fn ways_out_are_named() {
    let out = |sql: &str| {
        facts(sql).server_escape().map(|e| (e.what.clone(), e.quoted)).collect::<Vec<(String, bool)>>()
    };
    let plain = |what: &str| vec![(what.to_owned(), false)];
    assert_eq!(out("COPY t FROM PROGRAM 'rm -rf /'"), plain("COPY ... FROM PROGRAM"));
    assert_eq!(out("COPY (SELECT a FROM b) TO '/tmp/x'"), plain("COPY ... TO a file"));
    assert_eq!(out("COPY t FROM stdin"), vec![]);
    assert_eq!(out("SELECT pg_read_file('/etc/passwd')"), plain("pg_read_file()"));
    assert_eq!(out("ALTER SYSTEM SET a = 1"), plain("ALTER SYSTEM"));
    assert_eq!(out("DROP DATABASE IF EXISTS d"), plain("DROP DATABASE"));
    assert_eq!(out("CREATE ROLE r SUPERUSER"), plain("CREATE ROLE"));
    assert_eq!(out("CREATE EXTENSION IF NOT EXISTS \"plpython3u\""), plain("CREATE EXTENSION plpython3u"));
    assert_eq!(out("CREATE EXTENSION pgcrypto"), vec![]);
    assert_eq!(out("CREATE FUNCTION f() RETURNS int AS 'x', 'y' LANGUAGE C"), plain("LANGUAGE c"));
    assert_eq!(
        out("DO $$ BEGIN COPY t TO PROGRAM 'x'; PERFORM dblink_exec('a', 'b'); END $$"),
        vec![("COPY ... TO PROGRAM".to_owned(), true), ("dblink_exec()".to_owned(), true)]
    );
    assert_eq!(out("SELECT 'pg_read_file(x)'"), vec![]);
}

#[test]
fn settings_of_the_session() {
    let set = |sql: &str| {
        one(sql).session_changes.into_iter().map(|c| (c.setting, c.local)).collect::<Vec<(String, bool)>>()
    };
    assert_eq!(set("SET search_path TO a, b"), [("search_path".to_owned(), false)]);
    assert_eq!(set("SET LOCAL statement_timeout = '5s'"), [("statement_timeout".to_owned(), true)]);
    assert_eq!(set("SET SESSION my.var = 1"), [("my.var".to_owned(), false)]);
    assert_eq!(set("SET ROLE admin"), [("role".to_owned(), false)]);
    assert_eq!(set("SET TIME ZONE 'UTC'"), [("timezone".to_owned(), false)]);
    assert_eq!(set("SET CONSTRAINTS ALL DEFERRED"), []);
    assert_eq!(set("SELECT set_config('a', 'b', false)"), [("set_config()".to_owned(), false)]);
}

#[test]
fn objects_and_their_names() {
    let named = |sql: &str| {
        let show = |o: &ObjectChange| {
            let to = o.renamed_to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
            format!("{:?} {} {}{to}", o.action, o.kind, o.name)
        };
        one(sql).objects.iter().map(show).collect::<Vec<String>>()
    };
    assert_eq!(named("CREATE TABLE IF NOT EXISTS a.\"B\" (x int)"), ["Create table a.B"]);
    assert_eq!(
        named("CREATE OR REPLACE FUNCTION F() RETURNS int AS $$ $$ LANGUAGE sql"),
        ["Create function f"]
    );
    assert_eq!(named("CREATE INDEX ON t (a)"), Vec::<String>::new());
    assert_eq!(
        named("DROP MATERIALIZED VIEW IF EXISTS a, s.b CASCADE"),
        ["Drop materialized view a", "Drop materialized view s.b"]
    );
    assert_eq!(named("ALTER TABLE ONLY t RENAME COLUMN a TO b"), ["Alter table t", "Rename column a to b"]);
    assert_eq!(named("ALTER TABLE t RENAME TO u"), ["Alter table t", "Rename table t to u"]);
    assert!(one("DROP TABLE IF EXISTS t").if_exists);
    assert!(one("CREATE TABLE IF NOT EXISTS t ()").if_not_exists);
    assert_eq!(one("create unique index concurrently i on t (a)").verb, "CREATE INDEX");
}

#[test]
fn psql_lines_are_told_apart() {
    let found = facts("\\set ON_ERROR_STOP on\n\\! rm -rf /\n\\connect other\nSELECT 1 \\gexec\n\\i x.sql\n");
    let shown: Vec<(&str, MetaEffect, bool)> =
        found.psql_meta.iter().map(|m| (m.command.as_str(), m.effect, m.strip)).collect();
    assert_eq!(
        shown,
        [
            ("\\set", MetaEffect::Variable, true),
            ("\\!", MetaEffect::Shell, false),
            ("\\connect", MetaEffect::Connection, false),
            ("\\gexec", MetaEffect::UsesResult, false),
            ("\\i", MetaEffect::File, false),
        ]
    );
    assert_eq!(found.statements.len(), 1);
}

#[test]
fn a_text_that_no_parser_takes_still_gives_its_words() {
    let found = facts("CREATE TABEL t (a int);\nUPDATE t SET SET x = = 1;\nDELETE FROM u WHERE (a = ;\n");
    assert!(matches!(&found.statements[1].reading, Reading::Rejected { line: 2, .. }), "{found:?}");
    assert_eq!(rows(&found)[0], "Update t line 2");
    assert_eq!(found.unparsed().count(), found.statements.len());
    let open = facts("INSERT INTO t VALUES ('never closed);\nSELECT 1;");
    assert_eq!(open.left_open, Some((Open::Quote, 1)));
    assert_eq!(open.statements[0].reading, Reading::Refused(Refusal::LeftOpen));
    assert_eq!(rows(&open), ["Insert t line 1"]);
}

#[test]
fn hostile_nesting_is_refused_before_the_parser() {
    let refusal = |sql: String| match one(&sql).reading {
        Reading::Refused(refusal) => Some(refusal),
        _ => None,
    };
    let many = 100_000;
    assert_eq!(refusal(format!("SELECT {}1{}", "(".repeat(many), ")".repeat(many))), Some(Refusal::TooDeep));
    assert_eq!(refusal(format!("SELECT {}", "(".repeat(many))), Some(Refusal::TooDeep));
    assert_eq!(refusal(format!("SELECT {} true", "NOT ".repeat(many))), Some(Refusal::TooManyOperators));
    assert_eq!(
        refusal(format!("SELECT {} 1 {}", "CASE WHEN true THEN ".repeat(many), "END ".repeat(many))),
        Some(Refusal::TooDeep)
    );
    assert_eq!(refusal(format!("SELECT 1{}", " + 1".repeat(many))), Some(Refusal::TooManyOperators));
    assert_eq!(refusal(format!("SELECT '{}'", "x".repeat(PARSE_LIMIT))), Some(Refusal::TooLong));
    assert_eq!(refusal(format!("{}SELECT 1", "EXPLAIN ".repeat(many))), Some(Refusal::TooManyOperators));
    let body = format!("DO $$ BEGIN {} END $$", "BEGIN ".repeat(many));
    assert_eq!(refusal(body), Some(Refusal::TooDeep), "a body counts too");
    let function =
        format!("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT {} $$", "(".repeat(many));
    assert_eq!(refusal(function), Some(Refusal::TooDeep));
}

const PARSE_LIMIT: usize = super::guard::PARSE_BYTES_MAX;

#[test]
fn the_deepest_accepted_texts_fit_the_stack() {
    let deep = super::guard::NESTING_MAX - 1;
    let run = super::guard::RUN_TOKENS_MAX - 10;
    let read = |sql: String| one(&sql).reading;
    assert_eq!(read(format!("SELECT {}1{}", "(".repeat(deep), ")".repeat(deep))), Reading::Parsed);
    assert_eq!(read(format!("SELECT {} true", "NOT ".repeat(run))), Reading::Parsed);
    assert_eq!(read(format!("SELECT 1{}", " + 1".repeat(run / 2))), Reading::Parsed);
    assert_eq!(read(format!("SELECT {} 1", "- ".repeat(run))), Reading::Parsed);
    assert_eq!(read(format!("SELECT 1{}", "::int".repeat(run / 3))), Reading::Parsed);
    let cases = deep / 2;
    let nested = format!("SELECT {} 1 {}", "CASE WHEN true THEN ".repeat(cases), "END ".repeat(cases));
    assert_eq!(read(nested), Reading::Parsed);
    let unions = format!("SELECT 1 {}", "UNION SELECT 1 ".repeat(run / 3));
    assert_eq!(read(unions), Reading::Parsed);
    let explain = format!("{}SELECT 1", "EXPLAIN ".repeat(run));
    let _ = read(explain);
    let blocks = deep / 2;
    let body = format!("DO $$ BEGIN {} {} END $$", "BEGIN ".repeat(blocks), "END; ".repeat(blocks));
    assert_eq!(read(body), Reading::Parsed);
}

#[test]
fn many_calls_of_large_functions_stay_cheap_and_are_not_called_harmless() {
    let body = "INSERT INTO t VALUES (1); DELETE FROM u; UPDATE v SET a = 1; ".repeat(20);
    let make = format!("CREATE OR REPLACE FUNCTION f() RETURNS void LANGUAGE sql AS $$ {body} $$;\n");
    let sql = format!("{}{}", make.repeat(3), "SELECT f();\n".repeat(3_000));
    let started = std::time::Instant::now();
    let found = facts(&sql);
    assert!(started.elapsed() < std::time::Duration::from_secs(20), "{:?}", started.elapsed());
    let calls = &found.statements[3..];
    assert!(calls.iter().all(|call| !call.dml.is_empty() || !call.opaque_execute.is_empty()));
    assert!(found.dml().count() <= CALLED_FACTS_MAX);
}
