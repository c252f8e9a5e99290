use std::collections::BTreeSet;

use unship_core::down::Applied;
use unship_core::tools::{MigrationFile, read};

use super::*;

fn set(tool: Tool, count: usize) -> MigrationSet {
    let file = |number: usize, text: &str| match tool {
        Tool::Sqlx => MigrationFile::new(format!("{number:04}_m.sql"), text),
        _ => MigrationFile::new(format!("{number:04}_m.up.sql"), text),
    };
    let files =
        (1..=count).map(|number| file(number, &format!("CREATE TABLE t{number} (id int);"))).collect();
    read(tool, files).expect("a set")
}

fn live(versions: &[&str], checksums: Vec<(String, Vec<u8>)>) -> Live {
    Live {
        name: "a database".into(),
        database: "a".into(),
        table: None,
        applied: Applied {
            versions: versions.iter().map(|version| (*version).to_owned()).collect::<BTreeSet<_>>(),
            dirty: false,
        },
        checksums,
        cannot_change: None,
    }
}

#[test]
fn each_migration_stands_as_the_version_table_and_its_checksums_say() {
    let set = set(Tool::Sqlx, 4);
    let right = ("1".to_owned(), tools::checksum(&set.migrations[0]).expect("sqlx writes checksums"));
    let found = standings(&set, &live(&["1", "3", "9"], vec![right, ("3".into(), vec![1, 2, 3])]));
    let said: Vec<(&str, Standing)> =
        found.iter().map(|found| (found.migration.as_str(), found.standing)).collect();
    assert_eq!(
        said,
        [
            ("0001_m", Standing::Applied),
            ("0002_m", Standing::PassedOver),
            ("0003_m", Standing::Edited),
            ("0004_m", Standing::Pending),
            ("9", Standing::Unknown),
        ]
    );
}

#[test]
fn a_tool_that_records_the_newest_alone_has_all_before_it() {
    let found = standings(&set(Tool::GolangMigrate, 3), &live(&["2"], Vec::new()));
    let said: Vec<Standing> = found.iter().map(|found| found.standing).collect();
    assert_eq!(said, [Standing::Applied, Standing::Applied, Standing::Pending]);
}
