use super::*;

fn ids(set: &QuerySet) -> Vec<(&str, &str)> {
    set.queries.iter().map(|query| (query.id.as_str(), query.sql.as_str())).collect()
}

#[test]
fn every_format_is_read() {
    let set = read([
        (
            ".sqlx/query-1.json",
            r#"{"db_name":"PostgreSQL","query":"SELECT 1","describe":{"columns":[]},"hash":"1"}"#,
        ),
        (".sqlx/query-2.json", r#"{"db_name":"MySQL","query":"SELECT 2","describe":{}}"#),
        ("sqlx-data.json", r#"{"db":"PostgreSQL","abcdefabcdefabcdef":{"query":"SELECT 3","describe":{}}}"#),
        ("stats.json", r#"[{"query":"SELECT $1","calls":4},{"query":"SELECT $1"},{"calls":1}]"#),
        ("stats.csv", "calls,\"query\",rows\n1,\"SELECT \"\"a\"\",\n b FROM t\",3\r\n2,,1\n"),
        (
            "query.sql",
            "-- name: GetAuthor :one\nSELECT * FROM authors\nWHERE id = @id LIMIT 1;\n\n-- name: Other :exec\nDELETE FROM a WHERE b = sqlc.arg('b') OR c = sqlc.narg(b);",
        ),
        ("one.sql", "-- why\nSELECT 1;"),
        ("two.sql", "SELECT 1;\nSELECT 2;"),
        ("broken.json", "{"),
        ("none.csv", "a,b\n1,2"),
    ]);
    assert_eq!(
        ids(&set),
        [
            (".sqlx/query-1.json", "SELECT 1"),
            ("sqlx-data.json: abcdefabcdef", "SELECT 3"),
            ("stats.json: statement 1", "SELECT $1"),
            ("stats.csv: statement 1", "SELECT \"a\",\n b FROM t"),
            ("query.sql: GetAuthor", "SELECT * FROM authors\nWHERE id = $1 LIMIT 1"),
            ("query.sql: Other", "DELETE FROM a WHERE b = $1 OR c = $1"),
            ("one.sql", "SELECT 1"),
            ("two.sql:1", "SELECT 1"),
            ("two.sql:2", "SELECT 2"),
        ]
    );
    let passed_over: Vec<&str> = set.passed_over.iter().map(|passed| passed.path.as_str()).collect();
    assert_eq!(passed_over, [".sqlx/query-2.json", "broken.json", "none.csv"]);
}

#[test]
fn parameters_of_every_library_become_numbers() {
    for (text, expected) in [
        ("SELECT :a, b::int, :a, :c", "SELECT $1, b::int, $1, $2"),
        ("SELECT a[1:n], ':x' FROM t WHERE b = :b", "SELECT a[1:n], ':x' FROM t WHERE b = $1"),
        ("SELECT %(a)s, 5 % s, %s, %(a)s", "SELECT $1, 5 % s, $2, $1"),
        (
            "SELECT a ? 'key', b ?| c FROM t WHERE d = ? AND e IN (?, ?)",
            "SELECT a ? 'key', b ?| c FROM t WHERE d = $1 AND e IN ($2, $3)",
        ),
        ("SELECT a @> b, @c, a <@ d FROM t", "SELECT a @> b, $1, a <@ d FROM t"),
        ("SELECT sqlc.embed(authors), $2, @x FROM authors", "SELECT authors.*, $2, $3 FROM authors"),
        ("SELECT ?1, ?2, ?1", "SELECT $1, $2, $1"),
    ] {
        assert_eq!(placeholders::numbered(text), expected, "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_a_reader_fail(text in "\\PC{0,200}", ending in "(sql|json|csv)") {
        let _ = read([(format!("x.{ending}").as_str(), text.as_str())]);
    }
}

#[test]
fn sqlx_files_say_what_the_program_takes_to_hold_no_null() {
    let file = r#"{"db_name":"PostgreSQL","query":"SELECT a, b, c AS \"c!\", d AS \"d?\", e AS \"e: T\" FROM t",
        "describe":{"columns":[{"name":"a"},{"name":"b"},{"name":"c!"},{"name":"d?"},{"name":"e: T"}],
        "parameters":{"Left":[]},"nullable":[false,true,true,false,false]}}"#;
    let copy = file.replace("PostgreSQL", "PostgreSQL ");
    let set = read([(".sqlx/query-1.json", file), ("crates/web/.sqlx/query-1.json", copy.as_str())]);
    let [only] = set.queries.as_slice() else { panic!("the same query twice is one: {:?}", set.queries) };
    assert_eq!((only.id.as_str(), only.never_null.join(" ")), (".sqlx/query-1.json", "a c e".to_owned()));
}
