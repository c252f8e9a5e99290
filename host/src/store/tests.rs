use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use proptest::prelude::*;
use unship_core::capsule::{CAPSULE_FORMAT, FlagEra, ManifestFile};
use unship_core::evidence::Evidence;
use unship_core::protocol::WRITE_BYTES_MAX;
use unship_core::release::Digest;
use unship_core::time::Timestamp;

use super::*;

mod umask;

fn capsule(release: &Release) -> Capsule {
    let missing = || Evidence::Missing { why: "a test".to_owned() };
    Capsule {
        format: CAPSULE_FORMAT,
        release: release.clone(),
        commit: Evidence::Missing { why: "a test".to_owned() },
        created_at: Timestamp(1),
        units: Vec::new(),
        migrations: missing(),
        queries: missing(),
        flags: missing(),
        flag_era: FlagEra::default(),
        ci: Evidence::default(),
        schema: Evidence::default(),
        verdicts: Evidence::Missing { why: "a test".to_owned() },
    }
}

fn manifest(tag: &str, files: &[(&str, &[u8])]) -> Manifest {
    let files = files.iter().map(|(path, bytes)| ManifestFile {
        path: (*path).to_owned(),
        size: bytes.len() as u64,
        executable: path.starts_with("bin/"),
        sha256: Digest::of(bytes),
    });
    Manifest {
        service: "demo".parse().expect("service"),
        tag: tag.parse().expect("tag"),
        files: files.collect(),
    }
}

fn publish(store: &mut Store, tag: &str, files: &[(&str, &[u8])]) -> Release {
    let manifest = manifest(tag, files);
    let release = manifest.release();
    for missing in store.stage(&manifest).expect("stage").missing {
        let (path, bytes) = files.iter().find(|(path, _)| *path == missing.path).expect("a file");
        let have = usize::try_from(missing.have).expect("small");
        store.write(&release.digest, path, missing.have, &bytes[have..]).expect("write");
    }
    assert!(store.publish(&release.digest, &capsule(&release)).expect("publish"));
    release
}

const FILES: [(&str, &[u8]); 3] = [("bin/demo", b"program"), ("share/a/b", b"data"), ("empty", b"")];

fn everything_below(path: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if let Ok(entries) = fs_err::read_dir(path) {
        for entry in entries {
            let path = entry.expect("entry").path();
            found.insert(path.display().to_string());
            if path.is_dir() {
                found.extend(everything_below(&path));
            }
        }
    }
    found
}

#[test]
fn a_release_is_published_whole_and_read_only() {
    let folder = tempfile::tempdir().expect("folder");
    let mut store = Store::new(folder.path());
    let release = publish(&mut store, "v1.0.0", &FILES);
    let mode = |path: &str| {
        let path = folder.path().join("releases/v1.0.0").join(path);
        fs_err::metadata(path).expect("metadata").permissions().mode() & 0o7777
    };
    assert_eq!((mode("files/bin/demo"), mode("files/share/a/b")), (0o555, 0o444));
    assert_eq!((mode(""), mode("files"), mode("files/share/a")), (0o555, 0o555, 0o555));
    assert_eq!((mode("manifest.json"), mode("capsule.json")), (0o444, 0o400));
    store.verify(&release).expect("verified");
    assert_eq!(store.capsule(&release).expect("capsule"), capsule(&release));
    let listed = store.list().expect("list").found;
    assert_eq!((listed.len(), listed[0].bytes, &listed[0].release), (1, 11, &release));
    assert_eq!(everything_below(&folder.path().join("staging")), BTreeSet::new());

    let again = store.stage(&manifest("v1.0.0", &FILES)).expect("stage again");
    assert!(again.published && again.missing.is_empty());
    assert!(!store.publish(&release.digest, &capsule(&release)).expect("publish again"));
    let newer = Capsule { created_at: Timestamp(2), ..capsule(&release) };
    assert!(store.publish(&release.digest, &newer).expect("a newer capsule is taken over"));
    assert_eq!(store.capsule(&release).expect("capsule"), newer);
    assert_eq!(mode(""), 0o555);
}

#[test]
fn a_tag_is_not_given_to_another_artifact() {
    let folder = tempfile::tempdir().expect("folder");
    let mut store = Store::new(folder.path());
    let stored = publish(&mut store, "v1.0.0", &FILES);
    let other = manifest("v1.0.0", &[("bin/demo", b"another")]);
    let error = store.stage(&other).expect_err("taken");
    assert!(matches!(error, StoreError::TagTaken { .. }), "{error}");
    let wanted = Release { digest: other.digest(), ..stored };
    assert!(matches!(store.verify(&wanted), Err(StoreError::TagTaken { .. })));
}

#[test]
fn hostile_manifests_write_nothing() {
    let long = "x/".repeat(40) + "x";
    let name = "n".repeat(256);
    let hostile = [
        "",
        "/etc/passwd",
        "../up",
        "a/../../up",
        "a/./b",
        "a//b",
        "a/",
        "..",
        ".",
        "a\0b",
        "a\nb",
        "a\\b",
        &long,
        &name,
    ];
    let folder = tempfile::tempdir().expect("folder");
    let root = folder.path().join("root");
    let mut store = Store::new(&root);
    for path in hostile {
        let error = store.stage(&manifest("v1", &[(path, b"x")])).expect_err(path);
        assert!(matches!(error, StoreError::HostilePath { .. }), "{path:?}: {error}");
    }
    for (one, two) in [("a", "a"), ("a", "a/b"), ("bin/Demo", "bin/demo"), ("A/b", "a")] {
        let error = store.stage(&manifest("v1", &[(one, b"x"), (two, b"y")])).expect_err("both");
        assert!(matches!(error, StoreError::HostilePath { .. }), "{one} {two}: {error}");
    }
    assert!(matches!(store.stage(&manifest("v1", &[])), Err(StoreError::BadManifest { .. })));
    let mut huge = manifest("v1", &[("a", b""), ("b", b"")]);
    huge.files.iter_mut().for_each(|file| file.size = u64::MAX);
    assert!(matches!(store.stage(&huge), Err(StoreError::BadManifest { .. })));
    assert_eq!(everything_below(folder.path()), BTreeSet::new());
}

#[test]
fn a_release_that_does_not_fit_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().expect("folder");
    let root = folder.path().join("root");
    let mut store = Store::new(&root);
    let mut large = manifest("v1", &[("a", b"x")]);
    large.files[0].size = 1 << 60;
    let error = store.stage(&large).expect_err("no disk is that large");
    assert!(matches!(error, StoreError::NoRoom { needed, .. } if needed > 1 << 60), "{error}");
    assert!(error.hint().is_some());
    assert_eq!(everything_below(folder.path()), BTreeSet::new());
}

#[test]
fn writes_must_continue_the_file() {
    let folder = tempfile::tempdir().expect("folder");
    let mut store = Store::new(folder.path());
    let manifest = manifest("v1", &FILES);
    let digest = manifest.digest();
    assert!(matches!(store.write(&digest, "bin/demo", 0, b"p"), Err(StoreError::NotStaged { .. })));
    store.stage(&manifest).expect("stage");
    store.write(&digest, "bin/demo", 0, b"pro").expect("write");
    let wrong = store.write(&digest, "bin/demo", 0, b"pro").expect_err("from the start again");
    assert!(matches!(wrong, StoreError::WrongOffset { present: 3, offset: 0, .. }), "{wrong}");
    let beyond = store.write(&digest, "bin/demo", 3, b"grams").expect_err("longer than the manifest says");
    assert!(matches!(beyond, StoreError::WriteTooLong { bytes: 5, limit: 4, .. }), "{beyond}");
    let too_much = store.write(&digest, "bin/demo", 3, &vec![0; WRITE_BYTES_MAX + 1]);
    assert!(matches!(too_much, Err(StoreError::WriteTooLong { .. })));
    for path in ["../../epoch", "bin/other", "/etc/passwd"] {
        let error = store.write(&digest, path, 0, b"x").expect_err(path);
        assert!(matches!(error, StoreError::NoSuchFile { .. }), "{error}");
    }
    let staging = store.stage(&manifest).expect("stage again");
    let have: Vec<_> = staging.missing.iter().map(|file| (file.path.as_str(), file.have)).collect();
    assert_eq!(have, [("bin/demo", 3), ("share/a/b", 0)]);
}

#[test]
fn a_staged_file_with_other_content_is_dropped_and_sent_again() {
    let folder = tempfile::tempdir().expect("folder");
    let mut store = Store::new(folder.path());
    let manifest = manifest("v1", &FILES);
    let release = manifest.release();
    store.stage(&manifest).expect("stage");
    store.write(&release.digest, "bin/demo", 0, b"PROGRAM").expect("write");
    let early = store.publish(&release.digest, &capsule(&release)).expect_err("wrong content");
    assert!(matches!(&early, StoreError::StagedWrong { path, .. } if path == "bin/demo"), "{early}");
    store.write(&release.digest, "bin/demo", 0, b"program").expect("write again");
    let short = store.publish(&release.digest, &capsule(&release)).expect_err("a file is missing");
    assert!(matches!(&short, StoreError::Incomplete { path, have: 0, size: 4 } if path == "share/a/b"));
    assert!(store.list().expect("list").found.is_empty(), "nothing is published before everything is right");
    store.write(&release.digest, "share/a/b", 0, b"data").expect("write");
    let other = Release { tag: "v2".parse().expect("tag"), ..release.clone() };
    let wrong = store.publish(&release.digest, &capsule(&other)).expect_err("another release's capsule");
    assert!(matches!(wrong, StoreError::OtherCapsule { .. }));
    store.publish(&release.digest, &capsule(&release)).expect("publish");
    store.verify(&release).expect("verified");
}

#[test]
fn every_kind_of_change_is_seen_also_by_who_verified_before() {
    type Change = fn(&Path);
    let writable = |path: &Path| {
        fs_err::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("mode");
    };
    let changes: [(&str, Change); 6] = [
        ("was altered: expected ", |files| {
            let path = files.join("bin/demo");
            fs_err::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("mode");
            // The same length, and the time set back: only the content and ctime tell.
            let modified = fs_err::metadata(&path).expect("metadata").modified().expect("time");
            fs_err::write(&path, b"PROGRAM").expect("write");
            let file = fs_err::OpenOptions::new().write(true).open(&path).expect("open");
            file.file().set_modified(modified).expect("set back");
            fs_err::set_permissions(&path, PermissionsExt::from_mode(0o555)).expect("mode");
        }),
        ("bytes, found", |files| {
            let path = files.join("share/a/b");
            fs_err::set_permissions(&path, PermissionsExt::from_mode(0o644)).expect("mode");
            fs_err::write(&path, b"more data").expect("write");
        }),
        ("the mode of", |files| {
            let path = files.join("bin/demo");
            fs_err::set_permissions(path, PermissionsExt::from_mode(0o4755)).expect("mode");
        }),
        ("is missing", |files| fs_err::remove_file(files.join("share/a/b")).expect("remove")),
        ("does not belong", |files| fs_err::write(files.join("bin/more"), b"x").expect("write")),
        ("does not belong", |files| {
            fs_err::remove_file(files.join("bin/demo")).expect("remove");
            fs_err::os::unix::fs::symlink("/bin/true", files.join("bin/demo")).expect("symlink");
        }),
    ];
    for (expected, change) in changes {
        let folder = tempfile::tempdir().expect("folder");
        let mut store = Store::new(folder.path());
        let release = publish(&mut store, "v1", &FILES);
        // Long enough for the identities to be remembered.
        std::thread::sleep(std::time::Duration::from_millis(110));
        store.verify(&release).expect("verified before");
        let files = store.files_of(&release);
        for folder in ["", "bin", "share/a"] {
            writable(&files.join(folder));
        }
        change(&files);
        let error = store.verify(&release).expect_err(expected);
        assert!(error.to_string().contains(expected), "{expected}: {error}");
        assert!(error.hint().is_some(), "{error}");
    }
}

#[test]
fn an_unchanged_release_is_not_read_again() {
    let folder = tempfile::tempdir().expect("folder");
    let mut store = Store::new(folder.path());
    let large = vec![7; 64 << 20];
    let files: [(&str, &[u8]); 1] = [("bin/demo", &large)];
    let manifest = manifest("v1", &files);
    let release = manifest.release();
    store.stage(&manifest).expect("stage");
    for (index, chunk) in large.chunks(WRITE_BYTES_MAX).enumerate() {
        let offset = (index * WRITE_BYTES_MAX) as u64;
        store.write(&release.digest, "bin/demo", offset, chunk).expect("write");
    }
    store.publish(&release.digest, &capsule(&release)).expect("publish");
    std::thread::sleep(std::time::Duration::from_millis(110));
    let took = |store: &mut Store| {
        let began = std::time::Instant::now();
        store.verify(&release).expect("verified");
        began.elapsed()
    };
    let (first, second) = (took(&mut store), took(&mut store));
    assert!(second < first / 4, "{second:?} after {first:?}");
}

#[test]
fn current_is_swapped_and_cleared() {
    let folder = tempfile::tempdir().expect("folder");
    let mut store = Store::new(folder.path());
    assert_eq!(store.current().expect("none"), None);
    let one = publish(&mut store, "v1", &FILES);
    let two = publish(&mut store, "v2", &[("bin/demo", b"two")]);
    assert!(store.set_current(&one).expect("set") && !store.set_current(&one).expect("again"));
    assert!(store.set_current(&two).expect("swap"));
    assert_eq!(store.current().expect("current"), Some(two));
    let link = fs_err::read_link(folder.path().join("current")).expect("link");
    assert_eq!(link, Path::new("releases/v2"), "relative, so that the root may be moved");
    assert!(store.clear_current().expect("clear") && !store.clear_current().expect("again"));

    for target in ["/etc", "releases/../..", "releases/v9"] {
        let link = folder.path().join("current");
        let _ = fs_err::remove_file(&link);
        fs_err::os::unix::fs::symlink(target, &link).expect("symlink");
        assert!(matches!(store.current(), Err(StoreError::Unreadable { .. })), "{target}");
    }
}

#[test]
fn pruning_removes_read_only_releases_and_old_stagings() {
    let folder = tempfile::tempdir().expect("folder");
    let mut store = Store::new(folder.path());
    let one = publish(&mut store, "v1", &FILES);
    let two = publish(&mut store, "v2", &[("bin/demo", b"two")]);
    let three = publish(&mut store, "v3", &[("bin/demo", b"three")]);
    store.stage(&manifest("v4", &[("a/b", b"x")])).expect("stage");
    store.set_current(&two).expect("current");
    let removed = store.prune(&BTreeSet::from([three.digest])).expect("prune");
    assert_eq!(removed, [one]);
    let left: Vec<_> = store.list().expect("list").found.into_iter().map(|stored| stored.release).collect();
    assert_eq!(left, [two, three]);
    assert_eq!(everything_below(&folder.path().join("staging")), BTreeSet::new());
}

#[test]
fn an_artifact_becomes_a_manifest() {
    let folder = tempfile::tempdir().expect("folder");
    let (service, tag) = ("demo".parse().expect("service"), "v1".parse().expect("tag"));
    let single = folder.path().join("demo");
    fs_err::write(&single, b"program").expect("write");
    let manifest = manifest_of(&service, &tag, &single).expect("manifest");
    assert_eq!(manifest.files.len(), 1);
    assert_eq!(manifest.files[0].path, "bin/demo");
    assert!(manifest.files[0].executable);

    let tree = folder.path().join("tree");
    fs_err::create_dir_all(tree.join("share")).expect("folder");
    fs_err::copy(&single, tree.join("run")).expect("copy");
    fs_err::set_permissions(tree.join("run"), PermissionsExt::from_mode(0o755)).expect("mode");
    fs_err::write(tree.join("share/text"), b"text").expect("write");
    let manifest = manifest_of(&service, &tag, &tree).expect("manifest");
    let files: Vec<_> = manifest.files.iter().map(|f| (f.path.as_str(), f.size, f.executable)).collect();
    assert_eq!(files, [("run", 7, true), ("share/text", 4, false)]);

    fs_err::os::unix::fs::symlink("/etc", tree.join("share/etc")).expect("symlink");
    let error = manifest_of(&service, &tag, &tree).expect_err("a symlink");
    assert!(error.to_string().contains("is a symlink or a special file"), "{error}");
    assert!(manifest_of(&service, &tag, &folder.path().join("none")).is_err());
}

/// A disk of one megabyte: the write fails with a clear error, what was staged is kept, and with room again
/// the rest is enough. Needs to mount, so root.
#[test]
fn a_full_disk_is_told_and_staging_goes_on_later() {
    let folder = tempfile::tempdir().expect("folder");
    let root = folder.path().join("root");
    fs_err::create_dir(&root).expect("folder");
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=3m", "unship-test"])
        .arg(&root)
        .output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "CI must be able to mount a tmpfs");
        std::io::Write::write_all(&mut std::io::stderr(), b"SKIPPED: cannot mount a tmpfs\n").expect("say");
        return;
    }
    let result = std::panic::catch_unwind(|| full_disk(&root));
    let unmounted = std::process::Command::new("umount").arg(&root).status().expect("umount");
    assert!(unmounted.success());
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

fn full_disk(root: &Path) {
    let mut store = Store::new(root);
    let kept = publish(&mut store, "v1", &FILES);
    store.set_current(&kept).expect("current");
    let bytes = vec![7; 1_500_000];
    let files: [(&str, &[u8]); 1] = [("bin/demo", &bytes)];
    let manifest = manifest("v2", &files);
    let release = manifest.release();
    store.stage(&manifest).expect("there is room yet");
    store.write(&release.digest, "bin/demo", 0, &bytes[..700_000]).expect("the first half");
    // Someone else takes what is left.
    let hog = root.join("hog");
    let filled = fs_err::write(&hog, vec![0; 4 << 20]).expect_err("the disk is full");
    assert_eq!(filled.kind(), std::io::ErrorKind::StorageFull);

    let error = store.write(&release.digest, "bin/demo", 700_000, &bytes[700_000..]).expect_err("full");
    assert!(matches!(&error, StoreError::DiskFull { path, needed: 800_000 } if path.ends_with("bin/demo")));
    assert!(error.hint().expect("a hint").contains("df "), "{error}");
    assert!(matches!(store.stage(&manifest), Err(StoreError::NoRoom { .. })));
    assert_eq!(store.current().expect("current"), Some(kept.clone()));
    store.verify(&kept).expect("what is stored is as it was");

    fs_err::remove_file(&hog).expect("room again");
    let missing = store.stage(&manifest).expect("stage").missing;
    assert_eq!(missing[0].have, 700_000, "half a write does not count");
    store.write(&release.digest, "bin/demo", 700_000, &bytes[700_000..]).expect("the rest");
    store.publish(&release.digest, &capsule(&release)).expect("publish");
    store.verify(&release).expect("verified");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Whatever the order and size of the writes, however often staging is opened anew by another process,
    /// the release is published exactly when every byte is there, and is what the manifest says.
    #[test]
    fn staging_ends_right_in_any_order(
        contents in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..5),
        moves in prop::collection::vec((any::<prop::sample::Index>(), 1_usize..90, 0_u8..4), 0..40),
    ) {
        let names: Vec<String> = (0..contents.len()).map(|n| format!("f{n}/file")).collect();
        let files: Vec<(&str, &[u8])> =
            names.iter().map(String::as_str).zip(contents.iter().map(Vec::as_slice)).collect();
        let manifest = manifest("v1", &files);
        let release = manifest.release();
        let folder = tempfile::tempdir().expect("folder");
        let mut store = Store::new(folder.path());
        store.stage(&manifest).expect("stage");
        let mut have = vec![0; contents.len()];
        for (index, length, kind) in moves {
            let number = index.index(contents.len());
            let bytes = &contents[number][have[number]..];
            let bytes = &bytes[..length.min(bytes.len())];
            let offset = have[number] as u64;
            match kind {
                0 => {
                    store = Store::new(folder.path());
                    let staging = store.stage(&manifest).expect("stage again");
                    for file in staging.missing {
                        let at = names.iter().position(|name| *name == file.path).expect("a name");
                        prop_assert_eq!(file.have, have[at] as u64);
                    }
                }
                1 => {
                    let complete = have.iter().zip(&contents).all(|(have, all)| *have == all.len());
                    let published = store.publish(&release.digest, &capsule(&release));
                    prop_assert_eq!(published.is_ok(), complete, "{:?}", published);
                    if complete {
                        break;
                    }
                }
                _ => {
                    store.write(&release.digest, &names[number], offset, bytes).expect("write");
                    have[number] += bytes.len();
                }
            }
        }
        for file in store.stage(&manifest).expect("stage").missing {
            let at = names.iter().position(|name| *name == file.path).expect("a name");
            store.write(&release.digest, &file.path, file.have, &contents[at][have[at]..]).expect("write");
        }
        store.publish(&release.digest, &capsule(&release)).expect("publish");
        store.verify(&release).expect("verified");
    }

    /// No path that the manifest rules let through leads out of the release.
    #[test]
    fn accepted_paths_stay_inside(path in "[a-c./\\\\\u{0}\n~-]{0,12}") {
        if check_manifest(&manifest("v1", &[(&path, b"x")])).is_ok() {
            let inside = Path::new(&path).components();
            prop_assert!(inside.clone().count() > 0);
            prop_assert!(inside.clone().all(|part| matches!(part, std::path::Component::Normal(_))));
        }
    }
}
