//! Documents that must say what the code says.

use unship::cli::exit;

use super::source::{files, root};

#[test]
fn every_exit_status_is_documented() {
    let text = fs_err::read_to_string(root().join("docs/exit-codes.md")).expect("docs/exit-codes.md");
    for (status, name) in exit::ALL {
        assert!(text.contains(&format!("| {status} | {name} |")), "docs/exit-codes.md lacks {status} {name}");
    }
    let rows = text.lines().filter(|line| line.starts_with("| ") && line.as_bytes()[2].is_ascii_digit());
    assert_eq!(rows.count(), exit::ALL.len());
}

#[test]
fn links_between_documents_lead_somewhere() {
    for file in files(".md") {
        let folder = root().join(&file.path);
        let folder = folder.parent().expect("a folder").to_owned();
        for target in file.text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = target.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            assert!(folder.join(target).exists(), "{} links to {target}", file.path);
        }
    }
}
