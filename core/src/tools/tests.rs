use super::*;

fn file(path: &str, text: &str) -> MigrationFile {
    MigrationFile::new(path, text)
}

fn files(of: &[(&str, &str)]) -> Vec<MigrationFile> {
    of.iter().map(|(path, text)| file(path, text)).collect()
}

fn read_ok(tool: Tool, of: &[(&str, &str)]) -> MigrationSet {
    read(tool, files(of)).expect("the fixture is right")
}

fn read_err(tool: Tool, of: &[(&str, &str)]) -> ReadError {
    read(tool, files(of)).expect_err("the fixture is wrong")
}

fn ids(migrations: &[Migration]) -> Vec<&str> {
    migrations.iter().map(|migration| migration.id.as_str()).collect()
}

#[test]
fn sqlx_simple_and_reversible() {
    let set = read_ok(
        Tool::Sqlx,
        &[
            ("10_late.sql", "SELECT 1;"),
            ("0002_topics.up.sql", "-- no-transaction\nCREATE INDEX CONCURRENTLY i ON t (a);"),
            ("0002_topics.down.sql", "-- nothing\n"),
            ("0001_init.sql", "\n-- no-transaction\nCREATE TABLE t (a int);"),
            ("0003_orphan.down.sql", "SELECT 1"),
            ("README.md", ""),
            ("sub/0004_x.sql", ""),
        ],
    );
    assert_eq!(ids(&set.migrations), ["0001_init", "0002_topics", "10_late"]);
    assert_eq!(set.migrations[0].up.wrap, Wrap::Transaction, "the words must be the first bytes");
    assert_eq!(set.migrations[1].up.wrap, Wrap::None);
    assert!(matches!(set.migrations[1].down, Down::Empty(_)));
    assert_eq!(set.migrations[2].down, Down::Missing);
    assert_eq!(set.migrations[1].version.recorded(), "2");
    assert_eq!(set.migrations[1].version.to_string(), "0002");
    let ignored: Vec<&str> = set.ignored.iter().map(|ignored| ignored.path.as_str()).collect();
    assert_eq!(ignored, ["0003_orphan.down.sql", "README.md", "sub/0004_x.sql"]);
    let digest = hex::encode(checksum(&set.migrations[2]).expect("sqlx has a checksum"));
    assert!(digest.starts_with("26e71cc37450b183") && digest.len() == 96, "{digest}");
}

#[test]
fn sqlx_refuses_what_sqlx_refuses() {
    let error = read_err(Tool::Sqlx, &[("one_init.sql", "")]);
    assert!(matches!(error, ReadError::BadName { .. }), "{error}");
    let error = read_err(Tool::Sqlx, &[("1_a.sql", ""), ("01_b.up.sql", "")]);
    assert!(matches!(error, ReadError::DuplicateVersion { .. }), "{error}");
}

#[test]
fn golang_migrate_files_and_their_quirks() {
    let set = read_ok(
        Tool::GolangMigrate,
        &[
            ("000001_init.up.sql", "CREATE TABLE t (a int);"),
            ("000001_init.down.sql", "DROP TABLE t;"),
            ("000002_only_down.down.sql", "SELECT 1;"),
            ("000003_x.down.up.sql", "SELECT 3;"),
            ("99999999999999999999999_x.up.sql", ""),
            ("3_simple.sql", ""),
        ],
    );
    assert_eq!(ids(&set.migrations), ["000001_init", "000002_only_down", "000003_x.down"]);
    assert_eq!(set.migrations[0].up.wrap, Wrap::None);
    assert!(set.migrations[1].up.batches.is_empty());
    assert_eq!(set.remarks.len(), 1);
    assert_eq!(set.ignored.len(), 2);
    let twice = read_err(Tool::GolangMigrate, &[("1_a.up.sql", ""), ("01_b.up.sql", "")]);
    assert!(matches!(twice, ReadError::DuplicateVersion { .. }));
}

#[test]
fn goose_sections_statements_and_marks() {
    let text = "-- a word before\n-- +goose Up\n-- +goose StatementBegin\nCREATE FUNCTION f() RETURNS int AS $$\n\
                BEGIN;\nEND;\n$$ LANGUAGE plpgsql;\n-- +goose StatementEnd\n\nSELECT 1; -- one\nSELECT\n  2;\n\
                --+goose down\nDROP FUNCTION f();\n";
    let set =
        read_ok(Tool::Goose, &[("00001_f.sql", text), ("00002_g.go", "package x"), ("00002_h_test.go", "")]);
    let one = &set.migrations[0];
    assert_eq!(one.up.batches.len(), 3);
    assert_eq!(one.up.batch_lines, [4, 10, 11]);
    assert!(one.up.batches[0].ends_with("LANGUAGE plpgsql;"));
    assert_eq!(one.up.first_line, 3);
    assert!(!one.up.sql.contains("DROP"));
    assert_eq!(one.up.wrap, Wrap::Transaction);
    let down = one.down.script().expect("there is a down");
    assert_eq!(down.batches, ["DROP FUNCTION f();"]);
    assert_eq!(down.first_line, 14);
    assert!(set.ignored[0].reason.contains("Go"));
}

#[test]
fn goose_without_transaction_and_with_environment() {
    let text = "-- +goose NO TRANSACTION\n-- +goose Up\n-- +goose ENVSUB ON\nCREATE USER ${APP_USER:-app};\n\
                -- +goose ENVSUB OFF\nSELECT '$HOME';\n";
    let set = read_ok(Tool::Goose, &[("1_x.sql", text)]);
    assert_eq!(set.migrations[0].up.wrap, Wrap::None);
    assert_eq!(set.migrations[0].up.environment, ["APP_USER"]);
    assert_eq!(set.migrations[0].down, Down::Missing);
}

#[test]
fn goose_refuses_what_goose_refuses() {
    let line = |text: &str| {
        let set = read_ok(Tool::Goose, &[("1_x.sql", text), ("2_y.sql", "-- +goose Up\nSELECT 1;\n")]);
        assert_eq!(set.migrations[1].up.batches.len(), 1, "goose gets to it when its turn comes");
        let one = &set.migrations[0];
        let of = one.up.unreadable.as_ref().or_else(|| one.down.script()?.unreadable.as_ref());
        let unreadable = of.expect("refused").clone();
        (unreadable.line, unreadable.why)
    };
    assert!(line("SELECT 1;").1.contains("nothing may stand before"));
    assert!(line("-- hello\n").1.contains("-- +goose Up"));
    assert_eq!(line("-- +goose Up\nSELECT 1\n").0, Some(2));
    assert_eq!(line("-- +goose Up\nSELECT 1;\n-- +goose Sideways\n").0, Some(3));
    assert_eq!(line("-- +goose Up\n -- +goose Down\n").0, Some(2));
    assert_eq!(line("-- +goose Up\n-- +goose Up\n").0, Some(2));
    assert_eq!(line("-- +goose Up\n-- +goose StatementBegin\nSELECT 1;").0, Some(3));
    assert_eq!(line("-- +goose Up\n-- +goose StatementEnd\n").0, Some(2));
    assert_eq!(line("-- +goose Down\n").0, Some(1));
}

#[test]
fn diesel_folders_and_metadata() {
    let set = read_ok(
        Tool::Diesel,
        &[
            ("00000000000000_diesel_initial_setup/up.sql", "SELECT 1;"),
            ("2020-01-02-030405_b/up.sql", "SELECT 1;"),
            ("2020-01-02-030405_b/down.sql", ""),
            ("2020-01-02-030405_b/metadata.toml", "run_in_transaction = false\n"),
            ("20200102030406_c/up.sql", "SELECT 1;"),
            ("20200102030406_c/metadata.toml", "# nothing\n"),
            ("20200102030407_d/up.sql", "SELECT 1;"),
            ("20200102030407_d/metadata.toml", "not toml at all ["),
            ("20200102030407_d/notes.txt", ""),
            (".keep/up.sql", ""),
            ("schema.patch", ""),
        ],
    );
    let wraps: Vec<Wrap> = set.migrations.iter().map(|migration| migration.up.wrap).collect();
    assert_eq!(wraps, [Wrap::Transaction, Wrap::None, Wrap::None, Wrap::Transaction]);
    assert_eq!(set.migrations[1].version.recorded(), "20200102030405");
    assert!(matches!(set.migrations[1].down, Down::Empty(_)));
    assert_eq!(set.ignored.len(), 3);
    let error = read_err(Tool::Diesel, &[("2020_a/down.sql", "")]);
    assert!(error.to_string().contains("up.sql"), "{error}");
    let twice = read_err(Tool::Diesel, &[("2020-01_a/up.sql", ""), ("202001_b/up.sql", "")]);
    assert!(matches!(twice, ReadError::DuplicateVersion { .. }));
}

#[test]
fn dbmate_blocks_and_options() {
    let text = "-- a word\n\n-- migrate:up transaction:false\nCREATE INDEX CONCURRENTLY i ON t (a);\n\n\
                --migrate:down\nDROP INDEX i;\n";
    let set = read_ok(Tool::Dbmate, &[("20200101_x.sql", text), ("seed.sql", "")]);
    let one = &set.migrations[0];
    assert_eq!(one.up.wrap, Wrap::None);
    assert_eq!(one.up.first_line, 3);
    assert_eq!(one.up.batches.len(), 1);
    assert!(one.up.batches[0].starts_with("-- migrate:up"), "dbmate sends its own line along");
    let down = one.down.script().expect("there is a down");
    assert_eq!((down.wrap, down.first_line), (Wrap::Transaction, 6));
    let empty = read_ok(Tool::Dbmate, &[("1.sql", "-- migrate:up\nSELECT 1;\n-- migrate:down\n\n")]);
    assert!(matches!(empty.migrations[0].down, Down::Empty(_)));
}

#[test]
fn dbmate_orders_by_file_name_and_refuses_what_dbmate_refuses() {
    let set = read_ok(Tool::Dbmate, &[("9_a.sql", "-- migrate:up\n"), ("10_b.sql", "-- migrate:up\n")]);
    assert_eq!(ids(&set.migrations), ["10_b", "9_a"], "dbmate compares names as text");
    let why = |text: &str| {
        let set = read_ok(Tool::Dbmate, &[("1_x.sql", text), ("2_y.sql", "-- migrate:up\nSELECT 1;")]);
        assert_eq!(ids(&set.migrations), ["1_x", "2_y"]);
        assert!(set.migrations[1].up.unreadable.is_none());
        set.migrations[0].up.unreadable.clone().expect("refused")
    };
    assert!(why("SELECT 1;").why.contains("`-- migrate:up`"));
    assert_eq!(why("SELECT 1;\n-- migrate:up\n").line, Some(1));
    assert_eq!(why("-- migrate:up\n-- migrate:down\n-- migrate:down\n").line, Some(3));
}

#[test]
fn plain_files_run_statement_by_statement() {
    let set = read_ok(
        Tool::Plain,
        &[
            (
                "001_a.sql",
                "\u{feff}CREATE TABLE t (a text);\nCOPY t FROM stdin;\nx;y\n\\.\n\\echo hi\nSELECT ';';\n",
            ),
            ("002_b.sql", "SELECT 1"),
            ("down/002_b.sql", "SELECT 2"),
            ("001_a.rollback.sql", ""),
            ("seed.sql", ""),
        ],
    );
    assert_eq!(ids(&set.migrations), ["001_a", "002_b"]);
    assert_eq!(
        set.migrations[0].up.batches,
        ["CREATE TABLE t (a text);", "COPY t FROM stdin;\nx;y\n\\.", "\\echo hi", "SELECT ';';"]
    );
    assert_eq!(set.migrations[0].up.batch_lines, [1, 2, 5, 6]);
    assert!(matches!(set.migrations[0].down, Down::Empty(_)));
    assert_eq!(set.migrations[1].down.script().map(|down| down.sql.as_str()), Some("SELECT 2"));
}

#[test]
fn a_file_that_is_no_text_is_a_step_that_says_so() {
    let good = "-- +goose Up\n-- migrate:up\nSELECT 1;";
    for tool in Tool::ALL {
        let path = |number: u32| match tool {
            Tool::Diesel => format!("{number}_x/up.sql"),
            Tool::GolangMigrate => format!("{number}_x.up.sql"),
            _ => format!("{number}_x.sql"),
        };
        let bad = |file: MigrationFile| {
            let text = match tool {
                Tool::Dbmate => "-- migrate:up\nSELECT 1;",
                Tool::Goose => "-- +goose Up\nSELECT 1;",
                _ => good,
            };
            let set =
                read(tool, vec![MigrationFile::new(path(1), text), file, MigrationFile::new(path(3), text)]);
            let set = set.expect("the others are right");
            assert_eq!(ids(&set.migrations).len(), 3, "{tool}");
            assert!(set.migrations[0].up.unreadable.is_none() && set.migrations[2].up.unreadable.is_none());
            let up = &set.migrations[1].up;
            assert!(up.sql.is_empty() && up.batches.is_empty());
            assert_eq!((up.path.clone(), checksum(&set.migrations[1])), (path(2), None));
            let unreadable = up.unreadable.clone().unwrap_or_else(|| panic!("{tool} read it"));
            (unreadable.line, unreadable.why, up.digest)
        };
        let bytes = |bytes: &[u8]| bad(MigrationFile::new(path(2), bytes));
        let nul = bytes(b"SELECT 1;\n\0");
        assert!(nul.0 == Some(2) && nul.1.contains("NUL"), "{nul:?}");
        let latin = bytes(b"SELECT 1;\n\n-- caf\xe9");
        assert!(latin.0 == Some(3) && latin.1.contains("UTF-8"), "{latin:?}");
        assert_ne!(nul.2, latin.2, "another file is another digest");
        let long = bytes(&vec![b' '; FILE_BYTES_MAX + 1]);
        assert!(long.1.contains("limit"), "{long:?}");
        let unread = MigrationFile { path: path(2), bytes: Vec::new(), unread: Some("because".to_owned()) };
        assert_eq!(bad(unread).1, "because");
    }
    let down = MigrationFile::new("1_x.down.sql", b"\xff".as_slice());
    let set = read(Tool::Sqlx, vec![MigrationFile::new("1_x.up.sql", "SELECT 1;"), down]).expect("read");
    assert!(set.migrations[0].up.unreadable.is_none());
    assert!(
        set.migrations[0].down.script().is_some_and(|down| down.unreadable.is_some()),
        "not an empty down"
    );
}

#[test]
fn notes_are_read_and_misspelt_ones_are_errors() {
    let note = |text: &str| {
        read(Tool::Sqlx, files(&[("1_x.sql", text)])).map(|set| set.migrations[0].compatible_note.clone())
    };
    let found = note("SELECT 1;\n-- unship: compatible: only the new worker reads it\n").expect("right");
    assert_eq!(
        found,
        Some(Note { kind: NoteKind::Compatible, reason: "only the new worker reads it".to_owned(), line: 2 })
    );
    let both = note("-- unship: compatible: a\n-- unship: breaks: b\n").expect("right");
    assert_eq!(both.map(|note| note.kind), Some(NoteKind::Breaks));
    assert_eq!(note("SELECT '\n-- unship: breaks: in a string\n';").expect("right"), None);
    assert!(note("-- unship: compatable: x").is_err());
    assert!(note("-- unship: compatible:").is_err());
}

#[test]
fn detection_says_why_or_asks() {
    let tool = |of: &[(&str, &str)]| detect(&files(of)).tool();
    assert_eq!(tool(&[("1_x.sql", "-- +goose Up\n")]), Some(Tool::Goose));
    assert_eq!(tool(&[("1_x.sql", "-- migrate:up\n")]), Some(Tool::Dbmate));
    assert_eq!(tool(&[("2020_x/up.sql", "")]), Some(Tool::Diesel));
    assert_eq!(tool(&[("1_x.sql", "-- Add migration script here\n")]), Some(Tool::Sqlx));
    assert_eq!(tool(&[("001-x.sql", "")]), Some(Tool::Plain));
    assert_eq!(tool(&[("up/001_x.sql", ""), ("down/001_x.sql", "")]), Some(Tool::Plain));
    let doubtful = detect(&files(&[("1_x.up.sql", ""), ("1_x.down.sql", "")]));
    assert_eq!(doubtful.tool(), None);
    assert_eq!(
        doubtful.hint().as_deref(),
        Some("say which: `--tool golang-migrate` or `--tool sqlx` or `--tool plain`")
    );
    let settle =
        |name: &str, text: &str| detect_in(&files(&[("1_x.up.sql", "")]), &files(&[(name, text)])).tool();
    assert_eq!(
        settle("go.mod", "require github.com/golang-migrate/migrate/v4 v4.19.1"),
        Some(Tool::GolangMigrate)
    );
    assert_eq!(settle("Cargo.toml", "sqlx = \"0.9\""), Some(Tool::Sqlx));
    assert!(matches!(detect(&[]), Detection::NotFound { .. }));
    let both = detect(&files(&[("1_x.sql", "-- +goose Up\n"), ("2_x.sql", "-- migrate:up\n")]));
    assert!(matches!(both, Detection::Ambiguous(_)));
}

#[test]
fn a_span_tells_apart_what_happened() {
    let old = read_ok(
        Tool::Sqlx,
        &[
            ("1_a.up.sql", "A;"),
            ("1_a.down.sql", "A"),
            ("3_c.sql", "C;"),
            ("4_gone.sql", "D;"),
            ("5_n.sql", ""),
        ],
    );
    let new = read_ok(
        Tool::Sqlx,
        &[
            ("1_a.up.sql", "A;"),
            ("1_a.down.sql", "A changed"),
            ("2_b.sql", "B;"),
            ("3_c.sql", "C changed;"),
            ("005_new.sql", ""),
            ("6_e.sql", ""),
        ],
    );
    let span = compare(&old, &new);
    let names = |of: &[&Migration]| of.iter().map(|m| m.id.clone()).collect::<Vec<_>>();
    assert_eq!(names(&span.added), ["2_b", "6_e"]);
    assert_eq!(names(&span.out_of_order), ["2_b"]);
    assert_eq!(names(&span.removed), ["4_gone"]);
    assert!(matches!(span.changed[0], Changed::OnlyDown { new, .. } if new.id == "1_a"));
    assert!(matches!(span.changed[1], Changed::Up { new, .. } if new.id == "3_c"));
    assert!(matches!(span.changed[2], Changed::OnlyName { new, .. } if new.id == "005_new"));
    assert!(compare(&old, &old).is_empty());
}

#[test]
fn boot_rules() {
    let set = |tool: Tool, names: &[&str]| {
        let text = "-- +goose Up\n-- migrate:up\n";
        let of: Vec<(String, &str)> = names
            .iter()
            .map(|n| match tool {
                Tool::Diesel => (format!("{n}/up.sql"), text),
                Tool::GolangMigrate => (format!("{n}.up.sql"), text),
                _ => (format!("{n}.sql"), if tool == Tool::Goose { "-- +goose Up\n" } else { text }),
            })
            .collect();
        read(tool, of.iter().map(|(path, text)| file(path, text)).collect()).expect("right")
    };
    let by = |migrator: Migrator, old: &[&str], new: &[&str]| {
        let tool = if let Migrator::Read(tool) = migrator { tool } else { Tool::Plain };
        boots(migrator, &set(tool, old), &set(tool, new))
    };
    let refuses = |tool, old: &[&str], new: &[&str]| {
        matches!(by(Migrator::Read(tool), old, new), Boots::Refuses { .. })
    };
    assert!(refuses(Tool::Sqlx, &["1_a"], &["1_a", "2_b"]));
    assert!(!refuses(Tool::Sqlx, &["1_a"], &["1_a"]));
    assert!(refuses(Tool::GolangMigrate, &["1_a"], &["1_a", "2_b"]));
    assert!(!refuses(Tool::GolangMigrate, &["1_a", "3_c"], &["1_a", "2_b", "3_c"]));
    assert!(!refuses(Tool::Goose, &["1_a"], &["1_a", "2_b"]));
    assert!(refuses(Tool::Goose, &["1_a", "2_hotfix"], &["1_a", "3_b"]));
    assert!(!refuses(Tool::Diesel, &["1_a"], &["1_a", "2_b"]));
    assert!(!refuses(Tool::Dbmate, &["1_a"], &["1_a", "2_b"]));
    assert_eq!(
        by(Migrator::Read(Tool::Dbmate), &["1_a", "3_c"], &["1_a", "2_b"]),
        Boots::Starts { then_runs: vec!["3_c".to_owned()] }
    );
    // The old release has 1 and the database has 2 as well, as it is after most deploys.
    let on_newer = |name: &str| by(name.parse().expect("known"), &["1_a"], &["1_a", "2_b"]);
    for name in ["sqlx", "refinery", "sea-orm-migration", "golang-migrate", "alembic", "sql-migrate", "knex"]
    {
        assert!(matches!(on_newer(name), Boots::Refuses { why } if why.starts_with(name)), "{name} starts");
    }
    for name in [
        "diesel",
        "goose",
        "dbmate",
        "flyway",
        "liquibase",
        "rails",
        "django",
        "prisma",
        "atlas",
        "node-pg-migrate",
    ] {
        assert_eq!(on_newer(name), Boots::Starts { then_runs: Vec::new() }, "{name}");
    }
    assert_eq!(on_newer("plain"), Boots::NoMigrator);
    // A gap: the database has what lies between two files of the old release.
    let flyway = |old: &[&str], new: &[&str]| by("flyway".parse().expect("known"), old, new);
    assert!(matches!(flyway(&["1_a", "3_c"], &["1_a", "2_b", "3_c"]), Boots::Refuses { .. }));
    assert!(matches!(flyway(&["1_a", "2_b"], &["1_a", "3_c"]), Boots::Refuses { .. }));
    assert_eq!(
        "rail".parse::<Migrator>().map_err(|error| error.to_string().contains("known are sqlx, ")),
        Err(true)
    );
}

#[test]
fn lock_keys_are_those_of_the_tools() {
    let scope = LockScope { database: "mydb", schema: "public", table: "schema_migrations" };
    // The CRCs are those of zlib.
    assert_eq!(lock_key(Tool::Sqlx, scope), Some(0x3d32_ad9e * 0x1105_0dca));
    assert_eq!(lock_key(Tool::Goose, scope), Some(4_097_083_626));
    assert_eq!(lock_key(Tool::GolangMigrate, scope), Some(2_103_762_914));
    assert_eq!(lock_key(Tool::Diesel, scope), None);
}
