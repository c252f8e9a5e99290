//! No file makes a reader panic, and what a tool would write reads back as it was meant.

use proptest::prelude::*;

use super::*;

fn any_tool() -> impl Strategy<Value = Tool> {
    proptest::sample::select(Tool::ALL.to_vec())
}

/// Paths and bytes close enough to real ones to get past the first check.
fn any_files() -> impl Strategy<Value = Vec<MigrationFile>> {
    let path = prop_oneof![
        "[0-9]{1,20}[_-][a-zé.]{0,8}(\\.up|\\.down|_down)?\\.(sql|go|SQL)",
        "[0-9-]{1,12}_[a-z]{1,4}/(up\\.sql|down\\.sql|metadata\\.toml|x)",
        "(up|down|rollback)/[0-9]{1,3}_[a-z]\\.sql",
        "\\PC{0,12}",
    ];
    let line = prop_oneof![
        Just("-- +goose Up\n".to_owned()),
        Just("-- +goose Down\n".to_owned()),
        Just("-- +goose StatementBegin\n".to_owned()),
        Just("-- +goose StatementEnd\n".to_owned()),
        Just("-- +goose ENVSUB ON\n".to_owned()),
        Just("-- migrate:up transaction:false\n".to_owned()),
        Just("-- migrate:down\n".to_owned()),
        Just("-- no-transaction\n".to_owned()),
        Just("-- unship: compatible: x\n".to_owned()),
        Just("run_in_transaction = false\n".to_owned()),
        "[a-z$'\"(;${}\\\\]{0,12}[;]?\r?\n",
        "\\PC{0,20}",
    ];
    let text = proptest::collection::vec(line, 0..8).prop_map(|lines| lines.concat().into_bytes());
    let bytes = prop_oneof![4 => text, 1 => proptest::collection::vec(any::<u8>(), 0..40)];
    let file = (path, bytes).prop_map(|(path, bytes)| MigrationFile::new(path, bytes));
    proptest::collection::vec(file, 0..6)
}

proptest! {
    #[test]
    fn no_files_make_a_reader_panic(tool in any_tool(), files in any_files()) {
        let _ = detect(&files);
        match read(tool, files.clone()) {
            Ok(set) => {
                let mut versions: Vec<&Version> = set.migrations.iter().map(|m| &m.version).collect();
                let sorted = { let mut v = versions.clone(); v.sort(); v };
                prop_assert_eq!(&versions, &sorted);
                versions.dedup();
                prop_assert_eq!(versions.len(), set.migrations.len());
                for migration in &set.migrations {
                    for script in [Some(&migration.up), migration.down.script()].into_iter().flatten() {
                        prop_assert_eq!(script.batches.len(), script.batch_lines.len());
                        prop_assert!(script.unreadable.is_some() || script.digest == Digest::of(script.sql.as_bytes()));
                        let file = files.iter().find(|file| file.path == script.path);
                        let lines = file.map_or(0, |f| f.bytes.split(|b| *b == b'\n').count());
                        prop_assert!(script.batch_lines.iter().all(|line| *line as usize <= lines));
                    }
                }
                prop_assert!(compare(&set, &set).is_empty());
                let is_up = !matches!(boots(Migrator::Read(set.tool), &set, &set), Boots::Refuses { .. });
                prop_assert!(is_up, "a release boots on its own database");
            }
            Err(error) => prop_assert!(!error.to_string().is_empty() && !error.hint().is_empty()),
        }
    }

    /// One list of steps, written down as each tool would have it, reads back as the same list.
    #[test]
    fn what_each_tool_would_write_reads_back(
        tool in any_tool(),
        steps in proptest::collection::vec(("[a-z]{1,8}", "SELECT [0-9]{1,3};", "(SELECT [0-9];)?"), 1..6),
    ) {
        let mut files = Vec::new();
        let mut push = |path: String, text: String| files.push(MigrationFile::new(path, text));
        for (number, (name, up, down)) in (1..).zip(&steps) {
            let base = format!("{number:04}_{name}");
            match tool {
                Tool::Sqlx | Tool::GolangMigrate | Tool::Plain => {
                    push(format!("{base}.up.sql"), up.clone());
                    push(format!("{base}.down.sql"), down.clone());
                }
                Tool::Diesel => {
                    push(format!("{base}/up.sql"), up.clone());
                    push(format!("{base}/down.sql"), down.clone());
                }
                Tool::Goose => push(format!("{base}.sql"), format!("-- +goose Up\n{up}\n-- +goose Down\n{down}\n")),
                Tool::Dbmate => push(format!("{base}.sql"), format!("-- migrate:up\n{up}\n-- migrate:down\n{down}\n")),
            }
        }
        let set = read(tool, files).expect("written as the tool writes");
        prop_assert_eq!(set.migrations.len(), steps.len());
        for (migration, (name, up, down)) in set.migrations.iter().zip(&steps) {
            prop_assert_eq!(&migration.name, name);
            prop_assert!(migration.up.batches.concat().ends_with(up.as_str()) || tool == Tool::Dbmate);
            prop_assert!(migration.up.batches.concat().contains(up.as_str()));
            prop_assert_eq!(migration.down.script().is_some(), !down.is_empty());
        }
    }
}
