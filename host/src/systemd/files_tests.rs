use super::*;

fn files() -> (tempfile::TempDir, Files) {
    let folder = tempfile::tempdir().expect("a folder");
    let files = Files::at(folder.path());
    (folder, files)
}

#[test]
fn a_drop_in_is_written_once_and_taken_away_once() {
    let (folder, mut files) = files();
    assert!(files.drop_in("web.socket", Some("[Socket]\nService=a.service\n")).expect("written"));
    assert!(!files.drop_in("web.socket", Some("[Socket]\nService=a.service\n")).expect("looked at"));
    let path = folder.path().join("web.socket.d/zz-unship.conf");
    assert_eq!(std::fs::read_to_string(path).expect("there"), "[Socket]\nService=a.service\n");
    assert!(files.drop_in("web.socket", None).expect("removed"));
    assert!(!files.drop_in("web.socket", None).expect("looked at"));
}

#[test]
fn one_instance_boots_wherever_its_template_was_enabled() {
    let (folder, mut files) = files();
    let source = "/etc/systemd/system/web@.service";
    assert!(files.boot("web", Some("web@v1.service"), source).expect("linked"));
    let link = folder.path().join("multi-user.target.wants/web@v1.service");
    assert_eq!(std::fs::read_link(&link).expect("a link"), Path::new(source));
    // Another template's link, a plain unit's, and one of the same template in a target of its own.
    let other = folder.path().join("shop.target.wants");
    std::fs::create_dir(&other).expect("a folder");
    for name in ["web@v1.service", "web-2@v1.service", "web.service"] {
        std::os::unix::fs::symlink(source, other.join(name)).expect("a link");
    }
    assert!(files.boot("web", Some("web@v2.service"), source).expect("linked"));
    assert!(!files.boot("web", Some("web@v2.service"), source).expect("looked at"));
    assert!(!link.exists() && std::fs::symlink_metadata(&link).is_err());
    for (name, there) in [
        ("web@v2.service", true),
        ("web@v1.service", false),
        ("web-2@v1.service", true),
        ("web.service", true),
    ] {
        assert_eq!(std::fs::symlink_metadata(other.join(name)).is_ok(), there, "{name}");
    }
    assert!(files.boot("web", None, "").expect("removed"));
    assert!(std::fs::symlink_metadata(other.join("web@v2.service")).is_err());
}

#[test]
fn a_mask_takes_the_place_of_nothing_and_is_taken_away_alone() {
    let (folder, mut files) = files();
    assert!(files.mask("web@v1.service").expect("masked"));
    assert!(!files.mask("web@v1.service").expect("looked at"));
    assert!(files.unmask("web@v1.service").expect("unmasked"));
    assert!(!files.unmask("web@v1.service").expect("looked at"));
    // A unit file of that name is somebody's own.
    std::fs::write(folder.path().join("web@v2.service"), "[Service]\n").expect("written");
    assert!(!files.mask("web@v2.service").expect("looked at"));
    assert!(!files.unmask("web@v2.service").expect("looked at"));
}

#[test]
fn a_file_is_swapped_by_a_rename_keeps_its_mode_and_must_be_the_release_s() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, source) = (folder.path().join("program"), folder.path().join("source"));
    std::fs::write(&path, "old").expect("written");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o750)).expect("a mode");
    std::fs::write(&source, "new").expect("written");
    let open = std::fs::File::open(&path).expect("open");
    assert!(swap_file(&path, &source, &Digest::of(b"new")).expect("swapped"));
    assert!(!swap_file(&path, &source, &Digest::of(b"new")).expect("looked at"));
    assert_eq!(std::fs::metadata(&path).expect("there").permissions().mode() & 0o7777, 0o750);
    assert_eq!(std::io::read_to_string(open).expect("read"), "old", "what runs keeps its file");
    let error = swap_file(&path, &source, &Digest::of(b"other")).expect_err("refused");
    assert!(error.to_string().contains("changed while it was copied"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).expect("there"), "new");
    assert_eq!(std::fs::read_dir(folder.path()).expect("read").count(), 2, "nothing is left beside");
}

/// As a full disk leaves it: some were written, one was not.
#[test]
fn what_was_changed_is_taken_back_whole() {
    let (folder, mut files) = files();
    let everything = || {
        let mut found = std::collections::BTreeMap::new();
        let mut folders = vec![folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("read") {
                let path = entry.expect("an entry").path();
                match std::fs::read_link(&path) {
                    Ok(target) => drop(found.insert(path, target.display().to_string())),
                    Err(_) if path.is_dir() => folders.push(path),
                    Err(_) => drop(found.insert(path.clone(), std::fs::read_to_string(&path).expect("read"))),
                }
            }
        }
        found
    };
    files.drop_in("web.socket", Some("one")).expect("written");
    files.boot("web", Some("web@v1.service"), "/etc/systemd/system/web@.service").expect("linked");
    files.mask("web@v2.service").expect("masked");
    let before = everything();
    files.begin();
    assert!(!files.take_back().expect("nothing to take back"));
    files.begin();
    assert!(files.unmask("web@v2.service").expect("unmasked"));
    assert!(files.drop_in("web.socket", Some("two")).expect("written"));
    assert!(files.drop_in("web.socket", Some("three")).expect("written"));
    assert!(files.boot("web", Some("web@v2.service"), "/lib/systemd/system/web@.service").expect("linked"));
    assert!(files.drop_in("gc.timer", Some("two")).expect("written"));
    assert_ne!(everything(), before);
    // The name under which the next would be written is taken: what failed last is nothing to take back.
    let taken = folder.path().join("web.socket.d/.zz-unship.conf.new");
    files.drop_in("gc.timer", Some("three")).expect("written");
    std::fs::create_dir_all(folder.path().join("worker.service.d/.zz-unship.conf.new")).expect("made");
    files.drop_in("worker.service", Some("two")).expect_err("its name is taken");
    assert!(files.take_back().expect("taken back"));
    assert_eq!(everything(), before);
    files.begin();
    std::fs::create_dir(&taken).expect("made");
    files.drop_in("web.socket", Some("two")).expect_err("its name is taken");
    files.take_back().expect("it is as it was");
    assert_eq!(everything(), before);
    assert!(!files.take_back().expect("once"));
}
