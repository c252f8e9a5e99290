use super::*;

fn writes(text: &str) -> Vec<(WriteKind, String, Option<Vec<String>>)> {
    let facts = query_facts(text);
    facts.writes.into_iter().map(|write| (write.kind, write.table.to_string(), write.columns)).collect()
}

fn some(columns: &[&str]) -> Option<Vec<String>> {
    Some(columns.iter().map(ToString::to_string).collect())
}

/// Kind, table, columns.
type Written<'a> = (WriteKind, &'a str, Option<Vec<String>>);

#[test]
fn every_way_to_write_a_table_is_seen() {
    use WriteKind::{CopyFrom, Delete, Insert, Merge, Truncate, Update};
    let cases: Vec<(&str, Vec<Written>)> = vec![
        ("INSERT INTO T (a, \"B\") VALUES ($1, $2)", vec![(Insert, "t", some(&["a", "b"]))]),
        ("insert into app.t as x (a, b[1]) select 1, 2", vec![(Insert, "app.t", some(&["a", "b"]))]),
        ("insert into t values (1)", vec![(Insert, "t", None)]),
        ("insert into t (select * from u)", vec![(Insert, "t", None)]),
        ("INSERT OR REPLACE INTO t(a) VALUES (1)", vec![(Insert, "t", some(&["a"]))]),
        ("insert into t default values", vec![(Insert, "t", None)]),
        (
            "insert into t (a) values (1) on conflict (a) do update set b = excluded.b, (c, d) = (1, 2) where true",
            vec![(Insert, "t", some(&["a"])), (Update, "t", some(&["b", "c", "d"]))],
        ),
        (
            "update only s.t x set a = (select b, c from u), d = f(1, 2) from v where e = 1",
            vec![(Update, "s.t", some(&["a", "d"]))],
        ),
        ("update only (s.t) set a = 1", vec![(Update, "s.t", some(&["a"]))]),
        ("delete from only (t) where a", vec![(Delete, "t", None)]),
        ("select * from t for update", vec![]),
        ("select * from t for no key update of t", vec![]),
        (
            "with d as (delete from t where a returning *) insert into u(b) select * from d",
            vec![(Delete, "t", None), (Insert, "u", some(&["b"]))],
        ),
        (
            "with u as (update t set a = 1 where b = 2 returning c) select * from u",
            vec![(Update, "t", some(&["a"]))],
        ),
        ("merge into t using u on true when matched then delete", vec![(Merge, "t", None)]),
        ("copy t (a, b) from stdin", vec![(CopyFrom, "t", some(&["a", "b"]))]),
        ("copy t to stdout", vec![]),
        ("truncate table a, b cascade", vec![(Truncate, "a", None), (Truncate, "b", None)]),
    ];
    for (text, expected) in cases {
        let expected: Vec<_> = expected.into_iter().map(|(k, t, c)| (k, t.to_owned(), c)).collect();
        assert_eq!(writes(text), expected, "{text}");
    }
}

#[test]
fn words_and_parameters_are_read() {
    let facts = query_facts("SELECT u.Name, \"Odd\" FROM users u WHERE id = $2 AND x IN (SELECT y FROM z)");
    assert_eq!((facts.verb.as_str(), facts.selects, facts.parameters), ("SELECT", 2, 2));
    assert!(facts.mentions("name") && facts.mentions("ODD") && !facts.bare.contains("name"));
}

#[test]
fn words_inside_the_texts_of_a_body_count() {
    let words = words_of("BEGIN EXECUTE 'UPDATE t SET ' || quote_ident('c'); END");
    assert!(["execute", "update", "t", "c"].iter().all(|word| words.contains(*word)));
}

#[test]
fn no_text_makes_it_fail() {
    for text in [
        "",
        "insert into",
        "update",
        "copy",
        "insert into t (",
        "update t set (",
        "update t set )",
        "$99999999999999999999",
    ] {
        let _ = query_facts(text);
    }
}

#[test]
fn a_star_counts_where_an_insert_takes_it() {
    for text in [
        "INSERT INTO t SELECT * FROM u",
        "insert into t (a, b) select u.* from u returning *",
        "WITH g AS (DELETE FROM u RETURNING *) INSERT INTO t SELECT * FROM g",
        "INSERT INTO t SELECT (x).* FROM (SELECT f() AS x) q",
    ] {
        assert!(query_facts(text).inserts_star, "{text}");
    }
    for text in [
        "INSERT INTO t (a) VALUES ($1) RETURNING *",
        "WITH n AS (INSERT INTO t (a) SELECT a FROM u RETURNING *) SELECT * FROM n",
        "INSERT INTO t (a) SELECT count(*) FROM u",
        "INSERT INTO t (a) SELECT b * 2 FROM u",
        "SELECT * FROM t",
    ] {
        assert!(!query_facts(text).inserts_star, "{text}");
    }
    assert!(takes_trigger_row("BEGIN IF NEW IS DISTINCT FROM OLD THEN RETURN NEW; END IF; END"));
    assert!(!takes_trigger_row("BEGIN NEW.at := now(); RETURN NEW; END"));
    assert!(takes_all_columns("BEGIN INSERT INTO h VALUES (NEW.*); END"));
    assert!(!takes_all_columns("SELECT count(*), a * b FROM t"));
}

#[test]
fn names_in_texts_and_what_a_block_does_are_read() {
    let facts = query_facts("SELECT nextval('app.Order_seq'), 'two words'");
    assert!(facts.mentions("order_seq") && facts.mentions("app") && !facts.mentions("two"));
    assert!(facts.calls.contains("nextval") && !facts.calls.contains("select"));
    let facts = query_facts("DO $$ BEGIN UPDATE t SET k = 1; END $$");
    assert!(facts.mentions("t"));
    assert_eq!(facts.writes.len(), 1);
    assert_eq!(facts.writes[0].columns, some(&["k"]));
}
