use super::*;

fn mode(path: &Path) -> u32 {
    fs_err::metadata(path).expect("there").permissions().mode() & 0o7777
}

#[test]
fn a_file_gets_its_mode_also_where_a_crash_left_one_with_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("file");
    let left = folder.path().join(".file.new");
    for (left_mode, wanted) in [(0o600, 0o644), (0o666, 0o400)] {
        fs_err::write(&left, "half").expect("written");
        fs_err::set_permissions(&left, PermissionsExt::from_mode(left_mode)).expect("a mode");
        write(&path, b"whole", wanted).expect("written");
        assert_eq!((fs_err::read_to_string(&path).expect("read").as_str(), mode(&path)), ("whole", wanted));
    }
}

#[test]
fn folders_are_made_on_the_way_and_those_that_are_there_keep_their_mode() {
    let top = tempfile::tempdir().expect("a folder");
    fs_err::set_permissions(top.path(), PermissionsExt::from_mode(0o750)).expect("a mode");
    let path = top.path().join("a/b");
    // As one that was killed half way leaves it, with a login's umask of 077.
    fs_err::create_dir(top.path().join(".a.new")).expect("a folder");
    fs_err::set_permissions(top.path().join(".a.new"), PermissionsExt::from_mode(0o700)).expect("a mode");
    folder(&path).expect("made");
    folder(&path).expect("again");
    assert_eq!((mode(top.path()), mode(&top.path().join("a")), mode(&path)), (0o750, 0o755, 0o755));
    assert_eq!(fs_err::read_dir(top.path()).expect("read").count(), 1);
    fs_err::write(path.join("file"), "").expect("written");
    folder(&path.join("file")).expect_err("a file is no folder");
}
