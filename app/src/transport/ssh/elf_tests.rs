use std::os::unix::fs::PermissionsExt;

use proptest::prelude::*;

use super::*;

fn own() -> Vec<u8> {
    fs_err::read(std::env::current_exe().expect("this program")).expect("it can be read")
}

#[test]
fn this_program_is_for_this_machine_and_its_c_library() {
    let needs = needs(&own()).expect("an ELF file");
    assert_eq!(needs.machine, std::env::consts::ARCH);
    let (major, minor) = needs.glibc.expect("built for the GNU C library");
    assert!(major == 2 && (17..100).contains(&minor), "{major}.{minor}");
    let output = std::process::Command::new("getconf").arg("GNU_LIBC_VERSION").output().expect("getconf");
    let here = glibc_version(String::from_utf8_lossy(&output.stdout).trim()).expect("a version");
    assert!((major, minor) <= here, "it runs here");
}

#[test]
fn a_stripped_program_is_smaller_and_runs() {
    let whole = own();
    let length = whole.len();
    let stripped = stripped(whole);
    assert!(stripped.len() < length * 2 / 3, "{} of {length}", stripped.len());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("program");
    fs_err::write(&file, &stripped).expect("a file");
    fs_err::set_permissions(&file, PermissionsExt::from_mode(0o755)).expect("a mode");
    // Other tests fork in this process, and one of their children may hold the file open for writing for a moment.
    let started = (0..50).find_map(|_| match std::process::Command::new(&file).arg("--list").output() {
        Ok(output) => Some(output),
        Err(_) => {
            std::thread::sleep(std::time::Duration::from_millis(20));
            None
        }
    });
    let output = started.expect("it starts");
    assert!(
        output.status.success() && String::from_utf8_lossy(&output.stdout).contains("a_stripped_program")
    );
}

#[test]
fn what_is_no_program_is_left_as_it_is() {
    assert_eq!(stripped(b"#!/bin/sh\n".to_vec()), b"#!/bin/sh\n");
    assert_eq!(needs(b"#!/bin/sh\n"), None);
    assert_eq!(glibc_version("musl"), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_header_breaks_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut file = b"\x7fELF\x02\x01".to_vec();
        file.extend(&bytes);
        if file.len() > 20 {
            file[18..20].copy_from_slice(&62_u16.to_le_bytes());
        }
        let _ = needs(&file);
        prop_assert!(stripped(file.clone()).len() <= file.len());
    }
}
