use super::*;

#[test]
fn queries_are_found_where_projects_keep_them() {
    let folder = tempfile::tempdir().expect("it works");
    let files = [
        (".sqlx/query-1.json", "{}"),
        ("crates/web/.sqlx/query-2.json", "{}"),
        (
            "db/sqlc.yaml",
            "version: 2\nsql:\n  - engine: postgresql\n    queries: \"sql/query.sql\" # here\n    schema: x\n  - queries:\n      - more\n      - 'other/'\n    schema: y\n",
        ),
        ("db/sql/query.sql", "SELECT 1"),
        ("db/more/a.sql", "SELECT 1"),
        ("db/other/b.sql", "SELECT 1"),
        ("src/queries/user.sql", "SELECT 1"),
        ("tests/queries/not.sql", "SELECT 1"),
        ("migrations/0001_a.sql", "SELECT 1"),
    ];
    for (path, text) in files {
        let full = folder.path().join(path);
        std::fs::create_dir_all(full.parent().expect("a parent")).expect("it works");
        std::fs::write(full, text).expect("it works");
    }
    let found = on_disk(folder.path(), &[]).expect("it works");
    assert_eq!(
        found.places,
        [".sqlx", "crates/web/.sqlx", "db/more", "db/other", "db/sql/query.sql", "src/queries"]
    );
    assert_eq!(found.files.len(), 6);
    let named = on_disk(folder.path(), &["./migrations/".into()]).expect("it works");
    assert_eq!(named.files, [("migrations/0001_a.sql".to_owned(), "SELECT 1".to_owned())]);
    assert!(on_disk(folder.path(), &["nothing".into()]).is_err());
}
