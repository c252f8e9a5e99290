use super::*;

fn release(tag: &str) -> Release {
    Release { tag: tag.parse().expect("a tag"), digest: Digest::of(tag.as_bytes()) }
}

fn history(marks: &[(&str, Mark)]) -> History {
    let entries: Vec<MarkEntry> = marks
        .iter()
        .enumerate()
        .map(|(index, (tag, mark))| MarkEntry {
            release: release(tag),
            mark: *mark,
            why: format!("mark {index}"),
            // The clock runs backwards here on purpose: the order of the ledger decides.
            at: Timestamp(1_000 - i64::try_from(index).expect("small")),
            run: None,
        })
        .collect();
    fold(&entries)
}

#[test]
fn the_target_is_the_newest_known_good_release_that_is_not_the_bad_one() {
    use Mark::{Bad, Deployed, KnownGood};
    let releases =
        [("v1", Deployed), ("v1", KnownGood), ("v2", Deployed), ("v2", KnownGood), ("v3", Deployed)];
    assert_eq!(history(&releases).target(&release("v3")), Ok(release("v2")));
    let mut twice = releases.to_vec();
    twice.extend([("v3", Bad), ("v2", Bad)]);
    assert_eq!(history(&twice).target(&release("v2")), Ok(release("v1")));
}

#[test]
fn rolling_back_twice_never_returns_to_a_bad_release() {
    use Mark::{Bad, Deployed, KnownGood};
    let history =
        history(&[("v1", Deployed), ("v1", KnownGood), ("v2", Deployed), ("v2", KnownGood), ("v2", Bad)]);
    assert_eq!(history.target(&release("v1")), Err(TargetError::NoneKnownGood { unproven: vec![] }));
}

#[test]
fn bad_outweighs_being_seen_well_until_it_is_lifted() {
    use Mark::{Bad, Deployed, KnownGood, Lifted};
    let mut marks = vec![("v1", Deployed), ("v1", Bad), ("v1", KnownGood)];
    assert_eq!(history(&marks).releases[0].standing, Standing::Bad);
    marks.push(("v1", Lifted));
    assert_eq!(history(&marks).releases[0].standing, Standing::Unproven);
    marks.push(("v1", KnownGood));
    assert_eq!(history(&marks).releases[0].standing, Standing::KnownGood);
}

#[test]
fn a_bad_target_that_was_named_is_refused_and_the_next_good_one_offered() {
    use Mark::{Bad, Deployed, KnownGood};
    let history =
        history(&[("v1", Deployed), ("v1", KnownGood), ("v2", Deployed), ("v2", Bad), ("v3", Deployed)]);
    assert_eq!(
        history.check_target(&release("v2"), &release("v3")),
        Err(TargetError::Bad { target: release("v2"), why: "mark 3".into(), instead: Some(release("v1")) })
    );
    assert_eq!(history.check_target(&release("v1"), &release("v3")), Ok(()));
}

#[test]
fn unproven_releases_are_named_when_no_good_one_is_left() {
    use Mark::Deployed;
    assert_eq!(
        history(&[("v1", Deployed), ("v2", Deployed), ("v3", Deployed)]).target(&release("v3")),
        Err(TargetError::NoneKnownGood { unproven: vec![release("v2"), release("v1")] })
    );
}
