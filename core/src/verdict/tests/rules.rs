use std::collections::BTreeSet;
use std::path::Path;

use crate::verdict::all_rules;

fn names_in(folder: &str, extension: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    std::fs::read_dir(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .map(|entry| entry.expect("a directory entry").path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .map(|path| path.file_stem().expect("a name").to_string_lossy().replace('_', "-"))
        .collect()
}

#[test]
fn the_table_the_files_and_the_pages_are_the_same_rules() {
    let table: BTreeSet<String> = all_rules().map(|rule| rule.id.to_owned()).collect();
    assert_eq!(table, names_in("../docs/rules", "md"));
    let mut files = names_in("src/verdict/rules", "rs");
    let beside = ["live-drift", "migration-edited", "migration-order", "not-run", "reviewed-line"];
    files.extend(beside.map(str::to_owned));
    assert_eq!(table, files);
}

#[test]
fn every_page_opens_with_its_id_and_title_and_says_the_verdict() {
    for rule in all_rules() {
        assert!(rule.page.starts_with(&format!("# {}\n\n{}.\n", rule.id, rule.title)), "{}", rule.id);
        assert!(rule.page.contains("**Verdict:") || rule.id == "reviewed-line", "{}", rule.id);
        assert!(!rule.title.ends_with('.'), "{}", rule.id);
    }
}
