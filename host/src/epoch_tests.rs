use std::sync::Barrier;

use unship_core::time::Timestamp;

use super::*;

fn run(name: &str) -> RunId {
    name.parse().expect("run")
}

fn holder(name: &str) -> Holder {
    Holder { run: run(name), who: "me@here".to_owned(), since: Timestamp(1), what: "test".to_owned() }
}

fn refusal<T: std::fmt::Debug>(result: Result<T, EpochError>) -> Refusal {
    match result.expect_err("it was not refused") {
        EpochError::Refused(refusal) => refusal,
        other => panic!("another error: {other}"),
    }
}

#[test]
fn a_claim_needs_a_higher_epoch_or_its_own() {
    let folder = tempfile::tempdir().expect("folder");
    let file = EpochFile::new(folder.path());
    assert_eq!(file.read().expect("read"), None);
    let lock = file.lock(&run("a"), 0).expect("lock");
    assert_eq!(refusal(lock.check(&run("a"), Epoch(1))), Refusal::NotClaimed);
    assert!(lock.claim(&run("a"), Epoch(3), &holder("a")).expect("claim"));
    assert!(!lock.claim(&run("a"), Epoch(3), &holder("a")).expect("again"), "asked twice, written once");

    for (name, epoch) in [("b", 3), ("b", 2), ("a", 2)] {
        let refused = refusal(lock.claim(&run(name), Epoch(epoch), &holder(name)));
        assert!(matches!(refused, Refusal::StaleEpoch { yours, .. } if yours == epoch));
    }
    assert!(matches!(lock.claim(&run("b"), Epoch(9), &holder("a")), Err(EpochError::OtherRun { .. })));
    assert!(lock.claim(&run("b"), Epoch(4), &holder("b")).expect("higher"));
    assert!(matches!(refusal(lock.check(&run("a"), Epoch(3))), Refusal::StaleEpoch { yours: 3, .. }));
    assert_eq!(refusal(lock.check(&run("b"), Epoch(5))), Refusal::NotClaimed);
    lock.check(&run("b"), Epoch(4)).expect("the holder may act");
}

#[test]
fn the_end_of_a_claim_keeps_the_number() {
    let folder = tempfile::tempdir().expect("folder");
    let file = EpochFile::new(folder.path());
    let lock = file.lock(&run("a"), 0).expect("lock");
    lock.claim(&run("a"), Epoch(1), &holder("a")).expect("claim");
    assert!(lock.unclaim(&run("a"), Epoch(1)).expect("end"));
    assert!(!lock.unclaim(&run("a"), Epoch(1)).expect("again"));
    assert_eq!(refusal(lock.check(&run("a"), Epoch(1))), Refusal::NotClaimed);
    assert!(matches!(
        refusal(lock.claim(&run("b"), Epoch(1), &holder("b"))),
        Refusal::StaleEpoch { yours: 1, .. }
    ));
    let record = file.read().expect("read").expect("a record");
    assert!(record.ended && record.epoch == Epoch(1));
    assert!(lock.claim(&run("a"), Epoch(1), &holder("a")).expect("a resumed run claims again"));
    lock.check(&run("a"), Epoch(1)).expect("and may act");
}

#[test]
fn nothing_is_guessed_from_a_broken_file() {
    let folder = tempfile::tempdir().expect("folder");
    let file = EpochFile::new(folder.path());
    fs_err::write(folder.path().join("epoch"), b"{\"epoch\":").expect("write");
    let lock = file.lock(&run("a"), 0).expect("lock");
    for result in [
        lock.check(&run("a"), Epoch(1)).map(drop),
        lock.claim(&run("a"), Epoch(1), &holder("a")).map(drop),
        lock.unclaim(&run("a"), Epoch(1)).map(drop),
    ] {
        let Err(error @ EpochError::Unreadable { .. }) = result else { panic!("{result:?}") };
        let hint = error.hint().expect("a hint");
        assert!(hint.starts_with("do not remove it") && hint.contains(MENDED), "{hint}");
    }
    // What the hint says to write is a record, and no older run can act after it.
    fs_err::write(folder.path().join("epoch"), MENDED.replace('N', "7")).expect("mend");
    assert!(matches!(refusal(lock.claim(&run("a"), Epoch(7), &holder("a"))), Refusal::StaleEpoch { .. }));
    assert!(lock.claim(&run("a"), Epoch(8), &holder("a")).expect("a higher one"));
}

#[test]
fn who_waits_too_long_is_told_who_has_it() {
    let folder = tempfile::tempdir().expect("folder");
    let file = EpochFile::new(folder.path());
    let held = file.lock(&run("first"), 0).expect("lock");
    let error = file.lock(&run("second"), 20).expect_err("it is held");
    let text = error.to_string();
    assert!(text.contains("run `first` in process"), "{text}");
    drop(held);
    file.lock(&run("second"), 0).expect("free again");
}

/// A lock needs no right to write: whoever can open the file can hold it for as long as they like.
#[test]
fn nobody_else_can_hold_the_lock() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("folder");
    let (file, path) = (EpochFile::new(folder.path()), folder.path().join("epoch.lock"));
    // As an older agent made it.
    fs_err::write(&path, "").expect("write");
    fs_err::set_permissions(&path, PermissionsExt::from_mode(0o644)).expect("mode");
    for _ in 0..2 {
        drop(file.lock(&run("a"), 0).expect("lock"));
        assert_eq!(fs_err::metadata(&path).expect("there").permissions().mode() & 0o7777, 0o600);
        fs_err::remove_file(&path).expect("remove");
    }
}

/// Sixteen runs race for the same epoch, again and again: each time exactly one gets it.
#[test]
fn one_of_many_wins() {
    const RUNS: u64 = 16;
    const ROUNDS: u64 = 50;
    let folder = tempfile::tempdir().expect("folder");
    let barrier = Barrier::new(usize::try_from(RUNS).expect("small"));
    let wins: Vec<Vec<u64>> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..RUNS)
            .map(|number| {
                let (barrier, path) = (&barrier, folder.path());
                scope.spawn(move || {
                    let file = EpochFile::new(path);
                    let name = format!("run-{number}");
                    let mut won = Vec::new();
                    for round in 1..=ROUNDS {
                        barrier.wait();
                        let lock = file.lock(&run(&name), LOCK_WAIT_MS_MAX).expect("lock");
                        match lock.claim(&run(&name), Epoch(round), &holder(&name)) {
                            Ok(new) => {
                                assert!(new);
                                lock.check(&run(&name), Epoch(round)).expect("the winner acts");
                                won.push(round);
                            }
                            Err(EpochError::Refused(Refusal::StaleEpoch { now, .. })) => {
                                assert_eq!(now.epoch, Epoch(round));
                                let checked = lock.check(&run(&name), Epoch(round));
                                assert!(matches!(checked, Err(EpochError::Refused(_))));
                            }
                            Err(other) => panic!("{other}"),
                        }
                    }
                    won
                })
            })
            .collect();
        racers.into_iter().map(|racer| racer.join().expect("racer")).collect()
    });
    let mut all: Vec<u64> = wins.into_iter().flatten().collect();
    all.sort_unstable();
    assert_eq!(all, (1..=ROUNDS).collect::<Vec<_>>());
}
