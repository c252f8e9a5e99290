use super::*;

fn program(folder: &Path, text: &str) -> HoldProgram {
    let program = folder.join("agent");
    fs_err::write(&program, text).expect("written");
    fs_err::set_permissions(&program, PermissionsExt::from_mode(0o700)).expect("a mode");
    HoldProgram { program, args: vec![HOLD_VERB.into()] }
}

fn mode(path: &Path) -> u32 {
    fs_err::metadata(path).expect("there").permissions().mode() & 0o7777
}

#[test]
fn a_copy_outlives_the_agent_and_is_replaced_by_a_newer_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("root");
    let hold = program(folder.path(), "one");
    let place = hold.place(&root);
    assert_eq!(place, root.join("hold/unship"));
    let written = fs_err::metadata(&place).expect("there").modified().expect("a time");
    assert_eq!(hold.place(&root), place);
    assert_eq!(fs_err::metadata(&place).expect("there").modified().expect("a time"), written, "written once");
    let runs = fs_err::File::open(&place).expect("open");
    program(folder.path(), "two").place(&root);
    assert_eq!(fs_err::read_to_string(&place).expect("read"), "two");
    assert_eq!(io::read_to_string(runs).expect("read"), "one", "what runs keeps its file");
    fs_err::remove_dir_all(root.join("hold")).expect("removed");
    assert_eq!(fs_err::read_to_string(hold.place(&root)).expect("read"), "two");
    fs_err::remove_file(&hold.program).expect("removed");
    assert_eq!(fs_err::read_to_string(hold.place(&root)).expect("read"), "two", "it needs no agent");
}

#[test]
fn everybody_can_execute_it_and_its_owner_alone_change_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("root");
    let hold = program(folder.path(), "one");
    for left in [0o600, 0o777] {
        let place = hold.place(&root);
        assert_eq!((mode(&place), mode(&root.join("hold"))), (0o755, 0o755));
        fs_err::set_permissions(&place, PermissionsExt::from_mode(left)).expect("a mode");
        fs_err::set_permissions(root.join("hold"), PermissionsExt::from_mode(left | 0o100)).expect("a mode");
    }
    assert_eq!((mode(&hold.place(&root)), mode(&root.join("hold"))), (0o755, 0o755));
}

/// As on a full disk: what comes nearest is better than nothing that answers.
#[test]
fn where_it_cannot_be_copied_an_older_copy_or_the_program_itself_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path().join("root");
    let hold = program(folder.path(), "one");
    fs_err::write(&root, "no folder").expect("written");
    assert_eq!(hold.place(&root), hold.program);
    let own = HoldProgram { args: Vec::new(), ..HoldProgram::default() };
    assert_eq!(own.place(&root), std::env::current_exe().expect("the test knows itself"));
    fs_err::remove_file(&root).expect("removed");
    let place = hold.place(&root);
    // The name under which the new one would be written is taken.
    fs_err::create_dir_all(root.join("hold/.unship.unship/x")).expect("a folder");
    let newer = program(folder.path(), "two");
    assert_eq!(newer.place(&root), place);
    assert_eq!(fs_err::read_to_string(&place).expect("read"), "one");
}
