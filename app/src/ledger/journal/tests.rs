use unship_core::journal::Event;
use unship_core::time::Timestamp;

use super::*;

fn entry(seq: u64) -> Entry {
    Entry { seq, at: Timestamp(0), event: Event::Intent { step: 0, attempt: 1 } }
}

fn run() -> RunId {
    "r1".parse().expect("a run")
}

fn written(entries: u64) -> (tempfile::TempDir, JournalFolder, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let journals = JournalFolder::open(folder.path()).expect("opens");
    let mut journal = journals.create(&run()).expect("creates");
    for seq in 0..entries {
        journal.append(&entry(seq)).expect("appends");
    }
    let path = journals.path(&run());
    (folder, journals, path)
}

#[test]
fn a_journal_is_read_back_and_goes_on_where_it_ended() {
    let (_folder, journals, _) = written(3);
    let (mut journal, entries) = journals.open(&run()).expect("opens");
    assert_eq!(entries, [entry(0), entry(1), entry(2)]);
    journal.append(&entry(3)).expect("appends");
    assert_eq!(journals.open(&run()).expect("opens").1.len(), 4);
}

#[test]
fn a_journal_cut_anywhere_gives_the_entries_whose_lines_are_whole() {
    let (_folder, journals, path) = written(3);
    let bytes = fs_err::read(&path).expect("reads");
    let ends: Vec<usize> = (0..bytes.len()).filter(|index| bytes[*index] == b'\n').collect();
    for cut in 0..=bytes.len() {
        fs_err::write(&path, &bytes[..cut]).expect("writes");
        let whole = ends.iter().filter(|end| **end < cut).count();
        let (mut journal, entries) = journals.open(&run()).expect("a cut is no damage");
        assert_eq!(entries.len(), whole, "cut at {cut}");
        journal.append(&entry(whole as u64)).expect("appends after a cut");
        assert_eq!(journals.open(&run()).expect("opens").1.len(), whole + 1, "cut at {cut}");
    }
}

#[test]
fn a_changed_byte_is_named_with_its_line() {
    let (_folder, journals, path) = written(3);
    let bytes = fs_err::read(&path).expect("reads");
    let second = bytes.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
    for index in [second, second + 70, second + 90] {
        let mut changed = bytes.clone();
        changed[index] ^= 1;
        fs_err::write(&path, &changed).expect("writes");
        let error = journals.open(&run()).err().expect("damage");
        assert!(error.why.contains("line 2 is damaged"), "{error}");
    }
}

#[test]
fn a_closed_journal_is_not_listed_and_closing_twice_is_fine() {
    let (_folder, journals, _) = written(1);
    assert_eq!(journals.open_runs().expect("lists"), [run()]);
    journals.close(&run()).expect("closes");
    journals.close(&run()).expect("closes again");
    assert!(journals.open_runs().expect("lists").is_empty());
}

#[test]
fn two_runs_of_one_name_cannot_share_a_file() {
    let (_folder, journals, _) = written(1);
    assert!(journals.create(&run()).is_err());
}

#[test]
fn a_process_that_was_thought_dead_cannot_write_where_another_went_on() {
    let (_folder, journals, _) = written(0);
    let (mut old, _) = journals.open(&run()).expect("opens");
    old.append(&entry(0)).expect("appends");
    let (mut new, entries) = journals.open(&run()).expect("another goes on");
    assert_eq!(entries.len(), 1);
    new.append(&entry(1)).expect("appends");
    let error = old.append(&entry(1)).expect_err("refused");
    assert!(error.why.contains("another process has gone on"), "{error}");
    assert_eq!(journals.read(&run()).expect("reads"), [entry(0), entry(1)]);
}

#[test]
fn reading_leaves_a_line_that_is_being_written_as_it_is() {
    let (_folder, journals, path) = written(1);
    let mut bytes = fs_err::read(&path).expect("reads");
    bytes.extend_from_slice(b"half a li");
    fs_err::write(&path, &bytes).expect("writes");
    assert_eq!(journals.read(&run()).expect("reads"), [entry(0)]);
    assert_eq!(fs_err::read(&path).expect("reads"), bytes);
}
