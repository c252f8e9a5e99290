use super::*;

fn program(content: &str) -> ProgramFile {
    ProgramFile {
        path: "/usr/local/bin/app".into(),
        size: content.len() as u64,
        sha256: Digest::of(content.as_bytes()),
    }
}

fn service() -> ServiceName {
    "app".parse().expect("a service")
}

fn single(tag: &str, content: &str) -> Manifest {
    program(content).manifest(&service(), &tag.parse().expect("a tag"), "bin/app")
}

#[test]
fn a_release_of_one_file_is_known_by_its_digest_alone() {
    let known: Vec<KnownRelease> = [("v1", "one"), ("v2", "two")]
        .map(|(tag, content)| KnownRelease { release: single(tag, content).release(), manifest: None })
        .into();
    let found = |content| release_of(&program(content), "bin/app", &service(), &known);
    assert_eq!(found("one").map(|release| release.tag.to_string()), Some("v1".into()));
    assert_eq!(found("two").map(|release| release.tag.to_string()), Some("v2".into()));
    assert_eq!(found("three"), None);
    // The same bytes under another path of the release are another release.
    assert_eq!(release_of(&program("one"), "bin/other", &service(), &known), None);
}

#[test]
fn a_release_of_several_files_is_known_by_its_manifest() {
    let mut manifest = single("v1", "one");
    manifest.files.push(ManifestFile {
        path: "share/page.html".into(),
        size: 3,
        executable: false,
        sha256: Digest::of(b"..."),
    });
    let with = KnownRelease { release: manifest.release(), manifest: Some(manifest.clone()) };
    let without = KnownRelease { manifest: None, ..with.clone() };
    assert_eq!(release_of(&program("one"), "bin/app", &service(), &[with]), Some(manifest.release()));
    assert_eq!(release_of(&program("one"), "bin/app", &service(), &[without]), None);
}

#[test]
fn what_nobody_knows_has_a_name_that_says_so_and_is_the_same_every_time() {
    let one = unknown_release(&program("one"), "bin/app", &service()).expect("a name");
    assert!(one.tag.as_str().starts_with("unknown-"), "{one}");
    assert_eq!(one.digest, single("v9", "one").digest());
}
