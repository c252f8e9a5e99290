//! One fixture for every class of up and down, with what must come out on its first line.

use std::collections::BTreeMap;

use unship_core::tools::{self, MigrationFile, Tool};
use unship_core::verdict::{Reup, StepReport, UpClass};

use crate::world::{check, has_postgres, repository};

#[test]
fn every_fixture_gets_its_classes() {
    if !has_postgres() {
        return;
    }
    let folder = repository().join("testbed/fixtures/check/classes");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the fixtures") {
        let entry = entry.expect("an entry");
        let path = entry.file_name().to_string_lossy().into_owned();
        files.push(MigrationFile::new(path, std::fs::read(entry.path()).expect("a file")));
    }
    let set = tools::read(Tool::GolangMigrate, files).expect("migrations");
    let report = check(&set);
    assert_eq!(report.steps.len(), set.migrations.len(), "an answer for every step");

    let mut wrong = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for (migration, step) in set.migrations.iter().zip(&report.steps) {
        for (what, wanted) in expected(&migration.up.sql) {
            let found = found(step, what);
            seen.insert(format!("{what}={wanted}"));
            if !found.split('|').any(|found| found == wanted) {
                wrong.push(format!("{}: {what} should be {wanted}, is {found}", step.id));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for class in UpClass::ALL {
        assert!(seen.contains(&format!("up={}", class.word())), "no fixture for up={}", class.word());
    }
    for class in ["missing", "empty", "empty_but_up_changed", "fails", "exact", "column_order", "inexact"] {
        assert!(seen.contains(&format!("down={class}")), "no fixture for down={class}");
    }
}

/// `-- expect: up=additive down=exact`
fn expected(sql: &str) -> BTreeMap<&str, &str> {
    let line = sql.lines().next().and_then(|line| line.strip_prefix("-- expect: ")).expect("an expectation");
    line.split(' ').map(|pair| pair.split_once('=').expect("what=value")).collect()
}

/// What came out, in the words of the fixtures; several words are separated by `|`.
fn found(step: &StepReport, what: &str) -> String {
    let down = &step.down;
    let mentions = |lines: &[String], words: &[&str]| -> String {
        let text = lines.join("\n").replace(' ', "_");
        words.iter().filter(|word| text.contains(**word)).copied().collect::<Vec<_>>().join("|")
    };
    let kinds = |objects: &unship_core::verdict::Destroyed| {
        let kinds = [("tables", objects.tables.is_empty()), ("columns", objects.columns.is_empty())];
        kinds.iter().filter(|(_, empty)| !empty).map(|(kind, _)| *kind).collect::<Vec<_>>().join("|")
    };
    match what {
        "up" => step.up.class.map_or("could_not_run", UpClass::word).to_owned(),
        "down" => down.class.word().to_owned(),
        "verdict" => step.verdict.word().to_owned(),
        "destroys" => kinds(&down.destroys.objects),
        "data_gone" => kinds(&down.schema_restored_data_gone),
        "rows" => down.destroys.rows.iter().map(|row| row.split(' ').next().unwrap_or_default()).collect(),
        "not_atomic" => if down.not_atomic.is_some() { "yes" } else { "no" }.to_owned(),
        "group" => if down.exact_only_as_group.is_empty() { "no" } else { "yes" }.to_owned(),
        "lost" => mentions(&down.lost, &["NOT_NULL", "default", "definition", "table"]),
        "remains" => {
            mentions(&down.remains, &["values", "sequence", "extension", "index", "table", "white_space"])
        }
        "line" => down.error.as_ref().and_then(|error| error.line).unwrap_or_default().to_string(),
        "remark" => mentions(&step.remarks, &["superuser", "role", "not_installed"]),
        "reup" => match &down.reup {
            Some(Reup::Same) => "same",
            Some(Reup::Differs { .. }) => "differs",
            Some(Reup::Fails { .. }) => "fails",
            None => "none",
        }
        .to_owned(),
        other => panic!("the fixtures know no `{other}`"),
    }
}
