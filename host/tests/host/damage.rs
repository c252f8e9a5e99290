//! Stray and damaged files on a host: passed over and named, never in the way of a rollback.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use unship_core::protocol::*;

use crate::support::Host;

/// Empties a file of a published release, as a full disk or an editor leaves it.
fn empty(file: &Path) {
    std::fs::set_permissions(file, PermissionsExt::from_mode(0o644)).expect("mode");
    std::fs::write(file, "").expect("empty");
}

#[test]
fn damaged_files_are_passed_over_and_named() {
    let mut host = Host::new();
    let damaged = host.publish("v0.9.0", &[]);
    let one = host.publish("v1.0.0", &[]);
    let two = host.publish("v1.1.0", &["--status", "0"]);
    host.flip(&two);
    assert_eq!(host.observe().troubles, Vec::<String>::new());

    let root = host.paths.root.clone();
    std::fs::write(root.join("releases/NOTES"), "remember the milk\n").expect("stray file");
    empty(&root.join("releases/v0.9.0/manifest.json"));
    host.done(HostRequest::Quarantine { release: two.clone(), reason: "panics".to_owned() });
    std::fs::write(root.join("quarantine/x.json"), "").expect("stray mark");
    empty(&root.join(format!("quarantine/{}.json", two.digest)));
    std::fs::remove_file(root.join("current")).expect("remove");
    std::os::unix::fs::symlink("releases/v7.7.7", root.join("current")).expect("dangling");

    let state = host.observe();
    let stored: Vec<_> = state.releases.iter().map(|stored| &stored.release).collect();
    assert_eq!((stored, &state.current), (vec![&one, &two], &None));
    let named = ["v0.9.0/manifest.json`", "/x.json`", &format!("/{}.json`", two.digest), "/current`"];
    for name in named {
        assert!(state.troubles.iter().any(|trouble| trouble.contains(name)), "{name}: {state:#?}");
    }
    assert_eq!(state.troubles.len(), named.len(), "a stray file is no trouble: {state:#?}");
    let marked: Vec<_> = state.quarantined.iter().map(|mark| &mark.release).collect();
    assert_eq!(marked, [&two], "a mark that cannot be read counts");

    // What is damaged is not served, and what is whole can be gone back to.
    let request = host.converge_to(&damaged, Flip::Overlap);
    host.fails(request, true);
    host.flip(&one);
    let state = host.wait_alone(&one);
    assert_eq!((state.current.as_ref(), state.troubles.len()), (Some(&one), named.len() - 1));
    let request = host.converge_to(&two, Flip::Overlap);
    let (error, _) = host.fails(request, true);
    assert!(error.contains(&two.digest.to_string()), "{error}");
    assert_eq!(host.version(), "v1.0.0");
}
