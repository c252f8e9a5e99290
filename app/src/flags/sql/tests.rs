use super::*;

/// Tables as services have them: what they are called, what they hold, how a row says on and off.
const TABLES: [(&str, &str); 3] = [
    (
        r#"CREATE TABLE "odd ""name" (name TEXT, enabled BOOLEAN, changed_at TEXT, changed_by TEXT, place TEXT);
           INSERT INTO "odd ""name" VALUES ('topics_ui', 1, '2026-01-02 03:04:05', 'ada', 'here'),
           ('topics_ui', 1, NULL, NULL, 'elsewhere'), ('signup', 0, NULL, NULL, 'here')"#,
        r#"table = "odd \"name"
           changed_at = "changed_at"
           changed_by = "changed_by"
           only = { place = "here" }"#,
    ),
    (
        r"CREATE TABLE features (key TEXT, rate INTEGER); INSERT INTO features VALUES ('topics_ui', 25), ('signup', 0)",
        r#"table = "features"
           name = "key"
           enabled = "rate"
           holds = "integer""#,
    ),
    (
        r"CREATE TABLE features (name TEXT, state TEXT);
          INSERT INTO features VALUES ('topics_ui', 'live'), ('signup', 'dark')",
        r#"table = "features"
           enabled = "state"
           holds = "text"
           on = "live"
           off = "dark""#,
    ),
];

fn acting() -> Acting {
    let run = "run-1".parse().expect("a run");
    Acting { run, epoch: unship_core::protocol::Epoch(1), step: 0, attempt: 1 }
}

async fn world(tables: &str, config: &str) -> (tempfile::TempDir, TableFlags) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("flags.db").display());
    let mut connection = SqliteConnection::connect(&url).await.expect("a database");
    sqlx::raw_sql(sqlx::AssertSqlSafe(tables.to_owned())).execute(&mut connection).await.expect("a table");
    connection.close().await.expect("closed");
    let url_file = folder.path().join("url");
    fs_err::write(&url_file, format!("{url}\n")).expect("a file");
    let table = toml::from_str(config).expect("a configuration");
    (folder, TableFlags { url_file, table, time_ms_max: 5_000 })
}

#[tokio::test]
async fn a_flag_is_turned_off_and_put_back_exactly_in_every_kind_of_table() {
    for (tables, config) in TABLES {
        let (_folder, flags) = world(tables, config).await;
        let before = flags.read().await.expect("flags");
        let on: Vec<bool> = before.iter().map(|flag| flag.value.on).collect();
        assert_eq!(on, [true, false], "{config}");
        let topics = before[0].clone();
        flags.set(&topics.name, &FlagValue { on: false, raw: None }, &acting()).await.expect("off");
        let now = flags.read().await.expect("flags");
        assert!(now.iter().all(|flag| !flag.value.on), "{config}: {now:?}");
        flags.set(&topics.name, &topics.value, &acting()).await.expect("put back");
        assert_eq!(flags.read().await.expect("flags"), before, "{config}");
    }
}

#[tokio::test]
async fn who_and_when_are_read_where_the_table_has_them() {
    let (_folder, flags) = world(TABLES[0].0, TABLES[0].1).await;
    let read = flags.read().await.expect("flags");
    assert_eq!(read[0].changed_by.as_deref(), Some("ada"));
    assert_eq!(read[0].changed_at.map(|at| at.0), Some(1_767_323_045_000));
}

#[tokio::test]
async fn a_flag_that_has_two_rows_or_none_is_refused() {
    let twice = TABLES[0].1.replace("only = { place = \"here\" }", "");
    let (_folder, flags) = world(TABLES[0].0, &twice).await;
    let error = flags.read().await.expect_err("two rows");
    assert!(error.message.contains("more than one row"), "{error}");
    let (_folder, flags) = world(TABLES[1].0, TABLES[1].1).await;
    let nobody = "nobody'; --".parse().expect("a flag");
    let error = flags.set(&nobody, &FlagValue { on: false, raw: None }, &acting()).await.expect_err("none");
    assert!(error.message.contains("has no row"), "{error}");
}

#[tokio::test]
async fn a_password_is_in_no_error() {
    let (_folder, flags) = world(TABLES[1].0, TABLES[1].1).await;
    fs_err::write(&flags.url_file, "postgres://unship:hunter2@127.0.0.1:1/flags").expect("a file");
    let error = flags.read().await.expect_err("nobody listens");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
}
