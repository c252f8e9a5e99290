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
fn looking_at_a_journal_changes_nothing_while_its_run_writes() {
    let (_folder, journals, path) = written(1);
    let mut bytes = fs_err::read(&path).expect("reads");
    bytes.extend_from_slice(b"half of the line that is being wri");
    fs_err::write(&path, &bytes).expect("writes");
    assert_eq!(journals.read(&run()).expect("reads").len(), 1);
    assert_eq!(fs_err::read(&path).expect("reads"), bytes);
}

#[test]
fn who_comes_back_after_another_went_on_may_not_write() {
    let (_folder, journals, _) = written(1);
    let (mut before, _) = journals.open(&run()).expect("opens");
    let (mut after, _) = journals.open(&run()).expect("opens");
    after.append(&entry(1)).expect("goes on");
    let error = before.append(&entry(1)).expect_err("is too late");
    assert_eq!(error.why, "another process has gone on with this run");
    after.append(&entry(2)).expect("is not disturbed");
    assert_eq!(journals.open(&run()).expect("opens").1, [entry(0), entry(1), entry(2)]);
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
